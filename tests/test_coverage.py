"""docs/coverage.md says which names of PyTorch there are, and is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.debug import absent, coverage

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
ROOT = Path(__file__).resolve().parents[1]


def test_the_page_is_what_the_code_says() -> None:
    """In a process of its own: no other test's exports are there."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "minigrad.debug.coverage", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_names_of_a_module_are_those_it_defines() -> None:
    names = coverage.names_of("nn", torch.nn)
    assert "Linear" in names and "functional" not in names and "Optional" not in names
    assert "softmax" in coverage.names_of("nn.functional", torch.nn.functional)
    assert "backward" in coverage.names_of("Tensor", torch.Tensor)


def test_a_name_without_a_reason_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = dict(absent.REASONS_BY_PATTERN)
    del patterns["lobpcg"]
    monkeypatch.setattr(absent, "REASONS_BY_PATTERN", patterns)
    absent.pattern_of.cache_clear()
    with pytest.raises(ValueError, match="no reason for lobpcg"):
        coverage.compare()
    absent.pattern_of.cache_clear()


def test_a_reason_for_what_is_here_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = absent.REASONS_BY_PATTERN | {"nn.Linear": "by mistake"}
    monkeypatch.setattr(absent, "REASONS_BY_PATTERN", patterns)
    with pytest.raises(ValueError, match=r"it has one for nn\.Linear"):
        coverage.compare()
