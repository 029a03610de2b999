"""The attempts to break the commands: they find what they are for, and count it."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from PIL import Image

from benchmarks.reliability import absent, attacks, corruption, fuzz, hostile_uploads, soak, table
from benchmarks.reliability.content import content_of, differences, leftovers, torn_files
from benchmarks.reliability.inputs import CASES, INPUTS, case
from benchmarks.reliability.process import Line, Outcome, run, start
from benchmarks.reliability.resource_limits import Count
from clevr.cli import COMMANDS as CLEVR_COMMANDS
from fewshot_film.cli import COMMANDS as FEW_SHOT_COMMANDS
from fewshot_film.run.model_folder import save_model
from tests.clevr.worlds import make_world
from tests.conftest import CHECKOUT
from tests.run.toy import make_toy

GENERATE = "generate --out={out} --split=val --scenes=4 --width=24 --height=16 --chunk=1 --workers=1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"), {"val": 3}, width=24, height=16)


def an_outcome(status: int | None, output: str) -> Outcome:
    return Outcome(Line("clevr-film", ("ask", "x.png")), status, output, 1.0)


def test_outcomes_are_told_apart():
    message = "clevr-film ask: x.png does not exist; name a picture\n"
    assert an_outcome(2, message).is_refused
    assert not an_outcome(1, message).is_refused
    assert not an_outcome(2, "clevr-film ask: \n").is_refused, "without a message"
    assert not an_outcome(2, f"Traceback (most recent call last):\n{message}").is_refused
    assert an_outcome(0, "yes").is_done
    assert not an_outcome(None, message).is_done


def test_what_is_expected_decides_what_is_a_fault():
    count = Count()
    for may in ("refused", "done", "either"):
        count.add(an_outcome(0, ""), may=may)
    assert (count.tried, count.done, count.refused, len(count.faults)) == (3, 3, 0, 1)
    count.add(an_outcome(0, ""), may="done", more=["a torn file"])
    assert "a torn file" in count.faults[1]


def test_every_command_but_the_apps_is_tried():
    known = {("fewshot-film", command.name) for command in FEW_SHOT_COMMANDS}
    known |= {("clevr-film", command.name) for command in CLEVR_COMMANDS}
    # pages are tried by the tests of the app; to calibrate a reasoner takes a hundred images, which these worlds lack
    known -= {("fewshot-film", "app"), ("fewshot-film", "share"), ("clevr-film", "calibrate")}
    assert {(one.program, one.name) for one in CASES} == known
    assert {name for one in CASES for name in one.reads()} == set(INPUTS)


def test_torn_files_are_seen(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    save_model(tmp_path / "model", make_toy().state_dict(), {"width": 16}, "# A toy\n")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    assert torn_files(tmp_path) == []
    for path in [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "metrics.jsonl"]:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        assert [text.partition(":")[0] for text in torn_files(tmp_path)] == [str(path.relative_to(tmp_path))]
        path.rename(path.with_name(f".{path.name}.host.1.tmp"))
        assert torn_files(tmp_path) == [], "one in the making may be half a file"
    assert len(leftovers(tmp_path)) == 4


def test_contents_are_equal_but_for_times_and_places(tmp_path):
    for name, seconds, loss in (("a", 1.0, 0.5), ("b", 2.0, 0.5), ("c", 1.0, 0.25)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(json.dumps({"loss": loss, "seconds": seconds}) + "\n")
        (folder / "config.yaml").write_text(f"out: {folder}\n")
        (folder / "environment.json").write_text(name)
    one, same, other = (content_of(tmp_path / name) for name in "abc")
    assert differences(one, same) == []
    assert differences(one, other) == ["metrics.jsonl"]


def test_a_command_runs_in_a_process_that_can_be_killed(tmp_path):
    line = Line("clevr-film", tuple(GENERATE.format(out=tmp_path / "world").split()))
    running = start(line, tmp_path / "logs")
    running.kill()
    assert running.wait().status == -signal.SIGKILL
    assert run(line, tmp_path / "logs").is_done
    assert run(line.plus("--scenes=0"), tmp_path / "logs").is_refused


def test_a_soak_finds_no_fault_where_there_is_none(tmp_path):
    target = soak.Target("generate", case("clevr-film", "generate"), places={"scenes": 4})
    found = soak.soak({}, tmp_path, kills=2, only=[target], say=lambda text: None)["generate"]
    assert found["kills"] >= 2
    assert found["ends"] >= 1
    assert [found[name] for name in ("torn", "differing", "left", "failed")] == [[], [], [], []]


def test_fuzzing_counts_and_finds():
    def check(value: int) -> bool:
        if value > 100:
            raise KeyError(value)
        return value % 2 == 0

    count = fuzz.try_out(fuzz.Fuzz("numbers", st.integers(0, 50), check, 0), 40)
    assert count.tried == 40
    assert 0 < count.read < 40
    assert count.faults == []
    count = fuzz.try_out(fuzz.Fuzz("numbers", st.integers(0, 1000), check, 0), 200)
    assert "KeyError: 101" in count.faults[0], "the simplest input with the fault"


def test_a_hang_is_a_fault(monkeypatch):
    def hang(value: int) -> bool:
        while True:
            pass

    monkeypatch.setattr(fuzz, "LIMIT_SECONDS", 0.05)
    count = fuzz.try_out(fuzz.Fuzz("numbers", st.just(1), hang, 0), 3)
    assert "Hang: it took more than 0.05 s" in count.faults[0]


def test_readers_stand_a_taste_of_made_up_inputs(world):
    found = fuzz.fuzz({"world": world}, share=0.001, say=lambda text: None)
    assert {name: one["faults"] for name, one in found.items() if one["faults"]} == {}
    assert min(one["tried"] for one in found.values()) >= 5
    assert any(one["read"] for one in found.values())


def test_versions_of_a_damaged_file():
    data = bytes(range(256)) * 8
    versions = list(corruption.flipped(data, 10))
    assert len({*versions}) == len(versions) >= 128
    assert all(sum(a != b for a, b in zip(version, data, strict=True)) == 1 for version in versions)
    assert all(data.startswith(version) and len(version) < len(data) for version in corruption.cut(data, 10))


def test_the_table_counts_every_fault():
    results = {
        "soak": {"train": {"seconds": 1.5, "kills": 7, "on_sight": 2, "ends": 3, "torn": ["a.png: half"],
                           "differing": [], "left": ["b", "c"], "failed": []}},
        "fuzz": {"tokenizer": {"tried": 1000, "read": 900, "slowest": 0.25, "faults": ["KeyError"]}},
        "hostile": {"no data": {"tried": 5, "refused": 4, "done": 0, "faults": ["a traceback"]}},
    }  # fmt: skip
    results = {name: {"seconds": 60, "rows": rows} for name, rows in results.items()}
    text = table.markdown(results)
    assert text.startswith(
        "**7 kills, 1,000 made-up inputs, 5 commands in hostile conditions: 5 faults.** Made in 3 minutes."
    )
    assert "| train | 1.5 | 7 | 2 | 3 | 1 | 0 | 2 | 0 |" in text
    assert "| tokenizer | 1,000 | 900 | 100 | 250 | 1 |" in text
    assert "| no data | 5 | 4 | 0 | 1 |" in text
    assert "torn: a.png: half" in table.faults_of(results)
    assert text.endswith("- `faults: a traceback`\n- `faults: KeyError`")


def test_a_zip_of_many_names_is_refused_from_its_directory_at_once(tmp_path, monkeypatch):
    count = attacks.many_names(tmp_path / "names.zip", names=30_000)
    assert (count.tried, count.refused, count.faults) == (1, 1, [])
    monkeypatch.setattr(attacks, "AT_ONCE", 0.0)
    assert "s to refuse it" in attacks.many_names(tmp_path / "names.zip", names=30_000).faults[0]
    assert attacks.many_names(tmp_path / "few.zip", names=3).faults[0] == "it was not refused"


def test_an_upload_beyond_the_quota_has_to_be_refused():
    httpx, count = pytest.importorskip("httpx"), Count()
    for status, is_too_much in ((200, False), (413, True), (200, True), (500, True), (413, False)):
        hostile_uploads._count(count, "an upload", httpx.Response(status), is_too_much, 413)
    assert count.tried == 5
    assert [fault.split(": ")[1] for fault in count.faults] == [
        "status 200, expected 413",
        "status 500, expected 413",
        "status 413, expected 200",
    ]


def test_files_that_lie_are_what_their_names_say():
    large = Image.open(io.BytesIO(hostile_uploads._png(3000, 2000)))
    assert large.size == (3000, 2000)
    assert Image.open(io.BytesIO(hostile_uploads._jpeg(9_000))).size == (9_000, 9_000)
    with zipfile.ZipFile(io.BytesIO(hostile_uploads._linked("/etc/passwd"))) as archive:
        assert all(stat.S_ISLNK(info.external_attr >> 16) for info in archive.infolist())
    with zipfile.ZipFile(io.BytesIO(hostile_uploads._lying())) as archive:
        assert {info.file_size for info in archive.infolist()} == {10}


def test_what_is_hidden_cannot_be_imported(tmp_path):
    line = Line("fewshot-film", ("app", "--port", "0"))
    outcome = absent.run_without(line, ["gradio"], tmp_path)
    assert outcome.is_refused, outcome
    assert "pip install 'fewshot-film[app]'" in outcome.output


@pytest.mark.slow
def test_the_quick_size_of_everything(tmp_path):
    command = [sys.executable, "-m", "benchmarks.reliability", "--quick", f"--out={tmp_path / 'result.json'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results = json.loads((tmp_path / "result.json").read_text())["results"]
    assert {"soak", "lost", "hostile", "damage", "fuzz", "declared", "attacks", "extras"} <= set(results)
    assert ": 0 faults.**" in done.stdout
