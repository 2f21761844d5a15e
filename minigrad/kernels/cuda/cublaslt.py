"""cuBLASLt by ctypes: D = α op(A) op(B) + β C of matrices in columns, and what is done to D on the
way to memory.

CuPy's own products go through cuBLAS, which it refuses while a stream is captured, and copy what is
transposed; this library takes transposes, strides of batches and an epilogue as attributes of
descriptors. A `Plan` is all of that for one problem, with the algorithm that the library's
heuristics choose; starting it allocates nothing and waits for nothing.

Numbers are those of cublasLt.h, cublas_api.h and library_types.h of CUDA 13.0 (in the wheel
nvidia-cublas 13.0.2.14), unchanged since CUDA 11.4 as far as they are used here.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
import threading
from collections.abc import Iterator
from ctypes import POINTER, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64
from ctypes import c_void_p as Pointer
from pathlib import Path
from typing import Any, NamedTuple

from ...backend.devices import cuda_module

WORKSPACE = 32 << 20
"""Bytes for split sums; what NVIDIA recommends, and PyTorch takes, for the H100."""
ALIGNED = 16
"""Bytes: algorithms ask for no more of an address."""

# cudaDataType
DATA = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
# cublasComputeType_t; halves are accumulated in float32
COMPUTE_32F, COMPUTE_64F, COMPUTE_TF32 = 68, 70, 77
# cublasLtMatmulDescAttributes_t
TRANSA, TRANSB, EPILOGUE, BIAS_POINTER, AUX_POINTER, AUX_LD = 3, 4, 7, 8, 11, 12
# cublasLtMatrixLayoutAttribute_t
BATCH_COUNT, BATCH_OFFSET = 5, 6
# cublasLtMatmulPreferenceAttributes_t; 5 to 8 are the least alignments of A, B, C and D
MAX_WORKSPACE, MIN_ALIGNMENT = 1, 5
# cublasOperation_t
TRANSPOSED = 1
# cublasLtEpilogue_t. GELU is the tanh approximation; AUX keeps what it is applied to. No op asks
# for RELU, GELU and DGELU yet: when a product is computed, what follows it is not known.
EPILOGUES = {
    "": 1, "relu": 2, "bias": 4, "relu_bias": 6, "gelu_aux": 32 | 128, "gelu_aux_bias": 36 | 128,
    "dgelu": 64 | 128, "dgelu_bgrad": 64 | 128 | 16, "bgrada": 256, "bgradb": 512,
}  # fmt: skip


class Algorithm(ctypes.Structure):
    """cublasLtMatmulAlgo_t: opaque."""

    _fields_ = [("data", c_uint64 * 8)]


class Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = [
        ("algorithm", Algorithm),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    ]


_SIGNATURES: dict[str, list[Any]] = {
    "cublasLtCreate": [POINTER(Pointer)],
    "cublasLtMatmulDescCreate": [POINTER(Pointer), c_int, c_int],
    "cublasLtMatmulDescSetAttribute": [Pointer, c_int, Pointer, c_size_t],
    "cublasLtMatrixLayoutCreate": [POINTER(Pointer), c_int, c_uint64, c_uint64, c_int64],
    "cublasLtMatrixLayoutSetAttribute": [Pointer, c_int, Pointer, c_size_t],
    "cublasLtMatmulPreferenceCreate": [POINTER(Pointer)],
    "cublasLtMatmulPreferenceSetAttribute": [Pointer, c_int, Pointer, c_size_t],
    "cublasLtMatmulPreferenceDestroy": [Pointer],
    "cublasLtMatmulAlgoGetHeuristic": [
        Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, c_int, POINTER(Heuristic),
        POINTER(c_int),
    ],
    "cublasLtMatmul": [
        Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer, Pointer,
        Pointer, Pointer, POINTER(Algorithm), Pointer, c_size_t, Pointer,
    ],
}  # fmt: skip


# ------------------------------------------------------------------------------ the library
@functools.cache
def library() -> Any:
    """cuBLASLt, or None where it is not found."""
    for path in _places():
        try:
            return declared(ctypes.CDLL(path))
        except OSError:
            continue
    return None


def declared(found: Any) -> Any:
    """A loaded library whose functions know their parameters."""
    for name, types in _SIGNATURES.items():
        getattr(found, name).argtypes = types
    return found


def _places() -> Iterator[str]:
    """Where NVIDIA's own finder says it is (CuPy 14 needs that package), then the folders of the
    wheels, then wherever the system looks.
    """
    if "cuda" in sys.modules or importlib.util.find_spec("cuda") is not None:
        try:
            finder = importlib.import_module("cuda.pathfinder")
            yield finder.load_nvidia_dynamic_lib("cublasLt").abs_path
        except (ImportError, RuntimeError, OSError):
            pass
    names = ("libcublasLt.so.13", "libcublasLt.so.12")
    if sys.platform == "win32":
        names = ("cublasLt64_13.dll", "cublasLt64_12.dll")
    for package in ("nvidia.cu13", "nvidia.cublas"):
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            for name in names:
                for path in sorted(Path(folder).rglob(name)):
                    yield str(path)
    yield from names


def check(status: int, call: str) -> None:
    """RuntimeError for a status (cublasStatus_t) other than success."""
    if status:
        raise RuntimeError(f"{call} failed with cublasStatus_t {status}")


# ------------------------------------------------------------------------------ a plan
class Operand(NamedTuple):
    """A matrix in columns: its shape, elements from one column to the next, and to the next matrix
    of the batch.
    """

    rows: int
    columns: int
    step: int
    batch_step: int = 0


class Problem(NamedTuple):
    """What a plan is made for."""

    a: Operand
    b: Operand
    d: Operand
    transposed: tuple[bool, bool]
    count: int
    dtype: str
    compute: int
    epilogue: str
    aligned: tuple[int, int, int, int]  # bytes, of A, B, D and the bias
    aux_step: int = 0


_HANDLES: dict[int, Any] = {}
_WORKSPACES: dict[tuple[int, int], Any] = {}
_PLANS: dict[tuple[int, Problem], Plan | None] = {}
_SETTING = threading.Lock()
"""A descriptor's pointers are set before it is used, and two threads may share it."""


def plan(problem: Problem) -> Plan | None:
    """The plan for a problem on the current device, made when it is first needed; None if the
    library refuses.
    """
    key = cuda_module().cuda.Device().id, problem
    if key not in _PLANS:
        _PLANS[key] = None if library() is None else _made(key[0], problem)
    return _PLANS[key]


def _made(device: int, problem: Problem) -> Plan | None:
    handle = _HANDLES.get(device)
    if handle is None:
        handle = Pointer()
        check(library().cublasLtCreate(ctypes.byref(handle)), "cublasLtCreate")
        _HANDLES[device] = handle
    made = Plan(handle, problem)
    return made if made.possible else None


def _set(call: Any, descriptor: Any, attribute: int, value: Any) -> None:
    check(call(descriptor, attribute, ctypes.byref(value), ctypes.sizeof(value)), call.__name__)


class Plan:
    """Descriptors and an algorithm for one problem; `start` puts it on the current stream."""

    def __init__(self, handle: Any, problem: Problem):
        self.handle, self.problem = handle, problem
        self.scalar: Any = c_double if problem.dtype == "float64" else c_float
        kind = DATA[problem.dtype]
        scale = kind if problem.dtype == "float64" else DATA["float32"]
        self.lt = lt = library()
        self.operation = Pointer()
        check(
            lt.cublasLtMatmulDescCreate(ctypes.byref(self.operation), problem.compute, scale),
            "cublasLtMatmulDescCreate",
        )
        for attribute, on in zip((TRANSA, TRANSB), problem.transposed, strict=True):
            if on:
                self._set(attribute, c_int32(TRANSPOSED))
        self._set(EPILOGUE, c_uint32(EPILOGUES[problem.epilogue]))
        if problem.aux_step:
            self._set(AUX_LD, c_int64(problem.aux_step))
        self.a, self.b, self.d = [
            self._layout(kind, x, problem.count) for x in (problem.a, problem.b, problem.d)
        ]
        self.possible = self._choose()

    def _set(self, attribute: int, value: Any) -> None:
        _set(self.lt.cublasLtMatmulDescSetAttribute, self.operation, attribute, value)

    def _layout(self, kind: int, x: Operand, count: int) -> Any:
        made = Pointer()
        call = self.lt.cublasLtMatrixLayoutCreate
        check(call(ctypes.byref(made), kind, x.rows, x.columns, x.step), call.__name__)
        if count > 1:
            set_attribute = self.lt.cublasLtMatrixLayoutSetAttribute
            _set(set_attribute, made, BATCH_COUNT, c_int32(count))
            _set(set_attribute, made, BATCH_OFFSET, c_int64(x.batch_step))
        return made

    def _choose(self) -> bool:
        """Ask the heuristics; whether there is an algorithm."""
        lt, preference = self.lt, Pointer()
        check(lt.cublasLtMatmulPreferenceCreate(ctypes.byref(preference)), "PreferenceCreate")
        set_attribute = lt.cublasLtMatmulPreferenceSetAttribute
        _set(set_attribute, preference, MAX_WORKSPACE, c_uint64(WORKSPACE))
        a, b, d, bias = self.problem.aligned
        for i, least in enumerate((a, b, d, d)):
            _set(set_attribute, preference, MIN_ALIGNMENT + i, c_uint32(least))
        if "bias" in self.problem.epilogue or "bgrad" in self.problem.epilogue:
            # nobody reads there: its alignment is what the heuristics want to know
            self._set(BIAS_POINTER, c_uint64(bias))
        if self.problem.aux_step:
            self._set(AUX_POINTER, c_uint64(ALIGNED))
        found, count = Heuristic(), c_int(0)
        status = lt.cublasLtMatmulAlgoGetHeuristic(
            self.handle, self.operation, self.a, self.b, self.d, self.d, preference, 1,
            ctypes.byref(found), ctypes.byref(count),
        )  # fmt: skip
        lt.cublasLtMatmulPreferenceDestroy(preference)
        self.algorithm, self.workspace = found.algorithm, found.workspace
        return status == 0 and count.value > 0 and found.state == 0

    def start(
        self, a: int, b: int, d: int, *, alpha: float = 1.0, beta: float = 0.0, bias: int = 0,
        aux: int = 0,
    ) -> None:  # fmt: skip
        """D = α op(A) op(B) + β D, then the epilogue; matrices, bias and aux by their addresses."""
        stream = cuda_module().cuda.get_current_stream().ptr
        workspace = workspace_of(stream) if self.workspace else 0
        factors = self.scalar(alpha), self.scalar(beta)
        with _SETTING:
            if bias:
                self._set(BIAS_POINTER, c_uint64(bias))
            if aux:
                self._set(AUX_POINTER, c_uint64(aux))
            status = self.lt.cublasLtMatmul(
                self.handle, self.operation, ctypes.addressof(factors[0]), a, self.a, b, self.b,
                ctypes.addressof(factors[1]), d, self.d, d, self.d, ctypes.byref(self.algorithm),
                workspace, WORKSPACE if workspace else 0, stream,
            )  # fmt: skip
        check(status, "cublasLtMatmul")


def workspace_of(stream: int) -> int:
    """The address of the workspace of a stream of the current device: products of two streams may
    run at once.
    """
    cupy = cuda_module()
    key = cupy.cuda.Device().id, stream
    found = _WORKSPACES.get(key)
    if found is None:
        found = _WORKSPACES[key] = cupy.empty(WORKSPACE, "u1")
    return found.data.ptr
