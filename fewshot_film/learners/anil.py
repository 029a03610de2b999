"""ANIL: "almost no inner loop", MAML whose inner steps change the head alone.

Raghu et al., "Rapid Learning or Feature Reuse?", ICLR 2020, https://arxiv.org/abs/1909.09157
"""

from __future__ import annotations

from torch import Tensor

from fewshot_film.config.learners import ANILConfig
from fewshot_film.extras import learn2learn
from fewshot_film.learners.inner_loop import GradientLearner, InnerLoop, LinearHead, Network
from fewshot_film.learners.task_norm import keeping_statistics


class ANIL(GradientLearner):
    """The backbone is the same for every task, and is meta-trained through the inner steps of the head."""

    config: ANILConfig

    def run_inner_loop(self, images: Tensor, targets: Tensor, head: LinearHead, inner: InnerLoop) -> Network:
        """Features once, then steps of the head; see :meth:`GradientLearner.run_inner_loop`."""
        library = learn2learn()
        body = library.clone_module(self.backbone)
        if self.transductive:
            features = body(images)
        else:
            with keeping_statistics(body):
                features = body(images)
        algorithm = library.algorithms.MAML(head, lr=self.config.inner_rate, first_order=inner.needs_first_order)
        adapted = inner(algorithm, features, targets)
        return lambda queries: adapted(body(queries))
