"""What is analysed: a model and a split, and the values of gamma and beta that its questions lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from clevr.data.batches import ReasoningData
from clevr.data.table import QuestionTable
from clevr.questions.batch import build_prefix_tree
from clevr.reasoning.network import Reasoner
from clevr.world.scene import Scene
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation, Modulations
from fewshot_film.run.runtime import to_device

_AT_ONCE = 500
"""Questions that are read at a time."""
_IMAGES_AT_ONCE = 50


@dataclass(frozen=True)
class Subject:
    """A model, the questions and images of a split, and how much of them to use.

    Raises:
        ConfigError: the model has no FiLM to analyse.
    """

    reasoner: Reasoner
    """In evaluation mode, on any device."""
    data: ReasoningData
    """The split."""
    scenes: Mapping[str, Scene]
    """Scenes of its images by file name; empty where there are none."""
    known: QuestionTable
    """Questions of the training split, for the means of gamma and beta."""
    questions: int
    """Questions of the split to use, from its beginning."""
    seed: int
    """Of what is drawn."""
    seen: frozenset[tuple[str, str]] | None = None
    """Colour and shape of every object in the scenes that the model was trained on; None where they are not known."""

    def __post_init__(self) -> None:
        if not self.reasoner.sites:
            raise ConfigError("the model has no FiLM (model.conditioning or model.film_blocks): nothing to analyse")

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.reasoner.parameters()).device

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Numbers of the questions to use, spread evenly over the split."""
        return self._spread(len(self.data))

    def read(self, texts: Sequence[str]) -> Any:
        """What the model reads in questions: see :meth:`Reasoner.read`."""
        return read(self.reasoner, [self.reasoner.vocabulary.encode(text) for text in texts])

    def values(self, texts: Sequence[str]) -> Modulations:
        """Values of gamma and beta in every block for questions, ``(N, C)`` each: a row per question, or per hop."""
        return self._values(self.read(texts))

    @torch.no_grad()
    def _values(self, codes: Any) -> Modulations:
        return self.reasoner.modulations(codes)

    def flat_values(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same as NumPy, ``(N, blocks, 2, C)``: gamma, then beta."""
        return self._flat(self.read(texts))

    def _flat(self, codes: Any) -> NDArray[np.float32]:
        modulations = self._values(codes)
        stacked = torch.stack([torch.stack(modulations[name], 1) for name in self.reasoner.sites.names], 1)
        found: NDArray[np.float32] = stacked.float().cpu().numpy()
        return found

    def question_values(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same with a row for every question, ``(Q, blocks, 2, C)``: the mean over its hops."""
        codes = self.read(texts)
        values, owners = self._flat(codes), self.reasoner.owners(codes).numpy()
        sums = np.zeros((len(texts), *values.shape[1:]), np.float32)
        np.add.at(sums, owners, values)
        means: NDArray[np.float32] = (sums / np.bincount(owners, minlength=len(texts))[:, None, None, None]).astype(
            np.float32
        )
        return means

    def images(self, most: int) -> tuple[list[str], Tensor]:
        """File names of images of the split, and the trunk's maps of them ``(P, C, H, W)``.

        Args:
            most: how many at most, spread evenly over the split.
        """
        count = min(most, len(self.data.table.images))
        numbers = np.linspace(0, len(self.data.table.images) - 1, count).round().astype(np.int64)
        with torch.no_grad():
            parts = [
                self.reasoner.encode_image(torch.from_numpy(np.asarray(self.data.images[some])).to(self.device))
                for some in np.array_split(numbers, -(-count // _IMAGES_AT_ONCE))
            ]
        return [self.data.table.images[int(number)] for number in numbers], torch.cat(parts)

    def mean_values(self) -> dict[str, Modulation]:
        """Mean gamma and beta over questions of the training split, ``(1, C)`` each."""
        known = self._known_values.items()
        return {name: Modulation(*(part.mean(0, keepdim=True) for part in pair)) for name, pair in known}

    def spreads(self) -> dict[str, tuple[float, float]]:
        """How far gamma and beta of a question are from those means: root mean square over questions and maps."""
        known = self._known_values.items()
        return {
            name: (
                float(gamma.std(0, correction=0).square().mean().sqrt()),
                float(beta.std(0, correction=0).square().mean().sqrt()),
            )
            for name, (gamma, beta) in known
        }

    @cached_property
    def _known_values(self) -> Modulations:
        """Gamma and beta of questions of the training split."""
        return self.values([self.known.texts[int(number)] for number in self._spread(len(self.known))])

    def _spread(self, length: int) -> NDArray[np.int64]:
        return np.linspace(0, length - 1, min(self.questions, length)).round().astype(np.int64)


@dataclass(frozen=True)
class Finding:
    """What an analysis found."""

    results: dict[str, Any]
    """Plain values."""
    figure: Figure
    """A figure of them."""


@torch.no_grad()
def read(reasoner: Reasoner, questions: Sequence[Sequence[int]]) -> Any:
    """What a model reads in questions given as token numbers: see :meth:`Reasoner.read`."""
    device = next(reasoner.parameters()).device
    parts = [questions[first : first + _AT_ONCE] for first in range(0, len(questions), _AT_ONCE)]
    return reasoner.joined([reasoner.read(to_device(build_prefix_tree(part), device)) for part in parts])


@torch.no_grad()
def answers_about(
    reasoner: Reasoner, maps: Tensor, codes: Any, modulations: Mapping[str, Modulation] | None = None
) -> NDArray[np.int64]:
    """Answers to the same questions about every image, as positions in ``ANSWER_WORDS``, ``(P, Q)``.

    Args:
        reasoner: a model with FiLM.
        maps: the trunk's maps of images, ``(P, C, H, W)``.
        codes: what the model reads in the questions.
        modulations: gamma and beta for them, if not its own.
    """
    num_questions = len(codes)
    values = reasoner.modulations(codes) if modulations is None else dict(modulations)
    answers = np.empty((len(maps), num_questions), np.int64)
    for number, one in enumerate(maps):
        image = torch.zeros(num_questions, dtype=torch.int64, device=maps.device)
        last = reasoner.reason(one[None], image, values, codes)
        answers[number] = reasoner.classifier(last).argmax(1).cpu().numpy()
    return answers
