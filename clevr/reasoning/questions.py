"""The question encoder: words to a GRU, and its state at the end of the question."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clevr.reasoning.prefixes import PrefixTree
from clevr.reasoning.recurrence import gru_over_tree


class QuestionEncoder(nn.Module):
    """Questions to codes: the state of a GRU at the last token, or the mean of its states over all tokens.

    A small GRU takes long to learn to remember; in the mean every word is there from the start.

    Args:
        num_tokens: size of the vocabulary.
        word_dim: width of the word embeddings.
        hidden_dim: width of the GRU.
        averaged: take the mean, brought to zero mean and unit variance.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 2.2.
    """

    def __init__(self, num_tokens: int, word_dim: int, hidden_dim: int, *, averaged: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(num_tokens, word_dim)
        self.gru = nn.GRU(word_dim, hidden_dim, batch_first=True)
        self.scaling = nn.LayerNorm(hidden_dim) if averaged else None
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
        sums = states.new_zeros(len(tree.ends), states.shape[1])
        sums = sums.index_add(0, question, states.index_select(0, tree.paths))
        codes: Tensor = self.scaling(sums / tree.lengths[:, None])
        return codes

    def _start_loud(self) -> None:
        """Draw weights under which a word moves the states by about one, and rotations between them."""
        of_inputs, of_states, *_ = self.gru.all_weights[0]
        nn.init.normal_(of_inputs, std=self.words.embedding_dim**-0.5)
        for gate in of_states.chunk(3):
            nn.init.orthogonal_(gate)
