"""Files that are whole or not there, and folders with one writer, on systems without ``fcntl`` too."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_film.errors import RunFolderError
from fewshot_film.run.files import (
    FolderLock,
    reserve,
    temporary_path,
    write_atomically,
    write_json_atomically,
    write_text_atomically,
)


def test_writes(tmp_path):
    write_text_atomically(tmp_path / "a.txt", "grüße\n")
    assert (tmp_path / "a.txt").read_bytes() == "grüße\n".encode()
    write_json_atomically(tmp_path / "a.json", {"ü": [1.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ü": [1.5, None]}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "a.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise KeyError("disk")

    with pytest.raises(KeyError, match="disk"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_without_a_file_is_told_with_it(tmp_path):
    def write(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*file'"):
        write_atomically(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomically(tmp_path / "a.json", {"mean": float("nan")})
    assert not list(tmp_path.iterdir())


def dead_process() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_processes_left_is_removed(tmp_path):
    here, dead = socket.gethostname(), dead_process()
    left = tmp_path / f".a.txt.{here}.{dead}.tmp"
    left.write_text("half")
    (tmp_path / f".a.txt.{here}.{dead}.new").mkdir()
    kept = [f".a.txt.{here}.{os.getppid()}.tmp", f".b.txt.{here}.{dead}.tmp", f".a.txt.elsewhere.{dead}.tmp", ".a.txt"]
    for name in kept:
        (tmp_path / name).touch()
    write_text_atomically(tmp_path / "a.txt", "whole")
    temporary_path(tmp_path / "a.txt", "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*kept, "a.txt"])


def test_what_another_machine_left_is_removed_after_a_day(tmp_path):
    left = tmp_path / ".a.txt.elsewhere.7.tmp"
    left.touch()
    os.utime(left, (0, 0))
    write_text_atomically(tmp_path / "a.txt", "whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_what_this_process_number_left_is_removed(tmp_path):
    """In a container every start may have the same number."""
    temporary_path(tmp_path / "model", "new").mkdir()
    assert not temporary_path(tmp_path / "model", "new").exists()


def test_a_full_disk_shows_before_a_map_is_written_to(tmp_path, monkeypatch):
    path = tmp_path / "map.npy"
    path.write_bytes(bytes(10))
    reserve(path)
    assert path.stat().st_size == 10

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*map.npy'"):
        reserve(path)


HOLDS_WITH_A_FORKED_CHILD = """
import os, sys, time
from pathlib import Path
from fewshot_film.run.files import FolderLock

with FolderLock(Path(sys.argv[1])):
    if not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(60)
"""

WITHOUT_FCNTL = """
import sys
sys.modules["fcntl"] = None  # as on Windows
from pathlib import Path
from fewshot_film.run.files import FolderLock

folder = Path(sys.argv[1])
with FolderLock(folder):
    (folder / "in-use").touch()
"""

CLASSIFIES_WITHOUT_FCNTL = """
import sys
sys.modules["fcntl"] = None
import numpy as np
from fewshot_film import FewShotClassifier

images = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (10, 20, 230, 240)])
classifier = FewShotClassifier().fit(images, ["dark", "dark", "light", "light"])
assert classifier.predict(images).tolist() == ["dark", "dark", "light", "light"]
"""


def test_a_folder_in_use_names_its_owner_and_is_free_afterwards(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "run"):
        owner = rf"run is in use by process {os.getpid()} on {socket.gethostname()}; wait for it, or choose"
        with pytest.raises(RunFolderError, match=owner):
            FolderLock(tmp_path / "run").__enter__()
    assert not (tmp_path / "run" / ".owner").exists()
    with FolderLock(tmp_path / "run"):
        pass


def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS_WITH_A_FORKED_CHILD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            with pytest.raises(RunFolderError, match=f"process {parent.pid} on"):
                FolderLock(tmp_path / "run").__enter__()
            parent.kill()
            parent.wait()
            os.kill(child, 0)  # it lives
            with FolderLock(tmp_path / "run"):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_folders_are_used_where_there_is_no_fcntl(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "in-use").exists()


@pytest.mark.slow
def test_images_are_classified_where_there_is_no_fcntl() -> None:
    done = subprocess.run([sys.executable, "-c", CLASSIFIES_WITHOUT_FCNTL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
