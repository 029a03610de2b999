"""Images, labels and sample weights as people have them, read into what the network takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeGuard

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fewshot_film.config.preprocessing import Interpolation, Resize
from fewshot_film.data.pixels import to_array
from fewshot_film.errors import InvalidValueError, shown
from fewshot_film.images import ImageError, read_image
from fewshot_film.run.workers import available_cores

Labels = list[Hashable]
KINDS = (
    "paths, bytes of image files or binary file objects, PIL images, NumPy arrays (H, W), (H, W, C) or "
    "(N, H, W, C), or tensors (C, H, W) or (N, C, H, W), with 1, 3 or 4 channels"
)
_CHANNELS = (1, 3, 4)
LEAST_WEIGHT, MOST_WEIGHT = 1e-18, 1e12
"""Of an image that counts at all; every method can compute with weights in between, some cannot beyond."""
_WEIGHTS = f"0, or a number from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}"


def read_images(
    images: Any,
    image_size: int,
    channels: int,
    resize: Resize = "stretch",
    interpolation: Interpolation = "bilinear",
    crop: float = 1.0,
) -> Tensor:
    """Convert images of any kind to one tensor.

    Integers stand for 0 to 255 (uint16: to 65535), floating-point numbers for 0 to 1; the fourth channel is opacity,
    laid on white. A file, a PIL image and an array with the same pixels come to the same result.

    Args:
        images: one image or many: paths, the bytes of image files, binary file objects (`io.BytesIO`), PIL
            images, NumPy arrays ``(H, W)`` or ``(H, W, C)``, tensors ``(C, H, W)``, in any mixture; or all in
            one array ``(N, H, W, C)`` or tensor ``(N, C, H, W)``.
        image_size: height and width to bring them to.
        channels: 3 for RGB, 1 for grey.
        resize: how an image becomes square, see `fewshot_film.config.preprocessing.Resize`.
        interpolation: resampling filter.
        crop: share of the square's side that is kept, from its middle.

    Returns:
        ``(N, channels, image_size, image_size)``, uint8.

    Raises:
        ImageError: one of them cannot be used; says which and why.
        FileNotFoundError: a path leads nowhere.
        ValueError: there is no image, or something else than images.
    """
    if _is_read(images, (channels, image_size, image_size)):
        return images.detach().cpu().clone()  # it is kept, and the caller may change it
    items = _as_list(images)
    if not items:
        raise InvalidValueError(f"there are no images; expected at least one of {KINDS}")

    shape: dict[str, Any] = {"image_size": image_size, "channels": channels, "resize": resize}
    return _stacked(items, round(image_size / crop), partial(to_array, **shape, interpolation=interpolation, crop=crop))


def _stacked(items: Sequence[Any], side: int, pixels: Callable[[Image.Image, str], np.ndarray]) -> Tensor:
    """Images as one tensor, read at no less than twice ``side``, several at a time."""

    def read(index: int) -> np.ndarray:
        return pixels(*_open(items[index], index, side))

    if len(items) == 1:
        return torch.from_numpy(read(0)[None].copy())
    first: dict[int, int] = {}
    places = [first.setdefault(id(item), index) for index, item in enumerate(items)]
    with ThreadPoolExecutor(min(8, available_cores())) as pool:  # Pillow frees the interpreter's lock
        # an object that is given twice is read once: a PIL image that two threads decode at a time is damaged
        rows = dict(zip(first.values(), pool.map(read, first.values()), strict=True))
    return torch.from_numpy(np.stack([rows[place] for place in places]))


def _is_read(images: Any, shape: tuple[int, ...]) -> TypeGuard[Tensor]:
    """Whether images are what reading them would make of them: many of the network's size and channels."""
    return isinstance(images, Tensor) and images.dtype == torch.uint8 and images.shape[1:] == shape and len(images) > 0


def _as_list(images: Any) -> Sequence[Any]:
    """One entry an image."""
    if isinstance(images, set | frozenset):
        raise InvalidValueError(
            "images are a set, whose order is not that of labels or answers; expected a list, such as sorted(images)"
        )
    if isinstance(images, str | os.PathLike | Image.Image | bytes | bytearray | memoryview) or _is_file(images):
        return [images]
    if isinstance(images, Tensor):
        images = images.detach().cpu()
        return [images] if images.ndim in (2, 3) else list(images) if images.ndim == 4 else _refuse(images.shape)
    if isinstance(images, np.ndarray) and images.dtype != object:
        if images.dtype.kind in "US":
            return images.ravel().tolist()
        if images.ndim == 2 or (images.ndim == 3 and images.shape[2] in _CHANNELS):
            return [images]
        return list(images) if images.ndim in (3, 4) else _refuse(images.shape)
    try:
        return list(images)
    except TypeError:
        raise InvalidValueError(f"a {type(images).__name__} holds no images; expected {KINDS}") from None


def _is_file(thing: Any) -> bool:
    """Whether it is a file object, such as `io.BytesIO`; some are iterable too, line by line."""
    return callable(getattr(thing, "read", None)) and not isinstance(thing, np.ndarray)


def _refuse(shape: Sequence[int]) -> Sequence[Any]:
    raise InvalidValueError(f"an array of shape {tuple(shape)} holds no images; expected {KINDS}")


def _open(image: Any, index: int, image_size: int) -> tuple[Image.Image, str]:
    """One image, and what to call it in an error."""
    name = f"image {index}"
    if isinstance(image, Image.Image):
        return image, name
    if isinstance(image, bytes | bytearray | memoryview) or _is_file(image):
        return read_image(image, name, min_side=2 * image_size), name
    if isinstance(image, str | os.PathLike):
        return read_image(image, min_side=2 * image_size), str(image)
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image.float() if image.dtype in (torch.bfloat16, torch.float16) else image
        pixels = image.numpy()
        return _from_array(pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels, name, "(C, H, W)"), name
    if isinstance(image, np.ndarray) and image.dtype.kind in "buif":
        return _from_array(image, name, "(H, W, C)"), name
    raise InvalidValueError(f"{name} is of type {type(image).__name__}; expected {KINDS}")


def _from_array(pixels: np.ndarray, name: str, order: str) -> Image.Image:
    """An image of an array ``(H, W)`` or ``(H, W, C)``."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or pixels.size == 0 or (pixels.ndim == 3 and pixels.shape[2] not in _CHANNELS):
        expected = f"expected (H, W) or {order} with C one of 1, 3, 4{_hint(pixels, order)}"
        raise ImageError(name, f"has shape {_shape(pixels, order)}; {expected}")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)  # TIFF files are often read as they are
    if pixels.dtype == np.uint16 and pixels.ndim == 2:
        return Image.fromarray(pixels)
    return Image.fromarray(np.ascontiguousarray(_eight_bit(pixels, name)))


def _shape(pixels: np.ndarray, order: str) -> tuple[int, ...]:
    """The shape as it was given."""
    shape = pixels.shape
    return (shape[2], *shape[:2]) if order == "(C, H, W)" and len(shape) == 3 else shape


def _hint(pixels: np.ndarray, order: str) -> str:
    if pixels.ndim != 3:
        return ""
    if order == "(H, W, C)" and pixels.shape[0] in _CHANNELS:
        return "; channels come last in arrays: pass numpy.moveaxis(images, -3, -1), or a tensor"
    if order == "(C, H, W)" and pixels.shape[1] in _CHANNELS:
        return "; channels come first in tensors: pass images.movedim(-1, -3), or an array"
    return ""


def _eight_bit(pixels: np.ndarray, name: str) -> np.ndarray:
    """Values as uint8, whatever they were counted in."""
    if pixels.dtype == np.uint8:
        return pixels
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f":
        if not (low >= 0 and high <= 1):  # NaN fails too
            raise ImageError(
                name,
                f"has values from {low:.6g} to {high:.6g}; floating-point images go from 0 to 1: divide them, or "
                "pass uint8",
            )
        scaled: np.ndarray = np.rint(pixels * 255).astype(np.uint8)
        return scaled
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if low < 0 or high > 255:
        raise ImageError(name, f"has values from {low} to {high}; images of {pixels.dtype} go from 0 to 255")
    return pixels.astype(np.uint8)


def read_labels(labels: Any) -> Labels:
    """Labels as a list of plain values, one per image.

    Args:
        labels: a sequence, NumPy array, tensor, pandas column, or data frame with one column, of text, numbers,
            categories or any hashable values.

    Raises:
        InvalidValueError: it is not one label per image, or in no order, or a value that cannot name a class.
    """
    if isinstance(labels, str | bytes) or not hasattr(labels, "__iter__"):
        hint = "; this estimator requires y to be passed, but the target y is None" if labels is None else ""
        raise InvalidValueError(f"labels are {shown(labels)}; expected a sequence with one label per image{hint}")
    if isinstance(labels, set | frozenset | dict):
        raise InvalidValueError(
            f"labels are a {type(labels).__name__}, whose order is not that of the images; expected a sequence with "
            "one label per image"
        )
    labels = one_column(labels, "labels")
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise InvalidValueError(f"labels have shape {labels.shape}; expected (N,), one label per image")
        labels = labels.tolist()
    read = [_plain(label) for label in labels]
    for position, label in enumerate(read):
        _check(label, position)
    return read


def one_column(values: Any, what: str) -> Any:
    """A pandas or polars column, or the only column of a data frame, as an array; anything else as it is.

    An array or a nested list with one column, as some tools pass, counts as that column.

    Args:
        values: anything.
        what: what to call them in an error.

    Raises:
        InvalidValueError: a data frame has more columns than one, or none.
    """
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):
        count = len(values.columns)
        if count != 1:
            names = ", ".join(shown(name) for name in list(values.columns)[:5])
            raise InvalidValueError(
                f"{what} are a data frame with {count} columns ({names}{', ...' if count > 5 else ''}); expected one: "
                "pass that column, such as frame['label']"
            )
        array: np.ndarray = values.to_numpy()
        return array[:, 0]
    if hasattr(values, "to_numpy"):
        return values.to_numpy()
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind in "OUST":
        return values[:, 0]
    return values


def read_weights(weights: Any, labels: Labels) -> Tensor | None:
    """Sample weights as ``(N,)`` double, or None where every image counts as one.

    Args:
        weights: numbers, 0 or between the least weight and the most, one per image or one for all; or None.
        labels: the images' labels.

    Raises:
        InvalidValueError: they are no such numbers, or all are 0.
    """
    if weights is None:
        return None
    weights = one_column(weights, "sample weights")
    if isinstance(weights, Tensor):
        weights = weights.detach().cpu().numpy()
    try:
        read = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"sample_weight is {shown(weights)}; expected one number per image: {_WEIGHTS}"
        ) from None
    read = np.full(len(labels), read) if read.ndim == 0 else read
    if read.shape != (len(labels),):
        raise InvalidValueError(
            f"sample_weight has shape {read.shape}; expected ({len(labels)},), one number per image"
        )
    wrong = np.flatnonzero(~((read == 0) | ((read >= LEAST_WEIGHT) & (read <= MOST_WEIGHT))))
    if len(wrong):
        raise InvalidValueError(f"sample_weight {wrong[0]} is {read[wrong[0]]:g}; expected {_WEIGHTS}, for every image")
    if len(labels) and not read.any():
        raise InvalidValueError("sample_weight is zero for every image; expected a number above 0 for at least one")
    return torch.tensor(read)


def class_order(labels: Labels) -> list[Hashable]:
    """The distinct labels: sorted where they can be, or else as they first come.

    Raises:
        InvalidValueError: a truth value equals a number, such as ``True`` and ``1``: they would be one class.
    """
    first: dict[Hashable, Hashable] = {}
    for label in labels:
        same = first.setdefault(label, label)
        if isinstance(same, bool) != isinstance(label, bool):
            raise InvalidValueError(f"labels {same!r} and {label!r} are equal in Python; rename one of the two classes")
    try:
        return sorted(first)  # type: ignore[type-var]
    except TypeError:  # a mixture such as 3 and "three"
        return list(first)


def read_classes(classes: Any) -> list[Hashable]:
    """The distinct classes in their order, see :func:`class_order`, of a sequence as of labels, or of a set."""
    return class_order(read_labels([*classes] if isinstance(classes, set | frozenset) else classes))


def check_known(labels: Labels, classes: Sequence[Hashable]) -> None:
    """Refuse labels that are none of the classes that were announced.

    Raises:
        InvalidValueError: says which label, and what the classes are.
    """
    known = set(classes)
    strange = [label for label in class_order(labels) if label not in known]
    if strange:
        names = ", ".join(shown(name) for name in list(classes)[:10])
        raise InvalidValueError(
            f"label {shown(strange[0])} is none of the classes that the first partial_fit announced: {names}"
            f"{', ...' if len(classes) > 10 else ''}; give all in classes=, or leave classes out"
        )


def as_array(classes: Sequence[Hashable | None]) -> np.ndarray:
    """Labels as a one-dimensional array: of numbers or text where all are of one kind, of objects otherwise."""
    kinds = {type(label) for label in classes}
    if len(kinds) == 1 and kinds <= {bool, int, float, str}:
        plain = np.array(classes)
        back = plain.tolist()  # NumPy makes floats of integers beyond 63 bits, and text loses NUL at its end
        if back == [*classes] and {type(label) for label in back} == kinds:
            return plain
    objects = np.empty(len(classes), dtype=object)
    for index, label in enumerate(classes):
        objects[index] = label
    return objects


def _plain(label: Any) -> Any:
    """NumPy's scalars and tensors of one number as Python's."""
    if isinstance(label, np.generic) or (isinstance(label, Tensor | np.ndarray) and label.ndim == 0):
        return label.item()
    return label


def _check(label: Any, position: int) -> None:
    try:
        hash(label)
    except TypeError:
        raise InvalidValueError(
            f"label {position} is a {type(label).__name__}, which cannot name a class; expected text, a number, or "
            "another hashable value"
        ) from None
    if is_missing(label):
        raise InvalidValueError(
            f"label {position} is {label}, a missing value (NaN, None and the like); an image without a class cannot "
            "be learned from: leave it out"
        )
    if isinstance(label, complex) or label in (float("inf"), float("-inf")):
        raise InvalidValueError(
            f"label {position} is {label}; expected text, a finite number, or another hashable value"
        )


def is_missing(label: Any) -> bool:
    """Whether a value stands for none: None, NaN, NaT, or pandas' ``NA``, which has no truth value."""
    if label is None:
        return True
    try:
        return bool(label != label)  # NaN differs from itself
    except (TypeError, ValueError):
        return type(label).__name__ == "NAType"
