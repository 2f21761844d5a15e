"""`save` and `load`: what is saved comes back, exactly; the files are plain safetensors files."""

from __future__ import annotations

import io
import json
import math
import os
import random
import stat
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backend import dtypes
from minigrad.core.tensor import Tensor, wrap
from minigrad.io._files import CheckpointError
from minigrad.io.checkpoint import load, load_file, load_metadata, save, save_file, save_npz

safetensors = pytest.importorskip("safetensors.numpy")

DTYPES = [d.name for d in dtypes.ALL]
SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0, 3), (2, 1, 3, 2)]


def sample(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Numbers of a dtype, with its extremes where there is room."""
    rng = np.random.default_rng(seed)
    kind = dtypes.dtype_by_name(dtype)
    x = rng.standard_normal(shape) * 50
    if kind.is_complex:
        x = x + 1j * rng.standard_normal(shape)
    x = np.asarray(x).astype(kind.np)
    if kind.is_floating_point and x.size > 3:
        x.reshape(-1)[:4] = [math.nan, math.inf, -math.inf, -0.0]
    return x


def roundtrip(obj: Any, **options: Any) -> Any:
    buffer = io.BytesIO()
    save(obj, buffer)
    buffer.seek(0)
    return load(buffer, **options)


def same(a: Any, b: Any) -> None:
    """Equal in type, order, value, to the bit."""
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        same(a._data, b._data)
        assert a.requires_grad == b.requires_grad
    elif isinstance(a, (np.ndarray, np.generic)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
    elif isinstance(a, dict):
        for (ka, va), (kb, vb) in zip(a.items(), b.items(), strict=True):
            same(ka, kb)
            same(va, vb)
    elif isinstance(a, (list, tuple)):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, float):
        assert a == b or (math.isnan(a) and math.isnan(b))
        assert math.copysign(1, a) == math.copysign(1, b) or math.isnan(a)
    else:
        assert a == b


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_dtype_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    t = wrap(sample(dtype, shape))
    same(roundtrip(t), t)
    same(roundtrip({"x": t})["x"], t)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex128", "bool"])
def test_layouts(dtype: str) -> None:
    x = sample(dtype, (4, 6, 2))
    views = [x.T, x[::2, 1:, 0], x[:, ::-1], np.broadcast_to(x[:1], (3, 6, 2)), x[1, 2, 1]]
    for view in views:
        got = roundtrip(wrap(np.asarray(view)))
        same(got._data, np.array(view, order="C"))
        assert got.is_contiguous()


def test_loaded_tensors_are_ordinary_ones() -> None:
    got = roundtrip({"w": wrap(np.ones((2, 2), np.float32))})["w"]
    assert type(got._data) is np.ndarray
    assert got._data.flags.writeable and got._data.flags.aligned and got.is_leaf
    got._data[0, 0] = 5


def training_checkpoint() -> dict[str, Any]:
    """What a training script keeps: states, counters, random generators, settings."""
    w, b = wrap(sample("float32", (3, 2))), wrap(sample("float32", (3,), 1))
    moments = {i: {"step": wrap(np.array(7.0)), "exp_avg": wrap(w._data + i)} for i in range(2)}
    model = OrderedDict(weight=w, bias=b)
    versions = OrderedDict({"": {"version": 1}, "bn": {"version": 2}})
    model._metadata = versions  # type: ignore[attr-defined]
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "foreach": None, "amsgrad": False, "params": [0, 1]}
    return {
        "model": model,
        "optimizer": {"state": moments, "param_groups": [group]},
        "step": 12345678901234567890,
        "best": float("-inf"),
        "history": [0.1, -0.0, float("nan"), 1e-310],
        "rng": {
            "numpy": np.random.default_rng(3).bit_generator.state,
            "numpy_old": np.random.get_state(),
            "python": random.getstate(),
            "minigrad": wrap(np.frombuffer(b"12345", np.uint8).copy()),
        },
        "config": {
            "name": "größe \ud800 \0",
            "dtype": mg.bfloat16,
            "device": mg.device("cuda:1"),
            "shape": mg.Size([2, 3]),
        },
        "misc": [None, True, b"\x00\xff", bytearray(b"x"), 1 - 2j, complex("inf-0j"), (), [], {}],
        "sets": [{1, 2}, frozenset({"a"}), set(), Counter(a=2)],
        "numpy": [
            np.float64(0.1), np.int8(-3), np.bool_(True), np.complex64(1j), np.str_("s"),
            np.dtype("f4"), sample("float64", (2, 2)), np.arange(3, dtype=np.uint64),
        ],
        (1, "a"): 0, None: 1, 2.5: 2, True: 3,
    }  # fmt: skip


def test_a_training_checkpoint() -> None:
    obj = training_checkpoint()
    got = roundtrip(obj)
    same(got, obj)
    same(got["model"]._metadata, obj["model"]._metadata)


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | arrays_of.arrays(
        st.sampled_from([np.float32, np.int64, np.bool_]),
        arrays_of.array_shapes(min_dims=0, min_side=0),
    ).map(wrap),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text(), st.integers()), inner)
    ),
    max_leaves=12,
)  # fmt: skip


@given(TREES)
def test_any_tree(tree: Any) -> None:
    same(roundtrip(tree), tree)


# ---------------------------------------------------------------- the file is a plain one
def test_a_flat_state_dict_is_a_plain_file(tmp_path: Path) -> None:
    state = OrderedDict((f"{d}.weight", wrap(sample(d, (2, 3)))) for d in DTYPES)
    save(state, tmp_path / "m")
    plain = safetensors.load_file(tmp_path / "m")
    assert set(plain) == set(state)
    for name, t in state.items():
        if t.dtype.is_complex:
            np.testing.assert_array_equal(plain[name], np.stack([t._data.real, t._data.imag], -1))
        else:
            same(plain[name], t._data)
    same(load(tmp_path / "m"), state)


def test_pytorchs_reader(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors import safe_open
    from safetensors.torch import load_file as torch_load_file

    state = {d: wrap(sample(d, (2, 3))) for d in DTYPES if "complex" not in d}
    save(state, tmp_path / "m")
    for name, t in torch_load_file(tmp_path / "m").items():
        assert t.dtype == getattr(torch, name)
        assert t.view(torch.uint8).numpy().tobytes() == state[name]._data.tobytes()
    with safe_open(tmp_path / "m", "pt") as opened:
        assert opened.metadata()["format"] == "pt"  # what the transformers library asks for


def test_files_of_other_writers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as torch_save_file

    tensors = {
        d: torch.arange(6).reshape(2, 3).to(getattr(torch, d)) for d in DTYPES if d != "complex128"
    }
    tensors |= {
        "u16": torch.ones(2, dtype=torch.uint16),
        "f8": torch.ones(2).to(torch.float8_e4m3fn),
    }
    torch_save_file(tensors, tmp_path / "m", {"epoch": "3"})
    got = load(tmp_path / "m")
    assert set(got) == set(tensors)
    for d in set(tensors) - {"u16", "f8"}:
        assert got[d].dtype.name == d
        assert got[d].tolist() == tensors[d].tolist()
    assert isinstance(got["u16"], np.ndarray) and got["u16"].dtype == np.uint16
    assert isinstance(got["f8"], np.ndarray) and got["f8"].astype(float).tolist() == [1, 1]
    assert load_metadata(tmp_path / "m") == {"epoch": "3"}


def test_plain_helpers(tmp_path: Path) -> None:
    w = wrap(sample("bfloat16", (2, 3)))
    tensors = {"w": w, "tied": w, "c": wrap(sample("complex128", (3,))), "s": wrap(np.array(2.0))}
    save_file(tensors, tmp_path / "m", {"epoch": "3", "format": "pt"})
    assert load_metadata(tmp_path / "m") == {"epoch": "3", "format": "pt"}
    for got in (load_file(tmp_path / "m"), load(tmp_path / "m")):
        assert set(got) == set(tensors)
        for name in got:
            same(got[name], tensors[name])
    with pytest.raises(ValueError, match="expected a dict"):
        save_file([w], tmp_path / "n")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'w': list"):
        save_file({"w": [1]}, tmp_path / "n")  # type: ignore[dict-item]
    assert not (tmp_path / "n").exists()


def test_names_are_the_joined_keys_made_unique(tmp_path: Path) -> None:
    x = [wrap(np.full(2, i, np.float32)) for i in range(7)]
    obj = {
        "a": {"b": x[0]},
        "a.b": x[1],
        "__metadata__": x[2],
        "": x[3],
        "l": [x[4]],
        "format": x[5],
        "a.b#2": x[6],
    }
    save(obj, tmp_path / "m")
    same(load(tmp_path / "m"), obj)
    names = set(safetensors.load_file(tmp_path / "m"))
    assert names == {"a.b", "a.b#2", "__metadata__#2", "", "l.0", "format", "a.b#2#2"}


# ---------------------------------------------------------------- shared memory
def test_tied_weights_are_stored_once_and_share_again(tmp_path: Path) -> None:
    w = wrap(sample("float32", (50, 40)))
    state = OrderedDict(wte=w.detach(), head=w.detach(), other=wrap(sample("float32", (2,))))
    save(state, tmp_path / "m")
    assert os.path.getsize(tmp_path / "m") < 50 * 40 * 4 + 2000
    got = load(tmp_path / "m")
    same(got, state)
    assert got["wte"] is not got["head"]
    got["wte"]._data[0, 0] = 77
    assert got["head"]._data[0, 0] == 77
    # the name left out is noted as safetensors.torch.save_model notes it
    metadata = json.loads(header_of(tmp_path / "m"))["__metadata__"]
    assert metadata["head"] == "wte"


def header_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")]


def test_safetensors_load_model_reads_tied_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_model

    w = wrap(sample("int8", (3, 2)).astype(np.float32))
    save({"a.weight": w, "b.weight": w}, tmp_path / "m")
    model = torch.nn.ModuleDict(
        {"a": torch.nn.Linear(2, 3, False), "b": torch.nn.Linear(2, 3, False)}
    )
    model["b"].weight = model["a"].weight
    assert load_model(model, tmp_path / "m") == (set(), [])
    np.testing.assert_array_equal(model["b"].weight.detach().numpy(), w._data)


def test_one_object_stays_one_object() -> None:
    w = wrap(np.ones(3, np.float32))
    got = roundtrip([w, {"again": w}, wrap(np.zeros(1)), w])
    assert got[0] is got[1]["again"] is got[3]
    assert got[2] is not got[0]


def test_views_share_again() -> None:
    flat = np.arange(24, dtype=np.float32)
    obj = {
        "tail": wrap(flat[20:]),
        "matrix": wrap(flat[:20].reshape(4, 5)),
        "transposed": wrap(flat[:20].reshape(4, 5).T),
        "steps": wrap(flat[1:20:3]),
        "flat": wrap(flat),
        "same_steps": wrap(flat[1:20:3]),
        "copy": wrap(flat.copy()),
        "backwards": wrap(flat[::-1]),
        "empty": wrap(flat[:0]),
    }
    got = roundtrip(obj)
    for name, t in obj.items():
        np.testing.assert_array_equal(got[name]._data, t._data, err_msg=name)
    got["flat"]._data[...] = -1
    shared = {name for name, t in got.items() if t.numel() and (t._data == -1).all()}
    assert shared == {"tail", "matrix", "transposed", "steps", "flat", "same_steps"}


def test_views_are_complete_for_other_readers(tmp_path: Path) -> None:
    flat = wrap(np.arange(6, dtype=np.float32))
    save({"flat": flat, "part": wrap(flat._data[2:4])}, tmp_path / "m")
    np.testing.assert_array_equal(safetensors.load_file(tmp_path / "m")["part"], [2, 3])


def test_neighbours_do_not_share() -> None:
    flat = np.arange(10, dtype=np.float32)
    a, b, c = roundtrip([wrap(flat[:5]), wrap(flat[5:]), wrap(flat[3:7])])
    a._data[...] = b._data[...] = -1
    np.testing.assert_array_equal(c._data, [3, 4, 5, 6])


EDGES = st.integers(0, 20)


@given(
    st.lists(st.tuples(EDGES, EDGES, st.integers(1, 3)), max_size=8),
    st.randoms(),
)
def test_any_slices_of_one_memory(cuts: list[tuple[int, int, int]], shuffler: Any) -> None:
    base = np.arange(20, dtype=np.int16)
    obj = [wrap(base[i:j:k]) for i, j, k in cuts] + [wrap(base)] * shuffler.randint(0, 1)
    shuffler.shuffle(obj)
    got = roundtrip(obj)
    for a, b in zip(got, obj, strict=True):
        np.testing.assert_array_equal(a._data, b._data)
    whole = [t for t in got if t.numel() == 20]
    if whole:  # everything lies inside it
        whole[0]._data[...] = -7
        assert all((t._data == -7).all() for t in got)


# ---------------------------------------------------------------- gradients, parameters, modes
def test_requires_grad_is_kept() -> None:
    w = wrap(np.ones(2, np.float32), True)
    got = roundtrip({"leaf": w, "result": w * 2, "plain": w.detach()})
    assert [t.requires_grad for t in got.values()] == [True, True, False]
    assert all(t.is_leaf for t in got.values())


def test_parameters_stay_parameters() -> None:
    p = mg.nn.Parameter(wrap(np.ones((2, 3), np.float32)))
    frozen = mg.nn.Parameter(wrap(np.arange(3)), requires_grad=False)
    got = roundtrip({"p": p, "again": p, "frozen": frozen, "plain": p.detach()})
    assert [type(t) for t in got.values()] == [mg.nn.Parameter] * 3 + [Tensor]
    assert [t.requires_grad for t in got.values()] == [True, True, False, False]
    assert got["again"] is got["p"]
    got["p"]._data[...] = 4
    assert (got["plain"]._data == 4).all()


def test_a_training_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Interrupted after 3 of 6 steps and loaded into new objects: the same to the bit."""

    def build() -> tuple[Any, Any]:
        mg.manual_seed(0)
        model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 1))
        return model, mg.optim.AdamW(model.parameters(), lr=0.05)

    def train(model: Any, optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(mg.randn(8, 3)).square().mean().backward()
            optimizer.step()

    model, optimizer = build()
    train(model, optimizer, 3)
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    save({**states, "rng": mg.get_rng_state(), "step": 3}, tmp_path / "m")
    train(model, optimizer, 3)

    other, other_optimizer = build()
    checkpoint = load(tmp_path / "m")
    assert other.load_state_dict(checkpoint["model"]) and checkpoint["step"] == 3
    other_optimizer.load_state_dict(checkpoint["optimizer"])
    mg.set_rng_state(checkpoint["rng"])
    train(other, other_optimizer, 3)
    same(other.state_dict(), model.state_dict())
    same(other_optimizer.state_dict(), optimizer.state_dict())


def test_saving_leaves_the_tensors_alone() -> None:
    w = wrap(np.ones((2, 3), np.float32).T, True)
    before = w._data
    roundtrip({"w": w})
    assert w._data is before and w._counter[0] == 0


# ---------------------------------------------------------------- what cannot be saved
class Thing:
    pass


class WithState:
    def state_dict(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (Thing(), r"obj cannot be stored.*Thing"),
        ({"a": [1, {"hook": Thing()}]}, r"obj\['a'\]\[1\]\['hook'\] cannot be stored.*Thing"),
        ({"model": WithState()}, r"(?s)obj\['model'\].*WithState.*state_dict\(\)"),
        ([len], r"obj\[0\].*builtin_function_or_method"),
        ({Thing(): 1}, r"obj\[<.*Thing"),
        ({"d": Path("x")}, r"obj\['d'\].*Path"),
        ({"d": np.array(["2020"], "M8[Y]")}, r"'d'.*datetime64"),
        ({"d": np.array([None])}, r"'d'.*object"),
        ([np.longdouble(1)], r"obj\[0\].*longdouble"),
    ],
)
def test_what_cannot_be_stored_is_named(tmp_path: Path, obj: Any, says: str) -> None:
    path = tmp_path / "m"
    save({"old": 1}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=says):
        save(obj, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m"]


def test_subclasses_of_containers_are_named() -> None:
    from collections import defaultdict, namedtuple

    with pytest.raises(TypeError, match=r"(?s)obj\['s'\].*defaultdict.*plain dict"):
        save({"s": defaultdict(int)}, io.BytesIO())
    with pytest.raises(TypeError, match=r"(?s)Point.*plain tuple"):
        save([namedtuple("Point", "x y")(1, 2)], io.BytesIO())


def test_an_object_inside_itself() -> None:
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    with pytest.raises(ValueError, match=r"obj\['a'\]\[0\] contains itself"):
        save(loop, io.BytesIO())
    twice = [1]
    assert roundtrip([twice, twice]) == [[1], [1]]
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="too deeply"):
        save(deep, io.BytesIO())


def test_too_much_outside_of_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.io import _safetensors

    monkeypatch.setattr(_safetensors, "MAX_HEADER", 10_000)
    save({"x": "a" * 9_000}, tmp_path / "m")
    with pytest.raises(ValueError, match="at most 10000 bytes"):
        save({"x": "a" * 10_000}, tmp_path / "m")
    with pytest.raises(ValueError, match="at most 10000 bytes"):
        save({f"name {i}": wrap(np.zeros(1)) for i in range(100)}, tmp_path / "m")
    assert os.listdir(tmp_path) == ["m"] and load(tmp_path / "m")["x"] == "a" * 9_000


# ---------------------------------------------------------------- paths and files
def test_paths_and_binary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    obj = {"w": wrap(np.ones(2))}
    for path in ("a", Path("b.pt"), b"c.npz", str(tmp_path / "d")):
        save(obj, path)
        same(load(path), obj)
    with open("e", "wb") as f:
        save(obj, f)
    with open("e", "rb") as f:
        same(load(f), obj)
    with open("e", "rb") as f, open("e", "rb", buffering=0) as raw:
        same(load(f), obj)
        same(load(raw), obj)
    assert sorted(os.listdir()) == ["a", "b.pt", "c.npz", "d", "e"]


def test_a_stream_is_read_from_where_it_stands() -> None:
    buffer = io.BytesIO(b"before")
    buffer.seek(6)
    save([1], buffer)
    buffer.seek(6)
    assert load(buffer) == [1]

    class OnlyRead:
        def __init__(self, data: bytes):
            self.data = data

        def read(self) -> bytes:
            return self.data

    assert load(OnlyRead(buffer.getvalue()[6:])) == [1]


def test_errors_about_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        save([1], tmp_path / "none" / "m")
    with pytest.raises(IsADirectoryError):
        save([1], tmp_path)
    with pytest.raises(AttributeError, match="int"):
        load(5)
    with pytest.raises(AttributeError, match="int"):
        save([1], 5)
    with pytest.raises(TypeError, match="binary"):
        load(io.StringIO("text"))
    with pytest.raises(RuntimeError, match="pickle"):
        load(io.BytesIO(), pickle_module=json)


def test_links_and_permissions(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "m", tmp_path / "link"
    save([1], target)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    target.chmod(0o640)
    link.symlink_to(target)
    save([2], link)
    assert link.is_symlink() and load(target) == [2]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path / "real") == ["m"]


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    save([1], pipe)
    reader.join()
    assert load(io.BytesIO(got[0])) == [1]
    assert stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    save([1], path)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors, "save_file", fail)
    with pytest.raises(OSError, match="No space"):
        save([2], path)
    assert load(path) == [1] and os.listdir(tmp_path) == ["m"]


def test_mmap(tmp_path: Path) -> None:
    path = tmp_path / "m"
    obj = {d: wrap(sample(d, (3, 5))) for d in DTYPES} | {"s": 1, "e": wrap(np.zeros((0, 2)))}
    save(obj, path)
    before = path.read_bytes()
    got = load(path, mmap=True)
    same(got, obj)
    got["float32"]._data[...] = 1  # a copy of the page, not the file
    assert type(got["float32"]._data) is np.ndarray
    assert path.read_bytes() == before
    save({"new": 1}, path)  # the mapped file stays as it was
    same(got["int64"], obj["int64"])
    with pytest.raises(ValueError, match="path"):
        load(io.BytesIO(before), mmap=True)


def test_unaligned_files_can_be_mapped(tmp_path: Path) -> None:
    x = np.arange(4, dtype=np.float64)
    entries = {
        "b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "x": {"dtype": "F64", "shape": [4], "data_offsets": [1, 33]},
    }
    header = json.dumps(entries).encode()
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header + b"\7" + x.tobytes())
    for mmap in (False, True):
        got = load(tmp_path / "m", mmap=mmap)["x"]
        assert got._data.flags.aligned and got.tolist() == [0, 1, 2, 3]


# ---------------------------------------------------------------- devices
def test_map_location_to_the_cpu() -> None:
    obj = {"w": wrap(np.ones(2, np.float32))}
    seen = []

    def place(storage: Tensor, location: str) -> Tensor:
        seen.append((storage.numel(), location))
        return storage

    for where in (
        "cpu",
        mg.device("cpu"),
        {"cuda:0": "cpu"},
        place,
        lambda storage, location: None,
    ):
        same(roundtrip(obj, map_location=where), obj)
    assert seen == [(8, "cpu")]


@pytest.mark.skipif(mg.cuda.is_available(), reason="there is a CUDA device")
def test_tensors_saved_on_a_gpu(tmp_path: Path) -> None:
    save_with_device(tmp_path / "m", "cuda:0")
    with pytest.raises(RuntimeError, match=r"cuda:0.*(?s:.)*map_location='cpu'"):
        load(tmp_path / "m")
    for where in ("cpu", {"cuda:0": "cpu"}, lambda storage, location: storage):
        assert load(tmp_path / "m", map_location=where)["w"].tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="cuda"):
        load(tmp_path / "m", map_location="cuda")
    with pytest.raises(RuntimeError, match="mps"):
        load(tmp_path / "m", map_location="mps")
    with pytest.raises(TypeError, match="map_location"):
        load(tmp_path / "m", map_location=3)  # type: ignore[arg-type]


def save_with_device(path: Path, device: str) -> None:
    """What `save` writes on a machine with a GPU."""
    from minigrad.io import _safetensors

    tree = {"version": 1, "root": {"dict": [["w", {"tensor": "w", "device": device}]]}}
    _safetensors.write(path, {"w": np.array([1, 2.0])}, {"minigrad.tree": json.dumps(tree)})


@pytest.mark.gpu
def test_gpu_tensors_go_back_to_their_gpu() -> None:
    w = wrap(np.arange(6, dtype=np.float32)).to("cuda")
    got = roundtrip({"w": w, "tied": w.detach(), "part": wrap(w._data[2:4])})
    assert got["w"].is_cuda and got["w"].tolist() == w.tolist()
    got["w"]._data[...] = -1
    assert got["tied"].tolist() == [-1] * 6 and got["part"].tolist() == [-1] * 2
    assert not roundtrip({"w": w}, map_location="cpu")["w"].is_cuda


# ---------------------------------------------------------------- NumPy's files
def test_npz_and_npy(tmp_path: Path) -> None:
    tensors = {d: wrap(sample(d, (2, 3))) for d in DTYPES if d != "bfloat16"}
    tensors |= {
        "file": wrap(np.array(1.0)),
        "a/b": wrap(np.zeros((0, 2))),
        "f": wrap(np.ones((3, 2)).T),
    }
    for compressed in (False, True):
        save_npz(tensors, tmp_path / "m.npz", compressed=compressed)
        with np.load(tmp_path / "m.npz", allow_pickle=False) as plain:
            assert set(plain.files) == set(tensors)
        got = load(tmp_path / "m.npz")
        for name, t in tensors.items():
            same(got[name]._data, np.array(t._data, order="C"))
    save_npz({"x": np.arange(3), "y": [1, 2]}, buffer := io.BytesIO())
    buffer.seek(0)
    assert load(buffer)["y"].tolist() == [1, 2]
    np.savez_compressed(
        tmp_path / "n.npz",
        x=np.float32([1, 2]),
        text=np.array(["a"]),
        big=np.arange(2, dtype=">i4"),
    )
    got = load(tmp_path / "n.npz", mmap=True)
    assert got["x"].tolist() == [1, 2] and got["text"].tolist() == ["a"]
    assert isinstance(got["text"], np.ndarray) and got["big"].tolist() == [0, 1]
    np.savez(tmp_path / "empty.npz")
    assert load(tmp_path / "empty.npz") == {}
    for x in (sample("float32", (3, 4)), np.array(2), sample("float64", (2, 3)).T):
        np.save(tmp_path / "x.npy", x)
        for mmap in (False, True):
            got = load(tmp_path / "x.npy", mmap=mmap)
            assert type(got._data) is np.ndarray
            same(got._data.copy(order="C"), x.copy(order="C"))


def test_npz_refusals(tmp_path: Path) -> None:
    save_npz({"x": np.ones(1)}, tmp_path / "m.npz")
    with pytest.raises(TypeError, match="'h' has dtype bfloat16"):
        save_npz({"h": wrap(sample("bfloat16", (2,)))}, tmp_path / "m.npz")
    with pytest.raises(TypeError, match="object"):
        save_npz({"h": np.array([None])}, tmp_path / "m.npz")
    assert os.listdir(tmp_path) == ["m.npz"] and set(load(tmp_path / "m.npz")) == {"x"}


# ---------------------------------------------------------------- without the package
def test_without_safetensors() -> None:
    program = """
import sys
sys.modules["safetensors"] = None
from minigrad.io.checkpoint import load, save
try:
    save([1], "never")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "safetensors" in done.stdout and "pip install safetensors" in done.stdout


def test_later_versions_are_named() -> None:
    from minigrad.io import _safetensors

    _safetensors.write(
        buffer := io.BytesIO(), {}, {"minigrad.tree": '{"version": 2, "root": null}'}
    )
    buffer.seek(0)
    with pytest.raises(CheckpointError, match="later minigrad.*version 1.*2"):
        load(buffer)
