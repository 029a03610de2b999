"""A fitted classifier as a saved model's folder: the learner, and what it has learned."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from torch import Tensor

from fewshot_film.classifier.adapting import Adapter
from fewshot_film.classifier.pretrained import FITTED, Pretrained
from fewshot_film.classifier.state import Fitted
from fewshot_film.data.pictures import Resize
from fewshot_film.errors import InvalidValueError
from fewshot_film.film import Modulation
from fewshot_film.learners.saving import record_of
from fewshot_film.run.errors import SavedModelError
from fewshot_film.run.saved_model import SavedModel, save_model

_PLAIN = (str, bool, int, float)


def save_fitted(folder: Path, fitted: Fitted, pretrained: Pretrained, adapter: Adapter, resize: Resize) -> None:
    """Save a fitted classifier; see :meth:`FewShotClassifier.save_pretrained`."""
    for label in fitted.classes:
        if type(label) not in _PLAIN:
            raise InvalidValueError(
                f"label {label!r} is a {type(label).__name__}; a saved classifier can hold labels that are text, "
                "numbers or truth values: fit with such"
            )
    learner = adapter.learner
    weights = {f"learner.{key}": value for key, value in learner.state_dict().items()}
    weights |= {
        "support.images": fitted.images,
        "support.labels": fitted.labels,
        "support.features": fitted.features,
        "member_distances": fitted.member_distances,
    }
    for name, (gamma, beta) in fitted.modulations.items():
        weights |= {f"gamma.{name}": gamma, f"beta.{name}": beta}
    record = {
        "kind": FITTED,
        "learner": pretrained.record or record_of(learner, {}),
        "classes": fitted.classes,
        "temperature": fitted.temperature,
        "resize": resize,
    }
    save_model(folder, weights, record, _card(fitted.classes, fitted.labels))


def load_fitted(saved: SavedModel, adapter: Adapter) -> Fitted:
    """What a saved classifier had learned.

    Raises:
        SavedModelError: parts of it are missing.
    """
    weights = saved.weights
    try:
        features = weights["support.features"].to(adapter.device)
        labels = weights["support.labels"]
        modulations = _modulations(weights)
        return Fitted(
            classes=list(saved.config["classes"]),
            images=weights["support.images"],
            labels=labels,
            modulations=modulations,
            network=adapter.network(modulations),
            features=features,
            head=adapter.fit_head(features, labels.to(features.device)),
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
