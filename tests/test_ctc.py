"""ctc_loss: PyTorch's values and gradients, second derivatives, lengths, infinities."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg

F = mg.nn.functional


def problem(rng: Any, time: int, batch: int, classes: int, longest: int) -> tuple[Any, ...]:
    scores = rng.standard_normal((time, batch, classes))
    targets = rng.integers(1, classes, (batch, longest))
    sizes = rng.integers(0, longest + 1, batch)
    steps = np.maximum(rng.integers(time // 2, time + 1, batch), 2 * sizes)
    return scores, targets, np.minimum(steps, time), sizes


def run(m: Any, scores: Any, *lengths: Any, **options: Any) -> tuple[Any, Any]:
    x = m.tensor(scores, requires_grad=True)
    loss = m.nn.functional.ctc_loss(
        m.nn.functional.log_softmax(x, 2), *[m.tensor(v) for v in lengths], **options
    )
    (loss * m.arange(1.0, 1 + loss.numel(), dtype=m.float64).reshape(loss.shape)).sum().backward()
    return loss.detach().numpy(), x.grad.numpy()


@pytest.mark.torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("seed", range(4))
def test_values_and_gradients(seed: int, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    args = problem(np.random.default_rng(seed), 9, 3, 5, 4)
    for got, want in zip(
        run(mg, *args, reduction=reduction), run(torch, *args, reduction=reduction), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


@pytest.mark.torch
def test_repeated_labels_flat_targets_other_blank_and_impossible_targets() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    scores = rng.standard_normal((6, 3, 5))
    flat = np.array([1, 1, 2, 0, 0, 0, 0, 2])
    steps, sizes = np.array([6, 6, 4]), np.array([3, 4, 1])
    for zero in (True, False):
        options = dict(blank=4, reduction="none", zero_infinity=zero)
        got, want = (
            run(mg, scores, flat, steps, sizes, **options),
            run(torch, scores, flat, steps, sizes, **options),
        )
        assert np.isinf(want[0]).any() != zero
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.torch
def test_without_a_batch() -> None:
    torch = pytest.importorskip("torch")
    scores = np.random.default_rng(3).standard_normal((5, 4))
    for reduction in ("mean", "sum", "none"):
        found = []
        for m in (mg, torch):
            log_p = m.nn.functional.log_softmax(m.tensor(scores), 1)
            loss = m.nn.functional.ctc_loss(
                log_p, m.tensor([1, 2]), m.tensor(5), m.tensor(2), reduction=reduction
            )
            assert tuple(loss.shape) == ()
            found.append(loss.item())
        assert found[0] == pytest.approx(found[1], rel=1e-10)


def test_it_is_the_sum_over_all_alignments() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((4, 1, 3))
    p /= p.sum(2, keepdims=True)
    total = 0.0
    for path in itertools.product(range(3), repeat=4):
        collapsed = [c for c, _ in itertools.groupby(path) if c != 0]
        if collapsed == [1, 2]:
            total += np.prod([p[t, 0, c] for t, c in enumerate(path)])
    loss = F.ctc_loss(mg.tensor(np.log(p)), mg.tensor([[1, 2]]), (4,), (2,), reduction="sum")
    assert loss.item() == pytest.approx(-np.log(total), rel=1e-12)


def test_derivatives_through_log_softmax() -> None:
    scores, targets, _, _ = problem(np.random.default_rng(1), 5, 2, 4, 2)
    lengths = [mg.tensor(v) for v in (np.array([5, 4]), np.array([2, 1]))]

    def loss(x: Any) -> Any:
        return F.ctc_loss(F.log_softmax(x, 2), mg.tensor(targets), *lengths, reduction="none")

    x = mg.tensor(scores, requires_grad=True)
    assert mg.autograd.gradcheck(loss, (x,))
    assert mg.autograd.gradgradcheck(loss, (x,))


LOG_P = np.log(np.full((4, 2, 3), 1 / 3))
GOOD = dict(
    log_probs=mg.tensor(LOG_P),
    targets=mg.tensor([[1, 2], [1, 1]]),
    input_lengths=mg.tensor([4, 4]),
    target_lengths=mg.tensor([2, 1]),
)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(input_lengths=mg.tensor([4])), "batch_size"),
        (dict(target_lengths=mg.tensor([2, 1, 1])), "batch_size"),
        (dict(input_lengths=mg.tensor([5, 4])), "at most"),
        (dict(target_lengths=mg.tensor([3, 1])), "size at least"),
        (dict(target_lengths=mg.tensor([-1, 1])), "at least 0"),
        (dict(blank=3), "label range"),
        (dict(targets=mg.tensor([[1.0, 2.0], [1.0, 1.0]])), "integral"),
        (dict(targets=mg.tensor([1, 2])), "elements"),
        (dict(log_probs=mg.zeros(0, 2, 3)), "empty"),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        F.ctc_loss(**(GOOD | changed))
