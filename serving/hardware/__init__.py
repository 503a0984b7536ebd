"""What a machine offers: profiles, and finding out which one this is."""

from serving.hardware.abilities import Abilities, abilities
from serving.hardware.catalogue import profile as profile
from serving.hardware.catalogue import profiles
from serving.hardware.cpu import detect_cpu
from serving.hardware.detect import Detected, detect, detect_cuda
from serving.hardware.profile import Hardware, parse_devices
from serving.hardware.select import narrow, parse_hardware

__all__ = [
    "Abilities",
    "Detected",
    "Hardware",
    "abilities",
    "detect",
    "detect_cpu",
    "detect_cuda",
    "narrow",
    "parse_devices",
    "parse_hardware",
    "profile",
    "profiles",
]
