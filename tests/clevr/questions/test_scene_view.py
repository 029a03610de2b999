from __future__ import annotations

import itertools

from hypothesis import given, settings

from clevr.questions.programs import VALUES
from clevr.questions.referring_expressions import MASKS, SceneView, first_object
from clevr.world.scene import RELATIONS, Scene
from clevr.world.spec import ATTRIBUTES
from tests.clevr.questions.scenes import scenes


def fitting(scene: Scene, description: tuple[str | None, ...]) -> set[int]:
    return {
        i
        for i, thing in enumerate(scene.objects)
        if all(told in (None, getattr(thing, name)) for told, name in zip(description, ATTRIBUTES, strict=True))
    }


def members(bits: int) -> set[int]:
    return {i for i in range(10) if bits >> i & 1}


@settings(max_examples=25, deadline=None)
@given(scenes())
def test_unique_descriptions_are_all_there_are(scene: Scene) -> None:
    view = SceneView(scene)
    values = [[None, *VALUES[attribute]] for attribute in ATTRIBUTES]
    everything = set(range(len(scene.objects)))
    for among in (view.everything, view.related["left"][0], view.same("shape", 1)):
        for hidden in (frozenset(), frozenset({"color"}), frozenset({"size", "shape"})):
            expected = {
                (description, next(iter(found)))
                for description in itertools.product(*values)
                if len(found := fitting(scene, description) & members(among)) == 1
                and (members(among) == everything or found != fitting(scene, description))
                and not any(told and name in hidden for told, name in zip(description, ATTRIBUTES, strict=True))
            }
            given = view.unique(among, hidden)
            assert {(description, first_object(objects)) for description, objects in given} == expected
            assert len(given) == len(expected)


@settings(max_examples=25, deadline=None)
@given(scenes())
def test_sets_are_those_of_the_scene(scene: Scene) -> None:
    view = SceneView(scene)
    for i, thing in enumerate(scene.objects):
        for relation in RELATIONS:
            assert members(view.related[relation][i]) == set(scene.relationships[relation][i])
        for name in ATTRIBUTES:
            same = {j for j, other in enumerate(scene.objects) if getattr(other, name) == getattr(thing, name)}
            assert members(view.same(name, i)) == same - {i}
    for mask, options in zip(MASKS, view.by_mask, strict=True):
        for description, objects in options:
            assert tuple(told is not None for told in description) == mask
            assert members(objects) == fitting(scene, description) == members(view.fitting(description))


@settings(max_examples=25, deadline=None)
@given(scenes())
def test_absent_descriptions_fit_nothing(scene: Scene) -> None:
    view = SceneView(scene)
    assert view.absent(0, lambda options: options[0]) is None
    for mask in range(1, 16):
        absent = view.absent(mask, lambda options: options[-1])
        if absent is not None:
            assert fitting(scene, absent) == set()
            assert tuple(told is not None for told in absent) == MASKS[mask]
