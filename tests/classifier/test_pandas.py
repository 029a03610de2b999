"""Labels and image paths as pandas holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fewshot_film.classifier.inputs import read_labels
from fewshot_film.errors import UserError

pd = pytest.importorskip("pandas")

NAMES = ["cat", "dog", "cat"]


@pytest.mark.parametrize(
    "column",
    [
        lambda: pd.Series(NAMES, index=[7, 3, 7]),
        lambda: pd.Series(NAMES, dtype="string"),
        lambda: pd.Series(NAMES, dtype="category"),
        lambda: pd.DataFrame({"label": NAMES}),
        lambda: pd.Index(NAMES),
        lambda: pd.Categorical(NAMES),
    ],
    ids=["objects", "strings", "categories", "frame", "index", "categorical"],
)
def test_labels_are_those_of_a_list(column: Callable[[], Any]):
    assert list(read_labels(column())) == list(read_labels(NAMES))


@pytest.mark.parametrize("kind", ["object", "string", "category"])
@pytest.mark.parametrize("missing", [None, float("nan"), "NA"])
def test_a_missing_label_is_refused(kind: str, missing: Any):
    with pytest.raises(UserError):
        read_labels(pd.Series(["cat", pd.NA if missing == "NA" else missing], dtype=kind))


def test_a_frame_of_two_columns_is_refused():
    with pytest.raises(UserError, match="'label'"):
        read_labels(pd.DataFrame({"file": ["a.png"], "label": ["cat"]}))
