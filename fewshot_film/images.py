"""The one reader of image files, for both halves: from a path or bytes to an upright image with 8 bits per channel.

Every mode that Pillow opens has one documented meaning here, and what has none is refused:

- transparent images (LA, RGBA, a palette with a transparent entry) are laid on white;
- 16-bit grey is divided by 257, so that 65535 becomes 255; 32-bit integers are taken as 16-bit when their
  values fit and refused otherwise; floating point is refused, as nothing says what its white is;
- 1-bit, palette, CMYK, YCbCr and the rest are converted by Pillow;
- of an animation the first frame counts; an EXIF orientation is applied.

JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF and the rest of Pillow's formats are read; HEIC with the extra ``heic``.
"""

from __future__ import annotations

import importlib
import io
import os
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

from fewshot_film.errors import MissingFileError, UserError

MAX_PIXELS = 89_478_485
"""Default limit on width times height: where Pillow starts to warn of a decompression bomb. Pillow itself
refuses twice as many, whatever limit is given here; a JPEG may have :data:`JPEG_FACTOR` times the limit."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Per channel of RGB in [0, 1], over ImageNet's training images."""

JPEG_FACTOR = 3
"""A JPEG with up to this many times the allowed pixels is decoded at a half, a quarter or an eighth of its size,
which takes the memory of the reduced image only: cameras of phones make images of 108 and 200 megapixels."""

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".avif",
        ".avifs",
        ".heic",
        ".heics",
        ".heif",
        ".heifs",
        ".hif",
        ".bmp",
        ".dib",
        ".gif",
        ".tif",
        ".tiff",
        ".tga",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".jpx",
        ".pcx",
        ".ico",
        ".mpo",
    ]
)
"""Endings, in lower case, of what is an image by its name."""

HEIC_COMMAND = "pip install 'fewshot-film[heic]'"
"""What installs the reader of HEIC."""

_FULL_16_BIT = 65535
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_JPEG_START = b"\xff\xd8\xff"
_JPEG_SCALES = (2, 4, 8)
_EXTENT = "extent"
_ORIENTATION = 0x0112
_TURNS = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""What an EXIF orientation does: swaps the axes, then mirrors the horizontal, then the vertical one."""


class ImageError(UserError, ValueError):
    """One image cannot be used.

    Attributes:
        file: its name, as the user knows it.
        reason: why it cannot be used, without the name.
    """

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its name's ending."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def read_image(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
    name: str = "",
    *,
    min_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Decode an image from a path, from the bytes of a file, or from a binary file object.

    Args:
        source: where it is; a file object is read from where it stands to its end.
        name: what to call it in errors; by default its path, or "the image".
        min_side: see :func:`open_image`.
        max_pixels: see :func:`open_image`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: it is a URL or a folder, or see :func:`open_image`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return open_image(bytes(source), name or "the image", min_side=min_side, max_pixels=max_pixels)
    if not isinstance(source, str | os.PathLike):
        data = source.read()
        if not isinstance(data, bytes):
            raise ImageError(name or "the image", "is a file opened as text; open it with mode 'rb'")
        return open_image(data, name or "the image", min_side=min_side, max_pixels=max_pixels)
    if is_url(source):
        raise ImageError(
            str(source), "is a URL, and nothing is downloaded here; download the file first and give its path or bytes"
        )
    path = Path(source)
    if path.is_dir():
        raise ImageError(name or str(path), "is a folder; expected an image file, such as one of those in it")
    if not path.is_file():
        raise MissingFileError(f"{name}: there is no file {path}" if name else f"there is no file {path}")
    return open_image(path.read_bytes(), name or str(path), min_side=min_side, max_pixels=max_pixels)


def is_url(source: object) -> bool:
    """Whether it is the address of something on a network, which is never fetched here."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://", "ftp://", "s3://", "gs://"))


def open_image(data: bytes, file: str, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode one image file completely, in the mode and orientation that it has.

    Args:
        data: the file's bytes.
        file: its name, for errors.
        min_side: the image may be decoded at a lower resolution (JPEG can do so cheaply) as long as no
            side falls below this many pixels.
        max_pixels: width times height that is refused, before any memory is taken. A JPEG with up to
            :data:`JPEG_FACTOR` times as many is reduced to fit instead.

    Raises:
        ImageError: the bytes are no image, are cut short or damaged, have too many pixels, or are HEIC and the
            extra ``heic`` is not installed.
    """
    try:
        image = _opened(data, file)
        _draft(image, file, min_side, max_pixels)
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(file, f"has too many pixels: {error}; resize it first") from error
    except UnidentifiedImageError as error:
        raise ImageError(file, "is not an image (no known format)") from error
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds for damaged files, struct.error among them
        raise ImageError(file, f"is damaged or cut short: {error}") from error
    return image


def upright(image: Image.Image, file: str, *, channels: int = 3) -> Image.Image:
    """The same image turned by its EXIF orientation, opaque, with 8 bits per channel.

    Args:
        image: any mode, any size.
        file: its name, for errors.
        channels: 3 for RGB, 1 for grey (ITU-R 601 luma).

    Raises:
        ImageError: the mode has no agreed meaning as an image, or its pixels cannot be converted.
    """
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        turned = ImageOps.exif_transpose(image) if orientation != 1 else image  # a copy, even of what stands upright
        found = _eight_bit(turned, file).convert("RGB" if channels == 3 else "L")
        if _EXTENT in image.info:
            found.info[_EXTENT] = _turned(extent(image), image.size, orientation)
        return found
    except ImageError:
        raise
    except Exception as error:  # a damaged EXIF block or profile raises whatever its parser raises
        raise ImageError(file, f"cannot be converted: {error}") from error


def extent(image: Image.Image) -> tuple[float, float, float, float]:
    """Left, upper, right and lower edge of what an image shows, for the ``box`` of :meth:`PIL.Image.Image.resize`.

    Where a JPEG was decoded at a quarter of a width that is no multiple of 4, say, its last column is not all image:
    to take it for that would move everything by up to one pixel. The whole image otherwise.
    """
    found: tuple[float, float, float, float] = image.info.get(_EXTENT, (0, 0, *image.size))
    return found


def check_pixels(image: Image.Image, file: str, max_pixels: int) -> None:
    """Refuse an image by its size, before its pixels are decoded.

    Raises:
        ImageError: it has more than ``max_pixels``.
    """
    if image.width * image.height > max_pixels:
        raise ImageError(
            file,
            f"{image.width} x {image.height} pixels are more than the limit of {max_pixels}; resize it first",
        )


def _opened(data: bytes, file: str) -> Image.Image:
    """The image with its header read, and no pixel decoded."""
    if data.startswith(_JPEG_START):
        # not by Image.open, which refuses or warns by the full size, whatever size the file is decoded at
        return JpegImagePlugin.jpeg_factory(io.BytesIO(data))
    if is_heic(data):
        _register_heic(file)
    return Image.open(io.BytesIO(data))


def _draft(image: Image.Image, file: str, min_side: int | None, max_pixels: int) -> None:
    """Have a JPEG decoded at a lower resolution where that is wanted or needed; refuse what stays too large.

    Its :func:`extent` is kept with it.
    """
    width, height = image.size
    scale = min(width, height) // min_side if min_side is not None else 1
    if isinstance(image, JpegImagePlugin.JpegImageFile) and max_pixels < width * height <= JPEG_FACTOR * max_pixels:
        scale = max(scale, next((by for by in _JPEG_SCALES if width * height <= by * by * max_pixels), 1))
    else:
        check_pixels(image, file, max_pixels)
    if scale > 1:
        reduced = image.draft(None, (max(width // scale, 1), max(height // scale, 1)))
        if reduced is not None:
            image.info[_EXTENT] = reduced[1]


def _turned(
    box: tuple[float, float, float, float], size: tuple[int, int], orientation: int | None
) -> tuple[float, float, float, float]:
    """Where a box of an image of that size lies after it was turned upright."""
    left, top, right, bottom = box
    width, height = size
    swapped, mirrored, upside_down = _TURNS.get(orientation or 1, (False, False, False))
    if swapped:
        left, top, right, bottom, width, height = top, left, bottom, right, height, width
    if mirrored:
        left, right = width - right, width - left
    if upside_down:
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def is_heic(data: bytes) -> bool:
    """Whether a file is HEIC by its first bytes; AVIF, which has the same container, is not."""
    if data[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = {data[8:12], *(data[place : place + 4] for place in range(16, length, 4))}
    return not brands & {b"avif", b"avis"} and bool(brands & _HEIC_BRANDS)


def _register_heic(file: str) -> None:
    """Have Pillow read HEIC.

    Raises:
        ImageError: the package that does so is not installed.
    """
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ImageError(
            file, f"is a HEIC image, which needs the extra 'heic': {HEIC_COMMAND}; or save it as JPEG"
        ) from error
    if "HEIF" not in Image.OPEN:
        plugin.register_heif_opener()


def _eight_bit(image: Image.Image, file: str) -> Image.Image:
    """The same image with 8 bits per channel, and opaque."""
    if image.mode.startswith("I"):
        return _from_16_bit(image, file)
    if image.mode == "F":
        raise ImageError(file, "has floating-point pixels: save it with 8 or 16 bits per channel")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image)
    return image


def _from_16_bit(image: Image.Image, file: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _FULL_16_BIT:
        raise ImageError(file, "has 32-bit pixels beyond 65535: save it with 8 or 16 bits per channel")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
