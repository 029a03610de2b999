from __future__ import annotations

import numpy as np
import pytest
import torch

from fewshot_film.classifier.inputs import as_array, class_order, read_labels


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        (np.array([3, 1, 3]), [1, 3]),
        (torch.tensor([3, 1, 3]), [1, 3]),
        ((np.str_("b"), np.int64(2).astype(str)), ["2", "b"]),
        ([2.5, -1.0], [-1.0, 2.5]),
        ([True, False], [False, True]),
        ([("cat", 2), ("cat", 1)], [("cat", 1), ("cat", 2)]),
        (["three", 3, "three", 1], ["three", 3, 1]),
        ([frozenset("a"), 1], [frozenset("a"), 1]),
        (np.array(["x", 1], dtype=object), ["x", 1]),
        (iter("ab"), ["a", "b"]),
    ],
)
def test_classes_in_order(labels, classes):
    found = class_order(read_labels(labels))
    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("cat", "labels are 'cat'; expected a sequence with one label per image"),
        (3, "labels are 3; expected a sequence"),
        (np.zeros((2, 3)), r"labels have shape \(2, 3\); expected \(N,\), one label per image"),
        (
            ["a", None],
            "label 1 is None, a missing value .* an image without a class cannot be learned from: leave it out",
        ),
        ([1.0, float("nan")], "label 1 is nan"),
        (["a", ["b"]], "label 1 is a list, which cannot name a class"),
    ],
)
def test_what_names_no_class(labels, message):
    with pytest.raises(ValueError, match=message):
        read_labels(labels)


def test_truth_values_and_numbers_do_not_mix():
    with pytest.raises(ValueError, match="labels True and 1 are equal in Python; rename one of the two classes"):
        class_order([True, 1])


@pytest.mark.parametrize(
    ("classes", "kind"),
    [([1, 2], "i"), (["a", "bc"], "U"), ([1.5], "f"), ([True], "b"), ([1, "a"], "O"), ([(1, 2)], "O")],
)
def test_arrays_keep_what_the_labels_are(classes, kind):
    array = as_array(classes)
    assert array.dtype.kind == kind
    assert array.tolist() == classes


def test_a_number_beyond_64_bits_stays_itself():
    assert as_array([2**80, 1]).tolist() == [2**80, 1]
