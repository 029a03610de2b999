"""Settings of the training loop. Imports no torch, so that ``--help`` is quick."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fewshot_film.run.errors import ConfigError
from fewshot_film.run.settings import OnDevice, above, at_least, below


@dataclass(frozen=True)
class LoopConfig(OnDevice):
    """How a module is trained; the same for pre-training, meta-training and CLEVR.

    Raises:
        ConfigError: a value out of range.
    """

    steps: Annotated[int, at_least(1)] = 10_000
    """Optimizer steps to take in all; a resumed run goes on up to here."""
    accumulate: Annotated[int, at_least(1)] = 1
    """Micro-batches that each process adds up before one optimizer step."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """Adam adds the weight decay to the gradient, AdamW to the weights."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, at_least(0)] = 0.0
    """Weight decay of every trainable parameter."""
    momentum: Annotated[float, at_least(0), below(1)] = 0.9
    """Momentum of sgd; the others do not use it."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant, or along half a cosine down to 0 at the last step."""
    cooldown_steps: Annotated[int, at_least(0)] = 0
    """Last steps, over which a constant learning rate falls linearly to 0. A run that has not come so far may be
    resumed with more steps or fewer: what it has done is the same."""
    warmup_steps: Annotated[int, at_least(0)] = 0
    """Steps over which the learning rate rises linearly from 0."""
    clip_norm: Annotated[float | None, above(0)] = None
    """Largest norm of the gradient over all parameters; null: not clipped."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic, by Lightning Fabric's names; bf16-mixed keeps the weights in 32 bits."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of everything that the loop draws, dropout for example."""
    num_workers: Annotated[int, at_least(0)] = 0
    """Processes that prepare batches ahead; the result is the same for any number."""
    log_every: Annotated[int, at_least(1)] = 50
    """Steps between two lines of metrics.jsonl and TensorBoard; each is the mean since the last one."""
    validate_every: Annotated[int, at_least(1)] = 1000
    """Steps between two validations; one more is made at the end."""
    checkpoint_seconds: Annotated[float, at_least(0)] = 300.0
    """Seconds between two checkpoints."""
    patience: Annotated[int | None, at_least(1)] = None
    """Validations without a better result after which to stop; null: never before the last step."""
    monitor: str = "accuracy"
    """Validation metric that decides which checkpoint is best."""
    mode: Literal["max", "min"] = "max"
    """Whether more of the monitored metric is better, or less."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("warmup_steps", self.warmup_steps < self.steps, f"fewer than steps ({self.steps})")
        left = self.steps - self.warmup_steps
        self._expect("cooldown_steps", self.cooldown_steps <= left, f"at most what the warm-up leaves ({left})")
        if self.cooldown_steps and self.schedule != "constant":
            raise ConfigError("cooldown_steps is set, and schedule is cosine, which cools down by itself; set it to 0")


def plain(config: Any) -> Any:
    """A configuration as YAML and JSON can hold it: dataclasses as dicts, tuples as lists, paths as text."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(key): plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def defaults_of(config_class: type) -> dict[str, Any]:
    """The plain values of a configuration's settings that have a default."""
    found = {}
    for field in dataclasses.fields(config_class):
        if field.default_factory is not dataclasses.MISSING:
            found[field.name] = plain(field.default_factory())
        elif field.default is not dataclasses.MISSING:
            found[field.name] = plain(field.default)
    return found
