"""A world of one's own from end to end: generated, inspected, learnt, evaluated, asked about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clevr.cli import COMMANDS
from clevr.commands.generate import run
from clevr.config.commands import GenerateConfig
from clevr.data.reader import ClevrSplit
from clevr.data.writer import GenerateError
from clevr.questions.tokens import answers_of, vocabulary_of
from clevr.reasoning import load
from clevr.world.world_file import read_world
from fewshot_film.run.command import main
from tests.clevr.commands.test_train import FLAGS
from tests.clevr.worlds import make_world
from tests.conftest import CHECKOUT

HARBOUR = CHECKOUT / "examples" / "harbour" / "world.yaml"


def generate(root: Path, split: str, scenes: int, world: Path | None = HARBOUR, **more: object) -> None:
    settings = {"width": 32, "height": 24, "questions_per_scene": 4, "workers": 1, **more}
    run(GenerateConfig(out=root, split=split, scenes=scenes, world=world, **settings))  # type: ignore[arg-type]


def clevr(*words: str) -> int:
    return main("clevr-film", COMMANDS, list(words))


def test_a_set_keeps_its_world_and_takes_no_other(tmp_path: Path) -> None:
    generate(tmp_path, "train", 2)
    harbour = read_world(tmp_path / "world.yaml")
    assert harbour == read_world(HARBOUR)
    split = ClevrSplit.open(tmp_path, "train")
    assert split.world == harbour
    assert {scene.world for scene in split.scenes()} == {harbour}
    assert set(split.table().answers[4:]) == set(answers_of(harbour))
    generate(tmp_path, "val", 1, tmp_path / "world.yaml")
    with pytest.raises(GenerateError, match=r"holds scenes of the world 'harbour'.*--world .*world.yaml"):
        generate(tmp_path, "test", 1, None)
    changed = tmp_path / "changed.yaml"
    changed.write_text(HARBOUR.read_text().replace("[24, 24, 26]", "[24, 24, 27]"))
    with pytest.raises(GenerateError, match="holds scenes of the world 'harbour'"):
        generate(tmp_path, "train", 2, changed)
    make_world(tmp_path / "clevr", {"train": 1})
    with pytest.raises(GenerateError, match=r"holds scenes of the world 'clevr'.*without --world"):
        generate(tmp_path / "clevr", "val", 1)


@pytest.mark.slow
def test_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, harbour = tmp_path / "harbour", read_world(HARBOUR)
    for split, scenes in (("train", 40), ("val", 10)):
        generate(root, split, scenes)
    sheet = tmp_path / "sheet.png"
    assert clevr("inspect", str(root), f"--sheet={sheet}") == 0
    assert "no problems; 160 answers checked" in capsys.readouterr().out
    flags = [flag for flag in FLAGS if flag.startswith(("--model", "--data", "--scene"))]
    trained = [*flags, "--loop.steps=60", "--loop.validate_every=60", "--program_weight=0.1"]
    assert clevr("train", f"--out={tmp_path / 'run'}", f"--data.root={root}", *trained) == 0
    model = tmp_path / "run" / "model"
    reasoner = load(model)
    assert reasoner.world == harbour
    assert (reasoner.vocabulary.tokens, reasoner.answers) == (vocabulary_of(harbour), answers_of(harbour))
    assert clevr("export", str(tmp_path / "run"), f"--out={tmp_path / 'again'}") == 0
    assert load(tmp_path / "again").world == harbour
    capsys.readouterr()
    assert clevr("evaluate", str(model), str(root), "--format=json", f"--out={tmp_path / 'found.json'}") == 0
    found = json.loads(capsys.readouterr().out)["results"]
    assert found["confusion"]["answers"] == list(answers_of(harbour))
    assert found["overall"]["count"] == 40
    assert found["overall"]["right"] > 0
    image = next((root / "images" / "val").iterdir())
    assert clevr("ask", str(image), "What color is the large ring?", f"--model={model}", "--format=json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["answer"] in answers_of(harbour)
    assert answer["unknown_words"] == []
    make_world(tmp_path / "clevr", {"val": 2})
    assert clevr("evaluate", str(model), str(tmp_path / "clevr")) == 2
    assert "the questions are about the world 'clevr'" in capsys.readouterr().err
