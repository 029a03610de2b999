"""Published layouts: each generator, read from a state dict of their shapes, does what the model's own code does."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_film.errors import InvalidValueError
from fewshot_film.film import (
    LinearGenerator,
    SavedValuesError,
    Site,
    Sites,
    export_generator,
    film,
    film_relu,
    import_generator,
    inject_film,
)
from tests.film.networks import seeded
from tests.film.test_forms import TransformerBlock

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def linear(name: str, code_dim: int, out: int, seed: int) -> dict[str, Tensor]:
    return {f"{name}.weight": draw(out, code_dim, seed=seed), f"{name}.bias": draw(out, seed=seed + 100)}


def dit(width: int, depth: int) -> dict[str, Tensor]:
    """Shapes of DiT: six parts of each block by one layer, two of the final one; the code is as wide as the tokens."""
    state = {"pos_embed": draw(1, 4, width), "final_layer.linear.weight": draw(8, width)}
    for block in range(depth):
        state |= linear(f"blocks.{block}.adaLN_modulation.1", width, 6 * width, block)
    return state | linear("final_layer.adaLN_modulation.1", width, 2 * width, 50)


def oft(width: int, code_dim: int, depth: int) -> dict[str, Tensor]:
    """Shapes of OpenVLA-OFT: a layer for the scale and one for the shift beside every wrapped block."""
    state = {"featurizer.blocks.0.block.norm1.weight": draw(width)}
    for block in range(depth):
        for seed, part in enumerate(("scale", "shift")):
            state |= linear(f"featurizer.blocks.{block}.{part}", code_dim, width, 2 * block + seed)
    return state


def robomimic(code_dim: int = 6) -> dict[str, Tensor]:
    """Shapes of ResNet18ConvFiLM: a layer behind each of eight residual blocks, beta before gamma."""
    state = {"_base_block.0.weight": draw(64, 3, 7, 7)}
    for index, width in enumerate((64, 64, 128, 128, 256, 256, 512, 512)):
        state |= linear(f"_film_layers.{index}.lang_proj", code_dim, 2 * width, index)
    return state


def apply(state: dict[str, Tensor], name: str, code: Tensor) -> Tensor:
    return F.linear(code, state[f"{name}.weight"], state[f"{name}.bias"])


def test_a_dit_block_is_a_plain_one_with_film() -> None:
    state, x, c = dit(4, 2), draw(3, 5, 4), draw(3, 4, seed=1)
    network = nn.ModuleDict({"blocks": nn.ModuleList([TransformerBlock(4), TransformerBlock(4)])}).double()
    network["final_layer"] = nn.ModuleDict({"norm_final": nn.LayerNorm(4, 1e-6, elementwise_affine=False)})
    generator = import_generator(state, "dit")
    filmed = inject_film(network, generator.sites)
    with filmed.modulated(generator(F.silu(c))):
        found = x
        for block in network["blocks"]:
            found = block(found)
        found = network["final_layer"]["norm_final"](found)

    def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return x * (1 + scale[:, None]) + shift[:, None]

    for index, block in enumerate(network["blocks"]):
        parts = apply(state, f"blocks.{index}.adaLN_modulation.1", F.silu(c)).chunk(6, 1)
        normed = modulate(block.norm1(x), *parts[:2])
        x = x + parts[2][:, None] * block.attn(normed, normed, normed)[0]
        x = x + parts[5][:, None] * block.mlp(modulate(block.norm2(x), *parts[3:5]))
    shift, scale = apply(state, "final_layer.adaLN_modulation.1", F.silu(c)).chunk(2, 1)
    torch.testing.assert_close(found, modulate(network["final_layer"]["norm_final"](x), shift, scale), **EXACT)


def test_openvla_oft() -> None:
    state, x, code = oft(4, 6, 3), draw(2, 5, 4), draw(2, 6, seed=1)
    generator = import_generator(state, "openvla-oft", prefix="featurizer.")
    values = generator(code)
    for block in range(3):
        scale, shift = (apply(state, f"featurizer.blocks.{block}.{part}", code) for part in ("scale", "shift"))
        expected = x * (1 + scale.view(2, 1, 4)) + shift.view(2, 1, 4)
        torch.testing.assert_close(film(x, *values[f"blocks.{block}"], axis=-1), expected, **EXACT)


def test_robomimic() -> None:
    state, code = robomimic(), draw(2, 6, seed=1)
    generator = import_generator(state, "robomimic")
    values = generator(code)
    for index, site in enumerate(generator.sites):
        x = draw(2, site.num_channels, 3, 3, seed=index)
        beta, gamma = apply(state, f"_film_layers.{index}.lang_proj", code).view(2, -1, 1, 1).chunk(2, 1)
        torch.testing.assert_close(film_relu(x, *values[site.name]), torch.relu((1 + gamma) * x + beta), **EXACT)


@pytest.mark.parametrize(
    ("layout", "state", "prefix"),
    [("dit", dit(4, 11), ""), ("openvla-oft", oft(4, 6, 11), "featurizer."), ("robomimic", robomimic(), "")],
    ids=["dit", "openvla-oft", "robomimic"],
)
def test_there_and_back_changes_nothing(layout, state: dict[str, Tensor], prefix: str) -> None:
    found = export_generator(import_generator(state, layout, prefix=prefix), layout, prefix=prefix)
    assert found
    assert all(torch.equal(value, state[name]) for name, value in found.items())
    film_layers = [name for name in state if re.search(r"adaLN|scale|shift|lang_proj", name)]
    assert found.keys() == set(film_layers)


def test_what_our_generator_learned_is_written_for_them() -> None:
    sites = Sites(Site(f"blocks.{block}", 4, axis=-1) for block in range(2))
    generator, code = LinearGenerator(6, sites, rank=2, init="kaiming_uniform").double(), draw(3, 6)
    nn.init.normal_(generator.linear.bias)
    state = export_generator(generator, "openvla-oft")
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        f"blocks.{block}.{part}.{kind}": (4, 6) if kind == "weight" else (4,)
        for block in range(2)
        for part in ("scale", "shift")
        for kind in ("weight", "bias")
    }
    values = generator(code)
    torch.testing.assert_close(1 + apply(state, "blocks.1.scale", code), values["blocks.1"].gamma, **EXACT)
    torch.testing.assert_close(apply(state, "blocks.1.shift", code), values["blocks.1"].beta, **EXACT)


def test_state_dicts_that_do_not_fit_are_refused() -> None:
    message = r"no blocks.N.scale.weight; its names begin with: featurizer; give what stands before as prefix"
    with pytest.raises(SavedValuesError, match=message):
        import_generator(oft(4, 6, 1), "openvla-oft")
    with pytest.raises(SavedValuesError, match=r"lacks blocks.0.shift.weight; expected both"):
        import_generator(linear("blocks.0.scale", 6, 4, 0), "openvla-oft")
    message = "has a weight of shape (9, 6) and a bias of (9,), expected (2 * C, D) and (2 * C,)"
    with pytest.raises(SavedValuesError, match=re.escape(message)):
        import_generator(linear("_film_layers.0.lang_proj", 6, 9, 0), "robomimic")
    uneven = linear("blocks.0.scale", 6, 4, 0) | linear("blocks.0.shift", 5, 4, 0)
    with pytest.raises(SavedValuesError, match=r"codes of \[5, 6\] numbers, expected one width, .* at blocks.0"):
        import_generator(uneven, "openvla-oft")
    with pytest.raises(InvalidValueError, match="layout is 'rt-1', expected one of dit, openvla-oft, robomimic"):
        import_generator({}, "rt-1")


def test_generators_without_a_place_are_refused() -> None:
    generator = LinearGenerator(6, Sites([Site("layer1", 4)]))
    message = r"robomimic has no place for the values of layer1; expected sites named as in _film_layers.N"
    with pytest.raises(SavedValuesError, match=message):
        export_generator(generator, "robomimic")
    message = r"computes the values of blocks.0.norm1, .* by one layer, and the generator has none for blocks.0.attn, "
    with pytest.raises(SavedValuesError, match=message):
        export_generator(LinearGenerator(6, Sites([Site("blocks.0.norm1", 4)])), "dit")
    tanh = LinearGenerator(6, Sites([Site("blocks.0", 4, form="tanh")]))
    with pytest.raises(
        SavedValuesError, match=r"site 'blocks.0' has the form 'tanh', expected 'film' or 'gate', as they have"
    ):
        export_generator(tanh, "openvla-oft")
