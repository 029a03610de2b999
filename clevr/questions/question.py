"""One question about an image, as CLEVR's question files hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clevr.questions.families import global_family_index
from clevr.questions.programs import Node, answer_text, num_hops, question_type


@dataclass(frozen=True, slots=True)
class Question:
    """A question; what a file leaves out (a test split has no answers) is ``None``."""

    question: str
    image_index: int
    image_filename: str
    split: str = ""
    question_index: int = 0
    answer: str | None = None
    program: tuple[Node, ...] | None = None
    question_family_index: int | None = None
    """The number of its family in :data:`clevr.questions.ALL_FAMILIES`; 0 to 89 are those of CLEVR v1.0."""

    @property
    def type(self) -> str | None:
        """One of the five types of CLEVR's papers; ``None`` without a program."""
        return question_type(self.program) if self.program else None

    @property
    def num_hops(self) -> int | None:
        """The number of spatial relations it follows; ``None`` without a program."""
        return num_hops(self.program) if self.program else None

    def to_json(self) -> dict[str, Any]:
        """The question as one record of CLEVR's ``CLEVR_<split>_questions.json``."""
        record: dict[str, Any] = {
            "split": self.split,
            "image_index": self.image_index,
            "image_filename": self.image_filename,
            "question_index": self.question_index,
            "question": self.question,
        }
        if self.answer is not None:
            record["answer"] = self.answer
        if self.question_family_index is not None:
            record["question_family_index"] = self.question_family_index
        if self.program is not None:
            record["program"] = [node.to_json() for node in self.program]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Question:
        """Read a record of CLEVR v1.0, of CLEVR-Humans, or of the public generator.

        The generator's own files differ: their answers may be booleans or numbers, and with a
        ``template_filename`` the family is counted within that file; both are brought to v1.0's form.

        Raises:
            KeyError: the question or its image is missing.
            ProgramError: a node of the program names no function.
        """
        answer, program = record.get("answer"), record.get("program")
        family = record.get("question_family_index")
        if family is not None and "template_filename" in record:
            family = global_family_index(record["template_filename"], family)
        return cls(
            question=record["question"],
            image_index=record["image_index"],
            image_filename=record["image_filename"],
            split=record.get("split", ""),
            question_index=record.get("question_index", 0),
            answer=None if answer is None else answer_text(answer),
            program=None if program is None else tuple(Node.from_json(node) for node in program),
            question_family_index=family,
        )
