"""Questions about one picture: the answer, how sure the model is, and which places it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clevr.answers.predict import read_question
from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.pictures import fit_picture, to_pixels
from clevr.questions.batch import build_prefix_tree
from clevr.questions.tokens import ANSWER_WORDS
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.images import ImageError, read_image, upright
from fewshot_film.run.device import to_device
from fewshot_film.run.errors import ConfigError

if TYPE_CHECKING:
    from clevr.data.backbone import Extractor


@dataclass(frozen=True)
class Answer:
    """What a model says to one question about one picture."""

    question: str
    """As it was asked."""
    ranking: tuple[tuple[str, float], ...]
    """All 28 answers with their probabilities, the most probable first."""
    places: NDArray[np.int64]
    """How many of the classifier's maps have their maximum, if above 0, at each position, ``(H, W)``."""
    unknown_words: tuple[str, ...]
    """Words that the model does not know; it read them as its unknown token."""
    warning: str = ""
    """Why the answer may be meaningless: the image does not look like those that the model was trained on. Empty where
    it does, and for a model that was saved without a description of its training images."""

    @property
    def answer(self) -> str:
        """The most probable answer."""
        return self.ranking[0][0]

    @property
    def probability(self) -> float:
        """Of the most probable answer, 0 to 1."""
        return self.ranking[0][1]


class Answerer:
    """Answers questions about a picture that it has looked at once.

    Args:
        reasoner: in evaluation mode, on any device.
        picture: any mode and size; it is turned upright, and 16-bit grey is read by its range.
        extractor: what makes the features, for a model that reads features.
    Raises:
        ConfigError: the model reads features and there is no extractor, or one of another shape; or it reads pixels
            and there is one.

    Attributes:
        warning: see :attr:`Answer.warning`; it is the same for every question about the image.

    Source:
        The places are those of Perez et al., "FiLM", AAAI 2018, figure 4.
    """

    def __init__(self, reasoner: FiLMReasoner, picture: Image.Image, extractor: Extractor | None = None) -> None:
        self.reasoner = reasoner
        self.picture = upright(picture, "the image")
        self._device = next(reasoner.parameters()).device
        self.warning = reasoner.familiarity.warning(self.picture) if reasoner.familiarity else ""
        self._maps = self._see(extractor)

    @property
    def view(self) -> tuple[float, float, float, float]:
        """What the model sees, as left, right, bottom and top in pixels of the picture.

        A model that reads pixels keeps the proportions: it may see less than the picture above and below, or more,
        where the first and last row are repeated.
        """
        config, picture = self.reasoner.config, self.picture
        if config.inputs == "features":
            return 0, picture.width, picture.height, 0
        height = config.height * picture.width / config.width
        top = (picture.height - height) / 2
        return 0, picture.width, top + height, top

    @torch.no_grad()
    def ask(self, text: str) -> Answer:
        """Answer a question.

        Raises:
            QuestionError: it is empty, far too long, or in words that the model does not know.
        """
        reasoner = self.reasoner
        tree = build_prefix_tree([read_question(text, reasoner.vocabulary)])
        codes = reasoner.questions(to_device(tree, self._device))
        only = torch.zeros(1, dtype=torch.int64, device=self._device)
        last = reasoner.reason(self._maps, only, reasoner.modulations(codes), codes)
        responses, positions = reasoner.classifier.pool(last)
        probabilities = reasoner.classifier.judge(last, responses)[0].softmax(0).tolist()
        ranking = sorted(zip(ANSWER_WORDS, probabilities, strict=True), key=lambda entry: -entry[1])
        unknown = reasoner.vocabulary.unknown_words(text)
        places = self._count(responses[0], positions[0])
        return Answer(text, tuple(ranking), places, tuple(unknown), self.warning)

    def _count(self, responses: Tensor, positions: Tensor) -> NDArray[np.int64]:
        cells, (height, width) = self.reasoner.cells(self._maps), self.reasoner.config.grid
        winners = (positions if cells is None else cells[0][positions])[responses > 0].cpu().numpy()
        return np.bincount(winners, minlength=height * width).reshape(height, width).astype(np.int64)

    @torch.no_grad()
    def _see(self, extractor: Extractor | None) -> Tensor:
        config = self.reasoner.config
        if config.inputs == "pixels":
            if extractor is not None:
                raise ConfigError("the model reads pixels and uses no extractor; leave it out")
            pixels = torch.from_numpy(fit_picture(self.picture, config.width, config.height))
            return self.reasoner.see(pixels[None].to(self._device))
        if extractor is None:
            raise ConfigError("the model reads features; give the extractor that they are made by")
        expected = (config.input_maps, config.height, config.width)
        if extractor.shape != expected:
            raise ConfigError(
                f"the model reads features of shape {expected}, the extractor ({extractor.config.layer} of "
                f"{extractor.config.backbone} at {extractor.config.size} pixels) gives {extractor.shape}"
            )
        pixels = torch.from_numpy(to_pixels(self.picture, extractor.config.size).copy())
        return self.reasoner.see(extractor(pixels[None].to(extractor.mean.device)).to(self._device))


def open_picture(path: Path) -> Image.Image:
    """A picture from a file, upright, in RGB; see :mod:`fewshot_film.images` for what is read, and how.

    Raises:
        DataNotFoundError: there is no such file.
        DataError: it is no picture, or not a whole one.
    """
    if not path.is_file():
        raise DataNotFoundError(f"no picture {path}; expected a picture file, such as one of `clevr-film generate`")
    try:
        return upright(read_image(path), str(path))
    except ImageError as error:
        raise DataError(str(path), "", f"not a picture that can be read (it {error.reason})") from None
