"""Settings of the training loop. Does not import torch, so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fewshot_film.errors import ConfigError
from fewshot_film.run.settings import OnDevice, above, at_least, below


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
