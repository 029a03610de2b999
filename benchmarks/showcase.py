"""The images of README and docs, and the example images: ``python -m benchmarks.showcase`` makes all of them anew.

``examples/creatures`` has a folder per class with a few generated creatures, to try the classifier on files;
``docs/images/classified.png`` and ``docs/images/answered.png`` show what the models that ship make of such images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import clevr
from clevr.answers.predict import Answerer
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.data import open_source
from fewshot_film.run.figures import BLUE, VERMILION

CHECKOUT = Path(__file__).resolve().parent.parent
CREATURES = CHECKOUT / "examples" / "creatures"
IMAGES = CHECKOUT / "docs" / "images"
NAMES = ("caterpillar", "apple", "imp", "cat", "beetle", "mouse")
"""Names for the first test classes of the generated creatures, by what they look like."""
PER_CLASS = 8
"""Images per class; every second one is labelled, the others are classified."""
CELL = 0.11
"""Height of a drawn image, a share of the figure's."""
SCENE = 9
QUESTIONS = (
    "How many spheres are behind the yellow cube?",
    "What color is the rubber ball right of the metal ball?",
    "Is the red cylinder the same size as the gray thing?",
)
SIZE: dict[str, Any] = {"figsize": (4.6, 3.7), "dpi": 160}
"""Of both images, so that they stand side by side."""


def write_creatures(folder: Path) -> list[Path]:
    """Some generated creatures as JPEG files, one folder per class."""
    source = open_source("creatures", split="test")
    files = []
    for label, name in enumerate(NAMES):
        for place, index in enumerate(np.flatnonzero(source.labels == label)[:PER_CLASS]):
            path = folder / name / f"{place}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            source.load(int(index)).convert("RGB").save(path, quality=90)
            files.append(path)
    return files


def draw_classified(files: Sequence[Path]) -> Figure:
    """One row per class: its labelled images, and beside them others with the class and probability that they got."""
    support = files[::2]
    classifier = FewShotClassifier().fit(support, [file.parent.name for file in support])
    figure = Figure(**SIZE)
    figure.text(0.17, 0.965, "labelled", fontsize=7.5)
    figure.text(0.585, 0.965, "classified, with probability", fontsize=7.5)
    for row, name in enumerate(NAMES):
        bottom = 0.845 - 0.16 * row
        figure.text(0.15, bottom + CELL / 2, name, fontsize=7, ha="right", va="center")
        for column, file in enumerate(file for file in support if file.parent.name == name):
            _show(figure.add_axes((0.17 + 0.095 * column, bottom, CELL, CELL)), Image.open(file))
        queries = [file for file in files[1::2] if file.parent.name == name]
        answers = classifier.answer(queries)
        for column, (file, label) in enumerate(zip(queries, answers.labels, strict=True)):
            colour = BLUE if label == name else VERMILION
            axes = figure.add_axes((0.58 + 0.105 * column, bottom, CELL, CELL))
            _show(axes, Image.open(file), colour)
            share = f"{100 * answers.probabilities[column].max():.0f} %"
            axes.set_xlabel(share if label == name else f"{label} {share}", fontsize=5.5, color=colour, labelpad=1.5)
    return figure


def draw_answered(index: int = SCENE, questions: Sequence[str] = QUESTIONS) -> Figure:
    """A generated scene, questions about it, and what the reasoning model answers."""
    scenes = Scenes(seed=0, split="example", rules=SceneConfig()).batch(range(index, index + 1))
    image = Image.fromarray(render(scenes, 480, 320)[0].permute(1, 2, 0).numpy())
    answerer = Answerer(clevr.load("clevr-small"), image)
    figure = Figure(**SIZE)
    _show(figure.add_axes((0.02, 0.26, 0.96, 0.73)), image)
    height = 0.2
    for question in questions:
        given = answerer.ask(question)
        figure.text(0.03, height, question, fontsize=8, va="center")
        figure.text(
            0.97,
            height,
            f"{given.answer} ({100 * given.probability:.0f} %)",
            fontsize=8,
            color=BLUE,
            ha="right",
            va="center",
        )
        height -= 0.075
    return figure


def _show(axes: Any, image: Image.Image, frame: str = "") -> None:
    axes.imshow(image)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=frame or "none", linewidth=1.2)


def main() -> None:
    """Write everything where README and docs expect it."""
    draw_classified(write_creatures(CREATURES)).savefig(IMAGES / "classified.png")
    draw_answered().savefig(IMAGES / "answered.png")


if __name__ == "__main__":
    main()
