"""Generators of published models, read from their state dicts and written back.

Each of them computes gamma - 1, beta and gates by a linear layer per site or block, under names and in an order of its
own. Here all of them are rows of one :class:`LinearGenerator`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from fewshot_film.errors import InvalidValueError, listed, shown
from fewshot_film.film.errors import SavedValuesError
from fewshot_film.film.generators import LinearGenerator
from fewshot_film.film.sites import Site, Sites

PublishedLayout = Literal["dit", "openvla-oft", "robomimic"]
"""Whose state dict.

- ``dit``: adaLN-Zero (Peebles and Xie, https://arxiv.org/abs/2212.09748). Sites: the norms and, as gates, the branches
  of every block, and the last norm. The code is ``silu`` of the embedding of time and class.
- ``openvla-oft``: ``FiLMedVisionTransformerBlock`` (Kim et al., https://arxiv.org/abs/2502.19645). Sites ``blocks.N``:
  tokens between a block's attention and its MLP. The code is the mean embedding of the instruction's words.
- ``robomimic``: ``FiLMLayer`` of its ``ResNet18ConvFiLM``. Sites ``_film_layers.N``: maps behind a residual block,
  before another ReLU. The code is the embedding of the instruction.
"""


@dataclass(frozen=True)
class _Layer:
    """A linear layer of a published model, ``{}`` being a block's number, and what its output consists of."""

    name: str
    parts: tuple[tuple[str, str], ...]
    """Site, and which of its values: ``gamma`` (minus 1), ``beta`` or ``gate``."""


_LAYOUTS: dict[str, tuple[_Layer, ...]] = {
    "dit": (
        _Layer(
            "blocks.{}.adaLN_modulation.1",
            (
                ("blocks.{}.norm1", "beta"),
                ("blocks.{}.norm1", "gamma"),
                ("blocks.{}.attn", "gate"),
                ("blocks.{}.norm2", "beta"),
                ("blocks.{}.norm2", "gamma"),
                ("blocks.{}.mlp", "gate"),
            ),
        ),
        _Layer(
            "final_layer.adaLN_modulation.1",
            (("final_layer.norm_final", "beta"), ("final_layer.norm_final", "gamma")),
        ),
    ),
    "openvla-oft": (
        _Layer("blocks.{}.scale", (("blocks.{}", "gamma"),)),
        _Layer("blocks.{}.shift", (("blocks.{}", "beta"),)),
    ),
    "robomimic": (_Layer("_film_layers.{}.lang_proj", (("_film_layers.{}", "beta"), ("_film_layers.{}", "gamma"))),),
}
_AXIS = {"dit": -1, "openvla-oft": -1, "robomimic": 1}


def import_generator(state: Mapping[str, Tensor], layout: PublishedLayout, *, prefix: str = "") -> LinearGenerator:
    """The generator in a published model's state dict; other entries are ignored.

    Args:
        state: the state dict.
        layout: whose it is, see :data:`PublishedLayout`.
        prefix: what stands before the names in it, such as ``featurizer.``; site names do not have it.

    Returns:
        A generator with the published model's values for the same code.

    Raises:
        ValueError: there is no such layout.
        SavedValuesError: layers are missing, or have shapes that do not fit each other.

    Example:
        >>> layer = {"_film_layers.0.lang_proj.weight": torch.randn(128, 768),
        ...          "_film_layers.0.lang_proj.bias": torch.zeros(128)}
        >>> import_generator(layer, "robomimic").sites
        Sites([_film_layers.0: 64])
    """
    layers = _layers_of(layout)
    values: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for layer, number in _present(state, layers, prefix):
        weight, bias = _linear(state, prefix + layer.name.format(number), len(layer.parts))
        chunks = zip(weight.chunk(len(layer.parts)), bias.chunk(len(layer.parts)), strict=True)
        for (site, part), chunk in zip(layer.parts, chunks, strict=True):
            values.setdefault(site.format(number), {})[part] = chunk
    _check_widths(values)
    widths = {site: len(next(iter(parts.values()))[1]) for site, parts in values.items()}
    sites = Sites(
        Site(name, widths[name], name.rpartition(".")[0], _AXIS[layout], "gate" if "gate" in parts else "film")
        for name, parts in values.items()
    )
    flat = [values[site.name][part] for site in sites for part in _parts_of(site)]
    weights, biases = (torch.cat([pair[i] for pair in flat]) for i in (0, 1))
    generator = LinearGenerator(weights.shape[1], sites, init="zero").to(weights)
    with torch.no_grad():
        generator.linear.weight.copy_(weights)
        generator.linear.bias.copy_(biases)
    return generator


def export_generator(generator: LinearGenerator, layout: PublishedLayout, *, prefix: str = "") -> dict[str, Tensor]:
    """The entries of a published model's state dict that hold a generator; the inverse of :func:`import_generator`.

    Args:
        generator: its sites are those of the layout; one of low rank is multiplied out.
        layout: whose state dict, see :data:`PublishedLayout`.
        prefix: what stands before the names in it.

    Raises:
        ValueError: there is no such layout.
        SavedValuesError: the layout has no place for a site or its form, or the generator lacks a site that shares a
            layer with others.
    """
    layers = _layers_of(layout)
    weight = generator.linear.weight.detach()
    if isinstance(generator.compress, torch.nn.Linear):
        weight = weight @ generator.compress.weight.detach()
    sizes = [site.num_channels for site in generator.sites for _ in _parts_of(site)]
    rows = iter(zip(weight.split(sizes), generator.linear.bias.detach().split(sizes), strict=True))
    values = {(site.name, part): next(rows) for site in generator.sites for part in _parts_of(site)}
    numbers = sorted({int(number) for name in generator.sites.names for number in re.findall(r"\d+", name)})
    state: dict[str, Tensor] = {}
    for layer in layers:
        for number in numbers if "{}" in layer.name else [0]:
            parts = [(site.format(number), part) for site, part in layer.parts]
            if not any(part in values for part in parts):
                continue
            missing = [site for site, part in parts if (site, part) not in values]
            if missing:
                raise SavedValuesError(
                    f"{layout} computes the values of {listed(dict(parts))} by one layer, and the generator has none "
                    f"for {listed(missing)}; expected all of them"
                )
            found = [values.pop(part) for part in parts]
            for index, kind in enumerate(("weight", "bias")):
                state[f"{prefix}{layer.name.format(number)}.{kind}"] = torch.cat([pair[index] for pair in found])
    if values:
        raise SavedValuesError(
            f"{layout} has no place for the values of {listed(dict(values.keys()))}; expected sites named as in "
            f"{listed(dict.fromkeys(site.format('N') for layer in layers for site, _ in layer.parts))}"
        )
    return state


def _layers_of(layout: str) -> tuple[_Layer, ...]:
    if layout not in _LAYOUTS:
        raise InvalidValueError(f"layout is {shown(layout)}, expected one of {', '.join(get_args(PublishedLayout))}")
    return _LAYOUTS[layout]


def _parts_of(site: Site) -> tuple[str, ...]:
    """What a generator computes for a site, in the order of the flat layout."""
    if site.form not in ("film", "gate"):
        raise SavedValuesError(
            f"site {site.name!r} has the form {site.form!r}, expected 'film' or 'gate', as they have"
        )
    return ("gate",) if site.form == "gate" else ("gamma", "beta")


def _present(state: Mapping[str, Tensor], layers: tuple[_Layer, ...], prefix: str) -> Iterator[tuple[_Layer, int]]:
    """The layers that a state dict holds: those of block after block, then those without a number."""
    numbered = [layer for layer in layers if "{}" in layer.name]
    patterns = [re.escape(prefix + layer.name).replace(r"\{\}", r"(\d+)") + r"\.weight" for layer in numbered]
    found = {int(match[1]) for key in state for pattern in patterns if (match := re.fullmatch(pattern, key))}
    if not found:
        raise SavedValuesError(
            f"the state dict has no {prefix}{numbered[0].name.format('N')}.weight; its names begin with: "
            f"{listed(dict.fromkeys(key.split('.')[0] for key in state))}; give what stands before as prefix"
        )
    for number in sorted(found):
        yield from ((layer, number) for layer in numbered)
    yield from ((layer, 0) for layer in layers if "{}" not in layer.name and f"{prefix}{layer.name}.weight" in state)


def _linear(state: Mapping[str, Tensor], name: str, num_parts: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, whose output divides into so many parts."""
    weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
    if weight is None or bias is None:
        raise SavedValuesError(f"the state dict lacks {name}.{'weight' if weight is None else 'bias'}; expected both")
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or len(weight) % num_parts:
        raise SavedValuesError(
            f"{name} has a weight of shape {tuple(weight.shape)} and a bias of {tuple(bias.shape)}, expected "
            f"({num_parts} * C, D) and ({num_parts} * C,)"
        )
    return weight, bias


def _check_widths(values: Mapping[str, Mapping[str, tuple[Tensor, Tensor]]]) -> None:
    shapes = {name: {tuple(weight.shape) for weight, _ in parts.values()} for name, parts in values.items()}
    codes = {shape[1] for found in shapes.values() for shape in found}
    uneven = [name for name, found in shapes.items() if len(found) > 1]
    if uneven or len(codes) > 1:
        raise SavedValuesError(
            f"layers do not fit each other: codes of {sorted(codes)} numbers, expected one width, and gamma and beta "
            f"of different width at {listed(uneven)}"
        )
