# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.transformer import Transformer as Transformer
from minigrad.nn.layers.transformer import TransformerDecoder as TransformerDecoder
from minigrad.nn.layers.transformer import TransformerDecoderLayer as TransformerDecoderLayer
from minigrad.nn.layers.transformer import TransformerEncoder as TransformerEncoder
from minigrad.nn.layers.transformer import TransformerEncoderLayer as TransformerEncoderLayer
