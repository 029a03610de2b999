"""Reports: one HTML file that holds everything it shows, and opens without a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot_film.errors import counted
from fewshot_film.run.files import write_atomically, write_text_atomically
from fewshot_film.run.run_folder import read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #282828; max-width: 68rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; border-bottom: 1px solid #ddd; }
nav a { margin-right: 1rem; } a { color: #0072B2; }
table { border-collapse: collapse; font-size: 0.86rem; margin: 0.6rem 0; }
td, th { padding: 0.15rem 0.8rem 0.15rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #bbb; }
td:first-child { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 0.9rem; max-width: 48rem; }
details { margin: 0.6rem 0; } code { font-size: 0.86rem; }
"""


class Report:
    """A page that grows from top to bottom.

    Args:
        title: of the page.
        images: folder that also gets every image as a PNG file; None for none.
    """

    def __init__(self, title: str, images: Path | None = None) -> None:
        self.title = title
        self._images = images
        self._headings: list[str] = []
        self._parts: list[str] = []

    def section(self, heading: str) -> None:
        """Begin a section."""
        self._headings.append(heading)
        self._parts.append(f'<h2 id="s{len(self._headings)}">{html.escape(heading)}</h2>')

    def text(self, text: str) -> None:
        """A paragraph of plain text."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]], folded: str = "") -> None:
        """A table; numbers stand at the right of their columns.

        Args:
            head: names of the columns; all empty: none is shown.
            rows: their cells: text, or numbers as text.
            folded: a title under which the table is folded away; empty: it is shown.
        """
        cells = [[str(cell) for cell in row] for row in rows]
        lines = [_row("th", head, cells)] if any(head) else []
        lines += [_row("td", row, cells) for row in cells]
        table = f"<table>{''.join(lines)}</table>"
        self._parts.append(f"<details><summary>{html.escape(folded)}</summary>{table}</details>" if folded else table)

    def figure(self, name: str, figure: Figure, caption: str, *, vector: bool = True) -> None:
        """A chart.

        Args:
            name: of its PNG file, without ending.
            figure: the chart.
            caption: what is to be seen.
            vector: whether it is shown as SVG, which suits lines and bars, or as PNG, which suits images.
        """
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg" if vector else "png", metadata={"Date": None} if vector else None)
        self._embed(buffer.getvalue(), "svg+xml" if vector else "png", caption)
        self._keep(name, lambda path: figure.savefig(path, format="png"))

    def image(self, name: str, image: Image.Image, caption: str) -> None:
        """An image; see :meth:`figure`."""
        buffer = io.BytesIO()
        image.save(buffer, format="png")
        self._embed(buffer.getvalue(), "png", caption)
        self._keep(name, lambda path: image.save(path, format="png"))

    def write(self, path: Path) -> None:
        """Write the page, all or nothing; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, self.html())

    def html(self) -> str:
        """The page."""
        title = html.escape(self.title)
        links = " ".join(f'<a href="#s{n}">{html.escape(text)}</a>' for n, text in enumerate(self._headings, 1))
        body = "\n".join(self._parts)
        return (
            f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f"<body>\n<h1>{title}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
        )

    def _embed(self, content: bytes, kind: str, caption: str) -> None:
        data, text = base64.b64encode(content).decode("ascii"), html.escape(caption)
        source = f"data:image/{kind};base64,{data}"
        self._parts.append(f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>')

    def _keep(self, name: str, save: Any) -> None:
        if self._images is not None:
            self._images.mkdir(parents=True, exist_ok=True)
            write_atomically(self._images / f"{name}.png", save)


def add_run(report: Report, folder: Path) -> None:
    """The sections that every run has: how it went, its curves, where it ran, its settings.

    Raises:
        RunFolderError: as of :func:`read_run`.
    """
    settings, starts, points = read_run(folder)
    report.section("Course")
    report.table(["", ""], _course(settings, starts, points))
    if points:
        from fewshot_film.run.figures import curves

        report.figure("curves", curves(points), "Training values are means since the previous point.")
    report.section("Environment")
    for number, start in enumerate(starts, 1):
        report.table(["", ""], _flat(start), folded=f"start {number}: {start.get('started', '')}")
    report.section("Settings")
    report.table(["setting", "value"], _flat(settings), folded="all settings")


def _course(
    settings: Mapping[str, Any], starts: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    last = points[-1] if points else {"step": 0, "seconds": 0.0}
    loop = settings.get("loop", {})
    monitor, best = loop.get("monitor", "accuracy"), max if loop.get("mode", "max") == "max" else min
    validated = [p for p in points if p["split"] == "validation" and p.get(monitor) is not None]
    rows = [
        ("steps", f"{last['step']:,} of {loop.get('steps', 0):,}"),
        ("time", f"{last.get('seconds', 0) / 60:,.1f} minutes in {counted(len(starts), 'start')}"),
    ]
    if last.get("seconds"):
        rows.append(("speed", f"{last['step'] / last['seconds']:,.2f} steps per second, including validation"))
    if validated:
        chosen = best(validated, key=lambda point: point[monitor])
        rows.append((f"best validation {monitor}", f"{chosen[monitor]:.4f} at step {chosen['step']:,}"))
    if starts:
        rows.append(("command", " ".join(starts[-1].get("command", []))))
        rows.append(("device", str(starts[-1].get("device", ""))))
    return rows


def _flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows ``outer.inner, value``."""
    if isinstance(values, Mapping):
        return [row for key, value in values.items() for row in _flat(value, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(values, list) and not any(isinstance(value, Mapping) for value in values):
        return [(prefix, " ".join(map(str, values)))]
    if isinstance(values, list):
        return [row for number, value in enumerate(values) for row in _flat(value, f"{prefix}.{number}")]
    return [(prefix, str(values))]


def _row(tag: str, row: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    right = [bool(cells) and all(_is_number(line[place]) for line in cells) for place in range(len(row))]
    classes = [' class="number"' if at_right else "" for at_right in right]
    parts = (f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(classes, row, strict=True))
    return f"<tr>{''.join(parts)}</tr>"


def _is_number(text: str) -> bool:
    return bool(text) and not set(text) - set("0123456789.,+-± %")
