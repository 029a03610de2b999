"""What a classifier learns from a support set, and how far members of its classes lie from them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor

from fewshot_film.classifier.adapting import Adapter, PlainPass, features_of
from fewshot_film.classifier.calibration import (
    HeldOut,
    expected_distances,
    held_out,
    largest_member_distance,
    task_temperature,
)
from fewshot_film.classifier.fitted import Fitted, Loaded, Precision, Support, mean_shot
from fewshot_film.classifier.inputs import class_order
from fewshot_film.config.preprocessing import Preprocessing


def fit_support(
    loaded: Loaded,
    support: Support,
    preprocessing: Preprocessing,
    precision: Precision,
    temperature: float | None,
    announced: list[Hashable] | None = None,
    known: Fitted | None = None,
) -> Fitted:
    """Adapt a model to a support set.

    Args:
        loaded: the model.
        support: images, labels and weights.
        preprocessing: by which the images were read.
        precision: what the network computes in.
        temperature: divides the logits; None: estimated from the support set.
        announced: all classes, in the order of the columns; None: those of the support set.
        known: of an earlier fit of the same model to the first of these images.

    Raises:
        NonFiniteFeaturesError: the network makes NaN or infinity of an image.
        QuantizationError: ``precision`` is int8, and the network, device or processor is not made for it.
    """
    adapter, images, weights = loaded.adapter, support.images, support.weights
    classes = class_order(support.names) if announced is None else announced
    number = {name: label for label, name in enumerate(classes)}
    labels = torch.tensor([number[name] for name in support.names])
    calibration = None
    plain = _plain_pass(adapter, images, precision, known)
    modulations = adapter.modulations(images, labels, weights, plain)
    if precision == "float32" and plain is not None:
        network, features = adapter.adapted(modulations, plain)
    else:
        if precision == "int8":
            network, calibration = adapter.calibrated(modulations, images, labels)
        else:
            network = adapter.network(modulations)
        features = features_of(network, images, adapter.device)
    labels_there = labels.to(features.device)
    members = labels_there.unique(return_inverse=True)[1]
    held = held_out(*adapter.heads_among(features), members, weights)
    if temperature is None:
        temperature = _temperature(loaded, held, mean_shot(labels, weights))
    return Fitted(
        loaded=loaded,
        preprocessing=preprocessing,
        classes=classes,
        announced=announced is not None,
        images=images,
        labels=labels,
        weights=weights,
        modulations=modulations,
        network=network,
        features=features,
        plain=plain,
        int8_calibration=calibration,
        head=adapter.fit_head(features, labels_there, weights),
        temperature=float(temperature),
        member_distances=held.nearest.double().cpu(),
    )


def _plain_pass(adapter: Adapter, images: Tensor, precision: Precision, known: Fitted | None) -> PlainPass | None:
    """What the images are without FiLM, computed for those alone that an earlier fit does not know."""
    if precision == "int8" and not adapter.has_film:
        return None  # its features are those of the network in integers
    if known is None or known.plain is None:
        return adapter.plain_pass(images)
    before = len(known.images)
    new = adapter.plain_pass(images[before:], first=before)
    return None if new is None else known.plain.joined(new)


def _temperature(loaded: Loaded, held: HeldOut, shot: float) -> float:
    known = loaded.pretrained.measured
    return task_temperature(held, known.temperatures, shot, known.doubt)


def member_limit(fitted: Fitted, reject: float) -> float:
    """The distance to its nearest class above which an image is rejected, see :meth:`FewShotClassifier.answer`.

    Raises:
        InvalidValueError: ``reject`` is out of range, or nothing tells how far members lie.
    """
    expected = expected_distances(known_distances(fitted), mean_shot(fitted.labels, fitted.weights))
    return largest_member_distance(fitted.member_distances, reject, expected)


def known_distances(fitted: Fitted) -> Mapping[float, Sequence[float]]:
    """What other tasks showed; in units of how far a task's images lie apart, of which one image alone has none."""
    return fitted.loaded.pretrained.measured.member_distances if len(fitted.labels) > 1 else {}
