"""Which kernel computes attention: names of PyTorch; minigrad chooses by itself."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

from ..export import export


@export("nn.attention.SDPBackend")
class SDPBackend(enum.IntEnum):
    """The kernels that PyTorch has for scaled_dot_product_attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@export("nn.attention.sdpa_kernel")
@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """A block with a choice of kernels; the result is the same, whichever computes it.

    TypeError for anything but SDPBackend members.
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if not all(isinstance(backend, SDPBackend) for backend in chosen):
        raise TypeError("sdpa_kernel(): expected SDPBackend members")
    yield
