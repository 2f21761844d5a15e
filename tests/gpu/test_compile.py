"""Every kind of kernel compiles for a GPU (sm_90), without spilling registers, and moves 16 bytes
at once where it should. Nothing runs here: see test_emulated.py.
"""

from __future__ import annotations

import re

import pytest

from minigrad.kernels.cuda.source import BYTES, Source

from . import families
from .toolchain import COMPILER, WHY_NO_DEVICE_COMPILER, DeviceCode, device_code

needs_compiler = pytest.mark.skipif(
    WHY_NO_DEVICE_COMPILER is not None, reason=str(WHY_NO_DEVICE_COMPILER)
)
pytestmark = [needs_compiler, pytest.mark.slow]

READERS = ("reduce", "cross_entropy_", "norm_weights", "many_norm", "many_largest")
"""Kernels that write a number where they have read a row."""
SIZES = {"float": 4, "double": 8, "f16": 2, "bf16": 2}


@pytest.fixture(scope="module")
def compiled() -> dict[str, tuple[Source, DeviceCode]]:
    sources = families.everything()
    code = device_code(sources)
    return {s.name: (s, code[s.name]) for s in sources}


def test_every_kind_compiles(compiled: dict[str, tuple[Source, DeviceCode]]) -> None:
    assert len(compiled) > 150, f"{len(compiled)} kernels by {COMPILER}"


def test_no_kernel_spills(compiled: dict[str, tuple[Source, DeviceCode]]) -> None:
    spilled = {name: code.spills for name, (_, code) in compiled.items() if code.spills}
    assert not spilled


def test_four_blocks_fit_on_a_multiprocessor(
    compiled: dict[str, tuple[Source, DeviceCode]],
) -> None:
    """65,536 registers for 4 blocks of 256 threads: 64 for each thread."""
    assert max(code.registers for _, code in compiled.values()) <= 64


def _moved_at_once(source: Source) -> int:
    """Bytes of the packs that the text asks for: V of the narrowest number."""
    found = re.search(r"constexpr int V = (\d+)", source.text)
    if found is None:  # a kernel that takes one number at a time
        return 0
    v = int(found.group(1))
    sizes = [SIZES[t] for t in re.findall(r"Pack<(float|double|f16|bf16), V>", source.text)]
    typed = re.search(r"typedef (\w+) T;", source.text)
    if typed:
        sizes.append(SIZES[typed.group(1)])
    return v * min(sizes)


def test_wide_kernels_move_16_bytes(compiled: dict[str, tuple[Source, DeviceCode]]) -> None:
    wide = 0
    for name, (source, code) in compiled.items():
        if _moved_at_once(source) < BYTES:
            continue
        wide += 1
        loads = re.findall(r"ld\.global(?:\.nc)?\.v(\d)\.\w(\d+)", code.ptx)
        assert any(int(n) * int(bits) == 8 * BYTES for n, bits in loads), name
        if not any(word in name for word in READERS):
            stores = re.findall(r"st\.global\.v(\d)\.\w(\d+)", code.ptx)
            assert any(int(n) * int(bits) == 8 * BYTES for n, bits in stores), name
    assert wide > 100
