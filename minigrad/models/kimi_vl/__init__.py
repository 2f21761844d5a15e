"""Kimi-VL."""

from __future__ import annotations
