"""`nn.modules.utils`: sizes given as one number or as one for each dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

from ..export import export


@export("nn.modules.utils._ntuple")
def ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that makes a tuple: its argument `n` times, or the items of an iterable."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


single = export("nn.modules.utils._single")(ntuple(1, "_single"))
pair = export("nn.modules.utils._pair")(ntuple(2, "_pair"))
triple = export("nn.modules.utils._triple")(ntuple(3, "_triple"))
quadruple = export("nn.modules.utils._quadruple")(ntuple(4, "_quadruple"))


@export("nn.modules.utils._reverse_repeat_tuple")
def reverse_repeat_tuple(t: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    """The items of `t` from the last to the first, each `n` times: (a, b), 2 -> (b, b, a, a).

    What turns a padding for each dimension into the argument of `nn.functional.pad`.
    """
    return tuple(x for x in reversed(t) for _ in range(n))


@export("nn.modules.utils._list_with_default")
def list_with_default(out_size: Any, defaults: list[int]) -> Any:
    """`out_size` with the last of `defaults` where it says None; one number stays as it is.

    ValueError if there are fewer defaults than sizes.
    """
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    last = defaults[-len(out_size) :]
    return [d if v is None else v for v, d in zip(out_size, last, strict=True)]


@export("nn.modules.utils.consume_prefix_in_state_dict_if_present")
def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take `prefix` ("module.") off the keys that begin with it, in place and in their order.

    For state dicts of a module that was wrapped, in DataParallel for instance.
    """
    for key in list(state_dict):
        if key.startswith(prefix):
            state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is None:
        return
    for key in list(metadata):  # the module itself is "module", its parts "module.x"
        if key and (key == prefix.rstrip(".") or key.startswith(prefix)):
            metadata[key[len(prefix) :]] = metadata.pop(key)
