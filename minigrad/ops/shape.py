# ruff: noqa: F401 (others import these names from here)
"""The shape family from one place.

strides      sizes, strides, memory, over plain arrays
reinterpret  the same bytes as another dtype
views        view, reshape, flatten, clone, contiguous
dims         squeeze, transpose, permute, expand
slices       select, narrow, diagonal, unfold, as_strided
pieces       unbind, split, chunk, meshgrid
rearrange    what copies: flip, roll, repeat, tril, diag
"""

from __future__ import annotations

from .dims import (
    adjoint,
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    expand,
    expand_,
    expand_as,
    matrices_H,
    matrix_H,
    matrix_T,
    moveaxis,
    movedim,
    numpy_T,
    permute,
    permute_,
    squeeze,
    squeeze_,
    sum_to_size,
    swapaxes,
    swapdims,
    t,
    transpose,
    transpose_,
    unsqueeze,
    unsqueeze_,
)
from .pieces import (
    chunk,
    dsplit,
    hsplit,
    meshgrid,
    split,
    split_,
    split_with_sizes,
    tensor_split,
    unbind,
    unbind_,
    unsafe_chunk,
    unsafe_split,
    unsafe_split_with_sizes,
    vsplit,
)
from .rearrange import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    diag,
    diag_embed,
    diagflat,
    flip,
    flip_,
    fliplr,
    flipud,
    narrow_copy,
    repeat,
    repeat_,
    repeat_interleave,
    roll,
    roll_,
    rot90,
    tile,
    tril,
    tril_,
    triu,
    triu_,
)
from .reinterpret import view_as_complex, view_as_complex_, view_as_real, view_as_real_, view_dtype
from .slices import (
    as_strided,
    as_strided_,
    diagonal,
    diagonal_,
    narrow,
    put_diagonal,
    put_range,
    select,
    slice_,
    unfold,
    unfold_,
)
from .strides import (
    as_block,
    common_shape,
    infer_size,
    is_int,
    memory_order,
    normalize_dims,
    sizes,
    strided,
)
from .views import (
    clone,
    clone_,
    contiguous,
    detach,
    flatten,
    ravel,
    reshape,
    reshape_as,
    reshaping,
    unflatten,
    view,
    view_,
    view_as,
)
