"""Tables of the studies of the CLEVR reasoner, from made-up result files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import clevr_experiments, clevr_tables, clevr_trainings, tables
from benchmarks.clevr_trainings import base_training, supervision
from clevr.config.model import TrainConfig, TrunkPretrainingConfig
from tests.benchmarks.test_clevr_experiments import a_small_size

STUDIES = {
    "clevr_answers_alone": clevr_tables.answers_alone,
    "clevr_cogent": clevr_tables.cogent,
    "clevr_composition": clevr_tables.composition,
    "clevr_ablations": clevr_tables.ablations,
    "clevr_aids": clevr_tables.aids,
    "clevr_data_efficiency": clevr_tables.data_efficiency,
    "clevr_pixels_features": clevr_tables.pixels_features,
}


def scores(accuracy: float, count: int = 1000) -> dict[str, Any]:
    overall = {"accuracy": accuracy, "count": count, "interval": [accuracy - 0.01, accuracy + 0.01]}
    return {"overall": overall, "count": {**overall, "accuracy": accuracy - 0.1}}


def write(folder: Path, name: str, results: dict[str, Any], **config: Any) -> None:
    given = {"size": "small", "training": None, "root": None, "runs": "runs", "out": None}
    settings = {**given, "scenes": 12_000, "seed": 0, **config}
    content = {"command": ["python", "-m", "benchmarks.mine", "it"], "config": settings, "results": results}
    (folder / f"{name}.json").write_text(json.dumps(content))


def variant(accuracies: list[float], **found: Any) -> dict[str, Any]:
    return {"accuracy": scores(sum(accuracies) / len(accuracies)), "accuracies": accuracies, **found}


@pytest.mark.parametrize("study", STUDIES)
def test_nothing_is_shown_of_what_was_not_measured(study: str, tmp_path: Path) -> None:
    assert STUDIES[study](tmp_path) == ""
    assert study in tables.TABLES
    assert f"<!-- table {study} -->\n" in (tables.HERE.parent / "docs" / "results.md").read_text()


def test_a_page_is_emptied_of_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "before\n\n<!-- table mine -->\nold\n<!-- end -->\n\nbehind\n"
    monkeypatch.setitem(tables.TABLES, "mine", lambda: "")
    emptied = tables.with_tables(page)
    assert emptied == "before\n\n<!-- table mine -->\n<!-- end -->\n\nbehind\n"
    monkeypatch.setitem(tables.TABLES, "mine", lambda: "new")
    assert tables.with_tables(emptied) == page.replace("old", "new")


def test_cogent(tmp_path: Path) -> None:
    rows = {
        "trained on A, on A": scores(0.98),
        "trained on A, on B": scores(0.93, 800),
        "fine-tuned on 10 %, on A": scores(0.97),
        "fine-tuned on 10 %, on B": scores(0.96, 800),
    }
    write(
        tmp_path, "clevr_cogent_mine", {"accuracy": rows, "supervision": "answers and programs"}, training="mine.yaml"
    )
    section = clevr_tables.cogent(tmp_path)
    assert section.startswith("### CoGenT")
    assert "| trained on A, on B | 75.6 | 93.0 (92.0 to 94.0) | 83.0 |" in section
    assert "| fine-tuned on 10 %, on B |  | 96.0 (95.0 to 97.0) |" in section
    assert "| accuracy in %, mine.yaml: CoGenT | published |" in section
    assert "Trained on answers and programs, all of condition A." in section
    assert "tests have 1,000 and 800 questions" in section
    assert "B is 5.0 points below A; FiLM's distance is 22.7." in section  # 98.3 - 75.6
    assert "Made by `python -m benchmarks.mine it` (`clevr_cogent_mine.json`)." in section


def test_composition(tmp_path: Path) -> None:
    found = {
        "training": {"known": True, "never seen": ["red cube", "gray cylinder"]},
        "ways": {
            way: {"where there are, never seen in training": scores(share)["overall"]}
            for way, share in (("asked", 0.6), ("composed", 0.7))
        },
        "other questions": {
            "not in CoGenT A": {"asked": scores(0.5, 50)["overall"], "composed": scores(0.8, 50)["overall"]}
        },
    }
    write(tmp_path, "clevr_composition_small", found)
    section = clevr_tables.composition(tmp_path)
    assert (
        "| how many there are, never seen in training | 1,000 | 60.0 (59.0 to 61.0) | 70.0 (69.0 to 71.0) |" in section
    )
    assert "| any question about one, never seen in training | 50 | 50.0 (49.0 to 51.0) | 80.0 " in section
    assert "never seen in training | | 71.5 | 80.7 |" in section
    assert "Never together in its training: red cube, gray cylinder." in section


def test_supervision_of_a_file_that_does_not_name_it(tmp_path: Path) -> None:
    rows = {"trained on A, on A": scores(0.98), "trained on A, on B": scores(0.93)}
    write(tmp_path, "clevr_cogent_small", {"accuracy": rows})
    assert "Trained on answers, scene files and programs, all of" in clevr_tables.cogent(tmp_path)
    write(tmp_path, "clevr_cogent_small", {"accuracy": rows}, size="paper", root="CLEVR_CoGenT")
    assert "Trained on answers alone, all of" in clevr_tables.cogent(tmp_path)
    hues = str(tables.HERE.parent / "configs" / "clevr" / "small-hues.yaml")
    write(tmp_path, "clevr_cogent_small", {"accuracy": rows}, training=hues, root="world")
    assert "Trained on answers, scene files and programs, all of" in clevr_tables.cogent(tmp_path)


def test_ablations_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = variant([0.7, 0.72], published=97.4, supervision="answers")
    less = variant([0.68, 0.66], published=95.9, supervision="answers", difference={"mean": -0.04, "interval": 0.25})
    write(tmp_path, "clevr_ablations_small", {"variants": {"full": full, "only-beta": less}})
    section = clevr_tables.ablations(tmp_path)
    assert "| full | 97.4 |  | 71.0 (70.0 to 72.0) |" in section
    assert "| only-beta | 95.9 (-1.5) | -4.0 ± 25.0 | 67.0 (66.0 to 68.0) |" in section
    assert "Means over 2 seeds; differences from `full` are paired by seed" in section
    write(tmp_path, "clevr_ablations_small", {"variants": {"full": full, "only-beta": less, "odd": variant([0.1])}})
    assert "Means over 1 to 2 seeds; " in clevr_tables.ablations(tmp_path)
    assert "Trained on answers.\n" in section
    assert "12,000 training scenes of 3 to 5 objects in 64 x 48 pixels, 20 questions each.\n" in section
    monkeypatch.setattr(clevr_tables, "QUESTIONS_PER_SCENE", 7)
    assert "pixels, 7 questions each.\n" in clevr_tables.ablations(tmp_path)


def test_answers_alone(tmp_path: Path) -> None:
    def score(accuracy: float, count: int = 1000) -> dict[str, Any]:
        return {"accuracy": accuracy, "count": count, "interval": [accuracy - 0.01, accuracy + 0.01]}

    types = {"count": 0.7, "exist": 0.9, "compare integer": 0.85, "query": 0.8, "compare attribute": 0.6}
    by = {
        "type": {name: score(value) for name, value in types.items()},
        "hops": {"0": score(0.9), "1": score(0.7)},
        "objects": {"1": score(0.95)},
    }
    write(tmp_path, "clevr_answers_alone", {"overall": score(0.8, 18_000), "by": by})
    section = clevr_tables.answers_alone(tmp_path)
    assert section.startswith("### From answers alone\n\n| accuracy in % | overall | count | exist |")
    assert "| test questions | 80.0 (79.0 to 81.0) | 70.0 (69.0 to 71.0) |" in section
    assert "| how many | 18,000 | 1,000 |" in section
    assert "| FiLM from pixels, CLEVR v1.0 | 97.6 | 94.3 |" in section
    assert "| 0 relations | 1 relation | 1 object |\n| ---: | ---: | ---: |\n| 90.0 | 70.0 | 95.0 |" in section


def test_rows_stand_in_the_order_of_the_study(tmp_path: Path) -> None:
    found = {name: variant([0.7], supervision="answers") for name in ("full", "6-blocks", "new", "only-beta")}
    write(tmp_path, "clevr_ablations_small", {"variants": found})
    lines = clevr_tables.ablations(tmp_path).splitlines()
    names = [line.split(" | ")[0][2:] for line in lines if line.startswith("| ")]
    assert names[2:] == ["full", "only-beta", "6-blocks", "new"]


def test_one_seed_has_no_differences(tmp_path: Path) -> None:
    found = {"5 %": variant([0.5], supervision="answers"), "100 %": variant([0.6], supervision="answers")}
    write(tmp_path, "clevr_data_efficiency_small", {"variants": found})
    section = clevr_tables.data_efficiency(tmp_path)
    assert "| accuracy in %, small size: variant | overall |" in section, "and no column for what was not published"
    assert "with one seed" in section


def test_variants_with_supervision_of_their_own(tmp_path: Path) -> None:
    found = {
        "pixels": variant([0.6], supervision="answers and scene files"),
        "features": variant([0.5], supervision="answers alone"),
    }
    write(tmp_path, "clevr_pixels_features_small", {"variants": found})
    write(tmp_path, "clevr_pixels_features_mine", {"variants": found}, training="mine.yaml")
    section = clevr_tables.pixels_features(tmp_path)
    assert section.count("Trained: `pixels` on answers and scene files; `features` on answers alone.") == 2
    assert section.index("mine.yaml") < section.index("small size")


def test_what_a_study_writes_is_what_the_table_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(clevr_trainings.SIZES, "small", a_small_size(tmp_path))
    config = clevr_experiments.VariantsConfig(
        runs=tmp_path / "runs",
        out=tmp_path / "clevr_ablations_small.json",
        scenes=4,
        test_scenes=2,
        steps=2,
        seeds=2,
        only=("full", "only-beta"),
        device="cpu",
    )
    clevr_experiments.ablations(config)
    section = clevr_tables.ablations(tmp_path)
    assert "| only-beta | 95.9 (-1.5) | " in section
    assert "Trained on answers and scene files.\n" in section


def test_what_trainings_learn_from() -> None:
    small = base_training(clevr_trainings.ExperimentConfig(), "none", Path("none"))
    assert supervision(small) == "answers, scene files and programs"
    assert supervision(TrainConfig(out=Path("none"))) == "answers alone"
    assert supervision(TrainConfig(out=Path("none"), program_weight=1.0)) == "answers and programs"
    pretrained = TrainConfig(out=Path("none"), trunk_pretraining=TrunkPretrainingConfig())
    assert supervision(pretrained) == "answers and scene files"
    assert supervision(TrainConfig(out=Path("none"), trace_weight=1.0)) == "answers, scene files and programs"
