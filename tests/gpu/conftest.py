"""Fixtures of the tests on the stand-in for a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .fake_cupy import installed


@pytest.fixture
def device() -> Iterator[Any]:
    """A machine with one GPU, as far as the library can tell: the stand-in for CuPy."""
    with installed() as cupy:
        yield cupy
