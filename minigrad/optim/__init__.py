"""Optimizers, in order of increasing complexity: SGD, Adam, AdamW."""

from __future__ import annotations

from . import adam, adamw, sgd
from .optimizer import Optimizer

__all__ = ["Optimizer", "adam", "adamw", "sgd"]
