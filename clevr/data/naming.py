"""What files are called in CLEVR's own layout."""

from __future__ import annotations


def questions_name(split: str) -> str:
    """Path of a split's questions in CLEVR's layout."""
    return f"questions/CLEVR_{split}_questions.json"


def scenes_name(split: str) -> str:
    """Path of a split's scenes in CLEVR's layout."""
    return f"scenes/CLEVR_{split}_scenes.json"


def images_name(split: str) -> str:
    """Folder of a split's images in CLEVR's layout."""
    return f"images/{split}"


def image_filename(split: str, index: int) -> str:
    """Name of an image in CLEVR's layout: ``CLEVR_train_000012.png``."""
    return f"CLEVR_{split}_{index:06d}.png"
