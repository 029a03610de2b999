"""What the tabs share: limits, visitors, and errors as messages."""

from __future__ import annotations

import logging
import threading
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from fewshot_film import page
from fewshot_film.errors import ConfigError
from fewshot_film.page import ClosedPageError, Limits, UploadError, Visitors, in_page, without_folders
from tests.extras import needs_gradio


class TestLimits:
    LIMITS = Limits(file_bytes=2000, archive_bytes=3000, pixels=900, files=2)

    def test_what_is_within_them_passes(self, tmp_path: Path):
        Image.new("L", (30, 30)).save(tmp_path / "small.png")
        self.LIMITS.check_image(tmp_path / "small.png")
        self.LIMITS.check_archive(tmp_path / "small.png")
        self.LIMITS.check_count(2)

    def test_too_many_pixels_are_told_without_decoding(self, tmp_path: Path):
        Image.new("1", (31, 30)).save(tmp_path / "wide.png")
        with pytest.raises(UploadError, match=r"wide\.png has more than 0 million pixels; resize it first"):
            self.LIMITS.check_image(tmp_path / "wide.png")

    def test_a_decompression_bomb_is_an_upload_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        Image.new("1", (40, 40)).save(tmp_path / "bomb.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(UploadError, match=r"bomb\.png has more than"):
            self.LIMITS.check_image(tmp_path / "bomb.png")

    def test_too_many_bytes(self, tmp_path: Path):
        path = tmp_path / "heavy.zip"
        path.write_bytes(b"\0" * 2**22)
        with pytest.raises(UploadError, match=r"heavy\.zip has 4 MiB; expected at most 0"):
            self.LIMITS.check_image(path)
        with pytest.raises(UploadError, match="4 MiB"):
            self.LIMITS.check_archive(path)

    def test_too_many_files(self):
        with pytest.raises(UploadError, match="3 files at once; expected at most 2"):
            self.LIMITS.check_count(3)

    def test_a_zip_of_many_names_is_refused_from_its_directory_at_once(self, tmp_path: Path, monkeypatch):
        path = tmp_path / "many.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(30_000):
                archive.writestr(f"a/{number}.png", b"")
        monkeypatch.setattr(zipfile, "ZipFile", None)  # nothing else reads it
        began = time.process_time()
        with pytest.raises(UploadError, match=r"many\.zip has 30,000 files or more; expected at most 20,000"):
            Limits().check_archive(path)
        assert time.process_time() - began < 0.1

    def test_a_zip_that_lies_about_its_number_is_refused_too(self, tmp_path: Path):
        path = tmp_path / "lies.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(500):
                archive.writestr(f"a/{number}.png", b"")
        limits = Limits(members=100)
        data = bytearray(path.read_bytes())
        data[-22 + 8 : -22 + 12] = b"\1\0\1\0"
        path.write_bytes(data)
        with pytest.raises(UploadError, match="files or more; expected at most 100"):
            limits.check_archive(path)
        (tmp_path / "none.zip").write_bytes(b"PK\5\6")
        limits.check_archive(tmp_path / "none.zip")

    def test_what_is_no_image_is_left_to_its_reader(self, tmp_path: Path):
        (tmp_path / "text.png").write_text("no image")
        self.LIMITS.check_image(tmp_path / "text.png")


class TestVisitors:
    def test_everyone_has_things_of_their_own(self, tmp_path: Path):
        visitors = Visitors(tmp_path)
        one = visitors.of("one", list, lambda folder: [folder])
        other = visitors.of("other", list, lambda folder: [folder])
        assert visitors.of("one", list, lambda _: pytest.fail("made twice")) is one
        assert one[0] != other[0]
        assert one[0].is_dir()
        assert visitors.held("one", list) is one
        assert visitors.held("one", dict) is None
        assert visitors.held("nobody", list) is None

    def test_leaving_takes_the_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(page, "RETURNING", 0.05)
        visitors = Visitors(tmp_path)
        folder = visitors.of("one", Path, lambda folder: folder)
        (folder / "file").touch()
        visitors.leave("one")
        visitors.leave("one")  # a second time is no matter
        assert len(visitors) == 0
        end = time.monotonic() + 60
        while folder.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        visitors.resume("again", "one")
        assert visitors.held("again", Path) is None

    def test_a_reload_brings_everything_back(self, tmp_path: Path):
        visitors = Visitors(tmp_path)
        mine = visitors.of("one", list, lambda folder: [folder])
        threading.Timer(0.2, visitors.leave, ["one"]).start()  # the new page may be there before the old one is gone
        visitors.of("again", dict, lambda _: {})
        visitors.resume("again", "one")
        assert visitors.held("again", list) is mine
        assert mine[0].is_dir()
        assert visitors.held("one", list) is None

    def test_a_copy_of_an_open_page_starts_empty(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(page, "_LEAVING", 0.1)
        visitors = Visitors(tmp_path)
        mine = visitors.of("one", list, lambda _: [])
        visitors.resume("copy", "one")
        visitors.resume("copy", "")
        assert visitors.held("copy", list) is None
        assert visitors.held("one", list) is mine

    def test_the_one_who_was_idle_for_longest_makes_room(self, tmp_path: Path):
        visitors = Visitors(tmp_path, most=2)
        for name in ("one", "two", "one", "three"):
            visitors.of(name, list, lambda _: [])
        assert visitors.held("two", list) is None
        assert visitors.held("one", list) is not None
        assert len(list(tmp_path.iterdir())) == 2

    def test_two_threads_get_the_same_thing(self, tmp_path: Path):
        visitors, found = Visitors(tmp_path), []
        threads = [
            threading.Thread(target=lambda: found.append(visitors.of("one", list, lambda _: []))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(thing is found[0] for thing in found)

    def test_nothing_is_shared_among_those_without_a_page(self, tmp_path: Path):
        visitors = Visitors(tmp_path)
        for name in ("", None):
            with pytest.raises(ClosedPageError, match="reload it"):
                visitors.of(name, list, lambda _: [])

    def test_what_is_left_goes_with_the_page(self, tmp_path: Path):
        visitors = Visitors(tmp_path)
        with visitors.opened("one"):
            first = visitors.of("one", list, lambda _: [])
            with visitors.opened("one"):  # connects anew before the old connection has ended
                pass
            assert visitors.is_open("one")
            assert visitors.held("one", list) is first
        assert not visitors.is_open("one")
        assert len(visitors) == 0

    def test_a_file_belongs_to_its_page(self, tmp_path: Path):
        visitors = Visitors(tmp_path)
        own, theirs = (visitors.of(name, Path, lambda folder: folder) for name in ("one", "other"))
        assert visitors.may_read("one", own / "a.png")
        assert visitors.may_read("one", tmp_path / "for-all" / "a.png")
        assert not visitors.may_read("one", theirs / "a.png")
        assert not visitors.may_read("one", tmp_path.parent / "a.png")
        visitors.leave("other")
        assert not visitors.may_read("one", theirs / "a.png"), "it may come back"


class TestQuotas:
    def test_files_and_uploads_on_their_way_count(self, tmp_path: Path):
        visitors, limits = Visitors(tmp_path), Limits(visitor_bytes=50_000, total_bytes=70_000)
        folder = visitors.reserve("one", 20_000, limits)
        with pytest.raises(UploadError, match="expected at most 0 together: upload less, or reload the page"):
            visitors.reserve("one", 40_000, limits)
        visitors.release("one", 20_000)
        visitors.reserve("one", 40_000, limits)
        visitors.release("one", 40_000)
        (folder / "file").write_bytes(b"x" * 40_000)
        with pytest.raises(UploadError):
            visitors.reserve("one", 20_000, limits)
        with pytest.raises(UploadError, match="space for uploads is used up"):
            visitors.reserve("two", 40_000, limits)
        visitors.reserve("two", 15_000, limits)

    def test_empty_files_and_folders_count_as_blocks(self, tmp_path: Path):
        visitors, limits = Visitors(tmp_path), Limits(visitor_bytes=50_000)
        folder = visitors.reserve("one", 0, limits)
        for place in range(12):
            (folder / f"{place}").touch() if place % 2 else (folder / f"{place}").mkdir()
        with pytest.raises(UploadError):
            visitors.reserve("one", 1_000, limits)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("/tmp/a-b/tmpx/config.json is damaged", "config.json is damaged"),
        ("cannot read '/home/me/data/x.png': no", "cannot read 'x.png': no"),
        (r"C:\Users\me\x.png is damaged", "x.png is damaged"),
        ("see https://example.org/a/b or and/or; 3/4", "see https://example.org/a/b or and/or; 3/4"),
    ],
)
def test_messages_hold_no_folders(told: str, shown: str):
    assert without_folders(told) == shown


@needs_gradio
class TestInPage:
    def test_what_a_person_can_put_right_is_said(self):
        import gradio

        def refuse(name: str) -> None:
            raise ConfigError(f"no <b>{name}</b> here")

        with pytest.raises(gradio.Error) as caught:
            in_page(refuse)("one")
        assert caught.value.message == "no &lt;b&gt;one&lt;/b&gt; here"  # names come from visitors: no markup of theirs

    def test_a_fault_goes_to_the_log(self, caplog: pytest.LogCaptureFixture):
        import gradio

        def fail() -> float:
            return 1 / 0

        with caplog.at_level(logging.ERROR), pytest.raises(gradio.Error) as caught:
            in_page(fail)()
        assert "ZeroDivisionError" in caught.value.message
        assert "division" not in caught.value.message
        assert caplog.records[0].exc_info

    def test_generators_stay_generators(self):
        import inspect

        import gradio

        def count():
            yield 1
            raise ConfigError("enough")

        guarded = in_page(count)
        assert inspect.isgeneratorfunction(guarded)
        steps = guarded()
        assert next(steps) == 1
        with pytest.raises(gradio.Error, match="enough"):
            next(steps)

    def test_messages_pass_as_they_are(self):
        import gradio

        def say() -> None:
            raise gradio.Error("mine")

        with pytest.raises(gradio.Error, match="mine"):
            in_page(say)()
