from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from clevr.questions.actions import FUNCTIONS, STEPS, action_names, action_sequences, num_actions
from clevr.questions.batch import PrefixTree, build_prefix_tree
from clevr.questions.parser import parse
from clevr.questions.tokens import VOCABULARY, encode
from clevr.reasoning.question_reader import REACH, QuestionReader, padded, reading_order

SEPARATOR = VOCABULARY.index(";")


def a_reader(seed: int = 0, hidden_neighbours: float = 0.0) -> QuestionReader:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return QuestionReader(len(VOCABULARY), num_actions(), SEPARATOR, (0, 1, 2), 16, 32, hidden_neighbours)


def tree_of(*texts: str) -> PrefixTree:
    return build_prefix_tree([encode(text) for text in texts])


def test_clauses_are_read_one_after_another_each_from_its_end() -> None:
    tokens = np.array([1, 5, 6, 7, SEPARATOR, 8, 9, 2])
    assert reading_order(tokens, SEPARATOR, (0, 1, 2)).tolist() == [7, 6, 5, 9, 8, SEPARATOR]
    assert reading_order(tokens[:4], SEPARATOR, (0, 1, 2)).tolist() == [7, 6, 5]


def test_padding() -> None:
    rows, lengths = padded([np.array([4, 5]), np.array([], np.int64), np.array([6])])
    assert rows.tolist() == [[4, 5], [0, 0], [6, 0]]
    assert lengths.tolist() == [2, 0, 1]
    assert padded([np.array([], np.int64)])[0].shape == (1, 1), "a question without words has a frame to look at"


def chance(told: Tensor, sequence: list[int]) -> float:
    """The probability that frames tell a sequence: the sum over all ways to tell it, one by one."""
    total = 0.0
    for path in itertools.product({0, *sequence}, repeat=len(told)):
        runs = [number for number, _ in itertools.groupby(path) if number]
        if runs == sequence:
            total += math.exp(sum(float(told[frame, number]) for frame, number in enumerate(path)))
    return total


def test_the_loss_sums_over_all_ways_to_tell_all_right_sequences() -> None:
    reader = a_reader().double()
    tree = tree_of("red cube", "big ball left")
    one, other = [14 + len(FUNCTIONS), 3], [5, 14 + len(FUNCTIONS)]
    function = len(STEPS) + 2
    sequences = torch.zeros(2, 3, 4, dtype=torch.int8)
    for row, sequence in zip(sequences.view(-1, 4), (one, other, [], [4], [], []), strict=True):
        if sequence:
            row[: len(sequence) + 1] = torch.tensor([*sequence, function])
    with torch.no_grad():
        told, frames, asked = reader(tree)
    assert frames.tolist() == [4, 6]
    wanted = []
    for question, rights in enumerate(([one, other], [[4]])):
        ways = sum(chance(told[question, : frames[question]], right) for right in rights)
        asks = asked[question].softmax(0)[function - len(STEPS) - 1]
        wanted.append(-math.log(ways) - math.log(float(asks)))
    assert reader.loss(tree, sequences).item() == pytest.approx(np.mean(wanted), rel=1e-6)


def test_questions_without_a_program_do_not_count() -> None:
    reader = a_reader()
    sequences = torch.zeros(2, 1, 4, dtype=torch.int8)
    sequences[0, 0, :2] = torch.tensor([1, len(STEPS) + 1])
    both = reader.loss(tree_of("How many cubes are there?", "What is that?"), sequences)
    assert both.item() == pytest.approx(
        reader.loss(tree_of("How many cubes are there?"), sequences[:1]).item(), rel=1e-5
    )
    nothing = reader.loss(tree_of("What is that?"), sequences[1:])
    nothing.backward()
    assert nothing.item() == 0


def test_only_some_questions_are_learned_from() -> None:
    reader, texts = a_reader(), ["How many cubes are there?", "Is there a ball?", "Are any red things visible?"]
    sequences = torch.zeros(3, 1, 4, dtype=torch.int8)
    sequences[:, 0, :2] = torch.tensor([1, len(STEPS) + 1])
    some = reader.loss(tree_of(*texts), sequences, every=2)
    assert some.item() == pytest.approx(reader.loss(tree_of(texts[0], texts[2]), sequences[::2]).item(), rel=1e-5)


def test_a_word_is_read_by_its_neighbours_alone() -> None:
    reader = a_reader().eval()
    near, far = ["red"] * (REACH + 1) + ["cube"], ["red"] * (REACH + 1) + ["ball"]
    told = [reader(tree_of(" ".join(words)))[0][0] for words in (near, far)]
    assert torch.equal(told[0][-2:], told[1][-2:]), "the first word, read last, is too far from the last one"
    assert not torch.allclose(told[0][-4:-2], told[1][-4:-2]), "the second is not"


def test_neighbours_are_hidden_in_training_only() -> None:
    reader, tree = a_reader(hidden_neighbours=0.5), tree_of("How many red cubes are there?")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(reader(tree)[0], reader(tree)[0])
    reader.eval()
    assert torch.equal(reader(tree)[0], reader(tree)[0])


QUESTIONS = (
    "How many cubes are there?",
    "What size is the red cube left of the shiny ball?",
    "How many things are red balls or blue cubes?",
    "Are there fewer red balls than cubes?",
    "How many cubes are left of the ball and behind the cylinder?",
    "There is a big ball; does it have the same color as the tiny thing?",
)


def test_it_learns_to_read() -> None:
    reader = a_reader()
    rights = [action_sequences(parse(text)[0].program()) for text in QUESTIONS]
    sequences = torch.zeros(len(rights), 2, 12, dtype=torch.int8)
    for rows, right in zip(sequences, rights, strict=True):
        for row, sequence in zip(rows, right, strict=False):
            row[: len(sequence)] = torch.tensor(sequence)
    tree, optimizer = tree_of(*QUESTIONS), torch.optim.Adam(reader.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        reader.loss(tree, sequences).backward()
        optimizer.step()
    for text, found, right in zip(QUESTIONS, reader.eval().read(tree), rights, strict=True):
        assert tuple(found) in right, (text, action_names(found))


def test_a_word_that_tells_an_action_does_not_ask() -> None:
    """One word asks the first function loudly, but finds others; the other one asks the second, and does only that."""
    reader = a_reader().eval()
    actions = 1 + num_actions()
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.zero_()
        first, last = reader.told[1], reader.told[3]
        for place, token in enumerate((20, 30)):
            reader.words.weight[token, place] = 1
            reader.word.weight[place, place, 0] = 1
            first.weight[place, place, 0] = 1
        last.weight[[3, actions + 3], 0, 0] = 20
        last.weight[2 * actions, 0, 0] = 5
        last.weight[2 * actions + 1, 1, 0] = 3
    (told,) = reader.read(build_prefix_tree([[20, 30]]))
    assert told == [3, len(STEPS) + 2]
