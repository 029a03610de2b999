"""``clevr-film export``: saves the model of a run, finished or not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportConfig:
    """Save the model of a run."""

    run: Path
    """Run folder of ``clevr-film train``."""
    out: Path
    """Folder of the saved model; created, or replaced if it contains a saved model."""
    checkpoint: Literal["best", "last"] = "best"
    """Weights with the best validation accuracy so far, or those of the last checkpoint."""
    half: bool = False
    """Save the weights in half precision, which halves the size; they are converted to single precision when loaded."""


def run(config: ExportConfig) -> None:
    """Write the saved model.

    Raises:
        ConfigError: the folder holds no run of ``clevr-film train``.
        CheckpointError: there is no such checkpoint, or it is damaged.
        SavedModelError: the output folder holds other things.
    """
    from clevr.commands.calibrate import training_familiarity
    from clevr.config import TrainConfig
    from clevr.reasoning.loading import save_reasoner
    from clevr.reasoning.network import FiLMReasoner
    from clevr.reasoning.training import ReasonerTraining
    from fewshot_film.run.checkpoint import load_checkpoint, put_weights
    from fewshot_film.run.parsing import parse

    path = config.run / f"{config.checkpoint}.ckpt"
    checkpoint = load_checkpoint(path)
    settings: TrainConfig = parse("export", TrainConfig, [f"--config={config.run / 'config.yaml'}"])
    module = ReasonerTraining(
        FiLMReasoner(settings.model),
        settings.scene_weight,
        settings.trace_weight,
        settings.program_weight,
        precomputed=settings.trunk_pretraining is not None,
    )
    put_weights(module, checkpoint.module, path)
    progress = checkpoint.progress
    training = {
        "steps": progress.step,
        "best_step": progress.best_step,
        "validation_accuracy": progress.best if config.checkpoint == "best" else None,
        "seconds": round(progress.seconds, 1),
    }
    module.reasoner.familiarity = training_familiarity(settings.data.root, settings.data.train_split)
    folder = save_reasoner(config.out, module.reasoner, training, settings, half=config.half)
    logger.info("saved %s: step %d of %d", folder, progress.step, settings.loop.steps)
