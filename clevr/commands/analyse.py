"""``clevr-film analyse``: analyses of a trained model, each as a figure and a JSON file."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from clevr.analysis.embedding import scikit_learn
from clevr.analysis.subject import Subject
from clevr.answers.plotting import save_figure
from clevr.answers.predict import check_world
from clevr.config.commands import ANALYSES, AnalyseConfig, Analysis
from clevr.data.batches import load_reasoning_data
from clevr.data.errors import DataNotFoundError
from clevr.data.reader import ClevrSplit
from clevr.reasoning.loading import load, training_settings
from clevr.world.spec import CLEVR
from fewshot_film.errors import ConfigError, SavedModelError
from fewshot_film.extras import MissingExtraError
from fewshot_film.run.results import write_result
from fewshot_film.run.runtime import choose_device

logger = logging.getLogger(__name__)


def run(config: AnalyseConfig) -> None:
    """Run the selected analyses, or all that can be made, with a line about each that cannot.

    Raises:
        SavedModelError: there is no such model, or it is damaged.
        DataNotFoundError: a split or a part of it is missing.
        ConfigError: the model or the split lack what an analysis that is named needs.
        MissingExtraError: an analysis that is named needs a package that is not installed.
    """
    analyses = _that_run_here() if config.analyses is None else config.analyses
    subject = subject_of(config, analyses)
    config.out.mkdir(parents=True, exist_ok=True)
    for name in _of_world(subject, analyses, asked_for=config.analyses is not None):
        logger.info("%s", name)
        try:
            finding = importlib.import_module(f"clevr.analysis.{name}").analyse(subject)
        except ConfigError as error:
            if config.analyses is not None:
                raise
            logger.info("left out %s: %s", name, error)
            continue
        save_figure(config.out / f"{name}.png", finding.figure)
        write_result(config.out / f"{name}.json", config=config, seed=config.seed, results=finding.results)
        logger.info("%s", config.out / f"{name}.png")


def _that_run_here() -> tuple[Analysis, ...]:
    """All analyses but those whose packages are missing; one line names these."""
    try:
        scikit_learn()
    except MissingExtraError as error:
        logger.info("left out embedding: %s", error)
        return tuple(name for name in ANALYSES if name != "embedding")
    return ANALYSES


_CLEVR_ONLY: tuple[Analysis, ...] = ("consistency", "composition")
"""What asks questions of its own, about CLEVR's values."""


def _of_world(subject: Subject, analyses: Sequence[Analysis], *, asked_for: bool) -> Sequence[Analysis]:
    """The analyses that can be made of the world of the data."""
    world = subject.data.table.world
    check_world(subject.data, subject.reasoner)
    unfit = [name for name in analyses if name in _CLEVR_ONLY and world.values != CLEVR.values]
    if unfit and asked_for:
        raise ConfigError(f"{unfit[0]} asks about CLEVR's values, and the data is of the world {world.name!r}")
    if unfit:
        logger.info("left out %s: they ask about CLEVR's values", ", ".join(unfit))
    return [name for name in analyses if name not in unfit]


def subject_of(config: AnalyseConfig, analyses: Sequence[Analysis]) -> Subject:
    """What is analysed, with what the analyses need.

    Raises:
        SavedModelError: there is no such model, or it is damaged.
        DataNotFoundError: a split or a part of it is missing.
        ConfigError: the model has no FiLM.
    """
    reasoner = load(config.model).to(choose_device(config.device))
    data = load_reasoning_data(
        config.data,
        config.split,
        reasoner.config,
        reasoner.vocabulary,
        cache=config.cache,
        features=config.features,
    )
    split = ClevrSplit.open(config.data, config.split)
    scenes = {scene.image_filename: scene for scene in split.scenes()} if split.files.scenes else {}
    known = data.table
    if "resets" in analyses and config.train_split != config.split:
        known = ClevrSplit.open(config.data, config.train_split).table(config.cache)
    seen = seen_pairs(config.model, config.data) if "composition" in analyses else None
    return Subject(reasoner, data, scenes, known, config.questions, config.seed, seen)


_SCENES = 2000
"""Training scenes that are looked at; of CLEVR, each color and shape is in these some 500 times."""


def seen_pairs(model: str, data: Path) -> frozenset[tuple[str, str]] | None:
    """Colour and shape of every object that a model was trained on.

    Args:
        model: its folder or name. Of one that was fine-tuned, or took over a trunk, also what the model that it began
            with was trained on.
        data: where its training split is looked for first; then where its settings say.

    Returns:
        None where one of these models, or its training scenes, are not found.
    """
    seen, known = frozenset[tuple[str, str]](), set[str]()
    while model:
        if model in known:  # saved in the place of the one that it began with
            return None
        known.add(model)
        try:
            settings = training_settings(model)
        except SavedModelError as error:
            logger.info("what the model was trained on is not known: %s", error)
            return None
        here = _pairs_of(settings["data"]["train_split"], (data, Path(settings["data"]["root"])))
        if here is None:
            return None
        seen |= here
        model = settings.get("weights") or settings.get("trunk_weights") or ""
    return seen


def _pairs_of(split: str, roots: Sequence[Path]) -> frozenset[tuple[str, str]] | None:
    """Colour and shape of the objects of a split, from the first folder that has it; None where none does."""
    for root in roots:
        with contextlib.suppress(DataNotFoundError):
            scenes = islice(ClevrSplit.open(root, split).scenes(), _SCENES)
            return frozenset((thing.color, thing.shape) for scene in scenes for thing in scene.objects)
    return None
