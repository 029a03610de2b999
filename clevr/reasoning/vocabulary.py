"""A model that is to learn further words: its vocabulary extended, everything else as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch

from clevr.reasoning.network import FiLMReasoner
from fewshot_film.run.seeding import generator

NEW_WORD_STD = 0.01
"""Spread of the embeddings of new words, as in the authors' code for CLEVR-Humans."""


def extend_vocabulary(reasoner: FiLMReasoner, words: Iterable[str], seed: int = 0) -> FiLMReasoner:
    """A copy of a model with embeddings for further words; it answers old questions as before.

    Args:
        reasoner: stays as it is.
        words: those that the model knows already are left out.
        seed: of the new embeddings.
    Returns:
        The model, in the mode and on the device of the old one.
    Source:
        Perez et al., "FiLM", AAAI 2018, section 4.4: fine-tuning on CLEVR-Humans.
    """
    vocabulary = reasoner.vocabulary.extended(words)
    extended = FiLMReasoner(dataclasses.replace(reasoner.config, vocabulary=vocabulary.tokens))
    weights = dict(reasoner.state_dict())
    old = weights["questions.words.weight"]
    new = torch.randn(len(vocabulary) - len(old), old.shape[1], generator=generator(seed, "new words"))
    weights["questions.words.weight"] = torch.cat([old, NEW_WORD_STD * new.to(old)])
    extended.load_state_dict(weights)
    return extended.to(old.device).train(reasoner.training)
