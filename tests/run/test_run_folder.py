"""The run folder."""

from __future__ import annotations

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fewshot_film.run.progress import Progress
from fewshot_film.run.run_folder import RunFolder


def test_curves_go_back_to_the_checkpoint(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.start({"a": 1}, Progress(), {"device": "cpu"})
        for step in (1, 2, 3):
            folder.log(step, "train", {"loss": 10.0 / step})
        folder.log(3, "validation", {"loss": float("nan")})
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert metrics.read_text().splitlines()[-1] == '{"step": 3, "split": "validation", "loss": null}'
    with metrics.open("a") as file:
        file.write('{"step": 4, "spl')
    with RunFolder(tmp_path / "run") as folder:
        folder.start({"a": 2}, Progress(step=2, lines=2), {"device": "cpu"})
        folder.log(3, "train", {"loss": 0.5})
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 10.0), (2, 5.0), (3, 0.5)]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [
        (1, 10.0),
        (2, 5.0),
        (3, 0.5),
    ]
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [start["from_step"] for start in starts] == [0, 2]
    assert (tmp_path / "run" / "config.yaml").read_text() == "a: 2\n"


def test_a_cut_line_is_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    with RunFolder(tmp_path) as folder:
        folder.start({}, Progress(step=2, lines=2), {})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'


def test_starting_anew_forgets_what_was_there(tmp_path):
    (tmp_path / "best.ckpt").write_text("of a run that was killed before its first checkpoint")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with RunFolder(tmp_path) as folder:
        folder.start({}, Progress(), {})
    assert not (tmp_path / "best.ckpt").exists()
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(FileExistsError, match="run"), RunFolder(tmp_path / "run"):
        pass
