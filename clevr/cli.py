"""The command line ``clevr-film``."""

from __future__ import annotations

import sys

from fewshot_film.run.command import Command, main

COMMANDS = (
    Command(
        name="generate",
        config="clevr.generate:GenerateConfig",
        run="clevr.generate:run",
        help="Make scenes, pictures and questions in CLEVR's format.",
        examples=(
            "clevr-film generate --split train --scenes 10000 --width 128 --height 96 --out clevr-small",
            "clevr-film generate --split trainA --condition A --scenes 70000 --stop 35000 --out cogent",
        ),
    ),
    Command(
        name="inspect",
        config="clevr.inspect:InspectConfig",
        run="clevr.inspect:run",
        help="Count, check and look at a data set in CLEVR's format.",
        examples=(
            "clevr-film inspect clevr-small --sheet sheet.png",
            "clevr-film inspect CLEVR_v1.0 --split val --out val.json",
        ),
        positionals=("data",),
    ),
    Command(
        name="features",
        config="clevr.features:FeaturesConfig",
        run="clevr.features:run",
        help="Fixed features of pictures (ResNet-101 conv4 by default) into a store on the disk.",
        examples=(
            "clevr-film features CLEVR_v1.0 --split val --out features/val --extractor.normalisation film",
            "clevr-film features pictures/ --out features/own --extractor.backbone resnet50 --extractor.layer layer2",
        ),
        positionals=("data",),
    ),
)


def run() -> int:
    """Entry point of ``clevr-film`` and of ``python -m clevr``."""
    return main("clevr-film", COMMANDS)


if __name__ == "__main__":
    sys.exit(run())
