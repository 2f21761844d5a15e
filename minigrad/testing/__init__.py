"""Checking derivatives and comparing results: for minigrad's tests, and for ops of a user's own."""

from __future__ import annotations

from . import gradcheck
from .compare import assert_close

__all__ = ["assert_close", "gradcheck"]
