"""Where the page is served."""

from __future__ import annotations

import socket

import pytest

from fewshot_film.app.server import PortError, listen
from fewshot_film.cli import COMMANDS
from fewshot_film.run.command import main
from tests.extras import needs_gradio


def test_a_free_port_is_bound() -> None:
    with listen("127.0.0.1", 0) as found:
        assert found.getsockname()[1] > 0


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortError, match=rf"at 127\.0\.0\.1, port {port}: Address already in use\. Choose another"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortError, match=r"cannot serve the page at 192\.0\.2\.1, port 0: .*--port 0"):
        listen("192.0.2.1", 0)


@needs_gradio
def test_the_command_ends_with_the_message_alone(capsys) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main("fewshot-film", COMMANDS, ["app", f"--port={other.getsockname()[1]}"]) == 2
    assert "Choose another port with --port N" in capsys.readouterr().err
