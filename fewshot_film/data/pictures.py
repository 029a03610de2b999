"""One picture: from bytes to an upright 8-bit array of the asked size.

Every mode that Pillow opens has one documented meaning here, and what has none is refused:

- transparent pictures (LA, RGBA, a palette with a transparent entry) are laid on white;
- 16-bit grey is divided by 257, so that 65535 becomes 255; 32-bit integers are taken as 16-bit when their
  values fit and refused otherwise; floating point is refused, as nothing says what its white is;
- 1-bit, palette, CMYK, YCbCr and the rest are converted by Pillow;
- of an animation the first frame counts; an EXIF orientation is applied.
"""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fewshot_film.data.errors import PictureError
from fewshot_film.errors import InvalidValueError

Resize = Literal["stretch", "crop", "pad"]
"""How a picture becomes square: ``stretch`` ignores its proportions (what Omniglot, mini-ImageNet and
Meta-Dataset do), ``crop`` fits the short side and cuts the middle out, ``pad`` fits the long side and fills
with white."""

MAX_PIXELS = 89_478_485
"""Default limit on width times height: where Pillow starts to warn of a decompression bomb. Pillow itself
refuses twice as many, whatever limit is given here."""

_FULL_16_BIT = 65535
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def open_picture(data: bytes, file: str, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode one picture file completely.

    Args:
        data: the file's bytes.
        file: its name, for errors.
        min_side: the picture may be decoded at a lower resolution (JPEG can do so cheaply) as long as no
            side falls below this many pixels.
        max_pixels: width times height that is refused, before any memory is taken.

    Raises:
        PictureError: the bytes are no picture, are cut short or damaged, or have too many pixels.
    """
    try:
        picture = Image.open(io.BytesIO(data))
        check_pixels(picture, file, max_pixels)
        if min_side is not None:
            picture.draft(None, (min_side, min_side))
        picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(file, f"has too many pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise PictureError(file, "is not a picture (no known format)") from error
    except PictureError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds for damaged files, struct.error among them
        raise PictureError(file, f"is damaged or cut short: {error}") from error
    return picture


def to_array(
    picture: Image.Image, file: str, *, image_size: int, channels: int, resize: Resize = "stretch"
) -> np.ndarray:
    """Turn a decoded picture into pixels.

    Args:
        picture: any mode, any size.
        file: its name, for errors.
        image_size: height and width of the result. Resampling is bilinear and antialiased.
        channels: 3 for RGB, 1 for grey (ITU-R 601 luma).
        resize: how it becomes square, see `Resize`.

    Returns:
        ``(channels, image_size, image_size)``, uint8.

    Raises:
        PictureError: the mode has no agreed meaning as a picture, or its pixels cannot be converted.
    """
    try:
        plain = _eight_bit(ImageOps.exif_transpose(picture), file)
        plain = plain.convert("RGB" if channels == 3 else "L")
        pixels = np.asarray(_square(plain, image_size, resize))
    except PictureError:
        raise
    except Exception as error:  # a damaged EXIF block or profile raises whatever its parser raises
        raise PictureError(file, f"cannot be converted: {error}") from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def check_pixels(picture: Image.Image, file: str, max_pixels: int) -> None:
    """Refuse a picture by its size, before its pixels are decoded.

    Raises:
        PictureError: it has more than ``max_pixels``.
    """
    if picture.width * picture.height > max_pixels:
        raise PictureError(
            file,
            f"{picture.width} x {picture.height} pixels are more than the limit of {max_pixels}; raise "
            "max_pixels if this is meant",
        )


def check_settings(image_size: int, channels: int, resize: str) -> None:
    """Refuse settings that `to_array` has no meaning for.

    Raises:
        ValueError: says which setting, and what it may be.
    """
    if image_size < 1:
        raise InvalidValueError(f"image_size must be at least 1, got {image_size}")
    if channels not in (1, 3):
        raise InvalidValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
    if resize not in get_args(Resize):
        raise InvalidValueError(f"resize must be one of {', '.join(get_args(Resize))}, got '{resize}'")


def _eight_bit(picture: Image.Image, file: str) -> Image.Image:
    """The same picture with 8 bits a channel, and opaque."""
    if picture.mode.startswith("I"):
        return _from_16_bit(picture, file)
    if picture.mode == "F":
        raise PictureError(file, "has floating-point pixels: save it with 8 or 16 bits a channel")
    if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, picture)
    return picture


def _from_16_bit(picture: Image.Image, file: str) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > _FULL_16_BIT:
        raise PictureError(file, "has 32-bit pixels beyond 65535: save it with 8 or 16 bits a channel")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _square(picture: Image.Image, size: int, resize: Resize) -> Image.Image:
    if picture.size == (size, size):
        return picture
    method = Image.Resampling.BILINEAR
    if resize == "stretch":
        return picture.resize((size, size), method)
    if resize == "crop":
        return ImageOps.fit(picture, (size, size), method)
    white: int | tuple[int, int, int] = 255 if picture.mode == "L" else (255, 255, 255)
    return ImageOps.pad(picture, (size, size), method, color=white)
