"""A tiny world and a tiny model that was never trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clevr.config import ReasonerConfig, TrainConfig
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.reasoning.loading import save_reasoner
from clevr.reasoning.network import FiLMReasoner
from tests.clevr.worlds import make_world

SMALL = ReasonerConfig(
    width=32,
    height=24,
    trunk_maps=(6,),
    maps=8,
    blocks=2,
    word_dim=6,
    hidden_dim=10,
    classifier_maps=12,
    classifier_dim=9,
)


def a_reasoner(**changes: Any) -> FiLMReasoner:
    """A network whose normalisation fits its maps, so that its answers differ; in evaluation mode."""
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        reasoner = FiLMReasoner(dataclasses.replace(SMALL, **changes))
        config, questions = reasoner.config, [torch.randint(len(reasoner.vocabulary), (9,)).tolist() for _ in range(64)]
        pictures = torch.randint(256, (64, config.input_maps, config.height, config.width), dtype=torch.uint8)
        norms = [module for module in reasoner.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            reasoner.train()(QuestionBatch(pictures, torch.arange(64), build_prefix_tree(questions)))
        for norm in norms:
            norm.momentum = 0.1
    return reasoner.eval()


def a_saved_model(folder: Path, **changes: Any) -> Path:
    reasoner = a_reasoner(**changes)
    return save_reasoner(folder, reasoner, {}, TrainConfig(out=folder, model=reasoner.config))


def a_world(folder: Path, split: str = "val", scenes: int = 6) -> Path:
    """Pictures of 32 x 24 with ten questions each."""
    return make_world(folder, {split: scenes}, questions=10)
