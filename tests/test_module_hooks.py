"""Hooks of modules, own and global, around forward and backward, as in PyTorch."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import OrderedDict
from typing import Any

import pytest

import minigrad as mg
from tests.parity import Row, assert_parity, outcome, plain, table

torch = pytest.importorskip("torch")


def scale(L: Any) -> Any:
    class Scale(L.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = L.nn.Parameter(L.tensor([2.0, 3.0]))

        def forward(self, x, y=None, fail=False):
            if fail:
                raise ValueError("asked to fail")
            return x * self.w if y is None else x * self.w + y

    return Scale()


# ------------------------------------------------------------------------------ around forward
def always(kind: str) -> Row:
    """What runs, and in which order, when forward or a hook fails."""

    def row(L: Any) -> Any:
        module, seen = scale(L), []

        def bad(*args: Any) -> None:
            seen.append("bad")
            raise ValueError("a hook failed")

        def note(name: str) -> Any:
            return lambda *args: seen.append([name, len(args), args[-1] is None])

        module.register_forward_hook(note("always"), always_call=True)
        module.register_forward_hook(note("plain"))
        if kind != "forward":
            module.register_forward_hook(bad, always_call=kind == "both")
        module.register_forward_hook(note("kwargs"), always_call=True, with_kwargs=True)
        try:
            module(L.ones(2), fail=kind != "hook")
        except ValueError as error:
            seen.append(str(error))
        return seen

    return row


def changes(L: Any) -> Any:
    module, seen = scale(L), []
    module.register_forward_pre_hook(lambda m, a: seen.append("second") or (a[0] * 2,))
    module.register_forward_pre_hook(lambda m, a: seen.append("first") or a[0] + 1, prepend=True)
    module.register_forward_pre_hook(lambda m, a, k: (a, {"y": k["y"] * 5}), with_kwargs=True)
    module.register_forward_hook(lambda m, a, r: r + 100)
    module.register_forward_hook(lambda m, a, k, r: r + k["y"], with_kwargs=True, prepend=True)
    return module(L.ones(2), y=L.ones(2)), seen


def bad_pre(L: Any) -> Any:
    module = scale(L)
    module.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    return module(L.ones(2))


def tables(L: Any) -> Any:
    """Programs read, clear and replace the tables themselves."""
    module, seen = scale(L), []
    handle = module.register_forward_hook(lambda *a: seen.append("hook"))
    module.register_forward_pre_hook(lambda *a: seen.append("pre"))
    counts = [len(module._forward_hooks), len(module._forward_pre_hooks)]
    module._forward_pre_hooks.clear()
    module(L.ones(2))
    with handle:
        module(L.ones(2))
    module(L.ones(2))
    module.register_forward_hook(lambda *a: seen.append("hook"))
    module._forward_hooks = OrderedDict()
    module(L.ones(2))
    return counts, len(module._backward_hooks), seen


def removes_itself(L: Any) -> Any:
    module, seen = scale(L), []

    def once(*args: Any) -> None:
        seen.append("once")
        handle.remove()

    handle = module.register_forward_hook(once)
    module.register_forward_hook(lambda *a: seen.append("other"))
    module(L.ones(2))
    module(L.ones(2))
    return seen


FORWARD = {f"always_call: {kind} fails": always(kind) for kind in ("forward", "hook", "both")}
FORWARD |= {"changes": changes, "bad pre": bad_pre, "tables": tables, "removes": removes_itself}


@table(FORWARD)
def test_forward_hooks(row: Row) -> None:
    assert_parity(row)


# ------------------------------------------------------------------------------ around backward
HOOKS: dict[str, Any] = {
    "none": None,
    "look": lambda g: None,
    "ten": lambda g: tuple(None if i is None else i * 10 for i in g),
    "too many": lambda g: (None,) * 5,
}


@pytest.mark.parametrize("pre", HOOKS)
@pytest.mark.parametrize("full", HOOKS)
@pytest.mark.parametrize("requires", [True, False])
@pytest.mark.parametrize("second", [False, True])
def test_backward_hooks(pre: str, full: str, requires: bool, second: bool) -> None:
    def row(L: Any) -> Any:
        module, seen = scale(L), []

        def hook(name: str, change: Any) -> Any:
            def run(module: Any, *grads: Any) -> Any:
                seen.append([name, plain(grads)])
                return change(grads[0])

            return run

        if HOOKS[pre]:
            module.register_full_backward_pre_hook(hook("pre", HOOKS[pre]))
        if HOOKS[full]:
            module.register_full_backward_hook(hook("full", HOOKS[full]))
        x = L.ones(2, requires_grad=requires)
        result = module(x, L.ones(2)) if second else module(x)
        result.sum().backward()
        return seen, module.w.grad, x.grad

    assert_parity(row)


def several(L: Any) -> Any:
    """Tuples in and out, an output that is no tensor, an input that is not used."""

    class Several(L.nn.Module):
        def forward(self, x, unused, word):
            return x * 2, x * 3, word

    module, seen = Several(), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append(plain([gi, go])))
    x, unused = L.ones(1, requires_grad=True), L.ones(1, requires_grad=True)
    result = module(x, unused, "word")
    result[0].sum().backward()
    return seen, x.grad, unused.grad, result[2]


def no_gradient_for_no_input(L: Any) -> Any:
    module = scale(L)
    module.register_full_backward_hook(lambda m, gi, go: (L.ones(2),))
    module(L.ones(2)).sum().backward()


def nothing_recorded(L: Any) -> Any:
    module, seen = scale(L), []
    module.register_full_backward_hook(lambda *a: seen.append(1))
    with L.no_grad():
        return module(L.ones(2, requires_grad=True)).requires_grad, seen


def twice_in_one_graph(L: Any) -> Any:
    module, seen = scale(L), []
    module.register_full_backward_hook(lambda m, gi, go: seen.append(plain([gi, go])))
    x = L.ones(2, requires_grad=True)
    loss = module(module(x)).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    return seen, x.grad


def chain(L: Any) -> Any:
    net, seen = L.nn.Sequential(scale(L), scale(L)), []
    for i, module in enumerate(net):
        module.register_full_backward_hook(
            lambda m, gi, go, i=i: seen.append([i, plain(gi), plain(go)])
        )
    net(L.ones(2)).sum().backward()
    return seen


BACKWARD = {
    "several": several, "no input": no_gradient_for_no_input, "no_grad": nothing_recorded,
    "twice": twice_in_one_graph, "chain": chain,
}  # fmt: skip


@table(BACKWARD)
def test_backward_hooks_more(row: Row) -> None:
    assert_parity(row)


def test_a_named_tuple_stays_one() -> None:
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: Any
        b: Any

    class Give(mg.nn.Module):
        def forward(self, x):
            return Pair(x * 2, x * 3)

    module = Give()
    module.register_full_backward_pre_hook(lambda m, g: None)
    result = module(mg.ones(1, requires_grad=True))
    assert isinstance(result, Pair) and result.b.item() == 3


# ------------------------------------------------------------------------------ global hooks


def global_calls(L: Any) -> Any:
    place, seen = L.nn.modules.module, []
    handles = [
        place.register_module_forward_pre_hook(lambda m, a: seen.append("pre")),
        place.register_module_forward_hook(lambda m, a, r: seen.append("post")),
        place.register_module_full_backward_hook(lambda m, gi, go: seen.append("backward")),
        place.register_module_full_backward_pre_hook(lambda m, go: seen.append("backward pre")),
    ]
    module = scale(L)
    module.register_forward_pre_hook(lambda m, a: seen.append("own pre"))
    module.register_forward_hook(lambda m, a, r: seen.append("own post"))
    try:
        module(L.ones(2, requires_grad=True)).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    module(L.ones(2))
    return seen


def global_registrations(L: Any) -> Any:
    place, seen = L.nn.modules.module, []
    handles = [
        getattr(place, f"register_module_{kind}_registration_hook")(
            lambda m, name, value, kind=kind: seen.append([kind, name])
        )
        for kind in ("parameter", "buffer", "module")
    ]
    try:
        net = L.nn.Sequential(L.nn.Linear(1, 1), L.nn.BatchNorm1d(1))
        net.more = L.nn.ReLU()
        net.register_buffer("nothing", None)
    finally:
        for handle in handles:
            handle.remove()
    L.nn.Linear(1, 1)
    return seen


@table({"calls": global_calls, "registrations": global_registrations})
def test_global_hooks(row: Row) -> None:
    assert_parity(row)


def test_without_hooks_nothing_is_between_call_and_forward() -> None:
    import sys

    class Here(mg.nn.Module):
        def forward(self):
            frame = sys._getframe(1)
            return frame.f_code.co_name, frame.f_back is outer

    outer = sys._getframe()
    module = Here()
    assert module() == ("__call__", True)
    module.register_forward_hook(lambda *a: None)
    assert module()[1] is False  # through the hooks


# ------------------------------------------------------------------------------ as objects
def _look(module: Any, args: Any, result: Any) -> Any:
    return result + 1


def test_hooks_are_copied_and_pickled_with_the_module() -> None:
    module = mg.nn.Linear(1, 1)
    handle = module.register_forward_hook(_look)
    copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module))]
    expected = module(mg.ones(1, 1)).item()
    assert [c(mg.ones(1, 1)).item() for c in copies] == [expected, expected]
    handle.remove()
    assert module(mg.ones(1, 1)).item() == pytest.approx(expected - 1)
    assert copies[0](mg.ones(1, 1)).item() == expected


def test_a_graph_with_hooks_is_freed_without_the_collector() -> None:
    module = scale(mg)
    module.register_full_backward_hook(lambda m, gi, go: None)
    module.register_forward_hook(lambda m, a, r: None)
    gc.disable()
    try:
        x = mg.ones(2, requires_grad=True)
        result = module(x * 1)
        inner = weakref.ref(result.grad_fn)
        result.sum().backward()
        del result
        assert inner() is None
    finally:
        gc.enable()


def test_outcomes_tell_libraries_apart() -> None:
    """The comparison itself: a difference in value, warning, error type or message shows."""
    assert outcome(lambda L: 1, mg) != outcome(lambda L: 2, mg)
    assert outcome(lambda L: L.nn.ReLU()(1, 2, 3), mg)[0] == "error"
    with pytest.raises(pytest.fail.Exception):
        assert_parity(lambda L: L.__name__ == "torch")
