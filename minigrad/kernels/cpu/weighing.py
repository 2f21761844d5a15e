"""The gradient of a convolution's weights: the product of a result's gradient with the windows.

    w[o, c, k] = sum over images and places p of g[n, o, p] x[n, c, s p + d k]

As an outer product: at each place, the gradients of some outputs, side by side in vectors, times
the numbers that some taps see there (microkernels.outer). The gradients are turned for that, the
image is copied as for the forward pass. A group of one output (depthwise) has nothing to put side
by side; there vectors run along the places (microkernels.dot).
"""

from __future__ import annotations

from . import filling, microkernels
from .compiler import Lazy
from .launch import HEAD, body, floats_at, table_of

LONG = 64
"""Places after which starting and ending a tile is no longer worth mentioning."""
PART = 64
"""Outputs whose gradients stay in the cache while the columns of the image pass by."""
NEAR = 192
"""Places at a time: their gradients stay in the nearest cache."""
FOUR = 4
DOT_LONG = 9

zeros, fill, turn_rows = microkernels.zeros, filling.fill, filling.turn_rows
LANES = Lazy(microkernels.lanes)
DOT = microkernels.dot(1, DOT_LONG)
HIGH = Lazy(lambda: 6 if microkernels.lanes() == 8 else 8)
OUTER2 = Lazy(lambda: microkernels.outer(HIGH.get(), 2).get())
OUTER1 = Lazy(lambda: microkernels.outer(9, 1).get())


def shape(outputs: int) -> tuple[int, int]:
    """Taps and vectors of outputs of a tile (0: `dot`)."""
    if outputs == 1:
        return DOT_LONG, 0
    return (9, 1) if outputs <= microkernels.lanes() else (HIGH.get(), 2)


@body
def weigh(chunk, table):
    """One thread's tasks. One is some images (a piece), a group, some outputs of it (a part)."""
    t = table_of(table)
    x, y = t[1], t[12]
    g, p = t[t[5] :], t[HEAD:]
    other, offsets = t[t[7] :], t[8] + 8 * t[6]
    outputs, channels, groups, images, rows = p[0], p[1], p[2], p[3], p[4]
    together, parts, pieces = p[5], p[6], p[7]
    cz, cy, cx = p[8], p[9], p[10]
    bz, by, bx = p[11], p[12], p[13]
    lz, ly, lx = p[14], p[15], p[16]
    gap, scratch_size, source_size, target_size, padded = p[17], p[18], p[19], p[20], p[21]
    high, width, chunks, places, flat, size_of_sums = p[22], p[23], p[25], p[26], p[27], p[28]
    boxes_z, boxes_y, boxes_x = (cz + bz - 1) // bz, (cy + by - 1) // by, (cx + bx - 1) // bx
    items = (images + together - 1) // together * boxes_z * boxes_y * boxes_x
    size = g[5] * g[6] * g[7]
    buf = t[3] + chunk * scratch_size * FOUR
    grads = buf + (channels * g[11] * gap + 4 * LANES) * FOUR
    tasks = pieces * groups * parts
    for task in range(tasks * chunk // chunks, tasks * (chunk + 1) // chunks):
        part, rest = task % parts, task // parts
        group, piece = rest % groups, rest // groups
        first = part * rows
        mine = min(rows, outputs - first)
        out = t[10] + task * size_of_sums * FOUR
        zeros((out, size_of_sums))
        zeros((grads - 4 * LANES * FOUR, 4 * LANES))
        for item in range(items * piece // pieces, items * (piece + 1) // pieces):
            ix, rest = item % boxes_x * bx, item // boxes_x
            iy, rest = rest % boxes_y * by, rest // boxes_y
            iz, n = rest % boxes_z * bz, rest // boxes_z * together
            here = min(together, images - n)
            image = x + (n * groups + group) * channels * source_size * FOUR
            fill(
                image, lz + iz * g[8], ly + iy * g[9], lx + ix * g[10], here,
                channels, source_size, groups * channels * source_size, buf, gap, g,
            )  # fmt: skip
            nz, ny, nx = min(bz, cz - iz), min(by, cy - iy), min(bx, cx - ix)
            image = y + ((n * groups + group) * outputs + first) * target_size * FOUR
            if width == 0:
                fill(
                    image, iz, iy, ix, here, 1, target_size, groups * target_size, grads, gap, other
                )
                count = ((nz - 1) * g[6] + ny - 1) * g[7] + nx
                used, again = (count + LANES - 1) // LANES, here
                if used * LANES > size:  # what follows an image is not zero: all images as one
                    used, again = ((here - 1) * size + count + LANES - 1) // LANES, 1
                for r in range(0, padded, DOT_LONG):
                    at, to = offsets + 8 * r, out + r * FOUR
                    DOT((grads, gap, at, buf, again, size, used, to, padded))
                continue
            for b in range(0, mine, width):
                to = grads + b * places * FOUR
                for j in range(here):
                    for z in range(nz):
                        at = image + (j * groups * outputs + b) * target_size * FOUR
                        at += (((iz + z) * cy + iy) * cx + ix) * FOUR
                        left = min(width, mine - b)
                        if nx == cx:
                            turn_rows(to, width, at, target_size, left, ny * nx)
                            to += ny * nx * width * FOUR
                        else:
                            for v in range(ny):
                                turn_rows(to, width, at + v * cx * FOUR, target_size, left, nx)
                                to += nx * width * FOUR
            several = max(1, NEAR // nx)
            for j in range(here):
                for z in range(nz):
                    for v in range(0, ny, several):
                        for u in range(0, nx, NEAR):
                            place = ((j * nz + z) * ny + v) * nx + u
                            at = buf + (j * size + (z * g[6] + v) * g[7] + u) * FOUR
                            lines, count = min(several, ny - v), min(NEAR, nx - u)
                            if flat and nx == g[7] and nx <= NEAR:
                                lines, count = 1, lines * nx
                            for b in range(0, mine, width):
                                gradient = grads + (b * places + place * width) * FOUR
                                to = out + b * padded * FOUR
                                for r in range(0, padded, high):
                                    use = at, offsets + 8 * r, lines, count, g[7], gradient
                                    if width == 2 * LANES:
                                        OUTER2((*use, to + r * width * FOUR))
                                    else:
                                        OUTER1((*use, to + r * width * FOUR))


@body
def combine(chunk, table):
    """The sums of all pieces added up, in the order of the weights; chunks share the outputs."""
    t = table_of(table)
    p = t[HEAD:]
    outputs, groups, rows, parts, pieces = p[0], p[2], p[4], p[6], p[7]
    width, terms, chunks, padded, size_of_sums = p[23], p[24], p[25], p[21], p[28]
    total = groups * outputs
    w = floats_at(t[2], total * terms)
    sums = floats_at(t[10], pieces * groups * parts * size_of_sums)
    for k in range(total * chunk // chunks, total * (chunk + 1) // chunks):
        group, o = k // outputs, k % outputs
        part, row = o // rows, o % rows
        step = max(width, 1)
        for piece in range(pieces):
            at = ((piece * groups + group) * parts + part) * size_of_sums
            at += row // step * step * padded + row % step
            for r in range(terms):
                value = sums[at + r * step]
                w[k * terms + r] = value if piece == 0 else w[k * terms + r] + value
