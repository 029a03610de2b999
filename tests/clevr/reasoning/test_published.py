from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clevr.config.model import ReasonerConfig
from clevr.questions.batch import QuestionBatch, build_prefix_tree
from clevr.questions.tokens import ANSWER_WORDS, ANSWERS, VOCABULARY
from clevr.reasoning.network import FiLMReasoner
from clevr.reasoning.published import PublishedError, from_published, load_published, read_published, to_published
from clevr.world.world_file import read_world
from tests.conftest import CHECKOUT
from tests.reference.clevr_published_film import answer_logits

QUESTIONS = ["How many red things are there?", "Is there a big cube?", "What color is the small shiny ball?"]
MAPS, BLOCKS, HIDDEN, WORDS = 6, 3, 10, 5


def a_checkpoint(generator: dict[str, Any] | None = None, engine: dict[str, Any] | None = None) -> dict[str, Any]:
    """Random weights by the names and shapes that the authors' code gives them, and the settings to go with them."""
    vocab = {
        "question_token_to_idx": {token: number for number, token in enumerate(VOCABULARY)},
        "answer_token_to_idx": {token: number for number, token in enumerate(ANSWERS)},
        "program_token_to_idx": {"<NULL>": 0, "<START>": 1, "<END>": 2},
    }
    of_generator = {
        "encoder_vocab_size": len(VOCABULARY),
        "wordvec_dim": WORDS,
        "hidden_dim": HIDDEN,
        "rnn_num_layers": 1,
        "parameter_efficient": True,
        "gamma_option": "linear",
        "gamma_baseline": 1,
        "num_modules": BLOCKS,
        "module_dim": MAPS,
        "debug_every": float("inf"),
        **(generator or {}),
    }
    of_engine = {
        "vocab": vocab,
        "feature_dim": (7, 4, 4),
        "stem_num_layers": 1,
        "stem_batchnorm": True,
        "stem_kernel_size": 3,
        "stem_stride": 1,
        "num_modules": BLOCKS,
        "module_dim": MAPS,
        "module_residual": True,
        "module_batchnorm": True,
        "module_batchnorm_affine": False,
        "module_input_proj": 1,
        "module_kernel_size": 3,
        "classifier_proj_dim": 8,
        "classifier_downsample": "maxpoolfull",
        "classifier_fc_layers": (9,),
        "classifier_batchnorm": True,
        "classifier_dropout": 0,
        "condition_method": "bn-film",
        "condition_pattern": (1,) * BLOCKS,
        "use_coords": 1,
        **(engine or {}),
    }
    return {
        "args": {"model_type": "FiLM", "learning_rate": 3e-4},
        "program_generator_kwargs": of_generator,
        "program_generator_state": _generator_state(of_generator),
        "execution_engine_kwargs": of_engine,
        "execution_engine_state": _engine_state(of_engine),
        "vocab": vocab,
        "baseline_state": None,
        "best_val_acc": 0.97,
    }


def _generator_state(settings: dict[str, Any]) -> dict[str, Tensor]:
    per_block = 2 * MAPS if settings["parameter_efficient"] else 4 * MAPS + 2 * BLOCKS
    shapes = {
        "encoder_embed.weight": (settings["encoder_vocab_size"], WORDS),
        "encoder_rnn.weight_ih_l0": (3 * HIDDEN, WORDS),
        "encoder_rnn.weight_hh_l0": (3 * HIDDEN, HIDDEN),
        "encoder_rnn.bias_ih_l0": (3 * HIDDEN,),
        "encoder_rnn.bias_hh_l0": (3 * HIDDEN,),
        "decoder_linear.weight": (BLOCKS * per_block, HIDDEN),
        "decoder_linear.bias": (BLOCKS * per_block,),
    }
    return _random(shapes)


def _engine_state(settings: dict[str, Any]) -> dict[str, Tensor]:
    coords, kernel = 2 * settings["use_coords"], settings["module_kernel_size"]
    shapes: dict[str, tuple[int, ...]] = {"stem.0.weight": (MAPS, 7 + coords, 3, 3), "stem.0.bias": (MAPS,)}
    shapes |= _norm("stem.1", MAPS)
    for block in range(BLOCKS):
        shapes |= {f"{block}.input_proj.weight": (MAPS, MAPS + coords, 1, 1), f"{block}.input_proj.bias": (MAPS,)}
        shapes |= {f"{block}.conv1.weight": (MAPS, MAPS, kernel, kernel), f"{block}.conv1.bias": (MAPS,)}
        if settings["module_batchnorm"]:
            shapes |= {f"{block}.bn1.running_mean": (MAPS,), f"{block}.bn1.running_var": (MAPS,)}
    last = "classifier.9" if settings["classifier_dropout"] else "classifier.8"
    shapes |= {"classifier.0.weight": (8, MAPS + coords, 1, 1), "classifier.0.bias": (8,), **_norm("classifier.1", 8)}
    shapes |= {"classifier.5.weight": (9, 8), "classifier.5.bias": (9,), **_norm("classifier.6", 9)}
    return _random({**shapes, f"{last}.weight": (len(ANSWERS), 9), f"{last}.bias": (len(ANSWERS),)})


def _norm(name: str, maps: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (maps,) for part in ("weight", "bias", "running_mean", "running_var")}


def _random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    state = {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: value.abs() + 0.5 if name.endswith("running_var") else value for name, value in state.items()}


def features() -> Tensor:
    return torch.randn(2, 7, 4, 4, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def ours(reasoner: FiLMReasoner) -> Tensor:
    questions = [reasoner.vocabulary.encode(text) for text in QUESTIONS]
    return reasoner(QuestionBatch(features(), torch.tensor([0, 1, 1]), build_prefix_tree(questions)))


def theirs(checkpoint: dict[str, Any]) -> Tensor:
    """Logits of our 28 answers."""
    numbers = checkpoint["vocab"]["question_token_to_idx"]
    words = [["<START>", *text.removesuffix("?").split(), "<END>"] for text in QUESTIONS]
    questions = [[numbers[word] for word in text] for text in words]
    logits = answer_logits(checkpoint, questions, features()[torch.tensor([0, 1, 1])])
    rows = [checkpoint["vocab"]["answer_token_to_idx"][word] for word in ANSWER_WORDS]
    return logits[:, rows].float()


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the paper's": ({}, {}),
    "older, with rows that nothing reads": ({"parameter_efficient": False}, {}),
    "another baseline of gamma": ({"gamma_baseline": 0.3}, {}),
    "sigmoid": ({"gamma_option": "sigmoid", "gamma_baseline": 0}, {}),
    "tanh": ({"gamma_option": "tanh", "gamma_baseline": 0}, {}),
    "exp": ({"gamma_option": "exp", "gamma_baseline": 0}, {}),
    "without gamma": ({}, {"use_gamma": False}),
    "without beta": ({}, {"use_beta": False}),
    "without coordinates": ({}, {"use_coords": 0}),
    "without residual": ({}, {"module_residual": False}),
    "without BatchNorm": ({}, {"module_batchnorm": False}),
    "1x1 convolutions": ({}, {"module_kernel_size": 1}),
    "FiLM behind the convolution": ({}, {"condition_method": "conv-film"}),
    "FiLM behind the ReLU": ({}, {"condition_method": "relu-film"}),
    "FiLM behind the sum": ({}, {"condition_method": "block-output-film"}),
    "FiLM on the input": ({}, {"condition_method": "block-input-film"}),
    "dropout in the classifier": ({}, {"classifier_dropout": 0.5}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_theirs_as_ours(variant: str) -> None:
    checkpoint = a_checkpoint(*VARIANTS[variant])
    torch.testing.assert_close(ours(from_published(checkpoint)), theirs(checkpoint), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "dropout in the classifier"])
def test_ours_as_theirs_and_back(variant: str) -> None:
    reasoner = from_published(a_checkpoint(*VARIANTS[variant]))
    exported = to_published(reasoner)
    torch.testing.assert_close(theirs(exported), ours(reasoner), rtol=1e-4, atol=1e-4)
    again = from_published(exported)
    assert again.config == reasoner.config
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in reasoner.state_dict().items())


def test_the_special_answers_never_win() -> None:
    exported = to_published(from_published(a_checkpoint()))
    numbers = [[1, 15, 40, 2]]
    assert answer_logits(exported, numbers, features()[:1]).argmax(1).item() >= 4


def test_the_paper_s_size() -> None:
    """The names and shapes of film.pt: 93 tokens, 32 answers, 1024 maps of features."""
    config = ReasonerConfig(
        inputs="features", width=14, height=14, input_maps=1024, trunk_maps=(), trunk_kernel=3, trunk_stride=1
    )
    exported = to_published(FiLMReasoner(config))
    shapes = {
        **{name: tuple(value.shape) for name, value in exported["program_generator_state"].items()},
        **{name: tuple(value.shape) for name, value in exported["execution_engine_state"].items()},
    }
    expected = {
        "encoder_embed.weight": (93, 200),
        "encoder_rnn.weight_hh_l0": (12288, 4096),
        "decoder_linear.weight": (1024, 4096),
        "stem.0.weight": (128, 1026, 3, 3),
        "3.input_proj.weight": (128, 130, 1, 1),
        "3.conv1.weight": (128, 128, 3, 3),
        "3.bn1.running_var": (128,),
        "classifier.0.weight": (512, 130, 1, 1),
        "classifier.5.weight": (1024, 512),
        "classifier.8.weight": (32, 1024),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert len(shapes) == 7 + 6 + 4 * 6 + 6 + 6 + 2


def test_another_order_of_tokens_and_answers() -> None:
    checkpoint = a_checkpoint()
    vocab = checkpoint["vocab"]
    for part in ("question_token_to_idx", "answer_token_to_idx"):
        count = len(vocab[part])
        vocab[part] = {token: (number * 7 + 3) % count for token, number in vocab[part].items()}
    reasoner = from_published(checkpoint)
    assert reasoner.vocabulary.tokens[3] == "<NULL>"
    torch.testing.assert_close(ours(reasoner), theirs(checkpoint), rtol=1e-4, atol=1e-4)


def test_from_the_file(tmp_path: Path) -> None:
    checkpoint = a_checkpoint()
    torch.save(checkpoint, tmp_path / "film.pt")
    torch.save(checkpoint, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    for name in ("film.pt", "legacy.pt"):
        reasoner = load_published(tmp_path / name)
        assert not reasoner.training
        torch.testing.assert_close(ours(reasoner), theirs(checkpoint), rtol=1e-4, atol=1e-4)


def test_a_vocabulary_beside_the_file(tmp_path: Path) -> None:
    checkpoint = a_checkpoint()
    vocab = checkpoint.pop("vocab")
    checkpoint["execution_engine_kwargs"].pop("vocab")
    torch.save(checkpoint, tmp_path / "film.pt")
    with pytest.raises(PublishedError, match="no vocabulary with 'question_token_to_idx'; give the vocab"):
        load_published(tmp_path / "film.pt")
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    found = ours(load_published(tmp_path / "film.pt", tmp_path / "vocab.json"))
    torch.testing.assert_close(found, theirs({**checkpoint, "vocab": vocab}), rtol=1e-4, atol=1e-4)
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(PublishedError, match="is not JSON"):
        load_published(tmp_path / "film.pt", tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("generator", "engine", "message"),
    [
        ({"encoder_type": "lstm"}, {}, "a question encoder other than a GRU"),
        ({"bidirectional": True}, {}, "a bidirectional question encoder"),
        ({"gamma_option": "exp"}, {}, "gamma as exp plus 1"),
        ({}, {"condition_method": "concat"}, "the conditioning concat"),
        ({}, {"condition_pattern": (1, 0, 1)}, r"FiLM in some blocks alone \(\(1, 0, 1\)\)"),
        ({}, {"module_batchnorm_affine": True}, "BatchNorm's own scale before FiLM"),
        ({}, {"stem_stride": 2}, "a trunk from pixels, which does not normalise them as ours does"),
        ({}, {"stem_stride2_freq": 1}, "a trunk from pixels"),
        ({}, {"stem_num_layers": 2}, "a trunk of 2 convolutions"),
        ({}, {"classifier_downsample": "maxpool2"}, "the pooling maxpool2"),
    ],
)
def test_variants_without_an_equal(generator: dict[str, Any], engine: dict[str, Any], message: str) -> None:
    with pytest.raises(PublishedError, match=f"the checkpoint has {message}.*; this variant is not supported"):
        from_published(a_checkpoint(generator, engine))


def test_models_that_theirs_cannot_be() -> None:
    small = {"maps": 4, "hidden_dim": 4, "width": 32, "height": 32, "trunk_maps": (4,)}
    with pytest.raises(PublishedError, match="it reads pixels, and it has more than one convolution in its trunk"):
        to_published(FiLMReasoner(ReasonerConfig(**small)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"question_code": "mean"}, "reads a question by more than the last state of its GRU"),
        ({"context": True}, "has blocks that see a summary of the image"),
        ({"positions": 4, "block_kernel": 1}, "keeps some positions of the trunk's maps"),
        ({"pooling": "max_mean"}, "pools means, too"),
        ({"trunk_fine_blocks": 1}, "has residual blocks in its trunk"),
        ({"trunk_width": 5}, "has a trunk of another width"),
    ],
)
def test_what_their_code_lacks(changes: dict[str, Any], problem: str) -> None:
    config = dataclasses.replace(from_published(a_checkpoint()).config, **changes)
    with pytest.raises(PublishedError, match=f"cannot represent this model: it {problem}$"):
        to_published(FiLMReasoner(config))


def test_answers_that_their_code_lacks() -> None:
    config = dataclasses.replace(from_published(a_checkpoint()).config, vocabulary=())
    with pytest.raises(PublishedError, match=r"cannot represent this model: it answers about another world$"):
        to_published(FiLMReasoner(config, read_world(CHECKOUT / "examples" / "harbour" / "world.yaml")))


class _Harmful:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PublishedError, match=r"no checkpoint .*film\.pt; expected film\.pt of https"):
        read_published(tmp_path / "film.pt")
    for content in (b"text", pickle.dumps(_Harmful())):
        (tmp_path / "film.pt").write_bytes(content)
        with pytest.raises(PublishedError, match=r"cannot be read as a checkpoint .* nothing in it was run"):
            read_published(tmp_path / "film.pt")
    assert capsys.readouterr().out == ""
    torch.save([1], tmp_path / "film.pt")
    with pytest.raises(PublishedError, match="holds a list; expected the dict"):
        read_published(tmp_path / "film.pt")
    with pytest.raises(PublishedError, match=r"has no program_generator_kwargs, .* \(it has a\); expected one"):
        from_published({"a": 1})


def test_damaged_checkpoints() -> None:
    lacking = a_checkpoint()
    del lacking["execution_engine_state"]["1.conv1.bias"]
    with pytest.raises(PublishedError, match=r"do not fit its settings: without blocks\.1\.conv\.bias"):
        from_published(lacking)
    shape = a_checkpoint()
    shape["execution_engine_kwargs"]["classifier_fc_layers"] = (5,)
    with pytest.raises(PublishedError, match=r"classifier\.answer\.0\.weight is \(9, 8\), expected \(5, 8\)"):
        from_published(shape)
    words = a_checkpoint()
    del words["vocab"]["answer_token_to_idx"]["yes"]
    with pytest.raises(PublishedError, match="lacks 1 of CLEVR's answers, such as 'yes'"):
        from_published(words)
    holes = a_checkpoint()
    holes["vocab"]["question_token_to_idx"]["Are"] = 500
    with pytest.raises(PublishedError, match="93 question tokens are not numbered 0, 1, 2 and so on"):
        from_published(holes)
