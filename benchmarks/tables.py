"""Tables of README and docs, made from the result files: ``python -m benchmarks.tables`` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import clevr
from benchmarks import clevr_second_look, clevr_tables, core_hours, cross_domain, film_networks, ideas, maml, overview
from benchmarks.experiment import ROOTS_MIRRORED
from benchmarks.heads import CLOSED_FORM, FIRST, HeadsConfig, cell, closed_form_seconds, marked
from benchmarks.methods import as_cells, as_gain
from benchmarks.photos.answers import ANSWERS
from benchmarks.photos.report import TABLES as PHOTOS_TABLES
from benchmarks.published import HEADS_PUBLISHED, IMBALANCE_PUBLISHED, PUBLISHED, VEILLEUX, Published
from benchmarks.reliability import table as reliability_table
from clevr.answers.report import PUBLISHED as CLEVR_PUBLISHED
from clevr.config.model import ReasonerConfig
from clevr.questions.families import CLOSURE_GROUPS
from clevr.questions.programs import QUESTION_TYPES
from clevr.reasoning.network import FiLMReasoner

HERE = Path(__file__).resolve().parent
_DOCS = HERE.parent / "docs"
PAGES = (
    HERE.parent / "README.md",
    *(_DOCS / f"{page}.md" for page in ("results", "photos", "core-hours", "clevr-reasoning")),
)
"""Texts with tables in them."""
_MODELS = {"pretrain": "pre-trained", "train": "meta-trained"}


def read_result(name: str) -> dict[str, Any]:
    """A result file by its name."""
    content: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def few_shot(name: str, title: str) -> str:
    """An experiment of `benchmarks.experiment`: both trainings beside the published numbers, and our gap."""
    results = read_result(name)["results"]
    ours = {stage: results[stage]["test"] for stage in ("pretrain", "train")}
    best = results.get("chosen_by_validation", "train")
    minutes = (results["pretrain"]["seconds"] + results["train"]["seconds"]) / 60
    lines = _beside_published(
        title,
        {"pre-trained only": ours["pretrain"], "Simple CNAPS": ours["train"]},
        ours[best],
        PUBLISHED[name],
        f"Pre-training and meta-training took {minutes:.0f} minutes. {_chosen(best, PUBLISHED[name][-1].method)}"
        f"{_features(results)}",
    )
    return "\n".join(lines)


def evaluated(name: str, title: str, column: str, published: str) -> str:
    """A result file of ``fewshot-film evaluate`` beside the published numbers, and our gap.

    Args:
        name: of the result file.
        title: of the table.
        column: what was evaluated.
        published: whose numbers stand beside it, a key of `PUBLISHED`.
    """
    ours = read_result(name)["results"]
    return "\n".join(_beside_published(title, {column: ours}, ours, PUBLISHED[published], ""))


def _beside_published(
    title: str,
    columns: Mapping[str, dict[str, Any]],
    best: dict[str, Any],
    methods: Sequence[Published],
    remark: str,
) -> list[str]:
    """Lines of a table: our columns, those of others, the gap of our best one to the last of them, and the sources."""
    sources = list(dict.fromkeys(method.source for method in methods))
    heads = [f"{method.method} [{1 + sources.index(method.source)}]" for method in methods]
    lines = [
        f"| {title}, 600 episodes, accuracy in % | {' | '.join([*columns, *heads])} | gap |",
        f"| --- {'| ---: ' * (len(columns) + len(heads) + 1)}|",
    ]
    for task, row in best.items():
        published = [method.percent[task] for method in methods]
        cells = [*(_share(ours[task]) for ours in columns.values()), *(f"{value:.1f}" for value in published)]
        lines.append(f"| {task} | {' | '.join(cells)} | {100 * row['mean'] - published[-1]:+z.1f} |")
    notes = [f"[{number}] Published: {source}." for number, source in enumerate(sources, 1)]
    return [*lines, f"\n{remark}\n" if remark else "", "<br>\n".join(notes)]


def _chosen(stage: str, method: str) -> str:
    return f"The gap is between the {_MODELS[stage]} model and {method}."


def _features(results: Mapping[str, Any]) -> str:
    """A sentence on the models whose features validation classes preferred changed."""
    changed = [model for stage, model in _MODELS.items() if results[stage].get("features") == ROOTS_MIRRORED]
    if not changed:
        return ""
    whose = "both models" if len(changed) == len(_MODELS) else f"the {changed[0]} model"
    return f" Features of {whose} are square roots, averaged over mirror images."


def gains(name: str, title: str) -> str:
    """Accuracies of `paired` over several domains, and the gains of the first learner over the others."""
    results = read_result(name)["results"]
    domains = {domain: rows for domain, rows in results.items() if isinstance(rows, dict) and _is_paired(rows)}
    (first, *others) = next(iter(next(iter(domains.values())).values()))["accuracy"]
    heads = [title, "task", first, *others, *(f"gain over {other}" for other in others)]
    lines = [f"| {' | '.join(heads)} |", "| --- | --- " + "| ---: " * (len(heads) - 2) + "|"]
    for domain, rows in domains.items():
        for task, row in rows.items():
            lines.append(f"| {domain} | {task} | {' | '.join(as_cells(row))} |")
    return "\n".join(lines)


def methods(name: str, title: str) -> str:
    """Accuracies of `paired` in one domain, a row a method, and the paired gain of the first over each."""
    (rows,) = read_result(name)["results"].values()
    first, *others = next(iter(rows.values()))["accuracy"]
    scores = " | ".join(f"{_share(row['accuracy'][first])} | " for row in rows.values())
    lines = [
        f"| {title} | {' | '.join(f'{task} | gain of {first}' for task in rows)} |",
        f"| --- {'| ---: | ---: ' * len(rows)}|",
        f"| {first} | {scores} |",
    ]
    for other in others:
        cells = [f"{_share(row['accuracy'][other])} | {as_gain(row['gain'][other])}" for row in rows.values()]
        lines.append(f"| {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def heads(name: str, title: str, *more: str) -> str:
    """A result file of `benchmarks.heads`: a row per head, with published numbers and what unbalanced queries cost.

    Args:
        name: of the result file.
        title: of the table.
        more: names of result files with further heads on the same features and episodes.
    """
    rows = read_result(name)["results"]
    for other in more:
        rows = with_more_heads(rows, read_result(other)["results"])
    order = [FIRST, *HeadsConfig(root="").methods]
    listed = sorted(next(iter(rows.values()))["accuracy"], key=order.index)
    published = {head: HEADS_PUBLISHED[name].get(head, (None, None)) for head in listed}
    sources = list(dict.fromkeys(one.source for both in published.values() for one in both if one))
    number = len(sources) + 1
    columns = [title, *rows, "published, 4 layers", "published, larger", "cost of imbalance", f"published [{number}]"]
    lines = [f"| {' | '.join(columns)} |", f"| --- {'| ---: ' * (len(columns) - 1)}|"]
    for head in listed:
        theirs = [
            f"{_slashed(one.percent.values(), '.1f')} [{1 + sources.index(one.source)}]" if one else ""
            for one in published[head]
        ]
        costs = [
            100 * (rows[f"{task}, unbalanced"]["accuracy"][head]["mean"] - row["accuracy"][head]["mean"])
            for task, row in rows.items()
            if f"{task}, unbalanced" in rows
        ]
        cells = [marked(head), *(cell(row, head) for row in rows.values()), *theirs, _slashed(costs, "+z.1f")]
        lines.append(f"| {' | '.join(cells)} | {_slashed(IMBALANCE_PUBLISHED.get(head, ()), '+z.1f')} |")
    notes = [f"[{number}] Published: {source}." for number, source in enumerate([*sources, VEILLEUX], 1)]
    count, seconds = len([one for one in CLOSED_FORM if one in listed]), closed_form_seconds(rows)
    notes.append(f"{count} heads in closed form together: {seconds:.0f} s of one core on all balanced episodes.")
    absent = [head for head in order if head not in listed]
    if absent:
        notes.append(f"Not measured on these features: {', '.join(absent)}.")
    return "\n".join([*lines, "", "<br>\n".join(notes)])


def with_more_heads(rows: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Results of `benchmarks.heads` with the heads of another run.

    Raises:
        ValueError: the runs have other episodes, or features on which the first head gives something else.
    """
    found: dict[str, Any] = {}
    for task, row in rows.items():
        other = others[task]
        theirs, ours = (one["accuracy"][FIRST]["values"] for one in (other, row))
        if other["episodes_sha256"] != row["episodes_sha256"] or not np.allclose(theirs, ours, atol=0.05):
            raise ValueError(f"{task}: the runs differ in their episodes or features; expected those of one model")
        merged = {key: {**row[key], **other[key]} for key in ("accuracy", "gain", "seconds")}
        found[task] = {**row, **merged, "accuracy": {**merged["accuracy"], FIRST: row["accuracy"][FIRST]}}
    return found


def _slashed(numbers: Iterable[float], form: str) -> str:
    return " / ".join(format(number, form) for number in numbers)


def cross_domain_table() -> str:
    """The gains of heads on domains of photos."""
    content = read_result(cross_domain.NAME)
    return cross_domain.as_table(content["results"], content["config"]["shots"])


def maml_tables() -> str:
    """MAML's family beside learn2learn's loop, a table for each set of images."""
    names = {"omniglot": "Omniglot", "cifar-fs": "CIFAR-FS"}
    results = read_result("maml")["results"]
    written = [maml.as_table(names[source], found["methods"]) for source, found in results.items()]
    rows = [row for found in results.values() for row in found["methods"].values() if "gain" in row]
    longer = {
        times: sorted(100 * (row[times]["ours"] / row[times]["learn2learn"] - 1) for row in rows)
        for times in ("train_ms", "test_ms")
    }
    training, tests = (f"{found[0]:+.1f} to {found[-1]:+.1f} %" for found in longer.values())
    return "\n\n".join(
        [*written, f"An episode here against one of learn2learn's loop: training {training}, tests {tests}."]
    )


def maml_rounding() -> str:
    """How far MAML's gradient moves where the first weights change by one unit in the last place."""
    return maml.rounding_table(read_result("maml")["results"])


def _is_paired(rows: Mapping[str, Any]) -> bool:
    return all(isinstance(row, dict) and "gain" in row for row in rows.values())


def clevr_small() -> str:
    """The reasoning model that comes with the package, by question type, beside the paper's."""
    results = read_result("clevr_small")["results"]
    scores = {"overall": results["overall"], **results["by"]["type"]}
    columns = ("overall", *QUESTION_TYPES)
    ours = [f"{100 * scores[column]['accuracy']:.1f}" for column in columns]
    counts = [f"{scores[column]['count']:,}" for column in columns]
    published = [f"{value:.1f}" for value in CLEVR_PUBLISHED["FiLM, pixels"] if value is not None]
    with torch.device("meta"):  # the paper's model, without room for its weights
        papers = FiLMReasoner(ReasonerConfig())
    size = f"{_num_parameters(papers) / _num_parameters(clevr.load('clevr-small')):.0f} times the parameters"
    lines = [
        f"| accuracy in % | {' | '.join(columns)} |",
        f"| --- {'| ---: ' * len(columns)}|",
        f"| clevr-small, generated world | {' | '.join(ours)} |",
        f"| questions | {' | '.join(counts)} |",
        f"| FiLM from pixels, CLEVR v1.0 [1] | {' | '.join(published)} |",
        f"\n[1] Published: Perez et al., FiLM, AAAI 2018, table 1; {size}, another set of images.",
    ]
    return "\n".join(lines)


_CLOSURE_ROWS = {
    "clevr_closure": "clevr-small, hop by hop",
    "clevr_closure_blocks": "the whole question at once (`small-blocks.yaml`)",
    "clevr_closure_real": "clevr-small, nine images of CLEVR itself",
}


def clevr_closure() -> str:
    """Accuracy on CLOSURE's seven kinds of questions, which no training has, of a model that follows hops and of one
    that does not.
    """
    lines = [
        f"| accuracy in % | questions | overall | {' | '.join(f'`{name}`' for name in CLOSURE_GROUPS)} |",
        f"| --- | ---: | ---: {'| ---: ' * len(CLOSURE_GROUPS)}|",
    ]
    for name, title in _CLOSURE_ROWS.items():
        results = read_result(name)["results"]
        scores = [results["overall"], *(results["by"]["family"][group] for group in CLOSURE_GROUPS)]
        cells = [f"{results['overall']['count']:,}", *(f"{100 * score['accuracy']:.1f}" for score in scores)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines.append(
        "\nPublished, on CLOSURE itself: grounded latent trees, from answers alone, 96.1 % over all kinds (Bogin et "
        "al., TACL 2021)."
    )
    return "\n".join(lines)


def clevr_seen() -> str:
    """What clevr-small sees of every object, by how much of it is visible."""
    results = read_result("clevr_seen")["results"]
    columns = {
        "found": "found",
        "size": "size",
        "color": "colour",
        "material": "material",
        "shape": "shape",
        "all": "all four",
    }
    lines = [
        f"| right in % | objects | {' | '.join(columns.values())} |",
        f"| --- | ---: {'| ---: ' * len(columns)}|",
    ]
    for group, scores in results.items():
        shares = " | ".join(f"{100 * scores[name]['accuracy']:.1f}" for name in columns)
        lines.append(f"| {group} | {scores['all']['count']:,} | {shares} |")
    return "\n".join(lines)


def second_look() -> str:
    """What further views of an image are worth, by how often there are any."""
    return clevr_second_look.as_table(read_result("clevr_second_look")["results"])


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def summary() -> str:
    """One row per benchmark: accuracies of its first two tasks, for CLEVR of all questions, beside published ones."""
    lines = [
        "| benchmark | method here | accuracy, % | published method | accuracy, % | gap |",
        "| --- | --- | ---: | --- | ---: | ---: |",
    ]
    sources: list[str] = []
    for name, title in _SUMMARISED.items():
        results = read_result(name)["results"]
        chosen = results.get("chosen_by_validation", "train")
        ours = list(results[chosen]["test"].items())[:2]
        method = _CHOSEN[chosen] + (f" in {_minutes(results)} minutes" if "_record" in name else "")
        lines.append(_summary_row(f"{title}, 5-way, 1-shot / 5-shot", method, ours, PUBLISHED[name][-1], sources))
    ours = read_result("clevr_small")["results"]["overall"]
    low, high = ours["interval"]
    row = {"mean": ours["accuracy"], "interval": (high - low) / 2}
    (paper, *_) = (value for value in CLEVR_PUBLISHED["FiLM, pixels"] if value is not None)
    papers = Published("FiLM from pixels, CLEVR v1.0", "Perez et al., FiLM, AAAI 2018, table 1", {"all": paper})
    lines.append(_summary_row("CLEVR, all questions, generated world", "clevr-small", [("all", row)], papers, sources))
    notes = "<br>\n".join(f"[{number}] {source}." for number, source in enumerate(sources, 1))
    return "\n".join([*lines, "", notes])


_SUMMARISED = {"omniglot": "Omniglot", "cifar_fs": "CIFAR-FS", "cifar_fs_record_long": "CIFAR-FS", "fc100": "FC100"}
"""Result files of few-shot experiments, and the names of their images."""
_CHOSEN = {"train": "Simple CNAPS", "pretrain": "Mahalanobis classifier, pre-trained network"}
"""What a few-shot experiment's row shows, by the stage that validation prefers."""


def _minutes(results: dict[str, Any]) -> int:
    """What the trainings of a few-shot experiment took."""
    return round(sum(float(stage["seconds"]) for stage in core_hours.stages_of(results).values()) / 60)


def _summary_row(title: str, method: str, ours: Sequence[tuple[str, Any]], best: Published, sources: list[str]) -> str:
    if best.source not in sources:
        sources.append(best.source)
    published = [best.percent[task] for task, _ in ours]
    accuracies = " / ".join(f"{100 * row['mean']:.1f} ± {100 * row['interval']:.1f}" for _, row in ours)
    theirs = " / ".join(f"{value:.1f}" for value in published)
    gaps = " / ".join(_signed(100 * row["mean"] - value) for (_, row), value in zip(ours, published, strict=True))
    reference = f"{best.method} [{1 + sources.index(best.source)}]"
    return f"| {title} | {method} | {accuracies} | {reference} | {theirs} | {gaps} |"


def _signed(gap: float) -> str:
    """A difference to one decimal, with its sign unless it is 0."""
    text = f"{gap:+z.1f}"
    return text.removeprefix("+") if text == "+0.0" else text


def reliability() -> str:
    """What the attempts to break the commands came to."""
    return reliability_table.markdown(read_result("reliability")["results"])


TABLES: dict[str, Callable[[], str]] = {
    "summary": summary,
    "omniglot": partial(few_shot, "omniglot", "Omniglot, 28 x 28"),
    "cifar_fs": partial(few_shot, "cifar_fs", "CIFAR-FS, 32 x 32"),
    "fc100": partial(few_shot, "fc100", "FC100, 32 x 32"),
    "mini_imagenet": partial(few_shot, "mini_imagenet", "mini-ImageNet, 84 x 84"),
    "cifar_fs_pretrained": partial(
        evaluated, "cifar_fs_pretrained", "CIFAR-FS, 32 x 32", "pre-trained, Mahalanobis classifier", "cifar_fs"
    ),
    "cifar_fs_methods": partial(methods, "cifar_fs_methods", "CIFAR-FS, 32 x 32, 600 episodes, accuracy in %"),
    "heads_cifar_fs": partial(heads, "heads_cifar_fs", "CIFAR-FS, 32 x 32, accuracy in %"),
    "heads_cifar_fs_record_long": partial(heads, "heads_cifar_fs_record_long", "CIFAR-FS, 32 x 32, accuracy in %"),
    "heads_fc100": partial(heads, "heads_fc100", "FC100, 32 x 32, accuracy in %"),
    "cross_domain": cross_domain_table,
    "maml": maml_tables,
    "maml_rounding": maml_rounding,
    "core_hours": core_hours.as_table,
    "cifar_fs_ideas": lambda: ideas.as_table(read_result("cifar_fs_ideas")["results"]),
    "cifar_fs_ideas_float32": lambda: ideas.as_table(read_result("cifar_fs_ideas_float32")["results"]),
    "overview": overview.as_table,
    "general": partial(gains, "general", "general-small, test classes of"),
    "leave_one_domain_out": partial(gains, "leave_one_domain_out", "held out"),
    "clevr_small": clevr_small,
    "clevr_closure": clevr_closure,
    "clevr_seen": clevr_seen,
    "clevr_second_look": second_look,
    "clevr_cogent": clevr_tables.cogent,
    "clevr_composition": clevr_tables.composition,
    "clevr_answers_alone": clevr_tables.answers_alone,
    "clevr_ablations": clevr_tables.ablations,
    "clevr_aids": clevr_tables.aids,
    "clevr_data_efficiency": clevr_tables.data_efficiency,
    "clevr_pixels_features": clevr_tables.pixels_features,
    "reliability": reliability,
    "film_networks": film_networks.as_table,
    **PHOTOS_TABLES,
    **ANSWERS,
}


def _share(row: dict[str, Any]) -> str:
    return f"{100 * row['mean']:.2f} ± {100 * row['interval']:.2f}"


def with_tables(text: str) -> str:
    """A text with every ``<!-- table NAME -->`` ... ``<!-- end -->`` filled anew, or emptied without its result."""

    def fill(match: re.Match[str]) -> str:
        table = TABLES[match[1]]()
        return "\n".join([f"<!-- table {match[1]} -->", *([table] if table else []), "<!-- end -->"])

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
