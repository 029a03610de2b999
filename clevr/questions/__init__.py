"""CLEVR's questions: programs and their executor, the families, the writer and the reader of texts."""

from clevr.questions.families import ALL_FAMILIES, CLOSURE_FAMILIES, CLOSURE_GROUPS, FAMILIES, GROUPS, Family
from clevr.questions.free_wording import read_freely
from clevr.questions.logical_form import LogicalForm
from clevr.questions.parser import parse
from clevr.questions.programs import (
    CATALOGUE,
    QUESTION_TYPES,
    IllPosedError,
    Node,
    ProgramError,
    check_program,
    execute,
    num_hops,
    program_tree,
    question_type,
    trace,
)
from clevr.questions.question import Question
from clevr.questions.tokens import ANSWERS, VOCABULARY, tokenize
from clevr.questions.writer import write_questions

__all__ = [
    "ALL_FAMILIES",
    "ANSWERS",
    "CATALOGUE",
    "CLOSURE_FAMILIES",
    "CLOSURE_GROUPS",
    "FAMILIES",
    "GROUPS",
    "QUESTION_TYPES",
    "VOCABULARY",
    "Family",
    "IllPosedError",
    "LogicalForm",
    "Node",
    "ProgramError",
    "Question",
    "check_program",
    "execute",
    "num_hops",
    "parse",
    "program_tree",
    "question_type",
    "read_freely",
    "tokenize",
    "trace",
    "write_questions",
]
