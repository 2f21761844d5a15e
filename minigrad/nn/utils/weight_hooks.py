"""Weight norm and spectral norm by hooks: the weight is computed anew before each forward.

The older form of `nn.utils.parametrizations`, whose state dicts published models still use.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from ...core.hooks import RemovableHandle
from ...core.modes import no_grad
from ...export import export
from ...ops.norm import normalize
from ..module import Module
from ..parameter import Parameter
from ..uninitialized import is_lazy
from .lengths import norm_except_dim, scaled_to
from .parametrizations import default_dim

M = TypeVar("M", bound=Module)


def pre_hooks(module: Module) -> Any:
    """The forward pre-hooks of a module, by number."""
    return {} if module._hooks is None else module._hooks.forward_pre


def find_hook(module: Module, kind: type, name: str) -> tuple[int, Any] | None:
    """(number, hook) of the pre-hook of this class for this tensor, or None."""
    for number, hook in pre_hooks(module).items():
        if isinstance(hook, kind) and hook.name == name:
            return number, hook
    return None


def _check_new(module: Module, kind: type, name: str, what: str) -> Any:
    if find_hook(module, kind, name) is not None:
        raise RuntimeError(f"Cannot register two {what} hooks on the same parameter {name}")
    weight = getattr(module, name)
    if is_lazy(weight):
        raise ValueError(
            f"The module passed to `{kind.__name__}` can't have uninitialized parameters. Make"
            " sure to run the dummy forward before applying it"
        )
    return weight


# ------------------------------------------------------------------------------ weight norm
class WeightNorm:
    """The hook that computes name = name_g · name_v/‖name_v‖."""

    def __init__(self, name: str, dim: int | None):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Any:
        """The weight from its length and direction."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return scaled_to(v, g, self.dim)

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))

    def remove(self, module: Module) -> None:
        """Make the weight an ordinary parameter again."""
        weight = self.compute_weight(module).detach()
        for name in (self.name, self.name + "_g", self.name + "_v"):
            delattr(module, name)
        module.register_parameter(self.name, Parameter(weight))


@export("nn.utils.weight_norm")
def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn length and direction of a weight apart, w = g v/‖v‖ (Salimans and Kingma 2016).

    The parameters are name_g and name_v. Deprecated, for `nn.utils.parametrizations.weight_norm`.
    RuntimeError if that was done before. Returns the module.
    """
    warnings.warn(
        "`minigrad.nn.utils.weight_norm` is deprecated in favor of"
        " `minigrad.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    weight = _check_new(module, WeightNorm, name, "weight_norm")
    hook = WeightNorm(name, dim)
    del module._parameters[name]
    length = norm_except_dim(weight, 2, hook.dim).detach()
    module.register_parameter(name + "_g", Parameter(length))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    hook(module, None)
    module.register_forward_pre_hook(hook)
    return module


@export("nn.utils.remove_weight_norm")
def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo `weight_norm`, keeping the weight; ValueError if there is none. Returns the module."""
    found = find_hook(module, WeightNorm, name)
    if found is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    found[1].remove(module)
    del pre_hooks(module)[found[0]]
    return module


# ------------------------------------------------------------------------------ spectral norm
class SpectralNorm:
    """The hook that computes name = name_orig/σ, with σ ≈ uᵀWv by power iteration in training."""

    _version = 1
    handles: list[RemovableHandle]

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got"
                f" n_power_iterations={n_power_iterations}"
            )
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps
        self.handles = []

    def matrix(self, weight: Any) -> Any:
        """The weight as a matrix of `dim` times the rest."""
        others = [d for d in range(weight.dim()) if d != self.dim]
        return weight.permute(self.dim, *others).reshape(weight.size(self.dim), -1)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The weight, divided by its estimated largest singular value."""
        weight, u, v = (getattr(module, self.name + end) for end in ("_orig", "_u", "_v"))
        matrix = self.matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(matrix.t().mv(u), dim=0, eps=self.eps))
                    u.copy_(normalize(matrix.mv(v), dim=0, eps=self.eps))
                # copies: the next forward changes u and v before this one's backward
                u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))

    def remove(self, module: Module) -> None:
        """Make the weight an ordinary parameter again."""
        with no_grad():
            weight = self.compute_weight(module, False)
        for end in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + end)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def note_version(self, module: Module, state: Any, prefix: str, local: Any) -> None:
        """State dict hook: leave the version where PyTorch looks for it."""
        local.setdefault("spectral_norm", {})[self.name + ".version"] = self._version

    def upgrade(self, state: Any, prefix: str, local: Any, *rest: Any) -> None:
        """Load hook: state dicts of version 0 hold the weight, too, which is computed today."""
        versions = local.get("spectral_norm", {})
        if versions.get(self.name + ".version", 0) < 1:
            state.pop(prefix + self.name, None)


@export("nn.utils.spectral_norm")
def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value (Miyato et al. 2018); returns the module.

    The parameter is name_orig, the estimated singular vectors are buffers name_u and name_v. The
    newer form is `nn.utils.parametrizations.spectral_norm`. RuntimeError if that was done before.
    """
    weight = _check_new(module, SpectralNorm, name, "spectral_norm")
    if name not in module._parameters or weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    hook = SpectralNorm(name, n_power_iterations, default_dim(module) if dim is None else dim, eps)
    with no_grad():
        sizes = hook.matrix(weight).shape
        u, v = (normalize(weight.new_empty(n).normal_(0, 1), dim=0, eps=eps) for n in sizes)
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.data)
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    hook.handles = [
        module._register_state_dict_hook(hook.note_version),
        module._register_load_state_dict_pre_hook(hook.upgrade),
    ]
    return module


@export("nn.utils.remove_spectral_norm")
def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo `spectral_norm`, keeping the weight; ValueError if there is none. Returns the module."""
    found = find_hook(module, SpectralNorm, name)
    if found is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    found[1].remove(module)
    del pre_hooks(module)[found[0]]
    for handle in found[1].handles:
        handle.remove()
    return module
