"""Where the numbers of a convolution lie: boxes, phases, taps and offsets, for convolution.py.

Everything is in three dimensions (z, y, x), missing ones being 1. A layer sees the same shapes in
every step of a training, so the plans are cached.

The source of result o for tap k lies at s·o + d·k − p. With d·k = s·e + f it is (o + e)·s + f − p:
in phase f of the source (every s-th element, from f on) a shift by e. The gradient of the input has
its results in phases instead: i + p = s·q + f takes the taps with d·k = s·e + f from place q − e.
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import microkernels, weighing
from .launch import HEAD

BUFFER = microkernels.cache() * 3 // 16
"""Floats of a thread's buffer: three quarters of a core's own cache."""
SHORTEST = 4
"""Rows of the lowest box: below it the rows that two boxes both need outweigh the cache."""
TOGETHER = 8
"""Most images in one buffer."""

Three = tuple[int, int, int]


class Tap(NamedTuple):
    """One element of a kernel: its number, the phase of the source it sees, and its shift there."""

    number: int
    phase: Three
    shift: Three


class Source(NamedTuple):
    """What the taps see: the image's size, the step of its phases, where result 0 unshifted is."""

    size: Three
    step: Three
    first: Three
    taps: tuple[Tap, ...]

    @property
    def phases(self) -> list[Three]:
        return sorted({tap.phase for tap in self.taps})

    @property
    def reach(self) -> Three:
        return three(max(t.shift[i] for t in self.taps) for i in range(3))


class Target(NamedTuple):
    """Where results go: how many, the image's size, the step between them and the first place."""

    counts: Three
    size: Three
    step: Three
    first: Three


class Boxes(NamedTuple):
    """How the results of one image are cut, and how many images are in one buffer."""

    box: Three
    buffer: Three  # of the source, per phase and image
    together: int

    @property
    def size(self) -> int:
        return prod(self.buffer)

    @property
    def places(self) -> int:
        """From the first result in the buffer to the last one, all images included."""
        (_, y, x), (bz, by, bx) = self.buffer, self.box
        return (self.together - 1) * self.size + ((bz - 1) * y + by - 1) * x + bx

    @property
    def vectors(self) -> int:
        return -(-self.places // microkernels.lanes())

    @property
    def gap(self) -> int:
        """Floats from one channel's images to the next one's: whole vectors, an odd number of them
        so that not all channels fall into the same sets of the cache.
        """
        n = microkernels.lanes()
        return (-(-self.together * self.size // n) | 1) * n

    def count(self, counts: Three) -> int:
        return prod(-(-c // b) for c, b in zip(counts, self.box, strict=True))


class Pass(NamedTuple):
    """One call of correlate(): its table, and the sizes of what it needs beside it."""

    table: Any
    groups: int
    packed: int
    scratch: int
    chunks: int
    pointwise: bool


class WeightPass(NamedTuple):
    """One call of weigh()."""

    table: Any
    scratch: int
    chunks: int
    partial: int  # floats of the partial sums


def three(values: Any, missing: int = 1) -> Three:
    """One, two or three numbers as three, the missing ones in front."""
    values = tuple(int(v) for v in values)
    return (missing,) * (3 - len(values)) + values  # type: ignore[return-value]


def source_of(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Source:
    """The forward convolution's."""
    s, d, p = three(stride), three(dilation), three(padding, 0)
    taps = []
    for number, k in enumerate(np.ndindex(*three(kernel))):
        far = [d[i] * k[i] for i in range(3)]
        phase, shift = (
            three(far[i] % s[i] for i in range(3)),
            three(far[i] // s[i] for i in range(3)),
        )
        taps.append(Tap(number, phase, shift))
    return Source(three(size), s, three((-p[0], -p[1], -p[2])), tuple(taps))


def phases_of(
    size: Any, out: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> list[tuple[Source, Target]]:
    """The passes of the gradient of the input, one for each phase that any tap reaches."""
    n, o, s, d = three(size), three(out), three(stride), three(dilation)
    p, kernel = three(padding, 0), three(kernel)
    passes = []
    for f in np.ndindex(*s):
        start = [-((f[i] - p[i]) // s[i]) for i in range(3)]  # the smallest q inside the image
        first = three(s[i] * start[i] + f[i] - p[i] for i in range(3))
        counts = three(max(0, -(-(n[i] - first[i]) // s[i])) for i in range(3))
        found = []
        for number, k in enumerate(np.ndindex(*kernel)):
            far = [d[i] * k[i] - f[i] for i in range(3)]
            if all(far[i] % s[i] == 0 for i in range(3)):
                found.append((number, [far[i] // s[i] for i in range(3)]))
        if not found or not prod(counts):
            continue
        most = [max(e[i] for _, e in found) for i in range(3)]
        taps = tuple(Tap(m, (0, 0, 0), three(most[i] - e[i] for i in range(3))) for m, e in found)
        lowest = three(start[i] - most[i] for i in range(3))
        passes.append((Source(o, (1, 1, 1), lowest, taps), Target(counts, n, s, first)))
    return passes


def _cut(counts: Three, reach: Three, per_place: int) -> Three:
    """The largest box whose buffer fits the cache: whole planes, then rows, then parts of rows."""
    box = list(counts)

    def floats() -> int:
        return per_place * prod(b + r for b, r in zip(box, reach, strict=True))

    for i, least in ((0, 1), (1, SHORTEST), (2, 128)):
        pieces = 1
        while floats() > BUFFER and box[i] > least:
            pieces += 1
            box[i] = max(least, -(-counts[i] // pieces))
    return three(box)


def _cost(vectors: int, high: int) -> float:
    """Time of a row of tiles, in units of a vector of the widest tile."""
    if high == 1:
        return vectors
    full, rest = divmod(vectors, 3)
    return 3 * full + (0, 2.1, 2.8)[rest]


def boxes_of(
    source: Source, counts: Three, images: int, channels: int, outputs: int, high: int
) -> Boxes:
    """How to cut, and whether several small images in one buffer fill the tiles better."""
    per_place = channels * len(source.phases) + outputs
    reach = source.reach
    box = _cut(counts, reach, per_place)
    buffer = three(b + r for b, r in zip(box, reach, strict=True))
    best = Boxes(box, buffer, 1)
    if box != counts:
        return best
    lowest = _cost(best.vectors, high)
    for together in (2, 4, TOGETHER):
        if together > images or together * best.size * per_place > BUFFER:
            break
        boxes = Boxes(box, buffer, together)
        cost = _cost(boxes.vectors, high) / together
        if cost < 0.9 * lowest:
            best, lowest = boxes, cost
    return best


def _layout(source: Source, boxes: Boxes) -> Any:
    _, height, width = source.size
    numbers = [*source.size, width, height * width, *boxes.buffer, *source.step]
    return np.array([*numbers, len(source.phases), *sum(source.phases, ())], np.int64)


def _offsets(source: Source, buffer: Three, gap: int, channels: int) -> Any:
    """Bytes from the buffer's start to what each tap of each channel sees."""
    phases = source.phases
    _, ny, nx = buffer
    within = [
        phases.index(t.phase) * gap + (t.shift[0] * ny + t.shift[1]) * nx + t.shift[2]
        for t in source.taps
    ]
    start = np.arange(channels) * (len(phases) * gap)
    return (4 * (start[:, None] + np.array(within, np.int64))).reshape(-1)


def make_pass(
    source: Source,
    target: Target,
    images: int,
    groups: int,
    channels: int,
    outputs: int,
    weight_steps: Three,
    kernel: int,
    threads: int,
) -> Pass:
    """`channels` in and `outputs` out of a group; steps of the weights from one output to the next,
    one channel to the next, one group to the next.
    """
    lanes = microkernels.lanes()
    high = microkernels.rows() if outputs > 1 else 1
    blocks = -(-outputs // high)
    boxes = boxes_of(source, target.counts, images, channels, blocks * high, high)
    work = images * groups * outputs * prod(target.counts) * channels * len(source.taps)
    chunks = threads if work >= PARALLEL else 1
    items = -(-images // boxes.together) * groups * boxes.count(target.counts)
    parts = 1
    if items % chunks and items < 4 * chunks:
        if blocks >= chunks:
            parts = chunks
        else:
            boxes = _halved(boxes, target.counts, source.reach, chunks)
    phases, gap = len(source.phases), boxes.gap
    pointwise = _is_pointwise(source, target, high)
    if pointwise:
        boxes = Boxes(target.counts, (1, 1, 3 * lanes), 1)
        gap, chunks = 3 * lanes, min(chunks, images * groups * prod(target.counts) // (3 * lanes))
    scratch = channels * phases * gap + 8 * lanes + blocks * high * boxes.vectors * lanes
    scratch = -(-scratch // 64) * 64 + 64
    numbers = np.array(
        [
            outputs, channels, groups, images, *weight_steps, boxes.together, boxes.vectors, parts,
            *target.counts, *boxes.box, *source.first, *target.size, *target.step, *target.first,
            gap, chunks, scratch, groups * channels * prod(source.size), len(source.taps),
            prod(source.size), kernel,
        ],
        np.int64,
    )  # fmt: skip
    taps = np.array([t.number for t in source.taps], np.int64)
    layout = _layout(source, boxes)
    places = np.concatenate([taps, _offsets(source, boxes.buffer, gap, channels)])
    table = table_of(numbers, layout, places)
    packed = groups * blocks * high * (1 + channels * len(source.taps)) + 64
    return Pass(table, groups, packed, scratch, chunks, pointwise)


def _is_pointwise(source: Source, target: Target, high: int) -> bool:
    """Whether each result is a product with one place of the image, the same."""
    one = (1, 1, 1)
    if high == 1 or [t.shift for t in source.taps] != [(0, 0, 0)] or source.step != one:
        return False
    same = source.size == target.counts == target.size and target.step == one
    return same and source.first == (0, 0, 0) and prod(source.size) >= 3 * microkernels.lanes()


def table_of(numbers: Any, *more: Any) -> Any:
    """One array: HEAD places, the numbers, more arrays; places 5, 6, 7 tell where those begin."""
    parts = [np.zeros(HEAD, np.int64), numbers, *more]
    starts = np.cumsum([part.size for part in parts])[1:-1]
    table = np.concatenate(parts)
    table[5 : 5 + len(more)] = starts
    return table


PARALLEL = 1 << 19
"""Products from which a second thread pays."""


def _halved(boxes: Boxes, counts: Three, reach: Three, pieces: int) -> Boxes:
    """Boxes of a piece of the image each, for threads that would have nothing to do."""
    box = list(boxes.box)
    i = 0 if box[0] > 1 else 1 if box[1] > 1 else 2
    if boxes.together > 1 or box[i] < 2 * pieces:
        return boxes
    box[i] = -(-box[i] // pieces)
    return Boxes(three(box), three(b + r for b, r in zip(box, reach, strict=True)), 1)


@functools.lru_cache(maxsize=512)
def forward(
    x: Any, w: Any, out: Any, stride: Any, padding: Any, dilation: Any, groups: int, threads: int
) -> list[Pass]:
    """The one pass of y = w * x, from the shapes."""
    channels, outputs = w[1], w[0] // groups
    kernel = prod(w[2:])
    source = source_of(x[2:], w[2:], stride, padding, dilation)
    o = three(out)
    target = Target(o, o, (1, 1, 1), (0, 0, 0))
    steps = (channels * kernel, kernel, outputs * channels * kernel)
    return [make_pass(source, target, x[0], groups, channels, outputs, steps, kernel, threads)]


@functools.lru_cache(maxsize=512)
def backward(
    g: Any, w: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int, threads: int
) -> tuple[list[Pass], bool]:
    """The passes of x's gradient, and whether they write all of it."""
    outputs, channels = w[1], w[0] // groups
    kernel = prod(w[2:])
    steps = (kernel, outputs * kernel, channels * outputs * kernel)
    found = phases_of(size, g[2:], w[2:], stride, padding, dilation)
    passes = [
        make_pass(source, target, g[0], groups, channels, outputs, steps, kernel, threads)
        for source, target in found
    ]
    return passes, sum(prod(target.counts) for _, target in found) == prod(size)


@functools.lru_cache(maxsize=512)
def weights(
    x: Any, g: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int, threads: int
) -> WeightPass:
    """The pass of w's gradient."""
    lanes = microkernels.lanes()
    images, channels, outputs = x[0], x[1] // groups, g[1] // groups
    high, wide = weighing.shape(outputs)
    width = wide * lanes  # outputs of a tile
    source = source_of(x[2:], kernel, stride, padding, dilation)
    counts = three(g[2:])
    terms = channels * len(source.taps)
    work = images * g[1] * prod(counts) * terms
    chunks = threads if work >= PARALLEL else 1
    blocks = -(-outputs // max(width, 1))
    parts = min(blocks, -(-outputs // weighing.PART))
    if groups * parts < chunks and blocks >= 4 * chunks:
        parts = chunks
    rows = -(-blocks // parts) * width if width else 1
    per_place = channels * len(source.phases) + rows
    box = _cut(counts, source.reach, per_place)
    boxes = Boxes(box, three(b + r for b, r in zip(box, source.reach, strict=True)), 1)
    while (
        boxes.together * prod(box) < weighing.LONG
        and box == counts
        and 2 * boxes.together <= images
        and 2 * boxes.together * boxes.size * per_place <= BUFFER
    ):
        boxes = boxes._replace(together=2 * boxes.together)
    items = -(-images // boxes.together) * boxes.count(counts)
    pieces = 1 if groups * parts >= chunks else min(items, chunks)
    padded = -(-terms // high) * high
    gap = boxes.gap
    places = boxes.together * prod(box) if width else gap
    scratch = channels * len(source.phases) * gap + rows * places + 16 * lanes
    scratch = -(-scratch // 64) * 64 + 64
    offsets = _offsets(source, boxes.buffer, gap, channels)
    offsets = np.concatenate([offsets, np.zeros(padded - terms, np.int64)])
    other = Source(counts, (1, 1, 1), (0, 0, 0), (Tap(0, (0, 0, 0), (0, 0, 0)),))
    tasks = pieces * groups * parts
    chunks = min(chunks, tasks)
    sums = -(-rows * padded // lanes) * lanes  # of a task, whole vectors
    flat = width > 0 and boxes.buffer == box  # rows of the buffer and of the box are alike
    numbers = np.array(
        [
            outputs, channels, groups, images, rows, boxes.together, parts, pieces, *counts, *box,
            *source.first, gap, scratch, prod(source.size), prod(counts), padded, high, width,
            terms, chunks, places, flat, sums,
        ],
        np.int64,
    )  # fmt: skip
    table = table_of(numbers, _layout(source, boxes), offsets, _layout(other, boxes))
    return WeightPass(table, scratch, chunks, tasks * sums + 64)
