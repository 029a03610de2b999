from __future__ import annotations

import json
import logging
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clevr.cli import COMMANDS
from clevr.commands.generate import make, make_questions, make_scenes, run
from clevr.config.commands import GenerateConfig
from clevr.data.reader import ClevrSplit
from clevr.data.survey import survey
from clevr.data.writer import Chunk, write_scenes
from clevr.questions.programs import QUESTION_TYPES
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import main
from tests.processes import Running, start_program

TINY = ["--split", "val", "--scenes", "10", "--width", "24", "--height", "16", "--chunk", "2"]


def a_config(out: Path, **changes: Any) -> GenerateConfig:
    settings = {"split": "val", "scenes": 10, "width": 24, "height": 16, "chunk": 2, "workers": 1}
    return GenerateConfig(out=out, **{**settings, **changes})


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    run(a_config(root))
    return root


@pytest.fixture(scope="module")
def whole(whole_root: Path) -> dict[str, bytes]:
    return content(whole_root)


def test_the_set_is_sound(whole_root: Path, whole: dict[str, bytes]) -> None:
    split = ClevrSplit.open(whole_root, "val")
    found = survey(split)
    assert found.problems == []
    assert (found.num_scenes, found.num_questions, found.num_executed) == (10, 100, 100)
    assert found.image_sizes == {(24, 16): 10}
    assert len(whole) == 12
    table = split.table()
    assert table.question_index.tolist() == list(range(100))
    assert table.image_index.tolist() == [index for index in range(10) for _ in range(10)]
    assert set(table.type.tolist()) == set(range(len(QUESTION_TYPES)))
    for index in range(10):
        assert len(set(table.family[10 * index : 10 * index + 10].tolist())) == 10


def test_info_names_what_the_set_is_made_of(whole_root: Path) -> None:
    info = ClevrSplit.open(whole_root, "val").info()
    assert {name: info[name] for name in ("split", "version", "date")} == {"split": "val", "version": "1.0", "date": ""}
    assert info["generator"]["seed"] == 0
    assert info["generator"]["scenes"] == 10


def test_chunks_do_not_matter(tmp_path: Path, whole: dict[str, bytes]) -> None:
    run(a_config(tmp_path, chunk=7))
    assert content(tmp_path) == whole


def test_shares_of_two_machines_join(tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(a_config(tmp_path / "a", stop=4))
    run(a_config(tmp_path / "b", start=4))
    assert "to merge parts, copy them into one folder and run the command without a range" in caplog.text
    shutil.copytree(tmp_path / "a", tmp_path / "joined")
    shutil.copytree(tmp_path / "b", tmp_path / "joined", dirs_exist_ok=True)
    caplog.clear()
    run(a_config(tmp_path / "joined"))
    assert "val: 0 of 10 scenes to generate" in caplog.text
    assert "val is complete" in caplog.text
    assert content(tmp_path / "joined") == whole


def test_shares_in_one_folder(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for start in (6, 0, 2, 8, 4):
        run(a_config(tmp_path, start=start, stop=start + 2))
    assert content(tmp_path) == whole


def test_two_processes_make_the_same(tmp_path: Path, whole: dict[str, bytes]) -> None:
    run(a_config(tmp_path, workers=2))
    assert content(tmp_path) == whole


def test_compiled_loops_make_the_same_within_a_level(tmp_path: Path, whole_root: Path) -> None:
    pytest.importorskip("numba")
    run(a_config(tmp_path, compiled=True, workers=2))
    made, there = (ClevrSplit.open(root, "val") for root in (tmp_path, whole_root))
    assert list(made.scenes()) == list(there.scenes())
    for name in there.images:
        pixels, expected = (np.asarray(split.load_image(name), dtype=np.int64) for split in (made, there))
        assert np.abs(pixels - expected).max() <= 1


def test_seed_split_and_condition_change_the_scenes(tmp_path: Path) -> None:
    scenes = {
        name: make_scenes(a_config(tmp_path, **change), Chunk(0, 3))
        for name, change in {
            "plain": {},
            "seed": {"seed": 1},
            "split": {"split": "train"},
            "condition": {"condition": "A"},
            "same": {"width": 48},
        }.items()
    }
    places = {name: [[thing.coords for thing in scene.objects] for scene in some] for name, some in scenes.items()}
    assert places["same"] == places["plain"]
    assert all(places[name] != places["plain"] for name in ("seed", "split"))
    colors = {(thing.shape, thing.color) for scene in scenes["condition"] for thing in scene.objects}
    assert all(color in ("gray", "blue", "brown", "yellow") for shape, color in colors if shape == "cube")
    assert all(color in ("red", "green", "purple", "cyan") for shape, color in colors if shape == "cylinder")


def test_questions_depend_on_the_seed_and_the_scene(tmp_path: Path) -> None:
    first, second = make_scenes(a_config(tmp_path), Chunk(0, 2))
    assert make_questions(a_config(tmp_path), first) == make_questions(a_config(tmp_path), first)
    texts = [question.question for question in make_questions(a_config(tmp_path), first)]
    assert texts != [question.question for question in make_questions(a_config(tmp_path, seed=1), first)]
    assert texts != [question.question for question in make_questions(a_config(tmp_path), second)]


def test_number_of_questions(tmp_path: Path) -> None:
    made = make(a_config(tmp_path, questions_per_scene=3), Chunk(4, 6))
    assert [question.question_index for question in made.questions] == [12, 13, 14, 15, 16, 17]
    assert made.images.shape == (2, 3, 16, 24)
    assert made.images.dtype == np.uint8


def test_another_seed_is_refused(whole_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(whole_root)
    assert main("clevr-film", COMMANDS, ["generate", "--out", str(whole_root), *TINY, "--seed", "4"]) == 2
    assert (
        "CLEVR_val_scenes.json was made with different settings: seed is 0 there and 4 here" in capsys.readouterr().err
    )
    assert content(whole_root) == before


def test_no_bar_where_nobody_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(a_config(tmp_path, scenes=2))
    assert capsys.readouterr().err == ""


def test_a_share_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", "--out", str(tmp_path / "a"), *TINY, "--start", "3"]
    assert main("clevr-film", COMMANDS, words) == 2
    assert "--start 3 cuts a chunk; expected a multiple of 2 or 10" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def _start(root: Path, workers: int) -> Running:
    words = ("generate", "--out", str(root), *TINY, "--workers", str(workers))
    return start_program(root.with_name("logs"), "clevr-film", *words)


def _kill_at_random(root: Path, process: Running, rng: random.Random) -> None:
    """Let some pictures be made, wait a moment more, and kill."""
    wanted = len(list(root.rglob("*.png"))) + rng.randint(0, 3)
    while process.is_alive and len(list(root.rglob("*.png"))) < wanted:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.03))
    process.send(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(("workers", "kills"), [(1, 2), pytest.param(2, 6, marks=pytest.mark.slow)])
def test_killed_at_random_and_restarted(tmp_path: Path, whole: dict[str, bytes], workers: int, kills: int) -> None:
    rng, root = random.Random(workers), tmp_path / "world"
    for _ in range(kills):
        _kill_at_random(root, _start(root, workers), rng)
    assert _start(root, workers).wait().is_done
    assert content(root) == whole


def test_ctrl_c_ends_it_and_it_can_go_on(tmp_path: Path, whole: dict[str, bytes]) -> None:
    root = tmp_path / "world"
    process = _start(root, 1)
    while not list(root.rglob("*.png")):
        assert process.is_alive
        time.sleep(0.002)
    process.send(signal.SIGINT)
    assert process.wait().status in (130, 0)
    run(a_config(root))
    assert content(root) == whole


def test_reference_question_generator_finds_what_it_reads(whole_root: Path) -> None:
    """The keys that CLEVR's own question generator takes out of a scenes file."""
    file = json.loads((whole_root / "scenes" / "CLEVR_val_scenes.json").read_text(encoding="utf-8"))
    assert file["info"]["split"] == "val"
    for scene in file["scenes"]:
        assert int(Path(scene["image_filename"]).stem.split("_")[-1]) == scene["image_index"]
        for relation in ("left", "right", "front", "behind"):
            assert len(scene["directions"][relation]) == 3
            assert len(scene["relationships"][relation]) == len(scene["objects"])
            assert all(row == sorted(set(row)) for row in scene["relationships"][relation])
        for thing in scene["objects"]:
            assert {"shape", "color", "material", "size", "3d_coords", "pixel_coords", "rotation"} <= thing.keys()


def test_closures_families_about_scenes_that_are_there(tmp_path: Path, whole_root: Path) -> None:
    there = ClevrSplit.open(whole_root, "val")
    run(a_config(tmp_path / "new", families="closure", questions_per_scene=7))
    run(a_config(tmp_path / "there", families="closure", questions_per_scene=7, scenes_from=whole_root, scenes=50))
    new, about_there = (ClevrSplit.open(tmp_path / name, "val") for name in ("new", "there"))
    found = survey(about_there)
    assert found.problems == []
    assert found.num_scenes == 10
    assert found.num_questions == found.num_executed > 60
    assert set(about_there.table().family.tolist()) <= set(range(90, 142))
    for split in (new, about_there):
        assert [scene.to_json() for scene in split.scenes()] == [scene.to_json() for scene in there.scenes()]
        for name in there.images:
            assert split.load_image(name).tobytes() == there.load_image(name).tobytes()
    assert [q.to_json() for q in new.questions()] == [q.to_json() for q in about_there.questions()]
    assert about_there.info()["generator"]["scenes_from"] == whole_root.name


def test_scenes_that_are_there_are_numbered_anew(tmp_path: Path, whole_root: Path) -> None:
    there = list(ClevrSplit.open(whole_root, "val").scenes())
    part = tmp_path / "part"
    write_scenes(part / "scenes/CLEVR_val_scenes.json", there[4:7], {})
    shutil.copytree(whole_root / "images", part / "images")
    run(a_config(tmp_path / "out", scenes_from=part))
    made = ClevrSplit.open(tmp_path / "out", "val")
    assert [scene.image_index for scene in made.scenes()] == [0, 1, 2]
    assert [scene.objects for scene in made.scenes()] == [scene.objects for scene in there[4:7]]
    before = ClevrSplit.open(whole_root, "val").load_image("CLEVR_val_000004.png")
    assert made.load_image("CLEVR_val_000000.png").tobytes() == before.tobytes()


def test_settings_of_closures_families(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="questions_per_scene is 53; expected at most 52, one of each of CLOSURE's"):
        a_config(tmp_path, families="closure", questions_per_scene=53)
    with pytest.raises(ConfigError, match="condition is A, but the scenes of worlds are taken as they are"):
        a_config(tmp_path, scenes_from=Path("worlds"), condition="A")
