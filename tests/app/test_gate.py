"""What the running page refuses: over HTTP, as those who attack it would."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fewshot_film.page import RETURNING
from tests.app.conftest import Served
from tests.extras import needs_gradio

httpx = pytest.importorskip("httpx")
from benchmarks.reliability.attacks import GETS, ORIGINS, POSTS, UNNEEDED, UNNEEDED_AT_TOP, malformed_bodies  # noqa: E402
from benchmarks.reliability.visitor import API, Visitor, file_data  # noqa: E402

pytestmark = needs_gradio


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    with Visitor(served.address) as visitor:
        yield visitor


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    with httpx.Client(base_url=served.address, timeout=60) as client:
        yield client


@pytest.fixture(autouse=True)
def _no_traceback(served: Served) -> Iterator[None]:
    before = len(served.lines)
    yield
    time.sleep(0.2)
    assert "Traceback" not in "".join(served.lines[before:]), "".join(served.lines[before:])


def a_png(width: int = 20, height: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 40, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def wait_for_room(served: Served) -> None:
    """Until what earlier pages left is deleted: a reload would have brought it back."""
    end = time.monotonic() + RETURNING + 30
    while _has_uploads(served.folder):
        assert time.monotonic() < end
        time.sleep(0.2)


def _has_uploads(folder: Path) -> bool:
    """Whether there are any; os.walk, unlike rglob, passes over folders that are deleted while it looks."""
    return any(name.startswith("upload-") for _, inside, files in os.walk(folder) for name in (*inside, *files))


def listener(visitor: Visitor, kind: str) -> dict[str, Any]:
    """An event of the page whose first input is a component of some kind."""
    config = visitor.config()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    return next(
        one for one in config["dependencies"] if one["backend_fn"] and [kinds[i] for i in one["inputs"]][:1] == [kind]
    )


class TestOrigins:
    @pytest.mark.parametrize("origin", ORIGINS)
    def test_no_other_site_gets_an_answer(self, served: Served, visitor: Visitor, origin: str):
        headers = {"origin": origin}
        for path in [*[f"{API}/{name}" for name in GETS], "/", "/config", "/theme.css"]:
            assert visitor.client.get(path, headers=headers).status_code == 403, path
        for name in POSTS:
            answer = visitor.client.post(f"{API}/{name}", json={"data": []}, headers=headers)
            assert answer.status_code == 403, name
        assert visitor.upload(("a.png", a_png()), **headers).status_code == 403
        assert visitor.client.options(f"{API}/upload", headers=headers).status_code == 403, "the question beforehand"

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_images_and_frames_of_other_sites_are_refused_and_links_followed(self, client: Any, site: str):
        image = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
        frame = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
        link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert client.get("/static/img/logo_nosize.svg", headers=image).status_code == 403
        assert client.get("/", headers=frame).status_code == 403
        assert client.get("/", headers=link).status_code == 200
        assert client.get("/config", headers=link).status_code == 403

    def test_the_page_itself_is_answered(self, served: Served, visitor: Visitor):
        answer = visitor.upload(("a.png", a_png()), origin=served.address)
        assert answer.status_code == 200

    def test_another_name_for_the_server_is_refused(self, client: Any):
        answer = client.get("/", headers={"host": "evil.example", "origin": "http://evil.example"})
        assert answer.status_code == 400


class TestPages:
    def test_without_an_open_page_nothing_is_taken_in(self, served: Served, client: Any):
        for headers in ({}, {"x-page": ""}):
            answer = client.post(f"{API}/upload", files={"files": ("nobodys.bin", b"x" * 2**20)}, headers=headers)
            assert answer.status_code == 403
            call = {"fn_index": 4, "data": [], "session_hash": "nobodyatall"}
            assert client.post(f"{API}/queue/join", json=call, headers=headers).status_code == 403
            assert client.get(f"{API}/queue/data", params={"session_hash": "x"}, headers=headers).status_code == 403
        answer = client.post(f"{API}/upload", files={"files": ("a", b"x")}, headers={"x-page": "nobodyatall"})
        assert answer.status_code == 403, "a page that was never opened"
        assert not [*served.folder.rglob("nobodys.bin")]

    def test_a_page_speaks_for_itself_alone(self, served: Served, visitor: Visitor):
        with Visitor(served.address) as other:
            assert visitor.join(4, [], session_hash=other.name).status_code == 403
            query = {"session_hash": other.name}
            assert visitor.client.get(f"{API}/queue/data", params=query).status_code == 403
            call = {"session_hash": other.name, "fn_index": 4, "event_id": "x"}
            assert visitor.client.post(f"{API}/cancel", json=call).status_code == 403

    def test_what_no_page_needs_is_not_there(self, visitor: Visitor):
        for path in [*[f"{API}/{name}" for name in UNNEEDED], *UNNEEDED_AT_TOP]:
            assert visitor.client.get(path).status_code == 404, path
            assert visitor.client.post(path, json={"data": [], "fn_index": 4}).status_code == 404, path

    def test_a_link_cannot_ask_for_another_state_of_the_page(self, client: Any):
        assert client.get("/", params={"deep_link": "../x", "page": "nowhere"}).status_code == 200

    def test_too_many_headers_are_refused(self, client: Any):
        assert client.get("/", headers={f"a{number}": "x" for number in range(200)}).status_code == 431

    def test_every_answer_says_what_may_be_loaded(self, client: Any):
        for path in ("/", "/config", "/nowhere", f"{API}/upload"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'self'" in headers["content-security-policy"]


class TestUploads:
    @pytest.mark.slow
    def test_they_vanish_with_the_page(self, served: Served):
        with Visitor(served.address) as visitor:
            (path,) = visitor.upload(("a.bin", b"x" * 5000)).json()
            assert Path(path).is_file()
        end = time.monotonic() + RETURNING + 20  # a reload would have brought them back
        while Path(path).exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not Path(path).exists()

    def test_more_than_the_quota_is_refused_without_being_read(self, served: Served, visitor: Visitor):
        wait_for_room(served)
        for _ in range(2):
            assert visitor.upload(("a.bin", b"x" * (30 * 2**20))).status_code == 200
        answer = visitor.upload(("a.bin", b"x" * (30 * 2**20)))
        assert answer.status_code == 413
        assert "this page holds; expected at most 64 together" in answer.text

    @pytest.mark.slow
    def test_all_pages_together_have_a_quota(self, served: Served):
        wait_for_room(served)
        with Visitor(served.address) as one, Visitor(served.address) as two, Visitor(served.address) as three:
            for visitor in (one, two):
                for _ in range(2):
                    assert visitor.upload(("a.bin", b"x" * (30 * 2**20))).status_code == 200
            answer = three.upload(("a.bin", b"x" * (30 * 2**20)))
            assert answer.status_code == 413
            assert "the server's space for uploads is used up" in answer.text

    @pytest.mark.slow
    def test_a_file_that_is_too_large_is_refused_and_deleted(self, served: Served, visitor: Visitor):
        wait_for_room(served)
        answer = visitor.upload(("a.bin", b"x" * (41 * 2**20)))
        assert answer.status_code == 413
        assert "more than 40 MiB" in answer.text
        assert not any(path.stat().st_size > 2**20 for path in served.folder.rglob("*") if path.is_file())

    def test_what_is_no_form_with_files_is_refused(self, visitor: Visitor):
        post = visitor.client.post
        boundary = {"content-type": "multipart/form-data; boundary=b"}
        field = b'--b\r\ncontent-disposition: form-data; name="files"\r\n\r\n' + b"x" * 100 + b"\r\n--b--\r\n"
        assert post(f"{API}/upload", content=b"x").status_code == 400
        assert post(f"{API}/upload", content=b"x", headers={"content-type": "multipart/form-data"}).status_code == 400
        assert post(f"{API}/upload", content=b"x" * 99, headers=boundary).status_code == 400
        assert post(f"{API}/upload", content=field, headers=boundary).status_code == 400
        assert post(f"{API}/upload", content=iter([field]), headers=boundary).status_code == 411

    def test_names_lead_nowhere(self, served: Served, visitor: Visitor):
        for name in ("../../../a.bin", "/etc/a.bin", "..", "a\0b", "." * 300, "x" * 5000):
            answer = visitor.upload((name, b"x"))
            if answer.status_code == 200:
                assert Path(answer.json()[0]).is_relative_to(served.folder)
            else:
                assert 400 <= answer.status_code < 500 or answer.status_code == 507


class TestCalls:
    def test_malformed_ones_are_refused_with_a_4xx(self, visitor: Visitor):
        url, post = f"{API}/queue/join", visitor.client.post
        for body in malformed_bodies(visitor.name):
            answer = post(url, content=body, headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500, (body[:200], answer.text)
        answer = post(url, content=b'{"data": "' + b"x" * (9 * 2**20) + b'"}')
        assert answer.status_code == 413

    def test_values_of_other_kinds_are_refused_with_a_4xx(self, visitor: Visitor):
        values: list[Any] = [None, "x", -5, 10**30, {"path": "/etc/passwd"}, [1], {"a": 1}, True, [[[[]]]], {"path": 5}]
        config = visitor.config()
        kinds = {component["id"]: component["type"] for component in config["components"]}
        tried = 0
        for one in config["dependencies"]:
            names = [kinds[number] for number in one["inputs"]]
            if not one["backend_fn"] or not names or "state" in names:
                continue
            for value in values:
                answer = visitor.join(one["id"], [value] * len(names))
                tried += 1
                is_number = names[0] in ("number", "slider") and isinstance(value, int)  # ranges are told in the page
                is_fine = value is None or is_number or (names[0] == "textbox" and value == "x")
                assert answer.status_code < 500, (names, value)
                assert is_fine or answer.status_code >= 400, (names, value)
        assert tried > 50

    def test_files_of_the_server_and_of_others_cannot_be_named(self, served: Served, visitor: Visitor, tmp_path: Path):
        event = listener(visitor, "file")
        Image.new("RGB", (9, 9)).save(tmp_path / "private.png")
        with Visitor(served.address) as other:
            theirs = other.upload(("theirs.png", a_png())).json()[0]
            own = visitor.upload(("own.png", a_png())).json()[0]
            elsewhere = ["/etc/passwd", str(tmp_path / "private.png"), theirs, f"{own}/../../{Path(theirs).name}"]
            for path in (*elsewhere, "", "own.png", str(Path(own).parent), "http://a.b/c.png", f"{own}\0", "x" * 9999):
                for value in (file_data(path), {"path": path}, {"path": path, "url": path}):
                    for values in ([value], [[value]]):
                        assert visitor.join(event["id"], values).status_code == 403, path
            assert 200 in {
                visitor.join(event["id"], [value]).status_code for value in ([file_data(own)], file_data(own))
            }
