"""Where FiLM sits in a network, how wide each place is, and how values for all of them are laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args, overload

import torch
from torch import Tensor

from fewshot_film.errors import listed, shown, suggestion
from fewshot_film.film.errors import ShapeError, SiteError
from fewshot_film.film.layer import Modulation

Modulations = dict[str, Modulation]
"""Values for many sites, by site name. A site without an entry is left as it is."""


Form = Literal["film", "scale", "shift", "gate", "sigmoid", "tanh"]
"""What a generator's output ``r`` means at a site.

| form | values | a fresh generator, ``r`` = 0 |
| --- | --- | --- |
| ``film`` | gamma = 1 + r, beta = r' | identity |
| ``scale`` | gamma = 1 + r | identity |
| ``shift`` | beta = r | identity |
| ``gate`` | gamma = r | closed |
| ``tanh`` | gamma = tanh(r) | closed |
| ``sigmoid`` | gamma = sigmoid(r) | half open |

Gates belong at the end of a residual branch, which a closed one takes out of the network.
"""


@dataclass(frozen=True)
class Site:
    """One place in a network where FiLM acts."""

    name: str
    """Unique within the network; for an injected network the dotted name of the layer before FiLM."""
    num_channels: int
    """Width of the features there."""
    stage: str = ""
    """Group of sites that share what a generator shares, e.g. ``layer1`` of a ResNet."""
    axis: int | None = None
    """Axis of the channels, -1 for tokens ``(B, T, C)``. None: read off the layer, 1 where it does not say."""
    form: Form = "film"
    """What is generated: gamma and beta, or one of them; see :data:`Form`."""

    @property
    def flat_dim(self) -> int:
        """Values of the site in the flat layout."""
        return self.num_channels * (2 if self.form == "film" else 1)


class Sites(Sequence[Site]):
    """All FiLM sites of a network, in order.

    The order fixes the flat layout, ``(B, flat_dim)``: site after site, gamma before beta, each where the site's form
    has it.

    Args:
        sites: any number of sites with distinct names.

    Raises:
        SiteError: a name occurs twice, a width is below 1, or there is no such form.

    Example:
        >>> sites = Sites([Site("a", 2), Site("b", 1)])
        >>> sites.split(torch.arange(6.0)[None])["b"]
        Modulation(gamma=tensor([[4.]]), beta=tensor([[5.]]))
    """

    def __init__(self, sites: Iterable[Site]) -> None:
        self._by_name: dict[str, Site] = {}
        for site in sites:
            if site.name in self._by_name:
                raise SiteError(f"site {site.name!r} is listed twice, expected distinct names; drop one")
            if site.num_channels < 1:
                raise SiteError(f"site {site.name!r} has {site.num_channels} channels, expected at least 1")
            if site.form not in get_args(Form):
                forms = ", ".join(get_args(Form))
                raise SiteError(f"site {site.name!r} has the form {shown(site.form)}, expected one of {forms}")
            self._by_name[site.name] = site
        self._sites = tuple(self._by_name.values())

    @overload
    def __getitem__(self, index: int) -> Site: ...
    @overload
    def __getitem__(self, index: slice) -> Sites: ...
    def __getitem__(self, index: int | slice) -> Site | Sites:
        return Sites(self._sites[index]) if isinstance(index, slice) else self._sites[index]

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sites) and self._sites == other._sites

    def __hash__(self) -> int:
        return hash(self._sites)

    def __repr__(self) -> str:
        return f"Sites([{', '.join(f'{site.name}: {site.num_channels}' for site in self)}])"

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self._by_name)

    @property
    def num_channels(self) -> int:
        """Channels of all sites together."""
        return sum(site.num_channels for site in self)

    @property
    def flat_dim(self) -> int:
        """Length of one row of the flat layout: a gamma and a beta per channel, or what each site's form has of it."""
        return sum(site.flat_dim for site in self)

    def by_stage(self) -> dict[str, Sites]:
        """The sites of every stage; stages in the order of their first site."""
        stages: dict[str, list[Site]] = {}
        for site in self:
            stages.setdefault(site.stage, []).append(site)
        return {stage: Sites(members) for stage, members in stages.items()}

    def split(self, flat: Tensor) -> Modulations:
        """Read the flat layout.

        Args:
            flat: ``(B, flat_dim)``; gamma is the full scale here too.

        Returns:
            gamma and beta of every site, ``(B, C)`` each, as views of ``flat``; what a site's form lacks is the
            identity's.

        Raises:
            ShapeError: ``flat`` has another shape.
        """
        if flat.ndim != 2 or flat.shape[1] != self.flat_dim:
            raise ShapeError(
                f"split: the flat vector has shape {tuple(flat.shape)}, expected (B, {self.flat_dim}): "
                f"the values of {self.num_channels} channels at {len(self)} sites"
            )
        widths = [site.num_channels for site in self for _ in range(site.flat_dim // site.num_channels)]
        parts = iter(torch.split(flat, widths, dim=1))
        return {site.name: _with_constants(site.form, parts) for site in self}

    def from_residuals(self, residuals: Tensor) -> Modulations:
        """Values from what a network predicts: ``r`` in the table of :data:`Form`.

        Args:
            residuals: ``(B, flat_dim)``, in the flat layout.

        Raises:
            ShapeError: they have another shape.
        """
        values = self.split(residuals)
        return {site.name: _from_residual(site.form, *values[site.name]) for site in self}

    def flatten(self, modulations: Mapping[str, Modulation]) -> Tensor:
        """Write the flat layout; the inverse of :meth:`split`. What a site's form lacks is left out.

        Args:
            modulations: values for every site; those of one row are repeated where others have more.

        Returns:
            Tensor ``(B, flat_dim)``.

        Raises:
            SiteError: a site is missing, or a name is unknown.
            ShapeError: the values of a site do not fit it, row counts other than 1 differ, or there is one value per
                position.
        """
        self.check(modulations)
        missing = [name for name in self.names if name not in modulations]
        if missing:
            raise SiteError(
                f"flatten: {len(missing)} of {len(self)} sites have no values, the first is {missing[0]!r}; "
                "start from sites.identity() and replace what differs"
            )
        parts = [part for site in self for part in _of_form(site.form, modulations[site.name])]
        if any(part.ndim != 2 for part in parts):
            raise ShapeError("flatten: got one value per position, expected one per channel, (B, C)")
        rows = {part.shape[0] for part in parts} - {1}
        if len(rows) > 1:
            raise ShapeError(f"flatten: sites have {sorted(rows)} rows, expected one row count (or 1) everywhere")
        batch = rows.pop() if rows else 1
        return torch.cat([part.expand(batch, -1) for part in parts], dim=1)

    def identity(
        self,
        batch: int = 1,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Modulations:
        """Values that change nothing: gamma 1 and beta 0 at every site, ``(batch, C)`` each."""
        return {
            site.name: Modulation(
                torch.ones(batch, site.num_channels, device=device, dtype=dtype),
                torch.zeros(batch, site.num_channels, device=device, dtype=dtype),
            )
            for site in self
        }

    def check(self, modulations: Mapping[str, Modulation]) -> None:
        """Refuse values that belong to other sites; sites without values are fine.

        Raises:
            SiteError: a name is unknown.
            ShapeError: gamma or beta of a site is neither ``(B, C)`` nor of one value per position.
        """
        for name, (gamma, beta) in modulations.items():
            site = self._by_name.get(name)
            if site is None:
                hint = f"{suggestion(name, self.names)}; the sites are: {listed(self.names)}"
                raise SiteError(f"there is no site {name!r}{hint}")
            for values in (gamma, beta):
                if values.ndim < 2 or (values.ndim == 2 and values.shape[1] != site.num_channels):
                    raise ShapeError(
                        f"site {name!r}: gamma has shape {tuple(gamma.shape)} and beta {tuple(beta.shape)}, "
                        f"expected (B, {site.num_channels}) or (1, {site.num_channels}) each"
                    )


def _with_constants(form: Form, parts: Iterator[Tensor]) -> Modulation:
    """The next values of the flat layout, with the identity's for what the form lacks."""
    first = next(parts)
    if form == "film":
        return Modulation(first, next(parts))
    constant = first.new_full((1, 1), float(form == "shift")).expand_as(first)
    return Modulation(constant, first) if form == "shift" else Modulation(first, constant)


def _of_form(form: Form, modulation: Modulation) -> tuple[Tensor, ...]:
    """The parts of a modulation that the flat layout holds."""
    if form == "film":
        return modulation
    return (modulation.beta,) if form == "shift" else (modulation.gamma,)


def _from_residual(form: Form, gamma: Tensor, beta: Tensor) -> Modulation:
    if form in ("film", "scale"):
        return Modulation(1 + gamma, beta)
    if form == "sigmoid":
        return Modulation(gamma.sigmoid(), beta)
    return Modulation(gamma.tanh() if form == "tanh" else gamma, beta)
