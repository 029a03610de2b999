"""A classifier for people who have a few images of each of their classes."""

# ruff: noqa: N803 - scikit-learn's names of arguments

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from fewshot_film.classifier.adapting import features_of
from fewshot_film.classifier.export import export_onnx
from fewshot_film.classifier.fitted import (
    Answers,
    Fitted,
    Loaded,
    Precision,
    Support,
    load_fitted,
    save_fitted,
)
from fewshot_film.classifier.fitting import fit_support, known_distances, member_limit
from fewshot_film.classifier.inputs import (
    as_array,
    check_known,
    one_column,
    read_classes,
    read_images,
    read_labels,
    read_weights,
)
from fewshot_film.classifier.sklearn_compat import SklearnClassifierMixin, check_parameters, not_fitted
from fewshot_film.classifier.together import agreeing
from fewshot_film.classifier.web_page import export_page
from fewshot_film.config.default_models import DEFAULT_MODEL
from fewshot_film.config.preprocessing import Preprocessing, Resize
from fewshot_film.errors import InvalidValueError, counted, shown

Self = TypeVar("Self", bound="FewShotClassifier")


class FewShotClassifier(SklearnClassifierMixin):
    """Learns classes from a few images each, in one pass and without training; scikit-learn compatible.

    Everything adapts at :meth:`fit`: FiLM from the support images, folded into the network's weights, and the
    classifier of Simple CNAPS on its features. A prediction is then one forward pass of a plain network.

    It works in scikit-learn's pipelines, searches, scorers and meta-estimators. Its ``X`` are images rather than a
    table of numbers, so there is no ``n_features_in_``; labels may be any hashable values, including floats.

    Args:
        model: a saved model's folder, the name of one that ships with the package, an id on the Hugging Face hub
            (``owner/name``), a backbone with weights from ImageNet by name (``efficientnet-lite0``, which needs no
            download; one of torchvision's, ``mobilenet_v3_small``; one of timm's, ``timm/NAME``; or ``NAME@FILE`` with
            weights of your own), a learner, or a :class:`~fewshot_film.learners.WrappedBackbone` around any network.
        resize: how an image becomes square: ``stretch``, ``crop`` (its middle) or ``pad`` (with white); None: as the
            network was trained.
        temperature: divides the logits before the softmax; None: fitted at every fit to support images that are
            left out in turn.
        device: auto, cpu or cuda; not mps, which has no double precision.
        precision: what the network computes in, ``float32`` or ``int8``: 8-bit integers, two to four times as fast on
            processors with VNNI or AMX, with almost the same answers; for convolutional networks on the CPU.

    Attributes:
        classes_: ``(way,)`` the labels, in the order of the columns.
        class_count_: ``(way,)`` support images of each.
        n_samples_fit_: support images in all.
        temperature_: what the logits are divided by.

    Example:
        >>> from fewshot_film.data import open_source
        >>> glyphs = open_source("glyphs", split="test")
        >>> images = [glyphs.load(index) for index in range(40)]
        >>> labels = [glyphs.class_names[glyphs.labels[index]] for index in range(40)]
        >>> classifier = FewShotClassifier.from_pretrained("general-small")  # doctest: +SKIP
        >>> classifier.fit(images[::2], labels[::2]).score(images[1::2], labels[1::2])  # doctest: +SKIP
    """

    PARAMETERS = ("model", "resize", "temperature", "device", "precision")

    _loaded: Loaded | None = None
    _fitted: Fitted | None = None

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        resize: Resize | None = None,
        temperature: float | None = None,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> None:
        self.model = model
        self.resize = resize
        self.temperature = temperature
        self.device = device
        self.precision = precision

    @classmethod
    def from_pretrained(cls: type[Self], name: Any, **parameters: Any) -> Self:
        """Load a classifier from a trained model; it is fitted if it was saved after ``fit``.

        Args:
            name: see ``model`` of the class.
            parameters: the class's other arguments.

        Raises:
            ModelNotFoundError: nothing has that name; lists what ships.
            SavedModelError: the folder is damaged, or holds something else.
            ConfigError: a parameter is out of range.
            InvalidValueError: ``resize`` is not that by which the images of a fitted classifier were read.
        """
        classifier = cls(name, **parameters)
        loaded = classifier._load()
        saved = loaded.pretrained.fitted
        if saved is not None:
            fitted = load_fitted(saved, loaded, classifier.resize)
            classifier.resize = saved.config["resize"]
            classifier.temperature = parameters.get("temperature", saved.config.get("given_temperature"))
            if parameters.get("temperature") is not None:
                fitted = replace(fitted, temperature=float(parameters["temperature"]))
            classifier.precision = parameters.get("precision", fitted.precision)
            if classifier.precision != fitted.precision:
                announced = fitted.classes if fitted.announced else None
                fitted = classifier._fit(loaded, fitted.support, announced, None)
            classifier._fitted = fitted
        return classifier

    # fitting

    def fit(self: Self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the classes of a support set, replacing earlier ones.

        Args:
            X: images: paths, PIL images, arrays ``(H, W, C)`` or tensors ``(C, H, W)``, mixed as you like; or one
                array ``(N, H, W, C)`` or tensor ``(N, C, H, W)``; or a pandas column of paths. See
                :func:`read_images`.
            y: labels, one per image: text, numbers, or any hashable values.
            sample_weight: what each image counts, ``(N,)`` of 0 or 1e-18 to 1e12: an image of weight 2 counts as one
                that was given twice, one of weight 0 as one that was not given. Only the temperature differs: an image
                is left out as a whole when it is estimated. None: 1 each.

        Raises:
            ImageError: an image that cannot be used.
            InvalidValueError: numbers of images and labels differ, or a value that cannot name a class or be a weight.
            ConfigError: a parameter is out of range.
            NonFiniteFeaturesError: the network makes NaN or infinity of an image.
            QuantizationError: ``precision`` is int8, and the network, device or processor is not made for it.
        """
        loaded = self._load()
        self._fitted = self._fit(loaded, self._read_support(loaded, X, y, sample_weight), None, None)
        return self

    def partial_fit(self: Self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Add images or classes; the result is that of one :meth:`fit` on all images.

        Args:
            X: see :meth:`fit`.
            y: see :meth:`fit`.
            classes: at the first call, all classes that there will ever be: they are the columns from then on, and a
                class without an image so far has probability 0. None: the classes are those of the images so far, and
                later calls may bring new ones. A later call may repeat the same classes.
            sample_weight: see :meth:`fit`.

        Raises:
            InvalidValueError: a label is no announced class, or ``classes`` or ``resize`` are other than before.
        """
        loaded, before = self._load(), self._fitted
        announced = None if classes is None else read_classes(classes)
        if before is not None and before.announced:
            if announced is not None and set(announced) != set(before.classes):
                raise InvalidValueError(
                    f"classes are {announced[:10]}, but the first partial_fit announced {before.classes[:10]}; give "
                    "the same, leave classes out, or start over with fit"
                )
            announced = before.classes
        support = self._read_support(loaded, X, y, sample_weight)
        joined = support if before is None else before.joined(support, self._preprocessing(loaded))
        if announced is not None:
            check_known(joined.names, announced)
        # features of an earlier fit are right for as long as the model is the same
        known = before if before is not None and before.loaded is loaded else None
        self._fitted = self._fit(loaded, joined, announced, known)
        return self

    def rename_classes(self: Self, names: Mapping[Any, Hashable]) -> Self:
        """A classifier that gives the same answers with other labels; nothing is fitted again, and this one stays.

        The columns keep their order.

        Args:
            names: new labels by old ones; classes that are not in it keep theirs.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            InvalidValueError: there is no such class, two would have the same label, or a value cannot name a class.
        """
        copy = self.__sklearn_clone__()
        copy._fitted = self._check_fitted().renamed(names)
        return copy

    def _read_support(self, loaded: Loaded, X: Any, y: Any, sample_weight: Any) -> Support:
        names = read_labels(y)
        weights = read_weights(sample_weight, names)
        images = _read(self._preprocessing(loaded), X)
        if len(images) != len(names):
            raise InvalidValueError(
                f"{counted(len(images), 'image')} and {counted(len(names), 'label')}; expected one label per image"
            )
        return Support(images, names, weights).counted()

    def _fit(self, loaded: Loaded, support: Support, announced: list[Hashable] | None, known: Fitted | None) -> Fitted:
        preprocessing, precision = self._preprocessing(loaded), self.precision
        return fit_support(loaded, support, preprocessing, precision, self.temperature, announced, known)

    # asking

    def answer(self, X: Any, *, reject: float | None = None, together: bool = False) -> Answers:
        """Labels, probabilities and distances of images, in one pass.

        Args:
            X: images, see :meth:`fit`.
            reject: if given, label None ("none of these") where the distance to the nearest class is larger than that
                of members of the classes. It is the share of true members that is rejected together with unknown
                images, such as 0.05, as estimated from held-out support images and, where the model knows it, from
                how far members lie in other kinds of images.
            together: let images that look alike agree on their class, see :mod:`fewshot_film.classifier.together`: for
                a whole folder to sort. What is said of an image then depends on the others of the call. Distances, and
                with them what is rejected, stay those of each image on its own.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            InvalidValueError: ``reject`` is out of range, or nothing tells how far members lie: no class has two
                support images, and the model does not know it of others.
            NonFiniteFeaturesError: the network makes NaN or infinity of an image.
        """
        fitted = self._check_fitted()
        limit = None if reject is None else member_limit(fitted, reject)
        features = self._features(fitted, X)
        logits = fitted.in_columns(fitted.head.logits(features), -torch.inf)
        distances = fitted.in_columns(fitted.head.distances(features), torch.inf)
        scores = logits / fitted.temperature
        if together:
            scores = agreeing(scores.log_softmax(1), features)
        labels = self.classes_[scores.argmax(1).cpu().numpy()]
        relative = None
        if limit is not None:
            relative = (distances.amin(1).double() / limit).sqrt().cpu().numpy()
            labels = labels.astype(object)
            labels[relative > 1] = None
        return Answers(labels, scores.softmax(1).cpu().numpy(), distances.cpu().numpy(), relative)

    def predict(self, X: Any, *, reject: float | None = None, together: bool = False) -> np.ndarray:
        """The most likely class of every image, ``(M,)``, or None where it is rejected; see :meth:`answer`."""
        return self.answer(X, reject=reject, together=together).labels

    def predict_proba(self, X: Any, *, together: bool = False) -> np.ndarray:
        """Probabilities ``(M, way)``, in the order of ``classes_``; every row sums to 1; see :meth:`answer`."""
        return self.answer(X, together=together).probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Log probabilities, ``(M, way)``; minus infinity for a class without images."""
        result: np.ndarray = (self._logits(X) / self.temperature_).log_softmax(1).cpu().numpy()
        return result

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores before the temperature: ``(M, way)`` logits, one column per class.

        For two classes ``(M,)``, as in scikit-learn: the second's logit minus the first's, above 0 where the second is
        predicted. :meth:`logits` always has one column per class.
        """
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def logits(self, X: Any) -> np.ndarray:
        """Logits ``(M, way)`` of the learner's head, before the temperature; minus infinity without images."""
        logits: np.ndarray = self._logits(X).cpu().numpy()
        return logits

    def distances(self, X: Any) -> np.ndarray:
        """Distances ``(M, way)`` from images to classes, in the adapted features.

        Squared Mahalanobis distances, unless the learner's head has a measure of its own, as ``ridge`` has.
        """
        return self.answer(X).distances

    def nearest_support(self, X: Any, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The most similar support images of each image.

        Args:
            X: images, see :meth:`fit`.
            k: how many, from 1 to ``n_samples_fit_``.

        Returns:
            Euclidean distances in the adapted features, ``(M, k)``, ascending, and positions of the images in the
            order they were given to :meth:`fit`, those of weight 0 not counted, ``(M, k)``.

        Raises:
            InvalidValueError: ``k`` is out of range.
        """
        fitted = self._check_fitted()
        if k not in range(1, len(fitted.labels) + 1):
            raise InvalidValueError(
                f"k is {shown(k)}; expected a whole number from 1 to {len(fitted.labels)}, the number of support images"
            )
        queries = self._features(fitted, X)
        distances, positions = fitted.by_distance(queries)
        return distances[:, : int(k)].cpu().numpy(), positions[:, : int(k)].cpu().numpy()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of images whose most likely class is their label; a label that was never learned counts as wrong.

        Args:
            X: images, see :meth:`fit`.
            y: labels, one per image.
            sample_weight: what each image counts, ``(M,)``; None: 1 each.
        """
        names = read_labels(y)
        weights = read_weights(sample_weight, names)
        answers = self.predict(X).tolist()
        if len(answers) != len(names):
            raise InvalidValueError(
                f"{counted(len(answers), 'image')} and {counted(len(names), 'label')}; expected one label per image"
            )
        right = [bool(answer == name) for answer, name in zip(answers, names, strict=True)]
        return float(np.average(right, weights=weights))

    def _logits(self, X: Any) -> Tensor:
        fitted = self._check_fitted()
        return fitted.in_columns(fitted.head.logits(self._features(fitted, X)), -torch.inf)

    def _features(self, fitted: Fitted, X: Any) -> Tensor:
        return features_of(fitted.network, _read(fitted.preprocessing, X), fitted.features.device)

    # keeping

    def save_pretrained(self, path: str | Path) -> None:
        """Save the fitted classifier as a folder; :meth:`from_pretrained` restores it, with identical predictions.

        It contains the support images, at the network's input size, so that :meth:`partial_fit` still works.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            ConfigError: a parameter that was set since is out of range.
            SavedModelError: the folder holds other things.
            UnsavableError: there is what no such file can hold, a label that is neither text nor a number, or a
                network of your own. Nothing is written then.
        """
        fitted = self._check_fitted()
        check_parameters(self.resize, self.temperature, self.device, self.precision)
        save_fitted(Path(path), fitted, None if self.temperature is None else float(self.temperature))

    def export_onnx(self, path: str | Path) -> Path:
        """Write the adapted network as one ONNX file: a plain ResNet and its head, for any number of images.

        The input ``images`` is ``(N, C, H, W)`` float32 in [0, 1], at the network's size; the outputs are
        ``probabilities`` ``(N, way)`` and squared ``distances`` ``(N, way)``. Classes, size and resizing stand in
        the file's metadata as JSON. Announced classes without images are left out.

        Returns:
            The file.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            ImportError: the extra ``onnx`` is not installed.
        """
        return export_onnx(Path(path), self._check_fitted())

    def export_page(self, path: str | Path, *, title: str = "What is this?", runtime: str | Path | None = None) -> Path:
        """Write a web page that classifies images of the webcam or of files, in the browser and without Python.

        It shows probabilities and "none of these" as :meth:`answer` does, and asks nothing of any other computer. As a
        file it opens with a double click; a folder is for a server, such as ``python -m http.server`` or any static
        host. The network runs on ONNX Runtime Web, which is fetched by ``npm`` once, or given.

        Args:
            path: a folder, or a file that ends in ``.html`` and holds everything.
            title: heading of the page.
            runtime: ONNX Runtime Web: a folder that holds its files, or what ``npm pack`` makes; None: the copy in the
                user's cache folder, or else npm fetches it.

        Returns:
            The folder or file.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            ImportError: the extra ``onnx`` is not installed.
            WebRuntimeError: ONNX Runtime Web is not to be had; says how to get it.
            InvalidValueError: there is a file where the folder should be, or the other way round.
        """
        fitted = self._check_fitted()
        limit = self.rejection_distance if self.can_reject else None
        return export_page(Path(path), fitted, limit, title, runtime)

    # what is known of it

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image is preprocessed for the network, including ``resize``."""
        return self._preprocessing(self._load())

    @property
    def image_size(self) -> int:
        """Height and width of the network's input, in pixels."""
        return self.preprocessing.size

    @property
    def channels(self) -> int:
        """Colour channels of the network's input: 3 or 1."""
        return self.preprocessing.channels

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns."""
        return as_array(self._check_fitted().classes)

    @property
    def class_count_(self) -> np.ndarray:
        """Support images of every class, ``(way,)``."""
        fitted = self._check_fitted()
        counts: np.ndarray = fitted.labels.bincount(minlength=len(fitted.classes)).numpy()
        return counts

    @property
    def n_samples_fit_(self) -> int:
        """Total number of support images."""
        return len(self._check_fitted().labels)

    @property
    def can_reject(self) -> bool:
        """Whether support images, or the model, tell how far members of a class lie from it; ``reject`` needs that."""
        fitted = self._check_fitted()
        return len(fitted.member_distances) >= 2 or bool(known_distances(fitted))

    def rejection_distance(self, reject: float) -> float:
        """The distance to its nearest class above which an image is "none of these".

        Args:
            reject: see :meth:`answer`.

        Raises:
            NotFittedError: :meth:`fit` comes first.
            InvalidValueError: see :meth:`answer`.
        """
        return member_limit(self._check_fitted(), reject)

    def support(self) -> tuple[Tensor, list[Hashable]]:
        """The support set: images ``(N, C, H, W)``, uint8 at the network's size, and their labels.

        Raises:
            NotFittedError: :meth:`fit` comes first.
        """
        support = self._check_fitted().support
        return support.images, support.names

    @property
    def temperature_(self) -> float:
        """The temperature by which logits are divided."""
        return self._check_fitted().temperature

    def __repr__(self) -> str:
        model = self.model if isinstance(self.model, str | Path) else type(self.model).__name__
        state = "not fitted" if self._fitted is None else counted(len(self._fitted.classes), "class")
        return f"{type(self).__name__}({str(model)!r}, {state})"

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def __sklearn_clone__(self: Self) -> Self:
        """An unfitted classifier with the same parameters; it shares the loaded model, which neither changes."""
        copy = type(self)(**self.get_params())
        copy._loaded = self._loaded
        return copy

    # inner matters

    def _check_fitted(self) -> Fitted:
        if self._fitted is None:
            raise not_fitted(f"this {type(self).__name__} has no classes yet; call fit(images, labels) first")
        return self._fitted

    def _preprocessing(self, loaded: Loaded) -> Preprocessing:
        return loaded.adapter.learner.backbone.preprocessing.resized_by(self.resize)

    def _load(self) -> Loaded:
        """The model of the present parameters, which are checked; read once."""
        check_parameters(self.resize, self.temperature, self.device, self.precision)
        if self._loaded is None or not self._loaded.is_of(self.model, self.device):
            self._loaded = Loaded.of(self.model, self.device)
        return self._loaded


def _read(preprocessing: Preprocessing, X: Any) -> Tensor:
    """Images ``(N, C, H, W)``, uint8, as the network takes them."""
    return read_images(one_column(X, "images"), **preprocessing.pixels)
