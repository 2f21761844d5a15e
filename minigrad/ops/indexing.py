# ruff: noqa: F401 (others import these names from here)
"""The indexing family from one place.

pick       elements at integer arrays and masks, over plain dimensions
subscript  x[...] and x[...] = value, index_put
scatter    gather, scatter, scatter_add, scatter_reduce, take_along_dim
rows       index_select, index_add, index_copy, index_fill, index_reduce, take, put
masking    masked_fill, masked_select, masked_scatter, nonzero, select_scatter, ...
"""

from __future__ import annotations

from ..core.inplace import inplace
from .masking import (
    argwhere,
    diagonal_scatter,
    masked_fill,
    masked_fill_self,
    masked_scatter,
    masked_scatter_,
    masked_select,
    nonzero,
    nonzero_static,
    select_scatter,
    slice_scatter,
    unravel_index,
)
from .pick import add_back, index, modify
from .rows import (
    index_add,
    index_add_,
    index_copy,
    index_copy_,
    index_fill,
    index_fill_,
    index_reduce,
    index_select,
    put,
    take,
)
from .scatter import (
    add_along,
    gather,
    gather_,
    scatter,
    scatter_,
    scatter_add,
    scatter_add_,
    scatter_add_self,
    scatter_reduce,
    scatter_self,
    take_along_dim,
)
from .subscript import contains, delitem, getitem, index_put_, index_put_of, setitem

index_reduce_ = inplace(index_reduce, "index_reduce_")
put_ = inplace(put, "put_")
scatter_reduce_ = inplace(scatter_reduce, "scatter_reduce_")
