"""What other kinds of images tell of a learner, on kinds whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.adapting import Adapter, features_of
from fewshot_film.classifier.calibration import JEFFREYS
from fewshot_film.classifier.kinds import Judged, measure_features, measure_kinds, plans
from fewshot_film.learners import save_learner
from tests.classifier.small import pictures_and_labels, ridge


def judged(seed: int, scale: float) -> Judged:
    """Queries whose labels are drawn from a softmax of their logits, at a temperature of ``scale``."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(4000, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return Judged(scale * logits, labels, scale * torch.rand(4000, generator=generator))


def test_kinds_count_the_same():
    kinds = {"small": judged(0, 1.0), "large": judged(1, 4.0)}
    measured = measure_kinds({1: kinds, 5: {"small": kinds["small"]}})
    assert measured.temperatures[1] == pytest.approx(2, rel=0.1)  # the geometric mean of 1 and 4
    assert measured.temperatures[5] == pytest.approx(1, rel=0.1)
    assert measured.doubt == JEFFREYS
    # a half of the members uniform up to 1, the other up to 4: the median x has x / 2 + x / 8 = 1/2
    assert measured.member_distances[1][50] == pytest.approx(0.8, abs=0.05)
    assert measured.member_distances[1][95] == pytest.approx(4 * (2 * 0.955 - 1), abs=0.1)


def test_a_kind_with_more_queries_counts_no_more():
    kinds = {"small": judged(0, 1.0), "large": judged(1, 4.0)}
    longer = judged(2, 4.0)
    more = {**kinds, "large": Judged(*(torch.cat([part] * 3) for part in vars(longer).values()))}
    assert measure_kinds({1: more}).temperatures[1] == pytest.approx(measure_kinds({1: kinds}).temperatures[1], rel=0.1)


def test_plans():
    labels = torch.tensor([7] * 5 + [3] * 5 + [9] * 2)
    drawn = list(plans(labels, 5, 2, 3, 20, torch.Generator().manual_seed(0)))
    for plan in drawn:
        assert plan.support_labels.tolist() == [0, 0, 1, 1]  # two classes have five images
        assert sorted(torch.cat([plan.support, plan.query]).tolist()) == list(range(10))
        for given, wanted in ((plan.support, plan.support_labels), (plan.query, plan.query_labels)):
            kind = labels[given]
            assert all(len(kind[wanted == number].unique()) == 1 for number in (0, 1))
    assert len({tuple(plan.support.tolist()) for plan in drawn}) > 10
    with pytest.raises(ValueError, match=r"1 of 3 classes have 2 \+ 3 images; expected at least two"):
        next(plans(labels[4:], 5, 2, 3, 1, torch.Generator()))


def test_no_kind():
    with pytest.raises(ValueError, match="5-shot has no kind of images"):
        measure_kinds({5: {}})


def test_strangers_are_rejected_from_one_image_per_class(tmp_path: Path):
    """What is measured is kept with the model, and found again by a classifier that was saved."""
    images, names = pictures_and_labels(12, 12)
    learner = ridge()
    adapter = Adapter(learner)
    features = features_of(adapter.network({}), torch.from_numpy(images).permute(0, 3, 1, 2), torch.device("cpu"))
    labels = torch.from_numpy(np.unique(names, return_inverse=True)[1])
    home = {"noise": (features[labels < 6], labels[labels < 6])}
    measured = measure_features(adapter.fit_head, home, (1, 5), way=3, query=4, episodes=40)
    save_learner(tmp_path / "model", learner, measured.record(), "")
    away = {number: np.flatnonzero(labels.numpy() == number) for number in range(6, 12)}
    support = [away[number][0] for number in (6, 7, 8)]
    members = np.concatenate([away[number][1:] for number in (6, 7, 8)])
    strangers = np.concatenate([away[number] for number in (9, 10, 11)])
    classifier = FewShotClassifier(tmp_path / "model", device="cpu").fit(images[support], names[support])
    assert classifier.temperature_ == pytest.approx(measured.temperatures[1])
    assert classifier.can_reject
    kept, turned = (classifier.predict(images[rows], reject=0.05) for rows in (members, strangers))
    assert np.mean(kept == None) < 0.3  # noqa: E711 - element by element
    assert np.mean(turned == None) > np.mean(kept == None) + 0.2  # noqa: E711
    classifier.save_pretrained(tmp_path / "mine")
    again = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")
    assert again.predict(images[strangers], reject=0.05).tolist() == turned.tolist()
    alone = classifier.fit(images[:1], names[:1])
    assert not alone.can_reject
    with pytest.raises(ValueError, match="reject needs support images"):
        alone.predict(images, reject=0.05)


def test_a_kind_with_too_few_images_is_left_out():
    learner = Adapter(ridge())
    kinds = {
        "many": (torch.rand(40, 8), torch.arange(40) % 4),
        "few": (torch.rand(8, 8), torch.arange(8) % 4),
    }
    both = measure_features(learner.fit_head, kinds, (1, 5), query=1, episodes=3)
    assert set(both.temperatures) == {1, 5}
    only = measure_features(learner.fit_head, {"many": kinds["many"]}, (1, 5), query=1, episodes=3)
    assert both.member_distances[5] == only.member_distances[5]
    assert both.member_distances[1] != only.member_distances[1]
    with pytest.raises(ValueError, match="50-shot has no kind of images"):
        measure_features(learner.fit_head, kinds, (50,))
