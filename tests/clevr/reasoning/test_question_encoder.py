from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clevr.questions.batch import build_prefix_tree
from clevr.reasoning.question_encoder import QuestionEncoder, gru_over_tree


def encoder() -> QuestionEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return QuestionEncoder(5, 3, 4).double()


def one_by_one(model: QuestionEncoder, questions: list[list[int]]) -> Tensor:
    """torch's GRU, one question after the other."""
    return torch.stack([model.gru(model.words(torch.tensor([question])))[1][0, 0] for question in questions])


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=6))
def test_codes_and_gradients_are_those_of_torchs_gru(questions: list[list[int]]) -> None:
    model = encoder()
    weight = torch.arange(4.0, dtype=torch.float64) + 1
    found = model(build_prefix_tree(questions))
    expected = one_by_one(model, questions)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    parameters = list(model.parameters())
    ours = torch.autograd.grad((found * weight).square().sum(), parameters)
    theirs = torch.autograd.grad((expected * weight).square().sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_gradcheck() -> None:
    draws = torch.Generator().manual_seed(1)
    inputs, weight, bias = (
        torch.randn(shape, generator=draws, dtype=torch.float64).requires_grad_() for shape in ((3, 6), (6, 2), (6,))
    )
    tree = build_prefix_tree([[0, 1, 2], [0, 1], [2], [0, 2, 2, 1]])
    assert torch.autograd.gradcheck(lambda *values: gru_over_tree(*values, tree), (inputs, weight, bias))


def test_autocast_rounds_factors_and_not_what_is_carried_along() -> None:
    """After 60 tokens codes and gradients are off by as little as one rounding; those of double do not change."""
    draws = torch.Generator().manual_seed(2)
    weight = (0.1 * torch.randn(96, 32, generator=draws)).requires_grad_()
    inputs, bias = torch.randn(9, 96, generator=draws), torch.randn(96, generator=draws)
    tree = build_prefix_tree([torch.randint(0, 9, (60,), generator=draws).tolist() for _ in range(8)])

    def found(dtype: torch.dtype, enabled: bool) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            states = gru_over_tree(inputs.to(dtype), weight.to(dtype), bias.to(dtype), tree)
        return states.detach(), torch.autograd.grad(states.square().mean(), weight)[0]

    states, slope = found(torch.float32, True)
    assert states.dtype == torch.float32
    assert not torch.equal(states, states.bfloat16().float())
    exact_states, exact_slope = found(torch.float64, True)
    assert torch.equal(exact_states, found(torch.float64, False)[0])
    assert 1e-4 < (states - exact_states).abs().max() < 1e-2
    assert (slope - exact_slope).norm() < 0.01 * exact_slope.norm()


def test_the_code_is_the_state_at_the_true_end() -> None:
    """A longer neighbour in the batch changes nothing."""
    model = encoder()
    alone = model(build_prefix_tree([[1, 2]]))
    beside = model(build_prefix_tree([[1, 2], [3, 1, 4, 2, 1]]))
    torch.testing.assert_close(beside[:1], alone, rtol=1e-14, atol=1e-14)
    assert isinstance(model.gru, nn.GRU)


def test_the_mean_of_the_states_by_hand() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = QuestionEncoder(5, 3, 4, averaged=True).double()
    questions = [[1, 2, 4], [1, 2], [3]]
    means = [model.gru(model.words(torch.tensor([question])))[0][0].mean(0) for question in questions]
    expected = torch.nn.functional.layer_norm(torch.stack(means), (4,))
    torch.testing.assert_close(model(build_prefix_tree(questions)), expected, rtol=1e-12, atol=1e-12)


def test_weighted_means_of_the_states() -> None:
    """Each part of the code is a softmax mean of that part of torch's states, question by question."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = QuestionEncoder(5, 3, 4, averaged=True, heads=2).double()
    assert model.attention is not None
    assert model.norm is not None
    model.attention.weight.data *= 40  # so that the weights differ, and a plain exponential would be large
    questions = [[1, 2, 3, 1], [1, 2], [4]]
    expected = []
    for question in questions:
        states = model.gru(model.words(torch.tensor([question])))[0][0]
        weights = model.attention(states).softmax(0)
        parts = [(weights[:, [head]] * states[:, 2 * head : 2 * head + 2]).sum(0) for head in range(2)]
        expected.append(model.norm(torch.cat(parts)))
    torch.testing.assert_close(model(build_prefix_tree(questions)), torch.stack(expected), rtol=1e-12, atol=1e-12)
    grads = torch.autograd.grad(model(build_prefix_tree(questions)).square().sum(), list(model.attention.parameters()))
    theirs = torch.autograd.grad(torch.stack(expected).square().sum(), list(model.attention.parameters()))
    for one, other in zip(grads, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
