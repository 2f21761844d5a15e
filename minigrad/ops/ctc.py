"""Connectionist temporal classification: −log of the sum over all alignments (Graves et al. 2006).

The labels l are spread to l' = blank, l_1, blank, l_2, ..., blank. α_t(s) is the log-probability of
reaching l'_s at time t, β_t(s) that of the rest; both are recursions over time (sections 4.1, 4.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.dtypes import I64
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .elementwise import logaddexp, where
from .embedding import lookup
from .join import cat
from .reduction import mean, sum
from .regression import reduced
from .shape import narrow, permute, reshape, select
from .softmax import log_softmax_along

_NEVER = -1e30  # stands for log 0 where derivatives are taken: -inf would make them nan


# ------------------------------------------------------------------------------ the labels
def spread(targets: Any, lengths: Any, blank: int) -> Any:
    """l' (N, 2S + 1) of labels (N, S), blanks behind each row's end."""
    n, s = targets.shape
    inside = np.arange(s) < lengths[:, None]
    labels = np.full((n, 2 * s + 1), blank, I64)
    labels[:, 1::2] = np.where(inside, targets, blank)
    return labels


def _may_skip(labels: Any, blank: int) -> Any:
    """Whether l'_s may follow l'_{s−2}: it is no blank and a different label."""
    skip = np.zeros(labels.shape, bool)
    skip[:, 2:] = (labels[:, 2:] != blank) & (labels[:, 2:] != labels[:, :-2])
    return skip


def _log_sum(*terms: Any) -> Any:
    """log Σ e^term, elementwise, -inf where all terms are."""
    top = np.maximum.reduce(terms)
    base = np.where(np.isneginf(top), 0, top)
    return np.log(np.add.reduce([np.exp(t - base) for t in terms])) + base


def _emissions(log_probs: Any, labels: Any) -> Any:
    """log p_t(l'_s): (T, N, 2S + 1)."""
    return log_probs[:, np.arange(labels.shape[0])[:, None], labels]


def _moved(a: Any, by: int) -> Any:
    """a, `by` states later (earlier if negative), with -inf moved in."""
    moved = np.full(a.shape, -np.inf, a.dtype)
    if abs(by) < a.shape[1]:
        if by > 0:
            moved[:, by:] = a[:, :-by]
        else:
            moved[:, :by] = a[:, -by:]
    return moved


# ------------------------------------------------------------------------------ composition
def _by_parts(
    log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, *, blank: int,
    zero_infinity: bool,
) -> Any:  # fmt: skip
    """The same loss, of the softmax of its input, from differentiable parts.

    For log-probabilities the softmax changes nothing; it makes the derivative PyTorch's, which is
    that of the unnormalised scores.
    """
    labels, steps, sizes = labels._data, input_lengths._data, target_lengths._data
    time, batch, classes = log_probs._data.shape
    states = labels.shape[1]
    flat = permute(log_softmax_along(log_probs, axis=2), (1, 2, 0))
    cell = labels + np.arange(batch)[:, None] * classes
    emitted = lookup(
        reshape(flat, (batch * classes, time)), cell, padding_idx=None, by_frequency=False
    )
    state = np.arange(states)
    ends = (state == 2 * sizes[:, None]) | (state == 2 * sizes[:, None] - 1)
    starts = wrap(np.broadcast_to(state < 2, labels.shape))
    skip = wrap(_may_skip(labels, blank))
    alpha = where(starts, select(emitted, 2, 0), _NEVER)
    for t in range(1, time):
        one = _moved_tensor(alpha, 1)
        two = where(skip, _moved_tensor(alpha, 2), _NEVER)
        new = logaddexp(logaddexp(alpha, one), two) + select(emitted, 2, t)
        alpha = where(wrap((t < steps)[:, None]), new, alpha)
    alpha = where(wrap(ends), alpha, _NEVER)
    total = select(alpha, 1, 0)
    for s in range(1, states):
        total = logaddexp(total, select(alpha, 1, s))
    return where(total < _NEVER / 2, 0.0, -total)


def _moved_tensor(alpha: Any, by: int) -> Any:
    batch, states = alpha._data.shape
    by = min(by, states)
    low = wrap(np.full((batch, by), _NEVER, alpha._data.dtype))
    return cat([low, narrow(alpha, 1, 0, states - by)], 1)


# ------------------------------------------------------------------------------ the fused loss
@primitive(residuals=("alpha", "raw"), composition=_by_parts)
def ctc(
    log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, *, blank: int,
    zero_infinity: bool,
) -> Any:  # fmt: skip
    """y_n = −log Σ over alignments for log-probabilities (T, N, C) and l' (N, 2S + 1).

    With γ_t(c) the probability of emitting c at time t:  x̄_t(c) = ȳ (e^{x_t(c)} − γ_t(c)).
    """
    emitted = _emissions(log_probs, labels)
    skip = _may_skip(labels, blank)
    alpha = np.full(emitted.shape, -np.inf, log_probs.dtype)
    alpha[0, :, 0] = emitted[0, :, 0]
    if labels.shape[1] > 1:
        alpha[0, :, 1] = np.where(target_lengths > 0, emitted[0, :, 1], -np.inf)
    for t in range(1, len(alpha)):
        before = alpha[t - 1]
        two = np.where(skip, _moved(before, 2), -np.inf)
        alpha[t] = _log_sum(before, _moved(before, 1), two) + emitted[t]
    rows, last = np.arange(labels.shape[0]), 2 * target_lengths
    end = alpha[np.maximum(input_lengths - 1, 0), rows]
    final = end[rows, last]
    other = np.where(target_lengths > 0, end[rows, np.maximum(last - 1, 0)], -np.inf)
    raw = -_log_sum(final, other)
    raw = np.where(input_lengths > 0, raw, np.where(target_lengths > 0, np.inf, 0))
    raw = raw.astype(log_probs.dtype)
    return (np.where(np.isinf(raw), raw.dtype.type(0), raw) if zero_infinity else raw), alpha, raw


def _ctc_vjp(
    g: Any, log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, alpha: Any,
    raw: Any, blank: int, zero_infinity: bool,
) -> Any:  # fmt: skip
    emitted = _emissions(log_probs, labels)
    time, batch, states = emitted.shape
    skip = _may_skip(labels, blank)
    ahead = np.zeros_like(skip)
    ahead[:, :-2] = skip[:, 2:]
    rows, last = np.arange(batch), 2 * target_lengths
    x_bar = np.zeros_like(log_probs)
    beta = np.full((batch, states), -np.inf, log_probs.dtype)
    for t in range(time - 1, -1, -1):
        two = np.where(ahead, _moved(beta, -2), -np.inf)
        beta = _log_sum(beta, _moved(beta, -1), two) + emitted[t]
        first = t == input_lengths - 1  # here the recursion starts for these rows
        if first.any():
            start = np.full((batch, states), -np.inf, log_probs.dtype)
            start[rows, last] = emitted[t, rows, last]
            before_last = np.maximum(last - 1, 0)
            start[rows, before_last] = emitted[t, rows, before_last]
            beta = np.where(first[:, None], start, beta)
        inside = t < input_lengths
        occupied = np.exp(alpha[t] + beta - emitted[t] + raw[:, None])
        occupied = np.where(np.isneginf(emitted[t]), 0, occupied)
        gamma = np.zeros((batch, log_probs.shape[2]), log_probs.dtype)
        np.add.at(gamma, (rows[:, None], labels), occupied)
        x_bar[t] = np.where(inside[:, None], np.exp(log_probs[t]) - gamma, 0)
    x_bar *= g[:, None]
    if zero_infinity:
        x_bar[:, np.isinf(raw)] = 0
    return x_bar


ctc.vjp(log_probs=_ctc_vjp)
ctc.primitive.node_class.__name__ = "CtcLossBackward0"


# ------------------------------------------------------------------------------ the public function
@export("nn.functional.ctc_loss")
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """−log of the probability of the targets, summed over their alignments (Graves et al. 2006).

    log_probs (T, N, C) or (T, C), from log_softmax; targets (N, S) or one after the other (ΣS_n);
    lengths (N). The mean divides each loss by its target's length. zero_infinity: 0, without a
    gradient, for targets too long for their input. RuntimeError for arguments that do not fit.
    """
    batched = log_probs._data.ndim == 3
    if not batched:
        log_probs = reshape(log_probs, (log_probs._data.shape[0], 1, log_probs._data.shape[-1]))
    time, batch, classes = log_probs._data.shape
    steps, sizes = _lengths(input_lengths), _lengths(target_lengths)
    _check_ctc(log_probs._data, targets, steps, sizes, blank)
    if steps.size and steps.max() > time:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {time}, but got {steps.max()}"
        )
    labels = spread(_table(targets._data, sizes, batch), sizes, blank)
    if labels.min() < 0 or labels.max() >= classes:
        raise RuntimeError(f"targets must be class numbers in [0, {classes})")
    loss = ctc(log_probs, labels, steps, sizes, blank=blank, zero_infinity=zero_infinity)
    if reduction == "mean":
        return mean(loss / wrap(np.maximum(sizes, 1).astype(loss._data.dtype)))
    if reduction == "none" and not batched:
        return sum(loss)
    return reduced(loss, reduction)


def _lengths(lengths: Any) -> Any:
    x = lengths._data if isinstance(lengths, Tensor) else np.asarray(lengths)
    if x.dtype.kind not in "iu":
        raise RuntimeError("input_lengths and target_lengths must be integral")
    return np.atleast_1d(x).astype(I64)


def _check_ctc(log_probs: Any, targets: Any, steps: Any, sizes: Any, blank: int) -> None:
    batch, classes = log_probs.shape[1:]
    if not log_probs.size:
        raise RuntimeError("log_probs tensor must not be empty")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if targets._data.dtype.kind not in "iu":
        raise RuntimeError("targets must be integral")
    for name, x in (("input_lengths", steps), ("target_lengths", sizes)):
        if x.shape != (batch,):
            raise RuntimeError(f"{name} must be of size batch_size")
        if (x < 0).any():
            raise RuntimeError(f"Expected {name} to have value at least 0, but got {x.min()}")


def _table(targets: Any, sizes: Any, batch: int) -> Any:
    """The targets as (N, S)."""
    longest = int(sizes.max(initial=0))
    if targets.ndim == 2:
        if targets.shape[0] != batch or targets.shape[1] < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least {longest} at dimension 1, but got size "
                f"{list(targets.shape)} for targets"
            )
        return targets[:, :longest]
    if targets.ndim != 1 or targets.size != sizes.sum():
        raise RuntimeError(
            f"Expected targets to have {sizes.sum()} elements, but got size {list(targets.shape)}"
        )
    inside = np.arange(longest) < sizes[:, None]
    table = np.zeros((batch, longest), I64)
    table[inside] = targets
    return table
