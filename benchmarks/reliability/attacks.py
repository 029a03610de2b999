"""Attacks on the page in the browser: a server is started, and asked for what no open page of its own asks for.

A request counts as *refused* where the answer has the expected status, and as *done* where it had to be answered.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from benchmarks.reliability import hostile_uploads
from benchmarks.reliability.resource_limits import Count
from benchmarks.reliability.visitor import API, Visitor
from fewshot_film.page import Limits, UploadError

POSTS = ["queue/join", "cancel", "reset", "upload", "stream/x", "stream/x/close"]
GETS = ["queue/data?session_hash=a", "upload_progress?upload_id=a", "heartbeat/abcdefg", "app_id", "startup-events"]
"""Endpoints that the page uses."""
ORIGINS = ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"]
"""Where requests come from that are refused."""
UNNEEDED = [
    "info", "openapi.json", "run/x", "api/x", "call/x", "call/v2/x", "component_server", "token", "user", "login_check",
    "queue/status", "deep_link", "dev/reload", "runs", "vibe-code", "vibe-edit", "process_recording", "proxy=http://a.b",
    "file/etc/passwd", "stream/a/b/c/playlist.m3u8", "run-history/connect", "heartbeat/", "heartbeat/a/",
    "profiling/traces",
]  # fmt: skip
UNNEEDED_AT_TOP = ["/openapi.json", "/docs", "/redoc", "/manifest.json", "/robots.txt", "/monitoring",
                   "/monitoring/summary", "/login", "/pwa_icon", "/svelte/x", "/../etc/passwd",
                   "/config/"]  # fmt: skip
"""Endpoints that Gradio and FastAPI have otherwise."""
NAMES_IN_ZIP = 300_000
AT_ONCE = 1.0
"""Seconds within which a zip with too many names is refused."""
_STARTED_WITHIN = 300.0


def attacks(
    places: dict[str, Any], work: Path, *, quick: bool = False, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Send every attack to a running page.

    Args:
        places: inputs.
        work: folder for files.
        quick: only what needs no server.
        say: gets a line of progress.
    """
    work.mkdir(parents=True, exist_ok=True)
    found = {f"a zip of {NAMES_IN_ZIP:,} names": asdict(many_names(work / "names.zip"))}
    if not quick:
        limits = [f"--{name}={value}" for name, value in hostile_uploads.LIMITS.items()]
        words = ["--models", f"[{places['few_model']}]", "--reasoner", str(places["clevr_model"]), *limits]
        with serving(work, words) as page:
            for title, attack in {**ATTACKS, **hostile_uploads.ATTACKS}.items():
                with Visitor(page.address) as visitor:
                    count = Count()
                    attack(visitor, count)
                found[title] = asdict(count)
            found["tracebacks and open files after all that"] = asdict(_calm(page))
    for title, row in found.items():
        say(f"{title}: {row['tried']} tried, {row['refused']} refused, {len(row['faults'])} faults")
    return found


def many_names(path: Path, names: int = NAMES_IN_ZIP) -> Count:
    """A zip of too many names is refused at once, from the end of its directory."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(names):
            archive.writestr(f"{number % 100}/{number}.png", b"")
    count, began = Count(tried=1), time.monotonic()
    try:
        Limits().check_archive(path)
        count.faults.append("it was not refused")
    except UploadError:
        count.refused += 1
    if time.monotonic() - began > AT_ONCE:
        count.faults.append(f"it took {time.monotonic() - began:.1f} s to refuse it")
    return count


class Serving:
    """A running page.

    Args:
        process: of the server.
        log: what it says.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.address = self._address()

    @property
    def said(self) -> str:
        """What it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _address(self) -> str:
        end = time.monotonic() + _STARTED_WITHIN
        while time.monotonic() < end and self.process.poll() is None:
            if found := re.search(r"the page is at (http://\S+)", self.said):
                return found[1]
            time.sleep(0.1)
        raise RuntimeError(f"the page was not served: {self.said[-2000:]}")


@contextmanager
def serving(folder: Path, words: list[str]) -> Iterator[Serving]:
    """The page, served within the block by a program of its own."""
    log, files = folder / "served.log", folder / "served"
    files.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "fewshot_film", "app", "--port", "0", "--device", "cpu", *words]
    with log.open("wb") as target:
        process = subprocess.Popen(command, stderr=target, env={**os.environ, "TMPDIR": str(files)})
    try:
        yield Serving(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _expect(count: Count, answers: Iterable[tuple[str, httpx.Response]], statuses: Iterable[int]) -> None:
    expected = set(statuses)
    for what, answer in answers:
        count.tried += 1
        is_good = answer.status_code in expected
        count.done += is_good and answer.status_code < 300
        count.refused += is_good and answer.status_code >= 300
        if not is_good:
            count.faults.append(f"{what}: status {answer.status_code}, expected {sorted(expected)[:3]}")


def foreign_origins(visitor: Visitor, count: Count) -> None:
    """Another site's page asks each endpoint."""
    client = visitor.client
    for origin in ORIGINS:
        headers = {"origin": origin}
        for path in [*[f"{API}/{name}" for name in GETS], "/", "/config", "/theme.css"]:
            _expect(count, [(f"{origin} GET {path}", client.get(path, headers=headers))], [403])
        for name in POSTS:
            sent = client.post(f"{API}/{name}", json={"data": []}, headers=headers)
            _expect(count, [(f"{origin} POST {name}", sent)], [403])
        _expect(count, [(f"{origin} upload", visitor.upload(("a.png", b"x"), **headers))], [403])
        _expect(count, [(f"{origin} preflight", client.options(f"{API}/upload", headers=headers))], [403])


def foreign_documents(visitor: Visitor, count: Count) -> None:
    """Another site shows the page in a frame, or its files as images."""
    for site in ("cross-site", "same-site"):
        for mode, kind in (("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe"), ("navigate", "embed")):
            headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": kind}
            for path in ("/", "/config", f"{API}/file=x"):
                _expect(count, [(f"{site} {kind} {path}", visitor.client.get(path, headers=headers))], [403])


def foreign_names(visitor: Visitor, count: Count) -> None:
    """A site's own name leads to this computer."""
    for name in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:7860", "[::2]"):
        headers = {"host": name, "origin": f"http://{name}"}
        for path in ("/", "/config", f"{API}/heartbeat/abcdefg"):
            _expect(count, [(f"{name} {path}", visitor.client.get(path, headers=headers))], [400])


def no_page(visitor: Visitor, count: Count) -> None:
    """Calls and uploads of no open page, and in the name of another."""
    client = visitor.client
    for name in ("", "nobodyatall", "../x", "A" * 5000):
        headers = {"x-page": name}
        call = {"fn_index": 4, "data": [], "session_hash": name}
        for path in ("queue/join", "cancel", "reset"):
            _expect(count, [(f"{name!r} {path}", client.post(f"{API}/{path}", json=call, headers=headers))], [403])
        sent = client.post(f"{API}/upload", files={"files": ("nobodys.bin", b"x")}, headers=headers)
        _expect(count, [(f"{name!r} upload", sent)], [403])
    _expect(count, [("for another page", visitor.join(4, [], session_hash="nobodyatall"))], [403])


def unneeded(visitor: Visitor, count: Count) -> None:
    """Endpoints that the page does not use."""
    for path in [*[f"{API}/{name}" for name in UNNEEDED], *UNNEEDED_AT_TOP]:
        sent = visitor.client.post(path, json={"data": [], "fn_index": 4})
        _expect(count, [(f"GET {path}", visitor.client.get(path)), (f"POST {path}", sent)], [404])


def malformed_bodies(visitor: str) -> list[bytes]:
    """Bodies of events that no page sends.

    Args:
        visitor: name of the page.
    """
    whole = {"fn_index": 4, "data": [], "session_hash": visitor}
    bodies: list[bytes] = [b"", b"{", b"null", b"[]", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'"x"']
    changes: list[dict[str, Any]] = [
        {"fn_index": "x"}, {"fn_index": None}, {"fn_index": 1e3}, {"fn_index": -1}, {"fn_index": 10**6},
        {"fn_index": True}, {"data": None}, {"data": {}}, {"data": [1]}, {"data": "x"}, {"session_hash": None},
        {"session_hash": 5}, {"event_data": {"index": {}}}, {"event_data": {"index": [[]]}},
    ]  # fmt: skip
    bodies += [json.dumps({**whole, **change}).encode() for change in changes]
    return bodies + [json.dumps({key: whole[key] for key in whole if key != left}).encode() for left in whole]


def malformed(visitor: Visitor, count: Count) -> None:
    """Events that are no such, and files that the page has not uploaded."""
    headers = {"content-type": "application/json"}
    for body in malformed_bodies(visitor.name):
        sent = visitor.client.post(f"{API}/queue/join", content=body, headers=headers)
        _expect(count, [(str(body[:60]), sent)], range(400, 500))
    config = visitor.config()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    takes_files = [
        one["id"]
        for one in config["dependencies"]
        if one["backend_fn"] and [kinds[number] for number in one["inputs"]] == ["file"]
    ]
    for number in takes_files:
        for path in ("/etc/passwd", "", "x" * 9999, "../../etc/passwd"):
            for value in ({"path": path, "meta": {"_type": "gradio.FileData"}}, [{"path": path}]):
                _expect(count, [(f"event {number}, file {path[:40]}", visitor.join(number, [value]))], [403])


ATTACKS: dict[str, Callable[[Visitor, Count], None]] = {
    "requests of other origins": foreign_origins,
    "frames, images and scripts of other sites": foreign_documents,
    "other names for the server": foreign_names,
    "without an open page, or for another one": no_page,
    "endpoints that the page does not use": unneeded,
    "malformed events, and files of the server": malformed,
}
"""By the name of the row."""


def _calm(page: Serving) -> Count:
    """The server still answers, has said nothing of errors, and keeps no file of those who are not there."""
    with httpx.Client(base_url=page.address, timeout=60) as client:
        count = Count()
        _expect(count, [("the page", client.get("/"))], [200])
    if "Traceback" in page.said:
        count.faults.append(page.said[-1500:])
    if found := [*(page.log.parent / "served").rglob("nobodys.bin")]:
        count.faults.append(f"{len(found)} files were kept")
    return count
