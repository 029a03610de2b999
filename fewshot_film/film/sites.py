"""Where FiLM sits in a network, how wide each place is, and how values for all of them are laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from fewshot_film.errors import listed, suggestion
from fewshot_film.film.errors import ShapeError, SiteError
from fewshot_film.film.layer import Modulation

Modulations = dict[str, Modulation]
"""Values for many sites, by site name. A site without an entry is left as it is."""


@dataclass(frozen=True)
class Site:
    """One place in a network where FiLM acts."""

    name: str
    """Unique within the network; for an injected network the dotted name of the layer before FiLM."""
    num_channels: int
    """Width of the features there."""
    stage: str = ""
    """Group of sites that share what a generator shares, e.g. ``layer1`` of a ResNet."""


class Sites(Sequence[Site]):
    """All FiLM sites of a network, in order.

    The order fixes the flat layout, ``(B, flat_dim)``: site after site, gamma before beta.

    Args:
        sites: any number of sites with distinct names.

    Raises:
        SiteError: a name occurs twice, or a width is below 1.

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
        """Length of one row of the flat layout: a gamma and a beta per channel."""
        return 2 * self.num_channels

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
            gamma and beta of every site, ``(B, C)`` each, as views of ``flat``.

        Raises:
            ShapeError: ``flat`` has another shape.
        """
        if flat.ndim != 2 or flat.shape[1] != self.flat_dim:
            raise ShapeError(
                f"split: the flat vector has shape {tuple(flat.shape)}, expected (B, {self.flat_dim}): "
                f"gamma and beta of {self.num_channels} channels at {len(self)} sites"
            )
        widths = [width for site in self for width in (site.num_channels, site.num_channels)]
        parts = iter(torch.split(flat, widths, dim=1))
        return {site.name: Modulation(next(parts), next(parts)) for site in self}

    def flatten(self, modulations: Mapping[str, Modulation]) -> Tensor:
        """Write the flat layout; the inverse of :meth:`split`.

        Args:
            modulations: values for every site; those of one row are repeated where others have more.

        Returns:
            Tensor ``(B, flat_dim)``.

        Raises:
            SiteError: a site is missing, or a name is unknown.
            ShapeError: the values of a site do not fit it, or row counts other than 1 differ.
        """
        self.check(modulations)
        missing = [name for name in self.names if name not in modulations]
        if missing:
            raise SiteError(
                f"flatten: {len(missing)} of {len(self)} sites have no values, the first is {missing[0]!r}; "
                "start from sites.identity() and replace what differs"
            )
        parts = [part for name in self.names for part in modulations[name]]
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
            ShapeError: gamma or beta of a site is not ``(B, C)``.
        """
        for name, (gamma, beta) in modulations.items():
            site = self._by_name.get(name)
            if site is None:
                hint = f"{suggestion(name, self.names)}; the sites are: {listed(self.names)}"
                raise SiteError(f"there is no site {name!r}{hint}")
            for values in (gamma, beta):
                if values.ndim != 2 or values.shape[1] != site.num_channels:
                    raise ShapeError(
                        f"site {name!r}: gamma has shape {tuple(gamma.shape)} and beta {tuple(beta.shape)}, "
                        f"expected (B, {site.num_channels}) or (1, {site.num_channels}) each"
                    )
