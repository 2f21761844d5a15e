"""The base of optimizers: construction, groups, names, state dicts, hooks, subclasses, as in
PyTorch; and numbers of low precision and complex ones.
"""

from __future__ import annotations

import copy
import importlib
import pickle
from collections import defaultdict
from typing import Any

import pytest

import minigrad as mg
from tests.parity import Row, assert_parity, by_source, table

torch = pytest.importorskip("torch")
NAMES = ["SGD", "Adam", "AdamW"]
OTHERS = "Adadelta Adagrad Adamax ASGD NAdam RAdam RMSprop Rprop Adafactor".split()


def weight(L: Any) -> Any:
    return L.tensor([1.0, 2.0], requires_grad=True)


def optim_file(L: Any) -> Any:
    return importlib.import_module(f"{L.__name__}.optim.optimizer")


# ------------------------------------------------------------------------------ construction
MADE = [
    "O([w]).defaults", "O([w], 0.01).defaults['lr']", "repr(O([w]))",
    "repr(O([{'params': [w], 'extra': 1}]))", "O([w]).state_dict()", "O(iter([w])).state_dict()",
    "O([{'params': w, 'lr': 3, 'my': 'x'}]).state_dict()", "O([{'params': []}]).state_dict()",
    "O([L.ones(1)]).state_dict()", "O([L.tensor([1])]).state_dict()",
    "O([w], lr=L.tensor(0.1)).param_groups[0]['lr']", "O([w], lr=L.ones(2))", "O([w], lr=-1)",
    "O([w], weight_decay=-1)", "O([w], fused=True, foreach=True)",
    "O([w], fused=True, differentiable=True)", "O([w], lr=0.0).step()",
    "O([])", "O(w)", "O([3.0])", "O([w * 2])", "O(3)", "O(None)", "O([{'lr': 1}])", "O([{w}])",
    "O({'params': [w]})", "O([{'params': [w]}, {'params': [w]}])", "O([{'params': {w}}])",
    "O([w, w]).state_dict()",
    "O([('a', w)]).state_dict()", "O([('a', w), w])", "O([w, ('a', w)])",
    "O([w]).add_param_group(3)", "O([w]).add_param_group({'params': w})",
    "O([w]).add_param_group({'params': [('n', L.ones(1))]})",
    "O([('a', w)]).add_param_group({'params': [L.ones(1)]})",
    "O([w]).load_state_dict({})", "O([w]).load_state_dict({'state': {}, 'param_groups': []})",
    "O([w]).load_state_dict({'state': {}, 'param_groups': [{'params': [1, 2]}]})",
]  # fmt: skip
ADAMS = [
    "O([w], eps=-1.0)", "O([w], betas=(1.0, 0.9))", "O([w], betas=(0.9, -0.1))",
    "O([w], betas=(0, 0.9))", "O([w], betas=(L.tensor(0.9), 0.9))",
    "O([w], betas=(L.tensor(0.9), L.tensor(0.99))).defaults['betas']",
    "O([w], amsgrad=True).defaults",
    "O([w], lr=L.tensor(0.1), foreach=True).defaults['foreach']",
]  # fmt: skip
SGDS = [
    "O([w], momentum=-1.0)", "O([w], nesterov=True)",
    "O([w], momentum=0.9, nesterov=True).defaults",
    "O([w], momentum=0.9, dampening=0.1, nesterov=True)",
    "O([w], lr=L.tensor(0.1), foreach=True).defaults['foreach']",
]  # fmt: skip


def rows() -> dict[str, Row]:
    made: dict[str, Row] = {}
    special = {"SGD": SGDS, "Adam": ADAMS, "AdamW": ADAMS}
    for name in NAMES + OTHERS:
        sources = [*MADE, *special.get(name, [])]
        named = [s.replace("O(", f"L.optim.{name}(") for s in sources]
        made |= by_source("w", weight, named)
    return made


@table(rows())
def test_construction(row: Row) -> None:
    assert_parity(row, message=False)


MESSAGES = [
    ({"lr": -1}, "Invalid learning rate: -1"),
    ({"eps": -1.0}, "Invalid epsilon value: -1.0"),
    ({"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
    ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ({"betas": (0, 0.9)}, "betas must be either both floats or both Tensors"),
]


@pytest.mark.parametrize(("options", "message"), MESSAGES)
def test_messages(options: dict[str, Any], message: str) -> None:
    for L in (mg, torch):
        with pytest.raises(ValueError) as caught:
            L.optim.Adam([weight(L)], **options)
        assert str(caught.value) == message


def test_a_refused_group_changes_nothing() -> None:
    w = weight(mg)
    optimizer = mg.optim.SGD([w])
    group = {"params": [mg.ones(1), w]}
    with pytest.raises(ValueError, match="more than one"):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1 and list(group) == ["params"]


# ------------------------------------------------------------------------------ steps
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2,), (), (3, 2)], ids=str)
def test_complex(name: str, shape: tuple[int, ...]) -> None:
    def row(L: Any) -> Any:
        size = 1
        for n in shape:
            size *= n
        numbers = [complex(i + 1, 2 - i) for i in range(size)]
        w = L.tensor(numbers).reshape(shape).clone().requires_grad_()
        options = {"amsgrad": True} if name != "SGD" else {"momentum": 0.9, "nesterov": True}
        optimizer = getattr(L.optim, name)([w], lr=0.1, weight_decay=0.1, maximize=True, **options)
        for i in range(3):
            w.grad = (L.tensor(numbers) * (0.5 - 1j * i)).reshape(shape)
            optimizer.step()
        states = [dict(s) for s in optimizer.state_dict()["state"].values()]
        return w, states

    assert_parity(row)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(name: str, dtype: str) -> None:
    def row(L: Any) -> Any:
        w = L.tensor([1.0, 2.0], dtype=getattr(L, dtype), requires_grad=True)
        options = {"momentum": 0.5} if name == "SGD" else {"eps": 1e-3}
        optimizer = getattr(L.optim, name)([w], lr=0.125, weight_decay=0.1, **options)
        for _ in range(3):
            w.grad = L.tensor([0.5, -0.25], dtype=getattr(L, dtype))
            optimizer.step()
        kinds = {k: str(v.dtype) for k, v in optimizer.state[w].items() if v is not None}
        return str(w.dtype), kinds, [round(x, 1) for x in w.tolist()]

    assert_parity(row)


@pytest.mark.parametrize("name", NAMES + OTHERS)
def test_views_and_transposed_parameters(name: str) -> None:
    def row(L: Any) -> Any:
        base = L.full((3, 4), 2.0)
        w = base.t().requires_grad_()
        w.grad = L.arange(12.0).reshape(4, 3)
        getattr(L.optim, name)([w], lr=0.1).step()
        return base

    assert_parity(row)


def test_options_may_be_tensors() -> None:
    def row(L: Any) -> Any:
        w = weight(L)
        optimizer = L.optim.Adam(
            [w], lr=L.tensor(0.1), betas=(L.tensor(0.8), L.tensor(0.9)), weight_decay=0.1
        )
        for _ in range(2):
            w.grad = L.ones(2)
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.5
        return w

    assert_parity(row)


def test_gradients_are_left_alone() -> None:
    for name in NAMES + OTHERS:
        for options in ({}, {"maximize": True}, {"weight_decay": 0.1}):
            if name == "Rprop" and "weight_decay" in options:
                continue
            w, g = weight(mg), mg.ones(2)
            w.grad = g
            more = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
            optimizer = getattr(mg.optim, name)([w], lr=0.1, **options, **more)
            optimizer.step()
            optimizer.step()
            assert g.tolist() == [1, 1] and g._version == 0


def test_zero_grad_keeps_the_tensor_out_of_its_graph() -> None:
    w = weight(mg)
    (w**3).sum().backward(create_graph=True)
    g = w.grad
    mg.optim.SGD([w]).zero_grad(set_to_none=False)
    assert w.grad is g and g.tolist() == [0, 0] and g.grad_fn is None and not g.requires_grad


# ------------------------------------------------------------------------------ state dicts
@pytest.mark.parametrize("name", NAMES + OTHERS[:-1])
def test_state_dicts_of_old(name: str) -> None:
    """Options that are newer are filled in; a step that is a number becomes a tensor."""

    def row(L: Any) -> Any:
        w = weight(L)
        optimizer = getattr(L.optim, name)([w])
        w.grad = L.ones(2)
        optimizer.step()
        saved = optimizer.state_dict()
        old = ("lr", "params", "betas", "eps", "weight_decay", "momentum", "dampening", "rho")
        old += ("alpha", "lambd", "t0", "etas", "step_sizes", "lr_decay", "momentum_decay")
        saved["param_groups"] = [
            {k: v for k, v in g.items() if k in old} for g in saved["param_groups"]
        ]
        for kept in saved["state"].values():
            if "step" in kept:
                kept["step"] = 5
        optimizer.load_state_dict(saved)
        optimizer.step()
        after = optimizer.state_dict()
        groups = [sorted(g.items()) for g in after["param_groups"]]
        return w, after["state"], groups

    assert_parity(row)


@pytest.mark.parametrize("name", NAMES + OTHERS)
def test_states_take_the_parameters_dtype(name: str) -> None:
    def row(L: Any) -> Any:
        given = []
        for dtype in (L.bfloat16, L.float16, L.float32, L.float64):
            low = L.ones(2, dtype=dtype, requires_grad=True)
            options = {"momentum": 0.9} if name == "SGD" else {}
            source = getattr(L.optim, name)([low], **options)
            low.grad = L.ones(2, dtype=dtype)
            source.step()
            target = getattr(L.optim, name)([weight(L)], **options)
            target.load_state_dict(copy.deepcopy(source.state_dict()))
            given.append({k: str(v.dtype) for k, v in target.state_dict()["state"][0].items()})
        return given

    assert_parity(row)


def test_names() -> None:
    def row(L: Any) -> Any:
        def made(*params: Any) -> Any:
            return L.optim.SGD(list(params))

        results = []
        for source, target in (
            (made(("n", weight(L))), made(weight(L))),
            (made(weight(L)), made(("m", weight(L)))),
            (made(("n", weight(L))), made(("m", weight(L)))),
        ):
            target.load_state_dict(source.state_dict())
            results.append(target.state_dict()["param_groups"][0].get("param_names"))
        return results

    assert_parity(row)


def test_state_beside_the_parameters() -> None:
    def row(L: Any) -> Any:
        optimizer = L.optim.SGD([weight(L)])
        optimizer.state["note"] = [1, "x"]
        other = L.optim.SGD([weight(L)])
        other.load_state_dict(optimizer.state_dict())
        return optimizer.state_dict()["state"], other.state["note"]

    assert_parity(row)


def test_a_loaded_state_is_a_copy() -> None:
    """In PyTorch two optimizers then share their moments; no program can want that."""
    w, v = weight(mg), weight(mg)
    a, b = mg.optim.Adam([w]), mg.optim.Adam([v])
    w.grad = v.grad = mg.ones(2)
    a.step()
    before = copy.deepcopy(a.state_dict())
    b.load_state_dict(a.state_dict())
    b.step()
    assert a.state_dict()["state"][0]["step"].item() == before["state"][0]["step"].item() == 1
    assert a.state[w]["exp_avg"].tolist() == before["state"][0]["exp_avg"].tolist()


def test_pickles_and_copies() -> None:
    w = weight(mg)
    w.grad = mg.ones(2)
    optimizer = mg.optim.Adam([w])
    optimizer.register_step_pre_hook(lambda *a: None)  # not taken along, as in PyTorch
    optimizer.step()
    for other in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        p = other.param_groups[0]["params"][0]
        assert list(other.state) == [p] and other.state[p]["step"].item() == 1
        p.grad = mg.ones(2)
        other.step()
        assert other.state[p]["step"].item() == 2 and optimizer.state[w]["step"].item() == 1


# ------------------------------------------------------------------------------ hooks
def step_hooks(L: Any) -> Any:
    w, seen = weight(L), []
    optimizer = L.optim.SGD([w], lr=0.1)

    def note(name: str) -> Any:
        return lambda optimizer, args, kwargs: seen.append([name, len(args), sorted(kwargs)])

    optimizer.register_step_pre_hook(note("pre"))
    handle = optimizer.register_step_post_hook(note("post"))
    place = optim_file(L)
    handles = [
        place.register_optimizer_step_pre_hook(note("global pre")),
        place.register_optimizer_step_post_hook(note("global post")),
    ]
    try:
        optimizer.step()
        optimizer.step(lambda: 5)
        handle.remove()
        value = optimizer.step(closure=lambda: 6)
    finally:
        for h in handles:
            h.remove()
    optimizer.step()
    return seen, value


def new_arguments(L: Any) -> Any:
    optimizer = L.optim.SGD([weight(L)], lr=0.1)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((*args, lambda: 7), kwargs))
    return optimizer.step()


def bad_arguments(L: Any) -> Any:
    optimizer = L.optim.SGD([weight(L)], lr=0.1)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    return optimizer.step()


def state_hooks(L: Any) -> Any:
    optimizer, seen = L.optim.SGD([weight(L)], lr=0.1), []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "more": 1})
    optimizer.register_state_dict_post_hook(lambda o, s: seen.append("first"), prepend=True)
    optimizer.register_load_state_dict_pre_hook(lambda o, s: seen.append(sorted(s)))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    return seen, sorted(saved)


@table({"step": step_hooks, "new arguments": new_arguments, "state": state_hooks})
def test_hooks(row: Row) -> None:
    assert_parity(row)


def test_a_bad_answer_of_a_step_hook() -> None:
    assert_parity(bad_arguments, message=False)


# ------------------------------------------------------------------------------ subclasses
def own_step(L: Any) -> Any:
    """An optimizer as programs write them: step in full, states of plain numbers."""

    class Plain(L.optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        @L.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self.state[p]["step"] = self.state[p].get("step", 0) + 1
                        p.add_(p.grad, alpha=-group["lr"])

    w, seen = weight(L), []
    w.grad = L.ones(2)
    optimizer, other = Plain([w]), Plain([w], lr=3.0)
    optimizer.register_step_pre_hook(lambda *a: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *a: seen.append("post"))
    optimizer.step()
    optimizer.step()
    other.load_state_dict(optimizer.state_dict())
    return seen, w, other.state_dict()


def own_setstate(L: Any) -> Any:
    class Newer(L.optim.SGD):
        def __setstate__(self, state):
            super().__setstate__(state)
            for group in self.param_groups:
                group.setdefault("new", 7)

    optimizer, seen = Newer([weight(L)], lr=0.1), []
    optimizer.register_step_pre_hook(lambda *a: seen.append(1))
    optimizer.load_state_dict(L.optim.SGD([weight(L)], lr=0.3).state_dict())
    optimizer.step()
    return optimizer.param_groups[0]["new"], optimizer.param_groups[0]["lr"], seen


def required_option(L: Any) -> Any:
    return L.optim.Optimizer([{"params": [weight(L)]}], {"lr": optim_file(L).required})


def nothing_defined(L: Any) -> Any:
    return L.optim.Optimizer([weight(L)], {}).step()


def wrapper(L: Any) -> Any:
    """Optimizers around an optimizer often skip the base's __init__."""

    class Wrapper(L.optim.Optimizer):
        def __init__(self, inner):
            self.inner = inner
            self.param_groups, self.defaults = inner.param_groups, inner.defaults
            self.state = defaultdict(dict)

        def step(self, closure=None):
            return self.inner.step(closure)

    w = weight(L)
    w.grad = L.ones(2)
    Wrapper(L.optim.SGD([w], lr=0.1)).step()
    return w


SUBCLASSES = {"own step": own_step, "__setstate__": own_setstate, "required": required_option}
SUBCLASSES |= {"nothing defined": nothing_defined, "wrapper": wrapper}


@table(SUBCLASSES)
def test_subclasses(row: Row) -> None:
    assert_parity(row, message=row is not nothing_defined)


def test_hooks_run_once_where_step_calls_super() -> None:
    class Loud(mg.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    seen = []
    optimizer = Loud([weight(mg)], lr=0.1)
    optimizer.register_step_post_hook(lambda *a: seen.append(1))

    def fails():
        raise ValueError

    with pytest.raises(ValueError):
        optimizer.step(fails)
    optimizer.step()
    assert seen == [1]
