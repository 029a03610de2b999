from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clevr.config.model import ReasonerConfig, TrainConfig
from clevr.data.supervision import GROUND
from clevr.questions.actions import FIRST_FILTER, NUMBERS, Hop, hops_of
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.hop_reasoner import HopReasoner, batch_hops, build_reasoner
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.membership import held_objects, membership_loss
from clevr.reasoning.network import FiLMReasoner
from clevr.reasoning.objectives import ReasonerTraining
from clevr.reasoning.trunk import places_of, spatial_relation_mask
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation
from tests.clevr.models import HOPS, SMALL


def numbers(words: str) -> list[int]:
    known = {**NUMBERS, "red": FIRST_FILTER + 3, "blue": FIRST_FILTER + 4}
    return [known[word] for word in words.split()]


QUESTIONS = [
    hops_of(numbers(words))
    for words in (
        "scene red left count",
        "scene exist",
        "scene red left intersect scene blue behind same_size scene equal_color",
        "scene blue scene red union same_color red query_size",
    )
]


def a_network(seed: int = 0, **changes: object) -> HopReasoner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HopReasoner(dataclasses.replace(HOPS, **changes)).double().eval()  # type: ignore[arg-type]


def some_maps(count: int, network: HopReasoner, seed: int = 0) -> Tensor:
    """What images might look like to the blocks: maps, scores, places and coordinates of six positions."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(count, network.config.maps + 5, 1, 6, generator=draws).double()


class TestBatch:
    def test_those_that_read_nothing_come_first_and_answers_last(self) -> None:
        hops = batch_hops([QUESTIONS[0], QUESTIONS[1]])
        assert hops.level_sizes == (2, 1, 2)
        assert hops.question.tolist() == [0, 1, 0, 0, 1]
        assert hops.place.tolist() == [0, 0, 1, 2, 1]
        assert hops.reads.tolist() == [[0, 0], [0, 0], [1, 0], [3, 0], [2, 0]]
        red, left = FIRST_FILTER + 3, NUMBERS["left"]
        assert hops.actions.tolist() == [[1, red], [1, 0], [left, 0], [NUMBERS["count"], 0], [NUMBERS["exist"], 0]]
        assert len(hops) == 2

    def test_a_question_that_only_asks(self) -> None:
        hops = batch_hops([(Hop((NUMBERS["count"],), ()),)])
        assert (hops.level_sizes, hops.reads.tolist()) == ((1,), [[0, 0]])


def one_by_one(
    network: HopReasoner, maps: Tensor, image: int, question: tuple[Hop, ...]
) -> tuple[list[Tensor], Tensor]:
    """Log-odds of every hop of one question, and its answer's maps, hop after hop."""
    seen = network.input_projection(maps[image : image + 1])
    mask, places = spatial_relation_mask(maps[image : image + 1]), places_of(maps[image : image + 1])
    odds = list[Tensor]()
    for hop in question:
        code = sum((network.actions.weight[number] for number in hop.actions), torch.zeros(()))
        raw = network.generator(code[None])
        sets = [odds[place].sigmoid() for place in hop.reads] + [torch.zeros(6).double()] * (2 - len(hop.reads))
        weight = network.read_sets.weight
        x = seen + (sets[0][:, None] * weight[:, 0] + sets[1][:, None] * weight[:, 1]).T[None, :, None]
        for index, block in enumerate(network.blocks):
            assert isinstance(block, ReasoningBlock)
            gamma, beta = raw[f"blocks.{index}"]
            first, second = block.convolve(x, None, None, places, mask)
            x = first + torch.relu(gamma[:, :, None, None] * second + beta[:, :, None, None])
        odds.append(network.member(x[0, :, 0].T)[:, 0])
    return odds[:-1], x


def test_hops_are_followed_as_one_by_one() -> None:
    network = a_network()
    maps, image, hops = some_maps(2, network), torch.tensor([0, 1, 1, 0]), batch_hops(QUESTIONS)
    with torch.no_grad():
        odds, last = network.follow(maps, image, network.modulations(hops), hops)
        for question, told in enumerate(QUESTIONS):
            wanted, answer = one_by_one(network, maps, int(image[question]), told)
            torch.testing.assert_close(last[question], answer[0])
            for place, each in enumerate(wanted):
                row = ((hops.question == question) & (hops.place == place)).nonzero().item()
                torch.testing.assert_close(odds[int(row)], each)


def test_a_hop_does_the_same_wherever_it_stands() -> None:
    """What follows from a set depends on the set alone, not on how the question came to it."""
    network = a_network()
    maps, image = some_maps(1, network), torch.tensor([0])
    with torch.no_grad():
        network.member.weight.zero_()
        network.member.bias.fill_(50)  # every hop arrives at all positions
        last = []
        for words in ("scene red count", "scene blue left same_size count"):
            hops = batch_hops([hops_of(numbers(words))])
            last.append(network.reason(maps, image, network.modulations(hops), hops))
    torch.testing.assert_close(last[0], last[1])


def test_gradients_reach_every_part() -> None:
    network = a_network().train()
    maps, image, hops = some_maps(2, network), torch.tensor([0, 1, 1, 0]), batch_hops(QUESTIONS)
    network.classifier(network.reason(maps, image, network.modulations(hops), hops)).square().sum().backward()
    for name, parameter in network.named_parameters():
        if name.startswith(("actions", "generator", "read_sets", "member", "blocks", "input_projection")):
            assert parameter.grad is not None, name
            assert bool(parameter.grad.abs().sum() > 0), name


def test_restricted_gamma() -> None:
    network, hops = a_network(gamma="one"), batch_hops(QUESTIONS)
    assert all(bool((gamma == 1).all()) for gamma, _ in network.modulations(hops).values())


def a_scene(*places: tuple[float, float]) -> Tensor:
    scene = torch.full((10, 8), -1.0)
    for row, place in zip(scene, places, strict=False):
        row[2:6] = 0
        row[GROUND] = torch.tensor(place)
    return scene


class TestMembership:
    def test_a_position_holds_the_object_that_stands_there(self) -> None:
        maps = torch.zeros(1, 8 + 5, 1, 4)
        maps[0, -5, 0] = torch.tensor([1.0, 1, -1, 1])  # the third holds nothing
        maps[0, -4:-2, 0] = torch.tensor([[0.0, 2.0, 5.0, 9.0], [0.0, 0.1, 5.0, 9.0]])
        held = held_objects(maps, a_scene((2.0, 0.0), (5.0, 5.0), (0.2, 0.3), (7.0, 7.0))[None])
        assert held.shape == (1, 10, 4)
        assert held[0].nonzero().tolist() == [[0, 1], [2, 0]]

    def test_the_loss(self) -> None:
        hops = batch_hops([hops_of(numbers("scene red count")), hops_of(numbers("scene exist"))])
        maps = torch.zeros(1, 8 + 5, 1, 2)
        maps[0, -5, 0], maps[0, -4, 0] = 1, torch.tensor([0.0, 3.0])
        sequences, members = torch.zeros(2, 1, 4, dtype=torch.int8), torch.zeros(2, 8, 10, dtype=torch.int8)
        sequences[0, 0, 0], members[0, 0, 1] = 1, 1  # the second object; of the other question nothing is known
        batch = QuestionBatch(
            maps,
            torch.tensor([0, 0]),
            build_prefix_tree([[1], [1]]),
            scenes=a_scene((0.0, 0.0), (3.0, 0.0))[None],
            sequences=sequences,
            members=members,
        )
        odds = torch.tensor([[2.0, 1.0], [7.0, 7.0]])
        wanted = torch.log1p(torch.tensor(2.0).exp()) + torch.log1p(torch.tensor(-1.0).exp())
        torch.testing.assert_close(membership_loss(odds, hops, maps, batch), wanted)


def a_lesson(network: HopReasoner) -> QuestionBatch:
    """Four questions about two images, with programs and where they lead."""
    maps = some_maps(2, network).float()
    maps[:, -5] = torch.where(torch.arange(6) < 4, 5.0, -5.0)
    maps[:, -4:-2, 0] = 3 * torch.arange(6).float()
    scenes = a_scene(*((3.0 * place, 3.0 * place) for place in range(4))).expand(2, -1, -1)
    words = ("scene red left count", "scene exist", "scene red scene blue union count", "scene blue same_size exist")
    sequences, members = torch.zeros(4, 1, 8, dtype=torch.int8), torch.zeros(4, 8, 10, dtype=torch.int8)
    for row, told in zip(sequences, words, strict=True):
        row[0, : len(numbers(told))] = torch.tensor(numbers(told))
    members[:, :3, :4] = torch.randint(2, (4, 3, 4), generator=torch.Generator().manual_seed(1), dtype=torch.int8)
    tokens = [[20 + place, 30 + place, 40 + place] for place in range(4)]
    answers = torch.tensor([0, 27, 4, 18])
    return QuestionBatch(
        maps, torch.tensor([0, 1, 1, 0]), build_prefix_tree(tokens), answers, scenes, None, None, sequences, members
    )


def test_it_learns_questions_by_heart() -> None:
    network = a_network().float()
    batch = a_lesson(network)
    module = ReasonerTraining(network, trace_weight=1.0, program_weight=1.0, precomputed=True).train()
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 1e-2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(150):
            optimizer.zero_grad()
            report = module(batch)
            report["loss"].backward()
            optimizer.step()
    assert set(report) == {"loss", "accuracy", "answer_loss", "trace_loss", "program_loss"}
    assert report["accuracy"] == 1
    assert report["trace_loss"] < 0.5


def test_where_a_program_is_missing_the_own_reading_is_followed() -> None:
    network = a_network().float()
    batch = a_lesson(network)
    assert batch.sequences is not None
    batch.sequences[1] = 0
    module = ReasonerTraining(network, trace_weight=1.0, program_weight=1.0, precomputed=True).train()
    report = module(batch)
    report["loss"].backward()
    assert bool(report["loss"].isfinite())
    without = module(dataclasses.replace(batch, sequences=None, members=None))
    assert set(without) == {"loss", "accuracy", "answer_loss"}


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    network = a_network().float()
    config = TrainConfig(out=tmp_path, model=HOPS, program_weight=1.0)
    loaded = load(save_reasoner(tmp_path / "model", network, {}, config))
    assert isinstance(loaded, HopReasoner)
    images = torch.randint(256, (1, 3, 24, 32), dtype=torch.uint8)
    batch = QuestionBatch(images, torch.tensor([0, 0]), build_prefix_tree([[5, 6], [7]]))
    with torch.no_grad():
        assert torch.equal(loaded(batch), network(batch))


def test_readings_are_joined() -> None:
    network = a_network()
    trees = [build_prefix_tree([[5, 6], [7]]), build_prefix_tree([[8, 9, 10]])]
    joined = network.joined([network.read(tree) for tree in trees])
    whole = network.read(build_prefix_tree([[5, 6], [7], [8, 9, 10]]))
    assert joined.told == whole.told
    assert torch.equal(joined.reads, whole.reads)
    assert torch.equal(network.owners(joined), joined.question)


def test_the_settings_choose_the_network() -> None:
    assert isinstance(build_reasoner(HOPS), HopReasoner)
    assert isinstance(build_reasoner(SMALL), FiLMReasoner)


class TestSettings:
    def test_no_positions(self) -> None:
        with pytest.raises(ConfigError, match=r"hop_by_hop passes sets of objects .* model.positions is 0"):
            ReasonerConfig(hop_by_hop=True)

    def test_batch_norm(self) -> None:
        with pytest.raises(ConfigError, match=r"needs batch_norm: false, .* they are true and film"):
            dataclasses.replace(HOPS, batch_norm=True)

    def test_no_film(self) -> None:
        with pytest.raises(ConfigError, match=r"hop_by_hop tells hops apart by FiLM, and model.film_blocks is 0"):
            dataclasses.replace(HOPS, film_blocks=0)

    def test_nothing_that_teaches_it_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"program_weight is 0, so that it would never learn"):
            TrainConfig(out=tmp_path, model=HOPS)


def test_modulations_can_be_changed() -> None:
    network, hops = a_network(), batch_hops(QUESTIONS)
    maps, image = some_maps(2, network), torch.tensor([0, 1, 1, 0])
    values = network.modulations(hops)
    off = {name: Modulation(torch.zeros_like(gamma), torch.zeros_like(beta)) for name, (gamma, beta) in values.items()}
    with torch.no_grad():
        assert not torch.allclose(network.reason(maps, image, values, hops), network.reason(maps, image, off, hops))
