"""The first part of ``clevr-film train``, where it is asked for: the trunk learns to see, then looks at every image
once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clevr.config.model import AugmentationConfig, TrainConfig, TrunkPretrainingConfig
from clevr.data.batches import ReasoningData
from clevr.data.supervision import COLOR, COLUMN, RIGHT, SHAPE
from clevr.data.table import load_arrays, save_arrays
from clevr.reasoning.membership import is_object
from clevr.reasoning.network import Reasoner
from clevr.reasoning.objectives import TrunkPretraining
from clevr.world.augmentation import augment, recolor
from fewshot_film.run.checkpoint import load_weights
from fewshot_film.run.loop import evaluating, train
from fewshot_film.run.runtime import to_device
from fewshot_film.run.seeding import generator, numpy_generator

log = logging.getLogger(__name__)

_AT_ONCE = 100
"""Images that go through the trunk together."""


class SceneBatches:
    """Images and what lies where in them; batch i is a function of the seed and i.

    Args:
        data: a split with scenes.
        config: how many in a batch, how many are mirrored and recoloured, and the seed.
        augmentation: random changes of the images.
    """

    def __init__(self, data: ReasoningData, config: TrunkPretrainingConfig, augmentation: AugmentationConfig) -> None:
        self.data, self.seed, self.flip = data, config.loop.seed, config.flip
        self.recolor, self.augmentation = config.recolor, augmentation
        self.tied = False
        if self.recolor and data.supervision is not None:
            self.tied = colors_are_tied(torch.from_numpy(data.supervision.described))
        self.size = min(config.images, len(data.images))
        self.per_epoch = len(data.images) // self.size
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The batch number ``index``."""
        epoch, place = divmod(index, self.per_epoch)
        if self._order[0] != epoch:
            order = numpy_generator(self.seed, "seeing", epoch).permutation(len(self.data.images))
            self._order = (epoch, order.astype(np.int64))
        numbers = self._order[1][place * self.size : (place + 1) * self.size]
        images, scenes = take(self.data, numbers)
        if self.flip:
            chosen = torch.rand(len(images), generator=generator(self.seed, "seeing mirrored", index)) < 0.5
            images, scenes = mirrored(images, scenes, chosen)
        if self.recolor:
            drawn = generator(self.seed, "seeing recolored", index)
            recolored = torch.rand(len(images), generator=drawn) < self.recolor
            images, scenes = recolor(images, recolored, drawn), untied(scenes, recolored, self.tied)
        if self.augmentation.changes_images:
            images = augment(images, self.augmentation, generator(self.seed, "seeing effects", index))
        return images, scenes


def take(data: ReasoningData, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Some images of a split, and what lies where in them."""
    assert data.supervision is not None
    images = torch.from_numpy(np.asarray(data.images[numbers]))
    return images, torch.from_numpy(data.supervision.described[numbers])


def mirrored(images: Tensor, scenes: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Images ``(P, 3, H, W)`` and what lies where in them ``(P, 10, 8)``, some mirrored left to right."""
    images = torch.where(chosen[:, None, None, None], images.flip(3), images)
    scenes = scenes.clone()
    scenes[chosen, :, COLUMN] = 1 - scenes[chosen, :, COLUMN]
    scenes[chosen, :, RIGHT] *= -1
    return images, scenes


def colors_are_tied(scenes: Tensor) -> bool:
    """Whether some shapes of described scenes, ``(P, 10, 8)``, lack colours that others come in."""
    things = scenes[is_object(scenes)][:, [SHAPE, COLOR]].unique(dim=0)
    shapes, colors = (things[:, place].unique() for place in (0, 1))
    return len(things) < len(shapes) * len(colors)


def untied(scenes: Tensor, recolored: Tensor, tied: bool) -> Tensor:
    """Described scenes ``(P, 10, 8)`` without what is not known, or would teach to tell a shape by its colour.

    Args:
        scenes: what lies where.
        recolored: ``(P,)``, images with other colours: they teach no colours.
        tied: whether shapes lack colours: the other images teach no shapes then.
    """
    scenes = scenes.clone()
    hidden = {COLOR: recolored[:, None]} | ({SHAPE: ~recolored[:, None]} if tied else {})
    for place, where in hidden.items():
        scenes[..., place] = torch.where(where & (scenes[..., place] >= 0), -1, scenes[..., place])
    return scenes


def pretrain_trunk(config: TrainConfig, reasoner: Reasoner, data: Mapping[str, ReasoningData]) -> None:
    """Train the trunk on scenes, in a folder of its own in that of the run; it keeps the best weights.

    Args:
        config: with ``trunk_pretraining``.
        reasoner: changed in place.
        data: ``train`` and ``val``, both with scenes.
    """
    settings = config.trunk_pretraining
    if settings is None:
        return
    module = TrunkPretraining(reasoner)
    result = train(
        module,
        SceneBatches(data["train"], settings, config.augmentation),
        settings.loop,
        run_dir=_folder(config.out),
        validate=lambda trained: _validate(cast(TrunkPretraining, trained), data["val"]),
        config=settings,
        resume=config.resume,
    )
    if result.best_checkpoint is not None:
        load_weights(module, result.best_checkpoint)


def _folder(run: Path) -> Path:
    """Where the trunk's own training is; runs that version 0.1 began have it in ``seeing``."""
    old = run / "seeing"
    return old if old.is_dir() else run / "trunk_pretraining"


def cache_trunk_features(reasoner: Reasoner, data: ReasoningData, path: Path) -> ReasoningData:
    """The same questions about what a trained trunk makes of the images.

    Args:
        reasoner: with a trunk that does not learn any more.
        data: with images.
        path: file to keep the maps in, in half precision.
    """
    signature = hashlib.sha256("\n".join([trunk_digest(reasoner), *data.table.images]).encode()).hexdigest()
    kept = load_arrays(path, signature)
    if kept is None:
        log.info("computing the trunk features of %d images", len(data.images))
        kept = {"maps": _maps(reasoner, data)}
        save_arrays(path, signature, kept)
    return dataclasses.replace(data, images=kept["maps"])


def _validate(module: TrunkPretraining, data: ReasoningData) -> dict[str, float]:
    """Loss and share of the objects that are predicted right."""
    device = next(module.parameters()).device
    sums, objects = {"loss": 0.0, "accuracy": 0.0}, 0
    for numbers in _parts(data):
        batch = take(data, numbers)
        count = int(is_object(batch[1]).sum())
        for name, value in module(to_device(batch, device)).items():
            sums[name] += float(value) * count
        objects += count
    return {name: value / objects for name, value in sums.items()}


def _parts(data: ReasoningData) -> list[NDArray[np.int64]]:
    numbers = np.arange(len(data.images))
    return np.array_split(numbers, -(-len(numbers) // _AT_ONCE))


@torch.no_grad()
def _maps(reasoner: Reasoner, data: ReasoningData) -> NDArray[np.float16]:
    device = next(reasoner.parameters()).device
    with evaluating(reasoner):
        parts = [
            reasoner.encode_image(torch.from_numpy(np.asarray(data.images[numbers])).to(device)).half().cpu().numpy()
            for numbers in _parts(data)
        ]
    return np.concatenate(parts)


def trunk_digest(reasoner: Reasoner) -> str:
    """What maps depend on beside their image: the weights of the trunk, and of what chooses positions."""
    digest = hashlib.sha256()
    for part in (reasoner.trunk, reasoner.objects):
        for name, value in [] if part is None else part.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
