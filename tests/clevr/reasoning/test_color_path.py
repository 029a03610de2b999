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
from clevr.reasoning.hop_reasoner import HopReasoner, build_reasoner
from clevr.reasoning.loading import load, save_reasoner
from clevr.reasoning.objectives import ReasonerTraining, SceneHead, with_exchanged_colors
from clevr.reasoning.trunk import ColorPath
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


def a_lesson() -> QuestionBatch:
    """Of two images: one question that speaks of colours, one that does not, and one whose program is not known."""
    scenes = torch.arange(2.0)[:, None, None].expand(2, 10, 8)
    sequences = torch.zeros(3, 1, 4, dtype=torch.int8)
    sequences[0, 0, :3] = torch.tensor([NUMBERS["scene"], actions_about("color")[-1], NUMBERS["count"]])
    sequences[1, 0, :2] = torch.tensor([NUMBERS["scene"], NUMBERS["count"]])
    tree = build_prefix_tree([[20], [21], [22]])
    maps = torch.arange(2 * 13 * 6.0).view(2, 13, 1, 6)
    members = torch.zeros(3, 8, 10, dtype=torch.int8)
    answers = torch.tensor([0, 1, 2])
    return QuestionBatch(maps, torch.tensor([0, 1, 1]), tree, answers, scenes, None, None, sequences, members)


def test_questions_that_do_not_speak_of_colors_get_those_of_another_image() -> None:
    network, batch = build_reasoner(COLORED), a_lesson()
    assert isinstance(network, HopReasoner)
    maps, changed = with_exchanged_colors(network, batch.images, batch)
    assert changed.image.tolist() == [0, 3, 1]
    assert changed.scenes is not None
    assert changed.scenes[:, 0, 0].tolist() == [0, 1, 0, 1]
    assert torch.equal(maps[:2], batch.images)
    others = [*range(5), *range(8, 13)]
    assert torch.equal(maps[2:, others], batch.images[:, others])
    assert torch.equal(maps[2:, 5:8], batch.images.flip(0)[:, 5:8])
    plain = dataclasses.replace(batch, sequences=None)
    assert with_exchanged_colors(network, batch.images, plain) == (batch.images, plain)


def test_what_it_learns_without_colors_does_not_depend_on_them() -> None:
    """The loss of a question that does not speak of colours is that of its image with those of the next one."""
    network, batch = build_reasoner(COLORED), a_lesson()
    module = ReasonerTraining(network, trace_weight=1.0, precomputed=True).train()
    network.eval()  # as it is at the end, without statistics of the batch
    lonely = dataclasses.replace(
        batch,
        image=batch.image[1:2],
        tree=build_prefix_tree([[21]]),
        answers=torch.tensor([1]),
        sequences=None if batch.sequences is None else batch.sequences[1:2],
        members=None if batch.members is None else batch.members[1:2],
    )
    swapped = batch.images.clone()
    swapped[1, 5:8] = batch.images[0, 5:8]
    found = module(lonely)["loss"]
    wanted = module.eval()(dataclasses.replace(lonely, images=swapped))["loss"]
    torch.testing.assert_close(found, wanted)
    assert not torch.equal(module(lonely)["loss"], wanted), "answers are not given so"


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    network = build_reasoner(COLORED).eval()
    save_reasoner(tmp_path / "model", network, {}, TrainConfig(out=tmp_path, model=network.config, program_weight=1.0))
    again = load(tmp_path / "model")
    assert again.trunk_features(images()).shape == (2, 8, *COLORED.grid)
    torch.testing.assert_close(again.trunk_features(images()), network.trunk_features(images()))


@pytest.mark.parametrize("changes", [{"trunk_colors": 8}, {"inputs": "features", "trunk_colors": 3}])
def test_it_is_a_part_of_a_trunk_that_sees_pixels(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"model\.trunk_colors sees pixels, and is a part of model\.maps; inputs is"):
        dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
