"""Features of frozen backbones: computed once per backbone and domain, kept in a folder, memory-mapped.

A file's name holds a digest of all that decides its content: the images, how they are prepared, and the network's
weights. Anything else that changes is another file.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.photos.domains import Domain
from benchmarks.timing import in_turns
from fewshot_film.classifier.adapting import Adapter, features_of
from fewshot_film.classifier.calibration import Measured
from fewshot_film.classifier.pretrained import load_pretrained
from fewshot_film.config.learners import LearnerConfig, PrototypesConfig
from fewshot_film.data import ImageSet, decode
from fewshot_film.data.cache import FORMAT
from fewshot_film.film import remove_film
from fewshot_film.learners import PrototypicalNetworks
from fewshot_film.learners.backbone import Backbone
from fewshot_film.run.files import write_atomically
from fewshot_film.run.progress import hides_bars

CHUNK = 64


@dataclass(frozen=True)
class FrozenBackbone:
    """A backbone without FiLM."""

    name: str
    """What tables call it."""
    network: Backbone
    """In evaluation mode."""
    template: LearnerConfig
    """Settings that say what the backbone is."""
    measured: Measured
    """What is known of its own head; see `Pretrained`."""

    def reading(self, **changes: Any) -> FrozenBackbone:
        """The same network on images that are prepared in another way: fields of `Preprocessing`."""
        network = copy.deepcopy(self.network)
        network.normalize.preprocessing = replace(network.preprocessing, **changes)
        stated = replace(
            self.template.backbone, preprocessing=network.preprocessing, image_size=network.preprocessing.size
        )
        return replace(self, network=network, template=replace(self.template, backbone=stated))


def load_backbone(model: str) -> FrozenBackbone:
    """The backbone of whatever `load_pretrained` knows by a name or a path, without FiLM.

    Raises:
        UserError: see `load_pretrained`.
    """
    found = load_pretrained(model)
    network = copy.deepcopy(found.learner.backbone)
    remove_film(network)
    name = Path(model).name if Path(model).is_dir() else model.partition("@")[0]  # the file of weights is no part of it
    return FrozenBackbone(name, network.eval(), found.learner.config, found.measured)


def cached_features(backbone: FrozenBackbone, domain: Domain, folder: Path) -> np.ndarray:
    """Features ``(N, D)``, float32, of the domain's images, in their order; read from ``folder`` where they are known.

    Args:
        backbone: the network.
        domain: the images.
        folder: keeps the features; made where it is missing.
    """

    def compute() -> Callable[[Tensor], Tensor]:
        adapter = Adapter(PrototypicalNetworks(PrototypesConfig(backbone=backbone.template.backbone), backbone.network))
        network = adapter.network({})
        return lambda images: features_of(network, images, adapter.device)

    return kept_rows(backbone.network, domain, folder, compute)


def kept_rows(
    network: Backbone, domain: Domain, folder: Path, prepare: Callable[[], Callable[[Tensor], Tensor]]
) -> np.ndarray:
    """What is made of each of the domain's images, in their order, memory-mapped; computed once.

    Args:
        network: decides how images are read and, with the images, the file's name.
        domain: the images.
        folder: keeps the rows; made where it is missing. One folder for each kind of rows.
        prepare: called where they are not known yet; gives the function of images ``(B, C, H, W)``, uint8, to rows.
    """
    path = folder / f"{domain.name}-{features_key(network, domain)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        found = _compute(network, domain, prepare())

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:  # by a path, numpy would add its ending
                np.save(file, found)

        write_atomically(path, write)
    known: np.ndarray = np.load(path, mmap_mode="r")[domain.rows]
    return known


def features_key(network: Backbone, domain: Domain) -> str:
    """Digest of what decides the features of a domain."""
    digest = hashlib.sha256(f"{FORMAT}/{domain.source.fingerprint()}".encode())
    digest.update(json.dumps([asdict(network.preprocessing), network.flip_tta, str(network.feature_norms)]).encode())
    add_weights(digest, network)
    return digest.hexdigest()[:32]


def add_weights(digest: hashlib._Hash, network: nn.Module) -> None:
    """Let a digest depend on all weights of a network."""
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().cpu().numpy().tobytes())


def _compute(network: Backbone, domain: Domain, of_images: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Rows of every file of a source; NaN for those that are no images."""
    images = decode(domain.source, **network.preprocessing.pixels, on_duplicate="keep")
    place = {file: number for number, file in enumerate(domain.source.files)}
    found: np.ndarray | None = None
    with tqdm(total=len(images), desc=domain.name, disable=hides_bars()) as bar:
        for numbers in _chunks(images):
            rows = of_images(images.get(numbers)).numpy()
            if found is None:
                found = np.full((len(domain.source), *rows.shape[1:]), np.nan, rows.dtype)
            found[[place[images.files[number]] for number in numbers]] = rows
            bar.update(len(numbers))
    assert found is not None  # a source without images does not decode
    return found


def _chunks(images: ImageSet) -> Iterator[np.ndarray]:
    for first in range(0, len(images), CHUNK):
        yield np.arange(first, min(first + CHUNK, len(images)))


def feature_milliseconds(backbone: FrozenBackbone, rounds: int = 9) -> float:
    """Processor time of one image's features, median of some rounds, one thread."""
    adapter = Adapter(PrototypicalNetworks(PrototypesConfig(backbone=backbone.template.backbone), backbone.network))
    network, read = adapter.network({}), backbone.network.preprocessing
    image = torch.full((1, read.channels, read.size, read.size), 99, dtype=torch.uint8)
    times = in_turns({"one": lambda: features_of(network, image, adapter.device)}, rounds)["one"]
    return 1000 * float(np.median(times))
