"""Meta-training from Python: the same loop as ``fewshot-film train``, step by step.

A tiny Simple CNAPS on generated letters. The default number of steps only shows that it runs; set more by ``--steps``.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from fewshot_film.config import BackboneConfig
from fewshot_film.data import decode, open_source
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.learners import SimpleCNAPS, evaluate, load_learner, save_learner
from fewshot_film.learners.objectives import MetaTraining
from fewshot_film.run.loop import train
from fewshot_film.run.results import mean_and_interval
from fewshot_film.run.settings import LoopConfig


def draw_episodes(split: str) -> EpisodeSampler:
    """5-way 1-shot episodes of the letters of one split."""
    source = open_source("glyphs", split=split, pictures=6)
    return EpisodeSampler(decode(source, image_size=28, channels=1), way=5, shot=1, query=5, split=split)


def main() -> None:
    """Train, save, load, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, help="run folder; default: a temporary one")
    options = parser.parse_args()

    torch.manual_seed(0)
    backbone = BackboneConfig(width=8, image_size=28, channels=1, stem_kernel=3)
    learner = SimpleCNAPS(backbone=backbone, set_encoder_layers=4, code_dim=16, train_backbone=True)
    episodes = {split: draw_episodes(split) for split in ("train", "val", "test")}

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary) / "run"
        train(
            MetaTraining(learner),
            episodes["train"],
            LoopConfig(steps=options.steps, accumulate=2, learning_rate=1e-3, validate_every=5, log_every=5),
            run_dir=folder,
            validate=lambda _: {"accuracy": sum(evaluate(learner, episodes["val"], 10)) / 10},
            resume=True,  # continues an interrupted run
        )
        save_learner(folder / "model", learner, {"steps": options.steps}, "# A tiny Simple CNAPS\n")
        mean, interval = mean_and_interval(evaluate(load_learner(folder / "model"), episodes["test"], 20))
        print(f"5-way 1-shot on unseen alphabets: {100 * mean:.1f} ± {100 * interval:.1f} %")


if __name__ == "__main__":
    main()
