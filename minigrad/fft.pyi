# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.fft import fft as fft
from minigrad.ops.fft import fft2 as fft2
from minigrad.ops.frequencies import fftfreq as fftfreq
from minigrad.ops.fft import fftn as fftn
from minigrad.ops.frequencies import fftshift as fftshift
from minigrad.ops.fft import hfft as hfft
from minigrad.ops.fft import hfft2 as hfft2
from minigrad.ops.fft import hfftn as hfftn
from minigrad.ops.fft import ifft as ifft
from minigrad.ops.fft import ifft2 as ifft2
from minigrad.ops.fft import ifftn as ifftn
from minigrad.ops.frequencies import ifftshift as ifftshift
from minigrad.ops.fft import ihfft as ihfft
from minigrad.ops.fft import ihfft2 as ihfft2
from minigrad.ops.fft import ihfftn as ihfftn
from minigrad.ops.fft import irfft as irfft
from minigrad.ops.fft import irfft2 as irfft2
from minigrad.ops.fft import irfftn as irfftn
from minigrad.ops.fft import rfft as rfft
from minigrad.ops.fft import rfft2 as rfft2
from minigrad.ops.frequencies import rfftfreq as rfftfreq
from minigrad.ops.fft import rfftn as rfftn
