"""``fewshot-film report``: one HTML file about a run."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_film.commands.common import open_images
from fewshot_film.config.commands import PretrainConfig, ReportConfig, TrainConfig
from fewshot_film.data import SourceError
from fewshot_film.episodes import Episode, Episodes, EpisodeSampler, by_domain
from fewshot_film.errors import InvalidValueError, counted
from fewshot_film.figures import episode_sheet
from fewshot_film.film import Modulations
from fewshot_film.learners.film_learner import FilmLearner
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.registry import load_learner
from fewshot_film.run.figures import (
    Bar,
    FilmedMaps,
    bars,
    confusion,
    feature_maps,
    modulation_histograms,
)
from fewshot_film.run.parsing import parse
from fewshot_film.run.report import Report, add_run
from fewshot_film.run.run_folder import read_run
from fewshot_film.run.runtime import choose_device

log = logging.getLogger(__name__)

MAX_CLASSES = 30
"""Classes that a confusion matrix shows: those most often taken for another."""


def run(config: ReportConfig) -> None:
    """Read the run, look at its model, write the page.

    Raises:
        RunFolderError: there is no such run.
        SavedModelError: its model is damaged.
        InvalidValueError: a file of ``results`` holds none.
    """
    folder = Path(config.run)
    for name in config.results:
        if not list(_rows(Path(name))):
            raise InvalidValueError(
                f"results: {name} holds no accuracies; expected a file that `fewshot-film evaluate --out` wrote"
            )
    report = Report(f"Run {folder}", Path(config.figures) if config.figures else None)
    add_run(report, folder)
    add_results(report, [Path(path) for path in config.results] or sorted(folder.glob("*.json")))
    if (folder / "model").is_dir():
        _add_model(report, config, folder)
    else:
        report.section("Model")
        report.text("None yet: training has not finished.")
    out = Path(config.out) if config.out else folder / "report.html"
    report.write(out)
    log.info("wrote %s", out)


def add_results(report: Report, files: Sequence[Path]) -> None:
    """Accuracies with intervals of result files; files of another kind are passed over."""
    rows = [(file.stem, name, row) for file in files for name, row in _rows(file)]
    if not rows:
        return
    report.section("Accuracy")
    several = len({stem for stem, _, _ in rows}) > 1
    chart = []
    for stem, name, row in rows:
        mean, interval = 100 * row["mean"], 100 * row["interval"]
        chart.append(Bar(f"{stem}: {name}" if several else name, mean, mean - interval, mean + interval))
    report.figure("accuracy", bars(chart), "Mean over the episodes, with its 95 % interval.")
    cells = [(bar.name, f"{bar.value:.2f}", f"± {bar.high - bar.value:.2f}") for bar in chart]
    counts = [str(row["count"]) for _, _, row in rows]
    report.table(
        ["task", "accuracy, %", "95 % interval", "episodes"],
        [(*line, count) for line, count in zip(cells, counts, strict=True)],
    )


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # no JSON, or no text
        return
    results = content.get("results") if isinstance(content, dict) else None
    for name, row in results.items() if isinstance(results, dict) else ():
        if isinstance(row, dict) and {"mean", "interval", "count"} <= row.keys():
            yield name, row


@dataclass
class Seen:
    """What was seen over some episodes."""

    right: dict[tuple[str, str], int] = field(default_factory=dict)
    """Queries of a class that were taken for a class, by both names."""
    met: dict[tuple[str, str], int] = field(default_factory=dict)
    """Queries of a class in episodes that had the other class too."""
    flat: list[Tensor] = field(default_factory=list)
    """Gamma and beta of every episode, flat."""

    def add(self, episode: Episode, predicted: Sequence[int]) -> None:
        """Count one episode."""
        names = episode.class_names
        for true, given in zip(episode.query_labels.tolist(), predicted, strict=True):
            pair = names[true], names[given]
            self.right[pair] = self.right.get(pair, 0) + 1
            for other in names:
                self.met[names[true], other] = self.met.get((names[true], other), 0) + 1

    def confusion(self, most: int) -> tuple[list[str], np.ndarray]:
        """Names, and the shares in which the class of a row was taken for that of a column where both were there."""
        names = sorted({name for name, _ in self.met})
        place = {name: number for number, name in enumerate(names)}
        shares = np.full((len(names), len(names)), np.nan)
        for (true, given), count in self.met.items():
            shares[place[true], place[given]] = self.right.get((true, given), 0) / count
        chosen = np.sort(np.argsort(np.diag(shares), kind="stable")[:most])
        return [names[number] for number in chosen], shares[np.ix_(chosen, chosen)]


def _add_model(report: Report, config: ReportConfig, folder: Path) -> None:
    learner = load_learner(folder / "model").to(choose_device(config.device, in_double=True))
    try:
        episodes = _episodes(config, folder, learner)
    except (FileNotFoundError, SourceError) as error:
        log.warning("the report shows no episodes: %s", error)
        report.section("Episodes")
        report.text(f"Not shown: {error}. Use --root if the images have been moved.")
        return
    seen = look(learner, episodes, config.episodes)
    first = episodes[0]
    report.section("An episode")
    with torch.no_grad():
        logits = learner(first.to(_device(learner))).cpu()
    report.figure("episode", episode_sheet(first, logits), "Episode 0, the same for every model.", vector=False)
    report.section("Confusion matrix")
    names, shares = seen.confusion(MAX_CLASSES)
    caption = "Share of the queries of a row's class that were classified as the column's class, over "
    caption += f"{config.episodes} episodes with both classes; grey: none had both."
    if len({name for name, _ in seen.met}) > len(names):
        caption += f" The {len(names)} classes with the lowest accuracy."
    report.figure("confusion", confusion(names, shares), caption, vector=False)
    if isinstance(learner, FilmLearner) and learner.generator is not None:
        _add_film(report, learner, first, seen)


def _episodes(config: ReportConfig, folder: Path, learner: Learner) -> Episodes:
    """The episodes of the split, drawn as the run's validation drew its own."""
    settings, _, _ = read_run(folder)
    kind = TrainConfig if "learner" in settings else PretrainConfig
    trained: TrainConfig | PretrainConfig = parse("report", kind, ["--config", str(folder / "config.yaml")])
    data = dataclasses.replace(trained.data, root=config.root) if config.root else trained.data
    images = open_images(data, config.split, learner.config.backbone)
    drawn = trained.validation
    return by_domain(
        images,
        lambda part: EpisodeSampler(part, drawn.way, drawn.shot, drawn.query, split=config.split),
        seed=0,
        split=config.split,
    )


@torch.no_grad()
def look(learner: Learner, episodes: Episodes, count: int) -> Seen:
    """Run a learner over episodes and keep what the report shows."""
    seen = Seen()
    for index in range(count):
        episode = episodes[index].to(_device(learner))
        adapted = learner.adapt(episode.support_images, episode.support_labels)
        seen.add(episode, adapted(episode.query_images).argmax(1).tolist())
        modulations = getattr(adapted, "modulations", None)
        if modulations:
            seen.flat.append(learner.filmed.sites.flatten(modulations).cpu())
    return seen


def _add_film(report: Report, learner: FilmLearner, episode: Episode, seen: Seen) -> None:
    sites = learner.filmed.sites
    values = sites.split(torch.cat(seen.flat))
    groups = {
        stage: tuple(torch.cat([getattr(values[site.name], part) for site in of_stage], 1).numpy() for part in _PARTS)
        for stage, of_stage in sites.by_stage().items()
    }
    report.section("Gamma and beta")
    caption = f"All channels of a stage, over {counted(len(seen.flat), 'episode')}."
    report.figure("modulations", modulation_histograms(groups), caption)  # type: ignore[arg-type]
    spread = [
        (stage, f"{gamma.mean():.3f}", f"{gamma.std():.3f}", f"{gamma.std(0).mean():.4f}", f"{beta.std(0).mean():.4f}")
        for stage, (gamma, beta) in groups.items()
    ]
    head = ["stage", "mean gamma", "its deviation", "gamma over tasks", "beta over tasks"]
    report.table(head, spread)
    report.text("Over tasks: the mean deviation of each channel's value between episodes; 0 means no adaptation.")
    report.section("Feature maps before and after FiLM")
    shown = filmed_maps(learner, episode)
    caption = "The first query image of the episode at the last site of every stage: the maps that FiLM changes most."
    report.figure("feature_maps", feature_maps(shown), caption, vector=False)


_PARTS = ("gamma", "beta")


@torch.no_grad()
def filmed_maps(learner: FilmLearner, episode: Episode) -> list[FilmedMaps]:
    """What the last FiLM site of every stage does to the first query image of an episode."""
    device = _device(learner)
    modulations: Modulations | None = learner.modulations(episode.support_images.to(device))
    assert modulations is not None
    names = [sites[-1].name for sites in learner.filmed.sites.by_stage().values()]
    before: dict[str, Tensor] = {}
    after: dict[str, Tensor] = {}
    handles = []
    for name in names:
        layer = learner.filmed.network.get_submodule(name)
        handles.append(layer.register_forward_hook(_keep(before, name), prepend=True))
        handles.append(layer.register_forward_hook(_keep(after, name)))
    try:
        learner.features(episode.query_images[:1].to(device), modulations)
    finally:
        for handle in handles:
            handle.remove()
    return [
        FilmedMaps(
            name,
            before[name][0].cpu().numpy(),
            after[name][0].cpu().numpy(),
            *(part[0].cpu().numpy() for part in modulations[name]),
        )
        for name in names
    ]


def _keep(place: dict[str, Tensor], name: str) -> Any:
    def hook(module: torch.nn.Module, args: Any, output: Tensor) -> None:
        place[name] = output.detach().clone()

    return hook


def _device(learner: Learner) -> torch.device:
    return next(learner.parameters()).device
