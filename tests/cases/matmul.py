"""Products of matrices and vectors, contractions, the linear and bilinear layers, distances."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, const

INF, NAN = np.inf, np.nan


def fused(*shapes: tuple[int, ...], smaller: bool = True):
    """Samples of β·input + α·product for operands of these shapes; input also smaller."""

    truncated = {} if len(shapes[1]) == 1 else {"beta": 1.7, "alpha": 2.5}  # addr refuses

    def samples(r: Make) -> list[S]:
        first, *rest = shapes
        nan = r.values(np.full(first, NAN))
        found = [S(r(*first[1:]), *[r(*s) for s in rest], beta=2, alpha=3)] if smaller else []
        return found + [
            S(r(*first), *[r(*s) for s in rest]),
            S(r(*first), *[r(*s) for s in rest], beta=0.5, alpha=-2.0),
            S(const(nan), *[r(*s) for s in rest], beta=0),
            S(r(*first), *[const(r(*s)) for s in rest], alpha=0),
            S(*[r.int(-3, 4, *s) for s in shapes], beta=2, alpha=3),
            S(*[r.int(-3, 4, *s) for s in shapes], **truncated),
        ]

    return samples


CASES = [
    Case(
        "matmul",
        lambda r: [
            S(r(3, 4), r(4, 2)),
            S(r(4), r(4)),
            S(r(3, 4), r(4)),
            S(r(4), r(4, 2)),
            S(r(2, 3, 4), r(2, 4, 5)),
            S(r(2, 3, 4), r(4, 5)),
            S(r(3, 4), r(2, 4, 5)),
            S(r(2, 1, 3, 4), r(5, 4, 2)),
            S(r(2, 3, 4), r(4)),
            S(r(4), r(2, 4, 3)),
            S(r(0, 4), r(4, 2)),
            S(r(3, 0), r(0, 2)),
            S(r(0), r(0)),
            S(r(2, 0, 4), r(4, 3)),
            S(r(0, 3, 4), r(4, 2)),
            S(const(r(3, 4)), r(4, 2)),
            S(r(3, 4), const(r(4, 2))),
            S(r.int(-5, 6, 2, 3), r.int(-5, 6, 3, 2)),
            S(r.int(0, 200, 2, 3, dtype=np.uint8), r.int(0, 200, 3, dtype=np.uint8)),
            S(r.values([[INF, 1.0], [NAN, 0.0]]), r.values([[1.0, 2.0], [0.5, -1.0]]), grad=False),
            S(r.values([[1j, 2.0]], np.complex128), r.values([[1 + 1j], [2j]], np.complex128)),
        ],
    ),
    Case("linalg.matmul", lambda r: [S(r(2, 3, 4), r(4, 5))]),
    Case("mm", lambda r: [S(r(3, 4), r(4, 2)), S(r(0, 4), r(4, 2)), S(r(3, 0), r(0, 2))]),
    Case("bmm", lambda r: [S(r(2, 3, 4), r(2, 4, 5)), S(r(0, 3, 4), r(0, 4, 5))]),
    Case("mv", lambda r: [S(r(3, 4), r(4)), S(r(0, 4), r(4)), S(r(3, 0), r(0))]),
    Case("dot", lambda r: [S(r(4), r(4)), S(r(0), r(0)), S(r.int(-3, 4, 5), r.int(-3, 4, 5))]),
    Case(
        "vdot",
        lambda r: [
            S(r(4), r(4)),
            S(r.values([1j, 2.0], np.complex128), r.values([1 + 1j, 2j], np.complex128)),
        ],
    ),
    Case(
        "inner",
        lambda r: [
            S(r(4), r(4)),
            S(r(2, 3), r(4, 3)),
            S(r(2, 1, 3), r(3)),
            S(r(), r(2, 3)),
            S(r(2), r()),
        ],
    ),
    Case("outer", lambda r: [S(r(3), r(4)), S(r(0), r(4)), S(r(3), r.int(0, 5, 2))]),
    Case("ger", lambda r: [S(r(3), r(4))]),
    Case("addmm", fused((3, 5), (3, 4), (4, 5))),
    Case("addmv", fused((3,), (3, 4), (4,))),
    Case("addr", fused((3, 4), (3,), (4,))),
    Case("baddbmm", fused((2, 3, 5), (2, 3, 4), (2, 4, 5))),
    # unlike PyTorch's, addbmm_ refuses an input smaller than the result, as addmm_ does in both
    Case("addbmm", fused((3, 5), (2, 3, 4), (2, 4, 5), smaller=False)),
    Case("addbmm", lambda r: [S(r(5), r(2, 3, 4), r(2, 4, 5))], variants=False),
    Case("trace", lambda r: [S(r(3, 3)), S(r(2, 4)), S(r(0, 3)), S(r.int(0, 9, 3, 2))]),
    Case(
        "linalg.vecdot",
        lambda r: [S(r(2, 3), r(2, 3)), S(r(2, 3), r(3)), S(r(3, 2), r(3, 1), dim=0)],
    ),
    Case(
        "linalg.multi_dot",
        lambda r: [
            S([r(2, 3), r(3, 4)]),
            S([r(2, 5), r(5, 1), r(1, 4), r(4, 3)]),
            S([r(3), r(3, 2), r(2)]),
            S([r(3), r(3, 2)]),
            S([r(2, 3), r(3, 2), r(2)]),
        ],
    ),
    Case("chain_matmul", lambda r: [S(r(2, 5), r(5, 1), r(1, 4)), S(r(2, 3), r(3, 2))]),
    Case(
        "tensordot",
        lambda r: [
            S(r(2, 3, 4), r(3, 4, 5)),
            S(r(2, 3), r(4, 5), 0),
            S(r(2, 3, 4), r(4, 3), ([1, 2], [1, 0])),
            S(r(2, 3, 4), r(5, 3), dims=([1], [-1])),
            S(r(3, 1), r(4, 2), ([1], [0])),
            S(r(3), r(3), 1),
            S(r(2, 0), r(0, 3), 1),
        ],
    ),
    Case(
        "kron",
        lambda r: [
            S(r(2, 3), r(3, 2)),
            S(r(2), r(2, 3)),
            S(r(2, 1, 2), r(3)),
            S(r(), r(2)),
            S(r(0, 2), r(2, 2)),
            S(r.int(0, 5, 2), r(3)),
        ],
    ),
    Case(
        "einsum",
        lambda r: [
            S("ij,jk->ik", r(2, 3), r(3, 4)),
            S("bij,bjk->bik", r(2, 3, 4), r(2, 4, 5)),
            S("ij->ji", r(2, 3)),
            S("ii->", r(3, 3)),
            S("ii->i", r(3, 3)),
            S("ij->", r(2, 3)),
            S("ij->j", r(2, 3)),
            S("i,j->ij", r(3), r(4)),
            S("i,i->", r(3), r(3)),
            S("...ij,...jk->...ik", r(2, 1, 3, 4), r(5, 4, 2)),
            S("...i->...", r(2, 3)),
            S("bij,bj", r(2, 3, 4), r(2, 4)),
            S("ab,cd,bc->ad", r(2, 3), r(4, 5), r(3, 4)),
            S("ij,ij->ij", r(2, 3), r(1, 3)),
            S("ij,jk->ik", r(2, 1), r(3, 4)),
            S("iij,jk->ik", r(2, 2, 3), r(3, 4)),
            S("ba", r(2, 3)),
            S("i...,i...->...", r(3, 2), r(3, 2)),
            S("a...b,b->...a", r(2, 3, 4, 5), r(5)),
            S("ij,k->ik", r(2, 3), r(4)),
            S(" i j , j -> i ", r(2, 3), r(3)),
            S("aB,Bc->ca", r(2, 3), r(3, 4)),
            S("ij,jk", [r(2, 3), r(3, 4)]),
            S(r(2, 3), [0, 1], r(3, 4), [1, 2], [2, 0]),
            S(r(2, 3, 3), [Ellipsis, 5, 5]),
            S("i,i,i->i", r(3), r(3), r(3)),
            S("ij,jk->ik", r(0, 3), r(3, 2)),
        ],
    ),
    Case(
        "nn.functional.linear",
        lambda r: [
            S(r(2, 3), r(4, 3), r(4)),
            S(r(2, 3), r(4, 3)),
            S(r(3), r(4, 3), r(4)),
            S(r(2, 5, 3), r(4, 3), r(4)),
            S(r(2, 3), r(3)),
            S(r(3), r(3)),
            S(r(3), r(3), r()),
            S(r(0, 3), r(4, 3), r(4)),
            S(r(2, 0, 3), r(4, 3), r(4)),
            S(const(r(2, 3)), r(4, 3), r(4)),
            S(r(2, 3), const(r(4, 3)), const(r(4))),
            S(r(2, 3), r(4, 3), bias=r(1)),
            S(r(2, 3, 1, 4), r(2, 4), r(2)),
        ],
    ),
    Case(
        "nn.functional.bilinear",
        lambda r: [
            S(r(2, 3), r(2, 4), r(5, 3, 4), r(5)),
            S(r(3), r(4), r(5, 3, 4)),
            S(r(2, 2, 3), r(2, 2, 1), r(1, 3, 1)),
            S(r(0, 3), r(0, 4), r(5, 3, 4), r(5)),
        ],
    ),
    Case(
        "cross",
        lambda r: [
            S(r(2, 3), r(2, 3)),
            S(r(3, 4), r(3, 4)),
            S(r(3, 3, 2), r(3, 3, 2), dim=1),
            S(r(3), r(3)),
        ],
    ),
    Case(
        "linalg.cross",
        lambda r: [S(r(2, 3), r(2, 3)), S(r(3, 1), r(3, 4), dim=0), S(r(0, 3), r(1, 3))],
    ),
    Case(
        "cdist",
        lambda r: [
            S(r(3, 4), r(5, 4)),
            S(r(2, 3, 4), r(1, 5, 4)),
            S(r(3, 4), r(5, 4), 1.0),
            S(r(3, 4), r(5, 4), 3.0),
            S(r(3, 4), r(5, 4), p=INF),
            S(r(3, 4), r(5, 4), p=0.0, smooth=False),
            S(r(30, 3), r(28, 3)),
            S(r.values([[1.0, 2.0], [1.0, 2.0]]), r.values([[1.0, 2.0]]), smooth=False),
            S(r(0, 3), r(2, 3)),
            S(r(30, 3), r(28, 3), compute_mode="donot_use_mm_for_euclid_dist"),
        ],
        half=False,
        atol=1e-4,
        why="differences of squares: PyTorch's float32 loses digits, too",
        gradgrad=False,
    ),
    Case("nn.functional.cosine_similarity", lambda r: [S(r(3, 4), r(3, 4))]),
    Case(
        "cosine_similarity",
        lambda r: [
            S(r(3, 4), r(3, 4)),
            S(r(3, 4), r(4), dim=-1),
            S(r(4), r(4), dim=0),
            S(r(2, 3, 4), r(1, 3, 1), 2),
            S(r.values([[0.0, 0.0], [1.0, 2.0]]), r(2, 2), smooth=False),
            S(r(2, 3), r(2, 3), eps=1.0, smooth=False),
        ],
    ),
    Case(
        "nn.functional.pairwise_distance",
        lambda r: [
            S(r(3, 4), r(3, 4)),
            S(r(4), r(4)),
            S(r(3, 4), r(4), p=1.0),
            S(r(3, 4), r(3, 4), p=3.0, keepdim=True),
            S(r(3, 4), r(1, 4), p=INF),
            S(r(3, 4), r(3, 4), eps=0.5),
        ],
        half=False,
    ),
    Case(
        "nn.functional.pdist",
        lambda r: [
            S(r(4, 3)),
            S(r(4, 3), 1.0),
            S(r(4, 3), p=3.0),
            S(r(4, 3), p=INF),
            S(r(1, 3), grad=False),
        ],
        half=False,
        gradgrad=False,
    ),
]
