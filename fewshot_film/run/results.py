"""Result files: numbers with everything that is needed to believe and to repeat them, versions and hardware too."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_film.errors import ConfigError, InvalidValueError, differing
from fewshot_film.run.files import write_json_atomically
from fewshot_film.run.settings import plain
from fewshot_film.run.student import student_quantile


def mean_and_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval.

    The half width is ``t * s / sqrt(n)``, with ``s`` the standard deviation of the sample (``n - 1``) and ``t`` the
    0.975 quantile of Student's t: 1.964 for 600 values, where papers have 1.96, 2.26 for ten and 12.7 for two.

    Args:
        values: at least two numbers.

    Raises:
        ValueError: fewer than two values, or one that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    finite = int(np.isfinite(numbers).sum())
    if finite < max(2, numbers.size):
        odd = f", and {numbers.size - finite} that are not" if finite < numbers.size else ""
        raise InvalidValueError(
            f"an interval needs at least 2 finite values, got {finite}{odd}; evaluate more episodes"
        )
    factor = student_quantile(0.975, numbers.size - 1)
    return float(numbers.mean()), float(factor * numbers.std(ddof=1) / math.sqrt(numbers.size))


def paired_difference(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Mean of ``values - others``, pair by pair, and half the width of its 95 % confidence interval.

    What both have in common, such as how hard an episode is, drops out: the interval is as narrow as the two agree.

    Args:
        values: one number an episode.
        others: numbers of the same episodes, in the same order.

    Raises:
        ValueError: the lengths differ, or there are fewer than two pairs, or a value is not finite.
    """
    if len(values) != len(others):
        raise InvalidValueError(
            f"{len(values)} and {len(others)} values cannot be paired; give both for the same episodes"
        )
    differences = np.asarray(values, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    return mean_and_interval(differences)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, half width of the 95 % interval, number of values, and the values themselves."""
    mean, interval = mean_and_interval(values)
    return {
        "mean": mean,
        "interval": interval,
        "count": len(values),
        "values": [float(value) for value in values],
    }


def write_result(path: Path, *, config: Any, seed: int, results: Mapping[str, Any]) -> None:
    """Write a result file: results with command, settings, seed, commit, versions and hardware.

    Args:
        path: the JSON file; its folder is made.
        config: dataclass or mapping of all settings; paths below the working directory are written from there on, as
            they are on every machine.
        seed: the seed that the numbers depend on.
        results: what was found, plain values; :func:`summary` makes the entries of repeated measurements.
    Raises:
        ValueError: ``results`` holds NaN or infinity.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"command": command_line(), "seed": seed, "config": _from_here(plain(config)), **environment()}
    write_json_atomically(path, {**content, "results": dict(results)})


def earlier_results(path: Path, config: Any, decisive: Iterable[str]) -> dict[str, Any]:
    """Results of an earlier run, to go on from; empty where there is no file.

    Args:
        path: the JSON file, from :func:`write_result`.
        config: settings of this run.
        decisive: the settings that the numbers depend on.
    Raises:
        ConfigError: the file was made with others.
    """
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    wanted, settings = list(decisive), _from_here(plain(config))
    there, here = ({name: one.get(name) for name in wanted} for one in (content["config"], settings))
    if there != here:
        raise ConfigError(
            f"{path} was made with different settings: {differing(there, here)}. "
            "Give the same ones to go on with it, choose another --out, or remove it"
        )
    results: dict[str, Any] = content["results"]
    return results


def _from_here(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_here(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_here(item) for item in value]
    return value.removeprefix(f"{Path.cwd()}{os.sep}") if isinstance(value, str) else value


_PACKAGES = ("fewshot-film", "torch", "torchvision", "numpy", "lightning-fabric", "pillow")


def environment() -> dict[str, Any]:
    """Versions, commit and hardware as plain values, for run folders and result files."""
    import torch  # what only reads results does not wait for it

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "commit": _commit(Path(__file__).parent),
        "hardware": {
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gib": _memory_gib(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
    }


def command_line() -> list[str]:
    """The command that runs, as it would be typed: ``python -m MODULE`` or the program, and its arguments."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return [Path(sys.argv[0]).name, *sys.argv[1:]]
    return ["python", "-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    """The commit of the source tree, with ``+changes`` if files differ from it; None outside a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
