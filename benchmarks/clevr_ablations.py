"""The ablations of FiLM's paper, table 3: what each part of the network is worth.

    python -m benchmarks.clevr_ablations                                       # generated world, minutes a variant
    python -m benchmarks.clevr_ablations --size paper --root CLEVR_v1.0        # a GPU, days
    python -m benchmarks.clevr_ablations --only [full,only-beta]

Published, on CLEVR's validation set: Perez et al., AAAI 2018, table 3.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.clevr_experiments import (
    ExperimentConfig,
    as_table,
    base_training,
    chosen,
    curve,
    data_root,
    tested,
    trained,
    write,
)
from fewshot_film.run.parsing import parse

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "only-beta": {"gamma": "one"},
    "only-gamma": {"beta": "zero"},
    "gamma-sigmoid": {"gamma": "sigmoid"},
    "gamma-tanh": {"gamma": "tanh"},
    "gamma-exp": {"gamma": "exp"},
    "film-after-relu": {"film_position": "relu"},
    "film-after-sum": {"film_position": "residual"},
    "film-after-conv": {"film_position": "conv"},
    "film-on-input": {"film_position": "input"},
    "film-in-3-blocks": {"film_blocks": 3},
    "film-in-2-blocks": {"film_blocks": 2},
    "film-in-1-block": {"film_blocks": 1},
    "1x1-convolutions": {"block_kernel": 1},
    "no-residual": {"residual": False},
    "no-coordinates": {"coordinates": False},
    "no-batchnorm": {"batch_norm": False},
    "1-block": {"blocks": 1},
    "2-blocks": {"blocks": 2},
    "3-blocks": {"blocks": 3},
    "5-blocks": {"blocks": 5},
    "6-blocks": {"blocks": 6},
    "zero-init": {"generator_init": "zero"},
    "concatenation": {"conditioning": "concatenation"},
    "no-question": {"conditioning": "none"},
}
"""Settings of the network that differ from the full one."""


@dataclass(frozen=True)
class AblationsConfig(ExperimentConfig):
    """Size, data, and which variants."""

    only: tuple[str, ...] = ()
    """Variants to train; empty: all."""


def run(config: AblationsConfig) -> None:
    """Train and test every variant; the result file grows with each."""
    names = chosen(list(VARIANTS), config.only)
    root = data_root(config)
    test = "test" if config.size == "small" else "val"  # CLEVR's test split has no answers
    rows: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name in names:
        training = base_training(config, f"{config.size}-ablations/{name}", root)
        training = dataclasses.replace(training, model=dataclasses.replace(training.model, **VARIANTS[name]))
        rows[name] = tested(config, trained(training), root, test)
        found[name] = {"model": VARIANTS[name], "accuracy": rows[name], "validation": curve(training)}
        path = write(config, "clevr_ablations", {"tested_on": test, "variants": found})
    print(as_table(rows, "variant"), f"\n{path}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(parse("python -m benchmarks.clevr_ablations", AblationsConfig, sys.argv[1:], description=__doc__ or ""))
