"""Views: tensors that share a base's memory, and how they stay part of its graph.

A view remembers its base and the primitives that cut it out (`View`, a linked list). An in-place
change of the base, or of any other view of it, gives the base a new node (inplace.py) and a new
version number; a view whose `seen` number is older is stale, and gets its node anew, by cutting it
out of the changed base again, when it is next used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backend.devices import array_module
from ..export import export
from .modes import MODE, ModeContext
from .tensor import INFERENCE, Tensor

if TYPE_CHECKING:
    from .recording import Primitive

DEFAULT_VIEW, NO_GRAD_VIEW, MULTI_VIEW = range(3)
_new = object.__new__


class View:
    """One cut: `primitive(options)` of the tensor that `parent` describes (of `base` itself if
    None).
    """

    __slots__ = ("base", "parent", "primitive", "options", "output", "seen", "made")

    base: Tensor
    parent: View | None
    primitive: Primitive
    options: dict
    output: int | None  # which of several results
    seen: int  # the version of the storage that the tensor's node belongs to
    made: int  # DEFAULT_VIEW, NO_GRAD_VIEW or MULTI_VIEW

    def of(self, base: Any) -> Any:
        """The same view of another base (a Tensor or an array)."""
        cuts = []
        link: View | None = self
        while link is not None:
            cuts.append(link)
            link = link.parent
        for cut in reversed(cuts):
            base = cut.primitive.call(base, **cut.options)
            if cut.output is not None:
                base = base[cut.output]
        return base


def link_view(result: Any, source: Tensor, primitive: Primitive, options: dict, grad: bool) -> None:
    """Note that `result` (a Tensor or a tuple of them) is a view of `source`, if it does share its
    memory. `grad`: the mode it was cut out in.
    """
    version = source._counter
    if version is INFERENCE:
        return
    x, parent = source._data, source._view
    whole = x.base
    base = source if parent is None else parent.base
    seen, several = version[0], type(result) is tuple
    if several:
        made = MULTI_VIEW
    elif not grad:
        made = NO_GRAD_VIEW
    else:
        made = DEFAULT_VIEW if parent is None else parent.made
    for i, r in enumerate(result) if several else ((None, result),):
        y = r._data
        below = y.base
        if below is not x and y is not x and (below is None or below is not whole):
            if not array_module(x).may_share_memory(x, y):
                continue  # this one had to be copied
        r._counter = version
        r._view = view = _new(View)
        view.base, view.parent = base, parent
        view.primitive, view.options, view.output = primitive, options, i
        view.seen, view.made = seen, made


def unlinked(t: Tensor) -> Tensor:
    """`t`, a view of what an op made on the way and nobody else holds, as a tensor of its own."""
    t._view = None
    return t


def refresh_view(t: Tensor) -> None:
    """Give a stale view its node anew, from its base as it is now.

    A leaf whose base has no gradient stays stale: should the base require one later on, its changed
    views become part of the graph.
    """
    view = t._view
    base, node, index = view.base, t._node, t._index
    if base._requires_grad:
        if view.made != DEFAULT_VIEW:
            raise RuntimeError(_stale_message(view))
        with ModeContext(grad=True, inference=False):
            again = view.of(base)
        t._node, t._index, t._requires_grad = again._node, again._index, again._requires_grad
    elif node is None:
        return
    else:
        t._node, t._index, t._requires_grad = None, 0, False
    view.seen = t._counter[0]
    move_retained(t, node, index)


def move_retained(t: Tensor, node: Any, index: int) -> None:
    """If t retained its gradient at its former place in the graph, let it do so at the new one."""
    if node is None or node.hooks is None:
        return
    ref = node.hooks.retain.get(index)
    if ref is not None and ref() is t:
        del node.hooks.retain[index]
        if t._node is not None:
            t._node.add_hooks().retain[t._index] = ref


def _stale_message(view: View) -> str:
    if view.made == MULTI_VIEW:
        return (
            f"Output {view.output} of {view.primitive.node_class.__name__} is a view and its base"
            " or another view of its base has been modified inplace. This view is the output of a"
            " function that returns multiple views. Such functions do not allow the output views"
            " to be modified inplace. You should replace the inplace operation by an out-of-place"
            " one."
        )
    return (
        "A view was created in no_grad mode and its base or another view of its base has been"
        " modified inplace with grad mode enabled. Given that this use case is ambiguous and"
        " error-prone, it is forbidden. You can clarify your code by moving both the view and the"
        " inplace either both inside the no_grad block or both outside."
    )


def fresh(t: Tensor) -> Tensor:
    """`t` with its node up to date."""
    view = t._view
    if view is not None and view.seen != t._counter[0]:
        refresh_view(t)
    return t


def _grad_fn(self: Tensor) -> Any:
    """The node that made this tensor; None for a leaf."""
    return fresh(self)._node


def _requires_grad(self: Tensor) -> bool:
    """Whether gradients flow to this tensor. Can be set on leaves of a floating or complex
    dtype.
    """
    return fresh(self)._requires_grad


def _set_requires_grad(self: Tensor, value: bool) -> None:
    value = bool(value)
    if self.grad_fn is not None:
        message = "you can only change requires_grad flags of leaf variables."
        if not value:
            message += (
                " If you want to use a computed variable in a subgraph that doesn't require"
                " differentiation use var_no_grad = var.detach()."
            )
        raise RuntimeError(message)
    if value and not (self.is_floating_point() or self.is_complex()):
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    if value and self._counter is INFERENCE and not MODE.get().inference:
        raise RuntimeError(
            "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
        )
    self._requires_grad = value


def _requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Set requires_grad and return the tensor itself."""
    if self.grad_fn is None or not requires_grad:
        self.requires_grad = requires_grad
    return self


def _detach_(self: Tensor) -> Tensor:
    """Take this tensor out of the graph, in place: it becomes a leaf that requires no gradient."""
    if self._view is not None:
        raise RuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using"
            " DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as"
            " True, gradients are views of DDP buckets."
        )
    self._node, self._index, self._requires_grad = None, 0, False
    return self


def _base_of(self: Tensor) -> Tensor | None:
    """The tensor that this one is a view of; None if it is no view."""
    return None if self._view is None else self._view.base


def _is_view(self: Tensor) -> bool:
    """Whether this is a (differentiable) view of another tensor."""
    return self._view is not None


Tensor.grad_fn = property(_grad_fn)
Tensor.requires_grad = property(_requires_grad, _set_requires_grad)
Tensor.requires_grad_ = _requires_grad_
Tensor.detach_ = _detach_
Tensor._base = property(_base_of)  # type: ignore[attr-defined]
Tensor._is_view = _is_view  # type: ignore[attr-defined]


@export("is_tensor")
def is_tensor(obj: object) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)
