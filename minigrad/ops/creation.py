# ruff: noqa: F401 (others import these names from here)
"""New tensors from one place.

filled   zeros, ones, full, empty, ..._like, new_...
steps    arange, linspace, eye
data     tensor, as_tensor, from_numpy, from_dlpack
legacy   FloatTensor and its kin
"""

from __future__ import annotations

from .data import (
    as_tensor,
    asarray,
    complex_,
    from_dlpack,
    from_numpy,
    frombuffer,
    is_nonzero,
    is_same_size,
    new_tensor,
    polar,
    result_type,
    scalar_tensor,
    tensor,
)
from .filled import (
    check_layout,
    checked_dtype,
    checked_value,
    dtype_or_default,
    empty,
    empty_like,
    empty_strided,
    finish,
    full,
    full_like,
    like,
    new_empty,
    new_empty_strided,
    new_full,
    new_ones,
    new_zeros,
    on_device,
    ones,
    ones_like,
    shape_of,
    zeros,
    zeros_like,
)
from .legacy import new, type
from .steps import arange, eye, linspace, logspace, range_, tril_indices, triu_indices
