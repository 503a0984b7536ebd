"""From stored weights back to their values: a module a format, in numpy alone."""
