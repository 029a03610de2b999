from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.clevr_familiarity import read_images


def test_images_are_read_alike_from_a_folder_and_a_zip(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGBA", (3, 2), (255, 0, 0, 0)).save(folder / "a.png")  # transparent: white
    turned = Image.new("RGB", (3, 2), "blue")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "b.webp", lossless=True, exif=exif)
    (folder / "notes.txt").write_text("no image")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    for path in (folder, tmp_path / "images.zip"):
        transparent, upright = read_images(path, 10)
        assert transparent.getpixel((0, 0)) == (255, 255, 255)
        assert upright.size == (2, 3)
        assert np.asarray(upright).shape == (3, 2, 3)
        assert len(list(read_images(path, 1))) == 1
