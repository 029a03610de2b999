"""The benchmark that answers questions without the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.text_only import (
    Encoded,
    TextBatches,
    TextOnly,
    TextOnlyConfig,
    by_type,
    correct,
    most_common_answer,
    run,
)
from clevr.data.records import parse_question
from clevr.data.table import QuestionTable
from clevr.questions.tokens import ANSWERS, encode
from fewshot_film.run.settings import LoopConfig
from tests.clevr.data.builders import a_node, a_question

SEE = [a_node("scene", []), a_node("exist", [0])]
TEXTS = ["Are there things?", "Is there a red cube?", "How many red things are there?", "Are there any big balls?"]


@pytest.fixture
def table() -> QuestionTable:
    """12 questions: counts with the answers 1, 1, 2, ... and exists with yes, no, no, ..."""
    records = []
    for number in range(12):
        change = (
            {"answer": "12"[number % 6 == 4]}
            if number % 2 == 0
            else {"answer": "yes" if number % 6 == 1 else "no", "program": SEE, "question_family_index": 85}
        )
        records.append(a_question(number, question=TEXTS[number % 4], **change))
    return QuestionTable.from_questions(map(parse_question, records))


def test_encoded_questions_are_padded(table: QuestionTable) -> None:
    texts = Encoded(table)
    tokens, lengths, answers = texts.batch(torch.tensor([0, 3]))
    assert lengths.tolist() == [5, 7]
    assert tokens.tolist() == [[*encode(TEXTS[0]), 0, 0], encode(TEXTS[3])]
    assert answers.tolist() == [ANSWERS.index("1"), ANSWERS.index("no")]


def test_batches_are_a_function_of_seed_and_number(table: QuestionTable) -> None:
    texts = Encoded(table)
    first, second, other = (TextBatches(texts, 4, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first[7], second[7], strict=True))
    assert any(not torch.equal(first[i][0], other[i][0]) for i in range(3))


def test_an_epoch_has_every_question_once(table: QuestionTable) -> None:
    texts = Encoded(table)
    texts.answers = torch.arange(12)  # each question tells its number
    batches = TextBatches(texts, 4, 0)
    for epoch in (0, 1):
        seen = torch.cat([batches[3 * epoch + place][2] for place in range(3)])
        assert sorted(seen.tolist()) == list(range(12))


def test_padding_changes_nothing(table: QuestionTable) -> None:
    torch.manual_seed(0)
    network, texts = TextOnly(8, 16).eval(), Encoded(table)
    tokens, lengths, _ = texts.batch(torch.arange(4))
    together = network.logits(tokens, lengths)
    alone = torch.cat([network.logits(*texts.batch(torch.tensor([number]))[:2]) for number in range(4)])
    torch.testing.assert_close(together, alone)


def test_right_answers_come_in_the_order_of_the_questions(table: QuestionTable) -> None:
    torch.manual_seed(0)
    network, texts = TextOnly(8, 16).eval(), Encoded(table)
    tokens, lengths, _answers = texts.batch(torch.arange(12))
    texts.answers = torch.where(torch.arange(12) % 3 == 0, network.logits(tokens, lengths).argmax(1), -1)
    assert correct(network, texts, batch_size=5).tolist() == [number % 3 == 0 for number in range(12)]


def test_accuracy_by_type(table: QuestionTable) -> None:
    right = np.arange(12) < 3
    percent = by_type(right, table)
    assert percent["overall"] == 25
    assert percent["count"] == pytest.approx(100 * 2 / 6)
    assert percent["exist"] == pytest.approx(100 * 1 / 6)
    assert "query" not in percent


def test_most_common_answers(table: QuestionTable) -> None:
    right = most_common_answer(table, table)
    assert right.tolist() == [number % 6 != 4 if number % 2 == 0 else number % 6 != 1 for number in range(12)]


def test_whole_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = TextOnlyConfig(
        data=tmp_path / "data",
        run_dir=tmp_path / "run",
        out=tmp_path / "result.json",
        train_scenes=4,
        val_scenes=4,
        test_scenes=6,
        word_dim=4,
        hidden_dim=8,
        batch_size=10,
        loop=LoopConfig(steps=4, validate_every=2, device="cpu"),
    )
    run(config)
    result = json.loads(config.out.read_text(encoding="utf-8"))
    assert result["results"]["questions"] == {"train": 40, "val": 40, "test": 60}
    ours = result["results"]["accuracy_percent"]["GRU without the image"]
    assert 0 <= ours["overall"] <= 100
    assert result["config"]["loop"]["steps"] == 4
    assert "| CLEVR | LSTM without the image | 46.8 | 41.7 |" in capsys.readouterr().out
