"""minigrad.device against torch.device, default devices, and what is said without a GPU."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.backend import devices
from minigrad.backend.devices import CPU, canonical_device, device, get_default_device

ROOT = Path(__file__).resolve().parents[1]

GOOD: list[tuple[tuple, dict]] = [
    (("cpu",), {}),
    (("cpu:0",), {}),
    (("cpu", 0), {}),
    (("cuda",), {}),
    (("cuda:0",), {}),
    (("cuda:12",), {}),
    (("cuda", 1), {}),
    (("cuda", None), {}),
    ((), {"type": "cuda", "index": 2}),
    ((), {"type": "cpu"}),
    (("mps",), {}),
    (("meta",), {}),
    (("xpu:3",), {}),
]
BAD: list[tuple[tuple, dict]] = [
    (("foo",), {}),
    (("CPU",), {}),
    (("",), {}),
    (("cuda:",), {}),
    (("cuda:x",), {}),
    (("cuda:-1",), {}),
    (("cuda:01",), {}),
    (("cuda:1:2",), {}),
    ((":1",), {}),
    (("foo:1",), {}),
    (("foo:x",), {}),
    (("cuda1",), {}),
    (("cuda_x",), {}),
    ((" cpu",), {}),
    (("cuda:1", 0), {}),
    (("cuda", -1), {}),
    ((-1,), {}),
    (("cuda", "1"), {}),
    (("cuda", 1.0), {}),
    ((3.5,), {}),
    ((None,), {}),
    ((True,), {}),
    ((), {}),
]


@pytest.fixture
def fake_cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A stand-in for CuPy and a driver with two devices: enough to see who is asked for what."""

    class ndarray:
        device = types.SimpleNamespace(id=1)

    module: Any = types.ModuleType("cupy")
    module.ndarray = ndarray
    module.cuda = types.SimpleNamespace(
        Device=lambda: types.SimpleNamespace(id=1), memory=None, set_allocator=lambda function: None
    )
    module.get_default_memory_pool = lambda: types.SimpleNamespace(malloc=None)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(devices, "_driver_device_count", lambda: 2)
    yield module


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)


# ---------------------------------------------------------------- the object
@pytest.mark.torch
@pytest.mark.parametrize(("args", "kwargs"), GOOD)
def test_devices_look_like_torchs(args: tuple, kwargs: dict) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = device(*args, **kwargs), torch.device(*args, **kwargs)
    assert (ours.type, ours.index) == (theirs.type, theirs.index)
    assert repr(ours) == repr(theirs) and str(ours) == str(theirs)


@pytest.mark.torch
@pytest.mark.parametrize(("args", "kwargs"), BAD)
def test_bad_devices_are_refused_as_in_torch(args: tuple, kwargs: dict) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises((RuntimeError, TypeError)) as theirs:
        torch.device(*args, **kwargs)
    with pytest.raises(type(theirs.value)) as ours:
        device(*args, **kwargs)
    said, expected = str(ours.value), str(theirs.value).split("\n")[0]
    if "invalid combination" in expected:  # what follows lists the overloads
        expected, said = expected.partition(" - got")[0], said.partition(" - got")[0]
    assert said == expected


@pytest.mark.torch
def test_equality_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    for a, ka in GOOD:
        for b, kb in GOOD:
            theirs = torch.device(*a, **ka) == torch.device(*b, **kb)
            assert (device(*a, **ka) == device(*b, **kb)) is theirs
    assert device("cpu") != "cpu" and device("cpu") is not None


def test_devices_are_values() -> None:
    d = device("cuda:1")
    assert hash(d) == hash(device("cuda", 1)) and {d: 1}[device("cuda:1")] == 1
    assert device(d) is d and isinstance(d, device)
    for twin in (copy.copy(d), copy.deepcopy(d), pickle.loads(pickle.dumps(d))):
        assert twin is d
    with pytest.raises(AttributeError, match="not writable"):
        d.type = "cpu"
    with pytest.raises(AttributeError, match="not writable"):
        del d.index
    assert d.type == "cuda" and d.index == 1
    with pytest.raises(TypeError):
        device(d, 1)
    with pytest.raises(TypeError):
        _ = device("cpu") < device("cuda")  # type: ignore[operator]


def test_a_number_needs_an_accelerator(no_cupy: None) -> None:
    with pytest.raises(
        RuntimeError, match="Cannot access accelerator device when none is available"
    ):
        device(0)


def test_a_number_is_a_cuda_device(fake_cupy: Any) -> None:
    assert device(1) is device("cuda:1") is canonical_device(1)


# ---------------------------------------------------------------- the default
def test_default_device() -> None:
    assert get_default_device() is CPU and canonical_device() is CPU
    with device("cuda:1") as entered:
        assert entered is get_default_device() is device("cuda:1")
        with device("cpu"):
            assert get_default_device() is CPU is canonical_device(None)
        assert get_default_device() is device("cuda:1")
    assert get_default_device() is CPU


def test_set_default_device() -> None:
    try:
        devices.set_default_device("cuda:1")
        assert get_default_device() is device("cuda:1")
        with device("cpu"):
            assert get_default_device() is CPU
        with pytest.raises(RuntimeError, match="device string: foo"):
            devices.set_default_device("foo")
        assert get_default_device() is device("cuda:1")
        seen = []
        thread = threading.Thread(target=lambda: seen.append(get_default_device()))
        thread.start()
        thread.join()
        assert seen == [CPU]  # as in torch: of this thread only
    finally:
        devices.set_default_device(None)
    assert get_default_device() is CPU


def test_the_default_is_restored_after_an_error() -> None:
    with pytest.raises(KeyError), device("cuda:1"):
        raise KeyError
    assert get_default_device() is CPU


def test_device_as_a_decorator() -> None:
    @device("cuda:1")
    def here(n: int) -> tuple[int, device]:
        return n, get_default_device()

    assert here(3) == (3, device("cuda:1")) and here.__name__ == "here"
    assert get_default_device() is CPU


# ---------------------------------------------------------------- from names to places
def test_canonical_device() -> None:
    for d in ("cpu", "cpu:0", "cpu:1", CPU, device("cpu", 3)):
        assert canonical_device(d) is CPU
    for d in (3.5, True, b"cpu", object()):
        with pytest.raises(TypeError, match=f"must be minigrad.device, not {type(d).__name__}"):
            canonical_device(d)
    for d in ("mps", "meta", "xpu:1"):
        with pytest.raises(RuntimeError, match=f"minigrad has no {d[:3]}"):
            canonical_device(d)
    with pytest.raises(RuntimeError, match="at start of device string: foo"):
        canonical_device("foo")


def test_cuda_without_cupy_says_what_to_install(no_cupy: None) -> None:
    assert devices.cuda_is_available() is False and devices.cuda_device_count() == 0
    for use in (lambda: canonical_device("cuda:0"), devices.cuda_module):
        with pytest.raises(RuntimeError, match=r"needs CuPy(.|\n)*pip install 'minigrad\[cuda\]'"):
            use()
    with device("cuda"), pytest.raises(RuntimeError, match="device 'cuda' needs CuPy"):
        canonical_device(None)


@pytest.mark.parametrize(("count", "missing"), [(None, "NVIDIA driver"), (0, "a CUDA device")])
def test_cupy_without_a_device_says_what_is_missing(
    fake_cupy: Any, monkeypatch: pytest.MonkeyPatch, count: int | None, missing: str
) -> None:
    monkeypatch.setattr(devices, "_driver_device_count", lambda: count)
    assert devices.cuda_is_available() is False and devices.cuda_device_count() == 0
    with pytest.raises(RuntimeError, match=f"device 'cuda:0' needs (an )?{missing}"):
        canonical_device("cuda:0")


def test_cuda_devices_are_numbered(fake_cupy: Any) -> None:
    assert devices.cuda_is_available() is True and devices.cuda_device_count() == 2
    assert canonical_device("cuda:0") is device("cuda", 0)
    assert canonical_device("cuda") is device("cuda:1")  # the current one
    with device("cuda"):
        assert get_default_device() is device("cuda:1")
    with pytest.raises(RuntimeError, match="invalid device ordinal.*'cuda:2'.*'cuda:1'"):
        canonical_device("cuda:2")


def test_driver_count_is_a_number_or_none() -> None:
    count = devices._driver_device_count()
    assert count is None or count >= 0


# ---------------------------------------------------------------- arrays
class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize("x", [np.zeros(2), np.zeros(2).view(Subclass), np.float32(1), 1.5, None])
def test_numpy_computes_on_everything_else(x: Any, fake_cupy: Any) -> None:
    assert devices.array_module(x) is np and devices.device_of(x) is CPU


def test_cupy_computes_on_its_arrays(fake_cupy: Any) -> None:
    x = fake_cupy.ndarray()
    assert devices.array_module(x) is fake_cupy is devices.cuda_module()
    assert devices.device_of(x) is device("cuda:1")


def test_questions_do_not_import_cupy(no_cupy: None) -> None:
    assert devices.array_module([1]) is np
    code = (
        "import sys; from minigrad.backend import devices as d; d.cuda_is_available(); "
        "d.array_module(1); d.device('cuda'); print('cupy' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert run.stdout.strip() == "False", run.stderr


@pytest.mark.gpu
def test_a_real_device() -> None:
    cupy = devices.cuda_module()
    assert devices.cuda_device_count() == cupy.cuda.runtime.getDeviceCount()
    here = canonical_device("cuda")
    assert devices.device_of(cupy.zeros(2)) is here and here.index is not None
