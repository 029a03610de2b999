"""The classifier as people and scikit-learn use it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.utils.validation import check_is_fitted

import fewshot_film
from fewshot_film.classifier import FewShotClassifier, NotFittedError
from fewshot_film.classifier.adapting import Adapter
from fewshot_film.config.learners import PrototypesConfig
from fewshot_film.errors import InvalidValueError
from fewshot_film.learners import Learner, build_learner, fit_mahalanobis
from tests.classifier.small import film_learner, fitted, pictures_and_labels, prototypes, ridge
from tests.learners.small import SMALL, small_learner

LEARNERS = {
    "film": film_learner,
    "frozen": lambda: small_learner(adaptation="none").eval(),
    "prototypes": prototypes,
    "ridge": ridge,
}


def as_floats(images):
    """``(N, H, W, C)`` uint8 as a learner takes them."""
    return torch.from_numpy(images).movedim(-1, 1).float() / 255


def test_the_package_offers_it_by_name():
    assert fewshot_film.FewShotClassifier is FewShotClassifier
    with pytest.raises(AttributeError, match="has no attribute 'FewShot'"):
        fewshot_film.FewShot  # noqa: B018 - asked for to be refused


@pytest.mark.parametrize("kind", LEARNERS)
def test_answers_are_those_of_the_learner(kind):
    """Folding, chunks and double precision change nothing but the last digits."""
    learner = LEARNERS[kind]()
    classifier, images, _ = fitted(learner)
    support, labels = (part[::2] for part in pictures_and_labels())
    columns = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    with torch.no_grad():
        logits = learner.adapt(as_floats(support), columns)(as_floats(images)).double()
    expected = (logits / classifier.temperature_).softmax(1).numpy()
    np.testing.assert_allclose(classifier.predict_proba(images), expected, atol=2e-3)
    assert (classifier.predict(images) == classifier.classes_[logits.argmax(1).numpy()]).all()


def test_film_acts():
    """The helper's generator does change the features, so that the test above says something of FiLM."""
    images, _ = pictures_and_labels()
    gammas = [gamma for gamma, _ in film_learner().modulations(as_floats(images)).values()]
    assert max(float((gamma.detach() - 1).abs().max()) for gamma in gammas) > 0.05


def test_no_normalisation_is_left_in_the_adapted_network():
    kinds = {type(module).__name__ for module in Adapter(film_learner()).network({}).modules()}
    assert "Conv2d" in kinds
    assert "BatchNorm2d" not in kinds


def test_what_is_known_after_fitting():
    images, labels = pictures_and_labels(3, 4)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[:7], labels[:7])
    assert classifier.classes_.tolist() == ["class 0", "class 1"]
    assert classifier.class_count_.tolist() == [4, 3]
    assert classifier.n_samples_fit_ == 7
    assert classifier.temperature_ > 0
    assert repr(classifier) == "FewShotClassifier('SimpleCNAPS', 2 classes)"
    probabilities = classifier.predict_proba(images)
    assert probabilities.shape == (12, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    assert (classifier.classes_[probabilities.argmax(1)] == classifier.predict(images)).all()


def test_it_learns():
    classifier, images, labels = fitted()
    assert classifier.score(images, labels) > 0.6


def test_distances_are_mahalanobis_distances_of_the_features():
    learner = prototypes()
    classifier, queries, _ = fitted(learner)
    support, labels = (part[::2] for part in pictures_and_labels())
    columns = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    with torch.no_grad():
        features, found = (learner.backbone(as_floats(images)).double() for images in (support, queries))
    expected = fit_mahalanobis(features, columns).distances(found)
    np.testing.assert_allclose(classifier.distances(queries), expected.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", LEARNERS)
def test_learning_in_parts_is_learning_at_once(kind):
    learner = LEARNERS[kind]()
    images, labels = pictures_and_labels()
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    parts = FewShotClassifier(learner, device="cpu")
    for start, stop in ((0, 3), (3, 4), (4, 30)):
        assert parts.partial_fit(images[start:stop], labels[start:stop]) is parts
    whole = FewShotClassifier(learner, device="cpu").fit(images, labels)
    assert parts.classes_.tolist() == whole.classes_.tolist()
    np.testing.assert_allclose(parts.predict_proba(images), whole.predict_proba(images), atol=1e-5)
    np.testing.assert_allclose(parts.distances(images), whole.distances(images), rtol=1e-5, atol=1e-6)


def test_the_order_of_the_support_does_not_matter():
    images, labels = pictures_and_labels()
    order = np.random.default_rng(0).permutation(len(images))
    one, other = (FewShotClassifier(film_learner(), device="cpu", temperature=1.0) for _ in range(2))
    one.fit(images, labels)
    other.fit(images[order], labels[order])
    np.testing.assert_allclose(one.predict_proba(images), other.predict_proba(images), atol=1e-5)


def test_strangers_are_rejected_and_members_kept():
    images, labels = pictures_and_labels(4, 20)
    known = labels != "class 3"
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[known][::2], labels[known][::2])
    plain, careful = classifier.predict(images[known][1::2]), classifier.predict(images[known][1::2], reject=0.1)
    kept = careful != None  # noqa: E711 - element by element
    assert 0.6 <= kept.mean() < 1
    assert (careful[kept] == plain[kept]).all()
    assert [answer for answer in classifier.predict(images[~known], reject=0.1) if answer is None]
    fewer = classifier.predict(images[known][1::2], reject=0.01)
    assert (fewer != None).sum() >= kept.sum()  # noqa: E711


def test_a_support_picture_is_nearest_to_itself():
    images, labels = pictures_and_labels()
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images, labels)
    distances, positions = classifier.nearest_support(images, k=3)
    assert distances.shape == positions.shape == (30, 3)
    assert positions[:, 0].tolist() == list(range(30))
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-6)
    assert (np.diff(distances, axis=1) >= 0).all()
    for k, shown in ((31, "31"), ("2", "'2'"), (1.5, "1.5")):
        message = rf"k is {shown}; expected a whole number from 1 to 30, the number of support images"
        with pytest.raises(ValueError, match=message):
            classifier.nearest_support(images, k=k)


def test_scikit_learns_manners():
    images, labels = pictures_and_labels()
    classifier = FewShotClassifier(film_learner(), device="cpu")
    assert is_classifier(classifier)
    with pytest.raises(SklearnNotFittedError):
        check_is_fitted(classifier)
    scores = cross_val_score(classifier, images, labels, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.5
    assert cross_val_predict(classifier, images, labels, cv=3, method="predict_proba").shape == (30, 5)
    with pytest.raises(NotFittedError, match=r"has no classes yet; call fit\(images, labels\) first"):
        classifier.predict(images)
    check_is_fitted(classifier.fit(images, labels))
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    assert not copy.__sklearn_is_fitted__()
    search = GridSearchCV(classifier, {"resize": ["stretch", "pad"]}, cv=2).fit(images, labels)
    assert search.best_params_["resize"] in ("stretch", "pad")


def test_settings_by_name():
    classifier = FewShotClassifier("somewhere")
    expected = {"model": "somewhere", "resize": None, "temperature": None, "precision": "float32", "device": "auto"}
    assert classifier.get_params() == expected
    assert classifier.set_params(resize="pad").resize == "pad"
    with pytest.raises(
        ValueError, match=r"there is no parameter 'size' .*; the parameters are model, resize, temperature"
    ):
        classifier.set_params(size=3)


def test_a_change_of_model_is_noticed():
    images, labels = pictures_and_labels()
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images, labels)
    before = classifier.distances(images)
    classifier.set_params(model=LEARNERS["frozen"]()).fit(images, labels)
    assert not np.allclose(before, classifier.distances(images))


def test_a_fitted_classifier_travels_to_another_process():
    classifier, images, _ = fitted()
    copy = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(copy.predict_proba(images), classifier.predict_proba(images))


def test_the_temperature_of_ones_own():
    images, labels = pictures_and_labels()
    classifier = FewShotClassifier(film_learner(), device="cpu", temperature=2.0).fit(images, labels)
    assert classifier.temperature_ == 2
    expected = torch.from_numpy(-classifier.distances(images) / 2).softmax(1).numpy()
    np.testing.assert_allclose(classifier.predict_proba(images), expected, atol=1e-9)
    with pytest.raises(ValueError, match="temperature is -1; expected a finite number above 0, or None"):
        classifier.set_params(temperature=-1).fit(images, labels)


def test_one_class_is_always_the_answer_unless_rejected():
    images, labels = pictures_and_labels(2, 10)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[:8], labels[:8])
    assert classifier.predict(images).tolist() == ["class 0"] * 20
    assert classifier.predict_proba(images).tolist() == [[1.0]] * 20
    answers = classifier.predict(images, reject=0.2).tolist()
    assert answers[:8].count("class 0") >= 6
    assert answers[10:].count(None) > answers[:10].count(None)


def test_one_picture():
    images, labels = pictures_and_labels(1, 2)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[0], labels[:1])
    assert classifier.predict(images).tolist() == ["class 0"] * 2
    assert classifier.distances(images)[0] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=r"reject needs support images .* at least one class with two images"):
        classifier.predict(images, reject=0.05)


def test_five_thousand_classes():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(5000, 16, 16), dtype=np.uint8)
    learner = film_learner()
    classifier = FewShotClassifier(learner, device="cpu").fit(images, range(5000))
    asked = [0, 17, 4999]
    assert classifier.predict(images[asked]).tolist() == asked
    assert classifier.predict_proba(images[asked]).shape == (3, 5000)


def test_a_class_present_only_among_the_queries_counts_as_wrong():
    images, labels = pictures_and_labels(2, 6)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[:6], labels[:6])
    assert classifier.score(images, labels) == 0.5


@pytest.mark.parametrize("labels", [[3, "three"] * 5, [("a", 1), ("a", 2)] * 5, [True, False] * 5, [1.5, -2.5] * 5])
def test_labels_come_back_as_they_were(labels):
    images, _ = pictures_and_labels(2, 5)
    images = images.reshape(2, 5, 16, 16, 1).swapaxes(0, 1).reshape(10, 16, 16, 1)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images, labels)
    answers = classifier.predict(images).tolist()
    assert classifier.score(images, labels) == sum(a == b for a, b in zip(answers, labels, strict=True)) / 10
    assert classifier.score(images, labels) > 0.8
    assert set(answers) == set(labels)


def test_pictures_of_mixed_kinds_and_modes():
    images, labels = pictures_and_labels(2, 6)
    kinds = [
        Image.fromarray(images[0, ..., 0]),
        Image.fromarray(images[1, ..., 0]).convert("RGBA"),
        Image.fromarray(images[2, ..., 0].astype(np.uint16) * 257),
        images[3] / 255,
        torch.from_numpy(images[4]).movedim(-1, 0),
        Image.fromarray(images[5, ..., 0]).convert("CMYK"),
        *images[6:],
    ]
    mixed = FewShotClassifier(film_learner(), device="cpu").fit(kinds, labels)
    plain = FewShotClassifier(film_learner(), device="cpu").fit(images, labels)
    np.testing.assert_allclose(mixed.distances(images), plain.distances(images), rtol=0.1, atol=1e-3)


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (3, ["a", "b"], "3 images and 2 labels; expected one label per image"),
        (0, [], "there are no images"),
        (2, ["a", None], "label 1 is None"),
    ],
)
def test_what_cannot_be_learned(count, labels, message):
    with pytest.raises(ValueError, match=message):
        FewShotClassifier(film_learner(), device="cpu").fit(np.zeros((count, 16, 16), np.uint8), labels)


def test_a_failed_fit_leaves_the_classifier_as_it_was():
    classifier, images, _ = fitted()
    before = classifier.predict_proba(images)
    with pytest.raises(ValueError, match="label 0 is None"):
        classifier.partial_fit(images[:1], [None])
    assert np.array_equal(classifier.predict_proba(images), before)


def test_scores_need_as_many_labels():
    classifier, images, _ = fitted()
    with pytest.raises(ValueError, match="15 images and 1 label;"):
        classifier.score(images, ["class 0"])


def test_more_pictures_than_the_task_code_takes(monkeypatch):
    monkeypatch.setattr("fewshot_film.classifier.adapting.MAX_CODE_IMAGES", 10)
    seen = []
    learner = film_learner()
    encode = learner.modulations
    monkeypatch.setattr(learner, "modulations", lambda images: seen.append(images.flatten(1)) or encode(images))
    images, labels = pictures_and_labels()
    FewShotClassifier(learner, device="cpu").fit(images, labels)
    pixels = torch.from_numpy(images).flatten(1).float() / 255
    found = [int((pixels == row).all(1).nonzero()[0, 0]) // 6 for row in seen[0]]
    assert found == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_learner_of_another_kind_is_refused():
    class Elsewhere(Learner):
        def adapt(self, support_images, support_labels):
            raise NotImplementedError

    other = Elsewhere(PrototypesConfig(backbone=SMALL.backbone), build_learner(SMALL).backbone)
    with pytest.raises(
        Exception, match=r"a classifier needs a learner that classifies every image on its own .* use its"
    ):
        FewShotClassifier.from_pretrained(other)


def test_renamed_classes_give_the_same_answers_and_nothing_is_fitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    images, labels = pictures_and_labels()
    names = {name: f"{9 - number} other" for number, name in enumerate(dict.fromkeys(labels.tolist()))}  # other order
    expected = FewShotClassifier(film_learner(), device="cpu").fit(images[::2], [names[name] for name in labels[::2]])
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images[::2], labels[::2])
    before = classifier.answer(images[1::2], reject=0.1)
    with monkeypatch.context() as patched:
        patched.setattr("fewshot_film.classifier.adapting.Adapter.modulations", None)
        patched.setattr("fewshot_film.classifier.adapting.Adapter.fit_head", None)
        renamed = classifier.rename_classes(names)
        found = renamed.answer(images[1::2], reject=0.1)
    assert renamed.classes_.tolist() == [names[name] for name in classifier.classes_]
    np.testing.assert_array_equal(found.probabilities, before.probabilities)
    np.testing.assert_array_equal(found.relative_distances, before.relative_distances)
    assert found.labels.tolist() == [names.get(name) for name in before.labels]
    order = [renamed.classes_.tolist().index(name) for name in expected.classes_]
    np.testing.assert_allclose(found.probabilities[:, order], expected.predict_proba(images[1::2]), rtol=1e-4)
    assert classifier.classes_.tolist() == list(names)  # this one stays

    renamed.save_pretrained(tmp_path / "saved")
    again = FewShotClassifier.from_pretrained(tmp_path / "saved", device="cpu")
    np.testing.assert_allclose(again.predict_proba(images[1::2]), found.probabilities, rtol=1e-5)
    assert again.predict(images[1::2]).tolist() == renamed.predict(images[1::2]).tolist()
    again.partial_fit(images[1::2], [names[name] for name in labels[1::2]])
    expected.partial_fit(images[1::2], [names[name] for name in labels[1::2]])
    assert again.classes_.tolist() == expected.classes_.tolist()
    np.testing.assert_allclose(again.predict_proba(images), expected.predict_proba(images), rtol=1e-3, atol=1e-6)


def test_announced_classes_can_be_renamed():
    images, labels = pictures_and_labels()
    classifier = FewShotClassifier(film_learner(), device="cpu")
    classifier.partial_fit(images[:6], labels[:6], classes=sorted(set(labels.tolist())))
    first, *others = classifier.classes_.tolist()
    renamed = classifier.rename_classes({first: "zebra"})
    renamed.partial_fit(images[6:], labels[6:], classes=["zebra", *others])
    assert renamed.classes_.tolist() == ["zebra", *others]
    assert renamed.class_count_.tolist() == [6] * 5


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"unicorn": "a"}, "there is no class 'unicorn'"),
        ({0: 1}, "same label"),
        ({0: [1]}, "label"),
        ({0: None}, "label"),
    ],
)
def test_renaming_keeps_one_label_per_class(names: dict[object, object], message: str):
    images, _ = pictures_and_labels(2)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images, [0] * 6 + [1] * 6)
    with pytest.raises(InvalidValueError, match=message):
        classifier.rename_classes(names)
