"""The settings of a published FiLM checkpoint, read as ours; what has no equal here is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clevr.config import FilmPosition, GammaOption, ReasonerConfig
from clevr.questions.tokens import ANSWER_WORDS
from fewshot_film.run.errors import UserError

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
        raise PublishedError(f"the checkpoint has {'; '.join(found)}; this variant has no equal here")
