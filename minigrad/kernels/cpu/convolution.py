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

from typing import Any

import numpy as np

from . import compiler, filling, geometry, microkernels, threads, weighing, winograd
from .compiler import Lazy, kernel, prange
from .launch import HEAD, body, floats_at, launch, table_of

F32 = np.dtype(np.float32)

fill, pack = filling.fill, filling.pack
copy_rows, spread_rows = microkernels.copy_rows, microkernels.spread_rows
LANES, ROWS = Lazy(microkernels.lanes), Lazy(microkernels.rows)
multiply, panel = microkernels.multiply, microkernels.panel
STRIP6, STRIP1 = microkernels.tile(1, 6), microkernels.tile(1, 1)
TILE3 = microkernels.TILE3
FOUR = 4


@body
def pack_group(group, table):
    """The biases and weights of a group as tile() reads them."""
    t = table_of(table)
    p = t[HEAD:]
    high = ROWS if p[0] > 1 else 1
    outputs, channels, groups = p[0], p[1], p[2]
    taps = t[t[6] : t[6] + p[32]]
    rows = (outputs + high - 1) // high * high
    size = rows * (1 + channels * taps.size)
    w = floats_at(t[11], groups * outputs * channels * p[34])
    packed, bias = floats_at(t[10], groups * size), floats_at(t[9], t[4])
    at = packed[group * size : (group + 1) * size]
    for k in range(rows):
        at[k] = bias[group * outputs + k] if k < outputs and bias.size > 0 else np.float32(0)
    pack(w, group * p[6], p[4], p[5], taps, channels, outputs, at[rows:], high)


@body
def correlate(chunk, table):
    """One thread's items of a pass; the table is `make_pass`'s."""
    t = table_of(table)
    x, y, scratch = t[1], t[2], t[3]
    g, p = t[t[5] :], t[HEAD:]
    offsets = t[8] + 8 * (t[6] + p[32])
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
        kp, rest = rest % parts * part, rest // parts
        group, n = rest % groups, rest // groups * together
        here = min(together, images - n)
        image = x + (n * source_images + group * channels * p[33]) * FOUR
        fill(
            image, lz + iz * g[8], ly + iy * g[9], lx + ix * g[10], here,
            channels, p[33], source_images, buf, gap, g,
        )  # fmt: skip
        nz, ny, nx = min(bz, cz - iz), min(by, cy - iy), min(bx, cx - ix)
        count = (here - 1) * size + ((nz - 1) * g[6] + ny - 1) * g[7] + nx
        used = (count + LANES - 1) // LANES
        start = t[10] + (group * blocks * (1 + terms) + kp) * high * FOUR
        a = t[10] + (group * blocks * (1 + terms) + blocks + kp * terms) * high * FOUR
        mine = min(part, blocks - kp)
        if high == 1:
            v = 0
            while v + 6 <= used:
                at = v * LANES * FOUR
                STRIP6((start, a, offsets, terms, buf + at, sums + at, wide))
                v += 6
            while v < used:
                at = v * LANES * FOUR
                STRIP1((start, a, offsets, terms, buf + at, sums + at, wide))
                v += 1
        else:
            multiply(start, a, offsets, terms, mine, buf, sums, used, wide)
        for i in range(min(mine * high, outputs - kp * high)):
            k = group * outputs + kp * high + i
            for j in range(here):
                image = y + ((n + j) * groups * outputs + k) * depth * height * width * FOUR
                for z in range(nz):
                    frm = sums + (i * wide + j * size + z * g[6] * g[7]) * FOUR
                    row = ((iz + z) * tz + rz) * height + iy * ty + ry
                    at = image + (row * width + ix * tx + rx) * FOUR
                    if tx == 1:
                        if ty == 1 and nx == width and nx == g[7]:
                            copy_rows((at, width, frm, nx, 1, ny * nx))
                        else:
                            copy_rows((at, ty * width, frm, g[7], ny, nx))
                    elif tx == 2:
                        spread_rows((at, ty * width, frm, g[7], ny, nx))
                    else:
                        for v in range(ny):
                            to_row, from_row = at + v * ty * width * FOUR, frm + v * g[7] * FOUR
                            copy_rows((to_row, tx, from_row, 1, nx, 1))


@body
def pointwise(chunk, table):
    """One thread's items of a 1x1 convolution of stride 1: a product with each image as it is."""
    t = table_of(table)
    p = t[HEAD:]
    outputs, channels, groups, images = p[0], p[1], p[2], p[3]
    chunks, scratch_size, places = p[29], p[30], p[33]
    blocks, wide = (outputs + ROWS - 1) // ROWS, 3 * LANES
    offsets = t[8] + 8 * (t[6] + p[32])
    columns = t[3] + chunk * scratch_size * FOUR
    sums = columns + (channels * wide + 4 * LANES) * FOUR
    across = (places + wide - 1) // wide
    items = images * groups * across
    for item in range(items * chunk // chunks, items * (chunk + 1) // chunks):
        place = min(item % across * wide, places - wide)  # the last one overlaps
        image = item // across
        start = t[10] + image % groups * blocks * ROWS * (1 + channels) * FOUR
        a = start + blocks * ROWS * FOUR
        panel((columns, t[1] + (image * channels * places + place) * FOUR, places, channels))
        y = t[2] + (image * outputs * places + place) * FOUR
        for b in range(outputs // ROWS):
            weights, to = a + b * channels * ROWS * FOUR, y + b * ROWS * places * FOUR
            TILE3((start + b * ROWS * FOUR, weights, offsets, channels, columns, to, places))
        rest = outputs % ROWS
        if rest > 0:
            b = outputs // ROWS
            weights = a + b * channels * ROWS * FOUR
            TILE3((start + b * ROWS * FOUR, weights, offsets, channels, columns, sums, wide))
            copy_rows((y + b * ROWS * places * FOUR, places, sums, wide, rest, wide))


# ------------------------------------------------------------------------------ entries
_NONE = np.empty(0, F32)


def usable(*arrays: Any) -> bool:
    """Whether the kernels are there for these arrays."""
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype is not F32 or not a.size:
            return False
    return compiler.enabled()


def _run(passes: Any, x: Any, w: Any, b: Any, y: Any) -> None:
    x, w, y = _flat(x), _flat(w), y.reshape(-1)
    for p in passes:
        launch(
            pack_group, p.groups, pointwise if p.pointwise else correlate, p.chunks, p.chunks > 1,
            p.table, p.chunks * p.scratch, p.packed, x, w, b, y, _NONE,
        )  # fmt: skip


def _flat(x: Any) -> Any:
    return (x if x.flags.c_contiguous else np.ascontiguousarray(x)).reshape(-1)


def _by_winograd(x: Any, w: Any, b: Any, shape: Any, padding: Any, flip: bool) -> Any:
    """y of `shape` for a 3x3 kernel of stride 1, or None: too small, or not finite.

    `flip`: w is (C, O, 3, 3), mirrored: the gradient of the input.
    """
    t = winograd.tiling(
        x.shape[0], x.shape[1], shape[1], x.shape[2:], padding, shape[2:], flip, threads.count()
    )
    if t is None:
        return None
    y, check = np.empty(shape, F32), np.zeros(16 * t.chunks, F32)
    launch(
        winograd.transform_block, t.blocks, winograd.winograd, t.chunks, t.chunks > 1,
        t.table, t.chunks * t.scratch, t.packed, _flat(x), _flat(w), b, y.reshape(-1), check,
    )  # fmt: skip
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
    if 0 in shape:
        return None
    bias = _NONE if b is None else _flat(b)
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
    bias = _NONE if b is None else _flat(b)
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
    w = np.empty((g.shape[1], x.shape[1] // groups, *kernel), F32)
    launch(
        weighing.weigh, p.chunks, weighing.combine, p.chunks, p.chunks > 1,
        p.table, p.chunks * p.scratch, p.partial, _flat(x), _NONE, _NONE, w.reshape(-1), _flat(g),
    )  # fmt: skip
    return w


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
    if not usable(g):
        return None
    y = np.empty(g.shape[1], F32)
    sum_channels.run(g.size, _flat(g), g.shape[0], g.shape[1], y)
    return y
