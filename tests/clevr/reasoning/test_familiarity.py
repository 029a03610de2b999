"""Warnings of images that are unlike those that a model was trained on."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from clevr.reasoning import load
from clevr.reasoning.familiarity import LENGTH, Familiarity, changed, fit_familiarity, image_statistics
from clevr.world.placement import Scenes
from clevr.world.render import render
from fewshot_film.errors import SavedModelError

NOT_A_SCENE = "This image does not look like a CLEVR scene"


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    """What comes with the package."""
    found = load("clevr-small").familiarity
    assert found is not None
    return found


def scenes(count: int, width: int, height: int) -> list[Image.Image]:
    drawn = render(Scenes(31, "familiarity").batch(range(count)), width, height)
    return [Image.fromarray(one) for one in drawn.permute(0, 2, 3, 1).numpy()]


@pytest.mark.parametrize(("width", "height", "count"), [(128, 96, 24), (320, 240, 6), (480, 320, 4)])
def test_scenes_of_every_size_get_no_warning(familiarity: Familiarity, width: int, height: int, count: int) -> None:
    for image in scenes(count, width, height):
        assert familiarity.warning(image) == ""
        assert familiarity.warning(image.resize((width // 2, height // 2))) == ""
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=75)
        assert familiarity.warning(Image.open(buffer)) == ""


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (96, 128, 3))


def grey_noise(rng: np.random.Generator) -> np.ndarray:
    return np.repeat(rng.normal(128, 20, (240, 320, 1)), 3, 2)


def blank(rng: np.random.Generator) -> np.ndarray:
    return np.full((96, 128, 3), rng.integers(0, 256, 3))


def grey(rng: np.random.Generator) -> np.ndarray:
    return np.full((96, 128, 3), rng.integers(0, 256))


def slope(rng: np.random.Generator) -> np.ndarray:
    return np.broadcast_to(np.linspace(rng.uniform(0, 120), 200, 96)[:, None, None], (96, 128, 3))


@pytest.mark.parametrize("draw", [noise, grey_noise, blank, grey, slope])
def test_noise_and_blank_images_get_a_warning(
    familiarity: Familiarity, draw: Callable[[np.random.Generator], np.ndarray]
) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        image = Image.fromarray(np.clip(draw(rng), 0, 255).astype(np.uint8))
        assert familiarity.warning(image).startswith(NOT_A_SCENE)


@pytest.mark.parametrize("size", [(96, 128), (480, 640), (1600, 100)])
def test_the_shape_of_an_image(familiarity: Familiarity, size: tuple[int, int]) -> None:
    """A scene stretched to a portrait or to 16:1 looks like one by every statistic."""
    image = scenes(1, 320, 240)[0].resize(size)
    expected = f"{NOT_A_SCENE} (it is {size[0]} x {size[1]} pixels, and the model was trained on images 1.3 times"
    assert familiarity.warning(image).startswith(expected)
    assert familiarity.distance(image) < familiarity.threshold


def test_a_warning_names_what_differs_most(familiarity: Familiarity) -> None:
    scene = np.asarray(scenes(1, 128, 96)[0]).astype(np.float64)
    tinted = Image.fromarray((scene * [1.0, 0.5, 0.4]).astype(np.uint8))
    assert "most of all in its colours" in familiarity.warning(tinted)
    upside_down = Image.fromarray(np.ascontiguousarray(scene[::-1]).astype(np.uint8))
    assert "most of all in its lighting" in familiarity.warning(upside_down)
    grain = scene + np.random.default_rng(1).normal(0, 40, (96, 128, 1))
    assert "most of all in its texture" in familiarity.warning(Image.fromarray(grain.clip(0, 255).astype(np.uint8)))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (300, 2), (64, 64)])
def test_any_mode_and_size_has_finite_statistics(mode: str, size: tuple[int, int]) -> None:
    found = image_statistics(Image.new(mode, size))
    assert found.shape == (LENGTH,)
    assert np.isfinite(found).all()


def test_it_survives_json(familiarity: Familiarity) -> None:
    image = scenes(1, 128, 96)[0]
    copy = Familiarity.from_json(familiarity.to_json())
    assert copy.distance(image) == familiarity.distance(image)
    assert copy.aspects == familiarity.aspects


@pytest.mark.parametrize(
    "damage", [{"mean": [1.0]}, {"covariance": [0.0] * 435}, {"threshold": "far"}, {"aspects": [1.0]}, {"mean": None}]
)
def test_damaged_entries(familiarity: Familiarity, damage: dict) -> None:
    with pytest.raises(
        SavedModelError, match=r"are damaged .* compute them again with `clevr-film calibrate MODEL DATA`"
    ):
        Familiarity.from_json({**familiarity.to_json(), **damage})


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="3 images; expected at least 100"):
        fit_familiarity(scenes(3, 32, 24))


def test_most_of_what_it_was_made_from_is_familiar() -> None:
    images = scenes(100, 64, 48)
    found = fit_familiarity(images)
    assert found.aspects == (64 / 48, 64 / 48)
    assert sum(found.distance(image) > found.threshold for image in images) <= 3, "next to none of so few"
    assert found.to_json() == fit_familiarity(images).to_json()


def test_changed_images_are_a_function_of_the_generator() -> None:
    image = scenes(1, 64, 48)[0]
    first, second = (changed(image, np.random.default_rng(2)).tobytes() for _ in range(2))
    assert first == second
    assert changed(image, np.random.default_rng(3)).tobytes() != first
