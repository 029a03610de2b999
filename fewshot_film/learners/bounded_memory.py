"""Gradients of an episode in bounded memory: exact ones in chunks, or LITE's estimate.

Exact: where every row of an output depends on its own row of the input alone, chunks of images go through the
network without their activations being kept, and once more, one chunk at a time, when the gradient with respect to
their features is known ("gradient caching", Gao et al., 2021, https://arxiv.org/abs/2101.06983). What is kept of a
image is its features. The recomputation is torch's checkpointing.

LITE: the features of all support images enter the head, the gradient goes through a random subset of them, times
``N / h`` (Bronskill et al., "Memory Efficient Meta-Learning with Large Images", NeurIPS 2021,
https://arxiv.org/abs/2107.01105). The estimate is unbiased for what is a sum over images once the gradient with
respect to the features is known. The set encoder is not such a sum, since its BatchNorm couples the images of the
set: its gradient stays whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

T = TypeVar("T", Tensor, tuple[Tensor, Tensor])

Rows = Callable[[Tensor], Tensor]
"""Any function ``(B, ...) -> (B, ...)`` whose rows do not depend on each other."""

MIB = 2**20


def recomputed(run: Callable[[Tensor], T], x: Tensor) -> T:
    """``run(x)``, whose activations are computed again for the backward pass instead of being kept."""
    if not torch.is_grad_enabled():
        return run(x)
    result: T = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
    return result


def in_chunks(run: Rows, x: Tensor, chunk: int | None) -> Tensor:
    """``run(x)`` with the activations of ``chunk`` rows at a time, in the backward pass too.

    Args:
        run: the function; it draws no random numbers.
        x: ``(B, ...)``.
        chunk: rows at a time; None: all of them, as if ``run`` were called.
    """
    if chunk is None:
        return run(x)
    return torch.cat([recomputed(run, piece) for piece in x.split(chunk)])


def through_subset(run: Rows, x: Tensor, subset: Tensor, chunk: int) -> Tensor:
    """``run(x)``, with a gradient through some of its rows that estimates the gradient through all.

    Args:
        run: the function.
        x: ``(N, ...)``.
        subset: ``(h,)``: the rows that the gradient goes through, each subset of ``h`` equally likely.
        chunk: rows at a time where no gradient is needed.

    Returns:
        The values of ``run(x)``; the gradient of row ``i`` is ``N / h`` times its own for rows of the subset, and
        zero for the others.
    """
    rest = torch.ones(len(x), dtype=torch.bool, device=x.device)
    rest[subset] = False
    through = run(x[subset])
    weight = len(x) / len(subset)
    values = through.new_empty(len(x), *through.shape[1:])
    with torch.no_grad():
        places = rest.nonzero()[:, 0]
        for piece in places.split(chunk):
            values[piece] = run(x[piece])
    return values.index_copy(0, subset, weight * through + (1 - weight) * through.detach())


def draw_subset(count: int, size: int, device: torch.device) -> Tensor:
    """``min(size, count)`` of the rows ``0 .. count - 1``, drawn by torch's global generator."""
    return torch.randperm(count)[:size].to(device)


def activation_bytes(run: Rows, x: Tensor) -> int:
    """Bytes that autograd keeps of ``run(x)`` for the backward pass, without the parameters and ``x`` itself."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor if tensor._base is None else tensor._base, torch.nn.Parameter):
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run(x)
    storages.pop(x.untyped_storage().data_ptr(), None)
    del output
    return sum(storages.values())
