"""The demonstration: a small model that is really trained, taken through the whole of qreg."""
