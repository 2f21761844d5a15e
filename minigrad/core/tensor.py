"""Tensor: an array, whether it needs a gradient, and the node that made it.

Only state lives here. What can be computed with a tensor is bound to it by one table,
`minigrad/ops/methods.py`; `backward` comes from `engine.py`.

A tensor's private state, all of it (the engine and the ops read these slots directly: a property
costs as much as a small NumPy call):

    _data           the array; views of one storage share its memory
    _requires_grad  of a leaf: asked for by the user; of a result: some input requires a gradient
    _node, _index   the node that made it and which of the node's outputs it is; None for a leaf
    _grad           the accumulated gradient of a leaf (or of a result that called retain_grad)
    _counter        [n]: number of in-place changes; one list shared by all views of a storage
    _view           how it was cut out of its base, see views.py; None if it is no differentiable
                    view
    _accumulator    weak reference to the AccumulateGrad node of a leaf
    _hooks          hooks of a leaf: {"pre": ..., "post": ...}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..backend import dtypes, pinned
from ..backend.devices import CPU, array_module, device, device_of
from ..backend.dtypes import DType, from_numpy_dtype
from ..export import export
from . import printing
from .hooks import Hooks, RemovableHandle
from .modes import MODE
from .size import Size

ndarray = np.ndarray
_new = object.__new__


class InferenceVersion:
    """The version counter of tensors made in inference mode: it refuses to be read for saving or
    bumped outside.
    """

    def __getitem__(self, _: int) -> int:
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. To work around you can make a clone to"
            " get a normal tensor and use it in autograd."
        )

    def __setitem__(self, _: int, value: int) -> None:
        if not MODE.get().inference:
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed. You can"
                " make a clone to get a normal tensor before doing inplace update."
            )


INFERENCE: Any = InferenceVersion()


@export("Tensor")
class Tensor:
    """A multi-dimensional array that can record what is computed with it.

    `Tensor(2, 3)`, `Tensor([1., 2.])` are PyTorch's legacy constructors (default dtype); new code
    uses `minigrad.tensor`, `zeros`, `randn`, ...
    """

    __slots__ = (
        "_data",
        "_requires_grad",
        "_node",
        "_index",
        "_grad",
        "_counter",
        "_view",
        "_accumulator",
    )
    __slots__ += ("_hooks", "__dict__", "__weakref__")

    __array_priority__ = 1000  # NumPy operators give way: ndarray + Tensor is a Tensor

    # given by engine.py and views.py
    backward: Callable[..., None]
    grad_fn: Any
    requires_grad: Any
    retain_grad: Callable[..., None]
    requires_grad_: Callable[..., Tensor]
    detach_: Callable[..., Tensor]
    register_hook: Callable[..., RemovableHandle]

    _data: Any
    _requires_grad: bool
    _node: Any
    _index: int
    _grad: Tensor | None
    _counter: Any
    _view: Any
    _accumulator: Any
    _hooks: dict[str, Hooks] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        t = _new(cls)
        t._data = _legacy_array(args)
        _reset(t)
        return t

    # ---------------------------------------------------------------- what it is
    @property
    def data(self) -> Tensor:
        """The same memory as a tensor of its own: no graph, no shared version counter."""
        return wrap(self._data)

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
        self._data = new._data

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() accumulated; None before the first."""
        return self._grad

    @grad.setter
    def grad(self, new: Tensor | None) -> None:
        if new is not None:
            if not isinstance(new, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got {type(new).__name__}"
                )
            if new is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if new._data.shape != self._data.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: {tuple(new.shape)} for a tensor"
                    f" of {tuple(self.shape)}"
                )
            if new._data.dtype != self._data.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: {new.dtype} for a tensor of"
                    f" {self.dtype}"
                )
        self._grad = new

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def is_leaf(self) -> bool:
        """Made by the user (or not recorded): backward() accumulates into the .grad of leaves
        only.
        """
        return self.grad_fn is None

    @property
    def shape(self) -> Size:
        """The sizes of all dimensions."""
        return Size(self._data.shape)

    @property
    def dtype(self) -> DType:
        """The data type of the elements."""
        return from_numpy_dtype(self._data.dtype)

    @property
    def device(self) -> device:
        """Where the elements live."""
        return CPU if type(self._data) is ndarray else device_of(self._data)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._data.size * self._data.itemsize

    @property
    def is_cuda(self) -> bool:
        """Whether the elements live on a GPU."""
        return type(self._data) is not ndarray

    @property
    def is_cpu(self) -> bool:
        """Whether the elements live in main memory."""
        return type(self._data) is ndarray

    is_sparse = is_mps = is_meta = is_nested = is_quantized = False
    layout = "strided"
    names = ()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension; IndexError if there is no such dimension."""
        if dim is None:
            return Size(self._data.shape)
        return self._data.shape[normalize_dim(dim, self._data.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Steps in memory per dimension, counted in elements."""
        strides = tuple(s // self._data.itemsize for s in self._data.strides)
        return strides if dim is None else strides[normalize_dim(dim, self._data.ndim)]

    def storage_offset(self) -> int:
        """Elements between the start of the storage and this tensor's first element."""
        root = self._data
        while isinstance(root.base, type(root)):
            root = root.base
        return (self.data_ptr() - wrap(root).data_ptr()) // self._data.itemsize

    def data_ptr(self) -> int:
        """The address of the first element; two views of one storage can be compared by it."""
        if type(self._data) is ndarray:
            return self._data.__array_interface__["data"][0]
        return self._data.data.ptr

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return bool(self._data.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether it was made in inference mode, and so can never take part in autograd."""
        return self._counter is INFERENCE

    def is_pinned(self) -> bool:
        """Whether it is in main memory that a GPU reads by itself: see `pin_memory`."""
        return self.is_cpu and pinned.is_pinned(self._data)

    def is_shared(self) -> bool:
        """Always False: data loading moves batches by itself."""
        return False

    def get_device(self) -> int:
        """The number of the GPU, or -1 on the CPU."""
        return -1 if self.is_cpu else self.device.index or 0

    def _bump(self) -> None:
        """Count one in-place change: whoever saved this storage for backward will notice."""
        version = self._counter
        version[0] = 0 if version is INFERENCE else version[0] + 1

    # ---------------------------------------------------------------- out of the library
    def item(self) -> Any:
        """The one element as a Python number; RuntimeError if there is not exactly one."""
        if self._data.size != 1:
            raise RuntimeError(
                f"a Tensor with {self._data.size} elements cannot be converted to Scalar"
            )
        value = self._data.item()
        # ml_dtypes' bfloat16 scalars are no Python floats
        return value if isinstance(value, (bool, int, float, complex)) else float(value)

    def tolist(self) -> Any:
        """Nested Python lists of numbers (a number for a 0-d tensor)."""
        host = self._host()
        return (host.astype(np.float32) if host.dtype == dtypes.BF16 else host).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The ndarray, sharing memory; with force, detached and copied to the CPU first.

        RuntimeError if it requires a gradient, TypeError if it lives on a GPU.
        """
        if force:
            return self._host()
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()"
                " instead."
            )
        if not self.is_cpu:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy"
                " the tensor to host memory first."
            )
        return self._data

    def _host(self) -> np.ndarray:
        return self._data if type(self._data) is ndarray else self._data.get()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        """A DLPack capsule of the same memory (numpy, torch, jax and cupy read it with
        from_dlpack).
        """
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if self.is_cpu:
            return self._data.__dlpack__(**options)
        return self._data.__dlpack__(stream=stream, **options)

    def __dlpack_device__(self) -> tuple[Any, int]:
        return self._data.__dlpack_device__()

    # ---------------------------------------------------------------- as a Python object
    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[0]

    def __bool__(self) -> bool:
        if self._data.size != 1:
            what = "no values" if self._data.size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
        return bool(self._data.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._data.size != 1 or self._data.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._data.item())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.item(), digits)

    def __trunc__(self) -> int:
        return math.trunc(self.item())

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))  # type: ignore[attr-defined]

    __hash__ = object.__hash__  # by identity, and in C: optimizers look parameters up

    def __format__(self, spec: str) -> str:
        if self._data.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(str(self), spec)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        node = self.grad_fn
        return printing.format_tensor(
            self._host(),
            dtype_name=self.dtype.name,
            requires_grad=self._requires_grad,
            grad_fn_name=None if node is None else node.name(),
            device=str(self.device),
        )

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()))

    def __deepcopy__(self, memo: dict) -> Tensor:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy"
                " protocol at the moment. If you were attempting to deepcopy a module, this may be"
                " because of a torch.nn.utils.weight_norm usage; see the PyTorch documentation on"
                " deepcopy of non-leaf tensors."
            )
        from copy import deepcopy

        t = _new(type(self))
        t._data = self._data.copy()
        _reset(t, self._requires_grad)
        memo[id(self)] = t
        if self._grad is not None:
            t._grad = deepcopy(self._grad, memo)
        if self.__dict__:
            t.__dict__.update(deepcopy(self.__dict__, memo))
        return t

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise RuntimeError("Only leaf tensors can be pickled; call detach() first")
        array = self._host()
        dtype = self.dtype.name
        if dtype == "bfloat16":  # stored by its bits: a reader may lack ml_dtypes' pickle support
            array = array.view(np.uint16)
        return _rebuild, (type(self), array, dtype, self._requires_grad, dict(self.__dict__))

    # ---------------------------------------------------------------- its place in the graph
    def detach(self) -> Tensor:
        """The same memory outside the graph; the version counter is shared, so in-place changes are
        noticed.
        """
        t = wrap(self._data)
        t._counter = self._counter
        return t


def wrap(data: Any, requires_grad: bool = False) -> Tensor:
    """A Tensor around an array, nothing copied or checked."""
    t = _new(Tensor)
    t._data = data
    t._requires_grad = requires_grad
    t._node = None
    t._index = 0
    t._grad = None
    t._counter = [0] if not MODE.get().inference else INFERENCE
    t._view = None
    t._accumulator = None
    t._hooks = None
    return t


def sharing(t: Tensor, data: Any) -> Tensor:
    """`wrap` of an array that lies in t's memory: backward notices when either is changed."""
    other = wrap(data)
    other._counter = t._counter
    return other


def _reset(t: Tensor, requires_grad: bool = False) -> None:
    """Give a new tensor the state of a fresh leaf."""
    t._requires_grad = requires_grad
    t._node = None
    t._index = 0
    t._grad = None
    t._counter = [0] if not MODE.get().inference else INFERENCE
    t._view = None
    t._accumulator = None
    t._hooks = None


def make(cls: type, data: Any, requires_grad: bool = False) -> Any:
    """Like `wrap`, for a subclass such as Parameter."""
    t = _new(cls)
    t._data = data
    _reset(t, requires_grad)
    return t


def normalize_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front; IndexError outside [-ndim, ndim - 1] (a 0-d tensor counts
    as 1-d).
    """
    n = ndim or 1
    if -n <= dim < n:
        return dim + n if dim < 0 else dim
    raise IndexError(
        f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
    )


def _legacy_array(args: tuple[Any, ...]) -> Any:
    dtype = dtypes.get_default_dtype().np
    if len(args) == 1:
        source = args[0]
        if isinstance(source, Tensor):
            return source._data
        if isinstance(source, Size):
            return np.zeros(tuple(source), dtype)
        if not isinstance(source, (int, np.integer)):
            return np.array(source, dtype)
    if not all(isinstance(n, (int, np.integer)) for n in args):
        raise TypeError("new(): expected sizes (ints), a sequence, an ndarray or a Tensor")
    return np.zeros(tuple(int(n) for n in args) or (0,), dtype)


def _rebuild(
    cls: type, array: np.ndarray, dtype: str, requires_grad: bool, attributes: dict
) -> Tensor:
    if dtype == "bfloat16":
        array = array.view(dtypes.numpy_dtype(dtypes.bfloat16))
    t = make(cls, array, requires_grad)
    if attributes:
        t.__dict__.update(attributes)
    return t


__all__ = ["INFERENCE", "Tensor", "array_module", "make", "normalize_dim", "sharing", "wrap"]
