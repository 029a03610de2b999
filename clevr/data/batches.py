"""The questions and pictures of a split, and batches of them in which each picture is there once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.config import ReasonerConfig
from clevr.data.errors import DataError
from clevr.data.pictures import load_pictures
from clevr.data.reader import ClevrSplit
from clevr.data.supervision import Supervision, read_supervision
from clevr.data.table import QuestionTable
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import SPECIAL_TOKENS, UNK, Vocabulary
from fewshot_film.run.errors import ConfigError


@dataclass(frozen=True)
class ReasoningData:
    """Questions and pictures of a split, ready to be put into batches."""

    table: QuestionTable
    """The questions."""
    tokens: NDArray[np.int16]
    """Token numbers of all questions behind each other."""
    ends: NDArray[np.int64]
    """Where each question ends in ``tokens``, ``(N,)``."""
    pictures: Any
    """uint8 ``(M, 3, H, W)``, or feature maps ``(M, C, H, W)``; anything that an integer array can index."""
    supervision: Supervision | None = None
    """What scenes and programs say of them, for further losses."""

    def __len__(self) -> int:
        return len(self.table)

    def question(self, number: int) -> NDArray[np.int16]:
        """Token numbers of a question."""
        return self.tokens[self.ends[number - 1] if number else 0 : self.ends[number]]

    def batch(self, numbers: NDArray[np.int64], questions: Sequence[NDArray[np.int16]] | None = None) -> QuestionBatch:
        """Some questions with their pictures.

        Args:
            numbers: which questions, ``(Q,)``.
            questions: token numbers to put in their place.
        """
        images, picture = np.unique(self.table.image[numbers], return_inverse=True)
        answers = self.table.answer[numbers].astype(np.int64) - len(SPECIAL_TOKENS)
        questions = [self.question(number) for number in numbers] if questions is None else questions
        return QuestionBatch(
            torch.from_numpy(np.asarray(self.pictures[images])),
            torch.from_numpy(picture),
            build_prefix_tree(questions),
            torch.from_numpy(answers),
            None if self.supervision is None else torch.from_numpy(self.supervision.described[images]),
            None if self.supervision is None else _some(self.supervision.referents, numbers),
            None if self.supervision is None else _some(self.supervision.outlines, numbers),
        )


def _some(marks: NDArray[np.int8] | None, numbers: NDArray[np.int64]) -> Tensor | None:
    return None if marks is None else torch.from_numpy(marks[numbers])


def load_reasoning_data(
    root: Path,
    split: str,
    model: ReasonerConfig,
    vocabulary: Vocabulary,
    *,
    cache: Path | None = None,
    humans: bool = False,
    features: str = "",
    with_scenes: bool = False,
    with_referents: bool = True,
) -> ReasoningData:
    """Read the questions and pictures of a split.

    Args:
        root: folder or zip in CLEVR's layout.
        split: name of the split.
        model: the network's settings; they say how large the pictures are.
        vocabulary: what the words are numbered by.
        cache: folder to keep decoded pictures and read questions in.
        humans: take the questions of CLEVR-Humans.
        features: folder of feature stores, for models that read features.
        with_scenes: read what further losses learn from, scenes and programs, too.
        with_referents: with the scenes, also run the programs of the questions, to know their objects.

    Raises:
        ConfigError: there are features, and the model reads pixels.
        DataNotFoundError: a part of the split is not there.
        DataError: a record or a picture is wrong.
    """
    if features and model.inputs == "pixels":
        raise ConfigError(f"the model reads pixels and would not use the features in {features}; leave `features` out")
    files = ClevrSplit.open(root, split, humans=humans)
    cache = cache or (root.parent / f"{root.stem}-cache" if root.is_file() else root / "cache")
    table = files.table(cache)
    if len(table) == 0:
        raise DataError(str(root), f"split {split}", "holds no questions; generate or get some")
    names = list(table.images)
    pictures: Any
    if model.inputs == "features":
        from clevr.data.feature_store import open_features

        pictures = open_features(features, split, names, (model.input_maps, model.height, model.width))
    else:
        pictures = load_pictures(files, names, model.width, model.height, cache)
    tokens, ends = _encode(table, vocabulary)
    if not with_scenes:
        return ReasoningData(table, tokens, ends, pictures)
    aspect = model.height / model.width
    supervision = read_supervision(files, names, aspect, cache, with_referents=with_referents)
    return ReasoningData(table, tokens, ends, pictures, supervision)


def _encode(table: QuestionTable, vocabulary: Vocabulary) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    encoded = [np.asarray(vocabulary.encode(text), np.int16) for text in table.texts]
    return np.concatenate(encoded), np.cumsum([len(question) for question in encoded])


def in_order(
    data: ReasoningData, size: int, limit: int | None = None
) -> Iterator[tuple[NDArray[np.int64], QuestionBatch]]:
    """All questions of a split, grouped by picture, for evaluation.

    Args:
        data: the split.
        size: about how many questions at a time; the questions of one picture stay together.
        limit: stop after the picture with which so many questions are reached.

    Yields:
        Numbers of the questions, and the batch.
    """
    order = np.argsort(data.table.image, kind="stable")
    bounds = np.flatnonzero(np.diff(data.table.image[order], prepend=-1))
    starts = [*bounds.tolist(), len(order)]
    first = 0
    for stop in starts[1:]:
        is_last = stop == len(order) or (limit is not None and stop >= limit)
        if stop - first >= size or is_last:
            numbers = order[first:stop]
            yield numbers, data.batch(numbers)
            first = stop
        if is_last:
            return


def unknown_token(vocabulary: Vocabulary) -> int:
    """Number of the token that stands for unknown words."""
    return vocabulary.number(UNK)
