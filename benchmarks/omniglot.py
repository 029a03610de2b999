"""Simple CNAPS on Omniglot, from the pictures to ``benchmarks/results/omniglot.json``: see `benchmarks.experiment`.

Test characters of Vinyals' split with rotations, 5- and 20-way, 1- and 5-shot.
"""

from __future__ import annotations

import sys

from benchmarks.experiment import Experiment
from fewshot_film.run.command import main

EXPERIMENT = Experiment("omniglot", ("--data.source=omniglot", "--data.rotations=true"), ways=(5, 20))
run = EXPERIMENT.run
COMMAND = EXPERIMENT.command("Omniglot", "omniglot.zip")

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.omniglot", [COMMAND]))
