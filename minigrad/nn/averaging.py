"""A running average of a model's parameters (Polyak and Juditsky 1992; Izmailov et al. 2018,
"Averaging weights leads to wider optima and better generalization").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor, wrap
from ..export import export
from .layers.norm import _BatchNorm
from .module import Module

Tensors = list[Tensor] | tuple[Tensor, ...]


def _follow(averages: Tensors, current: Tensors, weight: float) -> None:
    """average ← average + weight (current − average), in place; integers are truncated at the
    end, as copying floats into them does.
    """
    for a, x in zip(averages, current, strict=True):
        old, new = a._data, x._data
        if old.dtype.kind in "iub":
            old[...] = (old + (new - old) * weight).astype(old.dtype)
        else:
            old += (new - old) * weight
        a._bump()


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


@export("optim.swa_utils.get_ema_multi_avg_fn")
def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[..., None]:
    """A function that moves averages on: average ← decay · average + (1 − decay) · current.

    ValueError for a decay outside [0, 1].
    """
    _check_decay(decay)

    def ema_update(ema_param_list: Tensors, current_param_list: Tensors, _: Any) -> None:
        _follow(ema_param_list, current_param_list, 1 - decay)

    return ema_update


@export("optim.swa_utils.get_swa_multi_avg_fn")
def get_swa_multi_avg_fn() -> Callable[..., None]:
    """A function that keeps equal averages: average ← average + (current − average)/(n + 1)."""

    def swa_update(
        averaged_param_list: Tensors, current_param_list: Tensors, num_averaged: Any
    ) -> None:
        _follow(averaged_param_list, current_param_list, 1 / (float(num_averaged) + 1))

    return swa_update


@export("optim.swa_utils.get_ema_avg_fn")
def get_ema_avg_fn(decay: float = 0.999) -> Callable[..., Tensor]:
    """`get_ema_multi_avg_fn` for one tensor; returns the new average."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


@export("optim.swa_utils.get_swa_avg_fn")
def get_swa_avg_fn() -> Callable[..., Tensor]:
    """`get_swa_multi_avg_fn` for one tensor; returns the new average."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


@export("optim.swa_utils.AveragedModel")
class AveragedModel(Module):
    """A copy of a model whose parameters are the average of those it was shown.

    `update_parameters(model)` adds one to the average: equal weights, or what avg_fn(average,
    current, n) or multi_avg_fn(averages, currents, n) does; the first time it copies. Buffers are
    copied, or averaged with use_buffers. AssertionError for both functions at once.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[..., Tensor] | None = None,
        multi_avg_fn: Callable[..., None] | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        count = wrap(np.zeros((), np.int64))
        if device is not None:
            self.module = self.module.to(device)
            count = count.to(device)  # type: ignore[attr-defined]
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of `model` into the average."""
        own, theirs = _tensors(self.module, self.use_buffers), _tensors(model, self.use_buffers)
        pairs = list(zip(own, theirs, strict=False))
        averages = [a.detach() for a, _ in pairs]
        current = [x.detach().to(a.device) for a, x in pairs]
        n = int(self.n_averaged)
        if n == 0:
            for a, x in zip(averages, current, strict=True):
                a.copy_(x)  # type: ignore[attr-defined]
        elif self.avg_fn is not None:
            for a, x in zip(averages, current, strict=True):
                a.copy_(self.avg_fn(a, x, self.n_averaged.to(a.device)))  # type: ignore[attr-defined]
        elif averages:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            for group in _alike(averages, current):
                update(*map(list, zip(*group, strict=True)), self.n_averaged)
        if not self.use_buffers:
            for mine, other in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(other.detach())  # type: ignore[attr-defined]
        self.n_averaged._data[...] = n + 1


def _tensors(module: Module, buffers: bool) -> Iterable[Any]:
    return chain(module.parameters(), module.buffers() if buffers else ())


def _alike(averages: list[Tensor], current: list[Tensor]) -> list[list[tuple[Tensor, Tensor]]]:
    """The pairs by dtype and device, which functions over lists may rely on."""
    groups: dict[Any, list[tuple[Tensor, Tensor]]] = {}
    for a, x in zip(averages, current, strict=True):
        groups.setdefault((a.device, a.dtype), []).append((a, x))
    return list(groups.values())


@export("optim.swa_utils.update_bn")
@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the statistics of a model's batch norm layers anew, over all batches of `loader`.

    Averaged parameters need it: nothing was ever computed with them. Batches may be tuples, whose
    first item is the input. Afterwards the model is in the mode that it was in.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # an equal average of all batches
    for batch in loader:
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        model(inputs if device is None else inputs.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)
