"""MoonViT: images of any size, all patches in one sequence (Kimi-VL, 2504.07491, section 2.1).

    patches (L, 3, p, p) of all images, grids (n, 2) of their heights and widths in patches
    x = W patch + b + position table, resized to the grid
    x <- x + attention(LayerNorm(x))       patches see those of their own image, none else
    x <- x + mlp(LayerNorm(x))             GELU (tanh)
    features of 2 x 2 neighbours side by side: (h/2 · w/2, 4, D) of each image

Positions enter twice: as the table, which knows where a patch is in the image, and as turns of
queries and keys by column and row, which know how far two patches are apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.tensor import wrap
from ...export import export
from ...nn.containers import ModuleList
from ...nn.layers.norm import LayerNorm
from ...nn.module import Module
from ...nn.parameter import Parameter
from ...ops.attention import scaled_dot_product_attention
from ...ops.filled import zeros
from ...ops.join import cat
from ...ops.matmul import linear
from ...ops.resize import interpolate
from ...ops.smooth import gelu
from .config import VisionConfig
from .images import MAX_GRID
from .layers import Linear, weight
from .rope import as_turns, grid_angles, rotate

EPS = 1e-5
CALL = 4096  # pairs of patches that take as long as one more call of attention does


class Positions(Module):
    """The table of learned positions (height, width, D), resized to the grid of an image."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        height, width = config.init_pos_emb_height, config.init_pos_emb_width
        self.weight = weight(height, width, config.hidden_size, std=config.initializer_range)

    def forward(self, height: int, width: int) -> Any:
        """(height·width, D): bicubic between the table's entries, pixel centres aligned."""
        table = self.weight
        if (height, width) != tuple(table.shape[:2]):
            image = table.permute(2, 0, 1).unsqueeze(0)
            size = (height, width)
            image = interpolate(image, size=size, mode="bicubic", align_corners=False)
            table = image[0].permute(1, 2, 0)
        return table.reshape(height * width, -1)


class Projection(Module):
    """Patches (L, 3, p, p) to (L, D): a convolution of stride p, which is one product."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        size = (config.num_channels, config.patch_size, config.patch_size)
        self.weight = weight(config.hidden_size, *size, std=config.initializer_range)
        self.bias = Parameter(zeros(config.hidden_size))

    def forward(self, patches: Any) -> Any:
        return linear(patches.flatten(1), self.weight.flatten(1), self.bias)


class PatchEmbed(Module):
    """Patches and their places to (L, D)."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.proj = Projection(config)
        self.pos_emb = Positions(config)

    def forward(self, patches: Any, grids: list[tuple[int, int]]) -> Any:
        tables = {grid: self.pos_emb(*grid) for grid in dict.fromkeys(grids)}
        return self.proj(patches) + cat([tables[grid] for grid in grids], 0)


class Segments:
    """Which rows of a packed sequence belong together, and attention inside each.

    Images of one length, or of lengths so near that padding costs little, attend as one batch; all
    others one after the other. ValueError unless lengths are positive.
    """

    def __init__(self, lengths: list[int]):
        if min(lengths, default=1) < 1:
            raise ValueError(f"an image without patches among {lengths}")
        self.cu_seqlens = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        self.lengths, sizes, longest = lengths, np.array(lengths), max(lengths)
        self.even = bool((sizes == longest).all())
        self.padded = len(sizes) * longest**2 <= (sizes**2 + CALL).sum()
        if self.padded and not self.even:
            places = np.arange(longest)
            seen = places < sizes[:, None]  # (images, longest)
            rows = np.where(seen, self.cu_seqlens[:-1, None] + places, 0)
            self.rows, self.seen = wrap(rows), wrap(seen)
            self.mask = wrap(seen[:, None, None, :])

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        """softmax(q kᵀ/√d) v inside each segment: (L, heads, d) each, and the result."""
        if self.even:
            shape = (len(self.lengths), -1, *q.shape[1:])
            return _attend(*(x.reshape(shape) for x in (q, k, v))).reshape(q.shape)
        if self.padded:
            return _attend(q[self.rows], k[self.rows], v[self.rows], self.mask)[self.seen]
        parts = zip(*(x.split(self.lengths) for x in (q, k, v)), strict=True)
        return cat([_attend(*(x.unsqueeze(0) for x in part))[0] for part in parts], 0)


def _attend(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    """(images, n, heads, d) each, and the result."""
    heads_first = [x.transpose(1, 2) for x in (q, k, v)]
    return scaled_dot_product_attention(*heads_first, mask).transpose(1, 2)


class VisionMLP(Module):
    """fc1(gelu_tanh(fc0(x)))."""

    def __init__(self, width: int, inner: int, std: float):
        super().__init__()
        self.fc0 = Linear(width, inner, True, std=std)
        self.fc1 = Linear(inner, width, True, std=std)

    def forward(self, x: Any) -> Any:
        return self.fc1(gelu(self.fc0(x), approximate="tanh"))


class VisionBlock(Module):
    """One layer over a packed sequence (L, D)."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        width, std, self.heads = (
            config.hidden_size,
            config.initializer_range,
            config.num_attention_heads,
        )
        self.norm0, self.norm1 = LayerNorm(width, eps=EPS), LayerNorm(width, eps=EPS)
        self.wqkv = Linear(width, 3 * width, True, std=std)
        self.wo = Linear(width, width, True, std=std)
        self.mlp = VisionMLP(width, config.intermediate_size, std)

    def forward(self, x: Any, segments: Segments, turns: Any) -> Any:
        qkv = self.wqkv(self.norm0(x)).view(len(x), 3, self.heads, -1)
        q, k = rotate(qkv[:, :2], turns).unbind(1)
        x = x + self.wo(segments.attend(q, k, qkv[:, 2]).reshape(x.shape))
        return x + self.mlp(self.norm1(x))


class Encoder(Module):
    """All layers, and the last norm."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.blocks = ModuleList([VisionBlock(config) for _ in range(config.num_hidden_layers)])
        self.final_layernorm = LayerNorm(config.hidden_size, eps=EPS)
        self.head_dim = config.hidden_size // config.num_attention_heads

    def forward(self, x: Any, grids: list[tuple[int, int]]) -> Any:
        segments = Segments([h * w for h, w in grids])
        angles = np.concatenate([grid_angles(h, w, self.head_dim) for h, w in grids])
        # (L, 1, 1, head_dim/2): queries, keys and all heads share them
        turns = as_turns(angles[:, None, None], 1.0, x)
        for block in self.blocks:
            x = block(x, segments, turns)
        return self.final_layernorm(x)


@export("models.kimi_vl.merge_patches")
def merge_patches(x: Any, height: int, width: int, kernel: tuple[int, int]) -> Any:
    """Rows of an image (height·width, D) to neighbourhoods (h/a · w/b, a·b, D), row by row."""
    a, b = kernel
    grid = x.reshape(height // a, a, width // b, b, -1).transpose(1, 2)
    return grid.reshape(height // a * (width // b), a * b, -1)


@export("models.kimi_vl.MoonViT")
class MoonViT(Module):
    """Packed patches (L, 3, p, p) and grids (n, 2) to features of each image: a list of
    (h/2 · w/2, 4, D).

    ValueError for grids that do not add up to the patches, are no multiples of the merged
    neighbourhood, or have 512 patches or more on a side.
    """

    def __init__(self, config: VisionConfig | None = None):
        super().__init__()
        self.config = config if config is not None else VisionConfig()
        self.merge_kernel_size = self.config.merge_kernel_size
        self.patch_embed = PatchEmbed(self.config)
        self.encoder = Encoder(self.config)

    def forward(self, pixel_values: Any, image_grid_hws: Any) -> list[Any]:
        grids = self._grids(pixel_values, image_grid_hws)
        if not grids:
            return []
        x = self.encoder(self.patch_embed(pixel_values, grids), grids)
        images = x.split([h * w for h, w in grids])
        return [
            merge_patches(image, h, w, self.merge_kernel_size)
            for image, (h, w) in zip(images, grids, strict=True)
        ]

    def _grids(self, pixel_values: Any, image_grid_hws: Any) -> list[tuple[int, int]]:
        given = image_grid_hws.tolist() if not isinstance(image_grid_hws, list) else image_grid_hws
        grids = [(int(h), int(w)) for h, w in given]
        a, b = self.merge_kernel_size
        for h, w in grids:
            if h % a or w % b or not (0 < h < MAX_GRID and 0 < w < MAX_GRID):
                raise ValueError(
                    f"image_grid_hws: a grid of {h} x {w} patches; expected multiples of {a} x {b}"
                    f" below {MAX_GRID}"
                )
        size = (self.config.num_channels, self.config.patch_size, self.config.patch_size)
        expected = (sum(h * w for h, w in grids), *size)
        if tuple(pixel_values.shape) != expected:
            raise ValueError(
                f"pixel_values: expected shape {expected} for the grids {grids}, but got"
                f" {tuple(pixel_values.shape)}"
            )
        return grids
