from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fewshot_film.data import SourceError, decode
from fewshot_film.data import glyphs as module
from fewshot_film.data.glyph_selection import ALIKE, FONTS, select_characters
from fewshot_film.data.glyphs import GlyphVariation, distort, draw, glyph_split, glyphs
from fewshot_film.data.splits import published


def test_classes_are_characters_and_alphabets_are_of_one_part() -> None:
    split = glyph_split()
    alphabets = {part: {name.split("/")[0] for name in names} for part, names in split.items()}
    assert not alphabets["train"] & alphabets["val"]
    assert not alphabets["train"] & alphabets["test"]
    assert "Latin/A" in split["train"]
    assert "Armenian/Ա" in split["test"]
    for homoglyph in ("Greek/Α", "Cyrillic/А", "Latin/O", "Cyrillic/О"):
        assert all(homoglyph not in names for names in split.values())


def test_pictures_depend_on_seed_class_and_number_alone() -> None:
    everything, test = glyphs(), glyphs("test", pictures=3)
    name = test.class_names[7]
    here, there = test.class_names.index(name) * 3 + 2, everything.class_names.index(name) * 20 + 2
    assert test.load(here).tobytes() == everything.load(there).tobytes() == test.load(here).tobytes()
    assert test.load(here).tobytes() != glyphs("test", pictures=3, seed=1).load(here).tobytes()
    assert test.files[here] == f"{name}/0002"


def test_pictures_are_black_ink_on_white() -> None:
    images = decode(glyphs("val", pictures=2), 84, 1)
    assert not images.duplicates
    assert not images.conflicts
    pixels = images.get(np.arange(len(images))).float()
    assert (pixels.mean((1, 2, 3)) > 120).all()
    ink = (pixels < 128).float().mean((1, 2, 3))
    assert ink.min() > 0.01
    border = np.concatenate([pixels[:, 0, :3].reshape(-1), pixels[:, 0, :, -3:].reshape(-1)])
    assert np.mean(border < 128) < 0.01


def test_an_undistorted_character_fills_its_box() -> None:
    rows, columns = np.nonzero(np.asarray(draw("I", "DejaVuSans")) > 127)
    assert abs(int(np.ptp(rows)) - module.GLYPH) <= 2
    assert abs((rows.min() + rows.max()) / 2 - module.PAPER / 2) <= 1.5
    assert np.ptp(columns) < np.ptp(rows) / 3


def test_no_variation_gives_the_drawing_itself() -> None:
    none = GlyphVariation(rotate=0, scale=0, shear=0, translate=0, bend=0, stroke=0)
    straight = 255 - np.asarray(distort(draw("R", "DejaVuSans"), none, np.random.default_rng(0))).astype(int)
    expected = np.asarray(draw("R", "DejaVuSans").resize((84, 84))).astype(int)
    assert np.abs(straight - expected).mean() < 4
    bent = distort(draw("R", "DejaVuSans"), replace(none, bend=0.05), np.random.default_rng(0))
    assert np.abs(255 - np.asarray(bent).astype(int) - expected).mean() > 6


def test_strokes_are_widened() -> None:
    thin, thick = (np.asarray(draw("L", "DejaVuSans", stroke)).sum() for stroke in (0, 3))
    assert thick > 1.2 * thin


def test_fingerprint_follows_the_settings() -> None:
    prints = {
        source.fingerprint() for source in (
            glyphs("val"), glyphs("val", seed=1), glyphs("val", pictures=21), glyphs("test"),
            glyphs("val", variation=GlyphVariation(rotate=1)),
        )
    }  # fmt: skip
    assert len(prints) == 5


@pytest.mark.slow
def test_the_shipped_list_is_what_the_selection_gives() -> None:
    assert select_characters() == published("glyphs")


@pytest.mark.slow
def test_no_two_characters_are_drawn_alike() -> None:
    names = [name for part in glyph_split().values() for name in part]
    fonts = {name: entry["fonts"][0] for part in published("glyphs").values() for name, entry in part.items()}
    drawings = [
        np.asarray(draw(name[-1], fonts[name.split("/")[0]]), np.float64).reshape(32, 4, 32, 4) for name in names
    ]
    flat = np.stack([drawing.mean((1, 3)).ravel() for drawing in drawings])
    flat -= flat.mean(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    correlation = flat @ flat.T - np.eye(len(flat))
    assert correlation.max() < ALIKE + 0.02


def test_every_font_has_every_character() -> None:
    from matplotlib.ft2font import FT2Font

    coverage = {font: set(FT2Font(module.font_folder() / f"{font}.ttf").get_charmap()) for font in FONTS}
    for alphabets in published("glyphs").values():
        for entry in alphabets.values():
            for font in entry["fonts"]:
                assert set(map(ord, entry["characters"])) <= coverage[font]


def test_settings_without_meaning() -> None:
    with pytest.raises(ValueError, match="pictures must be at least 1, got 0"):
        glyphs(pictures=0)
    with pytest.raises(SourceError, match="glyphs: no split 'dev'; there are test, train, val"):
        glyphs("dev")


def test_without_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(SourceError, match="drawn from matplotlib's fonts; run: pip install matplotlib"):
        glyphs("val")


def test_matplotlib_and_torchvision_are_not_imported_to_draw() -> None:
    code = (
        "import sys; from fewshot_film.data import open_source; open_source('glyphs', split='val').load(0); "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
