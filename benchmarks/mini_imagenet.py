"""Simple CNAPS on mini-ImageNet, to ``benchmarks/results/mini_imagenet.json``: see `benchmarks.experiment`.

The 20 test classes of Ravi and Larochelle 2017, 5-way, 1- and 5-shot, the published network at 84 x 84: hours on a GPU.
"""

from __future__ import annotations

import sys

from benchmarks.experiment import PHOTOGRAPHS, Experiment
from fewshot_film.run.command import main

EXPERIMENT = Experiment("mini-imagenet", ("--data.source=mini-imagenet",), features=PHOTOGRAPHS)
run = EXPERIMENT.run
COMMAND = EXPERIMENT.command("mini-ImageNet", "mini-imagenet.zip")

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.mini_imagenet", [COMMAND]))
