"""``python -m fewshot_film`` is ``fewshot-film``."""

import sys

from fewshot_film.cli import run

sys.exit(run())
