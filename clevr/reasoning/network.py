"""The reasoning network: a question, read by a GRU, modulates the maps of an image until they hold the answer."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clevr.config.model import ReasonerConfig
from clevr.questions.batch import PrefixTree, QuestionBatch
from clevr.questions.tokens import Vocabulary, answers_of, vocabulary_of
from clevr.reasoning.answer_classifier import AnswerClassifier
from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.familiarity import Familiarity
from clevr.reasoning.question_encoder import QuestionEncoder
from clevr.reasoning.trunk import ObjectPositions, build_trunk, cells_of, places_of, spatial_relation_mask
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.errors import InvalidValueError
from fewshot_film.film import Generator, LinearGenerator, Modulation, Modulations, Site, Sites
from fewshot_film.run.seeding import generator


class Reasoner(nn.Module, ABC):
    """What reasoners have in common: an image to maps, maps and modulations to an answer.

    Args:
        config: the network's settings.
        world: what its scenes are of: the words of the questions, unless the settings say which, and the answers.

    Attributes:
        world: as given.
        answers: the answers, in the order of the logits.
        vocabulary: its question tokens.
        sites: where FiLM sits, ``blocks.0`` and so on.
        familiarity: what its training images look like; None where that is not known.
    """

    sites: Sites

    def __init__(self, config: ReasonerConfig, world: WorldSpec = CLEVR) -> None:
        super().__init__()
        self.world, self.answers = world, answers_of(world)
        self.vocabulary = Vocabulary(config.vocabulary or vocabulary_of(world))
        self.config = dataclasses.replace(config, vocabulary=self.vocabulary.tokens)
        self.familiarity: Familiarity | None = None

    @abstractmethod
    def read(self, tree: PrefixTree) -> Any:
        """What questions lead to, as :meth:`modulations` and :meth:`reason` take it: their codes, or their hops."""

    @abstractmethod
    def joined(self, parts: Sequence[Any]) -> Any:
        """What several calls of :meth:`read` gave, as if it were one."""

    def in_words(self, codes: Any) -> list[tuple[str, ...]]:
        """How each question was read, step by step; nothing, where a model reads it as a whole."""
        return [()] * len(codes)

    def outlines(self, codes: Any) -> list[Hashable]:
        """What two questions must have in common for sums of their rows of gamma and beta to make sense."""
        return [None] * len(codes)

    def owners(self, codes: Any) -> Tensor:
        """Which question each row of :meth:`modulations` is of, ``(N,)``."""
        return torch.arange(len(codes))

    @abstractmethod
    def modulations(self, codes: Any) -> Modulations:
        """The gamma and beta of every block for what :meth:`read` gives, ``(N, C)`` each."""

    @abstractmethod
    def reason(self, maps: Tensor, image: Tensor, modulations: Modulations, codes: Any) -> Tensor:
        """Maps after the last block, ``(Q, C, H, W)``.

        Args:
            maps: what :meth:`encode_image` gives for the images.
            image: which image each question is about, ``(Q,)``.
            modulations: from :meth:`modulations`, or changed.
            codes: what :meth:`read` gives for the questions.
        """

    def forward(self, batch: QuestionBatch) -> Tensor:
        """Logits of the answers, ``(Q, 28)``."""
        return self.answer(self.encode_image(batch.images), batch.image, self.read(batch.tree))

    def answer(self, maps: Tensor, image: Tensor, codes: Any) -> Tensor:
        """Logits ``(Q, 28)`` from the trunk's maps; see :meth:`reason`."""
        logits: Tensor = self.classifier(self.reason(maps, image, self.modulations(codes), codes))
        return logits

    def trunk_features(self, images: Tensor) -> Tensor:
        """The trunk's maps ``(P, C, H, W)`` of images, at all positions."""
        maps: Tensor = self.trunk(images).contiguous(memory_format=torch.channels_last)
        return maps

    def encode_image(self, images: Tensor) -> Tensor:
        """What the blocks get of images; no question has acted on it.

        Returns:
            The trunk's maps ``(P, C, H, W)``; of a model that keeps some positions, ``(P, C + 5, 1, K)``: see
            :class:`clevr.reasoning.trunk.ObjectPositions`.
        """
        maps = self.trunk_features(images)
        return maps if self.objects is None else self.objects(maps)

    def cells(self, maps: Tensor) -> Tensor | None:
        """Which positions of the trunk's maps the blocks visit.

        Args:
            maps: what :meth:`encode_image` gives for images.

        Returns:
            ``row * columns + column`` of each, ``(P, K)``; None for a model that visits all.
        """
        return None if self.objects is None else cells_of(maps, self.config.grid)

    def _build_vision(self) -> None:
        """What looks at an image, the blocks and the classifier; they follow what reads the question."""
        config = self.config
        self.trunk = build_trunk(config)
        self.objects = (
            ObjectPositions(config.maps, config.positions, merge=config.merge_positions) if config.positions else None
        )
        self.input_projection = _input_projection(config) if config.positions else None
        self.blocks = nn.ModuleList(
            ReasoningBlock(config, index < config.num_film_blocks) for index in range(config.blocks)
        )
        self.classifier = AnswerClassifier(config, len(self.answers))

    def _reset_weights(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and not name.startswith("generator"):
                nn.init.kaiming_uniform_(module.weight)


class FiLMReasoner(Reasoner):
    """FiLM's model for CLEVR.

    Args:
        config: the network's settings; the defaults are the paper's model from pixels.
        world: see :class:`Reasoner`.

    Source:
        Perez et al., "FiLM", AAAI 2018, https://arxiv.org/abs/1709.07871
    """

    def __init__(self, config: ReasonerConfig, world: WorldSpec = CLEVR) -> None:
        super().__init__(config, world)
        self.sites = Sites(Site(f"blocks.{index}", config.maps) for index in range(config.num_film_blocks))
        self.questions = QuestionEncoder(
            len(self.vocabulary),
            config.word_dim,
            config.hidden_dim,
            averaged=config.question_code != "last",
            heads=config.question_heads if config.question_code == "attention" else 0,
        )
        self.generator = _generator(config, self.sites)
        self.concat_projection = (
            nn.Linear(config.hidden_dim, config.maps * config.blocks, bias=False)
            if config.conditioning == "concatenation"
            else None
        )
        self._build_vision()
        self._reset_weights()

    def read(self, tree: PrefixTree) -> Tensor:
        """Codes of questions, ``(Q, hidden_dim)``."""
        codes: Tensor = self.questions(tree)
        return codes

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """See :meth:`Reasoner.joined`."""
        return torch.cat(list(parts))

    def modulations(self, codes: Tensor) -> Modulations:
        """The gamma and beta of every block for the codes of questions ``(Q, hidden_dim)``."""
        if self.generator is None:
            return {}
        generated = self.generator(codes)
        return {name: restricted(values, self.config) for name, values in generated.items()}

    def reason(self, maps: Tensor, image: Tensor, modulations: Modulations, codes: Tensor | None = None) -> Tensor:
        """See :meth:`Reasoner.reason`; the codes are needed only by the concatenation baseline."""
        return self.steps(maps, image, modulations, codes)[-1]

    def steps(self, maps: Tensor, image: Tensor, modulations: Modulations, codes: Tensor | None = None) -> list[Tensor]:
        """Maps after every block, ``(Q, C, H, W)`` each.

        What comes before the question's first influence is computed once for each image.

        Args:
            maps: what :meth:`encode_image` gives for the images, ``(P, C, H, W)``.
            image: which image each question is about, ``(Q,)``.
            modulations: gamma and beta of the blocks, ``(Q, C)`` each.
            codes: codes of the questions; needed only by the concatenation baseline.
        """
        shifts = self._concat_shifts(codes)
        x, places = (maps, None) if self.input_projection is None else (self.input_projection(maps), places_of(maps))
        mask = spatial_relation_mask(maps) if self.config.relations else None
        is_shared, steps = True, list[Tensor]()
        for index, module in enumerate(self.blocks):
            assert isinstance(module, ReasoningBlock)
            modulation = modulations.get(f"blocks.{index}")
            if is_shared and (module.sees_question_first or shifts is not None):
                x, places, mask = (_take(part, image) for part in (x, places, mask))
                is_shared = False
            first, second = module.convolve(x, modulation, None if shifts is None else shifts[index], places, mask)
            if is_shared:
                first, second, places, mask = (_take(part, image) for part in (first, second, places, mask))
                is_shared = False
            x = module.modulate(first, second, modulation)
            steps.append(x)
        return steps

    def _concat_shifts(self, codes: Tensor | None) -> tuple[Tensor, ...] | None:
        """What the joined code adds in every block: a constant map under a 1x1 convolution is a shift of its result."""
        if self.concat_projection is None:
            return None
        if codes is None:
            raise InvalidValueError("the concatenation baseline reads the codes of the questions; pass codes")
        return tuple(self.concat_projection(codes).split(self.config.maps, dim=1))


def _take(maps: Tensor | None, image: Tensor) -> Any:
    """Maps ``(P, C, H, W)`` repeated for every question ``(Q, C, H, W)``, in channels-last layout; None stays None."""
    return None if maps is None else maps.permute(0, 2, 3, 1).index_select(0, image).permute(0, 3, 1, 2)


def _generator(config: ReasonerConfig, sites: Sites) -> Generator | None:
    return LinearGenerator(config.hidden_dim, sites, init=config.generator_init) if sites else None


def _input_projection(config: ReasonerConfig) -> nn.Sequential:
    """Brings maps, score and coordinates of kept positions to one scale, and mixes them."""
    return nn.Sequential(
        nn.BatchNorm2d(config.maps + 5), nn.Conv2d(config.maps + 5, config.maps, 1), nn.ReLU(inplace=True)
    )


_GAMMA: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda gamma: gamma,
    "sigmoid": lambda gamma: torch.sigmoid(gamma - 1),
    "tanh": lambda gamma: torch.tanh(gamma - 1),
    "exp": lambda gamma: torch.exp(gamma - 1),
    "one": torch.ones_like,
}


def restricted(values: Modulation, config: ReasonerConfig) -> Modulation:
    """Values as the ablations of the paper's table 2 restrict them."""
    gamma, beta = values
    return Modulation(_GAMMA[config.gamma](gamma), torch.zeros_like(beta) if config.beta == "zero" else beta)


NEW_WORD_STD = 0.01
"""Spread of the embeddings of new words, as in the authors' code for CLEVR-Humans."""


def extend_vocabulary(reasoner: Reasoner, words: Iterable[str], seed: int = 0) -> Reasoner:
    """A copy of a model with embeddings for further words; it answers old questions as before.

    Args:
        reasoner: stays as it is.
        words: those that the model knows already are left out.
        seed: of the new embeddings.
    Returns:
        The model, in the mode and on the device of the old one.
    Source:
        Perez et al., "FiLM", AAAI 2018, section 4.4: fine-tuning on CLEVR-Humans.
    """
    vocabulary = reasoner.vocabulary.extended(words)
    config = dataclasses.replace(reasoner.config, vocabulary=vocabulary.tokens)
    extended = type(reasoner)(config, reasoner.world)
    weights = dict(reasoner.state_dict())
    old = weights["questions.words.weight"]
    new = torch.randn(len(vocabulary) - len(old), old.shape[1], generator=generator(seed, "new words"))
    weights["questions.words.weight"] = torch.cat([old, NEW_WORD_STD * new.to(old)])
    extended.load_state_dict(weights)
    return extended.to(old.device).train(reasoner.training)
