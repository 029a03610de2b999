"""One split of a data set in CLEVR's format: its questions, scenes and images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.layout import HOW_TO_GET, SplitFiles, find_split
from clevr.data.records import JsonRecords, parse_questions, parse_scenes
from clevr.data.storage import DAMAGED_ZIP, FolderStorage
from clevr.data.table import QuestionTable
from clevr.questions.question import Question
from clevr.world.scene import Scene
from clevr.world.spec import WorldSpec
from fewshot_film.images import ImageError, read_image, upright


class ClevrSplit:
    """Questions, scenes and images of one split; what a record holds is checked when it is read.

    Args:
        files: where they lie, from :func:`clevr.data.layout.find_split`.
    """

    def __init__(self, files: SplitFiles) -> None:
        self.files = files

    @classmethod
    def open(cls, root: str | Path, split: str, *, humans: bool = False) -> ClevrSplit:
        """A split below a folder or in a zip; arguments and errors as of :func:`find_split`."""
        return cls(find_split(root, split, humans=humans))

    @property
    def world(self) -> WorldSpec:
        """What its scenes are of."""
        return self.files.world

    def __repr__(self) -> str:
        return f"ClevrSplit({self.files.storage.label('')!r}, {self.files.split!r})"

    def questions(self) -> Iterator[Question]:
        """The questions in the file's order, read as they are asked for.

        Raises:
            DataNotFoundError: the split has no questions.
            DataError: while iterating; a record is malformed, or its image is not there.
        """
        path = self._required(self.files.questions, "questions")
        file = self.files.storage_of(path).label(path)
        questions = parse_questions(self._records(path, "questions"), file, self.world)
        return self._with_images(questions, file) if self.files.images else questions

    def scenes(self) -> Iterator[Scene]:
        """The scenes in the file's order, read as they are asked for.

        Raises:
            DataNotFoundError: the split has no scenes, as the test split of CLEVR.
            DataError: while iterating; a record is malformed.
        """
        path = self._required(self.files.scenes, "scenes")
        return parse_scenes(self._records(path, "scenes"), self.files.storage.label(path), self.world)

    def info(self) -> dict[str, Any]:
        """The info block of the questions, or else of the scenes."""
        path = self._required(self.files.questions or self.files.scenes, "questions")
        records = self._records(path, "questions" if self.files.questions else "scenes")
        for _ in records:
            if "info" in records.others:
                break
        info = records.others.get("info", {})
        return info if isinstance(info, dict) else {}

    def table(self, cache: Path | None = None) -> QuestionTable:
        """All questions as arrays.

        Args:
            cache: folder to keep them in, so that the next call need not read the JSON; made again when the
                file has changed.
        Raises:
            DataNotFoundError: as :meth:`questions`.
            DataError: as :meth:`questions`.
        """
        path = self._required(self.files.questions, "questions")
        if cache is None:
            return QuestionTable.from_questions(self.questions(), self.world)
        storage = self.files.storage_of(path)
        signature = f"{storage.label(path)} {storage.signature(path)}"
        file = cache / (re.sub(r"\W+", "-", Path(path).stem) + ".npz")
        table = QuestionTable.load(file, signature, self.world)
        if table is None:
            table = QuestionTable.from_questions(self.questions(), self.world)
            table.save(file, signature)
        return table

    @cached_property
    def images(self) -> frozenset[str]:
        """File names in the folder of the images, without hidden ones such as ``.DS_Store``; empty without a folder."""
        names = self.files.storage.files(self.files.images) if self.files.images else ()
        return frozenset(name for name in names if not name.startswith("."))

    def load_image(self, filename: str) -> Image.Image:
        """Decode an image to RGB.

        Raises:
            DataNotFoundError: it is not there.
            DataError: it cannot be decoded.
        """
        folder = self._required(self.files.images, "images")
        path = f"{folder}/{filename}"
        label = self.files.storage.label(path)
        try:
            with self.files.storage.open(path) as stream:
                return upright(read_image(stream, label), label)
        except FileNotFoundError:
            raise DataNotFoundError(f"{label} does not exist; {HOW_TO_GET}") from None
        except ImageError as error:
            raise DataError(
                label, "", f"not a complete image (it {error.reason}); download or generate it again"
            ) from None
        except DAMAGED_ZIP as error:
            raise DataError(label, "", f"not a complete image ({error}); download or generate it again") from None

    def _records(self, path: str, key: str) -> JsonRecords:
        storage = self.files.storage_of(path)
        return JsonRecords(lambda: storage.open(path), storage.label(path), key)

    def _with_images(self, questions: Iterable[Question], file: str) -> Iterator[Question]:
        for number, question in enumerate(questions):
            if question.image_filename not in self.images:
                folder = self.files.storage.label(self.files.images or "")
                problem = f"asks about {question.image_filename}, which is not in {folder}; get that image"
                raise DataError(file, f"record {number} of 'questions'", problem)
            yield question

    def _required(self, part: str | None, what: str) -> str:
        if part is None:
            where = self.files.storage.label("")
            raise DataNotFoundError(f"the split {self.files.split!r} of {where} has no {what}. {HOW_TO_GET}")
        return part


def read_questions(file: str | Path, *, text_only: bool = False) -> Iterator[Question]:
    """The questions of one JSON file, whatever lies around it.

    Args:
        file: ``{"questions": [...]}`` or a bare list of records.
        text_only: the questions belong to no image.
    Raises:
        DataNotFoundError: there is no such file.
        DataError: while iterating; a record is malformed.
    """
    path = Path(file)
    if not path.is_file():
        raise DataNotFoundError(f"{path} does not exist; expected a JSON file of questions")
    storage = FolderStorage(path.parent)
    records = JsonRecords(lambda: storage.open(path.name), str(path), "questions")
    return parse_questions(records, str(path), text_only=text_only)
