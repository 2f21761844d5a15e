"""Several tensors as one."""

from __future__ import annotations

from . import Case, S, const

CASES = [
    Case(
        "cat",
        lambda r: [
            S([r(2, 3), r(4, 3)]),
            S([r(2, 3), r(2, 1), r(2, 2)], 1),
            S([r(2, 3)], -1),
            S([r(0), r(2, 3)]),
            S([r(2, 0), r(2, 3)], dim=1),
            S([r(2), const(r(3)), r(1)]),
            S([r(2, 3), r.int(0, 5, 2, 3)]),
            S([r(0), r(0)]),
        ],
    ),
    Case("concat", lambda r: [S([r(2, 3), r(4, 3)], dim=0)]),
    Case("concatenate", lambda r: [S([r(2, 3), r(2, 1)], dim=1)]),
    Case(
        "stack",
        lambda r: [
            S([r(2, 3), r(2, 3)]),
            S([r(2, 3)] * 2, -1),
            S([r(), r(), const(r())]),
            S([r(2), r.int(0, 5, 2)], 1),
            S([r(0, 2), r(0, 2)], 1),
        ],
    ),
    Case("hstack", lambda r: [S([r(2, 3), r(2, 1)]), S([r(2), r(3)]), S([r(), r()])]),
    Case("vstack", lambda r: [S([r(2, 3), r(1, 3)]), S([r(3), r(3)]), S([r(), r()])]),
    Case("row_stack", lambda r: [S([r(2, 3), r(3)])]),
    Case("dstack", lambda r: [S([r(2, 3), r(2, 3)]), S([r(3), r(3)]), S([r(), r()])]),
    Case("column_stack", lambda r: [S([r(3), r(3, 2)]), S([r(), r()])]),
    Case(
        "block_diag", lambda r: [S(r(2, 3), r(1, 2)), S(r(3), r()), S(r(2, 2)), S(r(0, 2), r(2, 1))]
    ),
    Case("cartesian_prod", lambda r: [S(r(2), r(3)), S(r(2)), S(r(2), r(2), r(0))]),
    Case(
        "combinations",
        lambda r: [
            S(r(4)),
            S(r(4), 3),
            S(r(3), 2, True),
            S(r(3), 1),
            S(r(2), 3),
            S(r(0), grad=False),
        ],
    ),
]
