"""``clevr-film analyse``: analyses of a trained model, each as a figure and a JSON file."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fewshot_film.extras import MissingExtraError
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.settings import OnDevice, Range, at_least, between

if TYPE_CHECKING:
    from clevr.analysis.subject import Subject

logger = logging.getLogger(__name__)

Analysis = Literal["histograms", "embedding", "resets", "consistency", "composition"]
ALL: tuple[Analysis, ...] = ("histograms", "embedding", "resets", "consistency", "composition")


@dataclass(frozen=True)
class AnalyseConfig(OnDevice):
    """Analyses of a model."""

    model: str
    """Folder of a saved model, or the name of a model that ships with the package."""
    data: Path
    """Folder or zip file in CLEVR's format."""
    out: Path
    """Folder for NAME.png and NAME.json of each analysis."""
    analyses: Annotated[tuple[Analysis, ...] | None, Range(lambda _: True, f"some of {', '.join(ALL)}")] = None
    """histograms of gamma and beta, their embedding by t-SNE, accuracy after resets and noise, logical consistency,
    zero-shot composition. null: all that the installed packages support."""
    split: str = "val"
    """Split with the questions and images to use."""
    train_split: str = "train"
    """Split over whose questions gamma and beta are averaged."""
    questions: Annotated[int, at_least(100)] = 3000
    """Number of questions per measurement."""
    features: str = ""
    """For models that read features: folder of the feature stores, as for training."""
    cache: Path | None = None
    """Folder for decoded images and parsed questions; null: ``cache`` in the folder of the data set."""
    seed: Annotated[int, between(0, 2**32 - 1, f"0 to {2**32 - 1}")] = 0
    """Seed of the noise, of the questions of the consistency analysis, and of t-SNE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_split != "train" and "resets" not in (self.analyses or ALL):
            raise ConfigError(
                f"train_split is {self.train_split!r}, and of the analyses only `resets` uses it; leave it out, or ask "
                "for resets too"
            )


def run(config: AnalyseConfig) -> None:
    """Run the selected analyses.

    Raises:
        SavedModelError: there is no such model, or it is damaged.
        DataNotFoundError: a split or a part of it is missing.
        ConfigError: the model or the split lack what an analysis needs.
        MissingExtraError: an analysis that is named needs a package that is not installed.
    """
    from clevr.answers.plotting import save_figure
    from fewshot_film.run.results import write_result

    analyses = _that_run_here() if config.analyses is None else config.analyses
    subject = _subject(config, analyses)
    config.out.mkdir(parents=True, exist_ok=True)
    for name in analyses:
        logger.info("%s", name)
        finding = importlib.import_module(f"clevr.analysis.{name}").analyse(subject)
        save_figure(config.out / f"{name}.png", finding.figure)
        write_result(config.out / f"{name}.json", config=config, seed=config.seed, results=finding.results)
        logger.info("%s", config.out / f"{name}.png")


def _that_run_here() -> tuple[Analysis, ...]:
    """All analyses but those whose packages are missing; one line names these."""
    from clevr.analysis.embedding import scikit_learn

    try:
        scikit_learn()
    except MissingExtraError as error:
        logger.info("left out embedding: %s", error)
        return tuple(name for name in ALL if name != "embedding")
    return ALL


def _subject(config: AnalyseConfig, analyses: Sequence[Analysis]) -> Subject:
    from clevr.analysis.subject import Subject
    from clevr.data.batches import load_reasoning_data
    from clevr.data.reader import ClevrSplit
    from clevr.reasoning.loading import load
    from fewshot_film.run.device import choose_device

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
    return Subject(reasoner, data, scenes, known, config.questions, config.seed)
