"""Convolution in up to three dimensions: forward, and the gradients of input and weights.

All three are matrix products with the windows of an image, and the windows are never gathered: in
an image that lies in one piece, padding included, what one tap of the kernel sees is the image
itself, some floats further on (microkernels.py). So an item of work is:

    fill       copy a box of the image, zeros around it, to a buffer that stays in the cache; with
               stride s, as s phases each of which is seen with stride 1
    multiply   one row of the product for each tap of each channel, at its offset in the buffer
    place      the sums to the result, without those that lie between two rows of the image

The gradient of the input is a forward convolution of the output's gradient (with stride s: one for
each phase of the input), so it takes the same path; the gradient of the weights is the product the
other way round. Which boxes, taps and offsets: geometry.py. 3x3 kernels of stride 1: winograd.py.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from . import compiler, filling, geometry, microkernels, threads, winograd
from .compiler import Lazy, kernel, prange
from .launch import HEAD, body, carray, launch, real, table_for, table_of

F32 = np.dtype(np.float32)

zeros = microkernels.zeros
fill, pack = filling.fill, filling.pack
place, spread = microkernels.place, microkernels.spread
LANES, ROWS = Lazy(microkernels.lanes), Lazy(microkernels.rows)
multiply = microkernels.multiply
STRIP6, STRIP1 = microkernels.tile(1, 6), microkernels.tile(1, 1)
DOT_HIGH, DOT_WIDE, DOT_LONG = geometry.DOT_HIGH, geometry.DOT_WIDE, geometry.DOT_LONG
DOT, DOT1 = microkernels.dot(DOT_HIGH, DOT_WIDE), microkernels.dot(1, DOT_LONG)
FOUR = 4


@body
def pack_group(group, table, a, b):
    """The weights of a group as tile() reads them."""
    t = table_of(table)
    p = t[HEAD:]
    high = ROWS if p[0] > 1 else 1
    outputs, channels = p[0], p[1]
    taps = t[t[6] : t[6] + p[32]]
    size = (outputs + high - 1) // high * channels * taps.size * high
    w, packed = carray(a, (t[7],), real), carray(b, (p[2] * size,), real)
    at = packed[group * size : (group + 1) * size]
    pack(w, group * p[6], p[4], p[5], taps, channels, outputs, at, high)


@body
def correlate(chunk, table, a, b):
    """One thread's items of a pass; table: `_table`, a: the bias, b: the packed weights."""
    t = table_of(table)
    x, y, scratch, biased = t[1], t[2], t[3], t[4]
    g, p = t[t[5] :], t[HEAD:]
    offsets = t[8] + 8 * (t[6] + p[32])
    bias, packed = carray(a, (biased,), real), t[10]
    high = ROWS if p[0] > 1 else 1
    outputs, channels, groups, images = p[0], p[1], p[2], p[3]
    together, vectors, parts = p[7], p[8], p[9]
    cz, cy, cx = p[10], p[11], p[12]  # results in each dimension
    bz, by, bx = p[13], p[14], p[15]  # of one box
    lz, ly, lx = p[16], p[17], p[18]  # source coordinates of result 0
    depth, height, width = p[19], p[20], p[21]  # of the result's image
    tz, ty, tx = p[22], p[23], p[24]  # steps between results in it
    rz, ry, rx = p[25], p[26], p[27]  # where result 0 goes
    gap, chunks, scratch_size, source_images = p[28], p[29], p[30], p[31]
    blocks = (outputs + high - 1) // high
    terms = channels * p[32]
    part = (blocks + parts - 1) // parts
    boxes_z, boxes_y, boxes_x = (cz + bz - 1) // bz, (cy + by - 1) // by, (cx + bx - 1) // bx
    sets = (images + together - 1) // together
    items = sets * groups * parts * boxes_z * boxes_y * boxes_x
    size = g[5] * g[6] * g[7]
    buf = scratch + chunk * scratch_size * FOUR
    sums = buf + (channels * g[11] * gap + 4 * LANES) * FOUR
    wide = vectors * LANES
    for item in range(items * chunk // chunks, items * (chunk + 1) // chunks):
        rest = item
        ix, rest = rest % boxes_x * bx, rest // boxes_x
        iy, rest = rest % boxes_y * by, rest // boxes_y
        iz, rest = rest % boxes_z * bz, rest // boxes_z
        kp, rest = rest % parts, rest // parts
        group, n = rest % groups, rest // groups * together
        here = min(together, images - n)
        image = x + (n * source_images + group * channels * p[33]) * FOUR
        fill(
            image, lz + iz * g[8], ly + iy * g[9], lx + ix * g[10], g[0], g[1], g[2], here,
            channels, p[33], source_images, buf, gap, g,
        )  # fmt: skip
        nz, ny, nx = min(bz, cz - iz), min(by, cy - iy), min(bx, cx - ix)
        count = (here - 1) * size + ((nz - 1) * g[6] + ny - 1) * g[7] + nx
        used = (count + LANES - 1) // LANES
        for b in range(kp * part, min((kp + 1) * part, blocks)):
            a = packed + (group * blocks + b) * terms * high * FOUR
            v = 0
            if high == 1:
                while v + 6 <= used:
                    STRIP6(
                        (
                            a,
                            offsets,
                            terms,
                            buf + v * LANES * FOUR,
                            sums + v * LANES * FOUR,
                            wide,
                        )
                    )  # noqa: E501
                    v += 6
                while v < used:
                    STRIP1(
                        (
                            a,
                            offsets,
                            terms,
                            buf + v * LANES * FOUR,
                            sums + v * LANES * FOUR,
                            wide,
                        )
                    )  # noqa: E501
                    v += 1
            else:
                multiply(a, offsets, terms, buf, sums, used, wide)
            for i in range(min(high, outputs - b * high)):
                k = group * outputs + b * high + i
                plus = bias[k] if biased > 0 else np.float32(0)
                for j in range(here):
                    frm = sums + (i * wide + j * size) * FOUR
                    to = y + ((n + j) * groups * outputs + k) * depth * height * width * FOUR  # noqa: E501
                    for z in range(nz):
                        oz = (iz + z) * tz + rz
                        for v in range(ny):
                            oy = (iy + v) * ty + ry
                            at = to + ((oz * height + oy) * width + ix * tx + rx) * FOUR
                            row = frm + (z * g[6] + v) * g[7] * FOUR
                            if tx == 1:
                                place((at, row, nx, plus))
                            elif tx == 2:
                                spread((at, row, nx, plus))
                            else:
                                for q in range(nx):
                                    place((at + q * tx * FOUR, row + q * FOUR, 1, plus))


@body
def weigh(chunk, table, a, b):
    """One thread's tasks of the weights' gradient, from y, the result's; a: the partial sums."""
    t = table_of(table)
    x, y, scratch, partial, chunks = t[1], t[2], t[3], t[9], t[4]
    g, p = t[t[5] :], t[HEAD:]
    other, offsets = t[t[7] :], t[8] + 8 * t[6]
    outputs, channels, groups, images, rows = p[0], p[1], p[2], p[3], p[4]
    together, parts, pieces = p[5], p[6], p[7]
    cz, cy, cx = p[8], p[9], p[10]
    bz, by, bx = p[11], p[12], p[13]
    lz, ly, lx = p[14], p[15], p[16]
    gap, scratch_size, source_size, target_size, padded = p[17], p[18], p[19], p[20], p[21]
    high = DOT_HIGH if outputs > 1 else 1
    boxes_z, boxes_y, boxes_x = (cz + bz - 1) // bz, (cy + by - 1) // by, (cx + bx - 1) // bx
    items = (images + together - 1) // together * boxes_z * boxes_y * boxes_x
    tasks = pieces * groups * parts
    size = g[5] * g[6] * g[7]
    buf = scratch + chunk * scratch_size * FOUR
    grads = buf + (channels * g[11] * gap + 4 * LANES) * FOUR
    zeros((grads - 4 * LANES * FOUR, 4 * LANES))
    for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
        part, rest = task % parts, task // parts
        group, piece = rest % groups, rest // groups
        first = part * rows
        mine = min(rows, outputs - first)
        if mine <= 0:
            continue
        out = partial + ((piece * groups + group) * parts + part) * rows * padded * FOUR  # noqa: E501
        for item in range(items * piece // pieces, items * (piece + 1) // pieces):
            ix, rest = item % boxes_x * bx, item // boxes_x
            iy, rest = rest % boxes_y * by, rest // boxes_y
            iz, n = rest % boxes_z * bz, rest // boxes_z * together
            here = min(together, images - n)
            image = x + (n * groups + group) * channels * source_size * FOUR
            fill(
                image, lz + iz * g[8], ly + iy * g[9], lx + ix * g[10], g[0], g[1], g[2], here,
                channels, source_size, groups * channels * source_size, buf, gap, g,
            )  # fmt: skip
            nz, ny, nx = min(bz, cz - iz), min(by, cy - iy), min(bx, cx - ix)
            image = y + ((n * groups + group) * outputs + first) * target_size * FOUR
            fill(
                image, iz, iy, ix, iz + nz, iy + ny, ix + nx, here,
                mine, target_size, groups * outputs * target_size, grads, gap, other,
            )  # fmt: skip
            count = ((nz - 1) * g[6] + ny - 1) * g[7] + nx
            used = (count + LANES - 1) // LANES
            again = here
            if used * LANES > size:  # what follows an image is not zero: all images as one
                used, again = ((here - 1) * size + count + LANES - 1) // LANES, 1
            if high == 1:
                for r in range(0, padded, DOT_LONG):
                    DOT1(
                        (
                            grads,
                            gap,
                            offsets + 8 * r,
                            buf,
                            again,
                            size,
                            used,
                            out + r * FOUR,
                            padded,
                        )
                    )  # noqa: E501
            else:
                for r in range(0, padded, DOT_WIDE):
                    for k in range(0, mine, DOT_HIGH):
                        DOT(
                            (
                                grads + k * gap * FOUR,
                                gap,
                                offsets + 8 * r,
                                buf,
                                again,
                                size,
                                used,
                                out + (k * padded + r) * FOUR,
                                padded,
                            )
                        )  # noqa: E501


# ------------------------------------------------------------------------------ entries
class _Workspace(threading.local):
    """A thread's buffers, kept from call to call: fresh memory costs more than many a layer."""

    floats: Any = None

    def get(self, count: int) -> Any:
        """An uninitialised float32 array that starts at a cache line."""
        if self.floats is None or self.floats.size < count + 16:
            self.floats = np.empty(count + 16, F32)
        skip = -self.floats.ctypes.data % 64 // 4
        return self.floats[skip : skip + count]


WORKSPACE = _Workspace()
_NO_BIAS = np.empty(0, F32)


def usable(*arrays: Any) -> bool:
    """Whether the kernels are there for these arrays."""
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype is not F32 or not a.size:
            return False
    return compiler.enabled()


def _run(passes: Any, x: Any, w: Any, b: Any, y: Any) -> None:
    x, w, y = (
        np.ascontiguousarray(x).reshape(-1),
        np.ascontiguousarray(w).reshape(-1),
        y.reshape(-1),
    )
    for p in passes:
        space = WORKSPACE.get(p.chunks * p.scratch + p.packed)
        scratch, packed = space[: p.chunks * p.scratch], space[p.chunks * p.scratch :]
        table = table_for(p.table, x, y, scratch, b.size, w.size, w, packed)
        launch(pack_group, p.groups, p.groups > 1 and p.chunks > 1, table, w, packed)
        table[9] = b.ctypes.data
        launch(correlate, p.chunks, p.chunks > 1, table, b, packed)


def _by_winograd(x: Any, w: Any, b: Any, shape: Any, padding: Any, flip: bool) -> Any:
    """y of `shape` for a 3x3 kernel of stride 1, or None: too small, or not finite.

    `flip`: w is (C, O, 3, 3), mirrored: the gradient of the input.
    """
    t = winograd.tiling(
        x.shape[0], x.shape[1], shape[1], x.shape[2:], padding, shape[2:], flip, threads.count()
    )
    if t is None:
        return None
    y = np.empty(shape, F32)
    space = WORKSPACE.get(t.chunks * t.scratch + t.packed + t.chunks * 64)
    scratch, rest = space[: t.chunks * t.scratch], space[t.chunks * t.scratch :]
    check, packed = rest[: t.chunks * 64], rest[t.chunks * 64 :]
    check[:] = 0
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    table = table_for(t.table, x, y, scratch, b.size, w.size, w, packed)
    parallel = t.chunks > 1
    launch(winograd.transform_block, t.blocks, parallel, table, w.reshape(-1), packed)
    table[9] = check.ctypes.data
    launch(winograd.winograd, t.chunks, parallel, table, b, packed)
    return y if check.sum() == 0 else None


def _three_by_three(w: Any, stride: Any, dilation: Any, groups: int) -> bool:
    return w.shape[2:] == (3, 3) and groups == 1 and stride == dilation == (1, 1)


def forward(
    x: Any, w: Any, b: Any, out: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """y = w * x + b, (N, C, ...) with (O, C/groups, ...), or None where the formula is to do it."""
    if x.ndim > 5 or not usable(x, w):
        return None
    shape = (x.shape[0], w.shape[0], *out)
    if not np.prod(shape):
        return None
    bias = _NO_BIAS if b is None else np.ascontiguousarray(b).reshape(-1)
    if _three_by_three(w, stride, dilation, groups):
        y = _by_winograd(x, w, bias, shape, padding, False)
        if y is not None:
            return y
    passes = geometry.forward(
        x.shape, w.shape, out, stride, padding, dilation, groups, threads.count()
    )
    y = np.empty(shape, F32)
    _run(passes, x, w, bias, y)
    return y


def input_gradient(
    g: Any, w: Any, b: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """The adjoint of forward in x (plus b: a transposed convolution's bias), or None."""
    if g.ndim > 5 or not usable(g, w):
        return None
    shape = (g.shape[0], w.shape[1] * groups, *size)
    bias = _NO_BIAS if b is None else np.ascontiguousarray(b).reshape(-1)
    if _three_by_three(w, stride, dilation, groups) and max(padding) <= 2:
        x = _by_winograd(g, w, bias, shape, (2 - padding[0], 2 - padding[1]), True)
        if x is not None:
            return x
    passes, whole = geometry.backward(
        g.shape, w.shape, size, stride, padding, dilation, groups, threads.count()
    )
    if whole:
        x = np.empty(shape, F32)
    else:
        x = np.zeros(shape, F32)
        if b is not None:
            x += b.reshape(-1, *[1] * len(size))
    _run(passes, g, w, bias, x)
    return x


def weight_gradient(
    x: Any, g: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """The adjoint of forward in w, or None."""
    if x.ndim > 5 or not usable(x, g):
        return None
    p = geometry.weights(
        x.shape, g.shape, kernel, stride, padding, dilation, groups, threads.count()
    )
    scratch = WORKSPACE.get(p.chunks * p.scratch)
    partial = np.zeros(p.shape, F32)
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    sums = partial.reshape(-1)
    table = table_for(p.table, x, g, scratch, p.chunks, None, sums, scratch)
    launch(weigh, p.chunks, p.chunks > 1, table, sums, scratch)
    outputs, channels = g.shape[1] // groups, x.shape[1] // groups
    terms = channels * int(np.prod(kernel))
    total = partial[0] if len(partial) == 1 else partial.sum(0)
    return total[:, :outputs, :terms].reshape(g.shape[1], channels, *kernel)


@kernel(flags=compiler.REASSOCIATE)
def sum_channels(g, images, channels, y):
    """y[c] = sum of g (images, channels, places): rows in float32, their sums in float64."""
    places = g.size // (images * channels)
    for c in prange(channels):
        total = 0.0
        for n in range(images):
            start = (n * channels + c) * places
            row = np.float32(0)
            for i in range(start, start + places):
                row += g[i]
            total += row
        y[c] = total


def channel_sums(g: Any) -> Any:
    """Sum of g over all dimensions but the second, or None."""
    if g.size < SMALL or not usable(g):
        return None
    y = np.empty(g.shape[1], F32)
    sum_channels.run(g.size, np.ascontiguousarray(g).reshape(-1), g.shape[0], g.shape[1], y)
    return y


SMALL = 2048
"""Elements below which NumPy's own sum is as fast."""
