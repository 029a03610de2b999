"""Where the files of ONNX Runtime Web come from, which run a network in a browser.

They are 14 MB and no Python package, so they do not ship with this one. They are published as the npm package
``onnxruntime-web``; whatever way they come, their hashes are checked.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fewshot_film.errors import UserError
from fewshot_film.run.files import write_bytes_atomically

log = logging.getLogger(__name__)

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
FILES: Mapping[str, str] = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The script and the compiled runtime, with their SHA-256."""
_ADVICE = (
    f"on any computer with npm, run `npm pack {PACKAGE}`, and name the file that it makes as the runtime "
    f"(runtime= in Python, --runtime on the command line)"
)
_PATIENCE = 300
"""Seconds for npm."""


class WebRuntimeError(UserError, FileNotFoundError):
    """The files of ONNX Runtime Web are not to be had, or are not what was published."""


def web_runtime(runtime: str | Path | None = None) -> dict[str, bytes]:
    """The files of ONNX Runtime Web by name.

    Args:
        runtime: a folder that holds them, such as ``node_modules/onnxruntime-web``, or what ``npm pack`` makes. None:
            from the user's cache folder, or else from npm, and then they are cached.

    Raises:
        WebRuntimeError: they are not there, are another version's, or npm is not installed or fails.
    """
    if runtime is not None:
        return _given(Path(runtime))
    cache = _cache_folder()
    try:
        return _from_folder(cache)
    except WebRuntimeError:
        found = _from_npm()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for name, data in found.items():
            write_bytes_atomically(cache / name, data)
    except OSError as error:
        log.warning("ONNX Runtime Web is not kept for the next page: %s", error)
    return found


def _given(runtime: Path) -> dict[str, bytes]:
    if runtime.is_dir():
        return _from_folder(runtime)
    if runtime.is_file():
        return _from_package(runtime)
    raise WebRuntimeError(f"runtime: there is no '{runtime}'; {_ADVICE}")


def _cache_folder() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "fewshot-film" / f"onnxruntime-web-{VERSION}"


def _from_folder(folder: Path) -> dict[str, bytes]:
    for place in (folder, folder / "dist", folder / "package" / "dist"):
        if all((place / name).is_file() for name in FILES):
            return {name: _checked(name, (place / name).read_bytes(), place) for name in FILES}
    raise WebRuntimeError(f"{folder} does not hold {' and '.join(FILES)} of ONNX Runtime Web; {_ADVICE}")


def _from_package(package: Path) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(package) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/dist/{name}")
                found[name] = _checked(name, member.read() if member else b"", package)
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        if isinstance(error, WebRuntimeError):
            raise
        raise WebRuntimeError(f"{package} is not the npm package {PACKAGE} ({error}); {_ADVICE}") from error
    return found


def _from_npm() -> dict[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise WebRuntimeError(
            f"ONNX Runtime Web is not on this computer, and neither is npm, which fetches it: {_ADVICE}"
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_PATIENCE)
        except (subprocess.SubprocessError, OSError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            reason = said[-1] if said else type(error).__name__
            raise WebRuntimeError(
                f"npm could not fetch {PACKAGE} ({reason}): check the connection, or {_ADVICE}"
            ) from error
        return _from_package(next(Path(folder).glob("*.tgz")))


def _checked(name: str, data: bytes, source: Path) -> bytes:
    if hashlib.sha256(data).hexdigest() != FILES[name]:
        raise WebRuntimeError(
            f"{name} in {source} is damaged or another version's: expected the one of {PACKAGE}; {_ADVICE}"
        )
    return data
