"""Mixture of experts as in DeepSeek-V3 (2412.19437, section 2.1.2) and Moonlight (2502.16982).

    s = sigmoid(W x)                                   one score per expert, in float32
    chosen: the K largest of s + b, in the best groups     b selects and does not weigh
    w = γ s_chosen / Σ s_chosen                        γ = routed_scaling_factor
    y = Σ w_e E_e(x) + shared(x)

No gradient reaches b. `balance` moves it against the loads of the last steps, so that experts are
used alike without a loss that disturbs training; `sequence_aux_loss` is the small loss beside it
against extremes inside one sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...amp.autocast_mode import autocast
from ...core.modes import is_grad_enabled
from ...core.tensor import wrap
from ...export import export
from ...nn.containers import ModuleList
from ...nn.module import Module
from ...ops.filled import zeros
from ...ops.matmul import linear
from .config import TextConfig
from .grouped import GroupedExperts, route
from .layers import SwiGLU, weight


class Gate(Module):
    """Scores and choices: x (T, D) -> weights (T, K), which carry a gradient, and numbers of
    experts (T, K), an array.

    In training mode `loads` (experts,) counts how often each was chosen, until `balance` is called,
    and `scores` and `choices` are those of the last call, for `sequence_aux_loss`.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.experts, self.top_k = config.n_routed_experts or 0, config.num_experts_per_tok
        self.groups, self.top_groups = config.n_group, config.topk_group
        self.normalised, self.scaling = config.norm_topk_prob, config.routed_scaling_factor
        self.weight = weight(self.experts, config.hidden_size, std=config.initializer_range)
        self.register_buffer("e_score_correction_bias", zeros(self.experts))
        self.loads = np.zeros(self.experts, np.int64)
        self.scores: Any = None
        self.choices: np.ndarray | None = None

    def forward(self, x: Any) -> tuple[Any, np.ndarray]:
        with autocast(x.device.type, enabled=False):  # choices hang on small differences
            scores = linear(_wide(x), _wide(self.weight)).sigmoid()
        chosen = self.choose(scores._data)
        weights = scores.gather(1, wrap(chosen))
        if self.normalised:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        if self.training and is_grad_enabled():
            self.loads += np.bincount(chosen.reshape(-1), minlength=self.experts)
            self.scores, self.choices = scores, chosen
        return weights * self.scaling, chosen

    def choose(self, scores: np.ndarray) -> np.ndarray:
        """The K best experts of each row by score + bias, within the `topk_group` best groups.

        A group counts for the sum of its two best.
        """
        ranked = scores + self.e_score_correction_bias._data
        if self.groups > 1:
            rows = ranked.reshape(len(ranked), self.groups, -1)
            value = np.partition(rows, -2, axis=-1)[..., -2:].sum(-1)
            kept = np.zeros(value.shape, bool)
            np.put_along_axis(kept, _largest(value, self.top_groups), True, axis=-1)
            ranked = np.where(kept[..., None], rows, -np.inf).reshape(ranked.shape)
        return _largest(ranked, self.top_k)

    def balance(self, rate: float) -> None:
        """b += rate (sign(e) − mean sign(e)), e = mean load − load; the counts start anew.

        Wang et al. 2408.15664; taking off the mean, as Moonlight does, keeps b from drifting.
        """
        error = np.sign(self.loads.mean() - self.loads)
        bias = self.e_score_correction_bias
        bias._data[...] += (rate * (error - error.mean())).astype(bias._data.dtype)
        bias._bump()
        self.loads = np.zeros_like(self.loads)

    def sequence_aux_loss(self, sequences: int) -> Any:
        """Mean over sequences of Σ_i f_i P_i, from the last training call: 1 if all are used alike.

            f_i = E/(K T) · #{t: i chosen}        P_i = 1/T Σ_t s_i,t / Σ_j s_j,t

        (DeepSeek-V3, eq. 17-20.) RuntimeError before a call in training mode.
        """
        if self.scores is None or self.choices is None:
            raise RuntimeError("sequence_aux_loss: no forward pass in training mode to take it of")
        used = np.zeros(self.scores.shape, self.scores._data.dtype)
        np.put_along_axis(used, self.choices, 1.0, axis=1)
        used = used.reshape(sequences, -1, self.experts).mean(1) * (self.experts / self.top_k)
        share = self.scores / self.scores.sum(-1, keepdim=True)
        share = share.view(sequences, -1, self.experts).mean(1)
        return (share * wrap(used)).sum(-1).mean()

    def __getstate__(self) -> dict[str, Any]:
        """Copies do not hold the graph of the last call."""
        return {**super().__getstate__(), "scores": None, "choices": None}

    def extra_repr(self) -> str:
        return f"experts={self.experts}, top_k={self.top_k}, scaling={self.scaling}"


@export("models.kimi_vl.MoE")
class MoE(Module):
    """x (..., D) -> (..., D): the chosen experts' weighted sum, and the shared expert's output."""

    def __init__(self, config: TextConfig):
        super().__init__()
        width, inner, std = (
            config.hidden_size,
            config.moe_intermediate_size,
            config.initializer_range,
        )
        self.gate = Gate(config)
        self.experts = ModuleList([SwiGLU(width, inner, std=std) for _ in range(self.gate.experts)])
        self.shared_experts = None
        if config.n_shared_experts:
            self.shared_experts = SwiGLU(width, inner * config.n_shared_experts, std=std)

    def forward(self, x: Any) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = self.gate(flat)
        routes = route(chosen, self.gate.experts)
        used = [self.experts[e] for e in routes.experts.tolist()]
        matrices = [
            m for e in used for m in (e.gate_proj.weight, e.up_proj.weight, e.down_proj.weight)
        ]
        wide = [_wide(t) for t in (flat, weights, *matrices)]
        y = GroupedExperts.apply(*wide[:2], chosen, routes, *wide[2:]).to(x.dtype).view(x.shape)
        return y if self.shared_experts is None else y + self.shared_experts(x)


def _wide(x: Any) -> Any:
    """Half precision to float32."""
    return x.float() if x._data.dtype.itemsize < 4 else x


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest of each row, in no particular order."""
    if k == values.shape[-1]:
        return np.broadcast_to(np.arange(k), (*values.shape[:-1], k)).copy()
    return np.argpartition(values, -k, axis=-1)[..., -k:]
