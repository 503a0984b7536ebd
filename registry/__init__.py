"""The ground of qreg: what an artifact is, how it is described, and where it lives.

Nothing in this package knows who quantizes or serves an artifact.
"""
