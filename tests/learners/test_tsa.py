"""TSA: adapters are 1 x 1 convolutions beside those of the network, and learning them helps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fewshot_film.errors import ConfigError
from fewshot_film.learners import TSA, URL, SupportError
from fewshot_film.learners.tsa import START
from tests.learners.small import SMALL, noisy_classes

LABELS = torch.tensor([4, 1, 4, 1, 7])


def learner(**settings) -> TSA:
    torch.manual_seed(0)
    return TSA(backbone=SMALL.backbone, **settings).eval()


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_an_adapter_is_a_convolution_beside_the_other():
    """The same features by a hook on every convolution that adds a 1 x 1 one."""
    tsa = learner().double()
    generator = torch.Generator().manual_seed(0)
    adapters = {
        name: torch.randn(conv.out_channels, conv.in_channels, generator=generator).double()
        for name, conv in tsa._adapted.items()
    }
    assert len(adapters) == 4
    pixels = images(3).double()
    found = torch.func.functional_call(tsa.backbone, tsa._weights(adapters), (pixels,))

    def beside(conv, inputs, output, adapter):
        return output + F.conv2d(inputs[0], adapter[:, :, None, None], stride=conv.stride)

    for name, adapter in adapters.items():
        tsa._adapted[name].register_forward_hook(
            lambda conv, inputs, output, adapter=adapter: beside(conv, inputs, output, adapter)
        )
    torch.testing.assert_close(found, tsa.backbone(pixels))


def steps_written_out(tsa: TSA, support: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Adadelta by its equations, the gradients by autograd: adapters, and the map."""
    values = [
        (START * torch.eye(conv.out_channels, conv.in_channels)).double().requires_grad_()
        for conv in tsa._adapted.values()
    ]
    values.append(torch.eye(tsa.backbone.feature_dim).double().requires_grad_())
    squares, moves = ([torch.zeros_like(value) for value in values] for _ in range(2))
    rates = [0.5] * (len(values) - 1) + [1.0]
    for _ in range(3):
        weights = tsa._weights(dict(zip(tsa._adapted, values[:-1], strict=True)))
        rows = torch.func.functional_call(tsa.backbone, weights, (support,)) @ values[-1].T
        means = torch.stack([rows[label == LABELS].mean(0) for label in (1, 4, 7)])
        cosines = torch.stack([torch.cosine_similarity(rows, mean[None]) for mean in means], 1)
        chosen = torch.tensor([1, 0, 1, 0, 2])
        loss = -(10 * cosines).log_softmax(1)[torch.arange(5), chosen].mean()
        for index, gradient in enumerate(torch.autograd.grad(loss, values)):
            squares[index] = 0.9 * squares[index] + 0.1 * gradient**2
            move = ((moves[index] + 1e-6) / (squares[index] + 1e-6)).sqrt() * gradient
            moves[index] = 0.9 * moves[index] + 0.1 * move**2
            values[index] = (values[index] - rates[index] * move).detach().requires_grad_()
    return values[:-1], values[-1]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_steps_equal_those_written_out(mode):
    tsa, support, queries = learner(steps=3).double(), images(5).double(), images(4, seed=1).double()
    adapters, mapping = steps_written_out(tsa, support)
    with mode():
        found = tsa.adapt(support, LABELS)(queries)
    weights = tsa._weights(dict(zip(tsa._adapted, adapters, strict=True)))
    rows, asked = (
        torch.func.functional_call(tsa.backbone, weights, (each,)) @ mapping.T for each in (support, queries)
    )
    means = torch.stack([rows[label == LABELS].mean(0) for label in (1, 4, 7)])
    expected = torch.stack([10 * torch.cosine_similarity(asked, mean[None]) for mean in means], 1)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-8)


def test_without_steps_it_is_about_url_without_steps():
    torch.manual_seed(0)
    url = URL(backbone=SMALL.backbone, steps=0).eval()
    found = learner(steps=0).adapt(images(5), LABELS)(images(3, seed=1))
    torch.testing.assert_close(found, url.adapt(images(5), LABELS)(images(3, seed=1)), rtol=0, atol=0.02)


def test_the_network_is_left_as_it_was():
    tsa = learner(steps=2)
    before = {name: value.clone() for name, value in tsa.state_dict().items()}
    tsa.adapt(images(5), LABELS)(images(3))
    for name, value in tsa.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(parameter.grad is not None for parameter in tsa.parameters())


def test_what_adapters_give():
    """On a network that was never trained, adapters find what a map of its features alone does not: the paper's gap
    between both is larger the farther a task is from the network's home.
    """
    data = noisy_classes(num_classes=4, per_class=25, noise=90.0)
    pixels = data.get(range(len(data))).float() / 255
    labels = torch.from_numpy(data.labels)
    support = torch.arange(len(labels)) % 25 < 5

    def accuracy(method) -> float:
        torch.manual_seed(0)
        one = method(backbone=SMALL.backbone).eval()
        logits = one.adapt(pixels[support], labels[support])(pixels[~support])
        return float((logits.argmax(1) == labels[~support]).double().mean())

    assert accuracy(TSA) > accuracy(URL) + 0.05


def test_a_network_without_such_convolutions_is_refused():
    with pytest.raises(ConfigError, match=r"learner.convolutions is middle\.\*; expected .* but there is none of that"):
        learner(convolutions=("middle.*",))
    with pytest.raises(ConfigError, match=r"there is layer1.0.shortcut.*among them|none of that name"):
        learner(convolutions=("*shortcut*",))


def test_no_support_is_refused():
    with pytest.raises(SupportError, match="the support set is empty"):
        learner().adapt(images(5)[:0], LABELS[:0])
