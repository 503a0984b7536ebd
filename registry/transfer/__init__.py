"""Moving artifacts: publish into stores, pull out of them, verify what is there."""

from registry.transfer.publishing import publish
from registry.transfer.pulling import bring_here, find_here, pull
from registry.transfer.verification import Verification, verify

__all__ = ["Verification", "bring_here", "find_here", "publish", "pull", "verify"]
