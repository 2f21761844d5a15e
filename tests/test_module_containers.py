"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict: each operation as in PyTorch.

Where PyTorch's answer is an accident (a gap in the numbering after an insert beyond the end, an
endless loop cut short by an error) minigrad's is that of a Python list; those stand at the end.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import minigrad as mg
from tests.parity import Row, assert_parity, by_source, table

torch = pytest.importorskip("torch")


def modules(L: Any) -> list[Any]:
    return [L.nn.Linear(1, 2), L.nn.ReLU(), L.nn.Linear(2, 1)]


def named(L: Any) -> Any:
    return L.nn.Sequential(OrderedDict(a=L.nn.ReLU(), b=L.nn.Tanh()))


LISTS = [
    "repr(c)", "len(c)", "bool(c)", "c[3]", "c[-4]", "repr(c[-1])", "repr(c[True])", "c[1.0]",
    "c['0']", "repr(c[1:])", "repr(c[::-1])", "repr(c[5:])", "[type(m).__name__ for m in c]",
    "L.nn.ReLU() in c", "c[1] in c",
    "repr(c.append(L.nn.Tanh()))", "c.append(3)", "repr(c.extend([L.nn.Tanh()] * 2))",
    "(c.insert(1, L.nn.Tanh()), repr(c))[1]", "(c.insert(3, L.nn.Tanh()), repr(c))[1]",
    "(c.__setitem__(1, L.nn.Tanh()), repr(c))", "c.__setitem__(7, L.nn.Tanh())",
    "(c.__setitem__(slice(0, 1), L.nn.Tanh()))",
    "(c.__delitem__(1), repr(c), list(c._modules))", "(c.__delitem__(slice(0, 2)), repr(c))",
    "(c.__delitem__(-1), repr(c))", "c.__delitem__(9)",
    "(repr(c.pop(1)), repr(c))", "(repr(c.pop(-1)), repr(c))", "c.pop(9)",
    "repr(c + c)", "(c.__iadd__([L.nn.Tanh()]) if 'List' in repr(c) else c, len(c))[1]",
    "list(c.state_dict())", "[n for n in dir(c) if n.isdigit()]",
]  # fmt: skip
SEQUENTIAL = by_source("c", lambda L: L.nn.Sequential(*modules(L)), [
    *LISTS, "c + 3", "repr(c * 2)", "repr(2 * c)", "(c.__imul__(2), repr(c))[1]",
    "c(L.ones(1, 1)).shape", "c(L.ones(1, 1), 2)", "c.insert(9, L.nn.Tanh())",
    "(c.insert(-1, L.nn.Tanh()), repr(c))[1]", "L.nn.Sequential()(L.ones(1))",
    "repr(L.nn.Sequential())", "L.nn.Sequential(3)", "L.nn.Sequential({'a': L.nn.ReLU()})",
    "repr(L.nn.Sequential(L.nn.Sequential(), L.nn.Linear(1, 1)))",
])  # fmt: skip
MODULE_LIST = by_source("c", lambda L: L.nn.ModuleList(modules(L)), [
    *LISTS, "c.extend(3)", "c(1)", "repr(L.nn.ModuleList())", "L.nn.ModuleList(3)",
    "L.nn.ModuleList(L.nn.ReLU())", "repr(L.nn.ModuleList([None]))",
    "repr(L.nn.ModuleList([L.nn.Sequential(L.nn.Linear(1, 1), L.nn.ReLU()) for _ in range(3)]))",
    "repr(L.nn.ModuleList([L.nn.ReLU(), L.nn.ReLU(), L.nn.Tanh(), L.nn.ReLU()]))",
])  # fmt: skip
NAMED = by_source("c", named, [
    "repr(c)", "c[0] is c.a", "list(c[0:1]._modules)", "list(c.append(L.nn.Tanh())._modules)",
    "(c.__delitem__(0), list(c._modules))", "(c.__setitem__(0, L.nn.Tanh()), repr(c))",
])  # fmt: skip
MODULE_DICT = by_source(
    "c", lambda L: L.nn.ModuleDict(OrderedDict(b=L.nn.ReLU(), a=L.nn.Linear(1, 1))), [
    "repr(c)", "repr(L.nn.ModuleDict())", "c['z']", "c[0]", "c.a is c['a']", "len(c)", "'a' in c",
    "list(c)", "list(c.keys())", "[k for k, _ in c.items()]", "len(list(c.values()))",
    "(repr(c.pop('a')), repr(c))", "c.pop('z')", "(c.clear(), len(c))",
    "(c.__delitem__('a'), list(c))", "c.__delitem__('z')", "c.update(3)", "c.update([(1, 2, 3)])",
    "(c.update({'z': L.nn.Tanh(), 'y': L.nn.Tanh()}), list(c))",
    "(c.update([('q', L.nn.Tanh())]), list(c))",
    "(c.update(L.nn.ModuleDict({'m': L.nn.Tanh()})), list(c))",
    "c.__setitem__(3, L.nn.Tanh())", "c.__setitem__('k', 3)", "c.__setitem__('a.b', L.nn.ReLU())",
    "c.__setitem__('keys', L.nn.ReLU())", "c(1)", "list(c.state_dict())",
])  # fmt: skip
PARAMETER_LIST = by_source("c", lambda L: L.nn.ParameterList([L.ones(2), L.zeros(2, 3)]), [
    "repr(c)", "repr(L.nn.ParameterList())", "L.nn.ParameterList(3)", "c[0]", "c[5]", "c[-1]",
    "repr(c[0:1])", "len(c)", "[type(v).__name__ for v in c]", "list(c.state_dict())",
    "(c.append(L.zeros(1)), repr(c))[1]", "(c.append('text'), repr(c))[1]", "c.extend(3)",
    "c.extend(L.ones(3))", "(c.extend([L.ones(1)]), len(c))[1]",
    "(c.__iadd__([L.ones(1)]), len(c))[1]", "(c.__setitem__(0, L.zeros(4)), repr(c))",
    "c.__setitem__(9, L.zeros(1))", "c(1)", "repr(L.nn.ParameterList([1, 'a', L.ones(())]))",
    "repr(c.to(L.float64))", "[n for n in dir(c) if n.isdigit()]",
])  # fmt: skip
PARAMETER_DICT = by_source("c", lambda L: L.nn.ParameterDict({"y": L.ones(2), "x": L.ones(1)}), [
    "list(c)", "list(reversed(c))", "list(c.state_dict())", "c['x']", "c['q']", "c.x", "len(c)",
    "'q' in c", "list(c.keys())", "[k for k, _ in c.items()]", "len(list(c.values()))",
    "(c.pop('x'), list(c))", "c.pop('q')", "(c.popitem()[0], list(c))", "(c.clear(), len(c))",
    "c.get('q')", "c.get('q', 5)", "c.setdefault('x', 3)",
    "(c.setdefault('q', L.ones(1)), list(c))", "c.setdefault('q')",
    "(c.copy() is c, list(c.copy()))", "list(c.fromkeys(['b', 'a'], L.ones(1)))",
    "list(c | {'q': L.ones(1), 'p': L.ones(1)})", "list({'q': L.ones(1)} | c)",
    "(c.__ior__({'q': L.ones(1)}), list(c))[1]", "c.update(3)", "c.update([(1, 2, 3)])",
    "(c.update({'z': L.ones(1), 'a': L.ones(1)}), list(c))",
    "(c.update([('z', L.ones(1)), ('a', L.ones(1))]), list(c))",
    "(c.update(L.nn.ParameterDict({'n': L.ones(1)})), list(c))", "(c.__delitem__('x'), list(c))",
    "c.__delitem__('q')", "c.__setitem__('keys', L.ones(1))", "c(1)",
    "(c.__setitem__('none', None), list(c), c['none'])",
])  # fmt: skip
ORDERED = by_source("c", lambda L: OrderedDict([("z", L.ones(1)), ("a", L.ones(1))]), [
    "list(L.nn.ParameterDict(c))",
])  # fmt: skip


def rows() -> dict[str, Row]:
    kinds = {
        "Sequential": SEQUENTIAL, "ModuleList": MODULE_LIST, "names": NAMED,
        "ModuleDict": MODULE_DICT, "ParameterList": PARAMETER_LIST,
        "ParameterDict": PARAMETER_DICT, "OrderedDict": ORDERED,
    }  # fmt: skip
    return {f"{kind}: {s}": row for kind, table in kinds.items() for s, row in table.items()}


@table(rows())
def test_as_in_pytorch(row: Row) -> None:
    assert_parity(row, message=False)


def test_parameters_of_a_dict_are_shown_by_type() -> None:
    c = mg.nn.ParameterDict({"x": mg.ones(2, 3), "n": 4})
    line = "(x): Parameter containing: [minigrad.FloatTensor of size 2x3]"
    assert repr(c) == f"ParameterDict(\n    (n): Object of type: int\n    {line}\n)"


def test_a_failed_update_changes_nothing() -> None:
    table, numbers = mg.nn.ModuleDict(), mg.nn.ParameterDict()
    with pytest.raises(ValueError, match="sequence element #1 has length 3; 2 is required"):
        table.update([("a", mg.nn.ReLU()), (1, 2, 3)])
    with pytest.raises(TypeError, match="sequence element #1 should be Iterable; is int"):
        numbers.update([("a", mg.ones(1)), 3])
    assert len(table) == len(numbers) == 0


def test_inserting_is_that_of_a_list() -> None:
    for make in (mg.nn.ModuleList, lambda ms: mg.nn.Sequential(*ms)):
        for at in (-3, -1, 0, 2, 3):
            expected = list(range(3))
            expected.insert(at, 3)
            new = [*modules(mg), mg.nn.Tanh()]
            c = make(new[:3])
            c.insert(at, new[3])
            assert [new.index(m) for m in c] == expected
            assert list(c._modules) == ["0", "1", "2", "3"]
        with pytest.raises(IndexError, match="out of range"):
            c.insert(9, mg.nn.Tanh())
        with pytest.raises(AssertionError, match="should be of type"):
            c.insert(0, 3)
    c = mg.nn.ModuleList(modules(mg))
    c += c
    assert len(c) == 6
