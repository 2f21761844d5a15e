"""Changes of a tensor itself that autograd does not see (size, memory, elements by a Python
function), and small questions about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.inplace import check_inplace
from ..core.tensor import Tensor, wrap
from ..export import export
from .convert import copy_
from .layout import MemoryFormat
from .slices import as_strided
from .storage import TypedStorage, UntypedStorage, whole
from .views import clone


# ------------------------------------------------------------ size and memory
def resize_(self: Tensor, *sizes: Any, memory_format: MemoryFormat | None = None) -> Tensor:
    """Another shape, in place: the first elements in memory stay, new ones are undefined (zeros).

    RuntimeError if the tensor requires a gradient.
    """
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    x = self._data
    count = math.prod(shape)
    if not x.flags.c_contiguous or count > x.size:
        y = array_module(x).zeros(count, x.dtype)
        start = x.reshape(-1) if x.flags.c_contiguous else whole(x)
        y[: min(count, start.size)] = start[:count]
        x = y
    self._data = x.reshape(-1)[:count].reshape(shape)
    self._view = None
    self._bump()
    return self


def resize_as_(
    self: Tensor, the_template: Tensor, *, memory_format: MemoryFormat | None = None
) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, *the_template._data.shape)


def resize(input: Tensor, *sizes: Any) -> Tensor:
    """Another shape of as many elements; x̄ = ȳ in x's shape. RuntimeError for other numbers."""
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if math.prod(shape) != input._data.size:
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, shape))} ( {math.prod(shape)} elements in "
            f"total), but the given tensor has a size of {'x'.join(map(str, input.shape))} "
            f"({input._data.size} elements). autograd's resize can only change the shape of a "
            "given tensor, while preserving the number of elements. "
        )
    return input.contiguous().view(shape)  # type: ignore[attr-defined]


def resize_as(input: Tensor, tensor: Tensor) -> Tensor:
    """`resize` to the shape of another tensor."""
    return resize(input, *tensor._data.shape)


@export("resize_as_")
def _resize_as_(
    input: Tensor, the_template: Tensor, *, memory_format: MemoryFormat | None = None
) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_as_(input, the_template)


def set_(
    self: Tensor, source: Any = None, storage_offset: int = 0, size: Any = (), stride: Any = ()
) -> Tensor:
    """The memory (and shape) of another tensor, or part of a storage; nothing is copied.

    RuntimeError for a part that lies outside or of another dtype.
    """
    check_inplace(self, False)
    if source is None:
        self._data = self._data.reshape(-1)[:0]
    elif isinstance(source, Tensor):
        if source._data.dtype != self._data.dtype:
            raise RuntimeError(
                f"Could not set tensor of type {source.dtype} to a tensor of type {self.dtype}"
            )
        self._data = source._data
        if size:
            self._data = as_strided(wrap(whole(source._data)), size, stride, storage_offset)._data
    else:
        flat = source._flat.view(self._data.dtype) if type(source) is UntypedStorage else None
        if type(source) is TypedStorage:
            flat = source._flat
        if flat is None or flat.dtype != self._data.dtype:
            raise RuntimeError(f"set_(): expected a storage of {self.dtype}")
        shape = tuple(size) if size else (flat.size,)
        steps = tuple(stride) or tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        self._data = as_strided(wrap(flat), shape, steps, storage_offset)._data
    self._view = None
    self._bump()
    return self


# ------------------------------------------------------------ by a Python function
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Each element x becomes callable(x): slow, and not differentiable.

    RuntimeError for a tensor that requires a gradient.
    """
    return _elementwise(self, "apply_", callable)


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Each element x becomes callable(x, y) with y from `tensor`, which is broadcast."""
    return _elementwise(self, "map_", callable, tensor)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Each element s becomes callable(s, x, y), with x and y from two tensors."""
    return _elementwise(self, "map2_", callable, x, y)


def _elementwise(self: Tensor, name: str, function: Callable[..., Any], *others: Tensor) -> Tensor:
    if any(t.requires_grad for t in (self, *others)):
        raise TypeError(f"{name}() only works on tensors that don't require grad")
    rows = [np.broadcast_to(t._data, self._data.shape).reshape(-1).tolist() for t in others]
    values = [
        function(*items) for items in zip(self._data.reshape(-1).tolist(), *rows, strict=True)
    ]
    new = np.array(values, self._data.dtype).reshape(self._data.shape)
    return copy_(self, wrap(new))


# ------------------------------------------------------------ the diagonal, a strided part
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """The main diagonal becomes `fill_value`, in place; with `wrap`, a tall matrix's starts again
    below.

    The filled places get the gradient 0. RuntimeError below two dimensions, and for more than two
    if they differ.
    """
    shape = self._data.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    step = sum(self.stride())
    tall = len(shape) == 2 and wrap and shape[0] > shape[1] + 1
    if not tall:
        parts = [as_strided(self, (min(shape),), (step,))]
    else:  # the diagonal leaves out one row each time it starts again
        rows, columns = shape
        parts = [
            as_strided(
                self, (min(columns, rows - top),), (step,), _offset(self) + top * self.stride(0)
            )
            for top in range(0, rows, columns + 1)
        ]
    for part in parts:
        part.fill_(fill_value)  # type: ignore[attr-defined]
    return self


def _offset(x: Tensor) -> int:
    return x.storage_offset()


@export("as_strided_scatter")
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of x whose part `as_strided(size, stride, storage_offset)` is `src`.

        x̄ = ȳ with zeros in that part,  src gets ȳ's part

    RuntimeError if src has another shape.
    """
    y = clone(input)
    part = as_strided(y, size, stride, storage_offset)
    if part._data.shape != src._data.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src._data.shape)}, slice size = {list(part._data.shape)}"
        )
    copy_(part, src)
    return y


def slice_inverse(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None,
    step: int = 1,
) -> Tensor:  # fmt: skip
    """`src` itself: what has to be put into a slice of x for the slice to be `src`."""
    return src


# ------------------------------------------------------------ questions
def dim_order(input: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from the slowest in memory to the fastest."""
    steps = input.stride()
    return tuple(sorted(range(len(steps)), key=lambda d: -steps[d]))


@export("is_signed")
def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.is_signed()


@export("get_device")
def get_device(input: Tensor) -> int:
    """The number of the GPU that holds the tensor, or -1 on the CPU."""
    return input.get_device()


@export("is_conj")
def is_conj(input: Tensor) -> bool:
    """Always False: `conj` computes at once."""
    return False


@export("is_neg")
def is_neg(input: Tensor) -> bool:
    """Always False: negation is computed at once."""
    return False


@export("is_distributed")
def is_distributed(input: Tensor) -> bool:
    """Always False: a tensor lies on one device."""
    return False


@export("typename")
def typename(obj: Any, /) -> str:
    """The name of an object's type; of a tensor the legacy one, e.g. "minigrad.FloatTensor"."""
    if isinstance(obj, Tensor):
        return obj.type()  # type: ignore[attr-defined]
    kind = obj if isinstance(obj, type) else type(obj)
    own = getattr(obj, "__qualname__", None) or kind.__qualname__
    module = getattr(obj, "__module__", None) or kind.__module__
    return own if module in ("builtins", None) else f"{module}.{own}"


def dense_dim(input: Tensor) -> int:
    """The number of dimensions: none is sparse."""
    return input._data.ndim


def sparse_dim(input: Tensor) -> int:
    """Always 0: there are no sparse tensors."""
    return 0


def to_dense(input: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """The tensor itself (in another dtype): every tensor is dense."""
    return input if dtype is None else input.to(dtype)  # type: ignore[attr-defined]


def as_subclass(input: Tensor, cls: type) -> Any:
    """The same memory, in the same place of the graph, as a tensor of a subclass.

    TypeError for a class that is none.
    """
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"as_subclass: expected a subclass of Tensor, but got {cls!r}")
    same = input.view_as(input) if input._node is not None else input.detach()  # type: ignore[attr-defined]
    t = object.__new__(cls)
    for slot in ("_data", "_requires_grad", "_node", "_index", "_counter", "_view"):
        setattr(t, slot, getattr(same, slot))
    t._requires_grad, t._grad, t._accumulator, t._hooks = input.requires_grad, None, None, None
    return t


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What `load_state_dict` puts in this tensor's place, if `__future__` asks it to swap."""
    return other.detach() if assign else copy_(self, other).detach()


def grad_dtype(input: Tensor) -> Any:
    """The dtype of the gradient: the tensor's own."""
    return input.dtype


def name(input: Tensor) -> None:
    """Always None: tensors have no names."""


def record_stream(input: Tensor, s: Any) -> None:
    """Nothing: memory is given back in the order of the GPU's work."""


def reversed_(input: Tensor) -> Tensor:
    """`reversed(x)`: flipped along every dimension."""
    every = range(input._data.ndim)
    return input.flip(*every) if input._data.ndim else input  # type: ignore[attr-defined]
