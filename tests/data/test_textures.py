from __future__ import annotations

import numpy as np
import pytest

from fewshot_film.data import SourceError, decode, open_source
from fewshot_film.data.textures import (
    FAMILIES,
    NUM_PARAMETERS,
    SIDE,
    class_parameters,
    draw_grid,
    draw_palette,
    draw_texture,
    texture_split,
    textures,
    to_image,
)


def test_classes_of_every_family_are_in_every_part() -> None:
    split = texture_split()
    assert {part: len(names) for part, names in split.items()} == {"train": 240, "val": 60, "test": 72}
    assert len({name for names in split.values() for name in names}) == 372
    for names in split.values():
        assert {name.split("/")[0] for name in names} == set(FAMILIES)


def test_pictures_depend_on_seed_class_and_number_alone() -> None:
    everything, test = textures(), open_source("textures", split="test", pictures=3)
    name = test.class_names[50]
    here, there = 50 * 3 + 2, everything.class_names.index(name) * 20 + 2
    assert test.files[here] == f"{name}/0002"
    assert test.load(here).tobytes() == everything.load(there).tobytes() == test.load(here).tobytes()
    assert test.load(here).tobytes() != textures("test", pictures=3, seed=1).load(here).tobytes()
    assert len({textures("val").fingerprint(), textures("val", seed=1).fingerprint(), textures().fingerprint()}) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_fields_fill_the_range_and_differ_from_picture_to_picture(family: str) -> None:
    for number in range(24):
        u = class_parameters(number)
        rng = np.random.default_rng(number)
        fields = [FAMILIES[family](u, draw_grid(rng, 0.3, 1.2), rng) for _ in range(2)]
        for field in fields:
            assert field.shape == (SIDE, SIDE)
            assert np.isfinite(field).all()
            assert -1e-9 <= field.min() < field.max() <= 1 + 1e-9
            assert field.std() > 0.03
        assert np.abs(fields[0] - fields[1]).mean() > 0.01


def test_parameters_of_classes_are_apart() -> None:
    points = np.array([class_parameters(number) for number in range(62)])
    assert points.shape == (62, NUM_PARAMETERS)
    assert ((points >= 0) & (points < 1)).all()
    gaps = np.abs(points[:, None] - points[None])
    distances = np.linalg.norm(np.minimum(gaps, 1 - gaps), axis=-1) + 9 * np.eye(62)
    random = np.random.default_rng(0).uniform(size=(200, 62, NUM_PARAMETERS))
    nearest = [np.linalg.norm(p[:, None] - p[None], axis=-1)[~np.eye(62, dtype=bool)].min() for p in random]
    assert distances.min() > np.quantile(nearest, 0.95)
    for column in points.T:  # every tenth of every number's range is met
        assert set(np.floor(10 * column).astype(int)) == set(range(10))


def test_a_grid_is_turned_and_zoomed() -> None:
    grid = draw_grid(np.random.default_rng(1), np.pi, 1.0)
    along = np.array([grid.x[5, 6] - grid.x[5, 5], grid.y[5, 6] - grid.y[5, 5]])
    assert np.linalg.norm(along) == pytest.approx(1 / SIDE) == grid.pixel
    # A wave along the plane's x axis has all its power where the grid says that its frequency is.
    power = np.abs(np.fft.fft2(np.cos(2 * np.pi * 20 * grid.x) * np.hanning(SIDE) * np.hanning(SIDE)[:, None]))
    place = np.unravel_index(power.argmax(), power.shape)
    assert grid.frequency[place] == pytest.approx(20, abs=1)
    assert abs(np.sin(grid.direction[place])) < 0.06


def test_colours_run_from_one_end_of_the_palette_to_the_other() -> None:
    palette = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    ramp = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))
    pixels = np.asarray(to_image(ramp, palette, np.random.default_rng(0))).astype(int)
    assert pixels[:, 0, 0].mean() > 150 > 40 > pixels[:, 0, 2].mean()
    assert pixels[:, -1, 2].mean() > 150 > 40 > pixels[:, -1, 0].mean()
    for seed in range(20):
        lightness = draw_palette(np.random.default_rng(seed)).max(1) + draw_palette(np.random.default_rng(seed)).min(1)
        assert np.abs(lightness[0] - lightness[-1]) > 0.5


def test_every_other_class_has_colours_of_its_own() -> None:
    def spread(name: str) -> float:
        means = [np.asarray(draw_texture(name, number)).mean((0, 1)) for number in range(12)]
        return float(np.std(means, axis=0).mean())

    own = [spread(f"{family}/{number:03d}") for family in FAMILIES for number in (0, 2)]
    any_colours = [spread(f"{family}/{number:03d}") for family in FAMILIES for number in (1, 3)]
    assert max(own) < min(any_colours) + 10
    assert np.median(any_colours) > 1.8 * np.median(own)


def test_classes_can_be_told_apart_by_their_spectra() -> None:
    """Nearest class mean on the power spectrum beats chance by far: a class is more than its colours."""
    images = decode(textures("val", pictures=8), 84, 1)
    pixels = images.get(np.arange(len(images))).numpy()[:, 0].astype(float)
    spectra = np.log1p(np.abs(np.fft.rfft2(pixels - pixels.mean((1, 2), keepdims=True))))
    features = np.stack([s.reshape(12, 7, -1)[:, :, :42].reshape(12, 7, 6, 7).mean((1, 3)) for s in spectra])
    features = features.reshape(len(images), -1)
    means = np.stack([features[images.indices_of(label)[:4]].mean(0) for label in range(60)])
    queries = np.concatenate([images.indices_of(label)[4:] for label in range(60)])
    predicted = np.linalg.norm(features[queries, None] - means[None], axis=-1).argmin(1)
    assert np.mean(predicted == images.labels[queries]) > 0.25


def test_no_two_pictures_are_equal() -> None:
    images = decode(textures("test", pictures=2), 32, 3)
    assert not images.duplicates
    assert not images.conflicts


def test_settings_without_meaning() -> None:
    with pytest.raises(ValueError, match="pictures must be at least 1, got 0"):
        textures(pictures=0)
    with pytest.raises(SourceError, match="textures: no split 'dev'; there are train, val, test"):
        textures("dev")
