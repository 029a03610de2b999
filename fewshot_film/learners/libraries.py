"""Networks of torchvision and timm: without their classifier, with what they were trained to see, and their weights."""

from __future__ import annotations

import dataclasses
import importlib
import socket
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import torchvision
from torch import Tensor, nn

from fewshot_film.config.backbone import PRETRAINED, TIMM
from fewshot_film.config.preprocessing import Interpolation, Preprocessing, Resize
from fewshot_film.errors import ConfigError, UserError, suggestion
from fewshot_film.extras import optional
from fewshot_film.run.model_folder import fetch_state_dict

OFFLINE = (
    "without a network connection the models that ship with the package and efficientnet-lite0 work, and any network "
    "with a file of its weights, NAME@FILE (`weights: FILE` in the settings of a backbone)"
)


def torchvision_network(name: str) -> nn.Module:
    """A classifier of torchvision with random weights.

    Args:
        name: of it.

    Raises:
        ConfigError: torchvision has no such classifier.
    """
    with_auxiliary = ("googlenet", "inception_v3")  # whose second outputs are of use in training alone
    others = {"init_weights": False} if name in with_auxiliary else {}
    return cast(nn.Module, _torchvision(torchvision.models.get_model, name, weights=None, **others))


def torchvision_names() -> list[str]:
    """The names of torchvision's classifiers."""
    return torchvision.models.list_models(module=torchvision.models)  # type: ignore[no-any-return]


def torchvision_preprocessing(name: str, weights: str) -> Preprocessing:
    """What one of torchvision's classifiers was trained to see.

    Args:
        name: of it.
        weights: name of its weights; of others, such as a path, those that torchvision lists first count.

    Raises:
        ConfigError: torchvision has no such classifier.
    """
    entries = list(_torchvision(torchvision.models.get_model_weights, name))
    named = [entry for entry in entries if entry.name == weights]
    presets = (named or entries)[0].transforms()
    return Preprocessing(
        size=presets.crop_size[0],
        mean=tuple(presets.mean),
        std=tuple(presets.std),
        interpolation=cast(Interpolation, presets.interpolation.value),
        resize="crop",
        crop=min(1.0, presets.crop_size[0] / presets.resize_size[0]),
    )


def torchvision_weights(name: str, weights: str, refusal: type[UserError]) -> dict[str, Tensor]:
    """Weights of torchvision, which keeps them in its cache after the first time.

    Args:
        name: of the network.
        weights: their name, or ``pretrained`` for those that torchvision lists first.
        refusal: kind of the error.

    Raises:
        UserError: of the kind ``refusal``: there are none of that name, or they could not be fetched.
    """
    entries = list(_torchvision(torchvision.models.get_model_weights, name))
    named = entries[:1] if weights == PRETRAINED else [entry for entry in entries if entry.name == weights]
    if not named:
        known = ", ".join(entry.name for entry in entries)
        raise refusal(
            f"no weights at {weights!r}: there is no such file or folder, and torchvision's weights for {name} are "
            f"{known}"
        )
    try:
        return fetch_state_dict(named[0], name, "`weights`", refusal)
    except refusal as error:
        raise refusal(f"{error}; {OFFLINE}") from error


def _torchvision(get: Callable[..., Any], name: str, **options: Any) -> Any:
    names = torchvision_names()
    if name not in names:
        raise ConfigError(f"torchvision has no classifier {name!r}{suggestion(name, names)}")
    return get(name, **options)


def timm_network(name: str, size: int | None = None, *, pretrained: bool = False) -> nn.Module:
    """A network of timm whose output is its features: pooled, or the class token, behind its last norm.

    Args:
        name: of it, with the tag of its weights or without (``vit_small_patch16_224.augreg_in21k``).
        size: side of the images, for those networks that are built for one size; None: their own.
        pretrained: fetch its weights, which are kept in a cache after the first time.

    Raises:
        ConfigError: timm has no such network.
        MissingExtraError: the extra ``timm`` is not installed.
    """
    timm = _timm(name)
    options: dict[str, Any] = {"num_classes": 0, "pretrained": pretrained}
    own = _timm_config(name)
    if size is not None and own.get("fixed_input_size") and size != own["input_size"][1]:
        options["img_size"] = size
    return cast(nn.Module, timm.create_model(name, **options))


def timm_preprocessing(name: str) -> Preprocessing:
    """What a network of timm was trained to see, by timm's data configuration.

    Args:
        name: see :func:`timm_network`.

    Raises:
        ConfigError: timm has no such network.
        MissingExtraError: the extra ``timm`` is not installed.
    """
    _timm(name)
    found = importlib.import_module("timm.data").resolve_data_config({}, pretrained_cfg=_timm_config(name))
    modes: dict[str, Resize] = {"center": "crop", "squash": "stretch", "border": "pad"}
    return Preprocessing(
        size=found["input_size"][1],
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        interpolation="bicubic" if found["interpolation"] == "random" else found["interpolation"],
        resize=modes.get(found["crop_mode"], "crop"),
        crop=found["crop_pct"],
    )


def timm_weights(name: str, weights: str, size: int, refusal: type[UserError]) -> dict[str, Tensor]:
    """The weights that timm has for a network.

    Args:
        name: see :func:`timm_network`.
        weights: ``pretrained``.
        size: see :func:`timm_network`.
        refusal: kind of the error.

    Raises:
        UserError: of the kind ``refusal``: there are none, or they could not be fetched.
    """
    if weights != PRETRAINED:
        raise refusal(
            f"no weights at {weights!r}: there is no such file or folder; timm's own are called `{PRETRAINED}`, and "
            f"the tag in the network's name says which, as in {TIMM}vit_small_patch16_224.augreg_in21k"
        )
    try:
        _check_connection(_timm_config(name).get("hf_hub_id") or "")
        return timm_network(name, size, pretrained=True).state_dict()
    except UserError:
        raise
    except Exception as error:  # the hub's client raises its own, and plain errors of many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise refusal(f"timm did not get the weights of {name} ({reason}); {OFFLINE}") from error


def _check_connection(repository: str) -> None:
    """Look whether the hub can be reached where it will be asked: its client itself tries for most of a minute.

    Raises:
        OSError: it cannot.
    """
    hub = importlib.import_module("huggingface_hub")
    names = ("model.safetensors", "pytorch_model.bin")
    if not repository or any(isinstance(hub.try_to_load_from_cache(repository, name), str) for name in names):
        return
    address = urlsplit(hub.constants.ENDPOINT)
    if address.hostname and not getproxies():  # what is behind a proxy is for it to find
        socket.create_connection((address.hostname, address.port or 443), timeout=5).close()


def _timm(name: str) -> Any:
    timm = optional("timm", extra="timm", what=f"{TIMM}{name}")
    if not timm.is_model(name):
        raise ConfigError(f"timm has no network {name!r}{suggestion(name, timm.list_models())}")
    return timm


def _timm_config(name: str) -> dict[str, Any]:
    """What timm knows of the weights of a network; of one without weights, of the network."""
    try:
        found = importlib.import_module("timm.models").get_pretrained_cfg(name)
    except RuntimeError as error:  # of the tag
        raise ConfigError(f"timm has no weights for {name!r}: {error}") from None
    return {} if found is None else dataclasses.asdict(found)
