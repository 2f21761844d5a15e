"""Batch normalisation over several processes, and over neighbouring channels."""

from __future__ import annotations

from typing import Any

from ...core.modes import no_grad
from ...export import export
from ...ops.pad import pad
from ..module import Module
from .norm import _BatchNorm


@export("nn.SyncBatchNorm")
class SyncBatchNorm(_BatchNorm):
    """Batch norm of (N, C, *) in any number of dimensions with the statistics of the batches of all
    processes of the group: N processes normalise as one with the whole batch would. Without a
    process group, and in evaluation, it is BatchNorm.

    ValueError for an input without channels.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Any) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def forward(self, input: Any) -> Any:
        if self.training:
            from ...distributed import get_world_size, is_initialized  # only where it is trained

            if is_initialized() and get_world_size(self.process_group) > 1:
                from .sync_function import sync_batch_norm

                self._check_input_dim(input)
                return sync_batch_norm(self, input)
        return super().forward(input)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with every BatchNorm in it replaced; parameters and buffers stay the same."""
        result = module
        if isinstance(module, _BatchNorm):
            result = SyncBatchNorm(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            if module.affine:
                with no_grad():
                    result.weight, result.bias = module.weight, module.bias
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(result, name, getattr(module, name))
            result.training = module.training
        for name, child in module.named_children():
            result.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return result


@export("nn.CrossMapLRN2d")
class CrossMapLRN2d(Module):
    """Local response normalisation, as PyTorch keeps it for models of Torch 7.

        y_c = x_c / (k + α/size Σ x_j²)^β over channels |j − c| < r = (size + 1)/2, rounded down

    From channel r on, PyTorch's sum keeps channel 0 as well, and so does this one; models of today
    take LocalResponseNorm. ValueError unless the input has 4 dimensions.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        reach = (self.size + 1) // 2
        square = input * input
        sums = pad(square, (0, 0, 0, 0, reach - 1, reach - 1)).unfold(1, 2 * reach - 1, 1).sum(-1)
        channels = input.size(1)
        if channels > reach:
            rest = square[:, :1].expand(-1, channels - reach, -1, -1)
            sums = sums + pad(rest, (0, 0, 0, 0, reach, 0))
        return input * (sums * (self.alpha / self.size) + self.k) ** -self.beta

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
