"""What the folder of a saved model declares, held against what it holds, before anything of that size is allocated.

Anyone can write such a folder, checksums and all: a setting is believed only where the tensors beside it bear it out.
"""

from __future__ import annotations

import dataclasses
import threading
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.overrides import TorchFunctionMode

from fewshot_film.errors import ConfigError, SavedModelError, UserError, shown
from fewshot_film.run.checkpoint import differing_weights
from fewshot_film.run.old_keys import current_weights

Module = TypeVar("Module", bound=nn.Module)

_PARTS_PER_TENSOR, _MORE_PARTS = 20, 2000
"""How many parts a network may have: layers without weights, and containers, stand between those with."""
_LARGEST = 2**53
"""Largest whole number of a setting: libraries fail on those that no machine word holds."""
_BUFFER_ELEMENTS = 2**26
"""Most numbers in tensors that a network makes for itself and that its file does not hold."""


def build_as_declared(
    build: Callable[[], Module], weights: Mapping[str, Tensor], folder: Path, elsewhere: str = ""
) -> Module:
    """The outline of a network that settings describe, on the device ``meta``, where tensors have no memory.

    Args:
        build: makes the network.
        weights: state dict that it is to load.
        folder: where both come from, for messages.
        elsewhere: how the names of tensors begin that the weights may lack, as another file has them; empty: none.

    Raises:
        SavedModelError: no such network can be built, or it does not fit the weights.
    """
    limited = _at_most(_PARTS_PER_TENSOR * len(weights) + _MORE_PARTS, folder)
    with refusing(folder), limited, torch.device("meta"), _Unfilled():
        network = build()
    expected = network.state_dict()
    if elsewhere:
        weights = {**{name: value for name, value in expected.items() if name.startswith(elsewhere)}, **weights}
    with refusing(folder):
        problems = differing_weights(expected, current_weights(network, weights))
    problems += [
        f"{name} is {value.dtype}, expected {expected[name].dtype}"
        for name, value in weights.items()
        if name in expected and value.dtype.is_floating_point != expected[name].dtype.is_floating_point
    ][:5]
    made = sum(value.numel() for name, value in network.named_buffers() if name not in expected)
    if made > _BUFFER_ELEMENTS:
        problems.append(f"it makes tensors of {made:,} numbers for itself")
    if problems:
        raise SavedModelError(
            f"{folder} holds weights that do not fit the network that its settings declare: {'; '.join(problems)}"
        )
    return network


class _Unfilled(TorchFunctionMode):
    """Draws no normal numbers: on ``meta`` there is nothing to fill, and torch would import its compiler to do it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in (nn.init.normal_, Tensor.normal_):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Refuse what makes code fail that reads a folder's settings: they are of other kinds than it expects.

    Raises:
        SavedModelError: in place of all errors that say nothing to the user.
    """
    try:
        yield
    except UserError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise SavedModelError(
            f"{folder} does not hold what a saved model's settings declare ({type(error).__name__}: {reason[:200]}); "
            "expected a folder that this project wrote"
        ) from error


def check_types(config: Any) -> None:
    """Check that every setting has the type that its class states, as those from a command line have.

    Args:
        config: a dataclass.

    Raises:
        ConfigError: names the setting.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not _is_a(value, hints[field.name]):
            raise ConfigError(f"{field.name} is {shown(value)}, which is not of the type of this setting")


def _is_a(value: Any, kind: Any) -> bool:
    if isinstance(value, int) and abs(value) > _LARGEST:
        return False
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return any(value == option and type(value) is type(option) for option in options)
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, option) for option in options)
    if origin is tuple:
        every = options[0] if options[-1:] == (Ellipsis,) else None
        kinds = [every] * len(value) if isinstance(value, tuple) and every is not None else options
        return isinstance(value, tuple) and len(kinds) == len(value) and all(map(_is_a, value, kinds))
    if dataclasses.is_dataclass(kind):
        if isinstance(value, typing.cast(type, kind)):
            check_types(value)
            return True
        return False
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return kind is Any or (isinstance(value, origin or kind))


@contextmanager
def _at_most(count: int, folder: Path) -> Iterator[None]:
    """Refuse to build a network of more parts in this thread: making their objects alone would take for ever."""
    left, mine = [count], threading.get_ident()

    def counted(module: nn.Module, name: str, part: nn.Module | None) -> None:
        if threading.get_ident() == mine:
            left[0] -= 1
            if left[0] < 0:
                raise SavedModelError(f"{folder} declares a network of more than {count:,} parts, and holds far fewer")

    hook = register_module_module_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()
