"""FiLM's model as one would write it down from the paper, to check and to time :mod:`clevr.reasoning` against.

One picture for every question, a padded GRU, torch's own layers one after the other, contiguous layout. It takes its
weights from a :class:`FiLMReasoner`, so that both compute the same function.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.network import FiLMReasoner


class PlainReasoner(nn.Module):
    """The same function as a reasoner with FiLM behind the normalisation, step by step.

    Args:
        reasoner: whose parameters to copy.
    """

    def __init__(self, reasoner: FiLMReasoner) -> None:
        super().__init__()
        self.config = reasoner.config
        self.sites = reasoner.sites
        parts = copy.deepcopy(reasoner)
        self.words, self.gru = parts.questions.words, parts.questions.gru
        self.generator, self.trunk, self.blocks = parts.generator, parts.trunk, parts.blocks
        self.classifier = parts.classifier

    def forward(self, pictures: Tensor, questions: Sequence[Sequence[int]]) -> Tensor:
        """Logits ``(Q, 28)`` of questions, each with a picture of its own ``(Q, 3, H, W)``."""
        code = self.read(questions)
        assert self.generator is not None
        flat = self.generator.linear(code)  # type: ignore[operator]
        x = self.trunk(pictures).contiguous()
        for index, block in enumerate(self.blocks):
            assert isinstance(block, ReasoningBlock)
            gamma, beta = flat[:, 2 * index * self.config.maps :][:, : 2 * self.config.maps].chunk(2, dim=1)
            first = F.relu(block.entry(self._with_coordinates(x)))
            second = block.norm(block.conv(first))
            x = first + F.relu((1 + gamma)[:, :, None, None] * second + beta[:, :, None, None])
        return self.classify(x)

    def read(self, questions: Sequence[Sequence[int]]) -> Tensor:
        """Codes ``(Q, hidden_dim)``: the state of a GRU over padded questions at the end of each."""
        lengths = torch.tensor([len(question) for question in questions])
        padded = nn.utils.rnn.pad_sequence([torch.tensor(question) for question in questions], batch_first=True)
        states, _ = self.gru(self.words(padded))
        code: Tensor = states[torch.arange(len(lengths)), lengths - 1]
        return code

    def classify(self, x: Tensor) -> Tensor:
        """Logits ``(Q, 28)`` of maps ``(Q, C, H, W)``."""
        classifier = self.classifier
        responses = F.relu(classifier.norm(classifier.conv(self._with_coordinates(x))))
        answer: Tensor = classifier.answer(responses.amax((2, 3)))
        return answer

    def _with_coordinates(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        rows = torch.linspace(-1, 1, height, dtype=x.dtype)[:, None].expand(height, width)
        columns = torch.linspace(-1, 1, width, dtype=x.dtype).expand(height, width)
        return torch.cat([x, torch.stack([columns, rows]).expand(batch, -1, -1, -1)], dim=1)
