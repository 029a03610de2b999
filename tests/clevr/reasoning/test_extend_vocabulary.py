from __future__ import annotations

import pytest
import torch

from clevr.questions.tokens import VOCABULARY
from clevr.reasoning.network import extend_vocabulary
from tests.clevr.models import a_reasoner, one_question


def test_old_questions_are_answered_as_before() -> None:
    reasoner = a_reasoner()
    extended = extend_vocabulary(reasoner, ["zebra", "red", "donkey"])
    assert extended.vocabulary.tokens == (*VOCABULARY, "donkey", "zebra")
    assert not extended.training
    batch = one_question(
        torch.full((3, 24, 32), 90, dtype=torch.uint8), reasoner.vocabulary.encode("How many red cubes")
    )
    with torch.no_grad():
        assert torch.equal(extended(batch), reasoner(batch))
    assert len(reasoner.vocabulary) == len(VOCABULARY)


def test_new_words_are_small_and_a_function_of_the_seed() -> None:
    reasoner = a_reasoner(word_dim=50)
    words = [f"word{number}" for number in range(100)]
    first, second, other = (extend_vocabulary(reasoner, words, seed).questions.words.weight[93:] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.std().item() == pytest.approx(0.01, rel=0.05)


def test_a_question_with_new_words_is_another_question() -> None:
    extended = extend_vocabulary(a_reasoner(), ["zebra", "donkey"])
    assert extended.vocabulary.unknown_words("How many zebra") == []
    codes = [extended.vocabulary.encode(f"How many {word}") for word in ("zebra", "donkey", "mule")]
    assert len({tuple(code) for code in codes}) == 3
