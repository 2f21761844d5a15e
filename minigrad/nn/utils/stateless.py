"""Calling a module with other parameters than its own, and modules as one stack of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...core.tensor import Tensor
from ...export import export
from ...ops.join import stack
from ..module import Module


def _tables(module: Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(dotted name, table, key) of every parameter and buffer, those with several names too."""
    for owner, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, value in table.items():
                if value is not None:
                    yield f"{owner}.{key}" if owner else key, table, key


def _ties(module: Module) -> dict[str, list[str]]:
    """For each name of a tensor that has several, all of them."""
    by_tensor: dict[int, list[str]] = {}
    for name, table, key in _tables(module):
        by_tensor.setdefault(id(table[key]), []).append(name)
    return {name: names for names in by_tensor.values() for name in names}


def _with_ties(module: Module, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given tensors under all names of what they replace; ValueError if two disagree."""
    ties, new = _ties(module), dict(given)
    for name, tensor in given.items():
        for other in ties.get(name, ()):
            if given.get(other, tensor) is not tensor:
                raise ValueError(
                    "functional_call got multiple values for keys "
                    f"{sorted(n for n in ties[name] if n in given)}, which are tied. Consider using"
                    " tie_weights=False"
                )
            new[other] = tensor
    return new


@contextmanager
def _swapped(module: Module, new: Mapping[str, Any], strict: bool) -> Iterator[None]:
    places = {name: (table, key) for name, table, key in _tables(module)}
    unexpected = [name for name in new if name not in places]
    missing = [name for name in places if name not in new]
    if strict and (missing or unexpected):
        raise RuntimeError(
            f"Error(s) in reparametrizing for {type(module).__name__}:"
            + (f"\n\tUnexpected key(s): {', '.join(map(repr, unexpected))}." if unexpected else "")
            + (f"\n\tMissing key(s): {', '.join(map(repr, missing))}." if missing else "")
        )
    for tensor in new.values():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{tensor} is not an instance of minigrad.Tensor")
    old = [(table, key, table[key]) for name, (table, key) in places.items() if name in new]
    try:
        for name, (table, key) in places.items():
            if name in new:
                table[key] = new[name]
        yield
    finally:
        for table, key, tensor in old:
            table[key] = tensor


@export("func.functional_call", "nn.utils.stateless.functional_call")
def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the given tensors, by name, in place of its own.

    What is not given stays. Gradients flow to the given tensors, so this is a module as a function
    of its parameters, for `func.grad`, `jacrev`, `vmap`. The module is the same afterwards. Names
    that it does not have are ignored, unless strict.

    parameter_and_buffer_dicts: one dict, or several with different keys. tie_weights: a tensor
    that the module holds under several names is replaced under all. strict: all names must be
    given, and no others. ValueError for a key given twice, TypeError for what is no tensor,
    RuntimeError for names where strict.
    """
    dicts = parameter_and_buffer_dicts
    if isinstance(dicts, Mapping):
        given: Any = dicts
    elif isinstance(dicts, Sequence):
        given = {}
        for part in dicts:
            if twice := [key for key in part if key in given]:
                raise ValueError(
                    f"{twice} appeared in multiple dictionaries; behavior of functional call is"
                    " ambiguous"
                )
            given.update(part)
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got"
            f" {type(dicts)}"
        )
    new = _with_ties(module, given) if tie_weights else given
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(module, new, strict):
        return module(*args, **({} if kwargs is None else kwargs))


@export("func.stack_module_state")
def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(parameters, buffers) of equal modules, each stacked along a new first dimension, for `vmap`.

    The stacked parameters are leaves that require gradients where those of the modules do.
    RuntimeError for no modules, for modules of different classes or modes.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params, buffers = (
        {key: _stacked([dict(named(m))[key] for m in models]) for key, _ in named(models[0])}
        for named in (Module.named_parameters, Module.named_buffers)
    )
    return params, buffers


def _stacked(tensors: list[Any]) -> Any:
    if len({t.requires_grad for t in tensors}) > 1:
        raise RuntimeError(
            "Expected the same parameter of all models to have the same .requires_grad"
        )
    return stack([t.detach() for t in tensors]).requires_grad_(tensors[0].requires_grad)
