"""What a person sees of a training: a bar with the time left on a terminal, lines of the log elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from fewshot_film.run.quiet import hides_bars

logger = logging.getLogger(__name__)


class Reporter:
    """Shows the progress within its ``with`` block.

    Args:
        first: step at which this part of the run begins.
        steps: step at which it ends.
        talks: False in all processes but the first.
    """

    def __init__(self, first: int, steps: int, talks: bool) -> None:
        self.first, self.steps = first, steps
        self._has_bar = talks and not hides_bars()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
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
        text = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        logger.info("%s, step %d of %d: %s; %s", split, step, self.steps, text, self._time_left(step))

    def _time_left(self, step: int) -> str:
        if step == self.first:
            return "done" if step == self.steps else "time left unknown"
        left = (self.steps - step) * (time.monotonic() - self._began) / (step - self.first)
        return f"{tqdm.format_interval(left)} left"
