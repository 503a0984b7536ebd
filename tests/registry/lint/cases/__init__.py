"""One table of cases a theme, as the checks have one module a theme."""
