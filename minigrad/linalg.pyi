# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.matrices import LinAlgError as LinAlgError
from minigrad.ops.triangular import linalg_cholesky as cholesky
from minigrad.ops.triangular import cholesky_ex as cholesky_ex
from minigrad.ops.matrix_norms import cond as cond
from minigrad.ops.distance import linalg_cross as cross
from minigrad.ops.determinants import det as det
from minigrad.ops.matrix_functions import linalg_diagonal as diagonal
from minigrad.ops.spectra import eig as eig
from minigrad.ops.spectra import eigh as eigh
from minigrad.ops.spectra import eigvals as eigvals
from minigrad.ops.spectra import eigvalsh as eigvalsh
from minigrad.ops.reflections import householder_product as householder_product
from minigrad.ops.solves import inv as inv
from minigrad.ops.solves import inv_ex as inv_ex
from minigrad.ops.factorings import ldl_factor as ldl_factor
from minigrad.ops.factorings import ldl_factor_ex as ldl_factor_ex
from minigrad.ops.factorings import ldl_solve as ldl_solve
from minigrad.ops.matrix_functions import lstsq as lstsq
from minigrad.ops.factorings import lu as lu
from minigrad.ops.factorings import lu_factor as lu_factor
from minigrad.ops.factorings import lu_factor_ex as lu_factor_ex
from minigrad.ops.factorings import linalg_lu_solve as lu_solve
from minigrad.ops.matmul import matmul as matmul
from minigrad.ops.matrix_functions import matrix_exp as matrix_exp
from minigrad.ops.matrix_norms import matrix_norm as matrix_norm
from minigrad.ops.matrix_functions import matrix_power as matrix_power
from minigrad.ops.matrix_functions import matrix_rank as matrix_rank
from minigrad.ops.matmul import multi_dot as multi_dot
from minigrad.ops.matrix_norms import linalg_norm as norm
from minigrad.ops.matrix_functions import pinv as pinv
from minigrad.ops.factorings import linalg_qr as qr
from minigrad.ops.determinants import linalg_slogdet as slogdet
from minigrad.ops.solves import solve as solve
from minigrad.ops.solves import solve_ex as solve_ex
from minigrad.ops.triangular import solve_triangular as solve_triangular
from minigrad.ops.spectra import linalg_svd as svd
from minigrad.ops.spectra import svdvals as svdvals
from minigrad.ops.solves import tensorinv as tensorinv
from minigrad.ops.solves import tensorsolve as tensorsolve
from minigrad.ops.matrix_functions import vander as vander
from minigrad.ops.matmul import vecdot as vecdot
from minigrad.ops.vector_norms import vector_norm as vector_norm
