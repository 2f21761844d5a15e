"""`SummaryWriter`: curves for TensorBoard, written by the package tensorboardX."""

from __future__ import annotations

import importlib
from typing import Any

from ..core.tensor import Tensor
from ..export import export


@export("utils.tensorboard.SummaryWriter", "utils.tensorboard.writer.SummaryWriter")
class SummaryWriter:
    """`SummaryWriter(log_dir).add_scalar("loss", loss, step)`, and tensorboardX's other methods.

    Tensors are handed on as arrays. ImportError with a hint if tensorboardX is not installed.
    """

    def __init__(self, log_dir: str | None = None, *args: Any, **kwargs: Any):
        try:
            package = importlib.import_module("tensorboardX")
        except ImportError:
            raise ImportError(
                "SummaryWriter needs the package tensorboardX\n  help: pip install tensorboardX"
            ) from None
        self._writer = package.SummaryWriter(log_dir, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._writer, name)
        if not callable(method):
            return method
        return lambda *args, **kwargs: method(*map(_plain, args), **_plain(kwargs))

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.close()


def _plain(value: Any) -> Any:
    """Tensors as numbers or arrays, in dicts and lists too."""
    if isinstance(value, Tensor):
        return value.item() if value._data.ndim == 0 else value.numpy(force=True)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
