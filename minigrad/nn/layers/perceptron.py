"""The perceptron of 1957: a threshold, and a rule that learns without derivatives."""

from __future__ import annotations

from typing import Any

from ...core.modes import no_grad
from ...export import export
from ...ops import activation as F
from ...ops import matmul
from ...ops.creation import zeros
from ..module import Module
from ..parameter import Parameter


@export("nn.Perceptron")
class Perceptron(Module):
    """ŷ = step(Wx + b), with Rosenblatt's learning rule (1957; 1958, "The perceptron").

    Classes are 0 and 1, or −1 and 1 if signed. estimator: what stands in for the derivative 0 of
    the threshold, for learning by gradient instead (see `nn.functional.step`).

    Shapes: (*, in_features) to (*, out_features); weight (out_features, in_features), bias.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int = 1,
        bias: bool = True,
        signed: bool = False,
        estimator: str = "none",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.signed, self.estimator = signed, estimator
        self.weight = Parameter(zeros(out_features, in_features, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(zeros(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)

    def forward(self, input: Any) -> Any:
        score = matmul.linear(input, self.weight, self.bias)
        return F.step(score, signed=self.signed, estimator=self.estimator)

    def learn(self, inputs: Any, targets: Any, lr: float = 1.0) -> int:
        """One pass over the samples; the number of mistakes, which is 0 when nothing changed.

            w ← w + η (y − ŷ) x,  b ← b + η (y − ŷ)

        Samples are taken one after the other: each sees what the last one taught. If a hyperplane
        separates the classes with margin γ and |x| ≤ R, there are at most (R/γ)² mistakes in all
        (Novikoff 1962). inputs (N, in_features), targets (N) or (N, out_features). RuntimeError if
        the numbers of samples differ.
        """
        if len(inputs) != len(targets):
            raise RuntimeError(f"{len(inputs)} inputs, but {len(targets)} targets")
        mistakes = 0
        with no_grad():
            for x, y in zip(inputs, targets, strict=True):
                error = y.reshape(-1) - self(x)
                wrong = int((error != 0).sum())
                if wrong:
                    mistakes += wrong
                    scale = lr / 2 if self.signed else lr  # y − ŷ is ±2 between −1 and 1
                    self.weight.add_(error.unsqueeze(1) * x, alpha=scale)
                    if self.bias is not None:
                        self.bias.add_(error, alpha=scale)
        return mistakes

    def fit(self, inputs: Any, targets: Any, lr: float = 1.0, epochs: int = 100) -> list[int]:
        """Passes over the samples until one is without mistakes; the mistakes of each pass."""
        history: list[int] = []
        while len(history) < epochs and (not history or history[-1]):
            history.append(self.learn(inputs, targets, lr))
        return history

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, signed={self.signed}"
        )
