from __future__ import annotations

import itertools
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clevr.cli import COMMANDS
from clevr.commands.objects import INFO_FILE, class_name, cut_out, part_of, run, square_around
from clevr.config.commands import ObjectsConfig
from clevr.data.writer import GenerateError
from clevr.world.placement import Scenes
from clevr.world.render import boxes, object_ids, render
from clevr.world.scene import COLORS, MATERIALS, SHAPES
from clevr.world.world_file import read_world
from fewshot_film.data import decode
from fewshot_film.data.folder import folder
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import main
from fewshot_film.run.files import temporary_path
from tests.conftest import CHECKOUT

CLASSES = list(itertools.product(COLORS, MATERIALS, SHAPES))


def a_config(out: Path, **changes: Any) -> ObjectsConfig:
    settings = {"scenes": 5, "width": 96, "height": 64, "size": 12, "min_side": 5, "chunk": 2, "workers": 1}
    return ObjectsConfig(out=out, **{**settings, **changes})


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.png")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("objects")
    run(a_config(root / "set"))
    return root / "set"


def test_every_object_is_there_once_under_its_class(whole: Path) -> None:
    scenes = Scenes(0, "objects", width=96, height=64).batch(range(5))
    ids = object_ids(scenes, 96, 64)
    expected = set()
    for number, (scene, shown) in enumerate(zip(scenes, ids, strict=True)):
        for index, thing in enumerate(scene.objects):
            rows, columns = np.nonzero(shown.numpy() == index)
            if min(np.ptp(rows), np.ptp(columns)) + 1 >= 5:
                described = thing.color, thing.material, thing.shape
                expected.add(f"{part_of(*described)}/{class_name(*described)}/{number:06d}_{index:02d}.png")
    assert set(content(whole)) == expected
    assert len(expected) > 15


def test_a_cut_out_is_what_its_picture_shows_there(whole: Path) -> None:
    config = a_config(whole)
    scene = Scenes(0, "objects", width=96, height=64)[1]
    page = render([scene], 96, 64)[0].permute(1, 2, 0).numpy()
    found = boxes(object_ids([scene], 96, 64)[0], len(scene.objects)).tolist()
    for cutout in cut_out(config, [1]):
        left, top, right, bottom = square_around(found[cutout.index], 0.15, 96, 64)
        middle = page[round((top + bottom) / 2), round((left + right) / 2)].astype(float)
        assert np.abs(cutout.pixels[:, 5:7, 5:7].mean((1, 2)) - middle).max() < 60
        assert cutout.pixels.shape == (3, 12, 12)


def test_classes_are_dealt_for_good() -> None:
    parts = {part: [c for c in CLASSES if part_of(*c) == part] for part in ("train", "val", "test")}
    assert {part: len(classes) for part, classes in parts.items()} == {"train": 30, "val": 6, "test": 12}
    for part in ("train", "test"):
        assert [{c[place] for c in parts[part]} for place in range(3)] == [set(COLORS), set(MATERIALS), set(SHAPES)]
    assert part_of("gray", "rubber", "cube") == "test"
    assert part_of("blue", "rubber", "cube") == "val"
    assert part_of("yellow", "metal", "sphere") == "train"


HARBOUR = CHECKOUT / "examples/harbour/world.yaml"


def test_a_world_of_ones_own(tmp_path: Path) -> None:
    world = read_world(HARBOUR)
    run(a_config(tmp_path / "set", scenes=6, world=HARBOUR))
    found = [(path.parts[0], *path.parts[1].split("_")) for path in map(Path, content(tmp_path / "set"))]
    assert {part_of(*described, world) for _, *described in found} == {part for part, *_ in found}
    assert {color for _, color, *_ in found} <= {*world.values["color"]}
    assert len(found) > 12
    with pytest.raises(GenerateError, match="was made with another world; choose another folder"):
        run(a_config(tmp_path / "set", scenes=6))
    named = [world.values[name] for name in ("color", "material", "shape")]
    trained = [c for c in itertools.product(*named) if part_of(*c, world) == "train"]
    assert [set(values) for values in zip(*trained, strict=True)] == [set(values) for values in named]


def test_a_world_of_few_values_is_refused(tmp_path: Path) -> None:
    few = tmp_path / "world.yaml"
    few.write_text("name: few\ncolors: {red: [173, 35, 35], blue: [42, 75, 215]}\n")
    with pytest.raises(GenerateError, match=r"'few' has too few colors, materials or shapes \(2, 2, 3\) to deal"):
        run(a_config(tmp_path / "set", world=few))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_chunks_and_processes_do_not_matter(whole: Path, tmp_path: Path, workers: int) -> None:
    run(a_config(tmp_path / "other", chunk=5, workers=workers))
    assert content(tmp_path / "other") == content(whole)


def test_a_run_that_was_killed_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def killed(config: ObjectsConfig, indices: range) -> Any:
        calls.append(indices)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return cut_out(config, indices)

    monkeypatch.setattr("clevr.commands.objects.cut_out", killed)
    with pytest.raises(KeyboardInterrupt):
        run(a_config(tmp_path / "set"))
    assert 0 < len(content(tmp_path / "set")) < len(content(whole))
    run(a_config(tmp_path / "set"))
    assert [list(indices) for indices in calls] == [[0, 1], [2, 3], [2, 3], [4]]
    assert content(tmp_path / "set") == content(whole)
    run(a_config(tmp_path / "set"))
    assert len(calls) == 4


def test_a_kill_leaves_no_half_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        run(a_config(tmp_path / "set"))
    assert not list((tmp_path / "set").rglob("*.png"))


def test_a_kill_at_the_very_beginning_can_be_gone_on_from(whole: Path, tmp_path: Path) -> None:
    temporary_path(tmp_path / INFO_FILE).write_text("{")
    run(a_config(tmp_path))
    assert content(tmp_path) == content(whole)


def test_what_a_file_browser_leaves_is_no_class(whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(whole, tmp_path / "set")
    some_class = next((tmp_path / "set" / "train").iterdir())
    caplog.set_level(logging.INFO)
    run(a_config(tmp_path / "set"))
    expected = list(caplog.messages)
    for folder_of_note in (some_class.parent, some_class):
        (folder_of_note / ".DS_Store").write_bytes(b"x")
    caplog.clear()
    run(a_config(tmp_path / "set"))
    assert list(caplog.messages) == expected
    assert any(message.startswith("train: ") for message in expected)


def test_other_settings_or_a_folder_in_use_are_refused(whole: Path, tmp_path: Path, capsys) -> None:
    words = ["objects", "--out", str(whole), "--scenes", "5", "--width", "96", "--height", "64", "--size", "16"]
    assert main("clevr-film", COMMANDS, words) == 2
    assert (
        "was made with different settings: size is 12 there and 16 here; choose another one" in capsys.readouterr().err
    )
    (tmp_path / "notes.txt").touch()
    assert main("clevr-film", COMMANDS, ["objects", "--out", str(tmp_path), "--scenes", "5"]) == 2
    assert "has other content; choose an empty or new folder" in capsys.readouterr().err
    assert json.loads((whole / INFO_FILE).read_text())["size"] == 12


def test_the_folder_source_reads_it_with_its_split(whole: Path) -> None:
    everything = folder(whole)
    train = decode(folder(whole, "train"), 12, 3)
    assert not train.skipped
    assert set(train.class_names) < set(everything.class_names)
    assert {name for name in train.class_names if part_of(*name.split("_")) != "train"} == set()
    first = Image.open(whole / train.files[0])
    assert np.array_equal(train.get(np.array([0]))[0].permute(1, 2, 0).numpy(), np.asarray(first))


def test_square_by_hand() -> None:
    assert square_around([10, 20, 20, 26], 0.0, 100, 80) == (10, 18, 20, 28)
    assert square_around([10, 20, 20, 26], 0.5, 100, 80) == (5, 13, 25, 33)
    assert square_around([0, 70, 20, 80], 0.25, 100, 80) == (0, 50, 30, 80)
    assert square_around([0, 0, 100, 80], 1.0, 100, 80) == (10, 0, 90, 80)


@given(st.integers(0, 90), st.integers(0, 70), st.integers(1, 10), st.integers(1, 10), st.floats(0, 1))
def test_a_square_lies_in_the_picture(left: int, top: int, width: int, height: int, margin: float) -> None:
    x, y, right, bottom = square_around([left, top, left + width, top + height], margin, 100, 80)
    assert right - x == pytest.approx(bottom - y)
    assert x >= 0
    assert y >= 0
    assert right <= 100 + 1e-9
    assert bottom <= 80 + 1e-9
    assert x <= left
    assert bottom >= top + height - 1e-9


@pytest.mark.parametrize(("change", "message"), [
    ({"scenes": 0}, "scenes is 0; expected at least 1"),
    ({"size": 0}, "size is 0; expected at least 1"),
    ({"seed": -1}, "seed is -1; expected at least 0"),
    ({"margin": 2.0}, r"margin is 2.0; expected a number from 0 to 1"),
    ({"workers": 0}, "workers is 0; expected auto, or at least 1"),
])  # fmt: skip
def test_settings_out_of_range(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_config(tmp_path, **change)
