"""Small networks and random values that the tests of this room share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_film.film import Modulation, Modulations, Sites

RESNET_SITES = "layer*.*.bn[12]"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomise_norms(network: nn.Module, seed: int = 0) -> nn.Module:
    """Statistics and affine parts far from the identity, so that a wrong fold or a lost FiLM shows."""
    generator = seeded(seed)
    for module in network.modules():
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor = getattr(module, name, None)
            if isinstance(module, nn.Conv2d | nn.Linear) or not isinstance(tensor, Tensor):
                continue
            low = -0.5 if name in ("bias", "running_mean") else 0.5
            with torch.no_grad():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return network


def random_modulations(sites: Sites, batch: int = 1, seed: int = 0, dtype: torch.dtype | None = None) -> Modulations:
    """gamma in [0.5, 1.5] and beta in [-0.5, 0.5]."""
    flat = torch.rand(batch, sites.flat_dim, generator=seeded(seed), dtype=dtype)
    values = sites.split(flat)
    return {name: Modulation(gamma + 0.5, beta - 0.5) for name, (gamma, beta) in values.items()}


class TinyResNet(nn.Module):
    """Stem, two stages of one residual block, mean: enough of a ResNet to run in a millisecond."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.layer1 = TinyBlock(width, width)
        self.layer2 = TinyBlock(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer2(self.layer1(self.stem(x))).mean(dim=(2, 3))


class TinyBlock(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(width_in, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(hidden)) + self.shortcut(x))


def tiny(seed: int = 0, dtype: torch.dtype = torch.float64) -> TinyResNet:
    """A TinyResNet in evaluation mode with weights from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TinyResNet()
    randomise_norms(network, seed)
    return network.eval().to(dtype)


TINY_SITES = "layer*.bn[12]"


def images(batch: int, size: int = 8, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=seeded(seed), dtype=dtype)
