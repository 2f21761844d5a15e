"""From image files to patches: scaled down to a limit of patches, padded, normalised, cut.

Sizes follow the published preprocessor: an image of w x h pixels with ⌊w/p⌋·⌊h/p⌋ patches beyond
the limit is scaled (bicubic) by √(limit/patches), then padded with black right and below to whole
neighbourhoods of 2 x 2 patches. Pixels become (x/255 − ½)/½. A video is its frames, as images.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import errors
from ...core.tensor import wrap
from ...export import export

MAX_GRID = 512  # patches on a side: the reach of the turned positions


@export("models.kimi_vl.ImageProcessor")
@dataclass(frozen=True)
class ImageProcessor:
    """`processor(images)`: paths, PIL images or arrays (H, W, 3) to patches and grids.

    `in_token_limit` is the largest number of patches of an image: 4096 for Kimi-VL-A3B-Instruct,
    16384 for the models of June 2025. With `pad_input=False` what does not fill a patch is cut off
    around the centre instead.
    """

    patch_size: int = 14
    in_token_limit: int = 4096
    merge_kernel_size: tuple[int, int] = (2, 2)
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)
    pad_input: bool = True

    def __call__(self, images: Iterable[Any]) -> tuple[Any, Any]:
        """pixel_values (L, 3, p, p) float32 of all images, image_grid_hws (n, 2) int64."""
        patches, grids = [], []
        for image in images:
            pixels = self.pixels(image)
            patches.append(self.patches(pixels))
            grids.append([n // self.patch_size for n in pixels.shape[:2]])
        p = self.patch_size
        packed = np.concatenate(patches) if patches else np.empty((0, 3, p, p), np.float32)
        return wrap(packed), wrap(np.array(grids, np.int64).reshape(-1, 2))

    def scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after scaling, before padding."""
        p = self.patch_size
        count = (width // p) * (height // p)
        if count <= self.in_token_limit:
            return width, height
        scale = math.sqrt(self.in_token_limit / count)
        return int(width * scale), int(height * scale)

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of patches of an image of this size.

        ValueError for 512 or more on a side, and for an image without a patch.
        """
        p, (a, b) = self.patch_size, self.merge_kernel_size
        w, h = self.scaled_size(width, height)
        if self.pad_input:
            w, h = -(-w // (b * p)) * b * p, -(-h // (a * p)) * a * p
        rows, columns = h // p, w // p
        if rows >= MAX_GRID or columns >= MAX_GRID:
            raise ValueError(
                f"image of {width} x {height} pixels: {columns} x {rows} patches, but positions"
                f" reach {MAX_GRID - 1} on a side"
            )
        if rows == 0 or columns == 0:
            raise ValueError(f"image of {width} x {height} pixels: smaller than one patch")
        return rows, columns

    def tokens(self, width: int, height: int) -> int:
        """How many tokens of the language model an image of this size takes."""
        rows, columns = self.grid(width, height)
        a, b = self.merge_kernel_size
        return (rows // a) * (columns // b)

    def pixels(self, image: Any) -> np.ndarray:
        """The image scaled and padded (or cut), (H, W, 3) uint8, whole patches on both sides."""
        picture = _as_picture(image).convert("RGB")
        rows, columns = self.grid(*picture.size)
        size = self.scaled_size(*picture.size)
        if size != picture.size:
            picture = picture.resize(size, resample=3)  # bicubic
        found = np.asarray(picture)
        h, w = rows * self.patch_size, columns * self.patch_size
        if self.pad_input:
            return np.pad(found, ((0, h - found.shape[0]), (0, w - found.shape[1]), (0, 0)))
        top, left = (round((n - m) / 2) for n, m in zip(found.shape, (h, w), strict=False))
        return found[top : top + h, left : left + w]

    def patches(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (H, W, 3) uint8 normalised and cut, row by row: (H/p · W/p, 3, p, p) float32."""
        p = self.patch_size
        x = pixels.astype(np.float32) / np.float32(255)
        x = (x - np.array(self.image_mean, np.float32)) / np.array(self.image_std, np.float32)
        x = x.reshape(x.shape[0] // p, p, x.shape[1] // p, p, 3)
        return np.ascontiguousarray(x.transpose(0, 2, 4, 1, 3).reshape(-1, 3, p, p))


@export("models.kimi_vl.video_frames")
def video_frames(frames: Sequence[Any], count: int) -> list[Any]:
    """`count` frames at equal distances, the first and the last among them; all if there are fewer.

    Each is then an image of its own. ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"video_frames: count must be at least 1, but got {count}")
    if len(frames) <= count:
        return list(frames)
    places = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return [frames[i] for i in places]


def _as_picture(image: Any) -> Any:
    """A PIL image of what was given: a path, an image, or an array."""
    try:
        from PIL import Image
    except ImportError:
        raise errors.missing_package("ImageProcessor", "pillow", "vision") from None
    if isinstance(image, (str, os.PathLike)):
        with Image.open(image) as file:
            file.load()
            return file
    if isinstance(image, Image.Image):
        return image
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise TypeError(
            "image: expected a path, a PIL image, or a uint8 array (H, W, 3) or (H, W), but got"
            f" {type(image).__name__} of dtype {array.dtype} and shape {array.shape}"
        )
    return Image.fromarray(array)
