"""Text to tokens and back by the `tokenizers` library, which is imported when first needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..backend.dtypes import int64
from ..core.tensor import Tensor
from ..export import export
from ..ops.data import tensor
from .pretrained import write_text

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""OpenAI's ChatML: a widely used form of conversations."""


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ImportError("tokenizers is missing: pip install 'minigrad[text]'") from None
    return tokenizers


@export("models.Tokenizer")
class Tokenizer:
    """A tokenizer of the `tokenizers` library, with the special tokens a model needs.

    `Tokenizer.train_bpe(texts)` makes one from text, `Tokenizer.load(folder)` reads
    tokenizer.json and tokenizer_config.json as transformers writes them.
    """

    def __init__(
        self,
        backend: Any,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        pad_token: str | None = None,
        chat_template: str | None = None,
    ):
        self.backend = backend
        self.bos_token, self.eos_token = bos_token, eos_token
        self.pad_token, self.chat_template = pad_token, chat_template
        for token in (bos_token, eos_token, pad_token):
            if token is not None and backend.token_to_id(token) is None:
                raise ValueError(f"Tokenizer: the special token {token!r} is not in the vocabulary")

    # ------------------------------------------------------------------------ making one
    @classmethod
    def train_bpe(
        cls,
        texts: Iterable[str],
        vocab_size: int = 1024,
        special_tokens: Sequence[str] = ("<|endoftext|>", "<|pad|>"),
        chat_template: str | None = None,
    ) -> Tokenizer:
        """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) of these texts.

        Every text can be written with it, as its alphabet is the 256 bytes. The first special token
        ends (and begins) texts, the second, if there is one, pads. ValueError for a vocabulary too
        small for bytes and special tokens.
        """
        if isinstance(texts, str):
            raise ValueError("train_bpe: texts must be several strings, not one")
        least = 256 + len(special_tokens)
        if vocab_size < least or not special_tokens:
            raise ValueError(
                f"train_bpe: wanted one special token or more and a vocab_size of {least} at least"
            )
        library = _library()
        backend = library.Tokenizer(library.models.BPE())
        backend.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(special_tokens),
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        end, pad = special_tokens[0], special_tokens[1 % len(special_tokens)]
        return cls(
            backend, bos_token=end, eos_token=end, pad_token=pad, chat_template=chat_template
        )

    @classmethod
    def load(cls, folder: Any) -> Tokenizer:
        """From a folder with tokenizer.json and, for special tokens and template, its config."""
        folder = Path(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(f"Tokenizer.load: no {path}")
        backend = _library().Tokenizer.from_file(str(path))
        backend.no_padding()
        backend.no_truncation()
        path, config = folder / "tokenizer_config.json", {}
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))

        def special(name: str) -> str | None:
            token = config.get(name)
            return token.get("content") if isinstance(token, Mapping) else token

        path = folder / "chat_template.jinja"
        template = path.read_text(encoding="utf-8") if path.is_file() else None
        return cls(
            backend,
            bos_token=special("bos_token"),
            eos_token=special("eos_token"),
            pad_token=special("pad_token"),
            chat_template=template or config.get("chat_template"),
        )

    def save(self, folder: Any) -> None:
        """Write tokenizer.json and tokenizer_config.json, which transformers reads as well."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "tokenizer.json", self.backend.to_str(pretty=True))
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "pad_token": self.pad_token,
            "chat_template": self.chat_template,
        }
        config = {key: value for key, value in config.items() if value is not None}
        write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")

    # ------------------------------------------------------------------------ using it
    @property
    def vocab_size(self) -> int:
        return self.backend.get_vocab_size()

    @property
    def bos_token_id(self) -> int | None:
        return None if self.bos_token is None else self.backend.token_to_id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        return None if self.eos_token is None else self.backend.token_to_id(self.eos_token)

    @property
    def pad_token_id(self) -> int | None:
        """What fills shorter rows: the padding token, else the end-of-sequence token."""
        token = self.pad_token or self.eos_token
        return None if token is None else self.backend.token_to_id(token)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The numbers of the tokens of a text."""
        return self.backend.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, ids: Sequence[int] | Tensor, skip_special_tokens: bool = True) -> str:
        """The text of tokens."""
        tokens = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        return self.backend.decode(tokens, skip_special_tokens=skip_special_tokens)

    def batch(
        self, texts: Sequence[str], padding_side: str = "right", max_length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """(input_ids, attention_mask), (B, longest) each; models that write want padding on the
        left. Longer texts lose their end. ValueError for another side or an empty text.
        """
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side must be 'left' or 'right'; got {padding_side!r}")
        if max_length is not None:
            self.backend.enable_truncation(max_length)
        try:
            rows = [encoding.ids for encoding in self.backend.encode_batch(list(texts))]
        finally:
            self.backend.no_truncation()
        if not rows or not all(rows):
            raise ValueError("Tokenizer.batch: a text without tokens")
        return pad_rows(rows, self.pad_token_id or 0, padding_side)

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, str]],
        add_generation_prompt: bool = False,
        **variables: Any,
    ) -> str:
        """The text of a conversation, [{"role": ..., "content": ...}, ...], by the template.

        Templates run in jinja2's sandbox, as in transformers. ValueError without a template or
        for what the template refuses.
        """
        if self.chat_template is None:
            raise ValueError("apply_chat_template: this tokenizer has no chat_template")
        try:
            from jinja2 import TemplateError
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            raise ImportError("jinja2 is missing: pip install 'minigrad[text]'") from None

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        environment.filters["tojson"] = lambda x, **options: json.dumps(
            x, ensure_ascii=False, **options
        )
        try:
            return environment.from_string(self.chat_template).render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos_token or "",
                eos_token=self.eos_token or "",
                pad_token=self.pad_token or "",
                **variables,
            )
        except TemplateError as error:
            raise ValueError(f"apply_chat_template: {error}") from None


def pad_rows(
    rows: Sequence[Sequence[int]], pad: int, padding_side: str = "right"
) -> tuple[Tensor, Tensor]:
    """(numbers, mask) of rows of different length, (B, longest) each."""
    longest = max(map(len, rows))
    numbers, mask = [], []
    for row in rows:
        missing = longest - len(row)
        filled, real = [pad] * missing, [0] * missing
        left = padding_side == "left"
        numbers.append([*filled, *row] if left else [*row, *filled])
        mask.append([*real, *[1] * len(row)] if left else [*[1] * len(row), *real])
    return tensor(numbers, dtype=int64), tensor(mask, dtype=int64)
