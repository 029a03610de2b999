"""Your own image source: with one small class, every sampler and learner works on it."""

import numpy as np
from PIL import Image

from fewshot_film.config import BackboneConfig
from fewshot_film.data import ImageSource, decode
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.images import MAX_PIXELS
from fewshot_film.learners import PrototypicalNetworks, evaluate


class Stripes(ImageSource):
    """Images of stripes; each class is a direction."""

    def __init__(self, classes: int = 8, num_images: int = 20) -> None:
        labels = np.repeat(np.arange(classes), num_images)
        names = [f"{180 * number // classes} degrees" for number in range(classes)]
        super().__init__("stripes", names, labels, [f"{label}/{n}" for n, label in enumerate(labels)])

    def load(self, index: int, *, min_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
        """Image ``index``; always the same one."""
        angle = np.pi * self.labels[index] / len(self.class_names)
        draw = np.random.default_rng(index)
        x, y = np.meshgrid(np.arange(32), np.arange(32))
        wave = np.sin(0.9 * (x * np.cos(angle) + y * np.sin(angle)) + draw.uniform(0, 6.28))
        return Image.fromarray((127 + 90 * wave + draw.normal(0, 15, wave.shape)).clip(0, 255).astype(np.uint8))

    def stamp(self, index: int) -> str:
        """Changes when an image changes; these never do."""
        return ""

    @property
    def identity(self) -> str:
        """Identifies this source in the cache of decoded images."""
        return f"stripes {len(self.class_names)} x {len(self)}"


def main() -> None:
    """Evaluate a learner on episodes from this source."""
    images = decode(Stripes(), image_size=32, channels=1)
    learner = PrototypicalNetworks(backbone=BackboneConfig(width=8, image_size=32, channels=1))
    values = evaluate(learner, EpisodeSampler(images, way=5, shot=5, query=10), 10)
    print(f"{images}: {100 * sum(values) / len(values):.1f} % with an untrained network")


if __name__ == "__main__":
    main()
