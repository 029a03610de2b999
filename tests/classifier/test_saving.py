"""Models by name, and fitted classifiers kept."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from fewshot_film.classifier import FewShotClassifier, ModelNotFoundError, pretrained, shipped_models
from fewshot_film.errors import SavedModelError
from fewshot_film.learners import save_learner
from fewshot_film.learners.libraries import torchvision_preprocessing
from fewshot_film.run.model_folder import load_model, save_model
from tests.classifier.small import film_learner, fitted, pictures_and_labels, prototypes, ridge
from tests.precision import double_by_default


@pytest.mark.parametrize("make", [film_learner, prototypes, ridge])
def test_saved_and_loaded_all_answers_are_the_same(make, tmp_path: Path):
    classifier, images, labels = fitted(make())
    classifier.set_params(resize="pad").fit(images, labels).partial_fit(images[:5], labels[:5])
    classifier.save_pretrained(tmp_path / "mine")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")
    assert loaded.resize == "pad"
    assert loaded.classes_.tolist() == classifier.classes_.tolist()
    assert np.array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    assert np.array_equal(loaded.distances(images), classifier.distances(images))
    assert loaded.predict(images, reject=0.1).tolist() == classifier.predict(images, reject=0.1).tolist()
    assert np.array_equal(loaded.nearest_support(images)[1], classifier.nearest_support(images)[1])
    for one in (loaded, classifier):
        one.partial_fit(images, labels)
    assert np.array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    loaded.save_pretrained(tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "A few-shot classifier of 5 classes" in card
    assert "| class 0 | 9 |" in card


def test_images_that_are_read_in_another_way_are_not_added():
    """Those so far would stay stretched, those that come would be cropped, in one support set."""
    classifier, images, labels = fitted(ridge())
    classifier.set_params(resize="crop")
    with pytest.raises(ValueError, match="images so far were read with resize 'stretch', and these with 'crop'; give"):
        classifier.partial_fit(images, labels)
    assert classifier.n_samples_fit_ == 15


def test_a_saved_classifier_reads_queries_as_it_read_its_images(tmp_path: Path):
    classifier, images, labels = fitted(ridge())
    classifier.set_params(resize="pad").fit(images, labels).save_pretrained(tmp_path / "mine")
    for given in ({}, {"resize": None}, {"resize": "pad"}):
        loaded = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu", **given)
        assert loaded.resize == "pad"
        assert np.array_equal(loaded.predict_proba(images), classifier.predict_proba(images))
    with pytest.raises(ValueError, match=r"resize is 'crop', and the images of the classifier in .* were read with"):
        FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu", resize="crop")


def test_what_torch_makes_by_default_changes_nothing(tmp_path: Path):
    save_learner(tmp_path / "model", film_learner(), {}, "")
    images, labels = pictures_and_labels()

    def answers(model: object) -> np.ndarray:
        classifier = FewShotClassifier.from_pretrained(model, device="cpu").fit(images[::2], labels[::2])
        return classifier.predict_proba(images[1::2])

    for model in (tmp_path / "model", "efficientnet-lite0"):
        expected = answers(model)
        with double_by_default():
            assert np.array_equal(answers(model), expected)


def test_a_temperature_that_was_given(tmp_path: Path):
    images, labels = pictures_and_labels(2, 3)
    classifier = FewShotClassifier(film_learner(), device="cpu", temperature=np.float32(3.0)).fit(images, labels)
    classifier.save_pretrained(tmp_path / "mine")
    loaded = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")
    assert loaded.partial_fit(images[:1], labels[:1]).temperature_ == 3.0
    other = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu", temperature=2.0)
    assert other.temperature_ == 2.0
    assert not np.array_equal(other.predict_proba(images), classifier.predict_proba(images))


@pytest.mark.parametrize("labels", [[3, "three"], [True, False], [1.5, 2]])
def test_labels_keep_their_kind(labels, tmp_path: Path):
    images, _ = pictures_and_labels(2, 1)
    FewShotClassifier(film_learner(), device="cpu").fit(images, labels).save_pretrained(tmp_path / "mine")
    found = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu").classes_.tolist()
    assert sorted(map(repr, found)) == sorted(map(repr, labels))


def test_a_label_that_no_file_can_hold(tmp_path: Path):
    images, _ = pictures_and_labels(2, 1)
    classifier = FewShotClassifier(film_learner(), device="cpu").fit(images, [("a", 1), ("a", 2)])
    with pytest.raises(ValueError, match=r"label \('a', 1\) is a tuple; a saved classifier can hold labels that are"):
        classifier.save_pretrained(tmp_path / "mine")


def test_a_part_is_missing(tmp_path: Path):
    classifier, _, _ = fitted()
    classifier.save_pretrained(tmp_path / "mine")
    saved = load_model(tmp_path / "mine")
    del saved.weights["support.features"]
    save_model(tmp_path / "mine", saved.weights, saved.config, "")
    with pytest.raises(SavedModelError, match=r"lacks support\.features of a fitted classifier; save it again"):
        FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")


def test_a_learners_folder_starts_without_classes_and_knows_its_temperatures(tmp_path: Path):
    save_learner(tmp_path / "model", film_learner(), {"temperatures": {"1": 3.0, "5": 2.0}}, "")
    classifier = FewShotClassifier.from_pretrained(tmp_path / "model", device="cpu")
    images, labels = pictures_and_labels(3, 1)
    assert classifier.fit(images, labels).temperature_ == pytest.approx(3.0)
    classifier.save_pretrained(tmp_path / "mine")
    again = FewShotClassifier.from_pretrained(tmp_path / "mine", device="cpu")
    assert again.fit(images, labels).temperature_ == pytest.approx(3.0)


def test_models_that_ship_are_found_by_name(tmp_path: Path, monkeypatch):
    save_learner(tmp_path / "general-tiny", film_learner(), {}, "")
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path)
    assert shipped_models() == {"general-tiny": tmp_path / "general-tiny"}
    images, labels = pictures_and_labels(2, 2)
    classifier = FewShotClassifier.from_pretrained("general-tiny", device="cpu").fit(images, labels)
    assert classifier.predict(images[:1]).tolist() == ["class 0"]
    with pytest.raises(
        ModelNotFoundError,
        match=r"there is no model 'general-tny' \(did you mean 'general-tiny'\?\); models that ship .* general-tiny;",
    ):
        FewShotClassifier.from_pretrained("general-tny")


def test_what_names_no_model():
    with pytest.raises(ModelNotFoundError, match=r"there is no model 'here'; .* resnet18, .* or owner/name on"):
        FewShotClassifier.from_pretrained("here")
    for name in ("whitened-vgg", "cnaps-resnet18"):
        with pytest.raises(
            ModelNotFoundError, match=f"{name} has no published weights; train it by fewshot-film pretr"
        ):
            FewShotClassifier.from_pretrained(name)
    with pytest.raises(ModelNotFoundError, match="a model is given by its name or a path, got 7"):
        FewShotClassifier.from_pretrained(7)


def test_the_name_of_a_backbone(monkeypatch):
    asked = []

    def build(config):
        asked.append(config)
        return film_learner()

    monkeypatch.setattr(pretrained, "SimpleCNAPS", build)
    FewShotClassifier.from_pretrained("resnet34", device="cpu")
    (config,) = asked
    assert config.adaptation == "none"
    assert (config.backbone.name, config.backbone.weights) == ("resnet34", "pretrained")
    assert config.backbone.preprocessing == torchvision_preprocessing("resnet34", "IMAGENET1K_V1")


def test_a_model_on_the_hub(tmp_path: Path, monkeypatch):
    save_learner(tmp_path / "model", film_learner(), {}, "")
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options["allow_patterns"]))
        return str(tmp_path / "model")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    FewShotClassifier.from_pretrained("someone/model", device="cpu")
    assert asked == [("someone/model", ["config.json", "model.safetensors", "README.md"])]


def test_the_hub_has_no_such_model(monkeypatch):
    def snapshot_download(name, **options):
        response = types.SimpleNamespace(headers={}, request=None)
        raise RepositoryNotFoundError("404 Client Error.\nRepository Not Found", response=response)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    message = (
        r"no folder 'some/model', and it could not be loaded from the Hugging Face hub \(RepositoryNotFoundError: 404"
    )
    with pytest.raises(ModelNotFoundError, match=message):
        FewShotClassifier.from_pretrained("some/model")


def test_the_hubs_client_says_nothing(monkeypatch):
    def snapshot_download(name, **options):
        raise TimeoutError

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(ModelNotFoundError, match=r"could not be loaded from the Hugging Face hub \(TimeoutError: \)"):
        FewShotClassifier.from_pretrained("some/model")


def test_without_the_hubs_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelNotFoundError, match=r"needs the extra `hub`: pip install 'fewshot-film\[hub\]'"):
        FewShotClassifier.from_pretrained("some/model")
