"""What a user hands in is cut where a message names it: a network prints hundreds of lines, a record as many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clevr.data.records import parse_question
from fewshot_film.data import decode, open_source
from fewshot_film.errors import UserError
from fewshot_film.film import LinearGenerator, Site, Sites

LONG: Any = ["a long list of words"] * 1000
QUESTION = {"image_filename": "CLEVR_val_000000.png", "image_index": 0, "question": "What?"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: decode(open_source("creatures"), on_bad=LONG),
        lambda: LinearGenerator(4, Sites([Site("a", 2)]), init=LONG),
        lambda: parse_question({**QUESTION, "answer": LONG}),
    ],
    ids=["decode", "generator", "record"],
)
def test_a_message_cuts_what_it_shows(call: Callable[[], Any]):
    with pytest.raises(UserError) as caught:
        call()
    assert "a long list" in str(caught.value)
    assert len(str(caught.value)) < 400
