"""Losses over very many classes, which hold the last linear map themselves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...export import export
from ...ops import loss as F
from ...ops.join import cat
from ...ops.softmax import log_softmax
from ..containers import ModuleList, Sequential
from ..module import Module
from .linear import Linear
from .loss import _WeightedLoss


class _ASMoutput(NamedTuple):
    """The log-probability of each target, and their negative mean."""

    output: Any
    loss: Any


@export("nn.AdaptiveLogSoftmaxWithLoss")
class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax in two steps: frequent classes directly, rare ones by cluster (Grave et al. 2016).

    Classes are sorted by frequency and cut at `cutoffs`. The head scores the classes before the
    first cut and one entry per cluster; the tail of cluster i works with in_features /
    div_value^(i+1) features.

        log p(c) = log head(c), or log head(cluster of c) + log tail(c)

    Shapes: (N, in_features), (N) to output (N) and loss (); or without N. ValueError for cutoffs
    that are no increasing numbers in [1, n_classes − 1].
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        cuts = list(cutoffs)
        if not cuts:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cuts != sorted(set(cuts))
            or cuts[0] <= 0
            or cuts[-1] > n_classes - 1
            or any(int(c) != c for c in cuts)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing"
                " order, where each value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cuts, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(self._clusters()):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, False, device, dtype),
                    Linear(width, high - low, False, device, dtype),
                )
            )

    def _clusters(self) -> list[tuple[int, int]]:
        return list(zip(self.cutoffs[:-1], self.cutoffs[1:], strict=True))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for narrow, wide in self.tail:
            narrow.reset_parameters()
            wide.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> _ASMoutput:
        self._check(input_, target_)
        batched = target_.dim() > 0
        input = input_ if batched else input_.unsqueeze(0)
        target = target_ if batched else target_.unsqueeze(0)
        column, found = target, [target < self.shortlist_size]
        for i, (low, high) in enumerate(self._clusters()):
            found.append((target >= low) & (target < high))
            column = column.masked_fill(found[-1], self.shortlist_size + i)
        self._check_range(target)
        log_p = log_softmax(self.head(input), 1)
        output = log_p.gather(1, column.unsqueeze(1)).squeeze(1)
        for tail, inside, (low, _) in zip(self.tail, found[1:], self._clusters(), strict=True):
            rows = inside.nonzero().reshape(-1)
            if rows.numel():
                within = log_softmax(tail(input[rows]), 1)
                local = within.gather(1, (target[rows] - low).unsqueeze(1)).squeeze(1)
                output = output.index_add(0, rows, local)
        loss = -output.mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def _check(self, input: Any, target: Any) -> None:
        if target.dim() == 1:
            if input.size(0) != target.size(0):
                raise RuntimeError(
                    "Input and target should have the same size in the batch dimension."
                )
        elif target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input.dim() != target.dim() + 1:
            raise RuntimeError(
                f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but "
                f"found inputs with size {input.size()}"
            )

    def _check_range(self, target: Any) -> None:
        if target.numel() and not 0 <= target.min().item() <= target.max().item() < self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found. "
            )

    def _log_prob(self, input: Any, head: Any) -> Any:
        log_p = log_softmax(head, 1)
        parts = [log_p[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            cluster = log_p[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(log_softmax(tail(input), 1) + cluster)
        return cat(parts, 1)

    def log_prob(self, input: Any) -> Any:
        """Log-probabilities of all classes: (N, in_features) to (N, n_classes)."""
        return self._log_prob(input, self.head(input))

    def predict(self, input: Any) -> Any:
        """The most probable class: (N, in_features) to (N).

        The tails are only asked where the head prefers a cluster to every frequent class.
        """
        head = self.head(input)
        best = head.argmax(1)
        rows = (best >= self.shortlist_size).nonzero().reshape(-1)
        if rows.numel():
            best[rows] = self._log_prob(input[rows], head[rows]).argmax(1)
        return best


@export("nn.LinearCrossEntropyOptions")
@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How PyTorch cuts linear_cross_entropy into chunks; accepted and checked, without effect here.

    ValueError for a policy, method, size or dtype that PyTorch does not know.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            factor = factor if colon else "1"
            if not (name == "aspect_ratio" and factor.isdigit() and int(factor) > 0):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype is not None and not getattr(self.acc_dtype, "is_floating_point", False):
            raise ValueError(f"acc_dtype must be a floating point dtype, got {self.acc_dtype!r}")


@export("nn.LinearCrossEntropyLoss")
class LinearCrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of the logits x Wᵀ + b, with W and b in `linear`.

    Shapes: (N, in_features) and targets (N, *out_features), or probabilities (N, C, *out_features);
    `linear` maps to C·prod(out_features). RuntimeError for a weight or smoothing that does not fit.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Any = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ):
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(
                f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}"
            )
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(
                f"expected label_smoothing to be in range [0, 1], got {label_smoothing}"
            )
        super().__init__(weight=weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, out_features
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        outputs = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, outputs, bias, device, dtype)
        self.options = options

    def forward(self, input: Any, target: Any) -> Any:
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(*shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes},"
            f" out_features={self.out_features}, bias={self.linear.bias is not None},"
            f" reduction={self.reduction}, ignore_index={self.ignore_index},"
            f" label_smoothing={self.label_smoothing}, options={self.options}"
        )
