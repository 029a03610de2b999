"""The hop reasoner: a question is read as hops, and each hop passes through the same blocks with its own FiLM."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clevr.config.model import ReasonerConfig
from clevr.questions.actions import Hop, hops_of, in_words, num_actions
from clevr.questions.batch import PrefixTree
from clevr.questions.tokens import END, NULL, START
from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.network import FiLMReasoner, Reasoner, restricted
from clevr.reasoning.question_reader import QuestionReader
from clevr.reasoning.trunk import places_of, spatial_relation_mask
from clevr.world.spec import CLEVR, WorldSpec
from fewshot_film.film import LinearGenerator, Modulation, Modulations, Site, Sites


@dataclass(frozen=True)
class Hops:
    """The ``N`` hops of ``B`` questions, those that read nothing first, then those that read these, and so on.

    The last ``B`` are the hops that answer, in the order of the questions.
    """

    question: Tensor
    """Which question each belongs to, ``(N,)``."""
    place: Tensor
    """Its place among the hops of its question, ``(N,)``."""
    actions: Tensor
    """What it does, ``(N, A)``: numbers of actions, zeros behind."""
    reads: Tensor
    """Whose sets it reads, ``(N, 2)``: one more than their places here; 0: none."""
    level_sizes: tuple[int, ...]
    """How many there are of each kind."""
    told: tuple[tuple[Hop, ...], ...]
    """The hops of each question."""

    def __len__(self) -> int:
        """How many questions there are."""
        return len(self.told)

    def to(self, device: torch.device) -> Hops:
        """The same on a device."""
        parts = {name: getattr(self, name).to(device) for name in ("question", "place", "actions", "reads")}
        return dataclasses.replace(self, **parts)


def batch_hops(questions: Sequence[tuple[Hop, ...]]) -> Hops:
    """Hops of many questions in the order in which they can be followed together.

    Args:
        questions: the hops of each, as :func:`clevr.questions.actions.hops_of` gives them.
    """
    levels = list[list[tuple[int, int]]]()
    for question, hops in enumerate(questions):
        level_of = list[int]()
        for place, hop in enumerate(hops[:-1]):
            level_of.append(1 + max((level_of[read] for read in hop.reads), default=-1))
            while len(levels) <= level_of[-1]:
                levels.append([])
            levels[level_of[-1]].append((question, place))
    levels.append([(question, len(hops) - 1) for question, hops in enumerate(questions)])
    order = [key for level in levels for key in level]
    row = {key: number for number, key in enumerate(order, 1)}
    ordered = [questions[question][place] for question, place in order]
    most = max(len(hop.actions) for hop in ordered)
    reads = [[row[question, read] for read in hop.reads] for (question, _), hop in zip(order, ordered, strict=True)]
    keys = torch.tensor(order)
    return Hops(
        keys[:, 0],
        keys[:, 1],
        torch.tensor([[*hop.actions, *[0] * (most - len(hop.actions))] for hop in ordered]),
        torch.tensor([[*some, *[0] * (2 - len(some))] for some in reads]),
        tuple(map(len, levels)),
        tuple(questions),
    )


class HopReasoner(Reasoner):
    """Answers a question hop by hop.

    Every hop makes a set of objects out of no, one or two others, and the last one the answer. All pass through the
    same blocks, whose feature maps a hop's actions scale and shift; beside what is seen, the blocks get the sets that
    the hop reads, each as the probability that an object belongs to it, and nothing else of what came before. So what
    a hop does cannot depend on where in a question it stands.

    Args:
        config: the network's settings, with ``hop_by_hop``.
        world: see :class:`Reasoner`.

    Source:
        FiLM is that of Perez et al., AAAI 2018. One network for all steps of a program, told apart by vectors, is the
        vector module of Bahdanau et al., "CLOSURE", 2019, https://arxiv.org/abs/1912.05783, section 3.
    """

    def __init__(self, config: ReasonerConfig, world: WorldSpec = CLEVR) -> None:
        super().__init__(config, world)
        vocabulary, actions = self.vocabulary, num_actions(world)
        marks = [vocabulary.number(token) for token in (NULL, START, END)]
        self.questions = QuestionReader(
            len(vocabulary), actions, vocabulary.number(";"), marks, config.word_dim, config.hidden_dim
        )
        self.actions = nn.EmbeddingBag(1 + actions, config.hidden_dim, mode="sum", padding_idx=0)
        self.sites = Sites(Site(f"blocks.{index}", config.maps) for index in range(config.num_film_blocks))
        self.generator = LinearGenerator(config.hidden_dim, self.sites, init=config.generator_init)
        self._build_vision()
        self.read_sets = nn.Linear(2, config.maps, bias=False)
        self.member = nn.Linear(config.maps, 1)
        self._reset_weights()

    def read(self, tree: PrefixTree) -> Hops:
        """What questions do, as their words tell it."""
        return self.hops(self.questions.read(tree))

    def hops(self, sequences: Iterable[Sequence[int]]) -> Hops:
        """What sequences of actions do."""
        return batch_hops([hops_of(actions) for actions in sequences]).to(self.member.weight.device)

    def joined(self, parts: Sequence[Hops]) -> Hops:
        """See :meth:`Reasoner.joined`."""
        return batch_hops([hops for part in parts for hops in part.told]).to(self.member.weight.device)

    def in_words(self, codes: Hops) -> list[tuple[str, ...]]:
        """See :meth:`Reasoner.in_words`."""
        return [in_words(hops, self.world) for hops in codes.told]

    def outlines(self, codes: Hops) -> list[Hashable]:
        """See :meth:`Reasoner.outlines`: which hop reads which."""
        return [tuple(hop.reads for hop in hops) for hops in codes.told]

    def owners(self, codes: Hops) -> Tensor:
        """See :meth:`Reasoner.owners`."""
        return codes.question.cpu()

    def modulations(self, codes: Hops) -> Modulations:
        """The gamma and beta of every block for hops, ``(N, C)`` each."""
        return self._modulations_of(codes.actions)

    def _modulations_of(self, actions: Tensor) -> Modulations:
        generated = self.generator(self.actions(actions))
        return {name: restricted(values, self.config) for name, values in generated.items()}

    def reason(self, maps: Tensor, image: Tensor, modulations: Modulations, codes: Hops) -> Tensor:
        """Maps of the hops that answer, after the last block, ``(Q, C, 1, K)``; see :meth:`follow`."""
        return self.follow(maps, image, modulations, codes)[1]

    def follow(self, maps: Tensor, image: Tensor, modulations: Modulations, hops: Hops) -> tuple[Tensor, Tensor]:
        """Follow questions hop by hop.

        Args:
            maps: what :meth:`encode_image` gives for the images, ``(P, C + 5, 1, K)``.
            image: which image each question is about, ``(Q,)``.
            modulations: gamma and beta of the blocks, ``(N, C)`` each.
            hops: of the questions.

        Returns:
            Log-odds that each position belongs to the set that a hop arrives at, ``(N - Q, K)``, and the maps of the
            hops that answer, ``(Q, C, 1, K)``.
        """
        assert self.input_projection is not None
        seen = self.input_projection(maps).squeeze(2).transpose(1, 2).contiguous()
        places = places_of(maps)
        mask = spatial_relation_mask(maps)
        where = image.index_select(0, hops.question)
        sets, odds = [seen.new_zeros(1, seen.shape[1])], list[Tensor]()
        first, last = 0, seen
        for size in hops.level_sizes:
            rows = slice(first, first + size)
            read = torch.cat(sets).index_select(0, hops.reads[rows].flatten()).view(size, 2, -1)
            x = seen.index_select(0, where[rows]) + self.read_sets(read.transpose(1, 2))
            here = {name: Modulation(gamma[rows], beta[rows]) for name, (gamma, beta) in modulations.items()}
            x = self._pass(x.transpose(1, 2).unsqueeze(2), here, places[where[rows]], mask[where[rows]])
            odds.append(self._odds(x))
            sets.append(torch.sigmoid(odds[-1]).to(seen.dtype))
            first, last = first + size, x
        return torch.cat(odds[:-1]), last

    def fitting(self, maps: Tensor, image: Tensor, actions: Tensor) -> Tensor:
        """What fits descriptions, as a hop finds it that reads no other.

        Args:
            maps: what :meth:`encode_image` gives for the images, ``(P, C + 5, 1, K)``.
            image: which image each description is about, ``(N,)``.
            actions: what each hop does, ``(N, A)``: numbers of actions, zeros behind.

        Returns:
            Log-odds that each position fits, ``(N, K)``.
        """
        assert self.input_projection is not None
        seen = self.input_projection(maps).index_select(0, image)
        x = self._pass(seen, self._modulations_of(actions), places_of(maps)[image], spatial_relation_mask(maps)[image])
        return self._odds(x)

    def _odds(self, x: Tensor) -> Tensor:
        """Log-odds that each position belongs to a hop's set, ``(N, K)``, from maps ``(N, C, 1, K)``."""
        odds: Tensor = self.member(x.squeeze(2).transpose(1, 2)).squeeze(2)
        return odds

    def _pass(self, x: Tensor, modulations: Modulations, places: Tensor, mask: Tensor) -> Tensor:
        for index, block in enumerate(self.blocks):
            assert isinstance(block, ReasoningBlock)
            modulation = modulations.get(f"blocks.{index}")
            kept, second = block.convolve(x, modulation, None, places, mask)
            x = block.modulate(kept, second, modulation)
        return x


def build_reasoner(config: ReasonerConfig, world: WorldSpec = CLEVR) -> Reasoner:
    """The network of some settings for a world, with random weights."""
    return HopReasoner(config, world) if config.hop_by_hop else FiLMReasoner(config, world)
