"""Losses over many classes, sequence loss, synchronised norm, and names of old, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


def data(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def load(ours: Any, theirs: Any) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = {k: mg.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)


def close(a: Any, b: Any) -> None:
    assert tuple(a.shape) == tuple(b.shape)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=2e-5)


def both(x: np.ndarray, grad: bool = True) -> tuple[Any, Any]:
    ours, theirs = mg.from_numpy(x.copy()), torch.from_numpy(x.copy())
    return (ours.requires_grad_(), theirs.requires_grad_()) if grad else (ours, theirs)


def same_gradients(ours: Any, theirs: Any) -> None:
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if q.grad is None:  # a cluster without targets
            assert p.grad is None or not p.grad.abs().sum().item()
        else:
            close(p.grad, q.grad)


# ------------------------------------------------------------------------------ many classes
@pytest.mark.parametrize("targets", [[0, 3, 9, 11, 19, 4, 4], [0, 1, 2, 3, 0, 1, 2], [19] * 7])
@pytest.mark.parametrize("bias", [False, True])
def test_adaptive_log_softmax(targets: list[int], bias: bool) -> None:
    args = (16, 20, [4, 10])
    ours, theirs = (
        m.nn.AdaptiveLogSoftmaxWithLoss(*args, div_value=2.0, head_bias=bias) for m in (mg, torch)
    )
    load(ours, theirs)
    assert repr(ours) == repr(theirs)
    a, b = both(data(7, 16))
    x, t = both(np.array(targets), False)
    got, want = ours(a, x), theirs(b, t)
    close(got.output, want.output)
    close(got.loss, want.loss)
    got.loss.backward()
    want.loss.backward()
    close(a.grad, b.grad)
    same_gradients(ours, theirs)
    close(ours.log_prob(a), theirs.log_prob(b))
    np.testing.assert_allclose(ours.log_prob(a).exp().sum(1).detach().numpy(), 1, rtol=1e-5)
    for part in (slice(0, 7), slice(0, 1)):
        assert ours.predict(a[part]).tolist() == theirs.predict(b[part]).tolist()
    assert mg.equal(ours.predict(a), ours.log_prob(a).argmax(1))
    close(ours(a[0], x[0]).output, theirs(b[0], t[0]).output)


OUTPUTS: list[tuple[tuple[int, ...], tuple[int, ...], bool]] = [
    ((), (6,), False), ((), (6,), True), ((2, 3), (6, 2, 3), True), ((2,), (6, 2), False),
]  # fmt: skip


@pytest.mark.parametrize(("outputs", "target", "bias"), OUTPUTS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_linear_cross_entropy(
    outputs: tuple[int, ...], target: tuple[int, ...], bias: bool, reduction: str
) -> None:
    weight = np.abs(data(5))
    options = {"out_features": outputs, "bias": bias, "reduction": reduction}
    ours, theirs = (
        m.nn.LinearCrossEntropyLoss(
            4, 5, weight=m.from_numpy(weight), label_smoothing=0.1, ignore_index=1, **options
        )
        for m in (mg, torch)
    )
    load(ours, theirs)
    assert repr(ours) == repr(theirs)
    a, b = both(data(6, 4))
    x, t = both(RNG.integers(0, 5, target), False)
    got, want = ours(a, x), theirs(b, t)
    close(got, want)
    got.sum().backward()
    want.sum().backward()
    close(a.grad, b.grad)
    same_gradients(ours, theirs)


def test_linear_cross_entropy_options_do_not_change_the_result() -> None:
    a, t = mg.from_numpy(data(6, 4)), mg.from_numpy(RNG.integers(0, 5, 6))
    loss = mg.nn.LinearCrossEntropyLoss(4, 5)
    plain = loss(a, t)
    loss.options = mg.nn.LinearCrossEntropyOptions(batch_chunk_size=2, chunking_method=None)
    assert loss(a, t).item() == plain.item()


def test_ctc_loss() -> None:
    log_probs = np.log(RNG.dirichlet(np.ones(6), (12, 3))).astype(np.float32)
    targets = RNG.integers(1, 6, (3, 4))
    for kwargs in ({}, {"reduction": "none", "zero_infinity": True}, {"reduction": "sum"}):
        results = []
        for m in (mg, torch):
            x = m.from_numpy(log_probs.copy()).requires_grad_()
            loss = m.nn.CTCLoss(**kwargs)
            lengths = m.tensor([12, 10, 3]), m.tensor([4, 2, 4])
            y = loss(x, m.from_numpy(targets), *lengths)
            y.masked_fill(y.isinf(), 0).sum().backward()
            results.append((y, x.grad))
        close(results[0][0], results[1][0])
        finite = np.isfinite(results[1][1].numpy())
        np.testing.assert_allclose(
            results[0][1].numpy()[finite], results[1][1].numpy()[finite], atol=1e-5
        )


# ------------------------------------------------------------------------------ norms
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 5), (2, 3, 4, 4), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize("affine", [False, True])
def test_sync_batch_norm_on_one_process(shape: tuple[int, ...], affine: bool) -> None:
    ours, theirs = (m.nn.SyncBatchNorm(3, affine=affine) for m in (mg, torch))
    assert repr(ours) == repr(theirs)
    load(ours, theirs)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        a, b = both(data(*shape))
        y, t = ours(a), theirs(b)
        close(y, t)
        (y * y * y).sum().backward()
        (t * t * t).sum().backward()
        close(a.grad, b.grad)
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(p, q)
    with pytest.raises(ValueError, match="at least 2D"):
        ours(mg.ones(3))


def test_convert_sync_batchnorm() -> None:
    nn = mg.nn
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm1d(3)))
    model[1].eval()
    state, first = model.state_dict(), model[1]
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert converted is model
    assert type(model[1]) is type(model[2][0]) is nn.SyncBatchNorm
    assert model[1].weight is first.weight
    assert not model[1].training
    for key, value in model.state_dict().items():
        assert mg.equal(value, state[key])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_cross_map_lrn(size: int) -> None:
    ours, theirs = (m.nn.CrossMapLRN2d(size, 0.5, 0.6, 1.5) for m in (mg, torch))
    assert repr(ours) == repr(theirs)
    a, b = both(data(2, 7, 3, 4), False)
    close(ours(a), theirs(b))
    x = mg.randn(1, 4, 2, 1, dtype=mg.float64).requires_grad_()
    assert mg.autograd.gradcheck(ours, (x,))
    with pytest.raises(ValueError, match="4D"):
        ours(mg.ones(3, 4, 5))


# ------------------------------------------------------------------------------ names of old
def test_names_of_old() -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        loss = mg.nn.NLLLoss2d(reduction="sum", ignore_index=1)
    x, t = mg.randn(2, 3, 4, 4), mg.zeros(2, 4, 4, dtype=mg.int64)
    assert loss(x, t).item() == mg.nn.NLLLoss(reduction="sum")(x, t).item()
    with pytest.warns(FutureWarning, match="deprecated"):
        container = mg.nn.Container(a=mg.nn.ReLU(), b=mg.nn.Tanh())
    assert [name for name, _ in container.named_children()] == ["a", "b"]
    with pytest.warns(FutureWarning, match="min_val"):
        assert mg.nn.Hardtanh(min_value=-0.5).min_val == -0.5


# ------------------------------------------------------------------------------ errors
ERRORS = [
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, []),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4, 4]),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [5, 4]),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [0, 4]),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [10]),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [2.5]),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])(m.ones(3, 8), m.tensor([0, 1])),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])(m.ones(8), m.tensor([0])),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])(m.ones(1, 8), m.tensor(0)),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])(m.ones(1, 8), m.tensor([10])),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])(m.ones(1, 8), m.tensor([-1])),
    lambda m: m.nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4])(m.ones(1, 8), m.tensor([[1]])),
    lambda m: m.nn.LinearCrossEntropyLoss(4, 5, weight=m.ones(4)),
    lambda m: m.nn.LinearCrossEntropyLoss(4, 5, label_smoothing=1.5),
    lambda m: m.nn.LinearCrossEntropyOptions(acc_policy="exact"),
    lambda m: m.nn.LinearCrossEntropyOptions(chunking_method="rows"),
    lambda m: m.nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:0"),
    lambda m: m.nn.LinearCrossEntropyOptions(batch_chunk_size=0),
    lambda m: m.nn.LinearCrossEntropyOptions(acc_dtype=m.int64),
    lambda m: m.nn.TripletMarginLoss(margin=-1.0),
    lambda m: m.nn.TripletMarginWithDistanceLoss(margin=0.0),
    lambda m: m.nn.MultiMarginLoss(p=3),
    lambda m: m.nn.Bilinear(0, 2, 3),
    lambda m: m.nn.Hardtanh(1.0, 1.0),
    lambda m: m.nn.Unflatten(1, 3),
    lambda m: m.nn.Unflatten(1, (2, "a")),
    lambda m: m.nn.Softmax2d()(m.ones(2, 3)),
    lambda m: m.nn.BatchNorm1d(3, eps=0.0)(m.ones(2, 3)),
    lambda m: m.nn.BatchNorm1d(3, eps=-1.0).eval()(m.ones(2, 3)),
    lambda m: m.nn.BatchNorm1d(3)(m.ones(1, 3)),
    lambda m: m.nn.GroupNorm(2, 3),
    lambda m: m.nn.NLLLoss(weight=m.ones(3, dtype=m.float64))(m.ones(2, 3), m.tensor([0, 1])),
    lambda m: m.nn.Threshold(0.0, 1.0)([1.0]),
    lambda m: m.nn.GLU()(m.ones(3)),
    lambda m: m.nn.RReLU(0.5, 0.1)(m.ones(3)),
    lambda m: m.nn.PReLU(2)(m.ones(1, 3)),
    lambda m: m.nn.Softshrink(-1.0)(m.ones(3)),
    lambda m: m.nn.CELU(0.0)(m.ones(3)),
    lambda m: m.nn.GELU("exact")(m.ones(3)),
]


@pytest.mark.parametrize("call", ERRORS)
def test_errors_are_those_of_torch(call: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        call(torch)
    with pytest.raises(theirs.type):
        call(mg)


def test_data_parallel_without_gpus() -> None:
    ours, theirs = (m.nn.DataParallel(m.nn.Linear(3, 2)) for m in (mg, torch))
    load(ours, theirs)
    assert repr(ours) == repr(theirs)
    a, b = both(data(4, 3))
    close(ours(a), theirs(b))
