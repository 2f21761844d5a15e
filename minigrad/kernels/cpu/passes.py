"""The loops of loops.py: one template for each number of arguments, and what launches them.

FORMULA, the types T and the flags V ("varies along the row") are put into a template by
`specialise`; the launchers are compiled once, and call what became of the templates.
"""

from __future__ import annotations

from typing import Any

from . import compiler
from .compiler import Lazy, kernel, prange


def _loop1(n, p, out):
    a, y = carray(p, n, T0), carray(out, n, TY)
    for i in range(n):
        y[i] = FORMULA(a[i])


def _loop2(n, p, q, out):
    a, b, y = carray(p, n, T0), carray(q, n, T1), carray(out, n, TY)
    a0, b0 = a[0], b[0]
    for i in range(n):
        y[i] = FORMULA(a[i] if V0 else a0, b[i] if V1 else b0)


def _loop3(n, p, q, r, out):
    a, b, c, y = carray(p, n, T0), carray(q, n, T1), carray(r, n, T2), carray(out, n, TY)
    a0, b0, c0 = a[0], b[0], c[0]
    for i in range(n):
        y[i] = FORMULA(a[i] if V0 else a0, b[i] if V1 else b0, c[i] if V2 else c0)


def _loop4(n, p, q, r, s, out):
    a, b, c = carray(p, n, T0), carray(q, n, T1), carray(r, n, T2)
    d, y = carray(s, n, T3), carray(out, n, TY)
    a0, b0, c0, d0 = a[0], b[0], c[0], d[0]
    for i in range(n):
        y[i] = FORMULA(
            a[i] if V0 else a0, b[i] if V1 else b0, c[i] if V2 else c0, d[i] if V3 else d0
        )


def _loop5(n, p, q, r, s, t, out):
    a, b, c = carray(p, n, T0), carray(q, n, T1), carray(r, n, T2)
    d, e, y = carray(s, n, T3), carray(t, n, T4), carray(out, n, TY)
    a0, b0, c0, d0, e0 = a[0], b[0], c[0], d[0], e[0]
    for i in range(n):
        y[i] = FORMULA(
            a[i] if V0 else a0,
            b[i] if V1 else b0,
            c[i] if V2 else c0,
            d[i] if V3 else d0,
            e[i] if V4 else e0,
        )


TEMPLATES = {1: _loop1, 2: _loop2, 3: _loop3, 4: _loop4, 5: _loop5}


def _carray() -> Any:
    return compiler.numba().carray


carray: Any = Lazy(_carray)
FORMULA: Any = None
T0: Any = None
T1: Any = None
T2: Any = None
T3: Any = None
T4: Any = None
TY: Any = None
V0 = V1 = V2 = V3 = V4 = True
call: Any = Lazy(compiler.make_call)


@kernel(inline=True)
def _step(x):
    """Bytes to the next element; none for an argument of one element."""
    return x.itemsize if x.size > 1 else 0


# The launchers: chunks of one long row, or rows at given offsets, spread over the threads.
@kernel
def _flat1(loop, n, chunks, a, y):
    sa, sy = _step(a), y.itemsize
    for k in prange(chunks):
        i = n * k // chunks
        m = n * (k + 1) // chunks - i
        call(loop, (m, a.ctypes.data + i * sa, y.ctypes.data + i * sy))


@kernel
def _flat2(loop, n, chunks, a, b, y):
    sa, sb, sy = _step(a), _step(b), y.itemsize
    for k in prange(chunks):
        i = n * k // chunks
        m = n * (k + 1) // chunks - i
        call(loop, (m, a.ctypes.data + i * sa, b.ctypes.data + i * sb, y.ctypes.data + i * sy))


@kernel
def _flat3(loop, n, chunks, a, b, c, y):
    sa, sb, sc, sy = _step(a), _step(b), _step(c), y.itemsize
    for k in prange(chunks):
        i = n * k // chunks
        m = n * (k + 1) // chunks - i
        p, q = a.ctypes.data + i * sa, b.ctypes.data + i * sb
        call(loop, (m, p, q, c.ctypes.data + i * sc, y.ctypes.data + i * sy))


@kernel
def _flat4(loop, n, chunks, a, b, c, d, y):
    sa, sb, sc, sd, sy = _step(a), _step(b), _step(c), _step(d), y.itemsize
    for k in prange(chunks):
        i = n * k // chunks
        m = n * (k + 1) // chunks - i
        p, q = a.ctypes.data + i * sa, b.ctypes.data + i * sb
        r, s = c.ctypes.data + i * sc, d.ctypes.data + i * sd
        call(loop, (m, p, q, r, s, y.ctypes.data + i * sy))


@kernel
def _flat5(loop, n, chunks, a, b, c, d, e, y):
    sa, sb, sc, sd, se, sy = _step(a), _step(b), _step(c), _step(d), _step(e), y.itemsize
    for k in prange(chunks):
        i = n * k // chunks
        m = n * (k + 1) // chunks - i
        p, q = a.ctypes.data + i * sa, b.ctypes.data + i * sb
        r, s, t = c.ctypes.data + i * sc, d.ctypes.data + i * sd, e.ctypes.data + i * se
        call(loop, (m, p, q, r, s, t, y.ctypes.data + i * sy))


@kernel
def _rows1(loop, n, chunks, o, a, y):
    rows = o.shape[1]
    for k in prange(chunks):
        for i in range(rows * k // chunks, rows * (k + 1) // chunks):
            call(loop, (n, a.ctypes.data + o[0, i], y.ctypes.data + o[1, i] * y.itemsize))


@kernel
def _rows2(loop, n, chunks, o, a, b, y):
    rows = o.shape[1]
    for k in prange(chunks):
        for i in range(rows * k // chunks, rows * (k + 1) // chunks):
            p, q = a.ctypes.data + o[0, i], b.ctypes.data + o[1, i]
            call(loop, (n, p, q, y.ctypes.data + o[2, i] * y.itemsize))


@kernel
def _rows3(loop, n, chunks, o, a, b, c, y):
    rows = o.shape[1]
    for k in prange(chunks):
        for i in range(rows * k // chunks, rows * (k + 1) // chunks):
            p, q = a.ctypes.data + o[0, i], b.ctypes.data + o[1, i]
            call(loop, (n, p, q, c.ctypes.data + o[2, i], y.ctypes.data + o[3, i] * y.itemsize))


@kernel
def _rows4(loop, n, chunks, o, a, b, c, d, y):
    rows = o.shape[1]
    for k in prange(chunks):
        for i in range(rows * k // chunks, rows * (k + 1) // chunks):
            p, q = a.ctypes.data + o[0, i], b.ctypes.data + o[1, i]
            r, s = c.ctypes.data + o[2, i], d.ctypes.data + o[3, i]
            call(loop, (n, p, q, r, s, y.ctypes.data + o[4, i] * y.itemsize))


FLAT = {1: _flat1, 2: _flat2, 3: _flat3, 4: _flat4, 5: _flat5}
ROWS = {1: _rows1, 2: _rows2, 3: _rows3, 4: _rows4}
