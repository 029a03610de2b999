"""The command line ``clevr-film``."""

from __future__ import annotations

import sys

from fewshot_film.run.command import Command, main

COMMANDS = (
    Command(
        name="generate",
        config="clevr.config.commands:GenerateConfig",
        run="clevr.commands.generate:run",
        help="Generate scenes, images and questions in CLEVR's format.",
        examples=(
            "clevr-film generate --split val --scenes 1000 --out worlds/first",
            "clevr-film generate --split train --scenes 10000 --width 128 --height 96 --out worlds/first",
            "clevr-film generate --split trainA --condition A --scenes 70000 --stop 35000 --out cogent",
            "clevr-film generate --split val --families closure --scenes_from worlds/first --out worlds/closure",
        ),
        folders=("out",),
    ),
    Command(
        name="render",
        config="clevr.config.commands:RenderConfig",
        run="clevr.commands.render:run",
        help="Render scenes again in another size, view or light, with masks, depth, normals and boxes.",
        examples=(
            "clevr-film render worlds/first --split val --width 640 --height 480 --out large",
            "clevr-film render worlds/first --parts '[images,visible,whole,depth,normals,boxes]' --out seen",
            "clevr-film render CLEVR_v1.0 --scenes 20 --camera '[0, -10, 6]' --light 0.5 --out evening",
        ),
        positionals=("data",),
        inputs=("data",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="confound",
        config="clevr.config.commands:ConfoundConfig",
        run="clevr.commands.confound:run",
        help="Generate classes of scenes by rules, confounded in training and not in the test.",
        examples=("clevr-film confound examples/confounded/classes.yaml --out confounded",),
        positionals=("rules",),
        inputs=("rules",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="objects",
        config="clevr.config.commands:ObjectsConfig",
        run="clevr.commands.objects:run",
        help="Crop objects from generated scenes into one folder per class, for few-shot learning.",
        examples=(
            "clevr-film objects --scenes 1000 --out clevr-objects",
            "clevr-film objects --world examples/harbour/world.yaml --out harbour-objects",
            "clevr-film objects --scenes 20 --size 128 --out objects --workers 1",
        ),
        folders=("out",),
    ),
    Command(
        name="tasks",
        config="clevr.config.commands:TasksConfig",
        run="clevr.commands.tasks:run",
        help="Show tasks whose free-form answers can be scored, or write them to a folder.",
        examples=(
            "clevr-film tasks",
            "clevr-film tasks counting --items 3 --sheet counting.png",
            "clevr-film tasks counterfactual --difficulty 2 --items 1000 --out counterfactual",
        ),
        positionals=("kind",),
        outputs=("out", "sheet"),
        files=("sheet",),
        folders=("out",),
    ),
    Command(
        name="train",
        config="clevr.config.model:TrainConfig",
        run="clevr.commands.train:run",
        help="Train the reasoning model.",
        examples=(
            "clevr-film train --config clevr/small --resume",
            "clevr-film train --config clevr/film-pixels --data.root CLEVR_v1.0 --out runs/film",
        ),
        check="clevr.inputs:check_training",
        common=(
            "out",
            "data.root",
            "data.train_split",
            "data.val_split",
            "model.inputs",
            "weights",
            "loop.steps",
            "loop.learning_rate",
            "loop.device",
            "loop.seed",
            "resume",
        ),
        folders=("out",),
    ),
    Command(
        name="export",
        config="clevr.config.commands:ExportConfig",
        run="clevr.commands.export:run",
        help="Save the model of a run, finished or not.",
        examples=("clevr-film export runs/clevr/small --checkpoint last --half --out my-model",),
        positionals=("run",),
        inputs=("run",),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="calibrate",
        config="clevr.config.commands:CalibrateConfig",
        run="clevr.commands.calibrate:run",
        help="Store statistics of its training images in a model, so that `ask` can warn about other images.",
        examples=(
            "clevr-film calibrate my-model worlds/first",
            "clevr-film calibrate runs/clevr/small/model CLEVR_v1.0 --split train --images 2000",
        ),
        check="clevr.inputs:check_model_and_split",
        positionals=("model", "data"),
    ),
    Command(
        name="inspect",
        config="clevr.config.commands:InspectConfig",
        run="clevr.commands.inspect:run",
        help="Summarise, check and view a data set in CLEVR's format.",
        examples=(
            "clevr-film inspect worlds/first --sheet sheet.png",
            "clevr-film inspect CLEVR_v1.0 --split val --out val.json",
        ),
        positionals=("data",),
        inputs=("data",),
        outputs=(
            "out",
            "sheet",
        ),
        files=("out", "sheet"),
    ),
    Command(
        name="features",
        config="clevr.config.commands:FeaturesConfig",
        run="clevr.commands.features:run",
        help="Compute image features with a fixed network (by default ResNet-101 conv4) and store them.",
        examples=(
            "clevr-film features CLEVR_v1.0 --split val --out features/val --extractor.normalisation film",
            "clevr-film features images/ --out features/own --extractor.backbone resnet50 --extractor.layer layer2",
        ),
        positionals=("data",),
        inputs=("data",),
        folders=("out",),
    ),
    Command(
        name="evaluate",
        config="clevr.config.commands:EvaluateConfig",
        run="clevr.commands.evaluate:run",
        help="Measure the accuracy of a model by kind of question, next to published results.",
        examples=(
            "clevr-film evaluate clevr-small worlds/first --split val --out val.json",
            "clevr-film evaluate runs/clevr/small/model CLEVR_v1.0 --split test --predictions answers.json",
        ),
        check="clevr.inputs:check_model_and_split",
        positionals=("model", "data"),
        outputs=(
            "out",
            "sheet",
            "predictions",
        ),
        files=("out", "sheet", "predictions"),
    ),
    Command(
        name="ask",
        config="clevr.config.commands:AskConfig",
        run="clevr.commands.ask:run",
        help="Ask a model a question about an image, and see where its answer comes from.",
        examples=(
            'clevr-film ask scene.png "How many red cubes are there?"',
            'clevr-film ask scene.png "What shape is the big cube?" --out why.png --model runs/clevr/small/model',
            "clevr-film ask scene.png",
        ),
        check="clevr.inputs:check_model",
        positionals=("image", "question"),
        inputs=("image",),
        outputs=("out",),
        files=("out",),
    ),
    Command(
        name="analyse",
        config="clevr.config.commands:AnalyseConfig",
        run="clevr.commands.analyse:run",
        help="Analyse a model: gamma and beta, resets and noise, consistency, composition.",
        examples=(
            "clevr-film analyse clevr-small worlds/first --out analysis",
            "clevr-film analyse runs/clevr/small/model CLEVR_v1.0 --out analysis --analyses '[histograms,embedding]'",
        ),
        check="clevr.inputs:check_model_and_split",
        positionals=("model", "data"),
        outputs=("out",),
        folders=("out",),
    ),
    Command(
        name="report",
        config="clevr.config.commands:ReportConfig",
        run="clevr.commands.report:run",
        help="Write an HTML report about a run: curves, accuracy by type, confusion matrix, answers, effect of FiLM.",
        examples=(
            "clevr-film report runs/clevr/small",
            "clevr-film report runs/clevr/small --evaluation val.json --figures figures --out small.html",
        ),
        positionals=("run",),
        inputs=(
            "run",
            "evaluation",
        ),
        outputs=(
            "out",
            "figures",
        ),
        files=("out",),
        folders=("figures",),
    ),
    Command(
        name="import",
        config="clevr.config.commands:ImportConfig",
        run="clevr.commands.importing:run",
        help="Convert a checkpoint written by the code of FiLM's authors.",
        examples=("clevr-film import film.pt --out models/film",),
        positionals=("checkpoint",),
        inputs=(
            "checkpoint",
            "vocabulary",
        ),
        outputs=("out",),
        folders=("out",),
    ),
)


def run() -> int:
    """Entry point of ``clevr-film`` and of ``python -m clevr``."""
    return main("clevr-film", COMMANDS)


if __name__ == "__main__":
    sys.exit(run())
