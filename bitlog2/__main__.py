"""`python -m bitlog2` is the console command `bitlog2`."""

import sys

from bitlog2.scripts.cli import main

if __name__ == "__main__":
    sys.exit(main())
