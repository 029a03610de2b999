"""Images of results: what is on them, by their artists and their pixels."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import cbook
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fewshot_film.figures import RIGHT, UNKNOWN, WRONG, SheetImage, SheetRow, answer_sheet, reliability_diagrams
from fewshot_film.run.figures import Bar, bars, confusion, literal

GREY = np.full((3, 8, 8), 128, np.uint8)


def frames(figure: Figure) -> list[str]:
    """Colours of the framed images, row by row."""
    return [to_hex(axes.spines["left"].get_edgecolor()) for axes in figure.axes if axes.axison]


def test_frames_tell_right_from_wrong():
    rows = [
        SheetRow("cat", [GREY, GREY], [SheetImage(GREY, "90 %", True), SheetImage(GREY, "60 %\ndog", False)], 2),
        SheetRow("dog", [GREY], [SheetImage(GREY, "50 %", None)], 7),
    ]
    figure = answer_sheet(rows, "three pictures")
    assert frames(figure) == [colour.lower() for colour in (RIGHT, WRONG, UNKNOWN)]
    assert len(figure.axes) == 2 * (2 + 1 + 2)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ["cat (2)", "dog (7)"]
    captions = [axes.get_xlabel() for axes in figure.axes if axes.axison]
    assert captions == ["90 %", "60 %\ndog", "50 %"]


def test_a_sheet_without_answers():
    assert answer_sheet([SheetRow("cat", [GREY], [], 0)], "nothing").axes


def test_a_reliability_diagram_for_each_title():
    bins = (np.array([0.5, np.nan]), np.array([0.4, np.nan]), np.array([3, 0]))
    figure = reliability_diagrams({"one": bins, "two": bins, "three": bins}, columns=2)
    assert [axes.get_title() for axes in figure.axes] == ["one", "two", "three", ""]
    points = figure.axes[0].collections[0].get_offsets()
    assert points[0].tolist() == [0.4, 0.5]


def test_dollar_signs_are_no_formulas():
    names = ["$x$", "$\\bad$ and $", "a\\$b"]
    rows = [SheetRow(name, [GREY], [SheetImage(GREY, name, None)], 1) for name in names]
    sheet = answer_sheet(rows, "$\\bad$ price")
    sheet.savefig(io.BytesIO())  # a formula that cannot be read would end it
    shown = [axes.title.get_text() or axes.get_title(loc="left") for axes in sheet.axes]
    assert [name for name in shown if name] == [f"{literal(name)} (1)" for name in names]
    assert [cbook.is_math_text(literal(name)) for name in names] == [False] * 3
    assert [literal(name).replace("\\$", "$") for name in names[:2]] == names[:2]
    shares = np.eye(3)
    confusion(names, shares).savefig(io.BytesIO())
    bars([Bar(name, 50, 40, 60) for name in names]).savefig(io.BytesIO())
