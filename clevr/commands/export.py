"""``clevr-film export``: saves the model of a run, finished or not."""

from __future__ import annotations

import logging

from clevr.commands.calibrate import training_extractor, training_familiarity
from clevr.config.commands import ExportConfig
from clevr.config.model import TrainConfig
from clevr.reasoning.hop_reasoner import build_reasoner
from clevr.reasoning.loading import save_reasoner
from clevr.reasoning.objectives import ReasonerTraining
from clevr.world.spec import CLEVR
from clevr.world.world_file import WORLD_FILE, read_world
from fewshot_film.run.checkpoint import load_checkpoint, put_weights
from fewshot_film.run.parsing import parse

logger = logging.getLogger(__name__)


def run(config: ExportConfig) -> None:
    """Write the saved model.

    Raises:
        ConfigError: the folder holds no run of ``clevr-film train``.
        CheckpointError: there is no such checkpoint, or it is damaged.
        SavedModelError: the output folder holds other things.
    """
    path = config.run / f"{config.checkpoint}.ckpt"
    checkpoint = load_checkpoint(path)
    settings: TrainConfig = parse("export", TrainConfig, [f"--config={config.run / 'config.yaml'}"])
    world = read_world(config.run / WORLD_FILE) if (config.run / WORLD_FILE).exists() else CLEVR
    module = ReasonerTraining(
        build_reasoner(settings.model, world),
        settings.scene_weight,
        settings.trace_weight,
        settings.program_weight,
        precomputed=settings.has_fixed_trunk,
    )
    put_weights(module, checkpoint.module, path)
    progress = checkpoint.progress
    training = {
        "steps": progress.step,
        "best_step": progress.best_step,
        "validation_accuracy": progress.best if config.checkpoint == "best" else None,
        "seconds": round(progress.seconds, 1),
        **training_extractor(settings),
    }
    module.reasoner.familiarity = training_familiarity(settings.data.root, settings.data.train_split)
    folder = save_reasoner(config.out, module.reasoner, training, settings, half=config.half)
    logger.info("saved %s: step %d of %d", folder, progress.step, settings.loop.steps)
