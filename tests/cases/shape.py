"""Views and rearrangements."""

from __future__ import annotations

import numpy as np

from . import Case, Make, S, const


def _reshapes(name: str) -> Case:
    def samples(r: Make) -> list[S]:
        return [
            S(r(4, 6), (3, 8)),
            S(r(4, 6), (2, -1, 3)),
            S(r(), (1, 1)),
            S(r(0, 3), (3, 0)),
            S(r(6), (6,)),
        ]

    return Case(name, samples)


def _complex(r: Make) -> list[S]:
    return [S(r.values(r(2, 3).values + 1j * r(2, 3).values, np.complex128))]


CASES = [
    _reshapes("reshape"),
    Case(
        "Tensor.view", lambda r: [S(r(4, 6), 3, 8), S(r(4, 6), (-1,)), S(r(), 1), S(r(0, 3), 3, 0)]
    ),
    Case("Tensor.view_as", lambda r: [S(r(4, 6), const(r(3, 8)))]),
    Case("Tensor.reshape_as", lambda r: [S(r(4, 6), const(r(3, 8)))]),
    Case(
        "flatten",
        lambda r: [
            S(r(2, 3, 4)),
            S(r(2, 3, 4), 1),
            S(r(2, 3, 4), -3, -2),
            S(r()),
            S(r(3)),
            S(r(2, 0)),
        ],
    ),
    Case(
        "unflatten",
        lambda r: [S(r(4, 6), 1, (2, 3)), S(r(4, 6), -2, (-1, 2)), S(r(0, 3), 0, (0, 1))],
    ),
    Case("ravel", lambda r: [S(r(2, 3)), S(r()), S(r(3)), S(r(0, 2))]),
    Case(
        "squeeze",
        lambda r: [
            S(r(1, 3, 1)),
            S(r(1, 3, 1), 0),
            S(r(1, 3, 1), 1),
            S(r(1, 3, 1), (0, -1)),
            S(r()),
            S(r(), 0),
        ],
    ),
    Case(
        "unsqueeze",
        lambda r: [S(r(2, 3), 0), S(r(2, 3), -1), S(r(2, 3), 1), S(r(), 0), S(r(0, 2), -3)],
    ),
    Case(
        "transpose",
        lambda r: [S(r(2, 3, 4), 0, 2), S(r(2, 3, 4), -1, 1), S(r(), 0, -1), S(r(0, 3), 0, 1)],
    ),
    Case("swapaxes", lambda r: [S(r(2, 3, 4), 0, 2)]),
    Case("swapdims", lambda r: [S(r(2, 3, 4), 0, -1)]),
    Case("t", lambda r: [S(r(2, 3)), S(r(3)), S(r())]),
    Case("adjoint", lambda r: [S(r(2, 3)), S(r(4, 2, 3)), S(r())]),
    Case(
        "permute",
        lambda r: [
            S(r(2, 3, 4), (2, 0, 1)),
            S(r(2, 3, 4), (-1, 1, 0)),
            S(r(), ()),
            S(r(0, 2), (1, 0)),
        ],
    ),
    Case(
        "movedim",
        lambda r: [S(r(2, 3, 4), 0, 2), S(r(2, 3, 4, 5), (0, -1), (2, 0)), S(r(), (), ())],
    ),
    Case("moveaxis", lambda r: [S(r(2, 3, 4), -1, 0)]),
    Case(
        "broadcast_to",
        lambda r: [S(r(3, 1), (2, 3, 4)), S(r(), (2, 2)), S(r(1, 3), (0, 3)), S(r(2), (2,))],
    ),
    Case(
        "Tensor.expand",
        lambda r: [S(r(3, 1), -1, 4), S(r(3, 1), (2, -1, 4)), S(r(), 3), S(r(1), 0)],
    ),
    Case("Tensor.expand_as", lambda r: [S(r(3, 1), const(r(2, 3, 4)))]),
    Case(
        "broadcast_tensors",
        lambda r: [S(r(3, 1), r(4)), S(r(), r(2, 3), r(1, 3)), S(r(0, 1), r(2))],
    ),
    Case(
        "Tensor.sum_to_size",
        lambda r: [S(r(2, 3, 4), 3, 1), S(r(2, 3), (2, 3)), S(r(2, 3), ()), S(r(0, 3), 1, 3)],
    ),
    Case("clone", lambda r: [S(r(2, 3)), S(r()), S(r(0, 2))]),
    Case("Tensor.contiguous", lambda r: [S(r(2, 3)), S(r())]),
    Case(
        "select",
        lambda r: [S(r(3, 4), 0, 1), S(r(3, 4), -1, -2), S(r(3), 0, 2), S(r(2, 3, 4), 1, 0)],
    ),
    Case(
        "narrow",
        lambda r: [
            S(r(3, 4), 1, 1, 2),
            S(r(3, 4), 0, -2, 2),
            S(r(3), 0, 3, 0),
            S(r(3, 4), -1, 0, 4),
        ],
    ),
    Case(
        "diagonal",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), 1),
            S(r(3, 4), -2),
            S(r(2, 3, 4), 0, 0, 2),
            S(r(2, 3, 4), 1, -1, 1),
            S(r(3, 4), 9),
            S(r(0, 3)),
        ],
    ),
    Case(
        "Tensor.unfold",
        lambda r: [
            S(r(7), 0, 3, 1),
            S(r(7), 0, 3, 2),
            S(r(2, 6), 1, 2, 3),
            S(r(6, 2), 0, 5, 1),
            S(r(3), 0, 3, 1),
            S(r(), 0, 1, 1),
            S(r(2, 5, 3), -2, 2, 2),
            S(r(4), 0, 0, 2),
        ],
    ),
    # one element: what lies at other offsets depends on the layout (tests/test_views.py)
    Case("as_strided", lambda r: [S(r(1), (3, 2), (0, 0)), S(r(), (), ()), S(r(1), (1,), (5,))]),
    Case("unbind", lambda r: [S(r(3, 2)), S(r(3, 2), 1), S(r(3)), S(r(0, 2)), S(r(2, 3, 2), -2)]),
    Case(
        "split",
        lambda r: [
            S(r(7, 2), 3),
            S(r(7, 2), [2, 0, 5]),
            S(r(2, 4), 2, 1),
            S(r(3), 9),
            S(r(0, 2), 1),
        ],
    ),
    Case("split_with_sizes", lambda r: [S(r(7, 2), [3, 4]), S(r(2, 5), [1, 2, 2], -1)]),
    Case("chunk", lambda r: [S(r(7, 2), 3), S(r(2, 4), 2, 1), S(r(3), 9), S(r(0, 2), 3)]),
    Case("unsafe_chunk", lambda r: [S(r(7, 2), 3), S(r(2, 4), 2, -1)]),
    Case("unsafe_split", lambda r: [S(r(7, 2), 3), S(r(2, 4), 2, -1)]),
    Case(
        "tensor_split",
        lambda r: [
            S(r(7, 2), 3),
            S(r(7), (1, 4)),
            S(r(7), (5, 2, 9, -1)),
            S(r(2, 5), 2, 1),
            S(r(2), 3),
            S(r(0, 2), 2),
        ],
    ),
    Case("hsplit", lambda r: [S(r(2, 4), 2), S(r(4), 2), S(r(2, 4), (1, 3))]),
    Case("vsplit", lambda r: [S(r(4, 2), 2), S(r(4, 2), (1, 3))]),
    Case("dsplit", lambda r: [S(r(2, 2, 4), 2), S(r(2, 2, 4), (1, 3))]),
    Case(
        "meshgrid",
        lambda r: [
            S(r(3), r(2), indexing="ij"),
            S(r(3), r(2), r(), indexing="xy"),
            S(r(0), r(2), indexing="ij"),
        ],
    ),
    Case(
        "flip",
        lambda r: [
            S(r(3, 4), (0,)),
            S(r(3, 4), (0, -1)),
            S(r(3, 4), ()),
            S(r(), ()),
            S(r(0, 2), (1,)),
        ],
    ),
    Case("fliplr", lambda r: [S(r(3, 4)), S(r(2, 3, 2))]),
    Case("flipud", lambda r: [S(r(3, 4)), S(r(3))]),
    Case(
        "roll",
        lambda r: [
            S(r(3, 4), 2),
            S(r(3, 4), -1, 1),
            S(r(3, 4), (1, 2), (0, 1)),
            S(r(3), 7, 0),
            S(r(0, 2), 1, 0),
            S(r(), 1),
        ],
    ),
    Case(
        "rot90",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), 2),
            S(r(3, 4), 3),
            S(r(3, 4), -1, (1, 0)),
            S(r(2, 3, 4), 5, (0, 2)),
            S(r(3, 4), 0),
        ],
    ),
    Case(
        "Tensor.repeat",
        lambda r: [
            S(r(2, 3), 2, 2),
            S(r(2, 3), (3, 1, 2)),
            S(r(), 3),
            S(r(2), 0),
            S(r(0, 2), 2, 1),
        ],
    ),
    Case(
        "tile",
        lambda r: [
            S(r(2, 3), (2, 2)),
            S(r(2, 3), (2,)),
            S(r(2), (3, 2)),
            S(r(), (2, 2)),
            S(r(2, 3), ()),
        ],
    ),
    Case(
        "repeat_interleave",
        lambda r: [
            S(r(3), 2),
            S(r(3, 2), 2, 0),
            S(r(3, 2), r.int(0, 4, 3), 0),
            S(r(2, 3), 2, -1),
            S(r(3), 0),
            S(r(), 3),
            S(r(3, 2), r.int(1, 3, 1), 1),
            S(r.int(0, 4, 3)),
            S(r(3), r.values([2, 1, 0], np.int64), output_size=3),
        ],
    ),
    Case(
        "tril",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), 1),
            S(r(2, 4, 3), -1),
            S(r(0, 3)),
            S(r(3, 3), diagonal=9),
        ],
    ),
    Case(
        "triu",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), 1),
            S(r(2, 4, 3), -1),
            S(r(0, 3)),
            S(r(3, 3), diagonal=-9),
        ],
    ),
    Case(
        "diag",
        lambda r: [
            S(r(3)),
            S(r(3), 1),
            S(r(3), -2),
            S(r(3, 4)),
            S(r(3, 4), 2),
            S(r(4, 3), -1),
            S(r(0)),
        ],
    ),
    Case(
        "diag_embed",
        lambda r: [
            S(r(3)),
            S(r(2, 3), 1),
            S(r(2, 3), -1, 0, 2),
            S(r(2, 3), 0, -1, -3),
            S(r(2, 0)),
            S(r(2, 3), dim1=1, dim2=0),
        ],
    ),
    Case("diagflat", lambda r: [S(r(3)), S(r(2, 2), 1), S(r()), S(r(0))]),
    Case("atleast_1d", lambda r: [S(r()), S(r(3)), S(r(), r(2, 2))]),
    Case("atleast_2d", lambda r: [S(r()), S(r(3)), S(r(2, 3)), S(r(), r(2, 2, 2))]),
    Case("atleast_3d", lambda r: [S(r()), S(r(3)), S(r(2, 3)), S(r(), r(2, 2, 2))]),
    Case("alias_copy", lambda r: [S(r(2, 3))]),
    Case("as_strided_copy", lambda r: [S(r(1), (3, 2), (0, 0))]),
    Case("detach", lambda r: [S(r(2, 3), grad=False)]),
    Case("diagonal_copy", lambda r: [S(r(3, 4), 1)]),
    Case("expand_copy", lambda r: [S(r(3, 1), (3, 4))]),
    Case("narrow_copy", lambda r: [S(r(3, 4), 1, 1, 2)]),
    Case("permute_copy", lambda r: [S(r(2, 3, 4), (2, 0, 1))]),
    Case("select_copy", lambda r: [S(r(3, 4), 0, 1)]),
    Case("split_copy", lambda r: [S(r(5, 2), 2)]),
    Case("split_with_sizes_copy", lambda r: [S(r(5, 2), [2, 3])]),
    Case("squeeze_copy", lambda r: [S(r(1, 3, 1)), S(r(1, 3), 0)]),
    Case("t_copy", lambda r: [S(r(2, 3))]),
    Case("transpose_copy", lambda r: [S(r(2, 3, 4), 0, 2)]),
    Case("unbind_copy", lambda r: [S(r(2, 3), 1)]),
    Case("unfold_copy", lambda r: [S(r(7), 0, 3, 2)]),
    Case("unsqueeze_copy", lambda r: [S(r(2, 3), 1)]),
    Case("view_copy", lambda r: [S(r(2, 3), (3, 2))]),
    Case("unsafe_split_with_sizes", lambda r: [S(r(5, 2), [2, 3]), S(r(2, 5), [1, 4], -1)]),
    Case("detach_copy", lambda r: [S(r(2, 3), grad=False)]),
    Case("view_as_real", _complex, half=False),
    Case("view_as_real_copy", _complex, half=False),
]
