"""``fewshot-film calibrate``: temperatures of a model from validation episodes, and how well they do on others."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fewshot_film.classifier import Calibration, FewShotClassifier, calibration_error
from fewshot_film.classifier.calibration import LARGEST_TEMPERATURE, LEAST_TEMPERATURE, fit_temperature
from fewshot_film.commands.common import open_images
from fewshot_film.config.commands import CalibrateConfig
from fewshot_film.data import ImageSet
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.errors import InvalidValueError
from fewshot_film.figures import reliability_diagrams
from fewshot_film.learners.registry import load_learner
from fewshot_film.run.files import write_atomically
from fewshot_film.run.model_folder import CONFIG, read_config, replace_config
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.results import write_result

log = logging.getLogger(__name__)

TEST_SPLIT = "test"
"""Classes that the calibration error is measured on."""
PLAIN, MEASURED, FITTED = "temperature 1", "measured", "with the task's own"


@dataclass(frozen=True)
class EpisodeLogits:
    """What a classifier said in the episodes of one number of support images."""

    logits: Tensor
    """``(M, way)`` of all query images."""
    labels: Tensor
    """``(M,)``."""
    temperatures: Tensor
    """``(M,)``: that of each image's task, as the classifier fitted it."""


def run(config: CalibrateConfig) -> None:
    """Measure, keep, and print what difference it makes."""
    folder = Path(config.model)
    learner = load_learner(folder)
    backbone = learner.config.backbone
    validation = open_images(config.data, config.split, backbone)
    test = open_images(config.data, TEST_SPLIT, backbone)
    plain = FewShotClassifier(learner, temperature=1.0, device=config.device)
    temperatures = {}
    for shot in config.shots:
        judged = judge(plain, validation, config, shot, config.split)
        temperatures[shot] = measured_temperature(judged, shot)
    keep_temperatures(folder, temperatures)
    log.info("saved the temperatures in %s", folder / CONFIG)
    classifier = FewShotClassifier(config.model, device=config.device)
    found = {
        shot: errors(judge(classifier, test, config, shot, TEST_SPLIT), temperatures[shot]) for shot in config.shots
    }
    print(table(temperatures, found))  # noqa: T201 - the result of the command
    if config.out:
        _write(Path(config.out), config, temperatures, found)


def judge(
    classifier: FewShotClassifier, images: ImageSet, config: CalibrateConfig, shot: int, split: str
) -> EpisodeLogits:
    """Fit the classifier to the support images of every episode and ask it about the queries."""
    sampler = EpisodeSampler(images, config.way, shot, config.query, seed=config.seed, split=f"{split}/calibrate")
    logits, labels, temperatures = [], [], []
    for index in tqdm(range(config.episodes), f"{split}, {shot}-shot", unit="episode", disable=hides_bars()):
        plan = sampler.plan(index)
        classifier.fit(images.get(plan.support), plan.support_labels)
        logits.append(torch.from_numpy(classifier.logits(images.get(plan.query))))
        labels.append(torch.from_numpy(plan.query_labels))
        temperatures.append(torch.full((len(plan.query),), classifier.temperature_, dtype=torch.float64))
    return EpisodeLogits(torch.cat(logits), torch.cat(labels), torch.cat(temperatures))


def measured_temperature(judged: EpisodeLogits, shot: int) -> float:
    """The temperature that fits the queries of all episodes.

    Raises:
        InvalidValueError: none does, as where no query is told any better than by chance.
    """
    temperature = fit_temperature(judged.logits, judged.labels)
    if not _USUAL[0] < temperature < _USUAL[1]:
        correct = (judged.logits.argmax(1) == judged.labels).double().mean().item()
        raise InvalidValueError(
            f"no temperature fits the {len(judged.labels)} {shot}-shot queries, of which {correct:.0%} are told right: "
            f"it would be {temperature:.0e}; expected episodes that say more: add --episodes, or train the model"
        )
    return temperature


_USUAL = (10 * LEAST_TEMPERATURE, LARGEST_TEMPERATURE / 10)
"""Temperatures beyond which the search ended at its bounds, or all but."""


def errors(judged: EpisodeLogits, measured: float) -> dict[str, Calibration]:
    """Calibration with no temperature, with the measured one, and with each task's own."""
    divisors = {PLAIN: torch.tensor(1.0), MEASURED: torch.tensor(measured), FITTED: judged.temperatures[:, None]}
    return {
        name: calibration_error((judged.logits / divisor).softmax(1), judged.labels)
        for name, divisor in divisors.items()
    }


def keep_temperatures(folder: Path, temperatures: Mapping[int, float]) -> None:
    """Write temperatures by shot into a saved model; its weights stay as they are.

    Raises:
        SavedModelError: there is no saved model, or it is damaged.
    """
    config = read_config(folder)["config"]
    kept = {str(shot): value for shot, value in temperatures.items()}
    replace_config(folder, {**config, "training": {**(config.get("training") or {}), "temperatures": kept}})


def table(temperatures: Mapping[int, float], found: Mapping[int, Mapping[str, Calibration]]) -> str:
    """Temperatures and calibration errors in per cent, one row a number of support images."""
    lines = [
        f"| calibration error, % | temperature | {PLAIN} | {MEASURED} | {FITTED} |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for shot, of_shot in found.items():
        values = " | ".join(f"{100 * of_shot[name].error:.1f}" for name in (PLAIN, MEASURED, FITTED))
        lines.append(f"| {shot}-shot | {temperatures[shot]:.3g} | {values} |")
    return "\n".join(lines) + "\n"


def _write(
    out: Path,
    config: CalibrateConfig,
    temperatures: Mapping[int, float],
    found: Mapping[int, Mapping[str, Calibration]],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        f"{shot}-shot": {"temperature": temperatures[shot], **{name: _plain(one) for name, one in of_shot.items()}}
        for shot, of_shot in found.items()
    }
    write_result(out / "calibration.json", config=config, seed=config.seed, results=results)
    figure = reliability_diagrams(
        {
            f"{shot}-shot, {name}: error {100 * one.error:.1f} %": (one.accuracy, one.confidence, one.count)
            for shot, of_shot in found.items()
            for name, one in of_shot.items()
        },
        columns=3,
    )
    write_atomically(out / "calibration.png", lambda file: figure.savefig(file, format="png"))
    log.info("wrote calibration.json and calibration.png to %s", out)


def _plain(one: Calibration) -> dict[str, Any]:
    """A calibration as JSON can hold it; empty bins are null."""
    lists = {
        name: [None if np.isnan(value) else float(value) for value in getattr(one, name)]
        for name in ("accuracy", "confidence")
    }
    return {"error": one.error, **lists, "count": one.count.tolist()}
