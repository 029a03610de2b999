"""What a model loses without the values that gamma or beta have for each question, and with noise on them.

Source: Perez et al., "FiLM", AAAI 2018, section 4.3 and figure 7. Their best model lost 65.4 points with gamma reset to
its means over the training set, and 1.0 with beta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clevr.analysis.subject import Finding, Subject
from clevr.answers.plotting import COLORS, bars, new_figure
from clevr.answers.predict import predict
from clevr.answers.scores import Score, evaluate
from fewshot_film.film import Modulation, Modulations
from fewshot_film.run.figures import PALE
from fewshot_film.run.seeding import generator

Change = Callable[[Modulations], Modulations]
NOISE = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Standard deviations, in units of how much gamma or beta of a block differs from question to question."""
PARTS = {"gamma": (True, False), "beta": (False, True), "gamma and beta": (True, True)}


def analyse(subject: Subject) -> Finding:
    """Accuracy with values reset to training means or to the identity, in all blocks or in one, and with noise."""
    means = subject.mean_values()
    identity = subject.reasoner.sites.identity(device=subject.device)
    whole = _accuracy(subject, lambda values: values)
    resets: dict[str, Any] = {"none": whole}
    for name, parts in PARTS.items():
        resets[f"{name} to training means"] = _accuracy(subject, reset(means, *parts))
    resets["gamma to 1"] = _accuracy(subject, reset(identity, gamma=True, beta=False))
    resets["beta to 0"] = _accuracy(subject, reset(identity, gamma=False, beta=True))
    for number, name in enumerate(subject.reasoner.sites.names, 1):
        for part in ("gamma", "beta"):
            only = {name: means[name]}
            resets[f"{part} of block {number} to training means"] = _accuracy(subject, reset(only, *PARTS[part]))
    spreads = subject.spreads()
    noise = {
        name: {f"{scale:g}": _accuracy(subject, add_noise(scale, spreads, subject.seed, *parts)) for scale in NOISE}
        for name, parts in PARTS.items()
    }
    by_part = {"gamma": [gamma for gamma, _ in spreads.values()], "beta": [beta for _, beta in spreads.values()]}
    results = {"resets": resets, "noise": noise, "spread_by_block": by_part}
    return Finding(results, _draw(resets, noise, by_part))


def reset(values: Modulations, gamma: bool, beta: bool) -> Change:
    """Put one row of fixed values in the place of each question's own, at the sites that are named."""

    def change(modulations: Modulations) -> Modulations:
        changed = dict(modulations)
        for name, fixed in values.items():
            own = modulations[name]
            changed[name] = Modulation(
                fixed.gamma.expand_as(own.gamma) if gamma else own.gamma,
                fixed.beta.expand_as(own.beta) if beta else own.beta,
            )
        return changed

    return change


def add_noise(scale: float, spreads: Mapping[str, tuple[float, float]], seed: int, gamma: bool, beta: bool) -> Change:
    """Add Gaussian noise, drawn anew for every question; the same for the same questions in the same order.

    Args:
        scale: of the standard deviation.
        spreads: of gamma and of beta at every site: the noise of standard deviation 1 is multiplied by it.
        seed: of the noise.
        gamma: whether there is noise on gamma.
        beta: whether there is noise on beta.
    """
    source = generator(seed, "noise on gamma and beta", f"{scale:g}")

    def noisy(values: torch.Tensor, std: float, is_on: bool) -> torch.Tensor:
        drawn = std * torch.randn(values.shape, generator=source)  # drawn either way: equal noise for every part
        return values + drawn.to(values) if is_on else values

    def change(modulations: Modulations) -> Modulations:
        return {
            name: Modulation(
                noisy(values.gamma, scale * spreads[name][0], gamma), noisy(values.beta, scale * spreads[name][1], beta)
            )
            for name, values in modulations.items()
        }

    return change


def _accuracy(subject: Subject, change: Change) -> dict[str, Any]:
    """Overall and by type, with intervals."""
    found = predict(subject.reasoner, subject.data, limit=subject.questions, change=change)
    evaluation = evaluate(subject.data.table.select(found.numbers), found.answers)
    by_type = evaluation.by.get("type", {})
    return {name: score.to_json() for name, score in {"overall": evaluation.overall, **by_type}.items()}


def _draw(resets: dict[str, Any], noise: dict[str, Any], spreads: dict[str, list[float]]) -> Any:
    names = list(resets)
    figure, (left, right) = new_figure(1, 2, 11, 0.9 + 0.27 * max(10, len(names)))
    values = [100 * resets[name]["overall"]["accuracy"] for name in names]
    colors = [_color(name) for name in names]
    bars(left, ["as trained", *names[1:]], values, colors)
    left.set_xlabel("accuracy, %")
    left.set_title("values reset")
    for name, color in zip(noise, COLORS, strict=False):
        accuracies = [values[0], *(100 * entry["overall"]["accuracy"] for entry in noise[name].values())]
        errors = np.array([_errors(resets["none"]), *map(_errors, noise[name].values())]).T
        right.errorbar((0, *NOISE), accuracies, errors, color=color, marker="o", markersize=4, capsize=2, label=name)
    ranges = "; ".join(f"{part} {min(found):.2g} to {max(found):.2g}" for part, found in spreads.items())
    right.set_xscale("symlog", linthresh=NOISE[0])
    right.set_xticks((0, *NOISE), ["0", *(f"{scale:g}" for scale in NOISE)])
    right.minorticks_off()
    label = f"deviation of the noise, times that between questions\n(the latter by block: {ranges})"
    right.set(xlabel=label, ylabel="accuracy, %", ylim=(0, 102))
    right.set_title("noise added")
    right.legend(frameon=False, fontsize=9)
    return figure


def _color(name: str) -> str:
    if name == "none":
        return PALE
    return next(color for part, color in zip(reversed(PARTS), COLORS[2::-1], strict=False) if name.startswith(part))


def _errors(entry: dict[str, Any]) -> NDArray[np.float64]:
    """What the 95 % interval has below and above the accuracy, in per cent."""
    score = Score(entry["overall"]["right"], entry["overall"]["count"])
    low, high = score.interval
    return 100 * np.array([score.accuracy - low, high - score.accuracy])
