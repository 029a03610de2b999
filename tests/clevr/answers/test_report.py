from __future__ import annotations

from clevr.answers.report import (
    COLUMNS,
    PUBLISHED,
    comparison,
    confusion_tables,
    in_fives,
    kinds_of,
    markdown,
    predictions_json,
)
from clevr.answers.scores import Score, evaluate
from clevr.questions.tokens import ANSWER_WORDS
from tests.clevr.answers.test_scores import GIVEN, OBJECTS, a_table


def test_the_first_table_stands_beside_published_numbers() -> None:
    lines = comparison(evaluate(a_table(), GIVEN)).splitlines()
    assert lines[0] == "| accuracy, % | overall | count | exist | compare integer | query | compare attribute |"
    assert lines[2].startswith("| **this model** | **60.0** (23.1 to 88.2) | **50.0** (9.5 to 90.5) | **100.0** (20.7")
    assert lines[2].endswith("|  | **50.0** (9.5 to 90.5) |  |")
    assert lines[3] == "| questions | 5 | 2 | 1 |  | 2 |  |"
    assert lines[4] == "| most common answer of each function | 80.0 | 50.0 | 100.0 |  | 100.0 |  |"
    assert "| FiLM, pixels [published] | 97.6 | 94.3 | 99.3 | 93.4 | 99.3 | 99.3 |" in lines
    assert lines[-1] == "| MDETR [published] | 99.7 |  |  |  |  |  |"
    assert all(line.count("|") == len(COLUMNS) + 2 for line in lines)


def test_published_rows_are_whole() -> None:
    assert all(len(values) == len(COLUMNS) for values in PUBLISHED.values())


def test_every_answer_has_one_kind() -> None:
    assert sorted(word for words in kinds_of().values() for word in words) == sorted(ANSWER_WORDS)


def test_confusions() -> None:
    tables = confusion_tables(evaluate(a_table(), GIVEN))
    assert tables == [
        "| yes or no | yes | other |\n| --- | ---: | ---: |\n| yes | **1** |  |",
        "| number | 1 | 3 | 10 | other |\n| --- | ---: | ---: | ---: | ---: |\n| 1 | **1** |  |  |  |\n"
        "| 10 |  | 1 | **0** |  |",
        "| color | red | blue | other |\n| --- | ---: | ---: | ---: |\n| red | **1** | 1 |  |",
    ]


def test_answers_of_another_kind_are_summed_up() -> None:
    swapped = GIVEN.copy()
    swapped[0] = ANSWER_WORDS.index("cube")
    tables = confusion_tables(evaluate(a_table(), swapped))
    assert "| 1 | **0** |  |  | 1 |" in tables[1]
    assert not any(table.startswith("| shape") for table in tables)


def test_lengths_in_fives() -> None:
    scores = {"3": Score(1, 2), "5": Score(1, 1), "6": Score(0, 1), "11": Score(2, 2)}
    assert in_fives(scores) == {"1 to 5": Score(2, 3), "6 to 10": Score(0, 1), "11 to 15": Score(2, 2)}


def test_the_whole_report() -> None:
    text = markdown(evaluate(a_table(), GIVEN, num_objects=OBJECTS), "A model on val")
    assert text.startswith("# A model on val\n\n| accuracy, % |")
    for heading in ("last function", "relations followed", "words of the question", "objects in the scene"):
        assert f"\n\n| {heading} | questions | accuracy, % | 95 % interval |\n" in text
    assert "\n0.0 % of 1 wrong numbers are off by one (Perez et al. 2018, appendix 7.1: 96.1 %).\n" in text
    assert "| 88 zero_hop query_color x | 2 | 50.0 | 9.5 to 90.5 |" in text


def test_predictions_as_the_test_server_takes_them() -> None:
    found = predictions_json(a_table(), GIVEN)
    assert found[:2] == [{"question_index": 0, "answer": "1"}, {"question_index": 0, "answer": "3"}]
    assert len(found) == 6
