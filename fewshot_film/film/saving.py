"""FiLM values in a file of their own: a few kilobytes that adapt a network which lies elsewhere."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.errors import MissingFileError, listed
from fewshot_film.film.errors import SavedValuesError
from fewshot_film.film.inject import FiLMedNetwork, expect_filmed
from fewshot_film.film.layer import Modulation
from fewshot_film.film.sites import Modulations, Sites

FORMAT, VERSION = "fewshot-film modulations", "1"


def save_modulations(path: str | Path, filmed: FiLMedNetwork, modulations: Modulations, *, note: str = "") -> None:
    """Write values into a safetensors file, with a fingerprint of the network that they are for.

    The network's weights are read for the fingerprint and not written.

    Args:
        path: of the file; one that is there is replaced.
        filmed: the network that the values were made for, with the weights that they were made for.
        modulations: values by site name, ``(rows, C)`` each; sites may be missing.
        note: any text, kept in the file's header as ``note``.

    Raises:
        SiteError: a name is no site of the network, or it is a network without FiLM.
        ShapeError: values do not fit their site.
        SavedValuesError: safetensors is not installed.

    Example:
        >>> filmed = inject_film(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), after=["1"])
        >>> save_modulations("task.safetensors", filmed, filmed.sites.identity())  # doctest: +SKIP
        >>> filmed(images, load_modulations("task.safetensors", filmed))  # doctest: +SKIP
    """
    expect_filmed(filmed, "save_modulations")
    path = Path(path)
    filmed.sites.check(modulations)
    parts = {
        f"{name}.{part}": values.detach().cpu().contiguous()
        for name, modulation in modulations.items()
        for part, values in modulation._asdict().items()
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "note": note,
        "sites": json.dumps({site.name: site.num_channels for site in filmed.sites if site.name in modulations}),
        **fingerprint(filmed.network),
    }
    temporary = path.with_name(f".{path.name}.new")
    try:
        _safetensors("torch").save_file({name: values.clone() for name, values in parts.items()}, temporary, header)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_modulations(path: str | Path, filmed: FiLMedNetwork, *, same_weights: bool = True) -> Modulations:
    """Read the values that :func:`save_modulations` wrote.

    Args:
        path: of the file.
        filmed: the network to adapt.
        same_weights: refuse a network whose weights differ in any bit from those at the time of saving. Without it
            a network of the same layers is enough, such as one in another precision.

    Returns:
        Values by site name, on the device of the network's parameters, of the dtype that they were saved in.

    Raises:
        FileNotFoundError: there is no such file.
        SavedValuesError: the file is damaged or holds something else, the network is another one, or safetensors is
            not installed.
        SiteError: it is a network without FiLM.
    """
    expect_filmed(filmed, "load_modulations")
    path = Path(path)
    header, parts = _read(path)
    _check_sites(path, json.loads(header["sites"]), filmed.sites)
    found = fingerprint(filmed.network, weights=same_weights)
    if header["layers"] != found["layers"]:
        raise SavedValuesError(
            f"{path} is for another network: the names or shapes of the weights of this "
            f"{type(filmed.network).__name__} differ from those at the time of saving; expected the network that the "
            "values were made for"
        )
    if same_weights and header["weights"] != found["weights"]:
        raise SavedValuesError(
            f"{path} is for a network with the same layers and other weights; load the weights that the values were "
            "made for, or pass same_weights=False if they may differ, for instance in precision"
        )
    parameter = next(filmed.network.parameters(), None)
    device = "cpu" if parameter is None else parameter.device
    names = json.loads(header["sites"])
    return {name: Modulation(*(parts[f"{name}.{part}"].to(device) for part in Modulation._fields)) for name in names}


def fingerprint(network: nn.Module, *, weights: bool = True) -> dict[str, str]:
    """What tells one network from another: checksums of its state dict.

    Args:
        network: any network.
        weights: read the weights too, every bit of them.

    Returns:
        ``layers``: of names and shapes; ``weights``: of dtypes and values.
    """
    state: Mapping[str, Any] = network.state_dict()
    tensors = {name: value for name, value in sorted(state.items()) if isinstance(value, Tensor)}
    shapes = (f"{name} {tuple(value.shape)}\n".encode() for name, value in tensors.items())
    found = {"layers": _digest(shapes)}
    if weights:
        found["weights"] = _digest(part for value in tensors.values() for part in _bytes(value))
    return found


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _bytes(value: Tensor) -> Iterable[Any]:
    yield str(value.dtype).encode()
    yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def _check_sites(path: Path, saved: dict[str, int], sites: Sites) -> None:
    widths = {site.name: site.num_channels for site in sites}
    differing = [
        f"{name!r} ({width} channels in the file, {widths.get(name, 'no such site')} here)"
        for name, width in saved.items()
        if widths.get(name) != width
    ]
    if differing:
        raise SavedValuesError(
            f"{path} is for other sites: {listed(differing, 3)}; expected a network with FiLM at: {listed(saved)}"
        )


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a file of values."""
    if not path.is_file():
        raise MissingFileError(f"there is no file {path}; expected one that save_modulations wrote")
    package = _safetensors()
    try:
        with package.safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    except package.SafetensorError as error:
        raise SavedValuesError(f"{path} is damaged ({error}); expected a file that save_modulations wrote") from None
    if header.get("format") != FORMAT:
        raise SavedValuesError(f"{path} holds no FiLM values; expected a file that save_modulations wrote")
    if header.get("version") != VERSION:
        raise SavedValuesError(
            f"{path} is of version {header.get('version')} of the format, expected {VERSION}; install a version of "
            "this package that reads it"
        )
    return header, parts


def _safetensors(module: str = "") -> Any:
    """The package, imported when it is needed: the rest of the core needs torch alone."""
    try:
        return importlib.import_module(f"safetensors.{module}" if module else "safetensors")
    except ImportError:
        raise SavedValuesError("saved values need the package safetensors; pip install safetensors") from None
