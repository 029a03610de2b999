"""Transductive methods: each against loops and by hand, and what every one of them has to stand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_film.config.learners import (
    AlphaTIMConfig,
    BDCSPNConfig,
    LabelPropagationConfig,
    LaplacianShotConfig,
    PTMAPConfig,
    SoftKMeansConfig,
    TIMConfig,
    TransductiveConfig,
)
from fewshot_film.errors import ConfigError
from fewshot_film.learners import (
    BDCSPN,
    LEARNERS,
    PTMAP,
    TIM,
    AlphaTIM,
    LabelPropagation,
    LaplacianShot,
    SoftKMeans,
    SupportError,
    TransductiveLearner,
)
from fewshot_film.learners.bd_cspn import rectified
from fewshot_film.learners.laplacian_shot import laplacian_logits, neighbours
from fewshot_film.learners.pt_map import map_assignments
from fewshot_film.learners.self_transport import self_transport
from fewshot_film.learners.sinkhorn import sinkhorn
from fewshot_film.learners.soft_kmeans import soft_kmeans_logits
from fewshot_film.learners.tim import entropy_slopes
from fewshot_film.learners.transductive import prepared
from tests.reference import transductive as reference

METHODS: dict[str, type[TransductiveLearner]] = {
    config().method: learner for config, learner in LEARNERS.items() if issubclass(learner, TransductiveLearner)
}


class Pixels(nn.Module):
    """The features are the pixels."""

    feature_dim = 6

    def forward(self, images):
        return images.flatten(1)


def task(shots=(2, 1, 3), queries=(4, 2, 3), dim=6, spread=0.6, seed=0):
    """Support set, its members and queries of positive features about one centre per class, and the queries' labels."""
    rng = np.random.default_rng(seed)
    centres = rng.gamma(2.0, size=(len(shots), dim))
    labels, asked = np.repeat(np.arange(len(shots)), shots), np.repeat(np.arange(len(shots)), queries)

    def images(classes):
        return np.abs(centres[classes] + spread * rng.normal(size=(len(classes), dim)))

    return images(labels), np.eye(len(shots))[labels], images(asked), asked


def tensors(*arrays):
    return [torch.tensor(array) for array in arrays]


def skewed_accuracies(learner: TransductiveLearner, queries=(15,) * 5, tasks=60) -> float:
    """Mean accuracy of 5-way 1-shot tasks: positive normal features raised to the power 4, which skews them."""
    generator = torch.Generator().manual_seed(0)
    centres = 1 + 0.5 * torch.randn(tasks, 5, 20, generator=generator)
    asked = torch.repeat_interleave(torch.arange(5), torch.tensor(queries))
    support, query = (
        (centres[:, labels] + 0.6 * torch.randn(tasks, len(labels), 20, generator=generator)).clamp_min(0) ** 4
        for labels in (torch.arange(5), asked)
    )
    logits = learner.classify(support, torch.eye(5).expand(tasks, 5, 5), query)
    return float((logits.argmax(-1) == asked).double().mean())


# what they are made of


@pytest.mark.parametrize("penalty", [1.0, 10.0])
def test_sinkhorn_equals_loops(penalty):
    rng = np.random.default_rng(0)
    cost, rows, columns = rng.uniform(size=(2, 5, 3)), rng.dirichlet(np.ones(5), 2), rng.dirichlet(np.ones(3), 2)
    plans = sinkhorn(*tensors(cost, rows, columns), penalty, tolerance=1e-13).exp().numpy()
    for plan, *inputs in zip(plans, cost, rows, columns, strict=True):
        np.testing.assert_allclose(plan, reference.sinkhorn(*inputs, penalty), rtol=1e-9)


def test_sinkhorn_by_hand():
    """Symmetric costs of 0 and ln 3: the kernel (1, 1/3; 1/3, 1) has equal sums of 4/3 already."""
    cost = np.log(3) * (1 - torch.eye(2, dtype=torch.double))
    ones = torch.ones((), dtype=torch.double)
    expected = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.double)
    torch.testing.assert_close(sinkhorn(cost, ones, ones, 1.0).exp(), expected)


def test_sinkhorn_does_not_underflow():
    """A kernel that is zero in double precision is that of the same costs less a constant."""
    cost, ones = np.random.default_rng(0).uniform(size=(3, 3)), torch.ones((), dtype=torch.double)
    plan = sinkhorn(torch.tensor(cost) + 1000, ones, ones, 5.0, tolerance=1e-10).exp()
    np.testing.assert_allclose(plan.numpy(), reference.sinkhorn(cost, np.ones(3), np.ones(3), 5.0), rtol=1e-7)


def test_sinkhorn_ends():
    """Costs that would take it millions of steps: the row sums are right all the same."""
    cost = torch.tensor([[0.0, 900.0, 1000.0], [1000.0, 2000.0, 900.0], [500.0, 700.0, 0.0]]).double()
    ones = torch.ones(3).double()
    torch.testing.assert_close(sinkhorn(cost, ones, ones, 1.0, max_steps=5).exp().sum(1), ones)


def test_self_transport_equals_loops():
    features = np.stack([task(seed=seed)[2] for seed in range(2)])
    found = self_transport(torch.tensor(features)).numpy()
    for one, expected in zip(found, map(reference.self_transport, features), strict=True):
        np.testing.assert_allclose(one, expected, rtol=2e-2, atol=1e-4)  # Sinkhorn ends at 1e-3 of the sums
        np.testing.assert_array_equal(one, one.T)
        np.testing.assert_array_equal(np.diag(one), 1)


def test_self_transport_tells_clusters_apart():
    """Of two far pairs every image sends all it has to its partner."""
    features = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    expected = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))
    torch.testing.assert_close(self_transport(features), expected, rtol=0, atol=1e-3)


def test_preparation():
    support, _, queries, _ = tensors(*task())
    parts = prepared(support, queries, TransductiveConfig(power=0.5))
    for part, given in zip(parts, (support, queries), strict=True):
        np.testing.assert_allclose(part.numpy(), reference.unit(np.sqrt(given.numpy())))
    rows = [reference.unit(part.numpy()) for part in (support, queries)]
    together = np.concatenate(rows).mean(0)
    means = {"none": (0, 0), "task": (together, together), "sets": [part.mean(0) for part in rows]}
    for centring, (first, second) in means.items():
        found = prepared(support, queries, TransductiveConfig(centring=centring))
        np.testing.assert_allclose(found[0].numpy(), reference.unit(rows[0] - first))
        np.testing.assert_allclose(found[1].numpy(), reference.unit(rows[1] - second))
    found = torch.cat(prepared(support, queries, TransductiveConfig(self_transport=True)))
    torch.testing.assert_close(found, self_transport(torch.cat([support, queries])))


# every method against loops


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_soft_kmeans_equals_loops(steps):
    support, members, queries, _ = task()
    found = soft_kmeans_logits(*tensors(support, members, queries), 2.0, steps)
    expected = reference.soft_kmeans(support, members, queries, 2.0, steps)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_soft_kmeans_by_hand():
    """Two classes at -1 and 1 on a line, a query at each and one between them: shares of nearly 1, nearly 0 and 1/2."""
    support, members = torch.tensor([[-1.0], [1.0]]).double(), torch.eye(2).double()
    queries = torch.tensor([[-1.0], [0.0], [1.0]]).double()
    logits = soft_kmeans_logits(support, members, queries, 100.0, 1)
    # means: (-1 - 1 + 0 / 2) / (1 + 1 + 1 / 2) = -0.8, and 0.8
    expected = -100 * torch.tensor([[0.04, 3.24], [0.64, 0.64], [3.24, 0.04]]).double()
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_pt_map_equals_loops(steps):
    support, members, queries, _ = task()
    rows, asked = reference.unit(np.sqrt(support)), reference.unit(np.sqrt(queries))
    expected = reference.pt_map(rows, members, asked, steps, 0.3, 10.0)
    found = map_assignments(*tensors(rows, members, asked), steps, 0.3, 10.0).exp()
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-2, atol=1e-4)  # Sinkhorn ends at 1e-3 of the sums
    whole = PTMAP(PTMAPConfig(steps=steps, rate=0.3), Pixels()).classify(*tensors(support, members, queries))
    torch.testing.assert_close(whole.exp(), found)


def test_pt_map_by_hand():
    """Two queries at equal costs: each is shared out evenly, and both centres move towards their mean."""
    support, members = torch.tensor([[-1.0], [1.0]]).double(), torch.eye(2).double()
    plan = map_assignments(support, members, torch.zeros(2, 1).double(), 1, 0.5, 10.0)
    torch.testing.assert_close(plan.exp(), torch.full((2, 2), 0.5).double())
    # (-1 + 0) / (1 + 1) = -1/2, half the way there: -3/4; then a query at -3/4 costs 0 and 9/4
    queries = torch.tensor([[-0.75], [0.75]]).double()
    plan = map_assignments(support, members, queries, 0, 0.5, 1.0).exp()
    ratio = np.exp(1.75**2 - 0.25**2)
    torch.testing.assert_close(plan[0, 0] / plan[0, 1], torch.tensor(ratio).double())


def test_pt_map_gives_every_class_its_share():
    support, members, queries, _ = tensors(*task(queries=(6, 2, 1)))
    plan = PTMAP(PTMAPConfig(), Pixels()).classify(support, members, queries).exp()
    torch.testing.assert_close(plan.sum(-1), torch.ones(9).double())
    torch.testing.assert_close(plan.sum(-2), torch.full((3,), 3.0).double(), rtol=2e-3, atol=0)


def test_what_the_parts_of_pt_map_give():
    """The shape of the paper's ablation on skewed features: the power transform helps, and so do the moves."""
    whole = skewed_accuracies(PTMAP(PTMAPConfig(), Pixels()))
    assert whole > skewed_accuracies(PTMAP(PTMAPConfig(power=1.0), Pixels())) + 0.1
    assert whole > skewed_accuracies(PTMAP(PTMAPConfig(steps=0), Pixels())) + 0.1


def test_what_refinement_gives():
    assert skewed_accuracies(SoftKMeans(SoftKMeansConfig(power=0.5, steps=5), Pixels())) > 0.02 + skewed_accuracies(
        SoftKMeans(SoftKMeansConfig(power=0.5, steps=0), Pixels())
    )


def test_bd_cspn_equals_loops():
    support, members, queries, _ = task()
    rows, asked = reference.unit(support), reference.unit(queries)
    found = BDCSPN(BDCSPNConfig(scale=3.0), Pixels()).classify(*tensors(support, members, queries))
    np.testing.assert_allclose(found.numpy(), reference.bd_cspn(rows, members, asked, 3.0), rtol=1e-9)


def test_rectification_by_hand():
    """Queries that are the support set moved by (1, 1) come back to it; one more moves its class mean."""
    support, members = torch.eye(2).double(), torch.eye(2).double()
    means, queries = rectified(support, members, support + 1, 10.0)
    torch.testing.assert_close(queries, support)
    torch.testing.assert_close(means, support)
    queries = torch.tensor([[0.8, 0.6], [0.2, 0.4]], dtype=torch.double)  # their mean is that of the support set
    means, _ = rectified(support, members, queries, 5 * np.log(3))
    # cosines of 1 and 0 give (1, 0) the weight 1 / (1 + 3^-5), those of 0.8 and 0.6 give 1 / (1 + 3^-1)
    first, second = 243 / 244, 3 / 4
    expected = [(first + 0.8 * second) / (first + second), 0.6 * second / (first + second)]
    torch.testing.assert_close(means[0], torch.tensor(expected, dtype=torch.double))


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_laplacian_shot_equals_loops(steps, rectify):
    support, members, queries, _ = task()
    rows, asked = reference.unit(support), reference.unit(queries)
    means = reference.class_means(rows, members)
    if rectify:
        means, asked = reference.rectified(rows, members, asked, 10.0)
    expected = reference.laplacian_shot(reference.squared_distances(asked, means), asked, 2, 0.7, steps)
    config = LaplacianShotConfig(neighbours=2, steps=steps, rectify=rectify)
    found = LaplacianShot(config, Pixels()).classify(*tensors(support, members, queries)).softmax(-1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_laplacian_shot_by_hand():
    """A query between the classes follows its neighbour, which is three times as likely of the first class."""
    log3 = float(np.log(3))
    costs, affinities = torch.tensor([[0.0, log3], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    found = laplacian_logits(costs, affinities, 2.0, 1)
    torch.testing.assert_close(found, torch.tensor([[1.0, 1 - log3], [1.5, 0.5]]))


@pytest.mark.parametrize("neighbours", [2, 20])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99])
def test_label_propagation_equals_loops(alpha, neighbours):
    support, members, queries, _ = task()
    learner = LabelPropagation(LabelPropagationConfig(alpha=alpha, neighbours=neighbours, width=0.3), Pixels())
    found = learner.classify(*tensors(support, members, queries)).exp().numpy()
    images = reference.unit(np.concatenate([support, queries]))
    expected = reference.propagated_labels(images, members, neighbours, alpha, 0.3)
    np.testing.assert_allclose(found, expected.clip(1e-12), rtol=1e-6, atol=1e-12)


def test_label_propagation_by_hand():
    """Two images, one of them labelled, linked to each other alone: F = (1, alpha) / (1 - alpha^2)."""
    support, queries = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[0.8, 0.6]]).double()
    learner = LabelPropagation(LabelPropagationConfig(alpha=0.6), Pixels())
    found = learner.classify(support, torch.ones(1, 1), queries)
    torch.testing.assert_close(found.exp(), torch.tensor([[0.6 / (1 - 0.36)]]).double())


def test_labels_spread_along_chains():
    """Images on a bent line: the last is nearer to the other class's image, and gets the label of its own line."""
    angles = torch.tensor([0.0, 2.2, 0.3, 0.6, 0.9, 1.2, 1.5])  # of two support images, then of a chain from the first
    images = torch.stack([angles.cos(), angles.sin()], 1)
    config = LabelPropagationConfig(neighbours=2, width=0.05)
    logits = LabelPropagation(config, Pixels()).classify(images[:2], torch.eye(2), images[2:])
    assert logits.argmax(1).tolist() == [0] * 5
    assert (images[2:] @ images[:2].T).argmax(1).tolist() == [0, 0, 0, 1, 1]


def test_neighbours_by_hand():
    rows = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    assert neighbours(rows, 1).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert torch.equal(neighbours(rows, 9), 1 - torch.eye(4))
    assert neighbours(rows[:1], 3).tolist() == [[0]]


@pytest.mark.parametrize(
    ("learner", "order"),
    [
        (TIM(temperature=3.0, steps=3, learning_rate=0.01, backbone=Pixels()), 1),
        (AlphaTIM(temperature=3.0, steps=3, learning_rate=0.01, backbone=Pixels()), 2),
        (AlphaTIM(temperature=3.0, steps=3, learning_rate=0.01, alpha=5.0, backbone=Pixels()), 5),
    ],
)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_information_equals_loops(learner, order, mode):
    support, members, queries, _ = task()
    rows, asked = reference.unit(support), reference.unit(queries)
    config = learner.config
    factors = (config.support_weight, config.marginal_weight, config.conditional_weight)
    weights = reference.information_weights((rows, members, asked), order, factors, 3.0, 3, 0.01)
    with mode():
        found = learner.classify(*tensors(support, members, queries))
    np.testing.assert_allclose(found.numpy(), -1.5 * reference.squared_distances(asked, weights), rtol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 7])
def test_slopes_of_the_entropies(order):
    """Along a change that keeps the sum, as the entropies in the loops, by differences."""
    shares, change = np.array([0.2, 0.5, 0.3]), np.array([1.0, -3.0, 2.0]) * 1e-6
    expected = reference.entropy(shares + change, order) - reference.entropy(shares - change, order)
    found = entropy_slopes(torch.tensor(shares), order) @ torch.tensor(2 * change)
    np.testing.assert_allclose(float(found), expected, rtol=1e-6)


def test_published_settings_of_information_maximisation():
    """lambda and alpha are 0.1 in TIM; alpha-TIM is another order of entropy, 2 or 7 by the number of shots."""
    config = TIMConfig()
    assert (config.temperature, config.steps, config.learning_rate) == (15, 1000, 1e-4)
    assert (config.support_weight, config.marginal_weight, config.conditional_weight) == (0.1, 1, 0.1)
    few, many = (tensors(*task(shots=shots))[:3] for shots in ((1, 2, 3), (5, 5, 5)))
    published, *others = (AlphaTIM(alpha=alpha, steps=5, backbone=Pixels()) for alpha in (0, 2, 7))
    for one, same in ((few, others[0]), (many, others[1])):
        torch.testing.assert_close(published.classify(*one), same.classify(*one), rtol=0, atol=0)
    tim = TIM(steps=5, support_weight=1.0, conditional_weight=1.0, backbone=Pixels())
    shannon = AlphaTIM(alpha=1, steps=5, backbone=Pixels())
    torch.testing.assert_close(tim.classify(*few), shannon.classify(*few), rtol=0, atol=0)
    with pytest.raises(ConfigError, match=r"learner.alpha is 0.5; expected 0, or at least 1"):
        AlphaTIMConfig(alpha=0.5)


def test_what_the_terms_of_tim_give():
    """The shape of the paper's ablation: certainty alone lets classes die out, which the marginal entropy prevents."""
    settings = {"power": 0.5, "steps": 100, "learning_rate": 1e-2, "backbone": Pixels()}
    whole, prototypes = skewed_accuracies(TIM(**settings)), skewed_accuracies(TIM(**{**settings, "steps": 0}))
    assert whole > prototypes + 0.05
    assert skewed_accuracies(TIM(**settings, marginal_weight=0.0)) < whole - 0.1


def test_what_alpha_tim_is_for():
    """Unbalanced queries cost it less than what takes them for balanced."""
    settings = {"power": 0.5, "steps": 100, "learning_rate": 1e-2, "backbone": Pixels()}
    losses = {
        name: skewed_accuracies(learner) - skewed_accuracies(learner, queries=(45, 15, 5, 5, 5))
        for name, learner in {
            "alpha": AlphaTIM(**settings), "tim": TIM(**settings), "pt-map": PTMAP(backbone=Pixels())
        }.items()
    }  # fmt: skip
    assert losses["alpha"] < losses["tim"] - 0.02
    assert losses["alpha"] < losses["pt-map"] - 0.1


# all of them


def each():
    return pytest.mark.parametrize(
        "learner",
        [
            pytest.param(
                method(**({"steps": 50, "learning_rate": 1e-2} if "tim" in name else {}), backbone=Pixels()), id=name
            )
            for name, method in METHODS.items()
        ],
    )


@each()
def test_many_tasks_at_once_are_one_by_one(learner):
    tasks = [tensors(*task(seed=seed))[:3] for seed in range(3)]
    together = learner.classify(*(torch.stack(parts) for parts in zip(*tasks, strict=True)))
    for logits, one in zip(together, tasks, strict=True):
        torch.testing.assert_close(logits.softmax(-1), learner.classify(*one).softmax(-1), rtol=1e-2, atol=1e-3)


@each()
@pytest.mark.parametrize("settings", [{}, {"centring": "sets"}, {"centring": "task"}, {"self_transport": True}])
def test_order_of_images_does_not_matter(learner, settings):
    learner = type(learner)(dataclasses.replace(learner.config, **settings), Pixels())
    support, members, queries, _ = tensors(*task())
    expected = learner.classify(support, members, queries)
    order, other = torch.randperm(9), torch.randperm(6)
    found = learner.classify(support[other], members[other], queries[order])
    torch.testing.assert_close(found, expected[order], rtol=1e-3, atol=1e-3)


@each()
def test_queries_inform_each_other(learner):
    support, members, queries, _ = tensors(*task())
    assert learner.transductive
    alone = torch.cat([learner.classify(support, members, query[None]) for query in queries])
    assert not torch.allclose(learner.classify(support, members, queries).softmax(-1), alone.softmax(-1), atol=1e-4)


@each()
def test_easy_tasks_are_solved(learner):
    support, members, queries, labels = task(spread=0.05, queries=(3, 3, 3))
    found = learner.classify(*tensors(support, members, queries)).argmax(-1)
    assert found.tolist() == labels.tolist()


@each()
def test_unusual_tasks(learner):
    """No queries, one query, one class, equal images, half precision: an answer of the right shape, finite."""
    support, members, queries, _ = tensors(*task())
    assert learner.classify(support, members, queries[:0]).shape == (0, 3)
    tasks = [
        (support, members, queries[:1]),
        (support, torch.ones(6, 1), queries),
        (torch.ones(6, 6), members, torch.ones(9, 6)),
        (support.bfloat16(), members, queries.bfloat16()),
        (torch.zeros(6, 6), members, torch.zeros(9, 6)),
    ]
    for one in tasks:
        logits = learner.classify(*one)
        assert logits.shape == (len(one[2]), one[1].shape[1])
        assert logits.isfinite().all()
        assert logits.dtype != torch.bfloat16


@each()
def test_bad_support_is_refused(learner):
    with pytest.raises(SupportError, match=r"features \(2, 6\) and labels \(3,\) do not fit"):
        learner.fit_head(torch.zeros(2, 6), torch.zeros(3, dtype=torch.long))
    with pytest.raises(SupportError, match="the support set is empty"):
        learner.fit_head(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long))


@each()
def test_the_learner_is_its_head_on_features(learner):
    support, _, queries, _ = tensors(*task())
    labels = torch.tensor([7, 7, 4, 9, 9, 9])  # in sorted order: 4, 7, 9
    members = torch.eye(3)[[1, 1, 0, 2, 2, 2]]
    found = learner.adapt(support.view(6, 1, 1, 6), labels)(queries.view(9, 1, 1, 6))
    assert torch.equal(found, learner.classify(support, members, queries))
