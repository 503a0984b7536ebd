"""Helpers that the script imports from its repository, as `example/common` has them."""

import argparse
import os


def cmd_bool(value):
    """`True` or `False` on the command line."""
    if value not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"{value} is not True or False")
    return value == "True"


def get_valid_read_path(path, extensions=None):
    """As `utils/security/path.py` of msmodelslim 26.1.0 checks it: its suffix, then the file."""
    if extensions and not path.endswith(extensions):
        raise ValueError(f'The filename {path} doesn\'t endswith "{extensions}".')
    if not os.path.isfile(os.path.realpath(path)):
        raise ValueError(f"The path {path} doesn't exist or not a file.")
    return os.path.realpath(path)
