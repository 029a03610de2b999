from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmarks.clevr_small import ClevrSmallConfig, run


def test_both_parts_of_a_training_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, best in ((tmp_path / "run", 0.5), (tmp_path / "run/seeing", 0.9)):
        folder.mkdir()
        lines = [
            {"step": 1, "split": "train", "loss": 2.0, "seconds": 30.0},
            {"step": 1, "split": "validation", "accuracy": best, "seconds": 40.0},
            {"step": 2, "split": "train", "loss": 1.0, "seconds": 60.0},
            {"step": 2, "split": "validation", "accuracy": best / 2, "seconds": 90.0},
        ]
        (folder / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
        (folder / "environment.json").write_text(json.dumps([{"command": ["clevr-film", "train"]}]))
        (folder / "config.yaml").write_text(yaml.safe_dump({"loop": {"seed": 3}}))
    run(ClevrSmallConfig(run=tmp_path / "run", out=tmp_path / "kept.json"))
    content = json.loads((tmp_path / "kept.json").read_text())
    assert content["seed"] == 3
    seeing, answering = content["results"]["seeing"], content["results"]["answering"]
    assert (seeing["best"], answering["best"]) == (0.9, 0.5)
    assert [len(seeing["train"]), len(seeing["validation"])] == [2, 2]
    assert "seeing: 2 steps, 2 minutes, best 0.9" in capsys.readouterr().out
