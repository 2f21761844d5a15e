"""10,000 training steps keep resident memory flat."""

from __future__ import annotations

import os

import numpy as np
import pytest

import minigrad as mg


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="resident memory is read from /proc"
)
def test_resident_memory_stays_flat():
    mg.manual_seed(0)
    model = mg.nn.Sequential(
        mg.nn.Linear(20, 64), mg.nn.Tanh(), mg.nn.LayerNorm(64), mg.nn.Linear(64, 4)
    )
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    x = mg.from_numpy(rng.standard_normal((32, 20)).astype(np.float32))
    y = mg.from_numpy(rng.integers(0, 4, 32))

    def steps(n):
        for _ in range(n):
            loss = mg.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    first = steps(1000)
    before = resident()
    last = steps(10_000)
    growth = resident() - before
    print(
        f"resident memory {before / 2**20:.1f} MiB, {growth / 2**10:.0f} KiB more after 10,000"
        " steps"
    )
    assert growth < 2 * 2**20
    assert last < first
