"""A generator that blends learned templates: whole sets of gamma and beta, one for each kind of task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewshot_film.errors import InvalidValueError
from fewshot_film.film.generators import Generator
from fewshot_film.film.sites import Modulations, Sites


class TemplateGenerator(Generator):
    """``sum_k softmax(W code + b)_k (identity + template_k)``: a convex combination of learned values.

    A template is trained on tasks of its own kind (:meth:`template`), the weights to name the kind (:meth:`scores`).
    The last weight is for tasks of no such kind: it is the identity's, which no training moves, or that of values
    found otherwise (:meth:`forward`). All templates start at the identity.

    Args:
        code_dim: width ``D`` of the conditioning vector.
        sites: the sites to generate for.
        num_templates: how many, besides the identity.
        penalty_weight: of the squared distance of a template from the identity, in :meth:`penalty`.

    Raises:
        ValueError: there is no template.

    Source:
        Triantafillou et al., "Learning a Universal Template for Few-shot Dataset Generalization", ICML 2021,
        section 4, https://arxiv.org/abs/2105.07029, where the blend is where fine-tuning begins
    """

    def __init__(self, code_dim: int, sites: Sites, num_templates: int, penalty_weight: float = 0.0) -> None:
        super().__init__(code_dim, sites)
        if num_templates < 1:
            raise InvalidValueError(f"num_templates is {num_templates}; expected at least 1")
        self.penalty_weight = penalty_weight
        self.blend = nn.Linear(code_dim, num_templates + 1)
        self.templates = nn.Parameter(torch.zeros(num_templates, sites.flat_dim))

    def scores(self, code: Tensor) -> Tensor:
        """Logits ``(B, num_templates + 1)`` of the kinds that codes ``(B, code_dim)`` may be of; the last: of none."""
        self._check_code(code)
        return self.blend(code)  # type: ignore[no-any-return]

    def forward(self, code: Tensor, otherwise: Modulations | None = None) -> Modulations:
        """Blend the templates for ``code``, ``(B, code_dim)``; see :meth:`Generator.forward`.

        Args:
            code: of the tasks.
            otherwise: values of every site for tasks of no kind that there is a template for; None: the identity.
        """
        of_kinds, of_none = self.scores(code).softmax(1).split([len(self.templates), 1], 1)
        residuals = of_kinds @ self.templates
        if otherwise is not None:
            identity = self.sites.identity(device=code.device, dtype=residuals.dtype)
            residuals = residuals + of_none * (self.sites.flatten(otherwise) - self.sites.flatten(identity))
        return self.sites.from_residuals(residuals)

    def template(self, index: int) -> Modulations:
        """Values of one template, one row each."""
        return self.sites.from_residuals(self.templates[index, None])

    def penalty(self) -> Tensor:
        """Squared distance from the identity, the mean over templates; a scalar."""
        return self.penalty_weight * self.templates.square().sum(1).mean()
