"""Lazy layers: the number of inputs is read off the first input.

    model = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    model(batch)        # now they are Conv2d and Linear

Until then their parameters are `UninitializedParameter`s. Optimizers want the real ones: call the
model once before.
"""

from __future__ import annotations

from typing import Any

from ...core.modes import no_grad
from ...export import export
from ...ops.creation import tensor
from ..uninitialized import UninitializedBuffer, UninitializedParameter, is_lazy
from . import conv, norm
from .linear import Linear


@export("nn.modules.lazy.LazyModuleMixin")
class LazyModuleMixin:
    """Put before the base class of a layer to make its parameters wait for the first call.

    The layer defines `initialize_parameters(*args)`, which materializes them from the arguments of
    that call; then its class becomes `cls_to_become`, if that is given.
    """

    cls_to_become: type | None = None
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _waiting: bool

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._waiting = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._waiting:
            self._infer_parameters(self, args, kwargs)
            return self(*args, **kwargs)  # of the class that it has become
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def _infer_parameters(self, module: Any, args: tuple, kwargs: Any = None) -> None:
        """Initialize from the arguments of a call, and become the ordinary layer."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {type(self).__name__} has not been fully initialized")
        module._waiting = False
        if module.cls_to_become is not None:
            del module._waiting
            module.__class__ = module.cls_to_become

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize the parameters; every lazy layer defines it."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether any parameter or buffer of the layer itself still waits for its shape."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def _materialize(self, shapes: dict[str, Any]) -> None:
        """Give shapes to those of the named parameters and buffers that are there."""
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found is not None:
                found.materialize(shape)

    def reset_parameters(self) -> None:
        """First values, once there is something to give them to."""
        if self._parameters and not self.has_uninitialized_params():
            super().reset_parameters()  # type: ignore[misc]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """As in every module; a waiting buffer is moved and cast, and keeps waiting."""

        def moved(t: Any) -> Any:
            if not is_lazy(t):
                return fn(t)
            t.data = fn(t.data)
            return t

        return super()._apply(moved, recurse)  # type: ignore[misc]

    # ---------------------------------------------------------------- state
    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            if is_lazy(t) and prefix + name in destination:
                destination[prefix + name] = t

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """A waiting parameter takes the shape of what is loaded; nothing to load keeps waiting."""
        own = {**self._parameters, **self._buffers}
        waiting = []
        for name, t in own.items():
            value = state_dict.get(prefix + name)
            if not is_lazy(t) or value is None:
                continue
            if is_lazy(value):
                waiting.append(name)
            else:
                t.materialize(value.shape)
        tables = self._parameters, self._buffers
        kept = [{name: table.pop(name) for name in waiting if name in table} for table in tables]
        state = {k: v for k, v in state_dict.items() if k.removeprefix(prefix) not in waiting}
        super()._load_from_state_dict(state, prefix, *args)  # type: ignore[misc]
        for table, put_aside in zip(tables, kept, strict=True):
            order = [name for name in own if name in table or name in put_aside]
            table.update(put_aside)
            for name in order:
                table[name] = table.pop(name)


@export("nn.LazyLinear")
class LazyLinear(LazyModuleMixin, Linear):
    """A Linear whose in_features is the size of the first input's last dimension."""

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(0, 0, False)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias, once they have shapes."""
        if self.in_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Any) -> None:
        """Shapes and first values from an input (*, in_features)."""
        features = input.shape[-1]
        if self.has_uninitialized_params():
            self.in_features = features
            with no_grad():
                self._materialize(
                    {"weight": (self.out_features, features), "bias": (self.out_features,)}
                )
                self.reset_parameters()
        elif self.in_features == 0:  # loaded from a state dict
            if features != self.weight.shape[-1]:
                raise AssertionError(
                    f"The in_features inferred from input: {features} is not equal to in_features "
                    f"from self.weight: {self.weight.shape[-1]}"
                )
            self.in_features = features


class _LazyConv(LazyModuleMixin):
    """What the six lazy convolutions share."""

    dims: int
    transposed: bool
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, ...]
    weight: Any
    bias: Any

    def _wait(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias, once they have shapes."""
        if self.in_channels:
            super().reset_parameters()

    def initialize_parameters(self, input: Any, *args: Any, **kwargs: Any) -> None:
        """Shapes and first values from an input (N, C, ...) or (C, ...)."""
        if not self.has_uninitialized_params():
            if self.in_channels == 0:  # loaded from a state dict
                own = self.weight.shape
                self.in_channels = own[0] if self.transposed else own[1] * self.groups
            return
        n = self.dims
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {list(input.shape)}"
            )
        channels = input.shape[-n - 1]
        if channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        self.in_channels = channels
        ends = (
            (channels, self.out_channels // self.groups)
            if self.transposed
            else (self.out_channels, channels // self.groups)
        )
        self._materialize({"weight": (*ends, *self.kernel_size), "bias": (self.out_channels,)})
        self.reset_parameters()


class _LazyForward(_LazyConv):
    """A lazy convolution: the arguments of the convolution without in_channels."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype
        )
        self._wait(out_channels, bias, device, dtype)


class _LazyTransposed(_LazyConv):
    """A lazy transposed convolution: its arguments without in_channels."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation,
            padding_mode, device, dtype,
        )  # fmt: skip
        self._wait(out_channels, bias, device, dtype)


@export("nn.LazyConv1d")
class LazyConv1d(_LazyForward, conv.Conv1d):
    """A Conv1d whose in_channels is that of the first input."""

    cls_to_become = conv.Conv1d


@export("nn.LazyConv2d")
class LazyConv2d(_LazyForward, conv.Conv2d):
    """A Conv2d whose in_channels is that of the first input."""

    cls_to_become = conv.Conv2d


@export("nn.LazyConv3d")
class LazyConv3d(_LazyForward, conv.Conv3d):
    """A Conv3d whose in_channels is that of the first input."""

    cls_to_become = conv.Conv3d


@export("nn.LazyConvTranspose1d")
class LazyConvTranspose1d(_LazyTransposed, conv.ConvTranspose1d):
    """A ConvTranspose1d whose in_channels is that of the first input."""

    cls_to_become = conv.ConvTranspose1d


@export("nn.LazyConvTranspose2d")
class LazyConvTranspose2d(_LazyTransposed, conv.ConvTranspose2d):
    """A ConvTranspose2d whose in_channels is that of the first input."""

    cls_to_become = conv.ConvTranspose2d


@export("nn.LazyConvTranspose3d")
class LazyConvTranspose3d(_LazyTransposed, conv.ConvTranspose3d):
    """A ConvTranspose3d whose in_channels is that of the first input."""

    cls_to_become = conv.ConvTranspose3d


class _LazyNorm(LazyModuleMixin):
    """What the six lazy batch and instance norms share."""

    num_features: int
    affine: bool
    track_running_stats: bool

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(0, eps, momentum, False, False, device, dtype, bias=False)
        self.affine, self.track_running_stats = affine, track_running_stats
        options = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**options)
            if bias:
                self.bias = UninitializedParameter(**options)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**options)
            self.running_var = UninitializedBuffer(**options)
            self.num_batches_tracked = tensor(0, device=device)

    def reset_parameters(self) -> None:
        """First values, once there are shapes."""
        if self.num_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Any) -> None:
        """Shapes and first values from an input (N, C, ...)."""
        waiting = self.has_uninitialized_params()
        if waiting or self.num_features == 0:
            self.num_features = input.shape[1]
        if waiting:
            size = (self.num_features,)
            names = ("weight", "bias") if self.affine else ()
            names += ("running_mean", "running_var") if self.track_running_stats else ()
            self._materialize(dict.fromkeys(names, size))
            self.reset_parameters()


@export("nn.LazyBatchNorm1d")
class LazyBatchNorm1d(_LazyNorm, norm.BatchNorm1d):
    """A BatchNorm1d whose num_features is the number of channels of the first input."""

    cls_to_become = norm.BatchNorm1d


@export("nn.LazyBatchNorm2d")
class LazyBatchNorm2d(_LazyNorm, norm.BatchNorm2d):
    """A BatchNorm2d whose num_features is the number of channels of the first input."""

    cls_to_become = norm.BatchNorm2d


@export("nn.LazyBatchNorm3d")
class LazyBatchNorm3d(_LazyNorm, norm.BatchNorm3d):
    """A BatchNorm3d whose num_features is the number of channels of the first input."""

    cls_to_become = norm.BatchNorm3d


@export("nn.LazyInstanceNorm1d")
class LazyInstanceNorm1d(_LazyNorm, norm.InstanceNorm1d):
    """An InstanceNorm1d whose num_features is the number of channels of the first input."""

    cls_to_become = norm.InstanceNorm1d


@export("nn.LazyInstanceNorm2d")
class LazyInstanceNorm2d(_LazyNorm, norm.InstanceNorm2d):
    """An InstanceNorm2d whose num_features is the number of channels of the first input."""

    cls_to_become = norm.InstanceNorm2d


@export("nn.LazyInstanceNorm3d")
class LazyInstanceNorm3d(_LazyNorm, norm.InstanceNorm3d):
    """An InstanceNorm3d whose num_features is the number of channels of the first input."""

    cls_to_become = norm.InstanceNorm3d
