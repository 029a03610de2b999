"""Endless series of tasks: item ``i`` is a function of kind, seed, difficulty, image size and ``i``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count, islice

from clevr.questions.referring_expressions import StableRandom
from clevr.tasks.answer_types import box_text
from clevr.tasks.difficulty import Difficulty, difficulty_of
from clevr.tasks.item import Draft, Item, draw_images
from clevr.tasks.registry import KINDS
from clevr.tasks.trial import Trial
from clevr.world.visibility import all_visible, visible_boxes
from fewshot_film.errors import UserError, suggestion
from fewshot_film.run.seeding import numpy_generator

_MAX_ATTEMPTS = 2000
"""Attempts at one item before its difficulty is said to leave no room for it."""
_AT_ONCE = 32
"""Items that an iteration makes together; the drawing of images is cheaper that way."""


class TaskError(UserError, ValueError):
    """A kind, a difficulty or an index for which there is no task."""


@dataclass(frozen=True)
class Series:
    """The tasks of one kind, seed and difficulty; see :func:`make`.

    Indexing gives an :class:`Item`; iterating gives all of them in order. With a ``size`` it is also what PyTorch calls
    a map-style data set.
    """

    name: str
    seed: int
    difficulty: Difficulty
    level: str
    """How the difficulty was named."""
    size: int | None
    width: int
    height: int

    def __len__(self) -> int:
        """Number of items.

        Raises:
            TypeError: the series is endless.
        """
        if self.size is None:
            raise TypeError("this series of tasks is endless and has no length; give make(..., size=...)")
        return self.size

    def __getitem__(self, index: int) -> Item:
        """Item ``index``; its image is drawn when first asked for.

        Raises:
            IndexError: the index is negative, or not below ``size``.
            TaskError: the difficulty leaves no room for such an item.
        """
        return self.batch([index], draw=False)[0]

    def __iter__(self) -> Iterator[Item]:
        """All items in order, with their images drawn; endless without a size."""
        return self.every(0, 1)

    def every(self, start: int, stride: int) -> Iterator[Item]:
        """Items ``start``, ``start + stride`` and so on, with their images drawn; endless without a size."""
        numbers = iter(count(start, stride) if self.size is None else range(start, self.size, stride))
        while indices := list(islice(numbers, _AT_ONCE)):
            yield from self.batch(indices)

    def batch(self, indices: Sequence[int], *, draw: bool = True) -> list[Item]:
        """Several items, the same as one by one but made faster.

        Args:
            indices: of the items.
            draw: draw all images now, at once, instead of each when it is first asked for.

        Raises:
            IndexError: an index is negative, or not below ``size``.
            TaskError: the difficulty leaves no room for such an item.
        """
        for index in indices:
            if index < 0 or (self.size is not None and index >= self.size):
                raise IndexError(f"item {index} of {'endless' if self.size is None else self.size} tasks")
        drafts = self._drafts(indices)
        items = [self._item(index, drafts[index]) for index in indices]
        if draw:
            draw_images(items)
        return items

    def _drafts(self, indices: Sequence[int]) -> dict[int, Draft]:
        """A draft for each index whose objects can all be seen: of its first attempt that gives one."""
        found: dict[int, Draft] = {}
        attempts = dict.fromkeys(indices, -1)
        waiting = list(attempts)
        while waiting:
            drafts: dict[int, Draft] = {}
            for index in waiting:
                attempts[index], drafts[index] = self._next_draft(index, attempts[index] + 1)
            found.update(self._checked(drafts))
            waiting = [index for index in waiting if index not in found]
        return found

    def _next_draft(self, index: int, first: int) -> tuple[int, Draft]:
        """The first attempt, of those from ``first`` on, that gives a draft; and that."""
        for attempt in range(first, _MAX_ATTEMPTS):
            draft = self._try(index, attempt)
            if draft is not None:
                return attempt, draft
        raise TaskError(
            f"{self.name!r}, item {index}: no scene in {_MAX_ATTEMPTS} attempts offers such a task; allow more "
            f"objects, fewer hops or fewer pixels than {self.difficulty}"
        )

    def _try(self, index: int, attempt: int) -> Draft | None:
        key = ("tasks", self.name, self.difficulty.key, index)
        rng = numpy_generator(self.seed, *key, attempt)
        plan = StableRandom(numpy_generator(self.seed, *key, "plan"))
        trial = Trial(self.difficulty, plan, StableRandom(rng), rng, self.width, self.height)
        return KINDS[self.name].draw(trial)

    def _checked(self, drafts: dict[int, Draft]) -> dict[int, Draft]:
        """Those drafts in whose scenes every object can be seen, with boxes measured where they are the answers."""
        scenes = [scene for draft in drafts.values() for scene in draft.scenes]
        seen = all_visible(scenes, self.difficulty.min_pixels)
        ends = accumulate(len(draft.scenes) for draft in drafts.values())
        good = {
            index: draft
            for (index, draft), end in zip(drafts.items(), ends, strict=True)
            if all(seen[end - len(draft.scenes) : end])
        }
        asked = {index: draft.target for index, draft in good.items() if draft.target is not None}
        targets = [good[index].scenes[0] for index in asked]
        for index, box in zip(
            asked, visible_boxes(targets, list(asked.values()), self.width, self.height), strict=True
        ):
            good[index] = replace(good[index], answer=box_text(box))
            if not any(box):  # seen at 320x240, but not in so small an image
                del good[index]
        return good

    def _item(self, index: int, draft: Draft) -> Item:
        return Item(
            task=self.name,
            seed=self.seed,
            index=index,
            difficulty=self.level,
            prompt=draft.prompt,
            answer=draft.answer,
            answer_type=draft.answer_type,
            working=draft.working,
            program=draft.program,
            scenes=draft.scenes,
            width=self.width,
            height=self.height,
        )


def make(
    name: str,
    *,
    seed: int = 0,
    difficulty: int | Difficulty = 3,
    size: int | None = None,
    width: int = 320,
    height: int = 240,
) -> Series:
    """The tasks of a kind.

    Args:
        name: a key of :data:`KINDS`.
        seed: another seed gives other tasks.
        difficulty: a level, 1 to 5, or a :class:`Difficulty` of your own.
        size: number of tasks; without one they are endless.
        width: of each image in pixels. Only boxes depend on it, no other task.
        height: of each image in pixels.

    Raises:
        TaskError: there is no such kind; the seed or the size is negative.
        InvalidValueError: there is no such level.
    """
    if name not in KINDS:
        raise TaskError(f"unknown kind of task {name!r}{suggestion(name, KINDS)}; expected one of {', '.join(KINDS)}")
    if seed < 0 or (size is not None and size < 0):
        raise TaskError(f"seed {seed}, size {size}; both must be 0 or more")
    chosen = difficulty_of(difficulty)
    level = "custom" if isinstance(difficulty, Difficulty) else str(difficulty)
    return Series(name, seed, chosen, level, size, width, height)
