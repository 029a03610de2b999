"""Images and labels of every kind come to the same tensors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fewshot_film.classifier
from fewshot_film.classifier import read_images
from fewshot_film.classifier.inputs import as_array, class_order, read_classes, read_labels
from fewshot_film.data import ImageError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, size=(10, 12, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, size=(10, 12), dtype=np.uint8)
EXPECTED = read_images(Image.fromarray(COLOUR), 8, 3)
GREY_EXPECTED = read_images(Image.fromarray(GREY), 8, 3)


def test_all_kinds_come_to_the_same(tmp_path: Path):
    path = tmp_path / "image.png"
    Image.fromarray(COLOUR).save(path)
    first = torch.from_numpy(COLOUR).permute(2, 0, 1)
    mixed = [
        path,
        str(path),
        Image.fromarray(COLOUR),
        COLOUR,
        COLOUR / 255,
        COLOUR.astype(np.int64),
        COLOUR.astype(np.uint16) * 257,
        (COLOUR.astype(np.uint16) * 257).astype(">u2"),
        first,
        first.float() / 255,
        first.double() / 255,
    ]
    assert torch.equal(read_images(mixed, 8, 3), EXPECTED.expand(len(mixed), -1, -1, -1))


@pytest.mark.parametrize(
    "one", [COLOUR, COLOUR[None], torch.from_numpy(COLOUR).movedim(2, 0), torch.from_numpy(COLOUR).movedim(2, 0)[None]]
)
def test_one_image_alone_or_in_a_batch(one):
    assert torch.equal(read_images(one, 8, 3), EXPECTED)


@pytest.mark.parametrize(
    "grey",
    [
        GREY,
        GREY[None],
        GREY[..., None],
        np.stack([GREY] * 3, 2),
        torch.from_numpy(GREY),
        torch.from_numpy(GREY)[None],
        GREY.astype(np.uint16) * 257,
        (GREY.astype(np.uint16) * 257).astype(">u2"),
        np.dstack([GREY] * 3 + [np.full_like(GREY, 255)]),
    ],
)
def test_grey_images(grey):
    assert torch.equal(read_images(grey, 8, 3), GREY_EXPECTED)


def test_bits_are_black_and_white():
    assert read_images(np.array([[True, False]] * 2), 2, 1).flatten().tolist() == [255, 0, 255, 0]


def test_opacity_is_laid_on_white():
    clear = np.zeros((4, 4, 4), np.uint8)
    assert torch.equal(read_images(clear, 4, 3), torch.full((1, 3, 4, 4), 255, dtype=torch.uint8))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_what_was_read_already_is_taken_as_it_is(resize, monkeypatch):
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    slowly = read_images(list(images), 8, 3, resize, crop=0.9)
    monkeypatch.setattr("fewshot_film.classifier.inputs._stacked", None)
    found = read_images(images, 8, 3, resize, crop=0.9)
    assert torch.equal(found, slowly)
    images.zero_()  # the caller's, which may change
    assert torch.equal(found, slowly)


def test_an_object_that_is_given_twice_is_read_once():
    """Threads that decode one PIL image at a time damage it; a file object is at its end after the first."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8))
    file = io.BytesIO()
    noise.save(file, "PNG")
    data = file.getvalue()
    expected = read_images(data, 8, 3)
    for again in (Image.open(io.BytesIO(data)), io.BytesIO(data)):
        assert torch.equal(read_images([again, COLOUR, again, again], 8, 3)[[0, 2, 3]], expected.expand(3, -1, -1, -1))


def test_a_set_is_in_no_order():
    with pytest.raises(ValueError, match="images are a set, whose order is not that of labels or answers"):
        read_images({"a.png", "b.png"}, 8, 3)
    for labels in ({"a", "b"}, frozenset("ab"), {"a.png": "a"}):
        with pytest.raises(ValueError, match=f"labels are a {type(labels).__name__}, whose order is not that of the"):
            read_labels(labels)
    assert read_classes({"b", "a"}) == ["a", "b"]


@pytest.mark.parametrize("classes", [[2**63, 1], [2**64 - 1, 2**64 - 2, -1], ["a", "a\0"], [3, 2**63]])
def test_labels_that_numpy_would_change_stay_what_they_are(classes):
    found = as_array(classes)
    assert found.tolist() == classes
    assert [type(label) for label in found.tolist()] == [type(label) for label in classes]


def test_an_array_of_paths(tmp_path: Path):
    for name in "ab":
        Image.fromarray(COLOUR).save(tmp_path / f"{name}.png")
    paths = np.array([str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    assert torch.equal(read_images(paths, 8, 3), EXPECTED.repeat(2, 1, 1, 1))


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["stretch", "crop", "pad"]))
def test_any_shape_fits(height, width, resize):
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    assert read_images(pixels[None], 5, 1, resize).shape == (1, 1, 5, 5)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "there are no images; expected at least one of paths, bytes of image files"),
        (np.zeros((0, 4, 4, 3)), ValueError, "there are no images"),
        (7, ValueError, "a int holds no images"),
        ([COLOUR, 7], ValueError, "image 1 is of type int; expected paths"),
        ([COLOUR, None], ValueError, "image 1 is of type NoneType"),
        (np.zeros(5), ValueError, r"an array of shape \(5,\) holds no images"),
        (np.zeros((3, 192)), ImageError, None),
        ("nowhere.png", FileNotFoundError, "there is no file nowhere.png"),
        ("https://example.org/cat.jpg", ImageError, "cat.jpg: is a URL, .*download the file first and give its path"),
        ([COLOUR, b"hello"], ImageError, "image 1: is not an image"),
        (io.StringIO("x"), ImageError, "image 0: is a file opened as text"),
        (".", ImageError, ".: is a folder; expected an image file, such as one of those in it"),
        (COLOUR.astype(float), ImageError, "image 0: has values from 0 to 255; floating-point images go from 0"),
        (np.full((4, 4), np.nan), ImageError, "has values from nan to nan"),
        (np.full((4, 4), -0.1), ImageError, "has values from -0.1 to -0.1"),
        (np.full((4, 4), 256), ImageError, "has values from 256 to 256; images of int64 go from 0 to 255"),
        (np.zeros((2, 3, 8, 8)), ImageError, r"has shape \(3, 8, 8\); .*pass numpy.moveaxis"),
        (torch.zeros(2, 8, 8, 3), ImageError, r"has shape \(8, 8, 3\); .*pass images.movedim"),
        (torch.zeros(2, 2, 8, 8), ImageError, r"has shape \(2, 8, 8\); expected \(H, W\) or \(C, H, W\)"),
        (torch.zeros(2), ValueError, r"an array of shape \(2,\) holds no images"),
        (np.array([1j]), ValueError, "holds no images"),
    ],
)
def test_what_is_no_image_is_refused(images, error, message):
    if message is None:  # a table of features reads as one flat grey image: nothing is wrong with it
        assert read_images(images, 8, 1).shape == (1, 1, 8, 8)
        return
    with pytest.raises(error, match=message):
        read_images(images, 8, 3)


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def test_bytes_and_file_objects_are_read_like_the_file(tmp_path: Path):
    path = save(tmp_path / "x.png", Image.fromarray(COLOUR))
    data = path.read_bytes()
    expected = read_images(path, 8, 3)
    with path.open("rb") as file:
        for images in (data, bytearray(data), io.BytesIO(data), file, [data], np.array([data, None], object)[:1]):
            assert torch.equal(read_images(images, 8, 3), expected)
    assert len(read_images([data, io.BytesIO(data), path], 8, 3)) == 3


def test_every_mode_of_a_file(tmp_path: Path):
    """Grey, palette, transparent, CMYK, 16 bit and animated files of one flat colour."""
    flat = Image.new("RGB", (6, 6), (200, 200, 200))
    grey = Image.new("L", (6, 6), 200)
    clear = Image.merge("RGBA", (*Image.new("RGB", (6, 6)).split(), Image.new("L", (6, 6), 0)))
    deep = Image.fromarray(np.full((6, 6), 200 * 257, np.uint16))
    files = {
        "rgb.png": (flat, {}),
        "grey.png": (grey, {}),
        "palette.png": (flat.convert("P", palette=Image.Palette.ADAPTIVE), {}),
        "cmyk.jpg": (flat.convert("CMYK"), {"quality": 95}),
        "deep.png": (deep, {}),
        "moving.gif": (flat, {"save_all": True, "append_images": [Image.new("RGB", (6, 6))]}),
    }
    paths = [save(tmp_path / name, image, **options) for name, (image, options) in files.items()]
    images = read_images(paths, 6, 3).int()
    assert (images - 200).abs().max() <= 2
    white = read_images(save(tmp_path / "clear.png", clear), 6, 3)
    assert white.min() == 255


def test_a_file_that_is_no_image_names_itself(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ImageError, match=r"notes.txt: is not an image"):
        read_images([COLOUR, tmp_path / "notes.txt"], 8, 3)


def test_the_name_of_before_says_the_new_one():
    with pytest.warns(DeprecationWarning, match=r"read_pictures is called read_images since 0\.2"):
        assert fewshot_film.classifier.read_pictures is read_images


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        (np.array([3, 1, 3]), [1, 3]),
        (torch.tensor([3, 1, 3]), [1, 3]),
        ((np.str_("b"), np.int64(2).astype(str)), ["2", "b"]),
        ([2.5, -1.0], [-1.0, 2.5]),
        ([True, False], [False, True]),
        ([("cat", 2), ("cat", 1)], [("cat", 1), ("cat", 2)]),
        (["three", 3, "three", 1], ["three", 3, 1]),
        ([frozenset("a"), 1], [frozenset("a"), 1]),
        (np.array(["x", 1], dtype=object), ["x", 1]),
        (iter("ab"), ["a", "b"]),
    ],
)
def test_classes_in_order(labels, classes):
    found = class_order(read_labels(labels))
    assert found == classes
    assert [type(label) for label in found] == [type(label) for label in classes]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("cat", "labels are 'cat'; expected a sequence with one label per image"),
        (3, "labels are 3; expected a sequence"),
        (np.zeros((2, 3)), r"labels have shape \(2, 3\); expected \(N,\), one label per image"),
        (
            ["a", None],
            "label 1 is None, a missing value .* an image without a class cannot be learned from: leave it out",
        ),
        ([1.0, float("nan")], "label 1 is nan"),
        (["a", ["b"]], "label 1 is a list, which cannot name a class"),
    ],
)
def test_what_names_no_class(labels, message):
    with pytest.raises(ValueError, match=message):
        read_labels(labels)


def test_truth_values_and_numbers_do_not_mix():
    with pytest.raises(ValueError, match="labels True and 1 are equal in Python; rename one of the two classes"):
        class_order([True, 1])


@pytest.mark.parametrize(
    ("classes", "kind"),
    [([1, 2], "i"), (["a", "bc"], "U"), ([1.5], "f"), ([True], "b"), ([1, "a"], "O"), ([(1, 2)], "O")],
)
def test_arrays_keep_what_the_labels_are(classes, kind):
    array = as_array(classes)
    assert array.dtype.kind == kind
    assert array.tolist() == classes


def test_a_number_beyond_64_bits_stays_itself():
    assert as_array([2**80, 1]).tolist() == [2**80, 1]
