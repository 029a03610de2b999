"""Locks of folders: one process at a time, dropped when it dies, on systems without ``fcntl`` too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fewshot_film.run.errors import RunFolderError
from fewshot_film.run.files import FolderLock

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
import numpy as np
import fewshot_film
from fewshot_film import FewShotClassifier
from fewshot_film.run.files import FolderLock

images = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (10, 20, 230, 240)])
classifier = FewShotClassifier().fit(images, ["dark", "dark", "light", "light"])
assert classifier.predict(images).tolist() == ["dark", "dark", "light", "light"]
folder = Path(sys.argv[1])
with FolderLock(folder):
    (folder / "in-use").touch()
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


def test_where_there_is_no_fcntl_pictures_are_classified_and_folders_used(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "in-use").exists()
