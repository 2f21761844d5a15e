"""The same lines run with minigrad and with PyTorch: equal values, warnings and errors.

A row is a function of the library. Tensors are compared by dtype and by values to 5 digits, errors
by type and by their words, where the library's own name may stand for the other's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

Row = Callable[[Any], Any]


def plain(value: Any) -> Any:
    """A value as numbers, strings and lists, the same for both libraries."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, float):
        if value != value:
            return "nan"  # equal to itself
        return float(f"{value:.5g}") + 0.0  # -0.0 is 0.0
    if isinstance(value, (bool, int, type(None))):
        return value
    if callable(getattr(value, "tolist", None)):
        return [words(str(value.dtype)), plain(value.detach().tolist())]
    return words(value if isinstance(value, str) else repr(value))


def words(text: str) -> str:
    """A message without the library's name and without addresses."""
    return re.sub(r"\b(minigrad|torch)\.", "", re.sub(r" at 0x[0-9a-f]+", "", text))


def outcome(row: Row, library: Any) -> tuple[Any, ...]:
    """("value", value, types of warnings), or ("error", type, words)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # PyTorch warns about itself while it is imported piece by piece
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        # minigrad silences NumPy's in its own frames, which "always" has undone
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"minigrad\.")
        try:
            value = plain(row(library))
        except Exception as error:
            return "error", type(error).__name__, words(str(error))
    return "value", value, [w.category.__name__ for w in caught]


def assert_parity(row: Row, message: bool = True) -> None:
    """Fail unless both libraries give the same; the words of an error count if `message`."""
    torch = pytest.importorskip("torch")
    ours, theirs = outcome(row, minigrad), outcome(row, torch)
    if not message and ours[0] == theirs[0] == "error":
        ours, theirs = ours[:2], theirs[:2]
    if ours != theirs:
        pytest.fail(f"minigrad: {ours}\nPyTorch:  {theirs}", pytrace=False)


def table(rows: dict[str, Row]) -> Any:
    """Rows as parameters of a test, by name."""
    return pytest.mark.parametrize("row", list(rows.values()), ids=list(rows))


def by_source(variable: str, make: Row, sources: list[str]) -> dict[str, Row]:
    """Rows from expressions in `L` (the library) and `variable`, which `make` makes afresh."""

    def row(source: str) -> Row:
        code = compile(source, source, "eval")
        return lambda L: eval(code, {variable: make(L), "L": L, "np": np})

    return {source: row(source) for source in sources}
