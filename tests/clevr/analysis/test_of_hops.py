"""The analyses of a model that follows questions hop by hop, where gamma and beta have a row for every hop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clevr.analysis import composition, consistency, embedding, histograms, resets
from clevr.analysis.subject import Subject
from clevr.commands.report import filmed_maps
from clevr.data.batches import load_reasoning_data
from clevr.data.reader import ClevrSplit
from clevr.questions.actions import action_sequences
from clevr.questions.parser import parse
from clevr.reasoning.hop_reasoner import HopReasoner
from fewshot_film.errors import ConfigError
from tests.clevr.models import a_world
from tests.clevr.reasoning.test_hop_reasoner import HOPS


class Knowing(HopReasoner):
    """A model that reads by the grammar, as one does that was trained."""

    def read(self, tree):  # type: ignore[no-untyped-def]
        tokens = tree.tokens[tree.paths].split(tree.lengths.tolist())
        texts = [self.vocabulary.decode(some.tolist()) for some in tokens]
        return self.hops(action_sequences(parse(text)[0].program())[0] for text in texts)


def a_subject(root: Path, kind: type[HopReasoner] = Knowing) -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reasoner = kind(HOPS).eval()
    data = load_reasoning_data(root, "val", reasoner.config, reasoner.vocabulary)
    scenes = {scene.image_filename: scene for scene in ClevrSplit.open(root, "val").scenes()}
    return Subject(reasoner, data, scenes, data.table, 100, 0)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return a_subject(a_world(tmp_path_factory.mktemp("world"), scenes=12))


def test_a_row_for_every_hop_and_a_mean_for_every_question(subject: Subject) -> None:
    texts = ["How many red cubes are there?", "What size is the cube left of the ball?"]
    rows, means = subject.flat_values(texts), subject.question_values(texts)
    assert rows.shape == (2 + 3, 2, 2, HOPS.maps)
    assert means.shape == (2, 2, 2, HOPS.maps)
    owners = subject.reasoner.owners(subject.read(texts)).numpy()
    np.testing.assert_allclose(means[1], rows[owners == 1].mean(0), rtol=1e-5)


def test_every_analysis_runs(subject: Subject) -> None:
    assert embedding.analyse(subject).results["questions"] == 100
    assert histograms.analyse(subject).results
    assert resets.analyse(subject).results["resets"]["none"]["overall"]["count"] == 100
    assert consistency.analyse(subject).results["pairs"]
    ways = composition.analyse(subject).results
    assert ways["ways"]["composed"]["overall"]["count"] == 24
    assert "in CoGenT A" in ways["other questions"]


def test_a_sum_of_what_is_linear_is_the_question_itself(subject: Subject) -> None:
    """Gamma and beta are linear in the actions of a hop, so that composition is exact, up to rounding."""
    codes = subject.read([f"How many {c} {s}s are there?" for c, s in composition._PAIRS])
    with torch.no_grad():
        asked = subject.reasoner.modulations(codes)
        composed = composition.compose(asked)
    for name, values in asked.items():
        torch.testing.assert_close(composed[name].gamma, values.gamma, rtol=1e-4, atol=1e-4)


def test_readings_that_differ_are_not_summed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in different hops, so that sums of gamma and beta mean nothing"):
        composition.analyse(a_subject(a_world(tmp_path, scenes=2), HopReasoner))


def test_the_maps_of_the_hop_that_answers_are_drawn(subject: Subject) -> None:
    maps = filmed_maps(subject.reasoner, subject.data, 0)
    assert [block.name for block in maps] == ["blocks.0", "blocks.1"]
    assert maps[0].before.shape == maps[0].after.shape == (HOPS.maps, *HOPS.grid)
