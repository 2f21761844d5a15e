"""What a convolution reads, brought into the order in which its tiles read it."""

from __future__ import annotations

import numpy as np

from . import microkernels
from .compiler import kernel

zeros, copy, pick = microkernels.zeros, microkernels.copy, microkernels.pick
FOUR = 4


@kernel(inline=True)
def fill(x, z0, y0, x0, depth, height, width, here, channels, channel, image, buf, gap, g):
    """A box of an image to the buffer: (channels, phases, images, z, y, x), zeros outside.

    z0, y0, x0: source coordinates of the box; depth, height, width: what may be read of the source;
    channel, image: floats from one to the next; g: the layout (geometry).
    """
    line, plane = g[3], g[4]  # floats from a row of the image to the next, and from a plane
    nz, ny, nx = g[5], g[6], g[7]  # of the buffer
    sz, sy, sx = g[8], g[9], g[10]
    phases = g[11]
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
