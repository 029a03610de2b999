"""Worlds as files: ``world.yaml``, which people write, and the record that a saved model keeps.

Both have the same form, a section for each part of a :class:`WorldSpec`; a section that is missing is CLEVR's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import yaml

from clevr.world.spec import CLEVR, FORMS, LOOKS, Color, Lamp, Material, Shape, Size, WorldError, WorldSpec
from fewshot_film.errors import listed, shown, suggestion
from fewshot_film.run.yaml_files import load_yaml

WORLD_FILE = "world.yaml"
"""Name of the file in a data set; a data set without one is of CLEVR's world."""

Problem = Callable[[str, str], WorldError]
"""Makes an error of a place in the file and what is wrong there."""


def read_world(path: str | Path) -> WorldSpec:
    """Read a world from its YAML file.

    Raises:
        WorldError: the file is missing, is not YAML, or the world cannot be; says where, and what was expected.
    """
    try:
        with Path(path).open("rb") as stream:
            return load_world(stream, str(path))
    except OSError as error:
        raise WorldError(
            f"{path}: {error.strerror or error}; expected a YAML file that describes a world, such as "
            "examples/harbour/world.yaml"
        ) from None


def load_world(stream: IO[bytes], label: str) -> WorldSpec:
    """Read a world from an open file.

    Args:
        stream: what to read.
        label: how messages name it.

    Raises:
        WorldError: as :func:`read_world`.
    """
    try:
        record = load_yaml(stream)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise WorldError(f"{label}: not YAML ({str(error).splitlines()[0]})") from None
    return world_from(record, label)


def world_text(world: WorldSpec) -> str:
    """A world as YAML."""
    text: str = yaml.safe_dump(world_record(world), sort_keys=False, default_flow_style=None, width=120)
    return text


def world_record(world: WorldSpec) -> dict[str, Any]:
    """A world as plain JSON or YAML values; :func:`world_from` reads it back."""
    return {
        "name": world.name,
        "colors": {one.name: _entry("rgb", list(one.rgb), one) for one in world.colors},
        "materials": {one.name: _entry("look", one.look, one) for one in world.materials},
        "sizes": {one.name: _entry("half", one.half, one) for one in world.sizes},
        "shapes": {one.name: _entry("form", one.form, one) for one in world.shapes},
        "objects": [world.min_objects, world.max_objects],
        "camera": {"position": list(world.camera), "jitter": world.camera_jitter},
        "lamps": {
            lamp.name: {
                "position": list(lamp.position),
                "strength": list(lamp.strength),
                "radius": lamp.radius,
                "jitter": lamp.jitter,
                "distant": lamp.distant,
            }
            for lamp in world.lamps
        },
        "lamp_jitter": world.lamp_jitter,
    }


def _entry(key: str, value: Any, one: Color | Material | Size | Shape) -> dict[str, Any]:
    entry = {key: value}
    if one.words:
        entry["words"] = list(one.words)
    if isinstance(one, Shape) and one.plurals:
        entry["plurals"] = list(one.plurals)
    return entry


_SECTIONS = ("name", "colors", "materials", "sizes", "shapes", "objects", "camera", "lamps", "lamp_jitter")


def world_from(record: Any, label: str) -> WorldSpec:
    """A world from its record.

    Args:
        record: what a YAML or JSON file holds.
        label: how messages name the file.

    Raises:
        WorldError: a section or a value is unknown, of the wrong kind, or out of range.
    """
    reader = _Reader(label)
    sections = reader.mapping(record, "the file", _SECTIONS)
    least, most = reader.numbers(sections.get("objects", [CLEVR.min_objects, CLEVR.max_objects]), "objects", 2)
    camera = reader.mapping(sections.get("camera", {}), "camera", ("position", "jitter"))
    return WorldSpec(
        name=reader.text(sections.get("name", "own"), "name"),
        shapes=_section(sections, "shapes", CLEVR.shapes, reader.shape),
        sizes=_section(sections, "sizes", CLEVR.sizes, reader.size),
        materials=_section(sections, "materials", CLEVR.materials, reader.material),
        colors=_section(sections, "colors", CLEVR.colors, reader.color),
        min_objects=reader.whole(least, "objects"),
        max_objects=reader.whole(most, "objects"),
        camera=reader.vector(camera.get("position", list(CLEVR.camera)), "camera: position"),
        camera_jitter=reader.number(camera.get("jitter", CLEVR.camera_jitter), "camera: jitter"),
        lamps=_section(sections, "lamps", CLEVR.lamps, reader.lamp),
        lamp_jitter=reader.number(sections.get("lamp_jitter", CLEVR.lamp_jitter), "lamp_jitter"),
    )


def _section(sections: Mapping[str, Any], name: str, default: Any, read: Callable[[str, str, Any], Any]) -> Any:
    """The entries of a section, in their order."""
    if name not in sections:
        return default
    entries = sections[name]
    reader: _Reader = read.__self__  # type: ignore[attr-defined]
    if not isinstance(entries, Mapping):
        raise reader.error(name, f"is {shown(entries)}; expected entries `name: ...`, one a line")
    return tuple(read(reader.text(key, name), f"{name}: {key}", value) for key, value in entries.items())


class _Reader:
    """Turns the values of one file into parts of a world."""

    def __init__(self, label: str) -> None:
        self.label = label

    def error(self, where: str, problem: str) -> WorldError:
        return WorldError(f"{self.label}: {where} {problem}")

    def mapping(self, value: Any, where: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.error(where, f"is {shown(value)}; expected entries `key: value` with {listed(known, 9)}")
        for key in value:
            if key not in known:
                hint = suggestion(str(key), known)
                raise self.error(where, f"has {shown(key)}, which is not known{hint}; expected {listed(known, 9)}")
        return value

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise self.error(where, f"has {shown(value)}; expected a text (put quotes around words such as yes or on)")
        return value

    def texts(self, value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise self.error(where, f"is {shown(value)}; expected a list of words, such as [ball, sphere]")
        return tuple(self.text(word, where) for word in value)

    def number(self, value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(where, f"is {shown(value)}; expected a number")
        return float(value)

    def whole(self, value: float, where: str) -> int:
        if value != int(value):
            raise self.error(where, f"has {shown(value)}; expected a whole number")
        return int(value)

    def numbers(self, value: Any, where: str, count: int) -> list[float]:
        if not isinstance(value, list) or len(value) != count:
            raise self.error(where, f"is {shown(value)}; expected {count} numbers, such as {[1, 2, 3][:count]}")
        return [self.number(part, where) for part in value]

    def vector(self, value: Any, where: str) -> tuple[float, float, float]:
        x, y, z = self.numbers(value, where, 3)
        return x, y, z

    def flag(self, value: Any, where: str) -> bool:
        if not isinstance(value, bool):
            raise self.error(where, f"is {shown(value)}; expected true or false")
        return value

    def choice(self, value: Any, where: str, options: tuple[Any, ...]) -> Any:
        if value not in options:
            hint = suggestion(str(value), options)
            raise self.error(where, f"is {shown(value)}{hint}; expected one of {listed(options, 9)}")
        return value

    def entry(self, where: str, value: Any, key: str, more: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
        """The main value of an entry, which may stand for the whole entry, and its words."""
        if not isinstance(value, Mapping):
            return value, {}
        entry = self.mapping(value, where, (key, "words", *more))
        if key not in entry:
            raise self.error(where, f"has no {key}")
        words = {name: self.texts(entry[name], f"{where}: {name}") for name in ("words", *more) if name in entry}
        return entry[key], words

    def color(self, name: str, where: str, value: Any) -> Color:
        rgb, words = self.entry(where, value, "rgb")
        red, green, blue = (self.whole(part, where) for part in self.numbers(rgb, where, 3))
        return Color(name, (red, green, blue), **words)

    def material(self, name: str, where: str, value: Any) -> Material:
        look, words = self.entry(where, value, "look")
        return Material(name, self.choice(look, where, LOOKS), **words)

    def size(self, name: str, where: str, value: Any) -> Size:
        half, words = self.entry(where, value, "half")
        return Size(name, self.number(half, where), **words)

    def shape(self, name: str, where: str, value: Any) -> Shape:
        form, words = self.entry(where, value, "form", ("plurals",))
        return Shape(name, self.choice(form, where, FORMS), **words)

    def lamp(self, name: str, where: str, value: Any) -> Lamp:
        keys = ("position", "strength", "radius", "jitter", "distant")
        entry = self.mapping(value, where, keys)
        for key in keys[:3]:
            if key not in entry:
                raise self.error(where, f"has no {key}")
        return Lamp(
            name,
            self.vector(entry["position"], f"{where}: position"),
            self.vector(entry["strength"], f"{where}: strength"),
            self.number(entry["radius"], f"{where}: radius"),
            self.flag(entry.get("jitter", True), f"{where}: jitter"),
            self.flag(entry.get("distant", False), f"{where}: distant"),
        )
