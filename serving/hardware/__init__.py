"""What a machine offers: profiles, and finding out which one this is."""

from serving.hardware.cpu import detect_cpu
from serving.hardware.profile import Hardware

__all__ = ["Hardware", "detect_cpu"]
