"""What a model answers: to the questions of a split, or to one question about one image.

An answer about one image says how sure the model is, and which places the answer came from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from clevr.answers.second_look import further_views, over_views, shifts
from clevr.answers.unknown_words import Readings, readings_of
from clevr.config.commands import SURE
from clevr.data.batches import ReasoningData, in_order
from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.images import fit_image, to_pixels
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import Vocabulary, answers_of
from clevr.reasoning.network import Reasoner
from clevr.world.spec import CLEVR
from fewshot_film.errors import ConfigError, UserError
from fewshot_film.film import Modulations
from fewshot_film.images import ImageError, read_image, upright
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.runtime import to_device

if TYPE_CHECKING:
    from clevr.data.backbone import Extractor

MAX_WORDS = 200
"""The longest question of CLEVR has 43 words, of CLEVR-Humans fewer."""


FORM_UNKNOWN = "the model knows the words, but was taught no question of this form; check how it was read"
"""Why an answer to known words is a guess."""


class QuestionError(UserError, ValueError):
    """A question that cannot be read: empty, far too long, or in words of another vocabulary."""


@dataclass(frozen=True)
class Predictions:
    """What a model answered to ``N`` questions, in the order of ``numbers``."""

    numbers: NDArray[np.int64]
    """Numbers of the questions in their split, ``(N,)``."""
    probabilities: NDArray[np.float32]
    """Of each answer, by :attr:`Reasoner.answers`; of CLEVR ``(N, 28)``."""

    @property
    def answers(self) -> NDArray[np.int64]:
        """The most probable answers, ``(N,)``."""
        answers: NDArray[np.int64] = self.probabilities.argmax(1)
        return answers


@torch.no_grad()
def predict(
    reasoner: Reasoner,
    data: ReasoningData,
    *,
    limit: int | None = None,
    size: int = 500,
    change: Callable[[Modulations], Modulations] | None = None,
    sure: float = 0.0,
) -> Predictions:
    """Answer the questions of a split.

    Args:
        reasoner: in evaluation mode, on any device.
        data: the split.
        limit: maximum number of questions, rounded up to whole images.
        size: about how many questions at a time.
        change: what to make of gamma and beta before they are used.
        sure: answers less probable than this are the average over further views: see :mod:`clevr.answers.second_look`.
    Returns:
        Answers in the order of the split's questions.
    Raises:
        ConfigError: the model answers questions about another world.
    """
    check_world(data, reasoner)
    device = next(reasoner.parameters()).device
    numbers, found = [], []
    total = len(data) if limit is None else min(limit, len(data))
    with tqdm(total=total, unit="question", disable=hides_bars(), dynamic_ncols=True) as bar:
        for some, batch in in_order(data, size, limit):
            numbers.append(some)
            found.append(answer_logits(reasoner, to_device(batch, device), change).float().softmax(1).cpu().numpy())
            bar.update(len(some))
    every = np.concatenate(numbers)
    order = np.argsort(every)
    first = Predictions(every[order], np.concatenate(found)[order])
    return _looked_again(first, reasoner, data, size, change, sure) if sure and shifts(reasoner.config) else first


def _looked_again(
    first: Predictions,
    reasoner: Reasoner,
    data: ReasoningData,
    size: int,
    change: Callable[[Modulations], Modulations] | None,
    sure: float,
) -> Predictions:
    """Answers of which those that were not sure are the average over further views."""
    device = next(reasoner.parameters()).device
    probabilities = first.probabilities.copy()
    unsure = np.flatnonzero(probabilities.max(1) < sure)
    by_image = unsure[np.argsort(data.table.image[first.numbers[unsure]], kind="stable")]
    step = max(1, size // 8)  # nearly every one has an image of its own
    for start in range(0, len(by_image), step):
        some = by_image[start : start + step]
        batch = to_device(data.batch(first.numbers[some]), device)
        seen = [torch.from_numpy(probabilities[some]).log()]
        for images in further_views(batch.images, reasoner.config):
            logits = answer_logits(reasoner, dataclasses.replace(batch, images=images), change)
            seen.append(logits.float().log_softmax(1).cpu())
        probabilities[some] = over_views(seen).numpy()
    return Predictions(first.numbers, probabilities)


def check_world(data: ReasoningData, reasoner: Reasoner) -> None:
    """Refuse a model whose answers are those of another world than the data's.

    Raises:
        ConfigError: they are.
    """
    here, there = data.table.world, reasoner.world
    if answers_of(here) != answers_of(there):
        raise ConfigError(
            f"the questions are about the world {here.name!r}, and the model knows the answers of {there.name!r}; use "
            "data and a model of the same world"
        )


def answer_logits(
    reasoner: Reasoner, batch: QuestionBatch, change: Callable[[Modulations], Modulations] | None = None
) -> Tensor:
    """Logits ``(Q, 28)`` of a batch, with gamma and beta changed on the way if asked for."""
    maps, codes = reasoner.encode_image(batch.images), reasoner.read(batch.tree)
    modulations = reasoner.modulations(codes)
    modulations = modulations if change is None else change(modulations)
    logits: Tensor = reasoner.classifier(reasoner.reason(maps, batch.image, modulations, codes))
    return logits


def check_question(text: str, vocabulary: Vocabulary) -> None:
    """Refuse a question typed by a person that cannot be read.

    Raises:
        QuestionError: it has no words, more than :data:`MAX_WORDS`, or none that the vocabulary knows.
    """
    words = vocabulary.words(text)
    if not words:
        raise QuestionError(f"the question {text!r:.40} has no words; ask for example: How many red things are there?")
    if len(words) > MAX_WORDS:
        raise QuestionError(
            f"the question has {len(words):,} words; expected at most {MAX_WORDS}, CLEVR's have up to 43"
        )
    if set(vocabulary.unknown_words(text)) == set(words):
        raise QuestionError(
            f"the model knows no word of {text!r:.60}; its words are CLEVR's English, such as: {_examples(vocabulary)}"
        )


def check_words(data: ReasoningData, vocabulary: Vocabulary) -> str:
    """What to say about words of a split that a model does not know; empty if it knows all.

    Raises:
        QuestionError: there is an unknown word in every question, or a question is far too long.
    """
    longest = int(np.diff(data.ends, prepend=0).max())
    if longest > MAX_WORDS + 2:
        number = int(np.diff(data.ends, prepend=0).argmax())
        raise QuestionError(f"question {number} has {longest - 2:,} words; expected at most {MAX_WORDS}")
    unknown = data.tokens == vocabulary.number("<UNK>")
    if not unknown.any():
        return ""
    of_question = np.add.reduceat(unknown, np.concatenate([[0], data.ends[:-1]])) > 0
    first = data.table.texts[int(of_question.argmax())]
    words = ", ".join(vocabulary.unknown_words(first)[:3])
    if of_question.all():
        raise QuestionError(
            f"every question has a word that the model does not know, such as {words} in {first!r}; its vocabulary of "
            f"{len(vocabulary)} tokens is another one: use a model that was trained on such questions"
        )
    count = f"{of_question.sum():,} of {len(of_question):,} questions"
    return f"{count} have words that the model does not know, such as {words}"


def _examples(vocabulary: Vocabulary) -> str:
    known = [word for word in vocabulary.tokens if word.isalpha()]
    return ", ".join(known[-12:])


@dataclass(frozen=True)
class Answer:
    """What a model says to one question about one image."""

    question: str
    """As it was asked."""
    ranking: tuple[tuple[str, float], ...]
    """All answers, of CLEVR 28, with their probabilities, the most probable first."""
    places: NDArray[np.int64]
    """How many of the classifier's maps have their maximum, if above 0, at each position, ``(H, W)``."""
    unknown_words: tuple[str, ...]
    """Words that the model does not know, and that say something."""
    warning: str = ""
    """Why the answer may be meaningless: the image does not look like those that the model was trained on. Empty where
    it does, and for a model that was saved without a description of its training images."""
    read_as: tuple[str, ...] = ()
    """What the model took the question to say, step by step: see :func:`clevr.questions.actions.in_words`. Empty for a
    model that reads questions as a whole. With unknown words: the reading that speaks most for the answer."""
    num_readings: int = 1
    """How many questions it may be, for its unknown words; the probabilities are the average over all of them. See
    :mod:`clevr.answers.unknown_words`."""
    num_views: int = 1
    """How many views of the image the probabilities are the average over: see :mod:`clevr.answers.second_look`."""
    has_known_form: bool = True
    """Whether CLEVR's English has questions of this form; True where there are unknown words."""
    asked_as: str = ""
    """The question in CLEVR's English, where it was put otherwise: see :mod:`clevr.questions.free_wording`."""

    @property
    def steps(self) -> str:
        """:attr:`read_as` in one line, its steps numbered from 1."""
        return "; ".join(f"{number}. {step}" for number, step in enumerate(self.read_as, 1))

    @property
    def answer(self) -> str:
        """The most probable answer."""
        return self.ranking[0][0]

    @property
    def is_guess(self) -> bool:
        """Whether the model cannot know what is asked: it does not know all words, or was taught no such question."""
        return bool(self.unknown_words) or not self.has_known_form

    @property
    def averaging(self) -> str:
        """Where the probabilities of a guess come from, in words."""
        if self.num_readings == 1:
            return "it can be only one question"
        return f"the probabilities are the average over {self.num_readings} questions that it may be"

    @property
    def probability(self) -> float:
        """Of the most probable answer, 0 to 1."""
        return self.ranking[0][1]


@dataclass(frozen=True)
class _Look:
    """What one view of an image says to the readings of a question."""

    maps: Tensor
    """What the model's blocks get of the view."""
    logarithms: Tensor
    """Of the answers' probabilities, ``(readings, answers)``."""
    responses: Tensor
    """Maxima of the classifier's maps, ``(readings, maps)``."""
    positions: Tensor
    """Where they are, as ``responses``."""


class Answerer:
    """Answers questions about an image that it has looked at once.

    Args:
        reasoner: in evaluation mode, on any device.
        image: any mode and size; it is turned upright, and 16-bit grey is read by its range.
        extractor: what makes the features, for a model that reads features.
        sure: answers less probable than this are the average over further views: see :mod:`clevr.answers.second_look`.
    Raises:
        ConfigError: the model reads features and there is no extractor, or one of another shape; or it reads pixels
            and there is one.

    Attributes:
        warning: see :attr:`Answer.warning`; it is the same for every question about the image.
        maps: what the model's blocks get of the image.

    Source:
        The places are those of Perez et al., "FiLM", AAAI 2018, figure 4.
    """

    def __init__(
        self, reasoner: Reasoner, image: Image.Image, extractor: Extractor | None = None, *, sure: float = SURE
    ) -> None:
        self.reasoner = reasoner
        self.sure = sure
        self.image = upright(image, "the image")
        self._device = next(reasoner.parameters()).device
        kind = "a CLEVR scene" if reasoner.world == CLEVR else f"a scene of the world {reasoner.world.name!r}"
        self.warning = reasoner.familiarity.warning(self.image, kind) if reasoner.familiarity else ""
        self.maps = self._see(extractor)

    @property
    def view(self) -> tuple[float, float, float, float]:
        """What the model sees, as left, right, bottom and top in pixels of the image.

        A model that reads pixels keeps the proportions: it may see less than the image above and below, or more,
        where the first and last row are repeated.
        """
        config, image = self.reasoner.config, self.image
        if config.inputs == "features":
            return 0, image.width, image.height, 0
        height = config.height * image.width / config.width
        top = (image.height - height) / 2
        return 0, image.width, top + height, top

    @torch.no_grad()
    def ask(self, text: str) -> Answer:
        """Answer a question.

        Words that the model does not know lower the probability of its answer: it is the average over all that the
        question may say. So does a form that CLEVR's English lacks.

        Raises:
            QuestionError: it is empty, far too long, or in words that the model does not know.
        """
        reasoner = self.reasoner
        check_question(text, reasoner.vocabulary)
        readings = readings_of(text, reasoner.vocabulary, reasoner.world)
        codes = reasoner.read(to_device(build_prefix_tree(readings.tokens), self._device))
        looks = [self._look(self.maps, codes, readings)]
        every = looks[0].logarithms.exp()
        average = _over_readings(every, readings)
        if float(average.max()) < self.sure and shifts(reasoner.config):
            looks += [self._look(maps, codes, readings) for maps in self._further]
            every = over_views([look.logarithms for look in looks])
            average = _over_readings(every, readings)
        ranking = sorted(zip(reasoner.answers, average.tolist(), strict=True), key=lambda entry: -entry[1])
        winner = reasoner.answers.index(ranking[0][0])
        best = int(every[:, winner].argmax())
        shown = max(looks, key=lambda look: float(look.logarithms[best, winner]))
        return Answer(
            text,
            tuple(ranking),
            self._count(shown, best),
            readings.unknown,
            self.warning,
            reasoner.in_words(codes)[best],
            len(readings.tokens),
            len(looks),
            readings.has_known_form,
            readings.asked_as,
        )

    def _look(self, maps: Tensor, codes: Any, readings: Readings) -> _Look:
        """What one view of the image says to every reading of a question."""
        reasoner = self.reasoner
        only = torch.zeros(len(readings.tokens), dtype=torch.int64, device=self._device)
        last = reasoner.reason(maps, only, reasoner.modulations(codes), codes)
        responses, positions = reasoner.classifier.pool(last)
        return _Look(maps, reasoner.classifier.judge(last, responses).log_softmax(1), responses, positions)

    def _count(self, look: _Look, reading: int) -> NDArray[np.int64]:
        cells, (height, width) = self.reasoner.cells(look.maps), self.reasoner.config.grid
        positions = look.positions[reading]
        winners = (positions if cells is None else cells[0][positions])[look.responses[reading] > 0].cpu().numpy()
        return np.bincount(winners, minlength=height * width).reshape(height, width).astype(np.int64)

    @torch.no_grad()
    def _see(self, extractor: Extractor | None) -> Tensor:
        config = self.reasoner.config
        if config.inputs == "pixels":
            if extractor is not None:
                raise ConfigError("the model reads pixels and uses no extractor; leave it out")
            return self.reasoner.encode_image(self._pixels())
        if extractor is None:
            raise ConfigError("the model reads features; give the extractor that computes them")
        expected = (config.input_maps, config.height, config.width)
        if extractor.shape != expected:
            raise ConfigError(
                f"the model reads features of shape {expected}, the extractor ({extractor.config.layer} of "
                f"{extractor.config.backbone} at {extractor.config.size} pixels) gives {extractor.shape}"
            )
        pixels = torch.from_numpy(to_pixels(self.image, extractor.config.size).copy())
        return self.reasoner.encode_image(extractor(pixels[None].to(extractor.mean.device)).to(self._device))

    @cached_property
    def _further(self) -> list[Tensor]:
        """What the model's blocks get of further views of the image."""
        views = further_views(self._pixels(), self.reasoner.config)
        return list(self.reasoner.encode_image(torch.cat(views)).split(1))

    def _pixels(self) -> Tensor:
        """The image as a model that reads pixels gets it, ``(1, 3, H, W)``."""
        config = self.reasoner.config
        return torch.from_numpy(fit_image(self.image, config.width, config.height))[None].to(self._device)


def _over_readings(every: Tensor, readings: Readings) -> Tensor:
    """Probabilities of the answers, ``(answers,)``, from those of all readings, ``(readings, answers)``."""
    return every.mean(0) * (1 - readings.stray) + readings.stray / every.shape[1]


def open_image(path: Path) -> Image.Image:
    """An image from a file, upright, in RGB; see :mod:`fewshot_film.images` for what is read, and how.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it is no image, or not a whole one.
    """
    if not path.is_file():
        raise DataNotFoundError(f"no image {path}; expected an image file, such as one made by `clevr-film generate`")
    try:
        return upright(read_image(path), str(path))
    except ImageError as error:
        raise DataError(str(path), "", f"not a readable image (it {error.reason})") from None
