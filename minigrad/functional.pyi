# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.rearrange import atleast_1d as atleast_1d
from minigrad.ops.rearrange import atleast_2d as atleast_2d
from minigrad.ops.rearrange import atleast_3d as atleast_3d
from minigrad.ops.join import block_diag as block_diag
from minigrad.ops.dims import broadcast_tensors as broadcast_tensors
from minigrad.ops.join import cartesian_prod as cartesian_prod
from minigrad.ops.einsum import einsum as einsum
from minigrad.ops.factorings import lu_of as lu
from minigrad.ops.pieces import meshgrid as meshgrid
from minigrad.ops.vector_norms import norm as norm
from minigrad.ops.spectrogram import stft as stft
from minigrad.ops.einsum import tensordot as tensordot
