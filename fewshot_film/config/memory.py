"""Settings of how much memory a training episode may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fewshot_film.run.errors import ConfigError


@dataclass(frozen=True)
class MemoryConfig:
    """How gradients of an episode are computed."""

    mode: Literal["full", "exact", "lite"] = "full"
    """``full``: all pictures at once; ``exact``: the same gradients in bounded memory, for about 1.6 times the time;
    ``lite``: an unbiased estimate of them from some of the support pictures."""
    chunk: int = 16
    """``exact``: pictures whose activations are held at once."""
    budget_mib: int = 0
    """``exact``: take the largest chunk whose activations stay within so many MiB; 0: ``chunk`` as it is."""
    lite_support: int = 40
    """``lite``: support pictures that gradients go through, drawn anew for each episode."""

    def __post_init__(self) -> None:
        for name, least in (("chunk", 1), ("budget_mib", 0), ("lite_support", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"memory.{name} is {getattr(self, name)}; expected at least {least}")
