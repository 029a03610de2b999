"""The kinds of tasks by name."""

from __future__ import annotations

from typing import NamedTuple

from clevr.tasks.kinds.arithmetic import arithmetic
from clevr.tasks.kinds.counterfactual import counterfactual
from clevr.tasks.kinds.matching import matching
from clevr.tasks.kinds.odd_one_out import odd_one_out
from clevr.tasks.kinds.questions import closure, counting, questions
from clevr.tasks.kinds.referring import referring
from clevr.tasks.trial import Kind


class Entry(NamedTuple):
    """One kind of task."""

    draw: Kind
    summary: str
    """What it asks, in one line."""
    num_images: int = 1


KINDS = {
    "questions": Entry(questions, "CLEVR's 90 families of questions: count, compare, query, exist."),
    "closure": Entry(closure, "CLOSURE's seven kinds of questions, which recombine what CLEVR's families ask."),
    "counting": Entry(counting, "How many objects fit a description, a relation or a union."),
    "arithmetic": Entry(arithmetic, "How many objects there are after some are added and taken away."),
    "referring": Entry(referring, "Which object is meant, answered by its bounding box."),
    "counterfactual": Entry(counterfactual, "What would be true if one object were removed or different."),
    "matching": Entry(matching, "Of which of two images a sentence is true.", num_images=2),
    "odd_one_out": Entry(odd_one_out, "Which object differs from all others in what they share."),
}
"""All kinds of tasks."""
