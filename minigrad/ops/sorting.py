# ruff: noqa: F401 (others import these names from here)
"""The sorting family from one place.

extrema   max, min, argmax, argmin, kthvalue, median, mode
order     sort, argsort, topk, quantile
counting  unique, searchsorted, bincount, histograms
"""

from __future__ import annotations

from .counting import (
    bincount,
    bucketize,
    histc,
    histogram,
    histogramdd,
    searchsorted,
    unique,
    unique_consecutive,
)
from .extrema import argmax, argmin, kthvalue, max, median, min, mode, nanmedian
from .order import argsort, msort, nanquantile, quantile, sort, topk
