from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from fewshot_film.config.preprocessing import Preprocessing
from fewshot_film.data.pixels import to_array
from fewshot_film.errors import UserError
from fewshot_film.images import (
    IMAGE_SUFFIXES,
    ImageError,
    extent,
    is_heic,
    is_image_name,
    open_image,
    read_image,
    upright,
)
from tests.data.layouts import noise, png


def heic_header(*brands: bytes) -> bytes:
    """The first box of a file in the container that HEIC and AVIF share."""
    body = brands[0] + bytes(4) + b"".join(brands[1:])
    return (8 + len(body)).to_bytes(4, "big") + b"ftyp" + body + bytes(64)


def test_paths_bytes_and_files_hold_the_same_image(tmp_path: Path) -> None:
    data = png(noise(1))
    (tmp_path / "x.png").write_bytes(data)
    for source in (tmp_path / "x.png", str(tmp_path / "x.png"), data, bytearray(data), io.BytesIO(data)):
        np.testing.assert_array_equal(np.asarray(read_image(source)), np.asarray(noise(1)))


@pytest.mark.parametrize(("source", "error", "message"), [
    ("https://example.org/cat.jpg", ImageError, "https://example.org/cat.jpg: is a URL, .*download the file first"),
    ("/no/such.png", FileNotFoundError, "there is no file /no/such.png"),
    ("/", ImageError, "/: is a folder; expected an image file"),
    (b"hello", ImageError, r"the image: is not an image \(no known format\)"),
    (io.StringIO("hello"), ImageError, "opened as text; open it with mode 'rb'"),
])  # fmt: skip
def test_what_is_no_image_says_so(source: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_image(source)


def test_errors_are_for_the_user() -> None:
    with pytest.raises(UserError):
        open_image(b"hello", "x")


def test_a_jpeg_photo_of_108_megapixels_is_read_at_reduced_size() -> None:
    data = png(Image.new("L", (12_000, 9_000), 90), "JPEG")
    image = open_image(data, "photo.jpg")
    assert image.size == (6_000, 4_500)
    assert upright(image, "photo.jpg", channels=1).getpixel((0, 0)) == 90
    assert open_image(data, "photo.jpg", min_side=200).size == (1_500, 1_125)


@pytest.mark.parametrize(("side", "limit", "expected"), [(64, 4096, 64), (64, 4095, 32), (64, 1366, 32)])
def test_a_jpeg_is_reduced_only_as_far_as_the_limit_asks(side: int, limit: int, expected: int) -> None:
    assert open_image(png(noise(1, (side, side)), "JPEG"), "x", max_pixels=limit).size == (expected, expected)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_what_is_far_too_large_is_refused(form: str) -> None:
    with pytest.raises(ImageError, match="x: 64 x 64 pixels are more than the limit of 1365; resize it first"):
        open_image(png(noise(1, (64, 64)), form), "x", max_pixels=1365)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif() -> None:
    data = png(Image.new("RGB", (16, 16), (200, 0, 0)), "AVIF")
    assert not is_heic(data)
    red, green, blue = upright(open_image(data, "x"), "x").getpixel((8, 8))
    assert red > 190
    assert max(green, blue) < 10


@pytest.mark.parametrize(("brands", "expected"), [
    ((b"heic", b"mif1", b"heic"), True),
    ((b"mif1", b"mif1", b"heic"), True),
    ((b"msf1", b"hevc"), True),
    ((b"avif", b"mif1", b"avif"), False),
    ((b"mif1", b"avif"), False),
    ((b"isom", b"mp42"), False),
])  # fmt: skip
def test_heic_is_known_by_its_first_bytes(brands: tuple[bytes, ...], expected: bool) -> None:
    assert is_heic(heic_header(*brands)) is expected
    assert not is_heic(b"ftyp")


def test_heic_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"x.heic: is a HEIC image, .*pip install 'fewshot-film\[heic\]'; or save it"):
        open_image(heic_header(b"heic", b"mif1"), "x.heic")


def test_heic_with_its_package() -> None:
    plugin = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    plugin.from_pillow(Image.new("RGB", (64, 48), (0, 0, 200))).save(buffer)
    assert is_heic(buffer.getvalue())
    image = upright(open_image(buffer.getvalue(), "x"), "x")
    assert image.size == (64, 48)
    assert image.getpixel((32, 24))[2] > 190


def test_images_by_their_names() -> None:
    assert all(is_image_name(f"photos/A{suffix.upper()}") for suffix in IMAGE_SUFFIXES)
    assert {".heic", ".avif", ".jpg", ".png", ".webp"} <= IMAGE_SUFFIXES
    assert not any(map(is_image_name, ("labels.csv", "notes.txt", "paper.pdf", "png", "film.mp4")))


def test_the_reader_is_light() -> None:
    program = "import sys, fewshot_film.images; print(*sorted({'torch', 'torchvision'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def scene(mode: str, size: tuple[int, int]) -> Image.Image:
    """Structure at several scales, and noise."""
    rng, (width, height) = np.random.default_rng(0), size
    pixels = np.full((height, width, 3), 128.0)
    for octave in range(2, 8):
        coarse = rng.normal(127, 40, (max(height >> octave, 2), max(width >> octave, 2), 3)).clip(0, 255)
        fine = Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
        pixels += (np.asarray(fine) - 127.0) * octave / 10
    pixels += rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


def photo(mode: str, size: tuple[int, int], orientation: int) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    scene(mode, size).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(800, 600), (803, 599), (601, 1207)])  # multiples of 8, and next to them
@pytest.mark.parametrize(("resize", "crop", "interpolation"), [
    ("crop", 0.875, "bicubic"), ("crop", 1.0, "bilinear"), ("stretch", 1.0, "bilinear"), ("pad", 1.0, "lanczos"),
])  # fmt: skip
def test_decoded_at_reduced_size_the_pixels_hardly_change(mode, size, resize, crop, interpolation) -> None:
    reads = Preprocessing(64, (0.5,) * 3, (0.5,) * 3, interpolation, resize, crop)
    data = photo(mode, size, 6)
    whole, reduced = open_image(data, "x"), open_image(data, "x", min_side=reads.min_side)
    assert reads.min_side <= min(reduced.size) < min(whole.size)
    one, other = (to_array(image, "x", **reads.pixels).astype(int) for image in (whole, reduced))
    assert np.abs(one - other).mean() < 0.6
    assert np.abs(one - other).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_edge_that_is_not_all_image_is_cut_off_however_the_camera_was_held(orientation: int) -> None:
    data = photo("RGB", (801, 603), orientation)
    whole, reduced = open_image(data, "x"), open_image(data, "x", min_side=75)
    assert reduced.size == (101, 76)
    assert extent(reduced)[2:] == (801 / 8, 603 / 8)
    one, other = upright(whole, "x"), upright(reduced, "x")
    assert extent(one) == (0, 0, *one.size)
    left, top, right, bottom = extent(other)
    assert (right - left, bottom - top) == (one.width / 8, one.height / 8)
    assert extent(upright(other, "x")) == extent(other)
    small = [np.asarray(image.resize((40, 30), box=extent(image))).astype(int) for image in (one, other)]
    assert np.abs(small[0] - small[1]).mean() < 1.5
    shifted = np.asarray(other.resize((40, 30))).astype(int)
    assert np.abs(small[0] - small[1]).mean() < 0.8 * np.abs(small[0] - shifted).mean()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "TIFF"])
def test_other_formats_are_decoded_whole(form: str) -> None:
    image = open_image(png(scene("RGB", (160, 120)), form), "x", min_side=10)
    assert (image.size, extent(image)) == ((160, 120), (0, 0, 160, 120))
