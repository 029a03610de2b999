from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clevr.cli import COMMANDS
from clevr.commands.features import run
from clevr.config.commands import FeaturesConfig
from clevr.config.features import ExtractorConfig
from clevr.data.backbone import Extractor, to_pixels
from clevr.data.feature_store import open_store
from fewshot_film.errors import ConfigError, RunFolderError
from fewshot_film.run.command import main
from tests.clevr.data.builders import pack, write_clevr

EXTRACTOR = ExtractorConfig("resnet18", "layer3", "random", size=32)
WORDS = ["--extractor.backbone=resnet18", "--extractor.weights=random", "--extractor.size=32"]


def features(*words: object) -> int:
    return main("clevr-film", COMMANDS, ["features", *map(str, words)])


def some_pictures(folder: Path, number: int = 5) -> Path:
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True)
    for index in range(number):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / f"{index:03d}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def a_config(data: Path, out: Path, **changes: Any) -> FeaturesConfig:
    settings: dict[str, Any] = {"extractor": EXTRACTOR, "batch_size": 2, "device": "cpu", **changes}
    return FeaturesConfig(data, out, **settings)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_features_of_a_folder_are_those_of_each_picture(tmp_path: Path) -> None:
    folder = some_pictures(tmp_path / "pictures")
    run(a_config(folder, tmp_path / "store", dtype="float32"))
    store = open_store(tmp_path / "store")
    assert len(store) == 5
    extractor = Extractor(EXTRACTOR)
    for index in range(5):
        name = f"{index:03d}.png"
        with Image.open(folder / name) as picture:
            expected = extractor(torch.from_numpy(to_pixels(picture, 32).copy())[None])
        found = torch.from_numpy(store.read([store.row(name)]))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
def test_features_of_a_split(tmp_path: Path, packed: bool) -> None:
    root = write_clevr(tmp_path / "set", num_scenes=3)
    root = pack(root, tmp_path / "set.zip") if packed else root
    assert features(root, "--split", "val", "--out", tmp_path / "store", "--num_workers=1", *WORDS) == 0
    store = open_store(tmp_path / "store")
    assert store.read([store.row("CLEVR_val_000002.png")]).dtype == np.float16
    settings = json.loads((tmp_path / "store" / "index.json").read_text())["settings"]
    expected = {"backbone": "resnet18", "layer": "layer3", "normalisation": "imagenet", "size": 32, "dtype": "float16"}
    assert expected.items() <= settings.items()


def test_an_interrupted_run_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = some_pictures(tmp_path / "pictures")
    run(a_config(folder, tmp_path / "whole"))
    damaged = folder / "003.png"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:50])
    assert features(folder, "--out", tmp_path / "store", "--batch_size=2", *WORDS) == 2
    assert json.loads((tmp_path / "store" / "progress.json").read_text()) == {"done": 2}
    damaged.write_bytes(good)
    run(a_config(folder, tmp_path / "store"))
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_another_batch_size_goes_on_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    folder = some_pictures(tmp_path / "pictures")
    good = (folder / "004.png").read_bytes()
    (folder / "004.png").write_bytes(b"")
    assert features(folder, "--out", tmp_path / "store", "--batch_size=2", *WORDS) == 2
    (folder / "004.png").write_bytes(good)
    run(a_config(folder, tmp_path / "store", batch_size=3))
    run(a_config(folder, tmp_path / "whole", batch_size=5))
    rows = [open_store(tmp_path / name).read(range(5)) for name in ("store", "whole")]
    np.testing.assert_allclose(rows[0], rows[1], rtol=2e-3, atol=1e-4)


@pytest.mark.slow
def test_killed_and_started_again(tmp_path: Path) -> None:
    folder = some_pictures(tmp_path / "pictures", 150)
    words = [sys.executable, "-m", "clevr", "features", str(folder), "--batch_size=2", *WORDS]
    whole, store = tmp_path / "whole", tmp_path / "store"
    subprocess.run([*words, f"--out={whole}"], check=True, capture_output=True)
    kills = 0
    for least in (1, 20, 50):
        process = subprocess.Popen([*words, f"--out={store}"], stderr=subprocess.DEVNULL)
        while process.poll() is None and _done(store) < least:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    subprocess.run([*words, f"--out={store}"], check=True, capture_output=True)
    assert content(store) == content(whole)


def _done(store: Path) -> int:
    try:
        return int(json.loads((store / "progress.json").read_text())["done"])
    except FileNotFoundError:
        return 0


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    """It would cut the array off under the first one's map."""
    folder = some_pictures(tmp_path / "pictures", 1)
    (tmp_path / "store").mkdir()
    code = "import filelock, sys, time; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)", str(tmp_path / "store" / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunFolderError, match="is in use by another process; wait for it"):
            run(a_config(folder, tmp_path / "store"))
        other.kill()
    run(a_config(folder, tmp_path / "store"))


def test_random_weights_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(a_config(some_pictures(tmp_path / "pictures", 1), tmp_path / "store"))
    assert "the network has random weights; its features are only useful for tests" in caplog.text


def test_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert features(tmp_path / "empty", "--out", tmp_path / "store", *WORDS) == 2
    assert "no images directly in" in capsys.readouterr().err
    root = write_clevr(tmp_path / "set")
    assert features(root, "--out", tmp_path / "store", *WORDS) == 2
    assert "give --split, one of val" in capsys.readouterr().err
    for picture in (root / "images" / "val").iterdir():
        picture.unlink()
    assert features(root, "--split=val", "--out", tmp_path / "store", *WORDS) == 2
    assert "the split 'val' of" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_settings_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size is 0; expected at least 1"):
        a_config(tmp_path, tmp_path, batch_size=0)
    with pytest.raises(ConfigError, match="num_workers is -1; expected at least 0"):
        a_config(tmp_path, tmp_path, num_workers=-1)
