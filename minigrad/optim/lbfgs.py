"""L-BFGS (Liu and Nocedal 1989): steps of a quasi-Newton method that remembers a few gradients.

The two-loop recursion and the line search are algorithms 7.4, 3.5 and 3.6 of Nocedal and Wright,
"Numerical optimization" (2006), with the bounds and safeguards of minFunc (Schmidt 2005), which
PyTorch has too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..core.modes import enable_grad
from ..core.tensor import Tensor, wrap
from ..export import export
from .optimizer import Optimizer
from .options import check_lr, number

SUFFICIENT = 1e-4
"""c₁ of the Wolfe conditions: the least decrease, as a part of what the slope promises."""
CURVATURE = 0.9
"""c₂: the slope must have become at least this much flatter."""


class Point(NamedTuple):
    """A place on the line x + t d: the loss, its gradient there and the slope along d."""

    t: float
    loss: float
    gradient: Any
    slope: float


@export("optim.LBFGS", "optim.lbfgs.LBFGS")
class LBFGS(Optimizer):
    r"""Up to max_iter steps d = −H g, H the inverse Hessian that the last history_size changes of
    parameters s and gradients y suggest.

    `step(closure)` calls the closure, which computes loss and gradients anew, up to max_eval times.
    It stops where max |g| ≤ tolerance_grad, or a step or the loss changes by no more than
    tolerance_change. The step length is lr, or found by line_search_fn="strong_wolfe". All
    parameters are one vector (complex ones as pairs), so there is one group: ValueError for more.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """One call of the method; returns the loss before it, as the closure gave it."""
        line = _Line(self.param_groups[0]["params"], closure)
        state = self.state[self.param_groups[0]["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = line.evaluate()
        state["func_evals"] += 1
        gradient = line.gradient()
        if _largest(gradient) <= self.param_groups[0]["tolerance_grad"]:
            return first
        memory = _Memory(state)
        self._iterate(line, memory, state, float(first), gradient)
        memory.save(state, self.param_groups[0]["history_size"])
        return first

    def _iterate(
        self, line: _Line, memory: _Memory, state: dict[str, Any], loss: float, g: Any
    ) -> None:
        group = self.param_groups[0]
        lr, search = number(group["lr"]), group["line_search_fn"]
        evaluations = 1
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            start = state["n_iter"] == 1
            d = memory.direction(g, group["history_size"], start)
            t = min(1.0, 1.0 / float(np.abs(g).sum())) * lr if start else lr
            memory.remember(g, loss, d, t)
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            before, calls = loss, 0
            if search is not None:
                if search != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                room = group["max_eval"] - evaluations
                start_point = Point(0.0, loss, g, slope)
                found, calls = strong_wolfe(
                    lambda t, d=d: line.look(t, d),
                    start_point,
                    t,
                    _largest(d),
                    group["tolerance_change"],
                    room,
                )
                loss, g, t = found.loss, found.gradient, found.t
                line.move(t, d)
            else:
                line.move(t, d)
                if n != group["max_iter"]:  # where another step needs the gradient
                    loss, calls = float(line.evaluate()), 1
                    g = line.gradient()
            memory.t = t
            evaluations += calls
            state["func_evals"] += calls
            if (
                evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(d * t) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break


class _Line:
    """All parameters as one vector, and the loss along a direction."""

    def __init__(self, params: list[Tensor], closure: Callable[[], Any]):
        self.params = params
        self.closure = closure

    def evaluate(self) -> Any:
        with enable_grad():
            return self.closure()

    def gradient(self) -> Any:
        """The gradients in one array of their own; zero where there is none."""
        parts = []
        for p in self.params:
            g = np.zeros_like(p._data) if p._grad is None else p._grad._data
            parts.append(_real(g).reshape(-1))
        return np.concatenate(parts)

    def move(self, t: float, d: Any) -> None:
        start = 0
        for p in self.params:
            w = _real(p._data)
            w += (d[start : start + w.size] * t).reshape(w.shape)
            start += w.size
            p._bump()

    def look(self, t: float, d: Any) -> Point:
        """The loss at x + t d; the parameters come back to x exactly."""
        saved = [p._data.copy() for p in self.params]
        self.move(t, d)
        loss = float(self.evaluate())
        g = self.gradient()
        for p, w in zip(self.params, saved, strict=True):
            p._data[...] = w
            p._bump()
        return Point(t, loss, g, float(g @ d))


class _Memory:
    """The changes of parameters (s) and gradients (y) seen, as arrays; the state holds tensors."""

    def __init__(self, state: dict[str, Any]):
        self.y = [x._data for x in state.get("old_dirs") or ()]
        self.s = [x._data for x in state.get("old_stps") or ()]
        self.rho = [number(x) for x in state.get("ro") or ()]
        self.scale = number(state.get("H_diag", 1))
        self.t = number(state.get("t", 0.0))
        self.d = _array(state.get("d"))
        self.g = _array(state.get("prev_flat_grad"))
        self.loss = state.get("prev_loss")

    def direction(self, g: Any, size: int, start: bool) -> Any:
        """−H g (algorithm 7.4), after the last step has been taken into H."""
        if start:
            self.y, self.s, self.rho, self.scale = [], [], [], 1.0
            return -g
        y, s = g - self.g, self.d * self.t
        ys = float(y @ s)
        if ys > 1e-10:  # else H would not stay positive definite
            if len(self.y) == size:
                del self.y[0], self.s[0], self.rho[0]
            self.y.append(y)
            self.s.append(s)
            self.rho.append(1.0 / ys)
            self.scale = ys / float(y @ y)
        q = -g
        alphas = []
        for y, s, rho in zip(self.y[::-1], self.s[::-1], self.rho[::-1], strict=True):
            alphas.append(float(s @ q) * rho)
            q -= y * alphas[-1]
        q *= self.scale
        for y, s, rho, alpha in zip(self.y, self.s, self.rho, alphas[::-1], strict=True):
            q += s * (alpha - float(y @ q) * rho)
        return q

    def remember(self, g: Any, loss: float, d: Any, t: float) -> None:
        self.g, self.loss, self.d, self.t = g, loss, d, t

    def save(self, state: dict[str, Any], size: int) -> None:
        """Into the state, under PyTorch's names."""
        dtype = self.d.dtype
        state["d"], state["t"] = wrap(self.d), self.t
        state["old_dirs"] = [wrap(y) for y in self.y]
        state["old_stps"] = [wrap(s) for s in self.s]
        state["ro"] = [wrap(np.full((), rho, dtype)) for rho in self.rho]
        state["H_diag"] = wrap(np.full((), self.scale, dtype)) if self.y else 1
        state["prev_flat_grad"] = wrap(self.g)
        state["prev_loss"] = self.loss
        if state["n_iter"] > 1:
            state.setdefault("al", [None] * size)  # room that PyTorch works in


def strong_wolfe(
    look: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    tolerance: float,
    room: int = 25,
) -> tuple[Point, int]:
    """A point where loss and slope satisfy the strong Wolfe conditions, and the evaluations used.

    First the interval [0, t] grows until it must contain one (algorithm 3.5), then it shrinks
    around it (3.6), both by cubic interpolation; after `room` evaluations, or when the interval
    times `size` (the largest number in d) is below `tolerance`, the best point found is returned.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + SUFFICIENT * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -CURVATURE * start.slope

    before, here = start, look(t)
    used, rounds = 1, 0
    while rounds < room:
        if too_high(here) or (rounds > 1 and here.loss >= before.loss):
            break
        if flat(here):
            return here, used
        if here.slope >= 0:
            break
        bounds = (here.t + 0.01 * (here.t - before.t), here.t * 10)
        before, here = here, look(_cubic(before, here, bounds))
        used += 1
        rounds += 1
    if rounds >= room:
        before = start
    low, high = (before, here) if before.loss <= here.loss else (here, before)
    stuck = False
    while rounds < room and abs(high.t - low.t) * size >= tolerance:
        first, second = (low, high) if low.t <= high.t else (high, low)
        t, stuck = _inside(_cubic(first, second), first.t, second.t, stuck)
        point = look(t)
        used += 1
        rounds += 1
        if too_high(point) or point.loss >= low.loss:
            high = point
            if high.loss < low.loss:
                low, high = high, low
            continue
        if flat(point):
            return point, used
        if point.slope * (high.t - low.t) >= 0:
            high = low
        low = point
    return low, used


def _inside(t: float, left: float, right: float, stuck: bool) -> tuple[float, bool]:
    """t, or a tenth into the interval where t is near an end for the second time or beyond it; and
    whether it is near an end.
    """
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if stuck or t >= right or t <= left:
        near_right = abs(t - right) < abs(t - left)
        return (right - margin if near_right else left + margin), False
    return t, True


def _cubic(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is least (equation 3.59), kept within
    `bounds`, by default the points; their middle if it has no minimum.
    """
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return (low + high) / 2
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / denominator)
    return min(max(t, low), high)


def _real(x: Any) -> Any:
    """The same memory as real numbers."""
    return x[..., None].view(x.real.dtype) if x.dtype.kind == "c" else x


def _array(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _largest(x: Any) -> float:
    return float(np.abs(x).max(initial=0.0))
