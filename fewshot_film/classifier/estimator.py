"""A classifier for people who have a few pictures of each of their things."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from fewshot_film.classifier.adapting import Adapter, features_of
from fewshot_film.classifier.calibration import (
    HeldOut,
    held_out,
    largest_member_distance,
    task_temperature,
)
from fewshot_film.classifier.errors import NotFittedError
from fewshot_film.classifier.labels import as_array, class_order, read_labels
from fewshot_film.classifier.manners import Manners
from fewshot_film.classifier.pictures import read_pictures
from fewshot_film.classifier.pretrained import Pretrained, load_pretrained
from fewshot_film.classifier.state import Answers, Fitted
from fewshot_film.data.pictures import Resize
from fewshot_film.errors import InvalidValueError
from fewshot_film.run.machine import Machine

Self = TypeVar("Self", bound="FewShotClassifier")


class FewShotClassifier(Manners):
    """Learns classes from a few pictures of each, in one pass and without training; in scikit-learn's manner.

    Everything adapts at :meth:`fit`: FiLM from the support pictures, folded into the network's weights, and the
    classifier of Simple CNAPS on its features. Afterwards a prediction is one pass through a plain ResNet.

    Args:
        model: a saved model's folder, the name of one that ships with the package, an id on the Hugging Face hub
            (``owner/name``), the name of a torchvision network, or a learner.
        resize: how a picture becomes square: ``stretch``, ``crop`` (its middle) or ``pad`` (with white).
        temperature: divides the logits before the softmax; None: fitted at every fit to support pictures that are
            left out in turn.
        device: auto, cpu, cuda or mps.

    Attributes:
        classes_: ``(way,)`` the labels, in the order of the columns.
        class_count_: ``(way,)`` support pictures of each.
        n_samples_fit_: support pictures in all.
        temperature_: what the logits are divided by.

    Example:
        >>> from fewshot_film.data import open_source
        >>> glyphs = open_source("glyphs", split="test")
        >>> pictures = [glyphs.load(index) for index in range(40)]
        >>> labels = [glyphs.class_names[glyphs.labels[index]] for index in range(40)]
        >>> classifier = FewShotClassifier.from_pretrained("general-small")  # doctest: +SKIP
        >>> classifier.fit(pictures[::2], labels[::2]).score(pictures[1::2], labels[1::2])  # doctest: +SKIP
    """

    SETTINGS = ("model", "resize", "temperature", "device")

    def __init__(
        self,
        model: Any = "general-small",
        *,
        resize: Resize = "stretch",
        temperature: float | None = None,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.resize = resize
        self.temperature = temperature
        self.device = device
        self._loaded: tuple[Any, str, Pretrained, Adapter] | None = None
        self._fitted: Fitted | None = None

    @classmethod
    def from_pretrained(cls: type[Self], name: Any, **settings: Any) -> Self:
        """A classifier from a trained model, loaded now; fitted already if it was saved so.

        Args:
            name: see ``model`` of the class.
            settings: the class's other arguments.

        Raises:
            ModelNotFoundError: nothing has that name; lists what ships.
            SavedModelError: the folder is damaged, or holds something else.
        """
        from fewshot_film.classifier.saving import load_fitted

        classifier = cls(name, **settings)
        pretrained, adapter = classifier._load()
        if pretrained.fitted is not None:
            classifier.resize = settings.get("resize", pretrained.fitted.config["resize"])
            classifier._fitted = load_fitted(pretrained.fitted, adapter)
        return classifier

    # fitting

    def fit(self: Self, images: Any, labels: Any) -> Self:
        """Learn the classes of a support set, and forget earlier ones.

        Args:
            images: paths, PIL pictures, arrays ``(H, W, C)`` or tensors ``(C, H, W)``, mixed as you like; or one
                array ``(N, H, W, C)`` or tensor ``(N, C, H, W)``. See :func:`read_pictures`.
            labels: one a picture: text, numbers, or any hashable values.

        Raises:
            PictureError: a picture that cannot be used.
            ValueError: numbers of pictures and labels differ, or a value that cannot name a class.
        """
        pictures, names = self._read_pairs(images, labels)
        self._fit(pictures, names, None)
        return self

    def partial_fit(self: Self, images: Any, labels: Any) -> Self:
        """Learn further pictures or classes: the same result as one :meth:`fit` on all pictures.

        Args:
            images: see :meth:`fit`.
            labels: see :meth:`fit`.
        """
        if self._fitted is None:
            return self.fit(images, labels)
        before = self._fitted
        pictures, names = self._read_pairs(images, labels)
        known = [before.classes[label] for label in before.labels.tolist()]
        self._fit(torch.cat([before.images, pictures]), known + names, before)
        return self

    def _read_pairs(self, images: Any, labels: Any) -> tuple[Tensor, list[Hashable]]:
        names = read_labels(labels)
        pictures = self._read(images)
        if len(pictures) != len(names):
            raise InvalidValueError(f"{len(pictures)} pictures and {len(names)} labels; expected one label a picture")
        return pictures, names

    def _fit(self, images: Tensor, names: list[Hashable], before: Fitted | None) -> None:
        pretrained, adapter = self._load()
        classes = class_order(names)
        number = {name: label for label, name in enumerate(classes)}
        labels = torch.tensor([number[name] for name in names])
        if before is not None and not adapter.has_film:
            modulations, network = before.modulations, before.network
            new = features_of(network, images[len(before.images) :], adapter.device)
            features = torch.cat([before.features, new])
        else:
            modulations = adapter.modulations(images, labels)
            network = adapter.network(modulations)
            features = features_of(network, images, adapter.device)
        held = held_out(adapter.fit_head, features, labels.to(features.device))
        self._fitted = Fitted(
            classes=classes,
            images=images,
            labels=labels,
            modulations=modulations,
            network=network,
            features=features,
            head=adapter.fit_head(features, labels.to(features.device)),
            temperature=self._fit_temperature(pretrained, held, len(labels) / len(classes)),
            member_distances=held.nearest.double().cpu(),
        )

    def _fit_temperature(self, pretrained: Pretrained, held: HeldOut, shot: float) -> float:
        if self.temperature is not None:
            if not self.temperature > 0:
                raise InvalidValueError(f"temperature is {self.temperature}; expected a number above 0, or None")
            return float(self.temperature)
        return task_temperature(held, pretrained.temperatures, shot)

    # asking

    def answer(self, images: Any, *, reject: float | None = None) -> Answers:
        """Labels, probabilities and distances of pictures, in one pass.

        Args:
            images: see :meth:`fit`.
            reject: if given, label None ("none of these") where the distance to the nearest class is larger than that
                of members of the classes. It is the share of true members that is turned away with the strangers,
                such as 0.05, as estimated from support pictures that were left out.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            ValueError: ``reject`` is out of range, or no class has two support pictures to estimate it from.
        """
        fitted = self._check_fitted()
        limit = None if reject is None else largest_member_distance(fitted.member_distances, reject)
        features = self._features(fitted, images)
        logits, distances = fitted.head.logits(features), fitted.head.distances(features)
        labels = self.classes_[logits.argmax(1).cpu().numpy()]
        if limit is not None:
            labels = labels.astype(object)
            labels[(distances.amin(1) > limit).cpu().numpy()] = None
        probabilities = (logits / fitted.temperature).softmax(1)
        return Answers(labels, probabilities.cpu().numpy(), distances.cpu().numpy())

    def predict(self, images: Any, *, reject: float | None = None) -> np.ndarray:
        """The most likely class of every picture, ``(M,)``, or None where it is rejected; see :meth:`answer`."""
        return self.answer(images, reject=reject).labels

    def predict_proba(self, images: Any) -> np.ndarray:
        """Probabilities ``(M, way)`` of the classes, in the order of ``classes_``; every row sums to 1."""
        return self.answer(images).probabilities

    def decision_function(self, images: Any) -> np.ndarray:
        """Logits ``(M, way)`` of the learner's head, before the temperature; one column a class, of two classes too."""
        fitted = self._check_fitted()
        logits: np.ndarray = fitted.head.logits(self._features(fitted, images)).cpu().numpy()
        return logits

    def distances(self, images: Any) -> np.ndarray:
        """Squared Mahalanobis distances ``(M, way)`` from pictures to classes, in the adapted features."""
        return self.answer(images).distances

    def nearest_support(self, images: Any, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The support pictures that a picture is most like.

        Args:
            images: see :meth:`fit`.
            k: how many, from 1 to ``n_samples_fit_``.

        Returns:
            Euclidean distances in the adapted features, ``(M, k)``, ascending, and positions of the pictures in the
            order they were given to :meth:`fit`, ``(M, k)``.

        Raises:
            ValueError: ``k`` is out of range.
        """
        fitted = self._check_fitted()
        if not 1 <= k <= len(fitted.labels):
            raise InvalidValueError(f"k is {k}; expected 1 to {len(fitted.labels)}, the number of support pictures")
        queries = self._features(fitted, images)
        mode = "donot_use_mm_for_euclid_dist"  # exact: a support picture is at distance 0 from itself
        distances = torch.cdist(queries.double(), fitted.features.double(), compute_mode=mode)
        nearest = distances.sort(stable=True, dim=1)
        return nearest.values[:, :k].cpu().numpy(), nearest.indices[:, :k].cpu().numpy()

    def score(self, images: Any, labels: Any) -> float:
        """Share of pictures whose most likely class is their label; a label that was never learned counts as wrong."""
        names = read_labels(labels)
        answers = self.predict(images).tolist()
        if len(answers) != len(names):
            raise InvalidValueError(f"{len(answers)} pictures and {len(names)} labels; expected one label a picture")
        right = [bool(answer == name) for answer, name in zip(answers, names, strict=True)]
        return sum(right) / len(right)

    def _features(self, fitted: Fitted, images: Any) -> Tensor:
        return features_of(fitted.network, self._read(images), fitted.features.device)

    def _read(self, images: Any) -> Tensor:
        return read_pictures(images, self.image_size, self.channels, self.resize)

    # keeping

    def save_pretrained(self, path: str | Path) -> None:
        """Save the fitted classifier as a folder; :meth:`from_pretrained` brings it back, answers and all.

        Support pictures are in it, at the size that the network reads, so that :meth:`partial_fit` can go on.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            ValueError: a label is neither text nor a number, which is all that the file can hold.
            SavedModelError: the folder holds other things.
        """
        from fewshot_film.classifier.saving import save_fitted

        pretrained, adapter = self._load()
        save_fitted(Path(path), self._check_fitted(), pretrained, adapter, self.resize)

    def export_onnx(self, path: str | Path) -> Path:
        """Write the adapted network as one ONNX file: a plain ResNet and its head, for any number of pictures.

        The input ``images`` is ``(N, C, H, W)`` float32 in [0, 1], at the network's size; the outputs are
        ``probabilities`` ``(N, way)`` and squared ``distances`` ``(N, way)``. Classes, size and resizing stand in
        the file's metadata as JSON.

        Returns:
            The file.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            ImportError: the extra ``onnx`` is not installed.
        """
        from fewshot_film.classifier.export import export_onnx

        backbone = self._load()[1].learner.config.backbone
        return export_onnx(Path(path), self._check_fitted(), backbone, self.resize)

    # what is known of it

    @property
    def image_size(self) -> int:
        """Side of the pictures that the network reads, pixels."""
        return self._load()[1].learner.config.backbone.image_size

    @property
    def channels(self) -> int:
        """Colour channels of the pictures that the network reads: 3 or 1."""
        return self._load()[1].learner.config.backbone.channels

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns."""
        return as_array(self._check_fitted().classes)

    @property
    def class_count_(self) -> np.ndarray:
        """Support pictures of every class, ``(way,)``."""
        counts: np.ndarray = self._check_fitted().labels.bincount().numpy()
        return counts

    @property
    def n_samples_fit_(self) -> int:
        """Support pictures in all."""
        return len(self._check_fitted().labels)

    def support(self) -> tuple[Tensor, list[Hashable]]:
        """What was learned from: pictures ``(N, C, H, W)``, uint8 at the network's size, and the label of each.

        Raises:
            NotFittedError: :meth:`fit` comes first.
        """
        fitted = self._check_fitted()
        return fitted.images, [fitted.classes[label] for label in fitted.labels.tolist()]

    @property
    def temperature_(self) -> float:
        """What the logits are divided by."""
        return self._check_fitted().temperature

    def __repr__(self) -> str:
        model = self.model if isinstance(self.model, str | Path) else type(self.model).__name__
        state = "not fitted" if self._fitted is None else f"{len(self._fitted.classes)} classes"
        return f"{type(self).__name__}({str(model)!r}, {state})"

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def __sklearn_clone__(self: Self) -> Self:
        """An unfitted classifier with the same settings; it shares the loaded model, which neither changes."""
        copy = type(self)(**self.get_params())
        copy._loaded = self._loaded
        return copy

    # inner matters

    def _check_fitted(self) -> Fitted:
        if self._fitted is None:
            raise NotFittedError(f"this {type(self).__name__} has no classes yet; call fit(images, labels) first")
        return self._fitted

    def _load(self) -> tuple[Pretrained, Adapter]:
        """The model of the present settings, read once."""
        if self._loaded is None or self._loaded[0] is not self.model or self._loaded[1] != self.device:
            pretrained = load_pretrained(self.model)
            pretrained.learner.to(Machine(self.device, "32-true").device)
            self._loaded = (self.model, self.device, pretrained, Adapter(pretrained.learner))
        return self._loaded[2], self._loaded[3]
