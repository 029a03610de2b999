"""``fewshot-film app``: serves the browser app."""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
import traceback
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_film.config.commands import AppConfig
from fewshot_film.errors import UserError
from fewshot_film.extras import MissingExtraError
from fewshot_film.page import Limits, Page, Visitors

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
CSS, STREAM = (Path(__file__).with_name(name) for name in ("page.css", "stream.js"))
SCRIPTS = sorted(set(CSS.parent.glob("*.js")) - {STREAM})
"""What the page runs beside Gradio's own scripts, and after them."""


def run(config: AppConfig) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        MissingExtraError: the extra ``app`` is not installed.
        ModelNotFoundError: there is no such model.
        PortError: another program listens there, or this one may not.
    """
    for talkative in ("httpx", "matplotlib"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _end)  # the server stops first, then raises it again
    # first, because everything else takes seconds
    with listen(config.host, config.port) as listening, serving(config) as server:
        host, port = listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        log.info("the page is at %s  (Ctrl-C ends it)", address)
        if config.open:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        server.run([listening])


class PortError(UserError, OSError):
    """Nothing can be served at this address and port."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Args:
        host: a name or an address, IPv4 or IPv6.
        port: 0 for one that is free.

    Raises:
        PortError: another program listens there, or the system does not allow it.
    """
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if os.name == "posix":  # elsewhere it would let two programs share a port
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise PortError(
            f"cannot serve the page at {host}, port {port}: {error.strerror or error}. Choose another port with "
            "--port N, or --port 0 for any free one, or stop the program that uses it"
        ) from None
    found.set_inheritable(True)
    return found


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def serving(config: AppConfig) -> Iterator[uvicorn.Server]:
    """A server of the page that is ready to run; its files are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="fewshot-film-") as name, _quiet_gradio(name):
        _check_extra()
        import uvicorn

        folder = Path(name)
        page = Page(
            limits=Limits(
                file_bytes=config.file_mib * 2**20,
                archive_bytes=config.archive_mib * 2**20,
                pixels=config.megapixels * 1_000_000,
                files=config.files,
                visitor_bytes=config.visitor_mib * 2**20,
                total_bytes=config.total_mib * 2**20,
            ),
            visitors=Visitors(folder, config.visitors),
            device=config.device,
            models=config.models,
            reasoner=config.reasoner,
            folder=config.folder,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                _application(page, config),
                host=config.host,
                port=config.port,
                log_level="warning",
                timeout_graceful_shutdown=2,
            )
        )
        yield server


def names(config: AppConfig) -> tuple[str, ...]:
    """Names that the server answers to, in small letters; one that others can reach answers to IP addresses too."""
    found = [*LOOPBACK, *config.names]
    if config.host not in LOOPBACK:
        own = socket.gethostname()
        found += [config.host, own, f"{own}.local"]
    return tuple(dict.fromkeys(name.lower() for name in found))


def _application(page: Page, config: AppConfig) -> Any:
    """The web application: Gradio's, answering to no other name than its own, loading nothing from elsewhere."""
    import fastapi
    import gradio

    from fewshot_film.app.gate import UPLOAD, Gate
    from fewshot_film.app.layout import lay_out
    from fewshot_film.app.uploads import Uploads

    blocks = lay_out(page)
    application = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.add_route(UPLOAD, Uploads(page, blocks).receive, methods=["POST"])
    script, is_open = STREAM.read_text(encoding="utf-8"), config.host not in LOOPBACK
    application.add_middleware(Gate, page=page, blocks=blocks, script=script, hosts=names(config), addresses=is_open)
    return gradio.mount_gradio_app(
        application,
        blocks,
        path="/",
        server_name=config.host,
        app_kwargs={"exception_handlers": {KeyError: _gone}},
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=max(page.limits.file_bytes, page.limits.archive_bytes),
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=gradio.themes.Default(
            primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["system-ui", "sans-serif"]
        ),
        css=CSS.read_text(encoding="utf-8"),
        head="".join(f"<script>{path.read_text(encoding='utf-8')}</script>" for path in SCRIPTS),
    )


async def _gone(request: Any, error: Exception) -> Any:
    """Ignore an event whose function no longer exists: its class was removed while the user acted on its card.

    Gradio looks the function up by its number, and would end with a traceback in the log and an error in the page. The
    page takes 422 for complaints about what was entered, and here there are none. Other errors of this kind are raised.
    """
    from fastapi.responses import JSONResponse
    from gradio.route_utils import get_fn

    *_, (last, _) = traceback.walk_tb(error.__traceback__)
    if last.f_code is not get_fn.__code__:
        raise error
    return JSONResponse({"detail": []}, status_code=422)


def _check_extra() -> None:
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"the browser app needs the extra `app` ({error}): pip install 'fewshot-film[app]'"
        ) from None


@contextmanager
def _quiet_gradio(folder: str) -> Iterator[None]:
    """Gradio without counting its users, with its files in a folder of ours."""
    wanted = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder, "HF_HUB_DISABLE_TELEMETRY": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
