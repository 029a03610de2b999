"""Which networks of torchvision, timm, transformers and diffusers take FiLM, and give it up again into their weights.

    python -m benchmarks.film_networks networks

Every network has random weights and, where its library allows, a small configuration. FiLM goes behind all of its
norms. It works if values of the identity change nothing, other values change something, the network with the values
folded into its weights gives the same result, and it is as before once FiLM is taken out. Libraries that are not
installed are left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.errors import UserError
from fewshot_film.film import (
    FiLMedNetwork,
    Modulation,
    Modulations,
    fold_film,
    fuse_conv_norm,
    inject_film,
    remove_film,
)
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import write_result
from fewshot_film.run.settings import Settings

RESULT = Path(__file__).resolve().parent / "results" / "film_networks.json"
TOLERANCE = 1e-4
"""Of results, in units of their largest value."""

IMAGE_NETWORKS: dict[str, dict[str, int]] = {
    "torchvision": {
        "resnet18": 32, "mobilenet_v2": 32, "mobilenet_v3_small": 32, "shufflenet_v2_x0_5": 32, "mnasnet0_5": 32,
        "efficientnet_b0": 32, "regnet_y_400mf": 32, "convnext_tiny": 32, "vit_b_32": 224, "swin_t": 64,
    },
    "timm": {
        "test_resnet": 32, "resnet10t": 32, "resnet26d": 32, "seresnet18": 32, "resnext26ts": 64, "resnetv2_50": 32,
        "resnetv2_50d_gn": 32, "tf_efficientnet_lite0": 32, "efficientnet_lite0": 32, "tf_efficientnetv2_b0": 32,
        "test_efficientnet_gn": 32, "lcnet_035": 32, "mobilenetv3_small_050": 32, "mobilenetv4_conv_small_035": 32,
        "fbnetv3_b": 32, "ghostnet_050": 32, "mixnet_s": 32, "rexnet_100": 32, "regnetx_002": 32, "regnety_002": 32,
        "test_convnext": 32, "convnext_atto": 32, "convnextv2_atto": 32, "inception_next_atto": 32,
        "poolformer_s12": 32, "caformer_s18": 64, "mambaout_femto": 32, "edgenext_xx_small": 32, "mobilevit_xxs": 64,
        "levit_128s": 224, "efficientformer_l1": 224, "fastvit_t8": 64, "repvit_m0_9": 32, "efficientvit_b0": 32,
        "test_vit": 160, "vit_tiny_patch16_224": 224, "deit_tiny_patch16_224": 224,
        "swin_tiny_patch4_window7_224": 224, "densenet121": 32, "hrnet_w18_small": 64,
    },
}  # fmt: skip
"""Networks that take one image, and its side."""

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_PATCHES = {"image_size": 32, "patch_size": 8, **_SMALL}
_TEXT = {"vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_T5 = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
_STAGES = {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1]}
TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ViTModel": ("image", _PATCHES),
    "DeiTModel": ("image", _PATCHES),
    "Dinov2Model": ("image", {**_PATCHES, "mlp_ratio": 2}),
    "CLIPVisionModel": ("image", _PATCHES),
    "SwinModel": ("image", {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2]}),
    "ConvNextModel": ("image", _STAGES),
    "ResNetModel": ("image", {"embedding_size": 8, **_STAGES}),
    "BertModel": ("text", {**_TEXT, **_SMALL}),
    "RobertaModel": ("text", {**_TEXT, **_SMALL}),
    "DistilBertModel": ("text", {**_TEXT, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}),
    "GPT2Model": ("text", {**_TEXT, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "LlamaModel": ("text", {**_TEXT, **_SMALL}),
    "T5EncoderModel": ("text", _T5),
    "Wav2Vec2Model": (
        "sound",
        {"conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3), **_SMALL,
         "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2},
    ),
}  # fmt: skip
"""Kind of input and settings of each network of transformers."""

_BLOCKS = {"block_out_channels": (8, 16), "norm_num_groups": 4, "in_channels": 4, "out_channels": 4}
_UNET = {**_BLOCKS, "sample_size": 16, "attention_head_dim": 4, "layers_per_block": 1}
DIFFUSERS: dict[str, tuple[str, dict[str, Any]]] = {
    "UNet2DModel": (
        "time",
        {**_UNET, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
         "up_block_types": ("AttnUpBlock2D", "UpBlock2D")},
    ),
    "UNet2DConditionModel": (
        "time and text",
        {**_UNET, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
         "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 12},
    ),
    "DiTTransformer2DModel": (
        "time and class",
        {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 4, "num_layers": 2,
         "sample_size": 16, "norm_num_groups": 4, "num_embeds_ada_norm": 10},
    ),
    "AutoencoderKL": (
        "latent",
        {**_BLOCKS, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2},
    ),
}  # fmt: skip
"""Kind of input and settings of each network of diffusers."""


@dataclass(frozen=True)
class Case:
    """A network and what to call it with."""

    library: str
    name: str
    network: nn.Module
    inputs: tuple[Any, ...]

    def run(self, network: nn.Module) -> Tensor:
        """The first result of a network like it."""
        result: Any = network(*self.inputs)
        return result if isinstance(result, Tensor) else result[0]


def names() -> list[tuple[str, str]]:
    """Library and name of every network whose library is installed."""
    found = [(library, name) for library, networks in IMAGE_NETWORKS.items() for name in networks]
    found += [("transformers", name) for name in TRANSFORMERS] + [("diffusers", name) for name in DIFFUSERS]
    return [(library, name) for library, name in found if importlib.util.find_spec(library)]


def build(library: str, name: str) -> Case:
    """A network with random weights from a seed, in evaluation mode, and inputs for it."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own
        torch.manual_seed(0)
        module = importlib.import_module("torchvision.models" if library == "torchvision" else library)
        if library in IMAGE_NETWORKS:
            side = IMAGE_NETWORKS[library][name]
            network = getattr(module, name)(num_classes=10) if library == "torchvision" else module.create_model(name)
            inputs: tuple[Any, ...] = (torch.rand(2, 3, side, side),)
        else:
            kind, settings = (TRANSFORMERS if library == "transformers" else DIFFUSERS)[name]
            kind_of_network = getattr(module, name)
            settings_class = getattr(kind_of_network, "config_class", None)
            network = kind_of_network(settings_class(**settings)) if settings_class else kind_of_network(**settings)
            inputs = _INPUTS[kind]()
        _leave_the_identity(network)
    return Case(library, name, network.eval(), inputs)


_INPUTS: Mapping[str, Callable[[], tuple[Any, ...]]] = {
    "image": lambda: (torch.rand(2, 3, 32, 32),),
    "text": lambda: (torch.randint(3, 60, (2, 7)),),
    "sound": lambda: (torch.rand(2, 1000),),
    "latent": lambda: (torch.rand(2, 4, 16, 16),),
    "time": lambda: (torch.rand(2, 4, 16, 16), 3),
    "time and text": lambda: (torch.rand(2, 4, 16, 16), 3, torch.rand(2, 5, 12)),
    "time and class": lambda: (torch.rand(2, 4, 16, 16), torch.tensor([3, 4]), torch.tensor([1, 2])),
}


@torch.no_grad()
def _leave_the_identity(network: nn.Module) -> None:
    """Statistics far from 0 and 1, and no branch or classifier that begins at 0, behind which a fault would hide."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            module.weight.copy_(0.8 + 0.4 * torch.rand_like(module.weight))
            module.running_mean.copy_(0.2 * torch.rand_like(module.running_mean))
        elif isinstance(module, nn.Linear) and not module.weight.any():
            module.weight.copy_(torch.rand_like(module.weight))


def small_values(filmed: FiLMedNetwork) -> Modulations:
    """Gamma within 0.15 of 1 and beta of 0, one row, from a seed."""
    flat = 0.3 * (torch.rand(1, filmed.sites.flat_dim, generator=torch.Generator().manual_seed(0)) - 0.5)
    return {name: Modulation(1 + gamma, beta) for name, (gamma, beta) in filmed.sites.split(flat).items()}


@dataclass
class Finding:
    """What FiLM does in one network."""

    library: str
    network: str
    sites: int = 0
    injected: str = ""
    """Empty if it works, else why not."""
    folded: str = ""
    fused: str = ""
    norms: list[str] = field(default_factory=list)
    """Kinds of its sites' layers."""


@torch.no_grad()
def examine(case: Case) -> Finding:
    """Put FiLM into a network, fold it, fuse it and take it out.

    Raises:
        AssertionError: a result is wrong: a fault, not a refusal.
    """
    found = Finding(case.library, case.name)
    plain = case.run(case.network)
    try:
        filmed = inject_film(case.network, ["**"])
    except UserError as error:
        found.injected = found.folded = found.fused = str(error)
        return found
    found.sites = len(filmed.sites)
    found.norms = sorted({type(case.network.get_submodule(site.name)).__name__ for site in filmed.sites})
    with filmed.modulated(filmed.sites.identity()):
        _expect(near(case.run(case.network), plain), "the identity changed the result")
    values = small_values(filmed)
    with filmed.modulated(values):
        modulated = case.run(case.network)
    _expect(not near(modulated, plain, 100 * TOLERANCE), "values changed nothing")
    found.folded, folded = _try(lambda: fold_film(filmed, values))
    if folded is not None:
        _expect(near(case.run(folded), modulated), "folded, the result is another")
        found.fused, fused = _try(lambda: fuse_conv_norm(folded))
        if fused is not None:
            _expect(near(case.run(fused), modulated), "fused, the result is another")
    remove_film(case.network)
    _expect(bool(torch.equal(case.run(case.network), plain)), "something of FiLM stayed behind")
    return found


def near(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two results differ by less than rounding does."""
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


def _expect(right: bool, otherwise: str) -> None:
    if not right:
        raise AssertionError(otherwise)


def _try(work: Callable[[], nn.Module]) -> tuple[str, nn.Module | None]:
    try:
        return "", work()
    except UserError as error:
        return str(error), None


@dataclass(frozen=True)
class NetworksConfig(Settings):
    """Where the table goes."""

    out: Path = RESULT
    """Result file."""


def networks(config: NetworksConfig) -> None:
    """Examine every network, print the table, write the result."""
    torch.set_num_threads(1)
    findings = []
    for library, name in names():
        found = examine(build(library, name))
        findings.append(vars(found))
        print(library, name, found.sites, "folds" if not found.folded else found.folded.split(",")[0], flush=True)
    libraries = sorted({library for library, _ in names()})
    versions = {library: importlib.import_module(library).__version__ for library in libraries}
    write_result(config.out, config=config, seed=0, results={"networks": findings, "libraries": versions})


def as_table(path: Path = RESULT) -> str:
    """The result as a Markdown table: a row per network."""
    rows = ["| library | network | norms | sites | folds | fuses |", "| --- | --- | --- | ---: | --- | --- |"]
    for found in json.loads(path.read_text("utf-8"))["results"]["networks"]:
        norms = ", ".join(f"`{norm}`" for norm in found["norms"])
        cells = [_verdict(found[step]) for step in ("folded", "fused")]
        rows.append(f"| {found['library']} | `{found['network']}` | {norms} | {found['sites']} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _verdict(reason: str) -> str:
    """A cell: yes, or why not in a few words."""
    if not reason:
        return "yes"
    for sign, words in (("torch.fx cannot trace", "name the pairs"), ("no scale and shift at its end", "no: no shift")):
        if sign in reason:
            return words
    return "no"


COMMANDS = [
    Command(
        "networks",
        NetworksConfig,
        "benchmarks.film_networks:networks",
        "Which networks of other libraries take FiLM behind all of their norms, fold it and fuse it.",
        ("python -m benchmarks.film_networks networks",),
    )
]

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.film_networks", COMMANDS))
