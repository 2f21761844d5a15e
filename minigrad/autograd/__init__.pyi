# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import anomaly_mode as anomaly_mode
from . import forward_ad as forward_ad
from . import func as func
from . import function as function
from . import functional as functional
from . import grad_mode as grad_mode
from . import graph as graph
from . import profiler as profiler
from . import profiler_util as profiler_util
from . import variable as variable
from minigrad.core.function import Function as Function
from minigrad.autograd.variable import Variable as Variable
from minigrad.core.engine import backward as backward
from minigrad.core.anomaly import detect_anomaly as detect_anomaly
from minigrad.core.modes import enable_grad as enable_grad
from minigrad.core.engine import grad as grad
from minigrad.testing.gradcheck import gradcheck as gradcheck
from minigrad.testing.gradcheck import gradgradcheck as gradgradcheck
from minigrad.core.modes import inference_mode as inference_mode
from minigrad.core.modes import no_grad as no_grad
from minigrad.core.anomaly import set_detect_anomaly as set_detect_anomaly
from minigrad.core.modes import set_grad_enabled as set_grad_enabled
from minigrad.utils.elsewhere import set_multithreading_enabled as set_multithreading_enabled
