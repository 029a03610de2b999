"""Settings of ``clevr-film train`` that would change nothing, given the others. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from clevr.config import ReasonerConfig, TrainConfig
from fewshot_film.run.errors import ConfigError


def check_used(config: TrainConfig) -> None:
    """Refuse settings that would be ignored.

    Raises:
        ConfigError: names the first of them, why it would be ignored, and what to do.
    """
    for name, reason in (*_of_data(config), *_of_losses(config), *_of_network(config.model)):
        raise ConfigError(f"{name} would be ignored: {reason}; leave it out")


def _of_data(config: TrainConfig) -> Iterator[tuple[str, str]]:
    data = config.data
    if data.features and config.model.inputs == "pixels":
        yield "data.features", "model.inputs is pixels"
    if data.fresh and data.humans:
        yield "data.humans", "data.fresh writes new questions for every pass"
    if data.fresh and data.fraction < 1:
        yield "data.fraction", "data.fresh writes new questions about all scenes"
    if data.curriculum and data.humans:
        yield "data.curriculum", "questions of CLEVR-Humans have no families"


def _of_losses(config: TrainConfig) -> Iterator[tuple[str, str]]:
    if config.scene_weight and config.seeing is not None:
        yield "scene_weight", "with seeing, the trunk learns from the scenes first and is fixed from then on"
    if config.scene_weight and "trunk" in config.frozen:
        yield "scene_weight", "it teaches the trunk, which is frozen"
    if config.seeing is not None and "trunk" in config.frozen:
        yield "frozen: [trunk]", "seeing trains the trunk"
    if config.trace_weight and config.data.humans:
        yield "trace_weight", "questions of CLEVR-Humans have no programs"
    if config.program_weight and config.data.humans:
        yield "program_weight", "questions of CLEVR-Humans have no programs"


def _of_network(model: ReasonerConfig) -> Iterator[tuple[str, str]]:
    default = ReasonerConfig()
    if model.conditioning != "film":
        for name in ("film_blocks", "film_position", "gamma", "beta", "generator_init"):
            if getattr(model, name) != getattr(default, name):
                yield f"model.{name}", f"model.conditioning is {model.conditioning}, so there is no FiLM"
    if model.question_heads != default.question_heads and model.question_code != "attention":
        yield "model.question_heads", f"model.question_code is {model.question_code}, not attention"
