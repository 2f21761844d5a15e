"""All optimizers against PyTorch: every option over ten steps, states by name and order, errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
SHAPES = [(3, 4), (4,), (), (2, 3, 2), (0,), (1, 5)]
DECAY = {"weight_decay": 0.1}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, **DECAY}),
    ("Adadelta", {"maximize": True, "foreach": True}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-5, 1e-2), "d": 1.5, **DECAY}),
    ("Adafactor", {"maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.5, "initial_accumulator_value": 0.1, **DECAY}),
    ("Adagrad", {"maximize": True, "eps": 1e-3}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, **DECAY}),
    ("Adamax", {"maximize": True}),
    ("Adam", {"lr": 0.05, "decoupled_weight_decay": True, "amsgrad": True, **DECAY}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 3.0, **DECAY}),
    ("ASGD", {"maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "momentum_decay": 0.1, **DECAY}),
    ("NAdam", {"decoupled_weight_decay": True, "maximize": True, **DECAY}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-4, **DECAY}),
    ("RAdam", {"lr": 0.05, "decoupled_weight_decay": True, "maximize": True, **DECAY}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, **DECAY}),
    ("RMSprop", {"centered": True, "alpha": 0.8}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True, "eps": 1e-4}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (0.05, 0.2)}),
    ("Rprop", {"maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, **DECAY}),
]
ROUNDED = {"ASGD": 1e-7, "NAdam": 1e-9}  # by a state that is float32
NAMES = sorted({name for name, _ in OPTIONS})
ELEMENTWISE = [name for name in NAMES if name != "Adafactor"]


def arrays(dtype: Any, seed: int, shapes: Any = SHAPES) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = [np.asarray(rng.standard_normal(s)) for s in shapes]
    if np.dtype(dtype).kind == "c":
        drawn = [x + 1j * np.asarray(rng.standard_normal(x.shape)) for x in drawn]
    return [np.asarray(x, dtype) for x in drawn]


def parameters(L: Any, dtype: Any, shapes: Any = SHAPES) -> list[Any]:
    return [L.from_numpy(a.copy()).requires_grad_() for a in arrays(dtype, 0, shapes)]


def shapes(name: str) -> Any:
    """Adafactor divides by the number of elements."""
    return [s for s in SHAPES if name != "Adafactor" or 0 not in s]


def give_gradients(L: Any, params: list[Any], step: int, missing: Any = ()) -> None:
    dtype = params[0].detach().numpy().dtype
    gradients = arrays(dtype, 1 + step, [tuple(p.shape) for p in params])
    for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
        p.grad = None if i in missing else L.from_numpy(g)


def assert_same(ours: Any, theirs: Any, rtol: float = 1e-12) -> None:
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=rtol)


def translated(value: Any, make: Any) -> Any:
    """A state dict with the tensors of the other library."""
    if isinstance(value, dict):
        return {k: translated(v, make) for k, v in value.items()}
    if isinstance(value, list):
        return [translated(v, make) for v in value]
    if isinstance(value, torch.Tensor | mg.Tensor):
        return make(np.array(value.detach().numpy()))
    return value


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 3e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_ten_steps(name: str, options: dict[str, Any], dtype: Any, rtol: float) -> None:
    rtol = max(rtol, ROUNDED.get(name, 0))
    ours, theirs = parameters(mg, dtype, shapes(name)), parameters(torch, dtype, shapes(name))
    a, b = getattr(mg.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(10):
        missing = {0: (1,), 4: (0, 3), 5: (0, 3)}.get(step, ())
        for L, params in ((mg, ours), (torch, theirs)):
            give_gradients(L, params, step, missing)
        a.step()
        b.step()
        assert_same(ours, theirs, rtol)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_complex(name: str) -> None:
    sizes = [(3, 2), (), (4,)]
    ours = parameters(mg, np.complex128, sizes)
    theirs = parameters(torch, np.complex128, sizes)
    options = {} if name == "Rprop" else {"weight_decay": 0.1}
    a, b = getattr(mg.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(4):
        give_gradients(mg, ours, step)
        give_gradients(torch, theirs, step)
        a.step()
        b.step()
    assert_same(ours, theirs, ROUNDED.get(name, 1e-12))
    assert_states(a.state_dict(), b.state_dict())


def assert_states(ours: Any, theirs: Any, rtol: float = 1e-6) -> None:
    """The same keys in the same order, the same dtypes, shapes and values."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_states(ours[key], theirs[key], rtol)
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs)
        for x, y in zip(ours, theirs, strict=True):
            assert_states(x, y, rtol)
    elif isinstance(theirs, torch.Tensor):
        assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=rtol, atol=rtol)
    else:
        assert ours == theirs


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_state_dicts_both_ways(name: str, options: dict[str, Any]) -> None:
    """Ours is PyTorch's, name by name; training goes on in either library from the other's."""
    ours = parameters(mg, np.float64, shapes(name))
    theirs = parameters(torch, np.float64, shapes(name))
    made = getattr(mg.optim, name), getattr(torch.optim, name)
    a, b = made[0](ours, **options), made[1](theirs, **options)
    for step in range(3):
        give_gradients(mg, ours, step)
        give_gradients(torch, theirs, step)
        a.step()
        b.step()
    assert_states(a.state_dict(), b.state_dict())
    from_torch, from_ours = made[0](ours, **options), made[1](theirs, **options)
    from_torch.load_state_dict(translated(b.state_dict(), mg.from_numpy))
    from_ours.load_state_dict(translated(a.state_dict(), torch.from_numpy))
    for step in range(3, 6):
        give_gradients(mg, ours, step)
        give_gradients(torch, theirs, step)
        from_torch.step()
        from_ours.step()
        assert_same(ours, theirs, ROUNDED.get(name, 1e-12))


@pytest.mark.parametrize("name", NAMES)
def test_low_precision(name: str) -> None:
    for dtype in ("float16", "bfloat16"):
        results = []
        for L in (mg, torch):
            w = L.tensor([1.0, 2.0], dtype=getattr(L, dtype), requires_grad=True)
            optimizer = getattr(L.optim, name)([w], lr=0.125)
            for _ in range(3):
                w.grad = L.tensor([0.5, -0.25], dtype=getattr(L, dtype))
                optimizer.step()
            kinds = {k: str(v.dtype).split(".")[1] for k, v in optimizer.state[w].items()}
            results.append((kinds, w.detach().float().numpy()))
        assert results[0][0] == results[1][0]
        np.testing.assert_allclose(results[0][1], results[1][1], atol=0.05)


ERRORS: list[tuple[str, dict[str, Any]]] = [
    *[(name, {"lr": -1.0}) for name in [*NAMES, "LBFGS", "Muon", "SparseAdam"]],
    *[(name, {"weight_decay": -0.5}) for name in [*NAMES, "Muon"] if name != "Rprop"],
    ("Adadelta", {"rho": 1.1}),
    ("Adafactor", {"eps": (-1e-30, 1e-3)}),
    ("Adafactor", {"eps": (None, -1e-3)}),
    ("Adafactor", {"d": 0.0}),
    ("Adafactor", {"beta2_decay": 0.8}),
    ("Adagrad", {"lr_decay": -0.5}),
    ("Adagrad", {"initial_accumulator_value": -0.5}),
    ("Adagrad", {"fused": True, "foreach": True}),
    ("Adagrad", {"fused": True, "differentiable": True}),
    ("Adamax", {"betas": (0.0, 1.0)}),
    ("Adamax", {"eps": -1.0}),
    ("NAdam", {"betas": (1.0, 0.0)}),
    ("NAdam", {"momentum_decay": -0.2}),
    ("RAdam", {"betas": (1.0, 0.0)}),
    ("RMSprop", {"momentum": -1.0}),
    ("RMSprop", {"alpha": -1.0}),
    ("Rprop", {"etas": (1.0, 0.5)}),
    ("Muon", {"momentum": -1.0}),
    ("Muon", {"adjust_lr_fn": "other"}),
    ("SparseAdam", {"eps": 0.0}),
    ("SparseAdam", {"betas": (1.0, 0.0)}),
    ("Adam", {"betas": (0.9, "tensor")}),
    ("Adam", {"betas": ("tensor", "tensor"), "foreach": True}),
    ("Adam", {"lr": "tensor", "foreach": True}),
]


@pytest.mark.parametrize(("name", "options"), ERRORS)
def test_errors(name: str, options: dict[str, Any]) -> None:
    caught = []
    for L in (torch, mg):
        given = dict(options)
        for key, value in given.items():
            if value == "tensor":
                given[key] = L.tensor(0.9)
            elif isinstance(value, tuple):
                given[key] = tuple(L.tensor(0.9) if v == "tensor" else v for v in value)
        with pytest.raises((ValueError, RuntimeError)) as error:
            getattr(L.optim, name)([L.ones((2, 2), requires_grad=True)], **given)
        caught.append((error.type, str(error.value)))
    assert caught[0] == caught[1]


@pytest.mark.parametrize("name", [*NAMES, "LBFGS", "Muon", "Lion", "Lamb", "SparseAdam"])
def test_a_tensor_as_learning_rate(name: str) -> None:
    moved = []
    for lr in (0.1, mg.tensor(0.1, dtype=mg.float64)):
        w = mg.ones((2, 2), dtype=mg.float64, requires_grad=True)

        def closure(w: Any = w) -> Any:
            w.grad = None
            loss = (w**2).sum()
            loss.backward()
            return loss

        optimizer = getattr(mg.optim, name)([w], lr=lr)
        for _ in range(2):
            optimizer.step(closure)
        moved.append(w.detach().numpy())
        assert (moved[-1] != 1).all()
    np.testing.assert_allclose(*moved, rtol=1e-12)
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        getattr(mg.optim, name)([w], lr=mg.ones(2))


def test_signatures_are_pytorchs() -> None:
    import inspect

    for name in [*NAMES, "AdamW", "LBFGS", "Muon", "SparseAdam"]:
        ours, theirs = (inspect.signature(getattr(L.optim, name)) for L in (mg, torch))
        kinds = [[(p.name, p.kind) for p in s.parameters.values()] for s in (ours, theirs)]
        assert kinds[0] == kinds[1], name
        for p, q in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
            assert p.default == q.default, (name, p)


# ------------------------------------------------------------------------------ LBFGS
def rosenbrock(w: Any) -> Any:
    return 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2


LBFGS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 4},
    {"line_search_fn": "strong_wolfe", "max_eval": 3},
    {"line_search_fn": "strong_wolfe", "lr": 1e-3, "tolerance_change": 1e-3},
    {"lr": 1e-3},
    {"lr": 1e-3, "history_size": 1, "max_iter": 5},
    {"lr": 0.02, "tolerance_grad": 1.0},
]


@pytest.mark.parametrize("options", LBFGS)
def test_lbfgs(options: dict[str, Any]) -> None:
    """The same path down Rosenbrock's valley, with as many evaluations; states both ways."""
    made = []
    for L in (mg, torch):
        w = L.tensor([-1.5, 2.0], dtype=L.float64, requires_grad=True)
        optimizer = L.optim.LBFGS([w], **options)
        path = []

        def closure(w: Any = w, path: Any = path) -> Any:
            w.grad = None
            loss = rosenbrock(w)
            loss.backward()
            path.append([loss.item(), *w.tolist()])
            return loss

        optimizer.step(closure)
        returned = optimizer.step(closure).item()
        made.append((optimizer, path, w.tolist(), returned, closure))
    (a, path, w, loss, again), (b, path_, w_, loss_, again_) = made
    np.testing.assert_allclose(path, path_, rtol=1e-7)
    np.testing.assert_allclose([*w, loss], [*w_, loss_], rtol=1e-7)
    ours, theirs = a.state_dict(), b.state_dict()
    assert set(ours["state"][0]) == set(theirs["state"][0])
    a.load_state_dict(translated(theirs, mg.from_numpy))
    b.load_state_dict(translated(ours, torch.from_numpy))
    a.step(again)
    b.step(again_)
    np.testing.assert_allclose(path, path_, rtol=1e-6)


def test_lbfgs_finds_the_minimum() -> None:
    w = mg.tensor([-1.5, 2.0], dtype=mg.float64, requires_grad=True)
    missing = mg.ones(3, dtype=mg.float64, requires_grad=True)
    optimizer = mg.optim.LBFGS([w, missing], line_search_fn="strong_wolfe", max_iter=100)

    def closure() -> Any:
        w.grad = None
        loss = rosenbrock(w)
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.step(closure)
    np.testing.assert_allclose(w.tolist(), [1, 1], rtol=1e-5)
    assert missing.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="per-parameter options"):
        mg.optim.LBFGS([{"params": [w]}, {"params": [missing]}])
    other = mg.optim.LBFGS([w], line_search_fn="backtracking", tolerance_grad=0.0)
    with pytest.raises(RuntimeError, match="only 'strong_wolfe'"):
        mg.no_grad()(other.step)(closure)


# ------------------------------------------------------------------------------ Muon and others
@pytest.mark.parametrize(
    "options",
    [{}, {"lr": 0.1, "nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw"}],
)
@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5)])
def test_muon(options: dict[str, Any], shape: tuple[int, int]) -> None:
    """As PyTorch up to the rounding to bfloat16 there."""
    ours, theirs = parameters(mg, np.float32, [shape]), parameters(torch, np.float32, [shape])
    start = ours[0].detach().numpy().copy()
    a, b = mg.optim.Muon(ours, **options), torch.optim.Muon(theirs, **options)
    for step in range(5):
        give_gradients(mg, ours, step)
        give_gradients(torch, theirs, step)
        a.step()
        b.step()
        mine, other = ours[0].detach().numpy(), theirs[0].detach().numpy()
        assert abs(mine - other).max() < 0.06 * abs(other - start).max()
    assert_states(a.state_dict(), b.state_dict(), 1e-5)


def test_muon_makes_the_momentum_orthogonal() -> None:
    from minigrad.optim.muon import COEFFICIENTS, orthogonal

    rng = np.random.default_rng(0)
    for shape in ((20, 7), (7, 20)):
        x = orthogonal(rng.standard_normal(shape), COEFFICIENTS, 5, 1e-7)
        values = np.linalg.svd(x, compute_uv=False)
        assert values.min() > 0.6 and values.max() < 1.3
    with pytest.raises(ValueError, match="less than 100"):
        orthogonal(np.ones((2, 2)), COEFFICIENTS, 100, 1e-7)
    with pytest.raises(ValueError, match="exactly 3"):
        orthogonal(np.ones((2, 2)), COEFFICIENTS[:2], 5, 1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Muon", "Adafactor", "SparseAdam", "Lamb"])
def test_complex_parameters_are_refused(name: str) -> None:
    w = mg.ones((2, 2), dtype=mg.complex64, requires_grad=True)
    with pytest.raises((RuntimeError, ValueError), match="does not support complex parameters"):
        optimizer = getattr(mg.optim, name)([w])
        w.grad = mg.ones((2, 2), dtype=mg.complex64)
        optimizer.step()
    assert w.detach().real.tolist() == [[1, 1], [1, 1]]


def test_muon_wants_matrices() -> None:
    with pytest.raises(ValueError, match="only supports 2D parameters"):
        mg.optim.Muon([mg.ones(3, requires_grad=True)])


def test_sparse_adam_moves_the_rows_that_are_used() -> None:
    """PyTorch's numbers, which come from sparse gradients there."""
    table = arrays(np.float64, 0, [(6, 3)])[0]
    ours, theirs = (L.from_numpy(table.copy()).requires_grad_() for L in (mg, torch))
    a, b = mg.optim.SparseAdam([ours], lr=0.1), torch.optim.SparseAdam([theirs], lr=0.1)
    for step, rows in enumerate(([0, 2], [2, 5], [], [0])):
        g = np.zeros((6, 3))
        g[rows] = arrays(np.float64, 1 + step, [(len(rows), 3)])[0]
        ours.grad = mg.from_numpy(g.copy())
        theirs.grad = torch.from_numpy(g).to_sparse(1)
        a.step()
        b.step()
    assert_same([ours], [theirs])
    assert (ours.detach().numpy()[[1, 3, 4]] == table[[1, 3, 4]]).all()
    assert_states(a.state_dict(), b.state_dict())


def test_lion_and_lamb_by_their_formulas() -> None:
    w, g = arrays(np.float64, 0, [(3, 4)])[0], arrays(np.float64, 1, [(3, 4)])[0]
    lion, lamb = (mg.from_numpy(w.copy()).requires_grad_() for _ in range(2))
    a = mg.optim.Lion([lion], lr=0.01, betas=(0.8, 0.9), weight_decay=0.5)
    b = mg.optim.Lamb([lamb], lr=0.01, betas=(0.8, 0.9), weight_decay=0.5)
    m = u = v = np.zeros((3, 4))
    x, y = w, w
    for t in range(1, 4):
        lion.grad, lamb.grad = mg.from_numpy(g * t), mg.from_numpy(g * t)
        a.step()
        b.step()
        x = x * (1 - 0.01 * 0.5) - 0.01 * np.sign(0.8 * m + 0.2 * g * t)
        m = 0.9 * m + 0.1 * g * t
        u, v = 0.8 * u + 0.2 * g * t, 0.9 * v + 0.1 * (g * t) ** 2
        r = u / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.9**t)) + 1e-6) + 0.5 * y
        y = y - 0.01 * np.linalg.norm(y) / np.linalg.norm(r) * r
    np.testing.assert_allclose(lion.detach().numpy(), x, rtol=1e-12)
    np.testing.assert_allclose(lamb.detach().numpy(), y, rtol=1e-12)
    kept = copy.deepcopy(a).state_dict()["state"][0]["exp_avg"]
    np.testing.assert_allclose(kept.numpy(), m, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgdw_decays_the_weights_and_not_the_momentum(nesterov: bool) -> None:
    """PyTorch's SGD without decay, after the weights were shrunk."""
    w, g = arrays(np.float64, 0, [(3, 4)])[0], arrays(np.float64, 1, [(3, 4)])[0]
    ours, theirs = mg.from_numpy(w.copy()).requires_grad_(), torch.tensor(w, requires_grad=True)
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": nesterov}
    a = mg.optim.SGDW([ours], weight_decay=0.5, **options)
    b = torch.optim.SGD([theirs], **options)
    for t in range(1, 4):
        ours.grad, theirs.grad = mg.from_numpy(g * t), torch.tensor(g * t)
        with torch.no_grad():
            theirs *= 1 - 0.1 * 0.5
        a.step()
        b.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)
    assert mg.optim.SGDW([ours]).param_groups[0]["weight_decay"] == 0.01
