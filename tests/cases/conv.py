"""Convolution, padding, pooling, windows."""

from __future__ import annotations

from . import Case, S, const


def _conv(n):
    def samples(r):
        size = (9, 8, 7)[:n]
        x, single = (2, 4, *size), (4, *size)
        k = (3, 2, 3)[:n]
        return [
            S(r(*x), r(6, 4, *k)),
            S(r(*x), r(6, 4, *k), r(6), stride=2, padding=1),
            S(r(*x), r(6, 2, *k), r(6), padding=1, groups=2),
            S(r(*x), r(4, 1, *k), None, groups=4, dilation=2),
            S(r(*x), r(3, 4, *[1] * n), r(3)),
            S(r(*single), r(3, 4, *k), r(3), padding="same"),
            S(r(*x), r(3, 4, *k), padding="valid", stride=tuple(range(1, n + 1))),
            S(r(0, 4, *size), r(3, 4, *k)),
        ]

    return samples


def _transpose(n):
    def samples(r):
        size = (4, 3, 3)[:n]
        x = (2, 4, *size)
        k = (3, 2, 3)[:n]
        return [
            S(r(*x), r(4, 3, *k)),
            S(r(*x), r(4, 3, *k), r(3), stride=2, padding=1, output_padding=1),
            S(r(*x), r(4, 3, *k), r(6), groups=2, dilation=2),
            S(r(4, *size), r(4, 3, *k), None, stride=tuple(range(2, n + 2))),
            S(r(*x), r(4, 3, *k), None, 1, 0, 1, dilation=2),
        ]

    return samples


def _max_pool(n):
    def samples(r):
        size = (8, 7, 6)[:n]
        x = (2, 3, *size)
        return [
            S(r.distinct(*x), 2),
            S(r.distinct(*x), 3, stride=2, padding=1),
            S(r.distinct(*x), 3, stride=2, ceil_mode=True),
            S(r.distinct(*x), 2, stride=1, dilation=2),
            S(r.distinct(3, *size), (2, 3, 2)[:n], return_indices=True),
        ]

    return samples


def _avg_pool(n):
    def samples(r):
        size = (8, 7, 6)[:n]
        x = (2, 3, *size)
        extra = [] if n == 1 else [S(r(*x), 2, divisor_override=3)]
        return [
            S(r(*x), 2),
            S(r(*x), 3, stride=2, padding=1),
            S(r(*x), 3, stride=2, padding=1, count_include_pad=False),
            S(r(*x), 3, stride=2, padding=1, ceil_mode=True),
            S(r(3, *size), (2, 3, 2)[:n], ceil_mode=True, count_include_pad=False),
            *extra,
        ]

    return samples


def _adaptive(n, values="__call__"):
    def samples(r):
        make = getattr(r, values)
        size = (8, 7, 6)[:n]
        sizes = [(3, 4, 2)[:n], 1, (9, 7, 5)[:n]]
        if n > 1:
            sizes.append((None, 3, 2)[:n])
        return [
            S(make(2, 3, *size), s if n > 1 else (s[0] if isinstance(s, tuple) else s))
            for s in sizes
        ] + [S(make(3, *size), 2)]

    return samples


def _unpool(n):
    def samples(r):
        out = (4, 6, 4)[:n]
        pooled = tuple(o // 2 for o in out)
        total = 1
        for o in out:
            total *= o
        index = r.rng.permuted([list(range(total))] * 6, axis=1)[
            :, : pooled[0] * (pooled[1] if n > 1 else 1) * (pooled[2] if n > 2 else 1)
        ]
        places = r.values(index.reshape(2, 3, *pooled), dtype="int64")
        return [S(r(2, 3, *pooled), places, 2), S(r(2, 3, *pooled), places, 2, output_size=out)]

    return samples


def _pad(r):
    return [
        S(r(2, 3, 4), (1, 2)),
        S(r(2, 3, 4), (1, 2, 0, 1, 2, 2), value=1.5),
        S(r(2, 3, 4), (-1, 2, 1, -1)),
        S(r(2, 3, 4), (2, 1), mode="reflect"),
        S(r(2, 3, 4, 5), (3, 1, 2, 0), mode="reflect"),
        S(r(2, 3, 4, 5), (3, 1, 2, 6), mode="replicate"),
        S(r(2, 3, 4, 5), (3, 1, 2, 4), mode="circular"),
        S(r(1, 2, 3, 4, 5), (1, 2, 1, 0, 2, 1), mode="replicate"),
        S(r(3, 4, 5), (-1, 2, 1, -1), mode="replicate"),
    ]


CASES = [
    *[Case(f"nn.functional.conv{n}d", _conv(n), rtol=1e-4, atol=1e-4, why="sums of up to 72 products") for n in (1, 2, 3)],
    *[
        Case(f"nn.functional.conv_transpose{n}d", _transpose(n), rtol=1e-4, atol=1e-4, why="sums of products")
        for n in (1, 2, 3)
    ],
    *[Case(f"nn.functional.max_pool{n}d", _max_pool(n)) for n in (1, 2, 3)],
    *[Case(f"nn.functional.avg_pool{n}d", _avg_pool(n)) for n in (1, 2, 3)],
    *[Case(f"nn.functional.adaptive_avg_pool{n}d", _adaptive(n)) for n in (1, 2, 3)],
    *[Case(f"nn.functional.adaptive_max_pool{n}d", _adaptive(n, "distinct")) for n in (1, 2, 3)],
    *[
        Case(f"nn.functional.lp_pool{n}d", lambda r, n=n: [S(r.pos(2, 3, *(8, 7, 6)[:n]), 2, 2), S(r.pos(2, 3, *(8, 7, 6)[:n]), 3, 3, stride=2, ceil_mode=True)])
        for n in (1, 2, 3)
    ],
    *[Case(f"nn.functional.max_unpool{n}d", _unpool(n)) for n in (1, 2, 3)],
    *[
        Case(
            f"nn.functional.fractional_max_pool{n}d",
            lambda r, n=n: [
                S(r.distinct(2, 3, *(8, 9, 7)[:n]), 2, output_size=(3, 4, 3)[:n], _random_samples=const(r(2, 3, n, low=0.0, high=1.0)), grad=True),
            ],
            half=False,
            gradgrad=True,
        )
        for n in (2, 3)
    ],
    Case("nn.functional.pad", _pad),
    Case("constant_pad_nd", lambda r: [S(r(3, 4), (1, 2)), S(r(3, 4), (-1, 1, 2, 0), 2.5), S(r.int(0, 9, 3, 4), (1, 1), 7)]),
    Case(
        "nn.functional.unfold",
        lambda r: [S(r(2, 3, 6, 5), 3), S(r(2, 3, 6, 5), (2, 3), dilation=2, padding=1, stride=(2, 1)), S(r(3, 6, 5), 2)],
    ),
    Case(
        "nn.functional.fold",
        lambda r: [
            S(r(2, 12, 12), (5, 4), 2), S(r(2, 18, 12), (7, 4), (3, 2), padding=1, stride=2), S(r(12, 12), (5, 4), 2),
        ],
    ),
]  # fmt: skip
