"""A place of its own for the attempts: where file systems can be mounted that nobody else sees, and without a network.

Linux gives one to any user, by ``unshare`` of util-linux, unless the machine's owner forbids it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_INSIDE = "RELIABILITY_NAMESPACE"
_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--net")
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1


def is_inside() -> bool:
    """Whether this process is in such a place."""
    return _INSIDE in os.environ


def enter() -> None:
    """Begin this program again in such a place; where there can be none, say so and go on."""
    if is_inside():
        _loopback_up()
        return
    can = shutil.which(_UNSHARE[0]) and subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True)
    if not can or can.returncode:
        print("this machine allows no namespaces: full disks, read-only folders and no network are NOT TRIED")
        return
    os.environ[_INSIDE] = "1"
    os.execvp(_UNSHARE[0], [*_UNSHARE, sys.executable, "-m", "benchmarks.reliability", *sys.argv[1:]])


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Within the block ``folder`` is a disk of its own with room for ``size`` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(folder: Path, size: int) -> None:
    """Give a small disk another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Within the block nobody can write to ``folder``."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _loopback_up() -> None:
    """Let processes of this machine talk to each other, as torchrun's do."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(one, _GET_FLAGS, request))[1]
        fcntl.ioctl(one, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))
