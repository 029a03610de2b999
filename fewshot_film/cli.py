"""The command line ``fewshot-film``."""

from __future__ import annotations

import sys

from fewshot_film.run.command import Command, main

CONFIG = "fewshot_film.config.commands"

COMMANDS = (
    Command(
        name="pretrain",
        config=f"{CONFIG}:PretrainConfig",
        run="fewshot_film.commands.pretrain:run",
        help="Train a backbone by classifying all training classes.",
        examples=(
            "fewshot-film pretrain --config configs/omniglot/pretrain.yaml --data.root omniglot.zip",
            "fewshot-film pretrain --out runs/glyphs --backbone.width 16 --loop.steps 500",
        ),
    ),
    Command(
        name="train",
        config=f"{CONFIG}:TrainConfig",
        run="fewshot_film.commands.train:run",
        help="Meta-train a learner on episodes of the training classes.",
        examples=(
            "fewshot-film train --config configs/omniglot/train.yaml --data.root omniglot.zip",
            "fewshot-film train --out runs/protonet --learner.method prototypes --learner.train_backbone",
            "torchrun --nproc-per-node 2 -m fewshot_film train --config configs/omniglot/train.yaml --resume true",
        ),
    ),
    Command(
        name="evaluate",
        config=f"{CONFIG}:EvaluateConfig",
        run="fewshot_film.commands.evaluate:run",
        help="Accuracy of a model on episodes of unseen classes, with 95 % intervals.",
        examples=(
            "fewshot-film evaluate runs/omniglot/model --data.source omniglot --data.root omniglot.zip "
            "--ways [5,20] --out result.json",
        ),
        positionals=("model",),
    ),
    Command(
        name="predict",
        config=f"{CONFIG}:PredictConfig",
        run="fewshot_film.commands.predict:run",
        help="Name the pictures of a folder by a few labelled ones.",
        examples=("fewshot-film predict runs/omniglot/model --support labelled/ --query unknown/ --out names.csv",),
        positionals=("model",),
    ),
)


def run() -> int:
    """Entry point of ``fewshot-film`` and of ``python -m fewshot_film``."""
    return main("fewshot-film", COMMANDS)


if __name__ == "__main__":
    sys.exit(run())
