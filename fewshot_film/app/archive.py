"""Adapted classifiers as zip files that a visitor takes away and brings back."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.page import UploadError
from fewshot_film.run.model_folder import CARD, CONFIG, WEIGHTS

FILES = (CONFIG, WEIGHTS, CARD)
"""What a saved classifier consists of."""
MAX_BYTES = 512 * 2**20
"""Most that the three files may hold together."""


def pack_classifier(classifier: FewShotClassifier, folder: Path) -> Path:
    """The saved folder of a classifier as ``classifier.zip``.

    Args:
        classifier: fitted.
        folder: where to put the file.
    """
    saved = folder / "classifier"
    shutil.rmtree(saved, ignore_errors=True)
    classifier.save_pretrained(saved)
    path = folder / "classifier.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # weights hardly become smaller, and that slowly
        for name in FILES:
            archive.write(saved / name, f"classifier/{name}")
    shutil.rmtree(saved)
    return path


def unpack_classifier(path: Path, folder: Path) -> Path | None:
    """The folder of a zipped classifier, or None where the zip holds something else.

    Only the three files of a saved model are written, under their own names, whatever else the zip holds.

    Raises:
        UploadError: it is no zip, it is damaged, or it would unpack to more than :data:`MAX_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _classifier_files(archive)
            if not found:
                return None
            wanted = found.values()
            if sum(info.file_size for info in wanted) > MAX_BYTES:
                raise UploadError(f"{path.name} unpacks to more than {MAX_BYTES / 2**20:,.0f} MiB")
            saved = folder / "loaded"
            shutil.rmtree(saved, ignore_errors=True)
            saved.mkdir()
            for info in wanted:
                with archive.open(info) as source, (saved / PurePosixPath(info.filename).name).open("wb") as target:
                    shutil.copyfileobj(source, target)
            return saved
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise UploadError(
            f"{path.name} is not a complete zip file ({error}); expected a zip of folders, or a saved classifier"
        ) from error


def holds_classifier(path: Path) -> bool:
    """Whether a zip holds a saved classifier; False also where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(_classifier_files(archive))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError):
        return False


def _classifier_files(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members that are files of a saved classifier, by name; empty where it is none."""
    found = {PurePosixPath(info.filename).name: info for info in archive.infolist() if _is_near(info)}
    return {name: found[name] for name in FILES if name in found} if {CONFIG, WEIGHTS} <= found.keys() else {}


def _is_near(info: zipfile.ZipInfo) -> bool:
    """Whether a member lies at the top or in a folder there."""
    return not info.is_dir() and len(PurePosixPath(info.filename).parts) <= 2
