"""A trunk that learns to see before the network learns to answer."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from clevr.commands.train import run
from clevr.commands.trunk_pretraining import (
    SceneBatches,
    cache_trunk_features,
    colors_are_tied,
    mirrored,
    untied,
)
from clevr.config.model import AugmentationConfig, ClevrDataConfig, TrainConfig, TrunkPretrainingConfig
from clevr.data.batches import ReasoningData, load_reasoning_data
from clevr.questions.tokens import CLEVR_VOCABULARY
from clevr.reasoning import load
from clevr.reasoning.membership import is_object
from clevr.reasoning.objectives import SceneHead
from fewshot_film.errors import ConfigError
from fewshot_film.run.checkpoint import load_checkpoint
from fewshot_film.run.settings import LoopConfig
from tests.clevr.models import SMALL, a_reasoner, a_saved_model
from tests.clevr.worlds import make_world

SPARSE = dataclasses.replace(
    SMALL, positions=6, block_kernel=1, context=True, pooling="max_mean", question_code="attention", question_heads=4
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"), {"train": 6, "val": 2})


@pytest.fixture(scope="module")
def data(world: Path) -> ReasoningData:
    return load_reasoning_data(world, "train", SMALL, CLEVR_VOCABULARY, with_scenes=True)


@pytest.fixture
def config(world: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        out=tmp_path / "run",
        data=ClevrDataConfig(root=world, images=3, questions=4),
        model=SPARSE,
        trunk_pretraining=TrunkPretrainingConfig(
            images=3, loop=LoopConfig(steps=6, learning_rate=3e-3, validate_every=3, log_every=2)
        ),
        trace_weight=1.0,
        program_weight=1.0,
        loop=LoopConfig(steps=6, learning_rate=3e-3, validate_every=3, log_every=2),
    )


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_first_it_learns_to_see_then_to_answer(config: TrainConfig) -> None:
    assert config.trunk_pretraining is not None
    loop = dataclasses.replace(config.trunk_pretraining.loop, steps=150, validate_every=150, log_every=10)
    longer = dataclasses.replace(config, trunk_pretraining=dataclasses.replace(config.trunk_pretraining, loop=loop))
    run(longer)
    seen = [line for line in lines(config.out / "trunk_pretraining/metrics.jsonl") if line["split"] == "train"]
    assert seen[-1]["loss"] < seen[0]["loss"] / 2
    answered = lines(config.out / "metrics.jsonl")
    assert {"answer_loss", "trace_loss", "program_loss"} <= set(answered[0])
    assert "scene_loss" not in answered[0]
    trunk = load_checkpoint(config.out / "trunk_pretraining/best.ckpt").module
    saved = load(config.out / "model").state_dict()
    kept = [name for name in saved if name.startswith(("trunk", "objects"))]
    assert kept
    assert all(torch.equal(saved[name], trunk[name]) for name in kept), "what has learned to see is fixed"


def test_a_trunk_is_taken_over(config: TrainConfig, world: Path, tmp_path: Path) -> None:
    """It stays as it was, whatever its own training; its features are computed once for all trainings with it."""
    run(config)
    first = config.out / "model"
    taken = dataclasses.replace(config, out=tmp_path / "a", trunk_pretraining=None, trunk_weights=str(first))
    run(taken)
    (features,) = (world / "cache").glob("trunk-*")
    times = {path.name: path.stat().st_mtime_ns for path in features.iterdir()}
    assert sorted(times) == ["seen-train.npz", "seen-val.npz"]
    run(dataclasses.replace(taken, out=tmp_path / "b"))
    assert {path.name: path.stat().st_mtime_ns for path in features.iterdir()} == times
    saved, one, other = (load(folder / "model").state_dict() for folder in (config.out, tmp_path / "a", tmp_path / "b"))
    seeing = [name for name in saved if name.startswith(("trunk", "objects"))]
    assert all(torch.equal(saved[name], one[name]) for name in seeing)
    assert not torch.equal(saved["questions.words.weight"], one["questions.words.weight"])
    assert all(torch.equal(value, other[name]) for name, value in one.items()), "a function of settings and seed"


def test_a_trunk_of_other_settings_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    folder = a_saved_model(tmp_path / "other", maps=12)
    other = dataclasses.replace(config, trunk_pretraining=None, trunk_weights=str(folder))
    with pytest.raises(ConfigError, match=r"model\.maps is 8, that of .*other is 12; to take over its trunk, set"):
        run(other)
    with pytest.raises(ConfigError, match="trunk_weights and trunk_pretraining both say where the trunk comes from"):
        dataclasses.replace(config, trunk_weights=str(folder))
    with pytest.raises(ConfigError, match="trunk_weights and weights both say where the trunk comes from"):
        dataclasses.replace(other, weights="clevr-small")


def test_a_run_goes_on_from_either_part(config: TrainConfig) -> None:
    """Stopped after the first part, or in the second: the end is the same to the last bit."""
    run(config)
    expected = load_checkpoint(config.out / "last.ckpt").module
    for name in ("last.ckpt", "best.ckpt"):
        (config.out / name).unlink()
    shutil.rmtree(config.out / "model")
    again = dataclasses.replace(config, resume=True)
    run(dataclasses.replace(again, loop=dataclasses.replace(config.loop, steps=4)))
    assert load_checkpoint(config.out / "last.ckpt").progress.step == 4
    run(again)
    found = load_checkpoint(config.out / "last.ckpt").module
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_batches_are_functions_of_their_number(data: ReasoningData) -> None:
    def batches() -> SceneBatches:
        config = TrunkPretrainingConfig(images=2, recolor=0.5)
        return SceneBatches(data, config, AugmentationConfig(0.1, 0.5, 2.0))

    forwards = [batches()[number] for number in range(9)]
    again = batches()
    for number in reversed(range(9)):
        for one, other in zip(forwards[number], again[number], strict=True):
            assert torch.equal(one, other)
    places = [tuple(scene[:, :, 2:4].flatten().tolist()) for _, scene in forwards[:3]]
    assert len(set(places)) == 3, "a pass shows each image once"


def test_a_mirrored_picture_shows_its_mirrored_scene() -> None:
    pictures = torch.arange(2 * 3 * 1 * 4, dtype=torch.uint8).view(2, 3, 1, 4)
    scenes = torch.full((2, 10, 8), -1.0)
    scenes[:, 0] = torch.tensor([0.125, 0.5, 1, 0, 3, 1, 2.5, -0.5])
    found, where = mirrored(pictures, scenes, torch.tensor([True, False]))
    assert torch.equal(found[0], pictures[0].flip(2))
    assert torch.equal(found[1], pictures[1])
    assert where[0, 0].tolist() == [0.875, 0.5, 1, 0, 3, 1, -2.5, -0.5]
    assert torch.equal(where[1], scenes[1])
    assert (where[0, 1:, 2] == -1).all(), "where there is no object there is none"


def test_what_was_changed_is_not_learned(data: ReasoningData) -> None:
    """Colours of recoloured images; where all shapes come in all colours, nothing else."""
    config = TrunkPretrainingConfig(images=6, flip=False, recolor=0.4)
    batches = SceneBatches(data, config, AugmentationConfig())
    batches.tied = False
    plain = SceneBatches(data, TrunkPretrainingConfig(images=6, flip=False), AugmentationConfig())
    kinds = set()
    for number in range(20):
        (images, scenes), (before, described) = batches[number], plain[number]
        for image, scene, was, known in zip(images, scenes, before, described, strict=True):
            hidden = bool((scene[:, 4] == -1).all())
            kinds.add(hidden)
            assert torch.equal(image, was) == (not hidden)
            assert torch.equal(scene[:, 4], known[:, 4]) or hidden
            others = [0, 1, 2, 3, 5, 6, 7]
            assert torch.equal(scene[:, others], known[:, others]), "all else stays known"
    assert kinds == {False, True}


def test_shapes_are_learned_from_other_colors_alone_where_they_are_tied() -> None:
    nobody = [-1.0] * 8
    thing = [[0.5, 0.5, shape, 0, color, 0, 0, 0] for shape, color in ((0, 3), (1, 3), (2, 5))]
    scenes = torch.tensor([[*thing, nobody]] * 2)
    found = untied(scenes, torch.tensor([True, False]), tied=True)
    assert found[..., 2].tolist() == [[0, 1, 2, -1], [-1, -1, -1, -1]]
    assert found[..., 4].tolist() == [[-1, -1, -1, -1], [3, 3, 5, -1]]
    assert is_object(found).tolist() == [[True, True, True, False]] * 2, "they are there all the same"


def test_colors_are_tied_where_a_shape_lacks_some(tmp_path: Path) -> None:
    def scenes(*pairs: tuple[int, int]) -> torch.Tensor:
        described = torch.full((2, 10, 8), -1.0)
        for place, (shape, color) in enumerate(pairs):
            described[place % 2, place // 2] = torch.tensor([0.5, 0.5, shape, 0, color, 0, 0, 0])
        return described

    assert colors_are_tied(scenes((0, 0), (0, 1), (1, 0), (2, 1)))
    assert not colors_are_tied(scenes((0, 0), (0, 1), (1, 0), (1, 1)))
    root = make_world(tmp_path / "world", {"trainA": 60}, condition="A")
    data = load_reasoning_data(root, "trainA", SMALL, CLEVR_VOCABULARY, with_scenes=True)
    assert SceneBatches(data, TrunkPretrainingConfig(images=2, recolor=0.5), AugmentationConfig()).tied


def test_an_unknown_color_counts_for_nothing() -> None:
    torch.manual_seed(0)
    head, maps = SceneHead(4), torch.randn(2, 4, 3, 5)
    scenes = torch.full((2, 10, 8), -1.0)
    scenes[:, 0] = torch.tensor([0.3, 0.5, 1, 0, 3, 1, 2.5, -0.5])
    known, unknown = head(maps, scenes), head(maps, untied(scenes, torch.tensor([True, True]), tied=False))
    rows = head.attributes(maps)[:, 5:13, 1, 1].log_softmax(1)[:, 3]  # colours follow 3 shapes and 2 sizes
    torch.testing.assert_close(known["loss"] - unknown["loss"], -rows.mean())
    unknown["loss"].backward()
    assert (head.attributes.weight.grad[5:13] == 0).all()
    assert (head.attributes.weight.grad[:5] != 0).any()


def test_every_picture_is_looked_at_once(data: ReasoningData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasoner = a_reasoner(positions=5, block_kernel=1)
    first = cache_trunk_features(reasoner, data, tmp_path / "seen.npz")
    expected = reasoner.encode_image(torch.from_numpy(np.asarray(data.images[np.arange(6)])))
    assert first.images.dtype == np.float16
    torch.testing.assert_close(torch.from_numpy(first.images).float(), expected, rtol=2e-3, atol=2e-3)
    monkeypatch.setattr(type(reasoner), "encode_image", None)
    assert np.array_equal(cache_trunk_features(reasoner, data, tmp_path / "seen.npz").images, first.images)
    reasoner.trunk[1].weight.data += 1
    with pytest.raises(TypeError):
        cache_trunk_features(reasoner, data, tmp_path / "seen.npz")  # another trunk sees other things: it looks again


def test_augmentation_needs_images(config: TrainConfig) -> None:
    features = dataclasses.replace(config.model, inputs="features")
    with pytest.raises(ConfigError, match=r"augmentation changes images, and model.inputs is features; leave it out"):
        dataclasses.replace(config, model=features, augmentation=AugmentationConfig(noise=1.0))


def test_a_batch_of_no_pictures() -> None:
    with pytest.raises(ConfigError, match=r"trunk_pretraining.images is 0; expected at least 1"):
        TrunkPretrainingConfig(images=0)
