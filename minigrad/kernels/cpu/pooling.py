"""Pooling in up to three dimensions: the largest and the mean of each window, and the gradients.

Images are one plane after the other, (planes, z, y, x); each plane is somebody's alone, so
gradients are added without conflict. Windows that reach into the padding are cut, nothing is
copied. Which element was the largest is kept in a byte wherever a window has at most 256.

In g (`Windows.numbers`): the size of a plane, of the result, kernel, stride, padding, dilation,
each as (z, y, x).
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import numpy as np

from . import compiler, geometry
from .compiler import REASSOCIATE, kernel, prange

ndarray = np.ndarray
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
NEAR = 1024
"""Results that are compared at a time: all that belongs to them stays in the nearest cache."""
SMALL = 64
"""Elements below which the formula is as fast."""


@kernel(inline=True)
def first_and_last(tap, step, padding, size, count):
    """The results whose window has this tap (d·k of it given) inside the image."""
    low = padding - tap
    first = (low + step - 1) // step if low > 0 else 0
    last = (size - 1 + padding - tap) // step + 1 if size + padding > tap else 0
    return first, max(first, min(last, count))


@kernel
def largest(x, y, which, g):
    """y and the number of the largest element in each window: the first of equals, the last nan."""
    depth, height, width, oz, oy, ox = g[0], g[1], g[2], g[3], g[4], g[5]
    kz, ky, kx, sz, sy, sx = g[6], g[7], g[8], g[9], g[10], g[11]
    pz, py, px, dz, dy, dx = g[12], g[13], g[14], g[15], g[16], g[17]
    places, size = oz * oy * ox, depth * height * width
    phases_y, phases = min(sy, (ky - 1) * dy + 1), min(sx, (kx - 1) * dx + 1)
    more, wide = (ky - 1) * dy // sy, ox + (kx - 1) * dx // sx
    many = max(1, min(oy, NEAR // wide))  # rows at a time, as one line with gaps
    for n in prange(y.size // places):
        parts = np.empty((phases_y * phases, (many + more + 1) * wide), x.dtype)
        bests, founds = np.empty(many * wide, x.dtype), np.empty(many * wide, np.int32)
        for task in range(oz * ((oy + many - 1) // many)):
            top, slab = task // oz * many, task % oz
            rows = min(many, oy - top)
            length = rows * wide
            bests[:] = -np.inf
            founds[:] = 0
            z0 = slab * sz - pz
            for i in range(kz):
                iz = z0 + i * dz
                if iz < 0 or iz >= depth:
                    continue
                for q in range((rows + more) * phases_y):
                    iy = (top + q // phases_y) * sy + q % phases_y - py
                    line = x[n * size + (iz * height + iy) * width :][:width]
                    for f in range(phases):
                        part = parts[q % phases_y * phases + f, q // phases_y * wide :][:wide]
                        a, b = first_and_last(f, sx, px, width, wide)
                        if iy < 0 or iy >= height:
                            a, b = 0, 0
                        for o in range(a):
                            part[o] = -np.inf
                        for o in range(b, wide):
                            part[o] = -np.inf
                        if sx == 1:
                            for o in range(a, b):
                                part[o] = line[o - px]
                        elif sx == 2:
                            for o in range(a, b):
                                part[o] = line[2 * o + f - px]
                        else:
                            for o in range(a, b):
                                part[o] = line[o * sx + f - px]
                for j in range(ky):
                    for k in range(kx):
                        part = parts[j * dy % sy * phases + k * dx % sx]
                        seen = part[j * dy // sy * wide + k * dx // sx :][:length]
                        number = np.int32((i * ky + j) * kx + k)
                        for o in range(length):
                            v, m = seen[o], bests[o]
                            better = (v > m) | (v != v)
                            bests[o] = v if better else m
                            founds[o] = number if better else founds[o]
            for row in range(rows):
                y0, at = (top + row) * sy - py, n * places + (slab * oy + top + row) * ox
                best, found = y[at : at + ox], which[at : at + ox]
                for o in range(ox):
                    best[o] = bests[row * wide + o]
                    found[o] = which.dtype.type(founds[row * wide + o])
                for o in range(ox):
                    if best[o] == -np.inf and found[o] == 0:  # none was larger: the first inside
                        i, j = max(0, (dz - 1 - z0) // dz), max(0, (dy - 1 - y0) // dy)
                        k = max(0, (dx - 1 - (o * sx - px)) // dx)
                        if z0 + i * dz < depth and y0 + j * dy < height:
                            if o * sx - px + k * dx < width:
                                found[o] = which.dtype.type((i * ky + j) * kx + k)


@kernel
def largest_of_four(x, y, which, width):
    """The same for windows of 2x2 side by side: `width` of the image, even like its height."""
    half = width // 2
    for row in prange(y.size // half):
        top = x[2 * row * width :][:width]
        low = x[2 * row * width + width :][:width]
        best, found = y[row * half :][:half], which[row * half :][:half]
        for o in range(half):
            v, number = top[2 * o], np.uint8(0)
            u = top[2 * o + 1]
            better = (u > v) | (u != u)
            v, number = (u if better else v), (np.uint8(1) if better else number)
            u = low[2 * o]
            better = (u > v) | (u != u)
            v, number = (u if better else v), (np.uint8(2) if better else number)
            u = low[2 * o + 1]
            better = (u > v) | (u != u)
            best[o] = u if better else v
            found[o] = np.uint8(3) if better else number


@kernel
def to_four(y, which, x, width):
    """The gradient of largest_of_four."""
    half = width // 2
    zero = y.dtype.type(0)
    for row in prange(y.size // half):
        top = x[2 * row * width :][:width]
        low = x[2 * row * width + width :][:width]
        grads, found = y[row * half :][:half], which[row * half :][:half]
        for o in range(half):
            v, number = grads[o], found[o]
            top[2 * o] = v if number == 0 else zero
            top[2 * o + 1] = v if number == 1 else zero
            low[2 * o] = v if number == 2 else zero
            low[2 * o + 1] = v if number == 3 else zero


@kernel
def to_largest(y, which, x, g, tap):
    """The gradient of `largest`: x starts at zero; tap: how far an element is from the first."""
    depth, height, width, oy, ox = g[0], g[1], g[2], g[4], g[5]
    sz, sy, sx, pz, py, px = g[9], g[10], g[11], g[12], g[13], g[14]
    places, size = g[3] * oy * ox, depth * height * width
    for n in prange(y.size // places):
        for row in range(g[3] * oy):
            z0, y0 = row // oy * sz - pz, row % oy * sy - py
            start = n * size + (z0 * height + y0) * width
            beyond = z0 < 0 or z0 >= depth or y0 < 0 or y0 >= height
            p = n * places + row * ox
            for o in range(ox):
                number, x0 = which[p + o], o * sx - px
                if number == 0 and (beyond or x0 < 0 or x0 >= width):
                    continue  # a window that misses the image
                x[start + x0 + tap[number]] += y[p + o]


@kernel(flags=REASSOCIATE)
def sums(x, y, g, divisor):
    """The sum of each window, divided."""
    depth, height, width, oz, oy, ox = g[0], g[1], g[2], g[3], g[4], g[5]
    kz, ky, kx, sz, sy, sx = g[6], g[7], g[8], g[9], g[10], g[11]
    pz, py, px = g[12], g[13], g[14]
    places, size = oz * oy * ox, depth * height * width
    whole = places == 1 and kz == depth and ky == height and kx == width
    whole = whole and pz == 0 and py == 0 and px == 0
    for n in prange(y.size // places):
        if whole:
            plane, s = x[n * size :][:size], y.dtype.type(0)
            for i in range(size):
                s += plane[i]
            y[n] = s / divisor
            continue
        for row in range(oz * oy):
            z0, y0 = row // oy * sz - pz, row % oy * sy - py
            total = y[n * places + row * ox : n * places + (row + 1) * ox]
            total[:] = 0
            for i in range(max(0, -z0), min(kz, depth - z0)):
                for j in range(max(0, -y0), min(ky, height - y0)):
                    line = x[n * size + ((z0 + i) * height + y0 + j) * width :][:width]
                    if kx > ox:
                        for o in range(ox):
                            start = o * sx - px
                            s = y.dtype.type(0)
                            for k in range(max(0, start), min(width, start + kx)):
                                s += line[k]
                            total[o] += s
                    else:
                        for k in range(kx):
                            a, b = first_and_last(k, sx, px, width, ox)
                            if sx == 2:
                                for o in range(a, b):
                                    total[o] += line[2 * o + k - px]
                            else:
                                for o in range(a, b):
                                    total[o] += line[o * sx + k - px]
            for o in range(ox):
                total[o] = total[o] / divisor


@kernel
def spread(y, x, g, divisor):
    """The gradient of `sums`."""
    depth, height, width, oz, oy, ox = g[0], g[1], g[2], g[3], g[4], g[5]
    kz, ky, kx, sz, sy, sx = g[6], g[7], g[8], g[9], g[10], g[11]
    pz, py, px = g[12], g[13], g[14]
    places, size = oz * oy * ox, depth * height * width
    whole = places == 1 and kz == depth and ky == height and kx == width
    whole = whole and pz == 0 and py == 0 and px == 0
    for n in prange(y.size // places):
        if whole:
            plane, v = x[n * size :][:size], y[n] / divisor
            for i in range(size):
                plane[i] = v
            continue
        image = x[n * size : (n + 1) * size]
        image[:] = 0
        for row in range(oz * oy):
            z0, y0 = row // oy * sz - pz, row % oy * sy - py
            value = y[n * places + row * ox : n * places + (row + 1) * ox]
            for i in range(max(0, -z0), min(kz, depth - z0)):
                for j in range(max(0, -y0), min(ky, height - y0)):
                    line = image[((z0 + i) * height + y0 + j) * width :][:width]
                    if kx > ox:
                        for o in range(ox):
                            start = o * sx - px
                            v = value[o] / divisor
                            for k in range(max(0, start), min(width, start + kx)):
                                line[k] += v
                    else:
                        for k in range(kx):
                            a, b = first_and_last(k, sx, px, width, ox)
                            for o in range(a, b):
                                line[o * sx + k - px] += value[o] / divisor


@kernel
def largest_in(x, index, z, y, v, height, width):
    """The flat position of the largest element in boxes: z, y, v hold (first, end) for each.

    Column by column, which vectors can do: of equal ones the first row counts, then the first of
    the columns.
    """
    places = z.shape[0] * y.shape[0] * v.shape[0]
    size = x.size // (index.size // places)
    for n in prange(index.size // places):
        image = x[n * size : (n + 1) * size]
        at = n * places
        best, found = np.empty(width, x.dtype), np.empty(width, np.int32)
        for i in range(z.shape[0]):
            for j in range(y.shape[0]):
                row = np.int32(z[i, 0] * height + y[j, 0])
                line = image[row * width :][:width]
                for c in range(width):
                    best[c] = line[c]
                    found[c] = row
                for a in range(z[i, 0], z[i, 1]):
                    for b in range(y[j, 0], y[j, 1]):
                        row = np.int32(a * height + b)
                        line = image[row * width :][:width]
                        for c in range(width):
                            u, m = line[c], best[c]
                            better = (u > m) | ((u != u) & (m == m))
                            best[c] = u if better else m
                            found[c] = row if better else found[c]
                for k in range(v.shape[0]):
                    column = v[k, 0]
                    m, row = best[column], found[column]
                    for c in range(v[k, 0] + 1, v[k, 1]):
                        u = best[c]
                        better = u > m or (u != u and m == m)
                        equal = u == m or (u != u and m != m)
                        if better or (equal and found[c] < row):
                            m, row, column = u, found[c], c
                    index[at] = row * width + column
                    at += 1


@kernel
def take_at(x, index, y, size, places):
    """y[n, i] = x[n, index[n, i]]."""
    for n in prange(y.size // places):
        for i in range(n * places, (n + 1) * places):
            y[i] = x[n * size + index[i]]


@kernel
def put_at(g, index, x, size, places):
    """x[n, index[n, i]] += g[n, i], from zero on."""
    for n in prange(g.size // places):
        x[n * size : (n + 1) * size] = 0
        for i in range(n * places, (n + 1) * places):
            x[n * size + index[i]] += g[i]


# ------------------------------------------------------------------------------ entries
@functools.lru_cache(maxsize=256)
def _numbers(size: Any, out: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    three = geometry.three
    parts = [three(v) for v in (size, out, kernel, stride)]
    parts += [three(padding, 0), three(dilation)]
    return np.array([n for part in parts for n in part], np.int64)


@functools.lru_cache(maxsize=256)
def _distances(size: Any, kernel: Any, dilation: Any) -> Any:
    """How far each element of a window is from its first one, in floats."""
    n, k, d = geometry.three(size), geometry.three(kernel), geometry.three(dilation)
    i = [np.arange(k[j]) * d[j] for j in range(3)]
    total = (i[0][:, None, None] * n[1] + i[1][:, None]) * n[2] + i[2]
    return np.ascontiguousarray(total.reshape(-1), np.int64)


def usable(x: Any, out: Any) -> bool:
    """Whether the kernels are there for this array, and worth it."""
    if x.size < SMALL or type(x) is not ndarray or not (x.dtype is F32 or x.dtype is F64):
        return False
    return x.ndim <= 5 and prod(out) > 0 and compiler.enabled()


@functools.lru_cache(maxsize=256)
def _two_by_two(size: Any, out: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> bool:
    """Whether windows of 2x2 lie side by side and leave nothing out (so there is no padding)."""
    if kernel != (2, 2) or stride != (2, 2) or dilation != (1, 1) or any(padding):
        return False
    return all(2 * o == n for o, n in zip(out, size, strict=True))


def max_windows(
    x: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Any, Any] | None:
    """(the largest of each window, its number there), or None where the formula is to do it."""
    if not usable(x, out):
        return None
    size, elements = x.shape[2:], prod(kernel)
    y = np.empty((*x.shape[:2], *out), x.dtype)
    which = np.empty(y.shape, np.uint8 if elements <= 256 else np.int32)
    flat = np.ascontiguousarray(x).ravel(), y.ravel(), which.ravel()
    if elements == 4 and _two_by_two(size, tuple(out), kernel, stride, padding, dilation):
        largest_of_four.run(x.size, *flat, x.shape[3])
    else:
        g = _numbers(size, tuple(out), kernel, stride, padding, dilation)
        largest.run(y.size * elements, *flat, g)
    return y, which


def max_windows_gradient(
    g: Any, which: Any, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """Each window's g at its largest element, or None."""
    out = g.shape[2:]
    if not usable(g, out) or which.dtype not in (np.uint8, np.int32):
        return None
    shape = (*g.shape[:2], *size)
    flat = np.ascontiguousarray(g).ravel(), np.ascontiguousarray(which).ravel()
    if which.dtype == np.uint8 and len(kernel) == 2:
        if _two_by_two(tuple(size), out, kernel, stride, padding, dilation):
            x = np.empty(shape, g.dtype)
            to_four.run(x.size, *flat, x.ravel(), size[1])
            return x
    x = np.zeros(shape, g.dtype)
    numbers = _numbers(tuple(size), out, kernel, stride, padding, dilation)
    distances = _distances(tuple(size), kernel, dilation)
    to_largest.run(4 * g.size, *flat, x.ravel(), numbers, distances)
    return x


def sum_windows(x: Any, kernel: Any, out: Any, stride: Any, padding: Any, divisor: float) -> Any:
    """The sum of each window divided by `divisor`, or None."""
    if not usable(x, out):
        return None
    y = np.empty((*x.shape[:2], *out), x.dtype)
    ones = (1,) * len(kernel)
    g = _numbers(x.shape[2:], tuple(out), kernel, stride, padding, ones)
    work = max(x.size, y.size * prod(kernel)) if stride != kernel else x.size
    sums.run(work, np.ascontiguousarray(x).ravel(), y.ravel(), g, x.dtype.type(divisor))
    return y


def spread_windows(
    g: Any, size: Any, kernel: Any, stride: Any, padding: Any, divisor: float
) -> Any:
    """g / divisor added to every element of its window, or None."""
    shape = (*g.shape[:2], *size)
    if prod(shape) < SMALL or not usable(g, g.shape[2:]) and g.size >= SMALL:
        return None
    if type(g) is not ndarray or not (g.dtype is F32 or g.dtype is F64) or not g.size:
        return None
    if g.ndim > 5 or not compiler.enabled():
        return None
    x = np.empty(shape, g.dtype)
    ones = (1,) * len(kernel)
    numbers = _numbers(tuple(size), g.shape[2:], kernel, stride, padding, ones)
    spread.run(x.size, np.ascontiguousarray(g).ravel(), x.ravel(), numbers, g.dtype.type(divisor))
    return x


def windows_argmax(x: Any, bounds: Any) -> Any:
    """The flat position of the largest element of every box made of `bounds`, or None."""
    counts = tuple(len(b) for b in bounds)
    if not usable(x, counts):
        return None
    index = np.empty((*x.shape[:2], *counts), np.int64)
    _, height, width = geometry.three(x.shape[2:])
    flat = np.ascontiguousarray(x).reshape(-1), index.reshape(-1)
    largest_in.run(x.size, *flat, *_three_boxes(tuple(map(tuple, bounds))), height, width)
    return index


@functools.lru_cache(256)
def _three_boxes(bounds: tuple[Any, ...]) -> tuple[Any, ...]:
    """First and end of the boxes in each of three dimensions, as arrays."""
    return tuple([np.array(b, np.int64) for b in (((0, 1),),) * (3 - len(bounds)) + bounds])


def values_at(x: Any, index: Any) -> Any:
    """x (N, C, *) at flat positions (N, C, *out), or None."""
    if not usable(x, index.shape[2:]) or not index.size:
        return None
    y = np.empty(index.shape, x.dtype)
    flat = np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(index).reshape(-1)
    take_at.run(y.size, *flat, y.reshape(-1), prod(x.shape[2:]), prod(index.shape[2:]))
    return y


def add_at(g: Any, index: Any, shape: Any) -> Any:
    """Zeros of `shape` (N, C, *size) with g added at flat positions, or None."""
    if not usable(g, shape[2:]) or not prod(shape):
        return None
    x = np.empty(shape, g.dtype)
    flat = np.ascontiguousarray(g).reshape(-1), np.ascontiguousarray(index).reshape(-1)
    put_at.run(x.size, *flat, x.reshape(-1), prod(shape[2:]), prod(g.shape[2:]))
    return x
