"""Networks that turn a conditioning vector into gamma and beta for every site.

A generator predicts the distance from the identity and adds the 1 of gamma itself; a fresh one is near the
identity.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from fewshot_film.errors import InvalidValueError, shown
from fewshot_film.film.errors import ShapeError, SiteError
from fewshot_film.film.layer import Modulation
from fewshot_film.film.sites import Modulations, Site, Sites

LinearInit = Literal["near_identity", "kaiming_uniform", "xavier_uniform", "zero"]
REGULARISER_STD = 0.001
"""Spread of the regularisers at the start, of the papers: FiLM begins near the identity."""


class Generator(nn.Module, ABC):
    """Base of all generators: ``generator(code) -> Modulations``.

    Args:
        code_dim: width ``D`` of the conditioning vector.
        sites: the sites to generate for.

    Raises:
        ShapeError: ``code_dim`` is below 1, or there are no sites.
        SiteError: a site has a form that this kind of generator does not generate.
    """

    any_form: ClassVar[bool] = False
    """Whether sites may have any form, or only ``film``."""

    def __init__(self, code_dim: int, sites: Sites) -> None:
        super().__init__()
        if code_dim < 1 or not sites:
            raise ShapeError(f"a generator needs a code and sites, got code_dim={code_dim} and {len(sites)} sites")
        others = [] if self.any_form else [site for site in sites if site.form != "film"]
        if others:
            raise SiteError(
                f"{type(self).__name__} generates gamma and beta for sites of the form 'film', and {others[0].name!r} "
                f"has the form {others[0].form!r}; use LinearGenerator"
            )
        self.code_dim = code_dim
        self.sites = sites

    @abstractmethod
    def forward(self, code: Tensor, *args: Any) -> Modulations:
        """Generate values for every site.

        Args:
            code: ``(B, code_dim)``: one row per example, or one row for a whole task.
            *args: what else a kind of generator conditions on.

        Returns:
            gamma and beta by site name, ``(B, C)`` each.

        Raises:
            ShapeError: ``code`` has another shape.
        """

    @abstractmethod
    def penalty(self) -> Tensor:
        """What training adds to the loss to keep the values near the identity; a scalar."""

    def _check_code(self, code: Tensor) -> None:
        if code.ndim != 2 or code.shape[1] != self.code_dim:
            raise ShapeError(
                f"{type(self).__name__}: the code has shape {tuple(code.shape)}, expected "
                f"(B, {self.code_dim}); a code for one task needs a batch axis too: code.unsqueeze(0)"
            )


class LinearGenerator(Generator):
    """One linear layer from the code to the flat layout of all sites, as CLEVR's FiLM model has it.

    Args:
        code_dim: width ``D`` of the conditioning vector.
        sites: the sites to generate for.
        init: ``near_identity`` draws weights so small that gamma starts within about 0.01 of 1 for a code
            with entries near 1; ``zero`` starts at the identity; ``kaiming_uniform`` (what the FiLM authors trained
            with) and ``xavier_uniform`` start far from it.
        rank: of the weight, which is then a product of two: ``rank * (D + flat_dim)`` numbers instead of
            ``D * flat_dim``. None: of full rank.

    Raises:
        ValueError: ``init`` is none of these, or ``rank`` is below 1.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 3, https://arxiv.org/abs/1709.07871
    """

    any_form = True

    def __init__(
        self, code_dim: int, sites: Sites, *, init: LinearInit = "near_identity", rank: int | None = None
    ) -> None:
        super().__init__(code_dim, sites)
        if rank is not None and rank < 1:
            raise InvalidValueError(f"rank is {rank}, expected at least 1, or None for full rank")
        self.compress = nn.Identity() if rank is None else nn.Linear(code_dim, rank, bias=False)
        self.linear = nn.Linear(code_dim if rank is None else rank, sites.flat_dim)
        if init == "near_identity":
            nn.init.normal_(self.linear.weight, std=0.01 * self.linear.in_features**-0.5)
            nn.init.zeros_(self.linear.bias)
        elif init == "zero":
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
        elif init == "kaiming_uniform":
            nn.init.kaiming_uniform_(self.linear.weight)
        elif init == "xavier_uniform":
            nn.init.xavier_uniform_(self.linear.weight)
        else:
            raise InvalidValueError(f"init is {shown(init)}, expected one of {', '.join(get_args(LinearInit))}")

    def forward(self, code: Tensor) -> Modulations:
        """Generate values for every site from ``code``, ``(B, code_dim)``; see :meth:`Generator.forward`."""
        self._check_code(code)
        return self.sites.from_residuals(self.linear(self.compress(code)))

    def penalty(self) -> Tensor:
        """Zero: this generator has no regularisers."""
        return self.linear.weight.new_zeros(())


class SharedGenerator(Generator):
    """One linear layer for all sites of a width and form, and learned offsets of each site.

    However many blocks a network repeats, the layer is as large as for one. It starts near the identity.

    Args:
        code_dim: width ``D`` of the conditioning vector.
        sites: the sites to generate for.

    Source:
        Chen et al., "PixArt-alpha", ICLR 2024, section 2.3 (adaLN-single), https://arxiv.org/abs/2310.00426
    """

    any_form = True

    def __init__(self, code_dim: int, sites: Sites) -> None:
        super().__init__(code_dim, sites)
        groups = list(dict.fromkeys((site.num_channels, site.form, site.flat_dim) for site in sites))
        self._group_of_site = [groups.index((site.num_channels, site.form, site.flat_dim)) for site in sites]
        self.shared = nn.ModuleList(nn.Linear(code_dim, flat_dim, bias=False) for _, _, flat_dim in groups)
        for layer in self.shared:
            nn.init.normal_(cast(nn.Linear, layer).weight, std=0.01 * code_dim**-0.5)
        self.offsets = nn.Parameter(torch.zeros(sites.flat_dim))

    def forward(self, code: Tensor) -> Modulations:
        """Generate values for every site from ``code``, ``(B, code_dim)``; see :meth:`Generator.forward`."""
        self._check_code(code)
        of_group = [layer(code) for layer in self.shared]
        return self.sites.from_residuals(torch.cat([of_group[i] for i in self._group_of_site], 1) + self.offsets)

    def penalty(self) -> Tensor:
        """Zero: this generator has no regularisers."""
        return self.offsets.new_zeros(())


def identity_distance(modulations: Mapping[str, Modulation]) -> Tensor:
    """Mean squared distance of values from the identity: a loss that keeps any generator near it.

    Args:
        modulations: values by site name.

    Returns:
        A scalar: the mean of ``(gamma - 1)^2 + beta^2`` over all channels and rows.

    Raises:
        SiteError: there are no values.

    Example:
        >>> identity_distance({"a": Modulation(torch.tensor([[3.0, 1.0]]), torch.zeros(1, 2))})
        tensor(2.)
    """
    if not modulations:
        raise SiteError("identity_distance: there are no values, expected those of at least one site")
    squares = [(gamma - 1).square() + beta.square() for gamma, beta in modulations.values()]
    return torch.cat([square.flatten() for square in squares]).mean()


class ResidualLinear(nn.Linear):
    """``x + Wx + b``."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width)`` to ``(B, width)``."""
        return x + super().forward(x)


def residual_layers(width: int) -> list[nn.Module]:
    """Three residual linear layers with ReLU between them."""
    return [ResidualLinear(width), nn.ReLU(), ResidualLinear(width), nn.ReLU(), ResidualLinear(width)]


class RegularisedValues(nn.Module):
    """gamma and beta of one site from what its stage shares: ``1 + net(h) * r`` and ``net(h) * r``.

    Args:
        site: the site.
        input_dim: width of ``h``.
        project: put a linear layer with ReLU before the residual ones, from ``input_dim`` to the site's
            width; without it the two are the same.
        regulariser_std: spread of the regularisers ``r`` at the start: how far from the identity it begins.
    """

    def __init__(self, site: Site, input_dim: int, *, project: bool, regulariser_std: float = REGULARISER_STD) -> None:
        super().__init__()
        width = site.num_channels

        def make_net() -> nn.Sequential:
            entry: list[nn.Module] = [nn.Linear(input_dim, width), nn.ReLU()] if project else []
            return nn.Sequential(*entry, *residual_layers(width))

        self.gamma_net, self.beta_net = make_net(), make_net()
        self.gamma_regulariser = nn.Parameter(regulariser_std * torch.randn(width))
        self.beta_regulariser = nn.Parameter(regulariser_std * torch.randn(width))

    def forward(self, hidden: Tensor) -> Modulation:
        """Map ``(B, input_dim)`` to the values of the site."""
        return Modulation(
            1 + self.gamma_net(hidden) * self.gamma_regulariser,
            self.beta_net(hidden) * self.beta_regulariser,
        )

    def squared_norm(self) -> Tensor:
        """Sum of the squared regularisers."""
        return self.gamma_regulariser.square().sum() + self.beta_regulariser.square().sum()


class RegularisedGenerator(Generator):
    """Base of CNAPS's two generators: values of every site by :class:`RegularisedValues`."""

    values: nn.ModuleList
    """One :class:`RegularisedValues` per site, in the order of ``sites``."""
    penalty_weight: float

    def penalty(self) -> Tensor:
        """``penalty_weight`` times the sum of all squared regularisers."""
        norms = [cast(RegularisedValues, values).squared_norm() for values in self.values]
        return self.penalty_weight * torch.stack(norms).sum()


class ResidualGenerator(RegularisedGenerator):
    """CNAPS's generator: a small residual network for gamma and one for beta of every site.

    Sites of one stage and width share a linear layer with ReLU, ``D -> C``. From it each gamma and each beta
    comes by three residual linear layers with ReLU between, times a learned regulariser ``r`` per channel
    that starts at ``N(0, 0.001^2)`` in the paper. The reference implementation counts the same parameters,
    8,448,960 for ResNet-18 and ``D = 64``, but lets the regularisers of a block share one storage; here every
    one is its own.

    Args:
        code_dim: width ``D`` of the conditioning vector.
        sites: the sites to generate for.
        penalty_weight: factor of the sum of squared regularisers in :meth:`penalty`.
        regulariser_std: initial standard deviation of the regularisers.

    Source:
        Requeima et al., "CNAPs", NeurIPS 2019, section 2.2 and appendix, https://arxiv.org/abs/1906.07697
    """

    def __init__(
        self,
        code_dim: int,
        sites: Sites,
        *,
        penalty_weight: float = 0.001,
        regulariser_std: float = REGULARISER_STD,
    ) -> None:
        super().__init__(code_dim, sites)
        self.penalty_weight = penalty_weight
        groups = list(dict.fromkeys((site.stage, site.num_channels) for site in sites))
        self._group_of_site = [groups.index((site.stage, site.num_channels)) for site in sites]
        self.shared = nn.ModuleList(nn.Sequential(nn.Linear(code_dim, width), nn.ReLU()) for _, width in groups)
        self.values = nn.ModuleList(
            RegularisedValues(site, site.num_channels, project=False, regulariser_std=regulariser_std) for site in sites
        )

    def forward(self, code: Tensor) -> Modulations:
        """Generate values for every site from ``code``, ``(B, code_dim)``; see :meth:`Generator.forward`."""
        self._check_code(code)
        hidden = [shared(code) for shared in self.shared]
        return {
            site.name: values(hidden[group])
            for site, values, group in zip(self.sites, self.values, self._group_of_site, strict=True)
        }
