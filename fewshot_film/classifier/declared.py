"""What the folder of a fitted classifier declares, held against what it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from fewshot_film.config.preprocessing import Resize
from fewshot_film.errors import SavedModelError, shown
from fewshot_film.learners.learner import Learner
from fewshot_film.run.model_folder import SavedModel

MAX_NAME = 1000
"""Most characters of a class's name."""


def check_fitted(saved: SavedModel, learner: Learner) -> None:
    """Check what a saved classifier says of its classes, before anything is computed or shown.

    Args:
        saved: as it was read.
        learner: that it was made with, whose weights are loaded.

    Raises:
        SavedModelError: names all that does not fit.
    """
    weights, config = saved.weights, saved.config
    missing = {"support.images", "support.labels", "support.features", "member_distances"} - weights.keys()
    missing |= {"classes", "temperature", "resize"} - config.keys()
    if missing:
        names = ", ".join(sorted(missing))
        raise SavedModelError(f"{saved.folder} lacks {names} of a fitted classifier; save it again")
    problems = [*_of_classes(config), *_of_support(config["classes"], weights, learner)]
    problems += [*_of_modulations(weights, learner), *_of_others(weights)]
    _refuse(saved.folder, problems)


def _refuse(folder: Path, problems: list[str]) -> None:
    if problems:
        raise SavedModelError(
            f"{folder} holds a fitted classifier whose parts do not fit each other: {'; '.join(problems[:5])}; "
            "expected one that this project wrote"
        )


def _of_classes(config: Mapping[str, Any]) -> Iterator[str]:
    classes = config["classes"]
    if not isinstance(classes, list) or not classes:
        yield "classes is no list of names"
        return
    for label in classes:
        if not isinstance(label, str | bool | int | float) or (isinstance(label, float) and not math.isfinite(label)):
            yield f"the class {shown(label)} is no text, number or truth value"
            return
        if isinstance(label, str) and len(label) > MAX_NAME:
            yield f"a class's name has {len(label):,} characters; expected at most {MAX_NAME:,}"
            return
    if len(set(classes)) != len(classes):
        yield "a class is listed twice"
    given = config.get("given_temperature")
    for temperature in (config["temperature"], *([] if given is None else [given])):
        if not _is_number(temperature) or not 0 < temperature < math.inf:
            yield f"temperature is {shown(temperature)}; expected a number above 0"
    if config["resize"] is not None and config["resize"] not in get_args(Resize):
        yield f"resize is {shown(config['resize'])}; expected one of {', '.join(get_args(Resize))}"
    if not isinstance(config.get("announced", False), bool):
        yield "announced is no truth value"


def _of_support(classes: Any, weights: Mapping[str, Tensor], learner: Learner) -> Iterator[str]:
    images, labels, features = (weights[f"support.{name}"] for name in ("images", "labels", "features"))
    read, number = learner.backbone.preprocessing, len(images) if images.ndim else 0
    yield from _shaped("support.images", images, torch.uint8, (number, read.channels, read.size, read.size))
    yield from _shaped("support.labels", labels, torch.int64, (number,))
    yield from _shaped("support.features", features, torch.float32, (number, learner.backbone.feature_dim))
    yield from _finite("support.features", features)
    if number < 1:
        yield "there is no support image"
    elif labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < len(classes)):
        yield f"support.labels are {int(labels.min())} to {int(labels.max())}; expected 0 to {len(classes) - 1}"
    if "support.weights" in weights:
        counted = weights["support.weights"]
        yield from _shaped("support.weights", counted, torch.float64, (number,))
        yield from _finite("support.weights", counted, above=0.0)


def _of_modulations(weights: Mapping[str, Tensor], learner: Learner) -> Iterator[str]:
    """Gamma and beta, one of each for all sites or for none."""
    sites = {site.name: site for site in learner.filmed.sites} if learner.has_film else {}
    named = {name.split(".", 1)[1] for name in weights if name.startswith(("gamma.", "beta."))}
    if named != sites.keys():
        yield f"gamma and beta are those of {len(named)} sites; expected those of the network's {len(sites)}"
        return
    for name, site in sites.items():
        for kind in ("gamma", "beta"):
            value = weights.get(f"{kind}.{name}")
            if value is None or value.shape != (1, site.num_channels) or value.dtype != torch.float32:
                yield f"{kind}.{name} is not (1, {site.num_channels}) of float32"
            else:
                yield from _finite(f"{kind}.{name}", value)


def _of_others(weights: Mapping[str, Tensor]) -> Iterator[str]:
    known = {"support.images", "support.labels", "support.features", "support.weights", "member_distances"}
    known |= {"int8.ranges", "int8.biases"}
    extra = [name for name in weights if name not in known and not name.startswith(("learner.", "gamma.", "beta."))]
    if extra:
        yield f"there is {shown(extra[0])}, which no classifier has"
    distances = weights["member_distances"]
    if distances.ndim != 1 or not distances.dtype.is_floating_point:
        yield f"member_distances are {tuple(distances.shape)} of {distances.dtype}; expected one row of numbers"
    yield from _finite("member_distances", distances, least=0.0)
    if ("int8.ranges" in weights) != ("int8.biases" in weights):
        yield "one of int8.ranges and int8.biases is there without the other"
    elif "int8.ranges" in weights:
        ranges, biases = weights["int8.ranges"], weights["int8.biases"]
        yield from _shaped("int8.ranges", ranges, torch.float32, (len(ranges) if ranges.ndim else 0, 2))
        yield from _shaped("int8.biases", biases, torch.float32, (biases.numel(),))
        yield from _finite("int8.ranges", ranges)
        yield from _finite("int8.biases", biases)


def _shaped(name: str, value: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> Iterator[str]:
    if value.dtype != dtype or tuple(value.shape) != shape:
        yield f"{name} is {tuple(value.shape)} of {value.dtype}; expected {shape} of {dtype}"


def _finite(name: str, value: Tensor, least: float = -math.inf, above: float = -math.inf) -> Iterator[str]:
    if not value.isfinite().all():
        yield f"{name} is not finite"
    elif value.numel() and (float(value.min()) < least or float(value.min()) <= above):
        yield f"{name} has a value of {float(value.min()):g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
