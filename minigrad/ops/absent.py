"""Tensor methods that have no meaning here, and say so: sparse and quantised tensors, other
devices, and what PyTorch has removed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor

SPARSE_ONLY = """
    indices values crow_indices col_indices ccol_indices row_indices coalesce is_coalesced smm
    sspaddmm sparse_resize_ sparse_resize_and_clear_ sparse_mask resize_as_sparse_"""
TO_SPARSE = """
    to_sparse to_sparse_coo to_sparse_csr to_sparse_csc to_sparse_bsr to_sparse_bsc to_mkldnn"""
QUANTISED = """
    q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points q_per_channel_axis qscheme
    dequantize int_repr"""
DEVICES = "xpu ipu mtia"
REMOVED = {
    "lstsq": "linalg.lstsq",
    "eig": "linalg.eig",
    "symeig": "linalg.eigh",
    "solve": "linalg.solve",
    "reinforce": "distributions",
}


def _refusing(name: str, error: type[Exception], text: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        raise error(text)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Always {error.__name__}: {text}"
    return method


def methods() -> dict[str, Callable[..., Any]]:
    """The methods by name."""
    made: dict[str, Callable[..., Any]] = {}
    for name in SPARSE_ONLY.split():
        text = f"{name} expected sparse tensor layout but got Strided: minigrad has no sparse ones"
        made[name] = _refusing(name, RuntimeError, text)
    for name in TO_SPARSE.split():
        text = f"{name}: minigrad has no sparse tensors, every tensor is dense"
        made[name] = _refusing(name, NotImplementedError, text)
    for name in QUANTISED.split():
        text = f"{name}: minigrad has no quantised tensors"
        made[name] = _refusing(name, NotImplementedError, text)
    for name in DEVICES.split():
        text = f"minigrad has no {name} devices\n  help: use 'cpu' or 'cuda'"
        made[name] = _refusing(name, RuntimeError, text)
    for name, instead in REMOVED.items():
        text = f"{name} was removed from PyTorch\n  help: use minigrad.{instead}"
        made[name] = _refusing(name, RuntimeError, text)
    return made


FLAGS = ("is_ipu is_maia is_mkldnn is_mtia is_sparse_csr is_vulkan is_xla is_xpu volatile").split()
"""Attributes that are False for every tensor."""
