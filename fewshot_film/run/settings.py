"""Settings: the base class, whose types state their ranges, and the groups that both halves share. Imports no torch.

    @dataclass(frozen=True)
    class BackboneConfig(Settings, group="backbone"):
        width: Annotated[int, at_least(1)] = 64

``BackboneConfig(width=0)`` raises ``backbone.width is 0; expected at least 1``, and ``--help`` shows the range.
"""

from __future__ import annotations

import functools
import math
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from fewshot_film.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """Values that a setting can have, as the metadata of an ``Annotated`` type.

    A setting that is None has no value and is not looked at; in a tuple every item has to hold, and there must be one.
    """

    holds: Callable[[Any], bool]
    """Whether one value is among them."""
    expected: str
    """What a message says was expected, such as ``at least 1``."""
    may_be_empty: bool = False
    """Whether a tuple may have no items."""

    def admits(self, value: Any) -> bool:
        """Whether a setting may have this value.

        Args:
            value: of the setting; a tuple is looked at item by item.
        """
        if isinstance(value, tuple):
            return (self.may_be_empty or bool(value)) and all(map(self.admits, value))
        return value is None or self.holds(value)


def at_least(least: float, *, may_be_empty: bool = False) -> Range:
    """Finite numbers from ``least`` on.

    Args:
        least: the smallest one.
        may_be_empty: whether a tuple of them may have none.
    """
    return Range(lambda value: least <= value < math.inf, f"at least {least}", may_be_empty)


def above(bound: float) -> Range:
    """Finite numbers greater than ``bound``."""
    return Range(lambda value: bound < value < math.inf, f"above {bound}")


def at_most(most: float, expected: str = "") -> Range:
    """Numbers up to ``most``; messages say ``expected``, or ``at most MOST``."""
    return Range(lambda value: value <= most, expected or f"at most {most}")


def below(bound: float) -> Range:
    """Numbers less than ``bound``."""
    return Range(lambda value: value < bound, f"below {bound}")


def between(least: float, most: float) -> Range:
    """Numbers from ``least`` to ``most``."""
    return Range(lambda value: least <= value <= most, f"a number from {least} to {most}")


SHARE = Range(lambda value: 0 < value <= 1, "above 0, and at most 1")
"""Shares of a whole, of which there must be some."""


def matching(pattern: str, expected: str) -> Range:
    """Texts that a regular expression describes from end to end."""
    return Range(lambda value: re.fullmatch(pattern, value) is not None, expected)


@dataclass(frozen=True)
class Settings:
    """Base of all groups of settings: every instance is in the ranges, and among the options, that its types state.

    A rule between several settings stands in the group's own ``__post_init__``, after that of this class. ``group``,
    given with the class (``class BackboneConfig(Settings, group="backbone")``), is what stands before a setting's name
    in messages, ``backbone`` for ``backbone.width``; it is inherited where it is not given.

    Raises:
        ConfigError: a value out of range; names the setting and says what was expected.
    """

    _group: ClassVar[str] = ""

    def __init_subclass__(cls, group: str | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if group is not None:
            cls._group = group

    def __post_init__(self) -> None:
        own: type = type(self)
        for name, ranges in ranges_of(own).items():
            for each in ranges:
                self._expect(name, each.admits(getattr(self, name)), each.expected)
        for name, options in options_of(own).items():
            self._expect(name, getattr(self, name) in options, f"one of {', '.join(map(str, options))}")

    def _expect(self, name: str, is_good: bool, expected: str) -> None:
        """Refuse the value of a setting unless it is good.

        Args:
            name: of the setting.
            is_good: whether its value can be used.
            expected: the message after ``expected``.

        Raises:
            ConfigError: it is not good.
        """
        if not is_good:
            raise ConfigError(f"{self._title(name)} is {_shown(getattr(self, name))}; expected {expected}")

    def _title(self, name: str) -> str:
        """What messages call a setting."""
        return f"{self._group}.{name}" if self._group else name


def _shown(value: Any) -> Any:
    """A value as messages hold it: tuples as YAML's lists; quotes around a text that would be hard to see without."""
    if isinstance(value, str):
        return value if re.fullmatch(r"\S+", value) else repr(value)
    return list(value) if isinstance(value, tuple) else value


@functools.cache
def ranges_of(config_class: type) -> dict[str, tuple[Range, ...]]:
    """The ranges of the settings that have some, by name.

    Args:
        config_class: a dataclass.
    """
    hints = typing.get_type_hints(config_class, include_extras=True)
    stated = {
        entry.name: tuple(each for each in getattr(hints[entry.name], "__metadata__", ()) if isinstance(each, Range))
        for entry in fields(config_class)
    }
    return {name: ranges for name, ranges in stated.items() if ranges}


@functools.cache
def options_of(config_class: type) -> dict[str, tuple[Any, ...]]:
    """The values of the settings that a ``Literal`` lists, by name.

    Args:
        config_class: a dataclass.
    """
    hints = typing.get_type_hints(config_class)
    listed = {entry.name: hints[entry.name] for entry in fields(config_class)}
    return {name: typing.get_args(hint) for name, hint in listed.items() if typing.get_origin(hint) is Literal}


Workers = Annotated[int | Literal["auto"], Range(lambda number: number == "auto" or number >= 1, "auto, or at least 1")]
"""How many processes; ``auto``: one for every core."""


@dataclass(frozen=True)
class OnDevice(Settings):
    """Settings of what computes with a network."""

    device: str = field(default="auto", kw_only=True)
    """auto (an accelerator where there is one), cpu, cuda, or mps."""


@dataclass(frozen=True)
class LoopConfig(OnDevice):
    """How a module is trained; the same for pre-training, meta-training and CLEVR.

    Raises:
        ConfigError: a value out of range.
    """

    steps: Annotated[int, at_least(1)] = 10_000
    """Total number of optimizer steps; a resumed run continues up to this step."""
    accumulate: Annotated[int, at_least(1)] = 1
    """Micro-batches per process that are accumulated for one optimizer step."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Adam applies weight decay to the gradient, AdamW to the weights."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, at_least(0)] = 0.0
    """Weight decay of every trainable parameter."""
    momentum: Annotated[float, at_least(0), below(1)] = 0.9
    """Momentum of sgd; the others do not use it."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or cosine decay to 0 at the last step."""
    cooldown_steps: Annotated[int, at_least(0)] = 0
    """Number of final steps over which a constant learning rate decays linearly to 0. A run that has not reached them
    may be resumed with a different number of steps."""
    warmup_steps: Annotated[int, at_least(0)] = 0
    """Number of steps over which the learning rate rises linearly from 0."""
    clip_norm: Annotated[float | None, above(0)] = None
    """Maximum norm of the gradient over all parameters; null: no clipping."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Precision, by Lightning Fabric's names; bf16-mixed keeps the weights in 32 bits."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of everything that is sampled in the loop, such as dropout."""
    num_workers: Annotated[int, at_least(0)] = 0
    """Processes that prepare batches in the background; the result does not depend on it."""
    log_every: Annotated[int, at_least(1)] = 50
    """Steps between two points in metrics.jsonl and TensorBoard; each is the mean since the previous one."""
    validate_every: Annotated[int, at_least(1)] = 1000
    """Steps between two validations; there is another one at the end."""
    checkpoint_seconds: Annotated[float, at_least(0)] = 300.0
    """Seconds between two checkpoints."""
    patience: Annotated[int | None, at_least(1)] = None
    """Number of validations without improvement after which to stop early; null: never."""
    monitor: str = "accuracy"
    """Validation metric by which the best checkpoint is selected."""
    mode: Literal["max", "min"] = "max"
    """Whether a higher or a lower value of the metric is better."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("warmup_steps", self.warmup_steps < self.steps, f"fewer than steps ({self.steps})")
        left = self.steps - self.warmup_steps
        self._expect("cooldown_steps", self.cooldown_steps <= left, f"at most the steps after the warm-up ({left})")
        if self.cooldown_steps and self.schedule != "constant":
            raise ConfigError("cooldown_steps is set, but the cosine schedule decays by itself; set it to 0")


def plain(config: Any) -> Any:
    """A configuration as YAML and JSON can hold it: dataclasses as dicts, tuples as lists, paths as text."""
    if is_dataclass(config) and not isinstance(config, type):
        return {entry.name: plain(getattr(config, entry.name)) for entry in fields(config)}
    if isinstance(config, Mapping):
        return {str(key): plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def defaults_of(config_class: type) -> dict[str, Any]:
    """The plain values of a configuration's settings that have a default."""
    found = {}
    for entry in fields(config_class):
        if entry.default_factory is not MISSING:
            found[entry.name] = plain(entry.default_factory())
        elif entry.default is not MISSING:
            found[entry.name] = plain(entry.default)
    return found
