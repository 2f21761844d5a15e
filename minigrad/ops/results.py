"""Named tuples that functions with several results return: `x.max(1).values`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from ..core.primitive import write_out
from ..export import export


def _named(name: str, *fields: str) -> Any:
    kind = namedtuple(name, fields, module=__name__)  # type: ignore[misc]  # noqa: PYI024
    kind.__repr__ = _shown
    return export(f"return_types.{name}")(kind)


def _shown(self: Any) -> str:
    """As PyTorch prints it: a field a line."""
    parts = ",\n".join([f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True)])
    return f"minigrad.return_types.{type(self).__name__}(\n{parts})"


Sort, TopK, KthValue, Mode, Median, NanMedian, Max, Min, CumMax, CumMin = [
    _named(name, "values", "indices")
    for name in (
        "sort", "topk", "kthvalue", "mode", "median", "nanmedian", "max", "min", "cummax", "cummin",
    )
]  # fmt: skip
AMinMax = _named("aminmax", "min", "max")
Histogram = _named("histogram", "hist", "bin_edges")
HistogramDD = _named("histogramdd", "hist", "bin_edges")


def finish_pair(result: Any, out: Any) -> Any:
    """The end of a function with `out=(first, second)`."""
    if out is None:
        return result
    return type(result)(*[write_out(r, o) for r, o in zip(result, out, strict=True)])


# linear algebra: PyTorch's names of the results of torch.linalg.* and of the older functions
SVD = _named("svd", "U", "S", "V")
QR = _named("qr", "Q", "R")
SlogDet = _named("slogdet", "sign", "logabsdet")
Geqrf = _named("geqrf", "a", "tau")
LUUnpack = _named("lu_unpack", "P", "L", "U")
TriangularSolve = _named("triangular_solve", "solution", "cloned_coefficient")
LinalgSVD = _named("linalg_svd", "U", "S", "Vh")
LinalgEig = _named("linalg_eig", "eigenvalues", "eigenvectors")
LinalgEigh = _named("linalg_eigh", "eigenvalues", "eigenvectors")
LinalgQR = _named("linalg_qr", "Q", "R")
LinalgSlogDet = _named("linalg_slogdet", "sign", "logabsdet")
LinalgCholeskyEx = _named("linalg_cholesky_ex", "L", "info")
LinalgInvEx = _named("linalg_inv_ex", "inverse", "info")
LinalgSolveEx = _named("linalg_solve_ex", "result", "info")
LinalgLU = _named("linalg_lu", "P", "L", "U")
LinalgLUFactor = _named("linalg_lu_factor", "LU", "pivots")
LinalgLUFactorEx = _named("linalg_lu_factor_ex", "LU", "pivots", "info")
LinalgLDLFactor = _named("linalg_ldl_factor", "LD", "pivots")
LinalgLDLFactorEx = _named("linalg_ldl_factor_ex", "LD", "pivots", "info")
LinalgLstsq = _named("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
