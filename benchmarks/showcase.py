"""The images of README and docs: ``python -m benchmarks.showcase`` makes all of them anew.

``docs/images/classified.png`` and ``docs/images/answered.png`` show what the models make of photos and scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

import clevr
from clevr.answers.predict import Answerer
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render
from fewshot_film.classifier import Answers, FewShotClassifier
from fewshot_film.run.figures import BLUE, VERMILION

CHECKOUT = Path(__file__).resolve().parent.parent
PHOTOS = CHECKOUT / "examples" / "photos"
IMAGES = CHECKOUT / "docs" / "images"
REJECT = 0.05
"""Share of the members that may be rejected together with strangers."""
CELL = 0.095
"""Height of a drawn image, a share of the figure's."""
SCENE = 9
QUESTIONS = (
    "How many spheres are behind the yellow cube?",
    "What color is the rubber ball right of the metal ball?",
    "Is the red cylinder the same size as the gray thing?",
)
SIZE: dict[str, Any] = {"figsize": (4.6, 3.7), "dpi": 160}
"""Of both images, so that they stand side by side."""


def draw_classified(folder: Path = PHOTOS) -> Figure:
    """One row per class: its labelled photos, and beside them others with what they were taken for; strangers last."""
    labelled, unknown = (sorted((folder / part).glob("*/*.jpg")) for part in ("labelled", "unknown"))
    classifier = FewShotClassifier().fit(labelled, [file.parent.name for file in labelled])
    answers = classifier.answer(unknown, reject=REJECT)
    classes = classifier.classes_.tolist()
    strangers = sorted({file.parent.name for file in unknown} - set(classes))
    figure = Figure(**SIZE)
    figure.text(0.17, 0.965, "labelled", fontsize=7.5)
    figure.text(0.585, 0.965, "classified, with probability", fontsize=7.5)
    for row, name in enumerate([*classes, *strangers]):
        bottom = 0.86 - 0.138 * row
        figure.text(0.15, bottom + CELL / 2, name, fontsize=7, ha="right", va="center")
        for column, file in enumerate(file for file in labelled if file.parent.name == name):
            _show(figure.add_axes((0.17 + 0.095 * column, bottom, CELL, CELL)), Image.open(file))
        if name in strangers:
            figure.text(0.36, bottom + CELL / 2, "(no class of its own)", fontsize=7, ha="center", va="center")
        places = [place for place, file in enumerate(unknown) if file.parent.name == name]
        for column, place in enumerate(places):
            colour = BLUE if answers.labels[place] == (name if name in classes else None) else VERMILION
            axes = figure.add_axes((0.58 + 0.105 * column, bottom, CELL, CELL))
            _show(axes, Image.open(unknown[place]), colour)
            size = 4.4 if answers.labels[place] is None else 5.5  # the words have to fit beside each other
            axes.set_xlabel(_said(answers, place, name), fontsize=size, color=colour, labelpad=1.5)
    return figure


def _said(answers: Answers, place: int, name: str) -> str:
    """What is said of a photo: how certain its class is, or that it has none; another class by its name."""
    label = answers.labels[place]
    if label is None:
        return "none of these"
    share = f"{100 * answers.probabilities[place].max():.0f} %"
    return share if label == name else f"{label} {share}"


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
    draw_classified().savefig(IMAGES / "classified.png")
    draw_answered().savefig(IMAGES / "answered.png")


if __name__ == "__main__":
    main()
