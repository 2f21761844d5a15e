# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.results import AMinMax as aminmax
from minigrad.ops.results import CumMax as cummax
from minigrad.ops.results import CumMin as cummin
from minigrad.ops.reflections import Geqrf as geqrf
from minigrad.ops.counting import Histogram as histogram
from minigrad.ops.counting import HistogramDD as histogramdd
from minigrad.ops.extrema import KthValue as kthvalue
from minigrad.ops.results import LinalgCholeskyEx as linalg_cholesky_ex
from minigrad.ops.results import LinalgEig as linalg_eig
from minigrad.ops.results import LinalgEigh as linalg_eigh
from minigrad.ops.results import LinalgInvEx as linalg_inv_ex
from minigrad.ops.factorings import LinalgLDLFactor as linalg_ldl_factor
from minigrad.ops.factorings import LinalgLDLFactorEx as linalg_ldl_factor_ex
from minigrad.ops.matrix_functions import LinalgLstsq as linalg_lstsq
from minigrad.ops.factorings import LinalgLU as linalg_lu
from minigrad.ops.factorings import LinalgLUFactor as linalg_lu_factor
from minigrad.ops.factorings import LinalgLUFactorEx as linalg_lu_factor_ex
from minigrad.ops.factorings import LinalgQR as linalg_qr
from minigrad.ops.determinants import LinalgSlogDet as linalg_slogdet
from minigrad.ops.results import LinalgSolveEx as linalg_solve_ex
from minigrad.ops.results import LinalgSVD as linalg_svd
from minigrad.ops.factorings import LUUnpack as lu_unpack
from minigrad.ops.extrema import Max as max
from minigrad.ops.extrema import Median as median
from minigrad.ops.extrema import Min as min
from minigrad.ops.extrema import Mode as mode
from minigrad.ops.extrema import NanMedian as nanmedian
from minigrad.ops.factorings import QR as qr
from minigrad.ops.determinants import SlogDet as slogdet
from minigrad.ops.order import Sort as sort
from minigrad.ops.results import SVD as svd
from minigrad.ops.order import TopK as topk
from minigrad.ops.results import TriangularSolve as triangular_solve
