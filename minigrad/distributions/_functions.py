"""The ops that distributions are made of, gathered in one place."""

from __future__ import annotations

from ..backend.dtypes import bool_, finfo, float32, get_default_dtype, int64
from ..core.modes import enable_grad, is_grad_enabled, no_grad
from ..core.size import Size
from ..core.tensor import Tensor, wrap
from ..core.views import is_tensor
from ..ops.clamping import maximum, minimum
from ..ops.classification import binary_cross_entropy_with_logits
from ..ops.compare import isclose
from ..ops.data import as_tensor, tensor
from ..ops.dims import broadcast_shapes, broadcast_tensors, movedim
from ..ops.embedding import one_hot
from ..ops.filled import empty, full, full_like, ones, ones_like, zeros, zeros_like
from ..ops.formulas import logaddexp, xlogy
from ..ops.join import cat, stack
from ..ops.matmul import matmul
from ..ops.pad import pad
from ..ops.piecewise import where
from ..ops.random import (
    bernoulli,
    binomial,
    multinomial,
    normal,
    poisson,
    rand,
    randn,
)
from ..ops.rearrange import diag_embed
from ..ops.sigmoidal import logsigmoid
from ..ops.smooth import softplus
from ..ops.special import digamma, i0e, i1e, igamma, lgamma, mvlgamma, xlog1py
from ..ops.steps import arange, eye, tril_indices
from ..ops.triangular import cholesky_ex, cholesky_solve, linalg_cholesky, solve_triangular

__all__ = [
    "Size",
    "Tensor",
    "arange",
    "as_tensor",
    "bernoulli",
    "binary_cross_entropy_with_logits",
    "binomial",
    "bool_",
    "broadcast_shapes",
    "broadcast_tensors",
    "cat",
    "cholesky_ex",
    "cholesky_solve",
    "diag_embed",
    "digamma",
    "empty",
    "enable_grad",
    "eye",
    "finfo",
    "float32",
    "full",
    "full_like",
    "get_default_dtype",
    "i0e",
    "i1e",
    "igamma",
    "int64",
    "is_grad_enabled",
    "is_tensor",
    "isclose",
    "lgamma",
    "linalg_cholesky",
    "logaddexp",
    "logsigmoid",
    "matmul",
    "maximum",
    "minimum",
    "movedim",
    "multinomial",
    "mvlgamma",
    "no_grad",
    "normal",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "poisson",
    "rand",
    "randn",
    "softplus",
    "solve_triangular",
    "stack",
    "tensor",
    "tril_indices",
    "where",
    "wrap",
    "xlog1py",
    "xlogy",
    "zeros",
    "zeros_like",
]
