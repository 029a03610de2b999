"""One visitor's image, the questions about it, and what the model answers; scenes can be changed and asked again."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clevr.analysis.subject import read
from clevr.answers.predict import Answer, Answerer, open_image
from clevr.data.backbone import Extractor
from clevr.questions import IllPosedError, execute, read_freely, write_questions
from clevr.reasoning.network import Reasoner
from clevr.world.placement import SceneConfig, Scenes, relate
from clevr.world.render import object_ids, render
from clevr.world.scene import COLORS, Scene, SceneObject
from clevr.world.spec import CLEVR
from fewshot_film.errors import UserError
from fewshot_film.page import Limits
from fewshot_film.run.seeding import numpy_generator

WIDTH, HEIGHT = 480, 360
"""Size of the generated images."""
MIN_OBJECTS, MAX_OBJECTS = 3, 10
SUGGESTIONS = 10
"""Questions suggested for a scene."""
SPLIT = "app"
"""Keeps the page's scenes apart from those of training sets."""
MAX_SEED = 999_999
UNKNOWN = "not a CLEVR question; its true answer is unknown"
ILL_POSED = "makes no sense in this scene"


class AskingError(UserError, ValueError):
    """What a visitor asked for cannot be done with this image."""


@dataclass(frozen=True)
class Line:
    """One question with its answers."""

    question: str
    """As it is asked."""
    truth: str
    """What is true in the scene; :data:`ILL_POSED`, :data:`UNKNOWN`, or empty for an image without a scene."""
    given: Answer
    """What the model says."""

    @property
    def is_right(self) -> bool | None:
        """Whether the model is right; None where the truth is not known."""
        return None if self.truth in ("", UNKNOWN, ILL_POSED) else self.given.answer == self.truth


@dataclass(frozen=True)
class State:
    """An image with its scene, and the lines about it."""

    image: Image.Image
    """What the model sees."""
    scene: Scene | None
    """What the image shows; None for an uploaded one."""
    lines: tuple[Line, ...]
    """The suggested questions."""
    line: Line | None
    """The question that was asked."""


class Asking:
    """What one visitor looks at.

    Args:
        reasoner: in evaluation mode.
        extractor: what makes the features, for a model that reads features.
        limits: on uploads.
        first: what another one looks at now, to begin with.

    Raises:
        AskingError: the model is about another world than CLEVR's, whose scenes and questions are shown.

    Attributes:
        now: the image and the lines about it; None before the first image.
        before: the same before the last change of the scene; None where nothing was changed.
        chosen: number of the object that is to be changed; None: none.
    """

    def __init__(
        self, reasoner: Reasoner, extractor: Extractor | None, limits: Limits, first: Asking | None = None
    ) -> None:
        if reasoner.world.values != CLEVR.values:
            raise AskingError(
                f"the model is about the world {reasoner.world.name!r}, and the app shows scenes of CLEVR; give one "
                "that is about these, and ask the other with `clevr-film ask`"
            )
        self.reasoner = reasoner
        self.extractor = extractor
        self.limits = limits
        self.now: State | None = first.now if first else None
        self.before: State | None = None
        self.chosen: int | None = None
        self._answerer: Answerer | None = first._answerer if first else None
        self._scenes: list[Scene] = []
        self._lock = threading.RLock()

    # images

    def new_scene(self, seed: int, num_objects: int) -> None:
        """Generate a scene with suggested questions, and ask the first of them.

        Args:
            seed: decides the scene together with the number of objects; 0 to :data:`MAX_SEED`.
            num_objects: 3 to 10.

        Raises:
            AskingError: a number is out of range.
        """
        if not (0 <= seed <= MAX_SEED and MIN_OBJECTS <= num_objects <= MAX_OBJECTS):
            raise AskingError(
                f"seed {seed} and {num_objects} objects; expected a seed of 0 to {MAX_SEED:,} and {MIN_OBJECTS} to "
                f"{MAX_OBJECTS} objects"
            )
        rules = SceneConfig(min_objects=num_objects, max_objects=num_objects)
        scene = Scenes(seed, SPLIT, rules, WIDTH, HEIGHT)[0]
        written = write_questions(scene, numpy_generator(seed, "suggested questions", num_objects), SUGGESTIONS)
        questions = [one.question for one in written]
        with self._lock:
            self.before, self.chosen, self._scenes = None, None, []
            self._show(scene, questions, questions[0])

    def upload(self, path: Path) -> None:
        """Look at an image of the visitor's.

        Raises:
            UploadError: it is too large.
            DataError: it is no image.
        """
        self.limits.check_image(path)
        image = open_image(path)
        with self._lock:
            self.before, self.chosen, self._scenes = None, None, []
            self._answerer = Answerer(self.reasoner, image, self.extractor)
            self.now = State(self._answerer.image, None, (), None)

    # questions

    def ask(self, question: str) -> None:
        """Ask about the image.

        Raises:
            AskingError: there is no image yet.
            QuestionError: the question is empty, far too long, or in words that the model does not know.
        """
        with self._lock:
            now = self._looked_at()
            self.now = dataclasses.replace(now, line=self._line(question, now.scene))
            if self.before is not None:  # the same question to the scene before its last change
                before = self.before
                answerer = Answerer(self.reasoner, before.image, self.extractor)
                line = Line(question, truth_of(question, before.scene), answerer.ask(question))
                self.before = dataclasses.replace(before, line=line)

    # changes

    def choose_at(self, column: int, row: int) -> None:
        """Choose the object that a place of the image shows; the ground: none.

        Args:
            column: pixels from the left.
            row: pixels from the top.
        """
        with self._lock:
            scene = self.now.scene if self.now else None
            if scene is None or not (0 <= column < WIDTH and 0 <= row < HEIGHT):
                return
            number = int(object_ids([scene], WIDTH, HEIGHT)[0, row, column])
            self.chosen = number if number >= 0 else None

    def remove(self) -> None:
        """Remove the chosen object from the scene, and ask everything again.

        Raises:
            AskingError: none is chosen, or it is the last one.
        """
        with self._lock:
            scene, number = self._chosen_object()
            if len(scene.objects) == 1:
                raise AskingError("the last object cannot be removed; generate a new scene")
            things = [thing for place, thing in enumerate(scene.objects) if place != number]
            self._change(scene, with_objects(scene, things))
            self.chosen = None

    def recolour(self, color: str) -> None:
        """Give the chosen object another colour, and ask everything again.

        Raises:
            AskingError: none is chosen, there is no such colour, or it has the colour already.
        """
        with self._lock:
            scene, number = self._chosen_object()
            thing = scene.objects[number]
            if color not in COLORS or color == thing.color:
                raise AskingError(f"the object is {thing.color}; choose another colour: {', '.join(COLORS)}")
            things = list(scene.objects)
            things[number] = dataclasses.replace(thing, color=color)
            self._change(scene, with_objects(scene, things))

    def undo(self) -> None:
        """Take the last change back.

        Raises:
            AskingError: nothing was changed.
        """
        with self._lock:
            if not self._scenes:
                raise AskingError("there is nothing to undo in this scene")
            now = self._looked_at()
            scene = self._scenes.pop()
            self.before = self.chosen = None
            self._show(scene, [line.question for line in now.lines], now.line.question if now.line else None)

    # what there is to see

    def marked_image(self) -> Image.Image | None:
        """The image, with a line around the chosen object."""
        with self._lock:
            if self.now is None or self.now.scene is None or self.chosen is None:
                return self.now.image if self.now else None
            mask = object_ids([self.now.scene], WIDTH, HEIGHT)[0].numpy() == self.chosen
            return Image.fromarray(_outlined(np.asarray(self.now.image), mask))

    # inner matters

    def _change(self, old: Scene, new: Scene) -> None:
        self.before = now = self._looked_at()
        self._scenes.append(old)
        self._show(new, [line.question for line in now.lines], now.line.question if now.line else None)

    def _show(self, scene: Scene, questions: Sequence[str], asked: str | None) -> None:
        pixels = render([scene], WIDTH, HEIGHT)[0].permute(1, 2, 0).contiguous().numpy()
        self._answerer = Answerer(self.reasoner, Image.fromarray(pixels), self.extractor)
        lines = tuple(self._line(question, scene) for question in questions)
        known = {line.question: line for line in lines}
        line = None if asked is None else known[asked] if asked in known else self._line(asked, scene)
        self.now = State(self._answerer.image, scene, lines, line)

    def _line(self, question: str, scene: Scene | None) -> Line:
        assert self._answerer is not None  # there is an image wherever this is called
        return Line(question, truth_of(question, scene), self._answerer.ask(question))

    @property
    def answerer(self) -> Answerer:
        """What has looked at the image.

        Raises:
            AskingError: there is no image yet.
        """
        if self._answerer is None:
            raise AskingError("there is no image yet: generate a scene or upload an image")
        return self._answerer

    @property
    def warning(self) -> str:
        """Why answers about the image may be meaningless; empty where there is no reason, or no image yet."""
        return self._answerer.warning if self._answerer else ""

    def _looked_at(self) -> State:
        if self.now is None:
            raise AskingError("there is no image yet: generate a scene or upload an image")
        return self.now

    def _chosen_object(self) -> tuple[Scene, int]:
        scene = self._looked_at().scene
        if scene is None:
            raise AskingError("an uploaded image cannot be changed; generate a scene")
        if self.chosen is None or not 0 <= self.chosen < len(scene.objects):
            raise AskingError("select an object first, by clicking on it or from the list")
        return scene, self.chosen


def with_objects(scene: Scene, things: Sequence[SceneObject]) -> Scene:
    """A scene with other objects, related to each other by where they lie."""
    relationships = relate([thing.coords for thing in things], scene.directions)
    return dataclasses.replace(scene, objects=tuple(things), relationships=relationships)


def truth_of(question: str, scene: Scene | None) -> str:
    """The true answer to a question that stands for one of CLEVR's English, or why there is none.

    Args:
        question: any text.
        scene: what it is about; None where nobody knows.
    """
    if scene is None:
        return ""
    meanings = read_freely(question)
    if not meanings:
        return UNKNOWN
    found = set()
    for meaning in meanings:
        try:
            found.add(execute(meaning.program(), scene))
        except IllPosedError:
            continue
    if not found:
        return ILL_POSED
    return found.pop() if len(found) == 1 else UNKNOWN


def _outlined(pixels: np.ndarray, mask: np.ndarray, width: int = 3) -> np.ndarray:
    """Pixels with a line around a mask, white with a dark rim: seen before every colour."""
    grown = [mask]
    for _ in range(width + 1):
        padded = np.pad(grown[-1], 1)
        grown.append(padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:])
    marked = pixels.copy()
    marked[grown[-1] & ~mask] = 0
    marked[grown[-2] & ~grown[1]] = 255
    return marked


def describe(thing: SceneObject) -> str:
    """An object in words: ``large red metal cube``."""
    return f"{thing.size} {thing.color} {thing.material} {thing.shape}"


@torch.no_grad()
def modulations_of(reasoner: Reasoner, question: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Gamma and beta of every block for a question, or for its last hop, ``(C,)`` each; empty without FiLM."""
    values = reasoner.modulations(read(reasoner, [reasoner.vocabulary.encode(question)]))
    return {name: (_plain(gamma), _plain(beta)) for name, (gamma, beta) in values.items()}


def _plain(values: Tensor) -> np.ndarray:
    plain: np.ndarray = values[-1].float().cpu().numpy()
    return plain
