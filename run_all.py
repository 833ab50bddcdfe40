"""Run the benchmark. `python run_all.py --help` lists the options."""

import sys

from bench.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
