"""The questions and images of a split, and batches of them: in order to evaluate, drawn at random to train.

In a batch each image is there once. Batch i of a training is a function of the seed and i.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.config.model import AugmentationConfig, ClevrDataConfig, ReasonerConfig
from clevr.data.errors import DataError
from clevr.data.feature_store import open_features
from clevr.data.images import StreamedImages, load_images
from clevr.data.reader import ClevrSplit
from clevr.data.shards import ShardStorage
from clevr.data.supervision import Supervision, mark_hops, mark_program_encoding, mark_trace, read_supervision
from clevr.data.table import QuestionTable
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.families import FAMILIES, Family
from clevr.questions.question import Question
from clevr.questions.tokens import SPECIAL_TOKENS, UNK, Vocabulary, answers_of
from clevr.questions.writer import write_questions
from clevr.world.augmentation import augment
from clevr.world.scene import Scene
from fewshot_film.errors import ConfigError, InvalidValueError, counted
from fewshot_film.run.seeding import generator, numpy_generator


@dataclass(frozen=True)
class ReasoningData:
    """Questions and images of a split, ready to be put into batches."""

    table: QuestionTable
    """The questions."""
    tokens: NDArray[np.int16]
    """Token numbers of all questions behind each other."""
    ends: NDArray[np.int64]
    """Where each question ends in ``tokens``, ``(N,)``."""
    images: Any
    """uint8 ``(M, 3, H, W)``, or feature maps ``(M, C, H, W)``; anything that an integer array can index."""
    supervision: Supervision | None = None
    """What scenes and programs say of them, for further losses."""

    def __len__(self) -> int:
        return len(self.table)

    def question(self, number: int) -> NDArray[np.int16]:
        """Token numbers of a question."""
        return self.tokens[self.ends[number - 1] if number else 0 : self.ends[number]]

    def batch(self, numbers: NDArray[np.int64], questions: Sequence[NDArray[np.int16]] | None = None) -> QuestionBatch:
        """Some questions with their images.

        Args:
            numbers: which questions, ``(Q,)``.
            questions: token numbers to put in their place.
        """
        shown, image = np.unique(self.table.image[numbers], return_inverse=True)
        answers = self.table.answer[numbers].astype(np.int64) - len(SPECIAL_TOKENS)
        questions = [self.question(number) for number in numbers] if questions is None else questions
        return QuestionBatch(
            torch.from_numpy(np.asarray(self.images[shown])),
            torch.from_numpy(image),
            build_prefix_tree(questions),
            torch.from_numpy(answers),
            None if self.supervision is None else torch.from_numpy(self.supervision.described[shown]),
            None if self.supervision is None else _some(self.supervision.traces, numbers),
            None if self.supervision is None else _some(self.supervision.program_encodings, numbers),
            None if self.supervision is None else _some(self.supervision.sequences, numbers),
            None if self.supervision is None else _some(self.supervision.members, numbers),
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
    with_traces: bool = True,
    visible_centers: bool = False,
) -> ReasoningData:
    """Read the questions and images of a split.

    Args:
        root: folder or zip in CLEVR's layout.
        split: name of the split.
        model: the network's settings; they say how large the images are.
        vocabulary: what the words are numbered by.
        cache: folder to keep decoded images and read questions in.
        humans: take the questions of CLEVR-Humans.
        features: folder of feature stores, for models that read features.
        with_scenes: read what further losses learn from, scenes and programs, too.
        with_traces: with the scenes, also run the programs of the questions, to know their objects.
        visible_centers: an object is where the middle of its visible part is, not that of its body.

    Raises:
        ConfigError: there are features, and the model reads pixels.
        DataNotFoundError: a part of the split is not there.
        DataError: a record or an image is wrong.
    """
    if features and model.inputs == "pixels":
        raise ConfigError(f"the model reads pixels and would not use the features in {features}; leave `features` out")
    files, cache = ClevrSplit.open(root, split, humans=humans), cache or cache_of(root)
    table = _read_table(files, cache)
    names, aspect = list(table.images), model.height / model.width
    images = _load_images(files, names, model, features, cache)
    supervision = (
        read_supervision(
            files,
            names,
            aspect,
            cache,
            with_traces=with_traces and not model.hop_by_hop,
            with_hops=with_traces and model.hop_by_hop,
            visible_centers=visible_centers,
        )
        if with_scenes
        else None
    )
    return ReasoningData(table, *_encode(table, vocabulary), images, supervision)


def cache_of(root: Path) -> Path:
    """Where decoded images and read questions of a data set are kept, unless a setting says otherwise."""
    return root.parent / f"{root.stem}-cache" if root.is_file() else root / "cache"


def _read_table(split: ClevrSplit, cache: Path) -> QuestionTable:
    table = split.table(cache)
    if len(table) == 0:
        root, name = split.files.storage.root, split.files.split
        raise DataError(str(root), f"split {name}", "has no questions; generate or download some")
    return table


def _load_images(split: ClevrSplit, names: list[str], model: ReasonerConfig, features: str, cache: Path) -> Any:
    if model.inputs == "features":
        return open_features(features, split.files.split, names, (model.input_maps, model.height, model.width))
    if isinstance(split.files.storage, ShardStorage):
        return StreamedImages(split, names, model.width, model.height)
    return load_images(split, names, model.width, model.height, cache)


def _encode(table: QuestionTable, vocabulary: Vocabulary) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    encoded = [np.asarray(vocabulary.encode(text), np.int16) for text in table.texts]
    return np.concatenate(encoded), np.cumsum([len(question) for question in encoded])


def in_order(
    data: ReasoningData, size: int, limit: int | None = None
) -> Iterator[tuple[NDArray[np.int64], QuestionBatch]]:
    """All questions of a split, grouped by image, for evaluation.

    Args:
        data: the split.
        size: about how many questions at a time; the questions of one image stay together.
        limit: maximum number of questions, rounded up to whole images.

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

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Of the images."""
    unknown_words: float = 0.0
    """Share of the words that become the unknown token."""
    unknown: int = 0
    """Number of that token."""


NO_CHANGES = Changes()


class TrainingBatches(ABC):
    """Training batches by number: all images once a pass, each with some questions.

    Args:
        images: which images, positions in those of the split.
        config: how many images in a batch, how many questions about each, and from when on which.
        changes: random changes of images and questions.
        seed: what is drawn depends on it and on the number of the batch alone.
    """

    def __init__(self, images: NDArray[np.int64], config: ClevrDataConfig, seed: int, changes: Changes) -> None:
        self.images, self.config, self.seed, self.changes = images, config, seed, changes
        self.size = min(config.images, len(images))
        self.per_epoch = len(images) // self.size

    def __getitem__(self, index: int) -> QuestionBatch:
        """The batch number ``index``."""
        epoch, place = divmod(index, self.per_epoch)
        batch = self.ask(index, self.images[_epoch(self, epoch)[place]])
        if not self.changes.augmentation.changes_images:
            return batch
        changed = augment(batch.images, self.changes.augmentation, generator(self.seed, "effects", index))
        return dataclasses.replace(batch, images=changed)

    @abstractmethod
    def ask(self, index: int, images: NDArray[np.int64]) -> QuestionBatch:
        """Questions about some images, drawn for the batch number ``index``."""

    def hide(self, index: int, questions: list[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Questions with some words hidden behind the unknown token, if that is asked for; their ends stay."""
        share, unknown = self.changes.unknown_words, self.changes.unknown
        if not share:
            return questions
        rng, hidden = numpy_generator(self.seed, "unknown words", index), [question.copy() for question in questions]
        for question in hidden:
            words = question[1:-1]
            words[rng.random(len(words)) < share] = unknown
        return hidden

    def families(self, index: int) -> frozenset[int]:
        """Numbers of the question families that the batch may ask."""
        curriculum = self.config.curriculum
        known = len(CURRICULUM) if index >= curriculum else 1 + len(CURRICULUM) * index // curriculum
        return _families(known)


class StoredQuestionBatches(TrainingBatches):
    """Batches of the questions in the files.

    Args:
        data: the split.
        config: see :class:`TrainingBatches`; and which share of the questions.
        seed: see :class:`TrainingBatches`.
        changes: see :class:`TrainingBatches`.
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
        """See :meth:`TrainingBatches.ask`."""
        rng = numpy_generator(self.seed, "questions", index)
        # a curriculum ends with all questions of the files: those of CLOSURE, too, which are of none of its groups
        families = None if index >= self.config.curriculum else np.array(sorted(self.families(index)))
        numbers = np.concatenate([self._some(self.by_image[image], families, rng) for image in images.tolist()])
        return self.data.batch(numbers, self.hide(index, [self.data.question(number) for number in numbers]))

    def _some(
        self, numbers: NDArray[np.int64], families: NDArray[np.int64] | None, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Some questions of an image, of some families or of all (None).

        Of an image with none that may be asked, the one with the shortest program.
        """
        if families is not None:
            family = self.data.table.family[numbers]
            may_be_asked = (family < 0) | np.isin(family, families)
            if not may_be_asked.any():
                return numbers[[self.data.table.program_length[numbers].argmin()]]
            numbers = numbers[may_be_asked]
        if len(numbers) <= self.config.questions:
            return numbers
        return rng.choice(numbers, self.config.questions, replace=False)


class FreshQuestionBatches(TrainingBatches):
    """Batches of new questions about the scenes in every pass.

    Args:
        data: the split, with scenes.
        vocabulary: what the words are numbered by.
        config: see :class:`TrainingBatches`.
        seed: see :class:`TrainingBatches`.
        changes: see :class:`TrainingBatches`.
        with_hops: mark the hops of the questions, for a model that follows them, in place of their traces.

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
        *,
        with_hops: bool = False,
    ) -> None:
        if data.supervision is None:
            raise InvalidValueError("fresh questions are asked about scenes; read the split with_scenes")
        self.data, self.vocabulary = data, vocabulary
        self.supervision, self.with_hops = data.supervision, with_hops
        super().__init__(np.arange(len(self.supervision.scenes)), config, seed, changes)

    def ask(self, index: int, images: NDArray[np.int64]) -> QuestionBatch:
        """See :meth:`TrainingBatches.ask`."""
        families = [FAMILIES[number] for number in sorted(self.families(index))]
        asked = [self._questions(index, image, families) for image in images.tolist()]
        of_image = np.repeat(np.arange(len(images)), [len(questions) for questions in asked])
        questions = [question for some in asked for question in some]
        scenes = [self.supervision.scenes[image] for image in images[of_image].tolist()]
        marks = (_marked_hops if self.with_hops else _marked_traces)(questions, scenes)
        encoded = [np.asarray(self.vocabulary.encode(question.question), np.int16) for question in questions]
        known = answers_of(self.data.table.world)
        answers = [known.index(str(question.answer)) for question in questions]
        return QuestionBatch(
            torch.from_numpy(np.asarray(self.data.images[images])),
            torch.from_numpy(of_image),
            build_prefix_tree(self.hide(index, encoded)),
            torch.tensor(answers),
            torch.from_numpy(self.supervision.described[images]),
            **marks,
        )

    def _questions(self, index: int, image: int, families: list[Family]) -> list[Question]:
        """So many questions as asked for, of different families as long as there are any left."""
        rng = numpy_generator(self.seed, "fresh", index, image)
        scene, found = self.supervision.scenes[image], list[Question]()
        while len(found) < self.config.questions:
            more = write_questions(scene, rng, min(self.config.questions - len(found), len(families)), families)
            more = more or write_questions(scene, rng, self.config.questions - len(found))
            if not more:
                raise InvalidValueError(
                    f"scene {scene.image_index} with {counted(len(scene.objects), 'object')} offers no question; leave "
                    "it out, or data.fresh"
                )
            found += more
        return found


def _marked_traces(questions: Sequence[Question], scenes: Sequence[Scene]) -> dict[str, Tensor]:
    both = list(zip(questions, scenes, strict=True))
    return {
        "traces": torch.from_numpy(np.stack([mark_trace(question, scene) for question, scene in both])),
        "program_encodings": torch.from_numpy(
            np.stack([mark_program_encoding(question, scene.world) for question, scene in both])
        ),
    }


def _marked_hops(questions: Sequence[Question], scenes: Sequence[Scene]) -> dict[str, Tensor]:
    sequences, members = zip(*map(mark_hops, questions, scenes), strict=True)
    return {"sequences": torch.from_numpy(np.stack(sequences)), "members": torch.from_numpy(np.stack(members))}


@lru_cache(maxsize=16)
def _families(num_groups: int) -> frozenset[int]:
    return frozenset(family.index for family in FAMILIES if family.group in CURRICULUM[:num_groups])


@lru_cache(maxsize=4)
def _epoch(batches: TrainingBatches, epoch: int) -> NDArray[np.int64]:
    """Places of the images of every batch of one pass, ``(batches, images)``."""
    order = numpy_generator(batches.seed, "clevr epoch", epoch).permutation(len(batches.images))
    return order[: batches.per_epoch * batches.size].reshape(batches.per_epoch, batches.size)
