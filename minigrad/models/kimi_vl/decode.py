"""Text after images, token by token."""

from __future__ import annotations

from typing import Any

from ...export import export
from ..generation import generate as generate_after_text


@export("models.kimi_vl.generate")
def generate(
    model: Any,
    input_ids: Any,
    *,
    pixel_values: Any = None,
    image_grid_hws: Any = None,
    **options: Any,
) -> Any:
    """`models.generate` with images: prompts (B, T) and what follows, (B, T + new).

    Images are looked at once, with the prompt. Options are those of `models.generate`.
    """
    prompt: list[Any] = []

    def seeing(ids: Any, attention_mask: Any = None, cache: Any = None) -> Any:
        if cache.length:
            return model(ids, attention_mask, cache=cache)
        if not prompt:
            prompt.append(model.embed(input_ids, pixel_values, image_grid_hws))
        embeds = prompt[0].repeat_interleave(len(ids) // len(input_ids), 0)  # beams are neighbours
        return model.language_model(None, attention_mask, cache, embeds)

    return generate_after_text(seeing, input_ids, **options)
