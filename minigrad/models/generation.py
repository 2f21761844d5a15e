"""Writing with a model: greedy, sampled, beams; batched, with a cache of keys and values.

The protocol: a model is a callable

    model(input_ids, attention_mask=mask, cache=cache) -> logits (B, T, V)

input_ids (B, T) are the tokens that the cache has not seen, attention_mask (B, cache.length + T)
is 1 on real tokens and 0 on padding, which stands on the left; positions follow from it. The model
calls `cache.update` in each layer (see cache.py). Nothing else is asked of it, so every model that
can keep a cache writes with the functions below.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from ..backend.dtypes import bool_, int64
from ..backend.random import Generator
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..ops.filled import ones, zeros
from ..ops.join import cat
from ..ops.piecewise import where
from .beam import beam_search
from .cache import Cache
from .sampling import draw, penalize_repetition, warp_logits


@export("models.generate")
def generate(
    model: Any,
    input_ids: Tensor,
    *,
    attention_mask: Tensor | None = None,
    max_new_tokens: int = 20,
    min_new_tokens: int = 0,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    eos_token_id: int | Sequence[int] | None = None,
    pad_token_id: int | None = None,
    stop: Callable[[Tensor], list[bool]] | None = None,
    on_token: Callable[[Tensor], None] | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Prompts (B, T) with their continuations, (B, T + at most max_new_tokens).

    Greedy by default; `do_sample` draws after `warp_logits`; `num_beams` > 1 is beam search. A row
    ends with an end-of-sequence token (several may be given) or when `stop`, asked with the tokens
    written so far, says so; it is filled up with `pad_token_id`. `on_token` gets each step's (B,)
    tokens. Shorter prompts are padded on the left, and the mask says where.

    ValueError for arguments out of range or that exclude each other.
    """
    ends = _ids(eos_token_id)
    _check(input_ids, attention_mask, max_new_tokens, min_new_tokens, num_beams)
    if pad_token_id is None:
        pad_token_id = ends[0] if ends else 0
    if num_beams > 1:
        if do_sample or stop or on_token or min_new_tokens:
            raise ValueError(
                "generate: beam search takes no do_sample, stop, on_token or min_new_tokens"
            )
        return beam_search(
            model, input_ids, attention_mask, max_new_tokens, num_beams, length_penalty,
            ends, pad_token_id, repetition_penalty,
        )  # fmt: skip

    def choose(logits: Tensor, sequence: Tensor, mask: Tensor | None) -> Tensor:
        if repetition_penalty != 1.0:
            logits = penalize_repetition(logits, sequence, repetition_penalty, mask)
        if ends and sequence.shape[1] - input_ids.shape[1] < min_new_tokens:
            for token in ends:
                logits[:, token] = -float("inf")
        if not do_sample:
            return logits.argmax(-1, keepdim=True)
        logits = warp_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        return draw(logits, generator)

    with no_grad():
        return _write(
            model, input_ids, attention_mask, max_new_tokens, choose, ends, pad_token_id, stop,
            on_token,
        )  # fmt: skip


def _write(
    model: Any,
    sequence: Tensor,
    mask: Tensor | None,
    max_new_tokens: int,
    choose: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    ends: tuple[int, ...],
    pad: int,
    stop: Callable[[Tensor], list[bool]] | None,
    on_token: Callable[[Tensor], None] | None,
) -> Tensor:
    """The loop: read what is new, choose, append, until every row has ended."""
    rows, prompt = sequence.shape
    one = ones(rows, 1, dtype=int64, device=sequence.device)
    done = zeros(rows, dtype=bool_, device=sequence.device)
    cache, new = Cache(), sequence
    for _ in range(max_new_tokens):
        logits = model(new, attention_mask=mask, cache=cache)[:, -1].float()
        new = choose(logits, sequence, mask)
        if ends or stop:
            new = where(done[:, None], pad, new)
        sequence = cat([sequence, new], 1)
        if mask is not None:
            mask = cat([mask, one.to(mask.dtype)], 1)
        if on_token:
            on_token(new[:, 0])
        for token in ends:
            done = done | (new[:, 0] == token)
        if stop:
            done = done | done.new_tensor(stop(sequence[:, prompt:]))
        if (ends or stop) and done.all():
            break
    return sequence


@export("models.generate_text")
def generate_text(
    model: Any,
    tokenizer: Any,
    prompts: str | Sequence[str],
    *,
    stop_strings: Sequence[str] = (),
    stream: bool | TextIO = False,
    **options: Any,
) -> Any:
    """The continuation of a prompt, or a list of them for a list; options as `generate`.

    Cut before the first stop string; beams are cut after the search. `stream` writes the text of
    one prompt to the terminal (or to the file given) while it comes. ValueError to stream several
    prompts.
    """
    several = not isinstance(prompts, str)
    texts: list[str] = list(prompts) if several else [prompts]  # type: ignore[list-item]
    if stream and len(texts) > 1:
        raise ValueError("generate_text: only one prompt can be streamed")
    input_ids, mask = tokenizer.batch(texts, padding_side="left")
    options.setdefault("eos_token_id", tokenizer.eos_token_id)
    options.setdefault("pad_token_id", tokenizer.pad_token_id)

    def stop(written: Tensor) -> list[bool]:
        found = (tokenizer.decode(row) for row in written.tolist())
        return [any(s in text for s in stop_strings) for text in found]

    streamer = None
    if stream:
        streamer = TextStreamer(tokenizer, sys.stdout if stream is True else stream, stop_strings)
    sequence = generate(
        model, input_ids,
        attention_mask=None if bool(mask.all()) else mask,
        stop=stop if stop_strings and options.get("num_beams", 1) == 1 else None,
        on_token=streamer.put if streamer else None,
        **options,
    )  # fmt: skip
    if streamer:
        streamer.end()
    ends = _ids(options["eos_token_id"])
    answers = [
        cut_text(tokenizer, row, ends, stop_strings)
        for row in sequence[:, input_ids.shape[1] :].tolist()
    ]
    return answers if several else answers[0]


def cut_text(
    tokenizer: Any, tokens: list[int], ends: Sequence[int], stop_strings: Sequence[str] = ()
) -> str:
    """The text before the first end-of-sequence token and the first stop string."""
    for i, token in enumerate(tokens):
        if token in ends:
            tokens = tokens[:i]
            break
    text = tokenizer.decode(tokens)
    return text[: min((at for s in stop_strings if (at := text.find(s)) >= 0), default=len(text))]


@export("models.TextStreamer")
class TextStreamer:
    """Writes text as its tokens come: `put` takes (1,) tokens, `end` writes the rest.

    A character is written once all its bytes are there, and nothing that may still become a stop
    string.
    """

    def __init__(self, tokenizer: Any, file: TextIO, stop_strings: Sequence[str] = ()):
        self.tokenizer, self.file, self.stop_strings = tokenizer, file, tuple(stop_strings)
        self.tokens: list[int] = []
        self.shown = 0

    def put(self, token: Tensor) -> None:
        """Take one more token and write what is certain."""
        self.tokens.append(int(token[0].item()))
        text = self.tokenizer.decode(self.tokens)
        whole = len(text) - (len(text) - len(text.rstrip("\ufffd")))
        self._show(text, whole - max(map(len, self.stop_strings), default=1) + 1)

    def end(self) -> None:
        """Write what was held back, up to a stop string, and a newline."""
        text = self.tokenizer.decode(self.tokens)
        self._show(text, len(text))
        self.file.write("\n")
        self.file.flush()

    def _show(self, text: str, until: int) -> None:
        found = [at for s in self.stop_strings if (at := text.find(s)) >= 0]
        until = min([until, *found])
        if until > self.shown:
            self.file.write(text[self.shown : until])
            self.file.flush()
            self.shown = until


def _ids(token: int | Sequence[int] | None) -> tuple[int, ...]:
    if token is None:
        return ()
    return (token,) if isinstance(token, int) else tuple(token)


def _check(input_ids: Tensor, mask: Tensor | None, most: int, least: int, num_beams: int) -> None:
    if input_ids.dim() != 2 or input_ids.shape[1] == 0:
        raise ValueError(
            f"generate: input_ids must be (batch, length ≥ 1); got {tuple(input_ids.shape)}"
        )
    if mask is not None and mask.shape != input_ids.shape:
        raise ValueError(
            f"generate: attention_mask {tuple(mask.shape)} must be as input_ids "
            f"{tuple(input_ids.shape)}"
        )
    if mask is not None and not bool((mask[:, -1] != 0).all()):
        raise ValueError("generate: prompts must be padded on the left, and end with a token")
    if most < 1 or least > most:
        raise ValueError(
            f"generate: wanted 1 ≤ min_new_tokens ≤ max_new_tokens; got {least} and {most}"
        )
    if num_beams < 1:
        raise ValueError(f"generate: num_beams must be at least 1; got {num_beams}")
