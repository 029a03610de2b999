"""What ends with a message, and what with a traceback."""

from __future__ import annotations

import pytest

from fewshot_film.run import errors
from fewshot_film.run.errors import ConfigError, Interrupted, UserError, exit_status_of


def caught(function) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise RuntimeError("it did not fail")


def raising(error: BaseException):
    def function():
        raise error

    return function


@pytest.mark.parametrize("package", ["tests", "another"])
def test_only_what_we_raise_on_purpose_is_for_the_user(package):
    ours = frozenset({package})
    expected = 2 if package == "tests" else None
    assert exit_status_of(caught(raising(ValueError("x"))), ours) == expected
    assert exit_status_of(caught(raising(ImportError("x"))), ours) == expected
    assert exit_status_of(caught(lambda: int("x")), ours) is None
    assert exit_status_of(caught(lambda: {}["x"]), ours) is None
    assert exit_status_of(caught(raising(RuntimeError("x"))), ours) is None
    assert exit_status_of(ValueError("never raised"), ours) is None


def test_errors_of_our_own():
    assert exit_status_of(UserError("x")) == 2
    assert exit_status_of(ConfigError("x")) == 2
    assert exit_status_of(Interrupted("x", 15)) == 143
    assert exit_status_of(KeyboardInterrupt()) == 130
    assert exit_status_of(caught(lambda: open("/nowhere"))) == 2  # noqa: PTH123, SIM115


def test_our_packages():
    assert {"fewshot_film", "clevr", "benchmarks"} == errors.OUR_PACKAGES
