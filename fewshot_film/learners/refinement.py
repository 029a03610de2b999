"""Soft k-means over support and query features, in the metrics of Simple CNAPS's class covariances.

Bateni et al., "Enhancing Few-Shot Image Classification With Unlabelled Examples", WACV 2022, section 3.2,
https://arxiv.org/abs/2006.12245

With ``w_ik`` the share of picture i in class k (certain for support pictures, the softmax of the logits for queries),
``N_k`` their sum, ``mu_k`` the weighted mean, and M pictures in all, a step takes

    Q_k = lambda_k sum_i w_ik (x_i - mu_k) (x_i - mu_k)^T / N_k + (1 - lambda_k) S + I,    lambda_k = N_k / (N_k + 1),

and the logits are minus the squared distances again. How it is computed: ``Q_k = I + X^T C_k X`` for the pictures about
their mean, with ``C_k`` a diagonal matrix less one of rank 1, whose inverse is written down at once. So where M < D the
distances take a Cholesky factor of the M x M matrix ``C_k^-1 + X X^T`` for each class, and nothing of size D x D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.learners.mahalanobis import at_least_float32


def refine(support: Tensor, members: Tensor, queries: Tensor, logits: Tensor, min_steps: int, max_steps: int) -> Tensor:
    """Refine the query pictures' logits, until no label changes.

    Args:
        support: features, ``(N, D)``.
        members: class of every support picture, ``(N,)`` in ``[0, way)``, every class at least once.
        queries: features, ``(Q, D)``.
        logits: what is known before, ``(Q, way)``.
        min_steps: steps to take at least.
        max_steps: steps to take at most.

    Returns:
        Logits ``(Q, way)``.
    """
    if len(queries) == 0:
        return logits
    with torch.autocast(support.device.type, enabled=False):
        pictures = at_least_float32(torch.cat([support, queries]))
        pictures = pictures - pictures.mean(0)
        known = torch.nn.functional.one_hot(members, logits.shape[1]).to(pictures.dtype)
        logits = logits.to(pictures.dtype)
        for step in range(max_steps):
            before = logits
            shares = torch.cat([known, before.softmax(1)])
            logits = -_distances(pictures, shares, len(queries))
            if step + 1 >= min_steps and torch.equal(logits.argmax(1), before.argmax(1)):
                break
    return logits


def _distances(pictures: Tensor, shares: Tensor, num_queries: int) -> Tensor:
    """Squared distances of the last ``num_queries`` pictures, ``(Q, way)``, from shares ``(M, way)``."""
    count = shares.sum(0)
    own = 1 / (count + 1)  # lambda / N
    shared = own / (len(pictures) - 1)  # (1 - lambda) / (M - 1)
    way = _in_the_span if len(pictures) < pictures.shape[1] else _in_feature_space
    distances = way(pictures, shares.T, count, own, shared, num_queries)
    return distances.T.clamp_min(0)


def _in_the_span(
    pictures: Tensor, shares: Tensor, count: Tensor, own: Tensor, shared: Tensor, num_queries: int
) -> Tensor:
    gram = pictures @ pictures.T
    to_mean = shares @ gram / count[:, None]  # <mu_k, x_i>, (K, M)
    mean_square = (to_mean * shares).sum(1) / count
    # C_k = diag(d) - own / N w w^T with d = shared + own w; its inverse by Sherman and Morrison
    diagonal = shared[:, None] + own[:, None] * shares
    scaled = shares / diagonal
    gain = own / (scaled * shared[:, None]).sum(1)
    system = gain[:, None, None] * scaled[:, :, None] * scaled[:, None, :] + gram
    system = system + torch.diag_embed(1 / diagonal)
    offset = gram[:, -num_queries:] - to_mean[:, :, None]  # <x_i, q - mu_k>, (K, M, Q)
    solved: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(system), offset, upper=False)
    plain = gram.diagonal()[-num_queries:] - 2 * to_mean[:, -num_queries:] + mean_square[:, None]
    return plain - solved.square().sum(1)


def _in_feature_space(
    pictures: Tensor, shares: Tensor, count: Tensor, own: Tensor, shared: Tensor, num_queries: int
) -> Tensor:
    scatter = pictures.T @ pictures
    identity = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device)
    distances = []
    for weights, number, own_weight, shared_weight in zip(shares, count, own, shared, strict=True):
        mean = weights @ pictures / number
        within = (pictures.T * weights) @ pictures - number * mean[:, None] * mean
        factor = torch.linalg.cholesky(identity + shared_weight * scatter + own_weight * within)
        offset = (pictures[-num_queries:] - mean).T
        distances.append(torch.linalg.solve_triangular(factor, offset, upper=False).square().sum(0))
    return torch.stack(distances)
