"""Settings of the reasoning model, its data and its training. Imports no torch, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from fewshot_film.run.config import LoopConfig
from fewshot_film.run.errors import ConfigError
from fewshot_film.run.settings import Range, Settings, at_least, between

GammaOption = Literal["linear", "sigmoid", "tanh", "exp", "one"]
FilmPosition = Literal["norm", "conv", "relu", "residual", "input"]
Conditioning = Literal["film", "concatenation", "none"]
Part = Literal["questions", "generator", "trunk", "blocks", "classifier"]


@dataclass(frozen=True)
class ReasonerConfig(Settings, group="model"):
    """The network; the defaults are the paper's model from pixels.

    Perez et al., "FiLM", AAAI 2018, https://arxiv.org/abs/1709.07871, section 2.2, and table 2 for the ablations.

    Raises:
        ConfigError: a value out of range, or settings that exclude each other.
    """

    inputs: Literal["pixels", "features"] = "pixels"
    """What the trunk reads: pictures, or maps that a fixed network made of them."""
    width: Annotated[int, at_least(1)] = 224
    """Width of the pictures, or of the feature maps."""
    height: Annotated[int, at_least(1)] = 224
    """Height of the pictures, or of the feature maps."""
    input_maps: Annotated[int, at_least(1)] = 3
    """Colours of the pictures, or number of feature maps (1024 for conv4 of a ResNet-101)."""
    trunk_maps: Annotated[tuple[int, ...], at_least(1, may_be_empty=True)] = (128, 128, 128)
    """Maps of the trunk's convolutions before the last one, whose maps are those of the blocks."""
    trunk_kernel: Annotated[int, at_least(1)] = 4
    """Side of the trunk's convolutions."""
    trunk_stride: Annotated[int, at_least(1)] = 2
    """Stride of the trunk's convolutions; at 1 they see coordinate maps too."""
    trunk_blocks: Annotated[int, at_least(0)] = 0
    """Residual blocks of two 3x3 convolutions at the end of the trunk; they see the picture alone."""
    positions: Annotated[int, at_least(0, "a number of positions, or 0 for all")] = 0
    """Keep only so many positions of the trunk's maps, those that look most like an object, for blocks that leave each
    position to itself (``block_kernel: 1``); a loss on scenes must teach which. 0: all."""
    maps: Annotated[int, at_least(1)] = 128
    """Maps of the residual blocks that FiLM modulates."""
    blocks: Annotated[int, at_least(1)] = 4
    """Number of those blocks."""
    block_kernel: Annotated[int, at_least(1), Range(lambda side: side % 2 == 1, "an odd number, such as 3 or 1")] = 3
    """Side of the second convolution of a block; 1 leaves each position to itself."""
    context: bool = False
    """Whether each block also adds to every position what the whole picture holds: the maxima and means of its first
    activation, through a linear layer. Objects that are far from each other meet in one block."""
    relations: bool = False
    """Whether a quarter of each block's maps each also gets the sum over the objects to the left, behind, to the right
    and in front, by the places on the ground of kept positions: what "left of" asks for takes one block."""
    word_dim: Annotated[int, at_least(1)] = 200
    """Width of the word embeddings."""
    hidden_dim: Annotated[int, at_least(1)] = 4096
    """Width of the GRU."""
    question_code: Literal["last", "mean", "attention"] = "last"
    """What the generator reads: the GRU's state at the end, the paper's; the mean of its states; or in each of
    ``question_heads`` parts of the states a mean by weights that the states give. Means are normalised."""
    question_heads: Annotated[int, at_least(1)] = 8
    """Parts of the states that are weighted each for itself with ``question_code: attention``."""
    classifier_maps: Annotated[int, at_least(1)] = 512
    """Maps of the convolution before the pooling over all positions."""
    pooling: Literal["max", "max_mean"] = "max"
    """What the classifier reads of those maps: their maxima, the paper's; or also the means of the last block's maps,
    in which a number of objects is easy to see."""
    classifier_dim: Annotated[int, at_least(1)] = 1024
    """Width of the hidden layer of the classifier."""
    conditioning: Conditioning = "film"
    """How the question reaches the blocks: FiLM, its code joined to their input, or not at all."""
    film_blocks: Annotated[int | None, at_least(0)] = None
    """How many blocks are modulated, from the first on; null: all."""
    film_position: FilmPosition = "norm"
    """Behind which step of a block FiLM acts: its normalisation, second convolution, last ReLU, residual sum; or on
    its input."""
    gamma: GammaOption = "linear"
    """gamma from the generator's value r: 1 + r, sigmoid(r), tanh(r), exp(r), or always one (only beta)."""
    beta: Literal["linear", "zero"] = "linear"
    """beta from the generator, or always zero (only gamma)."""
    generator_init: Literal["near_identity", "kaiming_uniform", "xavier_uniform", "zero"] = "kaiming_uniform"
    """Start of the generator's weights; kaiming_uniform is what the authors trained with."""
    residual: bool = True
    """Whether a block adds its first activation to its result."""
    coordinates: bool = True
    """Whether blocks and classifier see coordinate maps."""
    batch_norm: bool = True
    """Whether blocks normalise before FiLM."""
    vocabulary: tuple[str, ...] = ()
    """Question tokens; empty: the 93 of CLEVR's published vocabulary."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relations and (not self.positions or self.maps % 4):
            raise ConfigError(
                f"model.relations needs model.positions, and maps for four sides; positions is {self.positions}, maps "
                f"{self.maps}; keep some positions, a multiple of 4 maps, or leave relations off"
            )
        if self.positions and self.block_kernel != 1:
            raise ConfigError(
                f"model.positions keeps {self.positions} positions, which have no neighbours, and model.block_kernel "
                f"is {self.block_kernel}; set it to 1, or positions to 0"
            )
        divides = self.question_code != "attention" or self.hidden_dim % self.question_heads == 0
        self._expect("question_heads", divides, f"a number that divides model.hidden_dim ({self.hidden_dim})")
        has_blocks = self.film_blocks is None or self.film_blocks <= self.blocks
        self._expect("film_blocks", has_blocks, f"0 to {self.blocks}, or null for all")
        if self.conditioning == "film" and self.gamma == "one" and self.beta == "zero":
            raise ConfigError("model.gamma is one and model.beta is zero: nothing is left of FiLM; free one of them")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the trunk's maps."""
        sides = [self.height, self.width]
        padding = (self.trunk_kernel - 1) // 2
        for _ in range(len(self.trunk_maps) + 1):
            sides = [(side + 2 * padding - self.trunk_kernel) // self.trunk_stride + 1 for side in sides]
        return sides[0], sides[1]

    @property
    def num_film_blocks(self) -> int:
        """How many blocks are modulated."""
        if self.conditioning != "film":
            return 0
        return self.blocks if self.film_blocks is None else self.film_blocks


@dataclass(frozen=True)
class ClevrDataConfig(Settings, group="data"):
    """Questions and pictures for training and validation."""

    root: Path = Path("clevr-world")
    """Folder or zip in CLEVR's layout, as ``clevr-film generate`` writes it or as CLEVR is published."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split that decides which checkpoint is best."""
    humans: bool = False
    """Take the questions of CLEVR-Humans instead of CLEVR's own."""
    features: str = ""
    """For models that read features: folder of the stores of both splits, as ``clevr-film features --out FOLDER/SPLIT``
    writes them, or of published HDF5 files, ``SPLIT_features.h5``."""
    cache: Path | None = None
    """Folder for decoded pictures and read questions; null: ``cache`` in the data set's folder."""
    fraction: Annotated[float, Range(lambda share: 0 < share <= 1, "a number above 0, at most 1")] = 1.0
    """Share of the training questions to use, drawn by the seed."""
    fresh: bool = False
    """Ask new questions about the training scenes in every pass instead of those in the files; needs scene files."""
    curriculum: Annotated[int, at_least(0, "a number of batches, or 0 for none")] = 0
    """Batches over which the nine groups of question families join in, from zero hops to three; 0: all at once."""
    pictures: Annotated[int, at_least(1)] = 16
    """Pictures in a batch."""
    questions: Annotated[int, at_least(1)] = 10
    """Questions about each picture of a batch, drawn anew in every pass where a picture has more."""


@dataclass(frozen=True)
class AugmentationConfig(Settings, group="augmentation"):
    """Random changes of the training images, so that a model does not come to rely on exact values.

    Every image draws its own amounts between none and these.
    """

    brightness: Annotated[float, at_least(0)] = 0.0
    """Brightness curve: the exponent lies within a factor of one plus this of one."""
    blur: Annotated[float, between(0, 1)] = 0.0
    """Share of each pixel taken from its neighbours."""
    noise: Annotated[float, at_least(0)] = 0.0
    """Standard deviation of the noise, in levels of 255."""

    @property
    def changes_images(self) -> bool:
        """Whether any amount is above 0."""
        return any(vars(self).values())


@dataclass(frozen=True)
class SeeingConfig(Settings, group="seeing"):
    """The trunk's training on scenes alone."""

    pictures: Annotated[int, at_least(1)] = 32
    """Pictures in a batch."""
    mirror: bool = True
    """Mirror half of the pictures, left to right, which costs nothing and doubles what there is to see."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Train the reasoning model."""

    out: Path
    """Run folder; the trained model lies in OUT/model."""
    data: ClevrDataConfig = field(default_factory=ClevrDataConfig)
    """Questions and pictures."""
    model: ReasonerConfig = field(default_factory=ReasonerConfig)
    """The network."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Random changes of the images."""
    seeing: SeeingConfig | None = None
    """First let the trunk learn from scene files what lies where in the pictures, in OUT/seeing. From then on it is
    fixed: it looks at each picture once, and questions cost a fraction. ``augmentation`` belongs to this part."""
    scene_weight: Annotated[float, at_least(0)] = 0.0
    """Weight of a second loss, by which the trunk learns to tell what lies where from the scene files; 0: none."""
    referent_weight: Annotated[float, at_least(0)] = 0.0
    """Weight of a third loss, by which the blocks learn to mark the objects that a question is about, step by step to
    those that it is finally about, from the programs and the scene files; 0: none."""
    outline_weight: Annotated[float, at_least(0)] = 0.0
    """Weight of a fourth loss, by which the code of a question learns to hold what each hop of its program follows and
    filters by; 0: none."""
    unknown_words: Annotated[float, Range(lambda share: 0 <= share < 1, "a share from 0 to below 1")] = 0.0
    """Share of the words that are hidden behind the unknown token in training, so that it comes to mean something."""
    weights: str = ""
    """Saved model to start from; empty: fresh weights."""
    frozen: tuple[Part, ...] = ()
    """Parts that keep their weights and the statistics of their normalisation, such as all that sees for fine-tuning
    on questions by people: [trunk, blocks, classifier]."""
    validation_questions: Annotated[int, at_least(1)] = 10_000
    """Questions of the validation split to validate on, from its beginning; those of whole pictures."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=875_000, learning_rate=3e-4, weight_decay=1e-5, validate_every=10_000, patience=16
        )
    )
    """The training loop; the defaults are the paper's 80 passes."""
    resume: bool = False
    """Go on from OUT/last.ckpt if there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.inputs == "features" and self.augmentation.changes_images:
            raise ConfigError("augmentation changes images, and model.inputs is features; leave it out")
