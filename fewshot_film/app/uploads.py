"""Uploaded files: kept in the folder of the page that sends them, within its quota, and deleted with it."""

from __future__ import annotations

import re
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

from fewshot_film.app.gate import PAGE_HEADER
from fewshot_film.page import Page, UploadError

if TYPE_CHECKING:
    import gradio
    from starlette.requests import Request
    from starlette.responses import Response


class Uploads:
    """The endpoint to upload files to, in place of Gradio's, whose files are nobody's.

    Args:
        page: limits, and each visitor's folder.
        blocks: the page, which deletes uploads that have not been read for some time.
    """

    def __init__(self, page: Page, blocks: gradio.Blocks) -> None:
        self.page = page
        self.blocks = blocks

    async def receive(self, request: Request) -> Response:
        """Keep the files of a form; the answer lists their paths."""
        from starlette.responses import JSONResponse

        length = request.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit():
            return _refusal(411, "the upload does not say how large it is")
        try:
            return JSONResponse(await self._keep(request, int(length)))
        except UploadError as error:
            return _refusal(413, str(error))

    async def _keep(self, request: Request, length: int) -> list[str]:
        from anyio.to_thread import run_sync

        visitor, visitors = request.headers[PAGE_HEADER], self.page.visitors
        folder = await run_sync(visitors.reserve, visitor, length, self.page.limits)
        place = tempfile.mkdtemp(prefix="upload-", dir=folder)
        is_kept = False
        try:
            found = await self._write(request, place)
            self.blocks.upload_file_set.update(found)
            is_kept = visitors.is_open(visitor)
            return found
        finally:
            visitors.release(visitor, length)
            if not is_kept:
                shutil.rmtree(place, ignore_errors=True)

    async def _write(self, request: Request, place: str) -> list[str]:
        """Write the files of a form into a folder."""
        from gradio.route_utils import MultiPartException, upload_fn
        from gradio.routes import file_upload_statuses
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect

        name = request.query_params.get("upload_id", "")
        is_watched = re.fullmatch(r"\w{1,40}", name, re.ASCII) is not None
        progress = file_upload_statuses if is_watched else _Unwatched()
        most = max(self.page.limits.file_bytes, self.page.limits.archive_bytes)
        try:
            found, _, _ = await upload_fn(request, place, most, name or "none", upload_progress=progress)
        except MultiPartException as error:
            if "maximum allowed size" in error.message:
                raise UploadError(f"a file has more than {most / 2**20:,.0f} MiB") from None
            raise HTTPException(400, error.message) from None
        except ClientDisconnect:
            raise HTTPException(400, "the upload was cut short") from None
        except (AttributeError, KeyError, TypeError, ValueError):  # of the form's parser
            raise HTTPException(400, "this is no form with files") from None
        except OSError as error:
            raise HTTPException(507, f"the upload could not be kept ({error.strerror})") from None
        finally:
            if is_watched:
                file_upload_statuses.set_done(name)
        return [str(path) for path in found]


class _Unwatched:
    """What an upload tells of its progress where nobody listens.

    It is always told: that makes the form's parser refuse fields that are no files, which it would keep in memory.
    """

    def track(self, upload_id: str) -> None:
        """The upload begins."""

    def append(self, upload_id: str, filename: str, message_bytes: bytes) -> None:
        """Bytes of a file have come."""

    def set_done(self, upload_id: str) -> None:
        """All has come."""


def _refusal(status: int, detail: str) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(detail, status)
