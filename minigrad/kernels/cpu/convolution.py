"""Convolution in up to three dimensions: forward, and the gradients of input and weights.

All three are matrix products with the windows of an image, and the windows are never gathered: in an
image that lies in one piece, padding included, the places that one tap of the kernel sees are the
image itself, some floats further on (microkernels.py). So an item of work is:

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

from . import compiler, geometry, microkernels, threads
from .compiler import Lazy, kernel, prange

F32 = np.dtype(np.float32)

zeros, copy, pick = microkernels.zeros, microkernels.copy, microkernels.pick
place, spread = microkernels.place, microkernels.spread
LANES, ROWS = Lazy(microkernels.lanes), Lazy(microkernels.rows)
TILE3 = Lazy(lambda: microkernels.tile(microkernels.rows(), 3).get())
TILE2 = Lazy(lambda: microkernels.tile(microkernels.rows(), 2).get())
TILE1 = Lazy(lambda: microkernels.tile(microkernels.rows(), 1).get())
STRIP6, STRIP1 = microkernels.tile(1, 6), microkernels.tile(1, 1)
DOT_HIGH, DOT_WIDE, DOT_LONG = geometry.DOT_HIGH, geometry.DOT_WIDE, geometry.DOT_LONG
DOT, DOT1 = microkernels.dot(DOT_HIGH, DOT_WIDE), microkernels.dot(1, DOT_LONG)
FOUR = 4


@kernel(inline=True)
def fill(x, start, here, together, channels, channel, image, buf, gap, g):
    """A box of an image to the buffer: (channels, phases, images, z, y, x), zeros outside.

    `start`: the source coordinates (z, y, x) of the box; g: the layout (geometry.Layout.numbers).
    """
    depth, height, width = g[0], g[1], g[2]  # of what may be read
    line, plane = g[3], g[4]  # floats from a row of the image to the next, and from a plane
    nz, ny, nx = g[5], g[6], g[7]  # of the buffer
    sz, sy, sx = g[8], g[9], g[10]
    phases = g[11]
    x0, y0, z0 = start[2], start[1], start[0]
    for c in range(channels):
        for f in range(phases):
            to = buf + (c * phases + f) * gap * FOUR
            fz, fy, fx = g[12 + 3 * f], g[13 + 3 * f], g[14 + 3 * f]
            a = x0 + fx
            left = 0 if a >= 0 else (-a + sx - 1) // sx
            left = min(left, nx)
            right = (width - a + sx - 1) // sx if width > a else 0
            right = max(min(right, nx), left)
            for i in range(here):
                source = x + (c * channel + i * image) * FOUR
                for qz in range(nz):
                    z = z0 + fz + qz * sz
                    for qy in range(ny):
                        y = y0 + fy + qy * sy
                        row = to + ((i * nz + qz) * ny + qy) * nx * FOUR
                        if z < 0 or z >= depth or y < 0 or y >= height or right <= left:
                            zeros((row, nx))
                            continue
                        if left > 0:
                            zeros((row, left))
                        at = source + (z * plane + y * line + a + left * sx) * FOUR
                        if sx == 1:
                            copy((row + left * FOUR, at, right - left))
                        elif sx == 2:
                            pick((row + left * FOUR, at, right - left))
                        else:
                            for q in range(right - left):
                                copy((row + (left + q) * FOUR, at + q * sx * FOUR, 1))
                        if right < nx:
                            zeros((row + right * FOUR, nx - right))
            used = here * nz * ny * nx
            zeros((to + used * FOUR, gap - used))


@kernel(inline=True)
def pack(w, group, out_step, in_step, taps, channels, outputs, a, high):
    """Weights of one group as tile() reads them: (outputs / high, channels x taps, high)."""
    terms = channels * taps.size
    for b in range((outputs + high - 1) // high):
        for i in range(high):
            k = b * high + i
            for c in range(channels):
                for t in range(taps.size):
                    value = np.float32(0)
                    if k < outputs:
                        value = w[group + k * out_step + c * in_step + taps[t]]
                    a[(b * terms + c * taps.size + t) * high + i] = value


@kernel
def correlate(x, w, bias, y, packed, scratch, offsets, taps, g, p):
    """One pass of a convolution; p: geometry.Pass.numbers, g: the layout of the buffer."""
    high = ROWS if p[0] > 1 else 1
    outputs, channels, groups, images = p[0], p[1], p[2], p[3]
    out_step, in_step, group_step = p[4], p[5], p[6]
    together, vectors, parts = p[7], p[8], p[9]
    cz, cy, cx = p[10], p[11], p[12]  # results in each dimension
    bz, by, bx = p[13], p[14], p[15]  # of one box
    lz, ly, lx = p[16], p[17], p[18]  # source coordinates of result 0
    depth, height, width = p[19], p[20], p[21]  # of the result's image
    tz, ty, tx = p[22], p[23], p[24]  # steps between results in it
    rz, ry, rx = p[25], p[26], p[27]  # where result 0 goes
    gap, chunks, scratch_size, source_images = p[28], p[29], p[30], p[31]
    blocks = (outputs + high - 1) // high
    terms = offsets.size
    part = (blocks + parts - 1) // parts
    if not p[32]:
        for b in prange(groups):
            pack(
                w, b * group_step, out_step, in_step, taps, channels, outputs,
                packed[b * blocks * terms * high :], high,
            )  # fmt: skip
    boxes_z, boxes_y, boxes_x = (cz + bz - 1) // bz, (cy + by - 1) // by, (cx + bx - 1) // bx
    sets = (images + together - 1) // together
    items = sets * groups * parts * boxes_z * boxes_y * boxes_x
    size = g[5] * g[6] * g[7]
    for chunk in prange(chunks):
        start = np.empty(3, np.int64)
        buf = scratch.ctypes.data + chunk * scratch_size * FOUR
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
            start[0], start[1], start[2] = lz + iz * g[8], ly + iy * g[9], lx + ix * g[10]
            image = x.ctypes.data + (n * source_images + group * channels * p[33]) * FOUR
            fill(image, start, here, together, channels, p[33], source_images, buf, gap, g)
            nz, ny, nx = min(bz, cz - iz), min(by, cy - iy), min(bx, cx - ix)
            count = (here - 1) * size + ((nz - 1) * g[6] + ny - 1) * g[7] + nx
            used = (count + LANES - 1) // LANES
            for b in range(kp * part, min((kp + 1) * part, blocks)):
                a = packed.ctypes.data + (group * blocks + b) * terms * high * FOUR
                v = 0
                if high == 1:
                    while v + 6 <= used:
                        STRIP6((a, offsets.ctypes.data, terms, buf + v * LANES * FOUR, sums + v * LANES * FOUR, wide))  # noqa: E501
                        v += 6
                    while v < used:
                        STRIP1((a, offsets.ctypes.data, terms, buf + v * LANES * FOUR, sums + v * LANES * FOUR, wide))  # noqa: E501
                        v += 1
                else:
                    while v + 3 <= used:
                        TILE3((a, offsets.ctypes.data, terms, buf + v * LANES * FOUR, sums + v * LANES * FOUR, wide))  # noqa: E501
                        v += 3
                    if v + 2 <= used:
                        TILE2((a, offsets.ctypes.data, terms, buf + v * LANES * FOUR, sums + v * LANES * FOUR, wide))  # noqa: E501
                    elif v < used:
                        TILE1((a, offsets.ctypes.data, terms, buf + v * LANES * FOUR, sums + v * LANES * FOUR, wide))  # noqa: E501
                for i in range(min(high, outputs - b * high)):
                    k = group * outputs + b * high + i
                    plus = bias[k] if bias.size > 0 else np.float32(0)
                    for j in range(here):
                        frm = sums + (i * wide + j * size) * FOUR
                        to = y.ctypes.data + ((n + j) * groups * outputs + k) * depth * height * width * FOUR  # noqa: E501
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


@kernel
def weigh(x, y, partial, scratch, offsets, g, other, p):
    """The gradient of the weights; y is the gradient of the result. p: geometry.WeightPass.numbers"""
    outputs, channels, groups, images, rows = p[0], p[1], p[2], p[3], p[4]
    together, parts, pieces = p[5], p[6], p[7]
    cz, cy, cx = p[8], p[9], p[10]
    bz, by, bx = p[11], p[12], p[13]
    lz, ly, lx = p[14], p[15], p[16]
    gap, scratch_size, source_size, target_size, padded = p[17], p[18], p[19], p[20], p[21]
    chunks = scratch.size // scratch_size
    high = DOT_HIGH if outputs > 1 else 1
    boxes_z, boxes_y, boxes_x = (cz + bz - 1) // bz, (cy + by - 1) // by, (cx + bx - 1) // bx
    items = (images + together - 1) // together * boxes_z * boxes_y * boxes_x
    tasks = pieces * groups * parts
    size = g[5] * g[6] * g[7]
    for chunk in prange(chunks):
        start = np.empty(3, np.int64)
        limit = other.copy()
        buf = scratch.ctypes.data + chunk * scratch_size * FOUR
        grads = buf + (channels * g[11] * gap + 4 * LANES) * FOUR
        zeros((grads - 4 * LANES * FOUR, 4 * LANES))
        for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
            part, rest = task % parts, task // parts
            group, piece = rest % groups, rest // groups
            first = part * rows
            mine = min(rows, outputs - first)
            if mine <= 0:
                continue
            out = partial.ctypes.data + ((piece * groups + group) * parts + part) * rows * padded * FOUR  # noqa: E501
            for item in range(items * piece // pieces, items * (piece + 1) // pieces):
                ix, rest = item % boxes_x * bx, item // boxes_x
                iy, rest = rest % boxes_y * by, rest // boxes_y
                iz, n = rest % boxes_z * bz, rest // boxes_z * together
                here = min(together, images - n)
                start[0], start[1], start[2] = lz + iz * g[8], ly + iy * g[9], lx + ix * g[10]
                image = x.ctypes.data + (n * groups + group) * channels * source_size * FOUR
                fill(image, start, here, together, channels, source_size, groups * channels * source_size, buf, gap, g)  # noqa: E501
                start[0], start[1], start[2] = iz, iy, ix
                nz, ny, nx = min(bz, cz - iz), min(by, cy - iy), min(bx, cx - ix)
                limit[0], limit[1], limit[2] = iz + nz, iy + ny, ix + nx
                image = y.ctypes.data + ((n * groups + group) * outputs + first) * target_size * FOUR  # noqa: E501
                fill(image, start, here, together, mine, target_size, groups * outputs * target_size, grads, gap, limit)  # noqa: E501
                count = (here - 1) * size + ((nz - 1) * g[6] + ny - 1) * g[7] + nx
                used = (count + LANES - 1) // LANES
                if high == 1:
                    for r in range(0, padded, DOT_LONG):
                        DOT1((grads, gap, offsets.ctypes.data + 8 * r, buf, used, out + r * FOUR, padded))  # noqa: E501
                else:
                    for r in range(0, padded, DOT_WIDE):
                        for k in range(0, mine, DOT_HIGH):
                            DOT((grads + k * gap * FOUR, gap, offsets.ctypes.data + 8 * r, buf, used, out + (k * padded + r) * FOUR, padded))  # noqa: E501


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
    x, w, y = np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(w).reshape(-1), y.reshape(-1)
    for p in passes:
        space = WORKSPACE.get(p.chunks * p.scratch + p.packed)
        scratch, packed = space[: p.chunks * p.scratch], space[p.chunks * p.scratch :]
        call = correlate.parallel if p.chunks > 1 else correlate.serial
        call(x, w, b, y, packed, scratch, p.offsets, p.taps, p.layout, p.numbers)


def forward(
    x: Any, w: Any, b: Any, out: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """y = w * x + b, (N, C, ...) with (O, C/groups, ...), or None where the formula is to do it."""
    if x.ndim > 5 or not usable(x, w):
        return None
    shape = (x.shape[0], w.shape[0], *out)
    if not np.prod(shape):
        return None
    passes = geometry.forward(
        x.shape, w.shape, out, stride, padding, dilation, groups, threads.count()
    )
    y = np.empty(shape, F32)
    _run(passes, x, w, _NO_BIAS if b is None else np.ascontiguousarray(b), y)
    return y


def input_gradient(
    g: Any, w: Any, b: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """The adjoint of forward in x (plus b: a transposed convolution's bias), or None."""
    if g.ndim > 5 or not usable(g, w):
        return None
    passes, whole = geometry.backward(
        g.shape, w.shape, size, stride, padding, dilation, groups, threads.count()
    )
    shape = (g.shape[0], w.shape[1] * groups, *size)
    bias = _NO_BIAS if b is None else np.ascontiguousarray(b)
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
    call = weigh.parallel if p.chunks > 1 else weigh.serial
    call(
        np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(g).reshape(-1),
        partial.reshape(-1), scratch, p.offsets, p.layout, p.other, p.numbers,
    )  # fmt: skip
    outputs, channels = g.shape[1] // groups, x.shape[1] // groups
    terms = channels * int(np.prod(kernel))
    total = partial[0] if len(partial) == 1 else partial.sum(0)
    return total[:, :outputs, :terms].reshape(g.shape[1], channels, *kernel)
