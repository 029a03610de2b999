"""Adding and taking away: how many objects there are after some steps that nobody can see.

Source:
    Lindström and Abraham, "CLEVR-Math", NeSy 2022, https://arxiv.org/abs/2208.05358, for the task; the sentences are
    ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from clevr.questions.logical_form import NOTHING_TOLD, Description, ObjectSet, implies
from clevr.questions.programs import VALUES
from clevr.questions.referring_expressions import MASKS, StableRandom
from clevr.questions.writer import COUNT_WEIGHTS
from clevr.tasks.item import Draft
from clevr.tasks.kinds.phrasing import words
from clevr.tasks.trial import Trial
from clevr.world.scene import Scene
from clevr.world.spec import ATTRIBUTES

_DRAWS = 24
"""So many chains of steps are drawn about a scene; one is kept, of a rare answer if there is one."""
_MOST_ADDED = 4
_TOLD = 0.6
"""Share of items that count objects of a description, and not all of them."""
_MOST = len(COUNT_WEIGHTS) - 1
"""The largest answer, as in CLEVR."""


@dataclass(frozen=True)
class Step:
    """Objects that are added, or all of those of a description taken away."""

    description: Description
    added: int
    """How many are added; 0: all are taken away."""


@dataclass(frozen=True)
class Chain:
    """Steps, what is counted after them, and the counts on the way."""

    steps: tuple[Step, ...]
    asked: Description
    counts: tuple[int, ...]
    """How many of what is counted there are: before the first step and after each."""


def arithmetic(trial: Trial) -> Draft | None:
    """How many are there after objects were added and taken away."""
    adds = [trial.plan.random() < 0.5 for _ in range(1 + trial.difficulty.draw_hops(trial.plan))]
    told = trial.plan.random() < _TOLD
    if all(adds) and not told and trial.difficulty.max_objects + len(adds) > _MOST:
        adds[0] = False  # there would be too many
    scene = trial.scene()
    chains: dict[int, list[Chain]] = {}
    for _ in range(_DRAWS):
        chain = _draw_chain(scene, adds, told, trial.draw)
        if chain is not None:
            chains.setdefault(chain.counts[-1], []).append(chain)
    if not chains:
        return None
    answers = list(chains)
    answer = trial.draw.weigh(answers, [COUNT_WEIGHTS[count] for count in answers])
    chain = trial.draw.pick(chains[answer])
    return Draft(
        scenes=(scene,),
        prompt=_prompt(chain, trial.draw),
        answer=str(answer),
        answer_type="number",
        working=_working(chain),
    )


def _draw_chain(scene: Scene, adds: list[bool], told: bool, draw: StableRandom) -> Chain | None:
    """Steps about a scene; ``None`` where they leave something open, change too little, or lead beyond ten."""
    objects = [(thing.size, thing.color, thing.material, thing.shape) for thing in scene.objects]
    asked = _describe(draw.pick(objects), draw) if told else NOTHING_TOLD
    groups: list[tuple[Description, int]] = [(thing, 1) for thing in objects]
    steps: list[Step] = []
    counts = [_count(groups, asked)]
    for adding in adds:
        step = _draw_added(asked, draw) if adding else _draw_removed(groups, draw)
        steps.append(step)
        removed = [other.description for other in steps if not other.added]
        partly_told = [description for description, _ in groups if None in description]  # the objects that were added
        if any(_is_open(description, other) for description in partly_told for other in removed):
            return None
        groups = _apply(step, groups)
        counts.append(_count(groups, asked))
    if any(_is_open(step.description, asked) for step in steps if step.added) or counts[-1] > _MOST:
        return None
    changes = sum(before != after for before, after in pairwise(counts))
    return Chain(tuple(steps), asked, tuple(counts)) if changes > len(adds) // 2 else None


def _draw_removed(groups: list[tuple[Description, int]], draw: StableRandom) -> Step:
    """All objects that are like one of those that are there."""
    return Step(_describe(draw.pick(groups)[0], draw) if groups else NOTHING_TOLD, 0)


def _draw_added(asked: Description, draw: StableRandom) -> Step:
    """A few objects of any kind, or of the kind that is asked for."""
    size, color, material, shape = (draw.pick(VALUES[name]) for name in ATTRIBUTES)
    description = _describe((size, color, material, shape), draw)
    if draw.random() < 0.6:
        z, c, m, s = (wanted or told for wanted, told in zip(asked, description, strict=True))
        description = (z, c, m, s)
    return Step(description, 1 + int(draw.random() * _MOST_ADDED))


def _describe(told: Description, draw: StableRandom) -> Description:
    """One to three of the attributes that a description tells."""
    while True:
        mask = draw.pick(MASKS)
        size, color, material, shape = (value if keep else None for value, keep in zip(told, mask, strict=True))
        description = (size, color, material, shape)
        if 1 <= sum(value is not None for value in description) <= 3:
            return description


def _apply(step: Step, groups: list[tuple[Description, int]]) -> list[tuple[Description, int]]:
    if step.added:
        return [*groups, (step.description, step.added)]
    return [(description, number) for description, number in groups if not implies(description, step.description)]


def _count(groups: list[tuple[Description, int]], asked: Description) -> int:
    return sum(number for description, number in groups if implies(description, asked))


def _is_open(description: Description, asked: Description) -> bool:
    """Whether nobody can say if objects that were added with a description fit another one."""
    if implies(description, asked):
        return False
    return not any(a and b and a != b for a, b in zip(description, asked, strict=True))


def _prompt(chain: Chain, draw: StableRandom) -> str:
    sentences = []
    for place, step in enumerate(chain.steps):
        verb = draw.pick(("Add", "Put in", "Place") if step.added else ("Take away", "Remove", "Subtract"))
        what = words("a" if step.added == 1 else "some", ObjectSet(step.description), draw)
        amount = "all " if not step.added else "" if step.added == 1 else f"{step.added} "
        start = verb if not place else f"Then {verb.lower()}"
        sentences.append(f"{start} {amount}{what}.")
    end = draw.pick(("are there then", "are there in the end", "are there now"))
    return f"{' '.join(sentences)} How many {words('some', ObjectSet(chain.asked), draw)} {end}?"


def _working(chain: Chain) -> tuple[str, ...]:
    asked = _plain(chain.asked)
    lines = [f"{asked} in the image: {chain.counts[0]}"]
    for step, (before, after) in zip(chain.steps, pairwise(chain.counts), strict=True):
        sign = "-" if after < before else "+"
        verb = f"add {step.added}" if step.added else "take away all"
        what = _plain(step.description, plural=step.added != 1)
        lines.append(f"{verb} {what}: {before} {sign} {abs(after - before)} = {after}")
    return tuple(lines)


def _plain(description: Description, *, plural: bool = True) -> str:
    *told, shape = description
    return " ".join([*(value for value in told if value), f"{shape or 'thing'}{'s' if plural else ''}"])
