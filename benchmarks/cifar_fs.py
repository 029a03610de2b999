"""Simple CNAPS on CIFAR-FS, from the pictures to ``benchmarks/results/cifar_fs.json``: see `benchmarks.experiment`.

The 20 test classes of Bertinetto et al. 2019, 5-way, 1- and 5-shot. For other sets of small pictures there is
`benchmarks.small_pictures`.
"""

from __future__ import annotations

import sys

from benchmarks.experiment import PHOTOGRAPHS, Experiment
from fewshot_film.run.command import main

EXPERIMENT = Experiment("cifar-fs", ("--data.source=cifar-fs",), features=PHOTOGRAPHS)
run = EXPERIMENT.run
COMMAND = EXPERIMENT.command("CIFAR-FS", "cifar-100.zip")

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.cifar_fs", [COMMAND]))
