"""Anomaly mode: remember where each node was made, and stop at the first gradient that is not a
number.

with minigrad.autograd.detect_anomaly():
    loss = model(x)
    loss.backward()      # an error now tells the line of the forward pass that made the failing
                         node
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from ..export import export
from .modes import MODE, ModeContext, set_mode
from .node import Node
from .tensor import Tensor

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def note_forward(node: Node) -> None:
    """Keep the user's stack (without minigrad's own frames) with the node."""
    import traceback  # here, as `import minigrad` has to be quick

    stack = traceback.extract_stack()
    node.metadata["traceback_"] = [f for f in stack if not f.filename.startswith(_PACKAGE)]


def run_checked(node: Node, g: Any, needed: Any, create_graph: bool) -> Any:
    """node.run, with errors and nan gradients reported together with the forward call."""
    try:
        grads = node.run(g, needed, create_graph)
    except Exception:
        _tell_forward(node)
        raise
    if MODE.get().check_nan:
        for i, gi in enumerate(grads):
            array = gi._data if isinstance(gi, Tensor) else gi
            if isinstance(array, np.ndarray) and array.dtype.kind in "fc" and np.isnan(array).any():
                _tell_forward(node)
                raise RuntimeError(
                    f"Function '{node.name()}' returned nan values in its {i}th output."
                )
    return grads


def _tell_forward(node: Node) -> None:
    import traceback  # here, as `import minigrad` has to be quick

    frames = node.metadata.get("traceback_")
    if frames is None:
        text = (
            "No forward pass information available. Enable detect anomaly during forward pass for"
            " more information."
        )
    else:
        text = (
            f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n"
            + "".join(traceback.format_list(frames))
        )
    warnings.warn(text, stacklevel=2)


@export("autograd.detect_anomaly", "autograd.anomaly_mode.detect_anomaly")
class detect_anomaly(ModeContext):
    """Inside, nodes remember their forward call; an error in backward, or (check_nan) a nan
    gradient, names it.
    """

    def __init__(self, check_nan: bool = True):
        super().__init__(anomaly=True, check_nan=check_nan)


@export("autograd.set_detect_anomaly", "autograd.anomaly_mode.set_detect_anomaly")
class set_detect_anomaly(ModeContext):
    """Anomaly mode on or off: at once when called, until the end of the block when used with
    `with`.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        super().__init__(anomaly=mode, check_nan=check_nan)
        self._before = MODE.get()
        set_mode(self._before._replace(anomaly=mode, check_nan=check_nan))

    def __enter__(self) -> Any:
        self._outer.append(self._before)
        return self


@export("is_anomaly_enabled")
def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on in this thread."""
    return MODE.get().anomaly


@export("autograd.graph.saved_tensors_hooks")
class saved_tensors_hooks:
    """Inside, what a node saves for backward goes through `pack`, and comes back through `unpack`
    when needed.

    pack(tensor) may return anything (a file name, a CPU copy); unpack(that) must return a tensor of
    equal content.
    """

    def __init__(self, pack_hook: Any, unpack_hook: Any):
        self.hooks = (pack_hook, unpack_hook)
        self._outer: list = []

    def __enter__(self) -> Any:
        mode = MODE.get()
        if mode.hooks_refused is not None:
            raise RuntimeError(mode.hooks_refused)
        self._outer.append(mode)
        set_mode(mode._replace(saved_hooks=(*mode.saved_hooks, self.hooks)))
        return self

    def __exit__(self, *exc: object) -> None:
        set_mode(self._outer.pop())
