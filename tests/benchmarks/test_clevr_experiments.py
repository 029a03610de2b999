"""The CLEVR experiments, each at a size of seconds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks import clevr_experiments, clevr_trainings, clevr_transfer, clevr_variants
from clevr.commands.train import check_used
from clevr.config.features import ExtractorConfig
from clevr.config.model import ClevrDataConfig
from clevr.data.layout import list_splits
from clevr.data.reader import ClevrSplit
from clevr.questions.programs import QUESTION_TYPES
from clevr.reasoning import load
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.errors import ConfigError, RunFolderError
from fewshot_film.run.settings import plain
from tests.clevr.data.builders import a_question, without, write_json
from tests.clevr.models import SMALL, a_saved_model, a_world


def a_small_size(folder: Path, **changes: Any) -> Path:
    """Settings of a training of two steps."""
    loop = {"steps": 2, "validate_every": 1, "warmup_steps": 1, "cooldown_steps": 1}
    settings = {
        "out": "unused",
        "model": plain(SMALL),
        "trunk_pretraining": {"images": 2, "loop": loop},
        "augmentation": {"noise": 2.0},
        "data": {"images": 2, "questions": 4},
        "loop": loop,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**settings, **changes}))
    return path


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a few steps on a few scenes."""
    monkeypatch.setitem(clevr_trainings.SIZES, "small", a_small_size(tmp_path))
    settings = {"runs": tmp_path / "runs", "out": tmp_path / "result.json", "scenes": 4, "test_scenes": 2}
    return {**settings, "steps": 2, "device": "cpu"}


def results(settings: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(settings["out"].read_text())["results"]
    return content


def test_ablations(tiny: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    config = clevr_experiments.VariantsConfig(**tiny, only=("full", "concatenation"))
    clevr_experiments.ablations(config)
    variants = results(tiny)["variants"]
    assert list(variants) == ["full", "concatenation"]
    assert variants["full"]["accuracy"]["overall"]["count"] == 40
    assert [point["step"] for point in variants["full"]["seeds"]["0"]["validation"]] == [1, 2]
    assert load(tiny["runs"] / "small-ablations/concatenation/seed-0/model").config.conditioning == "concatenation"
    assert capsys.readouterr().out.startswith("| ablations | published | overall | count |")


def test_a_finished_training_is_not_repeated(tiny: dict[str, Any]) -> None:
    config = clevr_experiments.VariantsConfig(**tiny, only=("full",))
    clevr_experiments.ablations(config)
    model = tiny["runs"] / "small-base/seed-0/model/model.safetensors"
    before = model.stat().st_mtime_ns
    first = results(tiny)
    clevr_experiments.ablations(config)
    assert model.stat().st_mtime_ns == before
    assert results(tiny) == first


def test_a_model_of_other_settings_is_not_taken_for_this_one(tiny: dict[str, Any]) -> None:
    clevr_experiments.ablations(clevr_experiments.VariantsConfig(**tiny, only=("no-residual",)))
    longer = {**tiny, "steps": 3}
    with pytest.raises(RunFolderError, match=r"trained with other settings: loop\.steps: 2 -> 3\. Give other --runs"):
        clevr_experiments.ablations(clevr_experiments.VariantsConfig(**longer, only=("no-residual",)))


def test_studies_share_the_training_that_they_have_in_common(tiny: dict[str, Any]) -> None:
    clevr_experiments.ablations(clevr_experiments.VariantsConfig(**tiny, only=("full", "no-residual")))
    first = results(tiny)["variants"]["full"]["seeds"]
    clevr_experiments.aids(clevr_experiments.VariantsConfig(**tiny, only=("all",)))
    assert results(tiny)["variants"]["all"]["seeds"] == first
    clevr_experiments.data_efficiency(clevr_experiments.DataEfficiencyConfig(**tiny, shares=(1.0,)))
    assert results(tiny)["variants"]["100 %"]["seeds"] == first
    assert {path.parent.parent.name for path in tiny["runs"].rglob("seed-0/model")} == {"small-base", "no-residual"}


def test_differences_over_seeds(tiny: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    config = clevr_experiments.VariantsConfig(**tiny, only=("full", "only-beta"), seeds=2)
    clevr_experiments.ablations(config)
    full, beta = results(tiny)["variants"].values()
    assert "difference" not in full
    mean = (sum(beta["accuracies"]) - sum(full["accuracies"])) / 2
    assert beta["difference"]["mean"] == pytest.approx(mean)
    assert beta["accuracy"]["overall"]["accuracy"] == pytest.approx(sum(beta["accuracies"]) / 2, abs=1 / 40)
    models = [load(tiny["runs"] / f"small-ablations/only-beta/seed-{seed}/model").state_dict() for seed in (0, 1)]
    assert not torch.equal(models[0]["questions.words.weight"], models[1]["questions.words.weight"])
    assert capsys.readouterr().out.startswith("| ablations | published | difference | overall |")


def test_aids(tiny: dict[str, Any]) -> None:
    clevr_experiments.aids(clevr_experiments.VariantsConfig(**tiny, only=("all", "none")))
    told = {name: variant["supervision"] for name, variant in results(tiny)["variants"].items()}
    assert told == {"all": "answers and scene files", "none": "answers alone"}
    assert (tiny["runs"] / "small-aids/none/seed-0/model/config.json").is_file()
    assert not (tiny["runs"] / "small-aids/none/seed-0/trunk_pretraining").exists()


@pytest.mark.parametrize("size", ["small", "paper"])
def test_every_variant_can_be_trained(size: Any) -> None:
    config = clevr_trainings.ExperimentConfig(size=size)
    training = clevr_trainings.base_training(config, "none", Path("none"))
    for changes in clevr_variants.VARIANTS.values():
        check_used(dataclasses.replace(training, model=dataclasses.replace(training.model, **changes)))
    for change in clevr_variants.AIDS.values():
        check_used(change(training))


def test_a_study_with_a_variant_that_cannot_be_trained_trains_none(tiny: dict[str, Any]) -> None:
    root = clevr_trainings.data_root(clevr_trainings.ExperimentConfig(**tiny))
    training = clevr_trainings.base_training(clevr_trainings.ExperimentConfig(**tiny), "one", root)
    odd = dataclasses.replace(training.model, conditioning="none", gamma="tanh")
    variants = {"full": (training, {}), "odd": (dataclasses.replace(training, model=odd), {})}
    with pytest.raises(ConfigError, match="gamma would be ignored: model"):
        clevr_experiments.compare(clevr_experiments.StudyConfig(**tiny), "mine", root, variants, {})
    assert not (tiny["runs"] / "one").exists()


def test_a_training_does_without_each_aid_alone() -> None:
    training = clevr_trainings.base_training(clevr_trainings.ExperimentConfig(), "none", Path("none"))
    without = {name: change(training) for name, change in clevr_variants.AIDS.items()}
    assert {name: clevr_trainings.supervision(changed) for name, changed in without.items()} == {
        "all": "answers, scene files and programs",
        "no-programs": "answers, scene files and programs",  # which the marks of the blocks need
        "no-marks": "answers, scene files and programs",
        "no-programs-no-marks": "answers and scene files",
        "last-state": "answers, scene files and programs",
        "authors-init": "answers, scene files and programs",
        "trunk-from-answers": "answers, scene files and programs",
        "none": "answers alone",
    }
    assert without["all"] == training
    assert without["last-state"].model == dataclasses.replace(training.model, question_code="last")
    assert without["authors-init"].model == dataclasses.replace(training.model, generator_init="kaiming_uniform")


def test_a_study_shares_one_trunk(tiny: dict[str, Any]) -> None:
    config = clevr_experiments.VariantsConfig(**tiny, only=("full", "only-beta"))
    clevr_experiments.ablations(config)
    folders = [tiny["runs"] / name for name in ("small-trunk", "small-base/seed-0", "small-ablations/only-beta/seed-0")]
    trunk, full, beta = (load(folder / "model").trunk.state_dict() for folder in folders)
    assert all(torch.equal(trunk[name], full[name]) and torch.equal(trunk[name], beta[name]) for name in trunk)
    assert [(folder / "trunk_pretraining").is_dir() for folder in folders] == [True, False, False]
    assert len(list((tiny["runs"] / "world/cache").glob("trunk-*"))) == 1


def test_a_study_is_extended(tiny: dict[str, Any], tmp_path: Path) -> None:
    """By seeds and variants that its file lacks; what it has is not trained again, even where its runs are gone."""
    config = clevr_experiments.VariantsConfig(**tiny, only=("full",), extend=True)
    clevr_experiments.ablations(config)
    first = results(tiny)["variants"]["full"]["seeds"]["0"]
    elsewhere = dataclasses.replace(config, runs=tmp_path / "elsewhere", only=("full", "only-beta"), seeds=2)
    clevr_experiments.ablations(elsewhere)
    variants = results(tiny)["variants"]
    assert variants["full"]["seeds"]["0"] == first
    assert {name: list(row["seeds"]) for name, row in variants.items()} == {
        "full": ["0", "1"],
        "only-beta": ["0", "1"],
    }
    assert sorted(path.name for path in (tmp_path / "elsewhere/small-base").iterdir()) == ["seed-1"]
    clevr_experiments.ablations(dataclasses.replace(elsewhere, only=("only-gamma",), seeds=1))
    assert list(results(tiny)["variants"]) == ["full", "only-beta", "only-gamma"]
    with pytest.raises(ConfigError, match=r"result\.json was made with .*: steps is 2 there and 3 here\."):
        clevr_experiments.ablations(dataclasses.replace(config, steps=3))


def test_differences_are_of_the_seeds_that_both_have() -> None:
    def variant(**accuracies: float) -> dict[str, Any]:
        scores = {
            seed: {"overall": {"accuracy": value, "right": round(100 * value), "count": 100}}
            for seed, value in accuracies.items()
        }
        return {"seeds": {seed: {"accuracy": score, "validation": []} for seed, score in scores.items()}}

    found = clevr_experiments.summarised(
        {"full": variant(a=0.5, b=0.6, c=0.9), "less": variant(b=0.4, a=0.5, d=0.1), "one": variant(a=0.2)}
    )
    assert found["full"]["accuracy"]["overall"]["accuracy"] == pytest.approx(0.67)
    assert found["less"]["accuracies"] == [0.4, 0.5, 0.1]
    # differences -0.2 and 0: standard deviation 0.1414; Student's t for one degree of freedom is 12.706
    assert found["less"]["difference"] == {"mean": pytest.approx(-0.1), "interval": pytest.approx(1.2706, rel=1e-4)}
    assert "difference" not in found["one"]


@pytest.mark.parametrize("name", clevr_experiments.VARIANTS)
def test_every_variant_is_a_network_of_its_own(name: str) -> None:
    changed = dataclasses.replace(SMALL, blocks=4)
    network = FiLMReasoner(dataclasses.replace(changed, **clevr_experiments.VARIANTS[name]))
    if name != "full":
        assert network.config != FiLMReasoner(changed).config
    assert sum(parameter.numel() for parameter in network.parameters()) > 0


def test_published_numbers_belong_to_rows() -> None:
    assert clevr_experiments.PUBLISHED_ABLATIONS.keys() <= clevr_experiments.VARIANTS.keys()
    rows = {"full": {"overall": {"accuracy": 0.5, "interval": [0.4, 0.6]}}, "other": {}}
    table = clevr_experiments.as_table(rows, "variant", clevr_experiments.PUBLISHED_ABLATIONS).splitlines()
    assert table[2:] == ["| full | 97.4 | 50.0 (40.0 to 60.0) |  |  |  |  |  |", "| other |  |  |  |  |  |  |  |"]
    table = clevr_experiments.as_table(rows, "variant", {}).splitlines()
    assert table[2:] == ["| full | 50.0 (40.0 to 60.0) |  |  |  |  |  |", "| other |  |  |  |  |  |  |"]


def test_unknown_variants(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="there is no variant 'none'; expected some of: full, only-beta"):
        clevr_experiments.ablations(clevr_experiments.VariantsConfig(**tiny, only=("none",)))


def test_data_efficiency(tiny: dict[str, Any]) -> None:
    clevr_experiments.data_efficiency(clevr_experiments.DataEfficiencyConfig(**tiny, shares=(0.25, 1.0)))
    assert [entry["share"] for entry in results(tiny)["variants"].values()] == [0.25, 1.0]


@pytest.mark.parametrize(("share", "questions", "images"), [(1, 20, 32), (1, 10, 32), (0.05, 20, 205), (0.1, 10, 208)])
def test_batches_of_a_share_have_as_many_questions(share: float, questions: int, images: int) -> None:
    """By hand: of 20 questions with a share of 0.05 each, 0.64 images have any left, and 1 / 0.64 = 1.56 on average."""
    data = ClevrDataConfig(Path("none"), images=32, questions=10)
    assert clevr_experiments.images_in_batch(data, share, questions) == images
    drawn = np.random.default_rng(0).binomial(questions, share, 100_000)
    in_batch = images * np.minimum(drawn[drawn > 0], data.questions).mean()
    assert in_batch == pytest.approx(320, rel=0.01)


def test_cogent(tiny: dict[str, Any]) -> None:
    clevr_transfer.cogent(clevr_transfer.CogentConfig(**tiny, shares=(0.5,), tune_steps=1, tune_images=0.5))
    found = results(tiny)
    assert set(found["accuracy"]) == {
        "trained on A, on A",
        "trained on A, on B",
        "fine-tuned on 50 %, on A",
        "fine-tuned on 50 %, on B",
    }
    assert found["accuracy"]["trained on A, on A"]["overall"]["count"] == 40
    assert found["accuracy"]["trained on A, on B"]["overall"]["count"] == 20  # the other half is for fine-tuning
    before, after = (load(tiny["runs"] / "small-cogent" / name / "model").state_dict() for name in ("A", "B-0.5"))
    assert not torch.equal(before["questions.words.weight"], after["questions.words.weight"])
    for split, colors in {
        "valA": {"gray", "blue", "brown", "yellow"},
        "valB": {"red", "green", "purple", "cyan"},
    }.items():
        scenes = ClevrSplit.open(tiny["runs"] / "world", split).scenes()
        assert {thing.color for scene in scenes for thing in scene.objects if thing.shape == "cube"} <= colors


def test_composition(tiny: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The network of `cogent`, which was never trained on what condition A lacks, is asked about condition B."""
    tiny = {**tiny, "scenes": 40, "test_scenes": 6}
    clevr_transfer.composition(clevr_trainings.ExperimentConfig(**tiny))
    found = results(tiny)
    assert sorted(found["training"]["never seen"]) == sorted(
        [f"{color} cube" for color in ("red", "green", "purple", "cyan")]
        + [f"{color} cylinder" for color in ("gray", "blue", "brown", "yellow")]
    )
    rows = clevr_transfer.composition_rows(found)
    assert rows["how many there are, never seen in training"][0]["count"] > 0
    assert (tiny["runs"] / "small-cogent" / "A" / "model").is_dir()
    assert "how many there are, never seen in training: " in capsys.readouterr().out
    whole = {**tiny, "root": a_world(a_world(tiny["runs"] / "whole", "trainA", 30), "valB")}
    with pytest.raises(ConfigError, match="was trained on all colours and shapes together, or on scenes that are not"):
        clevr_transfer.composition(clevr_trainings.ExperimentConfig(**whole))


def test_cogent_of_a_training_of_ones_own(tiny: dict[str, Any], tmp_path: Path) -> None:
    """A trunk that was pre-trained on scenes is not trained again on B, and keeps its weights."""
    root = clevr_trainings.data_root(clevr_trainings.ExperimentConfig(**tiny), clevr_transfer.SPLITS)
    sparse = dataclasses.replace(SMALL, positions=6, block_kernel=1)
    seeing = {"images": 2, "recolor": 0.5, "loop": {"steps": 2, "warmup_steps": 1, "cooldown_steps": 1}}
    file = a_small_size(tmp_path, model=plain(sparse), trunk_pretraining=seeing).rename(tmp_path / "own.yaml")
    own = {**tiny, "training": file, "root": root, "steps": None}
    clevr_transfer.cogent(
        clevr_transfer.CogentConfig(**own, shares=(0.5,), tune_steps=1, tune_images=0.5, tune_rate=0.5)
    )
    assert "fine-tuned on 50 %, on B" in results(tiny)["accuracy"]
    before, after = (load(tiny["runs"] / "own-cogent" / name / "model").state_dict() for name in ("A", "B-0.5"))
    trunk = [name for name in before if name.startswith(("trunk", "objects"))]
    assert trunk
    assert all(torch.equal(before[name], after[name]) for name in trunk)
    assert not torch.equal(before["questions.words.weight"], after["questions.words.weight"])
    with pytest.raises(ConfigError, match=r"own\.yaml needs the images that it is for: give their folder as --root"):
        clevr_trainings.data_root(clevr_trainings.ExperimentConfig(**{**own, "root": None}))


def test_a_divided_split_shares_nothing(tmp_path: Path) -> None:
    root = a_world(tmp_path / "world", "valB", 5)
    out = clevr_transfer.divide(root, "valB", 0.4, tmp_path / "halves")
    assert list_splits(out) == ["rest", "tune"]
    parts = {name: ClevrSplit.open(out, name) for name in ("tune", "rest")}
    names = {name: {question.image_filename for question in part.questions()} for name, part in parts.items()}
    assert names["tune"] == {"CLEVR_valB_000000.png", "CLEVR_valB_000001.png"}
    assert len(names["rest"]) == 3
    assert not names["tune"] & names["rest"]
    questions = {question.question_index for part in parts.values() for question in part.questions()}
    assert questions == {question.question_index for question in ClevrSplit.open(root, "valB").questions()}
    assert sum(1 for part in parts.values() for _ in part.scenes()) == 5
    assert parts["rest"].load_image("CLEVR_valB_000004.png").size == (32, 24)


@pytest.mark.parametrize("trunk", [True, False])
def test_in_another_precision(tiny: dict[str, Any], tmp_path: Path, trunk: bool) -> None:
    settings = yaml.safe_load((tmp_path / "small.yaml").read_text())
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(settings if trunk else without(settings, "trunk_pretraining")))
    config = clevr_trainings.ExperimentConfig(**tiny, precision="bf16-mixed")
    training = clevr_trainings.base_training(config, "one", tmp_path)
    loops = [training.loop, *([training.trunk_pretraining.loop] if training.trunk_pretraining else [])]
    assert [loop.precision for loop in loops] == ["bf16-mixed"] * (1 + trunk)
    own = clevr_trainings.base_training(dataclasses.replace(config, precision=None), "one", tmp_path)
    assert own.loop.precision == "32-true"
    beside = dataclasses.replace(config, out=None)
    assert clevr_trainings.result_file(beside, "clevr_aids").name == "clevr_aids_small-bf16-mixed.json"


def test_pixels_and_features(tiny: dict[str, Any]) -> None:
    extractor = ExtractorConfig("resnet18", "layer1", "random", size=16)
    clevr_experiments.pixels_features(clevr_experiments.PixelsFeaturesConfig(**tiny, extractor=extractor))
    assert set(results(tiny)["variants"]) == {"pixels", "features"}
    config = load(tiny["runs"] / "small-pixels-features/features/seed-0/model").config
    assert (config.inputs, config.input_maps, config.height, config.trunk_maps) == ("features", 64, 4, ())


def test_humans(tiny: dict[str, Any], tmp_path: Path) -> None:
    root = a_world(a_world(tmp_path / "clevr", "train", 2), "val", 2)
    texts = {"train": ["How many of the cubes sparkle?", "Is anything hidden?"], "val": ["Does the red cube sparkle?"]}
    for split, asked in texts.items():
        records = [
            without(a_question(0, split, question=text, answer="yes"), "program", "question_family_index")
            for text in asked
        ]
        write_json(root / f"CLEVR-Humans-{split}.json", {"questions": records})
    weights = a_saved_model(tmp_path / "start")
    clevr_transfer.humans(clevr_transfer.HumansConfig(**tiny, root=root, weights=str(weights)))
    found = results(tiny)
    assert found["words"] == ["anything", "cubes", "hidden", "how", "is", "many", "of", "sparkle", "the"]
    assert {name: row["overall"]["count"] for name, row in found["accuracy"].items()} == {
        "before, Humans": 1,
        "before, CLEVR": 20,
        "after, Humans": 1,
        "after, CLEVR": 20,
    }
    before, after = load(weights), load(tiny["runs"] / "small-humans/tuned/model")
    assert {"sparkle", "hidden"} <= set(after.vocabulary.tokens)
    assert torch.equal(before.trunk[1].weight, after.trunk[1].weight)
    assert not torch.equal(before.questions.gru.weight_hh_l0, after.questions.gru.weight_hh_l0)


def test_humans_needs_clevr(tiny: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="CLEVR-Humans is about CLEVR's images: give the folder of CLEVR as --root"):
        clevr_transfer.humans(clevr_transfer.HumansConfig(**tiny))


def test_words_of_people() -> None:
    assert clevr_transfer.new_words(["Shiny shiny, ball?", "ball."], 2) == ["ball", "shiny"]


def test_the_paper_s_size_needs_the_paper_s_data(tmp_path: Path) -> None:
    config = clevr_trainings.ExperimentConfig(size="paper", runs=tmp_path)
    with pytest.raises(ConfigError, match="the paper's size needs the paper's data: give its folder as --root"):
        clevr_trainings.data_root(config)
    training = clevr_trainings.base_training(dataclasses.replace(config, root=tmp_path), "full", tmp_path)
    assert (training.loop.steps, training.loop.learning_rate, training.loop.weight_decay) == (875_000, 3e-4, 1e-5)
    assert training.data.images * training.data.questions == 64
    assert (training.model.width, training.model.hidden_dim, training.scene_weight) == (224, 4096, 0)


def test_both_parts_of_a_training_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, best in ((tmp_path / "run", 0.5), (tmp_path / "run/trunk_pretraining", 0.9)):
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
    clevr_experiments.curves(clevr_experiments.CurvesConfig(run=tmp_path / "run", out=tmp_path / "kept.json"))
    content = json.loads((tmp_path / "kept.json").read_text())
    assert content["seed"] == 3
    seeing, answering = content["results"]["trunk_pretraining"], content["results"]["answering"]
    assert (seeing["best"], answering["best"]) == (0.9, 0.5)
    assert [len(seeing["train"]), len(seeing["validation"])] == [2, 2]
    assert "trunk_pretraining: 2 steps, 2 minutes, best 0.9" in capsys.readouterr().out


def test_the_curve_of_a_training_on_answers_alone(tmp_path: Path) -> None:
    types = dict.fromkeys(QUESTION_TYPES, 0.25)
    lines = [
        {"step": step, "split": "validation", "accuracy": value, **types, "seconds": 30.0}
        for step, value in ((1000, 0.5), (2000, 0.75))
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "environment.json").write_text(json.dumps([{"command": ["clevr-film", "train"]}]))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"loop": {"seed": 0}}))
    config = clevr_experiments.CurvesConfig(tmp_path, tmp_path / "kept.json", figure=tmp_path / "curve.png")
    clevr_experiments.curves(config)
    assert set(json.loads((tmp_path / "kept.json").read_text())["results"]) == {"answering"}
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (792, 418)
    drawn = {
        line.get_label(): line.get_xydata().tolist()
        for line in clevr_experiments.accuracies_figure(lines).axes[0].get_lines()
    }
    assert drawn["all questions"] == [[1.0, 50.0], [2.0, 75.0]]
    assert drawn["compare attribute"] == [[1.0, 25.0], [2.0, 25.0]]
