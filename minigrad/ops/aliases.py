"""Functions under `minigrad.` that only call something else: in-place methods as functions, and
losses that PyTorch has here, too, with a number for the reduction (0 none, 1 mean, 2 sum).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..export import export
from . import adaptive, classification, ctc, dropout, einsum, embedding, max_pool, regression
from . import margin as margins
from .filled import empty

# ------------------------------------------------------------ in place
INPLACE = """
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_
    asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_
    detach_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_
    log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ round_ rsqrt_
    sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_"""


def _function(name: str) -> Callable[..., Tensor]:
    """The in-place method `name` as a function."""

    def call(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return getattr(Tensor, name)(input, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`input.{name}(...)`."
    return call


for _name in INPLACE.split():
    export(_name)(_function(_name))


# ------------------------------------------------------------ losses with a numbered reduction
_REDUCTIONS = ("none", "mean", "sum")


def _word(reduction: int) -> str:
    if reduction not in (0, 1, 2):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return _REDUCTIONS[reduction]


export("bilinear", allow_multiple_exports=True)(einsum.bilinear)


@export("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Any = None, pos_weight: Any = None, reduction: int = 1
) -> Tensor:
    """`nn.functional.binary_cross_entropy_with_logits`."""
    return classification.binary_cross_entropy_with_logits(
        input, target, weight, pos_weight=pos_weight, reduction=_word(reduction)
    )


@export("kl_div")
def kl_div(
    input: Tensor, target: Tensor, reduction: int = 1, *, log_target: bool = False
) -> Tensor:
    """`nn.functional.kl_div`."""
    return classification.kl_div(input, target, reduction=_word(reduction), log_target=log_target)


@export("cosine_embedding_loss")
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """`nn.functional.cosine_embedding_loss`."""
    return margins.cosine_embedding_loss(input1, input2, target, margin, reduction=_word(reduction))


@export("hinge_embedding_loss")
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1
) -> Tensor:
    """`nn.functional.hinge_embedding_loss`."""
    return margins.hinge_embedding_loss(input, target, margin, reduction=_word(reduction))


@export("margin_ranking_loss")
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
) -> Tensor:
    """`nn.functional.margin_ranking_loss`."""
    return margins.margin_ranking_loss(input1, input2, target, margin, reduction=_word(reduction))


@export("triplet_margin_loss")
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-6, swap: bool = False, reduction: int = 1,
) -> Tensor:  # fmt: skip
    """`nn.functional.triplet_margin_loss`."""
    return margins.triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_word(reduction)
    )


@export("poisson_nll_loss")
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
) -> Tensor:
    """`nn.functional.poisson_nll_loss`."""
    return regression.poisson_nll_loss(
        input, target, log_input, full, eps=eps, reduction=_word(reduction)
    )


@export("ctc_loss")
def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: int = 1, zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """`nn.functional.ctc_loss`."""
    return ctc.ctc_loss(
        log_probs, targets, input_lengths, target_lengths, blank, _word(reduction), zero_infinity
    )


# ------------------------------------------------------------ layers
@export("adaptive_max_pool1d")
def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """`nn.functional.adaptive_max_pool1d` with the indices."""
    return adaptive.adaptive_max_pool1d(input, output_size, return_indices=True)


@export("max_pool1d_with_indices")
def max_pool1d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`nn.functional.max_pool1d` with the indices."""
    return max_pool.max_pool1d(
        input, kernel_size, stride or None, padding, dilation, ceil_mode, return_indices=True
    )


@export("alpha_dropout")
def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.alpha_dropout`."""
    return dropout.alpha_dropout(input, p, train)


@export("alpha_dropout_")
def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place `alpha_dropout`."""
    return dropout.alpha_dropout(input, p, train, inplace=True)


@export("feature_alpha_dropout")
def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.feature_alpha_dropout`."""
    return dropout.feature_alpha_dropout(input, p, train)


@export("feature_alpha_dropout_")
def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place `feature_alpha_dropout`."""
    return dropout.feature_alpha_dropout(input, p, train, inplace=True)


@export("embedding_bag")
def embedding_bag(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False,
    mode: int = 0, sparse: bool = False, per_sample_weights: Any = None,
    include_last_offset: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """`nn.functional.embedding_bag` with a number for the mode (0 sum, 1 mean, 2 max).

    The last three of the four results, which PyTorch keeps for its backward, are empty here.
    """
    y = embedding.embedding_bag(
        indices, weight, offsets, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse,
        mode=("sum", "mean", "max")[mode], per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset,
    )  # fmt: skip
    return y, empty(0), empty(0), empty(0)


# ------------------------------------------------------------ pooling with the places found
def _with_indices(pool: Callable[..., Any]) -> None:
    """`nn.functional.<pool>_with_indices`, and under `minigrad.` what has no name there yet."""

    def call(input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return pool(input, *args, **kwargs | {"return_indices": True})

    call.__name__ = call.__qualname__ = f"{pool.__name__}_with_indices"
    call.__doc__ = f"`nn.functional.{pool.__name__}` with the indices: (values, indices)."
    export(f"nn.functional.{call.__name__}")(call)


for _pool in (
    max_pool.max_pool1d, max_pool.max_pool2d, max_pool.max_pool3d, adaptive.adaptive_max_pool1d,
    adaptive.adaptive_max_pool2d, adaptive.adaptive_max_pool3d, adaptive.fractional_max_pool2d,
    adaptive.fractional_max_pool3d,
):  # fmt: skip
    _with_indices(_pool)
