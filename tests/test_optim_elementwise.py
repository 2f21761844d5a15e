"""Small parameters are updated together, large ones in pieces; whatever a program changes between
two steps, the result is PyTorch's.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import config
from minigrad.optim import elementwise

torch = pytest.importorskip("torch")
SHAPES = [(3, 4), (5,), (), (2, 3)]
TOLERANCE = {"rtol": 1e-7, "atol": 1e-9}


def arrays(shapes: Any, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(s)) for s in shapes]


def parameters(L: Any, shapes: Any = SHAPES) -> list[Any]:
    return [L.from_numpy(a).requires_grad_() for a in arrays(shapes, 0)]


def step(L: Any, optimizer: Any, params: list[Any], seed: int, missing: Any = ()) -> None:
    gradients = arrays([tuple(p.shape) for p in params], 100 + seed)
    for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
        p.grad = None if i in missing else L.from_numpy(g)
    optimizer.step()


# ------------------------------------------------------------------------------ what may happen
def grads_come_and_go(L: Any, o: Any, params: list[Any]) -> None:
    for seed, missing in enumerate([(), (1,), (0, 2), (), (0, 1, 2, 3), (3,), ()]):
        step(L, o, params, seed, missing)


def halves_take_turns(L: Any, o: Any, params: list[Any]) -> None:
    for seed in range(8):
        step(L, o, params, seed, [(0, 1), (2, 3), (0, 1), (1, 2)][seed % 4])


def data_replaced(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    params[1].data = L.full((5,), 2.0, dtype=L.float64)
    step(L, o, params, 1)
    params[0].data = params[0].data.t().contiguous().t()
    step(L, o, params, 2)


def memory_changed(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    with L.no_grad():
        params[0].mul_(0.5)
        params[3].zero_()
    step(L, o, params, 1)


def states_changed(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    for key, value in o.state[params[0]].items():
        if key != "step":
            value.mul_(3.0)  # in place
            o.state[params[1]][key] = o.state[params[1]][key] * 2.0  # another tensor
            o.state[params[3]][key].data = o.state[params[3]][key].data + 0.5  # other memory
    step(L, o, params, 1)
    step(L, o, params, 2)


def states_forgotten(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    o.state[params[0]] = {}
    step(L, o, params, 1)
    o.state[params[1]].clear()
    step(L, o, params, 2)
    o.state.pop(params[2], None)
    step(L, o, params, 3)
    o.state = defaultdict(dict)
    step(L, o, params, 4)


def steps_set(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    for p in params[:2]:
        if "step" in o.state[p]:
            o.state[p]["step"].fill_(7.0)
    step(L, o, params, 1)


def more_in_the_state(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    o.state[params[0]]["note"] = "x"
    step(L, o, params, 1)
    o.state[params[1]]["note"] = L.ones(1)
    step(L, o, params, 2)


def groups_changed(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    new = [L.full((2, 2), 1.5, dtype=L.float64, requires_grad=True) for _ in range(3)]
    o.add_param_group({"params": new[:1], "lr": 0.5})
    params.append(new[0])
    step(L, o, params, 1)
    o.param_groups[0]["params"].append(new[1])
    params.append(new[1])
    step(L, o, params, 2)
    o.param_groups[0]["params"][0] = new[2]
    step(L, o, [new[2], *params[1:]], 3)
    o.param_groups[0]["params"].reverse()
    step(L, o, params[1:], 4)


def options_changed(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    group = o.param_groups[0]
    group["lr"] = 0.03
    group["maximize"] = True
    step(L, o, params, 1)
    if "weight_decay" in group:
        group["weight_decay"] = 0.3
    step(L, o, params, 2)


def loaded(L: Any, o: Any, params: list[Any]) -> None:
    step(L, o, params, 0)
    early = copy.deepcopy(o.state_dict())
    step(L, o, params, 1)
    o.load_state_dict(early)
    step(L, o, params, 2)


def copies(L: Any, o: Any, params: list[Any]) -> None:
    """A deep copy has parameters of its own and is not moved along."""
    step(L, o, params, 0)
    other = copy.deepcopy(o)
    step(L, o, params, 1)
    twins = other.param_groups[0]["params"]
    step(L, other, twins, 2)
    params.extend(twins)


def gradients_of_all_kinds(L: Any, o: Any, params: list[Any]) -> None:
    """Transposed, expanded and shared ones."""
    g = L.from_numpy(arrays([(4, 3)], 9)[0])
    for _ in range(3):
        params[0].grad = g.t()
        params[1].grad = L.from_numpy(np.array([0.5])).expand(5)
        params[2].grad = L.from_numpy(np.array(1.0))
        params[3].grad = L.from_numpy(arrays([(2, 3)], 8)[0])
        o.step()


EVENTS: list[Callable[..., None]] = [
    grads_come_and_go,
    halves_take_turns,
    data_replaced,
    memory_changed,
    states_changed,
    states_forgotten,
    steps_set,
    more_in_the_state,
    groups_changed,
    options_changed,
    loaded,
    copies,
    gradients_of_all_kinds,
]
MAKERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda L, p: L.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2),
    "plain SGD": lambda L, p: L.optim.SGD(p, lr=0.1),
    "Adam": lambda L, p: L.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda L, p: L.optim.AdamW(p, lr=0.1, amsgrad=True),
    "NAdam": lambda L, p: L.optim.NAdam(p, lr=0.1),
    "RMSprop": lambda L, p: L.optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    "Rprop": lambda L, p: L.optim.Rprop(p, lr=0.1),
}


@pytest.mark.parametrize("event", EVENTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", list(MAKERS))
def test_what_programs_do(name: str, event: Callable[..., None]) -> None:
    results = []
    for L in (mg, torch):
        params = parameters(L)
        event(L, MAKERS[name](L, list(params)), params)
        results.append(params)
    for p, q in zip(*results, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), **TOLERANCE)


SIZES = [
    [(elementwise.SMALL + 3,), (4,)],
    [(elementwise.CHUNK + 5,), (3, elementwise.CHUNK)],
    [(200, 100), (100,), (100, 200)],
    [(elementwise.SMALL,)] * 3 + [(0,), (1,)],
]


@pytest.mark.parametrize("shapes", SIZES, ids=str)
@pytest.mark.parametrize("name", list(MAKERS))
def test_sizes(name: str, shapes: list[tuple[int, ...]]) -> None:
    """Beyond the limits of gathering and of a piece; also transposed parameters."""
    results = []
    for L in (mg, torch):
        params = parameters(L, shapes)
        params += [p.detach().clone().t().requires_grad_() for p in params if p.dim() == 2]
        optimizer = MAKERS[name](L, params)
        for seed in range(2):
            step(L, optimizer, params, seed)
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        step(L, optimizer, params, 2)
        results.append(params)
    for p, q in zip(*results, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), **TOLERANCE)


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_a_parameter_given_twice_moves_twice() -> None:
    moved = []
    for L in (mg, torch):
        w = L.ones(3, dtype=L.float64, requires_grad=True)
        optimizer = L.optim.Adam([w, w], lr=0.1, foreach=False)
        for _ in range(3):
            w.grad = L.full((3,), 0.5, dtype=L.float64)
            optimizer.step()
        moved.append(w.tolist())
    assert moved[0] == pytest.approx(moved[1], rel=1e-12)


def test_mixed_dtypes_in_a_group() -> None:
    moved = []
    for L in (mg, torch):
        params = [
            L.ones(3, dtype=getattr(L, d), requires_grad=True)
            for d in ("float32", "float64", "complex64", "float32")
        ]
        optimizer = L.optim.Adam(params, lr=0.1)
        for _ in range(3):
            for i, p in enumerate(params):
                p.grad = L.full((3,), 0.5 + i, dtype=p.dtype)
            optimizer.step()
        moved.append([p.tolist() for p in params])
    for a, b in zip(*moved, strict=True):
        assert a == pytest.approx(b, rel=1e-6)


def test_states_stay_the_objects_that_they_are() -> None:
    """Whoever holds a state tensor or a state dict sees every later step."""
    params = parameters(mg)
    optimizer = mg.optim.Adam(params, lr=0.1)
    step(mg, optimizer, params, 0)
    saved = optimizer.state_dict()["state"]
    held = {name: list(map(id, saved[i].values())) for i, name in enumerate("abcd")}
    for seed, missing in enumerate([(), (1,), ()]):
        step(mg, optimizer, params, 1 + seed, missing)
    assert {n: list(map(id, saved[i].values())) for i, n in enumerate("abcd")} == held
    assert [saved[i]["step"].item() for i in range(4)] == [4, 3, 4, 4]
    for p, state in zip(params, saved.values(), strict=True):
        assert (
            state["exp_avg"].shape == p.shape and state["exp_avg"] is optimizer.state[p]["exp_avg"]
        )


def test_versions_count_steps() -> None:
    params = parameters(mg)
    optimizer = mg.optim.Adam(params)
    for n in range(3):
        assert [p._version for p in params] == [n] * 4
        step(mg, optimizer, params, n)


def test_a_gradient_of_another_shape() -> None:
    w = mg.ones(3, requires_grad=True)
    optimizer = mg.optim.SGD([w], lr=0.1)
    w.grad = mg.ones(3)
    optimizer.step()
    w.data = mg.ones(4)
    with pytest.raises(RuntimeError, match=r"size of tensor a \(4\) must match .* b \(3\)"):
        optimizer.step()
    assert w.tolist() == [1, 1, 1, 1]


def test_nothing_is_kept_of_groups_that_are_gone() -> None:
    params = parameters(mg)
    optimizer = mg.optim.Adam(params)
    step(mg, optimizer, params, 0)
    gone = weakref.ref(params[0])
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.param_groups[0]["params"].pop(0)
    optimizer.state.clear()
    del params[0]
    gc.collect()
    assert gone() is None


def test_plans_for_parts_that_take_turns() -> None:
    params = parameters(mg)
    optimizer = mg.optim.Adam(params)
    plans: list[Any] = []
    for seed in range(6):
        step(mg, optimizer, params, seed, (0, 1) if seed % 2 else (2, 3))
        plans.append(list(*optimizer._plans.values()))
    assert len(plans[1]) == 2 and all(p == plans[1] for p in plans[2:])
    step(mg, optimizer, params, 6)  # all together: one plan again
    step(mg, optimizer, params, 7)
    assert [len(p.params) for p in list(*optimizer._plans.values())] == [4]


def test_options_that_add_states_later() -> None:
    params = parameters(mg)
    optimizer = mg.optim.Adam(params)
    step(mg, optimizer, params, 0)
    optimizer.param_groups[0]["amsgrad"] = True
    step(mg, optimizer, params, 1)
    assert "max_exp_avg_sq" in optimizer.state[params[0]]


COMPILED: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"weight_decay": 0.1}),
    ("AdamW", {"amsgrad": True, "maximize": True}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Rprop", {}),
    ("ASGD", {"t0": 2}),
    ("Lion", {}),
    ("SGDW", {"momentum": 0.9, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("name", "options"), COMPILED)
def test_compiled_loops(name: str, options: dict[str, Any]) -> None:
    """What loops compute is what NumPy computes, for parameters of all kinds in one group."""
    pytest.importorskip("numba")
    shapes = [(70, 70), (5, 3), (), (1 << 15,)]
    results = []
    for kernels in ("auto", "off"):
        with config.using(kernels=kernels):
            params = [mg.from_numpy(a.astype(np.float32)) for a in arrays(shapes, 0)]
            params[1] = params[1].t()
            optimizer = getattr(mg.optim, name)(params, **options)
            for seed in range(6):
                for p, g in zip(params, arrays([p.shape for p in params], seed), strict=True):
                    p.grad = mg.from_numpy(g.astype(np.float32))
                optimizer.step()
        runs = next(iter(optimizer._plans.values()))[0].runs
        assert all(part.loop is not None for r in runs for part in r.parts) == (kernels == "auto")
        results.append(params)
    for p, q in zip(*results, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=1e-5)


def test_a_formula_without_a_compiled_form(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")

    def odd(w: Any, g: Any, b: Any, *numbers: Any) -> Any:
        return w - np.histogram(g)[0].sum() * 0.0 - 1.0, b

    monkeypatch.setattr(mg.optim.SGD, "formula", staticmethod(odd))
    w = mg.zeros(5000)
    w.grad = mg.ones(5000)
    optimizer = mg.optim.SGD([w])
    with pytest.warns(UserWarning, match="formula .*odd runs uncompiled"):
        optimizer.step()
    optimizer.step()
    assert w.tolist() == [-2.0] * 5000


def test_formulas_are_formulas() -> None:
    """Number by number they give what they give on arrays: what a compiled loop relies on."""
    rng = np.random.default_rng(0)
    for name, make in MAKERS.items():
        optimizer = make(mg, parameters(mg))
        group = optimizer.param_groups[0]
        first = optimizer._first(group)
        counters = [first[n] for n in optimizer.counters if n in first]
        numbers = optimizer._numbers(group, counters, True)
        given = [
            None if n not in ("w", "g") and n not in first else np.abs(rng.standard_normal(7))
            for n in ("w", "g", *optimizer.arrays)
        ]
        single = [
            optimizer.formula(*(None if x is None else x[i] for x in given), *numbers)
            for i in range(7)
        ]
        whole = optimizer.formula(*given, *numbers)
        for i, x in enumerate(whole):
            if x is not None:
                np.testing.assert_allclose(x, [s[i] for s in single], rtol=1e-12, err_msg=name)
