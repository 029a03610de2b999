"""A path of the trunk that knows colours and no shapes, and questions that do not speak of colours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from clevr.config.model import TrainConfig
from clevr.data.supervision import ATTRIBUTES
from clevr.questions.actions import NUMBERS, action_names, actions_about
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.reasoning.exchanged_colors import exchange_colors, exchanged_loss, with_exchanged_colors
from clevr.reasoning.hop_reasoner import HopReasoner, build_reasoner
from clevr.reasoning.loading import load, save_reasoner, take_trunk
from clevr.reasoning.objectives import ReasonerTraining, SceneHead
from clevr.reasoning.trunk import ColorPath
from clevr.world.spec import CLEVR
from fewshot_film.errors import ConfigError
from tests.clevr.models import HOPS, SMALL

COLORED = dataclasses.replace(HOPS, trunk_colors=3)


def images(count: int = 2) -> torch.Tensor:
    return torch.randint(256, (count, 3, 24, 32), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def a_path(maps: int = 4) -> ColorPath:
    torch.manual_seed(0)
    return ColorPath(maps, (3, 4)).double().eval()


def test_what_it_sees_are_means_over_single_pixels() -> None:
    path, pictures = a_path(), images(1)
    one_by_one = torch.zeros(24, 3, 4, dtype=torch.float64)
    for row in range(12):
        for column in range(16):
            pixel = path.pixels(pictures[:, :, 2 * row : 2 * row + 1, 2 * column : 2 * column + 1])
            one_by_one[:, row // 4, column // 4] += pixel[0, :, 0, 0] / 16
    around = torch.zeros_like(one_by_one)
    for row in range(3):
        for column in range(4):
            near = one_by_one[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            around[:, row, column] = near.mean((1, 2))
    torch.testing.assert_close(path(pictures)[0], path.mix(torch.cat((one_by_one, around))[None])[0])


def test_it_sees_no_shapes() -> None:
    """Where in a position a pixel lies is all the same."""
    path, pictures = a_path(), images()
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    cells = pictures[:, :, ::2, ::2].unflatten(3, (4, 4)).unflatten(2, (3, 4)).transpose(3, 4)
    moved = pictures.clone()
    mixed = cells.flatten(4)[..., order].unflatten(4, (4, 4)).transpose(3, 4)
    moved[:, :, ::2, ::2] = mixed.flatten(4, 5).flatten(2, 3)
    assert not torch.equal(moved, pictures)
    torch.testing.assert_close(path(moved), path(pictures))


def test_colors_are_read_off_the_path_and_nothing_else_is() -> None:
    head, rows = SceneHead(8, colors=3), torch.randn(5, 8, requires_grad=True)
    logits = head.logits(rows)
    assert [part.shape[1] for part in logits] == [3, 2, 8, 2]
    for name, part in zip(ATTRIBUTES, logits, strict=True):
        (gradient,) = torch.autograd.grad(part.square().sum(), rows, retain_graph=True)
        reached = gradient.abs().sum(0) > 0
        assert reached.tolist() == [name != "color"] * 5 + [name == "color"] * 3


def test_actions_about_colors() -> None:
    named = action_names(actions_about("color"))
    assert named[:3] == ["same_color", "query_color", "equal_color"]
    assert named[3:] == ["gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"]


GROUND = [[(0.0, 0.0), (3.0, 0.0)], [(3.0, 0.0), (0.0, 0.0), (9.0, 9.0)]]
"""Where the objects of two images stand."""
SEEN = [[0, 1], [1, 0, None]]
"""Which positions hold them: position k takes its object to stand 3 k to the right."""
SHAPES, COLORS = [[0, 1], [1, 2, 0]], [[3, 4], [5, 6, 7]]


def a_lesson() -> QuestionBatch:
    """Of two images: one question that speaks of colours, one that does not, and one whose program is not known."""
    scenes = torch.full((2, 10, 8), -1.0)
    for image, places in enumerate(GROUND):
        for thing, place in enumerate(places):
            row = [0.5, 0.5, SHAPES[image][thing], 0, COLORS[image][thing], 1, *place]
            scenes[image, thing] = torch.tensor(row)
    maps = torch.arange(2 * 13 * 6.0).view(2, 13, 1, 6)
    maps[:, 8, 0] = torch.tensor([1.0, 1, -1, -1, -1, -1])  # the scores: two positions hold something
    maps[:, 9, 0], maps[:, 10, 0] = 3 * torch.arange(6.0), 0
    sequences = torch.zeros(3, 1, 4, dtype=torch.int8)
    sequences[0, 0, :3] = torch.tensor([NUMBERS["scene"], actions_about("color")[-2], NUMBERS["count"]])
    sequences[1, 0, :3] = torch.tensor([NUMBERS["scene"], actions_about("shape")[-2], NUMBERS["count"]])
    tree, members = build_prefix_tree([[20], [21], [22]]), torch.zeros(3, 8, 10, dtype=torch.int8)
    answers = torch.tensor([0, 1, 2])
    return QuestionBatch(maps, torch.tensor([0, 1, 1]), tree, answers, scenes, None, None, sequences, members)


def test_objects_get_the_colors_of_those_of_the_image_before() -> None:
    batch = a_lesson()
    assert batch.scenes is not None
    maps, scenes = exchange_colors(batch.images, batch.scenes, slice(5, 8))
    assert scenes[:, :3, 4].tolist() == [[5, 6, -1], [3, 4, 7]], "what no position holds keeps its own"
    others = [0, 1, 2, 3, 5, 6, 7]
    assert torch.equal(scenes[..., others], batch.scenes[..., others])
    wanted = batch.images.clone()
    for image, before in ((0, 1), (1, 0)):
        for thing in (0, 1):
            wanted[image, 5:8, 0, SEEN[image][thing]] = batch.images[before, 5:8, 0, SEEN[before][thing]]
    assert torch.equal(maps, wanted)


def test_questions_that_do_not_speak_of_colors_get_exchanged_ones() -> None:
    network, batch = build_reasoner(COLORED), a_lesson()
    assert isinstance(network, HopReasoner)
    assert batch.scenes is not None
    maps, changed = with_exchanged_colors(network, batch.images, batch)
    exchanged, scenes = exchange_colors(batch.images, batch.scenes, slice(5, 8))
    assert changed.image.tolist() == [0, 3, 1]
    assert torch.equal(maps, torch.cat((batch.images, exchanged)))
    assert changed.scenes is not None
    assert torch.equal(changed.scenes, torch.cat((batch.scenes, scenes)))
    plain = dataclasses.replace(batch, sequences=None)
    assert with_exchanged_colors(network, batch.images, plain) == (batch.images, plain)


def test_what_fits_a_description_is_learned_with_exchanged_colors() -> None:
    """Cyan in the first image is nothing of its own, but what has the colour of the second object of the other."""
    network, batch = build_reasoner(COLORED).eval(), a_lesson()
    assert isinstance(network, HopReasoner)
    assert batch.sequences is not None
    maps, changed = with_exchanged_colors(network, batch.images, batch)
    hops = network.hops(batch.sequences[:2, 0].tolist())
    found = exchanged_loss(network, hops, maps, changed)
    first, _ = network.follow(maps, torch.tensor([2, 3]), network.modulations(hops), hops)
    target = torch.zeros(2, 6)
    target[0, SEEN[0][1]] = 1  # cyan, by the exchanged colours
    target[1, SEEN[1][0]] = 1  # a sphere, as it was
    assert COLORS[1][1] == CLEVR.values["color"].index("cyan")
    assert SHAPES[1][0] == CLEVR.values["shape"].index("sphere")
    wanted = torch.logaddexp(first, torch.zeros(())) - target * first
    torch.testing.assert_close(found, wanted.sum(1).mean())


def test_answers_are_given_with_the_colors_that_are_there() -> None:
    network, batch = build_reasoner(COLORED), a_lesson()
    module = ReasonerTraining(network, trace_weight=1.0, program_weight=1.0, precomputed=True).eval()
    answering = module(batch)
    module.train()
    network.eval()  # as it is at the end, without statistics of the batch
    learning = module(batch)
    assert not torch.equal(answering["trace_loss"], learning["trace_loss"])
    assert torch.equal(answering["program_loss"], learning["program_loss"])


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    network = build_reasoner(COLORED).eval()
    save_reasoner(tmp_path / "model", network, {}, TrainConfig(out=tmp_path, model=network.config, program_weight=1.0))
    again = load(tmp_path / "model")
    assert again.trunk_features(images()).shape == (2, 8, *COLORED.grid)
    torch.testing.assert_close(again.trunk_features(images()), network.trunk_features(images()))


def test_a_trunk_with_another_path_is_not_taken_over(tmp_path: Path) -> None:
    network = build_reasoner(COLORED)
    save_reasoner(tmp_path / "model", network, {}, TrainConfig(out=tmp_path, model=network.config, program_weight=1.0))
    with pytest.raises(ConfigError, match=r"model\.trunk_colors is 0, that of .* is 3; to take over its trunk"):
        take_trunk(build_reasoner(HOPS), tmp_path / "model")


@pytest.mark.parametrize("changes", [{"trunk_colors": 8}, {"inputs": "features", "trunk_colors": 3}])
def test_it_is_a_part_of_a_trunk_that_sees_pixels(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"model\.trunk_colors sees pixels, and is a part of model\.maps; inputs is"):
        dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
