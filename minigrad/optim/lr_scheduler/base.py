"""LRScheduler: counts steps and writes the learning rates of an optimizer's groups."""

from __future__ import annotations

import types
import warnings
from typing import Any

from ...core.tensor import Tensor
from ...export import export
from ..optimizer import Optimizer
from ..options import number

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where"
    " possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, if"
    " epoch is different from None, the closed form is used instead of the new chainable form,"
    " where available."
)
OVERRIDDEN = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler"
    " initialization. Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`."
)
TOO_EARLY = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and later,"
    " you should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`."
    "  Failure to do this will result in PyTorch skipping the first value of the learning rate"
    " schedule."
)


@export("optim.lr_scheduler.LRScheduler")
class LRScheduler:
    """Base class. Subclasses define `get_lr()`, the rates of all groups at step `last_epoch`, from
    `self.base_lrs` or from the groups' rates of the step before; and `_get_closed_form_lr()` if the
    former is possible, for `step(epoch)`.

    The group's rate at the start is kept as its "initial_lr". last_epoch other than -1 resumes, and
    is a KeyError if a group lacks it. A rate that is a tensor is changed in place.
    """

    _get_closed_form_lr: Any = None
    _get_lr_called_within_step = False
    _is_initial = False
    _unsaved: tuple[str, ...] = ("optimizer", "_watched")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming"
                    " scheduler with last_epoch >= 0.\nLoad the optimizer's state before making the"
                    " scheduler, or leave last_epoch at -1 for a new run."
                )
        self.base_lrs = values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._watched = _function(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        """The step that sets the first rates."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k not in self._unsaved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set; copies if they are tensors."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates of the step that is being made; `get_last_lr` is for everyone else."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Count one step (or, deprecated, go to step `epoch`) and set the rates.

        Warns if this comes before the optimizer's first step: the first rate would go unused.
        """
        if self._step_count == 1:
            if _function(self.optimizer) is not self._watched:
                warnings.warn(OVERRIDDEN, UserWarning, stacklevel=2)
            elif not self.optimizer._stepped and "step" not in vars(self.optimizer):
                warnings.warn(TOO_EARLY, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = self._get_closed_form_lr
                rates = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._write(rates)

    def _write(self, rates: list[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            assign(group, "lr", rate)
        self._last_lr = values(self.optimizer, "lr")

    def _warn_outside(self) -> None:
        """What get_lr of PyTorch's schedulers says when it is called by hand."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use"
                " `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _times(self, factor: float) -> list[Any]:
        """The groups' present rates times a factor."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _unchanged(self) -> list[Any]:
        return values(self.optimizer, "lr")


@export("optim.lr_scheduler._LRScheduler")
class _LRScheduler(LRScheduler):
    """The name that LRScheduler once had, for old subclasses."""


# ---------------------------------------------------------------------------- groups' values
def check_optimizer(optimizer: Any) -> None:
    """TypeError for anything but an optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def copied(value: Any) -> Any:
    """The value; of a tensor, which may be changed in place, a copy."""
    return value.clone() if isinstance(value, Tensor) else value  # type: ignore[attr-defined]


def values(optimizer: Optimizer, key: str) -> list[Any]:
    """One option of all groups."""
    return [copied(group[key]) for group in optimizer.param_groups]


def assign(group: dict[str, Any], key: str, value: Any) -> None:
    """Set an option of a group; a tensor is changed in place, as programs may hold it."""
    held = group[key]
    if isinstance(held, Tensor):
        held._data[...] = number(value)
        held._bump()
    else:
        group[key] = value


def for_groups(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """An argument as one value for each group; ValueError for a list of another length."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [copied(value) for _ in range(groups)]
    if len(value) != groups:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has"
            f" {len(value)} values, param_groups has {groups}."
        )
    return [copied(v) for v in value]


def saved_functions(functions: list[Any]) -> list[Any]:
    """What a state dict keeps of functions: the attributes of callable objects, else None."""
    return [None if isinstance(f, types.FunctionType) else f.__dict__.copy() for f in functions]


def _function(optimizer: Optimizer) -> Any:
    """The function behind `optimizer.step`, to notice when it is replaced."""
    step = optimizer.step
    return getattr(step, "__func__", step)
