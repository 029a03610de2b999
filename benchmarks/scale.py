"""Work that outgrows one machine, measured on this one: shards of scenes, images named, stored embeddings classified.

    python -m benchmarks.scale shards
    python -m benchmarks.scale naming
    python -m benchmarks.scale embeddings

``shards`` makes a split twice, by processes and by Ray with workers that are killed in the middle, and compares the
hashes of all files. ``naming`` names images of a WebDataset twice, by processes and by Ray, and compares the tables.
``embeddings`` times ``fewshot-film classify`` on stored embeddings, Parquet in and Parquet out, on one core, by the
processor's clock; the files are in the page cache. Quiet machines only. A hundredth of the work, to try it:

    python -m benchmarks.scale shards --scenes 1000 --chunk 50 --out /tmp/shards.json
    python -m benchmarks.scale naming --images 500 --piece 50 --out /tmp/naming.json
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import shutil
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.timing import timed
from clevr.commands.generate import run as generate
from clevr.config.commands import GenerateConfig
from fewshot_film.classifier.embeddings import EmbeddingClassifier, embedding_table
from fewshot_film.commands.classify import run as classify
from fewshot_film.commands.classify_bulk import classify_embeddings
from fewshot_film.commands.in_parts import write_table
from fewshot_film.config.commands import ClassifyConfig
from fewshot_film.config.default_models import DEFAULT_MODEL
from fewshot_film.config.learners import RidgeConfig
from fewshot_film.data.pieces import Piece
from fewshot_film.extras import optional
from fewshot_film.run.command import Command, main
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least
from fewshot_film.run.workers import one_thread

RESULTS = Path(__file__).resolve().parent / "results"
CLASSES = 5


# shards


@dataclass(frozen=True)
class ShardsConfig(Settings):
    """The split that is made twice."""

    scenes: Annotated[int, at_least(2)] = 100_000
    """Scenes of the split."""
    chunk: Annotated[int, at_least(1)] = 500
    """Scenes per shard."""
    width: Annotated[int, at_least(1)] = 128
    """Width of the images."""
    height: Annotated[int, at_least(1)] = 96
    """Height of the images."""
    questions: Annotated[int, at_least(0)] = 10
    """Questions about each scene."""
    workers: Annotated[int, at_least(1)] = 2
    """Processes, and cores of Ray."""
    kills: Annotated[int, at_least(0)] = 1
    """Ray's workers that are killed, each in the middle of a shard."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the scenes and of the moments of the kills."""
    out: Path = RESULTS / "scale_shards.json"
    """Result file."""


def shards(config: ShardsConfig) -> None:
    """Make the split twice, compare, print and write."""
    results: dict[str, Any] = {}
    hashes = []
    with tempfile.TemporaryDirectory() as folder:
        for engine in ("processes", "ray"):
            root = Path(folder, engine)
            settings = GenerateConfig(
                out=root, split="scale", scenes=config.scenes, seed=config.seed, width=config.width,
                height=config.height, questions_per_scene=config.questions, workers=config.workers,
                chunk=config.chunk, shards=True, engine=engine,
            )  # fmt: skip
            killer = Killer(root, config.kills if engine == "ray" else 0, config.seed)
            with killer:
                _, spent = timed(lambda settings=settings: generate(settings))  # type: ignore[misc]
            found = {path.name: _sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}
            hashes.append(found)
            size = sum(path.stat().st_size for path in root.rglob("*.tar"))
            results[engine] = {
                "seconds": spent.clock,
                "scenes a second": config.scenes / spent.clock,
                "bytes a scene": size / config.scenes,
                "workers killed": killer.killed,
            }
            print(f"{engine}: {config.scenes / spent.clock:.1f} scenes a second, {killer.killed} workers killed")
            shutil.rmtree(root)
    results |= {"files": len(hashes[0]), "equal hashes": hashes[0] == hashes[1], "sha256": _joined(hashes[0])}
    print(f"{results['files']} files, hashes {'equal' if results['equal hashes'] else 'DIFFER'}")
    write_result(config.out, config=config, seed=config.seed, results=results)


class Killer:
    """Within the block, kills some of the Ray workers that this process started, once they have made something.

    Args:
        root: folder in which files appear while they work.
        kills: how many.
        seed: of the moments.
    """

    def __init__(self, root: Path, kills: int, seed: int) -> None:
        self.root, self.kills, self.killed = root, kills, 0
        self._rng, self._over = random.Random(seed), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while self.killed < self.kills and not self._over.wait(0.2):
            made = len(list(self.root.rglob("*.tar")))
            workers = own_ray_workers() if made > self.killed else []
            if workers and not self._over.wait(self._rng.uniform(0, 1)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._rng.choice(workers), signal.SIGKILL)
                    self.killed += 1


def own_ray_workers() -> list[int]:
    """Processes that run a job of Ray's, of the cluster that this process started."""
    parents, workers = dict[int, int](), list[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(b"ray::_do"):
                workers.append(int(folder.name))

    def is_own(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return [worker for worker in workers if is_own(worker)]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _joined(hashes: dict[str, str]) -> str:
    return hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()


# naming


@dataclass(frozen=True)
class NamingConfig(Settings):
    """The images that are named twice."""

    images: Annotated[int, at_least(2)] = 50_000
    """Images to name, JPEG files of 320x240 pixels in a WebDataset."""
    piece: Annotated[int, at_least(1)] = 500
    """Images per tar file."""
    model: str = DEFAULT_MODEL
    """Model that is adapted to five classes of five images."""
    runtime: str = "onnx"
    """onnx or torch."""
    workers: Annotated[int, at_least(1)] = 2
    """Processes, and cores of Ray."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the images."""
    out: Path = RESULTS / "scale_naming.json"
    """Result file."""


def naming(config: NamingConfig) -> None:
    """Name the images twice, compare, print and write."""
    results: dict[str, Any] = {}
    read_table = optional("pyarrow.parquet", extra="bulk", what="this benchmark").read_table
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        draw_images(config, Path(folder))
        for engine in ("processes", "ray"):
            out = Path(folder, engine)
            settings = ClassifyConfig(
                f"{folder}/support", f"{folder}/query", config.model, str(out), engine=engine,
                runtime=config.runtime, workers=config.workers, device="cpu",  # type: ignore[arg-type]
            )  # fmt: skip
            with contextlib.redirect_stdout(io.StringIO()):
                _, spent = timed(lambda settings=settings: classify(settings))  # type: ignore[misc]
            tables.append(read_table(out / "table"))
            results[engine] = {"seconds": spent.clock, "images a second": config.images / spent.clock}
            print(f"{engine}: {config.images / spent.clock:.1f} images a second, start and fit among it")
    errors = len(tables[0]) - tables[0]["error"].null_count
    results |= {"equal tables": tables[0].equals(tables[1]), "rows": len(tables[0]), "rows with an error": errors}
    print(f"{results['rows']} rows, tables {'equal' if results['equal tables'] else 'DIFFER'}, {errors} with an error")
    write_result(config.out, config=config, seed=config.seed, results=results)


def draw_images(config: NamingConfig, folder: Path) -> None:
    """Five support images per class as files, and the query images in tar files; the first of them is torn."""
    rng = np.random.default_rng(config.seed)
    patterns = rng.integers(0, 256, (CLASSES, 6, 8, 3))

    def draw(label: int) -> bytes:
        pixels = np.clip(patterns[label] + rng.normal(0, 40, patterns[label].shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
        return file.getvalue()

    for label in range(CLASSES):
        (folder / f"support/class {label}").mkdir(parents=True)
        for number in range(5):
            (folder / f"support/class {label}/{number}.jpg").write_bytes(draw(label))
    (folder / "query").mkdir()
    for start in range(0, config.images, config.piece):
        with tarfile.open(folder / f"query/{start:08d}.tar", "w") as tar:
            for number in range(start, min(start + config.piece, config.images)):
                data = draw(number % CLASSES)[: None if number else 100]
                member = tarfile.TarInfo(f"{number:08d}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


# embeddings


@dataclass(frozen=True)
class EmbeddingsConfig(Settings):
    """The embeddings that are classified."""

    rows: Annotated[int, at_least(1)] = 200_000
    """Embeddings of each width."""
    dims: Annotated[tuple[int, ...], at_least(2)] = (384, 512, 672, 1280)
    """Numbers per embedding; 512 is a ResNet-18's, 672 general-small's, 1280 photos-small's."""
    way: Annotated[int, at_least(2)] = 5
    """Classes."""
    repeats: Annotated[int, at_least(1)] = 5
    """Measurements, after one that does not count."""
    seed: Annotated[int, at_least(0)] = 0
    """Seed of the embeddings."""
    out: Path = RESULTS / "scale_embeddings.json"
    """Result file."""


def embeddings(config: EmbeddingsConfig) -> None:
    """Measure, print and write."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for dim in config.dims:
            path, table = Path(folder, f"{dim}.parquet"), Path(folder, "named.parquet")
            rows = torch.from_numpy(np.random.default_rng(config.seed).standard_normal((config.rows, dim), np.float32))
            rows = F.normalize(rows, dim=1).half()
            names = [f"{number:08d}.jpg" for number in range(config.rows)]
            write_table(embedding_table(names, rows, [None] * config.rows, dim), path)
            support = torch.randn(5 * config.way, dim, generator=torch.Generator().manual_seed(config.seed))
            labels = [f"class {number % config.way}" for number in range(len(support))]
            known = EmbeddingClassifier(F.normalize(support, dim=1), labels, RidgeConfig())
            limit, piece = known.rejection_distance(0.05), Piece(0, "parquet", path)
            sides: dict[str, Callable[[], Any]] = {
                "scores and distances alone": lambda known=known, rows=rows: known.answer(rows),  # type: ignore[misc]
                "Parquet to Parquet": lambda known=known, limit=limit, piece=piece, table=table: write_table(  # type: ignore[misc]
                    classify_embeddings(known, limit, piece), table
                ),
            }
            results[f"{dim} numbers"] = {name: summary(list(_rates(work, config))) for name, work in sides.items()}
            found = {name: f"{row['mean'] / 1e6:.2f}" for name, row in results[f"{dim} numbers"].items()}
            print(f"{dim} numbers, {config.way} classes, million a second on one core: {found}")
            path.unlink()
    write_result(config.out, config=config, seed=config.seed, results=results)


def _rates(work: Callable[[], Any], config: EmbeddingsConfig) -> Iterator[float]:
    work()
    for _ in range(config.repeats):
        start = time.process_time()
        work()
        yield config.rows / (time.process_time() - start)


COMMANDS = (
    Command("shards", ShardsConfig, "benchmarks.scale:shards", "Make a split twice, by processes and by Ray."),
    Command("naming", NamingConfig, "benchmarks.scale:naming", "Name images twice, by processes and by Ray."),
    Command("embeddings", EmbeddingsConfig, "benchmarks.scale:embeddings", "Classify stored embeddings."),
)

if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.scale", COMMANDS))
