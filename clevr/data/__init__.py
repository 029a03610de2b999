"""CLEVR's files: found, read, checked and written."""

from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.layout import SplitFiles, find_split, list_splits
from clevr.data.reader import ClevrSplit, read_questions
from clevr.data.table import QuestionTable, Texts
from clevr.data.writer import encode_png, info_block, write_questions, write_scenes

__all__ = [
    "ClevrSplit",
    "DataError",
    "DataNotFoundError",
    "QuestionTable",
    "SplitFiles",
    "Texts",
    "encode_png",
    "find_split",
    "info_block",
    "list_splits",
    "read_questions",
    "write_questions",
    "write_scenes",
]
