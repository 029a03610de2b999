"""A fitted classifier as a saved model's folder: the learner, and what it has learned."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from torch import Tensor

from fewshot_film.classifier.pretrained import FITTED
from fewshot_film.classifier.state import Fitted, Loaded
from fewshot_film.data.pictures import Resize
from fewshot_film.errors import shown
from fewshot_film.film import Modulation
from fewshot_film.learners.registry import UnsavableError, check_can_be_rebuilt, record_of
from fewshot_film.run.errors import SavedModelError
from fewshot_film.run.saved_model import SavedModel, save_model

_PLAIN = (str, bool, int, float)
_ADVICE = "pickle.dump or joblib.dump(classifier, file) keeps such a classifier"


def save_fitted(folder: Path, fitted: Fitted) -> None:
    """Save a fitted classifier; see :meth:`FewShotClassifier.save_pretrained`.

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
    for name, (gamma, beta) in fitted.modulations.items():
        weights |= {f"gamma.{name}": gamma, f"beta.{name}": beta}
    record = {
        "kind": FITTED,
        "learner": fitted.loaded.pretrained.record or record_of(learner, {}),
        "classes": fitted.classes,
        "announced": fitted.announced,
        "temperature": fitted.temperature,
        "resize": fitted.resize,
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
                f"label {shown(label)} holds half a character (a surrogate), which no file in UTF-8 can hold: fit with "
                "other labels; nothing was written"
            )


def load_fitted(saved: SavedModel, loaded: Loaded, resize: Resize) -> Fitted:
    """What a saved classifier had learned.

    Raises:
        SavedModelError: parts of it are missing.
    """
    weights, adapter = saved.weights, loaded.adapter
    try:
        features = weights["support.features"].to(adapter.device)
        labels, counted = weights["support.labels"], weights.get("support.weights")
        modulations = _modulations(weights)
        return Fitted(
            loaded=loaded,
            resize=resize,
            classes=list(saved.config["classes"]),
            announced=bool(saved.config.get("announced", False)),
            images=weights["support.images"],
            labels=labels,
            weights=counted,
            modulations=modulations,
            network=adapter.network(modulations),
            features=features,
            head=adapter.fit_head(features, labels.to(features.device), counted),
            temperature=float(saved.config["temperature"]),
            member_distances=weights["member_distances"],
        )
    except KeyError as error:
        raise SavedModelError(f"{saved.folder} lacks {error} of a fitted classifier; save it again") from None


def _modulations(weights: dict[str, Tensor]) -> dict[str, Modulation]:
    names = [key.removeprefix("gamma.") for key in weights if key.startswith("gamma.")]
    return {name: Modulation(weights[f"gamma.{name}"], weights[f"beta.{name}"]) for name in names}


def _card(classes: list[Hashable], labels: Tensor) -> str:
    counts = labels.bincount(minlength=len(classes)).tolist()
    rows = [f"| {name} | {count} |" for name, count in list(zip(classes, counts, strict=True))[:100]]
    more = f"\n\n{len(classes) - len(rows)} more classes are in `config.json`." if len(classes) > len(rows) else ""
    table = "\n".join(rows)
    return f"""# A few-shot classifier of {len(classes)} classes

Made from {len(labels)} pictures, which lie in `model.safetensors` at the size that the network reads:

| class | pictures |
| --- | ---: |
{table}{more}

Load it with `fewshot_film.FewShotClassifier.from_pretrained(folder)`: it predicts, and learns further pictures with
`partial_fit`.
"""
