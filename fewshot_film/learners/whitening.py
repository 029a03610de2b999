"""Features evened out by what a task shows of them, channel by channel."""

from __future__ import annotations

from torch import Tensor

FLOOR = 0.1
"""Least spread that a feature is taken to have, as a share of the mean one: what hardly varies is not blown up."""


def whitening_scales(features: Tensor, power: float) -> Tensor:
    """What every feature is multiplied by: its spread over the support set to the power ``-power``, up to a constant.

    The constant keeps the sum of the features' variances, so that identity in the covariances of Simple CNAPS weighs
    as much as before. Labels are not looked at, as they are not for the task code.

    Args:
        features: of the support set, ``(N, D)``.
        power: 0 changes nothing, 1 gives all features one spread.

    Returns:
        ``(D,)``; ones where a single picture, or pictures that are all alike, show no spread.
    """
    variances = features.var(0) if len(features) > 1 else features.new_zeros(features.shape[1])
    spreads = variances.sqrt()
    if not spreads.any():
        return features.new_ones(features.shape[1])
    scales = spreads.clamp_min(FLOOR * spreads.mean()).pow(-power)
    return scales * (variances.sum() / (scales.square() * variances).sum()).sqrt()
