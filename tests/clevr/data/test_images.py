from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clevr.data.errors import DataError
from clevr.data.images import fit_image, load_images
from clevr.data.reader import ClevrSplit
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render
from tests.clevr.data.builders import write_clevr


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3) * 7 % 256
    return Image.fromarray(values.astype(np.uint8)).convert(mode)


class TestFit:
    def test_the_right_size_stays_as_it_is(self) -> None:
        original = picture(12, 8)
        assert np.array_equal(fit_image(original, 12, 8), np.asarray(original).transpose(2, 0, 1))

    def test_too_high_loses_as_much_above_as_below(self) -> None:
        original = picture(12, 9)
        assert np.array_equal(fit_image(original, 12, 5), np.asarray(original).transpose(2, 0, 1)[:, 2:7])

    def test_too_low_repeats_its_edges(self) -> None:
        original = np.asarray(picture(12, 5)).transpose(2, 0, 1)
        fitted = fit_image(picture(12, 5), 12, 8)
        assert np.array_equal(fitted[:, 1:6], original)
        assert np.array_equal(fitted[:, 0], original[:, 0])
        assert np.array_equal(fitted[:, 6:], original[:, [4, 4]])

    def test_shrinking_averages(self) -> None:
        original = np.asarray(picture(8, 4)).astype(float)
        expected = original.reshape(2, 2, 4, 2, 3).mean((1, 3)).transpose(2, 0, 1)
        assert np.abs(fit_image(picture(8, 4), 4, 2) - expected).max() <= 0.51

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "I;16"])
    def test_every_mode_becomes_rgb(self, mode: str) -> None:
        assert fit_image(Image.new(mode, (6, 4)), 3, 2).shape == (3, 2, 3)

    def test_a_higher_view_of_a_scene_is_cut_to_the_lower_one(self) -> None:
        """What 3:2 shows of a scene is the middle of what 4:3 shows."""
        scenes = Scenes(3, "train", SceneConfig()).batch(range(1))
        high, low = (render(scenes, 96, height)[0].numpy() for height in (72, 64))
        cut = fit_image(Image.fromarray(high.transpose(1, 2, 0)), 96, 64)
        assert np.abs(cut.astype(int) - low.astype(int)).mean() < 0.1


class TestLoad:
    def test_in_the_order_asked_for_and_once(self, tmp_path: Path) -> None:
        split = ClevrSplit.open(write_clevr(tmp_path / "data", num_scenes=3), "val")
        folder = tmp_path / "data/images/val"
        for number, value in enumerate((10, 20, 30)):
            Image.new("RGB", (12, 8), (value, 0, 0)).save(folder / f"CLEVR_val_{number:06d}.png")
        names = [f"CLEVR_val_{number:06d}.png" for number in (2, 0, 1)]
        found = load_images(split, names, 6, 4, tmp_path / "cache")
        assert found.shape == (3, 3, 4, 6)
        assert found[:, 0, 0, 0].tolist() == [30, 10, 20]
        kept = next((tmp_path / "cache").iterdir())
        written = kept.stat().st_mtime_ns
        assert np.array_equal(load_images(split, names, 6, 4, tmp_path / "cache"), found)
        assert kept.stat().st_mtime_ns == written

    def test_a_changed_picture_is_decoded_again(self, tmp_path: Path) -> None:
        split = ClevrSplit.open(write_clevr(tmp_path / "data"), "val")
        names = ["CLEVR_val_000000.png", "CLEVR_val_000001.png"]
        before = load_images(split, names, 12, 8, tmp_path / "cache")[0, 0, 0, 0]
        Image.new("RGB", (12, 8), (200, 0, 0)).save(tmp_path / "data/images/val" / names[0])
        after = load_images(split, names, 12, 8, tmp_path / "cache")[0, 0, 0, 0]
        assert (before, after) == (90, 200)

    def test_what_is_no_picture_is_named_and_leaves_nothing(self, tmp_path: Path) -> None:
        split = ClevrSplit.open(write_clevr(tmp_path / "data"), "val")
        (tmp_path / "data/images/val/CLEVR_val_000001.png").write_bytes(b"GIF89a, or not")
        with pytest.raises(DataError, match=r"CLEVR_val_000001.png: not a complete image"):
            load_images(split, ["CLEVR_val_000000.png", "CLEVR_val_000001.png"], 6, 4, tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []

    def test_a_full_disk_is_an_error_and_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Writing to a map that has no room behind it would kill the process."""

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        split = ClevrSplit.open(write_clevr(tmp_path / "data"), "val")
        monkeypatch.setattr("os.posix_fallocate", full)
        with pytest.raises(OSError, match="No space left on device"):
            load_images(split, ["CLEVR_val_000000.png"], 6, 4, tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []

    def test_a_damaged_cache_is_named(self, tmp_path: Path) -> None:
        split, names = ClevrSplit.open(write_clevr(tmp_path / "data"), "val"), ["CLEVR_val_000000.png"]
        load_images(split, names, 6, 4, tmp_path / "cache")
        kept = next((tmp_path / "cache").iterdir())
        kept.write_bytes(kept.read_bytes()[:20])
        with pytest.raises(DataError, match=r"is damaged \(.*\); remove it, and it is made again"):
            load_images(split, names, 6, 4, tmp_path / "cache")
