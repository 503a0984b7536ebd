"""`python -m qreg`."""

from qreg.cli import main

if __name__ == "__main__":
    main()
