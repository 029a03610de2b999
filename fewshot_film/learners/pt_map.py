"""PT-MAP: a power transform makes features look normal, then optimal transport to the class centres moves the centres.

Hu, Gripon and Pateux, "Leveraging the Feature Distribution in Transfer-based Few-Shot Learning", ICANN 2021,
https://arxiv.org/abs/2006.03806. A feature ``x`` becomes ``(x + 1e-6)^0.5`` at length 1 (here: ``max(x, 1e-6)^0.5``),
and the first centres ``c_k`` are the class means. Every step finds the plan ``M`` that transports the queries, 1 each,
to the classes, Q / way each, at the costs ``|x_i - c_k|^2``, and moves the centres by a share of the way to

    (sum_i M_ik x_i + sum of the class's support images) / (sum_i M_ik + shot).

Logits are the logarithms of the plan to the last centres. The defaults, 20 steps at a rate of 0.2 and a lambda of 10,
are those of the evaluation by Veilleux et al., "Realistic Evaluation of Transductive Few-Shot Learning", NeurIPS 2021.
The plan gives every class the same number of queries: where they are not balanced, that can cost more than it gains.
"""

from __future__ import annotations

from torch import Tensor

from fewshot_film.config.learners import PTMAPConfig
from fewshot_film.learners.sinkhorn import sinkhorn
from fewshot_film.learners.transductive import TransductiveLearner, weighted_means


class PTMAP(TransductiveLearner):
    """PT-MAP on the features of a frozen backbone."""

    config: PTMAPConfig

    def solve(self, support: Tensor, members: Tensor, queries: Tensor) -> Tensor:
        """See :meth:`TransductiveLearner.solve`."""
        config = self.config
        return map_assignments(support, members, queries, config.steps, config.rate, config.sinkhorn_lambda)


def map_assignments(
    support: Tensor, members: Tensor, queries: Tensor, steps: int, rate: float, sinkhorn_lambda: float
) -> Tensor:
    """Logarithms of the shares of every query in the classes, ``(*, Q, way)``.

    Args:
        support: ``(*, N, D)``.
        members: 1 where an image is of a class and else 0, ``(*, N, way)``.
        queries: ``(*, Q, D)``.
        steps: moves of the centres, at least 0.
        rate: share of the way that a move goes, in (0, 1].
        sinkhorn_lambda: the larger, the harder are the assignments.
    """
    queries_per_class = queries.new_full((), queries.shape[-2] / members.shape[-1])

    def cost_to(centres: Tensor) -> Tensor:
        """Squared distances less the length of the query, which is the same for all classes and changes no plan."""
        return centres.square().sum(-1)[..., None, :] - 2 * queries @ centres.mT

    def plan(cost: Tensor) -> Tensor:
        return sinkhorn(cost, queries.new_ones(()), queries_per_class, sinkhorn_lambda)

    centres, shots = weighted_means(support, members), members.sum(-2)[..., None]
    sums, offsets = members.mT @ support, queries.new_zeros(())
    for _ in range(steps):
        cost = cost_to(centres)
        log_shares = plan(cost - offsets)
        # what is added to a class's costs changes no plan: the factors of this plan start the next one
        offsets = (cost + log_shares / sinkhorn_lambda)[..., :1, :]
        shares = log_shares.exp()
        estimates = (sums + shares.mT @ queries) / (shots + shares.sum(-2)[..., None])
        centres = centres + rate * (estimates - centres)
    return plan(cost_to(centres) - offsets)
