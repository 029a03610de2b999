"""Numbers without a meaning are refused when a command is read, before anything is opened."""

from __future__ import annotations

import pytest

from clevr.commands.analyse import AnalyseConfig
from clevr.commands.inspect import InspectConfig
from fewshot_film.config.commands import (
    CalibrateConfig,
    ClassifyConfig,
    CompareConfig,
    EpisodesConfig,
    EvaluateConfig,
    PretrainConfig,
    ReportConfig,
    ValidationConfig,
)
from fewshot_film.config.data import DataConfig, SourceConfig
from fewshot_film.config.learners import BackboneConfig, SimpleCNAPSConfig, TransductiveCNAPSConfig
from fewshot_film.run.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "given", "change", "message"),
    [
        (BackboneConfig, {}, {"width": -1}, "backbone.width is -1; expected at least 1"),
        (BackboneConfig, {}, {"blocks": (2, -1)}, r"backbone.blocks is \[2, -1\]; expected at least 1"),
        (BackboneConfig, {}, {"stem_stride": 0}, "backbone.stem_stride is 0; expected at least 1"),
        (
            BackboneConfig,
            {},
            {"feature_lengths": (1, float("inf"))},
            r"backbone.feature_lengths is \[1, inf\]; expected finite numbers",
        ),
        (BackboneConfig, {}, {"feature_lengths": ()}, r"backbone.feature_lengths is \[\]; expected at least 0"),
        (BackboneConfig, {}, {"feature_power": 0.0}, "backbone.feature_power is 0; expected a finite number above 0"),
        (SimpleCNAPSConfig, {}, {"code_dim": -1}, "code_dim is -1; expected at least 1"),
        (SimpleCNAPSConfig, {}, {"penalty": -1.0}, "penalty is -1.0; expected at least 0"),
        (TransductiveCNAPSConfig, {}, {"min_refinements": -1}, "min_refinements is -1; expected at least 0"),
        (EpisodesConfig, {}, {"way": (5, 0)}, r"episodes.way is \[5, 0\]; expected at least 1"),
        (EpisodesConfig, {}, {"shot": ()}, r"episodes.shot is \[\]; expected at least 1"),
        (EpisodesConfig, {}, {"query": -1}, "episodes.query is -1; expected at least 1"),
        (ValidationConfig, {}, {"episodes": 0}, "validation.episodes is 0; expected at least 1"),
        (ValidationConfig, {}, {"way": -1}, "validation.way is -1; expected at least 1"),
        (PretrainConfig, {"out": "x"}, {"batch_size": 0}, "batch_size is 0; expected at least 1"),
        (PretrainConfig, {"out": "x"}, {"label_smoothing": -0.1}, "label_smoothing is -0.1; expected a share from 0"),
        (PretrainConfig, {"out": "x"}, {"label_smoothing": float("nan")}, "label_smoothing is nan"),
        (EvaluateConfig, {"model": "x"}, {"ways": (-1,)}, r"ways is \[-1\]; expected at least 1"),
        (EvaluateConfig, {"model": "x"}, {"feature_power": float("inf")}, "^feature_power is inf; expected a finite"),
        (EvaluateConfig, {"model": "x"}, {"episodes": 1}, "episodes is 1; expected at least 2"),
        (EvaluateConfig, {"model": "x"}, {"processes": -1}, "processes is -1; expected at least 0"),
        (ClassifyConfig, {"support": "x", "query": "y"}, {"reject": -1.0}, "reject is -1.0; expected a share"),
        (ClassifyConfig, {"support": "x", "query": "y"}, {"reject": float("nan")}, "reject is nan; expected a share"),
        (CalibrateConfig, {"model": "x"}, {"shots": (1, -1)}, r"shots is \[1, -1\]; expected at least 1"),
        (CalibrateConfig, {"model": "x"}, {"seed": -1}, "seed is -1; expected at least 0"),
        (CompareConfig, {"data": "x"}, {"shot": -1}, "shot is -1; expected at least 0"),
        (CompareConfig, {"data": "x"}, {"splits": 1}, "splits is 1; expected at least 2"),
        (ReportConfig, {"run": "x"}, {"episodes": 0}, "episodes is 0; expected at least 1"),
        (DataConfig, {}, {"split_seed": -1}, "data.split_seed is -1; expected at least 0"),
        (SourceConfig, {"source": "glyphs"}, {"weight": 0.0}, "weight of the source glyphs is 0.0; expected a number"),
        (SourceConfig, {"source": "glyphs"}, {"split_seed": -1}, "split_seed is -1; expected at least 0"),
        (InspectConfig, {"data": "x"}, {"pictures": 0}, "pictures is 0; expected at least 1"),
        (InspectConfig, {"data": "x"}, {"questions": -1}, "questions is -1; expected at least 0"),
        (AnalyseConfig, {"model": "x", "data": "y", "out": "z"}, {"seed": -1}, "seed is -1; expected 0 to 4294967295"),
    ],
)
def test_out_of_range(kind, given, change, message):
    kind(**given)
    with pytest.raises(ConfigError, match=message):
        kind(**given, **change)
