from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from clevr.data.errors import DataError, DataNotFoundError
from clevr.data.feature_store import (
    FeatureStore,
    FeatureStoreError,
    FeatureWriter,
    Hdf5Features,
    open_features,
    open_store,
)
from fewshot_film.extras import MissingExtraError

SHAPE = (2, 3, 4)
NAMES = [f"CLEVR_val_{index:06d}.png" for index in range(5)]


def some_rows(dtype: Any = np.float16) -> NDArray[Any]:
    return np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(dtype)


def a_writer(folder: Path, **changes: Any) -> FeatureWriter:
    given = {"names": NAMES, "shape": SHAPE, "dtype": "float16", "settings": {"layer": "layer3"}}
    return FeatureWriter(folder, **{**given, **changes})


def a_store(folder: Path) -> Path:
    writer = a_writer(folder)
    writer.append(some_rows())
    writer.finish()
    return folder


def an_hdf5(path: Path, name: str = "features", rows: NDArray[Any] | None = None) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=some_rows(np.float32) if rows is None else rows)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_come_back_by_file_name(tmp_path: Path) -> None:
    store = open_store(a_store(tmp_path / "store"))
    assert (len(store), store.shape) == (5, SHAPE)
    wanted = [store.row(NAMES[3]), store.row(NAMES[0]), store.row(NAMES[3])]
    found = store.read(wanted)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, some_rows()[[3, 0, 3]])


def test_a_store_is_read_by_numpy_alone(tmp_path: Path) -> None:
    folder = a_store(tmp_path / "store")
    np.testing.assert_array_equal(np.load(folder / "features.npy"), some_rows())
    assert json.loads((folder / "index.json").read_text())["names"] == NAMES
    assert set(content(folder)) == {"features.npy", "index.json"}


@pytest.mark.parametrize("moment", ["rows on the disk, not counted", "half a batch written", "nothing written"])
def test_a_killed_run_is_finished_without_gaps(tmp_path: Path, moment: str) -> None:
    whole = content(a_store(tmp_path / "whole"))
    rows, folder = some_rows(), tmp_path / "killed"
    writer = a_writer(folder)
    writer.append(rows[:2])
    torn = np.load(folder / "features.npy", mmap_mode="r+")
    if moment.startswith("rows"):
        torn[2:4] = rows[2:4]
    elif moment.startswith("half"):
        torn[2:4] = 77
        torn[2, 0] = rows[2, 0]
    torn.flush()
    again = a_writer(folder)
    assert again.done == 2
    again.append(rows[again.done :])
    again.finish()
    assert content(folder) == whole


def test_a_kill_before_the_index_starts_anew(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    a_writer(folder).append(some_rows()[:2])
    (folder / "index.json").unlink()
    writer = a_writer(folder)
    assert writer.done == 0
    writer.append(some_rows())
    writer.finish()
    np.testing.assert_array_equal(open_store(folder).read(range(5)), some_rows())


def test_finished_stores_stay_as_they_are(tmp_path: Path) -> None:
    before = content(a_store(tmp_path / "store"))
    writer = a_writer(tmp_path / "store")
    assert writer.done == 5
    writer.finish()
    assert content(tmp_path / "store") == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"layer": "layer2"}}, "layer is 'layer3' there and 'layer2' here"),
        ({"dtype": "float32"}, "dtype is 'float16' there and 'float32' here"),
        ({"shape": (2, 3, 5)}, r"shape is \[2, 3, 4\] there and \[2, 3, 5\] here"),
        ({"names": NAMES[:4]}, r"it is of other images \(5 there, 4 here\)"),
    ],
)
def test_other_features_are_not_mixed_in(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    a_store(tmp_path / "store")
    with pytest.raises(FeatureStoreError, match=f"holds different features: {message}. Use the same settings"):
        a_writer(tmp_path / "store", **changes)


def test_unfinished_stores_say_how_to_finish(tmp_path: Path) -> None:
    a_writer(tmp_path / "store").append(some_rows()[:2])
    with pytest.raises(DataError, match="holds 2 of 5 images; run the same clevr-film features command again"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("features.npy", "no array", "features.npy: cannot be read"),
        ("progress.json", '{"done": "x"}', "is damaged \\(done is 'x'\\)"),
        ("progress.json", "[]", "it holds no object"),
        ("index.json", "[]", "it holds no object"),
    ],
)
def test_damaged_stores_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    a_writer(tmp_path / "store").append(some_rows()[:2])
    (tmp_path / "store" / name).write_text(text)
    with pytest.raises(DataError, match=message):
        a_writer(tmp_path / "store")


def test_too_few_rows_are_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 of 5 rows are written"):
        a_writer(tmp_path / "store").finish()


def test_values_beyond_the_dtype(tmp_path: Path) -> None:
    rows = np.full((1, *SHAPE), 70000.0, np.float32)
    with pytest.raises(FeatureStoreError, match="rows 0 to 0 hold values that are not finite in float16, up to 70000"):
        a_writer(tmp_path / "store").append(rows)


def test_no_room(tmp_path: Path) -> None:
    shape = (1 << 20, 1 << 10, 1 << 12)
    with pytest.raises(FeatureStoreError, match=r"cannot write \d+\.\d GB of features to .*store: .*Free some space"):
        a_writer(tmp_path / "store", shape=shape)
    assert not (tmp_path / "store" / "features.npy").exists()


def test_damaged_stores_are_named(tmp_path: Path) -> None:
    folder = a_store(tmp_path / "store")
    array = (folder / "features.npy").read_bytes()
    (folder / "features.npy").write_bytes(array[:-10])
    with pytest.raises(DataError, match=r"features\.npy: cannot be read .*compute the features again"):
        FeatureStore(folder)
    np.save(folder / "features.npy", some_rows()[:3])
    with pytest.raises(DataError, match=re.escape("has shape (3, 2, 3, 4), index.json says (5, 2, 3, 4)")):
        FeatureStore(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json: is damaged"):
        FeatureStore(folder)
    (folder / "index.json").write_text("{}")
    with pytest.raises(DataError, match="is not an index of clevr-film features, version 1"):
        FeatureStore(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no features at .*missing; expected a folder that `clevr-film"):
        open_store(tmp_path / "missing")
    with pytest.raises(DataNotFoundError, match=r"there is no index\.json"):
        open_store(tmp_path)


def test_a_picture_without_features(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no features of other\.png; make them of that split"):
        open_store(a_store(tmp_path / "store")).row("other.png")
    for name in ("CLEVR_val_000005.png", "other.png"):
        with pytest.raises(DataError, match=f"has 5 rows, none for {name}; get those of that split"):
            open_store(an_hdf5(tmp_path / "a.h5")).row(name)


def test_hdf5_rows_are_the_numbers_of_the_pictures(tmp_path: Path) -> None:
    store = open_store(an_hdf5(tmp_path / "a.h5"))
    assert (len(store), store.shape) == (5, SHAPE)
    rows = [store.row(f"CLEVR_new_{index:06d}.png") for index in (4, 0, 4, 2)]
    np.testing.assert_array_equal(store.read(rows), some_rows(np.float32)[[4, 0, 4, 2]])


def test_hdf5_without_features(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no data set 'features' of shape \(N, C, H, W\); there is images"):
        open_store(an_hdf5(tmp_path / "a.h5", "images"))
    with pytest.raises(DataError, match="there is features"):
        open_store(an_hdf5(tmp_path / "flat.h5", rows=np.zeros((5, 3))))
    (tmp_path / "no.h5").write_text("text")
    with pytest.raises(DataError, match=r"no\.h5: cannot be read as HDF5"):
        open_store(tmp_path / "no.h5")


def test_hdf5_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = an_hdf5(tmp_path / "a.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"needs the extra `hdf5` .*: pip install 'fewshot-film\[hdf5\]'"):
        Hdf5Features(path)


def _sum_of(store: Hdf5Features, rows: list[int], opened: list[int], queue: Any) -> None:
    queue.put((store.read(rows).sum().item(), opened))


@pytest.mark.parametrize("kind", ["hdf5", "folder"])
def test_stores_travel_to_other_processes(tmp_path: Path, kind: str) -> None:
    path = an_hdf5(tmp_path / "a.h5") if kind == "hdf5" else a_store(tmp_path / "store")
    store = open_store(path)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read([1]), store.read([1]))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_every_process_opens_hdf5_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened, is_open = an_hdf5(tmp_path / "a.h5"), [], h5py.File
    monkeypatch.setattr(h5py, "File", lambda *args: (opened.append(os.getpid()), is_open(*args))[1])
    store = Hdf5Features(path)
    store.read([0])
    queue: Any = multiprocessing.get_context("fork").Queue()
    process = multiprocessing.get_context("fork").Process(target=_sum_of, args=(store, [1, 2], opened, queue))
    process.start()
    found, openings = queue.get(timeout=60)
    process.join()
    assert os.getpid() in opened
    assert process.pid not in opened
    assert openings == [*opened, process.pid]
    assert found == pytest.approx(some_rows(np.float32)[[1, 2]].sum().item(), rel=1e-6)


@pytest.mark.parametrize("place", ["val", "val_features.h5", "val.h5"])
@pytest.mark.parametrize("direct", [False, True])
def test_features_of_a_split_in_its_own_order(tmp_path: Path, place: str, direct: bool) -> None:
    where = tmp_path / place
    (a_store if place == "val" else an_hdf5)(where)
    names = [NAMES[4], NAMES[1], NAMES[2]]
    found = open_features(where if direct else tmp_path, "val", names, SHAPE)
    assert (len(found), found.shape) == (3, (3, *SHAPE))
    rows = some_rows(np.float16 if place == "val" else np.float32)
    np.testing.assert_array_equal(found[np.array([2, 0, 2])], rows[[2, 4, 2]])


def test_no_folder_at_all() -> None:
    with pytest.raises(DataNotFoundError, match="the model reads features, and their folder is not given; expected a"):
        open_features("", "val", NAMES)


def test_features_of_another_split_or_shape(tmp_path: Path) -> None:
    a_store(tmp_path / "val")
    with pytest.raises(DataNotFoundError, match=r"no features of train in .*clevr-film features DATA --split SPLIT"):
        open_features(tmp_path, "train", NAMES)
    with pytest.raises(DataError, match=re.escape("of val have shape (2, 3, 4), the model reads (9, 3, 4)")):
        open_features(tmp_path, "val", NAMES, (9, 3, 4))
    with pytest.raises(DataError, match=r"has no features of CLEVR_val_000007\.png"):
        open_features(tmp_path, "val", ["CLEVR_val_000007.png"])
