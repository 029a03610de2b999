"""The question encoder: words to a GRU, and its state at the end of the question.

The GRU runs over a tree of question beginnings, with its gradient written out. The input's part of the gates is looked
up (there are far fewer words than words in a batch), the hidden part is one product per level, and the gradients of the
weights are one product for the whole tree instead of one for every level.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clevr.questions.batch import PrefixTree


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
        self.norm = nn.LayerNorm(hidden_dim) if averaged else None
        self.attention = nn.Linear(hidden_dim, heads) if heads else None
        if averaged:
            self._reset_gru()

    def forward(self, tree: PrefixTree) -> Tensor:
        """Codes of questions, ``(B, hidden_dim)``."""
        of_inputs, of_states, input_bias, state_bias = self.gru.all_weights[0]
        inputs = self.words.weight @ of_inputs.T + input_bias
        states = gru_over_tree(inputs, of_states, state_bias, tree)
        if self.norm is None:
            return states.index_select(0, tree.ends)
        question = torch.repeat_interleave(tree.lengths)
        along = states.index_select(0, tree.paths)
        if self.attention is None:
            weights = (1 / tree.lengths.to(states.dtype))[question, None]
        else:
            weights = _softmax(self.attention(states).index_select(0, tree.paths), question, len(tree.ends))
        parts = along.unflatten(1, (weights.shape[1], -1)) * weights[..., None]
        means = states.new_zeros(len(tree.ends), states.shape[1]).index_add(0, question, parts.flatten(1))
        codes: Tensor = self.norm(means)
        return codes

    def _reset_gru(self) -> None:
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


def gru_over_tree(inputs: Tensor, weight: Tensor, bias: Tensor, tree: PrefixTree) -> Tensor:
    """State of a GRU after every beginning in a tree.

    Args:
        inputs: the input's part of the gates for every token of the vocabulary, ``(V, 3H)``, in torch's order reset,
            update, new: ``embedding @ weight_ih.T + bias_ih``.
        weight: ``weight_hh``, ``(3H, H)``.
        bias: ``bias_hh``, ``(3H,)``.
        tree: the beginnings.

    Returns:
        States, ``(N, H)``, in the precision of the weights; the one before the first token is zero. Under autocast the
        factors of the products are rounded to its precision, what is carried from token to token is not.

    Source:
        Cho et al., EMNLP 2014, https://arxiv.org/abs/1406.1078, in the form of ``torch.nn.GRU``.
    """
    device = inputs.device.type
    is_rounded = torch.is_autocast_enabled(device) and weight.dtype == torch.float32
    factors = torch.get_autocast_dtype(device) if is_rounded else weight.dtype
    with torch.autocast(device, enabled=False):
        states: Tensor = cast(Any, _TreeGRU).apply(inputs.to(weight.dtype), weight, bias, tree, factors)
    return states


class _TreeGRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, tree: PrefixTree, factors: torch.dtype
    ) -> Tensor:
        num_nodes, hidden = len(tree.tokens), weight.shape[1]
        reset, update, new, inner, states = (inputs.new_empty(num_nodes, hidden) for _ in range(5))
        previous, turned = inputs.new_zeros(num_nodes, hidden), weight.T.to(factors)
        first = 0
        for size in tree.level_sizes:
            level = slice(first, first + size)
            if first:
                torch.index_select(states, 0, tree.parents[level], out=previous[level])
                own = _product(previous[level], turned, bias)
            else:
                own = bias.expand(size, -1)
            given = inputs[tree.tokens[level]]
            gates = torch.sigmoid(given[:, : 2 * hidden] + own[:, : 2 * hidden])
            reset[level], update[level] = gates[:, :hidden], gates[:, hidden:]
            inner[level] = own[:, 2 * hidden :]
            new[level] = torch.tanh(torch.addcmul(given[:, 2 * hidden :], reset[level], inner[level]))
            torch.lerp(new[level], previous[level], update[level], out=states[level])
            first += size
        ctx.save_for_backward(weight, reset, update, new, inner, previous)
        ctx.tree, ctx.num_tokens, ctx.factors = tree, len(inputs), factors
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, reset, update, new, inner, previous = ctx.saved_tensors
        tree: PrefixTree = ctx.tree
        hidden, factor = weight.shape[1], weight.to(ctx.factors)
        grad = grad.clone()
        of_gates = grad.new_empty(len(grad), 3 * hidden)  # with respect to the hidden part of the gates
        of_new = torch.empty_like(grad)  # with respect to what goes into the tanh
        slope_new = (1 - update) * (1 - new.square())
        slope_update = (previous - new) * update * (1 - update)
        slope_reset = inner * reset * (1 - reset)
        end = len(grad)
        for size in reversed(tree.level_sizes):
            level = slice(end - size, end)
            torch.mul(grad[level], slope_new[level], out=of_new[level])
            of_gates[level, :hidden] = of_new[level] * slope_reset[level]
            of_gates[level, hidden : 2 * hidden] = grad[level] * slope_update[level]
            of_gates[level, 2 * hidden :] = of_new[level] * reset[level]
            end -= size
            if end:
                back = _product(of_gates[level], factor, grad[level] * update[level])
                grad.index_add_(0, tree.parents[level], back)
        of_weight = (of_gates.T.to(ctx.factors) @ previous.to(ctx.factors)).to(weight.dtype)
        of_bias = of_gates.sum(0)
        of_inputs = grad.new_zeros(ctx.num_tokens, 3 * hidden)
        of_gates[:, 2 * hidden :] = of_new
        of_inputs.index_add_(0, tree.tokens, of_gates)
        return of_inputs, of_weight, of_bias, None, None


def _product(rows: Tensor, weight: Tensor, summand: Tensor) -> Tensor:
    """``rows @ weight + summand``, of factors in the precision of the weight."""
    if rows.dtype == weight.dtype:
        return torch.addmm(summand, rows, weight)
    return summand + rows.to(weight.dtype) @ weight
