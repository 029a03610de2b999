"""What a model that follows hops sees of every object, by how much of the object is visible.

    python -m benchmarks.clevr_seen --model clevr-small

The model is asked for the sets of all objects of one colour, one shape and so on: for each object the likeliest value
of each attribute, at the position that it takes the object to stand at, is what it sees. An object that no position
holds is not found, and counts as wrong in all. Visible is the share of the pixels that the object would have if it
stood alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

import clevr
from clevr.answers.scores import Score
from clevr.data.images import fit_image
from clevr.data.supervision import describe_scenes
from clevr.questions.actions import FIRST_FILTER, NUMBERS, filters_of
from clevr.reasoning.hop_reasoner import HopReasoner
from clevr.reasoning.membership import held_objects
from clevr.world.ground_truth import whole_masks
from clevr.world.placement import Scenes
from clevr.world.render import masks, object_ids, render
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES
from fewshot_film.errors import ConfigError
from fewshot_film.run.parsing import parse
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings, at_least

SHARES = (0.9, 0.7, 0.5, 0.0)
"""Objects are grouped by the first of these that their visible share reaches."""


@dataclass(frozen=True)
class SeenConfig(Settings):
    """Which model is looked at, and how many scenes it sees."""

    model: str = "clevr-small"
    """Folder of a saved model, or the name of one that comes with the package."""
    scenes: Annotated[int, at_least(1)] = 1000
    """Number of scenes; they are none of those of ``clevr-film generate``, unless for a split called ``seen``."""
    seed: Annotated[int, at_least(0)] = 0
    """Of the scenes."""
    out: Path = Path("benchmarks/results/clevr_seen.json")
    """Result file."""


def run(config: SeenConfig) -> None:
    """Look, print and write.

    Raises:
        ConfigError: the model does not follow hops, so that it cannot be asked for sets.
    """
    reasoner = clevr.load(config.model)
    if not isinstance(reasoner, HopReasoner):
        raise ConfigError(
            f"{config.model} answers without sets of objects; give a model trained with model.hop_by_hop, such as "
            "clevr-small"
        )
    size = reasoner.config.width, reasoner.config.width * 3 // 4
    scenes = Scenes(config.seed, "seen", width=size[0], height=size[1])
    rows = [
        row
        for number in tqdm(range(config.scenes), unit="scene", disable=hides_bars(), dynamic_ncols=True)
        for row in look(reasoner, scenes[number], size)
    ]
    results = summarize(rows)
    for group, scores in results.items():
        shares = ", ".join(f"{name} {100 * score['accuracy']:.1f}" for name, score in scores.items())
        print(f"{group:22} {scores['all']['count']:6,} objects, right in %: {shares}")
    write_result(config.out, config=config, seed=config.seed, results=results)


@torch.no_grad()
def look(reasoner: HopReasoner, scene: Scene, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Of every object of a scene its visible share, and whether it and each of its attributes is seen right."""
    config = reasoner.config
    pixels = Image.fromarray(render([scene], *size)[0].permute(1, 2, 0).numpy())
    maps = reasoner.encode_image(torch.from_numpy(fit_image(pixels, config.width, config.height))[None])
    described = torch.from_numpy(describe_scenes([scene], size, config.height / config.width))
    held = held_objects(maps, described)[0]
    odds, known = value_odds(reasoner, maps), filters_of(scene.world)
    rows = []
    for index, (thing, share) in enumerate(zip(scene.objects, visible_shares(scene, size), strict=True)):
        found = bool(held[index].any())
        at = odds[:, int(held[index].int().argmax())]
        row: dict[str, Any] = {"visible": share, "found": found}
        for attribute in ATTRIBUTES:
            of_it = [number for number, (name, _) in enumerate(known) if name == attribute]
            best = known[of_it[int(at[of_it].argmax())]][1]
            row[attribute] = found and best == getattr(thing, attribute)
        rows.append(row)
    return rows


def value_odds(reasoner: HopReasoner, maps: Tensor) -> Tensor:
    """Log-odds that each position belongs to the set of all objects of each value, ``(values, K)``."""
    first, asked = NUMBERS["scene"], NUMBERS["exist"]
    count = len(filters_of(reasoner.world))
    hops = reasoner.hops([first, FIRST_FILTER + number, asked] for number in range(count))
    image = torch.zeros(count, dtype=torch.int64)
    return reasoner.follow(maps, image, reasoner.modulations(hops), hops)[0]


def visible_shares(scene: Scene, size: tuple[int, int]) -> list[float]:
    """How much of each object is visible, of the pixels that it would have alone."""
    seen = masks(object_ids([scene], *size)[0], len(scene.objects)).sum((1, 2)).tolist()
    alone = whole_masks(scene, *size).sum((1, 2)).tolist()
    return [part / max(whole, 1) for part, whole in zip(seen, alone, strict=True)]


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of all objects, and by visible share."""
    groups: dict[str, list[dict[str, Any]]] = {"all objects": list(rows)}
    above = float("inf")
    for share in SHARES:
        name = f"visible below {above:g}" if not share else f"visible {share:g} or more"
        groups[name] = [row for row in rows if share <= row["visible"] < above]
        above = share
    return {name: _scores(group) for name, group in groups.items() if group}


def _scores(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    right = {name: sum(row[name] for row in rows) for name in ("found", *ATTRIBUTES)}
    right["all"] = sum(all(row[name] for name in ATTRIBUTES) for row in rows)
    return {name: Score(count, len(rows)).to_json() for name, count in right.items()}


if __name__ == "__main__":
    run(parse("python -m benchmarks.clevr_seen", SeenConfig, sys.argv[1:], description=__doc__ or ""))
