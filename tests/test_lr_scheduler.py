"""Learning-rate schedulers against PyTorch: rates, momentum, states, warnings, errors."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.parity import Row, assert_parity, table

torch = pytest.importorskip("torch")
# one SequentialLR inside another makes its first step twice, in PyTorch too
NESTED = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
Make = Callable[[Any, Any], Any]  # of (namespace of schedulers, optimizer)


class Decay:
    """A function that is an object: its attributes belong to the state."""

    def __init__(self, rate: float = 0.9):
        self.rate = rate

    def __call__(self, t: float) -> float:
        return self.rate**t


CHAINABLE: dict[str, Make] = {
    "LambdaLR": lambda S, o: S.LambdaLR(o, lambda t: 0.95**t),
    "LambdaLR each": lambda S, o: S.LambdaLR(o, [lambda t: 1 / (1 + t), Decay()]),
    "MultiplicativeLR": lambda S, o: S.MultiplicativeLR(o, lambda t: 0.9 if t % 2 else 1.01),
    "StepLR": lambda S, o: S.StepLR(o, 7, gamma=0.5),
    "MultiStepLR": lambda S, o: S.MultiStepLR(o, [5, 12, 12, 30], gamma=0.3),
    "ConstantLR": lambda S, o: S.ConstantLR(o, factor=0.25, total_iters=6),
    "LinearLR": lambda S, o: S.LinearLR(o, 0.1, 0.8, total_iters=13),
    "ExponentialLR": lambda S, o: S.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda S, o: S.PolynomialLR(o, total_iters=20, power=2.0),
    "CosineAnnealingLR": lambda S, o: S.CosineAnnealingLR(o, 13, eta_min=1e-3),
}
WHOLE: dict[str, Make] = {
    "WarmRestarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 4, T_mult=2, eta_min=1e-3),
    "WarmRestarts equal": lambda S, o: S.CosineAnnealingWarmRestarts(o, 7),
    "CyclicLR": lambda S, o: S.CyclicLR(o, 1e-3, 0.1, 5, 7, mode="triangular2"),
    "CyclicLR range": lambda S, o: S.CyclicLR(
        o, [1e-3, 2e-3], [0.1, 0.2], 6, mode="exp_range", gamma=0.99, cycle_momentum=False
    ),
    "CyclicLR own": lambda S, o: S.CyclicLR(
        o, 1e-3, 0.1, 4, scale_fn=Decay(), scale_mode="iterations", base_momentum=[0.7, 0.8]
    ),
    "OneCycleLR": lambda S, o: S.OneCycleLR(o, 0.2, total_steps=60),
    "OneCycleLR epochs": lambda S, o: S.OneCycleLR(
        o, [0.2, 0.1], epochs=6, steps_per_epoch=10, anneal_strategy="linear", div_factor=5.0
    ),
    "OneCycleLR three": lambda S, o: S.OneCycleLR(
        o, 0.2, total_steps=55, three_phase=True, pct_start=0.4, base_momentum=0.7
    ),
    "SequentialLR": lambda S, o: S.SequentialLR(
        o,
        [S.LinearLR(o, 0.2, total_iters=5), S.CosineAnnealingLR(o, 30), S.StepLR(o, 4)],
        [5, 35],
    ),
    "SequentialLR inside": lambda S, o: S.SequentialLR(
        o,
        [
            S.SequentialLR(o, [S.ConstantLR(o), S.ExponentialLR(o, 0.9)], [3]),
            S.StepLR(o, 3),
        ],
        [6],
    ),
    "ChainedScheduler": lambda S, o: S.ChainedScheduler(
        [S.ConstantLR(o, factor=0.1, total_iters=4), S.ExponentialLR(o, gamma=0.95)]
    ),
    "SWALR": lambda S, o: S.SWALR(o, swa_lr=1e-3, anneal_epochs=7),
    "SWALR linear": lambda S, o: S.SWALR(o, [1e-3, 0.5], 4, "linear"),
    "SWALR at once": lambda S, o: S.SWALR(o, 1e-3, 0),
}
ALL = CHAINABLE | WHOLE
METRICS = [1.0 / (1 + 0.3 * i) if i < 12 else 0.22 + 0.01 * (i * 7 % 5) for i in range(50)]


class Namespace:
    """Schedulers of a library, SWALR among them."""

    def __init__(self, L: Any):
        self.lib = L

    def __getattr__(self, name: str) -> Any:
        place = self.lib.optim.swa_utils if name == "SWALR" else self.lib.optim.lr_scheduler
        return getattr(place, name)


def optimizer(L: Any, name: str = "SGD", **options: Any) -> Any:
    options = options or {"lr": 0.05, **({"momentum": 0.9} if name == "SGD" else {})}
    groups = [
        {"params": [L.ones(2, requires_grad=True)]},
        {"params": [L.ones(3, requires_grad=True)], "lr": options["lr"] * 0.4},
    ]
    return getattr(L.optim, name)(groups, **options)


def options_of(o: Any) -> list[float]:
    row = []
    for group in o.param_groups:
        row.append(float(group["lr"]))
        row.append(float(group["momentum"] if "momentum" in group else group["betas"][0]))
    return row


def walk(L: Any, make: Make, name: str = "SGD", steps: int = 50, resume: int = -1) -> Any:
    o = optimizer(L, name)
    S = Namespace(L)
    scheduler = make(S, o)
    rows = [[*scheduler.get_last_lr(), *options_of(o)]]
    for t in range(steps):
        o.step()
        if t == resume:
            saved, kept = copy.deepcopy(scheduler.state_dict()), copy.deepcopy(o.state_dict())
            scheduler = make(S, o)
            o.load_state_dict(kept)
            scheduler.load_state_dict(saved)
        scheduler.step()
        rows.append([*scheduler.get_last_lr(), *options_of(o)])
    return np.array(rows, float)


@NESTED
@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_fifty_steps(name: str, kind: str) -> None:
    ours, theirs = (walk(L, ALL[name], kind) for L in (mg, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


@NESTED
@pytest.mark.parametrize("name", list(ALL))
def test_resumed_from_a_state_dict(name: str) -> None:
    whole, resumed = walk(mg, ALL[name]), walk(mg, ALL[name], resume=17)
    np.testing.assert_allclose(whole, resumed, rtol=1e-12)


def keys(state: Any) -> Any:
    inner = state.get("_schedulers", [])
    return sorted(state), [keys(s) for s in inner]


@NESTED
@pytest.mark.parametrize("name", list(ALL))
def test_state_dicts_both_ways(name: str) -> None:
    """The same keys, and either library goes on from the other's state."""
    made = []
    for L in (mg, torch):
        o = optimizer(L)
        scheduler = ALL[name](Namespace(L), o)
        for _ in range(9):
            o.step()
            scheduler.step()
        made.append((o, scheduler))
    (o, ours), (o_, theirs) = made
    assert keys(ours.state_dict()) == keys(theirs.state_dict())
    mine = copy.deepcopy(ours.state_dict())
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    theirs.load_state_dict(mine)
    for _ in range(9):
        for x, s in ((o, ours), (o_, theirs)):
            x.step()
            s.step()
        np.testing.assert_allclose(options_of(o), options_of(o_), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", list(CHAINABLE))
def test_closed_forms(name: str) -> None:
    """`step(epoch)` gives what that many steps give, where there is a closed form."""
    results = []
    for L in (mg, torch):
        o = optimizer(L)
        scheduler = CHAINABLE[name](Namespace(L), o)
        row = []
        for epoch in (3, 11, 20, 2):
            o.step()
            scheduler.step(epoch)
            row.append(options_of(o))
        results.append(row)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-10)


def test_restarts_at_fractions() -> None:
    for mult in (1, 2):
        rows = []
        for L in (mg, torch):
            o = optimizer(L)
            scheduler = L.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3, mult)
            row = []
            for epoch in (0, 0.5, 2.75, 3.0, 8.5, 9, 40.25, 1.5):
                scheduler.step(epoch)
                row.append([*options_of(o), scheduler.last_epoch])
            rows.append(row)
        np.testing.assert_allclose(rows[0], rows[1], rtol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 3, "factor": 0.5},
        {"mode": "max", "patience": 2, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 2},
        {"mode": "max", "patience": 0, "threshold": 0.1},
        {"threshold_mode": "abs", "patience": 1, "min_lr": [1e-3, 1e-4], "eps": 1e-2},
    ],
)
def test_plateau(options: dict[str, Any]) -> None:
    rows = []
    for L in (mg, torch):
        o = optimizer(L)
        scheduler = L.optim.lr_scheduler.ReduceLROnPlateau(o, **options)
        sign = -1 if options.get("mode") == "max" else 1
        row = []
        for t, metric in enumerate(METRICS):
            if t == 20:
                saved = copy.deepcopy(scheduler.state_dict())
                scheduler = L.optim.lr_scheduler.ReduceLROnPlateau(o)
                scheduler.load_state_dict(saved)
            scheduler.step(L.tensor(sign * metric) if t % 2 else sign * metric)
            row.append([*options_of(o), *scheduler.get_last_lr(), scheduler.num_bad_epochs])
        rows.append(row)
        rows.append(sorted(scheduler.state_dict()))
    np.testing.assert_allclose(rows[0], rows[2], rtol=1e-12)
    assert rows[1] == rows[3]


def tensor_rates(L: Any) -> Any:
    """A tensor is changed in place, and what is handed out are copies."""
    rate = L.tensor(0.5)
    o = L.optim.SGD([L.ones(1, requires_grad=True)], lr=rate)
    S = L.optim.lr_scheduler
    seen = []
    chained = S.ChainedScheduler([S.ExponentialLR(o, 0.5), S.CosineAnnealingLR(o, 5)])
    for scheduler in (chained, S.LambdaLR(o, lambda t: 0.5**t), S.CyclicLR(o, 0.1, 0.2, 3)):
        for _ in range(2):
            o.step()
            scheduler.step()
            last = scheduler.get_last_lr()[0]
            seen.append([rate.item(), last])
            last.fill_(7.0)
    return seen, o.param_groups[0]["lr"] is rate, o.param_groups[0]["initial_lr"]


def last_epoch(L: Any) -> Any:
    """A scheduler made in the middle of training."""
    S = L.optim.lr_scheduler
    seen = []
    for make in (
        lambda o: S.StepLR(o, 3, last_epoch=4),
        lambda o: S.ExponentialLR(o, 0.5, last_epoch=4),
        lambda o: S.CosineAnnealingLR(o, 10, last_epoch=4),
        lambda o: S.LambdaLR(o, lambda t: 0.5**t, last_epoch=4),
        lambda o: S.LinearLR(o, last_epoch=2),
        lambda o: S.PolynomialLR(o, last_epoch=2),
        lambda o: S.MultiplicativeLR(o, lambda t: 0.5, last_epoch=2),
    ):
        o = L.optim.SGD([{"params": [L.ones(1)], "initial_lr": 1.0}], lr=0.25)
        scheduler = make(o)
        o.step()
        scheduler.step()
        seen.append([scheduler.last_epoch, o.param_groups[0]["lr"], scheduler.base_lrs])
    return seen


def own_scheduler(L: Any) -> Any:
    class Halves(L.optim.lr_scheduler.LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    o = optimizer(L)
    scheduler = Halves(o)
    o.step()
    scheduler.step()
    return scheduler.get_last_lr(), sorted(scheduler.state_dict()), scheduler.last_epoch


def base_alone(L: Any) -> Any:
    return L.optim.lr_scheduler.LRScheduler(optimizer(L))


@table(
    {"tensors": tensor_rates, "last_epoch": last_epoch, "own": own_scheduler, "base": base_alone}
)
def test_details(row: Row) -> None:
    assert_parity(row)


# ------------------------------------------------------------------------------ warnings, errors
def wrong_order(L: Any) -> Any:
    o = optimizer(L)
    scheduler = L.optim.lr_scheduler.StepLR(o, 3)
    scheduler.step()
    o.step()
    scheduler.step()


def right_order(L: Any) -> Any:
    o = optimizer(L)
    scheduler = L.optim.lr_scheduler.StepLR(o, 3)
    o.step()
    scheduler.step()
    L.optim.lr_scheduler.StepLR(o, 3).step()


def replaced_step(L: Any) -> Any:
    o = optimizer(L)
    scheduler = L.optim.lr_scheduler.StepLR(o, 3)
    o.step = lambda: None
    o.step()
    scheduler.step()


def step_replaced_before(L: Any) -> Any:
    o = optimizer(L)
    inner = o.step

    def step(self: Any) -> None:
        inner()

    o.step = step.__get__(o)
    scheduler = L.optim.lr_scheduler.StepLR(o, 3)
    o.step()
    scheduler.step()


def epoch_given(L: Any) -> Any:
    o = optimizer(L)
    scheduler = L.optim.lr_scheduler.StepLR(o, 3)
    o.step()
    scheduler.step(5)
    L.optim.lr_scheduler.ReduceLROnPlateau(o).step(1.0, 2)
    return scheduler.last_epoch


def get_lr_by_hand(L: Any) -> Any:
    return [ALL[name](Namespace(L), optimizer(L)).get_lr() for name in CHAINABLE]


ORDERS = [wrong_order, right_order, replaced_step, step_replaced_before]


@table({f.__name__: f for f in [*ORDERS, epoch_given, get_lr_by_hand]})
def test_warnings(row: Row) -> None:
    assert_parity(row)


def test_the_words_of_the_warnings() -> None:
    for row in ORDERS:
        said = []
        for L in (mg, torch):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                row(L)
            said.append([str(w.message)[:120] for w in caught if w.category is UserWarning])
        assert said[0] == said[1]


ERRORS = [
    "S.StepLR(3, 1)", "S.LambdaLR(o, [abs])", "S.MultiplicativeLR(o, [abs])",
    "S.MultiplicativeLR(o, [abs, 3])", "S.StepLR(o, 3, last_epoch=1)", "S.ConstantLR(o, 1.5)",
    "S.LinearLR(o, 0)", "S.LinearLR(o, 0.5, 1.5)", "S.CosineAnnealingWarmRestarts(o, 0)",
    "S.CosineAnnealingWarmRestarts(o, 2, 0)", "S.CosineAnnealingWarmRestarts(o, 2, 1, 'x')",
    "S.CosineAnnealingWarmRestarts(o, 2).step(-1)", "S.CyclicLR(3, 0.1, 1)",
    "S.CyclicLR(o, [0.1], 1)", "S.CyclicLR(o, 0.1, 1, mode='x')",
    "S.CyclicLR(plain, 0.1, 1)", "S.OneCycleLR(plain, 0.1, 10)", "S.OneCycleLR(3, 0.1, 10)",
    "S.OneCycleLR(o, 0.1)", "S.OneCycleLR(o, 0.1, 0)", "S.OneCycleLR(o, 0.1, 1.5)",
    "S.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3)",
    "S.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=-1)", "S.OneCycleLR(o, [0.1], 10)",
    "S.OneCycleLR(o, 0.1, 10, pct_start=2.0)", "S.OneCycleLR(o, 0.1, 10, pct_start=1)",
    "S.OneCycleLR(o, 0.1, 10, anneal_strategy='x')", "S.ReduceLROnPlateau(o, factor=1.0)",
    "S.ReduceLROnPlateau(3)", "S.ReduceLROnPlateau(o, min_lr=[0.1])",
    "S.ReduceLROnPlateau(o, 'x')", "S.ReduceLROnPlateau(o, threshold_mode='x')",
    "S.SequentialLR(o, [], [])", "S.SequentialLR(o, [3], [])",
    "S.SequentialLR(o, [S.StepLR(o, 1)], [1])", "S.SequentialLR(o, [S.StepLR(p, 1)], [])",
    "S.SequentialLR(o, [S.ReduceLROnPlateau(o)], [])", "S.ChainedScheduler([])",
    "S.ChainedScheduler([S.ReduceLROnPlateau(o)])",
    "S.ChainedScheduler([S.StepLR(o, 1), S.StepLR(p, 1)])", "S.ChainedScheduler([3], o)",
    "S.SWALR(o, [0.1])", "S.SWALR(o, 0.1, anneal_strategy='x')", "S.SWALR(o, 0.1, -1)",
    "S.SWALR(o, 0.1, 1.5)",
]  # fmt: skip


@pytest.mark.parametrize("source", ERRORS)
def test_errors(source: str) -> None:
    caught = []
    for L in (mg, torch):
        plain = L.optim.Adagrad([L.ones(1)])
        names = {"S": Namespace(L), "o": optimizer(L), "p": optimizer(L), "plain": plain}
        with pytest.raises((ValueError, TypeError, KeyError)) as error:
            eval(source, {}, names)  # noqa: S307 - the lines above
        caught.append((error.type, str(error.value).split("\\n")[0]))
    if "(p, 1)" in source:  # its words show an optimizer
        caught = [(kind, words[:80]) for kind, words in caught]
    assert caught[0] == caught[1]


def test_one_cycle_ends() -> None:
    o = optimizer(mg)
    scheduler = mg.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=3)
    o.step()
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 4 times"):
        scheduler.step()


def test_plateau_with_a_new_group() -> None:
    o = optimizer(mg)
    fixed = mg.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, min_lr=[0.0, 0.0])
    free = mg.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0)
    o.add_param_group({"params": [mg.ones(1)]})
    free.step(math.inf)
    assert o.param_groups[2]["lr"] == pytest.approx(0.005)
    with pytest.raises(RuntimeError, match="number of param groups"):
        fixed.step(math.inf)


# ------------------------------------------------------------------------------ not in PyTorch
def test_combined_schedulers_later_in_a_sequence() -> None:
    """In PyTorch they are a NotImplementedError when their turn comes."""

    def chained(S: Any, o: Any) -> Any:
        later = S.ChainedScheduler([S.StepLR(o, 2, 0.5), S.ConstantLR(o, 0.5, 2)])
        return S.SequentialLR(o, [S.ConstantLR(o, 0.25, 9), later], [2])

    def nested(S: Any, o: Any) -> Any:
        later = S.SequentialLR(o, [S.ConstantLR(o, 0.5, 9), S.ExponentialLR(o, 0.1)], [2])
        return S.SequentialLR(o, [S.ConstantLR(o, 0.25, 9), later], [2])

    def rates_of(make: Make) -> list[float]:
        return rates(make, 6)

    assert rates_of(chained) == pytest.approx([0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.25])
    assert rates_of(nested) == pytest.approx([0.25, 0.25, 0.5, 0.5, 1, 0.1, 0.01])


def rates(make: Make, steps: int) -> list[float]:
    o = mg.optim.SGD([mg.ones(1, requires_grad=True)], lr=1.0)
    scheduler = make(mg.optim.lr_scheduler, o)
    row = [o.param_groups[0]["lr"]]
    for _ in range(steps):
        o.step()
        scheduler.step()
        row.append(scheduler.get_last_lr()[0])
    return row


def test_warm_ups() -> None:
    assert rates(lambda S, o: S.WarmupLR(o, 4), 5) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert rates(lambda S, o: S.WarmupLR(o, 0), 1) == [1, 1]
    line = rates(lambda S, o: S.WarmupLinearLR(o, 2, 6, min_factor=0.2), 8)
    assert line == pytest.approx([0.5, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])
    wave = rates(lambda S, o: S.WarmupCosineLR(o, 2, 6), 7)
    assert wave == pytest.approx([0.5, 1, 1, 0.853553391, 0.5, 0.146446609, 0, 0])
    root = rates(lambda S, o: S.InverseSqrtLR(o, 4), 12)
    assert root[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert root[12] == pytest.approx(math.sqrt(4 / 12))


def test_wsd() -> None:
    def made(kind: str) -> list[float]:
        return rates(lambda S, o: S.WSDLR(o, 2, 3, 4, min_factor=0.1, decay_type=kind), 10)

    assert made("linear") == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.775, 0.55, 0.325, 0.1, 0.1])
    for kind in ("sqrt", "cosine", "exponential"):
        row = made(kind)
        assert row[:6] == [0.5, 1, 1, 1, 1, 1] and row[6:] == sorted(row[6:], reverse=True)
        assert row[-1] == pytest.approx(0.1, abs=1e-3)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_warm_ups_have_closed_forms_and_states() -> None:
    makers: list[Make] = [
        lambda S, o: S.WarmupCosineLR(o, 3, 9),
        lambda S, o: S.WSDLR(o, 2, 3, 4),
        lambda S, o: S.InverseSqrtLR(o, 3),
    ]
    for make in makers:
        o, other = optimizer(mg), optimizer(mg)
        scheduler, second = make(mg.optim.lr_scheduler, o), make(mg.optim.lr_scheduler, other)
        o.step()
        for _ in range(7):
            scheduler.step()
        other.step()
        second.step(7)
        assert options_of(o) == options_of(other)
        second.load_state_dict(scheduler.state_dict())
        assert second.last_epoch == 7


@pytest.mark.parametrize(
    "make",
    [
        lambda S, o: S.WarmupLR(o, -1),
        lambda S, o: S.WarmupLinearLR(o, 5, 5),
        lambda S, o: S.WSDLR(o, 2, 3, 0),
        lambda S, o: S.WSDLR(o, 2, 3, 4, decay_type="x"),
    ],
)
def test_errors_of_warm_ups(make: Make) -> None:
    with pytest.raises(ValueError):
        make(mg.optim.lr_scheduler, optimizer(mg))
