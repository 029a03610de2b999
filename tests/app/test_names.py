"""Names under which the page is answered: a site could have its own name lead here."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from fewshot_film.app.gate import Gate
from fewshot_film.app.server import names
from fewshot_film.config.commands import AppConfig
from fewshot_film.page import Limits, Page, Visitors
from tests.app.loops import run


def status(folder: Path, config: AppConfig, host: str) -> int:
    """What a request for the page's settings is answered, under a name."""
    said: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    page = Page(Limits(), Visitors(folder), ())
    gate = Gate(app, page, None, hosts=names(config), addresses=config.host not in ("127.0.0.1", "localhost"))
    headers = [(b"host", host.encode())]
    scope = {"type": "http", "method": "GET", "path": "/config", "headers": headers, "query_string": b""}
    run(gate(scope, receive, send))
    return int(said[0]["status"])


OWN = socket.gethostname().lower()


@pytest.mark.parametrize(
    ("config", "host", "expected"),
    [
        (AppConfig(), "127.0.0.1:7860", 200),
        (AppConfig(), "LOCALHOST:7860", 200),
        (AppConfig(), "[::1]:7860", 200),
        (AppConfig(), "192.168.1.5:7860", 400),
        (AppConfig(), "evil.example", 400),
        (AppConfig(names=("photos.example",)), "photos.example", 200),
        (AppConfig(host="0.0.0.0"), "evil.example:7860", 400),
        (AppConfig(host="0.0.0.0"), "127.0.0.1.evil.example", 400),
        (AppConfig(host="0.0.0.0"), "", 400),
        (AppConfig(host="0.0.0.0"), "[::1", 400),
        (AppConfig(host="0.0.0.0"), "192.168.1.5:7860", 200),
        (AppConfig(host="0.0.0.0"), "[fe80::1]:7860", 200),
        (AppConfig(host="0.0.0.0"), "localhost", 200),
        (AppConfig(host="0.0.0.0"), OWN, 200),
        (AppConfig(host="0.0.0.0"), f"{OWN}.local:7860", 200),
        (AppConfig(host="0.0.0.0", names=("Photos.example",)), "photos.EXAMPLE:443", 200),
        (AppConfig(host="board.lan"), "board.lan", 200),
    ],
)
def test_other_names_are_refused(tmp_path: Path, config: AppConfig, host: str, expected: int):
    assert status(tmp_path, config, host) == expected
