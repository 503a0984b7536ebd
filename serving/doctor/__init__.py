"""Looking at what a launch needs of this machine: devices, drivers, engines, limits, ports.

Functions of texts and files where they can be, so that tests feed them what real machines print.
"""
