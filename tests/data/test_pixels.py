from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fewshot_film.data.pixels import check_settings, to_array
from fewshot_film.images import ImageError, open_image
from tests.data.layouts import noise, png


def decode(data: bytes, size: int = 8, channels: int = 3, **options: object) -> np.ndarray:
    return to_array(open_image(data, "x"), "x", image_size=size, channels=channels, **options)


def bomb(side: int) -> bytes:
    """A PNG that promises this many pixels a side and holds hardly any."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def test_rgb_of_the_right_size_is_untouched() -> None:
    picture = noise(1)
    np.testing.assert_array_equal(decode(png(picture)), np.asarray(picture).transpose(2, 0, 1))


def test_grey_is_luma() -> None:
    red, green = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 255, 0))
    assert set(decode(png(red), channels=1).ravel()) == {76}
    assert set(decode(png(green), channels=1).ravel()) == {150}
    assert decode(png(red), channels=1).shape == (1, 8, 8)


@pytest.mark.parametrize(("mode", "colour", "expected"), [
    ("1", 1, (255, 255, 255)),
    ("L", 100, (100, 100, 100)),
    ("LA", (0, 255), (0, 0, 0)),
    ("LA", (0, 0), (255, 255, 255)),
    ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
    ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
    ("RGBA", (0, 0, 0, 102), (153, 153, 153)),
    ("I;16", 65535, (255, 255, 255)),
    ("I;16", 257 * 100, (100, 100, 100)),
    ("I", 257 * 100, (100, 100, 100)),
])  # fmt: skip
def test_modes_that_png_and_tiff_have(mode: str, colour: object, expected: tuple[int, ...]) -> None:
    picture = Image.new(mode, (8, 8), colour)
    assert tuple(decode(png(picture, "TIFF"))[:, 4, 4]) == expected


def test_palette_with_a_transparent_entry_is_laid_on_white() -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([9, 9, 9, 200, 0, 0])
    picture.paste(0, (0, 0, 4, 8))
    pixels = decode(png(picture, transparency=0))
    assert tuple(pixels[:, 4, 2]) == (255, 255, 255)
    assert tuple(pixels[:, 4, 6]) == (200, 0, 0)


def test_cmyk() -> None:
    assert tuple(decode(png(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))[:, 0, 0]) == (255, 0, 0)


def test_sixteen_bit_png_keeps_its_greys() -> None:
    values = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    pixels = decode(png(Image.fromarray(values)), channels=1)
    np.testing.assert_array_equal(pixels[0], np.round(values / 257).astype(np.uint8))


def test_pixels_without_a_known_white_are_refused() -> None:
    with pytest.raises(ImageError, match="x: has floating-point pixels: save it with 8 or 16 bits"):
        decode(png(Image.new("F", (8, 8), 0.5), "TIFF"))
    with pytest.raises(ImageError, match="x: has 32-bit pixels beyond 65535"):
        decode(png(Image.new("I", (8, 8), 70000), "TIFF"))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = png(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decode(data)[:, 0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = noise(3, (8, 8))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that the camera would have made
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(png(stored, exif=exif)), np.asarray(upright).transpose(2, 0, 1))


def test_stretch_crop_and_pad() -> None:
    wide = Image.new("RGB", (24, 8), (0, 0, 0))
    wide.paste((200, 0, 0), (8, 0, 16, 8))
    assert decode(png(wide), resize="crop")[0].min() == 200
    stretched, padded = decode(png(wide), size=24), decode(png(wide), size=24, resize="pad")
    assert stretched[0, 0, 0] == 0
    assert stretched[0, 0, 12] == 200
    assert tuple(padded[:, 0, 12]) == (255, 255, 255)
    assert tuple(padded[:, 12, 12]) == (200, 0, 0)


def test_shrinking_is_antialiased() -> None:
    board = Image.fromarray(np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255)
    pixels = decode(png(board), size=8, channels=1)
    assert abs(pixels.astype(int) - 127).max() <= 2


def test_a_large_jpeg_may_be_decoded_at_a_lower_resolution() -> None:
    data = png(Image.radial_gradient("L").resize((512, 512)), "JPEG")
    assert open_image(data, "x", min_side=64).size == (64, 64)
    near = to_array(open_image(data, "x", min_side=64), "x", image_size=32, channels=1)
    far = to_array(open_image(data, "x"), "x", image_size=32, channels=1)
    assert np.abs(near.astype(int) - far.astype(int)).max() <= 8


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files(form: str) -> None:
    data = png(noise(5, (64, 64)), form)
    with pytest.raises(ImageError, match=r"x: is (damaged or cut short|not an image)"):
        open_image(data[: len(data) // 2], "x")


@pytest.mark.parametrize("data", [b"hello", b"<svg></svg>", b"\x00" * 100, b"%PDF-1.4"])
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"x: is not an image \(no known format\)"):
        open_image(data, "x")


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_decompression_bombs_are_refused_before_their_pixels(side: int) -> None:
    with pytest.raises(ImageError, match=f"x: has too many pixels: .*{side**2} pixels"):
        open_image(bomb(side), "x")


def test_max_pixels_is_a_setting() -> None:
    data = png(noise(1, (10, 10)))
    open_image(data, "x", max_pixels=100)
    with pytest.raises(ImageError, match="x: 10 x 10 pixels are more than the limit of 99"):
        open_image(data, "x", max_pixels=99)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_any_damage_is_a_picture_error_or_a_picture(damage: bytes, place: int) -> None:
    data = bytearray(png(noise(1, (16, 16)), "PNG", exif=Image.Exif()))
    data[place : place + len(damage)] = damage
    try:
        assert decode(bytes(data)).shape == (3, 8, 8)
    except ImageError as error:
        assert error.file == "x"  # noqa: PT017


def test_damaged_exif_is_a_picture_error_or_ignored() -> None:
    buffer = io.BytesIO()
    noise(1).save(buffer, "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff\x00")
    try:
        decode(buffer.getvalue())
    except ImageError as error:
        assert "cannot be converted" in error.reason or "damaged" in error.reason  # noqa: PT017


@pytest.mark.parametrize(("settings", "message"), [
    ((0, 3, "stretch"), "image_size must be at least 1, got 0"),
    ((8, 2, "stretch"), r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
    ((8, 3, "fit"), "resize must be one of stretch, crop, pad, got 'fit'"),
])  # fmt: skip
def test_settings_without_meaning(settings: tuple[int, int, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_settings(*settings)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1)])
def test_lines_one_pixel_thin_are_images_and_take_little_memory(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], resize: str
) -> None:
    areas, plain = [], Image.Image.resize

    def watched(picture: Image.Image, size: tuple[int, int], *args: object, **options: object) -> Image.Image:
        areas.append(size[0] * size[1])
        return plain(picture, size, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", watched)
    pixels = decode(png(Image.new("RGB", shape, (200, 0, 0))), size=84, resize=resize, crop=0.875)
    assert (pixels == np.reshape((200, 0, 0), (3, 1, 1))).all(0).any()
    assert max(areas) <= 16 * 96**2
