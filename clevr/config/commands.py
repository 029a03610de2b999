"""Settings of the commands, apart from training. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from clevr.config.features import ExtractorConfig, ExtractorOverrides
from fewshot_film import __version__
from fewshot_film.errors import ConfigError
from fewshot_film.run.settings import OnDevice, Range, Settings, Workers, above, at_least, at_most, between, matching

NUM_FAMILIES = 90
"""Question families of CLEVR."""
NUM_CLOSURE_FAMILIES = 52
"""Question families of CLOSURE, in seven groups."""
SURE = 0.99
"""Probability below which an answer is worth a second look; chosen on generated validation images."""


@dataclass(frozen=True)
class GenerateConfig(Settings):
    """Generate a data set in CLEVR's format.

    Raises:
        ConfigError: a value out of range.
    """

    out: Path
    """Folder of the data set; it may already contain other splits."""
    split: Annotated[str, matching("[A-Za-z0-9]+", "letters and digits, such as train or valB")] = "train"
    """Name of the split, letters and digits; splits with different names have different scenes."""
    scenes: Annotated[int, at_least(1)] = 1000
    """Number of scenes in the whole split, each with one image."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed; scene i of a split is a function of seed, split and i."""
    width: Annotated[int, at_least(1)] = 320
    """Width of the images in pixels; CLEVR's are 480 by 320."""
    height: Annotated[int, at_least(1)] = 240
    """Height of the images in pixels."""
    questions_per_scene: Annotated[
        int, at_least(0), at_most(NUM_FAMILIES, f"at most {NUM_FAMILIES}, one of each family")
    ] = 10
    """Questions per image, each of a different family; scenes with few objects may have fewer."""
    families: Literal["clevr", "closure"] = "clevr"
    """CLEVR's 90 families of questions, or the 52 of CLOSURE, which recombine what those ask and serve as a test of
    systematic generalisation."""
    scenes_from: Path | None = None
    """Data set in CLEVR's format, folder or zip file: ask about the scenes and images of its split of this name (the
    first ones, at most as many as `scenes` says, which are copied) instead of generating new ones."""
    world: Path | None = None
    """YAML file that describes a world of your own: its colours, materials, sizes, shapes, words, camera and lamps. It
    is kept in the data set as world.yaml; null: CLEVR's world."""
    condition: Literal["none", "A", "B"] = "none"
    """CoGenT's condition, which restricts the colours of cubes and cylinders."""
    workers: Workers = "auto"
    """Number of processes; auto: one per core. The data set does not depend on it."""
    start: Annotated[int, at_least(0)] = 0
    """First scene to generate, for part of the work; a multiple of chunk."""
    stop: int | None = None
    """Scene before which to stop; null: after the last one."""
    chunk: Annotated[int, at_least(1)] = 100
    """Scenes per chunk: the most that is lost if a process is killed, and the smallest part for one machine; with
    shards, the scenes of each."""
    device: str = "cpu"
    """Device that renders the images: cpu, cuda or mps."""
    compiled: bool = False
    """Draw images by loops that Numba compiles: twice as fast or more, on the CPU. Few values differ from those drawn
    otherwise, by one level of 255. Needs the extra `compiled`."""
    shards: bool = False
    """Write the split to shards/SPLIT as WebDataset tar files of one chunk each, with an index; `train`, `evaluate` and
    the other commands stream it from there. Needs the extra `bulk`."""
    engine: Literal["processes", "ray"] = "processes"
    """What runs the workers: processes of this machine, or Ray (extra `ray`), on this machine or on the cluster that
    RAY_ADDRESS names."""
    part: Annotated[int, at_least(0)] = 0
    """Number of this machine's part of the chunks, from 0, such as $SLURM_ARRAY_TASK_ID."""
    parts: Annotated[int, at_least(1)] = 1
    """Number of parts that the chunks are dealt out to."""
    date: str = ""
    """Date for the info block, any text; it is not taken from the clock, so that equal data sets have equal bytes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.families == "closure":
            expected = f"at most {NUM_CLOSURE_FAMILIES}, one of each of CLOSURE's families"
            self._expect("questions_per_scene", self.questions_per_scene <= NUM_CLOSURE_FAMILIES, expected)
        if self.scenes_from and self.world:
            raise ConfigError(f"world is {self.world}, but {self.scenes_from} has its own; leave one of them out")
        if self.scenes_from and self.condition != "none":
            raise ConfigError(
                f"condition is {self.condition}, but the scenes of {self.scenes_from} are taken as they are"
            )
        self._expect("part", self.part < self.parts, f"less than parts ({self.parts}): they are counted from 0")

    @property
    def content(self) -> dict[str, Any]:
        """The settings that the data set depends on, besides the world."""
        names = ["seed", "scenes", "width", "height", "questions_per_scene", "condition"]
        if self.scenes_from:
            names = ["seed", "scenes", "questions_per_scene"]
        content = {"name": "clevr-film", "version": __version__, **{name: getattr(self, name) for name in names}}
        if self.scenes_from:
            content["scenes_from"] = self.scenes_from.name
        if self.families != "clevr":
            content["families"] = self.families
        if self.shards:
            content |= {"chunk": self.chunk, "shards": True}
        return content


RenderedPart = Literal["images", "visible", "whole", "depth", "normals", "boxes"]
RENDERED_PARTS: tuple[RenderedPart, ...] = get_args(RenderedPart)


@dataclass(frozen=True)
class RenderConfig(Settings):
    """Render the scenes of a data set again.

    Raises:
        ConfigError: a value out of range.
    """

    data: Path
    """Folder or zip file in CLEVR's format, with scenes."""
    out: Path
    """Folder for the results."""
    split: str = "val"
    """Split to render."""
    scenes: Annotated[int | None, at_least(1)] = None
    """Number of scenes, from the start of the split; null: all."""
    parts: Annotated[tuple[RenderedPart, ...], Range(lambda _: True, f"some of {', '.join(RENDERED_PARTS)}")] = (
        "images",
    )
    """What to write: images, masks of what is visible of each object and of whole objects, depth, normals, boxes."""
    width: Annotated[int | None, at_least(1)] = None
    """Width of the images in pixels; null: as they are."""
    height: Annotated[int | None, at_least(1)] = None
    """Height of the images in pixels; null: as they are."""
    camera: tuple[float, float, float] | None = None
    """Place of the camera in every scene, which looks at the ground's middle; null: where it stood. What is left or in
    front stays as the scenes have it."""
    light: Annotated[float, above(0)] = 1.0
    """Factor of the strength of all lamps."""
    world: Path | None = None
    """YAML file of a world with the same values in other colours, light or view; null: the world of the scenes."""
    jitter: bool = True
    """Keep each scene's own places of camera and lamps; false: those of the world."""
    workers: Workers = "auto"
    """Number of processes; auto: one per core. The result does not depend on it."""
    device: str = "cpu"
    """Device that renders: cpu, cuda or mps."""
    compiled: bool = False
    """Draw images by loops that Numba compiles: twice as fast or more, on the CPU. Few values differ from those drawn
    otherwise, by one level of 255. Needs the extra `compiled`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.camera and not (self.camera[2] > 0 and any(self.camera[:2])):
            raise ConfigError(
                f"camera is {list(self.camera)}; expected a place above the ground (z) and beside its middle (x, y), "
                "such as [7.5, -6.5, 5.3]"
            )
        if self.compiled and "images" not in self.parts:
            raise ConfigError("compiled is about images, which parts leaves out; leave it out, or add images to parts")
        if self.camera and not self.jitter:
            raise ConfigError("camera is given, and jitter: false takes that of the world; leave one of them out")


@dataclass(frozen=True)
class ConfoundConfig(Settings):
    """Generate classes of scenes that are confounded in training, as those of CLEVR-Hans.

    Raises:
        ConfigError: a value out of range.
    """

    rules: Path
    """YAML file with the classes: which objects their scenes hold, and what these have as well in train and val."""
    out: Path
    """Folder for the splits train, val and test, each with a folder of images per class, and their scenes."""
    train: Annotated[int, at_least(1)] = 3000
    """Number of confounded training images; the classes take turns."""
    val: Annotated[int, at_least(1)] = 750
    """Number of confounded validation images."""
    test: Annotated[int, at_least(1)] = 750
    """Number of test images, which are not confounded."""
    world: Path | None = None
    """YAML file of a world of your own; null: CLEVR's."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed; an image is a function of seed, split and its number."""
    width: Annotated[int, at_least(1)] = 320
    """Width of the images in pixels."""
    height: Annotated[int, at_least(1)] = 240
    """Height of the images in pixels."""
    workers: Workers = "auto"
    """Number of processes; auto: one per core. The result does not depend on it."""
    device: str = "cpu"
    """Device that renders the images: cpu, cuda or mps."""


@dataclass(frozen=True)
class ObjectsConfig(Settings):
    """Crop objects from generated scenes.

    Raises:
        ConfigError: a value out of range.
    """

    out: Path
    """Folder for the cropped objects."""
    scenes: Annotated[int, at_least(1)] = 1000
    """Number of scenes; each gives up to 10 objects, so 1,000 give about 130 for each of the 48 classes."""
    world: Path | None = None
    """YAML file of a world of your own; null: CLEVR's."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed; scene i is a function of seed and i."""
    width: Annotated[int, at_least(1)] = 480
    """Width of the rendered scenes in pixels."""
    height: Annotated[int, at_least(1)] = 320
    """Height of the rendered scenes in pixels."""
    size: Annotated[int, at_least(1)] = 84
    """Side of a cropped image in pixels."""
    margin: Annotated[float, between(0, 1)] = 0.15
    """Margin around an object on each side, as a share of the longer side of its bounding box."""
    min_side: Annotated[int, at_least(1)] = 20
    """Objects with a bounding box smaller than this, in pixels, are skipped."""
    workers: Workers = "auto"
    """Number of processes; auto: one per core. The result does not depend on it."""
    chunk: Annotated[int, at_least(1)] = 100
    """Scenes per chunk: the most that is lost if a process is killed."""
    device: str = "cpu"
    """Device that renders the images: cpu, cuda or mps."""

    @property
    def content(self) -> dict[str, Any]:
        """The settings that determine the cropped objects."""
        names = ("scenes", "seed", "width", "height", "size", "margin", "min_side")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class TasksConfig(Settings):
    """Show tasks with verifiers, or write them to a folder.

    Raises:
        ConfigError: a value out of range.
    """

    kind: str | None = None
    """Kind of task, such as counting; null: list all kinds."""
    items: Annotated[int, at_least(1)] = 5
    """Number of tasks."""
    start: Annotated[int, at_least(0)] = 0
    """Number of the first one."""
    difficulty: Annotated[int, between(1, 5)] = 3
    """Level, 1 the easiest."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed; a task is a function of kind, seed, difficulty, image size and its number."""
    width: Annotated[int, at_least(1)] = 320
    """Width of an image in pixels."""
    height: Annotated[int, at_least(1)] = 240
    """Height of an image in pixels."""
    out: Path | None = None
    """Folder for images and `metadata.jsonl`, the layout that Hugging Face reads as an image folder; null: print the
    tasks."""
    sheet: Path | None = None
    """PNG file for a contact sheet of the tasks with their answers."""


@dataclass(frozen=True)
class ExportConfig:
    """Save the model of a run."""

    run: Path
    """Run folder of ``clevr-film train``."""
    out: Path
    """Folder of the saved model; created, or replaced if it contains a saved model."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the best validation accuracy so far, or those of the last checkpoint."""
    half: bool = False
    """Save the weights in half precision, which halves the size; they are converted to single precision when loaded."""


MIN_IMAGES = 100
"""Of fewer images the statistics say too little."""
USED = 1000
"""Images that are looked at where nobody says how many."""


@dataclass(frozen=True)
class CalibrateConfig(Settings):
    """Which model, and the images that it was trained on.

    Raises:
        ConfigError: a value out of range.
    """

    model: str
    """Folder of a saved model, or the name of a model that ships with the package; the statistics are saved in its
    config.json."""
    data: Path
    """Folder or zip file in CLEVR's format."""
    split: str = "train"
    """Split that the model was trained on."""
    images: Annotated[int, at_least(MIN_IMAGES)] = USED
    """Number of images to use, spread evenly over the split."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the random changes of brightness, colour, contrast, noise, size and compression that count as familiar
    too."""


@dataclass(frozen=True)
class InspectConfig(Settings):
    """Summarise, check and view a data set."""

    data: Path
    """Folder or zip file of the data set: CLEVR v1.0, CoGenT, a generated data set, or any other in this format."""
    split: str | None = None
    """Split to inspect; null: all."""
    humans: bool = False
    """Use the questions of CLEVR-Humans instead of the split's own."""
    families: bool = False
    """Print every question family, not only their groups."""
    out: Path | None = None
    """JSON file for all counts and problems."""
    sheet: Path | None = None
    """PNG file for a contact sheet; with several splits, the name of the split is appended."""
    images: Annotated[int, at_least(1)] = 12
    """Number of images on a contact sheet, spread evenly over the split."""
    questions: Annotated[int, at_least(0)] = 5
    """Questions shown below each image."""
    ground_truth: bool = False
    """Show on the contact sheet what is where as well, as `render` writes it: boxes in the image, and below it the
    masks of what is visible, of whole objects, depth and normals. Needs scenes."""


@dataclass(frozen=True)
class FeaturesConfig(OnDevice):
    """Store image features of a fixed network.

    Raises:
        ConfigError: a value out of range.
    """

    data: Path
    """Folder of images; or, with split, a data set in CLEVR's format (folder or zip file)."""
    out: Path
    """Folder of the feature store; an unfinished one with the same settings is continued."""
    split: str | None = None
    """Split of the data set; null: data is a plain folder of images."""
    extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    """Network and layer."""
    dtype: Literal["float16", "float32"] = "float16"
    """Precision of stored features; CLEVR's 100,000 images take 40 GB in float16."""
    batch_size: Annotated[int, at_least(1)] = 64
    """Images per batch."""
    num_workers: Annotated[int, at_least(0)] = 0
    """Processes that decode images in the background."""


@dataclass(frozen=True)
class EvaluateConfig(OnDevice):
    """Evaluate a model on the questions of a split."""

    model: str
    """Folder of a saved model, or the name of a model that ships with the package."""
    data: Path
    """Folder or zip file in CLEVR's format."""
    split: str = "val"
    """Split to answer."""
    humans: bool = False
    """Answer the questions of CLEVR-Humans about the images of the split."""
    features: str = ""
    """For models that read features: folder of the feature stores, as for training."""
    cache: Path | None = None
    """Folder for decoded images and parsed questions; null: ``cache`` in the folder of the data set."""
    questions: Annotated[int | None, at_least(1)] = None
    """Maximum number of questions, rounded up to whole images; null: all."""
    common_answers: str = ""
    """Split that determines the most common answer per function; empty: the evaluated one."""
    batch_size: Annotated[int, at_least(1)] = 500
    """Questions per batch."""
    sure: Annotated[float, between(0, 1)] = SURE
    """An answer less probable than this is the average over four views of the image: as it is, and shifted by half a
    position of the model's along one axis or both; 0: one view for all, 1: four for all. Models that read features have
    one view."""
    out: Path | None = None
    """JSON file for all values; a Markdown file of the same name is written next to it."""
    sheet: Path | None = None
    """PNG file for a contact sheet of images with questions, answers and true answers."""
    format: Literal["text", "json"] = "text"
    """Format of standard output: the main table, or one JSON document with all values."""
    predictions: Path | None = None
    """JSON file for all answers, in the format of CLEVR's test server."""


@dataclass(frozen=True)
class AskConfig(OnDevice):
    """Ask a model about an image."""

    image: Path
    """Path of the image."""
    question: str | None = None
    """A question in CLEVR's English; null: read questions from standard input, one per line, until an empty line."""
    model: str = "clevr-small"
    """Folder of a saved model, or the name of a model that ships with the package."""
    sure: Annotated[float, between(0, 1)] = SURE
    """An answer less probable than this is the average over four views of the image: as it is, and shifted by half a
    position of the model's along one axis or both; 0: one view for all, 1: four for all. Models that read features have
    one view."""
    out: Path | None = None
    """PNG file that shows where the answer came from."""
    runners_up: Annotated[int, between(0, 27)] = 3
    """Number of further answers to show, with their probabilities."""
    format: Literal["text", "json"] = "text"
    """Text, or one JSON document on standard output: the answer, its probability, other answers, and any warning; with
    questions from standard input, a list of these."""
    extractor: ExtractorOverrides = field(default_factory=ExtractorOverrides)
    """For models that read features: how to compute them. Settings that are not given are taken from the model's own
    record, if it has one."""


Analysis = Literal["histograms", "embedding", "resets", "consistency", "composition"]
ANALYSES: tuple[Analysis, ...] = get_args(Analysis)


@dataclass(frozen=True)
class AnalyseConfig(OnDevice):
    """Analyses of a model."""

    model: str
    """Folder of a saved model, or the name of a model that ships with the package."""
    data: Path
    """Folder or zip file in CLEVR's format."""
    out: Path
    """Folder for NAME.png and NAME.json of each analysis."""
    analyses: Annotated[tuple[Analysis, ...] | None, Range(lambda _: True, f"some of {', '.join(ANALYSES)}")] = None
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
    seed: Annotated[int, between(0, 2**32 - 1)] = 0
    """Seed of the noise, of the questions of the consistency analysis, and of t-SNE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_split != "train" and "resets" not in (self.analyses or ANALYSES):
            raise ConfigError(
                f"train_split is {self.train_split!r}, and of the analyses only `resets` uses it; leave it out, or ask "
                "for resets too"
            )


@dataclass(frozen=True)
class ReportConfig(OnDevice):
    """Write a report about a run."""

    run: Path
    """Run folder of ``clevr-film train``."""
    data: Path | None = None
    """Folder or zip file in CLEVR's format, if it has been moved since training."""
    split: str = ""
    """Split to evaluate on; empty: the validation split of the run."""
    evaluation: Path | None = None
    """JSON file written by ``clevr-film evaluate --out``; null: evaluate now on the questions below."""
    questions: Annotated[int, at_least(1)] = 2000
    """Number of questions to answer, from the start of the split."""
    figures: Path | None = None
    """Folder in which every figure is also saved as a PNG file; null: none."""
    out: Path | None = None
    """Path of the HTML file; null: RUN/report.html."""


@dataclass(frozen=True)
class ImportConfig:
    """Which checkpoint, and where to."""

    checkpoint: Path
    """``film.pt`` of https://github.com/ethanjperez/film."""
    out: Path
    """Folder for the saved model."""
    vocabulary: Path | None = None
    """``vocab.json`` to use instead of the one in the checkpoint."""
