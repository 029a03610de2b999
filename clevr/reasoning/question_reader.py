"""The question reader: words to the actions of a program, each from the words around it.

It sees a few words at a time and nothing else, so that a phrase is read alike wherever it stands: what was learned of
*the same color as the ball* holds in a question that puts it where no question has had it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from clevr.questions.actions import FUNCTIONS, STEPS
from clevr.questions.batch import PrefixTree

FRAMES = 2
"""How many actions a word can tell at most."""
REACH = 5
"""How many words to either side tell what a word means."""


class QuestionReader(nn.Module):
    """Reads the clauses of a question one after another, each from its end, and tells the actions that its words name.

    It learns from questions and their programs alone. Which word tells which action is summed over all possibilities
    (connectionist temporal classification); what is asked is told by the word that says it most clearly.

    Args:
        num_tokens: size of the vocabulary.
        num_actions: how many actions there are.
        separator: number of the token between two clauses.
        marks: numbers of tokens that are no words.
        word_dim: width of the word embeddings.
        width: width of the layers.
        hidden_neighbours: share of the words around a word that it does not see in training, so that it learns to need
            few of them.

    Source:
        The loss is that of Graves et al., "Connectionist temporal classification", ICML 2006, section 4.1.
    """

    def __init__(
        self,
        num_tokens: int,
        num_actions: int,
        separator: int,
        marks: Sequence[int],
        word_dim: int,
        width: int,
        hidden_neighbours: float = 0.2,
    ) -> None:
        super().__init__()
        self.separator, self.marks = separator, tuple(marks)
        self.hidden_neighbours = hidden_neighbours
        self.words = nn.Embedding(num_tokens, word_dim)
        self.word = nn.Conv1d(word_dim, width, 1)
        self.neighbours = nn.Conv1d(word_dim, width, 2 * REACH + 1, padding=REACH, bias=False)
        self.told = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, FRAMES * (1 + num_actions) + len(FUNCTIONS), 1),
        )

    def forward(self, tree: PrefixTree, every: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """What the words of questions tell.

        Args:
            tree: the questions.
            every: read every so many of them only.

        Returns:
            Logarithms of the probabilities of no action and of the actions, ``(B, frames, 1 + actions)``; how
            many frames each question has, ``(B,)``; and logits of what is asked, ``(B, functions)``.
        """
        words, lengths = (torch.from_numpy(part) for part in self._in_reading_order(tree, every))
        device = self.words.weight.device
        words, is_word = words.to(device), (torch.arange(words.shape[1]) < lengths[:, None]).to(device)
        seen = (self.words(words) * is_word[..., None]).transpose(1, 2)
        around = seen
        if self.training and self.hidden_neighbours:
            around = seen * (torch.rand_like(seen[:, :1]) >= self.hidden_neighbours)
        told = self.told(self.word(seen) + self.neighbours(around)).float().transpose(1, 2)
        actions, asked = told.split((told.shape[2] - len(FUNCTIONS), len(FUNCTIONS)), 2)
        actions = actions.unflatten(2, (FRAMES, -1)).log_softmax(3)
        # a word that tells an action is no word that asks: "the same color as" finds others, or compares
        asked = asked + actions[..., 0].sum(2, keepdim=True)
        asked = asked.masked_fill(~is_word[..., None], -torch.inf).amax(1)
        return actions.flatten(1, 2), FRAMES * lengths, asked

    def _in_reading_order(self, tree: PrefixTree, every: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        tokens = tree.tokens.cpu().numpy()[tree.paths.cpu().numpy()]
        questions = np.split(tokens, np.cumsum(tree.lengths.cpu().numpy())[:-1])[::every]
        return padded([reading_order(question, self.separator, self.marks) for question in questions])

    def loss(self, tree: PrefixTree, sequences: Tensor, every: int = 1) -> Tensor:
        """Negative logarithm of the probability of the right actions, the mean over questions.

        Args:
            tree: the questions.
            sequences: every right sequence of actions of each, ``(B, S, L)``, zeros behind and in place of others; a
                question without any does not count.
            every: learn from every so many questions only; a reader learns from few.
        """
        told, frames, asked = self(tree, every)
        sequences = sequences[::every]
        question, which = (sequences[:, :, 0] > 0).nonzero(as_tuple=True)
        if not len(question):
            nothing: Tensor = told.sum() * 0
            return nothing
        targets = sequences[question, which].long()
        last = (targets > 0).sum(1) - 1  # it tells what is asked
        costs = F.ctc_loss(
            told.index_select(0, question).transpose(0, 1),
            targets,
            frames.to(question.device)[question],
            last,
            reduction="none",
            zero_infinity=True,
        )
        best = costs.detach().new_full((len(sequences),), torch.inf).scatter_reduce(0, question, costs.detach(), "amin")
        known = best.isfinite()
        sums = costs.new_zeros(len(sequences)).index_add(0, question, torch.exp(best[question] - costs))
        first = which == 0
        functions = targets[first].gather(1, last[first, None])[:, 0] - len(STEPS) - 1
        reading = (best[known] - sums[known].log()).mean()
        return reading + F.cross_entropy(asked[question[first]], functions)

    @torch.no_grad()
    def read(self, tree: PrefixTree) -> list[list[int]]:
        """The most probable actions of questions, what is asked at the end."""
        told, frames, asked = self(tree)
        best, functions = told.argmax(2).tolist(), (asked.argmax(1) + len(STEPS) + 1).tolist()
        return [
            [*_collapsed(row[:count]), function]
            for row, count, function in zip(best, frames.tolist(), functions, strict=True)
        ]


def reading_order(tokens: NDArray[np.int16 | np.int64], separator: int, marks: Sequence[int]) -> NDArray[np.int64]:
    """The words of a question in the order in which they are read: clause by clause, each from its end.

    Args:
        tokens: token numbers of a question.
        separator: the token between clauses.
        marks: tokens that are passed over.
    """
    words = tokens[~np.isin(tokens, marks)].astype(np.int64)
    ends = np.flatnonzero(words == separator)
    return np.concatenate([clause[::-1] for clause in np.split(words, ends)]) if len(ends) else words[::-1]


def padded(questions: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sequences below each other with zeros behind, ``(B, L)``, at least one long; and their lengths, ``(B,)``."""
    lengths = np.array([len(question) for question in questions], np.int64)
    rows = np.zeros((len(questions), max(1, lengths.max(initial=0))), np.int64)
    for row, question in zip(rows, questions, strict=True):
        row[: len(question)] = question
    return rows, lengths


def _collapsed(row: Sequence[int]) -> list[int]:
    """Runs of one action as one, without the frames that tell nothing."""
    return [number for number, before in zip(row, (0, *row), strict=False) if number and number != before]
