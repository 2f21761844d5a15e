"""Memory formats and layouts: names that PyTorch's signatures take."""

from __future__ import annotations

from ..core.tensor import Tensor
from ..export import export, export_constant


@export("memory_format")
class MemoryFormat:
    """In which order the dimensions of a dense tensor lie in memory."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"minigrad.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = MemoryFormat("contiguous_format")
preserve_format = MemoryFormat("preserve_format")
channels_last = MemoryFormat("channels_last")
channels_last_3d = MemoryFormat("channels_last_3d")
strided = Tensor.layout

for _name in (
    "contiguous_format",
    "preserve_format",
    "channels_last",
    "channels_last_3d",
    "strided",
):
    export_constant(__name__, _name, _name)
