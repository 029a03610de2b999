"""``fewshot-film compare``: learners on your own images, on the same splits."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from fewshot_film.commands.baselines import PIXELS, load_models, without_training
from fewshot_film.config.commands import CompareConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data import ImageSet, decode, open_source
from fewshot_film.data.source import ImageSource
from fewshot_film.episodes import EpisodeList, HoldOutSampler, fingerprint, load_episodes, save_episodes
from fewshot_film.errors import ConfigError, counted
from fewshot_film.learners import Learner
from fewshot_film.learners.task_runners import TaskRunner, task_runner
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.results import paired_difference, summary, write_result
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.tables import csv_text, markdown_text

log = logging.getLogger(__name__)

ROW = "splits"


def run(config: CompareConfig) -> None:
    """Compare, print the table, and write all values where asked to."""
    device = choose_device(config.device, in_double=True)
    models = load_models(config.models)
    first = next(iter(models.values()))
    learners: dict[str, Learner | None] = {
        **models,
        **without_training(config.learners, first.backbone, first.config),
    }
    source = open_source("folder", config.data)
    title = f"{counted(len(source.class_names), 'class')} of folder '{source.name}'"
    sets = _decode(source, learners, config)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(config.episode_list or _draw_splits(Path(folder), sets, config))
        results, digest = _compare(listed, learners, sets, device)
        if config.out:
            _write(Path(config.out), config, title, results, digest, listed)
    print(markdown_table(title, results))  # noqa: T201 - the result of the command


Sets = Mapping[Preprocessing, ImageSet]
"""Decoded images by how they became input; the first is what splits are drawn from."""


def _decode(source: ImageSource, learners: Mapping[str, Learner | None], config: CompareConfig) -> Sets:
    """The images as each learner reads them; the first drops duplicates and the others keep them."""
    needed = dict.fromkeys(learner.backbone.preprocessing for learner in learners.values() if learner is not None)
    given = {} if config.resize is None else {"resize": config.resize}
    return {
        preprocessing: decode(source, **{**preprocessing.pixels, **given}, on_duplicate="keep" if index else "drop")
        for index, preprocessing in enumerate(needed)
    }


def _draw_splits(folder: Path, sets: Sets, config: CompareConfig) -> Path:
    images = next(iter(sets.values()))
    sampler = HoldOutSampler(images, config.shot, config.query, seed=config.seed)
    save_episodes(folder / "splits.json", {ROW: sampler}, config.splits)
    return folder / "splits.json"


def _compare(
    listed: Path, learners: Mapping[str, Learner | None], sets: Sets, device: torch.device
) -> tuple[dict[str, Any], str]:
    """Accuracy of every learner on every split of a list, and the list's fingerprint."""
    first = next(iter(sets))
    splits = {read: _only(listed, load_episodes(listed, images)) for read, images in sets.items()}
    count = len(splits[first])
    results = {}
    with tqdm(total=count * len(learners), unit="split", disable=hides_bars()) as bar:
        for name, learner in learners.items():
            bar.set_description(name)
            read = first if learner is None else learner.backbone.preprocessing
            began = time.process_time()
            values = _accuracies(task_runner(learner, sets[read], device), splits[read], bar)
            results[name] = {**summary(values), "processor_seconds": round(time.process_time() - began, 3)}
    return results, fingerprint(splits[first], count)


def _only(listed: Path, lists: Mapping[str, EpisodeList]) -> EpisodeList:
    if len(lists) != 1:
        raise ConfigError(f"{listed} holds {len(lists)} lists ({', '.join(lists)}); expected one, as compare writes it")
    return next(iter(lists.values()))


def _accuracies(one: TaskRunner, splits: EpisodeList, bar: Any) -> list[float]:
    values = []
    for index in range(len(splits)):
        plan = splits.plan(index)
        answers: Tensor = one.logits(plan).argmax(1).cpu()
        values.append(float((answers == torch.from_numpy(plan.query_labels)).double().mean()))
        bar.update()
    return values


def with_differences(results: Mapping[str, Any]) -> dict[str, Any]:
    """Every learner's results with its paired difference to the best, the best first."""
    order = sorted(results, key=lambda name: -results[name]["mean"])
    best = results[order[0]]["values"]
    rows = {}
    for name in order:
        difference, interval = paired_difference(results[name]["values"], best)
        rows[name] = {**results[name], "to_best": difference, "to_best_interval": interval}
    return rows


def markdown_table(title: str, results: Mapping[str, Any]) -> str:
    """Accuracy and paired difference to the best in per cent, best first."""
    rows = with_differences(results)
    count = next(iter(rows.values()))["count"]
    lines = [
        f"| {markdown_text(title)}, {count} splits | accuracy, % | difference to the best | processor time, s |",
        "| --- | ---: | ---: | ---: |",
    ]
    for index, (name, row) in enumerate(rows.items()):
        lead = f"{100 * row['to_best']:.2f} ± {100 * row['to_best_interval']:.2f}" if index else "best"
        accuracy = f"{100 * row['mean']:.2f} ± {100 * row['interval']:.2f}"
        lines.append(f"| {markdown_text(name)} | {accuracy} | {lead} | {row['processor_seconds']:.1f} |")
    lines += ["", *([f"{PIXELS}: nearest class means of the pixels, without a network."] if PIXELS in rows else [])]
    lines.append(
        f"After ±: 95 % intervals of means over these {count} random splits; differences are taken split by split. "
        "Results on other images may differ by more."
    )
    return "\n".join(lines) + "\n"


def _write(out: Path, config: CompareConfig, title: str, results: Mapping[str, Any], digest: str, listed: Path) -> None:
    rows = with_differences(results)
    write_result(
        out / "comparison.json", config=config, seed=config.seed, results={"episodes_sha256": digest, "learners": rows}
    )
    write_text_atomically(out / "comparison.csv", _as_csv(rows))
    write_text_atomically(out / "comparison.md", markdown_table(title, results))
    write_text_atomically(out / "splits.json", listed.read_text(encoding="utf-8"))
    log.info("wrote comparison.json, .csv and .md, and splits.json, to %s", out)


def _as_csv(rows: Mapping[str, Any]) -> str:
    """Accuracy of every learner on every split."""
    splits = zip(*(row["values"] for row in rows.values()), strict=True)
    lines = ((index, *(round(value, 6) for value in values)) for index, values in enumerate(splits))
    return csv_text(("split", *rows), lines)
