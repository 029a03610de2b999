"""A FiLM-ed network run piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from fewshot_film.film.errors import ShapeError
from fewshot_film.film.inject import FiLMedNetwork
from fewshot_film.film.sites import Modulations


class StagedRun:
    """One pass of a set of examples through a FiLM-ed network, piece by piece, as the auto-regressive
    generator asks.

    Args:
        filmed: the network.
        segments: its pieces in order: what comes before the first stage with sites, then every such stage.
        x: the examples, ``(N, ...)``.
        run: runs a function of the examples, as ``run(function, x)``; the default calls it. One that bounds the
            memory for gradients, for instance, runs it on parts of the examples.

    Example:
        >>> from torch import nn, zeros
        >>> from fewshot_film.film import inject_film
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.BatchNorm2d(8), nn.ReLU()))
        >>> filmed = inject_film(network, after=["1.0"])
        >>> run = StagedRun(filmed, [network[0], network[1]], zeros(2, 3, 9, 9))
        >>> run(0, {}).shape, run(1, filmed.sites.identity()).shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        filmed: FiLMedNetwork,
        segments: Sequence[Callable[[Tensor], Tensor]],
        x: Tensor,
        run: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor] = lambda function, x: function(x),
    ) -> None:
        self._filmed = filmed
        self._segments = segments
        self._x = x
        self._run = run
        self._next = 0

    def __call__(self, segment: int, modulations: Modulations) -> Tensor:
        """Run the next segment.

        Args:
            segment: its number; segments run in order, each once.
            modulations: values for its sites.

        Returns:
            The mean over positions of what it returns, ``(N, C)``.

        Raises:
            ShapeError: it is not this segment's turn, or there is no such segment.
        """
        if segment != self._next or segment >= len(self._segments):
            raise ShapeError(
                f"segment {segment} of {len(self._segments)} was asked for, expected number {self._next}: "
                "segments run in order, each once; start a new StagedRun for another pass"
            )

        def adapted(x: Tensor) -> Tensor:
            with self._filmed.modulated(modulations):
                return self._segments[segment](x)

        self._x = self._run(adapted, self._x)
        self._next += 1
        return self._x if self._x.ndim == 2 else self._x.flatten(2).mean(dim=2)
