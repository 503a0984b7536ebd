"""Artifacts in a bucket of Amazon S3 or of any server that speaks its protocol."""

from registry.stores.s3.store import S3Store

__all__ = ["S3Store"]
