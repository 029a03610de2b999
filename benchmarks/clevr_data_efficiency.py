"""How accuracy grows with the share of CLEVR's training questions that a network learns from.

    python -m benchmarks.clevr_data_efficiency
    python -m benchmarks.clevr_data_efficiency --size paper --root CLEVR_v1.0

Every network takes the same number of steps; a smaller share is seen more often.
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
    curve,
    data_root,
    tested,
    trained,
    write,
)
from fewshot_film.run.parsing import parse

PUBLISHED = {"100 %": 97.6}
"""Per cent of CLEVR's test set from pixels: Perez et al., "FiLM", AAAI 2018, table 1."""


@dataclass(frozen=True)
class DataEfficiencyConfig(ExperimentConfig):
    """Size, data, and which shares."""

    shares: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 1.0)
    """Shares of the training questions."""


def run(config: DataEfficiencyConfig) -> None:
    """Train and test with every share."""
    root = data_root(config)
    test = "test" if config.size == "small" else "val"
    rows: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for share in config.shares:
        name = f"{100 * share:g} %"
        training = base_training(config, f"{config.size}-data-efficiency/{share:g}", root)
        training = dataclasses.replace(training, data=dataclasses.replace(training.data, fraction=share))
        rows[name] = tested(config, trained(training), root, test)
        found[name] = {"share": share, "accuracy": rows[name], "validation": curve(training)}
        path = write(config, "clevr_data_efficiency", {"tested_on": test, "shares": found})
    print(as_table(rows, "training questions", PUBLISHED), f"\n{path}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(
        parse(
            "python -m benchmarks.clevr_data_efficiency", DataEfficiencyConfig, sys.argv[1:], description=__doc__ or ""
        )
    )
