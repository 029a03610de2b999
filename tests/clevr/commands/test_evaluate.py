from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clevr.answers.predict import QuestionError, check_question, check_words, predict
from clevr.cli import COMMANDS
from clevr.config.commands import EvaluateConfig
from clevr.data.batches import ReasoningData, load_reasoning_data
from clevr.data.reader import ClevrSplit
from clevr.questions.tokens import ANSWER_WORDS, VOCABULARY, Vocabulary
from clevr.reasoning import load
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation, Modulations
from fewshot_film.run.command import main
from fewshot_film.run.model_folder import save_model
from tests.clevr.data.builders import a_question, without, write_json
from tests.clevr.models import a_reasoner, a_saved_model, a_world, one_question


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = a_world(tmp_path_factory.mktemp("world"))
    return a_world(root, "train", 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_saved_model(tmp_path_factory.mktemp("models") / "small")


def evaluate(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["evaluate", *map(str, words), "--device=cpu"])


def data_of(world: Path) -> ReasoningData:
    reasoner = a_reasoner()
    return load_reasoning_data(world, "val", reasoner.config, reasoner.vocabulary)


def one_by_one(world: Path) -> list[str]:
    """Answers to one question at a time."""
    reasoner, data = a_reasoner(), data_of(world)
    answers = []
    for number in range(len(data)):
        picture = torch.from_numpy(data.images[data.table.image[number]].copy())
        with torch.no_grad():
            logits = reasoner(one_question(picture, data.question(number).tolist()))
        answers.append(ANSWER_WORDS[int(logits.argmax())])
    return answers


def test_everything_is_written(tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, predictions = tmp_path / "new" / "val.json", tmp_path / "other" / "answers.json"
    sheet = tmp_path / "sheets" / "val.png"
    written = ("--out", out, "--predictions", predictions, "--sheet", sheet)
    assert evaluate(model, world, *written, "--common_answers=train", "--sure=0") == 0
    with Image.open(sheet) as picture:
        assert picture.width > 600
    printed = capsys.readouterr().out
    written = out.with_suffix(".md").read_text()
    assert written.startswith("# small on val\n")
    assert printed.startswith("small on val\n")
    assert f"are in {out.with_suffix('.md')}." in printed
    assert "*" not in printed
    rows = [line.replace("**", "") for line in written.splitlines() if line.startswith("| ")]
    shown = [line for line in printed.splitlines() if line.startswith("| ")]
    assert set(shown) < set(rows)
    assert [line.split("|")[1].strip() for line in shown[2:]] == [
        "this model", "questions", "most common answer of each function",
        "human [published]", "FiLM, ResNet-101 features [published]", "FiLM, pixels [published]",
    ]  # fmt: skip
    expected = one_by_one(world)
    assert len(set(expected)) > 2
    given = json.loads(predictions.read_text())
    assert given == [{"question_index": n, "answer": answer} for n, answer in enumerate(expected)]
    results = json.loads(out.read_text())["results"]
    table = data_of(world).table
    right = sum(ANSWER_WORDS[n - 4] == answer for n, answer in zip(table.answer, expected, strict=True))
    assert (results["overall"]["right"], results["overall"]["count"]) == (right, 60)
    assert set(results["by"]) == {"type", "function", "hops", "words", "family", "objects"}
    scenes = [len(scene.objects) for scene in ClevrSplit.open(world, "val").scenes()]
    counts = {name: entry["count"] for name, entry in results["by"]["objects"].items()}
    assert counts == {str(number): 10 * scenes.count(number) for number in set(scenes)}
    assert results["most_common_answer"]["overall"]["count"] == 60


def test_the_first_questions_alone(world: Path, model: Path, tmp_path: Path) -> None:
    assert evaluate(model, world, "--questions=15", "--out", tmp_path / "a.json") == 0
    assert json.loads((tmp_path / "a.json").read_text())["results"]["overall"]["count"] == 20


def test_batches_do_not_matter(world: Path) -> None:
    reasoner, data = a_reasoner(), data_of(world)
    whole, small = predict(reasoner, data), predict(reasoner, data, size=10)
    np.testing.assert_array_equal(whole.numbers, np.arange(60))
    np.testing.assert_allclose(whole.probabilities, small.probabilities, atol=1e-6)
    np.testing.assert_allclose(whole.probabilities.sum(1), 1, atol=1e-5)


def test_gamma_and_beta_can_be_changed(world: Path) -> None:
    reasoner, data = a_reasoner(), data_of(world)
    plain = predict(reasoner, data)
    seen = []

    def away(modulations: Modulations) -> Modulations:
        seen.append(set(modulations))
        return {name: Modulation(0 * gamma, 0 * beta) for name, (gamma, beta) in modulations.items()}

    same = predict(reasoner, data, change=lambda modulations: modulations)
    np.testing.assert_array_equal(same.probabilities, plain.probabilities)
    changed = predict(reasoner, data, change=away)
    assert seen[0] == {"blocks.0", "blocks.1", "blocks.2", "blocks.3"}
    for image in range(6):  # without FiLM the question says nothing
        of_image = changed.probabilities[data.table.image == image]
        np.testing.assert_allclose(of_image, np.broadcast_to(of_image[0], of_image.shape), atol=1e-6)


def test_a_split_without_answers_is_only_predicted(
    tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").symlink_to(world / "images")
    records = [a_question(n, "val") for n in range(6)]
    hidden = [without(record, "answer", "program", "question_family_index") for record in records]
    write_json(tmp_path / "questions/CLEVR_val_questions.json", {"questions": hidden})
    assert evaluate(model, tmp_path, "--predictions", tmp_path / "a.json", "--out", tmp_path / "out.json") == 0
    assert [entry["question_index"] for entry in json.loads((tmp_path / "a.json").read_text())] == list(
        range(0, 60, 10)
    )
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out.json").exists()


def asked(root: Path, world: Path, *texts: str) -> Path:
    (root / "images").symlink_to(world / "images")
    write_json(
        root / "questions/CLEVR_val_questions.json", [a_question(n, "val", question=t) for n, t in enumerate(texts)]
    )
    return root


def test_unknown_words_are_told(tmp_path: Path, world: Path, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert evaluate(model, asked(tmp_path, world, "How many zebras are there?", "Are there cubes?")) == 0
    assert "1 of 2 questions have words that the model does not know, such as zebras" in caplog.text


def test_another_vocabulary(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = Vocabulary((*VOCABULARY[:4], "Combien", "de", "cubes"))
    model = a_saved_model(tmp_path / "french", vocabulary=foreign.tokens)
    assert evaluate(model, world) == 2
    message = capsys.readouterr().err
    assert "every question has a word that the model does not know, such as" in message
    assert "its vocabulary of 7 tokens is another one" in message


def test_weights_of_another_vocabulary(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = a_saved_model(tmp_path / "model")
    settings = json.loads((model / "config.json").read_text())["config"]
    settings["model"]["vocabulary"].append("zebra")
    save_model(model, load(model).state_dict(), settings, "")
    assert evaluate(model, world) == 2
    assert (
        "do not fit the network that its settings declare: questions.words.weight is (93, 6), expected (94, 6)"
        in capsys.readouterr().err
    )


def test_a_question_of_ten_thousand_words(
    tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, asked(tmp_path, world, "Are there cubes?", "big " * 10_000)) == 2
    assert "question 1 has 10,000 words; expected at most 200" in capsys.readouterr().err


def test_a_picture_that_is_none(tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_world(tmp_path / "damaged", scenes=2)
    (root / "images/val/CLEVR_val_000001.png").write_bytes(b"no picture")
    assert evaluate(model, root) == 2
    assert "CLEVR_val_000001.png: not a complete image" in capsys.readouterr().err


def test_no_such_model_and_no_such_split(
    tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(tmp_path / "missing", world) == 2
    assert "missing; expected a folder that `clevr-film train` wrote" in capsys.readouterr().err
    assert evaluate(model, world, "--split=test") == 2
    assert "no split 'test'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the question '' has no words; ask for example: How many"),
        (" ?? . ", "has no words"),
        ("big " * 10_000, "the question has 10,000 words; expected at most 200"),
        ("Wie viele?", "the model knows no word of 'Wie viele\\?'; its words are CLEVR's English, such as: .*yellow"),
    ],
)
def test_questions_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(QuestionError, match=message):
        check_question(text, Vocabulary())


def test_questions_are_read_between_start_and_end() -> None:
    assert Vocabulary().encode("are there any zebras?")[::4] == [1, 3]
    assert Vocabulary().decode(Vocabulary().encode("ARE there cubes")) == "Are there cubes"


def test_known_words_need_no_note(world: Path) -> None:
    assert check_words(data_of(world), Vocabulary()) == ""


def test_settings_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="questions is 0; expected at least 1"):
        EvaluateConfig("model", tmp_path, questions=0)


def test_features_that_the_model_cannot_use(world: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(model, world, "--features=some/folder") == 2
    message = capsys.readouterr().err
    assert "the model reads pixels and would not use the features in some/folder; leave `features` out" in message


def test_one_json_document(tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(model, world, "--format=json", "--out", tmp_path / "a.json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["results"] == json.loads((tmp_path / "a.json").read_text())["results"]
    assert (found["model"], found["split"]) == (str(model), "val")


def test_a_split_without_answers_says_what_it_cannot_write(
    tmp_path: Path, world: Path, model: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images").symlink_to(world / "images")
    hidden = [without(a_question(n, "val"), "answer", "program", "question_family_index") for n in range(6)]
    write_json(tmp_path / "questions/CLEVR_val_questions.json", {"questions": hidden})
    assert evaluate(model, tmp_path, "--out", tmp_path / "out.json", "--format=json") == 0
    assert json.loads(capsys.readouterr().out)["results"] is None
    assert "the questions of val have no answers to compare with; --out cannot be used" in caplog.text
