"""Pruning: a parameter times a mask of zeros and ones, which is chosen by a method.

    prune.l1_unstructured(layer, "weight", amount=0.3)    # weight = weight_orig * weight_mask
    prune.remove(layer, "weight")                         # for good

The product is computed anew before each forward, by a hook that is the pruning method itself.
Pruning again works on what is left.
"""

from __future__ import annotations

import abc
import numbers
from collections.abc import Iterable, Iterator
from typing import Any

from ...core.tensor import normalize_dim
from ...export import export
from ...ops.creation import ones_like, zeros_like
from ...ops.random import rand
from ..module import Module
from .vector import parameters_to_vector
from .weight_hooks import find_hook, pre_hooks


@export("nn.utils.prune.BasePruningMethod")
class BasePruningMethod(abc.ABC):
    """A way to choose what is pruned; subclasses define `compute_mask` and PRUNING_TYPE.

    PRUNING_TYPE says on what a further pruning works: "unstructured" on single elements that are
    left, "structured" on channels along `dim` that are left, "global" on everything.
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str = ""

    @property
    def name(self) -> str:
        """The tensor that is pruned."""
        return self._tensor_name

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abc.abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for scores t, given the mask so far; of the shape of both."""

    def apply_mask(self, module: Module) -> Any:
        """The pruned tensor: original times mask."""
        if not self._tensor_name:
            raise AssertionError(f"Module {module} has to be pruned")
        original = getattr(module, self._tensor_name + "_orig")
        return getattr(module, self._tensor_name + "_mask").to(original.dtype) * original

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Any = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune `name` of the module, by scores of the same shape instead of its own values if
        given; the method, as it is registered. A failed call changes nothing.
        """
        new = cls(*args, **kwargs)
        new._tensor_name = name
        tensor = getattr(module, name)
        scores = tensor if importance_scores is None else importance_scores
        if scores.shape != tensor.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module},"
                f" got {scores.shape} vs {tensor.shape}"
            )
        before = find_hook(module, BasePruningMethod, name)
        if before is None:
            method, so_far = new, ones_like(tensor)
        else:
            method = PruningContainer(*_methods(before[1]), new)
            so_far = getattr(module, name + "_mask").detach().clone()
        mask = method.compute_mask(scores, so_far)
        if before is None:
            del module._parameters[name]
            module.register_parameter(name + "_orig", tensor)
        else:
            del pre_hooks(module)[before[0]]
        module.register_buffer(name + "_mask", mask)
        method(module, None)
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """t with this method's choice of elements set to 0; nothing is registered."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                "importance_scores should have the same shape as tensor t, got"
                f" {scores.shape} vs {t.shape}"
            )
        return t * self.compute_mask(scores, ones_like(t) if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor the parameter again, its zeros included."""
        name = self._tensor_name
        if not name:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module).detach()
        original = module._parameters[name + "_orig"]
        original.data = weight  # type: ignore[union-attr]
        for end in ("", "_orig", "_mask"):
            delattr(module, name + end)
        module.register_parameter(name, original)


def _methods(method: BasePruningMethod) -> tuple[BasePruningMethod, ...]:
    return tuple(method) if isinstance(method, PruningContainer) else (method,)


@export("nn.utils.prune.PruningContainer")
class PruningContainer(BasePruningMethod):
    """Several prunings of one tensor, one after the other; the last works on what is left."""

    def __init__(self, *args: BasePruningMethod):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add a pruning of the same tensor; TypeError or ValueError for anything else."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named"
                f" '{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask so far, with the last method's choice among what it keeps."""
        method = self._pruning_methods[-1]
        kind = method.PRUNING_TYPE
        where: Any = tuple([slice(None)] * t.dim())
        if kind == "unstructured":
            where = default_mask == 1
        elif kind == "structured":
            dim = normalize_dim(method.dim, t.dim())  # type: ignore[attr-defined]
            others = [d for d in range(t.dim()) if d != dim]
            where = (*where[:dim], default_mask.sum(others) != 0, *where[dim + 1 :])
        elif kind != "global":
            raise ValueError(f"Unrecognized PRUNING_TYPE {kind}")
        mask = default_mask.to(t.dtype).clone()
        mask[where] = method.compute_mask(t[where], default_mask[where]).to(mask.dtype)
        return mask


# ------------------------------------------------------------------------------ how much
def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole, size = isinstance(amount, numbers.Integral), float(amount)
    if size < 0 or (not whole and size > 1):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative"
            " integer"
        )


def _count(amount: Any, size: int) -> int:
    """How many of `size` units are to go; ValueError if there are not as many."""
    count = int(amount) if isinstance(amount, numbers.Integral) else round(amount * size)
    if count > size:
        raise ValueError(
            f"amount={count} should be smaller than the number of parameters to prune={size}"
        )
    return count


class _ByAmount(BasePruningMethod):
    """A method that is told how many units to prune, or which share of them."""

    def __init__(self, amount: Any):
        _check_amount(amount)
        self.amount = amount

    def scores(self, t: Any) -> Any:
        """One number per unit; the smallest go."""
        raise NotImplementedError


class _Unstructured(_ByAmount):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            smallest = self.scores(t).reshape(-1).topk(count, largest=False).indices
            mask.view(-1)[smallest] = 0
        return mask


class _Structured(_ByAmount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if t.dim() <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor"
                f" of shape {t.shape} with {t.dim()} dims"
            )
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.size(self.dim)
        count = _count(self.amount, size)
        if not count:
            return default_mask
        kept = self.scores(t).topk(size - count).indices
        mask: Any = zeros_like(t)
        mask = mask.index_fill(self.dim, kept, 1)
        return mask * default_mask.to(mask.dtype)


# ------------------------------------------------------------------------------ methods
@export("nn.utils.prune.Identity")
class Identity(BasePruningMethod):
    """Prunes nothing, but has the mask and the hook."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


@export("nn.utils.prune.RandomUnstructured")
class RandomUnstructured(_Unstructured):
    """Elements by chance."""

    def scores(self, t: Any) -> Any:
        return rand(t.shape)


@export("nn.utils.prune.L1Unstructured")
class L1Unstructured(_Unstructured):
    """The elements of smallest absolute value."""

    def scores(self, t: Any) -> Any:
        return t.detach().abs()


@export("nn.utils.prune.RandomStructured")
class RandomStructured(_Structured):
    """Channels along `dim` by chance."""

    def scores(self, t: Any) -> Any:
        return rand(t.size(self.dim))


@export("nn.utils.prune.LnStructured")
class LnStructured(_Structured):
    """The channels along `dim` of smallest n-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1):
        super().__init__(amount, dim)
        self.n = n

    def scores(self, t: Any) -> Any:
        dim = normalize_dim(self.dim, t.dim())
        return t.detach().norm(self.n, [d for d in range(t.dim()) if d != dim])


@export("nn.utils.prune.CustomFromMask")
class CustomFromMask(BasePruningMethod):
    """What a given mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any):
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape"
                f" {self.mask.shape}"
            )
        return default_mask * self.mask.to(default_mask.dtype)


# ------------------------------------------------------------------------------ functions
@export("nn.utils.prune.identity")
def identity(module: Module, name: str) -> Module:
    """Make `name` a product with a mask of ones; the module."""
    Identity.apply(module, name)
    return module


@export("nn.utils.prune.random_unstructured")
def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune `amount` elements (an int) or that share of them (a float) by chance; the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


@export("nn.utils.prune.l1_unstructured")
def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Any = None
) -> Module:
    """Prune the `amount` elements of smallest absolute value (or score); the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


@export("nn.utils.prune.random_structured")
def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune `amount` channels along `dim` by chance; the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


@export("nn.utils.prune.ln_structured")
def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Module:
    """Prune the `amount` channels along `dim` of smallest n-norm; the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


@export("nn.utils.prune.custom_from_mask")
def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Prune the elements where the mask is 0; the module."""
    CustomFromMask.apply(module, name, mask)
    return module


@export("nn.utils.prune.global_unstructured")
def global_unstructured(
    parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prune several tensors, given as (module, name) pairs, as if they were one.

    importance_scores: a dict from pairs to scores. TypeError for parameters that are no iterable,
    scores that are no dict, and methods other than "unstructured".
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs = list(parameters)
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method'
            f" {pruning_method} of type {method.PRUNING_TYPE}"
        )
    tensors = [getattr(module, name) for module, name in pairs]
    scores = [given.get(pair, tensor) for pair, tensor in zip(pairs, tensors, strict=True)]
    masks = [
        ones_like(tensor) if (mask := getattr(module, name + "_mask", None)) is None else mask
        for (module, name), tensor in zip(pairs, tensors, strict=True)
    ]
    container = PruningContainer(method)
    together = container.compute_mask(parameters_to_vector(scores), parameters_to_vector(masks))
    start = 0
    for (module, name), tensor in zip(pairs, tensors, strict=True):
        part = together[start : start + tensor.numel()]
        custom_from_mask(module, name, part.reshape(tensor.shape))
        start += tensor.numel()


@export("nn.utils.prune.remove")
def remove(module: Module, name: str) -> Module:
    """Make pruning permanent: an ordinary parameter with zeros in it; the module.

    ValueError if the tensor is not pruned.
    """
    found = find_hook(module, BasePruningMethod, name)
    if found is None:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    found[1].remove(module)
    del pre_hooks(module)[found[0]]
    return module


@export("nn.utils.prune.is_pruned")
def is_pruned(module: Module) -> bool:
    """Whether the module, or any inside it, has a pruned tensor."""
    return any(
        isinstance(hook, BasePruningMethod)
        for part in module.modules()
        for hook in pre_hooks(part).values()
    )
