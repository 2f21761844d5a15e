"""The library on a device whose arrays NumPy cannot read (fake_cupy.py): the cases of tests/cases
forward and backward, device semantics, and training steps through the generated kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.core.primitive import REGISTRY
from minigrad.kernels.cuda.hosted import HOSTED
from tests.cases import Array, Case, Make, all_cases

from .fake_cupy import installed
from .fake_device import MACHINE, CaptureError
from .toolchain import WHY_NO_EMULATOR

needs_emulator = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))


@pytest.fixture
def formulas_only() -> Iterator[None]:
    """Without the generated kernels: formulas run as CuPy would run them, a launch an operation."""
    with mg.config.using(kernels="off"):
        yield


# ------------------------------------------------------------------------------ devices
def test_tensors_move_there_and_back(device: Any) -> None:
    x = mg.arange(6.0).reshape(2, 3)
    there = x.cuda()
    assert there.is_cuda and not there.is_cpu and str(there.device) == "cuda:0"
    assert there.get_device() == 0 and there.cuda() is there and there.to("cuda") is there
    np.testing.assert_array_equal(there.cpu().numpy(), x.numpy())
    assert there.to("cpu", mg.float64).dtype == mg.float64
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        there.numpy()
    assert there[0, 1].item() == 1.0 and there.tolist() == x.tolist()
    assert "device='cuda:0'" in repr(there)


def test_gradients_go_home(device: Any) -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (x.cuda() * 3).sum().backward()
    assert x.grad is not None and x.grad.is_cpu and x.grad.tolist() == [3.0, 3.0]


def test_tensors_are_made_there(device: Any) -> None:
    for t in (
        mg.zeros(3, device="cuda"),
        mg.tensor([1, 2], device="cuda"),
        mg.eye(2, device="cuda"),
    ):
        assert t.is_cuda
    with mg.device("cuda"):
        assert mg.ones(2).is_cuda


def test_devices_do_not_mix(device: Any) -> None:
    there, here = mg.ones(3, device="cuda"), mg.ones(3)
    for call in (lambda: there + here, lambda: here * there, lambda: mg.maximum(there, here)):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            call()
    assert (there + mg.tensor(2.0)).is_cuda  # a 0-d tensor of main memory counts as a number
    assert (2 * there - 1).tolist() == [1.0, 1.0, 1.0]


def test_questions_about_the_device(device: Any) -> None:
    assert mg.cuda.is_available() and mg.cuda.device_count() == 1
    assert mg.cuda.get_device_name() == "fake device"
    assert mg.cuda.get_device_capability() == (9, 0)
    mg.cuda.synchronize()
    before = mg.cuda.memory_allocated()
    x = mg.zeros(1000, device="cuda")
    assert mg.cuda.memory_allocated() - before == 4096
    del x
    assert mg.cuda.memory_allocated() == before


def test_dlpack_shares_memory(device: Any) -> None:
    x = mg.ones(3, device="cuda")
    assert x.__dlpack_device__() == (2, 0)


# ------------------------------------------------------------------------------ the stand-in itself
def test_numpy_cannot_read_device_arrays(device: Any) -> None:
    x = device.zeros(3)
    for call in (lambda: np.asarray(x), lambda: x + np.ones(3), lambda: np.maximum.reduce(x)):
        with pytest.raises((TypeError, NotImplementedError)):
            call()
    with pytest.raises(TypeError, match="unexpected keyword argument 'initial'"):
        device.max(x, initial=0)


def test_freed_memory_is_poisoned(device: Any) -> None:
    x = device.ones(4)
    memory = x._host
    del x
    assert np.isnan(memory).all()


def test_capturing_forbids_reads_and_trusts_nothing(device: Any) -> None:
    stream = device.cuda.Stream(non_blocking=True)
    x = device.asarray(np.ones(3))
    with stream:
        stream.begin_capture()
        y = x * 2
        with pytest.raises(CaptureError):
            y.get()
        graph = stream.end_capture()
    assert np.isnan(y.get()).all()  # nothing has been computed yet
    graph.launch()
    assert y.get().tolist() == [2.0, 2.0, 2.0]


# ------------------------------------------------------------------------------ models and layers
@needs_emulator
def test_norms_of_gpt2_are_modules(device: Any) -> None:
    """Hooks see the call, and other modules may take their place, as on the CPU."""
    sizes = {"vocab_size": 9, "n_positions": 4, "n_embd": 8, "n_head": 2, "n_layer": 2}
    model = mg.models.GPT2Model(mg.models.GPT2Config(**sizes)).eval()
    ids, calls = mg.arange(8).view(2, 4), []

    def agree() -> None:
        with mg.no_grad():
            want, got = model.cpu()(ids), model.cuda()(ids.cuda())
        np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), rtol=1e-4, atol=1e-5)

    agree()
    hook = model.h[0].ln_2.register_forward_hook(lambda *call: calls.append(call))
    model(ids.cuda())
    hook.remove()
    assert len(calls) == 1
    others = (nn.Identity(), nn.RMSNorm(8), nn.LayerNorm(8, bias=False), nn.LayerNorm((4, 8)))
    for other in others:
        model.h[0].ln_2 = other
        agree()


@needs_emulator
@pytest.mark.parametrize("name", ["CARAFE", "DySample"])
def test_upsampling_that_is_learned(device: Any, name: str) -> None:
    layer: Any = nn.DySample(4, dyscope=True) if name == "DySample" else nn.CARAFE(4, 2, 3)
    x, found = mg.randn(1, 4, 3, 5), []
    for place in ("cpu", "cuda"):
        layer.to(place).zero_grad()
        here = x.to(place).detach().requires_grad_()
        y = layer(here)
        y.square().sum().backward()
        found.append([t.detach().cpu().numpy() for t in (y, here.grad)])
    for got, want in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------ graphs
def _captured(x: mg.Tensor, target: mg.Tensor) -> tuple[mg.cuda.CUDAGraph, list[mg.Tensor]]:
    """A graph of log_softmax(gelu(x)) and of x's gradient, and what it writes. The caller keeps x
    and the target alive: a graph holds addresses.
    """

    def work() -> list[mg.Tensor]:
        x.grad = None
        y = nn.functional.log_softmax(nn.functional.gelu(x), -1)
        nn.functional.cross_entropy(y, target).backward()
        assert x.grad is not None
        return [y.detach(), x.grad]

    work()  # kernels are compiled here
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        assert mg.cuda.is_current_stream_capturing()
        results = work()
    return graph, results


@needs_emulator
def test_a_graph_computes_from_what_its_inputs_hold(device: Any) -> None:
    x, target = mg.randn(4, 8).cuda().requires_grad_(), mg.zeros(4, dtype=mg.int64).cuda()
    graph, results = _captured(x, target)
    assert all(np.isnan(r.cpu().numpy()).all() for r in results)  # noted, not computed
    for _ in range(2):
        new = mg.randn(4, 8)
        x.data.copy_(new.cuda())
        before = MACHINE.count
        graph.replay()
        assert MACHINE.count == before
        here = new.clone().requires_grad_()
        y = nn.functional.log_softmax(nn.functional.gelu(here), -1)
        nn.functional.cross_entropy(y, mg.zeros(4, dtype=mg.int64)).backward()
        assert here.grad is not None
        for got, want in zip(results, (y.detach(), here.grad), strict=True):
            np.testing.assert_allclose(got.cpu().numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


@needs_emulator
def test_a_graph_has_memory_of_its_own(device: Any) -> None:
    """What is allocated between replays is not overwritten by them."""
    x, target = mg.randn(4, 8).cuda().requires_grad_(), mg.zeros(4, dtype=mg.int64).cuda()
    graph, results = _captured(x, target)
    assert graph.pool() is not device.get_default_memory_pool() and graph.pool().used_bytes() > 0
    others = [mg.full((4, 8), 7.0, device="cuda") for _ in range(20)]
    graph.replay()
    assert all((o == 7.0).all().item() for o in others)


def test_what_a_graph_cannot_note(device: Any) -> None:
    x = mg.ones(2, 2, device="cuda")
    with pytest.raises(RuntimeError, match="replay without a preceding"):
        mg.cuda.CUDAGraph().replay()
    with pytest.raises(CaptureError), mg.cuda.graph(mg.cuda.CUDAGraph()):
        (x * 2).sum().item()
    with pytest.raises(NotImplementedError, match="cuBLAS"), mg.cuda.graph(mg.cuda.CUDAGraph()):
        _ = x.to(mg.int64) @ x.to(mg.int64)  # cuBLASLt has no such product
    assert not mg.cuda.is_current_stream_capturing()


# ------------------------------------------------------------------------------ ops
def _made(x: Any, place: str) -> Any:
    if isinstance(x, Array):
        values = x.values
        if x.cast and values.dtype.kind == "f":
            values = values.astype(np.float32)
        t = mg.tensor(values).to(place)
        return t.requires_grad_() if x.grad and values.dtype.kind in "fc" else t
    if isinstance(x, (list, tuple)) and not hasattr(x, "_fields"):
        return type(x)([_made(v, place) for v in x])
    return {k: _made(v, place) for k, v in x.items()} if isinstance(x, dict) else x


def _tensors(x: Any) -> list[mg.Tensor]:
    if isinstance(x, mg.Tensor):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for v in x for t in _tensors(v)] if isinstance(x, (list, tuple)) else []


def _run(case: Case, sample: Any, place: str) -> list[Any]:
    """Results and gradients, in main memory."""
    function: Any = mg
    for part in case.name.split("."):
        function = getattr(function, part)
    args, options = _made(list(sample.args), place), _made(dict(sample.kwargs), place)
    leaves = [t for t in _tensors([args, options]) if t.requires_grad]
    mg.manual_seed(0)
    results = _tensors(function(*args, **options))
    differentiable = [r for r in results if r.requires_grad]
    if sample.grad and leaves and differentiable:
        total: Any = 0
        for r in differentiable:
            total = total + ((r * r.conj()).real if r.is_complex() else r * r).sum()
        total.backward()
        results += [t.grad for t in leaves if t.grad is not None]
    return [r.detach().cpu().numpy() for r in results]


def _fails(case: Case, sample: Any) -> str | None:
    """Why a sample gives something else on the device, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = _run(case, sample, "cpu")
        with installed():
            try:
                got = _run(case, sample, "cuda")
            except Exception as error:
                return f"{type(error).__name__}: {error}"
    if len(got) != len(want):
        return f"{len(got)} results instead of {len(want)}"
    for a, b in zip(got, want, strict=True):
        if a.dtype != b.dtype or not np.allclose(a, b, 2e-4, 1e-4, equal_nan=True):
            return "other values"
    return None


UNSUPPORTED = set(
    """
adaptive_max_pool1d as_strided_scatter bucketize cholesky_inverse ctc_loss cummax cummin
    histc histogram histogramdd isin istft linalg.cond linalg.eigh linalg.householder_product
    linalg.ldl_solve linalg.lstsq linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve
    linalg.matrix_rank linalg.svd linalg.vander lu lu_solve lu_unpack masked_fill mode
    nanquantile nn.functional.adaptive_max_pool1d nn.functional.adaptive_max_pool1d_with_indices
    nn.functional.adaptive_max_pool2d nn.functional.adaptive_max_pool2d_with_indices
    nn.functional.adaptive_max_pool3d nn.functional.adaptive_max_pool3d_with_indices
    nn.functional.ctc_loss nn.functional.embedding_bag
    nn.functional.fractional_max_pool2d
    nn.functional.fractional_max_pool2d_with_indices nn.functional.fractional_max_pool3d
    nn.functional.fractional_max_pool3d_with_indices
    nn.functional.multi_margin_loss
    nn.functional.multilabel_margin_loss nn.functional.pdist orgqr ormqr quantile
    repeat_interleave segment_reduce svd vander
    """.split()
)
"""Public functions that do not work on device arrays yet; docs/gpu.md lists them."""

CASES = [(family, case) for family, case in all_cases() if not case.random and family != "creation"]


@pytest.mark.slow
def test_ops_give_the_same_on_the_device(formulas_only: None) -> None:
    """A few samples of every case. Functions that fail are listed; a listed one that works should
    leave the list.
    """
    failed, passed = {}, set()
    for _, case in CASES:
        for sample in case.samples(Make())[:3]:
            try:
                reason = _fails(case, sample)
            except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
                continue  # a sample of an error
            if reason is None:
                passed.add(case.name)
            else:
                failed[case.name] = reason
    assert {k: v for k, v in failed.items() if k not in UNSUPPORTED} == {}
    assert UNSUPPORTED <= set(failed), f"work now: {UNSUPPORTED - set(failed)}"
    assert len(passed - set(failed)) > 500


def test_hosted_primitives_exist() -> None:
    assert set(REGISTRY) >= HOSTED


# ------------------------------------------------------------------------------ training
def _train(place: str, make: Any, steps: int = 3) -> tuple[list[float], int]:
    mg.manual_seed(0)
    model, batch = make()
    model = model.to(place)
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-2)
    inputs, target = (t.to(place) for t in batch)
    losses, launches = [], 0
    for _ in range(steps):
        before = MACHINE.count
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), target)
        loss.backward()
        optimizer.step()
        launches = MACHINE.count - before
        losses.append(loss.item())
    return losses, launches


def _mlp() -> Any:
    model = nn.Sequential(
        nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )
    return model, (mg.randn(16, 8), mg.arange(16) % 4)


def _words() -> Any:
    model = nn.Sequential(nn.Embedding(11, 16), nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(),
                          nn.Linear(32, 11))  # fmt: skip
    return model, (mg.arange(12) % 11, mg.arange(12) * 3 % 11)


def _convolutions() -> Any:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(36, 4))  # fmt: skip
    return model, (mg.randn(4, 1, 8, 8), mg.arange(4))


@needs_emulator
@pytest.mark.parametrize(
    ("make", "budget"),
    [(_mlp, 45), (_words, 50), (_convolutions, 80)],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_training_through_generated_kernels(make: Any, budget: int) -> None:
    """Losses as on the CPU, and no more launches than there were when this was written."""
    want, _ = _train("cpu", make)
    with installed():
        got, launches = _train("cuda", make)
    np.testing.assert_allclose(got, want, rtol=2e-5)
    assert launches <= budget
