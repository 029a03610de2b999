"""A source of images of your own: a small class, and every sampler and learner works on it."""

import numpy as np
from PIL import Image

from fewshot_film.config import BackboneConfig
from fewshot_film.data import ImageSource, decode
from fewshot_film.episodes import EpisodeSampler
from fewshot_film.images import MAX_PIXELS
from fewshot_film.learners import PrototypicalNetworks, evaluate


class Stripes(ImageSource):
    """Striped images; a class is a direction of the stripes."""

    def __init__(self, classes: int = 8, pictures: int = 20) -> None:
        labels = np.repeat(np.arange(classes), pictures)
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
        """What changes when an image does; these never do."""
        return ""

    @property
    def identity(self) -> str:
        """What the cache of decoded images knows this source by."""
        return f"stripes {len(self.class_names)} x {len(self)}"


def main() -> None:
    """Episodes of it, and a learner on them."""
    pictures = decode(Stripes(), image_size=32, channels=1)
    learner = PrototypicalNetworks(backbone=BackboneConfig(width=8, image_size=32, channels=1))
    values = evaluate(learner, EpisodeSampler(pictures, way=5, shot=5, query=10), 10)
    print(f"{pictures}: {100 * sum(values) / len(values):.1f} % with an untrained network")


if __name__ == "__main__":
    main()
