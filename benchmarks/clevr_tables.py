"""Tables of the studies of the CLEVR reasoner, from the result files that are there.

Each is a section of `docs/results.md` with its heading, and empty where no result file is. A study of several sizes or
trainings has a table for each.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.clevr_experiments import as_table, row_of
from benchmarks.clevr_trainings import (
    QUESTIONS_PER_SCENE,
    RESULTS,
    SMALL_WORLD,
    ExperimentConfig,
    base_training,
    supervision,
)
from benchmarks.clevr_transfer import PUBLISHED_COGENT, PUBLISHED_COMPOSITION, composition_rows
from benchmarks.clevr_variants import AIDS, VARIANTS
from clevr.answers.report import PUBLISHED as CLEVR_PUBLISHED
from clevr.questions.programs import QUESTION_TYPES
from clevr.world.world_file import read_world

PAPER = "Perez et al., FiLM, AAAI 2018"


def cogent(results: Path = RESULTS) -> str:
    """CoGenT: trained on condition A, tested on both, fine-tuned on more and more of B."""
    parts = []
    for name, content in _files(results, "clevr_cogent"):
        rows = content["results"]["accuracy"]
        before = rows["trained on A, on A"], rows["trained on A, on B"]
        gap = 100 * (before[0]["overall"]["accuracy"] - before[1]["overall"]["accuracy"])
        theirs = PUBLISHED_COGENT["trained on A, on A"] - PUBLISHED_COGENT["trained on A, on B"]
        counts = " and ".join(f"{one['overall']['count']:,}" for one in before)
        remarks = [
            f"Trained on {_supervision(content)}, all of condition A. Fine-tuning has the same of a share of the "
            f"questions about some images of B, and tests have {counts} questions about others.",
            f"Before fine-tuning B is {gap:.1f} points below A; FiLM's distance is {theirs:.1f}.",
            f"Published: {PAPER}, figure 9; from answers alone, fine-tuned on up to 30,000 questions.",
        ]
        parts.append(_part(as_table(rows, _title(content, "CoGenT"), PUBLISHED_COGENT), remarks, name, content))
    return _section("CoGenT: colours that shapes never had", parts)


def composition(results: Path = RESULTS) -> str:
    """Gamma and beta put together for colours and shapes that the training never had together."""
    parts = []
    for name, content in _files(results, "clevr_composition"):
        found = content["results"]
        lines = [
            f"| {_title(content, 'composition')} | questions | as asked | put together |",
            "| --- | ---: | ---: | ---: |",
        ]
        for row, (asked, composed) in composition_rows(found).items():
            lines.append(f"| {row} | {asked['count']:,} | {_share(asked)} | {_share(composed)} |")
        theirs = " | ".join(f"{PUBLISHED_COMPOSITION[way]:.1f}" for way in ("asked", "composed"))
        lines.append(f"| FiLM on CLEVR-CoGenT, any question about one, never seen in training | | {theirs} |")
        remarks = [
            f"Trained on {_supervision(content)}, all of condition A, asked about images of B. Never together in its "
            f"training: {', '.join(found['training']['never seen'])}.",
            f"Published: {PAPER}, section 4.5, the third of CoGenT B's questions that could be put together.",
        ]
        parts.append(_part("\n".join(lines), remarks, name, content))
    return _section("Gamma and beta put together", parts)


def answers_alone(results: Path = RESULTS) -> str:
    """FiLM as published in everything but size, from answers alone: by type, by relations, by objects in the scene."""
    path = results / "clevr_answers_alone.json"
    if not path.is_file():
        return ""
    content = json.loads(path.read_text(encoding="utf-8"))
    found, columns = content["results"], ("overall", *QUESTION_TYPES)
    scores = {"overall": found["overall"], **found["by"]["type"]}
    theirs = [f"{value:.1f}" for value in CLEVR_PUBLISHED["FiLM, pixels"] if value is not None]
    lines = [
        f"| accuracy in % | {' | '.join(columns)} |",
        f"| --- {'| ---: ' * len(columns)}|",
        f"| test questions | {' | '.join(_share(scores[column]) for column in columns)} |",
        f"| how many | {' | '.join(format(scores[column]['count'], ',') for column in columns)} |",
        f"| FiLM from pixels, CLEVR v1.0 | {' | '.join(theirs)} |",
    ]
    relations, objects = found["by"]["hops"], found["by"]["objects"]
    names = [
        *(_counted(int(name), "relation") for name in relations),
        *(_counted(int(name), "object") for name in objects),
    ]
    values = [f"{100 * score['accuracy']:.1f}" for score in (*relations.values(), *objects.values())]
    split = [f"| {' | '.join(names)} |", f"|{' ---: |' * len(names)}", f"| {' | '.join(values)} |"]
    remarks = [f"Published: {PAPER}, table 1; other images, larger, of 3 to 10 objects."]
    parts = ["\n".join(lines), _part("\n".join(split), remarks, path.name, content)]
    return _section("From answers alone", parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def ablations(results: Path = RESULTS) -> str:
    """What each part of the network is worth."""
    return _variants(
        results,
        "ablations",
        "Ablations",
        f"Published: {PAPER}, tables 2 and 3, CLEVR's validation set, from features of a ResNet-101.",
    )


def aids(results: Path = RESULTS) -> str:
    """What each thing is worth that helps the small size to learn."""
    return _variants(results, "aids", "Aids", "What each variant lacks: `benchmarks/clevr_variants.py`.")


def data_efficiency(results: Path = RESULTS) -> str:
    """Accuracy by the share of the training questions."""
    return _variants(
        results,
        "data_efficiency",
        "Data efficiency",
        "Shares of the training questions, as many steps with each, of as many questions. "
        f"Published: {PAPER}, table 1, from pixels.",
    )


def pixels_features(results: Path = RESULTS) -> str:
    """The same network from pixels and from features of a fixed one."""
    return _variants(
        results, "pixels_features", "Pixels against fixed features", f"Published: {PAPER}, table 1, CLEVR's test set."
    )


def _variants(results: Path, study: str, heading: str, published: str) -> str:
    """A study that :func:`benchmarks.clevr_experiments.compare` made."""
    parts = []
    for name, content in _files(results, f"clevr_{study}"):
        variants = dict(sorted(content["results"]["variants"].items(), key=lambda item: _place(item[0])))
        rows = {variant: row_of(found) for variant, found in variants.items()}
        theirs = {variant: found["published"] for variant, found in variants.items() if "published" in found}
        remarks = [_trainings(variants), _supervisions(content, variants), *_world(content), published]
        parts.append(_part(as_table(rows, _title(content, "variant"), theirs), remarks, name, content))
    return _section(heading, parts)


def _place(variant: str) -> int:
    """Of a row in its table, whichever was trained first; what is no ablation and no aid stays where it is."""
    names = [*VARIANTS, *AIDS]
    return names.index(variant) if variant in names else len(names)


def _trainings(variants: Mapping[str, Any]) -> str:
    first, *others = variants
    counts = [len(found["accuracies"]) for found in variants.values()]
    fewest, most = min(counts), max(counts)
    if most == 1 or not others:
        return "One training of each, with one seed: no interval says how far another would be from it."
    seeds = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    return f"Means over {seeds}; differences from `{first}` are paired by seed, their 95 % intervals by Student's t."


def _world(content: Mapping[str, Any]) -> list[str]:
    """Of what images a generated world has, if the small size made it."""
    config = content["config"]
    if config["size"] != "small" or config["training"] or config["root"]:
        return []
    world = read_world(SMALL_WORLD)
    model = base_training(ExperimentConfig(), "none", Path("none")).model
    objects = f"{world.min_objects} to {world.max_objects} objects in {model.width} x {model.height} pixels"
    return [f"{config['scenes']:,} training scenes of {objects}, {QUESTIONS_PER_SCENE} questions each."]


def _supervisions(content: Mapping[str, Any], variants: Mapping[str, Any]) -> str:
    """A sentence on what the variants learned from, those that learned from the same together."""
    groups: dict[str, list[str]] = {}
    for name, found in variants.items():
        groups.setdefault(found.get("supervision") or _supervision(content), []).append(name)
    if len(groups) == 1:
        return f"Trained on {next(iter(groups))}."
    told = "; ".join(f"{', '.join(f'`{name}`' for name in names)} on {what}" for what, names in groups.items())
    return f"Trained: {told}."


def _supervision(content: Mapping[str, Any]) -> str:
    """What the training of a result file learned from: as it says, or by its settings where it does not."""
    told: str | None = content["results"].get("supervision")
    if told is not None:
        return told
    known = {field.name for field in dataclasses.fields(ExperimentConfig)}
    values = {key: value for key, value in content["config"].items() if key in known}
    paths = {key: Path(values[key]) for key in ("training", "root", "runs", "out") if values.get(key) is not None}
    config = ExperimentConfig(**{**values, **paths})
    return supervision(base_training(config, "none", config.root or Path("none")))


def _files(results: Path, study: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and contents of the result files of a study, sorted."""
    for path in sorted(results.glob(f"{study}_*.json")):
        yield path.name, json.loads(path.read_text(encoding="utf-8"))


def _share(score: Mapping[str, Any]) -> str:
    low, high = score["interval"]
    return f"{100 * score['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _title(content: Mapping[str, Any], what: str) -> str:
    config = content["config"]
    precision = f", precision {config['precision']}" if config.get("precision") else ""  # older files have none
    return f"accuracy in %, {config['training'] or config['size'] + ' size'}{precision}: {what}"


def _part(table: str, remarks: list[str], name: str, content: Mapping[str, Any]) -> str:
    return "\n".join([table, "", *remarks, f"Made by `{shlex.join(content['command'])}` (`{name}`)."])


def _section(heading: str, parts: list[str]) -> str:
    return "\n\n".join([f"### {heading}", *parts]) if parts else ""
