"""What a fit and an answer of `FewShotClassifier` cost, beside asking the learner anew for every image.

    python -m benchmarks.classifier_speed

The published network at 84 x 84 with random weights, one thread; milliseconds of the processor's time, so that other
work on the machine hardly matters. "anew" is what the reference implementation does for every query image: adapt to
the support set, then answer. The export is timed in onnxruntime where that is installed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from benchmarks.timing import in_turns
from fewshot_film.classifier import FewShotClassifier
from fewshot_film.config.learners import SimpleCNAPSConfig
from fewshot_film.learners import Learner, build_learner
from fewshot_film.run.parsing import parse
from fewshot_film.run.results import summary, write_result
from fewshot_film.run.settings import Settings, at_least

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class ClassifierSpeedConfig(Settings):
    """What is measured."""

    rounds: Annotated[int, at_least(1)] = 5
    """Repetitions of every measurement."""
    tasks: tuple[tuple[int, int], ...] = ((5, 1), (5, 5), (20, 5))
    """Ways and shots."""
    queries: Annotated[int, at_least(1)] = 50
    """Images classified at once."""
    out: Path = RESULTS / "classifier_speed.json"
    """Result file."""


def milliseconds(work: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """Processor time of ``work()``."""
    return summary([1000 * each for each in in_turns({"work": work}, rounds)["work"]])


def measure(way: int, shot: int, learner: Learner, config: ClassifierSpeedConfig) -> dict[str, Any]:
    """All times of one task."""
    rng = np.random.default_rng(0)
    support = torch.from_numpy(rng.integers(0, 256, (way * shot, 3, 84, 84), dtype=np.uint8))
    queries = torch.from_numpy(rng.integers(0, 256, (config.queries, 3, 84, 84), dtype=np.uint8))
    labels = torch.arange(way).repeat_interleave(shot)
    classifier = FewShotClassifier(learner, device="cpu").fit(support, labels)

    def anew() -> torch.Tensor:
        with torch.no_grad():
            answer: torch.Tensor = learner.adapt(support.float() / 255, labels)(queries[:1].float() / 255)
        return answer

    results = {
        "fit": milliseconds(lambda: classifier.fit(support, labels), config.rounds),
        "one image after fit": milliseconds(lambda: classifier.predict_proba(queries[:1]), config.rounds),
        f"{config.queries} images after fit": milliseconds(lambda: classifier.predict_proba(queries), config.rounds),
        "one image anew": milliseconds(anew, config.rounds),
    }
    results |= exported(classifier, queries[:1].float().numpy() / 255, config.rounds)
    anew_mean, fitted_mean = (results[f"one image {when}"]["mean"] for when in ("anew", "after fit"))
    results["one image, times faster"] = anew_mean / fitted_mean
    return results


def exported(classifier: FewShotClassifier, picture: np.ndarray, rounds: int) -> dict[str, Any]:
    """Time and size of the exported file; nothing where the packages are missing."""
    try:
        import onnxruntime
    except ImportError:
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = classifier.export_onnx(Path(folder) / "classifier.onnx")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        given, _ = session.run(None, {"images": picture})
        difference = float(np.abs(given - classifier.predict_proba(torch.from_numpy(picture))).max())
        return {
            "one image in onnxruntime": milliseconds(lambda: session.run(None, {"images": picture}), rounds),
            "exported file, MB": path.stat().st_size / 1e6,
            "exported file, difference of probabilities": difference,
        }


def run(config: ClassifierSpeedConfig) -> None:
    """Measure, write and print."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    learner = build_learner(SimpleCNAPSConfig()).eval()
    results = {f"{way}-way {shot}-shot": measure(way, shot, learner, config) for way, shot in config.tasks}
    write_result(config.out, config=config, seed=0, results=results)
    for task, found in results.items():
        print(task)
        for name, value in found.items():
            print(f"  {name:45} {value['mean'] if isinstance(value, dict) else value:10.4g}")


if __name__ == "__main__":
    run(parse("python -m benchmarks.classifier_speed", ClassifierSpeedConfig, sys.argv[1:], description=__doc__ or ""))
