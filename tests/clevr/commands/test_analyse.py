from __future__ import annotations

import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clevr.analysis import embedding, histograms
from clevr.analysis.subject import Subject, answers_about, read
from clevr.cli import COMMANDS
from clevr.commands.analyse import seen_pairs
from clevr.config.commands import ANALYSES, AnalyseConfig
from clevr.config.model import ClevrDataConfig, TrainConfig
from clevr.data.batches import load_reasoning_data
from clevr.questions.families import FAMILIES
from clevr.reasoning.loading import save_reasoner
from fewshot_film.errors import ConfigError
from fewshot_film.run.command import main
from tests.clevr.models import SMALL, a_reasoner, a_saved_model, a_world, one_question
from tests.clevr.worlds import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_world(a_world(tmp_path_factory.mktemp("world"), scenes=12), "train", 4)


@pytest.fixture(scope="module")
def found(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All analyses of a tiny model."""
    out = tmp_path_factory.mktemp("found")
    assert analyse(a_saved_model(out / "model"), world, "--out", out / "analysis", "--questions=100") == 0
    return out / "analysis"


def analyse(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["analyse", *map(str, words), "--device=cpu"])


def a_subject(world: Path, **changes: Any) -> Subject:
    reasoner = a_reasoner(**changes)
    data = load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)
    return Subject(reasoner, data, {}, data.table, 50, 0)


def test_every_function_has_a_look_of_its_own_in_the_legend(world: Path) -> None:
    subject = dataclasses.replace(a_subject(world), questions=120)
    finding = embedding.analyse(subject)
    (legend,) = finding.figure.legends
    names = [text.get_text().replace(" ", "_") for text in legend.get_texts()]
    assert set(names) == set(finding.results["functions"]) == {family.asks for family in FAMILIES}
    looks = {(mark.get_color(), mark.get_marker()) for mark in legend.legend_handles}
    assert len(looks) == len(names) == 13


@pytest.mark.parametrize("fixed", [{"gamma": "one"}, {"beta": "zero"}])
def test_histograms_of_values_that_are_all_one(world: Path, fixed: dict[str, Any]) -> None:
    found = histograms.analyse(a_subject(world, **fixed)).results
    json.dumps(found, allow_nan=False)
    part = found[next(iter(fixed))]
    width = part["edges"][1] - part["edges"][0]
    assert max(part["blocks.0"]["density"]) == pytest.approx(1 / width)


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_is_a_picture_and_numbers(found: Path, name: str) -> None:
    with Image.open(found / f"{name}.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    content = json.loads((found / f"{name}.json").read_text())
    assert content["config"]["questions"] == 100
    assert content["results"]


def results(found: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((found / f"{name}.json").read_text())["results"]
    return content


def test_histograms_hold_every_block(found: Path) -> None:
    content = results(found, "histograms")
    assert set(content["gamma"]) == {"edges", *(f"blocks.{index}" for index in range(SMALL.blocks))}
    widths = np.diff(content["beta"]["edges"])
    assert np.dot(content["beta"]["blocks.1"]["density"], widths) == pytest.approx(1)


def test_the_embedding_has_a_point_for_every_question(found: Path) -> None:
    content = results(found, "embedding")
    assert np.shape(content[f"blocks.{SMALL.blocks - 1}"]["points"]) == (100, 2)
    assert len(content["functions"]) == len(content["hops"]) == 100
    assert set(content["hops"]) <= {"0", "1", "2", "3"}
    assert content["by_chance"]["function"] < content["by_chance"]["type"] < 1
    for kind in ("function", "type"):  # even a GRU that was never trained keeps like questions together
        assert content["blocks.0"]["neighbours_of_same"][kind] > content["by_chance"][kind]


def test_resets_are_of_all_blocks_and_of_each(found: Path) -> None:
    content = results(found, "resets")
    assert len(content["resets"]) == 1 + 3 + 2 + 2 * SMALL.blocks
    assert all(entry["overall"]["count"] == 100 for entry in content["resets"].values())
    assert set(content["noise"]["gamma and beta"]) == {"0.05", "0.1", "0.2", "0.5", "1", "2"}
    assert {len(content["spread_by_block"][part]) for part in ("gamma", "beta")} == {SMALL.blocks}


def test_consistency_counts_every_answer(found: Path) -> None:
    content = results(found, "consistency")
    assert (content["images"], content["pairs"]) == (3, 12)
    assert content["agreement"]["a comparison with both counts"]["count"] == 36
    assert {name: entry["count"] for name, entry in content["right"].items()} == {
        "count": 24,
        "exist": 24,
        "greater_than": 12,
        "less_than": 12,
        "equal_integer": 12,
    }


def test_composition_covers_every_color_and_shape(found: Path) -> None:
    ways = results(found, "composition")["ways"]
    assert set(ways) == {"asked", "composed", "color alone", "shape alone"}
    asked = ways["asked"]
    assert asked["overall"]["count"] == 24
    by_pair = asked["where there are, by color and shape"]
    assert sum(entry["count"] for entry in by_pair.values()) == asked["where there are such things"]["count"] > 0


def test_answers_about_pictures_are_those_of_the_network(world: Path) -> None:
    subject = a_subject(world)
    texts = ["How many red cubes are there?", "Is there a big ball?", "What color is the cube?"]
    names, maps = subject.images(5)
    found = answers_about(subject.reasoner, maps, subject.read(texts))
    images = list(subject.data.table.images)
    for row, name in zip(found, names, strict=True):
        picture = torch.from_numpy(subject.data.images[images.index(name)].copy())
        for answer, text in zip(row, texts, strict=True):
            tokens = subject.reasoner.vocabulary.encode(text)
            with torch.no_grad():
                assert answer == int(subject.reasoner(one_question(picture, tokens)).argmax())


def test_means_and_spreads_are_those_of_the_questions(world: Path) -> None:
    subject = a_subject(world)
    texts = [subject.data.table.texts[int(number)] for number in subject.numbers]
    values = subject.flat_values(texts)
    for block, (gamma, beta) in enumerate(subject.mean_values().values()):
        np.testing.assert_allclose(gamma[0], values[:, block, 0].mean(0), atol=1e-5)
        np.testing.assert_allclose(beta[0], values[:, block, 1].mean(0), atol=1e-5)
    for block, spread in enumerate(subject.spreads().values()):
        expected = np.sqrt(values[:, block].var(0).mean(1))
        np.testing.assert_allclose(spread, expected, rtol=1e-4)


def test_many_questions_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    reasoner = a_reasoner()
    questions = [[1, token, 2] for token in range(4, 60)]
    whole = read(reasoner, questions)
    monkeypatch.setattr("clevr.analysis.subject._AT_ONCE", 10)
    torch.testing.assert_close(read(reasoner, questions), whole)


def test_models_without_film(world: Path) -> None:
    with pytest.raises(ConfigError, match="the model has no FiLM"):
        a_subject(world, conditioning="concatenation")


def test_no_scenes(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("images", "questions"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / part).symlink_to(world / part)
    words = (a_saved_model(tmp_path / "model"), tmp_path / "set", "--out", tmp_path / "out", "--questions=100")
    assert analyse(*words, "--analyses=[composition]") == 2
    assert "composition counts in scenes, and the split has none" in capsys.readouterr().err
    assert analyse(*words, "--analyses=[consistency]") == 0
    assert "right" not in results(tmp_path / "out", "consistency")
    with caplog.at_level(logging.INFO):
        assert analyse(*words, "--train_split=val", "--overwrite") == 0, "those that can be made are"
    assert "left out composition: composition counts in scenes, and the split has none" in caplog.text
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == set(ANALYSES) - {"composition"}


def test_no_training_split(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (a_saved_model(tmp_path / "model"), world, "--out", tmp_path / "out", "--train_split=other")
    assert analyse(*words) == 2
    assert "no split 'other'" in capsys.readouterr().err


def test_no_scikit_learn(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    words = (a_saved_model(tmp_path / "model"), world, "--out", tmp_path / "out", "--analyses=[embedding]")
    assert analyse(*words) == 2
    said = capsys.readouterr().err
    assert "t-SNE needs the extra `analysis` (" in said
    assert "pip install 'fewshot-film[analysis]'" in said


def test_without_scikit_learn_the_list_leaves_out_what_needs_it(
    tmp_path: Path, world: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with caplog.at_level(logging.INFO):
        assert analyse(a_saved_model(tmp_path / "model"), world, "--out", tmp_path / "out", "--questions=100") == 0
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == set(ANALYSES) - {"embedding"}
    (said,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "left out embedding" in said
    assert "pip install 'fewshot-film[analysis]'" in said


def test_settings_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="questions is 99; expected at least 100"):
        AnalyseConfig("model", tmp_path, tmp_path, questions=99)
    with pytest.raises(ConfigError, match=r"analyses is \[\]; expected some of histograms"):
        AnalyseConfig("model", tmp_path, tmp_path, analyses=())


def test_what_a_model_was_trained_on(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the split of its settings in the data given; else where the settings say; of a fine-tuned one, both."""
    monkeypatch.chdir(tmp_path)
    cubes = make_world(tmp_path / "a", {"trainA": 40}, condition="A")
    others = make_world(tmp_path / "b", {"trainB": 40}, condition="B")
    first = model_of(tmp_path / "first", cubes, "trainA")
    seen = seen_pairs(str(first), cubes)
    assert seen is not None
    assert ("gray", "cube") in seen
    assert ("red", "cube") not in seen
    assert seen_pairs(str(first), world) == seen
    tuned = model_of(tmp_path / "tuned", others, "trainB", weights=str(first))
    both = seen_pairs(str(tuned), others)
    assert both is not None
    assert both >= seen | {("red", "cube")}
    sees_alike = model_of(tmp_path / "sees alike", others, "trainB", trunk_weights=str(first))
    assert seen_pairs(str(sees_alike), others) == both, "its trunk has seen what the other model has"
    assert seen_pairs(str(model_of(tmp_path / "lost", tmp_path / "none", "trainC")), world) is None
    assert seen_pairs(str(model_of(tmp_path / "alone", others, "trainB", weights="moved away")), others) is None
    assert seen_pairs(str(model_of(first, cubes, "trainA", weights=str(first))), cubes) is None, "what it began with"


def model_of(folder: Path, root: Path, split: str, **start: str) -> Path:
    reasoner = a_reasoner()
    data = ClevrDataConfig(root=root, train_split=split)
    return save_reasoner(folder, reasoner, {}, TrainConfig(folder, data, reasoner.config, **start))
