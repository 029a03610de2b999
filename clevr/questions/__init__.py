"""CLEVR's questions: programs, their executor, the 90 families, the question writer."""

from clevr.questions.executor import execute, trace
from clevr.questions.families import FAMILIES, GROUPS, Family
from clevr.questions.programs import (
    CATALOGUE,
    QUESTION_TYPES,
    IllPosedError,
    Node,
    ProgramError,
    check_program,
    num_hops,
    program_tree,
    question_type,
)
from clevr.questions.question import Question

__all__ = [
    "CATALOGUE",
    "FAMILIES",
    "GROUPS",
    "QUESTION_TYPES",
    "Family",
    "IllPosedError",
    "Node",
    "ProgramError",
    "Question",
    "check_program",
    "execute",
    "num_hops",
    "program_tree",
    "question_type",
    "trace",
]
