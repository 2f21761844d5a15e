"""In-place changes under autograd.

`x.op_(...)` computes op(x, ...), writes the result into x's memory, and hands x the result's place
in the graph. If x is a view, its base gets a node `CopySlices` in front of everything it was: "the
old base, but with this slice replaced". Whoever saved the old contents for backward notices by the
version number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..backend.devices import array_module
from ..backend.dtypes import from_numpy_dtype
from .modes import MODE
from .primitive import primitive
from .recording import PrimitiveNode
from .tensor import INFERENCE, Tensor, wrap
from .views import MULTI_VIEW, NO_GRAD_VIEW, View, fresh, move_retained

FILLING = ("fill_", "zero_")  # one value everywhere: cells may be shared


@primitive
def zero_slice(x: Any, *, view: View) -> Any:
    """x with the part that `view` describes set to zero (the gradient of "everything but that
    part").
    """
    xp = array_module(x)
    y = xp.empty_like(
        view.base._data, dtype=x.dtype
    )  # where the base can be viewed so can an array of its strides
    y[...] = x
    part = view.of(y)
    if xp.may_share_memory(part, y):
        part[...] = 0
        return y
    # a view of gaps in the base: find out which elements it takes by taking them from their numbers
    taken = view.of(xp.arange(1, x.size + 1).reshape(x.shape))
    y = xp.array(x, order="C", copy=True)
    y.reshape(-1)[taken[taken > 0] - 1] = 0
    return y


zero_slice.vjp(x=lambda g, view: zero_slice(g, view=view))


@primitive
def copy_slices(base: Any, part: Any, *, view: View) -> Any:
    """base with the part that `view` describes replaced; only ever recorded, the memory holds the
    result already.
    """
    return base


copy_slices.vjp(
    base=lambda g, view: zero_slice(g, view=view),
    part=lambda g, view: view.of(g),
)


def check_inplace(x: Tensor, recorded: bool) -> None:
    """RuntimeError where PyTorch refuses an in-place change; `recorded`: whether it would enter the
    graph.
    """
    if x._counter is INFERENCE and not MODE.get().inference:
        x._bump()  # raises
    if not MODE.get().grad:
        return
    fresh(x)
    view = x._view
    if x._requires_grad and x._node is None:
        what = "a view of a leaf Variable" if view is not None else "a leaf Variable"
        raise RuntimeError(f"{what} that requires grad is being used in an in-place operation.")
    if view is None:
        return
    base = view.base
    if base._requires_grad and base._node is None:
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation."
        )
    if not (recorded or base._requires_grad):
        return
    if view.made == MULTI_VIEW:
        raise RuntimeError(
            f"Output {view.output} of {view.primitive.node_class.__name__} is a view and is being"
            " modified inplace. This view is the output of a function that returns multiple views."
            " Such functions do not allow the output views to be modified inplace. You should"
            " replace the inplace operation by an out-of-place one."
        )
    if view.made == NO_GRAD_VIEW:
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode"
            " enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You"
            " can clarify your code by moving both the view and the inplace either both inside the"
            " no_grad block or both outside."
        )


def commit(x: Tensor, result: Tensor) -> None:
    """x's memory holds `result` now: count the change and give x (and its base) the new place in
    the graph.
    """
    x._bump()
    if not MODE.get().grad:
        return
    view = x._view
    t = x if view is None else view.base  # whose node changes now; views follow when they are used
    node, index = t._node, t._index
    if view is None:
        if result._requires_grad or x._requires_grad:
            x._node, x._index, x._requires_grad = result._node, result._index, result._requires_grad
    elif result._requires_grad or t._requires_grad:
        after = wrap(t._data)
        copy_slices.primitive.record(
            (t, result), (t._data, result._data), t._data, {"view": view}, (), after
        )
        t._node, t._index, t._requires_grad = after._node, after._index, True
    _keep_result(x, result)
    if t._node is not node:
        move_retained(t, node, index)


def _keep_argument(x: Tensor, result: Tensor) -> None:
    """If the node saved x itself, whose memory is about to change, let it hold a copy of the old
    contents.
    """
    node = result._node
    if not isinstance(node, PrimitiveNode) or node.unpack:
        return
    saved, versions = list(node.saved), list(node.versions)
    for i, (kind, key) in enumerate(node.plan.keep):
        same = kind == "arg" and saved[i] is x._data
        if same:
            saved[i] = x._data.copy()
        if same or (kind == "arg" and key == 0):  # cast before it was saved: a copy, too
            at = [k for k, (counter, _) in enumerate(versions) if counter is x._counter]
            if at:
                del versions[at[0]]
    node.saved, node.versions = tuple(saved), tuple(versions)


def _keep_result(x: Tensor, result: Tensor) -> None:
    """If the node saved its result, let it hold x's memory instead: one array less, and later
    changes are seen.
    """
    node = result._node
    if (
        not isinstance(node, PrimitiveNode)
        or node.multi
        or node.unpack
        or x._data.dtype != result._data.dtype
    ):
        return
    places = [i for i, (kind, _) in enumerate(node.plan.keep) if kind == "y"]
    if places:
        saved = list(node.saved)
        for i in places:
            saved[i] = x._data
        node.saved = tuple(saved)
        old = result._counter
        node.versions = tuple(
            [(x._counter, x._counter[0]) if c is old else (c, v) for c, v in node.versions]
        )


def write(x: Tensor, y: Any, name: str) -> None:
    """Overwrite x's memory with the array y, after PyTorch's checks of dtype and shape."""
    source, target = from_numpy_dtype(y.dtype), x.dtype
    if source.category > target.category:
        raise RuntimeError(
            f"result type {_type_name(source)} can't be cast to the desired output type"
            f" {_type_name(target)}"
        )
    if y.shape != x._data.shape:
        raise RuntimeError(
            f"output with shape {list(x._data.shape)} doesn't match the broadcast shape"
            f" {list(y.shape)}"
        )
    overwrite(x, y, name)


def overwrite(x: Tensor, y: Any, name: str) -> None:
    """Copy the array y, broadcast and cast as need be, into x's memory; RuntimeError if its
    elements share cells.
    """
    if not x._data.flags.c_contiguous and name not in FILLING and _overlaps(x._data):
        if name == "copy_" and _same_cells(x._data, y):
            return
        raise RuntimeError(
            f"{name}: unsupported operation: more than one element of the written-to tensor refers"
            " to a single memory location. Please clone() the tensor before performing the"
            " operation."
        )
    array_module(x._data).copyto(x._data, y, casting="unsafe")


def _overlaps(x: Any) -> bool:
    return any([s == 0 and n > 1 for s, n in zip(x.strides, x.shape, strict=True)])


def _same_cells(x: Any, y: Any) -> bool:
    alike = (x.dtype, x.shape, x.strides) == (y.dtype, y.shape, y.strides)
    return alike and wrap(x).data_ptr() == wrap(y).data_ptr()


def _type_name(dtype: Any) -> str:
    names = {
        "float32": "Float",
        "float64": "Double",
        "float16": "Half",
        "bfloat16": "BFloat16",
        "int64": "Long",
    }
    names |= {"int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool"}
    names |= {"complex64": "ComplexFloat", "complex128": "ComplexDouble"}
    return names[dtype.name]


def inplace(op: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The in-place method of an out-of-place op: `Tensor.exp_ = inplace(exp, "exp_")`."""

    @wraps(op)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        operands = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        check_inplace(self, any(a.requires_grad for a in operands))
        result = op(self, *args, **kwargs)
        if result._requires_grad:
            _keep_argument(self, result)
        write(self, result._data, name)
        commit(self, result)
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{op.__name__}`."
    return method
