"""Draws six pictures each of two classes into ``labelled/``: ``python two_classes.py``."""

from pathlib import Path

import numpy as np
from PIL import Image

rng = np.random.default_rng(0)
for name, level in (("dark", 40), ("light", 200)):
    folder = Path("labelled", name)
    folder.mkdir(parents=True)
    for index in range(6):
        pixels = rng.integers(level - 40, level + 40, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
