"""Join: ranks that run out of data early keep answering the collectives of the others.

    with Join([model]):
        for batch in batches_of_this_rank:     # their number may differ
            ...

Before its collectives of a step each active rank counts itself in an all-reduce of ones. A rank
that is done ("joined") adds zeros there instead, and then mirrors what the active ones do, until
nobody is active any more. The one that stayed longest has the final state.
"""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any

import numpy as np

from ...core.tensor import wrap
from .. import collectives as c
from ..group import resolve
from ..work import Work


class JoinHook:
    """What a rank that has joined does in the place of one Joinable."""

    def main_hook(self) -> None:
        """Mirror the collectives of one step of the others."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """After everybody has joined."""


class Joinable:
    """What can be trained under `Join`: it makes a hook, and reports each step before its first
    collective by `Join.notify_join_context(self)`.
    """

    _join_config: dict[str, Any] = {"enable": False, "throw": False, "first": False}

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """The hook for a rank that has joined."""
        raise NotImplementedError

    @property
    def join_process_group(self) -> Any:
        """The group whose ranks join."""
        raise NotImplementedError


class Join:
    """The context in which ranks may end at different times. With `throw_on_early_termination` all
    raise RuntimeError as soon as the first one is done.
    """

    def __init__(
        self, joinables: list[Joinable], enable: bool = True,
        throw_on_early_termination: bool = False, **kwargs: Any,
    ):  # fmt: skip
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable = joinables, enable
        self._throw = throw_on_early_termination
        self._hooks = [j.join_hook(**kwargs) for j in joinables]
        self._group = resolve(joinables[0].join_process_group)
        if any(resolve(j.join_process_group) is not self._group for j in joinables):
            raise ValueError("Using join context manager with multiple process groups")

    def __enter__(self) -> None:
        for i, joinable in enumerate(self._joinables):
            joinable._join_config = {"enable": self._enable, "throw": self._throw, "first": i == 0}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._enable and kind is None:
                self._finish()
        finally:
            for joinable in self._joinables:
                joinable._join_config = {"enable": False, "throw": False, "first": False}

    def _finish(self) -> None:
        last, steps = True, 0
        while True:
            active = _count(self._group, 0)
            if active == 0:
                break
            if self._throw:
                _count(self._group, 1)
                raise _early(self._group.rank())
            last, steps = False, steps + 1
            if steps == 1000:
                warnings.warn(
                    f"rank {self._group.rank()} has joined 1000 steps before the others: consider"
                    " inputs that are less uneven",
                    stacklevel=3,
                )
            for hook in self._hooks:
                hook.main_hook()
        for hook in self._hooks:
            hook.post_hook(last)

    @staticmethod
    def notify_join_context(joinable: Joinable) -> Work | None:
        """Count this rank as active; called before the collectives of a step."""
        config = joinable._join_config
        if not config["enable"] or not config["first"]:
            return None
        group = resolve(joinable.join_process_group)
        ones = wrap(np.ones(1, np.int64))
        if not config["throw"]:
            return c.all_reduce(ones, group=group, async_op=True)
        c.all_reduce(ones, group=group)
        if ones._data[0] < group.size():
            _count(group, 0)
            raise _early(group.rank())
        return None


def _count(group: Any, one: int) -> int:
    t = wrap(np.full(1, one, np.int64))
    c.all_reduce(t, group=group)
    return int(t._data[0])


def _early(rank: int) -> RuntimeError:
    return RuntimeError(
        f"Detected at least one rank that exhausted inputs (seen from rank {rank}). Throwing across"
        " all ranks."
    )
