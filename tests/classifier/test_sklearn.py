"""scikit-learn's own checks of an estimator, and its tools at work on images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import SkipTestWarning
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.learners.backbone import plain_preprocessing
from fewshot_film.learners.simple_cnaps import SimpleCNAPS
from fewshot_film.learners.wrapped import WrappedBackbone
from tests.classifier.small import film_learner, pictures_and_labels

SIDE = 16
"""Side of the images that rows of numbers become."""


class Pixels(nn.Module):
    """Features that are the pixels themselves, so that what is checked is the classifier and not a network."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def pixel_learner() -> SimpleCNAPS:
    config = SimpleCNAPSConfig(backbone=BackboneConfig(channels=1, image_size=SIDE), adaptation="none")
    return SimpleCNAPS(config, WrappedBackbone(Pixels(), plain_preprocessing(SIDE, channels=1))).eval()


class RowsAsImages(FewShotClassifier, BaseEstimator):
    """The classifier for scikit-learn's checks, which pass tables: every row becomes a small image.

    All it adds is what belongs to tables alone: their validation, with the number and names of their columns.
    """

    PARAMETERS = ("resize", "temperature", "device")

    def __init__(self, *, resize="stretch", temperature=1.0, device="cpu"):
        super().__init__(PIXELS, resize=resize, temperature=temperature, device=device)

    def fit(self, X, y, sample_weight=None):
        if y is None:
            return super().fit(X, y)
        images, labels = self._images(X, y, reset=True)
        return super().fit(images, labels, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        images, labels = self._images(X, y, reset=not self.__sklearn_is_fitted__())
        return super().partial_fit(images, labels, classes, sample_weight)

    def answer(self, X, *, reject=None, together=False):
        check_is_fitted(self)
        return super().answer(self._images(X), reject=reject, together=together)

    def logits(self, X):
        check_is_fitted(self)
        return super().logits(self._images(X))

    def predict_log_proba(self, X):
        check_is_fitted(self)
        return super().predict_log_proba(self._images(X))

    def score(self, X, y, sample_weight=None):
        return super().score(np.asarray(X), y, sample_weight)

    def _images(self, X, y=None, reset=False):
        if y is None:
            rows = validate_data(self, X, reset=reset)
        else:
            rows, y = validate_data(self, X, y, reset=reset)
        levels = 255 / (1 + np.exp(-rows.astype(np.float64).clip(-500, 500)))
        repeats = -(-SIDE // rows.shape[1])
        lines = np.repeat(levels, repeats, axis=1)[:, :SIDE] if rows.shape[1] <= SIDE else levels[:, :SIDE]
        images = np.repeat(lines[:, None], SIDE, axis=1).round().astype(np.uint8)[..., None]
        return images if y is None else (images, y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = type(tags.input_tags)()  # tables, and nothing else
        return tags


PIXELS = pixel_learner()

NOT_FOR_IMAGES = {
    "check_classifiers_regression_target": "labels may be any hashable values, floating-point numbers among them",
}
"""Checks that do not apply, with the reason."""


@parametrize_with_checks([RowsAsImages()], expected_failed_checks=lambda _: NOT_FOR_IMAGES)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_tables_are_refused_so_that_the_checks_need_images():
    """Of images the tags say so: scikit-learn then has no checks of its own but these few."""
    classifier = FewShotClassifier(film_learner(), device="cpu")
    assert not classifier.__sklearn_tags__().input_tags.two_d_array
    with pytest.warns((UserWarning, SkipTestWarning)):
        found = check_estimator(classifier)
    assert [one["status"] for one in found if one["status"] == "failed"] == []


def binary():
    images, labels = pictures_and_labels(2, 12)
    return images, labels


def test_two_classes_have_one_score_each_image():
    images, labels = binary()
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[::2], labels[::2])
    scores, logits = classifier.decision_function(images), classifier.logits(images)
    assert scores.shape == (24,)
    assert logits.shape == (24, 2)
    np.testing.assert_array_equal(scores, logits[:, 1] - logits[:, 0])
    np.testing.assert_array_equal(classifier.classes_[(scores > 0).astype(int)], classifier.predict(images))
    np.testing.assert_allclose(
        classifier.predict_proba(images)[:, 1], 1 / (1 + np.exp(-scores / classifier.temperature_)), atol=1e-12
    )


@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "neg_log_loss", "accuracy"])
def test_scorers(scoring):
    images, labels = binary()
    scores = cross_val_score(
        FewShotClassifier(film_learner(), device="cpu"), images, labels == "class 1", cv=3, scoring=scoring
    )
    assert np.isfinite(scores).all()
    if scoring != "neg_log_loss":
        assert scores.mean() > 0.7


def test_scores_rank_the_second_class_higher():
    images, labels = binary()
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[::2], labels[::2])
    scores, truth = classifier.decision_function(images[1::2]), labels[1::2] == "class 1"
    assert roc_auc_score(truth, scores) > 0.8
    assert average_precision_score(truth, scores) > 0.8


@pytest.mark.parametrize(
    "around",
    [
        lambda one: CalibratedClassifierCV(one, cv=2),
        lambda one: CalibratedClassifierCV(one, cv=2, method="isotonic", ensemble=False),
        OneVsRestClassifier,
        lambda one: make_pipeline(FunctionTransformer(), one),
        lambda one: GridSearchCV(one, {"resize": ["stretch", "pad"], "temperature": [None, 1.0]}, cv=2),
    ],
)
@pytest.mark.parametrize("num_classes", [2, 3])
def test_meta_estimators(around, num_classes):
    pixels, labels = pictures_and_labels(num_classes, 8)
    images = list(pixels) if num_classes == 2 else np.arange(len(pixels))
    classifier = FewShotClassifier(film_learner(), device="cpu")
    if isinstance(images, np.ndarray):  # some tools index what they are given
        images = pixels
    outer = around(classifier)
    if isinstance(outer, OneVsRestClassifier):
        images = pixels
    assert outer.fit(images, labels).score(images, labels) > 0.7


def test_log_probabilities():
    images, labels = pictures_and_labels(3, 6)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images, labels)
    np.testing.assert_allclose(
        classifier.predict_log_proba(images), np.log(classifier.predict_proba(images)), atol=1e-9
    )


def test_announced_classes_are_columns_before_they_have_images():
    images, labels = pictures_and_labels(3, 6)
    classifier = FewShotClassifier(film_learner(), device="cpu")
    classifier.partial_fit(images[:12], labels[:12], classes=["class 2", "class 1", "class 0"])
    assert classifier.classes_.tolist() == ["class 0", "class 1", "class 2"]
    assert classifier.class_count_.tolist() == [6, 6, 0]
    probabilities = classifier.predict_proba(images)
    assert (probabilities[:, 2] == 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (classifier.distances(images)[:, 2] == np.inf).all()
    assert set(classifier.predict(images)) == {"class 0", "class 1"}
    classifier.partial_fit(images[12:], labels[12:], classes=["class 0", "class 1", "class 2"])
    whole = FewShotClassifier(film_learner(), device="cpu").fit(images, labels)
    np.testing.assert_allclose(classifier.predict_proba(images), whole.predict_proba(images), atol=1e-6)
    with pytest.raises(ValueError, match="label 'other' is none of the classes that the first partial_fit announced"):
        classifier.partial_fit(images[:1], ["other"])
    with pytest.raises(ValueError, match=r"classes are \['a'\], but the first partial_fit announced"):
        classifier.partial_fit(images[:1], labels[:1], classes=["a"])
    assert classifier.n_samples_fit_ == 18


def test_what_fit_checks_of_the_parameters():
    images, labels = binary()
    wrong = {
        "resize": ("Crop", r"resize is 'Crop' \(did you mean 'crop'\?\); expected one of stretch, crop, pad"),
        "device": ("gpu:0", "device is 'gpu:0'.*; expected one of auto, cpu, cuda, mps"),
        "temperature": ("warm", "temperature is 'warm'; expected a finite number above 0, or None"),
        "model": (["x"] * 1000, "a model is given by its name or a path, got"),
    }
    for name, (value, message) in wrong.items():
        classifier = FewShotClassifier(film_learner(), device="cpu")
        classifier.set_params(**{name: value})
        assert clone(classifier).get_params()[name] is value
        with pytest.raises((ValueError, LookupError), match=message) as caught:
            classifier.fit(images, labels)
        assert len(str(caught.value)) < 500
    for value in (0, -1.0, np.inf, np.nan, True):
        with pytest.raises(ValueError, match="temperature is"):
            FewShotClassifier(film_learner(), device="cpu", temperature=value).fit(images, labels)


def test_parameters_hold_from_the_next_fit_on():
    images, labels = pictures_and_labels(2, 6)
    wide = np.concatenate([images, images[:, :, ::-1]], axis=2)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(wide, labels)
    before = classifier.predict_proba(wide)
    classifier.set_params(resize="pad")
    np.testing.assert_array_equal(classifier.predict_proba(wide), before)
    assert not np.array_equal(classifier.fit(wide, labels).predict_proba(wide), before)
