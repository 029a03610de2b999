"""How far a run has come: what a checkpoint knows beside weights and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Progress:
    """Counters of a run, all of them plain values."""

    step: int = 0
    """Optimizer steps taken."""
    micro_batches_per_step: int = 1
    """Over all processes; resuming needs the same number, however it is divided."""
    best: float | None = None
    """Best value so far of the monitored validation metric."""
    best_step: int | None = None
    """After which step it was reached."""
    validated_step: int | None = None
    """After which step the last validation was made."""
    validations_since_best: int = 0
    """For early stopping."""
    lines: int = 0
    """Lines written to ``metrics.jsonl``."""
    seconds: float = 0.0
    """Time spent in the loop, over all parts of the run."""
    window: dict[str, float] = field(default_factory=dict)
    """Sums since the last line of the log, kept so that a resumed run writes the same lines."""
    window_steps: int = 0
    """Steps in ``window``."""

    def count(self, values: Mapping[str, float]) -> None:
        """One more step, with these values to log."""
        self.step += 1
        self.window = {name: self.window.get(name, 0.0) + value for name, value in values.items()}
        self.window_steps += 1

    def take_window(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: total / self.window_steps for name, total in self.window.items()}
        self.window, self.window_steps = {}, 0
        return means

    def judge(self, value: float, mode: Literal["max", "min"]) -> bool:
        """Take note of a validation; whether it is the best so far. NaN never is."""
        self.validated_step = self.step
        is_best = value == value and (self.best is None or (value > self.best if mode == "max" else value < self.best))
        if is_best:
            self.best, self.best_step, self.validations_since_best = value, self.step, 0
        else:
            self.validations_since_best += 1
        return is_best
