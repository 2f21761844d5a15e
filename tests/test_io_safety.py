"""Damaged, cut and hostile files: a clear error each time, nothing run, never a wrong value."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minigrad.core.tensor import wrap
from minigrad.io._files import CheckpointError
from minigrad.io._torch_zip import LEGACY_START
from minigrad.io.checkpoint import load, save, save_npz

from .test_io import same

pytest.importorskip("safetensors.numpy")

REFUSED = (CheckpointError, pickle.UnpicklingError)


def as_file(save_it: Any, obj: Any) -> bytes:
    buffer = io.BytesIO()
    save_it(obj, buffer)
    return buffer.getvalue()


OBJECT = {
    "w": wrap(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "c": wrap(np.array([1 + 2j])),
    "step": 7,
    "names": ["a", (1.5, None)],
}
OBJECT["tied"] = OBJECT["w"].detach()


# ---------------------------------------------------------------- damage
def test_every_truncation_of_a_checkpoint() -> None:
    data = as_file(save, OBJECT)
    for size in range(len(data)):
        with pytest.raises(CheckpointError, match="load: <BytesIO> is"):
            load(io.BytesIO(data[:size]))
    with pytest.raises(CheckpointError, match="expected .* bytes of tensors, but got"):
        load(io.BytesIO(data[:-1]))
    with pytest.raises(CheckpointError, match="bytes after its last tensor"):
        load(io.BytesIO(data + b"\0"))


def test_every_flipped_bit_of_a_checkpoint() -> None:
    data = bytearray(as_file(save, OBJECT))
    unnoticed = 0
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            try:
                same(load(io.BytesIO(data)), OBJECT)  # equal, or an error
                unnoticed += 1
            except CheckpointError:
                pass
            data[position] ^= 1 << bit
    assert unnoticed < 200  # in the name of the checksums themselves


@pytest.mark.parametrize("kind", ["torch", "legacy", "npz"])
def test_damage_to_files_of_others(kind: str) -> None:
    x = np.arange(40, dtype=np.float32)
    if kind == "npz":
        data = as_file(lambda obj, f: save_npz(obj, f, compressed=True), {"x": x, "y": x[:3]})
    else:
        torch = pytest.importorskip("torch")
        options = {"_use_new_zipfile_serialization": kind == "torch"}
        obj = {"x": torch.from_numpy(x), "y": [1, "a"], "n": x[:2]}
        data = as_file(lambda obj, f: torch.save(obj, f, **options), obj)
    want = load(io.BytesIO(data))
    for size in range(0, len(data) - 1, 3):
        with pytest.raises(CheckpointError):
            load(io.BytesIO(data[:size]))
    flipped = bytearray(data)
    for position in range(len(data)):
        flipped[position] ^= 1 << position % 8
        try:
            got = load(io.BytesIO(flipped))
        except (*REFUSED, RuntimeError):  # a location that is no device, for one
            pass
        else:
            if kind != "legacy":  # which has no checksums
                same(got, want)
        flipped[position] ^= 1 << position % 8


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda b: b"PK\x03\x04" + b))
@example(b"")
@example(LEGACY_START)
@example(b"minigrad objects 1\n")
@example(b"minigrad objects 1\nI1")
@example(b"\x93NUMPY\x01\x00")
@example(b"PK\x05\x06" + b"\0" * 10)
def test_no_bytes_give_another_error(data: bytes) -> None:
    with pytest.raises(REFUSED):
        load(io.BytesIO(data))


@given(st.binary(max_size=60))
def test_no_pickle_gives_another_error(program: bytes) -> None:
    for start in (b"\x80\x02", b"\x80\x02}q\x00("):
        try:
            load(io.BytesIO(torch_zip(start + program + b".")))
        except (*REFUSED, RuntimeError):
            pass


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is cut short.*0 bytes"),
        (b"hello, world" * 50, r"no checkpoint.*begins with b'hello"),
        (b"\x1f\x8b\x08" + bytes(100), "no checkpoint"),
        (bytes(257) + b"ustar" + bytes(250), "tar archive.*save it again"),
        (struct.pack("<Q", 10**6) + b"{}", "cut short inside its header.*1000008 bytes.*10"),
        (struct.pack("<Q", 3) + b"{]}", "not JSON"),
        (struct.pack("<Q", 10) + b'{"a": [1]}', "describes tensor 'a'"),
    ],
)
def test_damage_is_described(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"(?s)model.pt'.*{says}"):
        load(path)


def header(entries: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: Any, shape: Any, begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("entries", "size", "says"),
    [
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 12, 16)}, 16, "'b' begins.*byte 8"),
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, 12, "'b' begins.*byte 8"),
        ({"a": entry("F32", [3], 0, 8)}, 8, "expected 12 bytes"),
        ({"a": entry("F32", [-2], 0, 8)}, 8, "describes tensor 'a'"),
        ({"a": entry("F32", [2.0], 0, 8)}, 8, "describes tensor 'a'"),
        ({"a": entry("Q7", [2], 0, 8)}, 8, "dtype Q7"),
        ({"a": entry(["F32"], [2], 0, 8)}, 8, "describes tensor 'a'"),
        ({"a": entry("F32", [0, 2**70], 0, 0)}, 0, "tensor 'a' of shape"),
        ({"a": entry("F32", [1] * 80, 0, 4)}, 4, "tensor 'a' of shape"),
        ({"__metadata__": {"k": 1}}, 0, "metadata"),
        ({"__metadata__": {"minigrad.tree": "{"}}, 0, "structure"),
        ({"__metadata__": {"minigrad.tree": '{"version":1,"root":{"eval":"1"}}'}}, 0, "structure"),
        ({"__metadata__": {"minigrad.crc32": "[]"}}, 0, "minigrad.crc32"),
        (
            {
                "a": entry("F32", [2], 0, 8),
                "__metadata__": {"minigrad.complex": '{"a": "complex128"}'},
            },
            8,
            "noted as complex128.*float64 with a last dimension of 2",
        ),
    ],
)  # fmt: skip
def test_headers_that_lie(entries: dict[str, Any], size: int, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        load(io.BytesIO(header(entries, bytes(size))))


def test_a_deep_structure_is_no_crash() -> None:
    text = '{"version":1,"root":' + "[" * 100_000 + "]" * 100_000 + "}"
    with pytest.raises(CheckpointError):
        load(io.BytesIO(header({"__metadata__": {"minigrad.tree": text}})))


# ---------------------------------------------------------------- hostile pickles
def torch_zip(program: bytes, **records: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", records.get("data", bytes(16)))
    return buffer.getvalue()


def legacy(program: bytes) -> bytes:
    facts = [pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    keys, data = (["0"], struct.pack("<q", 4) + bytes(16)) if STORAGE in program else ([], b"")
    return b"".join([LEGACY_START, *facts, program, pickle.dumps(keys, 2), data])


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any):
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


class State:
    """Pickles as an OrderedDict on which a state is set."""

    def __init__(self, state: Any):
        self.state = state

    def __reduce__(self) -> Any:
        return OrderedDict, (), self.state


def global_(name: str) -> bytes:
    module, _, leaf = name.rpartition(".")
    return f"c{module}\n{leaf}\n".encode()


STORAGE = (
    b"(Vstorage\n" + global_("torch.FloatStorage") + b"V0\nVcpu\nI4\ntQ"
)  # four float32 in data/0
HOSTILE_CALLS = [
    (os.system, "echo bad > {path}"),
    (eval, "open({path!r}, 'w')"),
    (exec, "open({path!r}, 'w')"),
    (builtins.open, "{path}", "w"),
    (os.mkdir, "{path}"),
    (subprocess.Popen, "touch {path}", 0, None, None, None, None, None, False, True),
    (builtins.__import__, "os"),
    (pickle.loads, b"."),
    (Path, "x"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("call", HOSTILE_CALLS, ids=lambda call: call[0].__name__)
@pytest.mark.parametrize("wrap_it", [torch_zip, legacy, bytes])
def test_calls_are_refused_by_name(tmp_path: Path, call: Any, protocol: int, wrap_it: Any) -> None:
    mark = tmp_path / "mark"
    arguments = [a.format(path=str(mark)) if isinstance(a, str) else a for a in call[1:]]
    program = pickle.dumps({"w": Call(call[0], *arguments)}, protocol)
    if wrap_it is bytes and protocol < 2:
        pytest.skip("a pickle without a mark at its beginning is no checkpoint")
    with pytest.raises(pickle.UnpicklingError, match=f"{call[0].__name__}.*not allowed"):
        load(io.BytesIO(wrap_it(program)), weights_only=False)
    assert not mark.exists()


PROGRAMS = {
    "inst": b"(S'echo'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'echo'\no.",
    "extension": b"\x80\x02\x82\x01.",
    "class of a module": global_("__main__.Net") + b")\x81.",
    "layer": global_("torch.nn.modules.linear.Linear") + b")\x81.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "text persistent id": b"Pstorage\n.",
    "call of a type": global_("torch.FloatStorage") + b")R.",
    "call of a dtype": global_("torch.float32") + b")R.",
    "call of a number": b"I1\n)R.",
    "call of a class without a meaning": global_("torch.Tensor") + b"(I3\ntR.",
    "state of a function": global_("_codecs.encode") + b"}Vx\nI1\nsb.",
    "state of a dict": b"}}Vx\nI1\nsb.",
    "state that hides a method": global_("collections.OrderedDict") + b")R}Vitems\nI1\nsb.",
    "private state": global_("collections.OrderedDict") + b")R}V__class__\nI1\nsb.",
    "items of a list": b"]I0\nI1\ns.",
    "items of a tuple": b")I1\na.",
    "bare storage": STORAGE + b".",
    "bare function": b"]" + global_("torch._utils._rebuild_tensor_v2") + b"a.",
    "bare function as an attribute": (
        global_("collections.OrderedDict") + b")R}Vx\n" + global_("torch.Tensor") + b"sb."
    ),
    "module's source": b"(Vmodule\nVx\nVx\nVx\ntQ.",
    "tensor of a subclass": global_("torch._tensor._rebuild_from_type_v2")
    + b"(" + global_("torch._utils._rebuild_tensor_v2") + global_("collections.OrderedDict")
    + b"))tR.",
    "function in a subclass": global_("torch._tensor._rebuild_from_type_v2")
    + b"(" + global_("collections.OrderedDict") + global_("torch.Tensor") + b"))tR.",
    "sparse": global_("torch._utils._rebuild_sparse_tensor") + b"(tR.",
    "sparse layout": global_("torch.serialization._get_layout") + b"(Vtorch.sparse_coo\ntR.",
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_refused(name: str) -> None:
    for data in (torch_zip(PROGRAMS[name]), legacy(PROGRAMS[name])):
        with pytest.raises(pickle.UnpicklingError, match="not allowed"):
            load(io.BytesIO(data))


def tensor(rest: bytes, storage: bytes = STORAGE) -> bytes:
    return global_("torch._utils._rebuild_tensor_v2") + b"(" + storage + rest + b"I00\nNtR."


NESTED = b"(" * 200_000 + b"t" * 200_000
DAMAGED = {
    "nothing": b"",
    "no stop": b"I1\n",
    "empty stack": b"0.",
    "no mark": b"t.",
    "unknown memory": b"h\x05.",
    "unknown operation": b"\xff.",
    "short text": b"X\xff\xff\xff\x7fab.",
    "huge bytes": b"\x8e" + b"\xff" * 7 + b"\x7fab.",
    "odd items": b"(I1\nI2\nI3\nd.",
    "unhashable key": b"}]I1\ns.",
    "deep key": b"}" + NESTED + b"I1\ns.",
    "deep member": b"\x8f(" + NESTED + b"\x90.",
    "huge bytearray": global_("builtins.bytearray") + b"(L999999999999L\ntR.",
    "other encoding": global_("_codecs.encode") + b"(Vab\nVrot13\ntR.",
    "out of the storage": tensor(b"I0\n(I5\nt(I1\nt"),
    "out of the storage by stride": tensor(b"I0\n(I2\nt(I4\nt"),
    "out of the storage by offset": tensor(b"I4\n(I1\nt(I1\nt"),
    "negative offset": tensor(b"I-1\n(I1\nt(I1\nt"),
    "negative stride": tensor(b"I3\n(I2\nt(I-1\nt"),
    "negative size": tensor(b"I0\n(I-2\nt(I1\nt"),
    "strides of another rank": tensor(b"I0\n(I2\nt(I1\nI1\nt"),
    "sizes that are no ints": tensor(b"I0\n(F1.5\nt(I1\nt"),
    "no storage": tensor(b"I0\n(I2\nt(I1\nt", b"N"),
    "few arguments": global_("torch._utils._rebuild_tensor_v2") + b"(tR.",
    "untyped storage": tensor(
        b"I0\n(I2\nt(I1\nt",
        b"(Vstorage\n" + global_("torch.storage.UntypedStorage") + b"V0\nVcpu\nI4\ntQ",
    ),
    "storage of no type": b"(Vstorage\nVx\nV0\nVcpu\nI4\ntQ.",
    "storage of negative size": tensor(b"I0\n(t(t", STORAGE.replace(b"I4", b"I-4")),
    "storage too large": tensor(b"I0\n(t(t", STORAGE.replace(b"I4", b"I40000000000000")),
    "parameter of a number": global_("torch._utils._rebuild_parameter") + b"(I1\nI01\nNtR.",
    "objects": global_("numpy.dtype") + b"(VO8\nI00\nI01\ntR.",
    "array of another size": global_("numpy.core.multiarray._reconstruct")
    + b"(" + global_("numpy.ndarray") + b"(I0\ntVb\ntR(I1\n(I3\nt"
    + global_("numpy.dtype") + b"(Vf4\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntbI00\nVabcd\ntb.",
    "size of floats": global_("torch.Size") + b"((F1.0\nttR.",
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_programs_that_are_damaged(name: str) -> None:
    for data in (torch_zip(DAMAGED[name]), legacy(DAMAGED[name])):
        with pytest.raises(CheckpointError, match="load: <BytesIO>"):
            load(io.BytesIO(data))


def test_a_good_program_for_comparison() -> None:
    data = np.arange(4, dtype=np.float32).tobytes()
    got = load(io.BytesIO(torch_zip(tensor(b"I1\n(I2\nt(I2\nt"), data=data)))
    assert got.tolist() == [1, 3]


def test_torchscript_and_other_archives() -> None:
    buffer = io.BytesIO(torch_zip(b"}."))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(pickle.UnpicklingError, match="TorchScript"):
        load(io.BytesIO(buffer.getvalue()))
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("word/document.xml", b"")
    with pytest.raises(CheckpointError, match="something else.*document.xml"):
        load(io.BytesIO(buffer.getvalue()))


def test_numpys_pickles_are_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hostile = np.array([Call(os.mkdir, str(mark))], object)
    np.save(tmp_path / "x.npy", hostile, allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.ones(1), x=hostile)
    for name, mmap in (("x.npy", False), ("x.npy", True), ("x.npz", False)):
        with pytest.raises(pickle.UnpicklingError, match="Python objects.*not allowed"):
            load(tmp_path / name, mmap=mmap)
    assert not mark.exists()


def test_a_plain_pickle_is_refused() -> None:
    for protocol in (2, 3, 4, 5):
        with pytest.raises(pickle.UnpicklingError, match="none of torch.save"):
            load(io.BytesIO(pickle.dumps({"a": 1}, protocol)))


# ---------------------------------------------------------------- kills
WRITER = """
import os, random, signal, sys, time
import numpy as np
from minigrad.core.tensor import wrap
from minigrad.io.checkpoint import load, save

path, kind, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(0)

def write(step):
    size = random.randrange(1, 300_000)
    save({"step": step, "size": size, "w": wrap(np.full(size, step, np.int64))}, path)

def check():
    got = load(path)
    assert len(got["w"]._data) == got["size"] and (got["w"]._data == got["step"]).all(), got
    return got["step"]

def start(first):
    pid = os.fork()
    if pid == 0:
        random.seed(os.getpid())
        end, step = time.time() + 30, first  # it must not outlive a test that failed
        while time.time() < end:
            write(step)
            step += 1
        os._exit(0)
    return pid

def kill(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

write(0)
leftovers = progress = 0
if kind == "kill":
    for i in range(rounds):
        pid = start(i * 1_000_000)
        time.sleep(random.random() * 0.03)
        kill(pid)
        leftovers += len(os.listdir(os.path.dirname(path))) > 1
        progress += check() >= i * 1_000_000
else:
    pids = [start(i * 1_000_000) for i in range(3)]
    end = time.time() + 1
    try:
        while time.time() < end:
            progress += check() > 0
    finally:
        for pid in pids:
            kill(pid)
check()
write(5)
assert check() == 5
print(leftovers, progress, os.listdir(os.path.dirname(path)))
"""  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("kind", ["kill", "concurrent"])
def test_a_kill_leaves_the_old_or_the_new_file(tmp_path: Path, kind: str) -> None:
    """Sixty writers killed at random moments; three that write one path at the same time."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "model"), kind, "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    leftovers, progress, names = done.stdout.split(" ", 2)
    assert names.strip() == "['model']"  # the last save removed what the killed ones left
    assert int(progress) > 0, "no writer got anything done: nothing was tested"
    if kind == "kill":
        assert int(leftovers) > 5, "hardly a writer was killed while it wrote"
