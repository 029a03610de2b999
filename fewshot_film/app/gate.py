"""What every request passes first: where it comes from, whose page sends it, and what it may ask for."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from fewshot_film.app.calls import CallError, EventGoneError, check_event, parse_call
from fewshot_film.page import Page

if TYPE_CHECKING:
    import gradio

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PAGE_HEADER = "x-page"
"""Where requests name the page that sends them; no other site can send it without asking first."""
MAX_CALL = 8 * 2**20
"""Most bytes of one event; files are uploaded apart from it."""
MAX_HEADERS = 100
"""Most headers of one request; browsers send some twenty."""
PATIENCE = 5.0
"""Seconds that a request waits for its page to open: the two travel on different connections."""
POLICY = "; ".join(
    (
        "default-src 'self' data: blob:",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""What browsers may load for the page: its own files and nothing from anywhere else."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""What every answer says."""

_API = "/gradio_api"
UPLOAD = f"{_API}/upload"
_READ = re.compile(rf"/|/config|/theme\.css|/favicon\.ico|/(assets|static)/.+|{_API}/(app_id|startup-events|file=.+)")
_OPEN = re.compile(rf"{_API}/heartbeat/([a-z0-9]{{5,40}})")
_LISTEN = re.compile(rf"{_API}/(queue/data|upload_progress)")
_SEND = re.compile(rf"{_API}/(queue/join|cancel|reset|stream/\w+(/close)?)|{UPLOAD}")


class Gate:
    """An ASGI layer around the page: what no open page of this server asks for is refused.

    Args:
        app: what answers.
        page: limits, and who has the page open.
        blocks: the page as it was laid out, to know its events by.
        script: runs in the page before all others, so that it sees every request that the page makes; Gradio would run
            it after the first ones.
        hosts: names that the server answers to.
        addresses: whether it answers to any IP address too: no site's name is one.
    """

    def __init__(
        self,
        app: Any,
        page: Page,
        blocks: gradio.Blocks,
        script: str = "",
        hosts: Iterable[str] = (),
        addresses: bool = False,
    ) -> None:
        self.app = app
        self.page = page
        self.blocks = blocks
        self.script = f"<script>{script}</script>".encode()
        self.hosts = frozenset(name.lower() for name in hosts)
        self.addresses = addresses

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await self._pass(scope, receive, answer)
        except CallError as error:
            detail: Any = [] if isinstance(error, EventGoneError) else str(error)  # the page shows no empty complaint
            await _say(answer, error.status, detail)

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if len(scope["headers"]) > MAX_HEADERS:
            raise CallError(f"more than {MAX_HEADERS} headers", 431)
        self._check_host(scope)
        _check_origin(scope)
        if method == "GET" and path == "/":
            await self._pass_document(scope, receive, send)
        elif method in ("GET", "HEAD") and _READ.fullmatch(path):
            await self.app(scope, receive, send)
        elif method == "GET" and (found := _OPEN.fullmatch(path)):
            with self.page.visitors.opened(found[1]):
                await self.app(scope, receive, send)
        elif method == "GET" and _LISTEN.fullmatch(path):
            visitor = await self._visitor(scope)
            queried = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [visitor])
            if queried != [visitor]:
                raise CallError("the call speaks for another page", 403)
            await self.app(scope, receive, send)
        elif method == "POST" and _SEND.fullmatch(path):
            visitor = await self._visitor(scope)
            if path == UPLOAD:
                await self.app(scope, receive, send)
            else:
                await self._pass_call(scope, receive, send, visitor)
        else:
            raise CallError("there is nothing here", 404)

    async def _pass_document(self, scope: Message, receive: Receive, send: Send) -> None:
        """The page itself, with the script before all others."""
        headers = [(key, value) for key, value in scope["headers"] if key != b"accept-encoding"]
        begun: list[Message] = []
        parts: list[bytes] = []

        async def gather(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            if message["type"] != "http.response.body":  # such as what Starlette tells its test client
                await send(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                body = b"".join(parts).replace(b"<head>", b"<head>" + self.script, 1)
                lengths = [(b"content-length", str(len(body)).encode())]
                others = [pair for pair in begun[0].get("headers", ()) if pair[0].lower() != b"content-length"]
                await send({**begun[0], "headers": others + lengths})
                await send({"type": "http.response.body", "body": body})

        # what a link asks for beyond the page, such as another state of it, is not looked at
        await self.app({**scope, "headers": headers, "query_string": b""}, receive, gather)

    async def _pass_call(self, scope: Message, receive: Receive, send: Send, visitor: str) -> None:
        body = await _read(receive)
        call = parse_call(body, visitor)
        if scope["path"].endswith("/queue/join"):
            check_event(call, visitor, self.blocks, self.page)
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, receive_again, send)

    async def _visitor(self, scope: Message) -> str:
        """Whose page sends a request.

        Raises:
            CallError: no page that is open.
        """
        visitor = _header(scope, PAGE_HEADER)
        end = time.monotonic() + PATIENCE
        while visitor and not self.page.visitors.is_open(visitor):
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.05)
        if not self.page.visitors.is_open(visitor):
            raise CallError("only an open page may ask for this; reload it", 403)
        return visitor

    def _check_host(self, scope: Message) -> None:
        """Answer to the server's own names: a site could have its own name lead here, and read what is shown."""
        try:
            name = urlsplit(f"//{_header(scope, 'host')}").hostname or ""
        except ValueError:  # half of an IPv6 address
            name = ""
        if name not in self.hosts and not (self.addresses and _is_address(name)):
            raise CallError("this server has another name; --names allows more", 400)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(scope: Message) -> None:
    """Refuse what another site's page asks for; a link that leads here is followed."""
    origin = _header(scope, "origin")
    if origin and urlsplit(origin).netloc.lower() != _header(scope, "host").lower():
        raise CallError("requests of other sites are refused", 403)
    if _header(scope, "sec-fetch-site") in ("cross-site", "same-site"):
        is_link = scope["path"] == "/" and scope["method"] == "GET" and _header(scope, "sec-fetch-mode") == "navigate"
        if not (is_link and _header(scope, "sec-fetch-dest") == "document"):
            raise CallError("requests of other sites are refused", 403)


def _header(scope: Message, name: str) -> str:
    """One header; all its values, if there are several."""
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name.encode())


async def _read(receive: Receive) -> bytes:
    """The body of a call.

    Raises:
        CallError: it is too long.
    """
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallError("the call was cut short")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_CALL:
            raise CallError(f"the call is larger than {MAX_CALL / 2**20:.0f} MiB", 413)
        more = message.get("more_body", False)
    return b"".join(parts)


async def _say(send: Send, status: int, detail: Any) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
