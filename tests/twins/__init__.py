"""Twins: header-only checkpoints with the true names and shapes of real models.

A twin's shards are sparse files: their headers are real, their data are holes. So a model of a
terabyte takes a few megabytes of disk, and everything that reads metadata only can be tried on it.

    python -m tests.twins Kimi-K2-Instruct W8A8 /tmp/twin
"""

from tests.twins.architectures import ARCHITECTURES
from tests.twins.schemes import SCHEMES
from tests.twins.write import write_twin

__all__ = ["ARCHITECTURES", "SCHEMES", "write_twin"]
