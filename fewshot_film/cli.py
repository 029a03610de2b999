"""The command line ``fewshot-film``."""

from __future__ import annotations

import sys

from fewshot_film.run.command import Command, main

CONFIG = "fewshot_film.config.commands"
DATA_FOUND = "fewshot_film.data.domains:check_found"
"""Looks whether the images are there."""

COMMANDS = (
    Command(
        name="pretrain",
        config=f"{CONFIG}:PretrainConfig",
        run="fewshot_film.commands.pretrain:run",
        help="Train a backbone as a classifier of all training classes.",
        examples=(
            "fewshot-film pretrain --config omniglot/pretrain --data.root omniglot.zip",
            "fewshot-film pretrain --out runs/glyphs --backbone.width 16 --loop.steps 500",
        ),
        check=DATA_FOUND,
        common=(
            "out",
            "data.source",
            "data.root",
            "data.resize",
            "backbone.name",
            "backbone.image_size",
            "loop.steps",
            "loop.learning_rate",
            "loop.device",
            "batch_size",
            "resume",
            "loop.seed",
        ),
        folders=("out",),
    ),
    Command(
        name="train",
        config=f"{CONFIG}:TrainConfig",
        run="fewshot_film.commands.train:run",
        help="Meta-train a learner on episodes of the training classes.",
        examples=(
            "fewshot-film train --config omniglot/train --data.root omniglot.zip",
            "fewshot-film train --out runs/protonet --learner.method prototypes --learner.train_backbone",
            "torchrun --nproc-per-node 2 -m fewshot_film train --config omniglot/train --resume",
        ),
        check=DATA_FOUND,
        common=(
            "out",
            "data.source",
            "data.root",
            "learner.method",
            "learner.backbone.weights",
            "episodes.way",
            "episodes.shot",
            "loop.steps",
            "loop.learning_rate",
            "loop.device",
            "loop.seed",
            "resume",
        ),
        folders=("out",),
    ),
    Command(
        name="evaluate",
        config=f"{CONFIG}:EvaluateConfig",
        run="fewshot_film.commands.evaluate:run",
        help="Measure the accuracy of a model on episodes of unseen classes, with 95 % intervals.",
        examples=(
            "fewshot-film evaluate runs/omniglot/train/model --data.source omniglot --data.root omniglot.zip "
            "--ways '[5,20]' --out result.json",
        ),
        positionals=("model",),
        check=DATA_FOUND,
        inputs=("episode_list",),
        models=("model",),
        outputs=(
            "out",
            "save_episodes",
        ),
        files=("out", "save_episodes"),
    ),
    Command(
        name="classify",
        config=f"{CONFIG}:ClassifyConfig",
        run="fewshot_film.commands.classify:run",
        help="Classify the images of a folder from a few labelled ones.",
        examples=(
            "fewshot-film classify --support labelled/ --query unknown/ --out named",
            "fewshot-film classify --model runs/omniglot/train/model --support labelled/ --query one.png --reject 0.05",
            "fewshot-film classify --support labelled/ --query many/ --out named --engine ray --runtime onnx",
        ),
        inputs=(
            "support",
            "query",
        ),
        models=("model",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="share",
        config=f"{CONFIG}:ShareConfig",
        run="fewshot_film.commands.share:run",
        help="Write a web page that classifies images in the browser, without Python.",
        examples=(
            "fewshot-film share --support labelled/ --out birds.html --title 'Which bird is this?'",
            "fewshot-film share --model classifier/ --out page && python -m http.server --directory page",
        ),
        inputs=(
            "support",
            "runtime",
        ),
        models=("model",),
        outputs=("out",),
    ),
    Command(
        name="embed",
        config=f"{CONFIG}:EmbedConfig",
        run="fewshot_film.commands.embed:run",
        help="Store embeddings of images, from which classify tells any classes.",
        examples=(
            "fewshot-film embed --query many/ --out embedded",
            "fewshot-film embed --query shards/ --out embedded --engine ray --workers 16",
        ),
        inputs=("query",),
        models=("model",),
        folders=("out",),
    ),
    Command(
        name="join",
        config=f"{CONFIG}:JoinConfig",
        run="fewshot_film.commands.join:run",
        help="Join trained models to one whose networks stand side by side: an ensemble.",
        examples=("fewshot-film join --models '[runs/one/model,runs/two/model]' --out runs/joined",),
        inputs=("models",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="calibrate",
        config=f"{CONFIG}:CalibrateConfig",
        run="fewshot_film.commands.calibrate:run",
        help="Calibrate a model: fit its temperatures on validation episodes and save them with it.",
        examples=("fewshot-film calibrate runs/omniglot/train/model --data.source omniglot --data.root omniglot.zip",),
        positionals=("model",),
        check=DATA_FOUND,
        inputs=("model",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="compare",
        config=f"{CONFIG}:CompareConfig",
        run="fewshot_film.commands.compare:run",
        help="Compare learners on your own images, with paired differences.",
        examples=(
            "fewshot-film compare --data labelled/ --out comparison",
            "fewshot-film compare --data labelled/ --models '[general-small,runs/mine/train/model]' --shot 3",
        ),
        inputs=(
            "data",
            "episode_list",
        ),
        models=("models",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="app",
        config=f"{CONFIG}:AppConfig",
        run="fewshot_film.app.server:run",
        help="Open the browser app: teach a classifier, ask about scenes, compare learners.",
        examples=(
            "fewshot-film app --open",
            "fewshot-film app --folder labelled/ --port 8000",
            "fewshot-film app --models '[runs/mine/train/model,general-small]' --reasoner runs/clevr/small/model",
        ),
        inputs=("folder",),
        models=(
            "models",
            "reasoner",
        ),
    ),
    Command(
        name="report",
        config=f"{CONFIG}:ReportConfig",
        run="fewshot_film.commands.report:run",
        help="Write an HTML report about a run: curves, accuracies, confusion matrix, an episode, effect of FiLM.",
        examples=(
            "fewshot-film report runs/omniglot/train",
            "fewshot-film report runs/omniglot/train --root omniglot.zip --figures figures --out omniglot.html",
        ),
        positionals=("run",),
        inputs=(
            "run",
            "results",
            "root",
        ),
        outputs=(
            "out",
            "figures",
        ),
        files=("out",),
        folders=("figures",),
    ),
)


def run() -> int:
    """Entry point of ``fewshot-film`` and of ``python -m fewshot_film``."""
    return main("fewshot-film", COMMANDS)


if __name__ == "__main__":
    sys.exit(run())
