"""Conversations as tokens: the published chat template, and images in it.

    <|im_system|>system<|im_middle|>You are a helpful assistant<|im_end|>
    <|im_user|>user<|im_middle|><|media_start|>image<|media_content|><|media_pad|><|media_end|>What
    is this?<|im_end|><|im_assistant|>assistant<|im_middle|>

(one line, without breaks). The single <|media_pad|> of an image is repeated for each of its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.tensor import wrap
from ...export import export
from .images import ImageProcessor

SPECIAL_TOKENS: Mapping[str, int] = {
    "[BOS]": 163584,
    "[EOS]": 163585,
    "<|im_end|>": 163586,
    "<|im_user|>": 163587,
    "<|im_assistant|>": 163588,
    "<|im_system|>": 163594,
    "<|im_middle|>": 163601,
    "<|media_start|>": 163602,
    "<|media_content|>": 163603,
    "<|media_end|>": 163604,
    "<|media_pad|>": 163605,
}
"""Numbers of the tokens that the template is made of, in Kimi-VL's vocabulary."""

MEDIA = "<|media_start|>image<|media_content|><|media_pad|><|media_end|>"
SYSTEM = "You are a helpful assistant"
_ROLES = ("system", "user", "assistant")


@export("models.kimi_vl.chat_text")
def chat_text(messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool = True) -> str:
    """Messages {"role", "content"} as the text that Kimi-VL was tuned on.

    Content is a text, or a list of {"type": "text", "text": ...} and {"type": "image", ...}; an
    image leaves one <|media_pad|>. Without a system message the default one comes first.
    ValueError for other roles and types.
    """
    parts = []
    if not messages or messages[0]["role"] != "system":
        parts.append(f"<|im_system|>system<|im_middle|>{SYSTEM}<|im_end|>")
    for message in messages:
        role, content = message["role"], message["content"]
        if role not in _ROLES:
            raise ValueError(f"chat: a message of role {role!r}; expected one of {_ROLES}")
        text = content if isinstance(content, str) else "".join(map(_part, content))
        parts.append(f"<|im_{role}|>{role}<|im_middle|>{text}<|im_end|>")
    if add_generation_prompt:
        parts.append("<|im_assistant|>assistant<|im_middle|>")
    return "".join(parts)


def _part(part: Mapping[str, Any]) -> str:
    kind = part.get("type", "text")
    if kind == "image" or "image" in part or "image_url" in part:
        return MEDIA
    if kind != "text":
        raise ValueError(f"chat: content of type {kind!r}; expected 'text' or 'image'")
    return part["text"]


class Inputs(NamedTuple):
    """What KimiVL.forward takes; the last two are None without images."""

    input_ids: Any
    attention_mask: Any
    pixel_values: Any
    image_grid_hws: Any


@export("models.kimi_vl.Processor")
class Processor:
    """Texts with placeholders, and images, to what the model takes.

    `encode(text)` gives the numbers of ordinary text; special tokens are found here, by `special`.
    Batches are padded on the left with `pad`, so that generated tokens follow the text.
    """

    def __init__(
        self,
        encode: Callable[[str], Sequence[int]],
        images: ImageProcessor | None = None,
        special: Mapping[str, int] = SPECIAL_TOKENS,
        pad: int = SPECIAL_TOKENS["[EOS]"],
    ):
        self.encode, self.special, self.pad = encode, dict(special), pad
        self.images = images if images is not None else ImageProcessor()
        names = sorted(self.special, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, names)) + ")")

    def tokens(self, text: str) -> list[int]:
        """Numbers of a text, special tokens as what they are."""
        found: list[int] = []
        for piece in self._split.split(text):
            number = self.special.get(piece)
            found.extend(self.encode(piece) if number is None else [number])
        return found

    def __call__(self, texts: str | Sequence[str], images: Sequence[Any] = ()) -> Inputs:
        """Texts of a batch, and all their images in the order of their placeholders.

        ValueError if placeholders and images do not come out even.
        """
        rows = [self.tokens(t) for t in ([texts] if isinstance(texts, str) else texts)]
        media = self.special["<|media_pad|>"]
        places = sum(row.count(media) for row in rows)
        if places != len(images):
            raise ValueError(f"processor: {places} image placeholders, but {len(images)} images")
        pixels, grids = self.images(images) if images else (None, None)
        counts = iter(self._counts(grids))
        rows = [
            [t for token in row for t in ([media] * next(counts) if token == media else [token])]
            for row in rows
        ]
        length = max(map(len, rows))
        ids = np.full((len(rows), length), self.pad, np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, length - len(row) :], mask[i, length - len(row) :] = row, 1
        return Inputs(wrap(ids), wrap(mask), pixels, grids)

    def _counts(self, grids: Any) -> list[int]:
        if grids is None:
            return []
        a, b = self.images.merge_kernel_size
        return [(h // a) * (w // b) for h, w in grids.tolist()]
