"""Report pages: complete, escaped, self-contained, and honest about what is missing."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fewshot_film.errors import RunFolderError
from fewshot_film.run.figures import Bar, FilmedMaps, bars, confusion, curves, feature_maps, modulation_histograms
from fewshot_film.run.report import Report, add_run
from fewshot_film.run.run_folder import read_run


def a_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text("out: here\nloop: {steps: 20, monitor: accuracy, mode: max}\nways: [1, 2]\n")
    start = {"started": "now", "command": ["fewshot-film", "train"], "device": "cpu", "hardware": {"cores": 2}}
    (folder / "environment.json").write_text(json.dumps([start]))
    points = [
        {"step": 10, "split": "train", "accuracy": 0.25, "loss": 2.0, "seconds": 5.0},
        {"step": 10, "split": "validation", "accuracy": 0.75, "seconds": 6.0},
        {"step": 20, "split": "train", "accuracy": 0.5, "loss": None, "seconds": 10.0},
        {"step": 20, "split": "validation", "accuracy": 0.5, "seconds": 12.0},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points) + '{"step": 3')
    return folder


def images_of(page: str) -> list[tuple[str, bytes]]:
    found = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert page.count("<img") == len(found)  # every image is in the page itself
    return [(kind, base64.b64decode(data)) for kind, data in found]


def test_a_run_is_told_with_its_best_step_and_its_speed(tmp_path: Path):
    report = Report("a run", tmp_path / "images")
    add_run(report, a_run(tmp_path / "run"))
    report.write(tmp_path / "new" / "report.html")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "0.7500 at step 10" in page
    assert "20 of 20" in page
    assert "1.67 steps per second" in page
    assert "<td>loop.steps</td><td>20</td>" in page
    assert "<td>hardware.cores</td><td>2</td>" in page
    assert "http" not in re.sub(r"base64,[^\"]+", "", page)
    ((kind, data),) = images_of(page)
    assert kind == "svg+xml"
    ElementTree.fromstring(data)
    with Image.open(tmp_path / "images" / "curves.png") as image:
        assert image.width > 300


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path):
    _, _, points = read_run(a_run(tmp_path / "run"))
    assert [point["step"] for point in points] == [10, 10, 20, 20]


def test_what_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(RunFolderError, match=r"no run in .*expected config.yaml.*--out folder of a training"):
        read_run(tmp_path)
    run = a_run(tmp_path / "run")
    (run / "environment.json").write_text("[")
    with pytest.raises(RunFolderError, match="missing or damaged"):
        read_run(run)


def test_text_from_outside_cannot_become_html():
    report = Report("<b>")
    report.section("<i>")
    report.text("<script>alert(1)</script>")
    report.table(["<u>"], [["<s>"]])
    report.image("x", Image.new("RGB", (2, 2)), '"><script>')
    page = report.html()
    for tag in ("<b>", "<i>", "<u>", "<s>", "<script>"):
        assert tag not in page


def test_numbers_stand_at_the_right():
    report = Report("t")
    report.table(["name", "value"], [["a", "1.5"], ["b", "± 2.0"]])
    assert '<td>a</td><td class="number">1.5</td>' in report.html()


def test_curves_have_a_panel_a_value_and_shares_in_per_cent():
    points = [
        {"step": 1, "split": "train", "loss": 1.0, "accuracy": 0.25, "seconds": 1.0},
        {"step": 1, "split": "validation", "accuracy": 0.5, "count": 0.75, "seconds": 1.0},
    ]
    figure = curves(points)
    titled = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(titled) == ["loss", "accuracy, %", "count, %"]
    assert [line.get_ydata()[0] for line in titled["accuracy, %"].lines] == [25.0, 50.0]
    assert [text.get_text() for text in titled["accuracy, %"].get_legend().get_texts()] == ["train", "validation"]


def test_bars_have_their_values_intervals_and_references():
    figure = bars([Bar("one", 50, 40, 60, 55), Bar("two", 90, 85, 95)], reference="published")
    (axes,) = figure.axes
    assert [patch.get_width() for patch in axes.patches] == [50, 90]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["one", "two"]
    assert {text.get_text() for text in axes.texts} == {"50.0", "90.0"}
    (whiskers,) = [lines for lines in axes.collections if hasattr(lines, "get_segments")]
    assert [segment[:, 0].tolist() for segment in whiskers.get_segments()] == [[40, 60], [85, 95]]


def test_bars_draw_no_interval_beyond_what_an_accuracy_can_be():
    """Of two values an interval may be hundreds of points wide."""
    figure = bars([Bar("one", 60, -575, 695)])
    (axes,) = figure.axes
    (whiskers,) = [lines for lines in axes.collections if hasattr(lines, "get_segments")]
    assert [segment[:, 0].tolist() for segment in whiskers.get_segments()] == [[0, 100]]
    (number,) = axes.texts
    assert number.get_position()[0] == 101.5


def test_confusion_tells_shares_and_leaves_open_what_never_met():
    figure = confusion(["a", "b"], np.array([[0.9, 0.1], [np.nan, 1.0]]))
    axes = figure.axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["10", "100", "90"]
    assert axes.images[0].get_array().mask.tolist() == [[False, False], [True, False]]


def test_histograms_have_a_row_a_group_on_one_scale():
    draw = np.random.default_rng(0)
    values = {name: (1 + draw.normal(size=(4, 6)), draw.normal(size=(4, 6))) for name in ("a", "b")}
    axes = modulation_histograms(values).axes
    assert [one.get_ylabel() for one in axes[::2]] == ["a", "b"]
    assert axes[0].patches[0].get_x() == axes[2].patches[0].get_x()


def test_feature_maps_show_the_most_changed_first():
    before = np.zeros((3, 4, 4))
    gamma, beta = np.ones(3), np.array([0.0, 2.0, 1.0])
    figure = feature_maps([FilmedMaps("site", before, before + beta[:, None, None], gamma, beta)], shown=2)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["γ 1.00\nβ +2.00", "γ 1.00\nβ +1.00"]
