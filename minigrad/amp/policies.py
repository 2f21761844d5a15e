"""Which ops autocast changes, and how: the lists of PyTorch's autocast, one of the CPU and one of
CUDA devices ("CUDA Ops that can autocast to ...", in the documentation of torch.amp).

    LOWER    computed in bfloat16 or float16: products and convolutions, whose sums are kept wide
    FLOAT32  computed in float32: losses, factorisations, a few poolings and paddings; on a GPU
             also sums, norms, and functions that leave float16's range
    WIDEST   brought to the widest dtype among the arguments

Everything else runs in the dtype that it is given. float64 is left alone, as in PyTorch. A call
with a tensor on a GPU goes by the list and the setting of CUDA devices, any other by those of the
CPU.

An op is intercepted where it is called by name: while a thread is inside an autocast block, the
names of listed ops (in minigrad's modules, on Tensor, and in programs that imported them by name)
stand for functions that cast first. Outside of all blocks the names are the ops themselves, so that
autocast costs nothing when it is off. Other threads meanwhile pay one look at their own state.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from ..backend.dtypes import DType, bfloat16, float16, float32, float64
from ..core.modes import MODE
from ..core.tensor import Tensor
from ..export import get_symbol_from_name
from .state import STATE

LOWER = """
matmul mm bmm inner tensordot einsum addmm addbmm baddbmm chain_matmul linalg.multi_dot
linalg.vecdot linalg.matrix_power matrix_power linalg.matmul
nn.functional.linear nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d
nn.functional.prelu nn.functional.scaled_dot_product_attention
lstm rnn_tanh rnn_relu
""".split()

FLOAT32 = """
prod trace cdist quantile nanquantile polar view_as_complex
nn.functional.mse_loss nn.functional.l1_loss nn.functional.smooth_l1_loss nn.functional.huber_loss
nn.functional.cross_entropy nn.functional.nll_loss nn.functional.binary_cross_entropy
nn.functional.binary_cross_entropy_with_logits nn.functional.kl_div
nn.functional.cosine_embedding_loss nn.functional.hinge_embedding_loss
nn.functional.poisson_nll_loss nn.functional.margin_ranking_loss nn.functional.soft_margin_loss
nn.functional.triplet_margin_loss nn.functional.multi_margin_loss
nn.functional.multilabel_margin_loss nn.functional.ctc_loss
nn.functional.avg_pool3d nn.functional.max_pool3d nn.functional.adaptive_avg_pool3d
nn.functional.adaptive_max_pool3d nn.functional.fractional_max_pool2d
nn.functional.fractional_max_pool3d nn.functional.max_unpool1d nn.functional.max_unpool2d
nn.functional.max_unpool3d nn.functional.grid_sample
cholesky cholesky_inverse cholesky_solve inverse lu_solve ormqr pinverse geqrf qr svd
triangular_solve linalg.cholesky linalg.cholesky_ex linalg.cond linalg.eig linalg.eigh
linalg.eigvals linalg.eigvalsh linalg.householder_product linalg.inv linalg.inv_ex linalg.lstsq
linalg.matrix_rank linalg.qr linalg.solve linalg.svd linalg.svdvals linalg.tensorinv
linalg.tensorsolve fft.fft fft.ifft fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft fft.irfft
fft.rfft2 fft.irfft2 fft.rfftn fft.irfftn fft.hfft fft.ihfft stft
""".split()

WIDEST = "stack cat index_copy".split()

# not listed in PyTorch, but made of listed ops here
AS_THEY_ARE = "mv dot vdot addmv".split()

# ------------------------------------------------------------ on a GPU
CUDA_LOWER = [*LOWER, "mv", "addmv", "addr", "gru"]
CUDA_LOWER.remove("tensordot")
CUDA_FLOAT32 = """
acos asin cosh cumprod cumsum dist erfinv exp expm1 log log10 log1p log2 norm pow prod reciprocal
renorm rsqrt sinh sum tan cdist
nn.functional.binary_cross_entropy_with_logits nn.functional.cosine_embedding_loss
nn.functional.cosine_similarity nn.functional.cross_entropy nn.functional.group_norm
nn.functional.hinge_embedding_loss nn.functional.kl_div nn.functional.l1_loss
nn.functional.layer_norm nn.functional.log_softmax nn.functional.margin_ranking_loss
nn.functional.mse_loss nn.functional.multi_margin_loss nn.functional.multilabel_margin_loss
nn.functional.nll_loss nn.functional.normalize nn.functional.pdist
nn.functional.poisson_nll_loss nn.functional.smooth_l1_loss nn.functional.soft_margin_loss
nn.functional.softmax nn.functional.softmin nn.functional.softplus
nn.functional.triplet_margin_loss
softmax log_softmax layer_norm group_norm
""".split()
CUDA_WIDEST = """
addcdiv addcmul atan2 cross dot vdot tensordot index_put scatter_add stack cat index_copy
nn.functional.bilinear nn.functional.grid_sample
""".split()
CUDA_UNSAFE = ["nn.functional.binary_cross_entropy"]

PADDING = ["nn.functional.pad"]  # in float32, but only for the modes below
_PADDED_IN_FLOAT32 = ("reflect", "replicate")

_HALF = (bfloat16, float16)
_cache = threading.local()


# ------------------------------------------------------------------------------ casting
def cast(value: Any, dtype: DType, cached: bool = False) -> Any:
    """Floating tensors but float64 in `dtype`, also inside lists, tuples and dicts."""
    if isinstance(value, Tensor):
        found = value.dtype
        if found is dtype or not (found is float32 or found in _HALF):
            return value
        return _cached_cast(value, dtype) if cached else value.to(dtype)
    if isinstance(value, (list, tuple)):
        parts = [cast(v, dtype, cached) for v in value]
        return type(value)(*parts) if _is_named(value) else type(value)(parts)
    if isinstance(value, dict):
        return {k: cast(v, dtype, cached) for k, v in value.items()}
    return value


def _is_named(value: Any) -> bool:
    return isinstance(value, tuple) and type(value) is not tuple


def _cached_cast(x: Tensor, dtype: DType) -> Tensor:
    """A parameter is cast once for all its uses in the outermost block (and by its version)."""
    if not (x.requires_grad and x.is_leaf and x.dtype is float32):
        return x.to(dtype)
    known = _cache.__dict__.setdefault("casts", {})
    key = id(x), dtype.name, MODE.get().grad
    version = x._counter[0]
    held = known.get(key)
    if held is None or held[0] is not x or held[1] != version:
        held = known[key] = (x, version, x.to(dtype))  # x is held: its id is not given again
    return held[2]


def clear_cache() -> None:
    """Forget the casts of this thread."""
    _cache.__dict__.clear()


def _floats(values: Any) -> list[DType]:
    found = []
    for v in values:
        if isinstance(v, Tensor):
            found.append(v.dtype)
        elif isinstance(v, (list, tuple)):
            found += _floats(v)
    return found


# ------------------------------------------------------------------------------ intercepting
Prepare = Callable[..., tuple[Any, Any]]


def _wrapped(op: Callable[..., Any], prepares: dict[str, Prepare]) -> Callable[..., Any]:
    """The op behind a look at this thread's state; inside it autocast is off."""

    @functools.wraps(op)
    def call(*args: Any, **kwargs: Any) -> Any:
        state = STATE.get()
        if not (state.cpu.enabled or state.cuda.enabled):
            return op(*args, **kwargs)
        device = "cuda" if _on_gpu([*args, *kwargs.values()]) else "cpu"
        setting, prepare = state.of(device), prepares.get(device)
        if not setting.enabled or prepare is None:
            return op(*args, **kwargs)
        STATE.set(state.changed(device, setting._replace(enabled=False)))
        try:
            args, kwargs = prepare(setting.dtype, state.cache, args, kwargs)
            return op(*args, **kwargs)
        finally:
            STATE.set(state)

    return call


def _on_gpu(values: Any) -> bool:
    """Whether there is a tensor on a GPU among the arguments of a call."""
    if "cupy" not in sys.modules:
        return False
    for v in values:
        if isinstance(v, Tensor):
            if v.is_cuda:
                return True
        elif isinstance(v, (list, tuple)) and _on_gpu(v):
            return True
    return False


def _lower(dtype: DType, cache: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
    return cast(args, dtype, cache), cast(kwargs, dtype, cache)


def _float32(dtype: DType, cache: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
    return cast(args, float32), cast(kwargs, float32)


def _widest(dtype: DType, cache: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
    kinds = _floats([*args, *kwargs.values()])
    if float32 in kinds and float64 not in kinds:
        return cast(args, float32), cast(kwargs, float32)
    return args, kwargs


def _padding(dtype: DType, cache: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
    mode = kwargs.get("mode", args[2] if len(args) > 2 else "constant")
    if mode in _PADDED_IN_FLOAT32:
        return cast(args, float32), kwargs
    return args, kwargs


def _as_they_are(dtype: DType, cache: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def _unsafe(dtype: DType, cache: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
    raise RuntimeError(
        "nn.functional.binary_cross_entropy and nn.BCELoss are unsafe to autocast: their logarithms"
        " leave float16's range\n"
        "  help: use nn.functional.binary_cross_entropy_with_logits or nn.BCEWithLogitsLoss"
    )


_POLICIES: dict[str, tuple[tuple[list[str], Prepare], ...]] = {
    "cpu": (
        (LOWER, _lower),
        (FLOAT32, _float32),
        (WIDEST, _widest),
        (PADDING, _padding),
        (AS_THEY_ARE, _as_they_are),
    ),
    "cuda": (
        (CUDA_LOWER, _lower),
        (CUDA_FLOAT32, _float32),
        (CUDA_WIDEST, _widest),
        (CUDA_UNSAFE, _unsafe),
    ),
}


class _Names:
    """Where listed ops are called by name, and what stands there inside an autocast block."""

    def __init__(self) -> None:
        self.users = 0
        self.lock = threading.Lock()
        self.known = 0  # modules loaded when the places were looked up
        self.wrappers: dict[int, tuple[Any, Any, bool]] = {}  # by id: op, wrapper, in ops as well
        self.places: list[tuple[Any, str, Any, Any]] = []  # owner, name, op, wrapper

    def hold(self) -> None:
        """One more block is entered; the first one puts the wrappers in place."""
        with self.lock:
            self.users += 1
            if self.users == 1:
                if self.known != len(sys.modules):
                    self._find()
                for owner, name, op, wrapper in self.places:
                    if vars(owner).get(name) is op:
                        setattr(owner, name, wrapper)

    def release(self) -> None:
        """A block is left; the last one takes the wrappers away."""
        with self.lock:
            self.users -= 1
            if self.users == 0:
                for owner, name, op, wrapper in self.places:
                    if vars(owner).get(name) is wrapper:
                        setattr(owner, name, op)

    def _find(self) -> None:
        for op, prepares in _listed().values():
            if id(op) not in self.wrappers:
                # of what only a GPU's list has, other ops' own use is not meant
                wrapper = _wrapped(op, prepares), "cpu" in prepares
                self.wrappers[id(op)] = op, *wrapper
                operator = getattr(op, "operator", op)  # what stands behind `@`
                if operator is not op:
                    wrapped = _wrapped(operator, prepares), "cpu" in prepares
                    self.wrappers[id(operator)] = operator, *wrapped
        self.places = []
        owners = [m for name, m in list(sys.modules.items()) if _may_use(name, m)]
        for owner in [Tensor, *owners]:
            inside = owner.__name__.startswith(_OPS)
            for name, value in list(vars(owner).items()):
                found = self.wrappers.get(id(value))
                if found is not None and (found[2] or not inside):
                    self.places.append((owner, name, *found[:2]))
        self.known = len(sys.modules)


def _listed() -> dict[int, tuple[Any, dict[str, Prepare]]]:
    """By id: every op of the lists, and what is done to its arguments on each kind of device."""
    found: dict[int, tuple[Any, dict[str, Prepare]]] = {}
    for device, policies in _POLICIES.items():
        for names, prepare in policies:
            for name in names:
                op = get_symbol_from_name(name)
                if op is not None:
                    found.setdefault(id(op), (op, {}))[1].setdefault(device, prepare)
    return found


def _may_use(name: str, module: Any) -> bool:
    """Whether a module may have imported an op by name."""
    top = name.partition(".")[0]
    return module is not None and top not in _OTHERS and name != __name__


_OPS = f"{__name__.partition('.')[0]}.ops."
_OTHERS = sys.stdlib_module_names - {"__main__"} | {
    "numpy", "scipy", "numba", "llvmlite", "torch", "pytest", "_pytest", "matplotlib", "pandas",
    "sklearn", "cupy", "PIL", "hypothesis", "sympy", "mpmath", "pluggy", "pygments",
}  # fmt: skip

NAMES = _Names()
