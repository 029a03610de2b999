"""``clevr-film inspect``: summarises and checks a data set in CLEVR's format."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clevr.config.commands import InspectConfig
from clevr.data.contact_sheet import SheetEntry, contact_sheet, ground_truth_image
from clevr.data.errors import DataNotFoundError
from clevr.data.layout import list_splits
from clevr.data.reader import ClevrSplit
from clevr.data.survey import ATTRIBUTES, Survey, survey
from clevr.questions.families import ALL_FAMILIES
from clevr.questions.programs import QUESTION_TYPES, Node, question_type
from clevr.world.camera import camera_of
from clevr.world.ground_truth import ground_truth
from fewshot_film.errors import counted
from fewshot_film.run.files import write_atomically, write_json_atomically

logger = logging.getLogger(__name__)

PROBLEMS_SHOWN = 20


def run(config: InspectConfig) -> int:
    """Print what the splits hold.

    Returns:
        0, or 1 if something is wrong with the data.

    Raises:
        DataNotFoundError: there is no such split, or a part of it that the sheet needs is missing.
        DataError: a file cannot be read, or one of its records is malformed.
    """
    names = [config.split] if config.split else list_splits(config.data)
    if not names:
        ClevrSplit.open(config.data, "train")  # says what was looked for
    surveys = []
    for name in names:
        split = ClevrSplit.open(config.data, name, humans=config.humans)
        found = survey(split)
        surveys.append(found)
        sys.stdout.write("\n".join(describe(found, families=config.families)) + "\n\n")
        if config.sheet:
            path = config.sheet
            path = path.with_stem(f"{path.stem}-{name}") if len(names) > 1 else path
            _write_sheet(split, path, config)
    if config.out:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(config.out, {found.split: found.to_json() for found in surveys})
    return 1 if any(found.problems for found in surveys) else 0


def describe(found: Survey, *, families: bool = False) -> list[str]:
    """The lines that are printed about a split."""
    lines = [
        f"{found.split}: {found.image_sizes.total():,} images, "
        f"{counted(found.num_scenes, 'scene')}, {counted(found.num_questions, 'question')}"
    ]
    if found.image_sizes:
        lines += [f"sizes in pixels: {_listed({f'{w}x{h}': n for (w, h), n in found.image_sizes.items()})}"]
    if found.questions_per_image:
        lines += [f"questions per image: {_spread(found.num_questions_per_image)}"]
        lines += [f"words per question: {_spread(found.question_lengths)}"]
    if found.program_lengths:
        lines += [f"nodes per program: {_spread(found.program_lengths)}"]
    if found.objects_per_scene:
        lines += [f"objects per scene: {_spread(found.objects_per_scene)}"]
        lines += [f"{name}: {_shares(found.objects[name])}" for name in ATTRIBUTES]
    if found.answers:
        lines += ["", f"answers: {_shares(found.answers)}"]
    if found.answers_by_function:
        lines += ["", *_types(found)]
    if found.answers_by_family:
        lines += ["", *_families(found, families)]
    return [*lines, "", *_verdict(found)]


def _types(found: Survey) -> list[str]:
    """The five types, and below each its functions if it has several."""
    rows = []
    for kind in QUESTION_TYPES:
        functions = {
            name: answers
            for name, answers in sorted(found.answers_by_function.items())
            if question_type((Node(name),)) == kind
        }
        if functions:
            rows.append(_row(kind, list(functions.values()), found.num_questions))
        if len(functions) > 1:
            rows += [_row(f"  {name}", [answers], found.num_questions) for name, answers in functions.items()]
    return _table(("question type", *_COLUMNS), rows)


def _families(found: Survey, each: bool) -> list[str]:
    """Groups of families, or every family."""
    by_name: dict[str, list[Counter[str]]] = {}
    for index in sorted(found.answers_by_family):
        family = ALL_FAMILIES[index] if index < len(ALL_FAMILIES) else None
        group = family.group if family else "other"
        asks = f" {family.asks} {', '.join(family.about)}" if family else ""
        name = f"{index:2} {group}{asks}" if each else group
        by_name.setdefault(name, []).append(found.answers_by_family[index])
    rows = [_row(name, members, found.num_questions) for name, members in by_name.items()]
    return _table(("family" if each else "group of families", *_COLUMNS), rows)


_COLUMNS = ("questions", "share", "answers", "majority right", "at most")


def _row(name: str, members: Sequence[Counter[str]], num_questions: int) -> tuple[str, ...]:
    """Counts of some kinds of question, and how often the most common answer of each kind is right.

    The last column is that of the kind where it is right most often.
    """
    count = sum(answers.total() for answers in members)
    right = [max(answers.values()) for answers in members]
    highest = max(most / answers.total() for most, answers in zip(right, members, strict=True))
    num_answers = len({answer for answers in members for answer in answers})
    share = f"{count / num_questions:.1%}"
    return name, f"{count:,}", share, str(num_answers), f"{sum(right) / count:.1%}", f"{highest:.1%}"


def _verdict(found: Survey) -> list[str]:
    checked = f"{found.num_executed:,} answers checked by executing their programs"
    if not found.problems:
        return [f"no problems; {checked}"]
    shown = [f"  {problem}" for problem in found.problems[:PROBLEMS_SHOWN]]
    more = len(found.problems) - len(shown)
    if more:
        shown.append(f"  and {more:,} more")
    return [f"{len(found.problems):,} problems; {checked}", *shown]


def _write_sheet(split: ClevrSplit, path: Path, config: InspectConfig) -> None:
    names = sorted(split.images)
    if not names:
        raise DataNotFoundError(f"the split {split.files.split!r} has no images for a contact sheet")
    step = max(1, len(names) // config.images)
    entries = {name: SheetEntry(name, split.load_image(name)) for name in names[::step][: config.images]}
    if config.ground_truth:
        _add_ground_truth(split, entries)
    for question in split.questions() if split.files.questions else ():
        entry = entries.get(question.image_filename)
        if entry and len(entry.questions) < config.questions:
            entry.questions.append((question.question, question.answer or "?"))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(list(entries.values()))
    write_atomically(path, lambda temporary: sheet.save(temporary, format="png"))
    logger.info("contact sheet: %s", path)


def _add_ground_truth(split: ClevrSplit, entries: Mapping[str, SheetEntry]) -> None:
    """Draw what is where into the images of a sheet."""
    for scene in split.scenes():
        entry = entries.get(scene.image_filename)
        if entry is not None:
            seen = replace(scene, extra={**scene.extra, "camera": camera_of(scene)})
            entry.image = ground_truth_image(entry.image, ground_truth(seen, *entry.image.size))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns under their heads, the first one flush left."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  ".join(
            word.ljust(width) if column == 0 else word.rjust(width)
            for column, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _spread(counts: Counter[int]) -> str:
    """Least, mean and most of a counted number."""
    mean = sum(value * count for value, count in counts.items()) / counts.total()
    return f"{min(counts)} to {max(counts)}, {mean:.1f} on average"


def _shares(counts: Counter[str]) -> str:
    total = counts.total()
    return ", ".join(f"{name} {count / total:.1%}" for name, count in counts.most_common())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())
