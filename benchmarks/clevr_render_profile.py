"""Where the time of drawing an image goes, by the part of the renderer.

    python -m benchmarks.clevr_render_profile

The processor's time, calls of torch and results of elementary operations of each part, without what it spends in other
parts. Results are counted at torch's dispatcher; an operation in place counts its whole tensor. Time and results are
taken in runs of their own, since counting takes time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clevr.world import lighting, materials, ray_casting, render, shading_rays
from clevr.world.placement import Scenes
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, at_least

RESULTS = Path(__file__).resolve().parent / "results"
PARTS = {
    "the body along each ray": (ray_casting, "trace"),
    "which rays are shaded": (shading_rays, "shading_rays"),
    "ground, without shadows": (lighting, "ground_light"),
    "shadows, direct and mirrored": (lighting, "take_shadows"),
    "lamps on surfaces": (materials, "lamps_on"),
    "what metal mirrors": (materials, "mirror_image"),
    "highlights": (materials, "highlights"),
    "rounded edges of metal": (materials, "_smooth_edges"),
    "filter and bytes": (render, "to_bytes"),
}
OTHER = "other"
_MODULES = (lighting, materials, ray_casting, render, shading_rays)
_VIEWS = {
    "view",
    "expand",
    "select",
    "slice",
    "unsqueeze",
    "permute",
    "transpose",
    "unbind",
    "split",
    "detach",
    "alias",
}
"""Operations that work nothing out."""


@dataclass(frozen=True)
class ProfileConfig(Settings):
    """What is measured."""

    images: Annotated[int, at_least(1)] = 16
    """Images that are drawn together."""
    repeats: Annotated[int, at_least(1)] = 5
    """Repetitions; the quickest counts."""
    width: Annotated[int, at_least(1)] = 320
    """Width of the images."""
    height: Annotated[int, at_least(1)] = 240
    """Height of the images."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the scenes."""
    out: Path = RESULTS / "clevr_render_profile.json"
    """Result file."""


@dataclass
class _Spending:
    """Parts that are being worked on, and what each has taken by itself."""

    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    stack: list[str] = field(default_factory=lambda: [OTHER])
    since: float = 0.0

    def pass_on(self, change: Callable[[], Any]) -> None:
        """Book the time to the part that had it, then change parts."""
        now = time.process_time()
        self.seconds[self.stack[-1]] = self.seconds.get(self.stack[-1], 0.0) + now - self.since
        change()
        self.since = now


@contextmanager
def parts_of(spending: _Spending) -> Iterator[None]:
    """Note which part works, as long as this lasts."""

    def noting(name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(part)
        def noted(*args: Any, **kwargs: Any) -> Any:
            spending.pass_on(lambda: spending.stack.append(name))
            try:
                return part(*args, **kwargs)
            finally:
                spending.pass_on(spending.stack.pop)

        return noted

    changed = []
    for name, (home, attribute) in PARTS.items():
        part: Callable[..., Any] = getattr(home, attribute)
        for module in _MODULES:
            if getattr(module, attribute, None) is part:
                setattr(module, attribute, noting(name, part))
                changed.append((module, attribute, part))
    spending.since = time.process_time()
    try:
        yield
    finally:
        spending.pass_on(lambda: None)
        for module, attribute, part in changed:
            setattr(module, attribute, part)


class _Count(TorchDispatchMode):
    def __init__(self, spending: _Spending) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.spending = spending

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        part, first = self.spending.stack[-1], found[0] if isinstance(found, (tuple, list)) and found else found
        self.spending.calls[part] = self.spending.calls.get(part, 0) + 1
        if isinstance(first, torch.Tensor) and func._schema.name.split("::")[1] not in _VIEWS:
            self.spending.results[part] = self.spending.results.get(part, 0) + first.numel()
        return found


def measure(config: ProfileConfig) -> dict[str, dict[str, float]]:
    """Milliseconds, millions of results and calls an image, by part."""
    scenes = Scenes(config.seed).batch(range(config.images))
    render.render(scenes, config.width, config.height)
    spent = []
    for _ in range(config.repeats):
        spent.append(_Spending())
        with parts_of(spent[-1]):
            render.render(scenes, config.width, config.height)
    quickest = min(spent, key=lambda one: sum(one.seconds.values()))
    counted = _Spending()
    with parts_of(counted), _Count(counted):
        render.render(scenes, config.width, config.height)
    return {
        name: {
            "processor ms": quickest.seconds.get(name, 0.0) * 1000 / config.images,
            "million results": counted.results.get(name, 0) / 1e6 / config.images,
            "calls": counted.calls.get(name, 0) / config.images,
        }
        for name in (*PARTS, OTHER)
    }


def run(config: ProfileConfig) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    parts = measure(config)
    total = {key: sum(part[key] for part in parts.values()) for key in parts[OTHER]}
    for name, part in {**parts, "all": total}.items():
        print(f"{name:30}", *(f"{key} {value:8.2f}" for key, value in part.items()), sep="  ")
    write_result(config.out, config=config, seed=config.seed, results={"parts": parts, "all": total})


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_render_profile", ProfileConfig, sys.argv[1:], description=__doc__))
