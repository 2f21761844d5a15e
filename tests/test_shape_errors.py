"""What the shape family refuses, with PyTorch's type of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def x(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(float(np.prod(shape))).reshape(shape))


REFUSED: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda m: x(m, 2, 3).reshape(4, 2),
    "reshape float": lambda m: x(m, 2, 3).reshape(2.5),
    "reshape twice": lambda m: x(m, 2, 3).reshape(-1, -1),
    "reshape string": lambda m: m.reshape(x(m, 2, 3), "a"),
    "reshape nothing": lambda m: m.reshape(x(m, 2, 3)),
    "reshape keyword": lambda m: m.reshape(x(m, 2, 3), sizes=(6,)),
    "flatten order": lambda m: x(m, 2, 3, 4).flatten(2, 0),
    "flatten dim": lambda m: x(m, 2, 3).flatten(2),
    "unflatten": lambda m: x(m, 2, 6).unflatten(1, (4, 2)),
    "unflatten empty": lambda m: x(m, 2, 6).unflatten(1, ()),
    "unflatten twice": lambda m: x(m, 2, 6).unflatten(1, (-1, -1)),
    "unflatten dim": lambda m: x(m, 2, 6).unflatten(2, (3, 2)),
    "squeeze": lambda m: x(m, 2, 1).squeeze(2),
    "squeeze twice": lambda m: x(m, 2, 1).squeeze((1, 1)),
    "unsqueeze": lambda m: x(m, 2, 3).unsqueeze(3),
    "unsqueeze low": lambda m: x(m, 2, 3).unsqueeze(-4),
    "unsqueeze float": lambda m: x(m, 2, 3).unsqueeze(1.0),
    "transpose": lambda m: x(m, 2, 3).transpose(0, 2),
    "transpose float": lambda m: x(m, 2, 3).transpose(0, 1.0),
    "t": lambda m: x(m, 2, 3, 4).t(),
    "mT": lambda m: x(m, 3).mT,
    "mH": lambda m: x(m, 3).mH,
    "H": lambda m: x(m, 2, 3, 4).H,
    "adjoint": lambda m: m.adjoint(x(m, 3)),
    "permute few": lambda m: x(m, 2, 3).permute(0),
    "permute twice": lambda m: x(m, 2, 3).permute(0, 0),
    "permute dim": lambda m: x(m, 2, 3).permute(0, 2),
    "movedim count": lambda m: x(m, 2, 3).movedim((0, 1), 0),
    "movedim counts": lambda m: x(m, 2, 3).movedim((0, 1), (0,)),
    "movedim twice": lambda m: x(m, 2, 3).movedim((0, 0), (0, 1)),
    "movedim dim": lambda m: x(m, 2, 3).movedim(0, 2),
    "expand": lambda m: x(m, 2, 3).expand(3, 3),
    "expand few": lambda m: x(m, 2, 3).expand(3),
    "expand leading": lambda m: x(m, 2, 3).expand(-1, 2, 3),
    "expand negative": lambda m: x(m, 2, 1).expand(2, -2),
    "broadcast_to": lambda m: m.broadcast_to(x(m, 3), (2, 4)),
    "broadcast_tensors": lambda m: m.broadcast_tensors(x(m, 3), x(m, 2)),
    "broadcast_shapes": lambda m: m.broadcast_shapes((3,), (2,)),
    "broadcast_shapes negative": lambda m: m.broadcast_shapes((-1,), (3,)),
    "sum_to_size": lambda m: x(m, 2, 3).sum_to_size(2, 2),
    "select 0-d": lambda m: m.tensor(1.0).select(0, 0),
    "select": lambda m: x(m, 2, 3).select(1, 3),
    "select low": lambda m: x(m, 2, 3).select(1, -4),
    "select dim": lambda m: x(m, 2, 3).select(2, 0),
    "narrow": lambda m: x(m, 2, 3).narrow(1, 2, 2),
    "narrow length": lambda m: x(m, 2, 3).narrow(1, 0, -1),
    "narrow start": lambda m: x(m, 2, 3).narrow(1, 4, 0),
    "narrow 0-d": lambda m: m.tensor(1.0).narrow(0, 0, 1),
    "narrow tensor": lambda m: x(m, 2, 3).narrow(1, m.tensor(1.0), 1),
    "diagonal": lambda m: x(m, 2, 3).diagonal(0, 1, 1),
    "diagonal dim": lambda m: x(m, 2, 3).diagonal(0, 0, 2),
    "diagonal 1-d": lambda m: x(m, 3).diagonal(),
    "unfold size": lambda m: x(m, 3).unfold(0, 4, 1),
    "unfold negative": lambda m: x(m, 3).unfold(0, -1, 1),
    "unfold step": lambda m: x(m, 3).unfold(0, 2, 0),
    "unfold dim": lambda m: x(m, 3).unfold(1, 2, 1),
    "as_strided far": lambda m: x(m, 6).as_strided((3,), (3,)),
    "as_strided offset": lambda m: x(m, 6).as_strided((2,), (1,), 5),
    "as_strided lengths": lambda m: x(m, 6).as_strided((2, 2), (1,)),
    "as_strided negative": lambda m: x(m, 6).as_strided((2,), (-1,), 3),
    "as_strided before": lambda m: x(m, 6).as_strided((2,), (1,), -1),
    "unbind 0-d": lambda m: m.tensor(1.0).unbind(),
    "unbind": lambda m: x(m, 3).unbind(1),
    "split 0-d": lambda m: m.tensor(1.0).split(1),
    "split negative": lambda m: x(m, 3).split(-1),
    "split zero": lambda m: x(m, 3).split(0),
    "split sum": lambda m: x(m, 3).split([1, 1]),
    "split entries": lambda m: x(m, 3).split([-1, 4]),
    "split_with_sizes": lambda m: m.split_with_sizes(x(m, 3), [1, 1]),
    "split float": lambda m: x(m, 3).split(1.5),
    "chunk": lambda m: x(m, 3).chunk(0),
    "chunk 0-d": lambda m: m.tensor(1.0).chunk(1),
    "chunk dim": lambda m: x(m, 3).chunk(2, 1),
    "unsafe_chunk": lambda m: m.unsafe_chunk(x(m, 3), 0),
    "unsafe_split": lambda m: m.unsafe_split(x(m, 3), -1),
    "tensor_split": lambda m: x(m, 3).tensor_split(0),
    "tensor_split 0-d": lambda m: m.tensor(1.0).tensor_split(2),
    "tensor_split float": lambda m: x(m, 3).tensor_split(m.tensor(1.5)),
    "tensor_split 2-d": lambda m: x(m, 3).tensor_split(m.tensor([[1]])),
    "hsplit": lambda m: x(m, 2, 3).hsplit(2),
    "hsplit 0-d": lambda m: m.tensor(1.0).hsplit(1),
    "hsplit zero": lambda m: x(m, 2, 3).hsplit(0),
    "vsplit": lambda m: x(m, 3, 3).vsplit(2),
    "vsplit 1-d": lambda m: x(m, 3).vsplit(1),
    "dsplit": lambda m: x(m, 2, 3).dsplit(1),
    "meshgrid": lambda m: m.meshgrid(x(m, 2, 2)),
    "meshgrid dtype": lambda m: m.meshgrid(x(m, 2), m.ones(2), indexing="ij"),
    "meshgrid indexing": lambda m: m.meshgrid(x(m, 2), x(m, 3), indexing="ji"),
    "meshgrid nothing": lambda m: m.meshgrid(),
    "flip": lambda m: x(m, 2, 3).flip(2),
    "flip twice": lambda m: x(m, 2, 3).flip(0, 0),
    "fliplr": lambda m: m.fliplr(x(m, 3)),
    "flipud": lambda m: m.flipud(m.tensor(1.0)),
    "roll": lambda m: m.roll(x(m, 2, 3), (1, 2), 0),
    "roll dim": lambda m: m.roll(x(m, 2, 3), 1, 2),
    "roll nothing": lambda m: m.roll(x(m, 2, 3), ()),
    "roll 0-d": lambda m: m.roll(m.tensor(1.0), 0, 0),
    "rot90 dims": lambda m: m.rot90(x(m, 2, 3), 1, (0,)),
    "rot90 equal": lambda m: m.rot90(x(m, 2, 3), 1, (0, -2)),
    "rot90 1-d": lambda m: m.rot90(x(m, 3)),
    "repeat": lambda m: x(m, 2, 3).repeat(2),
    "repeat negative": lambda m: x(m, 2, 3).repeat(1, -1),
    "repeat float": lambda m: x(m, 2, 3).repeat(1, 1.5),
    "repeat_interleave": lambda m: x(m, 3).repeat_interleave(-1),
    "repeat_interleave size": lambda m: x(m, 3).repeat_interleave(m.tensor([1, 2])),
    "repeat_interleave negative": lambda m: x(m, 2).repeat_interleave(m.tensor([1, -2])),
    "repeat_interleave float": lambda m: x(m, 2).repeat_interleave(m.tensor([1.0, 2.0])),
    "repeat_interleave 2-d": lambda m: x(m, 2).repeat_interleave(m.tensor([[1, 2]])),
    "tril": lambda m: x(m, 3).tril(),
    "triu": lambda m: x(m, 3).triu(),
    "diag": lambda m: m.diag(x(m, 2, 3, 4)),
    "diag 0-d": lambda m: m.diag(m.tensor(1.0)),
    "diag_embed": lambda m: m.diag_embed(x(m, 3), 0, 1, 1),
    "diag_embed dim": lambda m: m.diag_embed(x(m, 3), 0, 0, 2),
    "diag_embed 0-d": lambda m: m.diag_embed(m.tensor(1.0)),
    "cat nothing": lambda m: m.cat([]),
    "cat tensor": lambda m: m.cat(x(m, 2)),
    "cat number": lambda m: m.cat([x(m, 2), 1.0]),
    "cat sizes": lambda m: m.cat([x(m, 2, 3), x(m, 2, 4)]),
    "cat dims": lambda m: m.cat([x(m, 2, 3), x(m, 3)]),
    "cat 0-d": lambda m: m.cat([m.tensor(1.0), m.tensor(2.0)]),
    "cat second 0-d": lambda m: m.cat([x(m, 2), m.tensor(2.0)]),
    "cat dim": lambda m: m.cat([x(m, 2), x(m, 2)], 1),
    "tril out": lambda m: m.tril(x(m, 2, 2), out=m.zeros(2, 2)),
    "diag out": lambda m: m.diag(x(m, 2), out=m.zeros(2, 2)),
    "repeat nothing": lambda m: x(m, 2).repeat(),
    "expand nothing": lambda m: x(m, 2).expand(),
    "view nothing": lambda m: x(m, 2).view(),
    "flip nothing": lambda m: x(m, 2).flip(),
    "cat out": lambda m: m.cat([x(m, 2), x(m, 2)], out=m.zeros(4, dtype=m.int64)),
    "stack nothing": lambda m: m.stack([]),
    "stack shapes": lambda m: m.stack([x(m, 2), x(m, 3)]),
    "stack dim": lambda m: m.stack([x(m, 2), x(m, 2)], 2),
    "hstack": lambda m: m.hstack([]),
    "hstack sizes": lambda m: m.hstack([x(m, 2, 3), x(m, 3, 3)]),
    "vstack": lambda m: m.vstack([x(m, 2, 3), x(m, 2, 4)]),
    "dstack": lambda m: m.dstack([x(m, 2, 3), x(m, 2, 4)]),
    "column_stack": lambda m: m.column_stack([x(m, 2), x(m, 3)]),
    "block_diag": lambda m: m.block_diag(x(m, 2, 2, 2)),
    "block_diag number": lambda m: m.block_diag(1.0),
    "cartesian_prod": lambda m: m.cartesian_prod(x(m, 2, 2)),
    "combinations": lambda m: m.combinations(x(m, 2, 2)),
    "combinations negative": lambda m: m.combinations(x(m, 2), -1),
    "clone format": lambda m: x(m, 2, 2).clone(memory_format=m.channels_last),
    "clone format type": lambda m: x(m, 2, 2).clone(memory_format="contiguous"),
    "expand_copy": lambda m: m.expand_copy(x(m, 2, 3), (3, 3)),
    "out requires grad": lambda m: m.tril(x(m, 2, 2).requires_grad_(), out=m.zeros(2, 2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(Exception) as expected:  # noqa: B017 (PyTorch says which)
        REFUSED[name](torch)
    with pytest.raises(type(expected.value)) as got:
        REFUSED[name](minigrad)
    assert type(got.value) is type(expected.value) and str(got.value)


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def test_out() -> None:
    for program in (
        lambda m, out: m.cat([x(m, 2), x(m, 3)], out=out),
        lambda m, out: m.stack([x(m, 2), x(m, 2)], out=out),
        lambda m, out: m.tril(x(m, 3, 3), out=out),
        lambda m, out: m.diag(x(m, 3), out=out),
        lambda m, out: m.narrow_copy(x(m, 5), 0, 1, 3, out=out),
    ):
        for shape in ((5,), (0,)):
            mine, theirs = [m.zeros(*shape, dtype=m.float64) for m in (minigrad, torch)]
            assert program(minigrad, mine) is mine
            program(torch, theirs)
            assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    "shapes", [((3, 1), (2, 1, 4)), ((), 3), ((0,), (1,)), ((2, 3),), (), (5, 1), ((2, 0), (1, 1))]
)
def test_broadcast_shapes(shapes: Any) -> None:
    got = minigrad.broadcast_shapes(*shapes)
    assert isinstance(got, minigrad.Size) and tuple(got) == tuple(torch.broadcast_shapes(*shapes))
