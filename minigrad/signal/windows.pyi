# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.tapers import bartlett as bartlett
from minigrad.ops.tapers import blackman as blackman
from minigrad.ops.tapers import cosine as cosine
from minigrad.ops.tapers import exponential as exponential
from minigrad.ops.tapers import gaussian as gaussian
from minigrad.ops.tapers import general_cosine as general_cosine
from minigrad.ops.tapers import general_hamming as general_hamming
from minigrad.ops.tapers import hamming as hamming
from minigrad.ops.tapers import hann as hann
from minigrad.ops.tapers import kaiser as kaiser
from minigrad.ops.tapers import nuttall as nuttall
