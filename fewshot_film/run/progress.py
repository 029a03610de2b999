"""How far a run has come: whether that is shown, the counters that a checkpoint keeps, and the progress bar."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Literal, Self

logger = logging.getLogger(__name__)

_VARIABLE = "FEWSHOT_FILM_QUIET"
_FOR_CURVES = ("gradient_norm", "learning_rate")
"""Values that log lines leave to ``metrics.jsonl`` and its curves."""


def is_quiet() -> bool:
    """Whether ``--quiet`` was given."""
    return bool(os.environ.get(_VARIABLE))


def hides_bars() -> bool:
    """Whether progress bars are left out: after ``--quiet``, and where stderr is no terminal."""
    return is_quiet() or not sys.stderr.isatty()


@contextmanager
def quiet(wanted: bool) -> Iterator[None]:
    """Be quiet inside the block, here and in processes that it starts; changes nothing unless ``wanted``."""
    before = os.environ.get(_VARIABLE)
    if wanted:
        os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        if wanted:
            os.environ.pop(_VARIABLE) if before is None else os.environ.update({_VARIABLE: before})


def say_at_once(text: str) -> None:
    """Write a line to stderr from where a signal is handled: not by the log, which may be in the middle of a line."""
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{text}\n".encode())


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


class Reporter:
    """Shows the progress within its ``with`` block.

    Args:
        first: step at which this part of the run begins.
        steps: step at which it ends.
        talks: False in all processes but the first.
        accuracy_of: what the accuracy of a split (``train``, ``validation``) is that of, such as ``5-way 1-shot``.
    """

    def __init__(
        self, first: int, steps: int, talks: bool, accuracy_of: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.first, self.steps = first, steps
        self._accuracy_of = accuracy_of
        self._has_bar = talks and not hides_bars()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        from tqdm import tqdm  # here, as every command line imports this module before it shows its help
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._bar = self._stack.enter_context(
            tqdm(
                total=self.steps,
                initial=self.first,
                unit="step",
                disable=not self._has_bar,
                dynamic_ncols=True,
            )
        )
        if self._has_bar:
            self._stack.enter_context(logging_redirect_tqdm())
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def advance(self, values: Mapping[str, float]) -> None:
        """One more step was taken."""
        self._bar.set_postfix(loss=f"{values['loss']:.4g}", refresh=False)
        self._bar.update()

    def say(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Tell the values after a step; those of the training only where there is no bar."""
        if split == "train" and self._has_bar:
            return
        said = {name: value for name, value in values.items() if name not in _FOR_CURVES}
        text = ", ".join(self._told(split, name, value) for name, value in said.items())
        logger.info("%s, step %d of %d: %s; %s", split, step, self.steps, text, self._time_left(step))

    def _told(self, split: str, name: str, value: float) -> str:
        if not name.endswith("accuracy"):
            return f"{name} {value:.3g}"
        known = self._accuracy_of.get(split) if name == "accuracy" else None
        return f"{name} {f'({known}) ' if known else ''}{100 * value:.1f} %"

    def _time_left(self, step: int) -> str:
        if step == self.first:
            return "done" if step == self.steps else "time left unknown"
        left = (self.steps - step) * (time.monotonic() - self._began) / (step - self.first)
        return f"{self._bar.format_interval(left)} left"
