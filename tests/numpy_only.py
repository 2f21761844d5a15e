"""minigrad with NumPy and nothing else: does it import, compute, differentiate and learn?

Run by `make test-numpy-only` in an environment that holds NumPy alone; no test runner is needed.
The libraries that minigrad normally uses must be absent, or the run proves nothing and fails.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

OPTIONAL = ("numba", "scipy", "safetensors", "tqdm", "ml_dtypes", "cupy", "torch", "matplotlib")


def check(truth: object, what: str) -> None:
    """Plain `assert` would vanish under `python -O`."""
    if not truth:
        raise AssertionError(what)


def nothing_but_numpy() -> None:
    """The environment is what this file says it is."""
    present = [name for name in OPTIONAL if importlib.util.find_spec(name) is not None]
    check(not present, f"this environment also holds {', '.join(present)}")


def imports() -> None:
    """`import minigrad` works, and says which version it is."""
    import minigrad as mg

    check(mg.__version__, "no version")


def computes() -> None:
    """Broadcasting, reductions, matrix products and softmax give NumPy's numbers."""
    import minigrad as mg

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 5)), rng.standard_normal((5,))
    x, y = mg.tensor(a), mg.tensor(b)
    np.testing.assert_allclose((x * y + 1).numpy(), a * b + 1)
    np.testing.assert_allclose((x @ y).numpy(), a @ b)
    np.testing.assert_allclose(x.exp().sum(0).numpy(), np.exp(a).sum(0))
    shifted = np.exp(a - a.max(1, keepdims=True))
    softmax = mg.softmax(x, dim=1).numpy()
    np.testing.assert_allclose(softmax, shifted / shifted.sum(1, keepdims=True))


def functions_without_scipy() -> None:
    """Functions that NumPy lacks still compute: erf against the standard library's."""
    import minigrad as mg

    points = np.linspace(-3, 3, 13)
    want = [math.erf(point) for point in points]
    np.testing.assert_allclose(mg.erf(mg.tensor(points)).numpy(), want, rtol=1e-6, atol=1e-7)
    gelu = mg.nn.functional.gelu(mg.tensor(points)).numpy()
    want = [0.5 * point * (1 + math.erf(point / math.sqrt(2))) for point in points]
    np.testing.assert_allclose(gelu, want, rtol=1e-6, atol=1e-7)


def differentiates() -> None:
    """The gradient of a convolution, a nonlinearity and a norm agrees with central differences."""
    import minigrad as mg

    rng = np.random.default_rng(0)
    image, weight = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3))
    direction = rng.standard_normal(weight.shape)

    def loss(array: np.ndarray) -> mg.Tensor:
        filters = mg.tensor(array, requires_grad=True)
        features = mg.nn.functional.conv2d(mg.tensor(image), filters, padding=1).tanh()
        result = mg.nn.functional.layer_norm(features, (6, 6)).square().mul(features).mean()
        result.backward()
        slopes.append(float((filters.grad.numpy() * direction).sum()))
        return result

    slopes: list[float] = []
    step = 1e-5
    rise = loss(weight + step * direction).item() - loss(weight - step * direction).item()
    loss(weight)
    np.testing.assert_allclose(slopes[-1], rise / (2 * step), rtol=1e-5)


def learns() -> None:
    """A small network, forward, backward and SGD: the loss falls to a tenth."""
    import minigrad as mg

    mg.manual_seed(0)
    x = mg.rand(256, 2) * 2 - 1
    y = (x[:, 0] * x[:, 1] > 0).to(mg.int64)  # which pair of opposite quadrants
    model = mg.nn.Sequential(mg.nn.Linear(2, 32), mg.nn.Tanh(), mg.nn.Linear(32, 2))
    optimizer = mg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = mg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    check(losses[-1] < 0.1 * losses[0], f"the loss went from {losses[0]} to {losses[-1]}")
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    check(accuracy > 0.97, f"accuracy {accuracy}")


def keeps_arrays() -> None:
    """Results leave as ordinary arrays that NumPy writes and reads back."""
    import minigrad as mg

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        np.savez(path, x=mg.arange(6).reshape(2, 3).numpy())
        with np.load(path) as stored:
            back = mg.from_numpy(stored["x"])
    check(back.tolist() == [[0, 1, 2], [3, 4, 5]], f"read back {back.tolist()}")


CHECKS: tuple[Callable[[], None], ...] = (
    nothing_but_numpy,
    imports,
    computes,
    functions_without_scipy,
    differentiates,
    learns,
    keeps_arrays,
)


def main() -> int:
    """Run all checks, print each, and close with the counts."""
    failed = 0
    for run in CHECKS:
        try:
            run()
        except Exception:  # a check may fail in any way; all are run, and the traceback is shown
            failed += 1
            traceback.print_exc()
            print(f"FAILED {run.__name__}")
        else:
            print(f"ok     {run.__name__}")
    print(f"numpy-only: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
