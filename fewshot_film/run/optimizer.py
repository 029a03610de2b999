"""The optimizer, the learning rate of every step, and one step with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_film.errors import ConfigError, NonFiniteLossError
from fewshot_film.run.runtime import OpaqueBatch, Runtime, to_device
from fewshot_film.run.seeding import derived_seed
from fewshot_film.run.settings import LoopConfig


class Stepper:
    """Takes optimizer steps.

    Args:
        wrapped: what :meth:`Runtime.set_up` made of the module.
        module: the module itself.
        optimizer: over its parameters.
        loop: the settings.
        runtime: where it computes.
        numbered: this process's micro-batches with their numbers, in order.
    """

    def __init__(
        self,
        wrapped: nn.Module,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        loop: LoopConfig,
        runtime: Runtime,
        numbered: Iterator[tuple[int, Any]],
    ) -> None:
        self.wrapped = wrapped
        self.module = module
        self.optimizer = optimizer
        self.loop = loop
        self.runtime = runtime
        self.numbered = numbered
        self.names: list[str] = []

    def step(self, step: int, wants_to_stop: Callable[[], bool]) -> tuple[dict[str, float], bool]:
        """Take one step.

        Args:
            step: number of the step, counted from 0.
            wants_to_stop: whether this process was asked to end. If so between two micro-batches, and there is no
                other process that counts on this one, the step is undone.
        Returns:
            The means over all micro-batches of what the module reported, with the gradient's norm, empty for a step
            that was undone; and whether any process was asked to end.
        Raises:
            NonFiniteLossError: the loss or its gradient is not finite; the weights stay as they were.
            TypeError: the module returned something else than a dict of scalars with ``loss``.
        """
        set_learning_rate(self.optimizer, learning_rate_at(step, self.loop))
        self.optimizer.zero_grad()
        reports = self._micro_batches(wants_to_stop if self.runtime.world_size == 1 else lambda: False)
        if not reports:
            return {}, True
        norm = gradient_norm(self.module)
        report = torch.stack(reports).mean(0)
        # One tensor, so that the processes talk and the device is waited for once a step.
        shared = torch.cat([report, norm.float().reshape(1), report.new_tensor([wants_to_stop()])])
        *means, stop = self.runtime.mean(shared).tolist()
        values = dict(zip([*self.names, "gradient_norm"], means, strict=True))
        if not (math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"])):
            raise NonFiniteLossError(
                f"step {step + 1}: the loss is {values['loss']} and the norm of its gradient "
                f"{values['gradient_norm']}; the weights were not updated. Check the batch of this "
                f"step, or try a lower learning_rate, a warm-up or clip_norm."
            )
        if self.loop.clip_norm is not None:
            clip_gradient(self.module, norm, self.loop.clip_norm)
        self.optimizer.step()
        return values, stop > 0

    def _micro_batches(self, wants_to_stop: Callable[[], bool]) -> list[Tensor]:
        """Add up the gradients of a step; nothing is left of them, and nothing is returned, where they are cut off."""
        before = [buffer.clone() for buffer in self.module.buffers()] if self.loop.accumulate > 1 else []
        reports: list[Tensor] = []
        for left in range(self.loop.accumulate, 0, -1):
            if reports and wants_to_stop():
                for buffer, value in zip(self.module.buffers(), before, strict=True):  # of BatchNorm, say
                    buffer.copy_(value)
                return []
            reports.append(self._micro_batch(left == 1))
        return reports

    def _micro_batch(self, is_last: bool) -> Tensor:
        """Add the gradient of one micro-batch; returns what it reports, in the order of ``names``."""
        number, batch = next(self.numbered)
        self.runtime.seed(derived_seed(self.loop.seed, "step", number))
        with self.runtime.without_sync(self.wrapped, enabled=not is_last):
            outputs = self.wrapped(OpaqueBatch(to_device(batch, self.runtime.device)))
            self._check(outputs)
            self.runtime.backward(outputs["loss"] / self.loop.accumulate)
        return torch.stack([outputs[name].detach().float().reshape(()) for name in self.names])

    def _check(self, outputs: Any) -> None:
        if not isinstance(outputs, Mapping) or "loss" not in outputs:
            raise TypeError(f"the module returned {outputs!r:.60}; expected a dict of scalars with 'loss'")
        names = sorted(outputs)
        for name in names:
            if not isinstance(outputs[name], Tensor) or outputs[name].numel() != 1:
                raise TypeError(f"the module's {name!r} is not a tensor of one number, as all it returns must be")
        self.names = self.names or names
        if names != self.names:
            raise TypeError(f"the module returned {names}, before that {self.names}; expected the same names")


def make_optimizer(module: nn.Module, loop: LoopConfig) -> torch.optim.Optimizer:
    """Optimizer over the parameters that require a gradient.

    Raises:
        ConfigError: none does.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not trainable:
        raise ConfigError("the network has no trainable parameter; unfreeze some of it")
    # One pass over memory instead of ten: eight times faster on a CPU for 20 million parameters.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
    rate, decay = loop.learning_rate, loop.weight_decay
    if loop.optimizer == "sgd":
        return torch.optim.SGD(trainable, lr=rate, weight_decay=decay, momentum=loop.momentum, fused=fused)
    kind = torch.optim.Adam if loop.optimizer == "adam" else torch.optim.AdamW
    return kind(trainable, lr=rate, weight_decay=decay, fused=fused)


def learning_rate_at(step: int, loop: LoopConfig) -> float:
    """Learning rate of the update number ``step``, counted from 0: a function of the step and nothing else.

    During the warm-up it is ``(step + 1) / (warmup_steps + 1)`` of the peak, in the cool-down
    ``(steps - step) / (cooldown_steps + 1)`` of it.
    """
    if step < loop.warmup_steps:
        return loop.learning_rate * (step + 1) / (loop.warmup_steps + 1)
    if loop.schedule == "constant":
        return loop.learning_rate * min(1.0, (loop.steps - step) / (loop.cooldown_steps + 1))
    progress = (step - loop.warmup_steps) / (loop.steps - loop.warmup_steps)
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm of the gradient over all parameters, a scalar tensor."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def clip_gradient(module: nn.Module, norm: Tensor, largest: float) -> None:
    """Scale the gradient, whose norm is ``norm``, to a norm of at most ``largest``."""
    parameters = [parameter for parameter in module.parameters() if parameter.grad is not None]
    torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
