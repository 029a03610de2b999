"""``fewshot-film share``: a classifier as a web page that runs without Python."""

from __future__ import annotations

import logging
from pathlib import Path

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.commands.support import fit_to_source
from fewshot_film.config.commands import ShareConfig
from fewshot_film.data import SourceError, open_source
from fewshot_film.errors import InvalidValueError, counted

log = logging.getLogger(__name__)


def run(config: ShareConfig) -> None:
    """Adapt to the support images, or load a classifier that is adapted, and write the page.

    Raises:
        SourceError: there is one class alone.
        InvalidValueError: there are neither support images nor a saved classifier.
        WebRuntimeError: ONNX Runtime Web is not to be had.
    """
    classifier = FewShotClassifier.from_pretrained(config.model, device=config.device)
    if config.support:
        source = open_source("folder", config.support)
        if len(source.class_names) < 2:
            raise SourceError(f"{config.support} has one class; expected two or more: add a folder of anything else")
        classifier.set_params(resize=config.resize)
        fit_to_source(classifier, source)
    elif not classifier.__sklearn_is_fitted__():
        raise InvalidValueError(
            f"there are no classes: model '{config.model}' was not saved after fit, and support is empty; give "
            "--support FOLDER with one folder of images per class, or --model with a saved classifier"
        )
    out = classifier.export_page(Path(config.out), title=config.title, runtime=config.runtime or None)
    log.info("wrote %s, %s: %s", out, counted(len(classifier.classes_), "class"), _opening(out))


def _opening(out: Path) -> str:
    """How the page is opened."""
    return "open it in a browser" if out.is_file() else f"python -m http.server --directory {out}"
