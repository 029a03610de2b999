"""``python -m clevr`` is ``clevr-film``."""

import sys

from clevr.cli import run

if __name__ == "__main__":  # worker processes import this module too
    sys.exit(run())
