"""Classes of scenes by rules, confounded in training and not in the test."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clevr.commands.confound import run
from clevr.config.commands import ConfoundConfig
from clevr.data.reader import ClevrSplit
from clevr.world.confounds import class_scene, classes_from, satisfies
from clevr.world.placement import PlacementError, SceneConfig
from clevr.world.spec import CLEVR
from tests.conftest import CHECKOUT

RULES = CHECKOUT / "examples" / "confounded" / "classes.yaml"


def test_scenes_hold_their_class_alone_and_the_confounder_in_training(tmp_path: Path) -> None:
    run(ConfoundConfig(RULES, tmp_path, train=9, val=3, test=9, width=32, height=24, workers=1))
    classes = {one.name: one for one in classes_from(yaml.safe_load(RULES.read_text()), CLEVR)}
    loose = 0
    for split, count in (("train", 9), ("val", 3), ("test", 9)):
        folders = {path.name: path.parent.name for path in (tmp_path / split).glob("*/*.png")}
        scenes = list(ClevrSplit.open(tmp_path, split).scenes())
        assert len(folders) == len(scenes) == count
        for scene in scenes:
            name = folders[scene.image_filename]
            assert [other for other, one in classes.items() if satisfies(scene.objects, one.holds)] == [name]
            full = [{**a, **b} for a, b in zip(classes[name].holds, classes[name].confounded, strict=True)]
            assert split == "test" or satisfies(scene.objects, full)
            loose += split == "test" and not satisfies(scene.objects, full)
    assert loose > 0
    first = class_scene(0, "train", 4, tuple(classes.values()), SceneConfig.of(CLEVR), confounded=True)
    assert list(ClevrSplit.open(tmp_path, "train").scenes())[4].objects[0].coords == first[0].objects[0].coords


def test_overwriting_leaves_no_image_of_before(tmp_path: Path) -> None:
    rules, out = tmp_path / "rules.yaml", tmp_path / "out"
    for names, count in (("ab", 4), ("ba", 3)):
        rules.write_text(
            yaml.safe_dump(
                {name: {"holds": [{"color": color}]} for name, color in zip(names, ("red", "blue"), strict=True)},
                sort_keys=False,
            )
        )
        run(ConfoundConfig(rules, out, train=count, val=1, test=1, width=32, height=24, workers=1))
    found = {path.name: path.parent.name for path in (out / "train").glob("*/*.png")}
    assert sorted(found) == sorted(scene.image_filename for scene in ClevrSplit.open(out, "train").scenes())
    assert len(list((out / "train").glob("*/*.png"))) == 3


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ([], r"the classes are \[\]; expected two or more entries"),
        ({"a": {"holds": [{}]}, "b": {}}, "class b: {}; expected `holds`"),
        ({"a/b": {"holds": [{}]}, "b": {"holds": [{}]}}, "the class 'a/b' cannot be a folder"),
        (
            {"a": {"holds": [{"color": "pink"}]}, "b": {"holds": [{}]}},
            "'pink' is no color; expected one of gray",
        ),
        (
            {"a": {"holds": [{"colour": "red"}]}, "b": {"holds": [{}]}},
            "'red' is no colour; expected one of size",
        ),
        ({"a": {"holds": [{}] * 4}, "b": {"holds": [{}]}}, "class a holds 4 objects; scenes have 3 or more"),
        (
            {"a": {"holds": [{"color": "red"}], "confounded": [{"color": "blue"}]}, "b": {"holds": [{}]}},
            "an object of `confounded` contradicts",
        ),
        ({"a": {"holds": [{}], "confounded": []}, "b": {"holds": [{}]}}, "one or more objects in `holds`, and as many"),
    ],
)
def test_rules_that_describe_no_classes(record: object, problem: str) -> None:
    with pytest.raises(PlacementError, match=problem):
        classes_from(record, CLEVR)


def test_a_class_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "classes.yaml"
    rules.write_text("a: {holds: [{color: red}]}\nb: {holds: [{color: blue}]}\na: {holds: [{color: gray}]}\n")
    with pytest.raises(PlacementError, match="'a' stands there twice, again in line 3"):
        run(ConfoundConfig(rules=rules, out=tmp_path / "out"))
