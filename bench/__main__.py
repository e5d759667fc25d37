"""Run the command line: `python -m bench`."""

import os.path
import sys

# Python has put the current folder first. A user's file there, such as models.py or random.py, must not be imported
# instead of the module of this name that this package means.
sys.path[:] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__))), *sys.path[not sys.flags.safe_path :]]  # noqa: PTH100, PTH120 - pathlib imports more

from bench.cli.parser import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
