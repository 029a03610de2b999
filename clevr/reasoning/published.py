"""Checkpoints of the FiLM authors' code, ``film.pt``, as our model, and back.

What the file holds (https://github.com/ethanjperez/film, ``scripts/train_model.py``): a dict with
``program_generator_kwargs`` and ``_state`` (question to gamma and beta), ``execution_engine_kwargs`` and ``_state``
(image to answer), and ``vocab``. The names, with ``i`` the number of a block:

================================  ==========================  =================================================
theirs                            ours                        remark
================================  ==========================  =================================================
program generator
``encoder_embed``                 ``questions.words``         rows in the order of their question tokens
``encoder_rnn.*_l0``              ``questions.gru.*_l0``      both torch's GRU: reset, update, new
``decoder_linear``                ``generator.linear``        block after block, gamma before beta; older files
                                                              have further rows behind those, which nothing reads
execution engine
``stem.0``, ``stem.1``            trunk's convolution, norm   the features come before the coordinate maps
``i.input_proj``                  ``blocks.i.entry``
``i.conv1``                       ``blocks.i.conv``
``i.bn1``                         ``blocks.i.norm``           without scale and shift where FiLM follows
``classifier.0``, ``.1``          ``classifier.conv, .norm``
``classifier.5``, ``.6``          ``classifier.answer.0, .1``
``classifier.8`` (or ``.9``)      ``classifier.answer.3``     their 32 rows begin with four special tokens, and
                                                              are in the order of their answers; ``.9`` where they
                                                              have dropout
================================  ==========================  =================================================

Their gamma is ``option(r) + gamma_baseline``; ours ``1 + r``, or ``option(r)``. Another baseline than 1 of a linear
gamma goes into the generator's bias. BatchNorm's counters are missing in files of old torch and unimportant.

Their model from pixels reads images in [0, 1], ours normalised ones; with zeros around the image no change of
weights makes the two equal, so it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clevr.config.model import FilmPosition, GammaOption, ReasonerConfig
from clevr.questions.tokens import ANSWER_WORDS, ANSWERS, SPECIAL_TOKENS
from clevr.reasoning.network import FiLMReasoner
from fewshot_film.errors import UserError
from fewshot_film.run.checkpoint import differing_weights

Checkpoint = Mapping[str, Any]
_NEVER = -1e4
"""Logit of the special answer tokens, which no question has."""


def load_published(path: str | Path, vocabulary: str | Path | None = None) -> FiLMReasoner:
    """The model of a published checkpoint, in evaluation mode.

    Args:
        path: ``film.pt``.
        vocabulary: ``vocab.json`` to use instead of the one in the checkpoint.
    Raises:
        PublishedError: it is no such checkpoint, or of a variant that has no equal here.
    """
    checkpoint = read_published(path)
    if vocabulary is not None:
        try:
            found = json.loads(Path(vocabulary).read_text(encoding="utf-8"))
        except ValueError as error:
            raise PublishedError(f"{vocabulary} is not JSON ({error}); expected the vocab.json of the data") from None
        checkpoint = {**checkpoint, "vocab": found}
    return from_published(checkpoint)


def read_published(path: str | Path) -> dict[str, Any]:
    """The content of a published checkpoint; nothing in it is run.

    Raises:
        PublishedError: the file is missing or holds something else.
    """
    where = Path(path)
    if not where.is_file():
        raise PublishedError(f"no checkpoint {where}; expected film.pt of https://github.com/ethanjperez/film")
    try:
        content = torch.load(where, map_location="cpu", weights_only=True)
    except Exception as error:
        raise PublishedError(
            f"{where} cannot be read as a checkpoint of tensors and plain values ({type(error).__name__}); nothing in "
            "it was run"
        ) from error
    if not isinstance(content, dict):
        raise PublishedError(f"{where} holds a {type(content).__name__}; expected the dict of a FiLM checkpoint")
    return content


def from_published(checkpoint: Checkpoint) -> FiLMReasoner:
    """Our model with the weights of a checkpoint's content, in evaluation mode.

    Raises:
        PublishedError: an entry is missing, or the variant has no equal here.
    """
    config = read_config(checkpoint)
    reasoner = FiLMReasoner(config)
    expected = reasoner.state_dict()
    engine, generator = checkpoint["execution_engine_state"], checkpoint["program_generator_state"]
    weights = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    for ours, theirs in _names(reasoner, _dropout(checkpoint)):
        source = generator if theirs.startswith(("encoder", "decoder")) else engine
        weights |= _renamed(source, theirs, ours)
    rows = torch.tensor(film_rows(checkpoint))
    baseline = checkpoint["program_generator_kwargs"].get("gamma_baseline", 1)
    weights["generator.linear.weight"] = weights["generator.linear.weight"][rows]
    bias = weights["generator.linear.bias"][rows]
    if config.gamma == "linear":
        bias = bias + (baseline - 1) * _is_gamma(config)
    weights["generator.linear.bias"] = bias
    answers = torch.tensor(answer_rows(checkpoint))
    for part in ("weight", "bias"):
        weights[f"classifier.answer.3.{part}"] = weights[f"classifier.answer.3.{part}"][answers]
    problems = differing_weights(expected, weights)
    if problems:
        raise PublishedError(f"the checkpoint's weights do not fit its settings: {'; '.join(problems)}")
    reasoner.load_state_dict(weights)
    return reasoner.eval()


def to_published(reasoner: FiLMReasoner) -> dict[str, Any]:
    """A checkpoint that the authors' code loads and that answers as our model does.

    Raises:
        PublishedError: the model has a part that theirs does not have.
    """
    config = reasoner.config
    _check_exportable(reasoner)
    state = reasoner.state_dict()
    engine: dict[str, Tensor] = {}
    generator: dict[str, Tensor] = {}
    for ours, theirs in _names(reasoner, dropout=False):
        target = generator if theirs.startswith(("encoder", "decoder")) else engine
        target |= _renamed(state, ours, theirs)
    special = len(SPECIAL_TOKENS)
    weight, bias = engine["classifier.8.weight"], engine["classifier.8.bias"]
    engine["classifier.8.weight"] = torch.cat([weight.new_zeros(special, weight.shape[1]), weight])
    engine["classifier.8.bias"] = torch.cat([bias.new_full((special,), _NEVER), bias])
    vocab = {
        "question_token_to_idx": {token: number for number, token in enumerate(reasoner.vocabulary.tokens)},
        "answer_token_to_idx": {token: number for number, token in enumerate(ANSWERS)},
    }
    return {
        "program_generator_kwargs": _generator_kwargs(config, len(reasoner.vocabulary)),
        "program_generator_state": generator,
        "execution_engine_kwargs": {**_engine_kwargs(config), "vocab": vocab},
        "execution_engine_state": engine,
        "vocab": vocab,
    }


def _names(reasoner: FiLMReasoner, dropout: bool) -> Iterator[tuple[str, str]]:
    """Names of modules that hold weights, ours and theirs."""
    yield from (("questions.words", "encoder_embed"), ("questions.gru", "encoder_rnn"))
    yield "generator.linear", "decoder_linear"
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    trunk = [name for name, module in reasoner.trunk.named_children() if isinstance(module, kinds)]
    yield from ((f"trunk.{name}", f"stem.{3 * (place // 2) + place % 2}") for place, name in enumerate(trunk))
    for index in range(reasoner.config.blocks):
        yield f"blocks.{index}.entry", f"{index}.input_proj"
        yield f"blocks.{index}.conv", f"{index}.conv1"
        yield f"blocks.{index}.norm", f"{index}.bn1"
    yield from (("classifier.conv", "classifier.0"), ("classifier.norm", "classifier.1"))
    yield from (("classifier.answer.0", "classifier.5"), ("classifier.answer.1", "classifier.6"))
    yield "classifier.answer.3", "classifier.9" if dropout else "classifier.8"


def _renamed(state: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    """The tensors of one module under its other name, as copies, without BatchNorm's counter."""
    found = {key.removeprefix(f"{old}."): value for key, value in state.items() if key.startswith(f"{old}.")}
    return {f"{new}.{key}": value.clone() for key, value in found.items() if key != "num_batches_tracked"}


def _is_gamma(config: ReasonerConfig) -> Tensor:
    """1 where the flat layout has a gamma, 0 where a beta."""
    return torch.tensor([1.0, 0.0]).repeat_interleave(config.maps).repeat(config.num_film_blocks)


def _dropout(checkpoint: Checkpoint) -> bool:
    return bool(checkpoint["execution_engine_kwargs"].get("classifier_dropout", 0))


def _check_exportable(reasoner: FiLMReasoner) -> None:
    config = reasoner.config
    problems = {
        "answers about another world": reasoner.answers != ANSWER_WORDS,
        "reads pixels": config.inputs != "features",
        "reads a question by more than the last state of its GRU": config.question_code != "last",
        "has blocks without FiLM": config.num_film_blocks != config.blocks,
        "has blocks that see a summary of the image": config.context,
        "keeps some positions of the trunk's maps": config.positions > 0,
        "pools means, too": config.pooling != "max",
        "has residual blocks in its trunk": config.trunk_blocks + config.trunk_fine_blocks > 0,
        "has a trunk of another width": config.trunk_width is not None,
        "has more than one convolution in its trunk": bool(config.trunk_maps),
        "has a trunk that takes steps of more than 1": config.trunk_stride != 1,
    }
    found = [text for text, holds in problems.items() if holds]
    if found:
        raise PublishedError(f"the authors' code cannot represent this model: it {', and it '.join(found)}")


def _generator_kwargs(config: ReasonerConfig, num_tokens: int) -> dict[str, Any]:
    return {
        "encoder_vocab_size": num_tokens,
        "wordvec_dim": config.word_dim,
        "hidden_dim": config.hidden_dim,
        "rnn_num_layers": 1,
        "parameter_efficient": True,
        "bidirectional": False,
        "encoder_type": "gru",
        "decoder_type": "linear",
        "gamma_option": "linear" if config.gamma == "one" else config.gamma,
        "gamma_baseline": 1 if config.gamma in ("linear", "one") else 0,
        "num_modules": config.blocks,
        "module_dim": config.maps,
    }


def _engine_kwargs(config: ReasonerConfig) -> dict[str, Any]:
    methods = {"norm": "bn-film", "conv": "conv-film", "relu": "relu-film"}
    methods |= {"residual": "block-output-film", "input": "block-input-film"}
    return {
        "feature_dim": (config.input_maps, config.height, config.width),
        "stem_num_layers": 1,
        "stem_batchnorm": True,
        "stem_kernel_size": config.trunk_kernel,
        "stem_stride": 1,
        "num_modules": config.blocks,
        "module_dim": config.maps,
        "module_residual": config.residual,
        "module_batchnorm": config.batch_norm,
        "module_input_proj": 1,
        "module_kernel_size": config.block_kernel,
        "classifier_proj_dim": config.classifier_maps,
        "classifier_downsample": "maxpoolfull",
        "classifier_fc_layers": (config.classifier_dim,),
        "classifier_batchnorm": True,
        "condition_method": methods[config.film_position],
        "use_gamma": config.gamma != "one",
        "use_beta": config.beta != "zero",
        "use_coords": int(config.coordinates),
    }


ENTRIES = ("program_generator_kwargs", "program_generator_state", "execution_engine_kwargs", "execution_engine_state")
_POSITIONS: dict[str, FilmPosition] = {
    "bn-film": "norm",
    "cbn": "norm",  # names of an older version of their code
    "conv-film": "conv",
    "conv-fac": "conv",
    "relu-film": "relu",
    "relu-fac": "relu",
    "block-output-film": "residual",
    "block-output-fac": "residual",
    "block-input-film": "input",
    "block-input-fac": "input",
}


class PublishedError(UserError):
    """A checkpoint that is not of the FiLM authors' code, or of a variant that has no equal here."""


def read_config(checkpoint: Mapping[str, Any]) -> ReasonerConfig:
    """The settings of our model that is the checkpoint's equal.

    Raises:
        PublishedError: an entry is missing, or a setting has no equal.
    """
    missing = [name for name in ENTRIES if not isinstance(checkpoint.get(name), Mapping)]
    if missing:
        raise PublishedError(
            f"the checkpoint has no {', '.join(missing)} (it has {', '.join(map(str, checkpoint)) or 'nothing'}); "
            "expected one of model type FiLM"
        )
    tokens = _tokens(checkpoint)
    generator, engine = checkpoint["program_generator_kwargs"], checkpoint["execution_engine_kwargs"]
    _check(generator, engine)
    channels, height, width = engine.get("feature_dim", (1024, 14, 14))
    return ReasonerConfig(
        inputs="features",
        width=width,
        height=height,
        input_maps=channels,
        trunk_maps=(),
        trunk_kernel=engine.get("stem_kernel_size", 3),
        trunk_stride=1,
        maps=engine.get("module_dim", 128),
        blocks=engine.get("num_modules", 4),
        block_kernel=engine.get("module_kernel_size", 3),
        word_dim=generator.get("wordvec_dim", 200),
        hidden_dim=generator.get("hidden_dim", 512),
        classifier_maps=engine.get("classifier_proj_dim", 512),
        classifier_dim=next(iter(engine.get("classifier_fc_layers", (1024,)))),
        film_position=_POSITIONS[engine.get("condition_method", "bn-film")],
        gamma=_gamma(generator, engine),
        beta="linear" if engine.get("use_beta", True) else "zero",
        residual=bool(engine.get("module_residual", True)),
        coordinates=bool(engine.get("use_coords", 1)),
        batch_norm=bool(engine.get("module_batchnorm", False)),
        vocabulary=tokens,
    )


def film_rows(checkpoint: Mapping[str, Any]) -> list[int]:
    """Rows of their generator that are read: gamma and beta of every block.

    Older files give each block ``4 * maps + 2 * blocks`` rows, of which the first ``2 * maps`` are used.
    """
    generator = checkpoint["program_generator_kwargs"]
    maps, blocks = generator.get("module_dim", 128), generator.get("num_modules", 4)
    used = 2 * maps
    stride = used if generator.get("parameter_efficient", False) else 4 * maps + 2 * blocks
    return [block * stride + row for block in range(blocks) for row in range(used)]


def answer_rows(checkpoint: Mapping[str, Any]) -> list[int]:
    """Their number of each of our answers.

    Raises:
        PublishedError: there is no vocabulary, or it lacks an answer.
    """
    answers = _vocabulary(checkpoint, "answer_token_to_idx")
    lacking = [word for word in ANSWER_WORDS if word not in answers]
    if lacking:
        raise PublishedError(f"the vocabulary lacks {len(lacking)} of CLEVR's answers, such as {lacking[0]!r}")
    return [answers[word] for word in ANSWER_WORDS]


def _vocabulary(checkpoint: Mapping[str, Any], part: str) -> Mapping[str, int]:
    vocab = checkpoint.get("vocab") or checkpoint["execution_engine_kwargs"].get("vocab")
    found = vocab.get(part) if isinstance(vocab, Mapping) else None
    if not isinstance(found, Mapping):
        raise PublishedError(f"there is no vocabulary with {part!r}; give the vocab.json of its training")
    return found


def _tokens(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Question tokens in the order of their numbers."""
    questions = _vocabulary(checkpoint, "question_token_to_idx")
    if sorted(questions.values()) != list(range(len(questions))):
        raise PublishedError(f"the vocabulary's {len(questions)} question tokens are not numbered 0, 1, 2 and so on")
    return tuple(sorted(questions, key=lambda token: questions[token]))


def _gamma(generator: Mapping[str, Any], engine: Mapping[str, Any]) -> GammaOption:
    if not engine.get("use_gamma", True):
        return "one"
    option: GammaOption = generator.get("gamma_option", "linear")
    return option


def _check(generator: Mapping[str, Any], engine: Mapping[str, Any]) -> None:
    """Refuse settings without an equal."""
    option, baseline = generator.get("gamma_option", "linear"), generator.get("gamma_baseline", 1)
    pattern = tuple(engine.get("condition_pattern", ()))
    stride = engine.get("stem_stride", 1)
    problems = {
        "a question encoder other than a GRU": generator.get("encoder_type", "gru") != "gru",
        "a generator other than one linear layer": generator.get("decoder_type", "linear") != "linear",
        "a bidirectional question encoder": bool(generator.get("bidirectional", False)),
        "more than one layer of its GRU": generator.get("rnn_num_layers", 1) != 1,
        "BatchNorm behind the generator": bool(generator.get("output_batchnorm", False)),
        f"gamma as {option} plus {baseline}": option != "linear" and baseline != 0 and engine.get("use_gamma", True),
        f"the conditioning {engine.get('condition_method')}": (
            engine.get("condition_method", "bn-film") not in _POSITIONS
        ),
        f"FiLM in some blocks alone ({pattern})": not all(pattern),
        "BatchNorm's own scale before FiLM": bool(engine.get("module_batchnorm_affine", False)),
        "more than one convolution in a block": engine.get("module_num_layers", 1) != 1,
        f"a first convolution of size {engine.get('module_input_proj')}": engine.get("module_input_proj", 1) != 1,
        "coordinate maps before every convolution": engine.get("use_coords", 1) == 2,
        "a trunk from pixels, which does not normalise them as ours does": (
            stride != 1 or engine.get("stem_stride2_freq", 0) != 0
        ),
        f"a trunk of {engine.get('stem_num_layers', 2)} convolutions": engine.get("stem_num_layers", 2) != 1,
        "a trunk without BatchNorm": not engine.get("stem_batchnorm", False),
        f"the pooling {engine.get('classifier_downsample')}": engine.get("classifier_downsample") != "maxpoolfull",
        "a classifier without BatchNorm": not engine.get("classifier_batchnorm", False),
        "a classifier of another depth": len(engine.get("classifier_fc_layers", (1024,))) != 1,
    }
    found = [text for text, holds in problems.items() if holds]
    if found:
        raise PublishedError(f"the checkpoint has {'; '.join(found)}; this variant is not supported")
