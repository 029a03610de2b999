"""FiLM after named layers of an existing network, without touching its code or its state dict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fewshot_film.film.errors import SiteError
from fewshot_film.film.layer import film
from fewshot_film.film.naming import matches, suggest
from fewshot_film.film.norms import channel_axis, is_norm, norm_width
from fewshot_film.film.sites import Modulations, Site, Sites


def first_part(name: str) -> str:
    """``layer1`` of ``layer1.0.bn2``: the stage of a site, unless told otherwise."""
    return name.split(".", 1)[0]


def inject_film(
    network: nn.Module,
    after: Iterable[str | Site],
    *,
    stage_of: Callable[[str], str] = first_part,
) -> FiLMedNetwork:
    """Put FiLM after named layers of a network.

    The network is changed in place, by forward hooks alone: its modules, parameters and state dict stay what
    they are, and it behaves as before except inside a call of the result. :func:`remove_film` takes FiLM out
    again.

    Args:
        network: any network.
        after: normalisation layers, by dotted name or glob pattern (``"layer*.*.bn[12]"``; ``*`` stays within
            one part of a name, ``**`` spans several). BatchNorm, SyncBatchNorm, InstanceNorm and GroupNorm
            are channels-first, LayerNorm and RMSNorm channels-last, torchvision's and timm's ``LayerNorm2d``
            channels-first. For any other channels-first layer give a :class:`Site` instead of a name: it
            states the width that cannot be read off.
        stage_of: the stage of a site, from its name.

    Returns:
        The FiLM-ed network; its sites are in the order of ``after``, those of one pattern in the network's
        order.

    Raises:
        SiteError: nothing has that name or fits that pattern, the width cannot be read off, or the layer
            carries FiLM already.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> filmed = inject_film(network, after=["1"])
        >>> filmed.sites
        Sites([1: 8])
    """
    modules = dict(network.named_modules())
    sites = _resolve(modules, after, stage_of)
    if not sites:
        raise SiteError("inject_film: no layer is named, expected at least one; pass after=['layer*.*.bn[12]']")
    for site in sites:
        if any(isinstance(hook, _SiteHook) for hook in modules[site.name]._forward_hooks.values()):
            raise SiteError(f"{site.name!r} carries FiLM already; take it out first with remove_film(network)")
    return FiLMedNetwork(network, sites)


def _resolve(modules: dict[str, nn.Module], after: Iterable[str | Site], stage_of: Callable[[str], str]) -> Sites:
    """Sites for names, patterns and ready-made sites; a layer that two of them name counts once."""
    if isinstance(after, str):
        raise SiteError(f"inject_film: after is the string {after!r}, expected a list of names; write [{after!r}]")
    norms = [name for name, module in modules.items() if is_norm(module)]
    found: dict[str, Site] = {}
    for item in after:
        pattern = item.name if isinstance(item, Site) else item
        names = [pattern] if pattern in modules else [name for name in norms if matches(name, pattern)]
        if not names or (isinstance(item, Site) and names != [pattern]):
            raise SiteError(f"no layer is named {pattern!r} and no norm fits it; {suggest(pattern, norms)}")
        for name in names:
            if isinstance(item, Site):
                found.setdefault(name, item)
            elif name not in found:
                found[name] = Site(name, norm_width(name, modules[name]), stage_of(name))
    return Sites(found.values())


class _Call(threading.local):
    """Modulations of the call in progress, per thread; a copy starts without any."""

    def __init__(self) -> None:
        self.modulations: Modulations = {}

    def __reduce__(self) -> tuple[type[_Call], tuple[()]]:
        return _Call, ()


class _Link:
    """What a FiLM-ed network and the hooks in its plain network share."""

    def __init__(self) -> None:
        self.call = _Call()
        self.whole = True
        """Whether all hooks are still there."""


class _SiteHook:
    """Forward hook that applies FiLM to what one layer returns.

    An object and not a closure, so that the hooks in a deep copy or a pickle of a network reach its own link.
    """

    def __init__(self, site: Site, axis: int, link: _Link) -> None:
        self.site = site
        self.axis = axis
        self.link = link

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        modulation = self.link.call.modulations.get(self.site.name)
        if modulation is None:
            return output
        if self.axis == 1:
            return film(output, *modulation)
        return film(output.movedim(self.axis, 1), *modulation).movedim(1, self.axis)


class FiLMedNetwork(nn.Module):
    """A network with FiLM at its sites; made by :func:`inject_film`.

    ``network`` is the plain network: load and save its state dict. Modulations act on one call, or on
    everything run inside :meth:`modulated`, in the calling thread; they never outlast it.

    When a part of ``network`` recomputes its activations in the backward pass (``torch.utils.checkpoint``),
    put the checkpoint around the call of the FiLM-ed network instead: outside the call there are no
    modulations.

    Attributes:
        network: the plain network.
        sites: where FiLM sits.
    """

    def __init__(self, network: nn.Module, sites: Sites) -> None:
        super().__init__()
        self.network = network
        self.sites = sites
        self._link = _Link()
        for site in sites:
            layer = network.get_submodule(site.name)
            layer.register_forward_hook(_SiteHook(site, channel_axis(layer), self._link))

    def forward(self, x: Tensor, modulations: Modulations | None = None) -> Any:
        """Run the network.

        Args:
            x: its input, batch first.
            modulations: values by site name, one row per example or one row for all. Sites without values
                stay the identity. ``None`` keeps those of a surrounding :meth:`modulated`.

        Returns:
            What the network returns.

        Raises:
            SiteError: a name in ``modulations`` is no site of this network, or FiLM was taken out of it.
            ShapeError: values do not fit their site or the batch.
        """
        if modulations is None:
            return self.network(x)
        with self.modulated(modulations):
            return self.network(x)

    @contextmanager
    def modulated(self, modulations: Modulations) -> Iterator[FiLMedNetwork]:
        """Modulate whatever runs inside the block: many batches, or single stages of ``network``.

        Example:
            >>> filmed = inject_film(nn.Sequential(nn.BatchNorm2d(8), nn.ReLU()), after=["0"])
            >>> with filmed.modulated(filmed.sites.identity()):
            ...     features = filmed.network[0](torch.zeros(2, 8, 4, 4))

        Raises:
            SiteError: a name is no site of this network, or FiLM was taken out of it.
            ShapeError: values do not fit their site.
        """
        if not self._link.whole:
            raise SiteError("remove_film took FiLM out of this network; inject it again")
        self.sites.check(modulations)
        call = self._link.call
        outer = call.modulations
        call.modulations = modulations
        try:
            yield self
        finally:
            call.modulations = outer

    def extra_repr(self) -> str:
        """The sites, as ``print(filmed)`` shows them."""
        return repr(self.sites)


def remove_film(network: nn.Module) -> None:
    """Take every FiLM that :func:`inject_film` put into a network out of it again, in place.

    The FiLM-ed network refuses modulations from then on.
    """
    for module in network.modules():
        for key, hook in list(module._forward_hooks.items()):
            if isinstance(hook, _SiteHook):
                hook.link.whole = False
                del module._forward_hooks[key]
