# ruff: noqa: F401 (others import these names from here)
"""The reductions from one place: many elements to one, over all dimensions or some.

products      prod, and the cumulative sums and products it is made of
sums          sum, mean, amax, all, count_nonzero, logsumexp
statistics    var, std, cov, corrcoef
vector_norms  vector_norm, norm, dist, renorm
sorting       max, argmax, median, quantile, ... (a family of its own)
"""

from __future__ import annotations

from .products import (
    cumprod,
    cumprod_,
    cumprod_self,
    cumsum,
    cumsum_,
    cumsum_self,
    prod,
    recurrence,
    reduce_prod,
    shift,
)
from .statistics import corrcoef, cov, reduce_var, root, std, std_mean, var, var_mean
from .sums import (
    all,
    amax,
    amin,
    aminmax,
    any,
    axes_of,
    count_nonzero,
    count_of,
    is_floating,
    kept,
    logsumexp,
    mean,
    nanmean,
    nansum,
    reduce_amax,
    reduce_amin,
    reduce_logsumexp,
    reduce_mean,
    reduce_sum,
    sum,
)
from .vector_norms import dist, norm, renorm, renorm_, vector_norm
