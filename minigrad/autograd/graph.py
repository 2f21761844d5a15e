"""`autograd.graph`: hooks over several tensors, where saved tensors are kept, edges."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.anomaly import saved_tensors_hooks
from ..core.hooks import RemovableHandle
from ..core.modes import MODE, ModeContext
from ..core.node import AccumulateGrad, GradientEdge, edge_of
from ..core.tensor import Tensor
from ..core.views import fresh
from ..core.walk import current_run
from ..export import export


@export("autograd.graph.get_gradient_edge")
def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place of `tensor` in the graph; RuntimeError if it requires no gradient."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require"
            " gradients"
        )
    node, index = edge_of(fresh(tensor))
    return GradientEdge(node, index, tensor if isinstance(node, AccumulateGrad) else None)


@export("autograd.graph.increment_version")
def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a change in place that went past autograd, so that a backward that needs the old value
    says so.
    """
    for t in [tensor] if isinstance(tensor, Tensor) else tensor:
        t._bump()


@export("autograd.graph.save_on_cpu")
class save_on_cpu(saved_tensors_hooks):
    """Inside, saved tensors are kept in the main memory, and copied back for backward."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(tensor: Tensor) -> tuple[Any, Tensor]:
            copied = tensor.detach().to("cpu", copy=True)  # type: ignore[attr-defined]
            return tensor.device, copied

        def unpack(packed: tuple[Any, Tensor]) -> Tensor:
            device, tensor = packed
            return tensor.to(device, non_blocking=pin_memory)  # type: ignore[attr-defined]

        super().__init__(pack, unpack)


@export("autograd.graph.disable_saved_tensors_hooks")
class disable_saved_tensors_hooks(ModeContext):
    """Inside, entering `saved_tensors_hooks` raises RuntimeError(error_message); so does this where
    such hooks are active already.
    """

    def __init__(self, error_message: str):
        super().__init__(hooks_refused=error_message)
        self._message = error_message

    def __enter__(self) -> Any:
        if MODE.get().saved_hooks:
            raise RuntimeError(self._message)
        return super().__enter__()


@export("autograd.graph.allow_mutation_on_saved_tensors")
class allow_mutation_on_saved_tensors(saved_tensors_hooks):
    """Inside, tensors that backward needs may be changed in place: it uses their old values.

    PyTorch copies a tensor when it is changed, this when it is saved.
    """

    def __init__(self) -> None:
        super().__init__(lambda tensor: tensor.detach().clone(), lambda tensor: tensor)


@export("autograd.graph.register_multi_grad_hook")
def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all"
) -> RemovableHandle:
    """One hook for several tensors, in each backward.

    mode "all": fn(grads) when the last of those gradients that this backward computes is there,
    with None for the others; "any": fn(grad) at the first of them. ValueError for another mode.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    hook = _MultiHook(tensors, fn, mode)
    return _MultiHandle(tuple([t.register_hook(hook.at(i)) for i, t in enumerate(tensors)]))


class _MultiHandle(RemovableHandle):
    """Removes the hook from all the tensors."""

    def __init__(self, handles: tuple[RemovableHandle, ...]):
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


class _MultiHook:
    """The gradients of one backward, gathered until all that it computes have come.

    Which ones those are is asked of the graph: a tensor counts if the backward's roots reach it.
    """

    def __init__(self, tensors: Sequence[Tensor], fn: Callable[..., None], mode: str):
        self.fn, self.mode = fn, mode
        self.nodes = [edge_of(fresh(t))[0] for t in tensors]
        self.lock = threading.Lock()
        self.run: Any = lambda: None  # a weak reference to the backward that is being gathered
        self.grads: list[Any] = []
        self.left = 0

    def at(self, place: int) -> Callable[[Tensor], None]:
        def arrived(grad: Tensor) -> None:
            with self.lock:
                first = self._begin()
                self.grads[place] = grad
                self.left -= 1
                done = self.left == 0
            if self.mode == "any":
                if first:
                    self.fn(grad)
            elif done:
                self.fn(self.grads)

        return arrived

    def _begin(self) -> bool:
        """Whether this is the first gradient of a backward; then count those to come."""
        run = current_run()
        if self.run() is run:
            return False
        self.run = weakref.ref(run)
        self.grads = [None] * len(self.nodes)
        reached = run.reached()
        self.left = sum(node in reached for node in self.nodes)
        return True
