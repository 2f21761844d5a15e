"""A mixture of 64 experts, the best six for every token: minigrad's layer, and the usual loop.

What is compared is a layer as people write it in PyTorch, expert after expert over the tokens that
chose it, with `minigrad.models.kimi_vl.MoE`, which sorts tokens by expert. Names of parameters are
alike, so both get the same weights; shared experts, one ordinary MLP, are left out.
"""

from __future__ import annotations

from typing import Any

from .base import leaf, op, sizes

EXPERTS, CHOSEN, SCALING = 64, 6, 2.446


def mixture(lib: Any, tokens: int, width: int, inner: int) -> Any:
    """The layer (tokens, width) -> (tokens, width) of a library."""
    if lib.__name__ == "minigrad":
        from minigrad.models.kimi_vl import MoE, TextConfig

        return MoE(
            TextConfig(
                hidden_size=width,
                moe_intermediate_size=inner,
                n_routed_experts=EXPERTS,
                num_experts_per_tok=CHOSEN,
                n_shared_experts=None,
                routed_scaling_factor=SCALING,
            )
        )
    return loop_over_experts(lib, width, inner)


def loop_over_experts(lib: Any, width: int, inner: int) -> Any:
    """Expert by expert, in the API that both libraries share."""
    nn, F = lib.nn, lib.nn.functional

    class Expert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj = nn.Linear(width, inner, bias=False)
            self.up_proj = nn.Linear(width, inner, bias=False)
            self.down_proj = nn.Linear(inner, width, bias=False)

        def forward(self, x: Any) -> Any:
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(width, EXPERTS, bias=False)
            self.experts = nn.ModuleList([Expert() for _ in range(EXPERTS)])

        def forward(self, x: Any) -> Any:
            scores = self.gate(x).sigmoid()
            weights, chosen = lib.topk(scores, CHOSEN, -1)
            weights = weights / weights.sum(-1, keepdim=True) * SCALING
            y = lib.zeros_like(x)
            for i, expert in enumerate(self.experts):
                rows, places = lib.where(chosen == i)
                y.index_add_(0, rows, expert(x[rows]) * weights[rows, places, None])
            return y

    return Mixture()


op(
    "experts",
    "mixture of 64 experts, top 6",
    sizes((128, 32, 16), (512, 128, 64), (1024, 256, 128)),
    lambda tokens, width, inner: [leaf(tokens, width)],
    lambda layer, x: layer(x),
    module=mixture,
)
