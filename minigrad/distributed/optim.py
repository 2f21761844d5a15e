"""ZeRO-1: every rank keeps the optimizer's state of a share of the parameters only (S. Rajbhandari
et al., ZeRO: Memory optimizations toward training trillion parameter models, 2020, stage 1).

Adam's state is twice the size of the model. After the gradients have been averaged, each rank steps
its own share of the parameters, and then all receive the new values from their owners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core.modes import enable_grad
from ..core.tensor import Tensor
from ..optim.optimizer import Optimizer
from . import collectives as c
from .group import resolve
from .objects import gather_object


class ZeroRedundancyOptimizer(Optimizer):
    """`optimizer_class(share of params, **defaults)` on each rank, and the results to all.

    Parameters go to the rank with the fewest elements so far, largest first, group by group; the
    same on every rank. `state_dict` needs `consolidate_state_dict(to=rank)` first, which collects
    the shares on that rank. TypeError if optimizer_class is no Optimizer.
    """

    def __init__(
        self, params: Iterable[Any], optimizer_class: type[Optimizer], process_group: Any = None,
        parameters_as_bucket_view: bool = False, overlap_with_ddp: bool = False, **defaults: Any,
    ):  # fmt: skip
        if not (isinstance(optimizer_class, type) and issubclass(optimizer_class, Optimizer)):
            raise TypeError(f"optimizer_class should be an Optimizer, but is {optimizer_class!r}")
        if overlap_with_ddp or parameters_as_bucket_view:
            raise ValueError(
                "ZeroRedundancyOptimizer: overlap_with_ddp and parameters_as_bucket_view are not"
                " available"
            )
        self.process_group = resolve(process_group)
        self._class, self._defaults = optimizer_class, defaults
        self._gathered: list[dict[str, Any]] | None = None
        self.optim: Any = None
        super().__init__(params, dict(defaults))
        self._make_local()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; shares are dealt out anew, and states of what was there stay."""
        super().add_param_group(param_group)
        if self.optim is not None:
            states = self.optim.state
            self._make_local()
            self.optim.state.update({p: s for p, s in states.items() if self.owner[p] == self.rank})

    @property
    def rank(self) -> int:
        """This process' rank in the group."""
        return self.process_group.rank()

    def _make_local(self) -> None:
        self.owner: dict[Tensor, int] = {}
        loads = [0] * self.process_group.size()
        for group in self.param_groups:
            for p in sorted(group["params"], key=lambda p: -p.numel()):
                least = loads.index(min(loads))
                self.owner[p] = least
                loads[least] += p.numel()
        local = []
        for group in self.param_groups:
            options = {k: v for k, v in group.items() if k not in ("params", "param_names")}
            local.append({**options, "params": self._share(group["params"], self.rank)})
        # a group without parameters of this rank stays, so that the numbers of groups agree
        self.optim = self._class(local, **self._defaults)
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            for key, value in mine.items():
                group.setdefault(key, value)

    def _share(self, params: list[Tensor], rank: int) -> list[Tensor]:
        return [p for p in params if self.owner[p] == rank]

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Step this rank's share, then receive the other shares."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group, mine in zip(self.param_groups, self.optim.param_groups, strict=True):
            mine.update({k: v for k, v in group.items() if k not in ("params", "param_names")})
        if any(g["params"] for g in self.optim.param_groups):
            self.optim.step(**kwargs)
        works = [
            c.broadcast(p.detach(), group=self.process_group, async_op=True, group_src=owner)  # type: ignore[attr-defined]
            for p, owner in self.owner.items()
        ]
        for p, work in zip(self.owner, works, strict=True):
            work.wait()  # type: ignore[union-attr]
            if self.owner[p] != self.rank:
                p._bump()
        return loss

    # ------------------------------------------------------------ state
    def consolidate_state_dict(self, to: int = 0) -> None:
        """Collect the states of all ranks on rank `to`; every rank calls it."""
        n = self.process_group.size()
        root = self.process_group.local(to)
        every: Any = [None] * n if self.rank == root else None
        gather_object(
            self.optim.state_dict()["state"], every, group=self.process_group, group_dst=root
        )
        self._gathered = every

    def state_dict(self) -> dict[str, Any]:
        """As of the optimizer with all parameters; RuntimeError on a rank that has not collected
        it.
        """
        if self._gathered is None:
            raise RuntimeError(
                "Optimizer state has not been consolidated on this rank. Please call"
                f" `consolidate_state_dict(to={self.rank})` on all ranks beforehand if you meant to"
                " save the global state."
            )
        packed = super().state_dict()
        numbers = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        for rank, states in enumerate(self._gathered):
            mine = [p for g in self.param_groups for p in self._share(g["params"], rank)]
            for local, state in states.items():
                packed["state"][numbers[mine[local]]] = state
        packed["state"] = dict(sorted(packed["state"].items()))
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict of all parameters (every rank the same); each keeps its share."""
        super().load_state_dict(state_dict)
        mine = {p: s for p, s in self.state.items() if self.owner.get(p) == self.rank}
        self.state.clear()
        self.optim.state.clear()
        self.optim.state.update(mine)
        for group, local in zip(self.param_groups, self.optim.param_groups, strict=True):
            local.update({k: v for k, v in group.items() if k not in ("params", "param_names")})
