"""``fewshot-film evaluate``: accuracy with 95 % intervals on episodes of unseen classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot_film.commands.common import open_images, source_title
from fewshot_film.config.commands import EvaluateConfig
from fewshot_film.data import ImageSet
from fewshot_film.data.joined import JoinedSet
from fewshot_film.episodes import (
    EpisodeList,
    EpisodeSampler,
    MetaDatasetSampler,
    Sampler,
    fingerprint,
    load_episodes,
    save_episodes,
)
from fewshot_film.learners.evaluation import evaluate
from fewshot_film.learners.saving import load_learner
from fewshot_film.run.files import write_text_atomically
from fewshot_film.run.machine import Machine
from fewshot_film.run.results import summary, write_result

log = logging.getLogger(__name__)


def run(config: EvaluateConfig) -> None:
    """Evaluate, print the table, and write all values where asked to."""
    learner = load_learner(config.model)
    device = Machine(config.device, "32-true").device
    learner.to(device)
    images = open_images(config.data, config.split, learner.config.backbone)
    log.info("%s", images)
    samplers: Mapping[str, Sampler] = (
        load_episodes(config.episode_list, images) if config.episode_list else _samplers(config, images)
    )
    if config.save_episodes:
        save_episodes(config.save_episodes, samplers, config.episodes)
    rows: dict[str, Any] = {}
    for name, sampler in samplers.items():
        count = len(sampler) if isinstance(sampler, EpisodeList) else config.episodes
        values = evaluate(learner, sampler, count, processes=config.processes, device=device, progress=name)
        rows[name] = {"episodes_sha256": fingerprint(sampler, count), **summary(values)}
    table = markdown_table(f"{source_title(config.data, images)}, {config.split or 'all'} classes", rows)
    print(table)  # noqa: T201 - the result of the command
    if config.out:
        out = Path(config.out)
        write_result(out, config=config, seed=config.seed, results=rows)
        write_text_atomically(out.with_suffix(".md"), table)


def _samplers(config: EvaluateConfig, images: ImageSet) -> dict[str, EpisodeSampler | MetaDatasetSampler]:
    """The episodes of every row of the table; of several sources each has its own rows."""
    if isinstance(images, JoinedSet):
        parts = {part.name: _samplers(config, part) for part in images.parts}
        return {f"{name}, {row}": sampler for name, rows in parts.items() for row, sampler in rows.items()}
    if config.sampler == "meta-dataset":
        return {"meta-dataset": MetaDatasetSampler(images, seed=config.seed, split=config.split)}
    return {
        f"{way}-way {shot}-shot": EpisodeSampler(images, way, shot, config.query, seed=config.seed, split=config.split)
        for way in config.ways
        for shot in config.shots
    }


def markdown_table(title: str, rows: dict[str, Any]) -> str:
    """Rows of ``mean`` and ``interval`` (fractions) and ``count`` as a Markdown table in per cent."""
    lines = [f"| {title} | accuracy, % | 95 % interval | episodes |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {name} | {100 * row['mean']:.2f} | ± {100 * row['interval']:.2f} | {row['count']} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"
