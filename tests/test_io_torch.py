"""PyTorch's own files, read without PyTorch: compared with what torch.load makes of them."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.tensor import Tensor
from minigrad.io._files import CheckpointError
from minigrad.io.checkpoint import load, save

torch = pytest.importorskip("torch")

FLOATS = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
DTYPES = [*FLOATS, "int8", "int16", "int32", "int64", "uint8", "bool"]
FORMATS: dict[str, dict[str, Any]] = {
    "zip": {},
    "zip, protocol 4": {"pickle_protocol": 4},
    "zip, protocol 5": {"pickle_protocol": 5},
    "before 1.6": {"_use_new_zipfile_serialization": False},
    "before 1.6, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


def torch_file(obj: Any, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **options)
    buffer.seek(0)
    return buffer


def agree(got: Any, want: Any) -> None:
    """minigrad's object is the counterpart of PyTorch's."""
    if isinstance(want, torch.Tensor):
        want = want.resolve_conj().resolve_neg()
        array = got._data if isinstance(got, Tensor) else got
        assert array.dtype.name == str(want.dtype).removeprefix("torch.")
        assert array.shape == tuple(want.shape)
        flat = want.detach().contiguous().reshape(-1)
        assert array.tobytes() == flat.view(torch.uint8).numpy().tobytes()
        assert isinstance(got, mg.nn.Parameter) == isinstance(want, torch.nn.Parameter)
        if isinstance(got, Tensor):
            assert got.requires_grad == want.requires_grad and got.is_leaf
            assert type(array) is np.ndarray and array.flags.writeable
    elif isinstance(want, torch.Size):
        assert got == mg.Size(want) and type(got) is mg.Size
    elif isinstance(want, torch.dtype):
        assert got is getattr(mg, str(want).removeprefix("torch."))
    elif isinstance(want, torch.device):
        assert got == mg.device(str(want))
    elif isinstance(want, dict):
        assert type(got) is type(want)
        assert list(got) == list(want)
        for key in want:
            agree(got[key], want[key])
    elif isinstance(want, (list, tuple)):
        assert type(got) is type(want) and len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            agree(a, b)
    elif isinstance(want, (np.ndarray, np.generic)):
        assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape
        assert got.tobytes() == want.tobytes()
    else:
        assert type(got) is type(want) and got == want


def layouts(dtype: str) -> dict[str, Any]:
    x = (torch.randn(4, 6) * 20).to(getattr(torch, dtype))
    return {
        "contiguous": x,
        "transposed": x.t(),
        "rows": x[1:3],
        "columns": x[:, 1::2],
        "one": x[2, 3],
        "0-d": torch.tensor(3).to(x.dtype),
        "empty": x[:0],
        "empty alone": torch.zeros(0, 5, dtype=x.dtype),
        "expanded": x[:1].expand(3, 6),
        "strided": torch.as_strided(x, (2, 2, 2), (1, 6, 2), 3),
        "channels last": x.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "4-d": x.reshape(2, 1, 3, 4).permute(3, 0, 2, 1),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMATS)
def test_dtypes_and_layouts(dtype: str, form: str) -> None:
    obj = layouts(dtype)
    got = load(torch_file(obj, **FORMATS[form]))
    agree(got, obj)
    for name, t in obj.items():
        if t.numel():
            assert got[name].stride() == t.stride(), name
    # all but the copies are views of one memory
    got["contiguous"]._data[...] = 1
    for name in ("transposed", "rows", "columns", "one", "expanded", "strided"):
        assert (got[name]._data == 1).all(), name


def everything() -> dict[str, Any]:
    parameter = torch.nn.Parameter(torch.randn(2, 3))
    tagged = torch.nn.Parameter(torch.randn(2), requires_grad=False)
    tagged.tag = "x"  # type: ignore[attr-defined]
    named = torch.randn(3)
    named.note = [1, "a"]  # type: ignore[attr-defined]
    return {
        "parameter": parameter,
        "tagged": tagged,
        "named": named,
        "leaf": torch.randn(2, requires_grad=True),
        "conj": torch.randn(3, dtype=torch.complex64).conj(),
        "neg": torch.randn(3, dtype=torch.complex128).conj().imag,
        "values": [None, True, 1, -(10**30), 2.5, "größe", b"\x00\xff", bytearray(b"z"), 1 + 2j],
        "containers": [(), (1,), [2], {"a": 1}, {1, 2}, OrderedDict(a=1), Counter(b=2)],
        "keys": {1: "a", (1, 2): "b", None: "c", 2.5: "d", b"k": "e"},
        "types": [torch.float32, torch.bfloat16, torch.bool, torch.device("cpu")],
        "device": torch.device("cuda", 1),
        "size": torch.Size([2, 3]),
        "rng": torch.get_rng_state(),
    }


@pytest.mark.parametrize("form", FORMATS)
def test_everything_that_torch_loads_safely(form: str) -> None:
    obj = everything()
    data = torch_file(obj, **FORMATS[form])
    if "4" not in form and "5" not in form:
        torch.load(data, weights_only=True)
        data.seek(0)
    got = load(data)
    agree(got, obj)
    assert got["tagged"].tag == "x" and got["named"].note == [1, "a"]


def test_other_dtypes_become_arrays() -> None:
    obj = {d: torch.arange(3).to(getattr(torch, d)) for d in ("uint16", "uint32", "uint64")}
    got = load(torch_file(obj))
    for name, t in obj.items():
        assert type(got[name]) is np.ndarray and got[name].dtype == name
        assert got[name].tolist() == t.tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_numpys_values(form: str) -> None:
    obj = {
        "scalars": [np.float64(1.5), np.float32(2), np.int8(-3), np.bool_(True), np.complex64(1j)],
        "texts": [np.str_("ab"), np.array(["a", "bc"]), np.array([b"x"])],
        "arrays": [np.arange(6).reshape(2, 3).T, np.zeros((0, 2)), np.array(3.5), np.array([True])],
        "big": np.arange(3, dtype=">i4"),
        "state": np.random.default_rng(0).bit_generator.state,
        "old state": np.random.RandomState(0).get_state(),
        "same": [a := np.arange(3), a],
    }
    got = load(torch_file(obj, **FORMATS[form]))
    agree(got, obj)
    assert got["same"][0] is got["same"][1]
    got["arrays"][0][...] = 0  # writeable


def test_a_training_checkpoint() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    model.append(torch.nn.Linear(4, 2))[-1].weight = model[2].weight
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(3):
        hidden = model[:2](torch.randn(5, 3))
        (model[2](hidden) + model[3](hidden)).square().mean().backward()
        optimizer.step()
        schedule.step()
    obj = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "epoch": 3,
        "rng": [torch.get_rng_state(), np.random.get_state()],
    }
    for options in FORMATS.values():
        got = load(torch_file(obj, **options))
        agree(got, obj)
        assert got["model"]._metadata == obj["model"]._metadata
        tied = got["model"]["2.weight"], got["model"]["3.weight"]
        tied[0]._data[...] = 9
        assert (tied[1]._data == 9).all()
    # and minigrad's own file of what was read gives the same again
    save(load(torch_file(obj)), buffer := io.BytesIO())
    buffer.seek(0)
    agree(load(buffer), obj)


def test_a_model_of_torch_gives_the_same_answers(tmp_path: Path) -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    ours = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 2))
    torch.save(theirs.state_dict(), tmp_path / "m.pt")
    ours.load_state_dict(load(tmp_path / "m.pt"))
    x = torch.randn(5, 3)
    want = theirs(x).detach().numpy()
    got = ours(mg.from_numpy(x.numpy())).detach().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_equal_and_shared_objects() -> None:
    x = torch.randn(3)
    got = load(torch_file([x, x, [x], x.detach()]))
    assert got[0] is got[1] is got[2][0] and got[3] is not got[0]
    got[0]._data[...] = 5
    assert got[3].tolist() == [5, 5, 5]


def big_endian(data: bytes) -> io.BytesIO:
    """The archive that a big-endian machine would have written (of elements of 4 bytes)."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            record = source.read(name)
            if name.endswith("byteorder"):
                record = b"big"
            elif "/data/" in name:
                record = np.frombuffer(record, np.uint32).byteswap().tobytes()
            archive.writestr(name, record)
    target.seek(0)
    return target


def test_big_endian_files() -> None:
    obj = {
        "f": torch.randn(2, 3),
        "i": torch.arange(4, dtype=torch.int32),
        "c": torch.randn(3, dtype=torch.complex64),
        "u": torch.arange(3).to(torch.uint32),
    }
    data = torch_file(obj).getvalue()
    got = load(big_endian(data))
    agree(got, obj)
    reference = torch.load(big_endian(data))
    del got["u"], reference["u"]  # of which PyTorch does not swap the bytes
    agree(got, reference)
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        names = [n for n in source.namelist() if not n.endswith("byteorder")]
        with zipfile.ZipFile(target := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:  # little if nothing is said, and packed again
                archive.writestr(name, source.read(name))
    agree(load(io.BytesIO(target.getvalue())), obj)


def test_bfloat16_of_a_big_endian_machine() -> None:
    x = torch.randn(4, 2).bfloat16()
    source, target = zipfile.ZipFile(torch_file(x)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a/data.pkl", source.read("archive/data.pkl"))
        archive.writestr("a/byteorder", b"big")
        swapped = np.frombuffer(source.read("archive/data/0"), np.uint16).byteswap()
        archive.writestr("a/data/0", swapped.tobytes())
    agree(load(io.BytesIO(target.getvalue())), x)


def test_files_without_checksums() -> None:
    torch.serialization.set_crc32_options(False)
    try:
        data = torch_file({"x": torch.arange(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert load(data)["x"].tolist() == [0, 1, 2]


def test_mmap(tmp_path: Path) -> None:
    obj = layouts("float32") | {"d": torch.randn(3, dtype=torch.float64)}
    torch.save(obj, tmp_path / "m.pt")
    before = (tmp_path / "m.pt").read_bytes()
    got = load(tmp_path / "m.pt", mmap=True)
    agree(got, obj)
    got["contiguous"]._data[...] = 3  # a copy of the page, not the file
    assert (got["transposed"]._data == 3).all()
    assert (tmp_path / "m.pt").read_bytes() == before
    torch.save(obj, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="before 1.6"):
        load(tmp_path / "old.pt", mmap=True)


# ---------------------------------------------------------------- devices
def on_cuda(data: bytes) -> io.BytesIO:
    """The file as it would be if its storages had been on cuda:0."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            record = source.read(name)
            if name.endswith("data.pkl"):
                record = record.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            archive.writestr(name, record)
    target.seek(0)
    return target


@pytest.mark.skipif(mg.cuda.is_available(), reason="there is a CUDA device")
def test_map_location() -> None:
    x = torch.arange(3.0)
    data = torch_file([x, x[1:]]).getvalue()
    with pytest.raises(RuntimeError, match="(?s)cuda:0.*map_location='cpu'"):
        load(on_cuda(data))
    seen = []

    def place(storage: Tensor, location: str) -> Tensor:
        seen.append((tuple(storage.shape), location))
        return storage

    for where in ("cpu", mg.device("cpu"), {"cuda:0": "cpu"}, place):
        got = load(on_cuda(data), map_location=where)
        assert got[0].tolist() == [0, 1, 2] and got[1].is_cpu
        got[0]._data[...] = 7
        assert got[1].tolist() == [7, 7]
    assert seen == [((12,), "cuda:0")]  # once for a storage, in bytes


@pytest.mark.gpu
def test_storages_go_to_the_gpu_and_stay_shared() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    got = load(torch_file([x, x.t(), x[1:, ::2], x.bfloat16()]), map_location="cuda")
    for a, b in zip(got, [x, x.t(), x[1:, ::2], x.bfloat16()], strict=True):
        assert a.is_cuda
        agree(a.cpu(), b.contiguous())
    got[0]._data[...] = 1
    assert (got[2]._data == 1).all()


# ---------------------------------------------------------------- what is refused
class Net(torch.nn.Module):
    pass


@pytest.mark.parametrize("form", ["zip", "before 1.6"])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Net, "Net"),
        (lambda: torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (lambda: {"a": torch.eye(2).to_sparse()}, "_rebuild_sparse_tensor"),
        (lambda: {"args": __import__("argparse").Namespace(lr=1)}, "argparse.Namespace"),
        (lambda: torch.zeros(2).untyped_storage(), "storage"),
        (lambda: torch.empty(2, device="meta"), "meta"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "_rebuild_qtensor"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_refused_is_named(make: Any, name: str, form: str) -> None:
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match=name):
        load(torch_file(make(), **FORMATS[form]))


def test_torchscript_is_refused(tmp_path: Path) -> None:
    names = ["code/x.py", "constants.pkl", "data.pkl"]
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        for name in names:
            archive.writestr(f"m/{name}", b"")
    with pytest.raises(pickle.UnpicklingError, match="TorchScript"):
        load(tmp_path / "m.pt")


def test_the_older_format_with_views_of_storages() -> None:
    """PyTorch once saved a storage inside another with (key, offset, count)."""
    program = pickle.dumps(None, 2)[:2] + (
        b"]("
        + b"".join(
            b"ctorch._utils\n_rebuild_tensor\n(("
            + b"Vstorage\nctorch\nIntStorage\nVroot\nVcpu\nI4\n"
            + view
            + b"tQI0\n(I2\nt(I1\nttR"
            for view in (b"N", b"(Vv\nI2\nI2\nt")
        )
        + b"e."
    )
    facts = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    storages = pickle.dumps(["root"], 2) + struct.pack("<q4i", 4, 10, 11, 12, 13)
    got = load(io.BytesIO(b"".join(facts) + program + storages))
    assert [t.tolist() for t in got] == [[10, 11], [12, 13]]
    with pytest.raises(CheckpointError):
        load(io.BytesIO(b"".join(facts) + program.replace(b"I2\nI2", b"I2\nI3") + storages))


def test_torch_is_not_imported(tmp_path: Path) -> None:
    torch.save({"x": torch.arange(3)}, tmp_path / "m.pt")
    program = (
        "import sys; from minigrad.io.checkpoint import load; "
        "print(load(sys.argv[1])['x'].tolist(), {'torch', 'safetensors'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "m.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0, 1, 2] set()"
