"""Flags that programs set for PyTorch's libraries: `backends.*`, precision, determinism.

Those that say how float32 may be rounded hold for products and convolutions on a GPU, where they
choose TensorFloat-32 (8 bits of exponent, 10 of mantissa). minigrad has none of the choices behind
the others: the same program gives the same numbers. They can be set and read, and change nothing;
the questions have true answers.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from ..export import export, export_constant
from .devices import cuda_is_available

# Public name -> what it is at first. Assignments (`backends.cudnn.benchmark = True`) go to the
# namespace, like those to any module.
ENABLED, DISABLED = True, False
_TRUE = """cudnn.enabled cudnn.allow_tf32 mkldnn.enabled
    cuda.matmul.allow_fp16_reduced_precision_reduction
    cuda.matmul.allow_bf16_reduced_precision_reduction""".split()
_FALSE = """cudnn.benchmark cudnn.deterministic cuda.matmul.allow_tf32 mkldnn.deterministic
    mkldnn.allow_tf32 cuda.matmul.allow_fp16_accumulation""".split()
BENCHMARK_LIMIT, FULL = 10, "ieee"
for _name in _TRUE:
    export_constant(__name__, f"backends.{_name}", "ENABLED")
for _name in _FALSE:
    export_constant(__name__, f"backends.{_name}", "DISABLED")
export_constant(__name__, "backends.cudnn.benchmark_limit", "BENCHMARK_LIMIT")
for _name in ("fp32_precision", "cuda.matmul.fp32_precision", "cudnn.fp32_precision"):
    export_constant(__name__, f"backends.{_name}", "FULL")


@export("backends.cuda.is_built", "backends.cudnn.is_available")
def _has_cuda() -> bool:
    """Whether CUDA devices can be used."""
    return cuda_is_available()


@export("backends.cudnn.version")
def cudnn_version() -> int | None:
    """The version of cuDNN that is in use: none."""
    return None


@export("backends.mkl.is_available", "backends.mkldnn.is_available")
def _has_mkl() -> bool:
    """Whether Intel's libraries are used: not by minigrad itself."""
    return False


@export("backends.openmp.is_available")
def _has_openmp() -> bool:
    """Whether loops run on several threads: by Numba, if it is installed."""
    import importlib.util

    return "numba" in sys.modules or importlib.util.find_spec("numba") is not None


@export("backends.cpu.get_cpu_capability")
def get_cpu_capability() -> str:
    """The vector instructions of this CPU: "AVX512", "AVX2" or "DEFAULT"."""
    try:
        with open("/proc/cpuinfo") as info:
            found = set(next((line for line in info if line.startswith("flags")), "").split())
    except OSError:
        found = set()
    return "AVX512" if "avx512f" in found else "AVX2" if "avx2" in found else "DEFAULT"


@contextlib.contextmanager
def _nothing(**flags: Any) -> Iterator[None]:
    yield


@export("backends.cudnn.flags", "backends.mkldnn.flags")
def flags(**flags: Any) -> Any:
    """`with backends.cudnn.flags(enabled=False):` a block in which nothing is different."""
    return _nothing(**flags)


# ------------------------------------------------------------ attention kernels
_ATTENTION = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def _asks(kernel: str) -> Any:
    def enabled() -> bool:
        return _ATTENTION[kernel]

    enabled.__name__ = enabled.__qualname__ = f"{kernel}_sdp_enabled"
    enabled.__doc__ = f"Whether attention may use a {kernel} kernel; minigrad chooses by itself."
    return enabled


def _sets(kernel: str) -> Any:
    def enable(enabled: bool) -> None:
        _ATTENTION[kernel] = bool(enabled)

    enable.__name__ = enable.__qualname__ = f"enable_{kernel}_sdp"
    enable.__doc__ = f"Say whether attention may use a {kernel} kernel; remembered, nothing more."
    return enable


for _kernel in _ATTENTION:
    export(f"backends.cuda.{_kernel}_sdp_enabled")(_asks(_kernel))
    export(f"backends.cuda.enable_{_kernel}_sdp")(_sets(_kernel))


@export("backends.cuda.sdp_kernel")
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Any:
    """A block with a choice of attention kernels; minigrad chooses by itself."""
    return _nothing()


# ------------------------------------------------------------ precision and determinism
_PRECISIONS = ("highest", "high", "medium")
_ROOT = __name__.partition(".")[0]
_STATE: dict[str, Any] = {
    "precision": "highest",
    "deterministic": False,
    "warn_only": False,
    "warn_always": False,
}


def flag(namespace: str, name: str) -> Any:
    """What a program has assigned to a flag, or its first value."""
    return getattr(sys.modules.get(f"{_ROOT}.backends.{namespace}"), name, None)


def allows_tf32(of: str = "cuda.matmul") -> bool:
    """Whether float32 operands on a GPU may be rounded to TensorFloat-32: by products
    ("cuda.matmul"), only where a program allows it, or by convolutions ("cudnn"), unless it forbids
    it, as in PyTorch.
    """
    return bool(flag(of, "allow_tf32")) or flag(of, "fp32_precision") == "tf32"


@export("set_float32_matmul_precision")
def set_float32_matmul_precision(precision: str) -> None:
    """How float32 products on a GPU may be rounded: "highest" not at all, "high" and "medium" to
    TensorFloat-32, as `backends.cuda.matmul.allow_tf32` says it. On the CPU they are always exact
    to float32. A UserWarning for another word.
    """
    if precision not in _PRECISIONS:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the setting stays",
            stacklevel=2,
        )
        return
    _STATE["precision"] = precision
    namespace: Any = sys.modules[f"{_ROOT}.backends.cuda.matmul"]
    namespace.allow_tf32 = precision != "highest"


@export("get_float32_matmul_precision")
def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told last, or what `allow_tf32` means."""
    if not flag("cuda.matmul", "allow_tf32"):
        return "highest"
    return "high" if _STATE["precision"] == "highest" else _STATE["precision"]


@export("use_deterministic_algorithms")
def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for the same numbers in every run; minigrad's algorithms always give them."""
    _STATE.update(deterministic=bool(mode), warn_only=bool(warn_only))


@export("are_deterministic_algorithms_enabled")
def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told last."""
    return _STATE["deterministic"]


@export("is_deterministic_algorithms_warn_only_enabled")
def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """The `warn_only` that `use_deterministic_algorithms` was told last."""
    return _STATE["deterministic"] and _STATE["warn_only"]


@export("set_deterministic_debug_mode")
def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by a level: 0 "default", 1 "warn" or 2 "error"."""
    levels = {"default": 0, "warn": 1, "error": 2}
    level = levels.get(debug_mode, -1) if isinstance(debug_mode, str) else debug_mode
    if level not in (0, 1, 2):
        raise RuntimeError(
            "invalid value of debug_mode, expected one of `default`, `warn`, `error` or 0, 1, 2, "
            f"but got {debug_mode}"
        )
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


@export("get_deterministic_debug_mode")
def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: see `set_deterministic_debug_mode`."""
    return (1 if _STATE["warn_only"] else 2) if _STATE["deterministic"] else 0


@export("set_warn_always")
def set_warn_always(b: bool, /) -> None:
    """Repeat warnings; Python's warning filters decide that here, the answer is remembered."""
    _STATE["warn_always"] = bool(b)


@export("is_warn_always_enabled")
def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was told last."""
    return _STATE["warn_always"]


@export("set_flush_denormal")
def set_flush_denormal(mode: bool, /) -> bool:
    """Treat tiny numbers as zero: not supported, so always False."""
    return False


@export("compiled_with_cxx11_abi")
def compiled_with_cxx11_abi() -> bool:
    """True: there is nothing in C++ that could not be linked."""
    return True
