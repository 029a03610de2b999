from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from clevr.data.supervision import GROUND, describe_scenes
from clevr.questions.batch import QuestionBatch
from clevr.reasoning.network import FiLMReasoner
from clevr.reasoning.trunk import (
    SAME_PLACE,
    ImageBlock,
    ObjectPositions,
    cells_of,
    merged_scores,
    on_grid,
    spatial_relation_mask,
)
from clevr.world.placement import Scenes
from fewshot_film.errors import ConfigError
from tests.clevr.models import SMALL, a_batch, a_fresh_reasoner

SPARSE = {"block_kernel": 1, "context": True, "pooling": "max_mean"}


def keeping(count: int) -> ObjectPositions:
    """Scores that are the first map."""
    objects = ObjectPositions(3, count).double()
    objects.score.weight.data = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).double()
    objects.score.bias.data = torch.tensor([0.5]).double()
    for layer in (objects.ground[0], objects.ground[2], objects.ground[4]):
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    objects.ground[0].weight.data[0, 1], objects.ground[0].bias.data[1:3] = 1, 1  # the second map, and coordinates
    objects.ground[0].weight.data[1, 3], objects.ground[0].weight.data[2, 4] = 1, 1
    objects.ground[2].weight.data[:3, :3] = torch.eye(3)[:, :, None, None]
    objects.ground[4].weight.data[0, [0, 2]], objects.ground[4].weight.data[1, 1] = 1, 2
    return objects


def test_the_positions_with_the_highest_scores_are_kept() -> None:
    maps = torch.zeros(1, 3, 2, 4).double()
    maps[0, 0, 1, 3], maps[0, 0, 0, 1] = 5, 4
    maps[0, 1] = torch.arange(8).view(2, 4)
    kept = keeping(2)(maps)
    assert kept.shape == (1, 8, 1, 2)
    found = kept[0, :, 0].T.tolist()
    assert found[0] == pytest.approx([5, 7, 0, 5.5, 7 + 2, 2 * 2, 1, 1]), "maps, score, place on the ground, position"
    assert found[1] == pytest.approx([4, 1, 0, 4.5, 1 + 0, 2 * (2 / 3), -1 / 3, -1])
    assert cells_of(kept, (2, 4)).tolist() == [[7, 1]]


def plain_merge(scores: Tensor, places: Tensor) -> Tensor:
    """Probabilities after merging, in loops; ``(H, W)`` of log-odds ``(H, W)`` and places ``(2, H, W)``."""
    height, width = scores.shape
    probability, merged = scores.sigmoid(), torch.zeros_like(scores)
    for row, column in itertools.product(range(height), range(width)):
        block = itertools.product(range(row - 1, row + 2), range(column - 1, column + 2))
        group = [
            (r, c)
            for r, c in block
            if 0 <= r < height and 0 <= c < width and math.dist(places[:, r, c], places[:, row, column]) < SAME_PLACE
        ]
        if max(group, key=lambda cell: probability[cell]) == (row, column):
            merged[row, column] = sum(probability[cell] for cell in group)
    return merged


def test_neighbours_with_one_object_count_once() -> None:
    """Two cells share a centre, 0.5 and 0.4; the third takes it to stand elsewhere; the last is no neighbour."""
    scores = torch.tensor([0.5, 0.4, 0.3, 0.2]).logit().double().view(1, 1, 1, 4)
    places = torch.tensor([[0.0, 0.1, 2.0, 0.0], [1.0, 1.1, 1.0, 1.0]]).double().view(1, 2, 1, 4)
    merged = merged_scores(scores, places).sigmoid().flatten()
    torch.testing.assert_close(merged, torch.tensor([0.9, 1e-6, 0.3, 0.2]).double(), rtol=1e-5, atol=0)


def test_of_equal_neighbours_the_first_has_the_object() -> None:
    scores, places = torch.full((1, 1, 2, 2), 0.2).logit().double(), torch.zeros(1, 2, 2, 2).double()
    merged = merged_scores(scores, places).sigmoid().flatten()
    torch.testing.assert_close(merged, torch.tensor([0.8, 1e-6, 1e-6, 1e-6]).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 6)])
def test_merging_in_loops(grid: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(1)
    scores = torch.randn(3, 1, *grid, generator=draw).double()
    places = 0.3 * torch.randn(3, 2, *grid, generator=draw).double()
    expected = torch.stack([plain_merge(s[0], p) for s, p in zip(scores, places, strict=True)])
    merged = merged_scores(scores, places)[:, 0].sigmoid()
    torch.testing.assert_close(merged, expected.clamp(1e-6, 1 - 1e-6), rtol=1e-5, atol=1e-9)


def test_of_an_object_at_a_border_one_position_is_kept() -> None:
    """Its two positions score highest; merged, the second place goes to the other object."""
    maps = torch.zeros(1, 3, 1, 4).double()
    maps[0, 0, 0] = torch.tensor([5.0, 4.0, -9.0, 1.0])
    objects = keeping(2)
    for parameter in objects.ground.parameters():
        parameter.data.zero_()  # all neighbours take their object to stand in the middle of the ground
    assert cells_of(objects(maps), (1, 4)).tolist() == [[0, 1]]
    objects.merge = True
    assert cells_of(objects(maps), (1, 4)).tolist() == [[0, 3]]


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (11, 16), (14, 14), (24, 32)])
def test_cells_survive_half_precision(grid: tuple[int, int]) -> None:
    maps = torch.rand(2, 3, *grid, generator=torch.Generator().manual_seed(0)).double()
    kept = keeping(10**6)(maps)
    cells = cells_of(kept.half(), grid)
    assert torch.equal(cells.sort().values, torch.arange(grid[0] * grid[1]).expand(2, -1))
    assert torch.equal(on_grid(kept[:, :3], cells, grid), maps)


def test_what_was_not_kept_is_zero_on_the_grid() -> None:
    found = on_grid(torch.tensor([[[[2.0, 3.0]]]]), torch.tensor([[3, 0]]), (2, 2))
    assert found.tolist() == [[[[3, 0], [0, 2]]]]


def test_sides_by_hand() -> None:
    """Three kept positions; the second is no object, the third further right and further back than the first."""
    kept = torch.zeros(1, 8, 1, 3)
    kept[0, 3, 0] = torch.tensor([1.0, -1.0, 1.0])  # scores
    kept[0, 4, 0] = torch.tensor([-1.0, 0.0, 2.0])  # to the right
    kept[0, 5, 0] = torch.tensor([0.5, 0.0, -0.5])  # to the front
    left, behind, right, front = 4 * spatial_relation_mask(kept)[0]
    assert left.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert right.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert behind.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert front.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]


def test_sides_are_the_relations_of_scenes() -> None:
    """From true places on the ground follows what scenes list as their relationships."""
    for scene in Scenes(seed=3, split="train").batch(range(20)):
        count = len(scene.objects)
        kept = torch.zeros(1, 8, 1, count)
        kept[0, 3] = 1
        described = torch.from_numpy(describe_scenes([scene], (480, 320), 2 / 3))[0, :count]
        kept[0, 4:6, 0] = described[:, GROUND].T
        for name, side in zip(("left", "behind", "right", "front"), spatial_relation_mask(kept)[0], strict=True):
            found = [set(row.nonzero()[:, 0].tolist()) for row in side]
            assert found == [set(others) for others in scene.relationships[name]], name


def plain_sums(heard: Tensor, kept: Tensor) -> Tensor:
    """A quarter of the sum over the objects on each side, in loops: maps ``(Q, C, 1, K)`` from the same."""
    sums, share = torch.zeros_like(heard), heard.shape[1] // 4
    for question in range(len(heard)):
        _, scores, right, front = kept[question, :, 0].split((kept.shape[1] - 5, 1, 1, 3))
        along = (right[0], front[0], -right[0], -front[0])
        for side, places in enumerate(along):
            group = slice(side * share, (side + 1) * share)
            for here in range(heard.shape[3]):
                for there in range(heard.shape[3]):
                    if scores[0, there] > 0 and places[there] < places[here]:
                        sums[question, group, 0, here] += heard[question, group, 0, there] / 4
    return sums


def test_the_relations_of_a_block_in_loops() -> None:
    network = a_fresh_reasoner(positions=7, relations=True, **SPARSE).eval()
    asked, _ = a_batch([2, 3])
    kept = network.encode_image(asked.images)
    assert (kept[:, -5] > 0).any()
    x = torch.rand(len(kept), SMALL.maps, 1, 7, generator=torch.Generator().manual_seed(0)).double()
    block = network.blocks[0]
    first, second = block.convolve(x, coordinates=kept[:, -4:-2], relation_mask=spatial_relation_mask(kept))
    again, without = block.convolve(x, coordinates=kept[:, -4:-2])
    assert torch.equal(first, again)
    torch.testing.assert_close(second - without, plain_sums(block.relations(first), kept))


def test_every_block_knows_its_sides() -> None:
    """Question by question or all at once, shared first block or not."""
    network = a_fresh_reasoner(positions=7, relations=True, blocks=2, **SPARSE).eval()
    asked, _ = a_batch([2, 3])
    kept = network.encode_image(asked.images)
    values = network.modulations(network.questions(asked.tree))
    x, places = network.input_projection(kept)[asked.image], kept[asked.image, -4:-2]
    relation_mask = spatial_relation_mask(kept)[asked.image]
    for name, block in network.blocks.named_children():
        first, second = block.convolve(x, None, None, places, relation_mask)
        x = block.modulate(first, second, values[f"blocks.{name}"])
    torch.testing.assert_close(network.reason(kept, asked.image, values), x)


def plain_answer(network: FiLMReasoner, asked: QuestionBatch) -> Tensor:
    """The network at all positions, written out: kernels of 1 are matrices, the context a sum of two pooled vectors."""
    maps = network.trunk_features(asked.images)
    height, width = maps.shape[2:]
    columns = torch.linspace(-1, 1, width, dtype=torch.float64).expand(len(maps), 1, height, width)
    rows = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None].expand(len(maps), 1, height, width)
    assert network.objects is not None
    assert network.input_projection is not None
    first, _, second, _, third = network.objects.ground
    places = third(F.relu(second(F.relu(first(torch.cat((maps, columns, rows), 1))))))
    x = torch.cat((maps, network.objects.score(maps), places, columns, rows), 1)
    norm, conv = network.input_projection[:2]
    x = F.relu(conv(norm(x)))[asked.image]
    places = places[asked.image]
    values = network.modulations(network.questions(asked.tree))
    for name, block in network.blocks.named_children():
        gamma, beta = (part[:, :, None, None] for part in values[f"blocks.{name}"])
        first = F.relu(block.entry(torch.cat((x, places), 1)))
        pooled = torch.cat((first.amax((2, 3)), first.mean((2, 3))), 1)
        second = block.conv(first) + (pooled @ block.context.weight.T)[:, :, None, None]
        x = first + F.relu(gamma * block.norm(second) + beta)
    classifier = network.classifier
    strongest = F.relu(classifier.norm(classifier.conv(x))).amax((2, 3))
    assert classifier.mean_norm is not None
    logits: Tensor = classifier.answer(torch.cat((strongest, classifier.mean_norm(x.mean((2, 3)))), 1))
    return logits


class TestNetwork:
    @pytest.mark.parametrize("training", [False, True])
    def test_keeping_all_positions_changes_nothing(self, training: bool) -> None:
        network = a_fresh_reasoner(positions=10**6, **SPARSE).train(training)
        asked, _ = a_batch([2, 3])
        expected = plain_answer(network, asked)
        torch.testing.assert_close(network(asked), expected, rtol=1e-10, atol=1e-10)

    def test_gradients_reach_everything_but_the_scores_choice(self) -> None:
        network = a_fresh_reasoner(positions=4, **SPARSE)
        asked, _ = a_batch([2, 2])
        F.cross_entropy(network(asked), torch.tensor([0, 1, 2, 3])).backward()
        assert [name for name, value in network.named_parameters() if value.grad is None] == []

    def test_the_grid_is_that_of_the_trunk(self) -> None:
        flat = {"trunk_stride": 1, "trunk_kernel": 3}
        wide = {"trunk_maps": (4, 4), "trunk_width": 6, "trunk_fine_blocks": 1, "trunk_blocks": 2}
        for changes in ({}, {"trunk_maps": (4, 4)}, flat, {"width": 35, "height": 27}, wide):
            network = a_fresh_reasoner(**changes)
            config = network.config
            maps = network.trunk_features(torch.zeros(1, 3, config.height, config.width, dtype=torch.uint8))
            assert maps.shape[1:] == (config.maps, *config.grid)

    def test_blocks_of_the_trunk_are_as_wide_as_their_maps(self) -> None:
        network = a_fresh_reasoner(trunk_maps=(4, 5), trunk_width=6, trunk_fine_blocks=1, trunk_blocks=2)
        widths = [part.body[0].in_channels for part in network.trunk if isinstance(part, ImageBlock)]
        assert widths == [5, 6, 6]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"relations": True},
                r"model.relations needs model.positions, and maps for four sides; positions is 0, maps 8; keep some",
            ),
            (
                {"relations": True, "positions": 5, "maps": 6, **SPARSE},
                r"positions is 5, maps 6; keep some positions, a multiple of 4 maps, or leave relations off",
            ),
            (
                {"merge_positions": True},
                r"model.merge_positions merges the kept positions, but model.positions is 0; keep some, or leave it",
            ),
            ({"positions": -1}, r"model.positions is -1; expected at least 0"),
            ({"positions": 8}, r"keeps 8 positions, which have no neighbours, but model.block_kernel is 3"),
            (
                {"question_code": "attention", "question_heads": 3},
                r"model.question_heads is 3; expected a number that divides model.hidden_dim \(16\)",
            ),
        ],
    )
    def test_settings_that_do_not_fit(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            a_fresh_reasoner(**changes)


def test_the_context_makes_far_objects_meet_in_one_block() -> None:
    """With kernels of 1 a change in one corner reaches the other only through the context."""
    for context in (False, True):
        network = a_fresh_reasoner(block_kernel=1, blocks=1, context=context).eval()
        maps = torch.rand(1, SMALL.maps, *SMALL.grid, generator=torch.Generator().manual_seed(0)).double()
        changed = maps.clone()
        changed[0, :, 0, 0] += 1
        values = network.sites.identity(1, dtype=torch.float64)
        only = torch.tensor([0])
        one, other = (network.reason(x, only, values)[0, :, -1, -1] for x in (maps, changed))
        assert torch.equal(one, other) != context
