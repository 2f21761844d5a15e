"""What Kimi-VL is trained with: two optimizers, three losses, and an eye on the experts' loads.

muon, adamw = optimizers(model, lr)
loss = caption_loss(model(ids, ...), labels) + alpha * sequence_aux_loss(model, len(ids))
loss.backward(); muon.step(); adamw.step()
loads.record(); balance(model)
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from ...core.tensor import wrap
from ...export import export
from ...nn.module import Module
from ...nn.parameter import Parameter
from ...ops.classification import cross_entropy
from ...ops.data import tensor
from ...ops.sigmoidal import logsigmoid
from ...optim.adamw import AdamW
from ...optim.muon import Muon
from .language import gates

BALANCE_RATE = 1e-3  # DeepSeek-V3's and Moonlight's
NO_LABEL = -100


# ------------------------------------------------------------------------------ optimizers
@export("models.kimi_vl.optimizers")
def optimizers(
    model: Module,
    lr: float,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    betas: tuple[float, float] = (0.9, 0.95),
) -> tuple[Muon, AdamW]:
    """Muon for the matrices between layers, AdamW for embeddings, head, positions, norms, biases.

    Muon's update is scaled by 0.2 √max(rows, columns), so that it is as large as one of AdamW and
    both share learning rate and decay (Moonlight, 2502.16982, section 2.2).
    """
    matrices, others = [], []
    for name, p in model.named_parameters():
        outside = any(part in name for part in ("embed_tokens", "lm_head", "pos_emb"))
        (others if p.ndim != 2 or outside else matrices).append(p)
    muon = Muon(matrices, lr, weight_decay, momentum, nesterov=True, adjust_lr_fn="match_rms_adamw")
    return muon, AdamW(others, lr, betas=betas, weight_decay=weight_decay)


# ------------------------------------------------------------------------------ losses
@export("models.kimi_vl.caption_loss")
def caption_loss(logits: Any, labels: Any) -> Any:
    """Mean of −log p(next token) over labels (B, T) that are not −100, of logits (B, T, V).

    A position is scored on the label after it: the text of an answer, not the image before it.
    """
    flat = logits[:, :-1].reshape(-1, logits.shape[-1])
    return cross_entropy(flat, labels[:, 1:].reshape(-1), ignore_index=NO_LABEL)


@export("models.kimi_vl.SigLIPLoss")
class SigLIPLoss(Module):
    """Each pair of image and text by itself, matching or not (Zhai et al. 2303.15343, alg. 1).

        −1/n Σ_ij log σ(z_ij (t x_i·y_j + b))        z = 1 for pairs of the batch, else −1

    images and texts (n, D) are brought to length 1; t = exp(log_scale) and b are learned, from 10
    and −10. ValueError for shapes that differ.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = Parameter(tensor(math.log(10.0)))
        self.bias = Parameter(tensor(-10.0))

    def forward(self, images: Any, texts: Any) -> Any:
        if images.ndim != 2 or images.shape != texts.shape:
            raise ValueError(
                f"SigLIPLoss: expected two (n, D), but got {tuple(images.shape)} and"
                f" {tuple(texts.shape)}"
            )
        x, y = (
            v / v.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-12) for v in (images, texts)
        )
        scores = x @ y.transpose(0, 1) * self.log_scale.exp() + self.bias
        signs = wrap((2 * np.eye(len(images)) - 1).astype(scores._data.dtype))
        return -logsigmoid(scores * signs).sum() / len(images)


@export("models.kimi_vl.vision_pretraining_loss")
def vision_pretraining_loss(siglip: Any, caption: Any, weight: float = 2.0) -> Any:
    """MoonViT's own: SigLIP + λ caption, λ = 2 (Kimi-VL, 2504.07491)."""
    return siglip + weight * caption


@export("models.kimi_vl.sequence_aux_loss")
def sequence_aux_loss(model: Module, sequences: int) -> Any:
    """The mean over mixtures of experts of `Gate.sequence_aux_loss`, of the last training call."""
    found = gates(model)
    if not found:
        raise ValueError("sequence_aux_loss: the model has no mixture of experts")
    total = found[0].sequence_aux_loss(sequences)
    for gate in found[1:]:
        total = total + gate.sequence_aux_loss(sequences)
    return total / len(found)


# ------------------------------------------------------------------------------ loads
@export("models.kimi_vl.balance")
def balance(model: Module, rate: float = BALANCE_RATE) -> None:
    """Move the correction biases of all gates against their loads; see `Gate.balance`."""
    for gate in gates(model):
        gate.balance(rate)


@export("models.kimi_vl.LoadMonitor")
class LoadMonitor:
    """How evenly experts are used: `record()` after each step, before `balance`.

    `violation` (steps, layers) is the largest load over the mean, less one (MaxVio, Wang et al.
    2408.15664); 0 is even.
    """

    def __init__(self, model: Module):
        self.gates = gates(model)
        self.violation: list[list[float]] = []
        self.totals = [np.zeros(g.experts, np.int64) for g in self.gates]

    def record(self) -> None:
        """Take the loads since the last `balance`."""
        row = []
        for i, gate in enumerate(self.gates):
            loads = gate.loads
            self.totals[i] = self.totals[i] + loads
            row.append(float(loads.max() / max(loads.mean(), 1e-12) - 1))
        self.violation.append(row)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Shares of all tokens by layer and expert, and MaxVio by step, as an image file."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        shares = np.array([t / max(t.sum(), 1) * len(t) for t in self.totals])
        drawn = left.imshow(
            shares, aspect="auto", vmin=0, vmax=max(2.0, shares.max()), cmap="viridis"
        )
        left.set(xlabel="expert", ylabel="mixture", title="load / mean, all steps")
        left.set_yticks(range(len(shares)))
        figure.colorbar(drawn, ax=left)
        for i, line in enumerate(np.array(self.violation).T):
            right.plot(_smooth(line), label=f"mixture {i}", linewidth=1)
        right.set(xlabel="step", ylabel="largest load / mean − 1", title="MaxVio")
        right.legend()
        figure.savefig(path, dpi=120)


def _smooth(line: np.ndarray, window: int = 20) -> np.ndarray:
    window = min(window, len(line))
    return np.convolve(line, np.ones(window) / window, mode="valid")
