from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clevr.questions.batch import PrefixTree, build_prefix_tree

texts = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=8)


def beginning(tree: PrefixTree, node: int) -> list[int]:
    """The tokens on the way from the root to a node."""
    found: list[int] = []
    while node >= 0:
        found.append(int(tree.tokens[node]))
        node = int(tree.parents[node])
    return found[::-1]


@given(texts)
def test_every_question_can_be_read_back(questions: list[list[int]]) -> None:
    tree = build_prefix_tree(questions)
    assert [beginning(tree, int(end)) for end in tree.ends] == questions


@given(texts)
def test_paths_list_the_beginnings_of_every_question(questions: list[list[int]]) -> None:
    tree = build_prefix_tree(questions)
    paths = tree.paths.split(tree.lengths.tolist())
    for question, path in zip(questions, paths, strict=True):
        assert [beginning(tree, node) for node in path.tolist()] == [question[: n + 1] for n in range(len(question))]


@given(texts)
def test_every_beginning_is_there_once_and_by_length(questions: list[list[int]]) -> None:
    tree = build_prefix_tree(questions)
    distinct = {tuple(question[: place + 1]) for question in questions for place in range(len(question))}
    found = [tuple(beginning(tree, node)) for node in range(len(tree.tokens))]
    assert len(found) == len(distinct)
    assert set(found) == distinct
    lengths = [len(prefix) for prefix in found]
    assert lengths == sorted(lengths)
    assert list(tree.level_sizes) == [lengths.count(length) for length in range(1, max(lengths) + 1)]


@pytest.mark.parametrize("questions", [[], [[1], []]])
def test_nothing_to_read_is_refused(questions: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one question, and every question at least one token"):
        build_prefix_tree(questions)
