"""What every test can count on: one thread, a fixed seed, and a reason when it is skipped."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import sys

# Set before NumPy, SciPy or PyTorch load: no result depends on how a sum was split over threads,
# and two test processes do not wait for each other's BLAS. Who sets them differently is heard.
for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, "1")

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

# Shared machines make deadlines flaky. In CI the examples are always the same ones, so that a red
# run can be repeated.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

SEED = 0


# A process started in the background may have been told to ignore these, and would hand that on to
# the processes that tests start and interrupt.
for _name in ("SIGINT", "SIGHUP"):
    _signal = getattr(signal, _name, None)
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)


def why_no_gpu() -> str | None:
    """The reason that tests marked `gpu` cannot run here, or None where they can."""
    if importlib.util.find_spec("cupy") is None:
        return "needs CuPy"
    import cupy

    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"needs a CUDA device: {error}"
    return None if devices else "needs a CUDA device"


def why_no_torch() -> str | None:
    """The reason that tests marked `torch` cannot run here, or None where they can."""
    return None if importlib.util.find_spec("torch") else "needs PyTorch, the reference"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, with the reason; look for a device only if a test needs one."""
    for mark, why_not in (("gpu", why_no_gpu), ("torch", why_no_torch)):
        marked = [item for item in items if item.get_closest_marker(mark)]
        reason = why_not() if marked else None
        for item in marked if reason else []:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Every test starts from the same random state, whichever ran before it.

    Libraries that the tests have not imported are left alone: importing PyTorch takes seconds.
    """
    random.seed(SEED)
    np.random.seed(SEED)
    for library in ("minigrad", "torch"):
        if library in sys.modules:
            sys.modules[library].manual_seed(SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator of the test's own, seeded."""
    return np.random.default_rng(SEED)
