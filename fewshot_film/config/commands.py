"""Settings of the commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fewshot_film.config.data import AugmentConfig, DataConfig
from fewshot_film.config.learners import AnyLearnerConfig, BackboneConfig, SimpleCNAPSConfig
from fewshot_film.config.memory import MemoryConfig
from fewshot_film.run.config import LoopConfig
from fewshot_film.run.settings import OnDevice, Settings, above, at_least, between


@dataclass(frozen=True)
class EpisodesConfig(Settings, group="episodes"):
    """How episodes are drawn."""

    sampler: Literal["fixed", "meta-dataset"] = "fixed"
    """``fixed``: way, shot and query as given; ``meta-dataset``: drawn by the rules of Meta-Dataset."""
    way: Annotated[tuple[int, ...], at_least(1)] = (5,)
    """Classes in an episode; of several numbers one is drawn for each episode."""
    shot: Annotated[tuple[int, ...], at_least(1)] = (1,)
    """Support pictures a class; of several numbers one is drawn for each episode."""
    query: Annotated[int, at_least(1)] = 10
    """Query pictures a class."""


@dataclass(frozen=True)
class ValidationConfig(Settings, group="validation"):
    """The episodes that decide which checkpoint is best."""

    way: Annotated[int, at_least(1)] = 5
    """Classes in an episode."""
    shot: Annotated[int, at_least(1)] = 1
    """Support pictures a class."""
    query: Annotated[int, at_least(1)] = 10
    """Query pictures a class."""
    episodes: Annotated[int, at_least(1)] = 200
    """How many; the same ones at every validation."""


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Train a backbone by classifying all training classes."""

    out: str
    """Run folder; the trained backbone lies in OUT/model."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where pictures come from."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The network to train."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random variation of the pictures."""
    batch_size: Annotated[int, at_least(1)] = 128
    """Pictures in a micro-batch."""
    classifier: Literal["cosine", "linear"] = "cosine"
    """Classifier over the training classes, thrown away afterwards; ``linear`` is the paper's."""
    label_smoothing: Annotated[float, between(0, 1, "a share from 0 to 1")] = 0.0
    """Share of the target that is spread over all classes."""
    quarter_turns: bool = False
    """Turn the pictures by quarter turns and have every turn of a class be a class of its own: the features tell more
    apart than the classes need, which classes that come later need."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Validation by nearest class mean on episodes of the validation classes."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""
    resume: bool = False
    """Go on from OUT/last.ckpt if there is one."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Meta-train a learner on episodes of the training classes."""

    out: str
    """Run folder; the trained model lies in OUT/model."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where pictures come from."""
    learner: AnyLearnerConfig = field(default_factory=SimpleCNAPSConfig)
    """The method; ``learner.backbone.weights`` names the pre-trained backbone."""
    episodes: EpisodesConfig = field(default_factory=EpisodesConfig)
    """Training episodes."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random variation of the episodes' pictures."""
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    """How the gradients of an episode are computed."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Episodes of the validation classes."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=6875, accumulate=16, learning_rate=5e-4, validate_every=500)
    )
    """The training loop; the defaults are the paper's 110,000 episodes, 16 a step."""
    resume: bool = False
    """Go on from OUT/last.ckpt if there is one."""


@dataclass(frozen=True)
class EvaluateConfig(OnDevice):
    """Accuracy of a model on episodes of unseen classes, with 95 % intervals."""

    model: str
    """Folder of a model made by ``train`` (RUN/model), or by ``pretrain``."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where pictures come from."""
    split: str = "test"
    """Part of the source's classes; empty for all of them."""
    sampler: Literal["fixed", "meta-dataset"] = "fixed"
    """``fixed``: every way with every shot; ``meta-dataset``: drawn by the rules of Meta-Dataset."""
    ways: Annotated[tuple[int, ...], at_least(1)] = (5,)
    """Numbers of classes; one row of the table for each way and shot."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Numbers of support pictures a class."""
    query: Annotated[int, at_least(1)] = 10
    """Query pictures a class."""
    episodes: Annotated[int, at_least(2)] = 600
    """Episodes for each row."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the episodes."""
    episode_list: str = ""
    """Replay the episodes of this file, all of them, instead of drawing some."""
    save_episodes: str = ""
    """Write the episodes to this file, for --episode_list."""
    feature_power: Annotated[float | None, above(0, "a finite number above 0")] = None
    """Raise the size of every feature to this, see ``backbone.feature_power``; None: as the model was trained."""
    mirror: bool | None = None
    """Average features over mirror images or not, see ``backbone.mirror``; None: as the model was trained."""
    processes: Annotated[int, at_least(0)] = 0
    """Processes to spread the episodes over, 0: one a core. The numbers are the same for any."""
    out: str = ""
    """JSON file for all values; a Markdown table is written beside it."""
    format: Literal["text", "json"] = "text"
    """What is printed: a table to read, or one JSON document for scripts; the log goes to the standard error."""


@dataclass(frozen=True)
class ClassifyConfig(OnDevice):
    """Name the pictures of a folder by a few labelled ones."""

    support: str
    """Folder or zip with one sub-folder of pictures a class."""
    query: str
    """A picture, or a folder or zip of pictures; where its sub-folders have names of classes, answers are scored."""
    model: str = "general-small"
    """A model that ships with the package, the folder of one made by ``train`` or ``pretrain``, a torchvision network,
    or owner/name on the Hugging Face hub."""
    out: str = ""
    """Folder for ``predictions.csv`` and the picture sheet ``predictions.png``; empty: printed only."""
    reject: Annotated[float | None, between(0, 1, "a share from 0 to 1, or null for never")] = None
    """Answer "none of these" where a picture is further from all classes than all but this share of their members."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How a picture becomes square: stretched, its middle cut out, or white added."""
    format: Literal["text", "json"] = "text"
    """What is printed: a table to read, or one JSON document for scripts; the log goes to the standard error."""


@dataclass(frozen=True)
class CalibrateConfig(OnDevice):
    """Measure a model's temperatures on validation episodes and keep them in it."""

    model: str
    """Folder of a model made by ``train`` or ``pretrain``; its ``config.json`` is written anew."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where pictures come from."""
    split: str = "val"
    """Part of the source's classes that the temperatures are measured on."""
    way: Annotated[int, at_least(1)] = 5
    """Classes in an episode."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 2, 5, 10)
    """Support pictures a class: one temperature for each, those between are interpolated."""
    query: Annotated[int, at_least(1)] = 10
    """Query pictures a class."""
    episodes: Annotated[int, at_least(1)] = 100
    """Episodes for each number of support pictures, of either split."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the episodes."""
    out: str = ""
    """Folder for ``calibration.json`` and the reliability diagrams ``calibration.png``; empty: printed only."""


@dataclass(frozen=True)
class CompareConfig(OnDevice):
    """Compare learners on one's own pictures, on the same random splits."""

    data: str
    """Folder or zip with one sub-folder of pictures a class."""
    models: tuple[str, ...] = ("general-small",)
    """Trained models to compare, named as for ``classify``; the first lends its backbone to the learners below."""
    learners: tuple[str, ...] = ()
    """Learners that work on a backbone as it is, and ``pixels``; empty: all that take no gradient steps."""
    shot: Annotated[int, at_least(0)] = 0
    """Support pictures a class; 0: all but a fifth."""
    query: Annotated[int, at_least(1)] = 20
    """Most pictures of a class that are held out to be asked about."""
    splits: Annotated[int, at_least(2)] = 50
    """Random splits."""
    episode_list: str = ""
    """Replay the splits of this file, as OUT/splits.json of another run; empty: drawn by the seed."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the splits."""
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    """How a picture becomes square: stretched, its middle cut out, or white added."""
    out: str = ""
    """Folder for the results as ``comparison.json``, ``.csv`` and ``.md``, and ``splits.json``; empty: printed only."""


@dataclass(frozen=True)
class ReportConfig(OnDevice):
    """One HTML file about a run, which opens without a network."""

    run: str
    """Run folder of ``pretrain`` or ``train``."""
    results: tuple[str, ...] = ()
    """Result files of ``evaluate`` to show; empty: those in the run folder."""
    root: str = ""
    """Folder or zip of the pictures, where they have moved since the training."""
    split: str = "test"
    """Classes from which the episodes for the pictures are drawn, with the way and shot of the run's validation."""
    episodes: Annotated[int, at_least(1)] = 100
    """Episodes for confusions, gamma and beta."""
    pictures: str = ""
    """Folder that also gets every picture as a PNG file; empty: none."""
    out: str = ""
    """The HTML file; empty: RUN/report.html."""


@dataclass(frozen=True)
class AppConfig(OnDevice):
    """The page in the browser: teach a classifier, ask about scenes, compare learners."""

    host: str = "127.0.0.1"
    """Address to listen at; by default only this computer reaches it. 0.0.0.0 lets everyone in, without a password."""
    port: Annotated[int, between(0, 65535, "0 to 65535")] = 7860
    """Port to listen at; 0: one that is free."""
    open: bool = False
    """Open the page in the browser."""
    folder: str = ""
    """Folder or zip with one sub-folder of pictures a class, which the page then loads by a click."""
    models: tuple[str, ...] = ("general-small",)
    """Trained models, named as for ``classify``; the first is what Teach adapts, all can be compared."""
    reasoner: str = "clevr-small"
    """The model that answers questions: one that comes with the package, or a folder."""
    file_mib: Annotated[int, at_least(1)] = 20
    """Largest picture that is taken, MiB."""
    megapixels: Annotated[int, at_least(1)] = 50
    """Largest picture that is taken, millions of pixels."""
    archive_mib: Annotated[int, at_least(1)] = 200
    """Largest zip that is taken, MiB."""
    files: Annotated[int, at_least(1)] = 200
    """Most files of one upload."""
    visitors: Annotated[int, at_least(1)] = 50
    """Pages that may be open at once; one more, and what the one that was idle for longest holds is forgotten."""
