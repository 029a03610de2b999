"""``fewshot-film evaluate``: accuracy with 95 % intervals on episodes of unseen classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.commands.common import described, leaks_into, open_images, source_title
from fewshot_film.config.commands import EvaluateConfig
from fewshot_film.config.data import DataConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.image_set import JoinedSet
from fewshot_film.data.leaks import Leaks, parts_of
from fewshot_film.episodes import (
    EpisodeList,
    EpisodeSampler,
    MetaDatasetSampler,
    Sampler,
    fingerprint,
    load_episodes,
    save_episodes,
)
from fewshot_film.errors import counted
from fewshot_film.learners.evaluation import evaluate_rows
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.tables import markdown_text

log = logging.getLogger(__name__)


def run(config: EvaluateConfig) -> None:
    """Evaluate, print the table, and write all values where asked to."""
    learner = load_pretrained(config.model).learner
    learner.backbone.set_features(config.tukey_power, config.flip_tta)
    device = choose_device(config.device, in_double=True)
    learner.to(device)
    images = open_images(config.data, config.split, learner.config.backbone)
    log.info("%s classes: %s", config.split or "all", described(images))
    leaks = leaks_into(images, config.split, config.data, learner.config.backbone)
    samplers: Mapping[str, Sampler] = (
        load_episodes(config.episode_list, images) if config.episode_list else _samplers(config, images)
    )
    if config.save_episodes:
        save_episodes(config.save_episodes, samplers, config.episodes)
    rows: dict[str, Any] = {}
    counts = {name: len(one) if isinstance(one, EpisodeList) else config.episodes for name, one in samplers.items()}
    wanted = {name: (sampler, counts[name]) for name, sampler in samplers.items()}
    for name, values in evaluate_rows(learner, wanted, processes=config.processes, device=device, progress=True):
        sampler, count = wanted[name]
        rows[name] = {
            "episodes_sha256": fingerprint(sampler, count),
            "ordered": sampler.images.ordered,
            "held_out": sampler.images.name == config.data.held_out,
            "shared_with_training": None if leaks is None else leaks.counts,
            **summary(values),
        }
        log.info("%s: %.1f %% on %s", name, 100 * rows[name]["mean"], counted(count, "episode"))
    table = markdown_table(f"{source_title(config.data, images)}, {config.split or 'all'} classes", rows)
    table += "".join(f"\n{note}\n" for note in protocol_notes(images, config.data, leaks))
    print(as_json(rows) if config.format == "json" else table)  # noqa: T201 - the result of the command
    if config.out:
        out = Path(config.out)
        write_result(out, config=config, seed=config.seed, results=rows)
        write_text_atomically(out.with_suffix(".md"), table)


def as_json(rows: Mapping[str, Any]) -> str:
    """The rows of the table as one JSON document, every episode's accuracy among their values."""
    return json.dumps({"rows": rows}, indent=2, ensure_ascii=False)


def protocol_notes(images: ImageSet, data: DataConfig, leaks: Leaks | None) -> list[str]:
    """Sentences below the table about what makes its numbers comparable, or not."""
    parts = parts_of(images)
    ordered = [part.name for part in parts if part.ordered]
    notes = []
    if ordered:
        notes.append(
            f"Neighbouring images of {', '.join(ordered)} show the same object. Support and query images are sampled "
            "from whole classes, in random order."
        )
    if data.held_out in {part.name for part in parts}:
        notes.append(f"{data.held_out} is held out: it is in neither training nor validation.")
    if leaks:
        counts = leaks.counts
        notes.append(
            f"{counted(counts['classes'], 'class')} and "
            f"{counted(counts['images'], 'image')} are also in the training classes, so these "
            "accuracies are too high."
        )
    return notes


def _samplers(config: EvaluateConfig, images: ImageSet) -> dict[str, EpisodeSampler | MetaDatasetSampler]:
    """The episodes of every row of the table; of several sources each has its own rows."""
    if isinstance(images, JoinedSet):
        parts = {part.name: _samplers(config, part) for part in images.parts}
        return {f"{name}, {row}": sampler for name, rows in parts.items() for row, sampler in rows.items()}
    if config.sampler == "meta-dataset":
        return {"meta-dataset": MetaDatasetSampler(images, seed=config.seed, split=config.split)}
    draw = partial(EpisodeSampler, dirichlet=config.dirichlet, seed=config.seed, split=config.split)
    unbalanced = ", unbalanced queries" if config.dirichlet else ""
    return {
        f"{way}-way {shot}-shot{unbalanced}": draw(images, way, shot, config.query)
        for way in config.ways
        for shot in config.shots
    }


def markdown_table(title: str, rows: dict[str, Any]) -> str:
    """Rows of ``mean`` and ``interval`` (fractions) and ``count`` as a Markdown table in per cent."""
    lines = [f"| {markdown_text(title)} | accuracy, % | 95 % interval | episodes |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {markdown_text(name)} | {100 * row['mean']:.2f} | ± {100 * row['interval']:.2f} | {row['count']} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"
