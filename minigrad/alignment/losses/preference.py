"""DPO and its kin: losses of a pair of answers, given log-probabilities under policy and reference.

Notation throughout: c = log π(y_w|x)/π_ref(y_w|x) of the chosen answer, r the same of the rejected
one, both summed over tokens and of shape (B,); d = c − r, or the difference of f-divergence scores;
|w|, |l| numbers of tokens. Each function gives the loss of every pair, (B,); the mean is minimised.

`dpo_loss` picks one by TRL's name. Reading order: `sigmoid_loss`, `ipo_loss`, the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...core.tensor import Tensor
from ...export import export
from ...ops.sigmoidal import logsigmoid
from .divergence import F_DIVERGENCES, f_divergence_score

LOSS_TYPES = (
    "sigmoid", "cdpo", "robust", "hinge", "ipo", "ipo_sum", "exo_pair", "nca_pair", "bco_pair",
    "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
    "rdpo",
)  # fmt: skip
SMOOTHED = frozenset({"cdpo", "robust", "exo_pair", "aot", "aot_unpaired"})
OF_DIVERGENCE = frozenset(
    {"sigmoid", "cdpo", "robust", "hinge", "ipo", "ipo_sum", "exo_pair", "discopop", "sft"}
    | {"sigmoid_norm", "rdpo"}
)
"""Losses in which a divergence other than the reverse KL has a meaning."""
NEED_LENGTHS = frozenset({"ipo", "sft", "sigmoid_norm", "rdpo"})


# ---------------------------------------------------------------------------- functions of d
def sigmoid_loss(d: Tensor, beta: float) -> Tensor:
    """−log σ(βd): the logistic loss (Rafailov et al. 2023, arXiv:2305.18290, eq. 7)."""
    return -logsigmoid(beta * d)


def cdpo_loss(d: Tensor, beta: float, label_smoothing: float) -> Tensor:
    """−(1 − ε) log σ(βd) − ε log σ(−βd): labels wrong with probability ε (Mitchell 2023, eq. 3)."""
    e = label_smoothing
    return -(1 - e) * logsigmoid(beta * d) - e * logsigmoid(-beta * d)


def robust_loss(d: Tensor, beta: float, label_smoothing: float) -> Tensor:
    """[−(1 − ε) log σ(βd) + ε log σ(−βd)]/(1 − 2ε): unbiased under labels flipped with
    probability ε (Chowdhury et al. 2024, arXiv:2403.00409, eq. 13).
    """
    e = label_smoothing
    return (-(1 - e) * logsigmoid(beta * d) + e * logsigmoid(-beta * d)) / (1 - 2 * e)


def hinge_loss(d: Tensor, beta: float) -> Tensor:
    """max(0, 1 − βd): SLiC's margin in RSO's form (Liu et al. 2023, arXiv:2309.06657, eq. 10)."""
    return (1 - beta * d).relu()


def ipo_loss(d: Tensor, beta: float) -> Tensor:
    """(d − 1/(2β))²: regression onto a margin (Azar et al. 2023, arXiv:2310.12036, eq. 17).

    Two readings: d per token, c/|w| − r/|l| (`ipo`, TRL's), or summed (`ipo_sum`, the authors' and
    the DPO repository's).
    """
    return (d - 1 / (2 * beta)) ** 2


def exo_pair_loss(d: Tensor, beta: float, label_smoothing: float) -> Tensor:
    """KL((σ(βd), σ(−βd)) ‖ (1 − ε, ε)): reverse KL to the preference (Ji et al. 2024,
    arXiv:2402.00856, eq. 16).
    """
    e, q = label_smoothing, beta * d
    return q.sigmoid() * (logsigmoid(q) - math.log1p(-e)) + (-q).sigmoid() * (
        logsigmoid(-q) - math.log(e)
    )


def discopop_loss(d: Tensor, beta: float, tau: float = 0.05) -> Tensor:
    """(1 − m)(−log σ(βd)) + m e^(−βd), m = σ(βd/τ) (Lu et al. 2024, arXiv:2406.08414, eq. 5)."""
    q = beta * d
    m = (q / tau).sigmoid()
    return (1 - m) * -logsigmoid(q) + m * (-q).exp()


def rdpo_loss(d: Tensor, beta: float, alpha: float, longer: Tensor) -> Tensor:
    """−log σ(βd + α(|w| − |l|)): a price for length (Park et al. 2024, arXiv:2403.19159, eq. 9).

    `longer` is |w| − |l|, (B,): a longer chosen answer needs a smaller margin, so length alone is
    not learnt.
    """
    return -logsigmoid(beta * d + alpha * longer)


# ---------------------------------------------------------------------------- functions of c and r
def nca_pair_loss(c: Tensor, r: Tensor, beta: float) -> Tensor:
    """−log σ(βc) − ½ log σ(−βc) − ½ log σ(−βr) (Chen et al. 2024, arXiv:2402.05369, eq. 12)."""
    return -logsigmoid(beta * c) - 0.5 * logsigmoid(-beta * c) - 0.5 * logsigmoid(-beta * r)


def bco_pair_loss(c: Tensor, r: Tensor, beta: float, delta: float | Tensor = 0.0) -> Tensor:
    """−log σ(βc − δ) − log σ(−(βr − δ)): a classifier whose logit is the reward (Jung et al. 2024,
    arXiv:2404.04656, eq. 7).

    δ is the running mean of both rewards; TRL's pairs leave it out (δ = 0).
    """
    return -logsigmoid(beta * c - delta) - logsigmoid(delta - beta * r)


def sppo_hard_loss(c: Tensor, r: Tensor, beta: float) -> Tensor:
    """(c − ½/β)² + (r + ½/β)²: self-play with certain preferences (Wu et al. 2024,
    arXiv:2405.00675, eq. 4.7).
    """
    return (c - 0.5 / beta) ** 2 + (r + 0.5 / beta) ** 2


def aot_loss(better: Tensor, worse: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """cDPO of the i-th smallest of `better` against the i-th smallest of `worse`: stochastic
    dominance by optimal transport over the batch (Melnyk et al. 2024, arXiv:2406.05882, eq. 10).

    `aot` compares log π(y_w)/π(y_l) with the reference's; `aot_unpaired` c with r.
    """
    return cdpo_loss(better.sort(0)[0] - worse.sort(0)[0], beta, label_smoothing)


def apo_zero_loss(c: Tensor, r: Tensor, beta: float) -> Tensor:
    """1 − σ(βc) + σ(βr): raise the chosen, lower the rejected (D'Oosterlinck et al. 2024,
    arXiv:2408.06266, eq. 7).
    """
    return 1 - (beta * c).sigmoid() + (beta * r).sigmoid()


def apo_down_loss(c: Tensor, r: Tensor, beta: float) -> Tensor:
    """σ(βc) + 1 − σ(β(c − r)): lower both, the rejected more (arXiv:2408.06266, eq. 8)."""
    return (beta * c).sigmoid() + 1 - (beta * (c - r)).sigmoid()


def chosen_nll(chosen: Tensor, lengths: Tensor) -> Tensor:
    """−Σ log π(y_w|x) / Σ |w| for every pair: supervised fine-tuning on the chosen answers."""
    return (-chosen.sum() / lengths.sum()).expand(chosen.shape)


# ---------------------------------------------------------------------------- by name
@export("alignment.dpo_loss")
def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    loss_type: str | Mapping[str, float] = "sigmoid",
    *,
    chosen_lengths: Tensor | None = None,
    rejected_lengths: Tensor | None = None,
    f_divergence: str = "reverse_kl",
    f_alpha: float = 0.5,
    discopop_tau: float = 0.05,
    length_alpha: float = 0.01,
    reward_shift: float | Tensor = 0.0,
) -> Tensor:
    """The loss of each pair, (B,), of summed log-probabilities (B,) under policy and reference.

    `loss_type` is a name of TRL 1.16 or one of ours: "cdpo" (smoothed "sigmoid"), "ipo_sum" (the
    paper's IPO; "ipo" is per token), "rdpo" (length-controlled). A mapping of names to weights adds
    several, as MPO does (Wang et al. 2024, arXiv:2411.10442): {"sigmoid": 0.8, "bco_pair": 0.2,
    "sft": 1.0}. Lengths (B,) are needed by "ipo", "sft", "sigmoid_norm" and "rdpo".

    ValueError for an unknown name, missing lengths, label smoothing where it means nothing or out
    of range, beta ≤ 0, or another divergence where the loss is not one of a difference of scores.
    """
    kinds = {loss_type: 1.0} if isinstance(loss_type, str) else loss_type
    for kind in kinds:
        check_options(
            kind, beta, label_smoothing if isinstance(loss_type, str) else None, f_divergence
        )
        if kind in NEED_LENGTHS and (chosen_lengths is None or rejected_lengths is None):
            raise ValueError(f"dpo_loss: {kind!r} needs chosen_lengths and rejected_lengths")
    c, r = chosen - ref_chosen, rejected - ref_rejected
    score_c = f_divergence_score(c, f_divergence, f_alpha)
    score_r = f_divergence_score(r, f_divergence, f_alpha)
    d, e = score_c - score_r, label_smoothing
    w, v = chosen_lengths, rejected_lengths

    def one(kind: str) -> Tensor:
        match kind:
            case "sigmoid":
                return sigmoid_loss(d, beta)
            case "cdpo":
                return cdpo_loss(d, beta, e)
            case "robust":
                return robust_loss(d, beta, e)
            case "hinge":
                return hinge_loss(d, beta)
            case "ipo":
                return ipo_loss(score_c / w.clamp(min=1) - score_r / v.clamp(min=1), beta)
            case "ipo_sum":
                return ipo_loss(d, beta)
            case "exo_pair":
                return exo_pair_loss(d, beta, e)
            case "nca_pair":
                return nca_pair_loss(c, r, beta)
            case "bco_pair":
                return bco_pair_loss(c, r, beta, reward_shift)
            case "sppo_hard":
                return sppo_hard_loss(c, r, beta)
            case "aot":
                return aot_loss(chosen - rejected, ref_chosen - ref_rejected, beta, e)
            case "aot_unpaired":
                return aot_loss(c, r, beta, e)
            case "apo_zero":
                return apo_zero_loss(c, r, beta)
            case "apo_down":
                return apo_down_loss(c, r, beta)
            case "discopop":
                return discopop_loss(d, beta, discopop_tau)
            case "sft":
                return chosen_nll(chosen, w)
            case "sigmoid_norm":
                return sigmoid_loss(score_c / w.clamp(min=1) - score_r / v.clamp(min=1), beta)
            case _:
                return rdpo_loss(d, beta, length_alpha, w - v)

    return sum((weight * one(kind) for kind, weight in kinds.items()), 0.0 * d)


def check_options(kind: str, beta: float, label_smoothing: float | None, f_divergence: str) -> None:
    """`dpo_loss`'s ValueError for a name, or numbers that do not go with it."""
    if kind not in LOSS_TYPES:
        raise ValueError(f"loss_type must be one of {', '.join(LOSS_TYPES)}; got {kind!r}")
    if beta <= 0:
        raise ValueError(f"beta must be positive; got {beta}")
    if f_divergence not in F_DIVERGENCES:
        raise ValueError(
            f"f_divergence must be one of {', '.join(F_DIVERGENCES)}; got {f_divergence!r}"
        )
    if f_divergence != "reverse_kl" and kind not in OF_DIVERGENCE:
        raise ValueError(f"{kind!r} is defined for f_divergence 'reverse_kl' alone")
    if label_smoothing is None:  # in a mixture it is meant for those that have it
        return
    if label_smoothing and kind not in SMOOTHED:
        raise ValueError(
            f"label_smoothing={label_smoothing} has no meaning for {kind!r}; "
            f"it has for {', '.join(sorted(SMOOTHED))}"
        )
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be in [0, 0.5); got {label_smoothing}")
    if kind == "exo_pair" and label_smoothing == 0:
        raise ValueError("'exo_pair' needs label_smoothing > 0, for example 1e-3: it takes log ε")


@export("alignment.dpo_gradient_weight")
def dpo_gradient_weight(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """βσ(r̂_l − r̂_w), (B,): how strongly DPO pulls at each pair (arXiv:2305.18290, section 4).

    ∇L = −βσ(r̂_l − r̂_w)[∇log π(y_w|x) − ∇log π(y_l|x)],  r̂ = β log π/π_ref.
    """
    d = (chosen - ref_chosen) - (rejected - ref_rejected)
    return beta * (-beta * d).sigmoid()
