"""Simple CNAPS as the papers write it down, without any of the shortcuts: what `benchmarks.task_speed` compares with.

The same mathematics and the same weights: FiLM as layers of its own, all pictures of a set at once in the plain memory
layout, one covariance and one inverse of D x D a class, and the support set worked through again for every batch of
queries. Requeima et al. 2019 (set encoder, generator, FiLM-ed residual blocks), Bateni et al. 2020 (eq. 2-4).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from fewshot_film.film import Modulation, Modulations
from fewshot_film.learners import SimpleCNAPS


def task_code(learner: SimpleCNAPS, images: Tensor) -> Tensor:
    """Five blocks of convolution, BatchNorm by the set's statistics, ReLU and pooling; the mean, ``(1, 64)``."""
    assert learner.set_encoder is not None
    x = _normalised(learner, images)
    for block in learner.set_encoder.blocks:
        conv, norm = cast(nn.Conv2d, block.conv), cast(nn.BatchNorm2d, block.norm)
        x = F.conv2d(x, conv.weight, conv.bias, padding=1)
        x = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
        x = F.max_pool2d(F.relu(x), 2)
    return x.mean((2, 3)).mean(0, keepdim=True)


def features(learner: SimpleCNAPS, images: Tensor, modulations: Modulations) -> Tensor:
    """Adapted features ``(B, D)``: every block with FiLM after both of its BatchNorms."""
    backbone = learner.backbone
    x = _normalised(learner, images)
    for module in backbone.stem_modules()[1:]:
        x = module(x)
    for stage in backbone.stage_names:
        for index, block in enumerate(cast(nn.Sequential, backbone.get_submodule(stage))):
            x = _block(cast(BasicBlock, block), x, *(modulations[f"{stage}.{index}.bn{part}"] for part in (1, 2)))
    return x.mean((2, 3))


def _block(block: BasicBlock, x: Tensor, first: Modulation, second: Modulation) -> Tensor:
    shortcut = x if block.downsample is None else block.downsample(x)
    x = F.relu(_film(block.bn1(block.conv1(x)), first))
    return F.relu(_film(block.bn2(block.conv2(x)), second) + shortcut)


def _film(x: Tensor, modulation: Modulation) -> Tensor:
    gamma, beta = modulation
    return gamma[:, :, None, None] * x + beta[:, :, None, None]


def _normalised(learner: SimpleCNAPS, images: Tensor) -> Tensor:
    normalize = learner.backbone.normalize
    return (images.contiguous() - normalize.mean) / normalize.std


def fit(support: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Mean and inverse covariance of every class, ``(D,)`` and ``(D, D)``."""
    task = torch.cov(support.T)
    identity = torch.eye(support.shape[1])
    found = []
    for label in labels.unique():
        own = support[labels == label]
        weight = len(own) / (len(own) + 1)
        covariance = torch.cov(own.T) if len(own) > 1 else torch.zeros_like(task)
        found.append((own.mean(0), torch.inverse(weight * covariance + (1 - weight) * task + identity)))
    return found


def predict(classes: list[tuple[Tensor, Tensor]], queries: Tensor) -> Tensor:
    """Logits ``(Q, way)``."""
    columns = []
    for mean, inverse in classes:
        offset = queries - mean
        columns.append(-((offset @ inverse) * offset).sum(1))
    return torch.stack(columns, 1)


def logits(learner: SimpleCNAPS, support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The whole task, as for every batch of queries: ``(Q, way)``."""
    assert learner.generator is not None
    modulations = cast(Modulations, learner.generator(task_code(learner, support)))
    classes = fit(features(learner, support, modulations), labels)
    return predict(classes, features(learner, queries, modulations))
