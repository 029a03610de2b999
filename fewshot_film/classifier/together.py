"""Many images answered about together: images that look alike agree on their class.

The bound updates of LaplacianShot (:mod:`fewshot_film.learners.laplacian_shot`; Ziko et al., ICML 2020), with what the
fitted head says of each image in the place of its distances to the class means: with ``p_q`` the head's probabilities
of image q, and N(q) its nearest others by the cosine of their features' roots, every step takes for all at once

    y_q = softmax(log p_q + WEIGHT mean_{r in N(q)} y_r).

Nothing supposes that the classes have as many images, and no class mean is moved by images that may belong elsewhere:
methods that do gain more where classes are balanced, and can lose much where they are not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.learners.ridge import transformed

NEIGHBOURS = 3
"""How many images each agrees with."""
WEIGHT = 0.9
"""Of their mean: an image whose neighbours are all sure of a class has its odds for it raised by ``e^0.9``."""
STEPS = 20
"""Updates, after which answers hardly change."""
POWER = 0.5
"""What the size of every feature is raised to before features are compared."""
CHUNK = 1024
"""Images that are compared with all others at once."""


def agreeing(log_probabilities: Tensor, features: Tensor) -> Tensor:
    """Logarithms of probabilities, up to a constant per image, that take similar images into account.

    Args:
        log_probabilities: of each image on its own, ``(M, way)``; minus infinity for an impossible class.
        features: of the images, ``(M, D)``.

    Returns:
        ``(M, way)``; as they came where there is one image only.
    """
    neighbours = nearest_others(transformed(features, POWER), NEIGHBOURS)
    if neighbours.shape[1] == 0:
        return log_probabilities
    found = log_probabilities
    for _ in range(STEPS):
        found = log_probabilities + WEIGHT * found.softmax(1)[neighbours].mean(1)
    return found


def nearest_others(rows: Tensor, count: int) -> Tensor:
    """Numbers of the other rows with the largest products with each, ``(M, count)``, or all others if they are fewer.

    Args:
        rows: ``(M, D)``, of length 1.
        count: at least 1.
    """
    count = min(count, len(rows) - 1)
    found = [rows.new_zeros(0, max(count, 0), dtype=torch.int64)]
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        products = part @ rows.T
        products[torch.arange(len(part)), torch.arange(start, start + len(part))] = -torch.inf
        found.append(products.topk(count, 1).indices)
    return torch.cat(found)
