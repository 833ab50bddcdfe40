"""Runs the benchmark; `python run_all.py --help` says how."""

import sys

from bench.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
