"""Feature-wise linear modulation (FiLM) for any network.

A :class:`Sites` lists where FiLM is applied; a generator maps a conditioning vector to gamma and beta of every site;
:func:`inject_film` adds FiLM to an existing network, and :func:`fold_film` folds the values for one task into its
weights. gamma is the full scale everywhere: 1 is the identity.

This package imports torch and nothing else.
"""

from fewshot_film.film.autoregressive import AutoregressiveGenerator, StageRunner
from fewshot_film.film.channelwise import ChannelGenerator, channel_statistics, site_moments
from fewshot_film.film.converters import PublishedLayout, export_generator, import_generator
from fewshot_film.film.errors import FilmError, FoldError, SavedValuesError, ShapeError, SiteError
from fewshot_film.film.fold import find_conv_norm_pairs, fold_film, fuse_conv_norm
from fewshot_film.film.fused import film_relu
from fewshot_film.film.generators import (
    Generator,
    LinearGenerator,
    ResidualGenerator,
    SharedGenerator,
    identity_distance,
)
from fewshot_film.film.inject import FiLMedNetwork, inject_film, remove_film
from fewshot_film.film.layer import FiLM, Modulation, append_coordinates, coordinate_maps, film
from fewshot_film.film.learned import LearnedModulations, film_parameters
from fewshot_film.film.pooling import AttentionPooling
from fewshot_film.film.saving import fingerprint, load_modulations, save_modulations
from fewshot_film.film.sites import Form, Modulations, Site, Sites
from fewshot_film.film.stages import StagedRun
from fewshot_film.film.templates import TemplateGenerator

__all__ = [
    "AttentionPooling",
    "AutoregressiveGenerator",
    "ChannelGenerator",
    "FiLM",
    "FiLMedNetwork",
    "FilmError",
    "FoldError",
    "Form",
    "Generator",
    "LearnedModulations",
    "LinearGenerator",
    "Modulation",
    "Modulations",
    "PublishedLayout",
    "ResidualGenerator",
    "SavedValuesError",
    "ShapeError",
    "SharedGenerator",
    "Site",
    "SiteError",
    "Sites",
    "StageRunner",
    "StagedRun",
    "TemplateGenerator",
    "append_coordinates",
    "channel_statistics",
    "coordinate_maps",
    "export_generator",
    "film",
    "film_parameters",
    "film_relu",
    "find_conv_norm_pairs",
    "fingerprint",
    "fold_film",
    "fuse_conv_norm",
    "identity_distance",
    "import_generator",
    "inject_film",
    "load_modulations",
    "remove_film",
    "save_modulations",
    "site_moments",
]
