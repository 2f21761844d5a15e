# ruff: noqa: F401 (others import these names from here)
"""Linear algebra from one place; the public names are those of `minigrad.linalg` and older ones.

matrices          checks, and the parts of formulas: adjoint, triangle, diagonal
pivoting          LU and LDL over arrays
triangular        triangular systems, Cholesky
solves            inverse, systems
determinants      det, slogdet, logdet
spectra           eigenvalues, singular values
factorings        LU, LDL, QR
reflections       Householder's reflections
matrix_functions  powers, exponential, pseudoinverse, rank, least squares
matrix_norms      norms, condition number
lowrank           random projections
"""

from __future__ import annotations

from . import lowrank
from .determinants import det, logdet, slogdet
from .factorings import linalg_lu_solve, linalg_qr, lu_of, lu_solve, lu_unpack, qr
from .matrices import LinAlgError
from .matrix_functions import lstsq, matrix_exp, matrix_power, matrix_rank, pinv, pinverse
from .matrix_norms import cond, linalg_norm, matrix_norm
from .reflections import geqrf, householder_product, ormqr
from .solves import inv, inverse, solve
from .spectra import eig, eigh, eigvals, eigvalsh, linalg_svd, svd, svdvals
from .triangular import (
    cholesky,
    cholesky_inverse,
    cholesky_solve,
    solve_triangular,
    triangular_solve,
)
