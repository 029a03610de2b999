"""Simple CNAPS on FC100, from the pictures to ``benchmarks/results/fc100.json``: see `benchmarks.experiment`.

The 20 test classes of Oreshkin et al. 2018, of superclasses that training never saw, 5-way, 1- and 5-shot.
"""

from __future__ import annotations

import sys

from benchmarks.experiment import PHOTOGRAPHS, Experiment
from fewshot_film.run.command import main

EXPERIMENT = Experiment("fc100", ("--data.source=fc100",), features=PHOTOGRAPHS)
run = EXPERIMENT.run
COMMAND = EXPERIMENT.command("FC100", "cifar-100.zip")

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.fc100", [COMMAND]))
