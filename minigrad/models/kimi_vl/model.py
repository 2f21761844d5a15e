"""Kimi-VL whole: images through MoonViT and the projector to where the text holds places for them.

tokens        ... <|media_start|> image <|media_content|> <|media_pad|> x n <|media_end|> ...
embeddings    the table's vectors, and at the n pads the n vectors of the image
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.tensor import wrap
from ...export import export
from ...nn.module import Module
from ...ops.join import cat
from .config import KimiVLConfig
from .language import DeepseekV3
from .moonvit import MoonViT
from .projector import Projector


@export("models.kimi_vl.KimiVL")
class KimiVL(Module):
    """Token numbers (B, T) and images to logits (B, T, vocab_size) (Kimi team, 2504.07491).

        model(ids)                                      text alone
        model(ids, pixel_values=p, image_grid_hws=g)    images fill the media tokens, in order
        model(next_ids, cache=cache)                    continues after earlier calls

    `pixel_values` (L, 3, p, p) and `image_grid_hws` (n, 2) are those of an ImageProcessor, of all
    images of the batch in the order in which their media tokens appear.
    """

    def __init__(self, config: KimiVLConfig | None = None):
        super().__init__()
        self.config = config if config is not None else KimiVLConfig()
        self.vision_tower = MoonViT(self.config.vision_config)
        self.multi_modal_projector = Projector(self.config)
        self.language_model = DeepseekV3(self.config.text_config)

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        cache: Any = None,
        pixel_values: Any = None,
        image_grid_hws: Any = None,
        position_ids: Any = None,
    ) -> Any:
        """ValueError where media tokens and image features do not come out even; after a prompt,
        without images, a media token that was generated is a token like others.
        """
        if pixel_values is None and cache is not None and cache.length:
            embeds = self.language_model.model.embed_tokens(input_ids)
        else:
            embeds = self.embed(input_ids, pixel_values, image_grid_hws)
        return self.language_model(None, attention_mask, cache, embeds, position_ids)

    def embed(self, input_ids: Any, pixel_values: Any = None, image_grid_hws: Any = None) -> Any:
        """(B, T, D): what the language model gets."""
        embeds = self.language_model.model.embed_tokens(input_ids)
        places = input_ids.numpy() == self.config.media_placeholder_token_id
        if pixel_values is None:
            if places.any():
                raise ValueError(
                    f"{places.sum()} media tokens in input_ids, but no images (pixel_values)"
                )
            return embeds
        features = self.image_features(pixel_values, image_grid_hws)
        count = sum(len(f) for f in features)
        if count != places.sum():
            raise ValueError(
                f"{places.sum()} media tokens in input_ids, but {count} features of"
                f" {len(features)} images: {[len(f) for f in features]}"
            )
        if count == 0:
            return embeds
        flat = embeds.reshape(-1, embeds.shape[-1])
        at = wrap(np.flatnonzero(places))
        return flat.index_copy(0, at, cat(features, 0).to(flat.dtype)).view(embeds.shape)

    def image_features(self, pixel_values: Any, image_grid_hws: Any) -> list[Any]:
        """Vectors of each image for the language model, (tokens, D)."""
        dtype = self.vision_tower.patch_embed.proj.bias.dtype
        merged = self.vision_tower(pixel_values.to(dtype), image_grid_hws)
        if not merged:
            return []
        lengths = [len(image) for image in merged]
        return list(self.multi_modal_projector(cat(merged, 0)).split(lengths))

    def set_absorb(self, absorb: bool | None) -> None:
        """Which form of attention the language model uses; see `LatentAttention`."""
        self.language_model.set_absorb(absorb)
