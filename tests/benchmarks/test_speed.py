"""What the speed of tasks is measured against computes the same."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from benchmarks import clevr_ask_speed, clevr_speed, episode_speed, photo_speed, simple_cnaps_speed
from fewshot_film.config import BackboneConfig, SimpleCNAPSConfig
from fewshot_film.learners import SimpleCNAPS
from tests.clevr.models import SMALL as SMALL_REASONER
from tests.extras import needs_int8

SMALL = SimpleCNAPSConfig(
    backbone=BackboneConfig(width=16, blocks=(1, 2), stem_kernel=3, image_size=16), set_encoder_layers=3
)


def learner() -> SimpleCNAPS:
    """Small, with FiLM far from the identity."""
    torch.manual_seed(0)
    made = SimpleCNAPS(SMALL).eval()
    assert made.generator is not None
    with torch.no_grad():
        for parameter in made.generator.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


def test_plain_implementation_gives_our_logits():
    made = learner()
    labels = torch.arange(3).repeat_interleave(torch.tensor([1, 4, 2]))
    support, queries = torch.rand(7, 3, 16, 16), torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        expected = simple_cnaps_speed.plain_logits(made, support, labels, queries)
        torch.testing.assert_close(made.adapt(support, labels)(queries), expected, rtol=1e-4, atol=1e-3)
        folded = simple_cnaps_speed.pairs(
            simple_cnaps_speed.Task(made, simple_cnaps_speed.Adapter(made), support, labels, queries), bfloat16=False
        )
        for side in ("ours", "folded"):
            torch.testing.assert_close(folded["task"][side](), expected, rtol=1e-4, atol=1e-3)


def test_result_has_ratios(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(simple_cnaps_speed, "SimpleCNAPSConfig", lambda: SMALL)
    out = tmp_path / "speed.json"
    simple_cnaps_speed.task(simple_cnaps_speed.TaskSpeedConfig(ways=(3,), shots=(2,), query=1, most=1, out=out))
    found = json.loads(out.read_text())["results"]["3-way 2-shot"]
    times = found["task"]["milliseconds"]
    assert found["task"]["plain / ours"] == times["plain"][0] / times["ours"][0]
    assert "| one query after fit |" in capsys.readouterr().out


def test_both_heads_give_the_same_distances():
    found = simple_cnaps_speed.measure_head([1, 3, 2])
    assert found["largest_difference"] < 1e-2
    assert len(found["plain_ms"]) == 5
    assert len(found["fast_ms"]) == 30


def test_every_chunk_size_is_timed_in_every_round(monkeypatch):
    monkeypatch.setattr(simple_cnaps_speed, "IMAGES", 4)
    monkeypatch.setattr(simple_cnaps_speed, "CHUNKS", (1, 4))
    times = simple_cnaps_speed.measure_chunks(SMALL.backbone)
    assert {chunk: len(values) for chunk, values in times.items()} == {"1": 5, "4": 5}


def test_the_plain_reasoner_is_timed_beside_ours(tmp_path: Path, monkeypatch, capsys):
    settings = tmp_path / "small.yaml"
    model = {field: value for field, value in dataclasses.asdict(SMALL_REASONER).items() if value is not None}
    settings.write_text(yaml.safe_dump({"out": "unused", "model": json.loads(json.dumps(model))}))
    out = tmp_path / "speed.json"
    clevr_speed.reasoner(clevr_speed.ReasonerSpeedConfig(model=settings, questions=2, repeats=2, out=out))
    found = json.loads(out.read_text())["results"]
    assert found["difference of the losses"] < 1e-4
    row = found["training step"]
    plain, ours = (np.median(row[side]["values"]) for side in ("plain seconds", "seconds"))
    assert row["ratio"] == plain / ours


def test_every_step_of_a_generated_world_has_a_rate(tmp_path: Path, capsys):
    out = tmp_path / "speed.json"
    config = clevr_speed.GenerateSpeedConfig(out=out, scenes=2, sample=2, width=32, height=24)
    clevr_speed.generate_world(config)
    found = json.loads(out.read_text())["results"]
    assert set(found["one_core_per_second"]) == {"scenes", "images", "png files", "questions"}
    assert min(found["one_core_per_second"].values()) > 0
    assert found["generate"]["scenes per second"] > 0


def test_compiled_loops_are_timed_beside_torch(tmp_path: Path, capsys):
    pytest.importorskip("numba")
    out = tmp_path / "speed.json"
    clevr_speed.render_scenes(
        clevr_speed.RenderSpeedConfig(processes=1, repeats=2, batch=2, sizes=((32, 24),), out=out)
    )
    found = json.loads(out.read_text())["results"]
    assert found["images alone a second, 32x24"]["mean"] > 0
    assert found["images alone by compiled loops a second, 32x24"]["mean"] > 0


def test_questions_per_second_are_counted(tmp_path: Path, capsys):
    out = tmp_path / "speed.json"
    clevr_speed.questions(clevr_speed.QuestionSpeedConfig(scenes=2, repeats=2, out=out))
    assert json.loads(out.read_text())["results"]["questions_per_second"]["count"] == 2
    assert "20 questions in" in capsys.readouterr().out


def test_episodes_are_counted_with_and_without_the_cache(tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    for number in range(20):
        (tmp_path / "images" / "train" / f"{number}").mkdir(parents=True)
        for image in range(6):
            noise = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            noise.save(tmp_path / "images" / "train" / f"{number}" / f"{image}.bmp")
    out = tmp_path / "speed.json"
    settings = {
        "source": "folder",
        "root": str(tmp_path / "images"),
        "split": "train",
        "image_size": 8,
        "rounds": 2,
        "seconds": 1e-6,
        "query": 1,
        "out": out,
    }
    episode_speed.throughput(episode_speed.ThroughputConfig(**settings))
    found = json.loads(out.read_text())["results"]
    for way, shot in ((5, 1), (5, 5), (20, 5)):
        for how in ("indices", "with cache", "without cache"):
            assert found[f"{way}-way {shot}-shot, {how}"]["count"] == 2


@needs_int8
def test_photographs_are_measured_beside_their_bars(tmp_path: Path, capsys):
    out, threads = tmp_path / "photo_speed.json", torch.get_num_threads()
    sizes = {"camera": (64, 48), "shared": (48, 64)}
    config = photo_speed.PhotoSpeedConfig(model="general-small", rounds=1, threads=1, files=3, out=out, **sizes)
    photo_speed.run(config)
    torch.set_num_threads(threads)
    results = json.loads(out.read_text())["results"]
    assert set(photo_speed.BARS) <= set(results)
    network, ratio = results["network, one photo, ms"], results["int8: times as fast, one photo"]
    assert network["bar"] == "< 15"
    assert network["reached"] == {side: network[side] < 15 for side in ("float32", "int8")}
    assert ratio["int8"] == network["float32"] / network["int8"]
    assert "fit to 25 files, s" in capsys.readouterr().out
    with Image.open(io.BytesIO(photo_speed.photo(np.random.default_rng(0), (640, 480)))) as image:
        assert image.size == (640, 480)
        assert image.getexif()[274] in (1, 3, 6, 8)


def test_how_long_an_answer_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        clevr_ask_speed.run(clevr_ask_speed.AskSpeedConfig(images=2, repeats=2, out=out))
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    found = json.loads(out.read_text())["results"]
    names = ("answer, ms", "answer from one view, ms", "answer from four views, ms", "clevr-film ask, s")
    assert {name: values["count"] for name, values in found.items()} == dict.fromkeys(names, 2)
    assert found[names[2]]["mean"] > found[names[1]]["mean"]
    assert found["clevr-film ask, s"]["mean"] > 0.1
    assert "answer, ms: median " in capsys.readouterr().out
