"""Moving artifacts: publish into stores, pull out of them, verify what is there."""

from registry.transfer.publish import publish
from registry.transfer.pull import pull
from registry.transfer.verify import Verification, verify

__all__ = ["Verification", "publish", "pull", "verify"]
