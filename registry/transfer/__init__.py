"""Moving artifacts: publish into stores, pull out of them, verify what is there.

Each is a module of its own: who pulls need not wait for what publishing takes to be imported.
"""
