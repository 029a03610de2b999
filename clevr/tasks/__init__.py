"""Endless visual tasks with verifiers: images, prompts, answers, and scores of free-form answers."""

from clevr.tasks.answer_types import verify
from clevr.tasks.difficulty import LEVELS, Difficulty
from clevr.tasks.exports import TaskDataset, TaskStream, create_dataset, to_hugging_face
from clevr.tasks.item import Item
from clevr.tasks.registry import KINDS
from clevr.tasks.series import Series, TaskError, make

__all__ = [
    "KINDS",
    "LEVELS",
    "Difficulty",
    "Item",
    "Series",
    "TaskDataset",
    "TaskError",
    "TaskStream",
    "create_dataset",
    "make",
    "to_hugging_face",
    "verify",
]
