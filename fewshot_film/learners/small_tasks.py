"""Small tasks drawn from one support set, as fine-tuning methods take them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_WAY = 5
MAX_QUERIES = 2000


@dataclass(frozen=True)
class SmallTask:
    """Which pictures of a support set make a task."""

    support: Tensor
    """Indices, ``(N,)``."""
    support_labels: Tensor
    """``(N,)`` in ``[0, way)``."""
    query: Tensor
    """Indices, ``(M,)``."""
    query_labels: Tensor
    """``(M,)``."""


class SmallTasks:
    """Tasks with a random number of the classes, and of each some pictures to learn from and some to be judged by.

    Every class's pictures are dealt once: half of them, rounded up, to learn from, the rest to be judged by. A class
    with one picture has none to be judged by; where all classes have one, it serves for both.

    Args:
        members: class of every picture, ``(N,)`` in ``[0, way)``, none left out.
        size: pictures to learn from in a task, about.
        generator: where the draws come from.

    Source:
        Shysheya et al., "FiT", ICLR 2023, appendix A, https://arxiv.org/abs/2206.08671
    """

    def __init__(self, members: Tensor, size: int, generator: torch.Generator) -> None:
        self.size, self.generator = size, generator
        self._support: list[Tensor] = []
        self._query: list[Tensor] = []
        for index in range(int(members.max()) + 1):
            pictures = self._shuffled((members == index).nonzero()[:, 0])
            half = (len(pictures) + 1) // 2
            self._support.append(pictures[:half])
            self._query.append(pictures[half:])
        if not any(len(pictures) for pictures in self._query):
            self._query = self._support

    def draw(self) -> SmallTask:
        """The next task; it has at least one query."""
        num_classes = len(self._support)
        low, high = min(num_classes, MIN_WAY), min(num_classes, max(self.size, MIN_WAY))
        way = int(torch.randint(low, high + 1, (), generator=self.generator))
        classes = self._shuffled(torch.arange(num_classes))[:way].tolist()
        with_queries = [index for index in range(num_classes) if len(self._query[index])]
        if not any(len(self._query[index]) for index in classes):
            chosen = int(torch.randint(len(with_queries), (), generator=self.generator))
            classes[0] = with_queries[chosen]
        shot, queries = max(round(self.size / way), 1), max(MAX_QUERIES // way, 1)
        support = [self._shuffled(self._support[index])[:shot] for index in classes]
        query = [self._shuffled(self._query[index])[:queries] for index in classes]
        return SmallTask(torch.cat(support), _labels(support), torch.cat(query), _labels(query))

    def _shuffled(self, pictures: Tensor) -> Tensor:
        return pictures[torch.randperm(len(pictures), generator=self.generator)]


def _labels(pictures: list[Tensor]) -> Tensor:
    return torch.arange(len(pictures)).repeat_interleave(torch.tensor([len(part) for part in pictures]))
