"""Several schedulers of one optimizer: all at once, or one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...export import export
from ..optimizer import Optimizer
from .base import LRScheduler, assign, values
from .plateau import ReduceLROnPlateau


class _Combined(LRScheduler):
    """Keeps schedulers and their states."""

    _unsaved = (*LRScheduler._unsaved, "_schedulers")
    _schedulers: Sequence[Any]

    def _check(self, schedulers: Sequence[Any], optimizer: Any) -> None:
        """TypeError or ValueError for what cannot be combined."""
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            own = getattr(scheduler, "optimizer", None)
            if own is None:
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires"
                    " additional kwargs to be specified when calling `step`, but got one at index"
                    f" {i} in the given schedulers sequence."
                )
            if own is not optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got"
                    f" scheduler {type(scheduler).__name__} at index {i} has {own}, which is"
                    f" different from {type(optimizer).__name__}."
                )

    def _start(self) -> None:
        """The first step of those whose turn is first."""
        raise NotImplementedError

    def _update_lr(self, epoch: int | None = None) -> None:
        """Start anew: in a SequentialLR, the turn of this one has come."""
        for group in self.optimizer.param_groups:
            assign(group, "lr", group["initial_lr"])
        for scheduler in self._schedulers:
            scheduler.last_epoch = -1
        self.last_epoch = 0
        self._start()

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, and the states of the schedulers."""
        inner = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": inner}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=False):
            scheduler.load_state_dict(state)


@export("optim.lr_scheduler.ChainedScheduler")
class ChainedScheduler(_Combined):
    """Step all schedulers, each changing what the ones before have set.

    ValueError for none, for ReduceLROnPlateau, and for schedulers of different optimizers.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        if len(schedulers) < 1:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler to be chained, but got no"
                " scheduler."
            )
        if optimizer is None:
            optimizer = schedulers[0].optimizer
        self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = values(optimizer, "lr")

    def _start(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = values(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """One step of each scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values(self.optimizer, "lr")


@export("optim.lr_scheduler.SequentialLR")
class SequentialLR(_Combined):
    """The first scheduler until the first milestone, then the second, and so on.

    A scheduler starts at its own step 0 when its turn comes. ValueError unless there is one
    milestone less than schedulers, and as in ChainedScheduler.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ):
        if len(schedulers) < 1:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler, but got no scheduler."
            )
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than"
                " the number of milestone points, but got number of schedulers"
                f" {len(schedulers)} and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # making the schedulers has changed the rates and counted their first steps
        for group in optimizer.param_groups:
            assign(group, "lr", group["initial_lr"])
        self.recursive_undo()
        self._start()

    def _start(self) -> None:
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: Any = None) -> None:
        """Take the first step of all schedulers back, also of those inside others."""
        scheduler = self if sched is None else sched
        inner = getattr(scheduler, "_schedulers", None)
        if inner is not None:
            for s in inner:
                self.recursive_undo(s)
        elif getattr(scheduler, "last_epoch", None) is not None:
            scheduler.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """One step of the scheduler whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()
