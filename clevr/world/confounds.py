"""Classes of scenes by rules, confounded with something else in training: the kind of CLEVR-Hans.

A class is a list of objects that its scenes hold, such as a large cube and a large cylinder. Where it is confounded,
these objects have further values as well, such as a grey cube, which a classifier may learn in place of the class. No
scene holds what another class asks for.

Source:
    Stammer, Schramowski and Kersting, "Right for the Right Concept", CVPR 2021, https://arxiv.org/abs/2011.12854
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from clevr.world.placement import PlacementError, SceneConfig, complete, draw_setting, place
from clevr.world.scene import Scene, SceneObject
from clevr.world.spec import ATTRIBUTES, WorldSpec
from clevr.world.visibility import all_visible
from fewshot_film.errors import listed, shown

Values = Mapping[str, str]
"""Values of some attributes."""
_MOST_TRIES = 1000


@dataclass(frozen=True)
class SceneClass:
    """What the scenes of a class hold."""

    name: str
    holds: tuple[Values, ...]
    """Values of objects that are all there, each another one."""
    confounded: tuple[Values, ...]
    """Further values that these objects have where the class is confounded, one entry for each."""


def classes_from(record: Any, world: WorldSpec) -> tuple[SceneClass, ...]:
    """Classes from their record, ``{NAME: {holds: [{size: large, ...}, ...], confounded: [{color: gray}, {}]}}``.

    Raises:
        PlacementError: it is none; says which class is wrong, and what was expected.
    """
    if not isinstance(record, Mapping) or len(record) < 2:
        raise PlacementError(f"the classes are {shown(record)}; expected two or more entries `name: {{holds: [...]}}`")
    return tuple(_class(str(name), entry, world) for name, entry in record.items())


def _class(name: str, entry: Any, world: WorldSpec) -> SceneClass:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise PlacementError(f"the class {name!r} cannot be a folder; expected letters, digits, - and _")
    if not isinstance(entry, Mapping) or not {"holds"} <= entry.keys() <= {"holds", "confounded"}:
        raise PlacementError(f"class {name}: {shown(entry)}; expected `holds`, and `confounded` or nothing else")
    holds = entry["holds"]
    further = entry.get("confounded", [{}] * len(holds) if isinstance(holds, list) else [])
    if not isinstance(holds, list) or not isinstance(further, list) or len(holds) != len(further) or not holds:
        raise PlacementError(f"class {name}: expected one or more objects in `holds`, and as many in `confounded`")
    if len(holds) > world.min_objects:
        raise PlacementError(f"class {name} holds {len(holds)} objects; scenes have {world.min_objects} or more")
    for values in (*holds, *further):
        for attribute, value in values.items() if isinstance(values, Mapping) else [("", values)]:
            if attribute not in ATTRIBUTES or value not in world.values[attribute]:
                known = world.values.get(attribute, ATTRIBUTES)
                raise PlacementError(
                    f"class {name}: {shown(value)} is no {attribute or 'object'}; expected one of {listed(known, 12)}"
                )
    for held, more in zip(holds, further, strict=True):
        if any(held.get(attribute, value) != value for attribute, value in more.items()):
            raise PlacementError(f"class {name}: an object of `confounded` contradicts the one that it belongs to")
    return SceneClass(name, tuple(holds), tuple(further))


def satisfies(objects: Sequence[SceneObject], holds: Sequence[Values]) -> bool:
    """Whether there is another object for each entry of ``holds``."""
    return any(all(map(_fits, chosen, holds)) for chosen in permutations(objects, len(holds)))


def class_scene(
    seed: int, split: str, index: int, classes: Sequence[SceneClass], rules: SceneConfig, *, confounded: bool
) -> tuple[Scene, SceneClass]:
    """Scene ``index`` of a split, and its class: the classes take turns.

    Args:
        seed: with split and index, decides everything.
        split: name of the split.
        index: number of the scene.
        classes: of which the scene satisfies one.
        rules: of placement.
        confounded: whether the class's objects have the further values.

    Raises:
        PlacementError: no such scene was found in many tries.
    """
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(split.encode()), zlib.crc32(b"class"), index]))
    wanted, others = classes[index % len(classes)], [one for n, one in enumerate(classes) if n != index % len(classes)]
    setting = draw_setting(rng, rules)
    for _ in range(_MOST_TRIES):
        things = list(place(rng, setting, rules))
        for number, (held, further) in enumerate(zip(wanted.holds, wanted.confounded, strict=True)):
            looks: dict[str, Any] = {**held, **(further if confounded else {})}
            if looks.get("size", things[number].size) != things[number].size:
                break  # an object of another size might have no room here
            x, y, _ = things[number].coords
            changed = replace(things[number], **looks)
            things[number] = replace(changed, coords=(x, y, rules.world.height(changed.shape, changed.size)))
        else:
            scene = complete(things, setting, 320, 240, split, index, rules.world)
            alone = not any(satisfies(things, other.holds) for other in others)
            if alone and all_visible([scene], rules.min_pixels)[0]:
                return scene, wanted
    raise PlacementError(
        f"scene {index} of {split!r}: every scene of class {wanted.name!r} in {_MOST_TRIES} tries holds what another "
        "class asks for, or hides an object; make the classes differ more, or have fewer objects in a scene"
    )


def _fits(thing: SceneObject, values: Values) -> bool:
    return all(getattr(thing, attribute) == value for attribute, value in values.items())
