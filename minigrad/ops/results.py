"""Named tuples that functions with several results return: `x.max(1).values`."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from ..core.primitive import write_out
from ..export import export


def _named(name: str, *fields: str) -> Any:
    return export(f"return_types.{name}")(namedtuple(name, fields, module=__name__))  # noqa: PYI024


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
