"""Names that old programs use; each warns, and is another class under its own name."""

from __future__ import annotations

import warnings
from typing import Any

from ...export import export
from ..module import Module
from .loss import NLLLoss


@export("nn.Container")
class Container(Module):
    """A module of the modules given by name; Module itself does this today."""

    def __init__(self, **kwargs: Any):
        warnings.warn(
            "`nn.Container` is deprecated. All of its functionality is now implemented in"
            " `nn.Module`. Subclass that instead.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__()
        for key, value in kwargs.items():
            self.add_module(key, value)


@export("nn.NLLLoss2d")
class NLLLoss2d(NLLLoss):
    """NLLLoss, which takes any number of dimensions."""

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn(
            "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead as a drop-in"
            " replacement.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*args, **kwargs)
