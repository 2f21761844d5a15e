"""What reductions, sorting and scans refuse, with PyTorch's type of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def x(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(float(np.prod(shape))).reshape(shape))


def i(m: Any, *values: int) -> Any:
    return m.tensor(list(values))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "sum dim": lambda m: x(m, 2, 3).sum(2),
    "sum twice": lambda m: x(m, 2, 3).sum((0, -2)),
    "sum string": lambda m: x(m, 2, 3).sum("a"),
    "sum float": lambda m: x(m, 2, 3).sum(0.5),
    "mean integers": lambda m: i(m, 1, 2).mean(),
    "mean to integers": lambda m: x(m, 2).mean(dtype=m.int64),
    "nanmean integers": lambda m: i(m, 1, 2).nanmean(),
    "nansum complex": lambda m: m.tensor([1j]).nansum(),
    "prod dims": lambda m: x(m, 2, 3).prod(2),
    "amax dim": lambda m: x(m, 2, 3).amax(2),
    "amax empty": lambda m: m.zeros(0, 3).amax(),
    "amax empty dim": lambda m: m.zeros(0, 3).amax(0),
    "aminmax empty": lambda m: m.zeros(0, 3).aminmax(),
    "aminmax empty dim": lambda m: m.zeros(0, 3).aminmax(dim=0),
    "all dim": lambda m: x(m, 2, 3).all(2),
    "count_nonzero": lambda m: x(m, 2, 3).count_nonzero((0, 0)),
    "var integers": lambda m: i(m, 1, 2).var(),
    "std integers": lambda m: i(m, 1, 2).std(),
    "var dim": lambda m: x(m, 2, 3).var(2),
    "var both": lambda m: x(m, 2, 3).var(0, unbiased=True, correction=1),
    "var unknown": lambda m: x(m, 2, 3).var(0, ddof=1),
    "std_mean integers": lambda m: m.std_mean(i(m, 1, 2)),
    "logsumexp dim": lambda m: x(m, 2, 3).logsumexp(2),
    "norm integers": lambda m: i(m, 1, 2).norm(),
    "norm string": lambda m: x(m, 2, 3).norm("abc"),
    "norm nuc": lambda m: x(m, 3).norm("nuc"),
    "norm nuc dims": lambda m: x(m, 2, 3).norm("nuc", (0,)),
    "norm dim": lambda m: x(m, 2, 3).norm(2, 2),
    "vector_norm order": lambda m: m.linalg.vector_norm(x(m, 2), "fro"),
    "vector_norm empty": lambda m: m.linalg.vector_norm(m.zeros(0), float("inf")),
    "vector_norm dtype": lambda m: m.linalg.vector_norm(x(m, 2), dtype=m.float32),
    "dist integers": lambda m: m.dist(i(m, 1), i(m, 2)),
    "dist shape": lambda m: m.dist(x(m, 2), x(m, 3)),
    "cov dims": lambda m: m.cov(x(m, 2, 2, 2)),
    "cov bool": lambda m: m.cov(m.tensor([True])),
    "cov weights": lambda m: m.cov(x(m, 2, 3), fweights=i(m, 1, 2)),
    "cov float weights": lambda m: m.cov(x(m, 2, 3), fweights=x(m, 3)),
    "cov integer weights": lambda m: m.cov(x(m, 2, 3), aweights=i(m, 1, 2, 3)),
    "cov negative": lambda m: m.cov(x(m, 2, 3), fweights=i(m, 1, -2, 3)),
    "corrcoef dims": lambda m: m.corrcoef(x(m, 2, 2, 2)),
    "renorm p": lambda m: x(m, 2, 3).renorm(0, 0, 1.0),
    "renorm norm": lambda m: x(m, 2, 3).renorm(2, 0, -1.0),
    "renorm dims": lambda m: x(m, 2).renorm(2, 0, 1.0),
    "max empty": lambda m: m.zeros(0).max(),
    "max empty dim": lambda m: m.zeros(0, 3).max(0),
    "max dim": lambda m: x(m, 2, 3).max(2),
    "max both": lambda m: m.max(x(m, 2), x(m, 2), 0),
    "max complex": lambda m: m.tensor([1j]).max(0),
    "argmax empty": lambda m: m.zeros(0).argmax(),
    "argmax empty dim": lambda m: m.zeros(0, 3).argmax(0),
    "argmax bool": lambda m: m.tensor([True]).argmax(),
    "argmin dim": lambda m: x(m, 2, 3).argmin(2),
    "median dim": lambda m: x(m, 2, 3).median(2),
    "median empty dim": lambda m: m.zeros(0, 3).median(0),
    "median bool": lambda m: m.tensor([True]).median(),
    "mode empty": lambda m: m.zeros(0, 3).mode(0),
    "kthvalue": lambda m: x(m, 3).kthvalue(4),
    "kthvalue zero": lambda m: x(m, 3).kthvalue(0),
    "sort dim": lambda m: x(m, 3).sort(1),
    "sort complex": lambda m: m.tensor([1j]).sort(),
    "argsort dim": lambda m: x(m, 3).argsort(1),
    "topk": lambda m: x(m, 3).topk(4),
    "topk negative": lambda m: x(m, 3).topk(-1),
    "quantile range": lambda m: x(m, 3).quantile(1.5),
    "quantile tensor": lambda m: x(m, 3).quantile(m.tensor([-0.5], dtype=m.float64)),
    "quantile dtype": lambda m: x(m, 3).quantile(m.tensor([0.5])),
    "quantile matrix": lambda m: x(m, 3).quantile(x(m, 1, 1)),
    "quantile integers": lambda m: i(m, 1, 2).quantile(0.5),
    "quantile empty": lambda m: m.zeros(0).quantile(0.5),
    "quantile method": lambda m: x(m, 3).quantile(0.5, interpolation="cubic"),
    "quantile dim": lambda m: x(m, 3).quantile(0.5, 1),
    "unique dim": lambda m: m.unique(x(m, 3), dim=1),
    "unique number": lambda m: m.unique(m.tensor(1.0), dim=0),
    "unique empty": lambda m: m.unique(m.zeros(2, 0), dim=0),
    "searchsorted shapes": lambda m: m.searchsorted(x(m, 2, 3), x(m, 3, 2)),
    "searchsorted side": lambda m: m.searchsorted(x(m, 3), x(m, 2), side="top"),
    "searchsorted sides": lambda m: m.searchsorted(x(m, 3), x(m, 2), side="left", right=True),
    "searchsorted number": lambda m: m.searchsorted(x(m, 2, 3), 1.0),
    "searchsorted sorter": lambda m: m.searchsorted(x(m, 3), x(m, 2), sorter=i(m, 0, 1)),
    "searchsorted sorter range": lambda m: m.searchsorted(x(m, 2), x(m, 2), sorter=i(m, 0, 2)),
    "bucketize": lambda m: m.bucketize(x(m, 3), x(m, 2, 2)),
    "bincount negative": lambda m: m.bincount(i(m, 1, -1)),
    "bincount matrix": lambda m: m.bincount(m.tensor([[1]])),
    "bincount float": lambda m: m.bincount(x(m, 2)),
    "bincount weights": lambda m: m.bincount(i(m, 1, 2), x(m, 3)),
    "bincount length": lambda m: m.bincount(i(m, 1), minlength=-1),
    "histc integers": lambda m: m.histc(i(m, 1, 2)),
    "histc bins": lambda m: m.histc(x(m, 3), 0),
    "histc range": lambda m: m.histc(x(m, 3), 3, 2, 1),
    "histc nan": lambda m: m.histc(m.tensor([float("nan")]), 3),
    "histogram integers": lambda m: m.histogram(i(m, 1, 2), 3),
    "histogram bins": lambda m: m.histogram(x(m, 3), 0),
    "histogram range": lambda m: m.histogram(x(m, 3), 3, range=(2.0, 1.0)),
    "histogram edges": lambda m: m.histogram(x(m, 3), x(m, 2, 2)),
    "histogram weight": lambda m: m.histogram(x(m, 3), 3, weight=x(m, 2)),
    "histogramdd": lambda m: m.histogramdd(x(m, 3), [3]),
    "histogramdd bins": lambda m: m.histogramdd(x(m, 3, 2), [3]),
    "cumsum dim": lambda m: x(m, 3).cumsum(1),
    "cumprod dim": lambda m: x(m, 3).cumprod(1),
    "cumsum_ dtype": lambda m: x(m, 3).cumsum_(0, dtype=m.float32),
    "cummax dim": lambda m: x(m, 3).cummax(1),
    "logcumsumexp integers": lambda m: i(m, 1).logcumsumexp(0),
    "diff number": lambda m: m.tensor(1.0).diff(),
    "diff order": lambda m: x(m, 3).diff(-1),
    "diff prepend": lambda m: x(m, 3).diff(prepend=x(m, 1, 1)),
    "trapezoid places": lambda m: m.trapezoid(x(m, 3), x(m, 4)),
    "trapezoid bool": lambda m: m.trapezoid(m.tensor([True, False])),
    "trapezoid both": lambda m: m.trapezoid(x(m, 3), x(m, 3), dx=1.0),
    "gradient few": lambda m: m.gradient(x(m, 1)),
    "gradient edges": lambda m: m.gradient(x(m, 4), edge_order=3),
    "gradient spacing": lambda m: m.gradient(x(m, 4, 4), spacing=[1.0, 2.0, 3.0]),
    "gradient matrix": lambda m: m.gradient(x(m, 4), spacing=[x(m, 2, 2)]),
    "gradient dim": lambda m: m.gradient(x(m, 4), dim=1),
    "gradient twice": lambda m: m.gradient(x(m, 4, 4), dim=(0, 0)),
    "out under autograd": lambda m: m.sum(m.ones(2, requires_grad=True), 0, out=m.ones(())),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - PyTorch says which
        REFUSED[name](torch)
    with pytest.raises(expected.type) as found:
        REFUSED[name](minigrad)
    assert type(found.value) is expected.type


NAMED = {
    "max": lambda m: x(m, 3).max(0),
    "min": lambda m: x(m, 3).min(0),
    "sort": lambda m: x(m, 3).sort(),
    "topk": lambda m: x(m, 3).topk(2),
    "kthvalue": lambda m: x(m, 3).kthvalue(2),
    "median": lambda m: x(m, 3).median(0),
    "nanmedian": lambda m: x(m, 3).nanmedian(0),
    "mode": lambda m: x(m, 3).mode(),
    "cummax": lambda m: x(m, 3).cummax(0),
    "cummin": lambda m: x(m, 3).cummin(0),
    "aminmax": lambda m: x(m, 3).aminmax(),
    "histogram": lambda m: m.histogram(x(m, 3), 2),
    "histogramdd": lambda m: m.histogramdd(x(m, 3, 2), 2),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_results(name: str) -> None:
    ours, theirs = NAMED[name](minigrad), NAMED[name](torch)
    assert type(ours).__name__ == type(theirs).__name__ == name
    fields = [f for f in dir(theirs) if not f.startswith("_") and f not in dir(tuple)]
    fields = [f for f in fields if not f.startswith("n_")]
    assert sorted(ours._fields) == sorted(fields)
    assert type(ours) is getattr(minigrad.return_types, name)
    first, second = ours
    assert first is ours[0] and second is ours[1]


OUTS: dict[str, Callable[..., Any]] = {
    "sum": lambda m, out: m.sum(x(m, 2, 3), 0, out=out(3)),
    "mean": lambda m, out: m.mean(x(m, 2, 3), 0, out=out(3)),
    "amax": lambda m, out: m.amax(x(m, 2, 3), 0, out=out(3)),
    "cumsum": lambda m, out: m.cumsum(x(m, 2, 3), 0, out=out(2, 3)),
    "std": lambda m, out: m.std(x(m, 2, 3), 0, out=out(3)),
    "norm": lambda m, out: m.norm(x(m, 2, 3), 2, 0, out=out(3)),
    "gather": lambda m, out: m.gather(x(m, 2, 3), 0, m.tensor([[1]]), out=out(1, 1)),
    "index_select": lambda m, out: m.index_select(x(m, 2, 3), 0, i(m, 1), out=out(1, 3)),
    "quantile": lambda m, out: m.quantile(x(m, 2, 3), 0.5, 0, out=out(3)),
    "max": lambda m, out: m.max(x(m, 2, 3), 0, out=(out(3), out(3, kind="int64")))[0],
    "sort": lambda m, out: m.sort(x(m, 2, 3), 0, out=(out(2, 3), out(2, 3, kind="int64")))[0],
    "topk": lambda m, out: m.topk(x(m, 3), 2, out=(out(2), out(2, kind="int64")))[0],
}


@pytest.mark.parametrize("name", OUTS)
def test_out(name: str) -> None:
    results = []
    for m in (minigrad, torch):
        made = []

        def out(*shape: int, kind: str = "float64", m: Any = m, made: Any = made) -> Any:
            made.append(m.zeros(*shape, dtype=getattr(m, kind)))
            return made[-1]

        result = OUTS[name](m, out)
        assert result is made[0]
        results.append([t.numpy() for t in made])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b)
