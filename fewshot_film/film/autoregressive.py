"""CNAPS's auto-regressive generator: a stage depends on the features of the adapted stages before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from fewshot_film.film.errors import ShapeError
from fewshot_film.film.generators import REGULARISER_STD, RegularisedGenerator, RegularisedValues, residual_layers
from fewshot_film.film.sites import Modulations, Sites


class StageRunner(Protocol):
    """Runs a set of examples through a network piece by piece; :class:`StagedRun` is one."""

    def __call__(self, segment: int, modulations: Modulations) -> Tensor:
        """Run one segment on what the segment before it returned.

        Args:
            segment: 0 for everything before the first stage that has sites, ``i`` for the ``i``-th such
                stage; called in order from 0.
            modulations: values for the sites of this segment.

        Returns:
            Features of every example, pooled over positions: ``(N, feature_dims[segment])``.
        """


class AutoregressiveGenerator(RegularisedGenerator):
    """The auto-regressive variant of :class:`ResidualGenerator`.

    The set goes through the network stage by stage. The pooled features before a stage become one local code
    (a linear layer, three residual ones, mean over the set, another linear layer) as wide as the stage's last
    site. It joins the task's code; from both come the values of that stage's sites, with which the set goes
    through the stage. For ResNet-18 and ``D = 64`` it has 13,244,608 parameters, as the reference
    implementation.

    Args:
        code_dim: width ``D`` of the task's code.
        sites: the sites to generate for, grouped into stages by ``Site.stage``.
        feature_dims: width of the pooled features that enter each stage, e.g. ``(64, 64, 128, 256)`` for
            ResNet-18.
        penalty_weight: factor of the sum of squared regularisers in ``penalty()``.
        regulariser_std: initial standard deviation of the regularisers.

    Raises:
        ShapeError: ``feature_dims`` has not one entry per stage.

    Source:
        Requeima et al., "CNAPs", NeurIPS 2019, section 2.2 and appendix, https://arxiv.org/abs/1906.07697
    """

    def __init__(
        self,
        code_dim: int,
        sites: Sites,
        feature_dims: Sequence[int],
        *,
        penalty_weight: float = 0.001,
        regulariser_std: float = REGULARISER_STD,
    ) -> None:
        super().__init__(code_dim, sites)
        self.penalty_weight = penalty_weight
        self.feature_dims = tuple(feature_dims)
        stages = sites.by_stage()
        if len(self.feature_dims) != len(stages):
            raise ShapeError(
                f"feature_dims has {len(self.feature_dims)} entries, expected one for each of the "
                f"{len(stages)} stages: {', '.join(stages)}"
            )
        widths = [members[-1].num_channels for members in stages.values()]
        self.local_codes = nn.ModuleList(map(LocalCode, self.feature_dims, widths))
        width_of = dict(zip(stages, widths, strict=True))
        self.values = nn.ModuleList(
            RegularisedValues(site, width_of[site.stage] + code_dim, project=True, regulariser_std=regulariser_std)
            for site in sites
        )

    def forward(self, code: Tensor, run_stage: StageRunner) -> Modulations:
        """Generate values for every site.

        Args:
            code: ``(1, code_dim)``: one task.
            run_stage: runs the set through the network piece by piece. The last stage is never run: nothing
                is generated from its features.

        Returns:
            gamma and beta by site name, ``(1, C)`` each.

        Raises:
            ShapeError: ``code`` or the features that ``run_stage`` returns have another shape.
        """
        self._check_code(code)
        if code.shape[0] != 1:
            raise ShapeError(f"the code has {code.shape[0]} rows, expected 1: a set of examples is one task")
        values_of = dict(zip(self.sites.names, self.values, strict=True))
        generated: Modulations = {}
        modulations: Modulations = {}
        for segment, (members, local_code) in enumerate(
            zip(self.sites.by_stage().values(), self.local_codes, strict=True)
        ):
            features = run_stage(segment, modulations)
            self._check_features(segment, features)
            hidden = torch.cat([local_code(features), code], dim=1)
            modulations = {site.name: values_of[site.name](hidden) for site in members}
            generated |= modulations
        return {name: generated[name] for name in self.sites.names}

    def _check_features(self, segment: int, features: Tensor) -> None:
        width = self.feature_dims[segment]
        if features.ndim != 2 or features.shape[1] != width:
            raise ShapeError(
                f"segment {segment} returned features of shape {tuple(features.shape)}, expected "
                f"(N, {width}); pool them over positions, or correct feature_dims"
            )


class LocalCode(nn.Module):
    """One code for a set from the pooled features of its examples, ``(N, feature_dim) -> (1, width)``."""

    def __init__(self, feature_dim: int, width: int) -> None:
        super().__init__()
        self.per_example = nn.Sequential(nn.Linear(feature_dim, width), nn.ReLU(), *residual_layers(width))
        self.pooled = nn.Sequential(nn.Linear(width, width), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        """Encode every example, average, encode again."""
        code: Tensor = self.pooled(self.per_example(features).mean(dim=0, keepdim=True))
        return code
