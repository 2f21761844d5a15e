"""Whole models, made of the layers below: from their configuration to generated text.

The package is imported at the first use of `minigrad.models`.
"""

from __future__ import annotations

from . import kimi_vl

__all__ = ["kimi_vl"]
