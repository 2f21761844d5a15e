"""cuDNN through NVIDIA's frontend (the module `cudnn`, optional): convolutions and attention.

A graph of one operation is described, planned and kept for each shape, strides, dtype and option;
what cuDNN refuses, and all of it where the module or the library is missing, is left to the kernels
of this folder. Arrays are given by address and strides, so that no layout is copied, and results
lie as the arguments do. float32 is rounded to TF32 as in PyTorch: unless
`backends.cudnn.allow_tf32` says otherwise, by leaving out plans that use tensor cores or narrower
operands.

Signatures are those of nvidia-cudnn-frontend 1.23.0: pygraph.tensor, conv_fprop, conv_dgrad,
conv_wgrad, sdpa, sdpa_backward, and the steps from validate to build_plans. Integers given as
addresses keep it from importing PyTorch.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ...backend import flags
from ...backend.devices import array_module, cuda_module

TYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}
"""Names in cudnn.data_type."""
WIDEST = 256
"""Of a row of a head, on Hopper."""
LOG_SUM = 1.0
"""In the place of 1 / Σ P: cuDNN keeps m + ln Σ P, and nothing is left to divide by."""


@functools.cache
def module() -> Any:
    """The frontend, or None where it or cuDNN itself is missing."""
    try:
        found = importlib.import_module("cudnn")
        return found if found.backend_version() else None
    except (ImportError, OSError, RuntimeError):
        return None


def usable(*arrays: Any) -> bool:
    """Whether cuDNN may be asked for these arrays."""
    first = arrays[0]
    return (
        module() is not None
        and bool(flags.flag("cudnn", "enabled"))
        and first.dtype.name in TYPES
        and all([a is None or (a.dtype == first.dtype and a.size > 0) for a in arrays])
    )


# ------------------------------------------------------------------------------ plans
class Plan(NamedTuple):
    """A graph that can be run: its tensors are numbered from 0 as they were described."""

    graph: Any
    workspace: int


_PLANS: dict[Any, Plan | None] = {}
_HANDLES: dict[int, list[Any]] = {}


def _handle() -> Any:
    """The current device's handle, on the current stream."""
    cuda = cuda_module().cuda
    device, stream = cuda.Device().id, cuda.get_current_stream().ptr
    found = _HANDLES.get(device)
    if found is None:
        found = _HANDLES[device] = [module().create_handle(), None]
    if found[1] != stream:
        module().set_stream(handle=found[0], stream=stream)
        found[1] = stream
    return found[0]


def _plan(key: Any, dtype: str, tf32: bool, describe: Callable[[Any], None]) -> Plan | None:
    """The plan of what `describe` puts into a graph; None if cuDNN has none."""
    key = cuda_module().cuda.Device().id, dtype, tf32, key
    if key not in _PLANS:
        try:
            _PLANS[key] = _built(dtype, tf32, describe)
        except RuntimeError:  # as the frontend's errors are
            _PLANS[key] = None
    return _PLANS[key]


def _built(dtype: str, tf32: bool, describe: Callable[[Any], None]) -> Plan:
    cudnn = module()
    kind, single = getattr(cudnn.data_type, TYPES[dtype]), cudnn.data_type.FLOAT
    graph = cudnn.pygraph(
        io_data_type=kind, intermediate_data_type=single, compute_data_type=single,
        handle=_handle(),
    )  # fmt: skip
    describe(graph)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    if dtype == "float32" and not tf32:
        notes = cudnn.numerical_note
        graph.deselect_numeric_notes([notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS])
    graph.check_support()
    graph.build_plans()
    return Plan(graph, graph.get_workspace_size())


def _run(plan: Plan, arrays: list[Any]) -> None:
    """Run a plan on the current stream; a workspace of its own goes back to the pool in order."""
    xp = array_module(arrays[0])
    workspace = xp.empty(max(1, plan.workspace), "u1")
    addresses = {uid: x.data.ptr for uid, x in enumerate(arrays)}
    plan.graph.execute(addresses, workspace.data.ptr, handle=_handle())


def _steps(x: Any) -> list[int]:
    return [s // x.itemsize for s in x.strides]


def _tensors(graph: Any, arrays: list[Any]) -> list[Any]:
    return [
        graph.tensor(
            name=f"t{uid}", dim=list(x.shape), stride=_steps(x), data_type=_kind(x)
        ).set_uid(uid)
        for uid, x in enumerate(arrays)
    ]  # fmt: skip


def _kind(x: Any) -> Any:
    return getattr(module().data_type, TYPES[x.dtype.name])


def _output(tensor: Any, x: Any, uid: int) -> None:
    """Where a result goes, and how it lies there."""
    tensor.set_output(True).set_dim(list(x.shape)).set_stride(_steps(x))
    tensor.set_data_type(_kind(x)).set_uid(uid)


def _key(*arrays: Any) -> Any:
    return tuple([(x.shape, x.strides) for x in arrays])


# ------------------------------------------------------------------------------ convolution
def _image(x: Any) -> Any:
    """x with at least two dimensions of places."""
    return x if x.ndim != 3 else x[:, :, None]


def _convolve(
    name: str, given: dict[str, Any], result: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """One of the three convolutions into `result`, or None."""
    arrays = [_image(x) for x in (*given.values(), result)]
    options = [
        (fill,) * (2 - len(v)) + tuple(v) for v, fill in ((padding, 0), (stride, 1), (dilation, 1))
    ]

    def describe(graph: Any) -> None:
        inputs = dict(zip(given, _tensors(graph, arrays[:2]), strict=True))
        before, steps, spread = [list(o) for o in options]
        made = getattr(graph, name)(
            **inputs, pre_padding=before, post_padding=before, stride=steps, dilation=spread,
            compute_data_type=module().data_type.FLOAT,
        )  # fmt: skip
        _output(made, arrays[2], 2)

    key = name, _key(*arrays), tuple(options)
    plan = _plan(key, result.dtype.name, flags.allows_tf32("cudnn"), describe)
    if plan is None:
        return None
    _run(plan, arrays)
    return result


def conv_forward(x: Any, w: Any, y: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """y = w ∗ x into y, or None. Groups are what the channels of x and w come to."""
    return _convolve("conv_fprop", {"image": x, "weight": w}, y, stride, padding, dilation)


def conv_input(g: Any, w: Any, x: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """x̄ into x, or None."""
    return _convolve("conv_dgrad", {"loss": g, "filter": w}, x, stride, padding, dilation)


def conv_weight(x: Any, g: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """w̄ into w, or None."""
    return _convolve("conv_wgrad", {"image": x, "loss": g}, w, stride, padding, dilation)


# ------------------------------------------------------------------------------ attention
def takes_attention(q: Any, k: Any, v: Any, mask: Any, p: float) -> bool:
    """Whether cuDNN may be asked for these heads (batch, heads, rows, numbers): halves without a
    mask of their own and without dropout, whose masks would be other ones.
    """
    widths = (q.shape[3], v.shape[3])
    return (
        q.dtype.itemsize == 2
        and mask is None
        and not p
        and all([n % 8 == 0 and n <= WIDEST for n in widths])
        and q.shape[0] == k.shape[0] == v.shape[0]
        and k.shape[1] == v.shape[1]
        and q.shape[1] % k.shape[1] == 0
        and usable(q, k, v)
    )


def attend(q: Any, k: Any, v: Any, o: Any, stats: Any, scale: float, causal: bool) -> Any:
    """O into `o` and m + ln Σ P of every query into stats (batch, heads, rows, 1); or None."""

    def describe(graph: Any) -> None:
        made, kept = graph.sdpa(
            *_tensors(graph, [q, k, v]), attn_scale=scale, use_causal_mask=causal,
            generate_stats=True,
        )  # fmt: skip
        _output(made, o, 3)
        _output(kept, stats, 4)

    plan = _plan(("sdpa", _key(q, k, v, o), scale, causal), q.dtype.name, True, describe)
    if plan is None:
        return None
    _run(plan, [q, k, v, o, stats])
    return o


def attend_backward(
    g: Any, q: Any, k: Any, v: Any, o: Any, stats: Any, bars: list[Any], scale: float, causal: bool
) -> bool:
    """Gradients into `bars` (of q, k, v), the same in every run; whether cuDNN has done it."""
    arrays = [q, k, v, o, g, stats]

    def describe(graph: Any) -> None:
        made = graph.sdpa_backward(
            *_tensors(graph, arrays), attn_scale=scale, use_causal_mask=causal,
            use_deterministic_algorithm=True,
        )  # fmt: skip
        for i, (tensor, x) in enumerate(zip(made, bars, strict=True)):
            _output(tensor, x, len(arrays) + i)

    key = "sdpa_backward", _key(*arrays, *bars), scale, causal
    plan = _plan(key, q.dtype.name, True, describe)
    if plan is None:
        return False
    _run(plan, [*arrays, *bars])
    return True
