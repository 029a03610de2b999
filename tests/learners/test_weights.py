"""What images count: integer weights are repetitions, for every head."""

from __future__ import annotations

import io
import pickle
from copy import deepcopy

import joblib
import numpy as np
import pytest
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.classifier.inputs import LEAST_WEIGHT, MOST_WEIGHT
from fewshot_film.learners import fit_mahalanobis
from fewshot_film.learners.backbone import plain_preprocessing
from fewshot_film.learners.registry import LEARNERS, UnsavableError
from tests.learners.small import SMALL, small_learner
from tests.learners.test_non_finite import METHODS, small, task

HEADS = ["simple-cnaps", "cnaps", "prototypes", "matching", "relation", "ridge", "svm", "lda", "qda"]


def support():
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3])
    centres = rng.integers(0, 256, (4, 16, 16, 1))
    images = (centres[labels] + rng.normal(scale=40, size=(9, 16, 16, 1))).clip(0, 255).astype(np.uint8)
    return images, labels, np.array([1, 3, 2, 2, 1, 0, 1, 1, 3])


@pytest.mark.parametrize("method", HEADS)
def test_integer_weights_are_repetitions(method):
    images, labels, weights = support()
    weighted, repeated = (FewShotClassifier(small(method), device="cpu", temperature=1.0) for _ in range(2))
    weighted.fit(images, labels, sample_weight=weights)
    repeated.fit(images.repeat(weights, 0), labels.repeat(weights))
    np.testing.assert_allclose(weighted.logits(images), repeated.logits(images), rtol=2e-4, atol=1e-3)
    np.testing.assert_allclose(weighted.distances(images), repeated.distances(images), rtol=1e-6, atol=1e-6)
    plain = FewShotClassifier(small(method), device="cpu", temperature=1.0).fit(images, labels)
    assert not np.allclose(plain.distances(images), weighted.distances(images), rtol=1e-2)


def test_weights_against_dense_matrices():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(9, 4)), np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    weights, queries = rng.uniform(0.8, 3, 9), rng.normal(size=(5, 4))
    fitted = fit_mahalanobis(
        torch.tensor(features), torch.tensor(labels), sample_weights=torch.tensor(weights)
    ).distances(torch.tensor(queries))

    def covariance(rows, counted):
        centred = rows - np.average(rows, axis=0, weights=counted)
        return centred.T * counted @ centred / (counted.sum() - 1)

    for label in range(3):
        own, counted = features[labels == label], weights[labels == label]
        share = counted.sum() / (counted.sum() + 1)
        matrix = share * covariance(own, counted) + (1 - share) * covariance(features, weights) + np.eye(4)
        apart = queries - np.average(own, axis=0, weights=counted)
        expected = (apart @ np.linalg.inv(matrix) * apart).sum(1)
        np.testing.assert_allclose(fitted[:, label].numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("method", HEADS)
def test_every_method_computes_with_the_least_weight_and_the_most(method):
    images, labels, _ = support()
    classifier = FewShotClassifier(small(method), device="cpu")
    for weights in ([LEAST_WEIGHT] * 4 + [MOST_WEIGHT] * 5, MOST_WEIGHT):
        classifier.fit(images, labels, sample_weight=weights)
        assert np.isfinite(classifier.predict_proba(images)).all()


def test_weights_that_are_none():
    images, labels, _ = support()
    classifier = FewShotClassifier(small("prototypes"), device="cpu")
    for weights, message in [
        ([1] * 8, r"sample_weight has shape \(8,\); expected \(9,\)"),
        ([1] * 8 + [-1], r"sample_weight 8 is -1; expected 0, or a number from 1e-18 to 1e\+12, for every image"),
        ([np.nan] * 9, "sample_weight 0 is nan"),
        (1e300, r"sample_weight 0 is 1e\+300; expected 0, or a number from 1e-18 to 1e\+12"),
        ([1e-300] + [1] * 8, "sample_weight 0 is 1e-300; expected 0, or a number from 1e-18"),
        ([0] * 9, "sample_weight is zero for every image"),
        (["much"] * 9, "expected one number per image: 0, or a number from 1e-18"),
    ]:
        with pytest.raises(ValueError, match=message):
            classifier.fit(images, labels, sample_weight=weights)
    classifier.fit(images, labels, sample_weight=[1] * 8 + [0])
    assert classifier.classes_.tolist() == [0, 1, 2]
    right = classifier.predict(images) == labels
    assert classifier.score(images, labels, sample_weight=right + 1e-9) == pytest.approx(1, abs=1e-6)


def _through_torch(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def _through_joblib(value):
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


COPIES = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": deepcopy,
    "torch": _through_torch,
    "joblib": _through_joblib,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("method", METHODS)
def test_learners_are_copied_whole(method, way):
    learner = small(method)
    support_images, labels, query = task()
    copy = COPIES[way](learner)
    with torch.no_grad():
        expected, found = (one.adapt(support_images, labels)(query) for one in (learner, copy))
    assert torch.equal(expected, found)


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("method", HEADS)
def test_classifiers_are_copied_whole(method, way):
    images, labels, weights = support()
    classifier = FewShotClassifier(small(method), device="cpu")
    unfitted = COPIES[way](classifier).fit(images, labels, sample_weight=weights)
    classifier.fit(images, labels, sample_weight=weights)
    fitted = COPIES[way](classifier)
    for copy in (unfitted, fitted):
        np.testing.assert_array_equal(copy.predict_proba(images), classifier.predict_proba(images))
    fitted.partial_fit(images[:2], labels[:2])
    assert fitted.n_samples_fit_ == classifier.n_samples_fit_ + 2


@pytest.mark.parametrize("method", HEADS)
def test_weights_are_saved(method, tmp_path):
    images, labels, weights = support()
    classifier = FewShotClassifier(small(method), device="cpu").fit(images, labels, sample_weight=weights)
    classifier.save_pretrained(tmp_path / "mine")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(images), classifier.predict_proba(images))


def test_what_could_not_be_loaded_again_is_refused_before_anything_is_written(tmp_path):
    from fewshot_film.learners.wrapped import WrappedBackbone

    images, labels, _ = support()
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU())
    config = small_learner(adaptation="none").config
    own = LEARNERS[type(config)](config, WrappedBackbone(network, plain_preprocessing(16, channels=1))).eval()
    classifier = FewShotClassifier(own, device="cpu").fit(images, labels)
    with pytest.raises(UnsavableError, match=r"could not be loaded again: .* or pickle.dump .* Nothing was written"):
        classifier.save_pretrained(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []
    for label in [("a", 1), b"a", frozenset("a")]:
        odd = FewShotClassifier(small_learner(), device="cpu").fit(images[:2], [label, "other"])
        with pytest.raises(UnsavableError, match=r"a saved classifier can hold labels that are text"):
            odd.save_pretrained(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_power_changed_afterwards_is_noticed(tmp_path):
    images, labels, _ = support()
    learner = small_learner()
    learner.backbone.set_features(power=0.5)
    classifier = FewShotClassifier(learner, device="cpu").fit(images, labels)
    with pytest.raises(UnsavableError, match=r"its part 'backbone.feature_norms.layer2' is"):
        classifier.save_pretrained(tmp_path / "mine")
    assert SMALL.backbone.tukey_power == 1
