"""Malformed artifacts: a coverage-guided fuzz target, and what the property tests share with it.

    python -m tests.fuzz --runs 100000

Everything happens in memory: an artifact is a table of files, read through a source that knows
which reads are allowed. `seeds.py` has small sound artifacts of each format, `shapes.py` makes
artifacts of a fuzzer's bytes, `invariants.py` says what has to hold for each of them.
"""
