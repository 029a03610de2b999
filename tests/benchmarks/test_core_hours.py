"""What an entry cost and reached, worked out by hand."""

from __future__ import annotations

import json

import pytest

from benchmarks import core_hours


def stage(seconds: float, threads: int, validation: list[tuple[float, float]], test: float) -> dict:
    curve = [{"split": "validation", "seconds": at, "accuracy": accuracy} for at, accuracy in validation]
    return {
        "seconds": seconds,
        "starts": [{"hardware": {"threads": threads, "cpu": "One CPU"}}],
        "curve": [{"split": "train", "seconds": 1.0, "accuracy": 0.1}, *curve],
        "test": {task: {"mean": test, "interval": 0.01} for task in core_hours.TASKS},
    }


RESULTS = {
    "chosen_by_validation": "train",
    "pretrain": stage(3600.0, 1, [(1800.0, 0.25), (3600.0, 0.5)], 0.6),
    "train": stage(900.0, 2, [(900.0, 0.625)], 0.65),
}


def test_core_hours_are_hours_times_threads_over_all_trainings():
    assert core_hours.core_hours(RESULTS) == 1 + 0.25 * 2


def test_the_curve_goes_through_all_trainings():
    assert core_hours.curve(RESULTS) == ([0.5, 1.0, 1.5], [25.0, 50.0, 62.5])


def test_the_curve_of_networks_trained_apart_ends_with_all_of_them():
    joined = {
        **stage(3 * 3600.0, 1, [(1800.0, 0.25), (3600.0, 0.5)], 0.6),
        "networks": 3,
        "features": "plain",
        "validation": {"plain": {"5-way 1-shot": {"mean": 0.625}}},
    }
    results = {"chosen_by_validation": "pretrain", "pretrain": joined}
    assert core_hours.core_hours(results) == 3
    assert core_hours.curve(results) == ([0.5, 1.0, 3.0], [25.0, 50.0, 62.5])


def test_table_and_figure_show_every_entry(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.json").write_text(json.dumps({"results": RESULTS}))
    monkeypatch.setattr(core_hours, "RESULTS", tmp_path)
    monkeypatch.setattr(core_hours, "ENTRIES", (core_hours.Entry("mine", "a net"),))
    assert core_hours.as_table().splitlines()[2] == "| a net | 1.5 | One CPU | 65.0 ± 1.0 / 65.0 ± 1.0 |"
    out = tmp_path / "figure.png"
    assert core_hours.run(core_hours.Config(out)) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.strip() == str(out)
    (line,) = core_hours.figure().axes[0].lines
    assert line.get_ydata().tolist() == pytest.approx([25.0, 50.0, 62.5])
