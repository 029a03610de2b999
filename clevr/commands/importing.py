"""``clevr-film import``: a checkpoint of the FiLM authors' code as a saved model of ours."""

from __future__ import annotations

import logging

from clevr.config.commands import ImportConfig
from clevr.config.features import ExtractorConfig
from clevr.config.model import TrainConfig
from clevr.reasoning.loading import save_reasoner
from clevr.reasoning.published import load_published
from fewshot_film.run.settings import plain

logger = logging.getLogger(__name__)


def run(config: ImportConfig) -> None:
    """Convert the checkpoint.

    Raises:
        PublishedError: it is no such checkpoint, or of a variant that has no equal here.
        SavedModelError: the folder holds other files.
    """
    reasoner = load_published(config.checkpoint, config.vocabulary)
    # their features were made with this normalisation
    training = {"origin": config.checkpoint.name, "extractor": plain(ExtractorConfig(normalisation="film"))}
    save_reasoner(config.out, reasoner, training, TrainConfig(out=config.out, model=reasoner.config))
    logger.info("saved %s", config.out)
