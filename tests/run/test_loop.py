"""The training loop, in this process."""

from __future__ import annotations

import json
import logging
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from fewshot_film.errors import CheckpointError, ConfigError, NonFiniteLossError, RunFolderError
from fewshot_film.run.checkpoint import load_checkpoint, load_weights
from fewshot_film.run.loop import evaluating, train
from fewshot_film.run.progress import Reporter
from fewshot_film.run.settings import LoopConfig
from tests.run.reference import train_linear
from tests.run.toy import Toy, ToyBatches, ToyConfig, make_toy, train_toy, validate_toy, weights_hash

LOOP = LoopConfig(
    steps=30,
    log_every=7,
    validate_every=10,
    checkpoint_seconds=1e9,
    monitor="loss",
    mode="min",
    learning_rate=0.01,
)


def lines(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def without_time(run_dir: Path) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines(run_dir)]


class Linear(nn.Module):
    """A linear fit in double precision."""

    def __init__(self):
        super().__init__()
        self.fit = nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, batch):
        return {"loss": (self.fit(batch["x"].double()).squeeze(1) - batch["y"].double()).square().mean()}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(("schedule", "clip_norm"), [("cosine", 2.0), ("constant", None)])
def test_equals_the_textbook(optimizer, schedule, clip_norm, tmp_path):
    loop = replace(
        LOOP, accumulate=3, optimizer=optimizer, weight_decay=0.1, momentum=0.8, schedule=schedule,
        warmup_steps=5, clip_norm=clip_norm,
    )  # fmt: skip
    module, batches = Linear(), ToyBatches()
    weight, bias = (value.detach().numpy().copy().reshape(-1) for value in module.fit.parameters())
    arrays = [(batches[i]["x"].double().numpy(), batches[i]["y"].double().numpy()) for i in range(90)]
    expected = train_linear(
        arrays, weight, bias, accumulate=3, optimizer=optimizer, learning_rate=0.01, weight_decay=0.1,
        momentum=0.8, clip_norm=clip_norm, warmup_steps=5, cosine=schedule == "cosine",
    )  # fmt: skip
    train(module, batches, loop, run_dir=tmp_path / "run")
    np.testing.assert_allclose(module.fit.weight.detach().numpy()[0], expected[0], rtol=1e-10)
    np.testing.assert_allclose(module.fit.bias.detach().numpy(), expected[1], rtol=1e-10)


def test_learns(tmp_path):
    toy, _ = train_toy(ToyConfig(tmp_path / "run", replace(LOOP, steps=300), dropout=0.0))
    assert validate_toy(toy.eval())["loss"] < 0.2


def test_returns_where_everything_is(tmp_path):
    _, result = train_toy(ToyConfig(tmp_path / "run", LOOP))
    losses = {line["step"]: line["loss"] for line in lines(tmp_path / "run") if line["split"] == "validation"}
    assert result.step == 30
    assert not result.stopped_early
    assert result.best == min(losses.values())
    assert losses[result.best_step] == result.best
    assert result.best_checkpoint == tmp_path / "run" / "best.ckpt"
    assert load_weights(make_toy(), result.best_checkpoint).step == result.best_step
    assert load_weights(make_toy(), result.last_checkpoint).step == 30


def test_writes_the_run_folder(tmp_path):
    config = ToyConfig(tmp_path / "run", LOOP)
    train_toy(config)
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["loop"]["learning_rate"] == 0.01
    [start] = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert start["device"] == "cpu"
    assert start["versions"]["torch"] == torch.__version__.split("+")[0]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_every_line_is_the_mean_since_the_last(tmp_path):
    run = ToyConfig(tmp_path / "each", replace(LOOP, log_every=1))
    train_toy(run)
    train_toy(replace(run, run_dir=tmp_path / "seven", loop=LOOP))
    each = [line["loss"] for line in lines(tmp_path / "each") if line["split"] == "train"]
    seven = [line for line in lines(tmp_path / "seven") if line["split"] == "train"]
    assert [line["step"] for line in seven] == [7, 14, 21, 28, 30]
    assert seven[1]["loss"] == pytest.approx(sum(each[7:14]) / 7, rel=1e-12)
    assert seven[-1]["loss"] == pytest.approx(sum(each[28:]) / 2, rel=1e-12)
    assert [line["step"] for line in lines(tmp_path / "seven") if line["split"] == "validation"] == [
        10,
        20,
        30,
    ]


class Failing(ToyBatches):
    """Fails when asked for one batch: a run cut off there."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def __getitem__(self, index):
        if index == self.at:
            raise KeyError("cut off")
        return super().__getitem__(index)


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
@pytest.mark.parametrize("cuts", [(1,), (19, 20, 21), (33, 59)])
def test_cut_off_and_resumed(checkpoint_seconds, cuts, tmp_path):
    loop = replace(LOOP, accumulate=2, checkpoint_seconds=checkpoint_seconds)
    undisturbed, _ = train_toy(ToyConfig(tmp_path / "whole", loop))
    for cut in cuts:
        with pytest.raises(KeyError, match="cut off"):
            train(make_toy(), Failing(cut), loop, run_dir=tmp_path / "cut", validate=validate_toy, resume=True)
    resumed = make_toy()
    train(resumed, ToyBatches(), loop, run_dir=tmp_path / "cut", validate=validate_toy, resume=True)
    assert weights_hash(resumed) == weights_hash(undisturbed)
    assert without_time(tmp_path / "cut") == without_time(tmp_path / "whole")
    best = [load_checkpoint(tmp_path / name / "best.ckpt") for name in ("cut", "whole")]
    assert best[0].progress.best_step == best[1].progress.best_step
    assert all(torch.equal(best[0].module[name], best[1].module[name]) for name in best[0].module)


def test_a_validation_changes_nothing(tmp_path):
    often, _ = train_toy(ToyConfig(tmp_path / "often", replace(LOOP, validate_every=1)))
    never, _ = train_toy(ToyConfig(tmp_path / "never", LOOP, validates=False))
    assert weights_hash(often) == weights_hash(never)


def test_leaves_global_generators_and_modes_alone(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    toy = make_toy()
    toy.layers[1].eval()

    class Frozen(Toy):
        def train(self, mode=True):
            super().train(mode)
            self.layers[1].eval()
            return self

    toy.__class__ = Frozen
    modes = []
    toy.register_forward_hook(lambda module, *_: modes.append((module.training, module.layers[1].training)))
    train(toy, ToyBatches(), LOOP, run_dir=tmp_path / "run", validate=validate_toy)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert set(modes) == {(True, False), (False, False)}


def test_frozen_parameters_stay(tmp_path):
    toy = make_toy()
    toy.layers[0].requires_grad_(False)
    frozen, free = toy.layers[0].weight.clone(), toy.layers[4].weight.clone()
    train(toy, ToyBatches(), replace(LOOP, weight_decay=0.1), run_dir=tmp_path / "run")
    assert torch.equal(toy.layers[0].weight, frozen)
    assert not torch.equal(toy.layers[4].weight, free)
    assert len(load_checkpoint(tmp_path / "run" / "last.ckpt").optimizer["state"]) == 4


def test_nothing_trainable(tmp_path):
    with pytest.raises(ConfigError, match="no trainable parameter; unfreeze"):
        train(make_toy().requires_grad_(False), ToyBatches(), LOOP, run_dir=tmp_path / "run")


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_a_nan_ends_the_run_and_leaves_the_weights(checkpoint_seconds, tmp_path):
    loop = replace(LOOP, checkpoint_seconds=checkpoint_seconds, validate_every=1000)
    before, _ = train_toy(ToyConfig(tmp_path / "before", replace(loop, steps=12), norm=False))
    toy = make_toy(norm=False)
    with pytest.raises(NonFiniteLossError) as caught:
        train(toy, ToyBatches(poison=12), loop, run_dir=tmp_path / "run")
    text = str(caught.value)
    assert text.startswith("step 13: the loss is nan and the norm of its gradient nan; the weights were not updated")
    last = tmp_path / "run" / "last.ckpt"
    good = (
        f"The last good checkpoint is {last} (step 12)." if checkpoint_seconds == 0 else "There is no checkpoint yet."
    )
    assert text.endswith(good)
    assert weights_hash(toy) == weights_hash(before)


def test_an_infinite_gradient_of_a_finite_loss_ends_the_run(tmp_path):
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.zeros(()))

        def forward(self, batch):
            return {"loss": self.value.abs().sqrt()}

    with pytest.raises(NonFiniteLossError, match=r"step 1: the loss is 0.0 and the norm of its gradient nan"):
        train(Root(), ToyBatches(), LOOP, run_dir=tmp_path / "run")


def scripted(*losses: float):
    """A validation that reports these values, one after another."""
    values = iter(losses)
    return lambda module: {"loss": next(values), "other": 1.0}


def test_patience_runs_out(tmp_path):
    loop = replace(LOOP, steps=100, validate_every=5, patience=2)
    result = train(make_toy(), ToyBatches(), loop, run_dir=tmp_path / "run", validate=scripted(3, 2, math.nan, 2, 1))
    assert (result.step, result.best, result.best_step, result.stopped_early) == (20, 2, 10, True)
    assert load_checkpoint(result.best_checkpoint).progress.step == 10
    assert [line["loss"] for line in lines(tmp_path / "run") if line["split"] == "validation"] == [
        3,
        2,
        None,
        2,
    ]
    longer = replace(loop, patience=3, steps=25)
    result = train(make_toy(), ToyBatches(), longer, run_dir=tmp_path / "run", validate=scripted(1), resume=True)
    assert (result.step, result.best, result.best_step) == (25, 1, 25)


def test_mode_max(tmp_path):
    loop = replace(LOOP, mode="max")
    result = train(make_toy(), ToyBatches(), loop, run_dir=tmp_path / "run", validate=scripted(1, 3, 2))
    assert (result.best, result.best_step) == (3, 20)


def test_patience_without_validation(tmp_path):
    with pytest.raises(ConfigError, match="patience is set, but nothing is validated; set patience to null"):
        train(make_toy(), ToyBatches(), replace(LOOP, patience=1), run_dir=tmp_path / "run")


def test_monitor_that_is_not_reported(tmp_path):
    with pytest.raises(ConfigError, match="monitor is 'top5'; expected what the validation reports: loss"):
        train_toy(ToyConfig(tmp_path / "run", replace(LOOP, monitor="top5")))


def test_a_finished_run_is_resumed_to_nothing(tmp_path):
    first, _ = train_toy(ToyConfig(tmp_path / "run", LOOP))
    before = without_time(tmp_path / "run")
    again, result = train_toy(ToyConfig(tmp_path / "run", LOOP, resume=True))
    assert weights_hash(again) == weights_hash(first)
    assert without_time(tmp_path / "run") == before
    assert result.step == 30


def test_more_steps_of_a_constant_schedule(tmp_path):
    long, _ = train_toy(ToyConfig(tmp_path / "long", replace(LOOP, steps=40)))
    train_toy(ToyConfig(tmp_path / "run", LOOP))
    again, _ = train_toy(ToyConfig(tmp_path / "run", replace(LOOP, steps=40), resume=True))
    assert weights_hash(again) == weights_hash(long)


def test_a_later_end_before_the_cooldown_begins(tmp_path):
    ends = replace(LOOP, steps=40, cooldown_steps=10)
    long, _ = train_toy(ToyConfig(tmp_path / "long", ends))
    train_toy(ToyConfig(tmp_path / "run", LOOP))
    again, _ = train_toy(ToyConfig(tmp_path / "run", ends, resume=True))
    assert weights_hash(again) == weights_hash(long)
    with pytest.raises(CheckpointError, match=r"loop.cooldown_steps: 10 -> 0; loop.steps: 40 -> 50"):
        train_toy(ToyConfig(tmp_path / "run", replace(LOOP, steps=50), resume=True))


def test_a_folder_with_a_run_is_refused(tmp_path):
    train_toy(ToyConfig(tmp_path / "run", LOOP))
    with pytest.raises(RunFolderError, match=r"already contains a run \(last.ckpt\); continue it with --resume"):
        train_toy(ToyConfig(tmp_path / "run", LOOP))


def test_other_settings_are_refused(tmp_path):
    config = ToyConfig(tmp_path / "run", replace(LOOP, schedule="cosine"))
    train_toy(config)
    free = replace(config.loop, num_workers=1, log_every=3, validate_every=7, patience=9, checkpoint_seconds=5)
    other = replace(config, resume=True, width=8, batch_seconds=0.001, loop=replace(free, learning_rate=0.5, steps=60))
    with pytest.raises(CheckpointError) as caught:
        train_toy(other)
    changed = str(caught.value).split("different settings: ")[1].split(". Resume with")[0]
    assert changed == "loop.learning_rate: 0.01 -> 0.5; loop.steps: 30 -> 60; width: 16 -> 8"
    train_toy(replace(config, resume=True, loop=free, batch_seconds=0.001))


def test_other_number_of_micro_batches_is_refused(tmp_path):
    config = ToyConfig(tmp_path / "run", LOOP)
    train_toy(config)
    with pytest.raises(CheckpointError, match=r"micro-batches per step \(processes times accumulate\): 1 -> 2"):
        train_toy(replace(config, resume=True, loop=replace(LOOP, accumulate=2)))


def test_same_settings_but_another_network_are_refused(tmp_path):
    train(make_toy(), ToyBatches(), LOOP, run_dir=tmp_path / "run")
    with pytest.raises(
        CheckpointError, match=r"is of another network: layers.0.weight is \(16, 4\), expected \(8, 4\)"
    ):
        train(make_toy(8), ToyBatches(), LOOP, run_dir=tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.ones(()), "the module returned tensor.*; expected a dict of scalars with 'loss'"),
        ({"accuracy": torch.ones(())}, "expected a dict of scalars with 'loss'"),
        ({"loss": torch.ones(3)}, "the module's 'loss' is not a tensor of one number"),
        ({"loss": torch.ones(()), "accuracy": 0.5}, "the module's 'accuracy' is not a tensor of one number"),
    ],
)
def test_module_that_returns_something_else(outputs, message, tmp_path):
    toy = make_toy()
    toy.forward = lambda batch: outputs
    with pytest.raises(TypeError, match=message):
        train(toy, ToyBatches(), LOOP, run_dir=tmp_path / "run")


def test_module_that_changes_its_mind(tmp_path):
    toy, extra = make_toy(), iter(["first", "second"])
    forward = toy.forward
    toy.forward = lambda batch: forward(batch) | {next(extra): torch.zeros(())}
    with pytest.raises(TypeError, match=r"returned \['loss', 'second', 'worst'\], before that \['first'"):
        train(toy, ToyBatches(), LOOP, run_dir=tmp_path / "run")


def test_bfloat16(tmp_path):
    toy, _ = train_toy(ToyConfig(tmp_path / "run", replace(LOOP, precision="bf16-mixed")))
    exact, _ = train_toy(ToyConfig(tmp_path / "exact", LOOP))
    assert all(value.dtype != torch.bfloat16 for value in toy.state_dict().values())
    assert weights_hash(toy) != weights_hash(exact)
    torch.testing.assert_close(toy.layers[0].weight, exact.layers[0].weight, rtol=0.1, atol=0.02)


def test_device_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"device is 'tpu'; this machine has auto, cpu"):
        train_toy(ToyConfig(tmp_path / "run", replace(LOOP, device="tpu")))


def test_says_how_it_goes_where_there_is_no_terminal(tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO)
    train_toy(ToyConfig(tmp_path / "run", LOOP))
    assert any(text.startswith("train, step 7 of 30: loss") for text in caplog.messages)
    assert any("left" in text for text in caplog.messages)
    assert capsys.readouterr() == ("", "")


def test_log_lines_give_accuracies_in_per_cent_and_say_of_what(caplog):
    caplog.set_level(logging.INFO)
    values = {"accuracy": 0.28581, "loss": 4.01412, "gradient_norm": 3.832, "learning_rate": 9.1e-9}
    with Reporter(0, 30, True, {"validation": "20-way 1-shot"}) as reporter:
        reporter.say("train", 7, values)
        reporter.say("validation", 30, {"accuracy": 0.769})
    assert caplog.messages[0].startswith("train, step 7 of 30: accuracy 28.6 %, loss 4.01; ")
    assert caplog.messages[1].startswith("validation, step 30 of 30: accuracy (20-way 1-shot) 76.9 %; ")


def test_a_bar_on_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    train_toy(ToyConfig(tmp_path / "run", LOOP))
    assert "30/30" in capsys.readouterr().err


def test_evaluating_restores_modes_after_an_error():
    toy = make_toy()
    toy.layers[1].eval()
    modes = []

    def fail():
        modes.append(any(part.training for part in toy.modules()))
        raise KeyError

    with pytest.raises(KeyError), evaluating(toy):
        fail()
    assert modes == [False]
    assert toy.training
    assert not toy.layers[1].training
    assert toy.layers[3].training
