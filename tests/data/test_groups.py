from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_film.data import decode
from fewshot_film.data.groups import ClassGroups, by_prefix
from fewshot_film.data.meta_dataset import spans
from tests.data.layouts import array_source
from tests.reference.tfrecord import leaves_below


def test_only_keeps_groups_that_have_something_left() -> None:
    groups = ClassGroups("leaves", (("a", ("x", "y")), ("b", ("z",))))
    assert groups.only(["y"]) == ClassGroups("leaves", (("a", ("y",)),))
    assert groups.only([]) is None


def test_prefixes() -> None:
    groups = by_prefix(["Greek/a", "Latin/a", "Greek/b"])
    assert groups == ClassGroups("members", (("Greek", ("Greek/a", "Greek/b")), ("Latin", ("Latin/a",))))


def test_groups_follow_selection_and_rotation() -> None:
    source = array_source([2, 2, 2])
    source.groups = ClassGroups("members", (("g", ("class 0", "class 2")), ("h", ("class 1",))))
    images = decode(source, 4, 1)
    assert images.groups == source.groups
    assert source.select(["class 2"]).groups == ClassGroups("members", (("g", ("class 2",)),))
    turned = images.select(["class 0"]).with_rotations()
    assert turned.groups == ClassGroups("members", (("g", turned.class_names),))
    assert images.with_at_least(3).groups is None
    assert np.array_equal(turned.class_sizes, [2] * 4)


@given(st.integers(1, 9).flatmap(lambda n: st.lists(st.sets(st.integers(0, n - 1)), min_size=n, max_size=n)))
def test_spans_of_any_graph_without_cycles(links: list[set[int]]) -> None:
    graph = {f"n{node}": sorted(f"n{child}" for child in below if child < node) for node, below in enumerate(links)}
    expected = {node: tuple(sorted(leaves_below(graph, node))) for node in graph if graph[node]}
    assert spans(graph) == expected
    assert list(spans(graph)) == sorted(expected)


def test_a_cycle_and_a_child_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="cycle"):
        spans({"a": ["b"], "b": ["a"]})
    with pytest.raises(KeyError, match="c"):
        spans({"a": ["c"]})
