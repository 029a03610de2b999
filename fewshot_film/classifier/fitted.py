"""What a fitted classifier knows and answers, and the folder that it is saved as."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_film.classifier.adapting import Adapter, PlainPass, TaskHead
from fewshot_film.classifier.inputs import class_order, read_labels
from fewshot_film.classifier.pretrained import FITTED, Pretrained, load_pretrained
from fewshot_film.classifier.quantized import Int8Calibration
from fewshot_film.config.preprocessing import Preprocessing, Resize
from fewshot_film.errors import InvalidValueError, shown
from fewshot_film.film import Modulation, Modulations
from fewshot_film.learners.registry import UnsavableError, check_can_be_rebuilt, record_of
from fewshot_film.run.declared import refusing
from fewshot_film.run.model_folder import SavedModel, save_model
from fewshot_film.run.runtime import choose_device
from fewshot_film.run.tables import markdown_text

Precision = Literal["float32", "int8"]
"""What a classifier's network computes in."""

_PLAIN = (str, bool, int, float)
_ADVICE = "pickle.dump or joblib.dump(classifier, file) keeps such a classifier"


@dataclass(frozen=True)
class Loaded:
    """A model, ready to adapt, and the parameters that it was loaded by."""

    model: Any
    """As it was given."""
    device: str
    """As it was given."""
    pretrained: Pretrained
    adapter: Adapter

    @staticmethod
    def of(model: Any, device: str) -> Loaded:
        """The model that is given by a parameter, on a device that is; see :func:`load_pretrained`."""
        pretrained = load_pretrained(model)
        adapter = Adapter(pretrained.learner)
        pretrained.learner.to(choose_device(device, in_double=True))
        return Loaded(model, device, pretrained, adapter)

    def is_of(self, model: Any, device: str) -> bool:
        """Whether these parameters give this model, so that it need not be read again."""
        is_same = self.model is model or (isinstance(model, str) and self.model == model)
        return is_same and self.device == device


@dataclass(frozen=True)
class Support:
    """What a classifier is fitted to."""

    images: Tensor
    """``(N, C, H, W)``, uint8."""
    names: list[Hashable]
    """Label of each."""
    weights: Tensor | None
    """``(N,)`` double; None: 1 each."""

    def counted(self) -> Support:
        """Without the images of weight 0."""
        if self.weights is None:
            return self
        kept = self.weights.nonzero()[:, 0]
        return Support(self.images[kept], [self.names[index] for index in kept.tolist()], self.weights[kept])

    def joined(self, other: Support) -> Support:
        """These images, then the other ones."""
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = torch.cat([self._weights(), other._weights()])
        return Support(torch.cat([self.images, other.images]), self.names + other.names, weights)

    def _weights(self) -> Tensor:
        return torch.ones(len(self.names), dtype=torch.float64) if self.weights is None else self.weights


@dataclass(frozen=True)
class Fitted:
    """What a fitted classifier knows; a new one is made at every fit."""

    loaded: Loaded
    """The model that was adapted."""
    preprocessing: Preprocessing
    """How the support images became the network's input, and queries do."""
    classes: list[Hashable]
    """What the columns stand for; one may have no image yet."""
    announced: bool
    """Whether the classes are all that there will be, given by the user."""
    images: Tensor
    """Support images ``(N, C, H, W)``, uint8, in the order they were given."""
    labels: Tensor
    """``(N,)`` int64 in ``[0, way)``."""
    weights: Tensor | None
    """``(N,)`` double: what each image counts; None: 1 each."""
    modulations: Modulations
    """Gamma and beta of the task; empty without FiLM."""
    network: nn.Module
    """Images to features, FiLM folded in."""
    features: Tensor
    """``(N, D)`` of the support images."""
    plain: PlainPass | None
    """What the support images are without FiLM, which makes a next fit faster; None where nothing is known."""
    int8_calibration: Int8Calibration | None
    """What the network was calibrated by, where it computes in 8-bit integers; None: in float32."""
    head: TaskHead
    """Features to logits and distances."""
    temperature: float
    """Divides the logits."""
    member_distances: Tensor
    """``(M,)``: distance to the nearest class of support images that were left out."""

    @property
    def precision(self) -> Precision:
        """What the network computes in."""
        return "float32" if self.int8_calibration is None else "int8"

    @property
    def support(self) -> Support:
        """The support set, with the labels' names."""
        return Support(self.images, [self.classes[label] for label in self.labels.tolist()], self.weights)

    def joined(self, other: Support, preprocessing: Preprocessing) -> Support:
        """The support set, then further images.

        Raises:
            InvalidValueError: they were read in another way.
        """
        before = self.preprocessing.pixels
        for name, now in preprocessing.pixels.items():
            if now != before[name]:
                raise InvalidValueError(
                    f"images so far were read with {name} {shown(before[name])}, and these with {shown(now)}; give the "
                    "parameters of the first fit again, or start over with fit"
                )
        return self.support.joined(other)

    @property
    def present(self) -> Tensor:
        """Numbers of the classes that have images, ascending."""
        numbers: Tensor = self.labels.unique()
        return numbers

    def renamed(self, names: Mapping[Any, Hashable]) -> Fitted:
        """The same with other labels, in the same columns; see :meth:`FewShotClassifier.rename_classes`."""
        if unknown := [name for name in names if name not in self.classes]:
            raise InvalidValueError(f"there is no class {shown(unknown[0])}; the classes are {self.classes[:10]}")
        classes = read_labels([names.get(name, name) for name in self.classes])
        if len(class_order(classes)) < len(classes):
            raise InvalidValueError(f"two classes would have the same label; expected one each, got {classes[:10]}")
        return replace(self, classes=classes)

    def by_distance(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The support images of every query, the most similar one first.

        Args:
            queries: features, ``(M, D)``.

        Returns:
            Euclidean distances, ``(M, N)``, ascending, and positions of the images, ``(M, N)``.
        """
        mode = "donot_use_mm_for_euclid_dist"  # exact: a support image is at distance 0 from itself
        found = torch.cdist(queries.double(), self.features.double(), compute_mode=mode).sort(stable=True, dim=1)
        return found.values, found.indices

    def in_columns(self, values: Tensor, absent: float) -> Tensor:
        """Values ``(M, present)`` of the classes that have images as ``(M, way)``, with ``absent`` for the others."""
        present = self.present.to(values.device)
        if len(present) == len(self.classes):
            return values
        return values.new_full((len(values), len(self.classes)), absent).index_copy(1, present, values)


def mean_shot(labels: Tensor, weights: Tensor | None) -> float:
    """Support images per class, of the classes that have any; weights count."""
    return (len(labels) if weights is None else float(weights.sum())) / len(labels.unique())


@dataclass(frozen=True)
class Answers:
    """Predictions of a classifier for M images."""

    labels: np.ndarray
    """``(M,)``: the most likely class of each; None, "none of these", where it was rejected."""
    probabilities: np.ndarray
    """``(M, way)``, rows that sum to 1."""
    distances: np.ndarray
    """``(M, way)``: distances to the classes, see :meth:`FewShotClassifier.distances`."""
    relative_distances: np.ndarray | None = None
    """``(M,)``: how far each is from its nearest class, as a multiple of the largest distance that is not rejected:
    above 1 it was rejected. None where ``reject`` was not given."""


def save_fitted(folder: Path, fitted: Fitted, given_temperature: float | None) -> None:
    """Save a fitted classifier; see :meth:`FewShotClassifier.save_pretrained`.

    Args:
        folder: made, or replaced.
        fitted: what it knows.
        given_temperature: for later fits; None: they estimate it.

    Raises:
        UnsavableError: it could not be loaded again; nothing is written.
    """
    _check_labels(fitted.classes)
    learner = fitted.loaded.adapter.learner
    check_can_be_rebuilt(learner, _ADVICE)
    weights = {f"learner.{key}": value for key, value in learner.state_dict().items()}
    weights |= {
        "support.images": fitted.images,
        "support.labels": fitted.labels,
        "support.features": fitted.features,
        "member_distances": fitted.member_distances,
    }
    if fitted.weights is not None:
        weights["support.weights"] = fitted.weights
    if fitted.int8_calibration is not None:
        weights |= {"int8.ranges": fitted.int8_calibration.ranges, "int8.biases": fitted.int8_calibration.biases}
    for name, (gamma, beta) in fitted.modulations.items():
        weights |= {f"gamma.{name}": gamma, f"beta.{name}": beta}
    record = {
        "kind": FITTED,
        "learner": fitted.loaded.pretrained.record or record_of(learner, {}),
        "classes": fitted.classes,
        "announced": fitted.announced,
        "temperature": fitted.temperature,
        "given_temperature": given_temperature,
        "resize": fitted.preprocessing.resize,
    }
    save_model(folder, weights, record, _card(fitted.classes, fitted.labels))


def _check_labels(classes: list[Hashable]) -> None:
    for label in classes:
        if type(label) not in _PLAIN:
            raise UnsavableError(
                f"label {shown(label)} is a {type(label).__name__}; a saved classifier can hold labels that are text, "
                f"numbers or truth values: fit with such, or {_ADVICE}; nothing was written"
            )
        if isinstance(label, str) and any("\ud800" <= letter <= "\udfff" for letter in label):
            raise UnsavableError(
                f"label {shown(label)} contains a lone surrogate, which UTF-8 cannot encode: fit with "
                "other labels; nothing was written"
            )


def load_fitted(saved: SavedModel, loaded: Loaded, resize: Resize | None) -> Fitted:
    """What a saved classifier had learned.

    Args:
        saved: its folder.
        loaded: the model in it.
        resize: how queries shall be made square; None: as its images were.

    Raises:
        SavedModelError: parts of it are missing.
        InvalidValueError: its images were made square in another way.
    """
    before = saved.config["resize"]
    if resize not in (None, before):
        raise InvalidValueError(
            f"resize is {resize!r}, and the images of the classifier in {saved.folder} were read with {before!r}; "
            f"leave resize out, or fit anew: FewShotClassifier(folder, resize={resize!r}).fit(...)"
        )
    with refusing(saved.folder):
        return _load_fitted(saved, loaded)


def _load_fitted(saved: SavedModel, loaded: Loaded) -> Fitted:
    weights, adapter = saved.weights, loaded.adapter
    features = weights["support.features"].to(adapter.device)
    labels, counted = weights["support.labels"], weights.get("support.weights")
    modulations, calibration = _modulations(weights), None
    network = adapter.network(modulations)
    if "int8.ranges" in weights:
        calibration = Int8Calibration(weights["int8.ranges"], weights["int8.biases"])
        network = adapter.quantizer(modulations).quantized(calibration)
    return Fitted(
        loaded=loaded,
        preprocessing=adapter.learner.backbone.preprocessing.resized_by(saved.config["resize"]),
        classes=list(saved.config["classes"]),
        announced=bool(saved.config.get("announced", False)),
        images=weights["support.images"],
        labels=labels,
        weights=counted,
        modulations=modulations,
        network=network,
        features=features,
        plain=None if adapter.has_film or calibration is not None else PlainPass(features),
        int8_calibration=calibration,
        head=adapter.fit_head(features, labels.to(features.device), counted),
        temperature=float(saved.config["temperature"]),
        member_distances=weights["member_distances"],
    )


def _modulations(weights: dict[str, Tensor]) -> dict[str, Modulation]:
    names = [key.removeprefix("gamma.") for key in weights if key.startswith("gamma.")]
    return {name: Modulation(weights[f"gamma.{name}"], weights[f"beta.{name}"]) for name in names}


def _card(classes: list[Hashable], labels: Tensor) -> str:
    counts = labels.bincount(minlength=len(classes)).tolist()
    rows = [
        f"| {markdown_text(str(name))} | {count} |" for name, count in list(zip(classes, counts, strict=True))[:100]
    ]
    more = f"\n\n{len(classes) - len(rows)} more classes are in `config.json`." if len(classes) > len(rows) else ""
    table = "\n".join(rows)
    return f"""# A few-shot classifier of {len(classes)} classes

Made from {len(labels)} images, which lie in `model.safetensors` at the size that the network reads:

| class | images |
| --- | ---: |
{table}{more}

Load it with `fewshot_film.FewShotClassifier.from_pretrained(folder)`: it predicts, and learns further images with
`partial_fit`.
"""
