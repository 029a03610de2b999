"""Settings of the commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.data import AugmentConfig, DataConfig
from fewshot_film.config.default_models import DEFAULT_MODEL, DRAWINGS_MODEL
from fewshot_film.config.learners import AnyLearnerConfig, SimpleCNAPSConfig
from fewshot_film.config.memory import MemoryConfig
from fewshot_film.config.preprocessing import Resize
from fewshot_film.run.settings import LoopConfig, OnDevice, Settings, Workers, above, at_least, below, between


@dataclass(frozen=True)
class EpisodesConfig(Settings, group="episodes"):
    """How episodes are sampled."""

    sampler: Literal["fixed", "meta-dataset"] = "fixed"
    """``fixed``: way, shot and query as given; ``meta-dataset``: sampled by the rules of Meta-Dataset."""
    way: Annotated[tuple[int, ...], at_least(1)] = (5,)
    """Classes per episode; if there are several numbers, one is sampled for each episode."""
    shot: Annotated[tuple[int, ...], at_least(1)] = (1,)
    """Support images per class; if there are several numbers, one is sampled for each episode."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""


@dataclass(frozen=True)
class ValidationConfig(Settings, group="validation"):
    """The episodes by which the best checkpoint is selected."""

    way: Annotated[int, at_least(1)] = 5
    """Classes per episode."""
    shot: Annotated[int, at_least(1)] = 1
    """Support images per class."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""
    episodes: Annotated[int, at_least(1)] = 200
    """Number of episodes; the same ones in every validation."""


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Train a backbone as a classifier of all training classes."""

    out: str
    """Run folder; the trained backbone is saved in OUT/model."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where images come from."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The network to train."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random augmentation of the images."""
    batch_size: Annotated[int, at_least(1)] = 128
    """Images per micro-batch."""
    classifier: Literal["cosine", "linear"] = "cosine"
    """Classifier over the training classes, discarded afterwards; ``linear`` is the paper's."""
    label_smoothing: Annotated[float, between(0, 1)] = 0.0
    """Label smoothing: share of the target that is spread over all classes."""
    rotation_ssl: bool = False
    """Rotate the images by quarter turns and make each rotation of a class a class of its own: the features then
    distinguish more than the training classes require, which helps with new classes."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Validation with nearest class means on episodes of the validation classes."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""
    resume: bool = False
    """Continue from OUT/last.ckpt if it exists."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Meta-train a learner on episodes of the training classes."""

    out: str
    """Run folder; the trained model is saved in OUT/model."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where images come from."""
    learner: AnyLearnerConfig = field(default_factory=SimpleCNAPSConfig)
    """The method; set ``learner.backbone.weights`` to the pre-trained backbone."""
    episodes: EpisodesConfig = field(default_factory=EpisodesConfig)
    """Training episodes."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random augmentation of the images in episodes."""
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    """How the gradients of an episode are computed."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Episodes of the validation classes."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=6875, accumulate=16, learning_rate=5e-4, validate_every=500)
    )
    """The training loop; the defaults are those of the paper on Simple CNAPS, 110,000 episodes, 16 per step."""
    resume: bool = False
    """Continue from OUT/last.ckpt if it exists."""


@dataclass(frozen=True)
class EvaluateConfig(OnDevice):
    """Measure the accuracy of a model on episodes of unseen classes, with 95 % intervals."""

    model: str
    """Folder of a model saved by ``train`` or ``pretrain`` (RUN/model), or a name such as ``general-small``."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where images come from."""
    split: str = "test"
    """Split of the source's classes; empty: all classes."""
    sampler: Literal["fixed", "meta-dataset"] = "fixed"
    """``fixed``: every way with every shot; ``meta-dataset``: sampled by the rules of Meta-Dataset."""
    ways: Annotated[tuple[int, ...], at_least(1)] = (5,)
    """Numbers of classes; the table has one row per way and shot."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 5)
    """Numbers of support images per class."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""
    dirichlet: Annotated[int, at_least(0)] = 0
    """0: as many queries in each class; else the concentration of the Dirichlet distribution from which the classes'
    shares of the queries are drawn, 2 in the protocol of alpha-TIM (``fixed`` only)."""
    episodes: Annotated[int, at_least(2)] = 600
    """Number of episodes per row."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the episodes."""
    episode_list: str = ""
    """Replay all episodes of this file instead of sampling new ones."""
    save_episodes: str = ""
    """Save the episodes to this file, for use with --episode_list."""
    tukey_power: Annotated[float | None, above(0)] = None
    """Exponent applied to each feature's magnitude, see ``backbone.tukey_power``; null: as the model was trained."""
    flip_tta: bool | None = None
    """Whether to average features over mirror images, see ``backbone.flip_tta``; null: as the model was trained."""
    processes: Annotated[int, at_least(0)] = 0
    """Number of processes; 0: one per core. The results do not depend on it."""
    out: str = ""
    """JSON file for all values; a Markdown table is written next to it."""
    format: Literal["text", "json"] = "text"
    """What is printed: a table, or one JSON document for scripts; log lines go to standard error."""


@dataclass(frozen=True)
class BulkConfig(OnDevice):
    """How any number of images is gone through, piece by piece."""

    workers: Workers = field(default="auto", kw_only=True)
    """Number of worker processes, or of Ray's cores; auto: one per core. The result does not depend on it."""
    piece: Annotated[int, at_least(1)] = field(default=1000, kw_only=True)
    """Images of a folder or zip that a worker reads before it writes their results: the most that is lost if it is
    killed. A tar file, or a row group of a Parquet file, is a piece."""
    batch_size: Annotated[int, at_least(1)] = field(default=64, kw_only=True)
    """Images per batch."""
    column: str = field(default="", kw_only=True)
    """Column of the images in Parquet files; empty: the only one that can hold images."""
    part: Annotated[int, at_least(0)] = field(default=0, kw_only=True)
    """Number of this machine's part of the pieces, from 0, such as $SLURM_ARRAY_TASK_ID."""
    parts: Annotated[int, at_least(1)] = field(default=1, kw_only=True)
    """Number of parts that the pieces are dealt out to."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("part", self.part < self.parts, f"less than parts ({self.parts}): they are counted from 0")


@dataclass(frozen=True)
class ClassifyConfig(BulkConfig):
    """Classify the images of a folder from a few labelled ones."""

    support: str
    """Folder or zip file with one subfolder of images per class; empty, with an engine: the model is a saved classifier
    that has its classes, or an ONNX file of one."""
    query: str
    """An image, or a folder or zip file of images; if its subfolders are named after classes, accuracy is reported.
    With an engine also WebDataset (.tar) and Parquet files or folders of them, and the output of ``embed``."""
    model: str = DEFAULT_MODEL
    """A model that ships with the package, a folder saved by ``train`` or ``pretrain``, owner/name on the Hugging Face
    hub, or a backbone with ImageNet weights: efficientnet-lite0, NAME or torchvision/NAME, timm/NAME, or NAME@FILE
    with weights of your own."""
    out: str = ""
    """Folder for ``predictions.csv`` and the contact sheet ``predictions.png``; empty: print only. With an engine:
    Parquet files in ``table/``, and the same command continues an interrupted one."""
    engine: Literal["memory", "processes", "ray"] = "memory"
    """memory: all images at once, in this process. For more than fit: processes of this machine, or Ray (extra
    ``ray``), on this machine or on the cluster that RAY_ADDRESS names; both need the extra ``bulk``."""
    runtime: Literal["torch", "onnx"] = "torch"
    """With an engine: what runs the network; onnx exports the classifier once for ONNX Runtime (extra ``onnx``), which
    is often faster on the CPU."""
    reject: Annotated[float | None, at_least(0), below(1)] = 0.05
    """Call images that are unlike every class "none of these", and with them about this share of the classes' own
    images; 0 or null: every image gets a class."""
    together: bool = False
    """Look at all images of the query together: those that look alike agree on their class, which is right a little
    more often. The answer for an image then depends on the others. Not with an engine."""
    resize: Resize | None = None
    """How images are made square: stretch, crop the centre, or pad with white; null: as the model was trained."""
    precision: Literal["float32", "int8"] = "float32"
    """What the network computes in: int8, 8-bit integers, is two to four times as fast on most recent processors, with
    almost the same answers; for convolutional networks on the CPU."""
    format: Literal["text", "json"] = "text"
    """What is printed: a table, or one JSON document for scripts; log lines go to standard error."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.engine == "memory":
            self._expect("support", bool(self.support), "a folder with one subfolder of images per class, or an engine")
        else:
            self._expect("out", bool(self.out), f"a folder for the table, as engine is {self.engine}")
            self._expect("together", not self.together, f"false, as engine is {self.engine}: pieces are named apart")

    @property
    def continues(self) -> tuple[str, ...]:
        """Outputs that the same command continues."""
        return () if self.engine == "memory" else ("out",)


@dataclass(frozen=True)
class EmbedConfig(BulkConfig):
    """Compute embeddings of images once, from which ``classify`` tells any classes."""

    query: str
    """An image, a folder or zip file of images, WebDataset (.tar) or Parquet files or a folder of them."""
    out: str
    """Folder for ``embeddings.json`` and Parquet files in ``table/``; the same command continues an interrupted one."""
    model: str = DEFAULT_MODEL
    """The model, named as for ``classify``; its backbone is used without FiLM."""
    resize: Resize | None = None
    """How images are made square: stretch, crop the centre, or pad with white; null: as the model was trained."""
    engine: Literal["processes", "ray"] = "processes"
    """Processes of this machine, or Ray (extra ``ray``), on this machine or on the cluster that RAY_ADDRESS names."""


@dataclass(frozen=True)
class JoinConfig(Settings):
    """Join trained models to one whose networks stand side by side: an ensemble."""

    models: tuple[str, ...]
    """Folders of models saved by ``pretrain``, or by ``train`` without adaptation, with the same settings of network
    and learner."""
    out: str
    """Folder for the joined model."""


@dataclass(frozen=True)
class CalibrateConfig(OnDevice):
    """Calibrate a model: fit its temperatures on validation episodes and save them with it."""

    model: str
    """Folder of a model saved by ``train`` or ``pretrain``; its ``config.json`` is rewritten."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where images come from."""
    split: str = "val"
    """Split of the source's classes on which the temperatures are fitted."""
    way: Annotated[int, at_least(1)] = 5
    """Classes per episode."""
    shots: Annotated[tuple[int, ...], at_least(1)] = (1, 2, 5, 10)
    """Numbers of support images per class: one temperature each, interpolated in between."""
    query: Annotated[int, at_least(1)] = 10
    """Query images per class."""
    episodes: Annotated[int, at_least(1)] = 100
    """Number of episodes per shot, for each split."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the episodes."""
    out: str = ""
    """Folder for ``calibration.json`` and the reliability diagrams ``calibration.png``; empty: print only."""


@dataclass(frozen=True)
class CompareConfig(OnDevice):
    """Compare learners on your own images, on the same random splits."""

    data: str
    """Folder or zip file with one subfolder of images per class."""
    models: tuple[str, ...] = (DEFAULT_MODEL, DRAWINGS_MODEL)
    """Trained models to compare, named as for ``classify``; the learners below use the backbone of the first."""
    learners: tuple[str, ...] = ()
    """Learners that use the backbone without training, and ``pixels``; empty: all that take no gradient steps."""
    shot: Annotated[int, at_least(0)] = 0
    """Support images per class; 0: all but a fifth."""
    query: Annotated[int, at_least(1)] = 20
    """Maximum number of query images per class."""
    splits: Annotated[int, at_least(2)] = 50
    """Number of random splits."""
    episode_list: str = ""
    """Replay the splits of this file, such as OUT/splits.json of another run; empty: sample them with the seed."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the splits."""
    resize: Resize | None = None
    """How images are made square: stretch, crop the centre, or pad with white; null: as the model was trained."""
    out: str = ""
    """Folder for the results (``comparison.json``, ``.csv`` and ``.md``) and ``splits.json``; empty: print only."""


@dataclass(frozen=True)
class ReportConfig(OnDevice):
    """Write a self-contained HTML report about a run."""

    run: str
    """Run folder of ``pretrain`` or ``train``."""
    results: tuple[str, ...] = ()
    """Result files of ``evaluate`` to show; empty: those in the run folder."""
    root: str = ""
    """Folder or zip file of the images, if they have been moved since training."""
    split: str = "test"
    """Split from which episodes are sampled, with the way and shot of the run's validation."""
    episodes: Annotated[int, at_least(1)] = 100
    """Number of episodes for the confusion matrix, gamma and beta."""
    figures: str = ""
    """Folder in which every figure is also saved as a PNG file; empty: none."""
    out: str = ""
    """Path of the HTML file; empty: RUN/report.html."""


@dataclass(frozen=True)
class ShareConfig(OnDevice):
    """Write a web page that classifies images of a camera or of files, without Python and without a network."""

    out: str
    """A folder, for a static host; or a file that ends in .html, holds everything and opens by a double click."""
    support: str = ""
    """Folder or zip file with one subfolder of images per class; empty: MODEL is a classifier that was saved with its
    classes."""
    model: str = DEFAULT_MODEL
    """A model, named as for ``classify``, or a saved classifier."""
    title: str = "What is this?"
    """Heading of the page."""
    resize: Resize | None = None
    """How images are made square: stretch, crop the centre, or pad with white; null: as the model was trained."""
    runtime: str = ""
    """ONNX Runtime Web, which runs the network in the browser: a folder that holds it, or the file that ``npm pack``
    makes; empty: from the user's cache folder, or else npm fetches it."""


@dataclass(frozen=True)
class AppConfig(OnDevice):
    """The browser app: teach a classifier, ask about scenes, compare learners."""

    host: str = "127.0.0.1"
    """Address to listen on; localhost only by default. 0.0.0.0 accepts all connections, without a password."""
    names: tuple[str, ...] = ()
    """Further host names under which browsers may open the page, such as that of a server in front of it. IP
    addresses, localhost and this computer's own name need not be named; any other name is refused, because a site
    could have its own lead here."""
    port: Annotated[int, between(0, 65535)] = 7860
    """Port to listen on; 0: any free port."""
    open: bool = False
    """Open the page in the browser."""
    folder: str = ""
    """Folder or zip file with one subfolder of images per class, which a button in the page loads."""
    models: tuple[str, ...] = (DEFAULT_MODEL, DRAWINGS_MODEL)
    """Trained models, named as for ``classify``; Teach adapts the first, and all can be compared."""
    reasoner: str = "clevr-small"
    """The model that answers questions: one that ships with the package, or a folder."""
    file_mib: Annotated[int, at_least(1)] = 20
    """Maximum size of an image file, in MiB."""
    megapixels: Annotated[int, at_least(1)] = 50
    """Maximum size of an image, in millions of pixels."""
    archive_mib: Annotated[int, at_least(1)] = 200
    """Maximum size of a zip file, in MiB."""
    files: Annotated[int, at_least(1)] = 200
    """Maximum number of files per upload."""
    visitor_mib: Annotated[int, at_least(1)] = 2048
    """Maximum that the files of one open page may take of the disk, in MiB."""
    total_mib: Annotated[int, at_least(1)] = 8192
    """Maximum that the files of all open pages may take of the disk, in MiB."""
    visitors: Annotated[int, at_least(1)] = 50
    """Maximum number of open pages; with one more, the least recently used session is dropped."""
