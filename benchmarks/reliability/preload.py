"""What the server of processes loads before it forks: both programs with all that their commands import."""

from __future__ import annotations

import importlib

import clevr.cli
import fewshot_film.cli

for _command in (*fewshot_film.cli.COMMANDS, *clevr.cli.COMMANDS):
    _command.config_class()
    importlib.import_module(_command.run.partition(":")[0])
for _name in (
    "clevr.answers.plotting", "clevr.answers.predict", "clevr.answers.report",
    "clevr.data.contact_sheet", "clevr.analysis.histograms", "clevr.analysis.subject", "clevr.data.backbone",
    "clevr.data.batches", "clevr.data.feature_store", "clevr.reasoning.published", "clevr.world.render",
    "fewshot_film.run.figures", "fewshot_film.run.results", "tensorboard", "tqdm",
):  # fmt: skip
    importlib.import_module(_name)
