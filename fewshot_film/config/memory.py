"""Settings that bound the memory of a training episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fewshot_film.run.settings import Settings, at_least


@dataclass(frozen=True)
class MemoryConfig(Settings, group="memory"):
    """How the gradients of an episode are computed."""

    mode: Literal["full", "exact", "lite"] = "full"
    """``full``: all images at once; ``exact``: the same gradients in bounded memory, in about 1.6 times the time;
    ``lite``: an unbiased estimate from some of the support images."""
    chunk: Annotated[int, at_least(1)] = 16
    """``exact``: number of images whose activations are held at once."""
    budget_mib: Annotated[int, at_least(0)] = 0
    """``exact``: use the largest chunk whose activations fit into this many MiB; 0: use ``chunk``."""
    lite_support: Annotated[int, at_least(1)] = 40
    """``lite``: number of support images with gradients, sampled anew for each episode."""
