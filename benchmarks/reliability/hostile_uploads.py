"""Uploads to the page in the browser that no person makes: more than there is room for, odd forms, files that lie."""

from __future__ import annotations

import io
import socket
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image

from benchmarks.reliability.resource_limits import Count
from benchmarks.reliability.visitor import API, Visitor

LIMITS = {"file_mib": 2, "archive_mib": 8, "visitor_mib": 16, "total_mib": 40}
"""Of the page that is attacked: small, so that its quotas are reached soon."""
NAMES = (
    "../../../a.png", "/etc/a.png", "..", ".", "", "a\0b.png", "." * 300, "x" * 5000, "CON.png", "a\r\nb: c.png",
    "C:\\a\\b.png", "\u202egnp.exe", "\U0001f600.png",
    "<img src=x onerror=alert(1)>.png", "-rf.png", "~/a.png", "%2e%2e%2fa.png",
)  # fmt: skip
"""Of uploaded files."""
PATHS = (
    "/../../etc/passwd", f"{API}/file=/etc/passwd", f"{API}/file=..%2f..%2fetc%2fpasswd", f"{API}/file=%00",
    "/assets/..%2f..%2f", "/static/%2e%2e/%2e%2e/x", "//etc/passwd", "/%ff",
)  # fmt: skip
"""That lead elsewhere."""


def quotas(visitor: Visitor, count: Count) -> None:
    """One page uploads more than its share, then others until the disk's share is used up."""
    part, held = b"x" * (7 * 2**20), [visitor]
    address = str(visitor.client.base_url)
    most = LIMITS["total_mib"] // 14
    try:
        for number in range(most + 1):
            if number:
                held.append(Visitor(address).__enter__())
            _full(held[-1], part, count, is_last=number == most)
    finally:
        for one in held[1:]:
            one.__exit__(None, None, None)


def _full(visitor: Visitor, part: bytes, count: Count, *, is_last: bool) -> None:
    """Upload until it is refused: after two parts, or at once where others have filled the disk's share."""
    for number in range(3):
        _count(count, f"part {number} of a page", visitor.upload(("a.bin", part)), is_last or number == 2, 413)


def _count(count: Count, what: str, answer: httpx.Response, is_too_much: bool, status: int) -> None:
    count.tried += 1
    expected = status if is_too_much else 200
    is_good = answer.status_code == expected
    count.refused += is_good and is_too_much
    count.done += is_good and not is_too_much
    if not is_good:
        count.faults.append(f"{what}: status {answer.status_code}, expected {expected}")


def odd_requests(visitor: Visitor, count: Count) -> None:
    """Bytes that are hardly HTTP, sent through a socket: each is refused with a 4xx, or the connection is closed."""
    where = urlsplit(str(visitor.client.base_url))
    for title, lines in _odd(visitor.name, where.netloc):
        status = _raw(str(where.hostname), where.port or 80, lines)
        count.tried += 1
        if 400 <= status < 500 or status == 0:
            count.refused += 1
        else:
            count.faults.append(f"{title}: status {status}, expected 4xx")


def _odd(name: str, host: str) -> Iterator[tuple[str, bytes]]:
    head = f"Host: {host}\r\nX-Page: {name}\r\nConnection: close\r\n".encode()
    form = b"Content-Type: multipart/form-data; boundary=b\r\n"
    upload, join = f"POST {API}/upload".encode(), f"POST {API}/queue/join".encode()
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "get", "\u00e9"):
        yield f"method {method}", f"{method} / HTTP/1.1\r\n".encode() + head + b"\r\n"
    yield "a header of 1 MiB", b"GET / HTTP/1.1\r\n" + head + b"A: " + b"x" * 2**20 + b"\r\n\r\n"
    yield "10,000 headers", b"GET / HTTP/1.1\r\n" + head + b"".join(b"A%d: x\r\n" % n for n in range(10_000)) + b"\r\n"
    yield "an address of 1 MiB", b"GET /" + b"x" * 2**20 + b" HTTP/1.1\r\n" + head + b"\r\n"
    yield "no host", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    yield "two hosts", b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + head + b"\r\n"
    yield (
        "an upload in chunks",
        upload + b" HTTP/1.1\r\n" + head + form + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    )
    for length in ("-1", "1e3", "99999999999999999999", "0x10", "\u0661", "", "1, 1"):
        yield (
            f"length {length}",
            upload + b" HTTP/1.1\r\n" + head + form + f"Content-Length: {length}\r\n\r\nx".encode(),
        )
    yield "two lengths", join + b" HTTP/1.1\r\n" + head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"
    both = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /gradio_api/info HTTP/1.1\r\n\r\n"
    yield "a length and chunks", join + b" HTTP/1.1\r\n" + head + both
    yield "NUL in the address", b"GET /\0 HTTP/1.1\r\n" + head + b"\r\n"
    yield (
        "a websocket",
        (
            f"GET {API}/queue/data HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode(),
    )
    yield (
        "a stream without a page",
        f"GET {API}/queue/data?session_hash=abcdefg HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(),
    )
    for path in PATHS:
        yield path, f"GET {path} HTTP/1.1\r\n".encode() + head + b"\r\n"


def _raw(host: str, port: int, data: bytes) -> int:
    """The status with which bytes are answered; 0 where the connection is closed without one."""
    with socket.create_connection((host, port), timeout=30) as connection:
        try:
            connection.sendall(data)
            answer = connection.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            return 0
    parts = answer.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def odd_names(visitor: Visitor, count: Count) -> None:
    """Names that lead elsewhere, or are none: the file is kept in the page's own folder, or refused."""
    for name in NAMES:
        answer = visitor.upload((name, b"x"))
        count.tried += 1
        if answer.status_code == 200:
            paths = answer.json()
            count.done += 1
            if any("/upload-" not in path or ".." in path.split("/") for path in paths):
                count.faults.append(f"{name[:40]!r} was kept at {paths}")
        elif 400 <= answer.status_code < 500 or answer.status_code == 507:
            count.refused += 1
        else:
            count.faults.append(f"{name[:40]!r}: status {answer.status_code}")


def hostile_files(visitor: Visitor, count: Count) -> None:
    """Files that are not what they say, given to what takes a file alone: each ends in a message or in nothing."""
    zones = [*_zones(visitor)]
    for title, name, data in files():
        for number, is_list in zones:
            uploaded = visitor.uploaded((name, data))
            message = visitor.run(number, [uploaded if is_list else uploaded[0]])
            count.tried += 1
            said = str((message.get("output") or {}).get("error") or "")
            if "unexpected error" in said or "Traceback" in said:
                count.faults.append(f"{title}, event {number}: {said[:300]}")
            count.refused += not message.get("success")
            count.done += bool(message.get("success"))


def _zones(visitor: Visitor) -> Iterator[tuple[int, bool]]:
    """The events that take files and nothing else, and whether each takes several."""
    config = visitor.config()
    parts = {component["id"]: component for component in config["components"]}
    for one in config["dependencies"]:
        taken = [parts[number] for number in one["inputs"]]
        if one["backend_fn"] and [part["type"] for part in taken] == ["file"]:
            yield one["id"], taken[0]["props"].get("file_count") == "multiple"
        elif one["backend_fn"] and [part["type"] for part in taken] == ["image"]:
            yield one["id"], False


def files() -> list[tuple[str, str, bytes]]:
    """What each is, its name, and its content."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
    html = b"<html><script>alert(1)</script></html>"
    found = [
        ("an empty file", "a.png", b""),
        ("zeros", "a.png", bytes(1000)),
        ("SVG", "a.svg", svg),
        ("SVG as PNG", "a.png", svg),
        ("HTML as JPEG", "a.jpg", html),
        ("HTML", "a.html", html),
        ("EPS", "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"),
        ("a PNG of 2,500 megapixels", "a.png", _png(50_000, 50_000)),
        ("a PNG of 400 megapixels", "a.png", _png(20_000, 20_000)),
        ("a PNG as wide as a number can be", "a.png", _png(2**31 - 1, 2**31 - 1, b"")),
        ("a PNG of no pixels", "a.png", _png(0, 0, b"")),
        ("a PNG with a text of 1 GiB", "a.png", _png(8, 8, text=2**30)),
        ("a JPEG that says 65,535 pixels", "a.jpg", _jpeg(65_535)),
        ("a GIF of many frames", "a.gif", _gif(500)),
        ("a TIFF", "a.tiff", b"II*\0\xff\xff\xff\xff"),
        ("an image that is a zip too", "a.png", _png(8, 8) + _zip({"a/1.png": b"x"})),
    ]
    return found + [(title, "a.zip", data) for title, data in zips()]


def zips() -> list[tuple[str, bytes]]:
    """Zip files of which none holds classes of images."""
    good = _png(8, 8)
    return [
        ("a zip bomb", _zip({"a/1.png": bytes(2**30), "b/1.png": bytes(2**20)})),
        ("a zip with links", _linked("/etc/passwd")),
        ("a zip with links to folders", _linked("../../..")),
        ("a zip that leads elsewhere", _zip({"../../a/1.png": good, "/etc/b/1.png": good, "..\\c\\1.png": good})),
        (
            "a zip of odd names",
            _zip({f"{name}/1.png": good for name in ("<b>x</b>", "\u202ea", "x" * 300, " ", "CON")}),
        ),
        ("a zip within a zip", _zip({"a/1.zip": _zip({"a/1.png": good}), "b/1.zip": b"PK"})),
        ("a zip of HTML", _zip({"a/1.png": b"<script>", "b/1.svg": b"<svg/>"})),
        ("a zip of large images", _zip({"a/1.png": _png(50_000, 50_000), "b/1.png": _png(20_000, 20_000)})),
        ("a zip whose directory lies", _lying()),
        ("a zip cut short", _zip({"a/1.png": good, "b/1.png": good})[:-30]),
        ("a classifier of other files", _zip({"config.json": b"{" * 10**5, "model.safetensors": b"\xff" * 100})),
        ("a classifier that is a bomb", _zip({"config.json": b"[" * 2**28, "model.safetensors": bytes(2**28)})),
        ("a classifier of links", _linked("/etc/passwd", "config.json", "model.safetensors")),
    ]


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _linked(target: str, *names: str) -> bytes:
    """A zip of symbolic links."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names or ("a/1.png", "b/1.png", "c"):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return file.getvalue()


def _lying() -> bytes:
    """A zip whose members say that they are far smaller than they are."""
    data = bytearray(_zip({"a/1.png": bytes(2**24), "b/1.png": bytes(2**24)}))
    place = -1
    while (place := data.find(b"PK\1\2", place + 1)) >= 0:
        struct.pack_into("<L", data, place + 24, 10)
    return bytes(data)


def _png(width: int, height: int, pixels: bytes | None = None, text: int = 0) -> bytes:
    """A PNG of black and white pixels, all of one kind; with a compressed text."""
    if pixels is None:
        squeezer, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
        pixels = b"".join(squeezer.compress(row) for _ in range(height)) + squeezer.flush()
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", width, height, 1, 0, 0, 0, 0))]
    if text:
        chunks.append((b"zTXt", b"Comment\0\0" + _zeros(text)))
    chunks += [(b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _zeros(count: int) -> bytes:
    """Compressed zeros."""
    squeezer, block = zlib.compressobj(9), bytes(2**20)
    return b"".join(squeezer.compress(block) for _ in range(count // 2**20)) + squeezer.flush()


def _jpeg(side: int) -> bytes:
    """A small JPEG whose header declares another size."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    return bytes(data)


def _gif(frames: int) -> bytes:
    generator, file = np.random.default_rng(0), io.BytesIO()
    images = [Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)) for _ in range(frames)]
    images[0].save(file, "GIF", save_all=True, append_images=images[1:])
    return file.getvalue()


ATTACKS: dict[str, Callable[[Visitor, Count], None]] = {
    "bytes that are hardly HTTP": odd_requests,
    "uploads with odd names": odd_names,
    "files that lie": hostile_files,
    "more than a page, or all pages, may keep": quotas,
}
"""By the name of the row; the quotas come last, as they leave no room for others."""
