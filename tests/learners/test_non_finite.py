"""NaN and infinity end in an error that says where they come from, whatever the method."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fewshot_film.classifier import FewShotClassifier
from fewshot_film.errors import UserError
from fewshot_film.learners import build_learner
from fewshot_film.learners.registry import CONFIGS
from fewshot_film.learners.support import NonFiniteFeaturesError, check_finite
from tests.extras import needs_learn2learn
from tests.learners.small import SMALL

METHODS = [
    pytest.param(name, marks=needs_learn2learn) if name in ("maml", "anil", "meta-sgd") else name for name in CONFIGS
]


def small(method: str):
    config = CONFIGS[method](backbone=SMALL.backbone)
    fields = {field.name for field in dataclasses.fields(config)}
    fewer = {"set_encoder_layers": 2, "code_dim": 8, "steps": 2, "epochs": 2, "inner_steps": 1}
    torch.manual_seed(0)
    return build_learner(dataclasses.replace(config, **{key: fewer[key] for key in fewer.keys() & fields})).eval()


def task():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(9, 1, 16, 16, generator=generator)
    return images[:6], torch.tensor([0, 1, 2, 0, 1, 2]), images[6:]


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_finite(method):
    learner = small(method)
    support, labels, query = task()
    with torch.no_grad():
        assert learner.adapt(support, labels)(query).isfinite().all()
        next(learner.backbone.parameters()).fill_(torch.nan)
        with pytest.raises(NonFiniteFeaturesError, match=r"image.* 0, 1, 2.*; their pixels are finite, so the network"):
            learner.adapt(support, labels)(query)


@pytest.mark.parametrize("method", METHODS)
def test_a_query_image_that_is_not_finite(method):
    learner = small(method)
    support, labels, query = task()
    query[1, 0, 3, 3] = torch.inf
    with torch.no_grad(), pytest.raises(NonFiniteFeaturesError, match=r"^query image.* 1 .* the pixels themselves"):
        learner.adapt(support, labels)(query)


@pytest.mark.parametrize("method", METHODS)
def test_a_support_image_that_is_not_finite(method):
    support, labels, query = task()
    support[4, 0, 0, 0] = torch.nan
    with torch.no_grad(), pytest.raises(NonFiniteFeaturesError, match=r"^support image 4 .* the pixels themselves"):
        small(method).adapt(support, labels)(query)


def test_the_error_is_the_users_and_a_value_error():
    assert issubclass(NonFiniteFeaturesError, UserError)
    assert issubclass(NonFiniteFeaturesError, ValueError)


def test_finite_numbers_with_an_infinite_sum_are_no_fault():
    check_finite(torch.full((4, 2), 3e38), "image")
    with pytest.raises(NonFiniteFeaturesError, match=r"images 0, 1, .*, 9 and 2 more \(of 12\)"):
        check_finite(torch.full((12, 1), torch.nan), "image")


@pytest.mark.parametrize("method", ["simple-cnaps", "prototypes", "lda"])
def test_the_classifier_refuses_a_network_that_makes_nan(method):
    learner = small(method)
    pixels = np.zeros((4, 16, 16, 1), np.uint8)
    pixels[2:] = 200
    classifier = FewShotClassifier(learner, device="cpu").fit(pixels, ["a", "a", "b", "b"])
    next(learner.backbone.parameters()).data.fill_(torch.nan)
    with pytest.raises(NonFiniteFeaturesError, match="the network's weights are the cause"):
        FewShotClassifier(learner, device="cpu").fit(pixels, ["a", "a", "b", "b"])
    assert classifier.predict(pixels).tolist() == ["a", "a", "b", "b"]


def test_a_head_whose_own_weights_are_not_finite():
    learner = small("cnaps")
    for parameter in learner.classifier_generator.parameters():
        parameter.data.fill_(torch.nan)
    pixels = np.zeros((4, 16, 16, 1), np.uint8)
    with pytest.raises(
        NonFiniteFeaturesError, match="the head computed NaN from finite features, so the model's weights"
    ):
        FewShotClassifier(learner, device="cpu").fit(pixels, ["a", "a", "b", "b"])
