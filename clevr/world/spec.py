"""What a world is made of: its colours, materials, sizes and shapes with the words for them, camera, lamps, objects.

Everything else follows a :class:`WorldSpec`: scenes and images, questions and their answers, the vocabulary of a model.
:data:`CLEVR` is the default everywhere. A scene knows its world (:attr:`clevr.world.scene.Scene.world`), a data set
keeps it in its ``world.yaml``, a saved model in its ``config.json``; :mod:`clevr.world.world_file` reads and writes it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Literal, get_args

from fewshot_film.errors import UserError, counted

Vector = tuple[float, float, float]
Form = Literal["cube", "sphere", "cylinder", "cone", "torus", "capsule"]
Look = Literal["matte", "mirror"]
FORMS: tuple[Form, ...] = get_args(Form)
"""The bodies that can be drawn."""
HEIGHTS: Mapping[Form, float] = {"torus": 0.35}
"""Height of a form's middle in half widths, where it is not 1: a torus lies flat."""
LOOKS: tuple[Look, ...] = get_args(Look)
"""How a surface takes light: as CLEVR's rubber, or as its metal."""

ATTRIBUTES = ("size", "color", "material", "shape")
"""In the order in which CLEVR filters by them and in which a phrase names them."""
MOST_OBJECTS = 10
"""The largest count that is an answer."""
MOST_VALUES = 100
"""Of all attributes together: question tables and what is learned of programs number them in 8 bits."""
_WORD = re.compile(r"[a-z]+(-[a-z]+)*")


class WorldError(UserError, ValueError):
    """A world that cannot be: a colour out of range, one word for two things, and so on."""


@dataclass(frozen=True)
class Color:
    """A colour."""

    name: str
    rgb: tuple[int, int, int]
    """0 to 255 each, in proportion to the light that a surface gives back."""
    words: tuple[str, ...] = ()
    """How questions may say it; empty: by its name."""


@dataclass(frozen=True)
class Material:
    """A material."""

    name: str
    look: Look
    words: tuple[str, ...] = ()
    """How questions may say it; empty: by its name."""


@dataclass(frozen=True)
class Size:
    """A size."""

    name: str
    half: float
    """Half an object's width, in the scene's units."""
    words: tuple[str, ...] = ()
    """How questions may say it; empty: by its name."""


@dataclass(frozen=True)
class Shape:
    """A shape."""

    name: str
    form: Form
    """The body that is drawn."""
    words: tuple[str, ...] = ()
    """How questions may say it; empty: by its name."""
    plurals: tuple[str, ...] = ()
    """The plurals of the words; empty: with an s."""


@dataclass(frozen=True)
class Lamp:
    """An area lamp that faces the origin."""

    name: str
    position: Vector
    strength: Vector
    """Linear RGB: the radiance that a white ground facing the lamp one unit away would show, times its albedo."""
    radius: float
    """Of the disc with the lamp's area."""
    jitter: bool = True
    """Whether its position differs from scene to scene."""
    distant: bool = False
    """Whether it is so far away that it shines from one direction everywhere."""


@dataclass(frozen=True)
class WorldSpec:
    """A world. Values are in a fixed order: scenes draw them by their places.

    Raises:
        WorldError: it cannot be; says what was wrong, what was expected, what to do.
    """

    name: str
    shapes: tuple[Shape, ...]
    sizes: tuple[Size, ...]
    materials: tuple[Material, ...]
    colors: tuple[Color, ...]
    min_objects: int
    """Fewest objects in a scene."""
    max_objects: int
    """Most objects in a scene."""
    camera: Vector
    """Where the camera stands before its jitter; it looks at the ground's middle."""
    camera_jitter: float
    """The camera's place varies by up to this on every axis."""
    lamps: tuple[Lamp, ...]
    lamp_jitter: float
    """Each lamp's place varies by up to this on every axis."""
    _hash: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for problem in chain(self._values_problems(), self._words_problems(), self._stage_problems()):
            raise WorldError(f"world {self.name!r}: {problem}")

    def __hash__(self) -> int:
        if not self._hash:  # caches are asked by world very often
            self._hash.append(hash((self.name, self.shapes, self.sizes, self.materials, self.colors)))
        return self._hash[0]

    @cached_property
    def values(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each attribute, by :data:`ATTRIBUTES`."""
        return {
            "size": tuple(one.name for one in self.sizes),
            "color": tuple(one.name for one in self.colors),
            "material": tuple(one.name for one in self.materials),
            "shape": tuple(one.name for one in self.shapes),
        }

    @cached_property
    def words(self) -> Mapping[str, tuple[str, ...]]:
        """How each value may be said."""
        return {one.name: one.words or (one.name,) for one in self._all}

    @cached_property
    def plurals(self) -> Mapping[str, str]:
        """The plural of each word for a shape."""
        found: dict[str, str] = {}
        for shape in self.shapes:
            words = shape.words or (shape.name,)
            found |= zip(words, shape.plurals or [f"{word}s" for word in words], strict=True)
        return found

    @cached_property
    def half_widths(self) -> Mapping[str, float]:
        """Half an object's width by the name of its size."""
        return {size.name: size.half for size in self.sizes}

    @cached_property
    def forms(self) -> Mapping[str, Form]:
        """The body of each shape by its name."""
        return {shape.name: shape.form for shape in self.shapes}

    def height(self, shape: str, size: str) -> float:
        """Height of the middle of an object that stands on the ground."""
        return self.half_widths[size] * HEIGHTS.get(self.forms[shape], 1.0)

    @cached_property
    def looks(self) -> Mapping[str, Look]:
        """The look of each material by its name."""
        return {material.name: material.look for material in self.materials}

    @cached_property
    def albedos(self) -> Mapping[str, Vector]:
        """The linear albedo of each colour by its name; CLEVR hands its numbers to Blender as linear ones."""
        return {color.name: (color.rgb[0] / 255, color.rgb[1] / 255, color.rgb[2] / 255) for color in self.colors}

    @property
    def _all(self) -> tuple[Size | Color | Material | Shape, ...]:
        return (*self.sizes, *self.colors, *self.materials, *self.shapes)

    def _values_problems(self) -> Iterator[str]:
        parts: dict[str, Sequence[object]] = {
            "sizes": self.sizes,
            "colors": self.colors,
            "materials": self.materials,
            "shapes": self.shapes,
        }
        for name, part in parts.items():
            if len(part) < 2:
                yield f"{name} has {counted(len(part), 'entry')}; expected two or more, so that there is a choice"
        if len(self._all) > MOST_VALUES:
            yield f"it has {len(self._all)} colors, materials, sizes and shapes in all; expected at most {MOST_VALUES}"
        for color in self.colors:
            if not all(0 <= part <= 255 for part in color.rgb):
                yield f"the color {color.name!r} is {list(color.rgb)}; expected three numbers from 0 to 255"
        for size in self.sizes:
            if not 0.1 <= size.half <= 1.5:
                yield f"the size {size.name!r} has half {size.half}; expected 0.1 to 1.5, CLEVR's are 0.7 and 0.35"

    def _words_problems(self) -> Iterator[str]:
        for name, count in Counter(one.name for one in self._all).items():
            if count > 1:
                yield f"{count} values have the name {name!r}; every value needs one of its own, since it is an answer"
        for shape in self.shapes:
            if shape.plurals and len(shape.plurals) != len(shape.words or (shape.name,)):
                yield f"the shape {shape.name!r} has other numbers of words and plurals; give a plural for each word"
        said = [word for words in self.words.values() for word in words]
        for word in (*self.words, *said, *self.plurals.values()):
            if not _WORD.fullmatch(word):
                yield f"the word {word!r} is not one of small letters; expected one such as red or dark-red"
        for word, count in Counter([*said, *self.plurals.values()]).items():
            if count > 1:
                yield f"the word {word!r} stands for {count} things; every word can mean only one: choose another"

    def _stage_problems(self) -> Iterator[str]:
        if not 1 <= self.min_objects <= self.max_objects <= MOST_OBJECTS:
            yield (
                f"scenes of {self.min_objects} to {self.max_objects} objects; expected two numbers from 1 to "
                f"{MOST_OBJECTS}, which is the largest count that can be an answer"
            )
        x, y, z = self.camera
        if not (z - self.camera_jitter > 0.5 and (x * x + y * y) ** 0.5 > 2 * self.camera_jitter + 0.1):
            yield (
                f"the camera is at {list(self.camera)} with a jitter of {self.camera_jitter}; expected one that stays "
                "above the ground (z) and beside its middle (x, y); CLEVR's is at [7.48, -6.51, 5.34]"
            )
        if not self.lamps:
            yield "there is no lamp; expected one or more"
        for name, count in Counter(lamp.name for lamp in self.lamps).items():
            if count > 1:
                yield f"{count} lamps are called {name!r}; every lamp needs a name of its own"
        for lamp in self.lamps:
            if not lamp.position[2] > (self.lamp_jitter if lamp.jitter else 0.0) or not lamp.radius > 0:
                yield f"the lamp {lamp.name!r} must stay above the ground, and have a radius above 0"
            if min(lamp.strength) < 0:
                yield f"the lamp {lamp.name!r} has strength {list(lamp.strength)}; expected three numbers from 0 up"
        if min(self.camera_jitter, self.lamp_jitter) < 0:
            yield "a jitter is below 0; expected 0 or more"


CLEVR = WorldSpec(
    name="clevr",
    shapes=(
        Shape("cube", "cube", ("cube", "block")),
        Shape("sphere", "sphere", ("sphere", "ball")),
        Shape("cylinder", "cylinder"),
    ),
    sizes=(Size("large", 0.7, ("large", "big")), Size("small", 0.35, ("small", "tiny"))),
    materials=(
        Material("rubber", "matte", ("rubber", "matte")),
        Material("metal", "mirror", ("metal", "metallic", "shiny")),
    ),
    colors=(
        Color("gray", (87, 87, 87)),
        Color("red", (173, 35, 35)),
        Color("blue", (42, 75, 215)),
        Color("green", (29, 105, 20)),
        Color("brown", (129, 74, 25)),
        Color("purple", (129, 38, 192)),
        Color("cyan", (41, 208, 208)),
        Color("yellow", (255, 238, 51)),
    ),
    min_objects=3,
    max_objects=10,
    camera=(7.48113, -6.50764, 5.34367),
    camera_jitter=0.5,
    lamps=(
        Lamp("key", (6.44671, -2.90517, 4.2584), (6.29, 5.87, 5.14), 0.27),
        Lamp("fill", (-4.67112, -4.0136, 3.01122), (1.57, 1.69, 2.06), 0.33),
        Lamp("back", (-1.1685, 2.64602, 5.81574), (3.12, 3.12, 3.14), 0.43),
        Lamp("sun", (11.6608, -6.62799, 25.8232), (74.0, 74.0, 73.4), 1.48, jitter=False, distant=True),
    ),
    lamp_jitter=1.0,
)
"""CLEVR's own world. Lamps have the positions of its base scene; strengths were fitted to images of the original
generator with known objects (``docs/clevr-world.md``)."""
