"""The one table that binds ops to Tensor: operators, methods, in-place methods.

A method has the name of its op and gets the tensor as the first argument. In-place methods are made
from the out-of-place ops by `core.inplace.inplace`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..core.inplace import inplace
from ..core.tensor import Tensor
from . import (
    absent,
    activation,
    adjusting,
    answers,
    arithmetic,
    casts,
    compare,
    convert,
    creation,
    distance,
    einsum,
    elementwise,
    indexing,
    linalg_ops,
    matmul,
    random,
    reduction,
    scan,
    shape,
    softmax,
    sorting,
    special,
    spectrogram,
    storage,
)
from . import (
    adaptive as adaptive,
)
from . import (
    aliases as aliases,
)
from . import (
    attention as attention,
)
from . import (
    bessel as bessel,
)
from . import (
    conv as conv,
)
from . import (
    dropout as dropout,
)
from . import (
    embedding as embedding,
)
from . import (
    frequencies as frequencies,
)
from . import (
    grid as grid,
)
from . import (
    loss as loss,
)
from . import (
    norm as norm,
)
from . import (
    orthogonal as orthogonal,
)
from . import (
    pad as pad,
)
from . import (
    pixels as pixels,
)
from . import (
    pool as pool,
)
from . import (
    rare as rare,
)
from . import (
    resize as resize,
)
from . import (
    settings as settings,
)
from . import (
    tapers as tapers,
)

# family -> names of its ops that are Tensor methods
METHODS: dict[ModuleType, str] = {
    elementwise: """
        add sub mul div true_divide pow remainder fmod floor_divide neg abs reciprocal sqrt rsqrt
        square exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh
        acosh atanh atan2 sigmoid logit sign sgn floor ceil trunc round frac clamp clamp_min
        clamp_max maximum minimum fmax fmin lerp addcmul addcdiv hypot copysign ldexp logaddexp
        logaddexp2 xlogy heaviside nan_to_num sinc float_power deg2rad rad2deg positive angle conj
        conj_physical frexp nextafter resolve_conj resolve_neg where=where_self subtract=sub
        multiply=mul divide=div negative=neg absolute=abs fix=trunc clip=clamp arctan2=atan2
        arcsin=asin arccos=acos arctan=atan arcsinh=asinh arccosh=acosh arctanh=atanh""",
    compare: """
        eq ne lt le gt ge isclose allclose equal isnan isinf isfinite isneginf isposinf isreal
        signbit logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor
        bitwise_not bitwise_left_shift bitwise_right_shift gcd lcm not_equal=ne less=lt
        less_equal=le greater=gt greater_equal=ge""",
    special: "erf erfc erfinv lgamma digamma polygamma=polygamma_method mvlgamma igamma igammac i0",
    shape: """
        view reshape view_as reshape_as flatten ravel unflatten squeeze unsqueeze transpose
        swapaxes swapdims t adjoint permute movedim moveaxis broadcast_to expand expand_as
        sum_to_size clone contiguous select narrow diagonal unfold as_strided unbind split
        split_with_sizes chunk unsafe_chunk unsafe_split unsafe_split_with_sizes tensor_split
        hsplit vsplit dsplit flip fliplr flipud roll rot90 repeat tile repeat_interleave tril triu
        diag diag_embed diagflat narrow_copy""",
    convert: "to type_as cpu cuda pin_memory copy_",
    casts: "float double half bfloat16 int long short char byte bool cfloat cdouble",
    creation: """
        new new_tensor new_zeros new_ones new_empty new_full new_empty_strided type is_nonzero
        is_same_size""",
    random: """
        bernoulli multinomial uniform_ normal_ exponential_ bernoulli_ random_ geometric_ cauchy_
        log_normal_""",
    matmul: """
        matmul mm bmm mv dot vdot outer ger=outer addmm addmv addr baddbmm addbmm trace""",
    einsum: "inner kron",
    linalg_ops: """
        cholesky cholesky_inverse cholesky_solve det geqrf inverse logdet lu=lu_of lu_solve
        matrix_exp matrix_power orgqr=householder_product ormqr pinverse qr slogdet svd
        triangular_solve""",
    activation: "relu prelu hardshrink",
    softmax: "softmax=softmax_of log_softmax=log_softmax_of",
    distance: "cross",
    spectrogram: "stft istft",
    reduction: """
        sum mean nansum nanmean prod var std amax amin aminmax all any count_nonzero logsumexp
        norm dist renorm renorm_ cov corrcoef cumsum cumprod cumsum_=cumsum_self
        cumprod_=cumprod_self""",
    scan: "cummax cummin logcumsumexp diff",
    indexing: """
        __getitem__=getitem __setitem__=setitem __delitem__=delitem __contains__=contains
        gather scatter
        scatter_=scatter_self scatter_add scatter_add_=scatter_add_self scatter_reduce
        scatter_reduce_ take_along_dim index_select index_add index_add_ index_copy index_copy_
        index_fill index_fill_ index_reduce index_reduce_ index_put=index_put_of index_put_ take
        put put_ masked_fill masked_fill_=masked_fill_self masked_select masked_scatter
        masked_scatter_ nonzero argwhere nonzero_static select_scatter slice_scatter
        diagonal_scatter""",
    adjusting: """
        resize resize_ resize_as resize_as_ set_ apply_ map_ map2_ fill_diagonal_
        as_strided_scatter slice_inverse dim_order is_conj is_neg is_distributed dense_dim
        sparse_dim to_dense as_subclass module_load record_stream __reversed__=reversed_""",
    storage: """
        storage untyped_storage storage_type share_memory_ is_set_to const_data_ptr""",
    sorting: """
        argmax argmin max min kthvalue median nanmedian mode sort argsort msort topk quantile
        nanquantile unique unique_consecutive bincount histc histogram""",
}

# family -> names of its ops that have an in-place method with a trailing underscore
INPLACE: dict[ModuleType, str] = {
    elementwise: """
        add sub mul div true_divide pow remainder fmod floor_divide neg abs=abs_self reciprocal
        sqrt rsqrt square exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh
        tanh asinh acosh atanh atan2 sigmoid logit sign sgn floor ceil trunc round frac clamp
        clamp_min clamp_max lerp addcmul addcdiv hypot copysign ldexp xlogy heaviside nan_to_num
        sinc float_power=float_power_self deg2rad rad2deg conj_physical nextafter fill zero
        subtract=sub multiply=mul divide=div negative=neg absolute=abs_self fix=trunc clip=clamp
        arctan2=atan2 arcsin=asin arccos=acos arctan=atan arcsinh=asinh arccosh=acosh
        arctanh=atanh""",
    compare: """
        bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift gcd
        lcm""",
    special: "erf erfc erfinv lgamma digamma polygamma=polygamma_method mvlgamma igamma igammac i0",
    shape: "tril triu",
    matmul: "addmm addmv addr baddbmm addbmm",
    activation: "relu",
}

# comparisons and logical functions, whose in-place methods have rules of their own
COMPARING = """
    eq ne lt le gt ge not_equal=ne less=lt less_equal=le greater=gt greater_equal=ge"""
REASONING = "logical_and logical_or logical_xor logical_not"

# family -> names of its views that also change the tensor itself
RESHAPING: dict[ModuleType, str] = {
    shape: "squeeze unsqueeze transpose swapaxes swapdims t as_strided",
}

# property -> function of the tensor
PROPERTIES: dict[str, Any] = {
    "real": elementwise.real,
    "imag": elementwise.imag,
    "T": shape.numpy_T,
    "mT": shape.matrix_T,
    "H": shape.matrix_H,
    "mH": shape.matrices_H,
    "grad_dtype": adjusting.grad_dtype,
    "name": adjusting.name,
}


def _reflected(op: Any) -> Any:
    """The operator with its operands exchanged: what `2 - x` calls."""
    operator = op.operator

    def method(self: Tensor, other: Any) -> Any:
        return operator(other, self)

    return method


# Python operator -> op. `.operator` is an op's call path that answers NotImplemented to foreign
# types.
OPERATORS: dict[str, Any] = {
    "__add__": arithmetic.add_.operator,
    "__radd__": arithmetic.add_.operator,
    "__iadd__": inplace(arithmetic.add_, "add_"),
    "__sub__": arithmetic.sub_.operator,
    "__rsub__": _reflected(arithmetic.sub_),
    "__isub__": inplace(arithmetic.sub_, "sub_"),
    "__mul__": arithmetic.mul_.operator,
    "__rmul__": arithmetic.mul_.operator,
    "__imul__": inplace(arithmetic.mul_, "mul_"),
    "__truediv__": arithmetic.div_.operator,
    "__rtruediv__": _reflected(arithmetic.div_),
    "__itruediv__": inplace(arithmetic.div_, "div_"),
    "__floordiv__": arithmetic.div_floor.operator,
    "__rfloordiv__": _reflected(arithmetic.div_floor),
    "__ifloordiv__": inplace(arithmetic.div_floor, "floor_divide_"),
    "__mod__": arithmetic.remainder_.operator,
    "__rmod__": _reflected(arithmetic.remainder_),
    "__imod__": inplace(arithmetic.remainder_, "remainder_"),
    "__pow__": arithmetic.pow_.operator,
    "__rpow__": _reflected(arithmetic.pow_),
    "__ipow__": inplace(arithmetic.pow_, "pow_"),
    "__matmul__": matmul.operator_matmul,
    "__rmatmul__": matmul.reflected_matmul,
    "__imatmul__": inplace(matmul.matmul, "matmul_"),
    "__neg__": arithmetic.neg,
    "__pos__": arithmetic.positive,
    "__abs__": elementwise.abs,
    "__invert__": compare.invert,
    "__eq__": compare.eq.operator,
    "__ne__": compare.ne.operator,
    "__lt__": compare.lt.operator,
    "__le__": compare.le.operator,
    "__gt__": compare.gt.operator,
    "__ge__": compare.ge.operator,
    "__and__": compare.bitwise_and.operator,
    "__rand__": compare.bitwise_and.operator,
    "__iand__": inplace(compare.bitwise_and, "bitwise_and_"),
    "__or__": compare.bitwise_or.operator,
    "__ror__": compare.bitwise_or.operator,
    "__ior__": inplace(compare.bitwise_or, "bitwise_or_"),
    "__xor__": compare.bitwise_xor.operator,
    "__rxor__": compare.bitwise_xor.operator,
    "__ixor__": inplace(compare.bitwise_xor, "bitwise_xor_"),
    "__lshift__": compare.bitwise_left_shift.operator,
    "__rlshift__": _reflected(compare.bitwise_left_shift),
    "__ilshift__": inplace(compare.bitwise_left_shift, "bitwise_left_shift_"),
    "__rshift__": compare.bitwise_right_shift.operator,
    "__rrshift__": _reflected(compare.bitwise_right_shift),
    "__irshift__": inplace(compare.bitwise_right_shift, "bitwise_right_shift_"),
}


def bind() -> None:
    """Give Tensor its operators and methods."""
    for module, names in METHODS.items():
        for method, op in _pairs(names):
            _set(method, vars(module)[op])
    for module, names in INPLACE.items():
        for method, op in _pairs(names):
            _set(method + "_", inplace(vars(module)[op], method + "_"))
    for method, op in _pairs(COMPARING):
        _set(method + "_", answers.comparing(vars(compare)[op], method + "_"))
    for method, op in _pairs(REASONING):
        _set(method + "_", answers.reasoning(vars(compare)[op], method + "_"))
    for module, names in RESHAPING.items():
        for name in names.split():
            _set(name + "_", shape.reshaping(vars(module)[name], name + "_"))
    for name, op in PROPERTIES.items():
        _set(name, property(op))
    for name, op in OPERATORS.items():
        _set(name, op)
    for name, method in absent.methods().items():
        _set(name, method)
    for name in absent.FLAGS:
        _set(name, False)


def _pairs(names: str) -> list[tuple[str, str]]:
    """(method, op) of each word; a word "method=op" where the two differ."""
    return [(word.partition("=")[0], word.rpartition("=")[2]) for word in names.split()]


def _set(name: str, value: Any) -> None:
    if name in vars(Tensor):
        raise ValueError(f"Tensor.{name} is bound twice")
    setattr(Tensor, name, value)


bind()
