from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest

from fewshot_film.data.errors import SourceError
from fewshot_film.data.stores import FolderStore, ZipStore, open_store
from fewshot_film.images import ImageError
from tests.data.layouts import pack, write

FILES = {"ネコ/1.png": b"one", "b/2": b"two", "top.txt": b"x"}
JUNK = {
    ".DS_Store": b"j",
    "b/Thumbs.db": b"j",
    "__MACOSX/b/._2": b"j",
    ".git/config": b"j",
    "b/desktop.ini": b"j",
}


@pytest.fixture(params=["folder", "zip"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files = {**FILES, **JUNK, "b/empty": b""}
    return write(tmp_path / "data", files) if request.param == "folder" else pack(tmp_path / "data.zip", files)


def test_names_are_sorted_and_without_what_systems_leave(root: Path) -> None:
    assert open_store(root).names() == ["b/2", "b/empty", "top.txt", "ネコ/1.png"]


def test_reads_content(root: Path) -> None:
    store = open_store(root)
    assert {name: store.read(name) for name in FILES} == FILES


def test_unreadable_files_are_picture_errors(root: Path) -> None:
    store = open_store(root)
    with pytest.raises(ImageError, match=r"b/empty: the file is empty \(0 bytes\)"):
        store.read("b/empty")
    with pytest.raises(ImageError, match=r"missing.png: (cannot be read: No such file|is not in)"):
        store.read("missing.png")


def test_a_file_too_large_is_refused_before_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewshot_film.data.stores.Store.max_bytes", 2)
    with pytest.raises(ImageError, match="the file has 3 bytes, more than the limit of 2"):
        open_store(root).read("b/2")


def test_survives_pickling(root: Path) -> None:
    store = pickle.loads(pickle.dumps(open_store(root)))
    assert store.read("b/2") == b"two"


def test_folder_stamp_changes_with_the_file(tmp_path: Path) -> None:
    store = FolderStore(write(tmp_path, {"a": b"1"}))
    before = store.stamp("a")
    os.utime(tmp_path / "a", ns=(1, 1))
    assert store.stamp("a") != before
    (tmp_path / "a").unlink()
    assert store.stamp("a") == "missing"


def test_zip_stamp_depends_on_content_alone(tmp_path: Path) -> None:
    one, same, other = (
        ZipStore(pack(tmp_path / name, {"a": data})) for name, data in (("1", b"x"), ("2", b"x"), ("3", b"y"))
    )
    assert one.stamp("a") == same.stamp("a") != other.stamp("a")


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"x.png": b"x"})
    write(tmp_path / "data", {"a/1.png": b"1"})
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "loop").symlink_to(tmp_path / "data")
    assert FolderStore(tmp_path / "data").names() == ["a/1.png", "b/x.png"]


def test_results_are_not_read_as_what_they_are_made_from(tmp_path: Path) -> None:
    write(tmp_path / "images", {"a.png": b"x", "results/b.png": b"x", "deep/results/c.png": b"x"})
    (tmp_path / "link").symlink_to(tmp_path / "images")
    for root, out in (("images", "images/results"), ("link", "images/results"), ("images", "link/results")):
        store = open_store(tmp_path / root, tmp_path / out)
        assert store.names() == ["a.png", "deep/results/c.png"]
        assert store.folders() == ["deep", "deep/results"]
    assert len(open_store(tmp_path / "images", tmp_path).names()) == 3
    with pytest.raises(SourceError, match=r"link' holds the images, and results would be mixed with them: choose an"):
        open_store(tmp_path / "link", tmp_path / "images")


@pytest.mark.parametrize(("target", "why"), [("gone", "No such file"), ("a.png", "Too many levels of symbolic links")])
def test_a_link_that_leads_nowhere_is_a_picture_error(tmp_path: Path, target: str, why: str) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / target)
    store = FolderStore(tmp_path)
    assert store.names() == ["a.png"]
    with pytest.raises(ImageError, match=f"a.png: cannot be read: {why}"):
        store.read("a.png")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder and no zip file at"):
        open_store(tmp_path / "nothing")


def test_a_zip_cut_short(tmp_path: Path) -> None:
    path = pack(tmp_path / "data.zip", FILES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"is not a complete zip file .*: fetch it again"):
        open_store(path)


def test_damaged_zip_member_is_a_picture_error(tmp_path: Path) -> None:
    path = pack(tmp_path / "data.zip", {"a": b"content"})
    path.write_bytes(path.read_bytes().replace(b"content", b"kontent", 1))
    with pytest.raises(ImageError, match="a: cannot be read: Bad CRC-32"):
        open_store(path).read("a")


def test_encrypted_zip_member_is_a_picture_error(tmp_path: Path) -> None:
    data = bytearray(pack(tmp_path / "data.zip", {"a": b"content"}).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "data.zip").write_bytes(data)
    with pytest.raises(ImageError, match="a: cannot be read: the zip is encrypted"):
        open_store(tmp_path / "data.zip").read("a")


def test_names_packed_as_utf8_without_saying_so(tmp_path: Path) -> None:
    name = "кот/1.png"
    raw = name.encode("utf-8")
    path = pack(tmp_path / "data.zip", {"x" * len(raw): b"1"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() != [name]
    assert open_store(path).names() == [name]


def test_names_packed_with_a_root_are_taken_without(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("/cat/1.png", b"one")
    store = open_store(tmp_path / "data.zip")
    assert (store.names(), store.folders(), store.read("cat/1.png")) == (["cat/1.png"], ["cat"], b"one")


def test_a_child_process_reads_from_a_handle_of_its_own(tmp_path: Path) -> None:
    files = {str(number): bytes([number]) * 5000 for number in range(40)}
    store = ZipStore(pack(tmp_path / "data.zip", files))
    store.read("0")
    child = os.fork()
    for name, data in files.items():
        ok = store.read(name) == data
        if not ok:
            break
    if child == 0:
        os._exit(0 if ok else 1)
    assert ok
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
