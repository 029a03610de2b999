from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from clevr.questions import FAMILIES, GROUPS, Question, program_tree
from clevr.questions.families import global_family_index

# What each family of CLEVR v1.0 asks, as users of the real files have tabulated it by its number.
KINDS = {
    "equal_integer": [0, 3, 6],
    "less_than": [1, 4, 7],
    "greater_than": [2, 5, 8],
    "equal_size": [9, 13, 14, 15],
    "equal_color": [10, 16, 17, 18],
    "equal_material": [11, 19, 20, 21],
    "equal_shape": [12, 22, 23, 24],
    "count": [25, 31, *range(40, 44), *range(48, 52), *range(64, 73), 78, 84],
    "exist": [26, *range(36, 40), *range(44, 48), 73, 79, 85],
    "query_size": [27, 32, 55, 58, 61, 74, 80, 89],
    "query_color": [29, 33, 52, 59, 62, 75, 81, 88],
    "query_material": [30, 34, 53, 56, 63, 76, 82, 87],
    "query_shape": [28, 35, 54, 57, 60, 77, 83, 86],
}


def test_ninety_families_by_what_they_ask() -> None:
    assert [family.index for family in FAMILIES] == list(range(90))
    assert {asks: [f.index for f in FAMILIES if f.asks == asks] for asks in KINDS} == KINDS


def test_nine_groups() -> None:
    sizes = {group: sum(family.group == group for family in FAMILIES) for group in GROUPS}
    assert sizes == {
        "compare_integer": 9,
        "comparison": 16,
        "three_hop": 6,
        "single_and": 5,
        "same_relate": 28,
        "single_or": 8,
        "one_hop": 6,
        "two_hop": 6,
        "zero_hop": 6,
    }


def test_no_two_families_are_alike() -> None:
    assert len({(family.asks, family.about, family.attribute) for family in FAMILIES}) == 90


def test_number_within_a_template_file() -> None:
    assert global_family_index("single_and.json", 4) == 35
    assert global_family_index("CLEVR_1.0_templates/zero_hop.json", 0) == 84


def test_unknown_group_or_number() -> None:
    with pytest.raises(ValueError, match=r"unknown group of families 'four_hop.json'; expected one of \('compare_"):
        global_family_index("four_hop.json", 0)
    with pytest.raises(ValueError, match=r"zero_hop.json has 6 families, no number 6"):
        global_family_index("zero_hop.json", 6)


def test_families_of_the_public_generator(shared_data: Path) -> None:
    """Each of 1,250 questions ends in, and relates as, the family of its template file and number says."""
    with zipfile.ZipFile(shared_data / "clevr-blender-sample.zip") as archive:
        records = json.loads(archive.read("train/CLEVR_questions.json"))["questions"]
    seen = set()
    for record in records:
        question = Question.from_json(record)
        assert question.program is not None
        assert question.question_family_index is not None
        family = FAMILIES[question.question_family_index]
        seen.add(family.index)
        assert program_tree(question.program)[0] == family.asks
        assert question.num_hops == sum(2 if about == "b" else about.count("r") for about in family.about)
        functions = {node.function for node in question.program}
        assert ("union" in functions) == (family.group == "single_or")
        if family.group == "same_relate":
            assert f"same_{family.attribute}" in functions
    assert len(seen) >= 50
