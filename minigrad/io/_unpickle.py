"""Reads a pickle as data: a small machine over the opcodes that `pickletools` takes apart.

A pickle is a program. Python's own unpickler, even with `find_class` overridden, still lets it set
attributes on whatever lies on the stack; this machine runs nothing of it. It knows containers,
numbers, texts and a table of allowed names, whose values are data or `Token`s of functions written
here, and it hashes only small keys (a tuple nested a million deep would overflow the C stack).
Everything else ends in pickle.UnpicklingError with its name.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..backend.devices import device
from ..backend.dtypes import DType
from ._files import Source

_KEYS = (str, int, float, complex, bytes, type(None), DType, device, np.generic, np.dtype)
_LEAVES = (*_KEYS, bytearray, np.ndarray)
_KEY_DEPTH = 8
# Warning: where warnings are errors, pickletools raises one on a text with a bad escape sequence
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, Warning)
_DICTS = (dict, OrderedDict, Counter)


class Token:
    """An allowed name, of a class or function, and what is done when the pickle calls it."""

    __slots__ = ("name", "call")

    def __init__(self, name: str, call: Callable[..., Any] | None = None):
        self.name = name
        self.call = call


class Pending:
    """What a later BUILD completes, and so replaces wherever the pickle had remembered it."""

    __slots__ = ("finish", "remembered")

    def __init__(self, finish: Callable[[Any], Any]):
        self.finish = finish
        self.remembered: list[int] = []


class Machine:
    """Loads pickles from `source`, one after the other, from where its file stands."""

    def __init__(
        self,
        source: Source,
        file: Any,
        lookup: Callable[[str], Any],
        persistent_load: Callable[[Any], Any],
    ):
        self.source = source
        self.file = file
        self.lookup = lookup
        self.persistent_load = persistent_load
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """One pickle's value. UnpicklingError: something not allowed; CheckpointError: damage."""
        self.stack, self.marks, self.memo = [], [], {}
        try:
            for opcode, argument, _ in pickletools.genops(self.file):
                action = _ACTIONS.get(opcode.name)
                if action is None:
                    raise refused(self.source, f"the pickle operation {opcode.name}")
                action(self, argument)
            return self.stack.pop()
        except _DAMAGE as error:
            self.source.fail(f"holds a damaged pickle ({type(error).__name__}: {error})")

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    # ---------------------------------------------------------------- what may be built
    def find(self, name: str) -> None:
        self.stack.append(self.lookup(name))

    def remember(self, key: int) -> None:
        top = self.stack[-1]
        self.memo[key] = top
        if isinstance(top, Pending):
            top.remembered.append(key)

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Token) or function.call is None:
            name = function.name if isinstance(function, Token) else type(function).__name__
            raise refused(self.source, f"a call of {name}")
        if type(arguments) is not tuple:
            raise TypeError(f"arguments of {function.name} in a {type(arguments).__name__}")
        self.stack.append(function.call(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Pending):
            value = self.stack[-1] = target.finish(state)
            for key in target.remembered:
                self.memo[key] = value
        elif type(target) is OrderedDict and type(state) is dict:
            set_attributes(self.source, target, state)
        else:
            raise refused(self.source, f"setting the state of {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in _DICTS:
            raise refused(self.source, f"setting items of {type(target).__name__}")
        fill(target, zip(items[::2], items[1::2], strict=True))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise refused(self.source, f"appending to {type(target).__name__}")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise refused(self.source, f"adding to {type(target).__name__}")
        target.update(check_key(item) for item in items)


def refused(source: Source, what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"load: {source.name} contains {what}, which is not allowed: only tensors, numbers, texts "
        "and containers of them are read, and nothing in a file is run\n"
        "  help: save a state dict, model.state_dict(), in place of the whole object"
    )


def check_key(key: Any, depth: int = _KEY_DEPTH) -> Any:
    """`key` if it is fit to be a key of a dict: TypeError otherwise."""
    if isinstance(key, (tuple, frozenset)):
        if depth == 0:
            raise TypeError("keys nested too deeply")
        for item in key:
            check_key(item, depth - 1)
    elif not isinstance(key, _KEYS):
        raise TypeError(f"{type(key).__name__} as a key")
    return key


def fill(target: dict, pairs: Any) -> dict:
    for key, value in pairs:
        target[check_key(key)] = value
    return target


def set_attributes(source: Source, target: Any, state: Mapping[Any, Any]) -> None:
    """Attributes such as a state dict's `_metadata`; none that would hide a method or a slot."""
    for name, value in state.items():
        if not isinstance(name, str) or name in dir(type(target)) or name.startswith("__"):
            raise refused(source, f"the attribute {name!r} for {type(target).__name__}")
        vars(target)[name] = value


def check_result(source: Source, result: Any, tensor_type: type) -> Any:
    """`result` if there is only data in it: no bare storage, no name of a function."""
    todo, seen = [result], set()
    while todo:
        item = todo.pop()
        if isinstance(item, (*_LEAVES, tensor_type)) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            todo.extend([*item, *item.values()])
            todo.extend(vars(item).values() if type(item) is OrderedDict else ())
        elif isinstance(item, (list, tuple, set, frozenset)):
            todo.extend(item)
        else:
            name = item.name if isinstance(item, Token) else type(item).__name__.lower()
            raise refused(source, f"{name} by itself")
    return result


# ---------------------------------------------------------------- the opcodes
def _push(machine: Machine, value: Any) -> None:
    machine.stack.append(value)


def _pushes(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _from_mark(make: Callable[[list[Any]], Any]) -> Callable[[Machine, Any], None]:
    def act(machine: Machine, _: Any) -> None:
        items = machine.pop_mark()  # which changes the stack
        machine.stack.append(make(items))

    return act


def _tuple_of(count: int) -> Callable[[Machine, Any], None]:
    def act(machine: Machine, _: Any) -> None:
        if len(machine.stack) < count:
            raise IndexError("nothing on the stack")
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return act


def _mark(machine: Machine, _: Any) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine, _: Any) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _set_item(machine: Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([key, value])


def _stack_global(machine: Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.find(f"{module}.{name}")


_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": lambda machine, _: machine.pop_mark().clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "NONE": _pushes(lambda: None),
    "NEWTRUE": _pushes(lambda: True),
    "NEWFALSE": _pushes(lambda: False),
    "EMPTY_TUPLE": _pushes(tuple),
    "EMPTY_LIST": _pushes(list),
    "EMPTY_DICT": _pushes(dict),
    "EMPTY_SET": _pushes(set),
    "TUPLE": _from_mark(tuple),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": _from_mark(list),
    "DICT": _from_mark(lambda items: fill({}, zip(items[::2], items[1::2], strict=True))),
    "FROZENSET": _from_mark(lambda items: frozenset(check_key(item) for item in items)),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.pop_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "GLOBAL": lambda machine, argument: machine.find(argument.replace(" ", ".")),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: _push(machine, machine.persistent_load(machine.stack.pop())),
}
_ACTIONS |= dict.fromkeys(
    ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
     "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
     "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    _push,
)  # fmt: skip
_ACTIONS |= dict.fromkeys(
    ("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, key: machine.remember(key)
)
_ACTIONS |= dict.fromkeys(
    ("GET", "BINGET", "LONG_BINGET"), lambda machine, key: machine.stack.append(machine.memo[key])
)
