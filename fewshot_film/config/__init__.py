"""Settings of the few-shot rooms as frozen dataclasses: what YAML files and flags can say.

Free of torch, so that a command line starts at once; the rooms import their settings from here.
"""

from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.data import AugmentConfig, DataConfig, SourceConfig
from fewshot_film.config.learners import (
    AlphaTIMConfig,
    ANILConfig,
    BDCSPNConfig,
    CNAPSConfig,
    FineTuningConfig,
    FiTConfig,
    InformationConfig,
    LaplacianShotConfig,
    LDAConfig,
    LogisticRegressionConfig,
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
    TIMConfig,
    TransductiveCNAPSConfig,
    TransductiveConfig,
)

__all__ = [
    "ANILConfig",
    "AlphaTIMConfig",
    "AugmentConfig",
    "BDCSPNConfig",
    "BackboneConfig",
    "CNAPSConfig",
    "DataConfig",
    "FiTConfig",
    "FineTuningConfig",
    "InformationConfig",
    "LDAConfig",
    "LaplacianShotConfig",
    "LogisticRegressionConfig",
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
    "TIMConfig",
    "TransductiveCNAPSConfig",
    "TransductiveConfig",
]
