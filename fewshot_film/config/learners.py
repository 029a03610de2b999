"""Settings of backbones and learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from fewshot_film.run.settings import Range, Settings, above, at_least, between

BackboneName = Literal["cnaps-resnet18", "resnet18", "resnet34", "resnet50"]
STAGED_BACKBONES = get_args(BackboneName)
TORCHVISION = "torchvision:"
Adaptation = Literal["film", "film+ar", "templates", "none"]
OneShot = Literal["zero", "broadcast"]


@dataclass(frozen=True)
class BackboneConfig(Settings, group="backbone"):
    """A network without its classifier; the default is the paper's."""

    name: str = "cnaps-resnet18"
    """cnaps-resnet18 is the variant of CNAPS for 84 x 84 pictures; resnet18, resnet34 and resnet50 are torchvision's,
    whose stages film+ar knows; torchvision:NAME is any other of its classifiers."""
    width: Annotated[int, at_least(1)] = 64
    """Maps of the first stage, doubled at each further one; torchvision's networks have 64."""
    blocks: Annotated[tuple[int, ...], at_least(1)] = (2, 2, 2, 2)
    """Blocks of each stage (``cnaps-resnet18`` only)."""
    stem_kernel: Annotated[int, at_least(1)] = 5
    """Side of the first convolution (``cnaps-resnet18`` only)."""
    stem_stride: Annotated[int, at_least(1)] = 2
    """Stride of the first convolution (``cnaps-resnet18`` only); 1 suits pictures below about 40 pixels."""
    image_size: Annotated[int, at_least(1)] = 84
    """Side of the pictures that the network is trained on and asked about, pixels."""
    channels: int = 3
    """Colour channels of the pictures: 3, or 1 for drawings."""
    weights: str = ""
    """Empty: random. A file or folder made by ``pretrain``, or torchvision's name, such as ``IMAGENET1K_V1``."""
    feature_lengths: Annotated[tuple[float, ...], at_least(0, "finite numbers of at least 0")] = (0.0,)
    """One number for each of the last stages that the features are joined from: their maps, averaged, are scaled to
    this length, 0: left as they are. ``(4,)`` suits a backbone trained with a cosine classifier; ``(2, 3, 4)`` keeps
    colours and simple forms besides, which earlier stages see and later ones may not."""
    feature_power: Annotated[float, above(0, "a finite number above 0")] = 1.0
    """What the size of every feature is raised to before it is scaled; 0.5 takes the long tails away."""
    mirror: bool = False
    """Once trained, average the features of a picture and of its mirror image: twice the time. Not for letters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ", ".join(STAGED_BACKBONES)
        is_known = self.name in STAGED_BACKBONES or self.name.startswith(TORCHVISION)
        self._expect("name", is_known, f"{known}, or {TORCHVISION}NAME")


@dataclass(frozen=True)
class LearnerConfig(Settings, group="learner"):
    """What every method has."""

    method: str = ""
    """Name of the method."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The network that gives the features."""
    chunk: Annotated[int, at_least(1)] = 64
    """Pictures that go through the network at once where no gradient is needed."""


@dataclass(frozen=True)
class FilmConfig(LearnerConfig):
    """Methods with a head on features that FiLM may adapt, by one pass over the support set."""

    adaptation: Adaptation = "film"
    """``film``: all sites from the task code; ``film+ar``: stage by stage; ``templates``: a blend of learned values, a
    set of them for each source; ``none``: features as they are."""
    templates: tuple[str, ...] = ()
    """With ``templates``, names of the sources that each have a set of values; empty: the sources of the training."""
    whitening: Annotated[float, between(0, 1)] = 0.0
    """With ``templates``, for pictures of no source's kind: the power of its spread over the support set that every
    feature is divided by; 0 leaves them as they are, 1 gives all one spread. Needs ``feature_norms.*`` among the
    sites."""
    sites: tuple[str, ...] = ("layer*.*.bn[12]",)
    """Names or patterns of the normalisation layers that FiLM follows."""
    code_dim: Annotated[int, at_least(1)] = 64
    """Width of the task code, and of the set encoder's layers."""
    set_encoder_layers: Annotated[int, at_least(1)] = 5
    """Convolution blocks of the set encoder, each halving the picture; 4 for 28 x 28 pictures."""
    penalty: Annotated[float, at_least(0)] = 0.001
    """Weight in the loss of the sum of r squared; with templates, of their squared distance from the identity."""
    film_spread: Annotated[float, at_least(0)] = 0.001
    """Spread of r before training: how far from the identity FiLM begins. The paper's is for 100,000 tasks; with
    0.1 FiLM differs between tasks from the first step on."""
    train_backbone: bool = False
    """Meta-train the backbone's convolutions too; the CNAPS papers freeze them after pre-training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adaptation != "templates":
            self._expect("templates", not self.templates, f"none with adaptation {self.adaptation}")
            self._expect("whitening", not self.whitening, f"0 with adaptation {self.adaptation}")


@dataclass(frozen=True)
class SimpleCNAPSConfig(FilmConfig):
    """Simple CNAPS; the defaults are the published architecture."""

    method: Literal["simple-cnaps"] = "simple-cnaps"
    """Name of the method."""
    one_shot: OneShot = "zero"
    """Covariance of a class with one picture; ``broadcast`` is what the reference implementation computes."""


@dataclass(frozen=True)
class PrototypesConfig(FilmConfig):
    """Prototypical networks: the nearest class mean, without FiLM unless asked for."""

    method: Literal["prototypes"] = "prototypes"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: the paper's; ``film``, ``film+ar`` and ``templates``: as Simple CNAPS has them."""
    distance: Literal["cosine", "euclidean"] = "cosine"
    """``euclidean`` is the paper's squared distance; ``cosine`` compares directions."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the cosine in the logits."""
    learn_scale: bool = False
    """Meta-train the factor too, as Meta-Baseline does."""


@dataclass(frozen=True)
class GradientConfig(LearnerConfig):
    """Methods that take a few gradient steps on the support set, through which they are meta-trained."""

    inner_steps: Annotated[int, at_least(1)] = 5
    """Steps on the support set of a training episode."""
    test_steps: Annotated[int, at_least(0)] = 0
    """Steps in validation and afterwards; 0: as many as in training."""
    inner_rate: Annotated[float, above(0)] = 0.1
    """Step size on the support set."""
    first_order: bool = False
    """Meta-train as if the inner gradients did not depend on the weights: less time and memory."""
    way: Annotated[int, Range(lambda way: way == 0 or way >= 2, "0, or at least 2")] = 0
    """0: the head starts at zero for any number of classes; else every one of so many has a learned start."""
    statistics: Literal["support", "transductive", "running"] = "support"
    """BatchNorm by the statistics of the support set, of the query pictures themselves, or of pre-training."""
    train_backbone: bool = True
    """Meta-train the backbone's start too, and not only what else there is."""


@dataclass(frozen=True)
class ANILConfig(GradientConfig):
    """ANIL: MAML whose inner steps change the head alone."""

    method: Literal["anil"] = "anil"
    """Name of the method."""


@dataclass(frozen=True)
class InnerConfig(GradientConfig):
    """Methods whose inner steps change the network or its FiLM."""

    inner: Literal["all", "film+head", "film"] = "all"
    """What the inner steps change: backbone and head, gamma and beta and head, or gamma and beta alone."""
    sites: tuple[str, ...] = ("layer*.*.bn[12]",)
    """Names or patterns of the normalisation layers that FiLM follows."""
    film_start: Literal["learned", "identity"] = "learned"
    """Gamma and beta before the first step: meta-trained from the identity on, or always the identity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect(
            "way",
            self.inner != "film" or self.way > 0,
            "at least 2 where inner is film: nothing else tells the classes apart",
        )
        self._expect(
            "train_backbone",
            self.inner != "all" or self.train_backbone,
            "true where inner is all; set inner to film+head to leave the backbone as it is",
        )


@dataclass(frozen=True)
class MAMLConfig(InnerConfig):
    """MAML: a start from which a few gradient steps on the support set lead to a good classifier."""

    method: Literal["maml"] = "maml"
    """Name of the method."""


@dataclass(frozen=True)
class MetaSGDConfig(InnerConfig):
    """Meta-SGD: MAML with a learned step size for every weight, ``inner_rate`` at first."""

    method: Literal["meta-sgd"] = "meta-sgd"
    """Name of the method."""


@dataclass(frozen=True)
class CNAPSConfig(FilmConfig):
    """CNAPS: a generated linear classifier; the defaults are the published architecture."""

    method: Literal["cnaps"] = "cnaps"
    """Name of the method."""


@dataclass(frozen=True)
class TransductiveCNAPSConfig(FilmConfig):
    """Transductive CNAPS: Simple CNAPS that looks at all query pictures of a task together."""

    method: Literal["transductive-cnaps"] = "transductive-cnaps"
    """Name of the method."""
    refinements: Annotated[int, at_least(0)] = 4
    """Steps of soft k-means after training, at most; none in training. It ends when no label changes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("adaptation", self.adaptation != "templates", "film, film+ar or none")


@dataclass(frozen=True)
class MatchingConfig(FilmConfig):
    """Matching networks: cosine attention over the support pictures, without FiLM unless asked for."""

    method: Literal["matching"] = "matching"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: the paper's; ``film``, ``film+ar`` and ``templates``: as Simple CNAPS has them."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the cosines in the attention; the paper's is 1."""
    learn_scale: bool = True
    """Meta-train the factor too."""


@dataclass(frozen=True)
class RelationConfig(FilmConfig):
    """Relation networks: a small learned network compares a query with a class mean, without FiLM unless asked for."""

    method: Literal["relation"] = "relation"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: the paper's; ``film``, ``film+ar`` and ``templates``: as Simple CNAPS has them."""
    hidden_dim: Annotated[int, at_least(1)] = 256
    """Width of the network that compares."""


@dataclass(frozen=True)
class ShrinkageConfig(FilmConfig):
    """Discriminant analysis, on frozen features unless asked for FiLM."""

    adaptation: Adaptation = "none"
    """``none``: features as they are; ``film``, ``film+ar`` and ``templates``: as Simple CNAPS has them."""
    shrinkage: Annotated[float, Range(lambda share: 0 < share <= 1, "a number above 0 and up to 1")] = 0.5
    """How far covariances are drawn to a multiple of the identity, in (0, 1]; 1 is the nearest class mean."""


@dataclass(frozen=True)
class LDAConfig(ShrinkageConfig):
    """Linear discriminant analysis: one covariance for all classes."""

    method: Literal["lda"] = "lda"
    """Name of the method."""


@dataclass(frozen=True)
class QDAConfig(ShrinkageConfig):
    """Quadratic discriminant analysis: a covariance a class."""

    method: Literal["qda"] = "qda"
    """Name of the method."""


@dataclass(frozen=True)
class FiTConfig(LearnerConfig):
    """FiT: FiLM parameters and a naive Bayes head fine-tuned on every support set; nothing is meta-trained."""

    method: Literal["fit"] = "fit"
    """Name of the method."""
    head: Literal["qda", "lda", "prototypes"] = "lda"
    """Covariances of the classes: one each, one for all, or none."""
    sites: tuple[str, ...] = ("layer*.*.bn[12]",)
    """Names or patterns of the normalisation layers that FiLM follows."""
    steps: Annotated[int, at_least(0)] = 400
    """Steps of Adam on every support set."""
    learning_rate: Annotated[float, above(0)] = 0.0035
    """Step size."""
    seed: int = 0
    """Seed of the small tasks; the classifier is a function of it and the support set."""


@dataclass(frozen=True)
class FineTuningConfig(LearnerConfig):
    """Baseline and Baseline++: a head fine-tuned on frozen features of every support set; nothing is meta-trained."""

    method: Literal["fine-tuning"] = "fine-tuning"
    """Name of the method."""
    head: Literal["linear", "cosine"] = "linear"
    """``linear`` is Baseline, ``cosine`` Baseline++."""
    passes: Annotated[int, at_least(0)] = 100
    """Passes over the support set."""
    batch_size: Annotated[int, at_least(1)] = 4
    """Pictures in a step."""
    learning_rate: Annotated[float, above(0)] = 0.01
    """Step size of SGD."""
    weight_decay: Annotated[float, at_least(0)] = 0.001
    """Weight decay of the head."""
    scale: Annotated[float, above(0)] = 2.0
    """Factor of the cosines in the logits."""
    seed: int = 0
    """Seed of the pictures' order; the classifier is a function of it and the support set."""


AnyLearnerConfig = (
    SimpleCNAPSConfig
    | CNAPSConfig
    | TransductiveCNAPSConfig
    | PrototypesConfig
    | MatchingConfig
    | RelationConfig
    | LDAConfig
    | QDAConfig
    | FiTConfig
    | FineTuningConfig
    | MAMLConfig
    | ANILConfig
    | MetaSGDConfig
)
"""The settings of any method; ``method`` tells which."""
