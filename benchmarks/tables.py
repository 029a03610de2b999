"""Tables of the README, made from the result files: ``python -m benchmarks.tables`` writes them into it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"


def read_result(name: str) -> dict[str, Any]:
    """A result file by its name."""
    content: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def omniglot() -> str:
    """Omniglot: pre-trained and meta-trained beside the published numbers."""
    results = read_result("omniglot")["results"]
    published = results["published"]
    lines = [
        "| Omniglot, 600 episodes, accuracy in % | pre-trained only | Simple CNAPS | prototypical networks [1] |",
        "| --- | ---: | ---: | ---: |",
    ]
    for task, row in results["train"]["test"].items():
        cells = [_share(results["pretrain"]["test"][task]), _share(row), f"{100 * published[task]:.1f}"]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    minutes = (results["pretrain"]["seconds"] + results["train"]["seconds"]) / 60
    lines.append(f"\nVinyals' split with rotations, 28 x 28; both trainings together took {minutes:.0f} minutes.")
    lines.append(f"[1] Published: {published['source']}.")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"omniglot": omniglot}


def _share(row: dict[str, Any]) -> str:
    return f"{100 * row['mean']:.2f} ± {100 * row['interval']:.2f}"


def with_tables(text: str) -> str:
    """A text with every ``<!-- table NAME -->`` ... ``<!-- end -->`` filled anew."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
