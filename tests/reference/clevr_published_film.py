"""The FiLM authors' model, read off the description of their code: padded questions, one image a question.

Double precision and no shared steps; weights by the names of their checkpoint, variants of their settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def answer_logits(checkpoint: Mapping[str, Any], questions: Sequence[Sequence[int]], features: Tensor) -> Tensor:
    """Logits of all their answer tokens, one row a question; ``features`` has one row a question too."""
    generator = {key: value.double() for key, value in checkpoint["program_generator_state"].items()}
    engine = {key: value.double() for key, value in checkpoint["execution_engine_state"].items()}
    settings = checkpoint["execution_engine_kwargs"]
    film = film_parameters(generator, checkpoint["program_generator_kwargs"], questions)
    gamma, beta = film.split(settings["module_dim"], dim=2)
    gamma = gamma if settings.get("use_gamma", True) else torch.ones_like(gamma)
    beta = beta if settings.get("use_beta", True) else torch.zeros_like(beta)
    x = with_coordinates(features.double(), settings)
    x = F.conv2d(x, engine["stem.0.weight"], engine["stem.0.bias"], padding=settings["stem_kernel_size"] // 2)
    x = torch.relu(batch_norm(x, engine, "stem.1"))
    for block in range(settings["num_modules"]):
        x = residual_block(x, engine, block, gamma[:, block], beta[:, block], settings)
    x = with_coordinates(x, settings)
    x = torch.relu(
        batch_norm(F.conv2d(x, engine["classifier.0.weight"], engine["classifier.0.bias"]), engine, "classifier.1")
    )
    x = x.amax((2, 3))
    x = torch.relu(
        batch_norm(F.linear(x, engine["classifier.5.weight"], engine["classifier.5.bias"]), engine, "classifier.6")
    )
    last = "classifier.9" if settings.get("classifier_dropout", 0) else "classifier.8"
    return F.linear(x, engine[f"{last}.weight"], engine[f"{last}.bias"])


def film_parameters(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], questions: Sequence[Sequence[int]]
) -> Tensor:
    """gamma and beta, ``(Q, blocks, 2 * maps)``."""
    codes = torch.from_numpy(np.stack([last_state(state, question) for question in questions]))
    blocks, maps = settings["num_modules"], settings["module_dim"]
    flat = F.linear(codes, state["decoder_linear.weight"], state["decoder_linear.bias"])
    film = flat.view(len(questions), blocks, -1)[:, :, : 2 * maps].clone()
    change = {"linear": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "exp": torch.exp}
    film[:, :, :maps] = change[settings["gamma_option"]](film[:, :, :maps]) + settings["gamma_baseline"]
    return film


def last_state(state: Mapping[str, Tensor], question: Sequence[int]) -> NDArray[np.float64]:
    """State of the GRU after the last token."""
    weights = {key: value.numpy() for key, value in state.items() if key.startswith("encoder")}
    hidden = np.zeros(weights["encoder_rnn.weight_hh_l0"].shape[1])
    for token in question:
        word = weights["encoder_embed.weight"][token]
        of_word = weights["encoder_rnn.weight_ih_l0"] @ word + weights["encoder_rnn.bias_ih_l0"]
        of_state = weights["encoder_rnn.weight_hh_l0"] @ hidden + weights["encoder_rnn.bias_hh_l0"]
        (wr, wz, wn), (sr, sz, sn) = np.split(of_word, 3), np.split(of_state, 3)
        reset, update = 1 / (1 + np.exp(-(wr + sr))), 1 / (1 + np.exp(-(wz + sz)))
        hidden = (1 - update) * np.tanh(wn + reset * sn) + update * hidden
    return hidden


def residual_block(
    x: Tensor, state: Mapping[str, Tensor], block: int, gamma: Tensor, beta: Tensor, settings: Mapping[str, Any]
) -> Tensor:
    """One block; FiLM sits where the conditioning method says."""
    method = settings["condition_method"]

    def film_at(place: str, maps: Tensor) -> Tensor:
        return gamma[:, :, None, None] * maps + beta[:, :, None, None] if method == place else maps

    x = with_coordinates(film_at("block-input-film", x), settings)
    first = torch.relu(F.conv2d(x, state[f"{block}.input_proj.weight"], state[f"{block}.input_proj.bias"]))
    kernel = settings["module_kernel_size"]
    x = F.conv2d(first, state[f"{block}.conv1.weight"], state[f"{block}.conv1.bias"], padding=kernel // 2)
    x = film_at("conv-film", x)
    x = batch_norm(x, state, f"{block}.bn1") if settings["module_batchnorm"] else x
    x = film_at("relu-film", torch.relu(film_at("bn-film", x)))
    return film_at("block-output-film", first + x if settings["module_residual"] else x)


def batch_norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    """BatchNorm in evaluation mode; without scale and shift where the state has none."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance = state[f"{name}.running_mean"].view(shape), state[f"{name}.running_var"].view(shape)
    x = (x - mean) / torch.sqrt(variance + 1e-5)
    if f"{name}.weight" not in state:
        return x
    return x * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)


def with_coordinates(x: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """Maps with the column and the row of every position, from -1 to 1."""
    if not settings.get("use_coords", 1):
        return x
    size, _, height, width = x.shape
    columns = torch.linspace(-1, 1, width, dtype=x.dtype).expand(size, 1, height, width)
    rows = torch.linspace(-1, 1, height, dtype=x.dtype)[:, None].expand(size, 1, height, width)
    return torch.cat([x, columns, rows], 1)
