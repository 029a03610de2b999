from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clevr.cli import COMMANDS
from clevr.tasks import KINDS, make, verify
from fewshot_film.run.command import main

SMALL = ("--difficulty", 1, "--width", 32, "--height", 24)


def tasks(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["tasks", *map(str, words)])


def test_all_kinds_are_listed(capsys: pytest.CaptureFixture[str]):
    assert tasks() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(KINDS)
    assert "counting        How many objects fit a description, a relation or a union." in lines


def test_tasks_are_printed_with_their_working(capsys: pytest.CaptureFixture[str]):
    assert tasks("arithmetic", "--items", 2, "--start", 3, *SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    series = make("arithmetic", difficulty=1, width=32, height=24)
    expected = []
    for item in (series[3], series[4]):
        expected += [f"{item.index}: {item.prompt}", *(f"   {step}" for step in item.working), f"   = {item.answer}"]
    assert lines == expected


def test_tasks_are_written_as_an_image_folder(tmp_path: Path):
    out, sheet = tmp_path / "made" / "tasks", tmp_path / "sheets" / "tasks.png"
    assert tasks("matching", "--items", 3, "--out", out, "--sheet", sheet, *SMALL) == 0
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    series = make("matching", difficulty=1, width=32, height=24)
    for row, item in zip(rows, series.batch(range(3)), strict=True):
        assert (row["question"], row["answer"], row["metadata"]) == (item.prompt, item.answer, item.metadata)
        assert verify(row["answer"], row["answer"], row["metadata"]["answer_type"]) == 1.0
        with Image.open(out / row["file_name"]) as image:
            pixels = np.asarray(image)
        assert (pixels == item.image.permute(1, 2, 0).numpy()).all()
    with Image.open(sheet) as image:
        assert image.width > 3 * 320
    assert not list(out.glob(".*"))


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]):
    assert tasks("countin") == 2
    assert "unknown kind of task 'countin' (did you mean 'counting'?); expected one of" in capsys.readouterr().err


def test_what_exists_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "sheet.png").write_text("mine")
    assert tasks("counting", "--sheet", tmp_path / "sheet.png", *SMALL) == 2
    assert (tmp_path / "sheet.png").read_text() == "mine"
    assert "sheet.png" in capsys.readouterr().err
