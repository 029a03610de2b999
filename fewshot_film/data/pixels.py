"""One image as the learners read it: a square 8-bit array of the asked size.

What the files may be, and what every mode means, is said in `fewshot_film.images`, which reads them.
"""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
from PIL import Image, ImageOps

from fewshot_film.config.preprocessing import Interpolation, Resize
from fewshot_film.errors import InvalidValueError
from fewshot_film.images import ImageError, extent, upright


def to_array(
    picture: Image.Image,
    file: str,
    *,
    image_size: int,
    channels: int,
    resize: Resize = "stretch",
    interpolation: Interpolation = "bilinear",
    crop: float = 1.0,
) -> np.ndarray:
    """Turn a decoded image into pixels.

    Args:
        picture: any mode, any size.
        file: its name, for errors.
        image_size: height and width of the result. What has that size already is taken as it is.
        channels: 3 for RGB, 1 for grey (ITU-R 601 luma).
        resize: how it becomes square, see `fewshot_film.config.preprocessing.Resize`.
        interpolation: resampling filter, antialiased.
        crop: share of the square's side that is kept, from its middle.

    Returns:
        ``(channels, image_size, image_size)``, uint8.

    Raises:
        ImageError: the mode has no agreed meaning as an image, or its pixels cannot be converted.
    """
    try:
        pixels = np.asarray(_square(upright(picture, file, channels=channels), image_size, resize, interpolation, crop))
    except ImageError:
        raise
    except Exception as error:  # no memory for it, say
        raise ImageError(file, f"cannot be converted: {error}") from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


MOST_SIDES = 16
"""An image longer than so many of its short sides is cut before it is scaled up, which could take all memory."""


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


def _square(picture: Image.Image, size: int, resize: Resize, interpolation: Interpolation, crop: float) -> Image.Image:
    """The image at ``size / crop``, as ``resize`` says, and of that the middle: as torchvision and timm do it."""
    if picture.size == (size, size):
        return picture
    method = Image.Resampling[interpolation.upper()]
    whole = math.floor(size / crop + 1e-6)
    box = left, top, right, bottom = extent(picture)
    width, height = right - left, bottom - top
    if resize == "stretch":
        scaled = picture.resize((whole, whole), method, box)
    elif resize == "pad":
        longest = max(width, height)
        shape = [max(1, round(side / longest * whole)) for side in (width, height)]
        fitting = picture.resize((shape[0], shape[1]), method, box)
        white: int | tuple[int, int, int] = 255 if picture.mode == "L" else (255, 255, 255)
        scaled = ImageOps.pad(fitting, (whole, whole), method, color=white)
    elif whole == size:
        side = min(width, height)
        left, top = left + (width - side) / 2, top + (height - side) / 2
        return picture.resize((size, size), method, (left, top, left + side, top + side))
    else:
        most = MOST_SIDES * min(width, height)
        left, top = left + max(width - most, 0) / 2, top + max(height - most, 0) / 2
        width, height = min(width, most), min(height, most)
        shape = [int(whole * side / min(width, height)) for side in (width, height)]
        scaled = picture.resize((shape[0], shape[1]), method, (left, top, left + width, top + height))
    left, top = (round((side - size) / 2) for side in scaled.size)
    return scaled.crop((left, top, left + size, top + size))
