"""Names that programs import from where PyTorch's files are, and what they ask about PyTorch."""

from __future__ import annotations

import importlib
import math
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
LIBRARIES = (torch, minigrad)


# ---------------------------------------------------------------- import paths
def _files() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(torch.nn.modules.__path__) if m.name[0] != "_"]


@pytest.mark.parametrize("file", _files())
def test_modules_are_found_in_pytorchs_files(file: str) -> None:
    theirs = importlib.import_module(f"torch.nn.modules.{file}")
    names = [n for n in getattr(theirs, "__all__", ()) if n[0].isupper()]
    if not names:
        return
    ours = importlib.import_module(f"minigrad.nn.modules.{file}")
    for name in names:
        found = getattr(ours, name)
        assert found is getattr(minigrad.nn, name, found)
        assert getattr(minigrad.nn.modules, name, found) is found


@pytest.mark.parametrize(
    "base, module",
    [
        ("batchnorm._BatchNorm", lambda nn: nn.BatchNorm2d(3)),
        ("batchnorm._NormBase", lambda nn: nn.InstanceNorm1d(3)),
        ("conv._ConvNd", lambda nn: nn.ConvTranspose2d(1, 1, 1)),
        ("conv._ConvTransposeNd", lambda nn: nn.ConvTranspose1d(1, 1, 1)),
        ("dropout._DropoutNd", lambda nn: nn.Dropout2d()),
        ("instancenorm._InstanceNorm", lambda nn: nn.InstanceNorm2d(3)),
        ("loss._Loss", lambda nn: nn.MSELoss()),
        ("loss._WeightedLoss", lambda nn: nn.CrossEntropyLoss()),
        ("pooling._MaxPoolNd", lambda nn: nn.MaxPool3d(2)),
        ("padding._ReflectionPadNd", lambda nn: nn.ReflectionPad1d(1)),
        ("linear.NonDynamicallyQuantizableLinear", lambda nn: nn.MultiheadAttention(4, 2).out_proj),
    ],
)
def test_bases_without_a_public_name(base: str, module: Any) -> None:
    file, _, name = base.partition(".")
    for lib in LIBRARIES:
        cls = getattr(importlib.import_module(f"{lib.__name__}.nn.modules.{file}"), name)
        assert isinstance(module(lib.nn), cls)
        assert not isinstance(lib.nn.ReLU(), cls)


def test_sizes_as_tuples() -> None:
    for lib in LIBRARIES:
        u = importlib.import_module(f"{lib.__name__}.nn.modules.utils")
        assert u._pair(3) == (3, 3) and u._pair([1, 2]) == (1, 2) and u._triple((1,)) == (1,)
        assert u._single(2) == (2,) and u._quadruple(0) == (0,) * 4 and u._ntuple(5)(1) == (1,) * 5
        assert tuple(u._reverse_repeat_tuple((1, 2), 2)) == (2, 2, 1, 1)
        assert list(u._list_with_default([None, 7], [1, 2, 3])) == [2, 7]
        with pytest.raises(ValueError):
            u._list_with_default([1, 2], [1])


def test_prefixes_are_taken_off_state_dicts() -> None:
    for lib in LIBRARIES:
        u = importlib.import_module(f"{lib.__name__}.nn.modules.utils")
        net = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.BatchNorm1d(2))
        state = lib.nn.DataParallel(net).state_dict()
        u.consume_prefix_in_state_dict_if_present(state, "module.")
        assert set(state) == set(net.state_dict())
        net.load_state_dict(state)


# ---------------------------------------------------------------- trees
def test_trees() -> None:
    for lib in LIBRARIES:
        tree = importlib.import_module(f"{lib.__name__}.utils._pytree")
        nested = {"a": [1, (2, 3)], "b": 4}
        leaves, spec = tree.tree_flatten(nested)
        assert leaves == [1, 2, 3, 4] and spec.num_leaves == 4
        assert tree.tree_unflatten([5, 6, 7, 8], spec) == {"a": [5, (6, 7)], "b": 8}
        assert tree.tree_map(lambda x: x * 2, nested) == {"a": [2, (4, 6)], "b": 8}
        assert tree.tree_map(lambda x, y: x + y, [1, 2], [10, 20]) == [11, 22]
        assert tree.tree_map_only(int, str, [1, "x", 2.0]) == ["1", "x", 2.0]
        assert tree.tree_leaves([1, (2, 3)], is_leaf=lambda x: isinstance(x, tuple)) == [1, (2, 3)]
        assert tree.tree_all(lambda x: x > 0, nested) and not tree.tree_any(lambda x: x > 9, nested)
        assert tree.tree_structure([1, 2]) == tree.tree_structure([3, 4])
        assert tree.tree_structure([1, 2]) != tree.tree_structure((1, 2))
        with pytest.raises(ValueError):
            tree.tree_unflatten([1], spec)
        with pytest.raises(ValueError):
            tree.tree_map(lambda x, y: x, [1, 2], [1])
        assert tree.tree_map(lambda x, y: y, [1, 2], [1, (2, 3)]) == [1, (2, 3)]


# ---------------------------------------------------------------- functions of functions
def test_linearize() -> None:
    results = []
    for lib in LIBRARIES:
        x, z = lib.tensor([1.0, 2.0]), lib.tensor([3.0, 4.0])
        y, push = lib.func.linearize(lambda x, z: (x * z).sin(), x, z)
        first = push(lib.tensor([1.0, 0.0]), lib.tensor([0.0, 0.0]))
        second = push(lib.tensor([0.5, 1.0]), lib.tensor([2.0, -1.0]))
        assert not y.requires_grad and not first.requires_grad
        results.append([*y.tolist(), *first.tolist(), *second.tolist()])
        with pytest.raises((RuntimeError, ValueError)):
            push(lib.ones(3), lib.ones(3))
    assert results[1] == pytest.approx(results[0])


def test_control_flow_as_functions() -> None:
    x = minigrad.tensor([2.0])
    assert minigrad.cond(x.sum() > 1, lambda x: x * 2, lambda x: x, (x,)).item() == 4
    count, total = minigrad.while_loop(
        lambda i, s: i < 3, lambda i, s: (i + 1, s + i), (minigrad.tensor(0), minigrad.tensor(0))
    )
    assert (count.item(), total.item()) == (3, 3)


# ---------------------------------------------------------------- made for tests
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "complex64"])
def test_make_tensor(dtype: str) -> None:
    for lib in LIBRARIES:
        kind = getattr(lib, dtype)
        t = lib.testing.make_tensor(40, 3, dtype=kind, device="cpu")
        assert t.shape == (40, 3) and t.dtype is kind
        u = lib.testing.make_tensor((4, 3), dtype=kind, device="cpu", noncontiguous=True)
        assert u.shape == (4, 3) and not u.is_contiguous()
        if dtype != "bool":
            v = lib.testing.make_tensor(200, dtype=kind, device="cpu", low=1, high=3)
            real = v.real if v.is_complex() else v
            assert 1 <= real.min() and real.max() <= 3
        with pytest.raises(ValueError):
            lib.testing.make_tensor(2, dtype=lib.float32, device="cpu", low=2, high=1)
    t = minigrad.testing.make_tensor(300, dtype=minigrad.int64, low=-1, high=2, exclude_zero=True)
    assert set(t.tolist()) == {-1, 1}


# ---------------------------------------------------------------- what is only asked
def test_questions_about_a_compiler() -> None:
    c = minigrad.compiler
    assert not (c.is_compiling() or c.is_dynamo_compiling() or c.is_exporting())
    assert c.disable(len) is len and c.disable(recursive=False)(len) is len
    assert c.assume_constant_result(len) is len and c.list_backends() == ["inductor"]
    assert c.compile is minigrad.compile
    c.reset()
    with c.set_stance("force_eager"):
        pass
    assert c.set_stance("force_eager")(len) is len


def test_parts_that_are_not_there_say_so() -> None:
    assert not minigrad.onnx.is_in_onnx_export()
    with pytest.raises(RuntimeError, match="no ONNX export"):
        minigrad.onnx.export(None, None, "x")
    with pytest.raises(TypeError):
        minigrad.SymInt()
    assert not isinstance(3, minigrad.SymInt) and minigrad.sym_max(2, 3) == 3
    assert minigrad.overrides.is_tensor_like(minigrad.ones(1))
    assert not minigrad.overrides.has_torch_function((minigrad.ones(1),))
    with minigrad.autograd.set_multithreading_enabled(False):
        (minigrad.ones(1, requires_grad=True) * 2).backward()


def test_parallel_on_one_device() -> None:
    parallel = minigrad.nn.parallel
    net, x = minigrad.nn.Linear(2, 2), minigrad.ones(1, 2)
    assert parallel.data_parallel(net, x).tolist() == net(x).tolist()
    copies = parallel.replicate(net, [0, 1])
    results = parallel.parallel_apply(copies, [(x,), x])
    assert [r.tolist() for r in results] == [net(x).tolist()] * 2


def test_pooling_with_indices() -> None:
    for lib in LIBRARIES:
        x = lib.arange(16.0).reshape(1, 1, 4, 4)
        values, indices = lib.nn.functional.max_pool2d_with_indices(x, 2)
        assert indices.flatten().tolist() == [5, 7, 13, 15] == values.flatten().long().tolist()
        _, indices = lib.nn.functional.adaptive_max_pool2d_with_indices(x, 1)
        assert indices.item() == 15


# ---------------------------------------------------------------- weights from the network
def test_state_dicts_by_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file: URL, which needs no network."""
    import hashlib

    source = tmp_path / "net.pth"
    torch.save({"w": torch.ones(2)}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    named = source.rename(tmp_path / f"net-{digest[:8]}.pth")
    hub = minigrad.hub
    monkeypatch.setattr("minigrad.io.hub._directory", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert hub.get_dir() == str(tmp_path / "hub")
    hub.set_dir(tmp_path / "cache")
    state = hub.load_state_dict_from_url(named.as_uri(), progress=False, check_hash=True)
    assert state["w"].tolist() == [1.0, 1.0]
    kept = tmp_path / "cache" / "checkpoints" / named.name
    assert kept.exists()
    named.unlink()
    assert hub.load_state_dict_from_url(named.as_uri())["w"].tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="invalid hash value"):
        hub.download_url_to_file(kept.as_uri(), str(tmp_path / "x"), "0" * 8, progress=False)
    assert not (tmp_path / "x").exists() and not list(tmp_path.glob("*.partial"))


# ---------------------------------------------------------------- what random programs found
def _slopes(lib: Any, function: Any, numbers: list[float], *args: Any, **named: Any) -> Any:
    x = lib.tensor(numbers, requires_grad=True)
    function(x, *args, **named).sum().backward()
    return x.grad


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.cat([lib.ones(0), lib.ones(0)], dim=1),
        lambda lib: lib.linalg.matrix_power(lib.full((2, 2), float("nan")), 0),
        lambda lib: lib.nn.functional.cosine_similarity(
            lib.ones(2), lib.tensor([1, 2]), dim=0
        ).round(decimals=6),
        lambda lib: lib.cdist(lib.ones(2, 3), lib.ones(2, 3).double()),
        lambda lib: lib.linalg.cross(lib.ones(3), lib.ones(3).double(), dim=0),
        lambda lib: lib.topk(lib.tensor([True]), 1),
        lambda lib: lib.tensor([True, False]).pow(False),
        lambda lib: lib.tensor([True, False]).pow(True),
        lambda lib: lib.tensor([True]).pow(-1),
        lambda lib: lib.ones(0, dtype=lib.int64) // 0,
        lambda lib: lib.ones(1, dtype=lib.int64) // 0,
        lambda lib: lib.linalg.slogdet(lib.full((2, 2), float("nan"))),
        lambda lib: lib.linalg.cholesky(lib.tensor([[float("inf"), 1.0], [1.0, 2.0]])),
        lambda lib: lib.asarray(lib.ones(1, requires_grad=True), requires_grad=False).requires_grad,
        lambda lib: lib.diff(lib.tensor([[True]]), n=0, dim=0),
        lambda lib: lib.diff(lib.ones(3), n=0, dim=7),
        lambda lib: lib.tensor([True, False]) ** False,
        lambda lib: lib.tensor([True, False]) ** True,
        lambda lib: lib.tensor([True]) ** lib.tensor(True),
        lambda lib: True ** lib.tensor([True]),
        lambda lib: lib.tensor([False]).pow_(True),
        lambda lib: [
            lib.ones(2, 3).mv(lib.ones(3))._is_view(),
            lib.ones(3).dot(lib.ones(3))._is_view(),
        ],
        lambda lib: lib.full((3, 2), 200, dtype=lib.uint8).sum_to_size(2),
        lambda lib: lib.addr(*[lib.tensor([True])] * 3, beta=2, alpha=3),
        lambda lib: lib.addr(lib.tensor([1]), *[lib.tensor([True])] * 2, alpha=True),
        lambda lib: lib.addbmm(lib.ones(2, 2).char(), *[lib.full((3, 2, 2), 9).char()] * 2),
        lambda lib: lib.nn.functional.avg_pool2d(lib.arange(-40, 41).view(1, 9, 9), 7, 1, 3),
        lambda lib: lib.nn.functional.avg_pool1d(lib.arange(-9, 9).view(1, 2, 9), 7, 3),
        lambda lib: lib.nn.functional.avg_pool3d(lib.ones(1, 2, 2, 2).int(), 2),
        lambda lib: lib.logaddexp(lib.tensor([1 + 1j, -lib.inf]), lib.tensor([1 - 2j, -lib.inf])),
        lambda lib: lib.logcumsumexp(lib.tensor([[1 + 1j, 2]], dtype=lib.complex128), 1),
        lambda lib: lib.linalg.vander(lib.tensor(2.0), N=3),
        lambda lib: [lib.add(2, 3, alpha=2), lib.sub(2.5, 1), lib.mul(True, True), lib.div(5, 2)],
        lambda lib: [lib.div(-5, 2, rounding_mode=r) for r in ("floor", "trunc")],
        lambda lib: lib.sub(True, True),
        lambda lib: lib.add("1", 1),
        lambda lib: lib.rsub(2, lib.ones(2)),
        lambda lib: lib.ones(2, dtype=lib.uint8).scatter(0, lib.tensor([0]), -1.5),
        lambda lib: _slopes(lib, lib.special.logit, [0.0, 0.3, math.nan], eps=0.1),
        lambda lib: _slopes(
            lib, lib.nn.functional.huber_loss, [-math.inf, 2.0], lib.zeros(2), reduction="none"
        ),
        lambda lib: _slopes(
            lib, lib.nn.functional.smooth_l1_loss, [math.inf, 0.0], lib.ones(2), reduction="none"
        ),
        lambda lib: lib.autograd.grad((x := lib.ones((), requires_grad=True)).prod(), x),
        lambda lib: [lib.ones(2, 3).sum(axis=0, keepdims=True), lib.eye(3).argmax(axis=0)],
        lambda lib: [
            lib.eye(3).max(axis=1, keepdims=True).values,
            lib.stack([lib.ones(2)], axis=1),
        ],
        lambda lib: [
            *map(len, (lib.eye(2).softmax(axis=0), lib.eye(3, 2).std(axis=1, keepdims=True)))
        ],
        lambda lib: [lib.eye(2).amax(axis=0), lib.eye(2).all(axis=1), lib.eye(2).prod(axis=1)],
        lambda lib: lib.softmax(lib.eye(2)),
        lambda lib: lib.max(2, 3),
        lambda lib: lib.polar(lib.ones(2), 2),
        lambda lib: lib.complex(lib.zeros(1, 0, 3), lib.zeros(1, 0, 3)),
        lambda lib: lib.nn.functional.adaptive_avg_pool2d(lib.ones(2, 2), (2, 2)),
        lambda lib: lib.nn.functional.multi_margin_loss(*[lib.ones(5, 4)] * 2, reduction="x"),
        lambda lib: lib.nn.functional.multilabel_margin_loss(lib.ones(0), lib.ones(0)),
        lambda lib: lib.nn.functional.margin_ranking_loss(*[lib.arange(3)] * 3),
        lambda lib: lib.nn.functional.kl_div(*[lib.ones(2)] * 2, reduction="batchmean"),
        lambda lib: lib.tensordot(*[lib.ones(2, 1, 2).byte()] * 2, ((0, 1), (2, 1))),
        lambda lib: lib.tensor([-1]).expand(2).copy_(lib.tensor([-1]).expand(2)),
        lambda lib: (v := lib.tensor([-1]).expand(2)).copy_(v[()]),
        lambda lib: lib.nn.functional.adaptive_max_pool2d(lib.ones(1, 2, 2).bool(), 1),
        lambda lib: lib.nn.functional.adaptive_avg_pool2d(lib.ones(1, 2, 2).bool(), 1),
        lambda lib: lib.unravel_index(lib.tensor([3], dtype=lib.uint8), (2, 400)),
        lambda lib: lib.slice_scatter(
            lib.ones(2, 2), lib.zeros(2, 1), 1, 0, 1, out=lib.zeros(2, 2)
        ),
        lambda lib: lib.nn.functional.linear(*[lib.ones(2, 2)] * 2, out=lib.zeros(2, 2)),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_corners(call: Any) -> None:
    outcomes = []
    for lib in LIBRARIES:
        try:
            found = call(lib)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            kind = type(error).__name__.lstrip("_")
            outcomes.append(kind)
            continue
        parts = found if isinstance(found, (tuple, list)) else [found]
        outcomes.append(str([getattr(p, "tolist", lambda p=p: p)() for p in parts]))
    assert outcomes[1] == outcomes[0]


def _random(lib: Any, *shape: int, dtype: str = "complex128") -> Any:
    rng = np.random.default_rng(sum(shape))
    numbers = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return lib.tensor(numbers, dtype=getattr(lib, dtype), requires_grad=True)


COMPLEX: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "conv1d": (lambda f, x, w, b: f.conv1d(x, w, b, padding=1), ((2, 4, 5), (2, 4, 3), (2,))),
    "conv2d": (lambda f, x, w: f.conv2d(x, w, groups=2, stride=2), ((1, 2, 5, 4), (4, 1, 2, 2))),
    "conv_transpose2d": (
        lambda f, x, w: f.conv_transpose2d(x, w, None, 2, 1, 1), ((1, 2, 3, 3), (2, 2, 3, 2)),
    ),
    "rms_norm": (lambda f, x, w: f.rms_norm(x, (3,), w), ((2, 3), (3,))),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_gradients_of_complex_layers(name: str) -> None:
    call, shapes = COMPLEX[name]
    inputs = [_random(minigrad, *shape) for shape in shapes]
    function = lambda *xs: call(minigrad.nn.functional, *xs)  # noqa: E731
    assert minigrad.autograd.gradcheck(function, inputs)
    assert minigrad.autograd.gradgradcheck(function, inputs)
    slopes = []
    for lib in LIBRARIES:
        xs = [_random(lib, *shape) for shape in shapes]
        y = call(lib.nn.functional, *xs)
        y.backward(_random(lib, *y.shape).detach())
        slopes.append([t.detach().numpy() for t in (y, *[x.grad for x in xs])])
    for a, b in zip(*slopes, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["logaddexp", "ldexp", "sinc", "logcumsumexp", "logsumexp"])
def test_gradients_of_complex_functions(name: str) -> None:
    pair = name in ("logaddexp", "ldexp")
    inputs = [_random(minigrad, 2, 3), _random(minigrad, 3)][: 1 + pair]
    more = (1,) if name.endswith("sumexp") else ()
    assert minigrad.autograd.gradcheck(lambda *xs: getattr(minigrad, name)(*xs, *more), inputs)


def test_the_value_of_index_fill_counts_once_for_each_slice() -> None:
    slopes = []
    for lib in LIBRARIES:
        x, v = lib.zeros(3, 3, requires_grad=True), lib.tensor(2.0, requires_grad=True)
        y = x.index_fill(1, lib.tensor([1, 1, 2]), v) + (x * 1).index_fill_(
            0, lib.tensor([1, 1]), v
        )
        (y * lib.arange(9.0).view(3, 3)).sum().backward()
        slopes.append((x.grad.tolist(), v.grad.item()))
    assert slopes[0] == slopes[1]


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
def test_shuffles_by_one_copy(name: str) -> None:
    for lib in LIBRARIES:
        x = lib.ones(1, 4, 2, 2)
        getattr(lib.nn.functional, name)(x, 1).zero_()
        assert x.sum() == 16


def test_slopes_where_nan_is() -> None:
    results = []
    for lib in LIBRARIES:
        x = lib.tensor([float("inf"), float("nan"), 1.0], requires_grad=True)
        lib.nn.functional.l1_loss(x, x.detach().clone(), reduction="sum").backward()
        z = lib.tensor([-2.0, -3.0], requires_grad=True)
        (lib.special.xlog1py(z, z) * 0).sum().backward()
        results.append([x.grad.tolist(), z.grad.isnan().tolist()])
    assert results[1] == results[0]


def test_written_values_with_leading_ones() -> None:
    """Their gradient has their shape, though writing passes over the ones."""
    results = []
    for lib in LIBRARIES:
        x = lib.ones(4, 3, requires_grad=True)
        v = lib.tensor([[2.0]], requires_grad=True)
        y = x * 3
        y[[2, 0, 1], 2] = v
        (y * y).sum().backward()
        results.append([v.grad.tolist(), x.grad.tolist()])
    assert results[1] == results[0] == [[[12.0]], results[0][1]]


def test_what_random_programs_found() -> None:
    """nan in a determinant, dimensions of empty rolls, nan among the gradients of Rprop."""
    found = []
    for lib in LIBRARIES:
        x = lib.tensor([[1.0, math.nan], [2.0, 3.0]], requires_grad=True)
        lib.linalg.det(x).backward()
        rolled = [lib.ones(4, 4, 0).roll(1, 3), lib.ones(0).roll(3, -2)]
        p = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        optimizer = lib.optim.Rprop([p], lr=0.1)
        for g in ([math.nan, 1.0, -1.0], [1.0, math.nan, -1.0], [1.0, 1.0, -1.0]):
            p.grad = lib.tensor(g)
            optimizer.step()
        values = [x.grad.numpy(), p.detach().numpy()]
        found.append((values, [tuple(y.shape) for y in rolled]))
    (ours, our_shapes), (theirs, their_shapes) = found
    assert our_shapes == their_shapes
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
