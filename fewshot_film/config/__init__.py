"""Settings of the few-shot rooms as frozen dataclasses: what YAML files and flags can say.

Free of torch, so that a command line starts at once; the rooms import their settings from here.
"""

from fewshot_film.config.data import AugmentConfig, DataConfig, SourceConfig
from fewshot_film.config.learners import (
    ANILConfig,
    BackboneConfig,
    CNAPSConfig,
    FineTuningConfig,
    FiTConfig,
    LDAConfig,
    MAMLConfig,
    MatchingConfig,
    MetaSGDConfig,
    PrototypesConfig,
    PTMAPConfig,
    QDAConfig,
    RelationConfig,
    RidgeConfig,
    SimpleCNAPSConfig,
    SoftKMeansConfig,
    TransductiveCNAPSConfig,
    TransductiveConfig,
)

__all__ = [
    "ANILConfig",
    "AugmentConfig",
    "BackboneConfig",
    "CNAPSConfig",
    "DataConfig",
    "FiTConfig",
    "FineTuningConfig",
    "LDAConfig",
    "MAMLConfig",
    "MatchingConfig",
    "MetaSGDConfig",
    "PTMAPConfig",
    "PrototypesConfig",
    "QDAConfig",
    "RelationConfig",
    "RidgeConfig",
    "SimpleCNAPSConfig",
    "SoftKMeansConfig",
    "SourceConfig",
    "TransductiveCNAPSConfig",
    "TransductiveConfig",
]
