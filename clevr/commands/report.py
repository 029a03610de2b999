"""``clevr-film report``: one HTML file about a training of the reasoning model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.analysis.histograms import analyse
from clevr.analysis.subject import Subject, read
from clevr.answers.predict import predict
from clevr.answers.report import COLUMNS, PUBLISHED, kinds_of
from clevr.answers.scores import evaluate
from clevr.config.commands import SURE, ReportConfig
from clevr.config.model import TrainConfig
from clevr.data.batches import ReasoningData, load_reasoning_data
from clevr.data.contact_sheet import answer_sheet
from clevr.data.errors import DataNotFoundError
from clevr.data.reader import ClevrSplit
from clevr.reasoning.blocks import ReasoningBlock
from clevr.reasoning.loading import load
from clevr.reasoning.network import Reasoner
from clevr.reasoning.trunk import on_grid
from fewshot_film.errors import ConfigError, counted
from fewshot_film.film import Modulation, film
from fewshot_film.run.figures import Bar, FilmedMaps, bars, confusion, feature_maps
from fewshot_film.run.parsing import parse
from fewshot_film.run.report import Report, add_run
from fewshot_film.run.runtime import choose_device

logger = logging.getLogger(__name__)


def run(config: ReportConfig) -> None:
    """Read the run, ask its model, write the page.

    Raises:
        RunFolderError: there is no such run.
        SavedModelError: its model is damaged.
        ConfigError: the evaluation is none.
    """
    report = Report(f"Run {config.run}", config.figures)
    add_run(report, config.run)
    if config.evaluation is not None:
        add_accuracy(report, _read_evaluation(config.evaluation), str(config.evaluation))
    if (config.run / "model").is_dir():
        try:
            _add_model(report, config)
        except DataNotFoundError as error:
            logger.warning("the report shows no answers: %s", error)
            report.section("Answers")
            report.text(f"Not shown: {error}. Use --data if the questions have been moved.")
    else:
        report.section("Model")
        report.text("None yet: training has not finished.")
    out = config.out or config.run / "report.html"
    report.write(out)
    logger.info("wrote %s", out)


def add_accuracy(report: Report, evaluation: Mapping[str, Any], origin: str) -> None:
    """Accuracy by question type and number of relations, and what is taken for what.

    Args:
        report: the page.
        evaluation: as :meth:`clevr.answers.scores.Evaluation.to_json` makes it.
        origin: where the numbers are from.
    """
    scores = {"overall": evaluation["overall"], **evaluation["by"].get("type", {})}
    published = dict(zip(COLUMNS, PUBLISHED["FiLM, pixels"], strict=True))
    report.section("Accuracy by type of question")
    chart = [_bar(name, score, published.get(name)) for name, score in scores.items()]
    count = counted(evaluation["overall"]["count"], "question")
    report.figure(
        "accuracy", bars(chart, reference="FiLM on CLEVR, published"), f"{count}, {origin}. Intervals are Wilson's."
    )
    rows = [
        (name, f"{score['count']:,}", f"{100 * score['accuracy']:.1f}", "{:.1f} to {:.1f}".format(*_ends(score)))
        for name, score in scores.items()
    ]
    report.table(["type", "questions", "accuracy, %", "95 % interval"], rows)
    for kind, heading in (("hops", "relations followed"), ("function", "last function")):
        if kind in evaluation["by"]:
            chart = [_bar(name, score) for name, score in evaluation["by"][kind].items()]
            report.figure(f"accuracy_{kind}", bars(chart), f"Accuracy by {heading}.")
    names, counts = evaluation["confusion"]["answers"], np.array(evaluation["confusion"]["counts"], dtype=np.float64)
    known = [word for words in kinds_of().values() for word in words if word in names]
    by_kind = [names.index(word) for word in dict.fromkeys((*known, *names))]
    used = [place for place in by_kind if counts[place].sum() or counts[:, place].sum()]
    rows_total = counts.sum(1, keepdims=True)
    shares = np.divide(counts, rows_total, out=np.full_like(counts, np.nan), where=rows_total > 0)[np.ix_(used, used)]
    report.section("Confusions")
    caption = "Share of the questions with the answer in the row that were answered as in the column."
    figure = confusion([names[place] for place in used], shares, ("right answer", "answered"))
    report.figure("confusion", figure, caption, vector=False)


def _bar(name: str, score: Mapping[str, Any], reference: float | None = None) -> Any:
    return Bar(name, 100 * score["accuracy"], *_ends(score), reference)


def _ends(score: Mapping[str, Any]) -> tuple[float, float]:
    low, high = score["interval"]
    return 100 * low, 100 * high


def _read_evaluation(path: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"]
        missing = {"overall", "by", "confusion"} - results.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"evaluation {path} cannot be read ({error}); give a file written by `evaluate --out`"
        ) from None
    if missing:
        raise ConfigError(
            f"evaluation {path} has no {', '.join(sorted(missing))}; give a file written by `evaluate --out`"
        )
    return results


def _add_model(report: Report, config: ReportConfig) -> None:
    trained: TrainConfig = parse("report", TrainConfig, ["--config", str(config.run / "config.yaml")])
    root, split = config.data or trained.data.root, config.split or trained.data.val_split
    cache = None if config.data else trained.data.cache
    reasoner = load(config.run / "model").to(choose_device(config.device))
    data = load_reasoning_data(
        root,
        split,
        reasoner.config,
        reasoner.vocabulary,
        cache=cache,
        humans=trained.data.humans,
        features=trained.data.features,
    )
    found = predict(reasoner, data, limit=config.questions, sure=SURE)
    table = data.table.select(found.numbers)
    if config.evaluation is None and (table.answer >= 0).any():
        add_accuracy(report, evaluate(table, found.answers).to_json(), f"the first of {split} in {root}")
    report.section("Images with questions and answers")
    sheet = answer_sheet(ClevrSplit.open(root, split), table, found.answers, images=4, questions=5)
    report.image("answers", sheet, "Wrong answers are marked, with the true answer.")
    if reasoner.sites:
        report.section("Gamma and beta")
        figure = analyse(Subject(reasoner, data, {}, data.table, config.questions, 0)).figure
        report.figure("modulations", figure, f"Values for questions of {split}, by block.")
        _add_maps(report, reasoner, data)


def _add_maps(report: Report, reasoner: Reasoner, data: ReasoningData) -> None:
    number = int((data.table.image == data.table.image[0]).nonzero()[0][-1])  # a question about the first image
    question = data.table.texts[number]
    report.section("Feature maps before and after FiLM")
    maps = filmed_maps(reasoner, data, number)
    name = data.table.images[int(data.table.image[number])]
    caption = f"{name}: {question} In each block, the maps that FiLM changes most."
    report.figure("feature_maps", feature_maps(maps), caption, vector=False)


def filmed_maps(reasoner: Reasoner, data: ReasoningData, number: int) -> list[FilmedMaps]:
    """What FiLM does in every modulated block for one question.

    Args:
        reasoner: in evaluation mode.
        data: questions and images.
        number: of the question.
    """
    device = next(reasoner.parameters()).device
    image = torch.from_numpy(np.asarray(data.images[data.table.image[number : number + 1].astype(np.int64)]))
    with torch.no_grad(), _inputs_of_film(reasoner) as inputs:
        codes = read(reasoner, [reasoner.vocabulary.encode(data.table.texts[number])])
        values = reasoner.modulations(codes)
        maps = reasoner.encode_image(image.to(device))
        reasoner.reason(maps, torch.zeros(1, dtype=torch.int64, device=device), values, codes)
    cells, grid = reasoner.cells(maps), reasoner.config.grid
    # of a model that takes several hops: the last one, which answers
    asked = {name: Modulation(gamma[-1:], beta[-1:]) for name, (gamma, beta) in values.items()}

    def drawn(x: Tensor) -> NDArray[np.float32]:
        shown: NDArray[np.float32] = (x if cells is None else on_grid(x, cells, grid))[0].float().cpu().numpy()
        return shown

    def plain(x: Tensor) -> NDArray[np.float32]:
        values: NDArray[np.float32] = x[0].float().cpu().numpy()
        return values

    return [
        FilmedMaps(name, drawn(before), drawn(film(before, *asked[name])), *map(plain, asked[name]))
        for name, before in inputs.items()
    ]


@contextmanager
def _inputs_of_film(reasoner: Reasoner) -> Iterator[dict[str, Tensor]]:
    """What goes into the FiLM of every modulated block while the context is open, by its site."""
    inputs: dict[str, Tensor] = {}
    handles = []
    for site in reasoner.sites:
        block = reasoner.get_submodule(site.name)
        assert isinstance(block, ReasoningBlock)
        # behind the normalisation FiLM and ReLU are one operation: what goes into it is taken from the layer before
        if block.position == "norm":
            handles.append(block.norm.register_forward_hook(partial(_keep_output, inputs, site.name)))
        else:
            handles.append(block.film.register_forward_hook(partial(_keep_input, inputs, site.name)))
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


def _keep_output(seen: dict[str, Tensor], name: str, module: object, args: tuple[Tensor, ...], output: Tensor) -> None:
    seen[name] = output


def _keep_input(seen: dict[str, Tensor], name: str, module: object, args: tuple[Tensor, ...], output: Tensor) -> None:
    seen[name] = args[0]
