"""How many questions a second one core writes.

``python -m benchmarks.question_speed`` writes ten questions for each of many scenes, several times, and
measures the seconds: the search, the program, the text and the record of every question; not the scenes.
CLEVR's own depth-first search takes minutes for a thousand questions.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.question_scenes import make_scenes
from clevr.questions import write_questions
from clevr.world.scene import Scene
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.seeding import numpy_generator


def seconds_to_write(scenes: list[Scene], seed: int) -> tuple[int, float]:
    """The number of questions written about some scenes, and the seconds it took."""
    began = time.perf_counter()
    records = [
        question.to_json()
        for scene in scenes
        for question in write_questions(scene, numpy_generator(seed, "questions", scene.image_index))
    ]
    return len(records), time.perf_counter() - began


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=1000, help="scenes a repetition (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/question_speed.json"))
    args = parser.parse_args()
    scenes = make_scenes(args.seed, 0, args.scenes)
    rates = []
    for repeat in range(args.repeats):
        written, seconds = seconds_to_write(scenes, args.seed + repeat)
        rates.append(written / seconds)
        print(f"{written} questions in {seconds:.2f} s: {rates[-1]:.0f} a second")
    found = summary(rates)
    print(f"questions a second on one core: {found['mean']:.0f} ± {found['interval']:.0f}")
    config = {"scenes": args.scenes, "repeats": args.repeats}
    write_result(args.out, config=config, seed=args.seed, results={"questions_per_second": found})


if __name__ == "__main__":
    main()
