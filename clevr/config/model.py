"""Settings of the reasoning model, its data and its training. Does not import torch, so that ``--help`` is fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from fewshot_film.errors import ConfigError
from fewshot_film.run.settings import SHARE, LoopConfig, Range, Settings, at_least, below, between

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
    """Input of the trunk: images, or feature maps that a fixed network has computed from them."""
    width: Annotated[int, between(1, 4096)] = 224
    """Width of the images or feature maps."""
    height: Annotated[int, between(1, 4096)] = 224
    """Height of the images or feature maps."""
    input_maps: Annotated[int, at_least(1)] = 3
    """Colour channels, or number of feature maps (1024 for conv4 of a ResNet-101)."""
    trunk_maps: Annotated[tuple[int, ...], at_least(1, may_be_empty=True)] = (128, 128, 128)
    """Channels of the trunk's convolutions, except the last, which has as many as the blocks."""
    trunk_kernel: Annotated[int, at_least(1)] = 4
    """Kernel size of the trunk's convolutions."""
    trunk_stride: Annotated[int, at_least(1)] = 2
    """Stride of the trunk's convolutions; with stride 1 they also see coordinate maps."""
    trunk_blocks: Annotated[int, between(0, 1000)] = 0
    """Number of residual blocks of two 3x3 convolutions at the end of the trunk; they do not depend on the question."""
    trunk_fine_blocks: Annotated[int, between(0, 1000)] = 0
    """Number of such blocks before the trunk's last convolution, where the maps are still finer."""
    trunk_width: Annotated[int | None, at_least(1)] = None
    """Channels of the trunk's last convolution and of the blocks behind it, which a 1x1 convolution then turns into
    ``maps``; null: ``maps``, without that convolution."""
    trunk_colors: Annotated[int, at_least(0)] = 0
    """How many of ``maps`` come from a path of their own that sees each pixel by itself, so that they know colours and
    no shapes; the loss on scenes teaches colours to it alone. 0: no such path."""
    positions: Annotated[int, at_least(0)] = 0
    """Number of positions of the trunk's maps to keep, those that look most like objects; 0: all. Needs
    ``block_kernel: 1``, and a loss on scenes that trains the selection."""
    merge_positions: bool = False
    """Whether neighbouring positions that take their object to stand at the same place count as one, with the sum of
    their probabilities. An object whose centre is near a border between two positions otherwise counts twice, or not at
    all."""
    maps: Annotated[int, at_least(1)] = 128
    """Channels of the residual blocks that FiLM modulates."""
    blocks: Annotated[int, between(1, 1000)] = 4
    """Number of residual blocks."""
    block_kernel: Annotated[int, at_least(1), Range(lambda side: side % 2 == 1, "an odd number, such as 3 or 1")] = 3
    """Kernel size of the second convolution of a block; with 1, positions do not depend on their neighbours."""
    context: bool = False
    """Whether each block adds a summary of the whole image to every position: the maxima and means of its first
    activation, through a linear layer. Distant objects can then be compared within one block."""
    relations: bool = False
    """Whether four quarters of each block's maps get the sums over the objects to the left, behind, to the right and in
    front, from the ground coordinates of the kept positions, so that one block suffices for "left of"."""
    word_dim: Annotated[int, at_least(1)] = 200
    """Dimension of the word embeddings."""
    hidden_dim: Annotated[int, at_least(1)] = 4096
    """Width of the GRU."""
    hop_by_hop: bool = False
    """Whether the question is read as a program, and each of its hops passes through the same blocks: what a hop does
    is then independent of where in a question it stands. Needs ``positions``, questions with programs, and losses on
    both (``trace_weight``, ``program_weight``). ``hidden_dim`` is the width of the reader and of the hops' codes."""
    question_code: Literal["last", "mean", "attention"] = "last"
    """Input of the generator: the last state of the GRU (as in the paper), the mean of its states, or attention over
    its states with ``question_heads`` heads. Means are normalised."""
    question_heads: Annotated[int, at_least(1)] = 8
    """Number of attention heads for ``question_code: attention``."""
    classifier_maps: Annotated[int, at_least(1)] = 512
    """Channels of the convolution before the pooling over all positions."""
    pooling: Literal["max", "max_mean"] = "max"
    """Pooling of these maps: their maxima, as in the paper; or also the means of the last block's maps, which show the
    number of objects."""
    classifier_dim: Annotated[int, at_least(1)] = 1024
    """Width of the hidden layer of the classifier."""
    conditioning: Conditioning = "film"
    """How the question conditions the blocks: FiLM, its embedding concatenated to their input, or not at all."""
    film_blocks: Annotated[int | None, at_least(0)] = None
    """Number of modulated blocks, counted from the first; null: all."""
    film_position: FilmPosition = "norm"
    """Where FiLM is applied in a block: after its normalisation, second convolution, last ReLU or residual sum; or to
    its input."""
    gamma: GammaOption = "linear"
    """gamma from the generator's value r: 1 + r, sigmoid(r), tanh(r), exp(r), or always one (only beta)."""
    beta: Literal["linear", "zero"] = "linear"
    """beta from the generator, or always zero (only gamma)."""
    generator_init: Literal["near_identity", "kaiming_uniform", "xavier_uniform", "zero"] = "kaiming_uniform"
    """Initialisation of the generator; the authors used kaiming_uniform."""
    residual: bool = True
    """Whether blocks add their first activation to their result."""
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
        if self.merge_positions and not self.positions:
            raise ConfigError(
                "model.merge_positions merges the kept positions, but model.positions is 0; keep some, or leave it off"
            )
        if self.positions and self.block_kernel != 1:
            raise ConfigError(
                f"model.positions keeps {self.positions} positions, which have no neighbours, but model.block_kernel "
                f"is {self.block_kernel}; set it to 1, or positions to 0"
            )
        if min(self.grid) < 1:
            raise ConfigError(
                f"model.width and model.height are {self.width} and {self.height}, which the trunk's "
                f"{len(self.trunk_maps) + 1} convolutions of stride {self.trunk_stride} bring to nothing; give larger "
                "ones, or fewer model.trunk_maps"
            )
        self._check_hops()
        if self.trunk_colors and (self.inputs != "pixels" or self.trunk_colors >= self.maps):
            raise ConfigError(
                f"model.trunk_colors sees pixels, and is a part of model.maps; inputs is {self.inputs}, trunk_colors "
                f"{self.trunk_colors} and maps {self.maps}; set inputs to pixels, and trunk_colors to less than maps"
            )
        divides = self.question_code != "attention" or self.hidden_dim % self.question_heads == 0
        self._expect("question_heads", divides, f"a number that divides model.hidden_dim ({self.hidden_dim})")
        has_blocks = self.film_blocks is None or self.film_blocks <= self.blocks
        self._expect("film_blocks", has_blocks, f"0 to {self.blocks}, or null for all")
        if self.conditioning == "film" and self.gamma == "one" and self.beta == "zero":
            raise ConfigError("model.gamma is one and model.beta is zero: nothing is left of FiLM; change one of them")

    def _check_hops(self) -> None:
        if self.hop_by_hop and not self.positions:
            raise ConfigError(
                "model.hop_by_hop passes sets of objects from hop to hop, but model.positions is 0, so that positions "
                "are no objects; keep some, such as 24"
            )
        if self.hop_by_hop and (self.batch_norm or self.conditioning != "film"):
            raise ConfigError(
                f"model.hop_by_hop needs batch_norm: false, since the hops of a batch differ, and conditioning: film; "
                f"they are {str(self.batch_norm).lower()} and {self.conditioning}"
            )

        if self.hop_by_hop and self.film_blocks == 0:
            raise ConfigError("model.hop_by_hop tells hops apart by FiLM, and model.film_blocks is 0; leave it out")

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
    """Questions and images for training and validation."""

    root: Path = Path("clevr-world")
    """Folder or zip file in CLEVR's layout, generated by ``clevr-film generate`` or as published."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "val"
    """Split by which the best checkpoint is selected."""
    humans: bool = False
    """Use the questions of CLEVR-Humans instead of CLEVR's own."""
    features: str = ""
    """For models that read features: folder with the feature stores of both splits (``clevr-film features --out
    FOLDER/SPLIT``), or with published HDF5 files (``SPLIT_features.h5``)."""
    cache: Path | None = None
    """Folder for decoded images and parsed questions; null: ``cache`` in the folder of the data set."""
    fraction: Annotated[float, SHARE] = 1.0
    """Share of the training questions to use, sampled with the seed."""
    fresh: bool = False
    """Generate new questions about the training scenes in every epoch instead of using those in the files; needs scene
    files."""
    curriculum: Annotated[int, at_least(0)] = 0
    """Number of batches over which the nine groups of question families are added, from zero relations to three; 0: all
    from the start."""
    centers: Literal["body", "visible"] = "body"
    """Where an object is in an image, for the losses on scenes: at the middle of its body, as scene files have it, or
    of what is visible of it. A hidden body's middle lies on what hides it."""
    images: Annotated[int, at_least(1)] = 16
    """Images per batch."""
    questions: Annotated[int, at_least(1)] = 10
    """Questions per image in a batch, sampled anew in every epoch if an image has more."""


@dataclass(frozen=True)
class AugmentationConfig(Settings, group="augmentation"):
    """Random changes of the training images, so that a model does not come to rely on exact values.

    Every image draws its own amounts between none and these.
    """

    brightness: Annotated[float, at_least(0)] = 0.0
    """Brightness curve: maximum factor of its exponent, minus one."""
    blur: Annotated[float, between(0, 1)] = 0.0
    """Share of each pixel taken from its neighbours."""
    noise: Annotated[float, at_least(0)] = 0.0
    """Standard deviation of the noise, in levels of 255."""

    @property
    def changes_images(self) -> bool:
        """Whether any amount is above 0."""
        return any(vars(self).values())


@dataclass(frozen=True)
class TrunkPretrainingConfig(Settings, group="trunk_pretraining"):
    """Pre-training of the trunk on scenes."""

    images: Annotated[int, at_least(1)] = 32
    """Images per batch."""
    flip: bool = True
    """Flip half of the images horizontally."""
    recolor: Annotated[float, between(0, 1)] = 0.0
    """Share of the images whose hues are turned and tinted at random. The colours of their objects are not learned from
    them. Where some shapes lack colours (CoGenT), shapes are learned from them alone, not to be told by colours;
    ``model.trunk_colors`` keeps colours from being told by shapes."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """The training loop."""


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Train the reasoning model."""

    out: Path
    """Run folder; the trained model lies in OUT/model."""
    data: ClevrDataConfig = field(default_factory=ClevrDataConfig)
    """Questions and images."""
    model: ReasonerConfig = field(default_factory=ReasonerConfig)
    """The network."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Random augmentation of the images."""
    trunk_pretraining: TrunkPretrainingConfig | None = None
    """First pre-train the trunk on scene files, to predict the positions of objects, in OUT/trunk_pretraining. It is
    then frozen and its features are computed once per image, so that training on questions costs a fraction.
    ``augmentation`` applies to this part."""
    trunk_weights: str = ""
    """Saved model whose trunk this one takes over, with the same settings of the trunk; it is frozen and its features
    are computed once per image, as after ``trunk_pretraining``. Empty: the trunk is trained."""
    scene_weight: Annotated[float, at_least(0)] = 0.0
    """Weight of a loss by which the trunk learns to predict the positions of objects from the scene files; 0: none."""
    trace_weight: Annotated[float, at_least(0)] = 0.0
    """Weight of a loss by which the blocks learn to mark the objects that a question is about, step by step, using the
    programs and the scene files; 0: none."""
    program_weight: Annotated[float, at_least(0)] = 0.0
    """Weight of a loss by which the question embedding learns to predict which relation each step of the program
    follows and what it filters by; 0: none."""
    unknown_words: Annotated[float, at_least(0), below(1)] = 0.0
    """Share of the words that are replaced by the unknown token in training, so that its embedding is trained."""
    weights: str = ""
    """Saved model to start from; empty: random weights."""
    frozen: tuple[Part, ...] = ()
    """Parts whose weights and normalisation statistics are frozen, such as [trunk, blocks, classifier] for fine-tuning
    on questions written by people."""
    validation_questions: Annotated[int, at_least(1)] = 10_000
    """Number of validation questions, from the start of the split, in whole images."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=875_000, learning_rate=3e-4, weight_decay=1e-5, validate_every=10_000, patience=16
        )
    )
    """The training loop; the defaults are those of the paper on FiLM, 80 epochs."""
    resume: bool = False
    """Go on from OUT/last.ckpt if there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.hop_by_hop and not (self.program_weight or self.weights):
            raise ConfigError(
                "model.hop_by_hop reads questions as programs, and program_weight is 0, so that it would never learn "
                "to; set it to 1, or weights to a trained model"
            )
        if self.trunk_weights and (self.trunk_pretraining is not None or self.weights):
            other = "weights" if self.weights else "trunk_pretraining"
            raise ConfigError(f"trunk_weights and {other} both say where the trunk comes from; leave one of them out")
        if self.model.inputs == "features" and self.augmentation.changes_images:
            raise ConfigError("augmentation changes images, and model.inputs is features; leave it out")

    @property
    def has_fixed_trunk(self) -> bool:
        """Whether the trunk's features are computed once per image, before questions are learned from."""
        return self.trunk_pretraining is not None or bool(self.trunk_weights)
