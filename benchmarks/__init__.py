"""Measurements; each prints its figures and the peer that it compares with."""
