"""Many images answered about together: images that look alike agree on their class.

The bound updates of LaplacianShot (:mod:`fewshot_film.learners.laplacian_shot`; Ziko et al., ICML 2020), with what the
fitted head says of each image in the place of its distances to the class means: with ``p_q`` the head's probabilities
of image q, and N(q) its nearest others by the cosine of their features' roots, every step takes for all at once

    y_q = softmax(log p_q + WEIGHT sum_{r in N(q)} y_r).

Nothing supposes that the classes have as many images, and no class mean is moved by images that may belong elsewhere:
methods that do gain more where classes are balanced, and can lose much where they are not. The numbers below were
chosen on photos and on CIFAR-FS: balanced or not, many images or few, none loses, and probabilities stay calibrated.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fewshot_film.learners.ridge import transformed

NEIGHBOURS, IMAGES_PER_NEIGHBOUR = 3, 10
"""How many images each agrees with at most, and how many images there must be for each: among few, the nearest is often
of another class."""
WEIGHT = 0.3
"""Of each of them: if three are sure of a class, the odds for it rise by ``e^0.9``."""
SOFTENING = 0.05
"""What the logits are divided by, less 1, for each neighbour: neighbours are often wrong together."""
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
        ``(M, way)``; as they came where there are too few images for a neighbour.
    """
    count = min(NEIGHBOURS, len(features) // IMAGES_PER_NEIGHBOUR)
    if count == 0:
        return log_probabilities
    neighbours, found = nearest_others(transformed(features, POWER), count), log_probabilities
    for _ in range(STEPS):
        found = log_probabilities + WEIGHT * found.softmax(1)[neighbours].sum(1)
    return found / (1 + SOFTENING * count)


def nearest_others(rows: Tensor, count: int) -> Tensor:
    """Numbers of the other rows with the largest products with each, ``(M, count)``.

    Args:
        rows: ``(M, D)``, of length 1.
        count: at least 1 and below M.
    """
    found = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        products = part @ rows.T
        products[torch.arange(len(part)), torch.arange(start, start + len(part))] = -torch.inf
        found.append(products.topk(count, 1).indices)
    return torch.cat(found)
