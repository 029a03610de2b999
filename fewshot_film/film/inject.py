"""FiLM after named layers of an existing network, without touching its code or its state dict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from fewshot_film.errors import listed, suggestion
from fewshot_film.film.errors import ShapeError, SiteError
from fewshot_film.film.layer import Modulation, film
from fewshot_film.film.naming import matches
from fewshot_film.film.norms import (
    after_norm,
    batched_ndim,
    channel_axis,
    is_norm,
    norm_width,
    stated_width,
    states_axis,
)
from fewshot_film.film.sites import Modulations, Site, Sites


def first_part(name: str) -> str:
    """``layer1`` of ``layer1.0.bn2``: the default stage of a site."""
    return name.split(".", 1)[0]


def inject_film(
    network: nn.Module,
    after: Iterable[str | Site],
    *,
    stage_of: Callable[[str], str] = first_part,
) -> FiLMedNetwork:
    """Put FiLM after named layers of a network.

    The network is changed in place, but only by forward hooks: its modules, parameters and state dict are unchanged,
    and it behaves as before except inside a call of the result. :func:`remove_film` takes FiLM out
    again.

    Args:
        network: any network.
        after: normalisation layers, by dotted name or glob pattern (``"layer*.*.bn[12]"``; ``*`` stays within
            one part of a name, ``**`` spans several). BatchNorm, SyncBatchNorm, InstanceNorm and GroupNorm
            are channels-first, LayerNorm and RMSNorm channels-last, torchvision's and timm's ``LayerNorm2d``
            channels-first. In timm's layers that join a norm and an activation (``BatchNormAct2d``) FiLM acts
            between the two. For any other layer give a :class:`Site`, whose name may be a pattern too: it states the
            width. The axis of the channels is known of linear layers, attention and convolutions; of others it is 1
            unless the site states it (``axis=-1`` for tokens). Of a layer that returns a tuple, as
            ``nn.MultiheadAttention`` does, FiLM acts on the first part.
        stage_of: the stage of a site, from its name.

    Returns:
        The FiLM-ed network; its sites are in the order of ``after``, those of one pattern in the network's
        order.

    Raises:
        SiteError: nothing has that name or fits that pattern, the width cannot be read off or is another than a site
            states, the layer carries FiLM already, or it is a part of ``nn.MultiheadAttention``, which is never called.

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
        _check_width(site, modules[site.name])
        if _site_hooks(modules[site.name]):
            raise SiteError(f"{site.name!r} carries FiLM already; take it out first with remove_film(network)")
        parent = site.name.rpartition(".")[0]
        if site.name and isinstance(modules[parent], nn.MultiheadAttention):
            raise SiteError(
                f"{site.name!r} is part of an nn.MultiheadAttention, which uses its weights and never calls it; "
                f"expected the attention itself: Site({parent!r}, {site.num_channels})"
            )
    return FiLMedNetwork(network, sites)


def _resolve(modules: dict[str, nn.Module], after: Iterable[str | Site], stage_of: Callable[[str], str]) -> Sites:
    """Sites for names, patterns and ready-made sites; a layer that two of them name counts once."""
    if isinstance(after, str):
        raise SiteError(f"inject_film: after is the string {after!r}, expected a list of names; write [{after!r}]")
    norms = [name for name, module in modules.items() if is_norm(module)]
    found: dict[str, Site] = {}
    for item in after:
        pattern, among = (item.name, modules) if isinstance(item, Site) else (item, norms)
        names = [pattern] if pattern in modules else [name for name in among if name and matches(name, pattern)]
        if not names:
            raise SiteError(_nothing_fits(pattern, modules, norms))
        for name in names:
            if name in found:
                continue
            if not isinstance(item, Site):
                found[name] = Site(name, norm_width(name, modules[name]), stage_of(name))
            else:
                found[name] = item if name == pattern else replace(item, name=name, stage=item.stage or stage_of(name))
    return Sites(found.values())


def _nothing_fits(pattern: str, modules: dict[str, nn.Module], norms: list[str]) -> str:
    others = [name for name in modules if name and matches(name, pattern)]
    if others:
        kind = type(modules[others[0]]).__name__
        return (
            f"{pattern!r} fits no norm, only {listed(others, 3)} (a {kind}); expected a Site, which states the number "
            f"of channels, behind other layers: Site({pattern!r}, num_channels)"
        )
    return (
        f"no layer is named {pattern!r} and no norm fits it{suggestion(pattern, norms)}; the norms are: {listed(norms)}"
    )


def _check_width(site: Site, layer: nn.Module) -> None:
    width = stated_width(layer)
    if width not in (None, site.num_channels):
        raise SiteError(
            f"the site {site.name!r} is given {site.num_channels} channels, expected {width}, the width that its "
            f"{type(layer).__name__} states; write Site({site.name!r}, {width})"
        )


_NO_BACKWARD = -1
"""What torch calls the backward pass in progress where there is none."""


Note = Callable[[str, int, Tensor], None]
"""Is told the name of a site, the axis of the channels there, and the features before FiLM."""


class _Call(threading.local):
    """Modulations of the call in progress, and who notes its features, per thread; a copy starts without any."""

    def __init__(self) -> None:
        self.modulations: Modulations = {}
        self.backward = _NO_BACKWARD
        """The backward pass in which they were given."""
        self.note: Note | None = None
        self.acted: set[str] = set()
        """Sites at which FiLM acted."""

    def __reduce__(self) -> tuple[type[_Call], tuple[()]]:
        return _Call, ()


class _Link:
    """What a FiLM-ed network and the hooks in its plain network share."""

    def __init__(self) -> None:
        self.call = _Call()
        self.whole = True
        """Whether all hooks are still there."""
        self.used = False
        """Whether any call has brought modulations so far."""

    def check_recomputation(self) -> None:
        """Refuse to recompute activations without the modulations that they were first computed with.

        Raises:
            SiteError: a backward pass runs the network again outside the call that brought the modulations.
        """
        backward = torch._C._current_graph_task_id()
        if self.used and backward not in (_NO_BACKWARD, self.call.backward):
            raise SiteError(
                "a layer with FiLM is run again by the backward pass, where the modulations of its call are gone: a "
                "part of the network is checkpointed (torch.utils.checkpoint). The gradients would be wrong; expected "
                "the checkpoint around the whole call: checkpoint(filmed, x, modulations, use_reentrant=False)"
            )


class _SiteHook:
    """Hook that applies FiLM to what one layer returns, or to what the layer inside it takes that runs behind its norm.

    An object and not a closure, so that the hooks in a deep copy or a pickle of a network reach its own link.
    """

    def __init__(self, site: Site, layer: nn.Module, link: _Link) -> None:
        self.site = site
        self.axis = axis_of(site, layer)
        self.kind = type(layer).__name__
        self.guesses_axis = site.axis is None and not states_axis(layer)
        self.link = link
        inside = after_norm(layer)
        if inside is None:
            layer.register_forward_hook(self)
        else:
            inside.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any = None) -> Any:
        features: Any = args[0] if output is None else output
        call = self.link.call
        if not torch.compiler.is_compiling():
            self.link.check_recomputation()
            if call.note is not None:
                call.note(self.site.name, self.axis, features)
        modulation = call.modulations.get(self.site.name)
        if modulation is None:
            return features
        if torch.compiler.is_compiling():
            return film_output(features, *modulation, self.axis)
        call.acted.add(self.site.name)
        self.check_output(module, features)
        try:
            return film_output(features, *modulation, self.axis)
        except ShapeError as error:
            raise ShapeError(f"site {self.site.name!r}, channels on axis {self.axis}: {error}") from None

    def belongs_to(self, name: str, link: _Link) -> bool:
        """Whether it acts at this site of the network that has this link."""
        return self.link is link and self.site.name == name

    def check_output(self, module: nn.Module, output: Any) -> None:
        """Refuse what is no batch of features, and to guess which axis holds the channels.

        With as many tokens, or as long a sequence without a batch, as there are channels, a wrong axis would fit.
        """
        features = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(features, Tensor):
            raise SiteError(
                f"site {self.site.name!r}: a {self.kind} returned a {type(features).__name__}, expected features, or a "
                "tuple of which they are the first part; put FiLM behind a layer inside it that returns a tensor"
            )
        expected, channels = batched_ndim(module), self.site.num_channels
        if expected not in (None, features.ndim):
            raise ShapeError(
                f"site {self.site.name!r}: a {self.kind} returned {tuple(features.shape)}, expected {expected} axes, "
                "the first of which is the batch; add it with x.unsqueeze(0)"
            )
        if self.guesses_axis and features.ndim == 3 and features.shape[1] == features.shape[2] == channels:
            raise SiteError(
                f"site {self.site.name!r}: a {self.kind} returned {tuple(features.shape)}, where axis 1 and axis 2 "
                f"have {channels} each; expected a site that says which holds the channels: "
                f"Site({self.site.name!r}, {channels}, axis=-1) for tokens, axis=1 for sequences (B, C, T)"
            )


def axis_of(site: Site, layer: nn.Module) -> int:
    """Axis of the channels at a site, in what its layer returns."""
    return channel_axis(layer) if site.axis is None else site.axis


def _site_hooks(layer: nn.Module) -> list[tuple[dict[int, Any], int]]:
    """Where the hooks of :func:`inject_film` on a layer stand: a dictionary of hooks, and the key in it."""
    inside = after_norm(layer)
    places: list[Any] = [layer._forward_hooks] if inside is None else [inside._forward_pre_hooks]
    return [(hooks, key) for hooks in places for key, hook in hooks.items() if isinstance(hook, _SiteHook)]


def has_hook_before_film(layer: nn.Module) -> bool:
    """Whether another hook sees, or changes, what a layer returns before FiLM does."""
    return any(next(iter(hooks)) != key for hooks, key in _site_hooks(layer))


def film_output(output: Any, gamma: Tensor, beta: Tensor, axis: int) -> Any:
    """FiLM over what a layer returns: features, or a tuple of them and other results (``nn.MultiheadAttention``)."""
    if not isinstance(output, tuple):
        return film(output, gamma, beta, axis=axis)
    parts: Any = (film(output[0], gamma, beta, axis=axis), *output[1:])
    return output._make(parts) if hasattr(output, "_make") else parts  # a named tuple stays one


def site_values(modulations: Any, name: str, num_channels: int, like: Tensor) -> Modulation:
    """Gamma and beta of one site, ``(B, C)`` or ``(1, C)``; the identity where there are no values for it."""
    modulation = None if modulations is None else modulations.get(name)
    if modulation is not None:
        return Modulation(*modulation)
    ones = torch.ones(1, num_channels, dtype=like.dtype, device=like.device)
    return Modulation(ones, torch.zeros_like(ones))


# What torch.fx records as one step: which sites have values is known only when a traced network runs.
fx.wrap("film_output")
fx.wrap("site_values")


@contextmanager
def _sites_traced(network: nn.Module, sites: Sites, modulations: fx.Proxy) -> Iterator[None]:
    """Within the block torch.fx records FiLM at every site: a tracer runs no hooks of the layers it takes whole."""
    calls: dict[nn.Module, Callable[..., Any]] = {}
    for site in sites:
        layer = network.get_submodule(site.name)
        inside = after_norm(layer)
        film_here = partial(_traced_film, modulations, site, axis_of(site, layer))
        if inside is None:
            calls[layer] = partial(_film_after, type(layer), film_here)
        else:
            reached: list[nn.Module] = []
            calls[inside] = partial(_film_before, type(inside), film_here, reached)
            calls[layer] = partial(_film_inside, type(layer), site.name, reached)
    kinds = {layer: type(layer) for layer in calls}
    try:
        for layer, call in calls.items():
            layer.__class__ = _with_call(kinds[layer], call)
        yield
    finally:
        for layer, kind in kinds.items():
            layer.__class__ = kind


def _with_call(kind: type[nn.Module], call: Callable[..., Any]) -> type[nn.Module]:
    """A class like that of a layer, called in another way."""

    def __call__(self: nn.Module, *args: Any) -> Any:  # noqa: N807 - it becomes that method
        return call(self, *args)

    return type(kind.__name__, (kind,), {"__module__": kind.__module__, "__call__": __call__})


def _traced_film(modulations: fx.Proxy, site: Site, axis: int, features: Any) -> Any:
    values = site_values(modulations, site.name, site.num_channels, features)
    return film_output(features, values[0], values[1], axis)


def _film_after(kind: Any, film_here: Callable[[Any], Any], layer: nn.Module, *args: Any) -> Any:
    return film_here(kind.__call__(layer, *args))


def _film_before(
    kind: Any, film_here: Callable[[Tensor], Tensor], reached: list[nn.Module], layer: nn.Module, features: Tensor
) -> Any:
    reached.append(layer)
    return kind.__call__(layer, film_here(features))


def _film_inside(kind: Any, name: str, reached: list[nn.Module], layer: nn.Module, *args: Any) -> Any:
    before = len(reached)
    output = kind.__call__(layer, *args)
    if len(reached) == before:
        raise SiteError(
            f"FiLM acts inside {name!r}, between its norm and its activation, and this tracer takes the layer as one "
            f"step; expected a tracer that goes into it: leave {kind.__name__} out of its leaf modules"
        )
    return output


class FiLMedNetwork(nn.Module):
    """A network with FiLM at its sites; made by :func:`inject_film`.

    ``network`` is the plain network: load and save its state dict. Modulations act on one call, or on
    everything run inside :meth:`modulated`, in the calling thread; they never outlast it.

    When a part of ``network`` recomputes its activations in the backward pass (``torch.utils.checkpoint``),
    put the checkpoint around the call of the FiLM-ed network instead: outside the call there are no
    modulations, and the backward pass ends with a :class:`SiteError`.

    ``torch.fx.symbolic_trace`` and torchvision's ``create_feature_extractor`` take it, with ``modulations`` as an
    input of the traced network.

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
            _SiteHook(site, network.get_submodule(site.name), self._link)

    def forward(self, x: Tensor, modulations: Modulations | None = None) -> Any:
        """Run the network.

        Args:
            x: its input, batch first.
            modulations: values by site name, one row per example or one row for all, or one value per position.
                Sites without values stay the identity. ``None`` keeps those of a surrounding :meth:`modulated`.

        Returns:
            What the network returns.

        Raises:
            SiteError: a name in ``modulations`` is no site of this network, or FiLM was taken out of it.
            ShapeError: values do not fit their site or the batch.
        """
        if modulations is None:
            return self.network(x)
        traced: Any = modulations
        if isinstance(traced, fx.Proxy):
            with _sites_traced(self.network, self.sites, traced):
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
        outer = call.modulations, call.backward, call.acted
        call.modulations, call.acted = modulations, set()
        if modulations and not torch.compiler.is_compiling():
            self._link.used = True
            call.backward = torch._C._current_graph_task_id()
        try:
            yield self
            if not torch.compiler.is_compiling():
                self._check_hooks([name for name in modulations if name not in call.acted])
        finally:
            call.modulations, call.backward, call.acted = outer

    def _check_hooks(self, names: Iterable[str]) -> None:
        """Refuse values for a layer that was exchanged: FiLM went with the old one, and they acted nowhere.

        Args:
            names: of sites at which nothing happened, as the layers there may not have run.
        """

        def carries(layer: nn.Module) -> bool:
            return any(hooks[key].belongs_to(name, self._link) for hooks, key in _site_hooks(layer))

        for name in names:
            if not carries(self.network.get_submodule(name)) and not any(map(carries, self.network.modules())):
                raise SiteError(
                    f"the layer at site {name!r} was exchanged after inject_film (as convert_sync_batchnorm does), and "
                    "its FiLM went with it; exchange layers first: remove_film(network), exchange, inject_film again"
                )

    def extra_repr(self) -> str:
        """The sites, as ``print(filmed)`` shows them."""
        return repr(self.sites)


@contextmanager
def noting(filmed: FiLMedNetwork, note: Note) -> Iterator[None]:
    """Within the block, what reaches every site is noted before FiLM, of what the calling thread runs alone."""
    call = filmed._link.call
    outer, call.note = call.note, note
    try:
        yield
    finally:
        call.note = outer


def expect_filmed(network: object, caller: str) -> None:
    """Refuse a network that :func:`inject_film` did not make.

    Raises:
        SiteError: it is the plain network, or no network.
    """
    if not isinstance(network, FiLMedNetwork):
        raise SiteError(
            f"{caller} got a {type(network).__name__}, expected the FiLMedNetwork that inject_film returned: "
            "filmed = inject_film(network, after=[...])"
        )


def remove_film(network: nn.Module) -> None:
    """Remove all FiLM that :func:`inject_film` added to a network, in place.

    The network is as before FiLM; parameters that ``film_parameters(..., freeze_others=True)`` froze stay frozen. The
    FiLM-ed network refuses modulations from then on.
    """
    for module in network.modules():
        for hooks, key in _site_hooks(module):
            hooks.pop(key).link.whole = False
