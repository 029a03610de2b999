"""Settings of learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.run.settings import SHARE, Range, Settings, above, at_least, between

Adaptation = Literal["film", "film+ar", "templates", "channelwise", "none"]
OneShot = Literal["zero", "broadcast"]


@dataclass(frozen=True)
class LearnerConfig(Settings, group="learner"):
    """Settings of every method."""

    method: str = ""
    """Name of the method."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The network that computes the features."""
    chunk: Annotated[int, at_least(1)] = 64
    """Number of images per forward pass where no gradient is needed."""


@dataclass(frozen=True)
class FilmConfig(LearnerConfig):
    """Methods with a head on features that FiLM can adapt, in one pass over the support set."""

    adaptation: Adaptation = "film"
    """``film``: all sites from the task embedding; ``film+ar``: stage by stage (autoregressive); ``templates``: a blend
    of learned values, one set per source; ``channelwise``: each channel from its statistics over the support set;
    ``none``: unmodified features."""
    templates: tuple[str, ...] = ()
    """With ``templates``, names of the sources that have a set of values; empty: the training sources."""
    feature_scaling: Annotated[float, between(0, 1)] = 0.0
    """With ``templates``, for images unlike all sources: each feature is divided by its standard deviation over the
    support set raised to this power; 0 leaves features unmodified, 1 gives all the same standard deviation. Needs
    ``feature_norms.*`` among the sites."""
    sites: tuple[str, ...] = ("layer*.*.bn[12]",)
    """Names or patterns of the normalisation layers that FiLM follows."""
    code_dim: Annotated[int, at_least(1)] = 64
    """Dimension of the task embedding, width of the set encoder's layers; with ``channelwise`` of the generator's."""
    set_encoder_layers: Annotated[int, at_least(1)] = 5
    """Number of convolution blocks in the set encoder, each halving the resolution; use 4 for 28 x 28 images."""
    penalty: Annotated[float, at_least(0)] = 0.001
    """Weight of the sum of r squared in the loss; with templates, of their squared distance from the identity."""
    init_std: Annotated[float, at_least(0)] = 0.001
    """Initial standard deviation of r: how far from the identity FiLM starts. The paper's value suits 100,000 tasks;
    with 0.1, FiLM differs between tasks from the first step."""
    train_backbone: bool = False
    """Meta-train the backbone's convolutions too; the CNAPS papers freeze them after pre-training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adaptation != "templates":
            self._expect("templates", not self.templates, f"none with adaptation {self.adaptation}")
            self._expect("feature_scaling", not self.feature_scaling, f"0 with adaptation {self.adaptation}")


@dataclass(frozen=True)
class SimpleCNAPSConfig(FilmConfig):
    """Simple CNAPS; the defaults are the published architecture."""

    method: Literal["simple-cnaps"] = "simple-cnaps"
    """Name of the method."""
    one_shot: OneShot = "zero"
    """Covariance of a class with a single image; ``broadcast`` reproduces the reference implementation."""


@dataclass(frozen=True)
class PrototypesConfig(FilmConfig):
    """Prototypical networks: nearest class mean, by default without FiLM."""

    method: Literal["prototypes"] = "prototypes"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: as in the paper; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    distance: Literal["cosine", "euclidean"] = "cosine"
    """``euclidean`` is the paper's squared distance; ``cosine`` compares directions."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor that scales the cosine in the logits."""
    learn_scale: bool = False
    """Meta-train the factor as well, as in Meta-Baseline."""


@dataclass(frozen=True)
class RidgeConfig(FilmConfig):
    """Ridge regression of the classes on normalised features, by default without FiLM."""

    method: Literal["ridge"] = "ridge"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: unmodified features; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    power: Annotated[float, SHARE] = 0.5
    """Exponent applied to each feature's magnitude before its vector is brought to length 1; 1 leaves it as it is."""
    ridge_penalty: Annotated[float, above(0)] = 0.4
    """Weight of the squared coefficients, as a multiple of the support features' variance."""
    scale: Annotated[float, above(0)] = 14.0
    """Factor of the logits; the default makes probabilities right for photographs on ImageNet features."""


@dataclass(frozen=True)
class GradientConfig(LearnerConfig):
    """Methods that take a few gradient steps on the support set and are meta-trained through them."""

    inner_steps: Annotated[int, at_least(1)] = 5
    """Gradient steps on the support set in meta-training."""
    test_steps: Annotated[int, at_least(0)] = 0
    """Gradient steps in validation and at test time; 0: as many as in training."""
    inner_lr: Annotated[float, above(0)] = 0.1
    """Learning rate of the inner loop."""
    first_order: bool = False
    """First-order approximation: ignore second derivatives, which saves time and memory."""
    way: Annotated[int, Range(lambda way: way == 0 or way >= 2, "0, or at least 2")] = 0
    """0: any number of classes, with a head that starts at zero; else the fixed number of classes, each with learned
    initial weights."""
    statistics: Literal["support", "transductive", "running"] = "support"
    """BatchNorm statistics: of the support set, of the query images (transductive), or running statistics of
    pre-training."""
    train_backbone: bool = True
    """Meta-train the initial weights of the backbone too."""


@dataclass(frozen=True)
class ANILConfig(GradientConfig):
    """ANIL: MAML whose inner loop adapts only the head."""

    method: Literal["anil"] = "anil"
    """Name of the method."""


@dataclass(frozen=True)
class InnerConfig(GradientConfig):
    """Methods whose inner loop adapts the network or its FiLM parameters."""

    inner: Literal["all", "film+head", "film"] = "all"
    """What the inner loop adapts: backbone and head; gamma, beta and head; or only gamma and beta."""
    sites: tuple[str, ...] = ("layer*.*.bn[12]",)
    """Names or patterns of the normalisation layers that FiLM follows."""
    film_start: Literal["learned", "identity"] = "learned"
    """Initial gamma and beta: meta-trained, starting from the identity, or always the identity."""

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
            "true where inner is all; set inner to film+head to keep the backbone unchanged",
        )


@dataclass(frozen=True)
class MAMLConfig(InnerConfig):
    """MAML: initial weights from which a few gradient steps on the support set give a good classifier."""

    method: Literal["maml"] = "maml"
    """Name of the method."""


@dataclass(frozen=True)
class MetaSGDConfig(InnerConfig):
    """Meta-SGD: MAML with a learned learning rate per weight, initially ``inner_lr``."""

    method: Literal["meta-sgd"] = "meta-sgd"
    """Name of the method."""


@dataclass(frozen=True)
class CNAPSConfig(FilmConfig):
    """CNAPS: a generated linear classifier; the defaults are the published architecture."""

    method: Literal["cnaps"] = "cnaps"
    """Name of the method."""


@dataclass(frozen=True)
class TransductiveCNAPSConfig(FilmConfig):
    """Transductive CNAPS: Simple CNAPS that uses all query images of a task together."""

    method: Literal["transductive-cnaps"] = "transductive-cnaps"
    """Name of the method."""
    refinements: Annotated[int, at_least(0)] = 4
    """Maximum number of soft k-means steps at test time; none in training. Stops when no label changes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("adaptation", self.adaptation != "templates", "film, film+ar or none")


@dataclass(frozen=True)
class MatchingConfig(FilmConfig):
    """Matching networks: cosine attention over the support images, by default without FiLM."""

    method: Literal["matching"] = "matching"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: as in the paper; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor that scales the cosines in the attention; 1 in the paper."""
    learn_scale: bool = True
    """Meta-train the factor as well."""


@dataclass(frozen=True)
class RelationConfig(FilmConfig):
    """Relation networks: a small learned network compares queries with class means, by default without FiLM."""

    method: Literal["relation"] = "relation"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: as in the paper; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    hidden_dim: Annotated[int, at_least(1)] = 256
    """Width of the relation network."""


@dataclass(frozen=True)
class FEATConfig(FilmConfig):
    """FEAT: class means adapted to the task by self-attention, by default without FiLM."""

    method: Literal["feat"] = "feat"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: as in the paper; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    temperature: Annotated[float, above(0)] = 64.0
    """What squared distances are divided by in the logits."""
    dropout: Annotated[float, Range(lambda share: 0 <= share < 1, "at least 0 and below 1")] = 0.5
    """Share of the attention's output that is dropped in training."""
    contrast_weight: Annotated[float, at_least(0)] = 0.1
    """Weight of the contrastive loss in training; above 0, features are computed twice."""


@dataclass(frozen=True)
class ShrinkageConfig(FilmConfig):
    """Discriminant analysis on frozen features, by default without FiLM."""

    adaptation: Adaptation = "none"
    """``none``: unmodified features; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    shrinkage: Annotated[float, SHARE] = 0.5
    """Shrinkage of covariances towards a multiple of the identity, in (0, 1]; 1 is the nearest class mean."""


@dataclass(frozen=True)
class LDAConfig(ShrinkageConfig):
    """Linear discriminant analysis: one covariance for all classes."""

    method: Literal["lda"] = "lda"
    """Name of the method."""


@dataclass(frozen=True)
class QDAConfig(ShrinkageConfig):
    """Quadratic discriminant analysis: one covariance per class."""

    method: Literal["qda"] = "qda"
    """Name of the method."""


@dataclass(frozen=True)
class FiTConfig(LearnerConfig):
    """FiT: FiLM parameters and a naive Bayes head, fine-tuned on each support set; nothing is meta-trained."""

    method: Literal["fit"] = "fit"
    """Name of the method."""
    head: Literal["qda", "lda", "prototypes"] = "lda"
    """Class covariances: one per class, one shared by all, or none."""
    sites: tuple[str, ...] = ("layer*.*.bn[12]",)
    """Names or patterns of the normalisation layers that FiLM follows."""
    steps: Annotated[int, at_least(0)] = 400
    """Adam steps on each support set."""
    learning_rate: Annotated[float, above(0)] = 0.0035
    """Learning rate."""
    seed: int = 0
    """Seed of the small tasks; the classifier is a function of the seed and the support set."""


@dataclass(frozen=True)
class FineTuningConfig(LearnerConfig):
    """Baseline and Baseline++: a head fine-tuned on frozen features of each support set; nothing is meta-trained."""

    method: Literal["fine-tuning"] = "fine-tuning"
    """Name of the method."""
    head: Literal["linear", "cosine"] = "linear"
    """``linear`` is Baseline, ``cosine`` is Baseline++."""
    epochs: Annotated[int, at_least(0)] = 100
    """Number of epochs over the support set."""
    batch_size: Annotated[int, at_least(1)] = 4
    """Images per step."""
    learning_rate: Annotated[float, above(0)] = 0.01
    """Learning rate of SGD."""
    weight_decay: Annotated[float, at_least(0)] = 0.001
    """Weight decay of the head."""
    scale: Annotated[float, above(0)] = 2.0
    """Factor that scales the cosines in the logits."""
    seed: int = 0
    """Seed of the order of images; the classifier is a function of the seed and the support set."""


@dataclass(frozen=True)
class LogisticRegressionConfig(LearnerConfig):
    """Logistic regression on frozen features of each support set; nothing is meta-trained."""

    method: Literal["logistic-regression"] = "logistic-regression"
    """Name of the method."""
    length: Annotated[float, above(0)] = 10.0
    """Length that feature vectors are scaled to; with 1, the penalty weighs a hundred times as much."""
    inverse_penalty: Annotated[float, above(0)] = 1.0
    """Weight of the cross-entropy, scikit-learn's ``C``."""


@dataclass(frozen=True)
class SVMConfig(FilmConfig):
    """A linear support vector machine, MetaOptNet's head, by default without FiLM."""

    method: Literal["svm"] = "svm"
    """Name of the method."""
    adaptation: Adaptation = "none"
    """``none``: unmodified features; ``film``, ``film+ar`` and ``templates``: as in Simple CNAPS."""
    length: Annotated[float, above(0)] = 10.0
    """Length that feature vectors are scaled to; with 1, the penalty weighs a hundred times as much."""
    inverse_penalty: Annotated[float, above(0)] = 0.1
    """Weight of the margin errors, the paper's C."""
    scale: Annotated[float, above(0)] = 1.0
    """Factor of the logits, the paper's gamma."""
    learn_scale: bool = False
    """Meta-train the factor as well, as in the paper."""


@dataclass(frozen=True)
class SimpleShotConfig(LearnerConfig):
    """SimpleShot: nearest class mean after a simple transform of the features; nothing is meta-trained."""

    method: Literal["simple-shot"] = "simple-shot"
    """Name of the method."""
    transform: Literal["un", "l2n", "cl2n"] = "cl2n"
    """``un``: unmodified features; ``l2n``: of length 1; ``cl2n``: of length 1, after the mean of the training classes
    was subtracted."""


@dataclass(frozen=True)
class URLConfig(LearnerConfig):
    """URL: a linear map of the features, learned on each support set, before the nearest class mean."""

    method: Literal["url"] = "url"
    """Name of the method."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the cosines in the logits."""
    steps: Annotated[int, at_least(0)] = 40
    """Adadelta steps on each support set."""
    learning_rate: Annotated[float, above(0)] = 0.1
    """Learning rate."""


@dataclass(frozen=True)
class SURConfig(LearnerConfig):
    """SUR: a weight for every part of the features, learned on each support set, before the nearest class mean."""

    method: Literal["sur"] = "sur"
    """Name of the method."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the cosines in the logits."""
    steps: Annotated[int, at_least(0)] = 40
    """Adadelta steps on each support set."""
    learning_rate: Annotated[float, above(0)] = 100.0
    """Learning rate."""


@dataclass(frozen=True)
class LinearSVMConfig(LearnerConfig):
    """scikit-learn's linear support vector machine, one class against the rest; nothing is meta-trained."""

    method: Literal["linear-svm"] = "linear-svm"
    """Name of the method."""
    length: Annotated[float, above(0)] = 10.0
    """Length that feature vectors are scaled to; with 1, the penalty weighs a hundred times as much."""
    inverse_penalty: Annotated[float, above(0)] = 1.0
    """Weight of the squared margin errors, scikit-learn's ``C``."""


@dataclass(frozen=True)
class TSAConfig(LearnerConfig):
    """TSA: adapters in a frozen backbone and a linear map behind it, learned on each support set."""

    method: Literal["tsa"] = "tsa"
    """Name of the method."""
    convolutions: tuple[str, ...] = ("layer*.*.conv[12]",)
    """Names or patterns of the 3 x 3 convolutions that have an adapter."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the cosines in the logits."""
    steps: Annotated[int, at_least(0)] = 40
    """Adadelta steps on each support set."""
    learning_rate: Annotated[float, above(0)] = 1.0
    """Learning rate of the linear map; 0.1 in the paper where the backbone was trained on the same domain."""
    adapter_learning_rate: Annotated[float, above(0)] = 0.5
    """Learning rate of the adapters; 0.05 in the paper where the backbone was trained on the same domain."""


@dataclass(frozen=True)
class DN4Config(LearnerConfig):
    """DN4: nearest neighbours of local descriptors, on the maps of a frozen backbone; nothing is meta-trained."""

    method: Literal["dn4"] = "dn4"
    """Name of the method."""
    neighbours: Annotated[int, at_least(1)] = 3
    """Number of nearest descriptors of each class that count, the paper's k."""


@dataclass(frozen=True)
class FRNConfig(LearnerConfig):
    """FRN: queries' maps rebuilt from each class's, on the maps of a frozen backbone; nothing is meta-trained."""

    method: Literal["frn"] = "frn"
    """Name of the method."""
    alpha: float = 0.0
    """Logarithm of the factor of the reconstruction's penalty; learned in the paper, from 0."""
    beta: float = 0.0
    """Logarithm of the factor of the reconstruction; learned in the paper, from 0."""
    scale: Annotated[float, above(0)] = 1.0
    """Factor of the squared errors in the logits, the paper's gamma; learned there, from 1."""


@dataclass(frozen=True)
class DeepEMDConfig(LearnerConfig):
    """DeepEMD: the earth mover's distance between the maps of a frozen backbone; nothing is meta-trained."""

    method: Literal["deep-emd"] = "deep-emd"
    """Name of the method."""
    temperature: Annotated[float, above(0)] = 12.5
    """Factor of the mean similarity in the logits."""


@dataclass(frozen=True)
class TransductiveConfig(LearnerConfig):
    """Methods that classify all queries of a task together, on frozen features; nothing is meta-trained."""

    power: Annotated[float, SHARE] = 1.0
    """Exponent applied to each feature's magnitude before its vector is brought to length 1; 1 leaves it as it is."""
    centring: Literal["none", "task", "sets"] = "none"
    """What is subtracted before features are brought to length 1 again: nothing; the mean over all images of the task;
    or from the support set and the queries the mean of each."""
    self_transport: bool = False
    """Replace features by affinities among all images of the task, by optimal transport of the task to itself (SOT,
    later called BPA)."""


@dataclass(frozen=True)
class SoftKMeansConfig(TransductiveConfig):
    """Soft k-means: class means that the queries refine."""

    method: Literal["soft-kmeans"] = "soft-kmeans"
    """Name of the method."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the squared distances in the logits; 1 in the paper, whose embedding is trained for it."""
    steps: Annotated[int, at_least(0)] = 1
    """Number of refinements."""


@dataclass(frozen=True)
class BDCSPNConfig(TransductiveConfig):
    """BD-CSPN: class means that the queries rectify, and queries shifted to the support set."""

    method: Literal["bd-cspn"] = "bd-cspn"
    """Name of the method."""
    scale: Annotated[float, above(0)] = 10.0
    """Factor of the cosines, in the weights of the images and in the logits."""


@dataclass(frozen=True)
class LaplacianShotConfig(TransductiveConfig):
    """LaplacianShot: neighbouring queries get the same class."""

    method: Literal["laplacian-shot"] = "laplacian-shot"
    """Name of the method."""
    neighbours: Annotated[int, at_least(1)] = 3
    """Number of nearest queries that each query agrees with."""
    laplacian_weight: Annotated[float, at_least(0)] = 0.7
    """Weight of the agreement, the paper's lambda; tuned on mini-ImageNet, 0.7 for one image per class, 0.3 for 5."""
    rectify: bool = True
    """Rectify class means and shift queries first, as in BD-CSPN."""
    steps: Annotated[int, at_least(0)] = 20
    """Number of updates."""


@dataclass(frozen=True)
class InformationConfig(TransductiveConfig):
    """Methods that maximise the mutual information of queries and their labels by gradient descent."""

    temperature: Annotated[float, above(0)] = 15.0
    """Factor of half the squared distances in the logits, the paper's tau."""
    support_weight: Annotated[float, at_least(0)] = 0.1
    """Weight of the support set's cross-entropy."""
    marginal_weight: Annotated[float, at_least(0)] = 1.0
    """Weight of the entropy of the queries' mean probabilities, which is maximised."""
    conditional_weight: Annotated[float, at_least(0)] = 0.1
    """Weight of the mean entropy of the queries' probabilities, which is minimised."""
    steps: Annotated[int, at_least(0)] = 1000
    """Adam steps on each task."""
    learning_rate: Annotated[float, above(0)] = 1e-4
    """Learning rate."""


@dataclass(frozen=True)
class TIMConfig(InformationConfig):
    """TIM: the classifier whose labels of the queries tell most; takes queries to be balanced over classes."""

    method: Literal["tim"] = "tim"
    """Name of the method."""


@dataclass(frozen=True)
class AlphaTIMConfig(InformationConfig):
    """alpha-TIM: TIM with entropies that leave room for unbalanced queries."""

    method: Literal["alpha-tim"] = "alpha-tim"
    """Name of the method."""
    support_weight: Annotated[float, at_least(0)] = 1.0
    """Weight of the support set's cross-entropy."""
    conditional_weight: Annotated[float, at_least(0)] = 1.0
    """Weight of the mean entropy of the queries' probabilities, which is minimised."""
    alpha: Annotated[float, Range(lambda alpha: alpha == 0 or alpha >= 1, "0, or at least 1")] = 0.0
    """Order of the entropies, 1 for Shannon's; 0: the published values, 2 below five images per class and then 7."""


@dataclass(frozen=True)
class PTMAPConfig(TransductiveConfig):
    """PT-MAP: power transform, then class centres by optimal transport; takes queries to be balanced over classes."""

    method: Literal["pt-map"] = "pt-map"
    """Name of the method."""
    power: Annotated[float, SHARE] = 0.5
    """Exponent applied to each feature's magnitude before its vector is brought to length 1: the power transform."""
    steps: Annotated[int, at_least(0)] = 20
    """Number of times the class centres are moved."""
    rate: Annotated[float, SHARE] = 0.2
    """Share of the way to the new estimate that a class centre moves."""
    sinkhorn_lambda: Annotated[float, above(0)] = 10.0
    """Sinkhorn's lambda: the larger, the harder the assignments."""


@dataclass(frozen=True)
class LabelPropagationConfig(TransductiveConfig):
    """Label propagation: labels spread from the support set along a graph of all images of the task."""

    method: Literal["label-propagation"] = "label-propagation"
    """Name of the method."""
    neighbours: Annotated[int, at_least(1)] = 20
    """Number of nearest images that each is linked to."""
    alpha: Annotated[float, Range(lambda alpha: 0 <= alpha < 1, "at least 0 and below 1")] = 0.8
    """How far labels spread; 0.99 in the paper, whose network is trained through it."""
    width: Annotated[float, above(0)] = 0.1
    """What squared distances are divided by, as a share of their mean over linked images; learned for every image in
    the paper."""


@dataclass(frozen=True)
class ILPCConfig(TransductiveConfig):
    """iLPC: labels spread over a graph, and the cleanest are taken over; takes queries to be balanced over classes."""

    method: Literal["ilpc"] = "ilpc"
    """Name of the method."""
    neighbours: Annotated[int, at_least(1)] = 15
    """Number of nearest images that each is linked to."""
    alpha: Annotated[float, Range(lambda alpha: 0 <= alpha < 1, "at least 0 and below 1")] = 0.8
    """How far labels spread."""
    tau: Annotated[float, above(0)] = 3.0
    """Power of the propagated labels before they are balanced: the larger, the harder."""
    clean: Annotated[int, at_least(1)] = 3
    """Queries of each class that get their label in an iteration."""
    steps: Annotated[int, at_least(1)] = 1000
    """Steps of the classifier whose losses tell which labels are clean."""


AnyLearnerConfig = (
    SimpleCNAPSConfig
    | CNAPSConfig
    | TransductiveCNAPSConfig
    | PrototypesConfig
    | MatchingConfig
    | RelationConfig
    | FEATConfig
    | RidgeConfig
    | LDAConfig
    | QDAConfig
    | FiTConfig
    | FineTuningConfig
    | SVMConfig
    | LinearSVMConfig
    | SimpleShotConfig
    | URLConfig
    | SURConfig
    | TSAConfig
    | DN4Config
    | FRNConfig
    | DeepEMDConfig
    | LogisticRegressionConfig
    | SoftKMeansConfig
    | BDCSPNConfig
    | LaplacianShotConfig
    | TIMConfig
    | AlphaTIMConfig
    | PTMAPConfig
    | ILPCConfig
    | LabelPropagationConfig
    | MAMLConfig
    | ANILConfig
    | MetaSGDConfig
)
"""Settings of any method, discriminated by ``method``."""
