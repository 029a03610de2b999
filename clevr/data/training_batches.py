"""Batches to train on; batch i is a function of the seed and i."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from clevr.config import ClevrDataConfig
from clevr.data.batches import ReasoningData
from clevr.data.supervision import mark_program_encoding, mark_referents
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.families import FAMILIES, Family
from clevr.questions.question import Question
from clevr.questions.tokens import ANSWER_WORDS, Vocabulary
from clevr.questions.writer import write_questions
from clevr.world.augmentation import Augmentation, augment
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.seeding import generator, numpy_generator

CURRICULUM = (
    "zero_hop",
    "one_hop",
    "single_or",
    "comparison",
    "compare_integer",
    "same_relate",
    "single_and",
    "two_hop",
    "three_hop",
)
"""The groups of question families in the order in which a curriculum lets them in."""


@dataclass(frozen=True)
class Changes:
    """Random changes of training batches."""

    effects: Augmentation | None = None
    """Of the pictures."""
    unknown_words: float = 0.0
    """Share of the words that become the unknown token."""
    unknown: int = 0
    """Number of that token."""


NO_CHANGES = Changes()


class PictureBatches(ABC):
    """Training batches by number: all pictures once a pass, each with some questions.

    Args:
        images: which pictures, positions in those of the split.
        config: how many pictures in a batch, how many questions about each, and from when on which.
        changes: random changes of pictures and questions.
        seed: what is drawn depends on it and on the number of the batch alone.
    """

    def __init__(self, images: NDArray[np.int64], config: ClevrDataConfig, seed: int, changes: Changes) -> None:
        self.images, self.config, self.seed, self.changes = images, config, seed, changes
        self.pictures = min(config.pictures, len(images))
        self.per_epoch = len(images) // self.pictures

    def __getitem__(self, index: int) -> QuestionBatch:
        """The batch number ``index``."""
        epoch, place = divmod(index, self.per_epoch)
        batch = self.ask(index, self.images[_epoch(self, epoch)[place]])
        if self.changes.effects is None:
            return batch
        changed = augment(batch.pictures, self.changes.effects, generator(self.seed, "effects", index))
        return dataclasses.replace(batch, pictures=changed)

    @abstractmethod
    def ask(self, index: int, images: NDArray[np.int64]) -> QuestionBatch:
        """Questions about some pictures, drawn for the batch number ``index``."""

    def hide(self, index: int, questions: list[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Questions with some words hidden behind the unknown token, if that is asked for."""
        share, unknown = self.changes.unknown_words, self.changes.unknown
        if not share:
            return questions
        rng = numpy_generator(self.seed, "unknown words", index)
        return [np.where(rng.random(len(question)) < share, np.int16(unknown), question) for question in questions]

    def families(self, index: int) -> frozenset[int]:
        """Numbers of the question families that the batch may ask."""
        curriculum = self.config.curriculum
        known = len(CURRICULUM) if index >= curriculum else 1 + len(CURRICULUM) * index // curriculum
        return _families(known)


class TrainingBatches(PictureBatches):
    """Batches of the questions in the files.

    Args:
        data: the split.
        config: see :class:`PictureBatches`; and which share of the questions.
        seed: see :class:`PictureBatches`.
        changes: see :class:`PictureBatches`.
    """

    def __init__(self, data: ReasoningData, config: ClevrDataConfig, seed: int, changes: Changes = NO_CHANGES) -> None:
        self.data = data
        used = np.arange(len(data))
        if config.fraction < 1:
            count = max(1, round(config.fraction * len(data)))
            used = np.sort(numpy_generator(seed, "fraction").permutation(len(data))[:count])
        image = data.table.image[used]
        order = np.argsort(image, kind="stable")
        images, starts = np.unique(image[order], return_index=True)
        self.by_image = dict(zip(images.tolist(), np.split(used[order], starts[1:]), strict=True))
        super().__init__(images.astype(np.int64), config, seed, changes)

    def ask(self, index: int, images: NDArray[np.int64]) -> QuestionBatch:
        """See :meth:`PictureBatches.ask`."""
        rng = numpy_generator(self.seed, "questions", index)
        families = np.array(sorted(self.families(index)))
        numbers = np.concatenate([self._some(self.by_image[image], families, rng) for image in images.tolist()])
        return self.data.batch(numbers, self.hide(index, [self.data.question(number) for number in numbers]))

    def _some(
        self, numbers: NDArray[np.int64], families: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Some questions of a picture; of a picture with none that may be asked, the one with the shortest program."""
        family = self.data.table.family[numbers]
        may_be_asked = (family < 0) | np.isin(family, families)
        if not may_be_asked.any():
            return numbers[[self.data.table.program_length[numbers].argmin()]]
        numbers = numbers[may_be_asked]
        if len(numbers) <= self.config.questions:
            return numbers
        return rng.choice(numbers, self.config.questions, replace=False)


class FreshBatches(PictureBatches):
    """Batches of new questions about the scenes in every pass.

    Args:
        data: the split, with scenes.
        vocabulary: what the words are numbered by.
        config: see :class:`PictureBatches`.
        seed: see :class:`PictureBatches`.
        changes: see :class:`PictureBatches`.

    Raises:
        ValueError: the split was read without scenes.
    """

    def __init__(
        self,
        data: ReasoningData,
        vocabulary: Vocabulary,
        config: ClevrDataConfig,
        seed: int,
        changes: Changes = NO_CHANGES,
    ) -> None:
        if data.supervision is None:
            raise InvalidValueError("fresh questions are asked about scenes; read the split with_scenes")
        self.data, self.vocabulary = data, vocabulary
        self.supervision = data.supervision
        super().__init__(np.arange(len(self.supervision.scenes)), config, seed, changes)

    def ask(self, index: int, images: NDArray[np.int64]) -> QuestionBatch:
        """See :meth:`PictureBatches.ask`."""
        families = [FAMILIES[number] for number in sorted(self.families(index))]
        asked = [self._questions(index, image, families) for image in images.tolist()]
        picture = np.repeat(np.arange(len(images)), [len(questions) for questions in asked])
        questions = [question for some in asked for question in some]
        scenes = [self.supervision.scenes[image] for image in images[picture].tolist()]
        about = [mark_referents(question, scene) for question, scene in zip(questions, scenes, strict=True)]
        encoded = [np.asarray(self.vocabulary.encode(question.question), np.int16) for question in questions]
        answers = [ANSWER_WORDS.index(str(question.answer)) for question in questions]
        return QuestionBatch(
            torch.from_numpy(np.asarray(self.data.pictures[images])),
            torch.from_numpy(picture),
            build_prefix_tree(self.hide(index, encoded)),
            torch.tensor(answers),
            torch.from_numpy(self.supervision.described[images]),
            torch.from_numpy(np.stack(about)),
            torch.from_numpy(np.stack([mark_program_encoding(question) for question in questions])),
        )

    def _questions(self, index: int, image: int, families: list[Family]) -> list[Question]:
        """So many questions as asked for, of different families as long as there are any left."""
        rng = numpy_generator(self.seed, "fresh", index, image)
        scene, found = self.supervision.scenes[image], list[Question]()
        while len(found) < self.config.questions:
            more = write_questions(scene, rng, min(self.config.questions - len(found), len(families)), families)
            found += more or write_questions(scene, rng, self.config.questions - len(found))
        return found


@lru_cache(maxsize=16)
def _families(num_groups: int) -> frozenset[int]:
    return frozenset(family.index for family in FAMILIES if family.group in CURRICULUM[:num_groups])


@lru_cache(maxsize=4)
def _epoch(batches: PictureBatches, epoch: int) -> NDArray[np.int64]:
    """Places of the pictures of every batch of one pass, ``(batches, pictures)``."""
    order = numpy_generator(batches.seed, "clevr epoch", epoch).permutation(len(batches.images))
    return order[: batches.per_epoch * batches.pictures].reshape(batches.per_epoch, batches.pictures)
