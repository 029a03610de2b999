from __future__ import annotations

import os
import pickle
import re
import zipfile
from multiprocessing import get_context
from pathlib import Path

import pytest

from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.storage import Storage, open_storage
from tests.clevr.data.builders import pack


@pytest.fixture(params=["folder", "zip"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    root = tmp_path / "root"
    (root / "images" / "val").mkdir(parents=True)
    for name, text in (("readme.txt", "hello"), ("images/val/b.png", "bb"), ("images/val/a.png", "a")):
        (root / name).write_text(text, encoding="utf-8")
    return open_storage(root if request.param == "folder" else pack(root, tmp_path / "root.zip"))


def test_lists_folders_and_files(storage: Storage) -> None:
    assert storage.folders() == ["images"]
    assert storage.files() == ["readme.txt"]
    assert storage.folders("images") == ["val"]
    assert storage.files("images/val") == ["a.png", "b.png"]
    assert storage.files("nothing") == storage.folders("nothing") == []


def test_opens_files(storage: Storage) -> None:
    with storage.open("images/val/b.png") as file:
        assert file.read() == b"bb"
    with pytest.raises(FileNotFoundError):
        storage.open("images/val/c.png")


def test_labels_name_root_and_file(storage: Storage) -> None:
    assert storage.label("readme.txt").startswith(str(storage.root))
    assert storage.label("readme.txt").endswith("readme.txt")
    assert storage.label("") == str(storage.root)


def test_travels_to_other_processes(storage: Storage) -> None:
    again = pickle.loads(pickle.dumps(storage))
    with again.open("readme.txt") as file:
        assert file.read() == b"hello"


def test_signature_changes_with_the_content(tmp_path: Path) -> None:
    def signatures(text: str) -> list[str]:
        (tmp_path / "root" / "a").write_text(text, encoding="utf-8")
        packed = pack(tmp_path / "root", tmp_path / "a.zip")
        return [open_storage(root).signature("a") for root in (tmp_path / "root", packed)]

    (tmp_path / "root").mkdir()
    assert all(old != new for old, new in zip(signatures("one"), signatures("other"), strict=True))


def _read_much(storage: Storage, name: str) -> bool:
    return all(_content(storage, name) == name.encode() * 1000 for _ in range(50))


def _content(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return file.read()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forked_processes_do_not_mix_up_their_reads(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    names = [f"file{number}" for number in range(4)]
    for name in names:
        (tmp_path / "root" / name).write_text(name * 1000, encoding="utf-8")
    storage = open_storage(pack(tmp_path / "root", tmp_path / "root.zip"))
    _content(storage, names[0])  # the handle is open before the fork
    with get_context("fork").Pool(4) as pool:
        assert all(pool.starmap(_read_much, [(storage, name) for name in names]))


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"nowhere does not exist; expected a folder in CLEVR's layout"):
        open_storage(tmp_path / "nowhere")


def test_file_that_is_no_zip(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'a.zip'}: not a zip file, or truncated")):
        open_storage(tmp_path / "a.zip")


def test_leaves_out_what_macos_adds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("CLEVR_v1.0/images/val/a.png", b"a")
        file.writestr("__MACOSX/CLEVR_v1.0/._a.png", b"b")
    assert open_storage(tmp_path / "a.zip").folders() == ["CLEVR_v1.0"]
