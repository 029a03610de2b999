"""``clevr-film evaluate``: accuracy by every kind of question, confusions, and predictions for CLEVR's test server."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clevr.answers.predict import check_words, predict
from clevr.answers.report import markdown, predictions_json, short
from clevr.answers.scores import evaluate, infer_types
from clevr.config.commands import EvaluateConfig
from clevr.data.batches import load_reasoning_data
from clevr.data.contact_sheet import answer_sheet
from clevr.data.reader import ClevrSplit
from clevr.data.table import QuestionTable
from clevr.reasoning.loading import load
from fewshot_film.errors import counted
from fewshot_film.run.files import write_atomically, write_json_atomically, write_text_atomically
from fewshot_film.run.results import write_result
from fewshot_film.run.runtime import choose_device

logger = logging.getLogger(__name__)


def run(config: EvaluateConfig) -> None:
    """Answer, judge, print and write.

    Raises:
        SavedModelError: there is no such model, or it is damaged.
        DataNotFoundError: there is no such split, or a part of it is missing.
        DataError: a record or an image is wrong.
        QuestionError: the model's vocabulary is another one.
    """
    table, answers = _answer(config)
    if config.predictions:
        config.predictions.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(config.predictions, predictions_json(table, answers))
        logger.info("wrote %s to %s", counted(len(table), "answer"), config.predictions)
    if config.sheet:
        _write_sheet(config, table, answers)
    if (table.answer < 0).all():
        _say_unanswered(config)
    else:
        _judge(config, table, answers)


def _answer(config: EvaluateConfig) -> tuple[QuestionTable, NDArray[np.int64]]:
    """The questions, and the model's answers to them."""
    reasoner = load(config.model)
    data = load_reasoning_data(
        config.data,
        config.split,
        reasoner.config,
        reasoner.vocabulary,
        cache=config.cache,
        humans=config.humans,
        features=config.features,
    )
    note = check_words(data, reasoner.vocabulary)
    if note:
        logger.warning("%s", note)
    reasoner.to(choose_device(config.device))
    found = predict(reasoner, data, limit=config.questions, size=config.batch_size, sure=config.sure)
    return data.table.select(found.numbers), found.answers


def _judge(config: EvaluateConfig, table: QuestionTable, answers: NDArray[np.int64]) -> None:
    """Compare the answers with the right ones, print and write."""
    if not config.humans:
        table = infer_types(table)
    split = ClevrSplit.open(config.data, config.split)
    known = None
    if config.common_answers:
        known = ClevrSplit.open(config.data, config.common_answers).table(config.cache)
    evaluation = evaluate(table, answers, num_objects=_num_objects(split), known=known)
    title = f"{Path(config.model).name} on {'Humans questions of ' * config.humans}{config.split}"
    rest = f"in {config.out.with_suffix('.md')}" if config.out else "written by --out FILE.json"
    _write(short(evaluation, title, rest), config, evaluation.to_json())
    if config.out:
        write_result(config.out, config=config, seed=0, results=evaluation.to_json())
        write_text_atomically(config.out.with_suffix(".md"), markdown(evaluation, title))


def _say_unanswered(config: EvaluateConfig) -> None:
    """What is said of a split whose answers are secret."""
    asked = {"--out": config.out, "--common_answers": config.common_answers}
    unused = [name for name, value in asked.items() if value]
    rest = f"; {' and '.join(unused)} cannot be used" if unused else ""
    logger.warning("the questions of %s have no answers to compare with%s", config.split, rest)
    _write("", config, None)


def _write(text: str, config: EvaluateConfig, results: dict[str, Any] | None) -> None:
    """The text, or the numbers as one JSON document, to standard output."""
    if config.format == "json":
        content = {"model": config.model, "data": str(config.data), "split": config.split, "results": results}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_sheet(config: EvaluateConfig, table: QuestionTable, answers: NDArray[np.int64]) -> None:
    assert config.sheet is not None
    config.sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet = answer_sheet(ClevrSplit.open(config.data, config.split), table, answers)
    write_atomically(config.sheet, lambda temporary: sheet.save(temporary, format="png"))
    logger.info("wrote a sheet of images with questions and answers to %s", config.sheet)


def _num_objects(split: ClevrSplit) -> dict[str, int] | None:
    """Objects in the scene of each image, where there are scenes."""
    if split.files.scenes is None:
        return None
    return {scene.image_filename: len(scene.objects) for scene in split.scenes()}
