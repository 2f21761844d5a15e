"""What moves numbers rather than computing with them: indexing, order, shapes, copies."""

from __future__ import annotations

from .base import booleans, distinct, integers, leaf, op, sizes

# rows of a table, their width, how many are looked up
TABLES = sizes((32, 8, 16), (1000, 64, 2048), (32000, 128, 4096))
GRIDS = sizes((8, 8), (256, 512), (1024, 1024))
BLOCKS = sizes((2, 4, 8), (16, 64, 128), (32, 128, 256))

op(
    "indexing",
    "embedding",
    TABLES,
    lambda rows, width, n: [integers(rows, n), leaf(rows, width)],
    lambda lib, i, w: lib.nn.functional.embedding(i, w),
)
op(
    "indexing",
    "index select",
    TABLES,
    lambda rows, width, n: [leaf(rows, width), integers(rows, n)],
    lambda lib, x, i: lib.index_select(x, 0, i),
)
op(
    "indexing",
    "index with a tensor",
    TABLES,
    lambda rows, width, n: [leaf(rows, width), integers(rows, n)],
    lambda lib, x, i: x[i],
)
op(
    "indexing",
    "index with two tensors",
    GRIDS,
    lambda n, m: [leaf(n, m), integers(n, n * 4), integers(m, n * 4)],
    lambda lib, x, i, j: x[i, j],
)
op(
    "indexing",
    "index with a mask",
    GRIDS,
    lambda n, m: [leaf(n, m), booleans(n, m)],
    lambda lib, x, mask: x[mask],
)
op(
    "indexing",
    "gather",
    GRIDS,
    lambda n, m: [leaf(n, m), integers(m, n, m)],
    lambda lib, x, i: lib.gather(x, 1, i),
)
op(
    "indexing",
    "scatter add",
    GRIDS,
    lambda n, m: [leaf(n, m), integers(m, n, m), leaf(n, m)],
    lambda lib, x, i, y: lib.scatter_add(x, 1, i, y),
)
op(
    "indexing",
    "index add",
    TABLES,
    lambda rows, width, n: [leaf(rows, width), integers(rows, n), leaf(n, width)],
    lambda lib, x, i, y: lib.index_add(x, 0, i, y),
)
op(
    "indexing",
    "masked fill",
    GRIDS,
    lambda n, m: [leaf(n, m), booleans(n, m)],
    lambda lib, x, mask: x.masked_fill(mask, -1.0),
)

op("order", "sort", GRIDS, lambda *s: [distinct(*s)], lambda lib, x: tuple(lib.sort(x, -1)))
op("order", "topk", GRIDS, lambda *s: [distinct(*s)], lambda lib, x: tuple(lib.topk(x, 5)))
op(
    "order",
    "sort one row",
    sizes((64,), (4096,), (262144,)),
    lambda n: [distinct(n)],
    lambda lib, x: tuple(lib.sort(x)),
)

LAYOUTS = {
    "view": lambda lib, x: x.view(-1),
    "slice": lambda lib, x: x[:, 1:-1],
    "transpose and copy": lambda lib, x: x.transpose(0, 2).contiguous(),
    "permute and reshape": lambda lib, x: x.permute(1, 0, 2).reshape(x.shape[1], -1),
    "split and cat": lambda lib, x: lib.cat(x.chunk(2, -1)[::-1], -1),
    "clone": lambda lib, x: x.clone(),
    "flip": lambda lib, x: lib.flip(x, (1,)),
    "roll": lambda lib, x: lib.roll(x, 1, 1),
    "expand and add": lambda lib, x: x[:, :1].expand(x.shape) + x,
    "tril": lambda lib, x: lib.tril(x),
}
for _name, _f in LAYOUTS.items():
    op("layout", _name, BLOCKS, lambda *s: [leaf(*s)], _f)
JOINS = {
    "cat": lambda lib, x, y, z: lib.cat([x, y, z], 1),
    "stack": lambda lib, x, y, z: lib.stack([x, y, z]),
}
for _name, _f in JOINS.items():
    op("layout", _name, BLOCKS, lambda *s: [leaf(*s), leaf(*s), leaf(*s)], _f)
