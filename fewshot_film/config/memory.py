"""Settings of how much memory a training episode may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fewshot_film.run.settings import Settings, at_least


@dataclass(frozen=True)
class MemoryConfig(Settings, group="memory"):
    """How gradients of an episode are computed."""

    mode: Literal["full", "exact", "lite"] = "full"
    """``full``: all pictures at once; ``exact``: the same gradients in bounded memory, for about 1.6 times the time;
    ``lite``: an unbiased estimate of them from some of the support pictures."""
    chunk: Annotated[int, at_least(1)] = 16
    """``exact``: pictures whose activations are held at once."""
    budget_mib: Annotated[int, at_least(0)] = 0
    """``exact``: take the largest chunk whose activations stay within so many MiB; 0: ``chunk`` as it is."""
    lite_support: Annotated[int, at_least(1)] = 40
    """``lite``: support pictures that gradients go through, drawn anew for each episode."""
