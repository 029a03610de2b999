"""The files of a shared page, and where those of ONNX Runtime Web come from."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from fewshot_film.classifier import FewShotClassifier, NotFittedError, web_runtime
from fewshot_film.classifier.web_page import SHARES
from fewshot_film.classifier.web_runtime import PACKAGE, WebRuntimeError
from fewshot_film.cli import COMMANDS
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.command import main
from tests.classifier.small import film_learner, fitted
from tests.conftest import CHECKOUT
from tests.data.layouts import png

FAKE = {"ort.wasm.bundle.min.mjs": b"script", "ort-wasm-simd-threaded.wasm": b"compiled"}


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch) -> Path:
    """A stand-in for ONNX Runtime Web, as npm lays it out; the cache is empty."""
    monkeypatch.setattr(web_runtime, "FILES", {name: hashlib.sha256(data).hexdigest() for name, data in FAKE.items()})
    monkeypatch.setattr(web_runtime, "_cache_folder", lambda: tmp_path / "cache")
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name, data in FAKE.items():
        (folder / "dist" / name).write_bytes(data)
    return folder


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "package")
    return path


def test_the_docs_name_the_version_in_use():
    assert f"npm pack {PACKAGE}\n" in (CHECKOUT / "docs" / "sharing.md").read_text(encoding="utf-8")


def test_a_folder_or_a_package_is_used_as_it_is(runtime, tmp_path):
    assert web_runtime.web_runtime(runtime) == FAKE
    assert web_runtime.web_runtime(runtime / "dist") == FAKE
    assert web_runtime.web_runtime(packed(runtime, tmp_path / "package.tgz")) == FAKE
    assert not (tmp_path / "cache").exists()


def test_npm_is_asked_once(runtime, tmp_path, monkeypatch, caplog):
    calls = []

    def npm(command: list[str], **_: object) -> None:
        calls.append(command)
        packed(runtime, Path(command[-1]) / "onnxruntime-web.tgz")

    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: name)
    monkeypatch.setattr(web_runtime.subprocess, "run", npm)
    assert web_runtime.web_runtime() == web_runtime.web_runtime() == FAKE
    assert [command[:3] for command in calls] == [["npm", "pack", PACKAGE]]
    (tmp_path / "file").touch()
    monkeypatch.setattr(web_runtime, "_cache_folder", lambda: tmp_path / "file" / "cache")
    assert web_runtime.web_runtime() == FAKE
    assert "ONNX Runtime Web is not kept for the next page: [Errno 20] Not a directory" in caplog.text


def test_without_npm_the_error_says_what_to_do(runtime, monkeypatch):
    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: None)
    with pytest.raises(
        WebRuntimeError, match=rf"neither is npm.*run `npm pack {PACKAGE}`, and name the file"
    ) as raised:
        web_runtime.web_runtime()
    assert "http" not in str(raised.value)


def test_what_npm_says_is_told(runtime, monkeypatch):
    def npm(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="npm error code\nnpm error no such host")

    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: name)
    monkeypatch.setattr(web_runtime.subprocess, "run", npm)
    with pytest.raises(WebRuntimeError, match=r"could not fetch .*\(npm error no such host\): check the connection"):
        web_runtime.web_runtime()


def test_other_files_than_those_published_are_refused(runtime, tmp_path):
    (runtime / "dist" / "ort-wasm-simd-threaded.wasm").write_bytes(b"tampered")
    for given in (runtime, packed(runtime, tmp_path / "package.tgz")):
        with pytest.raises(WebRuntimeError, match=r"\.wasm in .* is damaged or another version's"):
            web_runtime.web_runtime(given)
    text = tmp_path / "text.tgz"
    text.write_text("no package")
    with pytest.raises(WebRuntimeError, match=r"text\.tgz is not the npm package"):
        web_runtime.web_runtime(text)
    with pytest.raises(WebRuntimeError, match="there is no 'nowhere'"):
        web_runtime.web_runtime("nowhere")
    with pytest.raises(WebRuntimeError, match="does not hold ort"):
        web_runtime.web_runtime(tmp_path)


def test_a_damaged_cache_is_fetched_anew(runtime, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in FAKE:
        (cache / name).write_bytes(b"cut sh")
    monkeypatch.setattr(web_runtime, "_from_npm", lambda: dict(FAKE))
    assert web_runtime.web_runtime() == FAKE
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == FAKE


def test_what_the_folder_holds(runtime, tmp_path):
    classifier, _, _ = fitted()
    page = classifier.export_page(tmp_path / "some" / "page", title="<Mine>", runtime=runtime)
    names = sorted(path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file())
    assert names == [
        *["classifier.json", "classifier.onnx", "engine.js", "index.html", "page.js"],
        *["runtime/LICENSE.txt", "runtime/ort-wasm-simd-threaded.wasm", "runtime/ort.js"],
    ]
    settings = json.loads((page / "classifier.json").read_text())
    assert settings["classes"] == [str(name) for name in classifier.classes_]
    assert {name: settings[name] for name in classifier.preprocessing.pixels} == classifier.preprocessing.pixels
    assert sorted(settings["limits"]) == [f"{share:.2f}" for share in SHARES if share]
    limits = [settings["limits"][share] for share in sorted(settings["limits"])]
    assert limits == sorted(limits, reverse=True)
    shown = (page / "index.html").read_text()
    assert "<h1>&lt;Mine&gt;</h1>" in shown
    for name in ("index.html", "page.js", "engine.js"):  # nothing is asked of another computer
        assert re.findall(r"(?:https?:)?//[a-z]+\.[a-z]+", (page / name).read_text()) == []
    classifier.export_page(page, runtime=runtime)  # written over


def test_one_file_holds_everything(runtime, tmp_path):
    classifier, _, _ = fitted()
    path = classifier.export_page(tmp_path / "mine.html", runtime=runtime)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["mine.html"]
    text = path.read_text()
    assert set(re.findall('data-file="([^"]+)"', text.split("<script type=module>")[0])) == {
        *["classifier.json", "classifier.onnx", "engine.js"],
        *["runtime/ort.js", "runtime/ort-wasm-simd-threaded.wasm"],
    }
    assert "{{" not in text.split("<script")[0]


def test_nothing_is_written_in_the_wrong_place(runtime, tmp_path):
    classifier, _, _ = fitted()
    (tmp_path / "page.html").mkdir()
    (tmp_path / "page").write_text("mine")
    for name in ("page.html", "page"):
        with pytest.raises(InvalidValueError, match=f"{name} exists and is no f"):
            classifier.export_page(tmp_path / name, runtime=runtime)
    assert (tmp_path / "page").read_text() == "mine"
    with pytest.raises(NotFittedError, match="has no classes yet"):
        FewShotClassifier(film_learner()).export_page(tmp_path / "other", runtime=runtime)


def share(*words: str) -> int:
    return main("fewshot-film", COMMANDS, ["share", "--device=cpu", *words])


def test_the_command(runtime, tmp_path, caplog, capsys):
    odd = os.fsdecode(b"\xe9")  # a name that is no text
    for label, shade in (("dark", 20), (odd, 230)):
        for number in range(3):
            file = tmp_path / "labelled" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(Image.new("RGB", (20, 20), (shade + number,) * 3)))
    words = [f"--runtime={runtime}", "--model=general-small"]
    with caplog.at_level("INFO"):
        assert share(f"--support={tmp_path / 'labelled'}", f"--out={tmp_path / 'page'}", f"--title={odd}", *words) == 0
    assert json.loads((tmp_path / "page" / "classifier.json").read_text())["classes"] == ["dark", odd]
    assert "2 classes: python -m http.server --directory" in caplog.text
    assert share(f"--out={tmp_path / 'none'}", *words) == 2
    assert "general-small' was not saved after fit, and support is empty" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
