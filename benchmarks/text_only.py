"""What can be answered from the question alone: a GRU that never sees the image.

A world without shortcuts leaves such a network near what the questions' types give away; on CLEVR itself an
LSTM gets 46.8 % (Johnson et al. 2017, table of baselines). Run with:

    python -m benchmarks.text_only
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from clevr.answers.report import COLUMNS
from clevr.answers.report import PUBLISHED as REPORTED
from clevr.commands.generate import run as generate
from clevr.config.commands import GenerateConfig
from clevr.data.reader import ClevrSplit
from clevr.data.table import QuestionTable
from clevr.questions.families import FAMILIES
from clevr.questions.programs import QUESTION_TYPES
from clevr.questions.tokens import ANSWERS, VOCABULARY, encode
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.loop import train
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import write_result
from fewshot_film.run.seeding import numpy_generator
from fewshot_film.run.settings import LoopConfig, Settings, at_least

PUBLISHED = {
    name: {column: value for column, value in zip(COLUMNS, REPORTED[name], strict=True) if value is not None}
    for name in ("LSTM without the image", "most common answer of the question's type")
}
"""CLEVR's own numbers, per cent of the test set."""


@dataclass(frozen=True)
class TextOnlyConfig(Settings):
    """Data, network and training."""

    data: Path = Path("runs/text_only/data")
    """Data set in CLEVR's format with the splits train, val and test; what is missing is generated."""
    run_dir: Path = Path("runs/text_only/run")
    """Folder of the training."""
    out: Path = Path("benchmarks/results/clevr_text_only.json")
    """Result file."""
    train_scenes: Annotated[int, at_least(1)] = 10_000
    """Scenes to generate for training, ten questions each."""
    val_scenes: Annotated[int, at_least(1)] = 1_000
    """Scenes to choose the checkpoint by."""
    test_scenes: Annotated[int, at_least(1)] = 2_000
    """Scenes for the number that is reported."""
    word_dim: Annotated[int, at_least(1)] = 128
    """Width of the word embeddings."""
    hidden_dim: Annotated[int, at_least(1)] = 256
    """Width of the GRU."""
    batch_size: Annotated[int, at_least(1)] = 256
    """Questions in a batch."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=2400, learning_rate=1e-3, schedule="cosine", clip_norm=1.0, validate_every=200
        )
    )
    """How it is trained."""
    resume: bool = False
    """Go on with a training that was stopped."""


def run(config: TextOnlyConfig) -> None:
    """Train, test, print the table and write the result."""
    scenes = {"train": config.train_scenes, "val": config.val_scenes, "test": config.test_scenes}
    tables = {split: _questions(config, split, number) for split, number in scenes.items()}
    texts = {split: Encoded(table) for split, table in tables.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.loop.seed)
        network = TextOnly(config.word_dim, config.hidden_dim)
    result = train(
        network,
        TextBatches(texts["train"], config.batch_size, config.loop.seed),
        config.loop,
        run_dir=config.run_dir,
        validate=lambda module: {"accuracy": float(correct(module, texts["val"]).mean())},
        config=config,
        resume=config.resume,
    )
    if result.best_checkpoint is not None:
        load_weights(network, result.best_checkpoint)
    right = correct(network.eval(), texts["test"])
    ours = {
        "GRU without the image": by_type(right, tables["test"]),
        "most common answer of the question's type": by_type(
            most_common_answer(tables["train"], tables["test"]), tables["test"]
        ),
    }
    numbers = {split: len(table) for split, table in tables.items()}
    results = {"accuracy_percent": ours, "published_percent": PUBLISHED, "questions": numbers}
    training = {"best_step": result.best_step, "seconds": result.seconds}
    write_result(config.out, config=config, seed=config.loop.seed, results={**results, "training": training})
    print(as_table({"ours": ours, "CLEVR": PUBLISHED}))


class Encoded:
    """Questions as padded token numbers.

    Attributes:
        tokens: ``(N, L)``, padded with 0.
        lengths: ``(N,)``.
        answers: numbers of the answers, ``(N,)``.
    """

    def __init__(self, table: QuestionTable) -> None:
        numbers = [encode(text) for text in table.texts]
        self.lengths = torch.tensor([len(row) for row in numbers])
        self.tokens = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in numbers], batch_first=True)
        self.answers = torch.from_numpy(table.answer.astype(np.int64))

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens without needless padding, lengths and answers of some questions."""
        lengths = self.lengths[indices]
        return self.tokens[indices, : int(lengths.max())], lengths, self.answers[indices]


class TextBatches:
    """Batches of questions of like length; batch i is a function of the seed and i."""

    _POOL = 32
    """So many batches are sorted by length together."""

    def __init__(self, texts: Encoded, batch_size: int, seed: int) -> None:
        self.texts, self.batch_size, self.seed = texts, batch_size, seed
        self.per_epoch = len(texts.lengths) // batch_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        epoch, place = divmod(index, self.per_epoch)
        return self.texts.batch(torch.from_numpy(_epoch(self, epoch)[place]))


@lru_cache(maxsize=2)
def _epoch(batches: TextBatches, epoch: int) -> NDArray[np.int64]:
    """Indices of every batch of one pass over the questions, ``(batches, batch_size)``."""
    rng = numpy_generator(batches.seed, "text-only epoch", epoch)
    lengths = batches.texts.lengths.numpy()
    order = rng.permutation(len(lengths))[: batches.per_epoch * batches.batch_size]
    pools = np.array_split(order, max(1, batches.per_epoch // TextBatches._POOL))
    by_length = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    return rng.permutation(by_length.reshape(batches.per_epoch, batches.batch_size))


class TextOnly(nn.Module):
    """Words to a GRU, its last state to an answer.

    Args:
        word_dim: width of the word embeddings.
        hidden_dim: width of the GRU.
    """

    def __init__(self, word_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY), word_dim, padding_idx=0)
        self.gru = nn.GRU(word_dim, hidden_dim, batch_first=True)
        self.answer = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden_dim, len(ANSWERS))
        )

    def logits(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Answer logits ``(B, 32)`` of padded tokens ``(B, L)``."""
        states, _ = self.gru(self.words(tokens))
        last: Tensor = states[torch.arange(len(tokens), device=tokens.device), lengths - 1]
        logits: Tensor = self.answer(last)
        return logits

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        """Loss and accuracy of a batch."""
        tokens, lengths, answers = batch
        logits = self.logits(tokens, lengths)
        accuracy = (logits.argmax(1) == answers).float().mean()
        return {"loss": F.cross_entropy(logits, answers), "accuracy": accuracy}


@torch.no_grad()
def correct(module: nn.Module, texts: Encoded, batch_size: int = 1000) -> NDArray[np.bool_]:
    """Which questions a network in evaluation mode answers rightly, ``(N,)``."""
    network = cast(TextOnly, module)
    device = next(module.parameters()).device
    right = np.empty(len(texts.lengths), np.bool_)
    for indices in torch.split(texts.lengths.argsort(stable=True), batch_size):
        tokens, lengths, answers = (part.to(device) for part in texts.batch(indices))
        right[indices.numpy()] = (network.logits(tokens, lengths).argmax(1) == answers).cpu().numpy()
    return right


def by_type(right: NDArray[np.bool_], table: QuestionTable) -> dict[str, float]:
    """Per cent of right answers, overall and by those of the five types that occur."""
    percent = {"overall": 100 * float(right.mean())}
    for number in np.unique(table.type):
        percent[QUESTION_TYPES[number]] = 100 * float(right[table.type == number].mean())
    return percent


def as_table(sources: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The numbers as a Markdown table."""
    columns = ("overall", *QUESTION_TYPES)
    lines = [f"| | | {' | '.join(columns)} |", "| --- " * (len(columns) + 2) + "|"]
    for source, rows in sources.items():
        for name, values in rows.items():
            cells = [source, name, *(f"{values[column]:.1f}" if column in values else "" for column in columns)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def most_common_answer(known: QuestionTable, asked: QuestionTable) -> NDArray[np.bool_]:
    """Which questions the answer most common elsewhere is right for, by what is asked: sizes apart from colours."""
    best = {kind: np.bincount(known.answer[_asks(known) == kind]).argmax() for kind in np.unique(_asks(known))}
    right: NDArray[np.bool_] = np.array([best.get(kind, -1) for kind in _asks(asked)]) == asked.answer
    return right


def _asks(table: QuestionTable) -> NDArray[np.str_]:
    return np.array([FAMILIES[family].asks for family in table.family])


def _questions(config: TextOnlyConfig, split: str, num_scenes: int) -> QuestionTable:
    """The questions of a split, generated with small images if they are not there."""
    if not (config.data / "questions" / f"CLEVR_{split}_questions.json").exists():
        generate(GenerateConfig(out=config.data, split=split, scenes=num_scenes, width=32, height=24))
    return ClevrSplit.open(config.data, split).table(config.data / "cache")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(parse("python -m benchmarks.text_only", TextOnlyConfig, sys.argv[1:], description=__doc__))
