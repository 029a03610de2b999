"""A fitted classifier as a web page that runs without Python and without a network."""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fewshot_film.classifier.export import export_onnx
from fewshot_film.classifier.fitted import Fitted
from fewshot_film.classifier.web_runtime import VERSION, web_runtime
from fewshot_film.errors import InvalidValueError, counted
from fewshot_film.run.files import write_bytes_atomically
from fewshot_film.run.tables import encodable

SHARES = tuple(round(0.01 * step, 2) for step in range(31))
"""What the page's slider offers: shares of true members that may be rejected; 0: nothing is."""
TEMPLATE, SCRIPT, ENGINE = (Path(__file__).parent / "web" / name for name in ("index.html", "page.js", "engine.js"))
MODEL, SETTINGS, RUNTIME = "classifier.onnx", "classifier.json", "runtime/ort.js"
_LICENCE = """ONNX Runtime Web {version}, https://onnxruntime.ai

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src blob: data:; media-src blob:; base-uri 'none'; "
_FOLDER_POLICY = _POLICY + "script-src 'self' 'wasm-unsafe-eval' blob:; connect-src 'self'"
_FILE_POLICY = _POLICY + "script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:"
"""What the browser lets the page ask for: its own files, or nothing at all."""


def export_page(
    path: Path, fitted: Fitted, limit: Callable[[float], float] | None, title: str, runtime: str | Path | None
) -> Path:
    """Write the page; see :meth:`FewShotClassifier.export_page`.

    Args:
        path: a folder, or a file that ends in ``.html``.
        fitted: what is shared.
        limit: the largest distance of a member for a share that may be rejected; None: nothing can be rejected.
        title: heading of the page.
        runtime: see :func:`web_runtime`.
    """
    is_file = path.suffix.lower() in (".html", ".htm")
    if path.is_file() != is_file and path.exists():
        raise InvalidValueError(f"{path} exists and is no {'file' if is_file else 'folder'}; choose another path")
    code, wasm = web_runtime(runtime).values()  # asked for before the work begins
    with ThreadPoolExecutor(1) as pool, tempfile.TemporaryDirectory() as folder:
        if is_file:  # takes as long as the export, on another core
            pool.map(_compressed, (code, wasm))
        model = export_onnx(Path(folder) / MODEL, fitted).read_bytes()
    settings = encodable(json.dumps(_settings(fitted, limit), ensure_ascii=False, indent=1)).encode()
    files = {MODEL: model, SETTINGS: settings, ENGINE.name: ENGINE.read_bytes(), RUNTIME: code}
    files["runtime/ort-wasm-simd-threaded.wasm"] = wasm
    if is_file:
        page = _filled(title, fitted, _FILE_POLICY, f"{_embedded(files)}\n<script type=module>{_script()}</script>")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, page.encode())
        return path
    page = _filled(title, fitted, _FOLDER_POLICY, '<script type=module src="page.js"></script>')
    files |= {"index.html": page.encode(), "page.js": _script().encode()}
    files["runtime/LICENSE.txt"] = _LICENCE.format(version=VERSION).encode()
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path / name, data)
    return path


def _settings(fitted: Fitted, limit: Callable[[float], float] | None) -> dict[str, Any]:
    """What the page needs to know beside the network."""
    return {
        "classes": [str(fitted.classes[number]) for number in fitted.present.tolist()],
        **fitted.preprocessing.pixels,
        "limits": {} if limit is None else {f"{share:.2f}": limit(share) for share in SHARES if share > 0},
    }


def _script() -> str:
    return SCRIPT.read_text(encoding="utf-8")


def _filled(title: str, fitted: Fitted, policy: str, body: str) -> str:
    """The page's HTML."""
    text = TEMPLATE.read_text(encoding="utf-8")
    learned = f"{counted(len(fitted.present), 'class')} learned from {counted(len(fitted.labels), 'image')}"
    values = {"TITLE": encodable(title), "LEARNED": learned, "POLICY": policy, "RUNTIME": VERSION}
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", html.escape(value))
    return text.replace("{{BODY}}", body)


def _embedded(files: Mapping[str, bytes]) -> str:
    """Files as compressed text in the page itself."""
    rows = [f"<!-- {_LICENCE.format(version=VERSION)} -->"]
    for name, data in files.items():
        text = _stored(data) if name == MODEL else _compressed(data)
        rows.append(f'<script type="application/octet-stream" data-file="{name}">{text}</script>')
    return "\n".join(rows)


def _stored(data: bytes) -> str:
    """Weights as gzip without compression, which would take a second to make them a tenth smaller."""
    return base64.b64encode(gzip.compress(data, 0, mtime=0)).decode()


@functools.lru_cache(4)
def _compressed(data: bytes) -> str:
    """Text for a file; that of the runtime is the same in every page."""
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
