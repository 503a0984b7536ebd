"""Looking at what a launch needs of this machine: devices, drivers, engines, limits, ports.

Functions of texts and files where they can be, so that tests feed them what real machines print.
"""

from serving.doctor.run import launch_looks, serving_looks

__all__ = ["launch_looks", "serving_looks"]
