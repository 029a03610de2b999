from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from fewshot_film.data import ImageError, SourceError, decode, open_source
from fewshot_film.data import meta_dataset as module
from fewshot_film.data.groups import ClassGroups
from fewshot_film.data.meta_dataset import INDEX_FILE, meta_dataset
from tests.data.layouts import noise, png
from tests.reference import tfrecord as oracle

SIZES = [3, 2, 4, 2, 3]


def pictures(sizes: list[int]) -> dict[int, list[bytes]]:
    return {
        number: [png(noise(100 * number + k), "PNG" if k % 2 else "JPEG") for k in range(size)]
        for number, size in enumerate(sizes)
    }


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    oracle.write_spec(tmp_path / "dtd", oracle.flat_spec("dtd", [3, 1, 1], SIZES))
    oracle.write_classes(tmp_path / "dtd", pictures(SIZES))
    return tmp_path / "dtd"


def test_a_flat_set(flat: Path) -> None:
    source = open_source("meta-dataset", flat)
    assert source.name == "dtd"
    assert source.class_names == tuple(f"thing {number}" for number in range(5))
    assert np.bincount(source.labels).tolist() == SIZES
    assert source.files[:4] == ["0.tfrecords#0", "0.tfrecords#1", "0.tfrecords#2", "1.tfrecords#0"]
    parts = [open_source("meta-dataset", flat, part).class_names for part in ("train", "val", "test")]
    assert parts == [("thing 0", "thing 1", "thing 2"), ("thing 3",), ("thing 4",)]
    assert source.groups is None
    assert not source.ordered


def test_pictures_are_those_that_were_written(flat: Path) -> None:
    source = meta_dataset(flat, "train")
    for index, file in enumerate(source.files):
        number, place = file.split(".tfrecords#")
        written = noise(100 * int(number) + int(place))
        if int(place) % 2:  # a PNG loses nothing
            assert source.load(index).tobytes() == written.tobytes()
        assert source.load(index).size == written.size
    assert decode(source, 8, 3).class_sizes.tolist() == [3, 2, 4]


def test_superclasses_own_their_characters_in_turn(tmp_path: Path) -> None:
    oracle.write_spec(tmp_path, oracle.bi_level_spec("omniglot", [2, 1, 1], [2, 1, 3, 1], 2))
    oracle.write_classes(tmp_path, pictures([2] * 7))
    source = meta_dataset(tmp_path, "train")
    assert source.class_names == ("character 0", "character 1", "character 2")
    assert source.groups == ClassGroups(
        "members", (("alphabet 0", ("character 0", "character 1")), ("alphabet 1", ("character 2",)))
    )
    assert meta_dataset(tmp_path, "val").groups == ClassGroups(
        "members", (("alphabet 2", ("character 3", "character 4", "character 5")),)
    )
    assert meta_dataset(tmp_path, "test").class_names == ("character 6",)
    assert meta_dataset(tmp_path).groups is None


GRAPHS = (
    {"root": ["fish", "bird"], "fish": ["n1", "n2"], "bird": ["n2", "n3"], "n1": [], "n2": [], "n3": []},
    {"root": ["n4", "n5"], "n4": [], "n5": []},
    {"root": ["n6", "n7"], "n6": [], "n7": []},
)


def test_leaves_below_every_inner_node(tmp_path: Path) -> None:
    oracle.write_spec(tmp_path, oracle.hierarchical_spec("ilsvrc_2012", GRAPHS, {f"n{n}": 2 for n in range(1, 8)}))
    oracle.write_classes(tmp_path, pictures([2] * 7))
    source = meta_dataset(tmp_path, "train")
    assert source.class_names == ("n1", "n2", "n3")
    assert source.groups == ClassGroups(
        "leaves", (("bird", ("n2", "n3")), ("fish", ("n1", "n2")), ("root", ("n1", "n2", "n3")))
    )
    assert meta_dataset(tmp_path, "test").class_names == ("n6", "n7")
    assert meta_dataset(tmp_path, "test").files[0] == "5.tfrecords#0"


def test_the_index_is_made_once(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = meta_dataset(flat)
    assert (flat / INDEX_FILE).is_file()
    monkeypatch.setattr(module, "index_records", None)
    assert meta_dataset(flat).fingerprint() == first.fingerprint()
    assert len(meta_dataset(flat, "val")) == 2


def test_a_file_that_changed_is_indexed_again(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = meta_dataset(flat).fingerprint()
    indexed = []
    original = module.index_records
    monkeypatch.setattr(module, "index_records", lambda path: indexed.append(path.name) or original(path))
    oracle.write_classes(flat, {1: [png(noise(7)), png(noise(8))]})
    os.utime(flat / "1.tfrecords", ns=(1, 1))
    source = meta_dataset(flat)
    assert indexed == ["1.tfrecords"]
    assert source.fingerprint() != before
    assert source.load(3).tobytes() == noise(7).tobytes()
    (flat / INDEX_FILE).write_bytes(b"no index")
    assert meta_dataset(flat).fingerprint() == source.fingerprint()
    assert len(indexed) == 6


def test_a_folder_that_cannot_be_written_to(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(module, "write_atomically", refuse)
    assert len(meta_dataset(flat)) == sum(SIZES)
    assert not (flat / INDEX_FILE).exists()


def test_shards_of_a_class_are_joined(tmp_path: Path) -> None:
    oracle.write_spec(tmp_path, oracle.flat_spec("mnist", [1, 0, 1], [3, 1]) | {"file_pattern": "{}_{}.tfrecords"})
    for name, numbers in {"0_test": [2], "0_train": [0, 1], "1_train": [3]}.items():
        data = b"".join(oracle.record(oracle.example(png(noise(number)), 0)) for number in numbers)
        (tmp_path / f"{name}.tfrecords").write_bytes(data)
    source = meta_dataset(tmp_path)
    assert source.files == ["0_test.tfrecords#0", "0_train.tfrecords#0", "0_train.tfrecords#1", "1_train.tfrecords#0"]
    assert [source.load(index).tobytes() for index in range(4)] == [noise(k).tobytes() for k in (2, 0, 1, 3)]


def test_pools_names_that_repeat_and_frames(tmp_path: Path) -> None:
    spec = oracle.flat_spec("traffic_sign", [2, 0, 0], [2, 2])
    spec["images_per_class"] = {"0": {"train": 1, "test": 1}, "1": 2}
    spec["class_names"] = {"0": "sign", "1": "sign"}
    oracle.write_spec(tmp_path, spec)
    oracle.write_classes(tmp_path, pictures([2, 2]))
    source = meta_dataset(tmp_path)
    assert source.class_names == ("sign (0)", "sign (1)")
    assert source.ordered


def test_a_damaged_record_is_told_by_file_and_byte(flat: Path) -> None:
    data = bytearray((flat / "1.tfrecords").read_bytes())
    data[200] ^= 1
    (flat / "1.tfrecords").write_bytes(data)
    message = r"1.tfrecords#0: cannot be read from '.*1.tfrecords': the record at byte 0 does not have its checksum"
    with pytest.raises(ImageError, match=message):
        decode(meta_dataset(flat), 8, 3, on_bad="raise")
    assert decode(meta_dataset(flat), 8, 3).skipped[0][0] == "1.tfrecords#0"


def test_a_class_file_that_is_missing_or_short(flat: Path) -> None:
    oracle.write_classes(flat, {2: [png(noise(1))]})
    with pytest.raises(SourceError, match=r"2.tfrecords' and its shards hold 1 records, but dataset_spec.json says 4"):
        meta_dataset(flat)
    whole = (flat / "0.tfrecords").read_bytes()
    (flat / "0.tfrecords").write_bytes(whole[:-9])
    with pytest.raises(SourceError, match=r"0.tfrecords' is cut short: the record at byte \d+"):
        meta_dataset(flat)
    (flat / "0.tfrecords").unlink()
    with pytest.raises(FileNotFoundError, match=r"0.tfrecords' is missing, the records of class 'thing 0' that"):
        meta_dataset(flat)


def test_no_set_there(flat: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds several sets \(dtd\); name one of these folders"):
        meta_dataset(flat.parent)
    with pytest.raises(SourceError, match="dtd: no split 'valid'; there are train, val, test"):
        meta_dataset(flat, "valid")


@pytest.mark.parametrize(("change", "message"), [
    ({"__class__": "Other"}, "describes a set of kind 'Other'; expected one of DatasetSpecification, BiLevel"),
    ({"images_per_class": {}}, r"lacks what a DatasetSpecification has, or has it in another form: KeyError\('0'\)"),
    ({"classes_per_split": {"TRAIN": 1}}, "lacks what a DatasetSpecification has"),
    ({"class_names": []}, "lacks what a DatasetSpecification has"),
    ({"file_pattern": "{}.gz"}, r"file_pattern is '{}.gz'; expected '{}.tfrecords' or"),
])  # fmt: skip
def test_descriptions_that_make_no_sense(flat: Path, change: dict[str, object], message: str) -> None:
    oracle.write_spec(flat, oracle.flat_spec("dtd", [3, 1, 1], SIZES) | change)
    with pytest.raises(SourceError, match=message):
        meta_dataset(flat)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_description_that_is_none(flat: Path, text: str) -> None:
    (flat / "dataset_spec.json").write_text(text)
    with pytest.raises(SourceError, match=r"is not JSON|describes a set of kind None"):
        meta_dataset(flat)


def test_a_graph_that_contradicts_the_classes(tmp_path: Path) -> None:
    spec = oracle.hierarchical_spec("x", GRAPHS, {f"n{n}": 2 for n in range(1, 8)})
    text = json.dumps(spec["class_names"]).replace("n1", "n9")
    counts = json.dumps(spec["images_per_class"]).replace("n1", "n9")
    spec |= {"class_names": json.loads(text), "images_per_class": json.loads(counts)}
    oracle.write_spec(tmp_path, spec)
    with pytest.raises(SourceError, match="the leaves of the TRAIN graph are not its classes, see n1"):
        meta_dataset(tmp_path)
