"""Batches of questions grouped by picture; batch i is a function of the seed and i."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.config import ClevrDataConfig, ReasonerConfig
from clevr.data.errors import DataError
from clevr.data.pictures import load_pictures
from clevr.data.reader import ClevrSplit
from clevr.data.referents import read_supervision
from clevr.data.table import QuestionTable
from clevr.questions.tokens import ANSWERS, SPECIAL_TOKENS, UNK, Vocabulary
from clevr.reasoning.network import QuestionBatch
from clevr.reasoning.prefixes import build_prefix_tree
from clevr.reasoning.supervision import describe_scenes
from clevr.world.effects import Effects, apply_effects
from fewshot_film.run.seeding import generator, numpy_generator

logger = logging.getLogger(__name__)


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
    scenes: NDArray[np.float32] | None = None
    """What lies where in each picture, ``(M, 10, 6)``."""
    referents: NDArray[np.int8] | None = None
    """Which objects each question is finally about, ``(N, 2, 10)``."""

    def __len__(self) -> int:
        return len(self.table)

    def question(self, number: int) -> NDArray[np.int16]:
        """Token numbers of a question."""
        return self.tokens[self.ends[number - 1] if number else 0 : self.ends[number]]

    def batch(
        self, numbers: NDArray[np.int64], unknown: NDArray[np.bool_] | None = None, hide: int = 0
    ) -> QuestionBatch:
        """Some questions with their pictures.

        Args:
            numbers: which questions, ``(Q,)``.
            unknown: words to hide, over all words of the batch in order.
            hide: the token that hidden words become.
        """
        images, picture = np.unique(self.table.image[numbers], return_inverse=True)
        answers = self.table.answer[numbers].astype(np.int64) - len(SPECIAL_TOKENS)
        questions = [self.question(number) for number in numbers]
        if unknown is not None:
            places = np.cumsum([len(question) for question in questions])[:-1]
            hidden = np.split(unknown, places)
            questions = [np.where(mask, hide, question) for mask, question in zip(hidden, questions, strict=True)]
        return QuestionBatch(
            torch.from_numpy(np.asarray(self.pictures[images])),
            torch.from_numpy(picture),
            build_prefix_tree([question.tolist() for question in questions]),
            torch.from_numpy(answers),
            None if self.scenes is None else torch.from_numpy(self.scenes[images]),
            None if self.referents is None else torch.from_numpy(self.referents[numbers]),
        )


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

    Raises:
        DataNotFoundError: a part of the split is not there.
        DataError: a record or a picture is wrong.
    """
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
    scenes, referents = read_supervision(files, names, cache)
    size = files.load_picture(names[0]).size
    described = describe_scenes(scenes, size, model.height / model.width)
    return ReasoningData(table, tokens, ends, pictures, described, referents)


def _encode(table: QuestionTable, vocabulary: Vocabulary) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    encoded = [np.asarray(vocabulary.encode(text), np.int16) for text in table.texts]
    return np.concatenate(encoded), np.cumsum([len(question) for question in encoded])


SHORTEST, LONGEST = 7, 25
"""Steps of the programs that a curriculum begins with, and more than any program of CLEVR has."""


class TrainingBatches:
    """Training batches by number: all pictures once a pass, each with some of its questions.

    Args:
        data: the split.
        config: how many pictures and questions, and which share of the questions.
        effects: random changes of the pictures, or None.
        seed: what is drawn depends on it and on the number of the batch alone.
        unknown_words: share of the words that become the unknown token.
        unknown: number of that token.
    """

    def __init__(
        self,
        data: ReasoningData,
        config: ClevrDataConfig,
        seed: int,
        effects: Effects | None = None,
        unknown_words: float = 0.0,
        unknown: int = 0,
    ) -> None:
        self.data, self.config, self.seed = data, config, seed
        self.effects, self.unknown_words, self.unknown = effects, unknown_words, unknown
        used = np.arange(len(data))
        if config.fraction < 1:
            count = max(1, round(config.fraction * len(data)))
            used = np.sort(numpy_generator(seed, "fraction").permutation(len(data))[:count])
        image = data.table.image[used]
        order = np.argsort(image, kind="stable")
        self.images, starts = np.unique(image[order], return_index=True)
        self.by_image = np.split(used[order], starts[1:])
        self.pictures = min(config.pictures, len(self.images))
        self.per_epoch = len(self.images) // self.pictures

    def __getitem__(self, index: int) -> QuestionBatch:
        """The batch number ``index``."""
        epoch, place = divmod(index, self.per_epoch)
        chosen = _epoch(self, epoch)[place]
        rng = numpy_generator(self.seed, "questions", index)
        longest = self._longest_program(index)
        numbers = np.concatenate([self._some(self.by_image[image], longest, rng) for image in chosen])
        batch = self.data.batch(numbers, *self._hidden(numbers, rng))
        if self.effects is None:
            return batch
        changed = apply_effects(batch.pictures, self.effects, generator(self.seed, "effects", index))
        return dataclasses.replace(batch, pictures=changed)

    def _longest_program(self, index: int) -> int:
        """Steps of the longest programs in a batch."""
        if index >= self.config.curriculum:
            return np.iinfo(np.int16).max
        return SHORTEST + (LONGEST - SHORTEST) * index // self.config.curriculum

    def _some(self, numbers: NDArray[np.int64], longest: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Some questions of a picture; of a picture with none short enough, the shortest."""
        steps = self.data.table.program_length[numbers]
        numbers = numbers[steps <= max(longest, steps.min())]
        if len(numbers) <= self.config.questions:
            return numbers
        return rng.choice(numbers, self.config.questions, replace=False)

    def _hidden(self, numbers: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.bool_] | None, int]:
        if not self.unknown_words:
            return None, 0
        count = sum(len(self.data.question(number)) for number in numbers)
        return rng.random(count) < self.unknown_words, self.unknown


@lru_cache(maxsize=4)
def _epoch(batches: TrainingBatches, epoch: int) -> NDArray[np.int64]:
    """Pictures of every batch of one pass, ``(batches, pictures)``."""
    order = numpy_generator(batches.seed, "clevr epoch", epoch).permutation(len(batches.images))
    return order[: batches.per_epoch * batches.pictures].reshape(batches.per_epoch, batches.pictures)


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


NUM_ANSWERS = len(ANSWERS) - len(SPECIAL_TOKENS)


def answers_of(batch: QuestionBatch) -> Tensor:
    """Answers of a batch.

    Raises:
        ValueError: the questions come without answers.
    """
    if batch.answers is None or bool((batch.answers < 0).any()):
        raise ValueError("some questions have no answer, so nothing can be learned or measured; use another split")
    return batch.answers
