from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clevr.data.supervision import describe_scenes, visible_centers
from clevr.questions.actions import FUNCTIONS
from clevr.questions.program_encoding import MAX_HOPS, field_sizes
from clevr.reasoning.objectives import PLACE_WEIGHT, ProgramHead, SceneHead, TraceHead, cells
from clevr.world.placement import Scenes
from clevr.world.render import object_ids
from clevr.world.scene import Scene, SceneObject
from clevr.world.spec import CLEVR


def thing(column: float, row: float, color: str = "red") -> SceneObject:
    return SceneObject("cube", "small", color, "metal", (column, -row, 0.5), 0.0, (column, row, 9.0))


def scene(*things: SceneObject) -> Scene:
    return Scene(things, {"right": (0.6, 0.8, 0.0), "front": (0.8, -0.6, 0.0)}, {})


def test_places_are_shares_of_what_the_model_sees() -> None:
    """An image of 12 x 8 of which a model sees the middle 12 x 6."""
    found = describe_scenes([scene(thing(6, 4), thing(0, 1))], (12, 8), 0.5)
    assert found.shape == (1, 10, 8)
    assert found[0, 0, :6].tolist() == [0.5, 0.5, 0, 1, 1, 1]
    assert found[0, 1, :2].tolist() == [0.0, 0.0]
    assert (found[0, 2:] == -1).all()


def test_centers_of_what_is_visible() -> None:
    """Where nothing hides a body they are near its own; hidden, they lie on what is seen of it."""
    scenes = Scenes(seed=2, split="val").batch(range(30))
    size = (160, 120)
    ids, centers = object_ids(scenes, *size).numpy(), visible_centers(scenes, size)
    assert centers.shape == (30, 10, 2)
    moved = 0
    for scene, shown, found in zip(scenes, ids, centers, strict=True):
        assert (found[len(scene.objects) :] == -1).all()
        for number, thing in enumerate(scene.objects):
            column, line = found[number]
            assert shown[int(line), int(column)] == number
            own = thing.pixel_coords[0] / 2, thing.pixel_coords[1] / 2
            moved += math.dist((column, line), own) > 3
    assert 0 < moved < 30, "of 200"


def test_an_object_that_is_not_seen_stays_where_its_body_is() -> None:
    drawn = Scenes(seed=2, split="val").batch(range(1))[0]
    aside = replace(drawn.objects[0], coords=(40.0, 40.0, 0.35))
    found = visible_centers([replace(drawn, objects=(aside, *drawn.objects[1:]))], (320, 240))[0]
    assert found[0].tolist() == pytest.approx(aside.pixel_coords[:2])


def test_described_scenes_take_the_centers_that_are_given() -> None:
    centers = np.full((1, 10, 2), -1, np.float32)
    centers[0, 0] = 3, 2
    found = describe_scenes([scene(thing(6, 4))], (12, 8), 0.5, centers)
    assert found[0, 0, :2].tolist() == pytest.approx([3 / 12, (2 - 1) / 6])


def test_places_on_the_ground_are_along_the_directions() -> None:
    found = describe_scenes([scene(thing(6, 4), thing(0, 1))], (12, 8), 0.5)
    assert found[0, 0, 6:].tolist() == pytest.approx([0.6 * 6 - 0.8 * 4, 0.8 * 6 + 0.6 * 4])
    assert found[0, 1, 6:].tolist() == pytest.approx([-0.8, 0.6])
    without = describe_scenes([Scene((thing(6, 4),), {}, {})], (12, 8), 0.5)
    assert math.isnan(without[0, 0, 6])
    assert math.isnan(without[0, 0, 7])


def test_cells_of_a_grid() -> None:
    scenes = torch.from_numpy(describe_scenes([scene(thing(0, 0), thing(11.9, 7.9), thing(-1, 3))], (12, 8), 8 / 12))
    cell, inside = cells(scenes, 4, 6)
    assert cell[0, :2].tolist() == [0, 23]
    assert inside[0].tolist() == [True, True] + [False] * 8, "what lies outside the image does not count"


def test_the_scene_loss_by_hand() -> None:
    """With weights of zero every attribute is a guess, and every position as likely as not to hold an object."""
    head = SceneHead(3)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    scenes = torch.from_numpy(describe_scenes([scene(thing(1, 1), thing(9, 5))], (12, 8), 8 / 12))
    presence = 4 * 6 * math.log(2) / 2
    attributes = sum(math.log(len(values)) for values in CLEVR.values.values())
    report = head(torch.zeros(1, 3, 4, 6), scenes)
    assert report["loss"].item() == pytest.approx(presence + attributes)
    assert report["accuracy"].item() == 0


def spelling_head() -> SceneHead:
    """A head for maps that spell out presence and attributes."""
    head = SceneHead(16)
    head.presence.weight.data = torch.zeros(1, 16, 1, 1)
    head.presence.weight.data[0, 0] = 60
    head.presence.bias.data = torch.tensor([-30.0])
    head.attributes.weight.data = 60 * torch.eye(16)[1:, :, None, None]
    head.attributes.bias.data = torch.zeros(15)
    return head


def test_the_scene_loss_reads_the_right_position() -> None:
    """Maps that spell out the scene, and a head that reads them, leave no loss; one position off, much."""
    scenes = torch.from_numpy(describe_scenes([scene(thing(5, 3, "cyan"))], (12, 8), 8 / 12))
    head = spelling_head()
    maps = torch.zeros(1, 16, 4, 6)
    maps[0, [0, 1, 1 + 3 + 1, 1 + 3 + 2 + 6, 1 + 3 + 2 + 8 + 1], 1, 2] = 1
    seen, shifted = head(maps, scenes), head(maps.roll(1, 3), scenes)
    assert seen["loss"].item() < 1e-6
    assert seen["accuracy"].item() == 1
    assert shifted["loss"].item() > 60
    assert shifted["accuracy"].item() == 0
    own = torch.full((1, 1, 4, 6), -30.0)
    assert head(maps, scenes, presence=own)["loss"].item() == pytest.approx(30, rel=1e-6), "its scores count instead"
    assert head(maps, scenes, presence=own)["accuracy"].item() == 0


def test_the_distance_of_places_by_hand() -> None:
    """Objects at (5, 3.5) and (9.5, 5) of the image; the model takes both to stand in the middle of the ground."""
    things = scene(thing(5, 3.5), thing(9.5, 5))
    scenes = torch.from_numpy(describe_scenes([things], (12, 8), 8 / 12))
    maps, head = torch.zeros(1, 16, 4, 6), spelling_head()
    without = head(maps, scenes)["loss"].item()
    places = torch.zeros(1, 2, 4, 6)
    off = (0.6 * 5 - 0.8 * 3.5, 0.8 * 5 + 0.6 * 3.5, 0.6 * 9.5 - 0.8 * 5, 0.8 * 9.5 + 0.6 * 5)
    mean = sum(map(abs, off)) / 2
    assert head(maps, scenes, places=places)["loss"].item() == pytest.approx(without + PLACE_WEIGHT * mean)
    places[0, :, 1, 2], places[0, :, 2, 4] = torch.tensor(off[:2]), torch.tensor(off[2:])
    assert head(maps, scenes, places=places)["loss"].item() == pytest.approx(without, abs=1e-5)


def test_places_that_are_not_known_teach_nothing() -> None:
    scenes = torch.from_numpy(describe_scenes([Scene((thing(5, 3.5),), {}, {})], (12, 8), 8 / 12))
    maps, head = torch.zeros(1, 16, 4, 6), spelling_head()
    places = torch.ones(1, 2, 4, 6, requires_grad=True)
    loss = head(maps, scenes, places=places)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(head(maps, scenes)["loss"].item())
    assert places.grad is not None
    assert (places.grad == 0).all()


def by_hand(traces: torch.Tensor, blocks: int) -> tuple[TraceHead, torch.Tensor, torch.Tensor]:
    """A head that reads 2 x and 0 of one map, scenes of two objects, and traces in the last hops."""
    head = TraceHead(1, blocks)
    for linear in head.linears:
        linear.weight.data = torch.tensor([[2.0], [0.0]])
        linear.bias.data = torch.zeros(2)
    scenes = torch.from_numpy(describe_scenes([scene(thing(0, 0), thing(11, 7))] * 2, (12, 8), 8 / 12))
    marks = torch.full((2, 4, 2, 10), -1, dtype=torch.int8)
    marks[:, -len(traces) :, :, :2] = traces.to(torch.int8).transpose(0, 1)
    return head, scenes, marks


LAST = torch.tensor([[[1, 0], [-1, -1]], [[1, 1], [0, 1]]])
"""Question, strand, object."""
ONE, PLAIN = math.log(1 + math.exp(-2)), math.log(2)
EXPECTED = (ONE + PLAIN + ONE + PLAIN + 2 * PLAIN) / 6


def test_the_trace_loss_by_hand() -> None:
    head, scenes, marks = by_hand(LAST[None], blocks=1)
    maps = torch.zeros(2, 1, 2, 2)
    maps[:, 0, 0, 0] = 1
    assert head([maps], scenes, marks, (2, 2)).item() == pytest.approx(EXPECTED)


def test_every_block_answers_for_its_hop() -> None:
    """The last block answers for the last hop, the one before it for the hop before; a hop that nobody takes adds
    nothing."""
    before = torch.tensor([[[0, 1], [-1, -1]], [[-1, -1], [-1, -1]]])
    head, scenes, marks = by_hand(torch.stack([before, LAST]), blocks=3)
    maps = torch.zeros(2, 1, 2, 2)
    maps[:, 0, 0, 0] = 1
    wrong = (math.log(1 + math.exp(2)) + PLAIN) / 2
    assert head([3 * maps, maps, maps], scenes, marks, (2, 2)).item() == pytest.approx(EXPECTED + wrong)
    assert head([maps, 3 * maps, maps], scenes, marks, (2, 2)).item() > EXPECTED + wrong + 1


def test_of_many_blocks_every_second_one_answers_for_a_hop() -> None:
    """Eight blocks, four hops: the last for the last hop, the sixth for the hop before; the others are free."""
    before = torch.tensor([[[0, 1], [-1, -1]], [[-1, -1], [-1, -1]]])
    head, scenes, marks = by_hand(torch.stack([before, LAST]), blocks=8)
    maps = torch.zeros(2, 1, 2, 2)
    maps[:, 0, 0, 0] = 1
    wrong = (math.log(1 + math.exp(2)) + PLAIN) / 2
    steps = [9 * maps, maps] * 4
    assert head(steps, scenes, marks, (2, 2)).item() == pytest.approx(EXPECTED + wrong)
    steps[5] = 3 * maps
    assert head(steps, scenes, marks, (2, 2)).item() > EXPECTED + wrong + 1


def test_the_referents_at_kept_positions() -> None:
    """The loss of a model that keeps positions, in any order, is that of whole maps; a lost object counts nothing."""
    head, scenes, marks = by_hand(LAST[None], blocks=1)
    whole = torch.zeros(2, 1, 2, 2)
    whole[:, 0, 0, 0] = 1
    kept = torch.tensor([[3, 1, 0], [0, 3, 2]])
    maps = whole.flatten(2).gather(2, kept[:, None]).unsqueeze(2)
    assert head([maps], scenes, marks, (2, 2), kept).item() == pytest.approx(EXPECTED)
    lost = torch.tensor([[0, 1, 2], [0, 1, 2]])
    maps = whole.flatten(2).gather(2, lost[:, None]).unsqueeze(2)
    assert head([maps], scenes, marks, (2, 2), lost).item() == pytest.approx((ONE + ONE + PLAIN) / 3)


def test_the_program_loss_by_hand() -> None:
    """With weights of zero every field is a guess; a question without a program adds nothing."""
    head = ProgramHead(3)
    torch.nn.init.zeros_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    program_encodings = torch.zeros(2, MAX_HOPS * 2 * len(field_sizes()) + 1, dtype=torch.int8)
    program_encodings[1] = -1
    guess = sum(math.log(values) for values in field_sizes()) + math.log(len(FUNCTIONS))
    assert head(torch.zeros(2, 3), program_encodings).item() == pytest.approx(guess)


def test_every_field_is_read_at_its_place() -> None:
    """A head that says one outline loudly has no loss on it, and much when any single field differs."""
    head = ProgramHead(1)
    torch.nn.init.zeros_(head.linear.weight)
    draws = torch.Generator().manual_seed(0)
    hops = torch.stack([torch.randint(count, (2 * MAX_HOPS,), generator=draws) for count in field_sizes()], 1)
    loud = [F.one_hot(hops[:, field], count).flatten() for field, count in enumerate(field_sizes())]
    head.linear.bias.data = 80.0 * torch.cat([*loud, F.one_hot(torch.tensor(5), len(FUNCTIONS))])
    outline = torch.cat((hops.flatten(), torch.tensor([5])))
    assert head(torch.zeros(1, 1), outline[None]).item() < 1e-6
    for place in range(len(outline)):
        other = outline.clone()
        other[place] = 1 if outline[place] != 1 else 0
        assert head(torch.zeros(1, 1), other[None]).item() == pytest.approx(80 if place == len(outline) - 1 else 10)
