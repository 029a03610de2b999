"""FiLM and the ReLU behind it as one step, with less memory and fewer passes over it than two."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from fewshot_film.film.layer import check_film_inputs, film, fits_one_pass, one_pass


def film_relu(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Scale and shift every feature map, then apply ReLU: ``relu(gamma * x + beta)``.

    Equal to ``torch.relu(film(x, gamma, beta))``. For the backward pass it keeps ``x`` and the result instead of
    three tensors, and sums over positions without an intermediate product.

    Args:
        x: features, ``(B, C, *)``; any number of trailing axes, floating point.
        gamma: the full scale (1 is the identity, not 0): ``(B, C)``, ``(1, C)`` or ``(C,)``.
        beta: shift, same shape as ``gamma``.

    Returns:
        Tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        ShapeError: as of :func:`film`.

    Example:
        >>> film_relu(torch.ones(1, 2), torch.tensor([2.0, -2.0]), torch.zeros(2))
        tensor([[2., 0.]])

    Source:
        Perez et al., "FiLM", AAAI 2018, figure 3.
    """
    axis = check_film_inputs(x, gamma, beta)
    if fits_one_pass(x, gamma, beta, axis):
        return torch.relu_(one_pass(x, gamma, beta)).view(x.shape)
    plain = x.ndim == 4 and x.dtype == gamma.dtype == beta.dtype and gamma.ndim == 2 and len(gamma) == len(x)
    if not plain or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return torch.relu(film(x, gamma, beta))
    result: Tensor = cast(Any, _FilmReLU).apply(x, gamma, beta)
    return result


class _FilmReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        gamma_map, beta_map = gamma[:, :, None, None], beta[:, :, None, None]
        # the one is the faster in this layout, the other in that
        result = (gamma_map * x).add_(beta_map) if x.is_contiguous() else torch.addcmul(beta_map, gamma_map, x)
        result.relu_()
        ctx.save_for_backward(x, gamma, result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, gamma, result = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, result, 0)
        of_beta = grad.sum((2, 3))
        of_gamma = (grad * x).sum((2, 3))
        scale = gamma[:, :, None, None]
        of_x = grad * scale if torch.is_grad_enabled() else grad.mul_(scale)  # of gradients that have gradients
        return of_x, of_gamma, of_beta
