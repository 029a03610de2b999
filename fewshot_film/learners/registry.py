"""Which class implements which method."""

from __future__ import annotations

from fewshot_film.config.learners import (
    ANILConfig,
    CNAPSConfig,
    FineTuningConfig,
    FiTConfig,
    LDAConfig,
    LearnerConfig,
    MAMLConfig,
    MatchingConfig,
    MetaSGDConfig,
    PrototypesConfig,
    QDAConfig,
    RelationConfig,
    SimpleCNAPSConfig,
    TransductiveCNAPSConfig,
)
from fewshot_film.learners.anil import ANIL
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.cnaps import CNAPS
from fewshot_film.learners.discriminants import LDA, QDA
from fewshot_film.learners.fine_tuning import FineTuning
from fewshot_film.learners.fit import FiT
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.maml import MAML
from fewshot_film.learners.matching import Matching
from fewshot_film.learners.meta_sgd import MetaSGD
from fewshot_film.learners.prototypes import Prototypes
from fewshot_film.learners.relation import Relation
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.learners.transductive_cnaps import TransductiveCNAPS

LEARNERS: dict[type[LearnerConfig], type[Learner]] = {
    SimpleCNAPSConfig: SimpleCNAPS,
    CNAPSConfig: CNAPS,
    TransductiveCNAPSConfig: TransductiveCNAPS,
    PrototypesConfig: Prototypes,
    MatchingConfig: Matching,
    RelationConfig: Relation,
    LDAConfig: LDA,
    QDAConfig: QDA,
    FiTConfig: FiT,
    FineTuningConfig: FineTuning,
    MAMLConfig: MAML,
    ANILConfig: ANIL,
    MetaSGDConfig: MetaSGD,
}
"""The learner of every configuration."""

CONFIGS: dict[str, type[LearnerConfig]] = {config().method: config for config in LEARNERS}
"""The configuration of every method, by its name."""


def build_learner(config: LearnerConfig, backbone: Backbone | None = None) -> Learner:
    """The learner that a configuration describes, with fresh weights but those of its backbone.

    Args:
        config: settings of a method.
        backbone: the network that gives the features; default: built from ``config.backbone``.

    Raises:
        WeightsError: the backbone's weights cannot be found, fetched or fitted.
        TypeError: the configuration is of no method.
    """
    learner = LEARNERS.get(type(config))
    if learner is None:
        known = ", ".join(sorted(found.__name__ for found in LEARNERS))
        raise TypeError(f"a {type(config).__name__} is the configuration of no method; expected one of {known}")
    return learner(config, backbone)
