"""What a convolution reads, brought into the order in which its tiles read it."""

from __future__ import annotations

import numpy as np

from . import microkernels
from .compiler import Lazy, kernel
from .launch import floats_at

zeros, turn = microkernels.zeros, microkernels.turn
copy_rows, pick_rows = microkernels.copy_rows, microkernels.pick_rows
LANES = Lazy(microkernels.lanes)
FOUR = 4


@kernel(inline=True)
def seen(start, step, size, count):
    """The first of the places start, start + step, ... inside 0 .. size, and the end of those."""
    first = 0 if start >= 0 else (-start + step - 1) // step
    first = min(first, count)
    end = (size - start + step - 1) // step if size > start else 0
    return first, max(min(end, count), first)


@kernel(inline=True)
def fill(x, z0, y0, x0, here, channels, channel, image, buf, gap, g):
    """A box of an image to the buffer: (channels, phases, images, z, y, x), zeros outside.

    z0, y0, x0: source coordinates of the box; channel, image: floats from one to the next; g: the
    layout (geometry).
    """
    line, plane = g[3], g[4]  # floats from a row of the image to the next, and from a plane
    nz, ny, nx = g[5], g[6], g[7]  # of the buffer
    sz, sy, sx = g[8], g[9], g[10]
    phases = g[11]
    used = here * nz * ny * nx
    for c in range(channels):
        for f in range(phases):
            to = buf + (c * phases + f) * gap * FOUR
            fz, fy, fx = z0 + g[12 + 3 * f], y0 + g[13 + 3 * f], x0 + g[14 + 3 * f]
            za, zb = seen(fz, sz, g[0], nz)
            ya, yb = seen(fy, sy, g[1], ny)
            left, right = seen(fx, sx, g[2], nx)
            count = right - left
            if count < nx or ya > 0 or yb < ny or za > 0 or zb < nz:
                zeros((to, gap))
            else:
                zeros((to + used * FOUR, gap - used))
            if count <= 0:
                continue
            for i in range(here):
                source = x + (c * channel + i * image + fx + left * sx) * FOUR
                for qz in range(za, zb):
                    row = to + (((i * nz + qz) * ny + ya) * nx + left) * FOUR
                    at = source + ((fz + qz * sz) * plane + (fy + ya * sy) * line) * FOUR
                    if sx == 1:
                        if count == nx and count == line and sy == 1:
                            copy_rows((row, nx, at, line, 1, (yb - ya) * nx))
                        else:
                            copy_rows((row, nx, at, sy * line, yb - ya, count))
                    elif sx == 2:
                        pick_rows((row, nx, at, sy * line, yb - ya, count))
                    else:
                        for y in range(yb - ya):
                            to_row, from_row = row + y * nx * FOUR, at + y * sy * line * FOUR
                            copy_rows((to_row, 1, from_row, sx, count, 1))


@kernel(inline=True)
def pack(w, start, out_step, in_step, taps, channels, outputs, a, high):
    """Weights of one group as tile() reads them: (outputs / high, channels x taps, high)."""
    terms = channels * taps.size
    for b in range((outputs + high - 1) // high):
        for i in range(high):
            k = b * high + i
            for c in range(channels):
                for t in range(taps.size):
                    value = np.float32(0)
                    if k < outputs:
                        value = w[start + k * out_step + c * in_step + taps[t]]
                    a[(b * terms + c * taps.size + t) * high + i] = value


@kernel(inline=True)
def turn_rows(to, ld, source, channel, outputs, count):
    """to[p, i] = source[i, p] for `outputs` rows, zeros up to `ld` of them."""
    frm, into = floats_at(source, outputs * channel), floats_at(to, count * ld)
    for i in range(0, ld, LANES):
        done = 0
        if i + LANES <= outputs:
            turn((to + i * FOUR, ld, source + i * channel * FOUR, channel, count))
            done = count // LANES * LANES
        for k in range(LANES):
            for p in range(done, count):
                into[p * ld + i + k] = frm[(i + k) * channel + p] if i + k < outputs else 0
