"""What products refuse, with PyTorch's type of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def x(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(float(np.prod(shape))).reshape(shape))


def i(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(int(np.prod(shape))).reshape(shape))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "matmul inner": lambda m: x(m, 2, 3) @ x(m, 2, 3),
    "matmul vectors": lambda m: x(m, 2) @ x(m, 3),
    "matmul vector": lambda m: x(m, 2, 3) @ x(m, 2),
    "matmul 0-d": lambda m: m.matmul(x(m), x(m, 2)),
    "matmul batches": lambda m: x(m, 2, 2, 3) @ x(m, 3, 3, 2),
    "matmul dtypes": lambda m: x(m, 2, 3) @ i(m, 3, 2),
    "matmul number": lambda m: m.matmul(x(m, 2, 2), 2.0),
    "matmul operator": lambda m: x(m, 2, 2) @ 2.0,
    "matmul list": lambda m: m.matmul(x(m, 2, 2), [1.0, 2.0]),
    "mm rank": lambda m: m.mm(x(m, 2, 3), x(m, 3)),
    "mm rank 3": lambda m: m.mm(x(m, 1, 2, 3), x(m, 3, 2)),
    "mm inner": lambda m: m.mm(x(m, 2, 3), x(m, 2, 3)),
    "bmm rank": lambda m: m.bmm(x(m, 2, 3), x(m, 3, 2)),
    "bmm batch": lambda m: m.bmm(x(m, 2, 2, 3), x(m, 1, 3, 2)),
    "mv": lambda m: m.mv(x(m, 2, 3), x(m, 2)),
    "mv rank": lambda m: m.mv(x(m, 3), x(m, 3)),
    "dot": lambda m: m.dot(x(m, 2), x(m, 3)),
    "dot rank": lambda m: m.dot(x(m, 2, 2), x(m, 2, 2)),
    "dot dtypes": lambda m: m.dot(x(m, 2), i(m, 2)),
    "vdot rank": lambda m: m.vdot(x(m, 2, 2), x(m, 2, 2)),
    "inner": lambda m: m.inner(x(m, 2, 3), x(m, 2, 2)),
    "outer rank": lambda m: m.outer(x(m, 2, 2), x(m, 2)),
    "addmm shape": lambda m: m.addmm(x(m, 3, 3), x(m, 2, 3), x(m, 3, 2)),
    "addmm inner": lambda m: m.addmm(x(m, 2, 2), x(m, 2, 3), x(m, 2, 2)),
    "addr alpha": lambda m: m.addr(i(m, 2, 3), i(m, 2), i(m, 3), alpha=0.5),
    "addmv": lambda m: m.addmv(x(m, 3), x(m, 2, 3), x(m, 3)),
    "addr": lambda m: m.addr(x(m, 3, 3), x(m, 2), x(m, 3)),
    "addr rank": lambda m: m.addr(x(m, 2, 3), x(m, 2, 1), x(m, 3)),
    "baddbmm": lambda m: m.baddbmm(x(m, 3, 2, 2), x(m, 2, 2, 3), x(m, 2, 3, 2)),
    "addbmm": lambda m: m.addbmm(x(m, 3, 2), x(m, 2, 2, 3), x(m, 2, 3, 2)),
    "trace": lambda m: m.trace(x(m, 2, 2, 2)),
    "multi_dot one": lambda m: m.linalg.multi_dot([x(m, 2, 2)]),
    "multi_dot inner": lambda m: m.linalg.multi_dot([x(m, 2, 2), x(m, 3, 2)]),
    "multi_dot rank": lambda m: m.linalg.multi_dot([x(m, 2, 2), x(m, 2), x(m, 2, 2)]),
    "vecdot integers": lambda m: m.linalg.vecdot(i(m, 2), x(m, 2)),
    "vecdot": lambda m: m.linalg.vecdot(x(m, 2), x(m, 3)),
    "tensordot": lambda m: m.tensordot(x(m, 2, 3), x(m, 2, 3), 1),
    "tensordot many": lambda m: m.tensordot(x(m, 2, 3), x(m, 3), 2),
    "tensordot negative": lambda m: m.tensordot(x(m, 2, 3), x(m, 3), -1),
    "tensordot lists": lambda m: m.tensordot(x(m, 2, 3), x(m, 3), ([0, 1], [0])),
    "tensordot dim": lambda m: m.tensordot(x(m, 2, 3), x(m, 3), ([2], [0])),
    "einsum few": lambda m: m.einsum("ij,jk->ik", x(m, 2, 2)),
    "einsum many": lambda m: m.einsum("ij->ij", x(m, 2, 2), x(m, 2, 2)),
    "einsum none": lambda m: m.einsum("ij->ij"),
    "einsum rank": lambda m: m.einsum("ijk->i", x(m, 2, 2)),
    "einsum rank 2": lambda m: m.einsum("i->i", x(m, 2, 2)),
    "einsum sizes": lambda m: m.einsum("ij,jk->ik", x(m, 2, 3), x(m, 2, 3)),
    "einsum diagonal": lambda m: m.einsum("ii->i", x(m, 2, 3)),
    "einsum letter": lambda m: m.einsum("i1->i", x(m, 2, 3)),
    "einsum output": lambda m: m.einsum("ij->ik", x(m, 2, 3)),
    "einsum output twice": lambda m: m.einsum("ij->ii", x(m, 2, 3)),
    "einsum dots": lambda m: m.einsum("..i->i", x(m, 2, 3)),
    "einsum output dots": lambda m: m.einsum("...i->.i", x(m, 2, 3)),
    "einsum sublist": lambda m: m.einsum(x(m, 2, 3), [0, 52]),
    "linear": lambda m: m.nn.functional.linear(x(m, 2, 3), x(m, 4, 2)),
    "linear bias": lambda m: m.nn.functional.linear(x(m, 2, 3), x(m, 4, 3), x(m, 3)),
    "linear bias, sizes": lambda m: m.nn.functional.linear(x(m, 2, 3), x(m, 4, 2), x(m, 4)),
    "linear dtypes": lambda m: m.nn.functional.linear(x(m, 2, 3), i(m, 4, 3)),
    "linear vector": lambda m: m.nn.functional.linear(x(m, 2, 3), x(m, 3), x(m)),
    "linear rank": lambda m: m.nn.functional.linear(x(m, 2, 3), x(m, 2, 4, 3)),
    "bilinear batch": lambda m: m.nn.functional.bilinear(x(m, 2, 3), x(m, 3, 3), x(m, 2, 3, 3)),
    "bilinear sizes": lambda m: m.nn.functional.bilinear(x(m, 2, 3), x(m, 2, 3), x(m, 2, 3, 4)),
    "cross size": lambda m: m.cross(x(m, 2, 4), x(m, 2, 4), dim=1),
    "cross none": lambda m: m.cross(x(m, 2, 4), x(m, 2, 4)),
    "cross rank": lambda m: m.linalg.cross(x(m, 3), x(m, 1, 3)),
    "cross dim": lambda m: m.linalg.cross(x(m, 3), x(m, 3), dim=1),
    "cdist rank": lambda m: m.cdist(x(m, 3), x(m, 2, 3)),
    "cdist columns": lambda m: m.cdist(x(m, 2, 4), x(m, 2, 3)),
    "cdist p": lambda m: m.cdist(x(m, 2, 3), x(m, 2, 3), -1.0),
    "cdist mode": lambda m: m.cdist(x(m, 2, 3), x(m, 2, 3), compute_mode="fast"),
    "cdist integers": lambda m: m.cdist(i(m, 2, 3), i(m, 2, 3)),
    "cdist batches": lambda m: m.cdist(x(m, 2, 2, 3), x(m, 3, 2, 3)),
    "pdist rank": lambda m: m.nn.functional.pdist(x(m, 2, 2, 3)),
    "pdist p": lambda m: m.nn.functional.pdist(x(m, 2, 3), -1.0),
    "cosine integers": lambda m: m.cosine_similarity(i(m, 2, 3), i(m, 2, 3)),
    "cosine shapes": lambda m: m.cosine_similarity(x(m, 2, 3), x(m, 2, 2)),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_in_torch(name: str) -> None:
    call = REFUSED[name]
    with pytest.raises(Exception) as theirs:  # noqa: PT011, B017 (its type is what is compared)
        call(torch)
    with pytest.raises(theirs.type):
        call(minigrad)


def test_a_failed_in_place_product_changes_nothing() -> None:
    a = x(minigrad, 2, 3)
    before = a.numpy().copy()
    with pytest.raises(RuntimeError):
        a.addmm_(x(minigrad, 2, 2), x(minigrad, 3, 3))
    with pytest.raises(RuntimeError):
        a @= x(minigrad, 3, 2)
    np.testing.assert_array_equal(a.numpy(), before)
    assert a._counter[0] == 0
