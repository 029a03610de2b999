"""Tables of the README, made from the result files: ``python -m benchmarks.tables`` writes them into it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.published import PUBLISHED
from clevr.answers.report import PUBLISHED as CLEVR_PUBLISHED
from clevr.questions.programs import QUESTION_TYPES

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"


def read_result(name: str) -> dict[str, Any]:
    """A result file by its name."""
    content: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def few_shot(name: str, title: str) -> str:
    """An experiment of `benchmarks.experiment`: both trainings beside the published numbers, and our gap."""
    results, methods = read_result(name)["results"], PUBLISHED[name]
    sources = list(dict.fromkeys(method.source for method in methods))
    columns = [f"{method.method} [{1 + sources.index(method.source)}]" for method in methods]
    lines = [
        f"| {title}, 600 episodes, accuracy in % | pre-trained only | Simple CNAPS | {' | '.join(columns)} | gap |",
        f"| --- {'| ---: ' * (len(columns) + 3)}|",
    ]
    for task, row in results["train"]["test"].items():
        published = [method.percent[task] for method in methods]
        best = results[results.get("chosen_by_validation", "train")]["test"][task]["mean"]
        cells = [_share(results["pretrain"]["test"][task]), _share(row), *(f"{value:.1f}" for value in published)]
        lines.append(f"| {task} | {' | '.join(cells)} | {100 * best - published[-1]:+.1f} |")
    minutes = (results["pretrain"]["seconds"] + results["train"]["seconds"]) / 60
    lines.append(f"\nBoth trainings together took {minutes:.0f} minutes. {_chosen(results, methods[-1].method)}")
    lines += [f"[{number}] Published: {source}." for number, source in enumerate(sources, 1)]
    return "\n".join(lines)


def _chosen(results: dict[str, Any], method: str) -> str:
    stage = "pre-trained" if results.get("chosen_by_validation") == "pretrain" else "meta-trained"
    return f"The gap is that of the {stage} model to {method}."


def clevr_small() -> str:
    """The reasoning model that comes with the package, by question type, beside the paper's."""
    results = read_result("clevr_small")["results"]
    scores = {"overall": results["overall"], **results["by"]["type"]}
    columns = ("overall", *QUESTION_TYPES)
    ours = [f"{100 * scores[column]['accuracy']:.1f}" for column in columns]
    counts = [f"{scores[column]['count']:,}" for column in columns]
    published = [f"{value:.1f}" for value in CLEVR_PUBLISHED["FiLM, pixels"] if value is not None]
    lines = [
        f"| accuracy in % | {' | '.join(columns)} |",
        f"| --- {'| ---: ' * len(columns)}|",
        f"| clevr-small, generated world | {' | '.join(ours)} |",
        f"| questions | {' | '.join(counts)} |",
        f"| FiLM from pixels, CLEVR v1.0 [1] | {' | '.join(published)} |",
        "\n[1] Published: Perez et al., FiLM, AAAI 2018, table 1; 50 times the parameters, another set of pictures.",
    ]
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "omniglot": partial(few_shot, "omniglot", "Omniglot, 28 x 28"),
    "cifar_fs": partial(few_shot, "cifar_fs", "CIFAR-FS, 32 x 32"),
    "fc100": partial(few_shot, "fc100", "FC100, 32 x 32"),
    "clevr_small": clevr_small,
}


def _share(row: dict[str, Any]) -> str:
    return f"{100 * row['mean']:.2f} ± {100 * row['interval']:.2f}"


def with_tables(text: str) -> str:
    """A text with every ``<!-- table NAME -->`` ... ``<!-- end -->`` filled anew."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
