"""Random generators that are a pure function of a seed and of what they are for.

The mapping goes through SHA-256, so it is the same on every machine and for every version of Python; the
numbers drawn from a generator are as stable as PyTorch's and NumPy's own streams.

Seven older streams have other schemes, and keep them, as another one would change their data:

- few-shot episodes, by Philox keyed with a SHA-256 of seed and split (:mod:`fewshot_film.episodes.rng`): all episodes,
  so every stored list of episodes and every result on them;
- random splits of classes, by the SHA-256 of seed and name (:mod:`fewshot_film.data.splits`): which classes
  ``split_seed`` puts into train, val and test;
- CLEVR's scenes, by PCG64 of seed, CRC-32 of the split and number (:mod:`clevr.world.placement`): all generated scenes
  and images;
- CLEVR's questions, by Python's Mersenne Twister seeded from here (:mod:`clevr.questions.referring_expressions`): all
  generated questions;
- the order of images in fine-tuning, and the tasks of FiT, by torch's generator seeded with the setting itself
  (:mod:`fewshot_film.learners.fine_tuning`, :mod:`fewshot_film.learners.fit`): what either learns from a support set;
- the changed copies from which CLEVR's models learn what is familiar, by PCG64 of the seed
  (:mod:`clevr.reasoning.familiarity`): the mean, covariance and threshold that ``clevr-film calibrate`` saves.
"""

from __future__ import annotations

import hashlib
import json
import operator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, *keys: str | int) -> int:
    """A 63-bit seed from a seed and any keys, such as a split and an index.

    Args:
        seed: the user's seed.
        keys: texts and integers; ``"1"`` and ``1`` are different keys.
    Returns:
        An integer in ``[0, 2**63)``.
    Raises:
        TypeError: a key is neither a text nor an integer.
    """
    parts = [key if isinstance(key, str) else operator.index(key) for key in (seed, *keys)]
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *keys: str | int) -> torch.Generator:
    """A CPU :class:`torch.Generator` of its own for ``(seed, *keys)``."""
    import torch  # what needs NumPy alone does not wait for it

    return torch.Generator().manual_seed(derived_seed(seed, *keys))


def numpy_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """A NumPy generator (PCG64) of its own for ``(seed, *keys)``."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, *keys)))
