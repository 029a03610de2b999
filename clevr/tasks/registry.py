"""The kinds of tasks by name."""

from __future__ import annotations

from typing import NamedTuple

from clevr.tasks.kinds.questions import counting, questions
from clevr.tasks.trial import Kind


class Entry(NamedTuple):
    """One kind of task."""

    draw: Kind
    summary: str
    """What it asks, in one line."""
    num_images: int = 1


KINDS = {
    "questions": Entry(questions, "CLEVR's 90 families of questions: count, compare, query, exist."),
    "counting": Entry(counting, "How many objects fit a description, a relation or a union."),
}
"""All kinds of tasks."""
