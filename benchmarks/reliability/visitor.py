"""One open page as a program plays it: the requests that a browser makes, and those that no page makes."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

API = "/gradio_api"


class Visitor:
    """Has the page open until it is left.

    Args:
        address: of the server, such as ``http://127.0.0.1:7860``.
        patience: seconds that an answer may take.

    Attributes:
        name: of the page, made up as the page in a browser does.
        client: sends every request in this page's name.
    """

    def __init__(self, address: str, patience: float = 120.0) -> None:
        self.name = "".join(random.choices(string.ascii_lowercase + string.digits, k=11))
        self.client = httpx.Client(base_url=address, headers={"x-page": self.name}, timeout=patience)
        self._heartbeat = self.client.stream("GET", f"{API}/heartbeat/{self.name}")

    def __enter__(self) -> Visitor:
        answer = self._heartbeat.__enter__()
        answer.raise_for_status()
        self._beats = answer.iter_raw()  # as long as it is there, the page is open
        next(self._beats)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.__exit__(kind, error, trace)
        self.client.close()

    def config(self) -> dict[str, Any]:
        """The page's components and events."""
        found: dict[str, Any] = self.client.get("/config").json()
        return found

    def upload(self, *files: Path | tuple[str, bytes], **headers: str) -> httpx.Response:
        """Upload files, each a path or a name with its content."""
        named = [(file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files]
        return self.client.post(f"{API}/upload", files=[("files", file) for file in named], headers=headers)

    def uploaded(self, *files: Path | tuple[str, bytes]) -> list[dict[str, Any]]:
        """Upload files; what an event says of them."""
        answer = self.upload(*files)
        answer.raise_for_status()
        return [file_data(path) for path in answer.json()]

    def join(self, number: int, values: list[Any], **others: Any) -> httpx.Response:
        """Send an event.

        Args:
            number: of its function.
            values: of its inputs.
            others: more entries of the call, or other ones.
        """
        call = {"fn_index": number, "data": values, "session_hash": self.name, "event_data": None, **others}
        return self.client.post(f"{API}/queue/join", json=call)

    def run(self, number: int, values: list[Any], **others: Any) -> dict[str, Any]:
        """Send an event; the last message about it."""
        answer = self.join(number, values, **others)
        answer.raise_for_status()
        wanted = answer.json()["event_id"]
        with self.client.stream("GET", f"{API}/queue/data", params={"session_hash": self.name}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("event_id") == wanted and message["msg"] == "process_completed":
                    return dict(message)
        raise httpx.ReadError("the stream ended before the event did")


def file_data(path: str) -> dict[str, Any]:
    """What a page says of an uploaded file."""
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}
