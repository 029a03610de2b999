"""Several learners on the same episodes, with intervals, and a paired comparison of the two best.

The network is small and untrained, so that this takes seconds; replace it by your backbone.
"""

import torch

from fewshot_film.config import BackboneConfig, PrototypesConfig, SimpleCNAPSConfig
from fewshot_film.data import decode, open_source
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.learners import build_backbone, build_learner, evaluate
from fewshot_film.run.results import mean_and_interval, paired_difference

EPISODES = 40


def main() -> None:
    """Evaluate all learners on the same episodes and compare the two best."""
    torch.manual_seed(0)
    shape = BackboneConfig(width=8, image_size=28, channels=1, stem_kernel=3)
    backbone = build_backbone(shape)
    learners = {
        "Mahalanobis": SimpleCNAPSConfig(backbone=shape, adaptation="none"),
        "prototypes, cosine": PrototypesConfig(backbone=shape),
        "prototypes, Euclidean": PrototypesConfig(backbone=shape, distance="euclidean"),
    }
    images = decode(open_source("glyphs", split="test", pictures=15), image_size=28, channels=1)
    episodes = EpisodeSampler(images, way=5, shot=5, query=10, seed=0)  # the same for all learners

    values = {name: evaluate(build_learner(config, backbone), episodes, EPISODES) for name, config in learners.items()}
    for name, accuracies in values.items():
        mean, interval = mean_and_interval(accuracies)
        print(f"{name}: {100 * mean:.1f} ± {100 * interval:.1f} % over {EPISODES} episodes")

    best, second = sorted(values, key=lambda name: -sum(values[name]))[:2]
    difference, interval = paired_difference(values[best], values[second])
    verdict = "better than" if difference > interval else "not significantly different from"
    print(f"{best} is {verdict} {second}: {100 * difference:+.1f} ± {100 * interval:.1f} on the same episodes")


if __name__ == "__main__":
    main()
