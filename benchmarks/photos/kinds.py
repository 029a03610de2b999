"""What the other domains tell of a head: temperature and distances, the domain that is measured left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.photos.domains import Domain
from benchmarks.photos.features import FrozenBackbone, cached_features
from benchmarks.photos.heads import LearnerHead
from benchmarks.photos.measure import FEW
from fewshot_film.classifier.calibration import Measured
from fewshot_film.classifier.kinds import Judged, judge_features, measure_kinds, plans

EPISODES = 60
"""Episodes of every domain and shot that are looked at."""


def judged_domains(
    head: LearnerHead,
    backbone: FrozenBackbone,
    domains: Sequence[Domain],
    shots: Sequence[int],
    query: int,
    cache: Path,
) -> dict[int, dict[str, Judged]]:
    """What a head says of the queries of some episodes of every domain, by shot; too small classes are left out.

    Args:
        head: the head.
        backbone: what gives the features.
        domains: the domains.
        shots: support images per class.
        query: query images per class.
        cache: folder that keeps features.
    """
    found: dict[int, dict[str, Judged]] = {shot: {} for shot in shots}
    for domain in domains:
        features = torch.from_numpy(cached_features(backbone, domain, cache))
        labels = torch.from_numpy(domain.images.labels)
        for shot in shots:
            if np.sum(domain.images.class_sizes >= shot + query) >= 2:
                drawn = plans(labels, FEW, shot, query, EPISODES, torch.Generator().manual_seed(0))
                found[shot][domain.name] = judge_features(head.adapter.fit_head, features, drawn)
    return found


def known_without(domain: Domain, judged: Mapping[int, Mapping[str, Judged]]) -> Measured:
    """What all domains but one tell; nothing where there is no other."""
    others = {shot: {name: one for name, one in kinds.items() if name != domain.name} for shot, kinds in judged.items()}
    return (
        measure_kinds({shot: kinds for shot, kinds in others.items() if kinds}) if any(others.values()) else Measured()
    )
