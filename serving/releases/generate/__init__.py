"""Makes a release's table from the packages on PyPI, without running any of their code.

A program for maintainers: `make release-table VERSION=0.23.0`. Nothing imports it at run time.
"""
