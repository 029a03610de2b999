"""The one training loop of this project: pre-training, meta-training and CLEVR all go through it.

Step ``s`` adds up the micro-batches ``s*M ... (s+1)*M - 1``, where M is the number of processes times ``accumulate``.
Before each of them torch's global generator is seeded from (seed, its number), and left as it was when the training
ends. So the weights after a step depend neither on the loader workers nor on where a run was stopped and resumed, to
the last bit on one machine; and two processes do what one does with ``accumulate`` doubled, apart from rounding and
from the running statistics of BatchNorm, which are those of the first process.
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType, TracebackType
from typing import Any, NoReturn, Self

import torch
from torch import nn

from fewshot_film.errors import (
    CheckpointError,
    ConfigError,
    Interrupted,
    NonFiniteLossError,
    RunFolderError,
)
from fewshot_film.run.checkpoint import Checkpoint, differences, load_checkpoint, put_weights, save_checkpoint
from fewshot_film.run.old_keys import current
from fewshot_film.run.optimizer import Stepper, learning_rate_at, make_optimizer
from fewshot_film.run.progress import Progress, Reporter, say_at_once
from fewshot_film.run.run_folder import RunFolder
from fewshot_film.run.runtime import Runtime
from fewshot_film.run.seeding import derived_seed
from fewshot_film.run.settings import LoopConfig, defaults_of, plain
from fewshot_film.run.workers import Batches, loaded

logger = logging.getLogger(__name__)

_WATCHED = (signal.SIGINT, signal.SIGTERM)

Validate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class TrainResult:
    """How a training ended; the module holds the weights of the last step."""

    step: int
    """Optimizer steps taken, those before a resumption included."""
    best: float | None
    """Best value of the monitored validation metric; None without validation."""
    best_step: int | None
    """The step that reached it, whose weights are in ``best_checkpoint``."""
    stopped_early: bool
    """Whether patience ran out before the last step."""
    seconds: float
    """Time spent training, over all parts of the run."""
    last_checkpoint: Path
    """``last.ckpt``."""
    best_checkpoint: Path | None
    """``best.ckpt``, if there was a validation."""


def train(
    module: nn.Module,
    batches: Batches,
    loop: LoopConfig,
    *,
    run_dir: Path,
    validate: Validate | None = None,
    config: Any = None,
    resume: bool = False,
    may_differ: Collection[str] = (),
    accuracy_of: Mapping[str, str] = MappingProxyType({}),
) -> TrainResult:
    """Train a module, by as many processes as ``torchrun`` started; every batch is a function of its number alone.

    Args:
        module: called as ``module(batch)`` in training mode; returns a dict of scalar tensors with ``loss``
            and whatever else shall be logged. Moved to the device.
        batches: micro-batches by number; a pure function of the number.
        loop: how to train.
        run_dir: folder of the run.
        validate: gets the module in evaluation mode, without gradients, and returns numbers, among them
            ``loop.monitor``. Every process calls it; the first one's numbers count.
        config: dataclass or mapping of all settings of the command, recorded as ``config.yaml``; by default
            ``loop`` alone.
        resume: continue from ``last.ckpt`` if it exists.
        may_differ: dotted keys of ``config`` that may have changed since then, such as where the data are.
        accuracy_of: for log lines: what the accuracy of ``train`` and of ``validation`` is that of.
    Returns:
        How it ended.
    Raises:
        ConfigError: settings that do not fit each other or this machine.
        RunFolderError: the folder holds a checkpoint and ``resume`` was not asked for, or is in use.
        CheckpointError: the checkpoint is damaged or of other settings.
        NonFiniteLossError: the loss or its gradient is not finite.
        ProcessLostError: a loader worker or another process ended.
        Interrupted: Ctrl-C or SIGTERM came, and a checkpoint was written.
        TypeError: the module returns something else.
    """
    training = _Training(module, loop, run_dir, validate)
    with training.opened():
        training.start(config, resume, may_differ)
        return training.run(batches, accuracy_of)


class _Training:
    """The state of one training, and what happens to it."""

    def __init__(
        self,
        module: nn.Module,
        loop: LoopConfig,
        run_dir: Path,
        validate: Validate | None,
    ) -> None:
        if loop.patience is not None and validate is None:
            raise ConfigError("patience is set, but nothing is validated; set patience to null")
        self.module = module
        self.loop = loop
        self.validate = validate
        self.runtime = Runtime(loop.device, loop.precision)
        self.folder = RunFolder(run_dir)
        self.stop = StopRequest(talks=self.runtime.rank == 0)
        self.progress = Progress(micro_batches_per_step=self.runtime.world_size * loop.accumulate)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within the block the folder is locked and signals are requests; after it torch draws on as before it."""
        cuda = [self.runtime.device] if self.runtime.device.type == "cuda" else []
        with self.runtime.watched(), torch.random.fork_rng(cuda), self.stop, ExitStack() as stack:
            if self.runtime.rank == 0:
                stack.enter_context(self.folder)
            yield

    def start(self, config: Any, resume: bool, may_differ: Collection[str]) -> None:
        """Take weights and progress from the checkpoint, if there is one, and put everything in place."""
        settings = {"loop": plain(self.loop)} if config is None else plain(config)
        kind = type(config) if dataclasses.is_dataclass(config) else None
        self.recorded = settings | {"loop": plain(self.loop)}
        checkpoint = self._found(resume, may_differ, kind)
        if checkpoint is not None:
            self.progress = checkpoint.progress
            put_weights(self.module, checkpoint.module, self.folder.last)
        if self.progress.step != self.runtime.from_first(self.progress.step):
            raise RunFolderError(
                f"{self.folder.path} is not the run folder of the first process; "
                f"put it on storage that all machines share"
            )
        self.module.train()
        self.wrapped = self.runtime.set_up(self.module)
        self.optimizer = make_optimizer(self.module, self.loop)
        if checkpoint is not None and checkpoint.optimizer is not None:
            self.optimizer.load_state_dict(checkpoint.optimizer)
        if self.runtime.rank == 0:
            where = {"processes": self.runtime.world_size, "device": str(self.runtime.device)}
            self.folder.start(settings, self.progress, where)
        self.first_step = self.progress.step
        self.saved_at = time.monotonic()
        self.began = self.saved_at - self.progress.seconds

    def numbers(self) -> range:
        """Numbers of the micro-batches that are left for this process."""
        per_step = self.progress.micro_batches_per_step
        first = self.progress.step * per_step + self.runtime.rank
        return range(first, self.loop.steps * per_step, self.runtime.world_size)

    def run(self, batches: Batches, accuracy_of: Mapping[str, str]) -> TrainResult:
        """Take the steps that are left, and log, validate and save what the last one still lacks."""
        first, talks = self.progress.step, self.runtime.rank == 0
        with (
            Reporter(first, self.loop.steps, talks, accuracy_of) as reporter,
            loaded(batches, self.numbers(), self.loop.num_workers) as loader,
        ):
            self._take_steps(loader, reporter)
            return self._finish(reporter)

    def _take_steps(self, loader: Iterator[Any], reporter: Reporter) -> None:
        """Take steps until the last one, or until patience runs out."""
        left = zip(self.numbers(), loader, strict=True)
        stepper = Stepper(self.wrapped, self.module, self.optimizer, self.loop, self.runtime, left)
        while True:
            if self.progress.step and self.progress.step % self.loop.validate_every == 0:
                self._run_validation(reporter)
            if self.progress.step >= self.loop.steps or self._patience_is_out():
                return
            try:
                values, stop = stepper.step(self.progress.step, lambda: self.stop.signal_number is not None)
            except NonFiniteLossError as error:
                raise NonFiniteLossError(f"{error} {self._last_good()}") from None
            if values:
                self._count(values, reporter)
            if stop:
                self._save()
                self._end_interrupted()
            if time.monotonic() - self.saved_at >= self.loop.checkpoint_seconds:
                self._save()

    def _finish(self, reporter: Reporter) -> TrainResult:
        if self.progress.window_steps:
            self._log(reporter)
        self._run_validation(reporter)
        if self.progress.step > self.first_step:
            self._save()
        if self.stop.signal_number is not None:
            self._end_interrupted()
        self.runtime.wait()
        return TrainResult(
            step=self.progress.step,
            best=self.progress.best,
            best_step=self.progress.best_step,
            stopped_early=self.progress.step < self.loop.steps,
            seconds=self.progress.seconds,
            last_checkpoint=self.folder.last,
            best_checkpoint=None if self.progress.best is None else self.folder.best,
        )

    def _found(self, resume: bool, may_differ: Collection[str], kind: type | None) -> Checkpoint | None:
        path = self.folder.last
        if not path.exists():
            if resume:
                logger.info("no checkpoint in %s yet: starting at step 0", self.folder.path)
            return None
        if not resume:
            raise RunFolderError(
                f"{self.folder.path} already contains a run ({path.name}); continue it with --resume, "
                f"or choose another run folder"
            )
        checkpoint = load_checkpoint(path)
        step = checkpoint.progress.step
        old = checkpoint.config if kind is None else current(kind, checkpoint.config)
        defaults = {"loop": plain(LoopConfig())} if kind is None else defaults_of(kind)
        changed = differences(old, self.recorded, may_differ, step=step, defaults=defaults)
        there, here = checkpoint.progress.micro_batches_per_step, self.progress.micro_batches_per_step
        if there != here:
            changed.append(f"micro-batches per step (processes times accumulate): {there} -> {here}")
        if changed:
            raise CheckpointError(
                f"{path} was written with different settings: {'; '.join(changed)}. "
                f"Resume with the settings in {self.folder.path / 'config.yaml'}, or choose another folder"
            )
        logger.info("resuming from %s at step %d", path, step)
        return checkpoint

    def _count(self, values: dict[str, float], reporter: Reporter) -> None:
        """One step more, and what it reported."""
        self.progress.count(values)
        reporter.advance(values)
        if self.progress.step % self.loop.log_every == 0 or self.progress.step == self.loop.steps:
            self._log(reporter)

    def _log(self, reporter: Reporter) -> None:
        means = self.progress.take_window()
        rate = learning_rate_at(self.progress.step - 1, self.loop)
        self._write("train", means | {"learning_rate": rate}, reporter)

    def _write(self, split: str, values: dict[str, float], reporter: Reporter) -> None:
        self.progress.seconds = time.monotonic() - self.began
        self.progress.lines += 1
        if self.runtime.rank == 0:
            self.folder.log(self.progress.step, split, values | {"seconds": round(self.progress.seconds, 3)})
            reporter.say(split, self.progress.step, values)

    def _run_validation(self, reporter: Reporter) -> None:
        """Validate unless there is nothing to, or it was done at this step; keep the best weights."""
        progress = self.progress
        if self.validate is None or progress.validated_step == progress.step:
            return
        self._save()  # a validation may take long, and the run may be killed in it
        try:
            with self.stop.at_once(self.runtime.world_size == 1):  # the others would wait for its numbers
                metrics = self._validated(self.validate)
        except StoppedAtOnce:
            self._end_interrupted()
        metrics = self.runtime.from_first(metrics)
        if self.loop.monitor not in metrics:
            reported = ", ".join(metrics)
            raise ConfigError(f"monitor is {self.loop.monitor!r}; expected what the validation reports: {reported}")
        self._write("validation", metrics, reporter)
        if progress.judge(metrics[self.loop.monitor], self.loop.mode) and self.runtime.rank == 0:
            state = Checkpoint(self.recorded, progress, self.module.state_dict(), None)
            save_checkpoint(self.folder.best, state)

    def _validated(self, validate: Validate) -> dict[str, float]:
        with evaluating(self.module), torch.no_grad(), self.runtime.autocast():
            self.runtime.seed(derived_seed(self.loop.seed, "validation", self.progress.step))
            return {name: float(value) for name, value in validate(self.module).items()}

    def _patience_is_out(self) -> bool:
        return self.loop.patience is not None and self.progress.validations_since_best >= self.loop.patience

    def _save(self) -> None:
        self.progress.seconds = time.monotonic() - self.began
        if self.runtime.rank == 0:
            weights, optimizer = self.module.state_dict(), self.optimizer.state_dict()
            save_checkpoint(self.folder.last, Checkpoint(self.recorded, self.progress, weights, optimizer))
        self.saved_at = time.monotonic()

    def _end_interrupted(self) -> NoReturn:
        self.runtime.wait()
        number = self.stop.signal_number or signal.SIGTERM
        raise Interrupted(
            f"stopped by {signal.Signals(number).name} after step {self.progress.step} of {self.loop.steps}; "
            f"saved in {self.folder.last}. Continue with the same command and --resume",
            number,
        )

    def _last_good(self) -> str:
        if not self.folder.last.is_file():
            return "There is no checkpoint yet."
        step = load_checkpoint(self.folder.last).progress.step
        return f"The last good checkpoint is {self.folder.last} (step {step})."


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; after it every part is in the mode that it had before."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


class StoppedAtOnce(BaseException):
    """A signal came where what runs need not come to its end."""


class StopRequest:
    """Within the ``with`` block, remembers the first Ctrl-C or SIGTERM instead of ending the process, and says so.

    The second one acts as if nobody watched, so that an impatient person is obeyed. Outside the main
    thread, where Python allows no signal handlers, nothing is watched.

    Args:
        talks: whether a line on stderr answers the signal.

    Attributes:
        signal_number: the signal that came, or None.
    """

    def __init__(self, *, talks: bool = True) -> None:
        self.signal_number: int | None = None
        self._talks = talks
        self._at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in _WATCHED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()
        if self._talks:
            say_at_once("stopping: saving a checkpoint first (the same signal again ends the run without one)")
        if self._at_once:
            raise StoppedAtOnce

    @contextmanager
    def at_once(self, enabled: bool) -> Iterator[None]:
        """Within the block, a signal ends what runs there, where ``enabled``.

        Raises:
            StoppedAtOnce: one came, in the block or before it.
        """
        self._at_once = enabled
        try:
            if enabled and self.signal_number is not None:
                raise StoppedAtOnce
            yield
        finally:
            self._at_once = False

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
