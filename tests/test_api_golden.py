"""The public API is what its files say: a change to it is made on purpose, or not at all."""

from __future__ import annotations

import functools
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad
from minigrad.debug import stubs
from minigrad.export import METHODS, exported, get_canonical_name_for_symbol, get_symbol_from_name

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ["-m", "minigrad.debug.api"]


def check(*flags: str) -> None:
    """In a process of its own: no other test's exports are in the registry there."""
    done = subprocess.run(
        [sys.executable, *COMMAND, *flags, "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_public_api_is_what_its_files_say() -> None:
    check()


def test_stubs_are_those_of_the_api() -> None:
    if not stubs.existing(ROOT / "minigrad"):
        pytest.skip("no stubs are kept")
    check("--stubs")


def test_every_public_name_is_its_symbol() -> None:
    """The dotted name leads to the very object that was exported, whichever module is imported."""
    exports = [export for export in exported() if export.api_name == "minigrad"]
    assert len(exports) > 100
    wrong = []
    for export in exports:
        path, _, leaf = export.name.rpartition(".")
        if export.name.startswith(METHODS):
            found = inspect.getattr_static(minigrad.Tensor, leaf, None)
        elif export.deprecated:
            with pytest.warns(DeprecationWarning):
                found = getattr(importlib.import_module(f"minigrad.{path}".rstrip(".")), leaf)
        else:
            found = functools.reduce(getattr, export.name.split("."), minigrad)
        if found is not export.value() or get_symbol_from_name(export.name) is not found:
            wrong.append(export.name)
    assert not wrong


def test_canonical_names_lead_back() -> None:
    for export in exported():
        if not export.is_constant and not export.name.startswith("compat."):
            assert get_canonical_name_for_symbol(export.symbol, export.api_name) == export.canonical
            assert get_symbol_from_name(export.canonical) is export.symbol
