"""Checking derivatives and comparing results: for minigrad's tests, and for ops of a user's own."""

from __future__ import annotations

from . import gradcheck
from .compare import assert_close
from .make import make_tensor

__all__ = ["assert_close", "gradcheck", "make_tensor"]
