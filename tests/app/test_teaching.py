"""A visitor's classes and queries, without a browser."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewshot_film.app import history, teaching
from fewshot_film.app.archive import unpack_classifier
from fewshot_film.app.examples import EXAMPLES, PHOTOS
from fewshot_film.app.images import THUMBNAIL, PageImage
from fewshot_film.app.taught import TeachingError
from fewshot_film.app.teaching import Teaching
from fewshot_film.app.verdicts import Verdict, verdict_html
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import SavedModelError
from fewshot_film.page import Limits, UploadError
from tests.classifier.small import film_learner, prototypes
from tests.commands.test_commands import draw_classes
from tests.data.layouts import pack


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Teaching]:
    def make(learner=None, **limits: int) -> Teaching:
        folder = tmp_path / "visitor"
        folder.mkdir()
        return Teaching(FewShotClassifier(learner or film_learner(), device="cpu"), folder, Limits(**limits))

    return make


@pytest.fixture
def drawn(tmp_path: Path) -> list[list[Path]]:
    """Files of three classes of eight images."""
    root = draw_classes(tmp_path / "drawn", 3)
    return [sorted(folder.iterdir()) for folder in sorted(root.iterdir())]


def taught(teaching: Teaching, drawn: list[list[Path]], names: Sequence[str] = "abc", shots: int = 5) -> Teaching:
    for name, files in zip(names, drawn, strict=False):
        teaching.add(teaching.add_class(name).number, files[:shots])
    return teaching


def test_it_is_the_classifier_of_the_same_images(made, drawn):
    one = taught(made(), drawn)
    one.set_reject(0)
    assert one.ask([files[6] for files in drawn]) == []
    classifier = FewShotClassifier(film_learner(), device="cpu")
    classifier.fit([file for files in drawn for file in files[:5]], [name for name in "abc" for _ in range(5)])
    expected = classifier.predict_proba([files[6] for files in drawn])
    found = np.array([[verdict.probabilities[name] for name in "abc"] for verdict in one.verdicts])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert [verdict.name for verdict in one.verdicts] == ["a", "b", "c"]
    distances, places = classifier.nearest_support([files[6] for files in drawn], 6)
    assert [distance for *_, distance in one.verdicts[1].nearest] == pytest.approx(distances[1].tolist())
    names = ["abc"[place // 5] for place in places[1]]
    assert [name for _, name, _ in one.verdicts[1].nearest] == names


def test_images_come_and_go_as_if_they_had_never_been(made, drawn, tmp_path):
    one = taught(made(), drawn)
    one.ask([drawn[0][6]])
    before = one.verdicts[0].probabilities
    numbers = list(one.groups)
    one.add(numbers[0], [drawn[0][5]])
    assert one.verdicts[0].probabilities != before
    one.remove_image(numbers[0], one.groups[numbers[0]].images[5].key)
    assert one.verdicts[0].probabilities == pytest.approx(before)
    extra = one.add_class("d")
    one.add(extra.number, [drawn[0][7], drawn[1][7]])
    assert set(one.verdicts[0].probabilities) == {*"abcd"}
    one.remove_class(extra.number)
    assert one.verdicts[0].probabilities == pytest.approx(before)


def test_names(made, drawn):
    one = taught(made(), drawn)
    one.ask([drawn[1][6]])
    first, second, _ = one.groups
    one.rename(second, "  a  long   name ")
    assert one.verdicts[0].name == "a long name"
    one.rename(first, "a")  # its own
    with pytest.raises(TeachingError, match="there is already a class 'a'"):
        one.rename(second, "a")
    with pytest.raises(TeachingError, match="1 to 60 characters, got 0"):
        one.rename(second, "  ")
    with pytest.raises(TeachingError, match="got 61"):
        one.add_class("x" * 61)
    assert [one.add_class().name, one.add_class("").name] == ["class 1", "class 2"]
    with pytest.raises(TeachingError, match="no longer exists"):
        one.remove_class(99)
    with pytest.raises(TeachingError, match="no longer there"):
        one.remove_image(first, "0")


def test_it_says_what_to_do_next(made, drawn):
    one = made()
    assert one.status == ""
    assert one.changes == 0
    taught(one, drawn[:1])
    assert "one more class" in one.status
    one.ask([drawn[0][6]])
    assert one.verdicts == []
    with pytest.raises(TeachingError, match="add images to two classes first"):
        one.save()
    one.add_class("empty")
    assert "one more class" in one.status
    one.add(list(one.groups)[1], drawn[1][:2])
    assert "Adapted to 2 classes and 7 images" in one.status
    assert len(one.verdicts) == 1


def test_bad_files_are_told_and_the_others_taken(made, drawn, tmp_path):
    one = made(pixels=2000)
    group = one.add_class("a")
    (tmp_path / "text.png").write_text("no image")
    Image.new("L", (50, 50)).save(tmp_path / "wide.png")
    troubles = one.add(group.number, [tmp_path / "text.png", drawn[0][0], tmp_path / "wide.png"])
    assert len(one.groups[group.number].images) == 1
    assert troubles[0].startswith("text.png: is not an image")
    assert troubles[1].startswith("wide.png has more than")


def test_a_jpeg_with_more_pixels_than_allowed_is_reduced(made, tmp_path):
    one = made(pixels=400 * 400)
    Image.new("L", (600, 600), 90).save(tmp_path / "photo.jpg")
    Image.new("L", (800, 800), 90).save(tmp_path / "huge.jpg")
    group = one.add_class("a")
    troubles = one.add(group.number, [tmp_path / "photo.jpg", tmp_path / "huge.jpg"])
    assert [image.name for image in one.groups[group.number].images] == ["photo.jpg"]
    assert len(troubles) == 1
    assert troubles[0].startswith("huge.jpg has more than")


def test_what_a_folder_leaves_out_is_told(made, drawn):
    one = made()
    root = drawn[0][0].parent.parent
    (root / "empty").mkdir()
    (root / "class 00" / "more").mkdir()
    (root / "class 00" / "more" / "x.png").write_bytes(drawn[1][0].read_bytes())
    troubles = one.add_folder(root)
    assert troubles == [
        "images in subfolders of a class folder belong to that class: 'class 00' (1)",
        "empty/: is an empty class folder",
    ]
    assert [len(group.images) for group in one.groups.values()] == [9, 8, 8]


def test_bounds(made, drawn, monkeypatch):
    one = made(files=6)
    with pytest.raises(UploadError, match="7 files at once"):
        one.add(one.add_class().number, drawn[0][:7])
    monkeypatch.setattr(teaching, "MAX_IMAGES", 3)
    with pytest.raises(TeachingError, match="0 images and 4 more; the page holds at most 3"):
        one.add(one.add_class().number, drawn[0][:4])
    monkeypatch.setattr(teaching, "MAX_CLASSES", 2)
    with pytest.raises(TeachingError, match="holds at most 2 classes"):
        one.add_class()
    with pytest.raises(TeachingError, match="drawn has 3 classes; the page holds at most 2"):
        one.add_folder(drawn[0][0].parent.parent)
    monkeypatch.setattr(teaching, "MAX_QUERIES", 2)
    one.ask(drawn[0][:2])
    newest = drawn[1][0]
    one.ask([newest])
    assert [query.name for query in one.queries] == [newest.name, drawn[0][0].name]


def test_strangers(made, drawn):
    one = taught(made(), drawn, shots=8)
    one.set_reject(0.2)
    far = [Image.fromarray(np.full((16, 16), value, np.uint8)) for value in (0, 255)]
    files = []
    for number, image in enumerate(far):
        files.append(drawn[0][0].with_name(f"far{number}.png"))
        image.save(files[-1])
    one.ask(files)
    assert [verdict.is_stranger for verdict in one.verdicts] == [True, True]
    one.set_reject(0)
    assert [verdict.is_stranger for verdict in one.verdicts] == [False, False]
    one.forget_queries()
    assert one.queries == one.verdicts == []


def test_names_are_shown_as_text():
    image = PageImage("a.png", torch.zeros(3, 8, 8, dtype=torch.uint8), Path("a.png"))
    name = "<none>[x](javascript:y) http://a.b"
    member = Verdict(image, name, name, 0.5, {name: 0.75, "dog": 0.25}, ())
    said = verdict_html(member, True)
    assert said.startswith("<h3>&lt;none&gt;[x](javascript:y) http://a.b, 75.0 %</h3><ul")
    assert "<none>" not in said
    assert member.caption == f"{name} 75 %"
    stranger = dataclasses.replace(member, nearest_class="<dog>", relative_distance=1.84)
    assert stranger.caption == "none of these (1.8 ×)"
    assert "1.8 times as far from the nearest class, &lt;dog&gt;, as" in verdict_html(stranger, True)
    assert "add a second one" in verdict_html(dataclasses.replace(member, relative_distance=None), False)


def test_bars_of_many_classes_leave_the_improbable_ones_to_one_line():
    image = PageImage("a.png", torch.zeros(3, 8, 8, dtype=torch.uint8), Path("a.png"))
    shares = {f"class {number}": 2**-number / 2 for number in range(40)}
    said = verdict_html(Verdict(image, "class 0", "class 0", 0.5, shares, ()), True)
    assert said.count("<meter") == 6
    assert "and 34 more, together 1.6 %" in said


def test_without_a_second_image_nothing_is_turned_away(made, drawn):
    one = taught(made(), drawn, shots=1)
    one.ask([drawn[0][6]])
    assert not one.can_reject
    assert not one.verdicts[0].is_stranger


@pytest.mark.parametrize("learner", [film_learner, prototypes], ids=["film", "prototypes"])
def test_saved_and_loaded_it_answers_the_same(made, drawn, learner, tmp_path):
    one = taught(made(learner()), drawn)
    one.ask([files[6] for files in drawn])
    before = [verdict.probabilities for verdict in one.verdicts]
    archive = one.save()
    kept = tmp_path / "kept.zip"
    kept.write_bytes(archive.read_bytes())
    one.clear()
    assert (one.groups, one.queries, one.verdicts) == ({}, [], [])
    assert one.load(kept) == []
    assert [(group.name, len(group.images)) for group in one.groups.values()] == [("a", 5), ("b", 5), ("c", 5)]
    one.ask([files[6] for files in drawn])
    for verdict, expected in zip(one.verdicts, before, strict=True):
        assert verdict.probabilities == pytest.approx(expected, abs=1e-5)
    one.add(next(iter(one.groups)), [drawn[0][5]])  # and it goes on learning
    assert "16 images" in one.status
    with Image.open(next(iter(one.groups.values())).images[0].thumbnail) as thumbnail:
        assert thumbnail.size == (THUMBNAIL, THUMBNAIL)


def test_folders_of_images(made, drawn, tmp_path):
    one = made()
    root = drawn[0][0].parent.parent
    (root / "class 00" / "bad.png").write_text("no image")
    troubles = one.add_folder(root)
    assert [(group.name, len(group.images)) for group in one.groups.values()] == [
        ("class 00", 8),
        ("class 01", 8),
        ("class 02", 8),
    ]
    assert len(troubles) == 1
    assert "bad.png" in troubles[0]
    files = {f"class 00/{number}.png": path.read_bytes() for number, path in enumerate(drawn[1][:2])}
    assert one.load(pack(tmp_path / "more.zip", files)) == []
    assert [len(group.images) for group in one.groups.values()] == [10, 8, 8]


def test_bad_archives(made, tmp_path):
    one = made(archive_bytes=200_000)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(UploadError, match=r"text\.zip is not a complete zip file"):
        one.load(tmp_path / "text.zip")
    (tmp_path / "heavy.zip").write_bytes(b"\0" * 300_000)
    with pytest.raises(UploadError, match=r"heavy\.zip has"):
        one.load(tmp_path / "heavy.zip")
    twisted = pack(tmp_path / "twisted.zip", {"a/config.json": b"{", "a/model.safetensors": b"junk"})
    with pytest.raises(SavedModelError, match=r"config\.json"):
        one.load(twisted)
    with pytest.raises(FileNotFoundError, match="a folder or zip with <class>/<image>"):
        one.load(pack(tmp_path / "nothing.zip", {"readme.txt": b"nothing"}))


def test_an_archive_writes_its_three_files_and_no_others(tmp_path, monkeypatch):
    members = {"config.json": b"{}", "model.safetensors": b"", "../../evil": b"evil", "x/README.md": b"card"}
    archive = pack(tmp_path / "evil.zip", members)
    folder = tmp_path / "visitor"
    folder.mkdir()
    saved = unpack_classifier(archive, folder)
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert not (tmp_path / "evil").exists()
    monkeypatch.setattr("fewshot_film.app.archive.MAX_BYTES", 3)
    with pytest.raises(UploadError, match="unpacks to more than"):
        unpack_classifier(archive, folder)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(made, name):
    one = made()
    one.add_example(name)
    classes = 6 if name == PHOTOS else 5
    assert [len(group.images) for group in one.groups.values()] == [4] * classes
    assert len(one.verdicts) == classes + 1
    again = [query.pixels for query in one.queries]
    one.add_example(name)
    assert all(torch.equal(one.queries[place].pixels, pixels) for place, pixels in enumerate(again))
    one.undo()
    assert all(image.thumbnail.is_file() for image in one.queries)


def test_photos_are_told_apart_and_the_last_is_a_stranger(made):
    one = made("efficientnet-lite0")
    one.add_example(PHOTOS)
    names = [group.name for group in one.groups.values()]
    assert [query.name.split("/")[0] for query in one.queries] == [*names, "astronaut"]
    assert [verdict.name for verdict in one.verdicts[:-1]] == names


def test_the_onnx_file_is_written_with_the_names(made, drawn):
    onnx = pytest.importorskip("onnx")
    one = taught(made(), drawn)
    path = one.export_onnx()
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata["classes"] == '["a", "b", "c"]'


def test_a_saved_zip_holds_a_folder(made, drawn):
    with zipfile.ZipFile(taught(made(), drawn).save()) as archive:
        assert sorted(archive.namelist()) == [
            "classifier/README.md",
            "classifier/config.json",
            "classifier/model.safetensors",
        ]


def test_what_is_kept_is_the_classifier_that_answers_and_nothing_is_fitted_again(made, drawn, tmp_path, monkeypatch):
    one = taught(made(), drawn, names=("c", "b", "a"))  # in another order than that of the names
    files = [files[6] for files in drawn]
    one.ask(files)
    with monkeypatch.context() as patched:
        patched.setattr(FewShotClassifier, "fit", None)
        archive = one.save().rename(tmp_path / "saved.zip")
    saved = FewShotClassifier.from_pretrained(unpack_classifier(archive, tmp_path), device="cpu")
    found = [dict(zip(saved.classes_.tolist(), row, strict=True)) for row in saved.predict_proba(files).tolist()]
    for verdict, shares in zip(one.verdicts, found, strict=True):
        assert shares == pytest.approx(verdict.probabilities, abs=1e-5)


def state(one: Teaching) -> tuple[object, ...]:
    groups = [(group.name, group.images.copy()) for group in one.groups.values()]
    return groups, one.queries.copy(), one.reject, [verdict.probabilities for verdict in one.verdicts]


def test_everything_can_be_undone_and_redone(made, drawn, tmp_path):
    one = made()
    archive = pack(tmp_path / "more.zip", {f"new/{path.name}": path.read_bytes() for path in drawn[2][:2]})
    first, saved = [], []
    steps = [
        lambda: first.append(one.add_class("a").number),
        lambda: one.add(first[0], drawn[0][:4]),
        lambda: one.add(one.add_class("b").number, drawn[1][:4]),
        lambda: one.ask([drawn[0][6], drawn[1][6], drawn[2][6]]),
        lambda: one.set_reject(0.2),
        lambda: one.rename(first[0], "first"),
        lambda: one.move_query(first[0]),
        lambda: one.remove_query(one.queries[0].key),
        lambda: one.remove_image(first[0], one.groups[first[0]].images[1].key),
        lambda: one.load(archive),
        lambda: saved.append(one.save().rename(tmp_path / "saved.zip")),
        lambda: one.remove_class(first[0]),
        lambda: one.forget_queries(),
        lambda: one.add_example("creatures"),
        lambda: one.load(saved[0]),
        lambda: one.clear(),
    ]
    states, saving = [state(one)], 10
    for number, step in enumerate(steps):
        step()
        if number != saving:
            assert state(one) != states[-1], number
            states.append(state(one))
    for expected in reversed(states[:-1]):
        one.undo()
        while state(one) != expected and one.can_undo:
            one.undo()
        assert state(one) == expected
    assert not one.can_undo
    with pytest.raises(TeachingError, match="nothing to undo"):
        one.undo()
    while one.can_redo:
        one.redo()
    assert state(one) == states[-1]
    one.undo()
    one.add_class("other")  # what was undone is gone
    with pytest.raises(TeachingError, match="nothing to redo"):
        one.redo()


def test_a_change_that_fails_changes_nothing(made, drawn, monkeypatch, tmp_path):
    one = taught(made(), drawn)
    one.ask([drawn[0][6]])
    before, files = state(one), set(one.folder.iterdir())
    monkeypatch.setattr(teaching, "MAX_IMAGES", 17)
    with pytest.raises(TeachingError, match="the page holds at most 17"):
        one.add_example("creatures")
    assert state(one) == before
    assert set(one.folder.iterdir()) == files
    with pytest.raises(TeachingError, match=r"expected a share of 0 to 0\.3, got 5"):
        one.set_reject(5)
    with pytest.raises(TeachingError, match="no longer exists"):
        one.move_query(99)
    assert state(one) == before


def test_thumbnails_go_with_the_last_state_that_shows_them(made, drawn, monkeypatch):
    monkeypatch.setattr(history, "MAX_KEPT", 3)
    one = taught(made(), drawn)
    one.ask([drawn[0][6]])
    one.clear()
    assert list(one.folder.iterdir()) == []
    assert not one.can_undo


def test_the_query_that_is_selected_stays_so(made, drawn):
    one = taught(made(), drawn)
    one.ask([files[6] for files in drawn])
    assert one.selected is one.queries[0]
    wanted = one.queries[2]
    assert one.select(wanted.key).image is wanted
    one.add(next(iter(one.groups)), [drawn[0][7]])
    assert one.selected is one.verdict.image is wanted
    assert one.verdict in one.verdicts
    one.move_query(next(iter(one.groups)))
    assert one.groups[1].images[-1] is wanted
    assert one.selected is one.queries[0]
    one.ask([drawn[1][7]])
    assert one.selected is one.queries[0]
    one.remove_query(one.selected.key)
    assert one.selected is one.queries[0]
    assert [query.name for query in one.queries] == [drawn[0][6].name, drawn[1][6].name]
    with pytest.raises(TeachingError, match="no longer there"):
        one.select(wanted.key)


def test_it_says_what_would_be_lost(made, drawn, tmp_path):
    one = made()
    assert one.contents == ""
    taught(one, drawn)
    archive = one.save().rename(tmp_path / "saved.zip")
    one.ask([drawn[0][6]])
    assert one.contents == "3 classes, 15 images, 1 image to classify"
    assert one.replaces(archive)
    assert not one.replaces(pack(tmp_path / "folders.zip", {"a/1.png": drawn[0][0].read_bytes()}))
    (tmp_path / "text.zip").write_text("no zip")
    assert not one.replaces(tmp_path / "text.zip")
    one.clear()
    assert not one.replaces(archive)
