"""``python -m benchmarks.photos``."""

import sys

from benchmarks.photos.settings import COMMANDS
from fewshot_film.run.command import main

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.photos", COMMANDS))
