"""What a page sends with an event, looked at before Gradio takes it in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_film.errors import InvalidValueError, UserError
from fewshot_film.page import Page

if TYPE_CHECKING:
    import gradio

DEPTH = 20
"""Most containers within each other that an event's values may have."""


class CallError(UserError):
    """A call that no page makes.

    Args:
        detail: what is wrong with it.
        status: HTTP status of the answer.
    """

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


class EventGoneError(CallError):
    """The event's function no longer exists: its class was removed while the user acted on its card."""

    def __init__(self) -> None:
        super().__init__("", 422)


def parse_call(body: bytes, visitor: str) -> dict[str, Any]:
    """The JSON object that a page sends.

    Args:
        body: of the request.
        visitor: whose it has to be.

    Raises:
        CallError: it is no JSON object, or speaks for another page.
    """
    try:
        call = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CallError(f"the body is no JSON object ({type(error).__name__})") from None
    if not isinstance(call, dict):
        raise CallError(f"the body is a JSON {type(call).__name__}; expected an object")
    if call.get("session_hash", visitor) != visitor:
        raise CallError("the call speaks for another page", 403)
    return call


def check_event(call: Mapping[str, Any], visitor: str, blocks: gradio.Blocks, page: Page) -> None:
    """Look at an event: whether there is such a function, and whether its components take such values.

    Args:
        call: what :func:`parse_call` returned.
        visitor: whose page sends it.
        blocks: the page as it was laid out.
        page: limits, and the visitor's folder.

    Raises:
        EventGoneError: there is no such function any more.
        CallError: values of other kinds, or files that this page has not uploaded.
    """
    number, values = call.get("fn_index"), call.get("data")
    if type(number) is not int or not isinstance(values, list) or "session_hash" not in call:
        raise CallError("expected fn_index, data and session_hash")
    state = blocks.state_holder[visitor]
    function = state.blocks_config.fns.get(number)
    if function is None:
        raise EventGoneError
    if len(values) != len(function.inputs):
        raise CallError(f"the event has {len(values)} values; expected {len(function.inputs)}")
    if values[:1] == [None] and any(event == "upload" for _, event in function.targets):
        raise CallError("nothing was uploaded")
    _check_event_data(call.get("event_data"))
    for value, block in zip(values, function.inputs, strict=True):
        if not block.stateful:  # what the browser says of a state is not used
            is_own = block._id in state  # events may have changed its choices
            _check_value(value, state[block._id] if is_own else block, function.preprocess, visitor, page)


def _check_event_data(data: Any) -> None:
    """What was clicked on is a place or a name; only that is given to the functions."""
    place = data.get("index") if isinstance(data, dict) else None
    if any(isinstance(one, dict | list) for one in (place if isinstance(place, list) else [place])):
        raise CallError("event_data names no place")


def _check_value(value: Any, block: Any, in_range: bool, visitor: str, page: Page) -> None:
    """Whether a component takes a value; where it need not be in range, the function itself says what is wrong."""
    for entry in _files_in(value):
        _check_file(entry["path"], visitor, page)
    model = getattr(block, "data_model", None)
    try:
        if model is not None:
            if value is not None:
                model.model_validate(value, context={"validate_meta": True})
        else:
            _check_plain(value, block, in_range)
    except CallError:
        raise
    except Exception as error:  # components refuse by errors of many kinds
        raise CallError(_told(error, block)) from None


def _check_plain(value: Any, block: Any, in_range: bool) -> None:
    import gradio

    if isinstance(block, gradio.Textbox) and not isinstance(value, str):
        raise CallError("expected a text")
    if isinstance(block, gradio.Number | gradio.Slider):
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise CallError("expected a number")
        if not in_range:
            return
    block.preprocess(value)


def _told(error: Exception, block: Any) -> str:
    """What is wrong with a value, without anything of the server's."""
    import gradio

    if isinstance(error, gradio.Error):
        return str(error.message)
    return f"this is no value of a {type(block).__name__.lower()}"


def _files_in(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every file that a value names, however deep."""
    if depth > DEPTH:
        raise CallError(f"the values are more than {DEPTH} deep")
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _files_in(one, depth + 1)


def _check_file(name: str, visitor: str, page: Page) -> None:
    """Let a page name the files that it has uploaded, and those that are no visitor's."""
    try:
        path = Path(name).resolve()
        allowed = page.visitors.may_read(visitor, path) and path.is_file()
    except (OSError, ValueError):
        allowed = False
    if not allowed:
        raise CallError("this file is not there, or this page has not uploaded it; upload it again", 403)


def _refuse_constant(name: str) -> None:
    raise InvalidValueError(f"{name} is no JSON")
