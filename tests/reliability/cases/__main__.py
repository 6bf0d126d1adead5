"""Run the tables: python -m tests.reliability.cases [--only WORDS] [--sample N] [--list]."""

import sys

from .whole import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
