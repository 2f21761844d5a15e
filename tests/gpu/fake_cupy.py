"""A stand-in for CuPy on a machine without a GPU: `with installed(): ...`.

Its arrays are no ndarrays, and NumPy cannot read them: code that takes a device array for one of
NumPy's fails, as it would on a device. A function is there if CuPy 14.2 has it, with the parameters
that CuPy gives it (cupy_names.txt), and computes with NumPy on hidden memory. An ndarray among
arguments is refused, as by CuPy. Every result that is no view is one launch; `RawModule` compiles
CUDA C with g++ and runs it (toolchain.py).

What it cannot show: speed, races between streams, what CuPy's kernels really compute.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import allocator, devices, pinned
from minigrad.kernels.cuda import launch

from .fake_device import (
    MACHINE,
    POISON,
    Graph,
    MemoryPointer,
    OutOfMemoryError,
    Pool,
    UnownedMemory,
)

_NUMBERS = (bool, int, float, complex, np.generic)


# ------------------------------------------------------------------------------ what CuPy has
def _read_names() -> tuple[dict[str, list[str]], dict[str, dict[str, list[str] | None]]]:
    """(ufuncs of each module, parameters of each function of each module)."""
    ufuncs: dict[str, list[str]] = {}
    functions: dict[str, dict[str, list[str] | None]] = {}
    section = ""
    for line in (Path(__file__).parent / "cupy_names.txt").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            functions[section] = {}
        elif line.startswith("ufuncs: "):
            ufuncs[section] = line.removeprefix("ufuncs: ").split()
        elif not line.startswith("#"):
            name, _, inside = line.partition("(")
            functions[section][name] = re.findall(r"\w+", inside)
    return ufuncs, functions


UFUNCS, FUNCTIONS = _read_names()


# ------------------------------------------------------------------------------ the array
class ndarray:
    """cupy.ndarray: a shape, a dtype and strides over a block of device memory."""

    __module__ = "cupy"
    __array_priority__ = 100

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, *, block: Any = None,
        host: Any = None,
    ):  # fmt: skip
        if host is None:
            size = int(np.prod(shape, dtype=np.int64))
            dtype = np.dtype(dtype)
            block = MACHINE.allocate(max(1, size * dtype.itemsize)) if memptr is None else memptr
            host = block.bytes[: size * dtype.itemsize].view(dtype).reshape(shape)
        self._host, self._block = host, block
        self.base: ndarray | None = None

    # ---- what it is
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    device = property(lambda self: Device(0))
    T = property(lambda self: _view(self, self._host.T))
    mT = property(lambda self: _view(self, self._host.mT))

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self._block.mem, self._host.ctypes.data - self._block.mem.ptr)

    @property
    def real(self) -> ndarray:
        return _view(self, self._host.real) if self.dtype.kind == "c" else self

    @real.setter
    def real(self, value: Any) -> None:
        self.real[...] = value

    @property
    def imag(self) -> ndarray:
        mine = self._host
        return _wrap("imag", mine.imag, [self], lambda: mine.imag)

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag[...] = value

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3}

    # ---- to and from the host
    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True):
        if not blocking:
            assert pinned.is_pinned(out), "a copy to pageable memory is waited for"
            host = self._host
            out.view(np.uint8)[...] = POISON
            MACHINE.under_way.append(lambda: np.copyto(out, host))
            return out
        MACHINE.read("get")
        if out is not None:
            out[...] = self._host
            return out
        return self._host.copy(order=order)

    def set(self, arr: Any, stream: Any = None) -> None:
        if stream is not None and pinned.is_pinned(arr):
            host = self._host
            MACHINE.launch("copy from pinned memory", lambda: np.copyto(host, arr), None)
            return
        MACHINE.write("set")
        if arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError("set() needs an array of the same dtype and shape")
        self._host[...] = arr

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __complex__(self) -> complex:
        return complex(self.get())

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")

    def __repr__(self) -> str:
        return repr(self.get())

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self._host)))

    def __dlpack__(self, stream: Any = None, **options: Any) -> Any:
        return self._host.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    # ---- indexing
    def __getitem__(self, key: Any) -> ndarray:
        _refuse_indices(key)
        host = self._host[_hosts(key)]
        if isinstance(host, np.generic) and not _arrays(key):  # CuPy's is a view of one element
            host = self._host[(*(key if isinstance(key, tuple) else (key,)), ...)]
        mine, keys = self._host, _hosts(key)
        return _wrap("getitem", np.asarray(host), [self], lambda: mine[keys])

    def __setitem__(self, key: Any, value: Any) -> None:
        _refuse_indices(key)
        _refuse_host(value)
        key, value = _hosts(key), _hosts(value)
        host = self._host

        def run() -> None:
            host[key] = value

        MACHINE.launch("setitem", run, None)

    # ---- NumPy's protocols
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = getattr(MODULE, ufunc.__name__, None)
        if function is None and ufunc.__name__ in UFUNCS["cupyx.scipy.special"]:
            function = Ufunc(ufunc.__name__, ufunc)
        if method != "__call__":
            function = getattr(function, method, None)
        if function is None:
            return NotImplemented
        if "out" in kwargs:
            if len(kwargs["out"]) != 1:
                raise ValueError("The 'out' parameter must have exactly one array value")
            kwargs["out"] = kwargs["out"][0]
        outs = [kwargs["out"]] if "out" in kwargs else []
        for x in (*inputs, *outs):
            if not isinstance(x, (*_NUMBERS, ndarray, np.ndarray)):
                return NotImplemented
        if ufunc.__name__ in _COMPARISONS:
            inputs = tuple(
                [x.item() if type(x) is np.ndarray and not x.ndim else x for x in inputs]
            )
        return function(*inputs, **kwargs)

    def __array_function__(self, func: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        module: Any = MODULE
        for part in func.__module__.split(".")[1:]:
            module = getattr(module, part, None)
        function = getattr(module, func.__name__, None)
        if function is None or not all(issubclass(k, (ndarray, np.ndarray)) for k in kinds):
            return NotImplemented
        return function(*args, **kwargs)


_COMPARISONS = "greater greater_equal less less_equal equal not_equal".split()


def _hosts(x: Any) -> Any:
    """The same arguments with the hidden memory of the arrays among them."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, (tuple, list)):
        return type(x)([_hosts(v) for v in x])
    return x


def _arrays(*values: Any) -> list[ndarray]:
    found: list[ndarray] = []
    for x in values:
        if isinstance(x, ndarray):
            found.append(x)
        elif isinstance(x, (tuple, list)):
            found += _arrays(*x)
    return found


def _refuse_host(*values: Any) -> None:
    """TypeError for an ndarray where CuPy takes device arrays and numbers."""
    for x in values:
        if isinstance(x, np.ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
        if isinstance(x, (tuple, list)):
            _refuse_host(*x)


def _refuse_indices(key: Any) -> None:
    """Indices may come from the host, masks of two or more at once may not."""
    keys = key if isinstance(key, tuple) else (key,)
    masks = [k for k in keys if getattr(k, "dtype", None) == np.dtype(bool)]
    if len(masks) > 1:
        raise NotImplementedError("more than one boolean array as an index")


def _view(of: ndarray, host: np.ndarray) -> ndarray:
    x = ndarray((), block=of._block, host=host)
    x.base = of if of.base is None else of.base
    return x


def _wrap(name: str, host: Any, sources: list[ndarray], again: Any = None) -> Any:
    """A result of NumPy as device arrays: a view of a source, or memory of its own and a launch."""
    if isinstance(host, (tuple, list)):
        parts = [_wrap(name, h, sources) for h in host]
        return type(host)(*parts) if hasattr(host, "_fields") else type(host)(parts)
    if not isinstance(host, (np.ndarray, np.generic)):
        return host
    host = np.asarray(host)
    for source in sources:
        if host.size and np.may_share_memory(host, source._host):
            if not host.flags.writeable and source._host.flags.writeable:
                host.flags.writeable = host.base is not None and host.base.flags.writeable
            return _view(source, host)
    y = ndarray(host.shape, host.dtype)
    order = "F" if host.flags.f_contiguous and not host.flags.c_contiguous else "C"
    if order == "F":
        y._host = y._host.reshape(-1).reshape(host.shape, order="F")
    target = y._host
    first = [host]

    def run() -> None:
        target[...] = first.pop() if first else again()

    MACHINE.launch(name, run, [target])
    return y


def _call(name: str, function: Callable, args: Any, kwargs: Any) -> Any:
    """A function of NumPy on device arrays."""
    _refuse_host(*args, *kwargs.values())
    sources = _arrays(*args, *kwargs.values())
    hosts, options = _hosts(args), _hosts(kwargs)
    out = kwargs.get("out")
    if isinstance(kwargs, dict):
        options = {key: _hosts(value) for key, value in kwargs.items()}
    if out is not None:

        def run() -> None:
            with np.errstate(all="ignore"):
                function(*hosts, **options)

        MACHINE.launch(name, run, None)
        return out
    with np.errstate(all="ignore"):
        result = function(*hosts, **options)

    def again() -> Any:
        with np.errstate(all="ignore"):
            return function(*hosts, **options)

    return _wrap(name, result, sources, again)


# ------------------------------------------------------------------------------ functions
class Ufunc:
    """A universal function, with the methods that CuPy's have for it."""

    def __init__(self, name: str, function: Any = None):
        self.__name__ = name
        self.function = function or getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.__name__ == "matmul" and MACHINE.graph is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is unsupported")
        return _call(self.__name__, self.function, args, kwargs)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims=False):
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.__name__}.reduce` is not supported yet")
        reduce = array.sum if self.__name__ == "add" else array.prod
        return reduce(axis, dtype, out, keepdims)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.__name__}.accumulate` is not supported yet")
        return (array.cumsum if self.__name__ == "add" else array.cumprod)(axis, dtype, out)

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None):
        if self.__name__ != "add":
            raise NotImplementedError(f"`cupy_{self.__name__}.reduceat` is not supported yet")
        return _call("add.reduceat", np.add.reduceat, (array, indices, axis, dtype), {})

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        return _call(self.__name__, self.function.outer, (a, b), kwargs)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        if self.__name__ not in ("add", "subtract", "maximum", "minimum", "bitwise_and",
                                 "bitwise_or", "bitwise_xor"):  # fmt: skip
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        host, key, value = a._host, _hosts(indices), _hosts(b)
        _refuse_host(b)
        MACHINE.launch(f"{self.__name__}.at", lambda: self.function.at(host, key, value), None)


def _function(name: str, function: Callable, parameters: list[str] | None) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        for key in kwargs:
            if parameters is not None and key not in parameters and "kwargs" not in parameters:
                raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        return _call(name, function, args, kwargs)

    call.__name__ = name
    return call


def _method(name: str, parameters: list[str] | None) -> Callable:
    def call(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        for key in kwargs:
            if parameters is not None and key not in parameters:
                raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
        return _call(name, getattr(np.ndarray, name), (self, *args), kwargs)

    call.__name__ = name
    return call


for _name, _parameters in FUNCTIONS["cupy.ndarray"].items():
    if _name not in ndarray.__dict__ and _name in dir(np.ndarray) and _name not in ("astype",):
        setattr(ndarray, _name, _method(_name, _parameters))


def _astype(
    self: ndarray,
    dtype: Any,
    order: str = "K",
    casting: Any = None,
    subok: Any = None,
    copy: bool = True,
) -> ndarray:
    if not copy and self.dtype == np.dtype(dtype):
        return self
    options = {} if casting is None else {"casting": casting}
    return _call("astype", lambda x: x.astype(dtype, order=order, **options), (self,), {})


def _fill(self: ndarray, value: Any) -> None:
    _refuse_host(value)
    host, value = self._host, _hosts(value)
    MACHINE.launch("fill", lambda: host.fill(value), None)


def _sort(self: ndarray, axis: int = -1, kind: Any = None) -> None:
    host = self._host
    MACHINE.launch("sort", lambda: host.sort(axis), None)


ndarray.astype, ndarray.fill, ndarray.sort = _astype, _fill, _sort  # type: ignore[attr-defined]
ndarray.__hash__ = None  # type: ignore[assignment]

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "matmul": "matmul",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift",
    "rshift": "right_shift", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip


def _operator(name: str, mode: str) -> Callable:
    def call(self: ndarray, other: Any) -> Any:
        if not isinstance(other, (*_NUMBERS, ndarray, np.ndarray)):
            return NotImplemented
        ufunc = getattr(MODULE, name)
        if mode == "i":
            return ufunc(self, other, out=self)
        return ufunc(other, self) if mode == "r" else ufunc(self, other)

    return call


for _op, _name in _OPERATORS.items():
    setattr(ndarray, f"__{_op}__", _operator(_name, ""))
    if _name not in _COMPARISONS:
        setattr(ndarray, f"__r{_op}__", _operator(_name, "r"))
        if _op != "matmul":
            setattr(ndarray, f"__i{_op}__", _operator(_name, "i"))
for _op, _name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
    setattr(ndarray, f"__{_op}__", (lambda n: lambda self: getattr(MODULE, n)(self))(_name))
ndarray.__pos__ = lambda self: self.copy()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------ cupy.cuda
class Device:
    def __init__(self, device: Any = None):
        self.id = 0 if device is None else getattr(device, "id", device)
        self.attributes = {"MultiProcessorCount": 2}
        self.compute_capability = "90"

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __int__(self) -> int:
        return self.id

    def use(self) -> None:
        pass

    def synchronize(self) -> None:
        MACHINE.read("synchronize")


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess=False):
        self.timed, self.done, self.when = not disable_timing, True, 0.0

    def record(self, stream: Any = None) -> None:
        self.when = time.perf_counter()

    def synchronize(self) -> None:
        MACHINE.read("Event.synchronize")


class Stream:
    """Everything runs at once, in order; what `begin_capture` changes is in Machine."""

    current: list[Stream] = []
    null: Any = None

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority=0
    ):
        self.is_null, self.done, self.ptr = null, True, 0 if null else id(self)

    def __enter__(self) -> Stream:
        Stream.current.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        Stream.current.pop()

    def use(self) -> Stream:
        Stream.current[:] = [self]
        return self

    def synchronize(self) -> None:
        MACHINE.read("Stream.synchronize")

    def record(self, event: Event | None = None) -> Event:
        return event or Event()

    def wait_event(self, event: Event) -> None:
        pass

    def begin_capture(self, mode: Any = None) -> None:
        if self.is_null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        MACHINE.graph = Graph(MACHINE)

    def is_capturing(self) -> bool:
        return MACHINE.graph is not None

    def end_capture(self) -> Graph:
        graph, MACHINE.graph = MACHINE.graph, None
        assert graph is not None, "the stream was not capturing"
        graph.spoil()
        return graph


def _set_allocator(allocator: Any = None) -> None:
    MACHINE.allocator = allocator


@contextlib.contextmanager
def _using_allocator(allocator: Any = None) -> Iterator[None]:
    MACHINE.allocators.append(allocator)
    try:
        yield
    finally:
        MACHINE.allocators.pop()


class RawModule:
    """CUDA C, compiled for the CPU when a function is first asked for."""

    def __init__(self, *, code: str, options: Any = (), backend: str = "nvrtc", **rest: Any):
        self.code = code

    def get_function(self, name: str) -> Callable:
        from minigrad.kernels.cuda.source import Source, prelude

        from .toolchain import Emulated

        text = self.code.removeprefix(prelude())
        library = Emulated([Source(name, text)])

        def kernel(
            grid: Any, block: Any, args: Any, shared_mem: int = 0, stream: Any = None
        ) -> None:
            for a in args:
                if isinstance(a, np.ndarray) and a.size != 1:
                    raise TypeError("You are trying to pass a numpy.ndarray as a kernel parameter")
            hosts = [
                a._host if isinstance(a, ndarray) else a.tobytes() if isinstance(a, np.ndarray)
                else np.intp(0) if a is None else a for a in args
            ]  # fmt: skip
            shape = (grid[0], grid[1] if len(grid) > 1 else 1)
            MACHINE.launch(name, lambda: library.run(name, shape, block[0], hosts), None)

        return kernel


# ------------------------------------------------------------------------------ the module
_DTYPES = """float16 float32 float64 complex64 complex128 bool_ int8 int16 int32 int64 uint8 uint16
    uint32 uint64""".split()


def _make() -> Any:
    module: Any = types.ModuleType("cupy")
    for name in UFUNCS["cupy"]:
        setattr(module, name, Ufunc(name))
    for section, parent in (("cupy", np), ("cupy.linalg", np.linalg), ("cupy.fft", np.fft)):
        target = module if section == "cupy" else types.SimpleNamespace()
        for name, parameters in FUNCTIONS[section].items():
            setattr(target, name, _function(name, getattr(parent, name), parameters))
        if target is not module:
            setattr(module, section.partition(".")[2], target)
    for name in _DTYPES:
        setattr(module, name, getattr(np, name))
    module.pi, module.inf, module.nan, module.newaxis = np.pi, np.inf, np.nan, None
    module.dtype, module.finfo, module.iinfo = np.dtype, np.finfo, np.iinfo
    module.lib = types.SimpleNamespace(
        stride_tricks=types.SimpleNamespace(
            as_strided=lambda x, shape=None, strides=None: _view(
                x, np.lib.stride_tricks.as_strided(x._host, shape, strides)
            )
        )
    )
    module.ndarray = ndarray
    module.array = module.asarray = _asarray
    module.array = lambda obj, dtype=None, copy=True, **kw: _asarray(obj, dtype, copy=copy)
    module.asnumpy = lambda a, **kw: a.get() if isinstance(a, ndarray) else np.asarray(a)
    module.empty = lambda shape, dtype=float, order="C": ndarray(shape, dtype)
    module.zeros = lambda shape, dtype=float, order="C": _made(np.zeros(shape, dtype))
    module.ones = lambda shape, dtype=float, order="C": _made(np.ones(shape, dtype))
    module.full = lambda shape, v, dtype=None, order="C": _made(np.full(shape, _number(v), dtype))
    module.arange = lambda *a, dtype=None: _made(np.arange(*a, dtype=dtype))
    module.eye = lambda N, M=None, k=0, dtype=float, order="C": _made(np.eye(N, M, k, dtype))
    module.linspace = lambda *a, **kw: _made(np.linspace(*a, **kw))
    module.frombuffer = lambda *a, **kw: _asarray(np.frombuffer(*a, **kw))
    module.from_dlpack = lambda x: _asarray(np.from_dlpack(x))
    module.may_share_memory = lambda a, b, max_work=None: bool(
        np.may_share_memory(a._host, b._host)
    )
    module.shares_memory = lambda a, b, max_work=None: bool(np.shares_memory(a._host, b._host))
    module.copyto = _copyto
    module.put_along_axis = _put_along_axis
    module.get_array_module = lambda *a: module if _arrays(*a) else np
    module.get_default_memory_pool = lambda: MACHINE.pool
    module.RawModule = RawModule
    module.cuda = types.SimpleNamespace(
        Device=Device, Stream=Stream, Event=Event, MemoryPool=Pool, Graph=Graph,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        MemoryPointer=MemoryPointer, UnownedMemory=UnownedMemory,
        set_allocator=_set_allocator,
        using_allocator=_using_allocator,
        get_current_stream=lambda: Stream.current[-1] if Stream.current else Stream.null,
        get_elapsed_time=lambda a, b: 1e3 * (b.when - a.when),
        runtime=types.SimpleNamespace(
            getDeviceProperties=lambda i: {
                "name": b"fake device", "major": 9, "minor": 0, "totalGlobalMem": 1 << 34,
                "multiProcessorCount": 2, "l2CacheSize": 1 << 16,
            },
            memGetInfo=lambda: ((1 << 34) - MACHINE.pool.used, 1 << 34),
            deviceCanAccessPeer=lambda a, b: 0,
        ),
        alloc_pinned_memory=lambda size: memoryview(bytearray(max(1, size))),
    )  # fmt: skip
    return module


def _made(host: np.ndarray) -> ndarray:
    return _wrap("fill", host, [], lambda: host)


def _number(x: Any) -> Any:
    _refuse_host(x)
    return _hosts(x)


def _asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking=False
) -> Any:
    if isinstance(a, ndarray):
        if dtype is not None and a.dtype != np.dtype(dtype):
            return a.astype(dtype)
        return a.copy() if copy else a
    if _arrays(a):
        return _call("stack", lambda v: np.array(v, dtype), (a,), {})
    host = np.asarray(a, dtype)
    MACHINE.write("asarray")
    y = ndarray(host.shape, host.dtype)
    y._host[...] = host
    return y


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    _refuse_host(src, where)
    host, value = dst._host, _hosts(src)
    mask = True if where is None else _hosts(where)
    MACHINE.launch("copyto", lambda: np.copyto(host, value, casting, where=mask), None)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any, mode: Any = None) -> None:
    _refuse_host(arr, indices, values)
    hosts = arr._host, indices._host, _hosts(values)
    MACHINE.launch("put_along_axis", lambda: np.put_along_axis(*hosts, axis), None)


MODULE = _make()
Stream.null = Stream(null=True)


@contextlib.contextmanager
def installed() -> Iterator[Any]:
    """Inside, `import cupy` finds this module, and the driver counts one device."""
    from . import fake_cublaslt

    before, count = sys.modules.get("cupy"), devices._driver_device_count
    MACHINE.reset()
    sys.modules["cupy"] = MODULE
    devices._driver_device_count = lambda: 1  # type: ignore[assignment]
    try:
        with fake_cublaslt.installed():
            yield MODULE
    finally:
        launch._TICKETS.clear()  # memory of this machine
        devices._prepared.clear()
        allocator._counts.clear()
        allocator._live.clear()
        devices._driver_device_count = count
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
