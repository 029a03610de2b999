"""The question encoder: words to a GRU, and its state at the end of the question."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clevr.reasoning.prefixes import PrefixTree
from clevr.reasoning.recurrence import gru_over_tree


class QuestionEncoder(nn.Module):
    """Questions to codes: the state of a GRU at the last token, or a mean of its states over all tokens.

    A small GRU takes long to learn to remember; in a mean every word is there from the start. With ``heads`` each part
    of the code is a mean of its own, with weights that the states themselves give: it looks for the words that matter
    to it.

    Args:
        num_tokens: size of the vocabulary.
        word_dim: width of the word embeddings.
        hidden_dim: width of the GRU.
        averaged: take the mean, brought to zero mean and unit variance.
        heads: parts of the code with weights of their own; 0: the plain mean.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 2.2.
    """

    def __init__(
        self, num_tokens: int, word_dim: int, hidden_dim: int, *, averaged: bool = False, heads: int = 0
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(num_tokens, word_dim)
        self.gru = nn.GRU(word_dim, hidden_dim, batch_first=True)
        self.scaling = nn.LayerNorm(hidden_dim) if averaged else None
        self.looking = nn.Linear(hidden_dim, heads) if heads else None
        if averaged:
            self._start_loud()

    def forward(self, tree: PrefixTree) -> Tensor:
        """Codes of questions, ``(B, hidden_dim)``."""
        of_inputs, of_states, input_bias, state_bias = self.gru.all_weights[0]
        inputs = self.words.weight @ of_inputs.T + input_bias
        states = gru_over_tree(inputs, of_states, state_bias, tree)
        if self.scaling is None:
            return states.index_select(0, tree.ends)
        question = torch.repeat_interleave(tree.lengths)
        along = states.index_select(0, tree.paths)
        if self.looking is None:
            weights = (1 / tree.lengths.to(states.dtype))[question, None]
        else:
            weights = _softmax(self.looking(states).index_select(0, tree.paths), question, len(tree.ends))
        parts = along.unflatten(1, (weights.shape[1], -1)) * weights[..., None]
        means = states.new_zeros(len(tree.ends), states.shape[1]).index_add(0, question, parts.flatten(1))
        codes: Tensor = self.scaling(means)
        return codes

    def _start_loud(self) -> None:
        """Draw weights under which a word moves the states by about one, and rotations between them."""
        of_inputs, of_states, *_ = self.gru.all_weights[0]
        nn.init.normal_(of_inputs, std=self.words.embedding_dim**-0.5)
        for gate in of_states.chunk(3):
            nn.init.orthogonal_(gate)


def _softmax(scores: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Softmax of scores ``(T, heads)`` over the rows of each group, ``(T,)``."""
    with torch.no_grad():
        highest = scores.new_full((num_groups, scores.shape[1]), -torch.inf)
        highest.scatter_reduce_(0, group[:, None].expand_as(scores), scores, "amax")
    raised = torch.exp(scores - highest.index_select(0, group))
    sums = raised.new_zeros(num_groups, scores.shape[1]).index_add(0, group, raised)
    return raised / sums.index_select(0, group)
