"""Simple CNAPS on FC100, from the pictures to ``benchmarks/results/fc100.json``: see `benchmarks.experiment`.

The 20 test classes of Oreshkin et al. 2018, of superclasses that training never saw, 5-way, 1- and 5-shot.
"""

from __future__ import annotations

import sys

from benchmarks.experiment import Experiment, ExperimentConfig
from fewshot_film.run.command import Command, main

EXPERIMENT = Experiment("fc100", ("--data.source=fc100",))
run = EXPERIMENT.run
COMMAND = Command(
    name="run",
    config=ExperimentConfig,
    run="benchmarks.fc100:run",
    help="Simple CNAPS on FC100, from the pictures to the result file.",
    examples=("python -m benchmarks.fc100 run --root cifar-100.zip",),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.fc100", [COMMAND]))
