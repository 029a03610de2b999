"""Keys of settings that were renamed or dropped, so that what was written for an earlier version is still read.

Flags, configuration files, saved models and checkpoints all go through the one table :data:`OLD_KEYS`.
Imports no torch.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewshot_film.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class OldKey:
    """One key that settings no longer have."""

    owner: str
    """The dataclass that had it, after its half: ``fewshot_film.BackboneConfig``, ``clevr.TrainConfig``."""
    name: str
    """What it was called."""
    now: str
    """What it is called now; empty: there is no such setting any more."""
    since: str
    """The first version without it."""
    only: Any = None
    """For a key without a new name: the value that is always used now, the one that may still be given."""


OLD_KEYS: tuple[OldKey, ...] = (
    OldKey("fewshot_film.BackboneConfig", "feature_lengths", "feature_norms", "0.2"),
    OldKey("fewshot_film.BackboneConfig", "feature_power", "tukey_power", "0.2"),
    OldKey("fewshot_film.BackboneConfig", "mirror", "flip_tta", "0.2"),
    OldKey("fewshot_film.CalibrateConfig", "test_split", "", "0.2", only="test"),
    OldKey("fewshot_film.EvaluateConfig", "feature_power", "tukey_power", "0.2"),
    OldKey("fewshot_film.EvaluateConfig", "mirror", "flip_tta", "0.2"),
    OldKey("fewshot_film.FiTConfig", "task_size", "", "0.2", only=100),
    OldKey("fewshot_film.FilmConfig", "film_spread", "init_std", "0.2"),
    OldKey("fewshot_film.FilmConfig", "whitening", "feature_scaling", "0.2"),
    OldKey("fewshot_film.FineTuningConfig", "passes", "epochs", "0.2"),
    OldKey("fewshot_film.GradientConfig", "inner_rate", "inner_lr", "0.2"),
    OldKey("fewshot_film.PretrainConfig", "quarter_turns", "rotation_ssl", "0.2"),
    OldKey("fewshot_film.TransductiveCNAPSConfig", "min_refinements", "", "0.2", only=2),
    OldKey("fewshot_film.ReportConfig", "pictures", "figures", "0.2"),
    OldKey("clevr.AskConfig", "picture", "image", "0.2"),
    OldKey("clevr.AugmentationConfig", "gamma", "brightness", "0.2"),
    OldKey("clevr.ClevrDataConfig", "pictures", "images", "0.2"),
    OldKey("clevr.EvaluateConfig", "common_data", "", "0.2", only=None),
    OldKey("clevr.InspectConfig", "pictures", "images", "0.2"),
    OldKey("clevr.ReasonerConfig", "dilations", "", "0.2", only=()),
    OldKey("clevr.ReportConfig", "pictures", "figures", "0.2"),
    OldKey("clevr.TrainConfig", "effects", "augmentation", "0.2"),
    OldKey("clevr.TrainConfig", "outline_weight", "program_weight", "0.2"),
    OldKey("clevr.TrainConfig", "referent_weight", "trace_weight", "0.2"),
    OldKey("clevr.TrainConfig", "seeing", "trunk_pretraining", "0.2"),
    OldKey("clevr.TrunkPretrainingConfig", "mirror", "flip", "0.2"),
    OldKey("clevr.TrunkPretrainingConfig", "pictures", "images", "0.2"),
)
"""Every key that was renamed or dropped. An entry is never removed: saved models keep their keys for good."""

OLD_WEIGHTS: tuple[OldKey, ...] = (
    OldKey("clevr.FiLMReasoner", "joining", "concat_projection", "0.2"),
    OldKey("clevr.FiLMReasoner", "placing", "input_projection", "0.2"),
    OldKey("clevr.ReasonerTraining", "outline_head", "program_head", "0.2"),
    OldKey("clevr.ReasonerTraining", "referent_head", "trace_head", "0.2"),
    OldKey("clevr.QuestionEncoder", "looking", "attention", "0.2"),
    OldKey("clevr.QuestionEncoder", "scaling", "norm", "0.2"),
)
"""The same of parts of networks, whose names begin the keys of their weights."""


def current_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an earlier version under the present names of a network's parts.

    Args:
        module: what the weights are of; it may hold the network as a part.
        weights: a state dict.
    """
    found = dict(weights)
    for name, part in module.named_modules():
        prefix, owner = f"{name}." if name else "", _title(type(part))
        for old in OLD_WEIGHTS:
            if old.owner == owner:
                before, after = f"{prefix}{old.name}.", f"{prefix}{old.now}."
                found = {key.replace(before, after, 1) if key.startswith(before) else key: found[key] for key in found}
    return found


def current(kind: Any, values: Mapping[str, Any], say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Plain settings under their present names, nested ones too.

    Args:
        kind: the dataclass that they are of, or a union of such.
        values: settings as a file, a saved model or a checkpoint holds them.
        say: gets one line for each old key; default: nothing is said.

    Raises:
        ConfigError: a setting is given under both of its names, or one that is gone has another value than is used now.
    """
    return _current(dataclasses_in(kind), values, say or (lambda line: None), "")


def current_key(config_class: type, key: str, say: Callable[[str], None]) -> str:
    """The present name of a dotted key; the key itself where it is not an old one.

    Args:
        config_class: the dataclass of all settings.
        key: as in ``--learner.backbone.width``.
        say: gets a line for each part of it that is old.

    Raises:
        ConfigError: there is no such setting any more.
    """
    owners, prefix, parts = [config_class], "", []
    for part in key.split("."):
        old = _find(owners, part)
        if old is not None and not old.now:
            raise ConfigError(f"{prefix}{part} {_is_gone(old)}")
        if old is not None:
            say(_renamed(old, prefix))
        parts.append(old.now if old is not None else part)
        owners, prefix = _groups(owners, parts[-1]), f"{prefix}{parts[-1]}."
    return ".".join(parts)


def _current(
    owners: Sequence[type], values: Mapping[str, Any], say: Callable[[str], None], prefix: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        old = _find(owners, key)
        if old is not None and not old.now:
            if _as_tuple(value) != old.only:
                raise ConfigError(f"{prefix}{key} is {value}, and {_is_gone(old)}")
            say(f"{prefix}{key} {_is_gone(old)}")
            continue
        if old is not None:
            if old.now in values:
                raise ConfigError(f"{prefix}{key} and {prefix}{old.now} are the same setting; leave {prefix}{key} out")
            say(_renamed(old, prefix))
        name = key if old is None else old.now
        groups = _groups(owners, name)
        is_group = groups and isinstance(value, Mapping)
        found[name] = _current(groups, value, say, f"{prefix}{name}.") if is_group else value
    return found


def _find(owners: Sequence[type], name: str) -> OldKey | None:
    """The entry of a key that one of some dataclasses had."""
    titles = {_title(base) for owner in owners for base in owner.__mro__}
    return next((old for old in OLD_KEYS if old.name == name and old.owner in titles), None)


def _title(kind: type) -> str:
    """A class after its half, as the tables name it."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def _groups(owners: Sequence[type], name: str) -> list[type]:
    """The dataclasses that a field can hold: one, or several where it is a union of them."""
    return [each for owner in owners for each in dataclasses_in(_hints(owner).get(name))]


@functools.cache
def _hints(config_class: type) -> dict[str, Any]:
    """The types of a dataclass's settings."""
    return typing.get_type_hints(config_class)


def dataclasses_in(kind: Any) -> list[type]:
    """The dataclasses that a value of a type can be an instance of."""
    return [
        each for each in (kind, *typing.get_args(kind)) if isinstance(each, type) and dataclasses.is_dataclass(each)
    ]


def _renamed(old: OldKey, prefix: str) -> str:
    return (
        f"{prefix}{old.name} is called {prefix}{old.now} since version {old.since}; use the new name, as flags and "
        "configuration files lose the old one with version 1.0"
    )


def _is_gone(old: OldKey) -> str:
    only = "null" if old.only is None else list(old.only) if isinstance(old.only, tuple) else old.only
    return f"is always {only} since version {old.since}; leave it out"


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
