"""What replaces the log-ratio in DPO when the policy is held to the reference by an f-divergence.

Under max E r − β D_f(π‖π_ref) the implicit reward is β f′(π/π_ref) (Wang et al. 2024, *Beyond
Reverse KL*, arXiv:2309.16240, theorem 1); the constant of the prompt cancels in a pair.
"""

from __future__ import annotations

import math

from ...core.tensor import Tensor
from ...export import export
from ...ops.sigmoidal import logsigmoid

F_DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
# e⁸⁰ is the largest round power that float32 and bfloat16 hold; float16 ends at e¹¹.
LARGEST_EXPONENT = {"float16": 11.0}


@export("alignment.f_divergence_score")
def f_divergence_score(
    logratios: Tensor, f_divergence: str = "reverse_kl", alpha: float = 0.5
) -> Tensor:
    """f′(t) at t = π/π_ref = exp(logratios), of any shape (arXiv:2309.16240, table 1).

        reverse_kl         log t
        forward_kl         1 − 1/t
        js_divergence      log 2t/(1 + t)
        alpha_divergence   (t^(α−1) − 1)/(α − 1),  log t at α = 1

    ValueError for another name.
    """
    x = logratios
    if f_divergence == "reverse_kl" or (
        f_divergence == "alpha_divergence" and abs(alpha - 1) < 1e-6
    ):
        return x
    if f_divergence == "forward_kl":
        return 1 - (-x).exp()
    if f_divergence == "js_divergence":
        return math.log(2) + logsigmoid(x)
    if f_divergence == "alpha_divergence":
        largest = LARGEST_EXPONENT.get(str(x.dtype).rpartition(".")[2], 80.0)
        return (((alpha - 1) * x).clamp(max=largest).exp() - 1) / (alpha - 1)
    raise ValueError(
        f"f_divergence must be one of {', '.join(F_DIVERGENCES)}; got {f_divergence!r}"
    )
