"""Kill, break, fill, and cut the power: what transfers must survive.

After each fault four things hold: nothing is lost (the source folder is as it was, what was
published before still verifies), nothing corrupt is accepted (each listed revision's files match
their sha256), nothing half-published resolves (a name finds a whole artifact or none), and running
the same again without the fault finishes.
"""
