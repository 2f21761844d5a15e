"""state_dict and load_state_dict: contents, messages, hooks, metadata, as in PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.parity import Row, assert_parity, table
from tests.test_module_attributes import make

torch = pytest.importorskip("torch")


def filled(L: Any) -> Any:
    net = make(L)
    with L.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(L.arange(float(p.numel())).reshape(p.shape) / 10 + i)
    return net


CHANGES: dict[str, Any] = {
    "nothing": lambda L, s: None,
    "missing": lambda L, s: s.pop("w"),
    "unexpected": lambda L, s: s.update(x=L.ones(1)),
    "unexpected inside": lambda L, s: s.update(
        {"b.9.weight": L.ones(1), "zz.q": L.ones(1), "a.z": L.ones(1)}
    ),
    "module's name": lambda L, s: s.update(a=L.ones(1)),
    "shape": lambda L, s: s.update(w=L.ones(4)),
    "rank": lambda L, s: s.update(w=L.ones(1, 3)),
    "number": lambda L, s: s.update(w=3),
    "list": lambda L, s: s.update(w=[1.0, 2.0, 3.0]),
    "array": lambda L, s: s.update(w=np.ones(3)),
    "dtype": lambda L, s: s.update(w=L.ones(3, dtype=L.float64)),
    "integers": lambda L, s: s.update(w=L.ones(3, dtype=L.int64)),
    "not persistent": lambda L, s: s.update(tmp=L.ones(2)),
    "None buffer": lambda L, s: s.update(none=L.ones(2)),
    "extra state": lambda L, s: s.update(_extra_state=3),
    "empty": lambda L, s: s.clear(),
    "all at once": lambda L, s: (s.pop("w"), s.update({"a.weight": L.ones(5), "q": L.ones(1)})),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("options", [{}, {"strict": False}, {"assign": True}], ids=str)
def test_load(change: str, options: dict[str, bool]) -> None:
    def row(L: Any) -> Any:
        net = filled(L)
        state = net.state_dict()
        CHANGES[change](L, state)
        keys = net.load_state_dict(state, **options)
        return repr(keys), keys.missing_keys, keys.unexpected_keys, net.state_dict()

    # where a dtype cannot require a gradient, the sentence inside is the tensor's own
    assert_parity(row, message=not (change == "integers" and "assign" in options))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,)], ids=str)
def test_load_into_a_scalar(shape: tuple[int, ...]) -> None:
    def row(L: Any) -> Any:
        net = L.nn.Module()
        net.s = L.nn.Parameter(L.tensor(2.0))
        net.load_state_dict({"s": L.full(shape, 5.0)})
        return net.s

    assert_parity(row, message=False)


def test_the_errors_of_a_load_name_the_tensor() -> None:
    net = filled(mg)
    with pytest.raises(RuntimeError, match='While copying the parameter named "w", whose dim'):
        net.load_state_dict({**net.state_dict(), "w": mg.ones(3, dtype=mg.int64)}, assign=True)


def test_assign_takes_tensors_over_with_the_old_flags() -> None:
    def row(L: Any) -> Any:
        net = filled(L)
        net.w.requires_grad_(False)
        state = OrderedDict((k, v.clone()) for k, v in net.state_dict().items())
        state["w"] = L.nn.Parameter(state["w"])
        net.load_state_dict(state, assign=True)
        kept = [net.w is state["w"], net.buf is state["buf"]]
        return kept, net.w.requires_grad, net.a.weight.requires_grad, type(net.a.weight).__name__

    assert_parity(row)


def test_a_state_dict_is_the_same_after_loading() -> None:
    net = filled(mg)
    state = net.state_dict()
    net.load_state_dict(state, assign=True)
    own = net.w
    net.load_state_dict(state)  # not assigned a second time
    assert net.w is own and state._metadata["a"] == {"version": 1}


SAVED: dict[str, Row] = {
    "metadata": lambda L: dict(filled(L).state_dict()._metadata),
    "detached": lambda L: [v.requires_grad for v in filled(L).state_dict().values()],
    "keep_vars": lambda L: [
        type(v).__name__ for v in filled(L).state_dict(keep_vars=True).values()
    ],
    "prefix": lambda L: list(filled(L).state_dict(prefix="m.")),
    "plain": lambda L: filled(L).state_dict(destination={}),
}


@table(SAVED)
def test_save(row: Row) -> None:
    assert_parity(row)


def _hook_rows() -> dict[str, Row]:
    def post(value: Any) -> Row:
        def row(L: Any) -> Any:
            net = filled(L)
            net.register_state_dict_post_hook(lambda m, s, prefix, meta: (s.pop("w"), value)[1])
            return list(net.state_dict())

        return row

    def private(L: Any) -> Any:
        net = filled(L)
        net._register_state_dict_hook(lambda m, s, prefix, meta: {"only": 1})
        return net.state_dict()

    def pre(L: Any) -> Any:
        net, seen = filled(L), []
        net.a.register_state_dict_pre_hook(lambda m, *rest: seen.append(rest))
        net.state_dict(prefix="x.", keep_vars=True)
        return seen

    def load_pre(L: Any) -> Any:
        net, seen = filled(L), []
        net.a.register_load_state_dict_pre_hook(
            lambda m, state, *rest: seen.append([type(m).__name__, list(state), *rest])
        )
        net.a._register_load_state_dict_pre_hook(lambda *rest: seen.append(len(rest)))
        net.load_state_dict(net.state_dict())
        return seen

    def rename(L: Any) -> Any:
        net = filled(L)
        state = net.state_dict()
        state["a.kernel"] = state.pop("a.weight")
        net.a.register_load_state_dict_pre_hook(
            lambda m, s, prefix, *rest: s.update({prefix + "weight": s.pop(prefix + "kernel")})
        )
        return repr(net.load_state_dict(state))

    def forgive(value: Any) -> Row:
        def row(L: Any) -> Any:
            net = filled(L)
            state = net.state_dict()
            state["x"] = state.pop("w")
            net.register_load_state_dict_post_hook(
                lambda m, keys: (keys[0].clear(), keys[1].clear(), value)[2]
            )
            return repr(net.load_state_dict(state))

        return row

    return {
        "post": post(None), "post that returns": post({}), "private": private, "pre": pre,
        "load pre": load_pre, "rename": rename, "forgive": forgive(None),
        "forgive and return": forgive(1),
    }  # fmt: skip


@table(_hook_rows())
def test_hooks(row: Row) -> None:
    assert_parity(row)


def test_own_way_of_loading() -> None:
    """Layers may override _load_from_state_dict, and call the base with strict=False."""

    def row(L: Any) -> Any:
        class Lenient(L.nn.Linear):
            def _load_from_state_dict(self, state, prefix, meta, strict, *lists):
                super()._load_from_state_dict(state, prefix, meta, False, *lists)

        net = L.nn.Sequential(Lenient(2, 2), L.nn.Linear(2, 2))
        state = {"0.weight": L.ones(2, 2), "0.more": L.ones(1), "1.weight": L.zeros(2, 2)}
        with pytest.raises(RuntimeError) as caught:
            net.load_state_dict(state)
        return str(caught.value), net[0].weight, net[1].weight

    assert_parity(row)


def test_extra_state_missing_and_unexpected() -> None:
    def row(L: Any) -> Any:
        class Counter(L.nn.Module):
            n = 3

            def get_extra_state(self):
                return self.n

            def set_extra_state(self, state):
                self.n = state

        a, b = L.nn.Sequential(Counter()), L.nn.Sequential(Counter())
        a[0].n = 8
        state = a.state_dict()
        b.load_state_dict(state)
        bare = L.nn.Sequential(L.nn.ReLU()).load_state_dict(state, strict=False)
        return state, b[0].n, repr(bare), repr(a.load_state_dict({}, strict=False))

    assert_parity(row)
