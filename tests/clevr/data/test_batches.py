from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from clevr.config.model import AugmentationConfig, ClevrDataConfig
from clevr.data.batches import (
    CURRICULUM,
    Changes,
    FreshQuestionBatches,
    ReasoningData,
    StoredQuestionBatches,
    in_order,
    load_reasoning_data,
    unknown_token,
)
from clevr.data.errors import DataError
from clevr.data.supervision import describe_scenes, visible_centers
from clevr.questions.batch import QuestionBatch
from clevr.questions.families import CLOSURE_FAMILIES, FAMILIES, GROUPS
from clevr.questions.parser import parse
from clevr.questions.programs import execute
from clevr.questions.tokens import ANSWER_WORDS, CLEVR_VOCABULARY, END, START
from clevr.reasoning.objectives import answers_of
from tests.clevr.data.builders import a_question, write_clevr, write_json
from tests.clevr.models import SMALL
from tests.clevr.worlds import make_world


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReasoningData:
    root = make_world(tmp_path_factory.mktemp("world"), {"train": 6})
    return load_reasoning_data(root, "train", SMALL, CLEVR_VOCABULARY, with_scenes=True)


def token_lists(batch: QuestionBatch) -> list[list[int]]:
    """The token numbers of the questions of a batch, read back from its tree."""
    found = []
    for end in batch.tree.ends.tolist():
        tokens = []
        while end >= 0:
            tokens.append(int(batch.tree.tokens[end]))
            end = int(batch.tree.parents[end])
        found.append(tokens[::-1])
    return found


def texts(batch: QuestionBatch) -> list[str]:
    """The questions of a batch."""
    return [CLEVR_VOCABULARY.decode(tokens) for tokens in token_lists(batch)]


def equal(one: QuestionBatch, other: QuestionBatch) -> bool:
    return texts(one) == texts(other) and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in ("images", "image", "answers", "scenes")
    )


class TestData:
    def test_every_question_keeps_its_picture_and_answer(self, data: ReasoningData) -> None:
        batch = data.batch(np.arange(len(data)))
        answers = answers_of(batch)
        for number, text in enumerate(texts(batch)):
            assert text == CLEVR_VOCABULARY.decode(CLEVR_VOCABULARY.encode(data.table.texts[number]))
            row = batch.image[number]
            assert np.array_equal(batch.images[row].numpy(), data.images[data.table.image[number]])
            assert ANSWER_WORDS[answers[number]] == ANSWER_WORDS[data.table.answer[number] - 4]
        assert len(batch.images) == 6, "each image is there once"

    def test_referents_are_what_the_answers_count(self, data: ReasoningData) -> None:
        batch = data.batch(np.arange(len(data)))
        assert batch.traces is not None
        counted = 0
        for text, answer, sets in zip(texts(batch), answers_of(batch).tolist(), batch.traces, strict=True):
            if ANSWER_WORDS[answer].isdigit() and " than " not in text and " same number " not in text:
                counted += 1
                assert int((sets[-1, 0] == 1).sum()) == int(ANSWER_WORDS[answer]), text
                assert bool((sets[-1, 1] == -1).all())
        assert counted

    def test_visible_centers_are_found_once_and_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = make_world(tmp_path, {"train": 4}, width=64, height=48)
        read = partial(load_reasoning_data, root, "train", SMALL, CLEVR_VOCABULARY, with_scenes=True)
        plain, found = read().supervision, read(visible_centers=True).supervision
        assert plain is not None
        assert found is not None
        centers = visible_centers(found.scenes, (64, 48))
        expected = describe_scenes(found.scenes, (64, 48), SMALL.height / SMALL.width, centers)
        assert np.array_equal(found.described, expected)
        assert not np.array_equal(found.described, plain.described)
        monkeypatch.setattr("clevr.data.supervision.visible_centers", None)
        again = read(visible_centers=True).supervision
        assert again is not None
        assert np.array_equal(again.described, expected)

    def test_without_answers_nothing_is_learned(self, tmp_path: Path) -> None:
        root = write_clevr(tmp_path)
        questions = [a_question(index, answer=None, program=None) for index in range(2)]
        write_json(root / "questions/CLEVR_val_questions.json", {"info": {}, "questions": questions})
        found = load_reasoning_data(root, "val", SMALL, CLEVR_VOCABULARY)
        with pytest.raises(
            ValueError, match="some questions have no answer, so they cannot be used for training or evaluation"
        ):
            answers_of(found.batch(np.arange(2)))

    def test_a_split_without_questions(self, tmp_path: Path) -> None:
        root = write_clevr(tmp_path)
        write_json(root / "questions/CLEVR_val_questions.json", {"info": {}, "questions": []})
        with pytest.raises(DataError, match="split val: has no questions"):
            load_reasoning_data(root, "val", SMALL, CLEVR_VOCABULARY)

    def test_a_picture_without_a_scene(self, tmp_path: Path) -> None:
        root = write_clevr(tmp_path)
        write_json(root / "scenes/CLEVR_val_scenes.json", {"info": {}, "scenes": []})
        with pytest.raises(DataError, match=r"has no scene of CLEVR_val_000000\.png; get or make the scenes"):
            load_reasoning_data(root, "val", SMALL, CLEVR_VOCABULARY, with_scenes=True)

    def test_programs_that_do_not_run_on_their_scenes(self, tmp_path: Path) -> None:
        program = [
            {"function": "scene", "inputs": [], "value_inputs": []},
            {"function": "filter_color", "inputs": [0], "value_inputs": ["green"]},
            {"function": "unique", "inputs": [1], "value_inputs": []},
            {"function": "query_shape", "inputs": [2], "value_inputs": []},
        ]
        root = write_clevr(tmp_path)
        questions = [a_question(0), a_question(1, program=program, answer="cube")]
        write_json(root / "questions/CLEVR_val_questions.json", {"info": {}, "questions": questions})
        with pytest.raises(DataError, match=r"record 1 of 'questions': node 2 \(unique\): expected exactly one object"):
            load_reasoning_data(root, "val", SMALL, CLEVR_VOCABULARY, with_scenes=True)


class TestTrainingBatches:
    def test_a_pass_shows_every_picture_once(self, data: ReasoningData) -> None:
        batches = StoredQuestionBatches(data, ClevrDataConfig(images=2, questions=3), seed=0)
        for epoch in range(2):
            shown = torch.cat([batches[3 * epoch + place].images for place in range(3)])
            assert len({picture.numpy().tobytes() for picture in shown}) == 6

    def test_a_batch_is_a_function_of_its_number(self, data: ReasoningData) -> None:
        changes = Changes(AugmentationConfig(0.1, 0.5, 3.0), 0.2, 3)
        first, second = (StoredQuestionBatches(data, ClevrDataConfig(images=2), 5, changes) for _ in range(2))
        later = second[7]
        assert equal(first[4], second[4])
        assert equal(first[7], later)
        assert not equal(first[4], later)

    def test_no_more_questions_than_asked_for(self, data: ReasoningData) -> None:
        batch = StoredQuestionBatches(data, ClevrDataConfig(images=3, questions=2), 0)[0]
        assert torch.bincount(batch.image).tolist() == [2, 2, 2]

    def test_a_fraction_of_the_questions(self, data: ReasoningData) -> None:
        batches = StoredQuestionBatches(data, ClevrDataConfig(images=6, fraction=0.5), 0)
        used = {text for index in range(6) for text in texts(batches[index])}
        assert len(used) <= len(data) // 2

    def test_hidden_words(self, data: ReasoningData) -> None:
        unknown = unknown_token(CLEVR_VOCABULARY)
        plain = StoredQuestionBatches(data, ClevrDataConfig(images=6), 0)[0]
        hidden = StoredQuestionBatches(
            data, ClevrDataConfig(images=6), 0, Changes(unknown_words=0.999999, unknown=unknown)
        )[0]
        assert unknown not in plain.tree.tokens
        start, end = (CLEVR_VOCABULARY.number(token) for token in (START, END))
        questions = token_lists(hidden)
        assert {(question[0], question[-1]) for question in questions} == {(start, end)}
        assert {number for question in questions for number in question[1:-1]} == {unknown}
        assert [len(question) for question in questions] == [len(question) for question in token_lists(plain)]

    def test_augmentation_changes_the_pictures_alone(self, data: ReasoningData) -> None:
        plain = StoredQuestionBatches(data, ClevrDataConfig(images=6), 0)[0]
        changed = StoredQuestionBatches(data, ClevrDataConfig(images=6), 0, Changes(AugmentationConfig(0.1, 0.5, 2.0)))[
            0
        ]
        assert texts(changed) == texts(plain)
        difference = (changed.images.int() - plain.images.int()).abs()
        assert 0 < difference.float().mean() < 15


def test_evaluation_goes_through_all_questions_once(data: ReasoningData) -> None:
    numbers = np.concatenate([numbers for numbers, _ in in_order(data, 5)])
    assert sorted(numbers.tolist()) == list(range(len(data)))
    limited = np.concatenate([numbers for numbers, _ in in_order(data, 5, limit=6)])
    assert 6 <= len(limited) < len(data)


def test_a_vocabulary_of_ones_own(tmp_path: Path) -> None:
    root = write_clevr(tmp_path)
    vocabulary = CLEVR_VOCABULARY.extended(["shiniest"])
    questions = [a_question(index, question="What is the shiniest thing?", answer="cube") for index in range(2)]
    write_json(root / "questions/CLEVR_val_questions.json", {"info": {}, "questions": questions})
    found = load_reasoning_data(root, "val", SMALL, vocabulary)
    assert vocabulary.number("shiniest") == 93
    assert 93 in found.question(0)


class TestFreshQuestions:
    def test_they_are_new_in_every_pass_and_right(self, data: ReasoningData) -> None:
        assert data.supervision is not None
        config = ClevrDataConfig(images=6, questions=5)
        batches = FreshQuestionBatches(data, CLEVR_VOCABULARY, config, 0)
        first, second = batches[0], batches[1]
        assert torch.bincount(first.image).tolist() == [5] * 6
        assert set(texts(first)) != set(texts(second))
        assert equal(first, FreshQuestionBatches(data, CLEVR_VOCABULARY, config, 0)[0])
        scenes = [np.flatnonzero((data.images == picture.numpy()).all((1, 2, 3)))[0] for picture in first.images]
        for text, picture, answer in zip(texts(first), first.image.tolist(), answers_of(first).tolist(), strict=True):
            scene = data.supervision.scenes[scenes[picture]]
            answers = {execute(meaning.program(), scene) for meaning in parse(text)}
            assert ANSWER_WORDS[answer] in answers

    def test_more_questions_than_a_scene_has_families(self, data: ReasoningData) -> None:
        config = ClevrDataConfig(images=2, questions=9, curriculum=10)
        batch = FreshQuestionBatches(data, CLEVR_VOCABULARY, config, 0)[0]
        assert torch.bincount(batch.image).tolist() == [9, 9]
        assert batch.traces is not None
        assert batch.traces.shape == (18, 4, 2, 10)
        assert batch.program_encodings is not None
        assert batch.program_encodings.shape == (18, 41)

    def test_each_kind_of_model_gets_its_own_marks(self, data: ReasoningData) -> None:
        config = ClevrDataConfig(images=2, questions=3)
        batch = FreshQuestionBatches(data, CLEVR_VOCABULARY, config, 0)[0]
        followed = FreshQuestionBatches(data, CLEVR_VOCABULARY, config, 0, with_hops=True)[0]
        assert (batch.traces is None, batch.sequences is None) == (False, True)
        assert (followed.traces is None, followed.sequences is None) == (True, False)

    def test_a_scene_that_offers_none(self, data: ReasoningData) -> None:
        assert data.supervision is not None
        nothing = dict.fromkeys(data.supervision.scenes[0].relationships, ())
        empty = [dataclasses.replace(one, objects=(), relationships=nothing) for one in data.supervision.scenes]
        emptied = dataclasses.replace(data, supervision=dataclasses.replace(data.supervision, scenes=empty))
        with pytest.raises(ValueError, match=r"with 0 objects offers no question; leave it out, or data\.fresh"):
            FreshQuestionBatches(emptied, CLEVR_VOCABULARY, ClevrDataConfig(images=1), 0)[0]

    def test_they_need_scenes(self, data: ReasoningData) -> None:
        without = dataclasses.replace(data, supervision=None)
        with pytest.raises(ValueError, match="fresh questions are asked about scenes"):
            FreshQuestionBatches(without, CLEVR_VOCABULARY, ClevrDataConfig(), 0)


class TestCurriculum:
    def test_groups_of_families_join_one_after_the_other(self, data: ReasoningData) -> None:
        batches = FreshQuestionBatches(data, CLEVR_VOCABULARY, ClevrDataConfig(curriculum=90), 0)
        groups = [{FAMILIES[number].group for number in batches.families(index)} for index in (0, 9, 10, 45, 89, 90)]
        expected = [1, 1, 2, 5, 9, 9]
        assert [sorted(some) for some in groups] == [sorted(CURRICULUM[:count]) for count in expected]
        assert sorted(CURRICULUM) == sorted(GROUPS)

    def test_questions_of_the_files(self, data: ReasoningData) -> None:
        batches = StoredQuestionBatches(data, ClevrDataConfig(images=6, curriculum=100), 0)
        family = {CLEVR_VOCABULARY.decode(CLEVR_VOCABULARY.encode(text)): int(number)
                  for text, number in zip(data.table.texts, data.table.family, strict=True)}  # fmt: skip
        early, late = batches[40], batches[100]
        may_be_asked = batches.families(40)
        asked = {picture: [] for picture in range(6)}
        for text, picture in zip(texts(early), early.image.tolist(), strict=True):
            asked[picture].append(family[text] in may_be_asked)
        assert all(all(some) or some == [False] for some in asked.values()), "none that may be asked: one other"
        assert len(texts(late)) == len(data)

    def test_questions_of_no_group_wait_for_its_end(self, data: ReasoningData) -> None:
        closure = np.full_like(data.table.family, CLOSURE_FAMILIES[0].index)
        of_closure = dataclasses.replace(data, table=dataclasses.replace(data.table, family=closure))
        batches = StoredQuestionBatches(of_closure, ClevrDataConfig(images=6, curriculum=100), 0)
        assert len(texts(batches[99])) == 6
        assert len(texts(batches[100])) == len(data)
