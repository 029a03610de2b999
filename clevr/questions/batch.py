"""Questions as tensors: a batch of them, read as one tree of their beginnings, so that a GRU reads each beginning once.

CLEVR's questions are made from few patterns: of the states that a GRU would go through for a batch of 160 questions
about a third are the same. Sharing them changes nothing in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_film.errors import InvalidValueError


@dataclass(frozen=True)
class PrefixTree:
    """``N`` distinct beginnings of ``B`` questions, shortest first: those of one length follow each other."""

    tokens: Tensor
    """Last token of each beginning, ``(N,)``."""
    parents: Tensor
    """Number of the beginning without its last token, ``(N,)``; -1 where nothing is left."""
    level_sizes: tuple[int, ...]
    """How many beginnings have 1, 2, ... tokens."""
    ends: Tensor
    """Number of the beginning that is the whole question, ``(B,)``."""
    paths: Tensor
    """Numbers of all beginnings of every question, one question's behind another's, ``(T,)``."""
    lengths: Tensor
    """How many beginnings, which is tokens, each question has, ``(B,)``."""


def build_prefix_tree(questions: Sequence[Sequence[int] | NDArray[np.integer[Any]]]) -> PrefixTree:
    """The tree of some questions.

    Args:
        questions: token numbers of each question, none of them empty.

    Raises:
        ValueError: there is no question, or an empty one.
    """
    lengths = np.array([len(question) for question in questions], dtype=np.int64)
    if not len(lengths) or not lengths.min():
        raise InvalidValueError("a tree needs at least one question, and every question at least one token")
    padded = np.zeros((len(lengths), int(lengths.max())), dtype=np.int64)
    for row, question in zip(padded, questions, strict=True):
        row[: len(question)] = question
    return _grow(padded, lengths)


def _grow(padded: NDArray[np.int64], lengths: NDArray[np.int64]) -> PrefixTree:
    base = int(padded.max()) + 1
    node = np.full(len(padded), -1, dtype=np.int64)
    passed = np.zeros_like(padded)
    tokens, parents, sizes, first = [], [], [], 0
    for place in range(padded.shape[1]):
        rows = np.flatnonzero(lengths > place)
        distinct, position = np.unique((node[rows] + 1) * base + padded[rows, place], return_inverse=True)
        parent, token = np.divmod(distinct, base)
        tokens.append(token)
        parents.append(parent - 1)
        sizes.append(len(distinct))
        node[rows] = passed[rows, place] = first + position
        first += len(distinct)
    return PrefixTree(
        torch.from_numpy(np.concatenate(tokens)),
        torch.from_numpy(np.concatenate(parents)),
        tuple(sizes),
        torch.from_numpy(node),
        torch.from_numpy(passed[np.arange(padded.shape[1]) < lengths[:, None]]),
        torch.from_numpy(lengths),
    )


@dataclass(frozen=True)
class QuestionBatch:
    """Questions about images; each image is there once."""

    images: Tensor
    """Images ``(P, 3, H, W)``, uint8, or feature maps ``(P, C, H, W)``; or what
    :meth:`Reasoner.encode_image` made of them."""
    image: Tensor
    """Which of the images each question is about, ``(Q,)``."""
    tree: PrefixTree
    """The questions."""
    answers: Tensor | None = None
    """Position of each answer in :data:`clevr.questions.tokens.ANSWER_WORDS`, ``(Q,)``."""
    scenes: Tensor | None = None
    """What lies where in each image, ``(P, 10, 8)``: see :func:`clevr.data.supervision.describe_scenes`."""
    traces: Tensor | None = None
    """Which objects each question is about, hop by hop, ``(Q, 4, 2, 10)``: 1, 0, or -1 where that does not apply."""
    program_encodings: Tensor | None = None
    """What each question does, ``(Q, 41)``: see :func:`clevr.questions.program_encoding.encode_program`."""
    sequences: Tensor | None = None
    """Every sequence of actions that tells the program of each question, ``(Q, 8, 32)``, zeros behind: see
    :func:`clevr.questions.actions.action_sequences`."""
    members: Tensor | None = None
    """The objects that the hops of the first of these sequences arrive at, ``(Q, 8, 10)``: 1, or 0."""
