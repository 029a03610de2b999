"""Folders as people have them, and as nobody should: a right answer or an error that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot_film.data import SourceError, decode, open_source
from fewshot_film.episodes import EpisodeSampler, MetaDatasetSampler
from tests.data.layouts import blank_set, class_files, noise, pack, png, write


def test_one_class(tmp_path: Path) -> None:
    images = decode(open_source("folder", write(tmp_path, class_files(["cat"], 4))), 8, 3)
    assert images.class_names == ("cat",)
    episode = EpisodeSampler(images, way=1, shot=1, query=3)[0]
    assert episode.query_labels.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="way is 5, more than the 1 class of the images"):
        EpisodeSampler(images, way=5, shot=1, query=3)
    with pytest.raises(ValueError, match="an episode has at least 5 classes, there are only 1"):
        MetaDatasetSampler(images)


def test_one_picture(tmp_path: Path) -> None:
    images = decode(open_source("folder", write(tmp_path, class_files(["cat"], 1))), 8, 3)
    assert len(images) == 1
    message = r"class 'cat' has 1 usable image, but an episode needs 2 \(1 support and 1 query\); 1 of 1 classes"
    with pytest.raises(SourceError, match=message):
        EpisodeSampler(images, way=1, shot=1, query=1)


def test_a_picture_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    root = write(tmp_path, {"cat/1.png": png(noise(1)), "cat/copy of 1.png": png(noise(1), "BMP")})
    with pytest.raises(SourceError, match="class 'cat' has 1 usable image, but an episode needs 2"):
        EpisodeSampler(decode(open_source("folder", root), 8, 3), way=1, shot=1, query=1)


def test_five_thousand_classes(tmp_path: Path) -> None:
    files = {}
    for number in range(5000):
        colour = number % 256, number // 256, 0
        files[f"class {number:04d}/1.bmp"] = png(Image.new("RGB", (1, 1), colour), "BMP")
    source = open_source("folder", pack(tmp_path / "many.zip", files))
    images = decode(source, 1, 3)
    assert len(images.class_names) == len(images) == 5000
    assert images.get(np.array([4999]))[0, :, 0, 0].tolist() == [4999 % 256, 4999 // 256, 0]
    assert images.conflicts == ()


def test_episodes_of_five_thousand_classes() -> None:
    images = blank_set([2] * 5000)
    episode = EpisodeSampler(images, way=5000, shot=1, query=1)[3]
    assert episode.way == 5000
    assert sorted(episode.class_names) == sorted(images.class_names)
    assert torch.equal(episode.support_labels, torch.arange(5000))
    assert 5 <= MetaDatasetSampler(images)[0].way <= 50
    assert len(images.select(images.class_names[::2]).class_names) == 2500


def mixed() -> dict[str, bytes]:
    """One dark red, or dark, image in every form that people have."""
    red, grey = (120, 0, 0), 36  # ITU-R 601: 0.299 of 120
    frames = [Image.new("RGB", (6, 6), colour) for colour in (red, (0, 0, 250))]
    alpha = Image.new("RGBA", (6, 6), (*red, 255))
    palette = Image.new("RGB", (6, 6), red).quantize(4)
    deep = Image.fromarray(np.full((6, 6), 257 * grey, np.uint16))
    return {
        "rgb.png": png(Image.new("RGB", (6, 6), red)),
        "grey.png": png(Image.new("L", (9, 5), grey)),
        "alpha.png": png(alpha),
        "grey with alpha.png": png(Image.new("LA", (6, 6), (grey, 255))),
        "palette.gif": png(palette, "GIF"),
        "sixteen bit.png": png(deep),
        "sixteen bit.tif": png(deep, "TIFF"),
        "cmyk.tif": png(Image.new("CMYK", (6, 6), (0, 255, 255, 135)), "TIFF"),
        "animated.gif": png(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated.webp": png(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "animated.png": png(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "pages.tif": png(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "ycbcr.jpg": png(Image.new("RGB", (6, 6), red), "JPEG", quality=95),
        "cmyk.jpg": png(Image.new("CMYK", (6, 6), (0, 255, 255, 135)), "JPEG", quality=95),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_all_modes_side_by_side(tmp_path: Path, channels: int) -> None:
    files = {f"thing/{name}": data for name, data in mixed().items()}
    images = decode(open_source("folder", write(tmp_path, files)), 4, channels, on_duplicate="keep", on_bad="raise")
    assert len(images) == len(files)
    for index, file in enumerate(images.files):
        pixels = images.get(np.array([index]))[0].float().mean((1, 2))
        is_grey = "grey" in file or "sixteen" in file
        expected = [36.0] * channels if is_grey or channels == 1 else [120.0, 0.0, 0.0]
        assert np.allclose(pixels.numpy(), expected, atol=4), file


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("files", [{}, {"readme.txt": b"x"}, {"picture.png": png(noise(1))}])
def test_a_folder_of_nothing(tmp_path: Path, kind: str, files: dict[str, bytes]) -> None:
    root = write(tmp_path / "p", files) if kind == "folder" else pack(tmp_path / "p.zip", files)
    if kind == "folder":
        root.mkdir(exist_ok=True)
    with pytest.raises(
        FileNotFoundError, match=r"Looked for a folder or zip with <class>/<image>, or .* How to get it: "
    ):
        open_source("folder", root)


def test_class_folders_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"Looked for a folder or zip with <class>/<image>.* Found 2 folders: cat, dog"
    ):
        open_source("folder", tmp_path)


def test_class_folders_without_a_picture(tmp_path: Path) -> None:
    half = png(noise(1))[:40]
    root = write(tmp_path / "p", {"cat/notes.txt": b"miaow", "dog/empty.png": b"", "dog/half.png": half})
    message = r"p: none of 3 files is a usable image; cat/notes.txt: is not an image .*; dog/empty.png: "
    with pytest.raises(SourceError, match=message):
        decode(open_source("folder", root), 8, 3)


def test_a_class_whose_pictures_are_all_bad_is_named_when_it_is_drawn_from(tmp_path: Path) -> None:
    root = write(tmp_path / "p", {**class_files("ab", 3), "c/1.png": b"x", "c/2.png": b"y"})
    images = decode(open_source("folder", root), 8, 3)
    assert images.class_sizes.tolist() == [3, 3, 0]
    with pytest.raises(SourceError, match=r"class 'c' has 0 usable images.*images.with_at_least\(2\)"):
        EpisodeSampler(images, way=2, shot=1, query=1)
    assert EpisodeSampler(images.with_at_least(2), way=2, shot=1, query=1)[0].way == 2


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(png(noise(1), "JPEG"))
    with pytest.raises(SourceError, match=r"photo.jpg' is neither a folder nor a zip file: name a folder with one"):
        open_source("folder", tmp_path / "photo.jpg")
