"""Any number of images named in pieces: from every kind of input, by every engine, from stored embeddings."""

from __future__ import annotations

import functools
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_film.classifier import (
    EmbeddingClassifier,
    FewShotClassifier,
    ImageEmbedder,
    pretrained,
    read_images,
)
from fewshot_film.classifier.bulk import ImageNamer
from fewshot_film.classifier.embeddings import _two_best, embedding_files, read_embeddings
from fewshot_film.cli import COMMANDS
from fewshot_film.commands import classify_bulk, in_parts
from fewshot_film.data.pieces import open_pieces, read_piece
from fewshot_film.learners import save_learner
from fewshot_film.run.command import main
from fewshot_film.run.ray_jobs import connect
from tests.classifier.small import pictures_and_labels, ridge
from tests.commands.pictures import fewshot_film, place  # noqa: F401 - a fixture
from tests.extras import needs_ray
from tests.precision import double_by_default

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

KNOWN = ("class 00", "class 01", "class 02")
BAD = "class 02/torn.png"


@pytest.fixture(scope="module")
def folders(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:  # noqa: F811
    """Three classes of five images to learn from; three others of each to name, and one that is torn."""
    root = tmp_path_factory.mktemp("bulk")
    support, query = root / "support", root / "query"
    for name in KNOWN:
        shutil.copytree(place / "labelled" / name, support / name)
        (query / name).mkdir(parents=True)
        for number in (5, 6, 7):
            (support / name / f"{number}.png").rename(query / name / f"{number}.png")
    (query / BAD).write_bytes((query / "class 00/5.png").read_bytes()[:60])
    return support, query


def classify(place: Path, support: Path, query: Path, out: Path, *words: object) -> Any:  # noqa: F811
    """The table that the command writes."""
    common = ("--support", support, "--query", query, "--out", out, "--workers", 1, "--piece", 4)
    assert fewshot_film("classify", "--model", place / "model", "--engine", "processes", *common, *words) == 0
    return pq.read_table(out / "table")


@pytest.fixture(scope="module")
def table(place: Path, folders, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: F811
    return classify(place, *folders, tmp_path_factory.mktemp("out"), "--device", "cpu")


def packed(query: Path) -> list[tuple[str, bytes]]:
    return [(path.relative_to(query).as_posix(), path.read_bytes()) for path in sorted(query.rglob("*.png"))]


def write_tars(query: Path, folder: Path) -> Path:
    """The images in WebDatasets of four."""
    folder.mkdir()
    files = packed(query)
    for number, some in enumerate((files[:4], files[4:8], files[8:])):
        with tarfile.open(folder / f"q-{number}.tar", "w") as tar:
            for name, data in some:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                label = tarfile.TarInfo(f"{name[:-4]}.cls")
                tar.addfile(label, io.BytesIO())
    return folder


def write_parquet(query: Path, path: Path, *, struct: bool) -> Path:
    """The images in one Parquet file, as bytes with a column of names or as Hugging Face's data sets have them."""
    files = packed(query)
    columns = {"path": [name for name, _ in files], "image": [data for _, data in files], "n": list(range(len(files)))}
    if struct:
        columns = {"image": [{"bytes": data, "path": name} for name, data in files]}
    pq.write_table(pa.table(columns), path, row_group_size=4)
    return path


def test_a_row_for_every_image(table: Any, folders, place: Path) -> None:  # noqa: F811
    support, query = folders
    assert table["file"].to_pylist() == [name for name, _ in packed(query)]
    by_name = {row["file"]: row for row in table.to_pylist()}
    bad = by_name.pop(BAD)
    assert "cannot be decoded" in bad["error"] or "truncated" in bad["error"]
    assert [bad[name] for name in ("class", "probability", "distance")] == [None] * 3
    classifier = FewShotClassifier(str(place / "model"), device="cpu")
    labelled = sorted(support.rglob("*.png"))
    classifier.fit(labelled, [path.parent.name for path in labelled])
    found = classifier.answer([query / name for name in by_name], reject=0.05)
    for place_, row in enumerate(by_name.values()):
        assert row["error"] is None
        assert row["class"] == found.labels[place_]
        assert row["distance"] == pytest.approx(found.distances[place_].min(), rel=1e-4)
        assert row["relative_distance"] == pytest.approx(found.relative_distances[place_], rel=1e-4)
        if row["class"] is not None:
            assert row["probability"] == pytest.approx(found.probabilities[place_].max(), rel=1e-4)
            assert row["otherwise"] in set(KNOWN) - {row["class"]}


@pytest.mark.parametrize("kind", ["tar", "parquet", "struct", "zip"])
def test_the_same_from_every_kind_of_input(table: Any, folders, place: Path, tmp_path: Path, kind: str) -> None:  # noqa: F811
    support, query = folders
    if kind == "zip":
        where = Path(shutil.make_archive(str(tmp_path / "query"), "zip", query))
    elif kind == "tar":
        where = write_tars(query, tmp_path / "tars")
    else:
        where = write_parquet(query, tmp_path / "q.parquet", struct=kind == "struct")
    found = classify(place, support, where, tmp_path / "out", "--device", "cpu")
    assert found.drop(["error"]).equals(table.drop(["error"]))
    assert [row is None for row in found["error"].to_pylist()] == [row is None for row in table["error"].to_pylist()]


def test_parts_of_machines_and_a_part_that_is_lost(table: Any, folders, place: Path, tmp_path: Path) -> None:  # noqa: F811
    for part in (1, 0):
        found = classify(place, *folders, tmp_path / "out", "--device", "cpu", "--part", part, "--parts", 2)
        assert len(found) == (4 if part else 10)
    assert found.equals(table)
    (tmp_path / "out/table/part-000001.parquet").unlink()
    kept = (tmp_path / "out/table/part-000000.parquet").stat().st_mtime_ns
    assert classify(place, *folders, tmp_path / "out", "--device", "cpu").equals(table)
    assert (tmp_path / "out/table/part-000000.parquet").stat().st_mtime_ns == kept, "finished parts are kept"


def test_a_run_whose_table_is_among_its_images_is_continued(folders, place: Path, tmp_path: Path) -> None:  # noqa: F811
    query = tmp_path / "query"
    shutil.copytree(folders[1], query)
    out = query / "class 00" / "named"
    first = classify(place, folders[0], query, out)
    assert first.num_rows == len(list(folders[1].rglob("*.png")))
    (out / "table/part-000001.parquet").unlink()
    assert classify(place, folders[0], query, out).equals(first)


def test_a_worker_loads_the_classifier_once(folders, place: Path, tmp_path: Path) -> None:  # noqa: F811
    classify_bulk.load_namer.cache_clear()
    classify(place, *folders, tmp_path / "out")
    found = classify_bulk.load_namer.cache_info()
    assert (found.misses, found.hits) == (1, 2)


@pytest.mark.parametrize(
    ("engine", "module", "message"),
    [
        ("ray", "ray", "the engine ray needs the extra `ray`"),
        ("ray", "pyarrow", "the engine ray needs the extra `bulk`"),
    ],
)
def test_a_missing_extra_is_named(
    folders,
    place: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    engine: str,
    module: str,
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    words = ["--support", folders[0], "--query", folders[1], "--out", tmp_path / "out", "--engine", engine]
    assert fewshot_film("classify", "--model", place / "model", *words) == 2
    assert message in (said := capsys.readouterr().err)
    assert "pip install 'fewshot-film[" in said


def test_another_run_is_refused(folders, place: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    classify(place, *folders, tmp_path / "out")
    words = ["classify", "--engine", "processes", "--out", tmp_path / "out", "--workers", 1, "--model", place / "model"]
    both = ["--support", folders[0], "--query", folders[1]]
    assert fewshot_film(*words, *both, "--piece", 3) == 2
    assert "job.json is of another run: pieces is 3 there and 4 here" in capsys.readouterr().err
    assert fewshot_film(*words, *both, "--piece", 4, "--batch_size", 2) == 2
    assert "batch_size is 64 there and 2 here" in capsys.readouterr().err


def test_other_images_in_the_same_support_folder_are_refused(
    folders,
    place: Path,  # noqa: F811
    tmp_path: Path,
    capsys,
) -> None:
    support, query = tmp_path / "support", folders[1]
    shutil.copytree(folders[0], support)
    first = classify(place, support, query, tmp_path / "out")
    assert classify(place, support, query, tmp_path / "out").equals(first)
    files = [support / name / "0.png" for name in KNOWN[:2]]
    one, other = (file.read_bytes() for file in files)
    files[0].write_bytes(other)
    files[1].write_bytes(one)
    words = ["--support", support, "--query", query, "--out", tmp_path / "out", "--workers", 1, "--piece", 4]
    assert fewshot_film("classify", "--model", place / "model", "--engine", "processes", *words) == 2
    assert "job.json is of another run: model_and_support_sha256 is" in capsys.readouterr().err
    for rest in ("job.json", "table/part-000000.parquet", "table/part-000001.parquet", "table/part-000002.parquet"):
        (tmp_path / "out" / rest).unlink()  # as if the first run had ended before its first piece
    changed = classify(place, support, query, tmp_path / "out")
    assert not changed.equals(first)
    assert changed.equals(classify(place, support, query, tmp_path / "anew"))


def test_the_model_and_the_support_set_are_opened_once(folders, place: Path, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    opened: list[object] = []
    open_source, load_model = classify_bulk.open_source, pretrained.load_model

    def counting(work: Any) -> Any:
        return lambda *words: (opened.append(words[-1]), work(*words))[1]

    monkeypatch.setattr(classify_bulk, "open_source", counting(open_source))
    monkeypatch.setattr(pretrained, "load_model", counting(load_model))
    monkeypatch.setattr(classify_bulk.Parts, "run", lambda *_: True)  # in whose workers the classifier is loaded
    words = ["--support", folders[0], "--query", folders[1], "--out", tmp_path / "out"]
    assert fewshot_film("classify", "--model", place / "model", "--engine", "processes", *words) == 0
    assert opened == [place / "model", str(folders[0])]


@pytest.mark.parametrize("is_fitted", [False, True])
def test_another_model_of_the_same_name_is_refused(folders, tmp_path: Path, capsys, is_fitted: bool) -> None:
    words = ["--query", folders[1], "--out", tmp_path / "out", "--workers", 1, "--engine", "processes"]
    words += ["--model", tmp_path / "model", "--support", "" if is_fitted else folders[0]]
    files = sorted(folders[0].rglob("*.png"))
    for exit_status, seed in ((0, 0), (0, 0), (2, 1)):
        learner = ridge(seed)
        if is_fitted:
            classifier = FewShotClassifier(learner, device="cpu").fit(files, [path.parent.name for path in files])
            classifier.save_pretrained(tmp_path / "model")
        else:
            save_learner(tmp_path / "model", learner, {}, "")
        assert fewshot_film("classify", *words) == exit_status
    assert "job.json is of another run: model_and_support_sha256 is" in capsys.readouterr().err


@pytest.mark.slow
def test_onnx_runtime_names_the_same(table: Any, folders, place: Path, tmp_path: Path) -> None:  # noqa: F811
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    found = classify(place, *folders, tmp_path / "out", "--runtime", "onnx")
    assert found["class"].equals(table["class"])
    for name in ("probability", "distance", "relative_distance"):
        ours, theirs = (np.array(each[name].to_pylist(), dtype=float) for each in (found, table))
        assert np.allclose(ours, theirs, rtol=1e-3, equal_nan=True)
    exported = tmp_path / "out/classifier/model.onnx"
    assert fewshot_film(
        "classify", "--model", exported, "--support", "", "--query", folders[1], "--out", tmp_path / "two",
        "--engine", "processes", "--workers", 1, "--reject", "null",
    ) == 0  # fmt: skip
    again = pq.read_table(tmp_path / "two/table")
    assert None not in [row["class"] for row in again.to_pylist() if row["error"] is None]
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    assert main("fewshot-film", COMMANDS, [
        "classify", f"--model={tmp_path / 'bad.onnx'}", "--support=", f"--query={folders[1]}",
        f"--out={tmp_path / 'three'}", "--engine=processes", "--workers=1",
    ]) == 2  # fmt: skip


def test_a_saved_classifier_needs_no_support(table: Any, folders, place: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    classify(place, *folders, tmp_path / "out", "--device", "cpu")
    words = ["--support", "", "--query", folders[1], "--engine", "processes", "--workers", 1, "--device", "cpu"]
    saved = tmp_path / "out/classifier/model"
    assert fewshot_film("classify", "--model", saved, "--out", tmp_path / "two", *words, "--piece", 4) == 0
    assert pq.read_table(tmp_path / "two/table").equals(table)
    assert fewshot_film("classify", "--model", place / "model", "--out", tmp_path / "three", *words) == 2
    assert "has no classes; give labelled images as --support, or the folder of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "memory", "--support", ""], "support is ''; expected a folder with one subfolder"),
        (["--engine", "processes", "--support", "x"], "out is ''; expected a folder for the table"),
        (["--engine", "memory", "--part", 1, "--support", "x"], "part is 1; expected less than parts (1)"),
    ],
)
def test_settings_that_do_not_fit(words: list[object], message: str, capsys) -> None:
    assert fewshot_film("classify", "--query", "y", *words) == 2
    assert message in capsys.readouterr().err


def test_inputs_that_cannot_be_used(folders, tmp_path: Path) -> None:
    _, query = folders
    both = write_tars(query, tmp_path / "both")
    write_parquet(query, both / "q.parquet", struct=False)
    with pytest.raises(Exception, match=r"holds both \.tar and \.parquet files"):
        open_pieces(both, 10)
    two = tmp_path / "two.parquet"
    pq.write_table(pa.table({"a": [b"x"], "b": [b"y"]}), two)
    with pytest.raises(Exception, match=r"2 columns that can hold image files: a, b; name one: --column"):
        open_pieces(two, 10)
    with pytest.raises(Exception, match=r"has no column 'c' of image files"):
        open_pieces(two, 10, "c")
    assert [name for piece in open_pieces(two, 10, "b") for name, _ in read_piece(piece)] == ["two.parquet#0"]
    two.write_bytes(two.read_bytes()[:20])
    with pytest.raises(Exception, match=r"is not a complete Parquet file"):
        open_pieces(two, 10)
    with pytest.raises(FileNotFoundError, match=r"query: no data at"):
        open_pieces(tmp_path / "nowhere", 10)


def test_a_torn_tar_ends_with_its_reason(folders, tmp_path: Path) -> None:
    path = write_tars(folders[1], tmp_path / "tars") / "q-0.tar"
    path.write_bytes(path.read_bytes()[: 3 * 512 + 100])
    items = [item for piece in open_pieces(path, 10) for item in read_piece(piece)]
    assert items[-1][0] == "q-0.tar"
    assert "is not a complete tar file" in str(items[-1][1])


def test_arrays_and_bytes_come_to_the_same(folders, place: Path, tmp_path: Path, table: Any) -> None:  # noqa: F811
    from PIL import Image

    classify(place, *folders, tmp_path / "out")
    namer = ImageNamer(tmp_path / "out/classifier/model")
    path = folders[1] / "class 00/5.png"
    batch = {"bytes": np.array([path.read_bytes(), np.asarray(Image.open(path))], dtype=object)}
    found = namer(batch).to_pydict()
    assert found["class"][0] == found["class"][1]
    assert found["distance"][0] == found["distance"][1] == pytest.approx(table["distance"][0].as_py(), rel=1e-5)
    assert found["file"] == ["0", "1"]


# embeddings


@pytest.fixture(scope="module")
def embedded(folders, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model whose head is ridge regression, and the embeddings of the query images by it."""
    root = tmp_path_factory.mktemp("embedded")
    save_learner(root / "model", ridge(), {}, "")
    words = ["--query", folders[1], "--out", root / "out", "--workers", 1, "--piece", 4, "--device", "cpu"]
    assert fewshot_film("embed", "--model", root / "model", *words) == 0
    return root / "model", root / "out"


def test_embeddings_name_as_the_images_do(embedded, folders, tmp_path: Path) -> None:
    (model, out), (support, query) = embedded, folders
    words = ["--support", support, "--query", out, "--out", tmp_path, "--engine", "processes", "--workers", 1]
    assert fewshot_film("classify", *words, "--device", "cpu") == 0
    rows = {row["file"]: row for row in pq.read_table(tmp_path / "table").to_pylist()}
    assert rows.pop(BAD)["error"]
    labelled = sorted(support.rglob("*.png"))
    classifier = FewShotClassifier(str(model), device="cpu").fit(labelled, [path.parent.name for path in labelled])
    found = classifier.answer([query / name for name in rows])
    likeliest, nearest = found.probabilities.argmax(1), found.distances.argmin(1)
    expected = [KNOWN[(likeliest if row["class"] else nearest)[number]] for number, row in enumerate(rows.values())]
    assert [row["class"] or row["otherwise"] for row in rows.values()] == expected
    for row, shares, distances in zip(rows.values(), found.probabilities, found.distances, strict=True):
        assert row["distance"] == pytest.approx(distances.min(), abs=0.05)  # few numbers: halves show
        assert (row["class"] is None) == (row["relative_distance"] > 1)
        if row["class"]:
            assert row["probability"] == pytest.approx(shares.max(), abs=0.02)


def test_embeddings_notice_other_images_in_the_same_support_folder(embedded, folders, tmp_path: Path, capsys) -> None:
    shutil.copytree(folders[0], tmp_path / "support")
    words = ["--support", tmp_path / "support", "--query", embedded[1], "--out", tmp_path / "out", "--workers", 1]
    assert [fewshot_film("classify", "--engine", "processes", *words) for _ in range(2)] == [0, 0]
    shutil.copy(tmp_path / "support" / KNOWN[0] / "0.png", tmp_path / "support" / KNOWN[1] / "0.png")
    assert fewshot_film("classify", "--engine", "processes", *words) == 2
    assert "model_and_support_sha256 is" in capsys.readouterr().err


def test_embeddings_need_a_support_set(embedded, tmp_path: Path, capsys) -> None:
    words = ["--support", "", "--query", embedded[1], "--out", tmp_path / "out", "--engine", "processes"]
    assert fewshot_film("classify", *words) == 2
    assert "holds embeddings, which need labelled images to be told apart: give --support" in capsys.readouterr().err


def test_embeddings_are_halves_of_length_1(embedded) -> None:
    _, out = embedded
    batches = [pair for path in embedding_files(out) for pair in read_embeddings(path)]
    assert [len(batch) for batch, _ in batches] == [4, 4, 2]
    for batch, rows in batches:
        good = np.array([error is None for error in batch.column("error").to_pylist()])
        assert np.allclose(rows.float().norm(dim=1).numpy(), good, atol=2e-3)


def test_embeddings_are_told_apart_whatever_torch_makes_by_default() -> None:
    pixels, labels = pictures_and_labels()
    embedder = ImageEmbedder(ridge())
    rows = embedder.embed(read_images(pixels, **embedder.preprocessing.pixels))
    known = EmbeddingClassifier(rows[::2], labels[::2].tolist(), embedder.config)
    expected = known.answer(rows[1::2])
    with double_by_default():
        found = known.answer(rows[1::2])
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_embeddings_of_another_model_are_refused(embedded, folders, tmp_path: Path, capsys) -> None:
    _, out = embedded
    changed = tmp_path / "embedded"
    shutil.copytree(out, changed)
    record = json.loads((changed / "embeddings.json").read_text(encoding="utf-8"))
    (changed / "embeddings.json").write_text(json.dumps(record | {"sha256": "0"}), encoding="utf-8")
    words = ["--support", folders[0], "--out", tmp_path / "out", "--engine", "processes"]
    assert fewshot_film("classify", "--query", changed, *words) == 2
    assert "is not the one that computed the embeddings" in capsys.readouterr().err
    (changed / "embeddings.json").write_text("{}", encoding="utf-8")
    assert fewshot_film("classify", "--query", changed, *words) == 2
    assert "embeddings.json is damaged" in capsys.readouterr().err


def test_the_two_best_of_every_column() -> None:
    values = torch.randn(7, 50, generator=torch.Generator().manual_seed(0))
    values[3, :20] = values[5, :20]
    first, second, best = _two_best(values)
    expected = values.sort(dim=0, descending=True, stable=True)
    assert torch.equal(first, expected.indices[0].int())
    assert torch.equal(second, expected.indices[1].int())
    assert torch.equal(best, expected.values[0])


# Ray: one cluster for all


@pytest.fixture(scope="module")
def cluster() -> Any:
    ray = pytest.importorskip("ray")
    connect(ray, 2)
    yield ray
    ray.shutdown()


def die_once(mark: Path, work: Any, piece: Any) -> Any:
    """A worker that is killed in the middle of its first piece."""
    import os
    import signal

    made = work(piece)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return made


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_names_the_same_although_a_worker_is_killed(
    cluster: Any,
    table: Any,
    folders,
    place: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, mark = in_parts.Parts.run, tmp_path / "mark"
    monkeypatch.setattr(
        classify_bulk.Parts, "run", lambda self, work, *more: run(self, functools.partial(die_once, mark, work), *more)
    )
    found = classify(place, *folders, tmp_path / "out", "--engine", "ray", "--device", "cpu")
    assert mark.exists()
    assert found.equals(table)


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_data_names_the_same(cluster: Any, table: Any, folders, place: Path, tmp_path: Path) -> None:  # noqa: F811
    import ray.data

    _, query = folders
    classify(place, *folders, tmp_path / "out")
    limit = json.loads((tmp_path / "out/classifier/limit.json").read_text(encoding="utf-8"))["limit"]
    naming: dict[str, Any] = {
        "fn_constructor_args": [str(tmp_path / "out/classifier/model")],
        "fn_constructor_kwargs": {"limit": limit},
        "batch_size": 4,
        "concurrency": 1,
    }
    files = ray.data.read_binary_files(str(query), include_paths=True, file_extensions=["png"])
    files.map_batches(ImageNamer, **naming).write_parquet(str(tmp_path / "named"))
    rows = {Path(row["file"]).as_posix(): row for row in pq.read_table(tmp_path / "named").to_pylist()}
    for row in table.to_pylist():
        found = next(one for name, one in rows.items() if name.endswith(row["file"]))
        assert found["class"] == row["class"]
        assert (found["error"] is None) == (row["error"] is None)
    parquet = ray.data.read_parquet(str(write_parquet(query, tmp_path / "q.parquet", struct=False)))
    naming["fn_constructor_kwargs"] = {"limit": limit, "image": "image"}
    again = parquet.map_batches(ImageNamer, **naming).take_all()
    assert {row["file"]: row["class"] for row in again} == {row["file"]: row["class"] for row in table.to_pylist()}
