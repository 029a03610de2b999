"""Values without a meaning are refused when a command is read, before anything is opened: all ranges, all messages."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

import clevr.commands
import fewshot_film.config
from fewshot_film.errors import ConfigError
from fewshot_film.run.settings import Settings, ranges_of

INF, NAN = float("inf"), float("nan")

REFUSED = {
    "fewshot_film.run.settings:LoopConfig": [
        ("steps", 0, "steps is 0; expected at least 1"),
        ("accumulate", 0, "accumulate is 0; expected at least 1"),
        ("learning_rate", 0.0, "learning_rate is 0.0; expected above 0"),
        ("learning_rate", INF, "learning_rate is inf; expected above 0"),
        ("weight_decay", -0.5, "weight_decay is -0.5; expected at least 0"),
        ("weight_decay", NAN, "weight_decay is nan; expected at least 0"),
        ("momentum", -0.5, "momentum is -0.5; expected at least 0"),
        ("momentum", 1.0, "momentum is 1.0; expected below 1"),
        ("cooldown_steps", -1, "cooldown_steps is -1; expected at least 0"),
        ("warmup_steps", -1, "warmup_steps is -1; expected at least 0"),
        ("clip_norm", 0.0, "clip_norm is 0.0; expected above 0"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("num_workers", -1, "num_workers is -1; expected at least 0"),
        ("log_every", 0, "log_every is 0; expected at least 1"),
        ("validate_every", 0, "validate_every is 0; expected at least 1"),
        ("checkpoint_seconds", -0.5, "checkpoint_seconds is -0.5; expected at least 0"),
        ("patience", 0, "patience is 0; expected at least 1"),
    ],
    "fewshot_film.config.commands:EvaluateConfig": [
        ("ways", (0,), "ways is [0]; expected at least 1"),
        ("ways", (), "ways is []; expected at least 1"),
        ("shots", (0,), "shots is [0]; expected at least 1"),
        ("shots", (), "shots is []; expected at least 1"),
        ("query", 0, "query is 0; expected at least 1"),
        ("dirichlet", -1, "dirichlet is -1; expected at least 0"),
        ("episodes", 1, "episodes is 1; expected at least 2"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("tukey_power", 0.0, "tukey_power is 0.0; expected above 0"),
        ("processes", -1, "processes is -1; expected at least 0"),
    ],
    "fewshot_film.config.commands:BulkConfig": [
        ("workers", 0, "workers is 0; expected auto, or at least 1"),
        ("piece", 0, "piece is 0; expected at least 1"),
        ("batch_size", 0, "batch_size is 0; expected at least 1"),
        ("part", -1, "part is -1; expected at least 0"),
        ("part", 1, "part is 1; expected less than parts (1): they are counted from 0"),
        ("parts", 0, "parts is 0; expected at least 1"),
    ],
    "fewshot_film.config.commands:ClassifyConfig": [
        ("reject", -0.5, "reject is -0.5; expected at least 0"),
        ("reject", NAN, "reject is nan; expected at least 0"),
        ("reject", 1.0, "reject is 1.0; expected below 1"),
    ],
    "fewshot_film.config.commands:CalibrateConfig": [
        ("way", 0, "way is 0; expected at least 1"),
        ("shots", (0,), "shots is [0]; expected at least 1"),
        ("shots", (), "shots is []; expected at least 1"),
        ("query", 0, "query is 0; expected at least 1"),
        ("episodes", 0, "episodes is 0; expected at least 1"),
        ("seed", -1, "seed is -1; expected at least 0"),
    ],
    "fewshot_film.config.commands:CompareConfig": [
        ("shot", -1, "shot is -1; expected at least 0"),
        ("query", 0, "query is 0; expected at least 1"),
        ("splits", 1, "splits is 1; expected at least 2"),
        ("seed", -1, "seed is -1; expected at least 0"),
    ],
    "fewshot_film.config.commands:ReportConfig": [
        ("episodes", 0, "episodes is 0; expected at least 1"),
    ],
    "fewshot_film.config.commands:AppConfig": [
        ("port", -1, "port is -1; expected a number from 0 to 65535"),
        ("port", 65536, "port is 65536; expected a number from 0 to 65535"),
        ("file_mib", 0, "file_mib is 0; expected at least 1"),
        ("megapixels", 0, "megapixels is 0; expected at least 1"),
        ("archive_mib", 0, "archive_mib is 0; expected at least 1"),
        ("files", 0, "files is 0; expected at least 1"),
        ("visitor_mib", 0, "visitor_mib is 0; expected at least 1"),
        ("total_mib", 0, "total_mib is 0; expected at least 1"),
        ("visitors", 0, "visitors is 0; expected at least 1"),
    ],
    "clevr.config.commands:ReportConfig": [
        ("questions", 0, "questions is 0; expected at least 1"),
    ],
    "clevr.config.commands:AnalyseConfig": [
        ("analyses", (), "analyses is []; expected some of histograms, embedding, resets, consistency, composition"),
        ("questions", 99, "questions is 99; expected at least 100"),
        ("seed", -1, "seed is -1; expected a number from 0 to 4294967295"),
        ("seed", 4294967296, "seed is 4294967296; expected a number from 0 to 4294967295"),
    ],
    "clevr.config.commands:EvaluateConfig": [
        ("sure", -0.1, "sure is -0.1; expected a number from 0 to 1"),
        ("sure", 1.1, "sure is 1.1; expected a number from 0 to 1"),
        ("questions", 0, "questions is 0; expected at least 1"),
        ("batch_size", 0, "batch_size is 0; expected at least 1"),
    ],
    "clevr.config.commands:FeaturesConfig": [
        ("batch_size", 0, "batch_size is 0; expected at least 1"),
        ("num_workers", -1, "num_workers is -1; expected at least 0"),
    ],
    "clevr.config.commands:AskConfig": [
        ("sure", -0.1, "sure is -0.1; expected a number from 0 to 1"),
        ("sure", 1.1, "sure is 1.1; expected a number from 0 to 1"),
        ("runners_up", -1, "runners_up is -1; expected a number from 0 to 27"),
        ("runners_up", 28, "runners_up is 28; expected a number from 0 to 27"),
    ],
    "fewshot_film.config.data:SourceConfig": [
        ("split_seed", -1, "split_seed of the source x is -1; expected at least 0"),
        ("weight", 0.0, "weight of the source x is 0.0; expected above 0"),
    ],
    "fewshot_film.config.data:OneSource": [
        ("split_seed", -1, "split_seed is -1; expected at least 0"),
    ],
    "fewshot_film.config.data:DataConfig": [
        ("split_seed", -1, "data.split_seed is -1; expected at least 0"),
    ],
    "fewshot_film.config.data:AugmentConfig": [
        ("rotate", -0.5, "augment.rotate is -0.5; expected a number from 0 to 180"),
        ("rotate", 181.0, "augment.rotate is 181.0; expected a number from 0 to 180"),
        ("scale", -0.5, "augment.scale is -0.5; expected a number from 0 to 1"),
        ("scale", 1.5, "augment.scale is 1.5; expected a number from 0 to 1"),
        ("shear", -0.5, "augment.shear is -0.5; expected a number from 0 to 1"),
        ("shear", 1.5, "augment.shear is 1.5; expected a number from 0 to 1"),
        ("translate", -0.5, "augment.translate is -0.5; expected a number from 0 to 1"),
        ("translate", 1.5, "augment.translate is 1.5; expected a number from 0 to 1"),
        ("brightness", -0.5, "augment.brightness is -0.5; expected a number from 0 to 1"),
        ("brightness", 1.5, "augment.brightness is 1.5; expected a number from 0 to 1"),
        ("contrast", -0.5, "augment.contrast is -0.5; expected a number from 0 to 1"),
        ("contrast", 1.5, "augment.contrast is 1.5; expected a number from 0 to 1"),
        ("saturation", -0.5, "augment.saturation is -0.5; expected a number from 0 to 1"),
        ("saturation", 1.5, "augment.saturation is 1.5; expected a number from 0 to 1"),
        ("erase", -0.5, "augment.erase is -0.5; expected a number from 0 to 1"),
        ("erase", 1.5, "augment.erase is 1.5; expected a number from 0 to 1"),
    ],
    "fewshot_film.config.preprocessing:Preprocessing": [
        ("size", 0, "preprocessing.size is 0; expected a number from 1 to 4096"),
        ("size", 4097, "preprocessing.size is 4097; expected a number from 1 to 4096"),
        (
            "mean",
            (0.5, 1e9, 0.5),
            "preprocessing.mean is [0.5, 1000000000.0, 0.5]; expected a number from -1000 to 1000",
        ),
        ("std", (0.5, 0.0, 0.5), "preprocessing.std is [0.5, 0.0, 0.5]; expected above 0"),
        ("crop", 0.0, "preprocessing.crop is 0.0; expected a number from 0.1 to 1"),
        ("crop", 1.5, "preprocessing.crop is 1.5; expected a number from 0.1 to 1"),
    ],
    "fewshot_film.config.backbone:BackboneConfig": [
        ("width", 0, "backbone.width is 0; expected at least 1"),
        ("blocks", (0,), "backbone.blocks is [0]; expected at least 1"),
        ("blocks", (), "backbone.blocks is []; expected at least 1"),
        ("stem_kernel", 0, "backbone.stem_kernel is 0; expected at least 1"),
        ("stem_stride", 0, "backbone.stem_stride is 0; expected at least 1"),
        ("channels", 2, "backbone.channels is 2; expected 3, or 1 for drawings"),
        ("image_size", -1, "backbone.image_size is -1; expected a number from 0 to 4096"),
        ("image_size", 4097, "backbone.image_size is 4097; expected a number from 0 to 4096"),
        ("feature_norms", (-0.5,), "backbone.feature_norms is [-0.5]; expected at least 0"),
        ("feature_norms", (1, INF), "backbone.feature_norms is [1, inf]; expected at least 0"),
        ("feature_norms", (), "backbone.feature_norms is []; expected at least 0"),
        ("tukey_power", 0.0, "backbone.tukey_power is 0.0; expected above 0"),
        ("networks", 0, "backbone.networks is 0; expected a number from 1 to 100"),
        ("networks", 101, "backbone.networks is 101; expected a number from 1 to 100"),
    ],
    "fewshot_film.config.learners:LearnerConfig": [
        ("chunk", 0, "learner.chunk is 0; expected at least 1"),
    ],
    "fewshot_film.config.learners:FilmConfig": [
        ("feature_scaling", -0.5, "learner.feature_scaling is -0.5; expected a number from 0 to 1"),
        ("feature_scaling", 1.5, "learner.feature_scaling is 1.5; expected a number from 0 to 1"),
        ("code_dim", 0, "learner.code_dim is 0; expected at least 1"),
        ("set_encoder_layers", 0, "learner.set_encoder_layers is 0; expected at least 1"),
        ("penalty", -0.5, "learner.penalty is -0.5; expected at least 0"),
        ("init_std", -0.5, "learner.init_std is -0.5; expected at least 0"),
    ],
    "fewshot_film.config.learners:PrototypesConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:TransductiveCNAPSConfig": [
        ("refinements", -1, "learner.refinements is -1; expected at least 0"),
    ],
    "fewshot_film.config.learners:MatchingConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:RelationConfig": [
        ("hidden_dim", 0, "learner.hidden_dim is 0; expected at least 1"),
    ],
    "fewshot_film.config.learners:RidgeConfig": [
        ("power", 0.0, "learner.power is 0.0; expected above 0, and at most 1"),
        ("power", 1.5, "learner.power is 1.5; expected above 0, and at most 1"),
        ("ridge_penalty", 0.0, "learner.ridge_penalty is 0.0; expected above 0"),
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:ShrinkageConfig": [
        ("shrinkage", 0.0, "learner.shrinkage is 0.0; expected above 0, and at most 1"),
        ("shrinkage", 1.5, "learner.shrinkage is 1.5; expected above 0, and at most 1"),
    ],
    "fewshot_film.config.learners:GradientConfig": [
        ("inner_steps", 0, "learner.inner_steps is 0; expected at least 1"),
        ("test_steps", -1, "learner.test_steps is -1; expected at least 0"),
        ("inner_lr", 0.0, "learner.inner_lr is 0.0; expected above 0"),
        ("way", 1, "learner.way is 1; expected 0, or at least 2"),
    ],
    "fewshot_film.config.learners:FiTConfig": [
        ("steps", -1, "learner.steps is -1; expected at least 0"),
        ("learning_rate", 0.0, "learner.learning_rate is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:FineTuningConfig": [
        ("epochs", -1, "learner.epochs is -1; expected at least 0"),
        ("batch_size", 0, "learner.batch_size is 0; expected at least 1"),
        ("learning_rate", 0.0, "learner.learning_rate is 0.0; expected above 0"),
        ("weight_decay", -0.5, "learner.weight_decay is -0.5; expected at least 0"),
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:LogisticRegressionConfig": [
        ("length", 0.0, "learner.length is 0.0; expected above 0"),
        ("inverse_penalty", 0.0, "learner.inverse_penalty is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:SVMConfig": [
        ("length", 0.0, "learner.length is 0.0; expected above 0"),
        ("inverse_penalty", 0.0, "learner.inverse_penalty is 0.0; expected above 0"),
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:LinearSVMConfig": [
        ("length", 0.0, "learner.length is 0.0; expected above 0"),
        ("inverse_penalty", 0.0, "learner.inverse_penalty is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:FEATConfig": [
        ("temperature", 0.0, "learner.temperature is 0.0; expected above 0"),
        ("dropout", 1.0, "learner.dropout is 1.0; expected at least 0 and below 1"),
        ("dropout", -0.5, "learner.dropout is -0.5; expected at least 0 and below 1"),
        ("contrast_weight", -0.5, "learner.contrast_weight is -0.5; expected at least 0"),
    ],
    "fewshot_film.config.learners:TSAConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
        ("learning_rate", 0.0, "learner.learning_rate is 0.0; expected above 0"),
        ("adapter_learning_rate", 0.0, "learner.adapter_learning_rate is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:FRNConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:DeepEMDConfig": [
        ("temperature", 0.0, "learner.temperature is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:LabelPropagationConfig": [
        ("neighbours", 0, "learner.neighbours is 0; expected at least 1"),
        ("alpha", 1.0, "learner.alpha is 1.0; expected at least 0 and below 1"),
        ("alpha", -0.5, "learner.alpha is -0.5; expected at least 0 and below 1"),
        ("width", 0.0, "learner.width is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:SURConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
        ("learning_rate", 0.0, "learner.learning_rate is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:URLConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
        ("learning_rate", 0.0, "learner.learning_rate is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:ILPCConfig": [
        ("neighbours", 0, "learner.neighbours is 0; expected at least 1"),
        ("alpha", 1.0, "learner.alpha is 1.0; expected at least 0 and below 1"),
        ("alpha", -0.5, "learner.alpha is -0.5; expected at least 0 and below 1"),
        ("tau", 0.0, "learner.tau is 0.0; expected above 0"),
        ("clean", 0, "learner.clean is 0; expected at least 1"),
        ("steps", 0, "learner.steps is 0; expected at least 1"),
    ],
    "fewshot_film.config.learners:DN4Config": [
        ("neighbours", 0, "learner.neighbours is 0; expected at least 1"),
    ],
    "fewshot_film.config.learners:TransductiveConfig": [
        ("power", 0.0, "learner.power is 0.0; expected above 0, and at most 1"),
        ("power", 1.5, "learner.power is 1.5; expected above 0, and at most 1"),
    ],
    "fewshot_film.config.learners:SoftKMeansConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
    ],
    "fewshot_film.config.learners:BDCSPNConfig": [
        ("scale", 0.0, "learner.scale is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:LaplacianShotConfig": [
        ("neighbours", 0, "learner.neighbours is 0; expected at least 1"),
        ("laplacian_weight", -0.5, "learner.laplacian_weight is -0.5; expected at least 0"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
    ],
    "fewshot_film.config.learners:InformationConfig": [
        ("temperature", 0.0, "learner.temperature is 0.0; expected above 0"),
        ("support_weight", -0.5, "learner.support_weight is -0.5; expected at least 0"),
        ("marginal_weight", -0.5, "learner.marginal_weight is -0.5; expected at least 0"),
        ("conditional_weight", -0.5, "learner.conditional_weight is -0.5; expected at least 0"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
        ("learning_rate", 0.0, "learner.learning_rate is 0.0; expected above 0"),
    ],
    "fewshot_film.config.learners:AlphaTIMConfig": [
        ("support_weight", -0.5, "learner.support_weight is -0.5; expected at least 0"),
        ("conditional_weight", -0.5, "learner.conditional_weight is -0.5; expected at least 0"),
        ("alpha", 0.5, "learner.alpha is 0.5; expected 0, or at least 1"),
    ],
    "fewshot_film.config.learners:PTMAPConfig": [
        ("power", 0.0, "learner.power is 0.0; expected above 0, and at most 1"),
        ("power", 1.5, "learner.power is 1.5; expected above 0, and at most 1"),
        ("steps", -1, "learner.steps is -1; expected at least 0"),
        ("rate", 0.0, "learner.rate is 0.0; expected above 0, and at most 1"),
        ("rate", 1.5, "learner.rate is 1.5; expected above 0, and at most 1"),
        ("sinkhorn_lambda", 0.0, "learner.sinkhorn_lambda is 0.0; expected above 0"),
    ],
    "fewshot_film.config.memory:MemoryConfig": [
        ("chunk", 0, "memory.chunk is 0; expected at least 1"),
        ("budget_mib", -1, "memory.budget_mib is -1; expected at least 0"),
        ("lite_support", 0, "memory.lite_support is 0; expected at least 1"),
    ],
    "fewshot_film.config.commands:EpisodesConfig": [
        ("way", (0,), "episodes.way is [0]; expected at least 1"),
        ("way", (), "episodes.way is []; expected at least 1"),
        ("shot", (0,), "episodes.shot is [0]; expected at least 1"),
        ("shot", (), "episodes.shot is []; expected at least 1"),
        ("query", 0, "episodes.query is 0; expected at least 1"),
    ],
    "fewshot_film.config.commands:ValidationConfig": [
        ("way", 0, "validation.way is 0; expected at least 1"),
        ("shot", 0, "validation.shot is 0; expected at least 1"),
        ("query", 0, "validation.query is 0; expected at least 1"),
        ("episodes", 0, "validation.episodes is 0; expected at least 1"),
    ],
    "fewshot_film.config.commands:PretrainConfig": [
        ("batch_size", 0, "batch_size is 0; expected at least 1"),
        ("label_smoothing", -0.5, "label_smoothing is -0.5; expected a number from 0 to 1"),
        ("label_smoothing", 1.5, "label_smoothing is 1.5; expected a number from 0 to 1"),
    ],
    "clevr.config.model:ReasonerConfig": [
        ("width", 0, "model.width is 0; expected a number from 1 to 4096"),
        ("height", 4097, "model.height is 4097; expected a number from 1 to 4096"),
        ("input_maps", 0, "model.input_maps is 0; expected at least 1"),
        ("trunk_maps", (0,), "model.trunk_maps is [0]; expected at least 1"),
        ("trunk_kernel", 0, "model.trunk_kernel is 0; expected at least 1"),
        ("trunk_stride", 0, "model.trunk_stride is 0; expected at least 1"),
        ("trunk_blocks", -1, "model.trunk_blocks is -1; expected a number from 0 to 1000"),
        ("trunk_fine_blocks", -1, "model.trunk_fine_blocks is -1; expected a number from 0 to 1000"),
        ("trunk_width", 0, "model.trunk_width is 0; expected at least 1"),
        ("trunk_colors", -1, "model.trunk_colors is -1; expected at least 0"),
        ("positions", -1, "model.positions is -1; expected at least 0"),
        ("maps", 0, "model.maps is 0; expected at least 1"),
        ("blocks", 0, "model.blocks is 0; expected a number from 1 to 1000"),
        ("block_kernel", 0, "model.block_kernel is 0; expected at least 1"),
        ("block_kernel", 2, "model.block_kernel is 2; expected an odd number, such as 3 or 1"),
        ("word_dim", 0, "model.word_dim is 0; expected at least 1"),
        ("hidden_dim", 0, "model.hidden_dim is 0; expected at least 1"),
        ("question_heads", 0, "model.question_heads is 0; expected at least 1"),
        ("classifier_maps", 0, "model.classifier_maps is 0; expected at least 1"),
        ("classifier_dim", 0, "model.classifier_dim is 0; expected at least 1"),
        ("film_blocks", -1, "model.film_blocks is -1; expected at least 0"),
    ],
    "clevr.config.model:ClevrDataConfig": [
        ("fraction", 0.0, "data.fraction is 0.0; expected above 0, and at most 1"),
        ("fraction", 1.5, "data.fraction is 1.5; expected above 0, and at most 1"),
        ("curriculum", -1, "data.curriculum is -1; expected at least 0"),
        ("images", 0, "data.images is 0; expected at least 1"),
        ("questions", 0, "data.questions is 0; expected at least 1"),
    ],
    "clevr.config.model:AugmentationConfig": [
        ("brightness", -0.5, "augmentation.brightness is -0.5; expected at least 0"),
        ("blur", -0.5, "augmentation.blur is -0.5; expected a number from 0 to 1"),
        ("blur", 1.5, "augmentation.blur is 1.5; expected a number from 0 to 1"),
        ("noise", -0.5, "augmentation.noise is -0.5; expected at least 0"),
    ],
    "clevr.config.model:TrunkPretrainingConfig": [
        ("images", 0, "trunk_pretraining.images is 0; expected at least 1"),
        ("recolor", -0.5, "trunk_pretraining.recolor is -0.5; expected a number from 0 to 1"),
        ("recolor", 1.5, "trunk_pretraining.recolor is 1.5; expected a number from 0 to 1"),
    ],
    "clevr.config.model:TrainConfig": [
        ("scene_weight", -0.5, "scene_weight is -0.5; expected at least 0"),
        ("trace_weight", -0.5, "trace_weight is -0.5; expected at least 0"),
        ("program_weight", -0.5, "program_weight is -0.5; expected at least 0"),
        ("unknown_words", 1.0, "unknown_words is 1.0; expected below 1"),
        ("validation_questions", 0, "validation_questions is 0; expected at least 1"),
    ],
    "clevr.config.features:ExtractorConfig": [
        ("size", 0, "extractor.size is 0; expected at least 1"),
    ],
    "clevr.config.features:ExtractorOverrides": [
        ("size", 0, "extractor.size is 0; expected at least 1"),
    ],
    "clevr.config.commands:CalibrateConfig": [
        ("images", 99, "images is 99; expected at least 100"),
        ("seed", -1, "seed is -1; expected at least 0"),
    ],
    "clevr.config.commands:InspectConfig": [
        ("images", 0, "images is 0; expected at least 1"),
        ("questions", -1, "questions is -1; expected at least 0"),
    ],
    "clevr.config.commands:GenerateConfig": [
        ("split", "", "split is ''; expected letters and digits, such as train or valB"),
        ("split", "my split", "split is 'my split'; expected letters and digits, such as train or valB"),
        ("scenes", 0, "scenes is 0; expected at least 1"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("width", 0, "width is 0; expected at least 1"),
        ("height", 0, "height is 0; expected at least 1"),
        ("questions_per_scene", -1, "questions_per_scene is -1; expected at least 0"),
        ("questions_per_scene", 91, "questions_per_scene is 91; expected at most 90, one of each family"),
        ("families", "humans", "families is humans; expected one of clevr, closure"),
        ("workers", 0, "workers is 0; expected auto, or at least 1"),
        ("start", -1, "start is -1; expected at least 0"),
        ("chunk", 0, "chunk is 0; expected at least 1"),
        ("part", -1, "part is -1; expected at least 0"),
        ("part", 1, "part is 1; expected less than parts (1): they are counted from 0"),
        ("parts", 0, "parts is 0; expected at least 1"),
    ],
    "clevr.config.commands:ConfoundConfig": [
        ("train", 0, "train is 0; expected at least 1"),
        ("val", 0, "val is 0; expected at least 1"),
        ("test", 0, "test is 0; expected at least 1"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("width", 0, "width is 0; expected at least 1"),
        ("height", 0, "height is 0; expected at least 1"),
        ("workers", 0, "workers is 0; expected auto, or at least 1"),
    ],
    "clevr.config.commands:RenderConfig": [
        ("scenes", 0, "scenes is 0; expected at least 1"),
        ("parts", (), "parts is []; expected some of images, visible, whole, depth, normals, boxes"),
        ("width", 0, "width is 0; expected at least 1"),
        ("height", 0, "height is 0; expected at least 1"),
        ("light", 0.0, "light is 0.0; expected above 0"),
        ("workers", 0, "workers is 0; expected auto, or at least 1"),
    ],
    "clevr.config.commands:TasksConfig": [
        ("items", 0, "items is 0; expected at least 1"),
        ("start", -1, "start is -1; expected at least 0"),
        ("difficulty", 0, "difficulty is 0; expected a number from 1 to 5"),
        ("difficulty", 6, "difficulty is 6; expected a number from 1 to 5"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("width", 0, "width is 0; expected at least 1"),
        ("height", 0, "height is 0; expected at least 1"),
    ],
    "clevr.config.commands:ObjectsConfig": [
        ("scenes", 0, "scenes is 0; expected at least 1"),
        ("seed", -1, "seed is -1; expected at least 0"),
        ("width", 0, "width is 0; expected at least 1"),
        ("height", 0, "height is 0; expected at least 1"),
        ("size", 0, "size is 0; expected at least 1"),
        ("margin", -0.5, "margin is -0.5; expected a number from 0 to 1"),
        ("margin", 1.5, "margin is 1.5; expected a number from 0 to 1"),
        ("min_side", 0, "min_side is 0; expected at least 1"),
        ("workers", 0, "workers is 0; expected auto, or at least 1"),
        ("chunk", 0, "chunk is 0; expected at least 1"),
    ],
}
"""By class: a setting, a value that it refuses, and the message."""

GIVEN = {"fewshot_film.config.preprocessing:Preprocessing": {"size": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3}}
"""Settings without a default that cannot be a text."""

ROWS = [(kind, *row) for kind, rows in REFUSED.items() for row in rows]


def settings_class(where):
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def every_settings_class():
    for package in (fewshot_film.config, clevr.commands):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    found, waiting = [], [Settings]
    while waiting:
        waiting += (subclasses := waiting.pop().__subclasses__())
        found += [each for each in subclasses if each.__module__.split(".")[0] in ("fewshot_film", "clevr")]
    return found


@pytest.mark.parametrize(("kind", "name", "value", "message"), ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
def test_out_of_range(kind, name, value, message):
    config_class = settings_class(kind)
    needed = {
        field.name: "x"
        for field in dataclasses.fields(config_class)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    needed |= GIVEN.get(kind, {})
    config_class(**needed)
    with pytest.raises(ConfigError) as caught:
        config_class(**{**needed, name: value})
    assert str(caught.value) == message


def test_every_range_has_a_row():
    listed = {(kind, name) for kind, name, _, _ in ROWS}
    missing = []
    for config_class in every_settings_class():
        declared = inspect.get_annotations(config_class)
        where = f"{config_class.__module__}:{config_class.__name__}"
        missing += [
            f"{where}.{name}" for name in ranges_of(config_class) if name in declared and (where, name) not in listed
        ]
    assert not missing, f"these settings have a range and no row in REFUSED: {missing}"
