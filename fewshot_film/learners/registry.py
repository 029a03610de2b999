"""Which class implements which method, and learners saved as a folder and loaded again by that name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fewshot_film import efficientnet_lite
from fewshot_film.config.backbone import LITES, PRETRAINED, BackboneConfig
from fewshot_film.config.learners import LearnerConfig
from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.errors import ConfigError, SavedModelError, shown
from fewshot_film.learners.backbone import Backbone, plain_preprocessing
from fewshot_film.learners.bd_cspn import BDCSPN
from fewshot_film.learners.cnaps import CNAPS
from fewshot_film.learners.deep_emd import DeepEMD
from fewshot_film.learners.discriminants import LDA, QDA
from fewshot_film.learners.dn4 import DN4
from fewshot_film.learners.feat import FEAT
from fewshot_film.learners.fine_tuning import FineTuning
from fewshot_film.learners.fit import FiT
from fewshot_film.learners.frn import FRN
from fewshot_film.learners.ilpc import ILPC
from fewshot_film.learners.label_propagation import LabelPropagation
from fewshot_film.learners.laplacian_shot import LaplacianShot
from fewshot_film.learners.learner import Learner
from fewshot_film.learners.linear_svm import LinearSVM
from fewshot_film.learners.logistic_regression import LogisticRegression
from fewshot_film.learners.maml import ANIL, MAML, MetaSGD
from fewshot_film.learners.matching import MatchingNetworks
from fewshot_film.learners.prototypes import PrototypicalNetworks
from fewshot_film.learners.pt_map import PTMAP
from fewshot_film.learners.relation import RelationNetworks
from fewshot_film.learners.ridge import RidgeRegression
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.learners.simple_shot import SimpleShot
from fewshot_film.learners.soft_kmeans import SoftKMeans
from fewshot_film.learners.sur import SUR
from fewshot_film.learners.svm import SVM
from fewshot_film.learners.tim import TIM, AlphaTIM
from fewshot_film.learners.transductive_cnaps import TransductiveCNAPS
from fewshot_film.learners.tsa import TSA
from fewshot_film.learners.url import URL
from fewshot_film.run.checkpoint import differing_weights
from fewshot_film.run.declared import build_as_declared, check_types, refusing
from fewshot_film.run.model_folder import SavedModel, load_model, save_model
from fewshot_film.run.old_keys import current
from fewshot_film.run.settings import plain

LEARNERS: dict[type[LearnerConfig], type[Learner]] = {
    learner.config_class(): learner
    for learner in (
        SimpleCNAPS,
        CNAPS,
        TransductiveCNAPS,
        PrototypicalNetworks,
        MatchingNetworks,
        RelationNetworks,
        FEAT,
        RidgeRegression,
        LDA,
        QDA,
        FiT,
        FineTuning,
        SVM,
        LinearSVM,
        SimpleShot,
        URL,
        SUR,
        TSA,
        DN4,
        FRN,
        DeepEMD,
        LogisticRegression,
        SoftKMeans,
        BDCSPN,
        LaplacianShot,
        TIM,
        AlphaTIM,
        PTMAP,
        ILPC,
        LabelPropagation,
        MAML,
        ANIL,
        MetaSGD,
    )
}
"""The learner of every configuration."""

BACKBONE = "backbone."
"""How the names of a backbone's weights begin in a learner's state dict."""
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


class UnsavableError(SavedModelError, ValueError):
    """What a saved model's folder cannot hold, so that it could not be loaded again; nothing was written."""


def save_learner(folder: Path, learner: Learner, training: Mapping[str, Any], card: str) -> None:
    """Save a learner; the folder is complete or, after a kill, as it was before.

    Args:
        folder: made, or replaced.
        learner: what to save.
        training: what it was trained on and how, kept in ``config.json``.
        card: text of the model card.

    Raises:
        UnsavableError: the folder could not be loaded again; nothing is written.
    """
    check_can_be_rebuilt(learner, "torch.save(learner, file) keeps it as it is")
    record = record_of(learner, training)
    is_named = bool(record["learner"]["backbone"]["weights"])
    own = {key: value for key, value in learner.state_dict().items() if not (is_named and key.startswith(BACKBONE))}
    save_model(folder, own, record, card)


def record_of(learner: Learner, training: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config.json`` says of a learner: from it and its weights :func:`learner_of` makes the learner again."""
    weights = PRETRAINED if has_packaged_backbone(learner) else ""
    backbone = dataclasses.replace(learner.config.backbone, weights=weights)
    config = dataclasses.replace(learner.config, backbone=backbone)
    return {"kind": config.method, "learner": plain(config), "training": plain(training)}


def has_packaged_backbone(learner: Learner) -> bool:
    """Whether the backbone's weights are those of its package: a saved model names them and does not hold them."""
    config = learner.config.backbone
    if config.name not in LITES or config.weights != PRETRAINED:
        return False
    packaged = efficientnet_lite.read_packaged_weights(SavedModelError, config.name)
    found = learner.backbone.state_dict()
    return all(torch.equal(found[key].cpu(), value) for key, value in packaged.items())


def check_can_be_rebuilt(learner: Learner, advice: str) -> None:
    """Refuse a learner that its configuration does not describe: loaded again it would be another, or an error.

    The network that the configuration describes is built, with random weights, and compared part by part.

    Args:
        learner: what shall be saved.
        advice: what else to do, for the error.

    Raises:
        UnsavableError: says what differs.
    """
    method = learner.config.method
    kind = LEARNERS.get(type(learner.config))
    difference = ""
    if kind is not type(learner) or CONFIGS.get(method) is not type(learner.config):
        difference = f"a {type(learner).__name__} with a {type(learner.config).__name__} is no method of this project"
    else:
        backbone = dataclasses.replace(learner.config.backbone, weights="")
        with torch.random.fork_rng(devices=[]):
            described = build_learner(dataclasses.replace(learner.config, backbone=backbone))
        difference = _difference(described, learner)
    if difference:
        raise UnsavableError(
            f"this model could not be loaded again: {difference}. A saved model holds weights and settings, no code; "
            f"build the learner from its configuration (build_learner), or {advice}. Nothing was written"
        )


def _difference(described: Learner, learner: Learner) -> str:
    """In which part a learner is not what its configuration describes; empty where it is that."""
    expected, found = _outline(described), _outline(learner)
    for name in (*found, *expected):
        if found.get(name) != expected.get(name):
            part = f"its part {name!r}" if name else "it"
            return f"{part} is {_shown(found.get(name))}, and its configuration describes {_shown(expected.get(name))}"
    problems = differing_weights(described.state_dict(), learner.state_dict())
    return "; ".join(problems)


def _outline(learner: Learner) -> dict[str, str]:
    """Every module's kind and settings, by name."""
    return {
        name: f"{type(module).__module__}.{type(module).__qualname__}({module.extra_repr()})"
        + ("" if not isinstance(module, Backbone) else f" flip_tta={module.flip_tta}")
        for name, module in learner.named_modules()
    }


def _shown(outline: str | None) -> str:
    return "missing" if outline is None else outline if len(outline) <= 80 else f"{outline[:77]}..."


def load_learner(folder: str | Path) -> Learner:
    """The learner saved in a folder, on the CPU, in evaluation mode.

    Raises:
        SavedModelError: a file is missing or damaged, or the folder holds something else.
    """
    return learner_of(load_model(Path(folder)))


def learner_of(saved: SavedModel) -> Learner:
    """The learner that a saved model holds, on the CPU, in evaluation mode.

    Raises:
        SavedModelError: it is no learner, or its weights are of another network.
        WeightsError: the backbone's weights are those of a package that is not installed.
    """
    kind = saved.config.get("kind")
    if not isinstance(kind, str) or kind not in CONFIGS:
        raise SavedModelError(
            f"{saved.folder} holds a model of kind {kind!r}; expected one of {', '.join(CONFIGS)}, as `fewshot-film "
            "pretrain` and `fewshot-film train` write them"
        )
    with refusing(saved.folder):
        config = _learner_config(saved.folder, CONFIGS[kind], saved.config["learner"])
        _check_backbone(saved.folder, config.backbone)
        random = dataclasses.replace(config, backbone=dataclasses.replace(config.backbone, weights=""))
    elsewhere = BACKBONE if config.backbone.weights else ""
    build_as_declared(lambda: build_learner(random), saved.weights, saved.folder, elsewhere)
    learner = build_learner(config)
    if learner.config.backbone.weights:  # named, not held; a fitted classifier holds them all the same
        named = {key: value for key, value in learner.state_dict().items() if key.startswith(BACKBONE)}
        saved = dataclasses.replace(saved, weights={**named, **saved.weights})
    saved.load_into(learner)
    learner.eval()
    return learner


def _learner_config(folder: str | Path, kind: type[LearnerConfig], record: Mapping[str, Any]) -> LearnerConfig:
    try:
        values = _tuples(current(kind, record))
        config = kind(**{**values, "backbone": _backbone_config(_tuples(values["backbone"]))})
        check_types(config)
        return config
    except (TypeError, ConfigError) as error:
        raise SavedModelError(
            f"{folder} was written by another version of this project: its settings do not fit ({error}); use that "
            "version, or train again"
        ) from None


def _check_backbone(folder: Path, config: BackboneConfig) -> None:
    """Let a saved model name no file of this computer, nothing to download, and no code of others.

    Raises:
        SavedModelError: it names something else than the networks and weights of installed packages.
    """
    if config.weights and not (config.weights == PRETRAINED and config.name in LITES):
        raise SavedModelError(
            f"{folder} says that the backbone's weights are {shown(config.weights)}; a saved model holds them itself"
        )
    if not re.fullmatch(r"(\w+:)?[\w.-]+", config.name):
        raise SavedModelError(f"{folder} names the backbone {shown(config.name)}, which is no network's plain name")


def _backbone_config(values: dict[str, Any]) -> BackboneConfig:
    """The settings of a backbone; those of a version before it stated what it reads were all stretched to a square."""
    if "preprocessing" not in values:
        stated = plain_preprocessing(values["image_size"], values["channels"])
        return BackboneConfig(**values, preprocessing=None if values["name"] == "cnaps-resnet18" else stated)
    stated = values["preprocessing"]
    return BackboneConfig(**{**values, "preprocessing": stated and Preprocessing(**_tuples(stated))})


def _tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
