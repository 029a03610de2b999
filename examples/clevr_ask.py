"""A scene is rendered, questions about it are generated, and a trained model answers them.

python examples/clevr_ask.py --model clevr-small --out answer.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import clevr
from clevr.answers.plotting import answer_figure
from clevr.answers.predict import Answerer
from clevr.questions import write_questions
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import render


def main() -> None:
    """Render a scene, ask questions, compare answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="clevr-small", help="a model's name or folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="PNG file that shows where the first answer came from")
    options = parser.parse_args()

    scenes = Scenes(seed=options.seed, split="example", rules=SceneConfig()).batch(range(1))
    pixels = render(scenes, 320, 240)[0].permute(1, 2, 0).numpy()
    questions = write_questions(scenes[0], np.random.default_rng(options.seed), 5)

    answerer = Answerer(clevr.load(options.model), Image.fromarray(pixels))
    right = 0
    for asked in questions:
        answer = answerer.ask(asked.question)
        right += answer.answer == asked.answer
        print(f"{asked.question}\n  {answer.answer} ({100 * answer.probability:.0f} %); true: {asked.answer}")
    print(f"{right} of {len(questions)} right")
    if options.out:
        answer_figure(answerer, answerer.ask(questions[0].question)).savefig(options.out)


if __name__ == "__main__":
    main()
