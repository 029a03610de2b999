from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from benchmarks.clevr_speed import PlainReasoner
from clevr.config.model import ReasonerConfig, TrainConfig
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import Vocabulary
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.errors import ConfigError
from fewshot_film.film import Modulation
from fewshot_film.run.parsing import parse
from tests.clevr.models import SMALL, a_batch, a_fresh_reasoner
from tests.conftest import CHECKOUT


def paper(name: str) -> ReasonerConfig:
    """The network of one of the files in ``configs/clevr``."""
    config: TrainConfig = parse("test", TrainConfig, [f"--config={CHECKOUT / 'configs/clevr' / name}.yaml"])
    return config.model


FEATURES = paper("film-features")
PIXELS = paper("film-pixels")


def num_parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class TestPaperSize:
    """The numbers of parameters that follow from the paper's description."""

    def test_from_features(self) -> None:
        with torch.device("meta"):
            network = FiLMReasoner(FEATURES)
        parts = {name: num_parameters(part) for name, part in network.named_children()}
        assert parts == {
            "questions": 18_600 + 52_813_824,
            "generator": 4_195_328,
            "trunk": 1_182_336,
            "blocks": 657_408,
            "classifier": 624_156,
        }
        assert num_parameters(network) == 59_491_652

    def test_from_pixels(self) -> None:
        convolutions = (3 * 16 * 128 + 128) + 3 * (128 * 16 * 128 + 128) + 4 * 2 * 128
        with torch.device("meta"):
            network = FiLMReasoner(PIXELS)
        assert num_parameters(network.trunk) == convolutions
        assert num_parameters(network) == 59_491_652 - 1_182_336 + convolutions
        assert ReasonerConfig() == PIXELS, "the defaults are the paper's"

    @pytest.mark.parametrize("config", [PIXELS, FEATURES], ids=["pixels", "features"])
    def test_a_training_step(self, config: ReasonerConfig) -> None:
        network = FiLMReasoner(config)
        shape = (2, config.input_maps, config.height, config.width)
        pictures = torch.randint(0, 256, shape, dtype=torch.uint8) if config.inputs == "pixels" else torch.rand(shape)
        tree = build_prefix_tree([Vocabulary().encode("How many red things are there?")] * 3)
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-4, weight_decay=1e-5)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        logits = network(QuestionBatch(pictures, torch.tensor([0, 1, 1]), tree))
        assert logits.shape == (3, 28)
        F.cross_entropy(logits, torch.tensor([4, 5, 6])).backward()
        optimizer.step()
        moved = [not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)]
        names = [name for name, _ in network.named_parameters()]
        assert {name for name, did in zip(names, moved, strict=True) if not did} == set()


class TestAgainstThePlainOne:
    """Grouped images, the tree of questions and the implicit pooling change nothing."""

    @pytest.mark.parametrize("per_picture", [[2, 2, 2], [1], [1, 4, 2]])
    def test_evaluation(self, per_picture: list[int]) -> None:
        network = a_fresh_reasoner().eval()
        asked, questions = a_batch(per_picture)
        expected = PlainReasoner(network).eval()(asked.images[asked.image], questions)
        torch.testing.assert_close(network(asked), expected, rtol=1e-11, atol=1e-11)

    def test_training_loss_gradients_and_running_statistics(self) -> None:
        network = a_fresh_reasoner()
        plain = PlainReasoner(network)
        asked, questions = a_batch([3, 3])
        answers = asked.answers
        assert answers is not None
        ours = F.cross_entropy(network(asked), answers)
        theirs = F.cross_entropy(plain(asked.images[asked.image], questions), answers)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        ours.backward()
        theirs.backward()
        others = dict(plain.named_parameters())
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None
            expected = others[name.removeprefix("questions.")].grad
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-11)
        buffers = dict(plain.named_buffers())
        for name, buffer in network.named_buffers():
            if not name.startswith("trunk"):  # there each image counts once, not once a question
                torch.testing.assert_close(buffer, buffers[name], rtol=1e-10, atol=1e-12)


class TestProperties:
    def test_identity_modulation_leaves_a_plain_residual_network(self) -> None:
        network = a_fresh_reasoner().eval()
        asked, _ = a_batch([2])
        maps = network.encode_image(asked.images)
        identity = network.sites.identity(2, dtype=torch.float64)
        found = network.reason(maps, asked.image, identity)
        x = maps[asked.image]
        for block in network.blocks:
            first = F.relu(block.entry(_with_coordinates(x)))
            x = first + F.relu(block.norm(block.conv(first)))
        torch.testing.assert_close(found, x, rtol=1e-11, atol=1e-11)

    def test_questions_about_a_picture_do_not_see_each_other(self) -> None:
        network = a_fresh_reasoner().eval()
        asked, questions = a_batch([3])
        alone = [
            network(QuestionBatch(asked.images, torch.tensor([0]), build_prefix_tree([question])))
            for question in questions
        ]
        torch.testing.assert_close(network(asked), torch.cat(alone), rtol=1e-11, atol=1e-11)

    def test_the_winning_positions_are_where_the_responses_are_largest(self) -> None:
        network = a_fresh_reasoner().eval()
        asked, _ = a_batch([1, 2])
        codes = network.questions(asked.tree)
        last = network.reason(network.encode_image(asked.images), asked.image, network.modulations(codes))
        responses = network.classifier.norm(network.classifier.conv(_with_coordinates(last))).flatten(2)
        strongest, positions = network.classifier.pool(last)
        torch.testing.assert_close(strongest, F.relu(responses.amax(2)))
        assert torch.equal(positions, responses.argmax(2))


def _with_coordinates(x: torch.Tensor) -> torch.Tensor:
    columns = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype).expand(len(x), 1, *x.shape[2:])
    rows = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype)[:, None].expand(len(x), 1, *x.shape[2:])
    return torch.cat([x, columns, rows], 1)


ABLATIONS: list[dict[str, Any]] = [
    {"gamma": "one"},
    {"gamma": "sigmoid"},
    {"gamma": "tanh"},
    {"gamma": "exp"},
    {"beta": "zero"},
    {"film_position": "conv"},
    {"film_position": "relu"},
    {"film_position": "residual"},
    {"film_position": "input"},
    {"film_blocks": 0},
    {"film_blocks": 2},
    {"residual": False},
    {"coordinates": False},
    {"batch_norm": False},
    {"blocks": 1},
    {"block_kernel": 1},
    {"generator_init": "zero"},
    {"question_code": "mean"},
    {"question_code": "attention", "question_heads": 4},
    {"context": True},
    {"pooling": "max_mean"},
    {"positions": 5, "block_kernel": 1, "context": True},
    {"conditioning": "concatenation"},
    {"conditioning": "none"},
    {"trunk_stride": 1, "trunk_kernel": 3},
]


class TestAblations:
    @pytest.mark.parametrize("changes", ABLATIONS, ids=str)
    def test_every_ablation_of_the_paper_learns(self, changes: dict[str, Any]) -> None:
        """All parameters get a gradient, and whether the question matters is as the ablation says."""
        network = a_fresh_reasoner(**changes)
        asked, _ = a_batch([2, 2])
        F.cross_entropy(network(asked), torch.tensor([0, 1, 2, 3])).backward()
        idle = {name.split(".")[0] for name, value in network.named_parameters() if value.grad is None}
        is_deaf = changes.get("conditioning") == "none" or changes.get("film_blocks") == 0
        assert idle == ({"questions"} if is_deaf else set())
        network.eval()
        maps = network.encode_image(asked.images)
        one, other = (network.answer(maps, torch.tensor([0]), code.view(1, -1)) for code in torch.eye(16).double()[:2])
        assert torch.equal(one, other) == (is_deaf or changes.get("generator_init") == "zero")

    @pytest.mark.parametrize(
        ("option", "low", "high"), [("sigmoid", 0.0, 1.0), ("tanh", -1.0, 1.0), ("exp", 0.0, float("inf"))]
    )
    def test_gamma_stays_in_its_range(self, option: str, low: float, high: float) -> None:
        network = a_fresh_reasoner(gamma=option)
        gamma, _ = network.modulations(100 * torch.randn(5, 16).double())["blocks.0"]
        assert low <= gamma.min()
        assert gamma.max() <= high

    def test_beta_only_and_gamma_only(self) -> None:
        code = torch.randn(3, 16).double()
        only_beta: Modulation = a_fresh_reasoner(gamma="one").modulations(code)["blocks.1"]
        only_gamma: Modulation = a_fresh_reasoner(beta="zero").modulations(code)["blocks.1"]
        assert torch.equal(only_beta.gamma, torch.ones(3, 8).double())
        assert torch.equal(only_gamma.beta, torch.zeros(3, 8).double())
        assert not torch.equal(only_beta.beta, torch.zeros(3, 8).double())

    def test_joining_the_code_to_the_input_of_the_first_convolution(self) -> None:
        """A 1x1 convolution over maps, coordinates and the code as constant maps, as one would write it."""
        network = a_fresh_reasoner(conditioning="concatenation", blocks=1).eval()
        assert network.concat_projection is not None
        asked, _ = a_batch([1])
        code = torch.randn(1, 16).double()
        maps = network.encode_image(asked.images)
        block = network.blocks[0]
        constant = code[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        weight = torch.cat([block.entry.weight, network.concat_projection.weight[:, :, None, None]], 1)
        first = F.relu(F.conv2d(torch.cat([_with_coordinates(maps), constant], 1), weight, block.entry.bias))
        expected = first + F.relu(block.norm(block.conv(first)))
        found = network.reason(maps, asked.image, {}, code)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
        with pytest.raises(ValueError, match="reads the codes of the questions; pass codes"):
            network.reason(maps, asked.image, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": 0}, r"model.maps is 0; expected at least 1"),
        ({"trunk_blocks": -1}, r"model.trunk_blocks is -1; expected a number from 0 to 1000"),
        ({"trunk_maps": (8, 0)}, r"model.trunk_maps is \[8, 0\]; expected at least 1"),
        ({"block_kernel": 2}, r"model.block_kernel is 2; expected an odd number"),
        ({"film_blocks": 5}, r"model.film_blocks is 5; expected 0 to 4, or null"),
        ({"gamma": "one", "beta": "zero"}, r"nothing is left of FiLM"),
        ({"width": 32, "height": 3}, r"are 32 and 3, which the trunk's 2 convolutions of stride 2 bring to nothing"),
    ],
)
def test_settings_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_half_precision_trains() -> None:
    """Under autocast loss and gradients stay near those in 32 bits."""
    network = a_fresh_reasoner().float()
    asked, _ = a_batch([3, 3])
    assert asked.answers is not None
    gradients = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = F.cross_entropy(network(asked).float(), asked.answers)
        loss.backward()
        gradients.append(torch.cat([value.grad.flatten() for value in network.parameters() if value.grad is not None]))
    assert F.cosine_similarity(*gradients, dim=0) > 0.9
