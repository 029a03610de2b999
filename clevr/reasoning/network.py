"""The reasoning network: a question, read by a GRU, modulates the maps of a picture until they hold the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clevr.config import ReasonerConfig
from clevr.questions.tokens import ANSWER_WORDS, Vocabulary
from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.classifier import Classifier
from clevr.reasoning.prefixes import PrefixTree
from clevr.reasoning.questions import QuestionEncoder
from clevr.reasoning.trunk import build_trunk
from fewshot_film.film import Generator, LinearGenerator, Modulation, Modulations, Site, Sites


@dataclass(frozen=True)
class QuestionBatch:
    """Questions about pictures; each picture is there once."""

    pictures: Tensor
    """Pictures ``(P, 3, H, W)``, uint8, or feature maps ``(P, C, H, W)``."""
    picture: Tensor
    """Which of the pictures each question is about, ``(Q,)``."""
    tree: PrefixTree
    """The questions."""
    answers: Tensor | None = None
    """Position of each answer in :data:`clevr.questions.tokens.ANSWER_WORDS`, ``(Q,)``."""
    scenes: Tensor | None = None
    """What lies where in each picture, ``(P, 10, 6)``: see :func:`clevr.reasoning.supervision.describe_scenes`."""
    referents: Tensor | None = None
    """Which objects each question is finally about, ``(Q, 2, 10)``: 1, 0, or -1 where that does not apply."""


class FiLMReasoner(nn.Module):
    """FiLM's model for CLEVR.

    Args:
        config: the network's settings; the defaults are the paper's model from pixels.

    Attributes:
        vocabulary: its question tokens.
        sites: where FiLM sits, ``blocks.0`` and so on.

    Source:
        Perez et al., "FiLM", AAAI 2018, https://arxiv.org/abs/1709.07871
    """

    def __init__(self, config: ReasonerConfig) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(config.vocabulary) if config.vocabulary else Vocabulary()
        self.config = dataclasses.replace(config, vocabulary=self.vocabulary.tokens)
        self.sites = Sites(Site(f"blocks.{index}", config.maps) for index in range(config.num_film_blocks))
        self.questions = QuestionEncoder(
            len(self.vocabulary), config.word_dim, config.hidden_dim, averaged=config.question_code == "mean"
        )
        self.generator = _generator(config, self.sites)
        self.joining = (
            nn.Linear(config.hidden_dim, config.maps * config.blocks, bias=False)
            if config.conditioning == "concatenation"
            else None
        )
        self.trunk = build_trunk(config)
        self.blocks = nn.ModuleList(
            ReasoningBlock(config, index < config.num_film_blocks, dilation)
            for index, dilation in enumerate(config.dilations or [1] * config.blocks)
        )
        self.classifier = Classifier(config, len(ANSWER_WORDS))
        self._reset_weights()

    def forward(self, batch: QuestionBatch) -> Tensor:
        """Logits of the answers, ``(Q, 28)``."""
        return self.answer(self.see(batch.pictures), batch.picture, self.questions(batch.tree))

    def see(self, pictures: Tensor) -> Tensor:
        """The trunk's maps ``(P, C, H, W)`` of pictures; no question has acted on them."""
        maps: Tensor = self.trunk(pictures).contiguous(memory_format=torch.channels_last)
        return maps

    def modulations(self, codes: Tensor) -> Modulations:
        """The gamma and beta of every block for the codes of questions ``(Q, hidden_dim)``."""
        if self.generator is None:
            return {}
        generated = self.generator(codes)
        return {name: _restricted(values, self.config) for name, values in generated.items()}

    def answer(self, maps: Tensor, picture: Tensor, codes: Tensor) -> Tensor:
        """Logits from the trunk's maps.

        Args:
            maps: the trunk's maps of the pictures, ``(P, C, H, W)``.
            picture: which picture each question is about, ``(Q,)``.
            codes: codes of the questions, ``(Q, hidden_dim)``.
        """
        logits: Tensor = self.classifier(self.reason(maps, picture, self.modulations(codes), codes))
        return logits

    def reason(self, maps: Tensor, picture: Tensor, modulations: Modulations, codes: Tensor | None = None) -> Tensor:
        """Maps after the last block, ``(Q, C, H, W)``.

        What comes before the question's first influence is computed once for each picture.

        Args:
            maps: the trunk's maps of the pictures, ``(P, C, H, W)``.
            picture: which picture each question is about, ``(Q,)``.
            modulations: gamma and beta of the blocks, ``(Q, C)`` each.
            codes: codes of the questions; needed only by the concatenation baseline.
        """
        joined = self._joined(codes)
        x, is_shared = maps, True
        for index, module in enumerate(self.blocks):
            assert isinstance(module, ReasoningBlock)
            modulation = modulations.get(f"blocks.{index}")
            if is_shared and (module.sees_question_first or joined is not None):
                x, is_shared = _take(x, picture), False
            first, second = module.convolve(x, modulation, None if joined is None else joined[index])
            if is_shared:
                first, second, is_shared = _take(first, picture), _take(second, picture), False
            x = module.modulate(first, second, modulation)
        return x

    def _joined(self, codes: Tensor | None) -> tuple[Tensor, ...] | None:
        """What the joined code adds in every block: a constant map under a 1x1 convolution is a shift of its result."""
        if self.joining is None:
            return None
        if codes is None:
            raise ValueError("the concatenation baseline reads the codes of the questions; pass codes")
        return tuple(self.joining(codes).split(self.config.maps, dim=1))

    def _reset_weights(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and not name.startswith("generator"):
                nn.init.kaiming_uniform_(module.weight)


def _take(maps: Tensor, picture: Tensor) -> Tensor:
    """Maps ``(P, C, H, W)`` repeated for every question ``(Q, C, H, W)``, in channels-last layout."""
    return maps.permute(0, 2, 3, 1).index_select(0, picture).permute(0, 3, 1, 2)


def _generator(config: ReasonerConfig, sites: Sites) -> Generator | None:
    return LinearGenerator(config.hidden_dim, sites, init=config.generator_init) if sites else None


_GAMMA: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda gamma: gamma,
    "sigmoid": lambda gamma: torch.sigmoid(gamma - 1),
    "tanh": lambda gamma: torch.tanh(gamma - 1),
    "exp": lambda gamma: torch.exp(gamma - 1),
    "one": torch.ones_like,
}


def _restricted(values: Modulation, config: ReasonerConfig) -> Modulation:
    """Values as the ablations of the paper's table 2 restrict them."""
    gamma, beta = values
    return Modulation(_GAMMA[config.gamma](gamma), torch.zeros_like(beta) if config.beta == "zero" else beta)
