"""A table about any number of images, one Parquet file per piece of the input, made by workers of any kind.

A part is a function of the settings and its piece alone, is put in place in one move, and is not made again: so a run
that is interrupted is continued by the same command, and a worker that is killed loses one piece.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fewshot_film.config.commands import BulkConfig
from fewshot_film.data.pieces import Piece
from fewshot_film.errors import Interrupted, RunFolderError, counted, differing
from fewshot_film.extras import optional
from fewshot_film.run.files import write_atomically, write_json_atomically
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.ray_jobs import run_ray_jobs
from fewshot_film.run.workers import available_cores, run_jobs

log = logging.getLogger(__name__)

TABLE = "table"
"""Folder of the parts."""
RECORD = "job.json"
"""What the parts depend on."""
ROW_GROUP = 16384


@dataclass(frozen=True)
class Parts:
    """The folder of a table."""

    out: Path
    """It; the parts are in ``table/``."""

    def path(self, piece: Piece) -> Path:
        """Where the part of a piece is."""
        return self.out / TABLE / f"part-{piece.number:06d}.parquet"

    def begin(self, settings: Mapping[str, Any], pieces: Sequence[Piece]) -> None:
        """Make the folder, or see that what is there was begun with the same settings and input.

        Raises:
            RunFolderError: it was not.
            MissingExtraError: the extra ``bulk`` is not installed.
        """
        optional("pyarrow", extra="bulk", what="writing Parquet files")
        digest = hashlib.sha256("\n".join(map(repr, pieces)).encode()).hexdigest()
        here = {**settings, "pieces": len(pieces), "pieces_sha256": digest}
        (self.out / TABLE).mkdir(parents=True, exist_ok=True)
        record = self.out / RECORD
        if not record.exists():
            write_json_atomically(record, here)
        there = json.loads(record.read_text(encoding="utf-8"))
        if differences := differing(there, here):
            raise RunFolderError(
                f"{record} is of another run: {differences}. Use the same settings and images to continue it, "
                "or choose another --out"
            )

    def run(self, work: Callable[[Piece], Any], pieces: Sequence[Piece], config: BulkConfig, engine: str) -> bool:
        """Make the parts of this machine that are not there yet.

        Args:
            work: piece to an Arrow table; a function of a module, or a partial of one.
            pieces: all of them.
            config: workers, and which part of the pieces is this machine's.
            engine: processes or ray.

        Returns:
            Whether all parts are there.

        Raises:
            Interrupted: by Ctrl-C; finished parts are kept.
            ProcessLostError: a worker was killed.
        """
        own = pieces[config.part :: config.parts]
        missing = [piece for piece in own if not self.path(piece).exists()]
        log.info("%d of %s to do in %s", len(missing), counted(len(own), "piece"), self.out)
        workers = available_cores() if config.workers == "auto" else config.workers
        run_all = run_ray_jobs if engine == "ray" else run_jobs
        bar = tqdm(total=len(own), initial=len(own) - len(missing), unit="piece", disable=hides_bars())
        try:
            with bar, closing(run_all(functools.partial(_make, self, work), missing, workers)) as made:
                for _ in made:
                    bar.update()
        except KeyboardInterrupt:
            message = f"stopped; finished parts are kept in {self.out}, and the same command continues from there"
            raise Interrupted(message, signal.SIGINT) from None
        return all(self.path(piece).exists() for piece in pieces)


def _make(parts: Parts, work: Callable[[Piece], Any], piece: Piece) -> int:
    """Make one part; runs in a worker."""
    write_table(work(piece), parts.path(piece))
    return piece.number


def write_table(table: Any, path: Path) -> None:
    """Write an Arrow table as a Parquet file, all or nothing; embeddings as they are, the rest compressed.

    Args:
        table: the table.
        path: the file.
    """
    parquet = optional("pyarrow.parquet", extra="bulk", what="writing Parquet files")
    plain = [name for name in table.column_names if name != "embedding"]
    write_atomically(
        path,
        lambda temporary: parquet.write_table(
            table,
            temporary,
            row_group_size=ROW_GROUP,
            use_dictionary=[name for name in plain if name in ("class", "otherwise", "error")],
            compression={name: "snappy" if name in plain else "none" for name in table.column_names},
            write_statistics=False,
        ),
    )
