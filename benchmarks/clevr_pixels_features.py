"""The same network from raw pixels, and from fixed features of a network that was trained on ImageNet.

    python -m benchmarks.clevr_pixels_features
    python -m benchmarks.clevr_pixels_features --size paper --root CLEVR_v1.0

The features are made first, by ``clevr-film features``: conv4 of a ResNet-101 at the paper's size, an earlier layer of
a ResNet-18 at the small one. Their weights are fetched by torchvision; without a network give a file as
``--extractor.weights``.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.clevr_experiments import (
    ExperimentConfig,
    as_table,
    base_training,
    curve,
    data_root,
    tested,
    trained,
    write,
)
from clevr.commands.features import FeaturesConfig
from clevr.commands.features import run as extract
from clevr.config import ReasonerConfig, TrainConfig
from clevr.data.feature_config import ExtractorConfig
from fewshot_film.run.parsing import parse

PUBLISHED = {"pixels": 97.6, "features": 97.7}
"""Per cent of CLEVR's test set: Perez et al., "FiLM", AAAI 2018, table 1."""


@dataclass(frozen=True)
class PixelsFeaturesConfig(ExperimentConfig):
    """Size, data, and what makes the features."""

    extractor: ExtractorConfig = field(default_factory=lambda: ExtractorConfig("resnet18", "layer2", size=112))
    """At the small size; the paper's is conv4 of a ResNet-101 at 224 pixels, with its weights from here if they are a
    file."""


def run(config: PixelsFeaturesConfig) -> None:
    """Make the features, train and test both."""
    root = data_root(config)
    test = "test" if config.size == "small" else "val"
    features = config.runs / f"{config.size}-features"
    extractor = _extractor(config)
    for split in dict.fromkeys(("train", "val", test)):
        extract(FeaturesConfig(root, features / split, split, extractor, device=config.device))
    pixels = base_training(config, f"{config.size}-pixels-features/pixels", root)
    trainings = {"pixels": pixels, "features": _from_features(config, pixels, features)}
    rows: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name, training in trainings.items():
        rows[name] = tested(config, trained(training), root, test, features=training.data.features)
        found[name] = {"accuracy": rows[name], "validation": curve(training)}
        path = write(config, "clevr_pixels_features", {"tested_on": test, "inputs": found})
    print(as_table(rows, "input", PUBLISHED), f"\n{path}")


def _extractor(config: PixelsFeaturesConfig) -> ExtractorConfig:
    if config.size == "small":
        return config.extractor
    weights = config.extractor.weights
    return ExtractorConfig(weights=weights) if Path(weights).is_file() else ExtractorConfig()


def _from_features(config: PixelsFeaturesConfig, pixels: TrainConfig, features: Path) -> TrainConfig:
    """The training from pixels, with another trunk: one 3x3 convolution over maps and coordinates."""
    channels, height, width = json.loads((features / "val" / "index.json").read_text(encoding="utf-8"))["shape"]
    model: ReasonerConfig = dataclasses.replace(
        pixels.model,
        inputs="features",
        input_maps=channels,
        height=height,
        width=width,
        trunk_maps=(),
        trunk_kernel=3,
        trunk_stride=1,
    )
    return dataclasses.replace(
        pixels,
        out=config.runs / f"{config.size}-pixels-features" / "features",
        model=model,
        data=dataclasses.replace(pixels.data, features=str(features)),
        scene_weight=0.0,
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    run(
        parse(
            "python -m benchmarks.clevr_pixels_features", PixelsFeaturesConfig, sys.argv[1:], description=__doc__ or ""
        )
    )
