"""What comes before a learner's first FiLM site: the same for every task, so that it need not be computed again."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from fewshot_film.film.inject import first_part
from fewshot_film.learners.backbone import FEATURE_NORMS, Normalize
from fewshot_film.learners.film_learner import FilmLearner


class _AsItIs(Normalize):
    """Stands where images were normalised: what comes in was normalised, and more, before."""

    def forward(self, images: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` as they are."""
        return images


def without_prefix(learner: FilmLearner) -> tuple[FilmLearner, nn.Module]:
    """A copy of a learner that reads the maps before its first FiLM site, and the network that makes these maps.

    With sites in the stem, and where mirror images are averaged, nothing but the normalisation is left out; of networks
    side by side, each of which normalises the images itself, nothing at all.
    """
    cut = copy.deepcopy(learner)
    if not cut.backbone.is_sequence:
        return cut.eval(), nn.Sequential().eval()
    backbone, names = cut.backbone, _before_sites(learner)
    parts: list[nn.Module] = [backbone.normalize]
    for name in names:
        parts.append(backbone.get_submodule(name))
        backbone.set_submodule(name, nn.Identity())
    backbone.normalize = _AsItIs(backbone.preprocessing)
    return cut.eval(), nn.Sequential(*parts).eval()


def _before_sites(learner: FilmLearner) -> list[str]:
    """Modules of the stem and stages that come before all sites and before all that the features are made of."""
    backbone = learner.backbone
    names = [*backbone.stem_names, *backbone.stage_names]
    last = {first_part(name.removeprefix(FEATURE_NORMS)) for name in learner.filmed.sites.names}
    last |= {*backbone.feature_norms}
    return [] if backbone.flip_tta else names[: min(names.index(name) for name in last)]
