"""The question encoder: words to a GRU, and its state at the end of the question."""

from __future__ import annotations

from torch import Tensor, nn

from clevr.reasoning.prefixes import PrefixTree
from clevr.reasoning.recurrence import gru_over_tree


class QuestionEncoder(nn.Module):
    """Questions to codes.

    Args:
        num_tokens: size of the vocabulary.
        word_dim: width of the word embeddings.
        hidden_dim: width of the GRU.

    Source:
        Perez et al., "FiLM", AAAI 2018, section 2.2.
    """

    def __init__(self, num_tokens: int, word_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(num_tokens, word_dim)
        self.gru = nn.GRU(word_dim, hidden_dim, batch_first=True)

    def forward(self, tree: PrefixTree) -> Tensor:
        """Codes of questions, ``(B, hidden_dim)``: the GRU's state at the last token of each."""
        of_inputs, of_states, input_bias, state_bias = self.gru.all_weights[0]
        inputs = self.words.weight @ of_inputs.T + input_bias
        states = gru_over_tree(inputs, of_states, state_bias, tree)
        return states.index_select(0, tree.ends)
