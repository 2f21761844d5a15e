"""Parameters and buffers whose shape is not known yet; lazy layers hold them until the first call.

They know dtype, device and whether they require a gradient, and can be moved and cast. Any use of
their contents is an error, until `materialize(shape)` makes them ordinary ones, the same object.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..core.tensor import Tensor, make, wrap
from ..export import export
from ..ops.creation import empty
from .parameter import Parameter

_SLOT: Any = Tensor.__dict__["_data"]  # where the array is; the classes below hide it


class UninitializedTensorMixin:
    """Hides the array of a tensor behind errors."""

    cls_to_become: type
    requires_grad: Any

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter or tensor of this shape, with undefined contents."""
        mine = self.data
        new = empty(shape, device=device or mine.device, dtype=dtype or mine.dtype)
        _SLOT.__set__(self, new._data)
        self.__class__ = self.cls_to_become

    # Module._apply works through these two: an empty tensor of the dtype and device
    @property
    def data(self) -> Tensor:
        return wrap(_SLOT.__get__(self))

    @data.setter
    def data(self, new: Tensor) -> None:
        _SLOT.__set__(self, new._data)

    def detach(self) -> Tensor:
        """Its dtype and device as an empty tensor."""
        return self.data

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def device(self) -> Any:
        return self.data.device

    def is_floating_point(self) -> bool:
        return self.data.is_floating_point()

    def is_complex(self) -> bool:
        return self.data.is_complex()

    @property
    def shape(self) -> NoReturn:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    @property
    def _data(self) -> Any:
        raise ValueError(
            "Attempted to use an uninitialized parameter. This error happens when you are using a "
            "`LazyModule` or explicitly manipulating "
            f"`minigrad.nn.parameter.{type(self).__name__}` objects. When using LazyModules call "
            "`forward` with a dummy batch to initialize the parameters before calling functions"
        )

    @_data.setter
    def _data(self, array: Any) -> None:
        _SLOT.__set__(self, array)

    def share_memory_(self) -> NoReturn:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), (self.requires_grad, str(self.device), self.dtype)

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)  # type: ignore[call-arg]
        return memo[id(self)]


@export("nn.UninitializedParameter", "nn.parameter.UninitializedParameter")
class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter of unknown shape; `materialize(shape)` makes it a Parameter.

    RuntimeError if asked for its shape, ValueError if it is used.
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        p = make(cls, empty(0, device=device, dtype=dtype)._data)
        p._requires_grad = requires_grad
        return p


@export("nn.UninitializedBuffer", "nn.parameter.UninitializedBuffer")
class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer of unknown shape; `materialize(shape)` makes it a Tensor."""

    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Any:
        b = make(cls, empty(0, device=device, dtype=dtype)._data)
        b._requires_grad = requires_grad
        b.persistent = persistent
        return b


@export("nn.parameter.is_lazy")
def is_lazy(param: Any) -> bool:
    """Whether this is a parameter or buffer without a shape."""
    return isinstance(param, UninitializedTensorMixin)
