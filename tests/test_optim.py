"""Optimizers: ten steps from equal weights and gradients against PyTorch, state dicts both
ways, errors.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
SHAPES = [(3, 4), (4,), ()]
OPTIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    (
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1, "maximize": True},
    ),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1, "foreach": True}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2, "amsgrad": True}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2, "maximize": True, "betas": (0.0, 0.5)}),
]


def arrays(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(s), dtype) for s in SHAPES]


def parameters(lib, dtype):
    return [lib.from_numpy(a.copy()).requires_grad_() for a in arrays(dtype)]


def give_gradients(lib, params, step, missing=None):
    for i, (p, g) in enumerate(
        zip(params, arrays(params[0].detach().numpy().dtype, 1 + step), strict=True)
    ):
        p.grad = None if i == missing else lib.from_numpy(g.copy())


def assert_same(ours, theirs, rtol):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 2e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_ten_steps(name, options, dtype, rtol):
    ours, theirs = parameters(mg, dtype), parameters(torch, dtype)
    a, b = getattr(mg.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(10):
        missing = (
            1 if step in (0, 4) else None
        )  # a parameter without a gradient, also in the first step
        give_gradients(mg, ours, step, missing)
        give_gradients(torch, theirs, step, missing)
        a.step()
        b.step()
        assert_same(ours, theirs, rtol)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_state_dicts_can_be_exchanged(name, options):
    ours, theirs = parameters(mg, np.float64), parameters(torch, np.float64)
    a, b = getattr(mg.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(3):
        give_gradients(torch, theirs, step)
        b.step()
    saved = b.state_dict()

    def translate(value, make):
        if isinstance(value, dict):
            return {k: translate(v, make) for k, v in value.items()}
        if isinstance(value, (torch.Tensor, mg.Tensor)):
            return make(value.detach().numpy().copy())
        return value

    a.load_state_dict(translate(saved, mg.from_numpy))
    back = translate(a.state_dict(), torch.from_numpy)
    assert set(back["param_groups"][0]) == set(saved["param_groups"][0])
    for key, state in saved["state"].items():
        assert set(back["state"][key]) == set(state)
        for name_, value in state.items():
            if isinstance(value, torch.Tensor):
                assert back["state"][key][name_].dtype == value.dtype
    for p, q in zip(ours, theirs, strict=True):
        p.data = mg.from_numpy(q.detach().numpy().copy())
    fresh = getattr(torch.optim, type(b).__name__)(theirs, **options)
    fresh.load_state_dict(back)
    for step in range(3, 6):
        give_gradients(mg, ours, step)
        give_gradients(torch, theirs, step)
        a.step()
        fresh.step()
        assert_same(ours, theirs, 1e-12)


def test_adam_and_adamw_on_a_quadratic():
    """The Adam-against-AdamW figures: loss ½Σ c w², lr 0.1, weight decay 0.1, three steps."""
    c = np.array([1.0, 4.0, 0.25])
    expected = {
        "Adam": [0.7015862742210723, -1.7006233916543037, 0.20487126754772716],
        "AdamW": [0.6751012231892006, -1.6443686831798792, 0.19341562636657011],
    }
    for name, values in expected.items():
        w = mg.tensor([1.0, -2.0, 0.5], dtype=mg.float64, requires_grad=True)
        optimizer = getattr(mg.optim, name)([w], lr=0.1, weight_decay=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            (0.5 * (mg.from_numpy(c) * w * w).sum()).backward()
            optimizer.step()
        np.testing.assert_allclose(w.detach().numpy(), values, rtol=1e-12)


def test_groups_with_options_of_their_own():
    ours, theirs = parameters(mg, np.float64), parameters(torch, np.float64)
    groups = [{"params": ours[:1], "lr": 0.5}, {"params": ours[1:]}]
    other = [{"params": theirs[:1], "lr": 0.5}, {"params": theirs[1:]}]
    a, b = mg.optim.SGD(groups, lr=0.1, momentum=0.5), torch.optim.SGD(other, lr=0.1, momentum=0.5)
    assert [g["lr"] for g in a.param_groups] == [0.5, 0.1]
    for step in range(4):
        a.param_groups[1]["lr"] = b.param_groups[1]["lr"] = 0.1 / (step + 1)
        give_gradients(mg, ours, step)
        give_gradients(torch, theirs, step)
        a.step()
        b.step()
    assert_same(ours, theirs, 1e-12)


def test_closure_hooks_and_zero_grad():
    w = mg.ones(2, requires_grad=True)
    optimizer = mg.optim.SGD([w], lr=0.5)
    order = []
    optimizer.register_step_pre_hook(lambda *a: order.append("pre"))
    optimizer.register_step_post_hook(lambda *a: order.append("post"))

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        assert optimizer.step(closure).item() == 2.0
    assert order == ["pre", "post"] and w.tolist() == [0, 0]
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert w.grad is None


def test_a_step_is_noticed_by_a_graph_that_saved_the_parameter():
    w = mg.ones(2, requires_grad=True)
    loss = (w * w).sum()
    w.grad = mg.ones(2)
    mg.optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(
    "make",
    [
        lambda lib, p: lib.optim.SGD([p], lr=-1.0),
        lambda lib, p: lib.optim.SGD([p], lr=0.1, nesterov=True),
        lambda lib, p: lib.optim.Adam([p], betas=(1.0, 0.9)),
        lambda lib, p: lib.optim.Adam([p], eps=-1e-8),
        lambda lib, p: lib.optim.AdamW([p], weight_decay=-1.0),
        lambda lib, p: lib.optim.SGD([], lr=0.1),
        lambda lib, p: lib.optim.SGD(p, lr=0.1),
        lambda lib, p: lib.optim.SGD([1.0], lr=0.1),
        lambda lib, p: lib.optim.SGD([p * 2], lr=0.1),
        lambda lib, p: lib.optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1),
        lambda lib, p: lib.optim.SGD([{"params": {p}}], lr=0.1),
        lambda lib, p: lib.optim.SGD([p], lr=0.1).load_state_dict(
            {"state": {}, "param_groups": []}
        ),
        lambda lib, p: lib.optim.SGD([p], lr=0.1).add_param_group({"params": [p]}),
    ],
)
def test_errors_are_of_pytorchs_type(make):
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever it is
        make(torch, torch.ones(2, requires_grad=True))
    with pytest.raises(theirs.type):
        make(mg, mg.ones(2, requires_grad=True))


def test_repr_and_copies():
    ours, theirs = parameters(mg, np.float32), parameters(torch, np.float32)
    a = mg.optim.AdamW(ours)
    assert repr(a) == repr(torch.optim.AdamW(theirs))
    give_gradients(mg, ours, 0)
    a.step()
    assert len(copy.deepcopy(a).state) == 3
