# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.results import AMinMax as aminmax
from minigrad.ops.results import CumMax as cummax
from minigrad.ops.results import CumMin as cummin
from minigrad.ops.counting import Histogram as histogram
from minigrad.ops.counting import HistogramDD as histogramdd
from minigrad.ops.extrema import KthValue as kthvalue
from minigrad.ops.extrema import Max as max
from minigrad.ops.extrema import Median as median
from minigrad.ops.extrema import Min as min
from minigrad.ops.extrema import Mode as mode
from minigrad.ops.extrema import NanMedian as nanmedian
from minigrad.ops.order import Sort as sort
from minigrad.ops.order import TopK as topk
