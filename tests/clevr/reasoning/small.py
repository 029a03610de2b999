"""A reasoner small enough to check number by number, and questions for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.reasoning.network import FiLMReasoner
from tests.clevr import models

SMALL = dataclasses.replace(models.SMALL, trunk_blocks=1, blocks=4, hidden_dim=16, classifier_dim=10)


def reasoner(seed: int = 0, **changes: Any) -> FiLMReasoner:
    """A reasoner in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FiLMReasoner(dataclasses.replace(SMALL, **changes)).double()


def questions(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Questions of these lengths over few words, so that beginnings repeat."""
    draws = torch.Generator().manual_seed(seed)
    return [torch.randint(1, 4, (length,), generator=draws).tolist() for length in lengths]


def batch(per_picture: Sequence[int], seed: int = 0) -> tuple[QuestionBatch, list[list[int]]]:
    """So many questions about each of some random pictures, and the questions one by one."""
    draws = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (len(per_picture), 3, SMALL.height, SMALL.width), generator=draws).byte()
    picture = torch.arange(len(per_picture)).repeat_interleave(torch.tensor(per_picture))
    asked = questions([1 + 3 * number % 7 for number in range(len(picture))], seed)
    answers = torch.randint(0, 28, (len(picture),), generator=draws)
    return QuestionBatch(pictures, picture, build_prefix_tree(asked), answers), asked
