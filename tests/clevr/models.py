"""A reasoner small enough to check number by number, questions for it, and a tiny world."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clevr.config.model import ReasonerConfig, TrainConfig
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.reasoning.loading import save_reasoner
from clevr.reasoning.network import FiLMReasoner
from tests.clevr.worlds import make_world

SMALL = ReasonerConfig(
    width=32,
    height=24,
    trunk_maps=(6,),
    trunk_blocks=1,
    maps=8,
    blocks=4,
    word_dim=6,
    hidden_dim=16,
    classifier_maps=12,
    classifier_dim=10,
)

HOPS = dataclasses.replace(
    SMALL,
    hop_by_hop=True,
    positions=6,
    block_kernel=1,
    blocks=2,
    context=True,
    relations=True,
    batch_norm=False,
    pooling="max_mean",
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


def a_fresh_reasoner(seed: int = 0, **changes: Any) -> FiLMReasoner:
    """A network as it is before training, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FiLMReasoner(dataclasses.replace(SMALL, **changes)).double()


def some_questions(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Questions of these lengths over few words, so that beginnings repeat."""
    draws = torch.Generator().manual_seed(seed)
    return [torch.randint(1, 4, (length,), generator=draws).tolist() for length in lengths]


def a_batch(per_picture: Sequence[int], seed: int = 0) -> tuple[QuestionBatch, list[list[int]]]:
    """So many questions about each of some random images, and the questions one by one."""
    draws = torch.Generator().manual_seed(seed)
    pictures = torch.randint(0, 256, (len(per_picture), 3, SMALL.height, SMALL.width), generator=draws).byte()
    picture = torch.arange(len(per_picture)).repeat_interleave(torch.tensor(per_picture))
    asked = some_questions([1 + 3 * number % 7 for number in range(len(picture))], seed)
    answers = torch.randint(0, 28, (len(picture),), generator=draws)
    return QuestionBatch(pictures, picture, build_prefix_tree(asked), answers), asked


def one_question(image: Tensor, tokens: Sequence[int]) -> QuestionBatch:
    """One question about an image or its feature maps, ``(C, H, W)``."""
    return QuestionBatch(image[None], torch.zeros(1, dtype=torch.int64), build_prefix_tree([tokens]))


def a_saved_model(folder: Path, **changes: Any) -> Path:
    reasoner = a_reasoner(**changes)
    return save_reasoner(folder, reasoner, {}, TrainConfig(out=folder, model=reasoner.config))


def a_world(folder: Path, split: str = "val", scenes: int = 6) -> Path:
    """Images of 32 x 24 with ten questions each."""
    return make_world(folder, {split: scenes}, questions=10)
