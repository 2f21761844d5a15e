"""A stand-in for the module `cudnn` (nvidia-cudnn-frontend): graphs of one operation, recorded with
the names and in the order that the frontend asks for, and computed by NumPy from nothing but the
dimensions, strides and types that they were given, on the memory of the fake device.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import types
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

import minigrad as mg
from minigrad.kernels.cuda import dnn

from .fake_device import MACHINE

data_type = enum.Enum("data_type", "FLOAT HALF BFLOAT16 NOT_SET")
heur_mode = enum.Enum("heur_mode", "A B FALLBACK")
numerical_note = enum.Enum("numerical_note", "TENSOR_CORE DOWN_CONVERT_INPUTS")
_NUMPY = {
    data_type.FLOAT: np.dtype(np.float32),
    data_type.HALF: np.dtype(np.float16),
    data_type.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
}
_STEPS = "validate build_operation_graph create_execution_plans check_support build_plans".split()


class cudnnGraphNotSupportedError(RuntimeError):
    """As the frontend's."""


class Tensor:
    """A tensor of a graph; what is set returns the tensor, as there."""

    def __init__(self, dim: Any = None, stride: Any = None, data_type: Any = None):
        self.dim, self.stride, self.data_type = dim, stride, data_type
        self.uid: int | None = None
        self.output = False

    def set_uid(self, uid: int) -> Tensor:
        self.uid = uid
        return self

    def set_output(self, output: bool) -> Tensor:
        self.output = output
        return self

    def set_dim(self, dim: list[int]) -> Tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> Tensor:
        self.stride = stride
        return self

    def set_data_type(self, data_type: Any) -> Tensor:
        self.data_type = data_type
        return self

    def at(self, address: int) -> np.ndarray:
        """The memory there as an array."""
        dtype = _NUMPY[self.data_type]
        steps = [s * dtype.itemsize for s in self.stride]
        size = dtype.itemsize + sum([s * (n - 1) for s, n in zip(steps, self.dim, strict=True)])
        raw = (ctypes.c_char * size).from_address(address)
        flat = np.frombuffer(raw, dtype, 1)
        return np.lib.stride_tricks.as_strided(flat, self.dim, steps)


class pygraph:
    """A graph of one operation."""

    built: list[pygraph] = []
    refused: set[str] = set()

    def __init__(self, *, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert intermediate_data_type is compute_data_type is data_type.FLOAT
        assert handle == 7 and io_data_type in _NUMPY
        self.tensors: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.steps: list[str] = []
        self.name, self.options, self.dropped = "", {}, []  # type: ignore[var-annotated]
        self.compute: Callable[..., list[np.ndarray]] = lambda *x: []

    def tensor(self, *, name: str, dim: list[int], stride: list[int], data_type: Any) -> Tensor:
        assert len(dim) == len(stride) in (4, 5) and all([type(n) is int for n in dim + stride])
        self.tensors.append(Tensor(dim, stride, data_type))
        return self.tensors[-1]

    def _add(self, name: str, outputs: int, compute: Any, options: dict[str, Any]) -> Any:
        assert not self.name and MACHINE.graph is None, "no graph is built while capturing"
        self.name, self.compute, self.options = name, compute, options
        self.outputs = [Tensor() for _ in range(outputs)]
        return self.outputs if outputs > 1 else self.outputs[0]

    def __getattr__(self, name: str) -> Any:
        if name not in _STEPS:
            raise AttributeError(name)

        def step(plans: Any = None) -> None:
            self.steps.append(name)
            assert self.steps == _STEPS[: len(self.steps)]
            if name == "validate":
                every = self.tensors + self.outputs
                assert sorted([t.uid for t in every]) == list(range(len(every)))  # type: ignore[type-var]
                assert all([t.output and t.dim and t.stride for t in self.outputs])
            if name == "check_support" and self.name in self.refused:
                raise cudnnGraphNotSupportedError(self.name)
            if name == "build_plans":
                self.built.append(self)

        return step

    def deselect_numeric_notes(self, notes: list[Any]) -> None:
        assert self.steps[-1] == "create_execution_plans"
        self.dropped = notes

    def get_workspace_size(self) -> int:
        return 1000

    def execute(self, addresses: dict[int, int], workspace: int, handle: Any) -> None:
        assert self.steps == _STEPS and handle == 7 and workspace
        tensors = self.tensors + self.outputs
        assert set(addresses) == {t.uid for t in tensors}
        places = {t.uid: t.at(addresses[t.uid]) for t in tensors}  # type: ignore[index]

        def run() -> None:
            inputs = [places[t.uid].astype(np.float64) for t in self.tensors]
            for tensor, value in zip(self.outputs, self.compute(*inputs), strict=True):
                places[tensor.uid][...] = value

        MACHINE.launch(f"cudnn_{self.name}", run, None)

    # ---- operations
    def conv_fprop(self, *, image: Tensor, weight: Tensor, **options: Any) -> Any:
        y = lambda x, w: [_conv(x, w, options)[0].detach().numpy()]  # noqa: E731
        return self._add("conv_fprop", 1, y, _checked(options))

    def conv_dgrad(self, *, loss: Tensor, filter: Tensor, **options: Any) -> Any:
        def compute(g: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
            y, x, _ = _conv(np.zeros(self.outputs[0].dim), w, options)
            y.backward(mg.tensor(g))
            return [x.grad.numpy()]

        return self._add("conv_dgrad", 1, compute, _checked(options))

    def conv_wgrad(self, *, image: Tensor, loss: Tensor, **options: Any) -> Any:
        def compute(x: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
            y, _, w = _conv(x, np.zeros(self.outputs[0].dim), options)
            y.backward(mg.tensor(g))
            return [w.grad.numpy()]

        return self._add("conv_wgrad", 1, compute, _checked(options))

    def sdpa(self, q, k, v, *, attn_scale: float, use_causal_mask: bool, generate_stats: bool):
        assert generate_stats

        def compute(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
            s, p = _weights(q, k, attn_scale, use_causal_mask)
            stats = np.log(np.exp(s).sum(-1, keepdims=True))
            return [p @ _repeated(v, q), stats]

        return self._add("sdpa", 2, compute, {})

    def sdpa_backward(
        self, q, k, v, o, dO, stats, *, attn_scale: float, use_causal_mask: bool,
        use_deterministic_algorithm: bool,
    ):  # fmt: skip
        assert use_deterministic_algorithm

        def compute(q, k, v, o, g, stats) -> list[np.ndarray]:
            s, _ = _weights(q, k, attn_scale, use_causal_mask)
            p = np.exp(s - stats)  # as the real one: from what forward kept
            s_bar = p * (g @ _repeated(v, q).swapaxes(-1, -2) - (g * o).sum(-1, keepdims=True))
            s_bar *= attn_scale
            group = (q.shape[0], k.shape[1], -1, *k.shape[2:3])
            sums = [
                x.reshape(*group, x.shape[-1]).sum(2)
                for x in (s_bar.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g)
            ]
            return [s_bar @ _repeated(k, q), *sums]

        return self._add("sdpa_backward", 3, compute, {})


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    assert set(options) == {
        "pre_padding",
        "post_padding",
        "stride",
        "dilation",
        "compute_data_type",
    }
    assert options["pre_padding"] == options["post_padding"]
    return options


def _conv(x: np.ndarray, w: np.ndarray, options: dict[str, Any]) -> Any:
    """(y, x, w) as tensors of main memory; groups are what the channels come to."""
    a, b = mg.tensor(x).requires_grad_(), mg.tensor(w).requires_grad_()
    conv = mg.nn.functional.conv2d if x.ndim == 4 else mg.nn.functional.conv3d
    y = conv(
        a, b, stride=options["stride"], padding=options["pre_padding"],
        dilation=options["dilation"], groups=x.shape[1] // w.shape[1],
    )  # fmt: skip
    return y, a, b


def _repeated(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.repeat(x, q.shape[1] // x.shape[1], 1)


def _weights(q: np.ndarray, k: np.ndarray, scale: float, causal: bool) -> Any:
    s = q @ _repeated(k, q).swapaxes(-1, -2) * scale
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    return s, p / p.sum(-1, keepdims=True)


def _set_stream(*, handle: int, stream: int) -> None:
    assert handle == 7


MODULE: Any = types.SimpleNamespace(
    pygraph=pygraph, data_type=data_type, heur_mode=heur_mode, numerical_note=numerical_note,
    create_handle=lambda: 7, set_stream=_set_stream, backend_version=lambda: 91900,
)  # fmt: skip


@contextlib.contextmanager
def installed(*refused: str) -> Iterator[Any]:
    """Inside, cuDNN is there, and refuses the operations of these names."""
    before, dnn.module = dnn.module, lambda: MODULE  # type: ignore[assignment]
    pygraph.built, pygraph.refused = [], set(refused)
    dnn._PLANS.clear()
    dnn._HANDLES.clear()
    try:
        yield pygraph
    finally:
        dnn.module = before
        dnn._PLANS.clear()
        dnn._HANDLES.clear()
