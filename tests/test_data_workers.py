"""Worker processes of a DataLoader: errors, deaths, shared memory, and that nothing is left."""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad.utils.data as data
from minigrad.core.tensor import Tensor, wrap
from minigrad.utils.data import channel, memory, parallel

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and forks"),
]

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and memfd")
ROOT = Path(__file__).resolve().parents[1]


class Source(data.Dataset):
    """n samples made by a function, which a fork need not pickle."""

    def __init__(self, n: int, make: Any):
        self.n = n
        self.make = make

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


def loader(n: int, make: Any, **options: Any) -> data.DataLoader:
    """Two workers, unless the options say otherwise."""
    return data.DataLoader(Source(n, make), **{"num_workers": 2, **options})


@pytest.fixture(autouse=True, scope="module")
def quick_garbage_collection() -> Iterator[None]:
    """Only what these tests make is looked through, not the libraries that others have imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    """After every test: no process, no zombie, no open file more than before."""
    files = open_files()
    yield
    gc.collect()
    assert multiprocessing.active_children() == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert open_files() <= files


def open_files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


# ------------------------------------------------------------------------------------- errors


class Strange(Exception):
    """Cannot be made from a message."""

    def __init__(self, a: int, b: int):
        super().__init__(f"{a} and {b}")


def fail(kind: Any, *args: Any) -> Any:
    """A sample that fails, three frames deep."""

    def this_is_in_the_traceback() -> None:
        raise kind(*args)

    this_is_in_the_traceback()


@pytest.mark.parametrize(
    "kind, args, expected",
    [
        (ValueError, ("bad sample",), ValueError),
        (KeyError, ("no key",), KeyError),
        (ZeroDivisionError, (), ZeroDivisionError),
        (FileNotFoundError, (2, "no such file", "x.png"), FileNotFoundError),
        (Strange, (1, 2), RuntimeError),
        (StopIteration, (), RuntimeError),
        (type("Local", (Exception,), {}), ("here",), RuntimeError),
    ],
)
def test_error_in_a_sample(kind: Any, args: Any, expected: Any) -> None:
    batches = iter(loader(6, lambda i: fail(kind, *args) if i == 2 else i))
    assert [next(batches).item() for _ in range(2)] == [0, 1]
    with pytest.raises(expected) as caught:
        next(batches)
    text = str(caught.value)
    assert type(caught.value) is expected
    assert f"Caught {kind.__name__} in DataLoader worker process 0.\n" in text
    assert "\nOriginal Traceback (most recent call last):\n" in text
    assert "in this_is_in_the_traceback\n" in text
    if args:
        assert str(args[-1]) in text
    assert [b.item() for b in batches] == [3, 4, 5]  # the others are still good


def test_error_in_worker_init_fn() -> None:
    def init(worker: int) -> None:
        if worker == 1:
            raise OSError("no disk")

    batches = iter(loader(4, lambda i: i, worker_init_fn=init))
    assert next(batches).item() == 0
    with pytest.raises(OSError, match="no disk"):
        next(batches)


def test_error_in_iter() -> None:
    class Broken(data.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            raise LookupError("no stream")

    with pytest.raises(LookupError, match="no stream"):
        next(iter(data.DataLoader(Broken(), num_workers=1)))


def test_error_of_a_batch_that_cannot_be_pickled() -> None:
    batches = iter(loader(2, lambda i: (lambda: i) if i == 0 else i, collate_fn=lambda s: s[0]))
    with pytest.raises(Exception, match="Original Traceback"):
        next(batches)
    assert next(batches) == 1


def test_error_of_a_batch_that_cannot_be_unpickled() -> None:
    batches = iter(loader(2, lambda i: Unloadable() if i == 0 else i, collate_fn=lambda s: s[0]))
    with pytest.raises(ValueError, match="not here"):
        next(batches)
    assert next(batches) == 1


class Unloadable:
    """Pickles, but does not unpickle."""

    def __reduce__(self) -> Any:
        return refuse, ()


def refuse() -> None:
    raise ValueError("not here")


def test_error_in_the_sampler() -> None:
    def indices() -> Iterator[int]:
        yield from range(9)
        raise ValueError("no more indices")

    class Broken(data.Sampler):
        def __iter__(self) -> Iterator[int]:
            return indices()

    with pytest.raises(ValueError, match="no more indices"):
        list(loader(10, lambda i: i, sampler=Broken()))


# ------------------------------------------------------------------------------------- deaths


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_worker_killed_while_it_works(name: str) -> None:
    def make(i: int) -> int:
        if i == 7:  # not among the first that are asked for
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(60)
        return os.getpid()

    batches = iter(loader(8, make))
    pids = [next(batches).item() for _ in range(2)]
    start = time.monotonic()
    with pytest.raises(RuntimeError) as caught:
        list(batches)
    assert time.monotonic() - start < 3
    assert f"DataLoader worker (pid {pids[1]}) is killed by signal: {name}" in str(caught.value)
    with pytest.raises(RuntimeError, match="ended early"):
        next(batches)


def test_worker_killed_while_it_waits() -> None:
    batches = iter(loader(100, lambda i: os.getpid()))
    pid = next(batches).item()
    next(batches)
    time.sleep(0.2)  # everything that was asked for has been sent
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(RuntimeError, match=rf"\(pid {pid}\) is killed by signal: SIGKILL"):
        for _ in range(6):
            next(batches)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that sleep are not waited for long."""
    monkeypatch.setattr(parallel, "GRACE", 0.3)


@pytest.mark.usefixtures("short_grace")
def test_death_of_one_is_noticed_while_waiting_for_another() -> None:
    def make(i: int) -> int:
        if i == 0:
            time.sleep(60)
        os._exit(7)

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="exited unexpectedly with exit code 7"):
        next(iter(loader(8, make)))
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("code", [0, 3])
def test_worker_that_exits(code: int) -> None:
    with pytest.raises(RuntimeError, match=f"exit code {code}"):
        list(loader(4, lambda i: sys.exit(code)))


def test_death_while_a_forked_grandchild_holds_the_channel() -> None:
    read, write = os.pipe()

    def make(i: int) -> int:
        pid = os.fork()
        if pid == 0:
            os.write(write, b"%d" % os.getpid())
            time.sleep(60)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    start = time.monotonic()
    try:
        with pytest.raises(RuntimeError, match="SIGKILL"):
            next(iter(loader(1, make, num_workers=1)))
        assert time.monotonic() - start < 4
    finally:
        os.kill(int(os.read(read, 20)), signal.SIGKILL)
        os.close(read)
        os.close(write)


def test_persistent_workers_are_replaced_after_a_death() -> None:
    fatal = mmap.mmap(-1, 1)  # shared with the workers
    fatal[0] = 1

    def make(i: int) -> int:
        if i == 2 and fatal[0]:
            os._exit(1)
        return i

    persistent = loader(4, make, persistent_workers=True)
    with pytest.raises(RuntimeError, match="exit code 1"):
        list(persistent)
    fatal[0] = 0
    assert [b.item() for b in persistent] == [0, 1, 2, 3]


def test_timeout() -> None:
    batches = iter(loader(3, lambda i: time.sleep(0.9 * (i == 1)) or i, timeout=0.4))
    assert next(batches).item() == 0
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 0.4 seconds"):
        next(batches)
    assert time.monotonic() - start < 1


# ------------------------------------------------------------------------- nothing is left over


def test_break_ends_the_workers() -> None:
    start = time.monotonic()
    for batch in loader(1000, lambda i: i):
        if batch.item() == 5:
            break
    del batch
    assert multiprocessing.active_children() == []
    assert time.monotonic() - start < 1.5


@pytest.mark.usefixtures("short_grace")
def test_break_from_slow_workers() -> None:
    batches = iter(loader(4, lambda i: time.sleep(60 * (i > 0)) or i))
    next(batches)
    start = time.monotonic()
    del batches
    assert time.monotonic() - start < 2
    assert multiprocessing.active_children() == []


def test_error_in_the_loop_ends_the_workers() -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in loader(1000, lambda i: i):
            raise ZeroDivisionError


def test_workers_that_send_while_the_loader_does() -> None:
    """Both sides send more than a socket holds before either reads."""
    indices = [list(range(100_000))] * 8
    long = loader(100_000, None, batch_sampler=indices, collate_fn=lambda _: "x" * 5_000_000)
    long.dataset.__class__.__getitems__ = lambda self, i: [len(i)]  # type: ignore[attr-defined]
    try:
        assert [len(b) for b in long] == [5_000_000] * 8
    finally:
        del Source.__getitems__  # type: ignore[attr-defined]


def run_script(body: str, **options: Any) -> subprocess.Popen[str]:
    """A script with a loader `slow` whose samples take a tenth of a second, in a new session."""
    head = """
        import os, sys, time
        import minigrad.utils.data as data

        class Source(data.Dataset):
            def __len__(self):
                return 1000

            def __getitem__(self, i):
                time.sleep(0.1)
                return os.getpid()

        slow = data.DataLoader(Source(), num_workers=2, **{options})
    """
    script = textwrap.dedent(head).format(options=options) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_gone(pids: list[int], within: float) -> None:
    """None of the processes runs any longer (a zombie that another process must reap is gone)."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and any(runs(pid) for pid in pids):
        time.sleep(0.05)
    assert not any(runs(pid) for pid in pids)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def first_pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(pid) for pid in process.stdout.readline().split()]


@LINUX
def test_ctrl_c() -> None:
    process = run_script("""
        for n, batch in enumerate(slow):
            if n == 0:
                first = batch.item()
            if n == 1:
                print(first, batch.item(), flush=True)
        """)
    pids = first_pids(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert_gone(pids, within=1)
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT


@LINUX
def test_end_of_the_program_with_a_live_iterator() -> None:
    body = """
        batches = iter(slow)
        print(next(batches).item(), next(batches).item(), flush=True)
        batches.cycle = batches
        """
    process = run_script(body, persistent_workers=True)
    pids = first_pids(process)
    start = time.monotonic()
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - start < 2
    assert process.returncode == 0 and errors == ""
    assert_gone(pids, within=0.5)


@LINUX
def test_workers_end_when_the_program_is_killed() -> None:
    process = run_script("""
        other = iter(slow)
        batches = iter(slow)
        print(next(batches).item(), next(other).item(), next(batches).item(), flush=True)
        time.sleep(60)
        """)
    pids = first_pids(process)
    assert len(set(pids)) == 3
    process.kill()
    process.communicate()
    assert_gone(pids, within=3)


@LINUX
def test_a_fork_of_the_program_leaves_its_workers_alone() -> None:
    batches = iter(loader(20, lambda i: i))
    next(batches)
    pid = os.fork()
    if pid == 0:
        sys.unraisablehook = lambda _: os._exit(9)
        del batches
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert [b.item() for b in batches] == list(range(1, 20))


# -------------------------------------------------------------------------------- shared memory


def big(i: int, n: int = 50_000) -> np.ndarray:
    """More than a segment's smallest size; different for every i."""
    return np.arange(n, dtype=np.float32) + i


def test_batches_outlive_the_workers() -> None:
    batches = list(loader(20, big, batch_size=2))
    assert multiprocessing.active_children() == []
    for k, batch in enumerate(batches):
        np.testing.assert_array_equal(batch._data, np.stack([big(2 * k), big(2 * k + 1)]))


def test_batches_are_not_overwritten() -> None:
    """Whatever is kept, in whatever part, for however long: a view keeps its segment."""
    kept: list[tuple[int, Any]] = []
    for k, batch in enumerate(loader(60, big)):
        if k % 3 == 0:
            kept.append((k, batch))
        elif k % 3 == 1:
            kept.append((k, batch._data[:, 10:].reshape(-1)[::7]))
        if k % 10 == 9:
            kept = kept[1::2]
    del batch
    for k, x in kept:
        expected = big(k)[10:][::7] if isinstance(x, np.ndarray) else big(k)[None]
        np.testing.assert_array_equal(x if isinstance(x, np.ndarray) else x._data, expected)


def test_batches_can_be_written_to() -> None:
    for k, batch in enumerate(loader(20, big)):
        np.testing.assert_array_equal(batch._data[0], big(k))
        batch._data[:] = -1


@LINUX
def test_segments_are_reused_and_few() -> None:
    before = open_files()
    batches = loader(100, big, num_workers=1)
    addresses, most = set(), 0
    for batch in batches:
        addresses.add(batch._data.__array_interface__["data"][0])
        most = max(most, open_files() - before)
    assert len(addresses) <= 4
    assert most < 12
    kept = list(loader(100, big))
    assert open_files() - before < 20  # not one for each batch that is kept
    assert [int(b._data[0, 0]) for b in kept] == list(range(100))
    del batch, kept


def test_sizes_that_vary() -> None:
    sizes = [10, 100_000, 3, 200_000, 50_000, 1_000_000, 5000, 6000, 70_000, 4096] * 3
    made = loader(len(sizes), lambda i: big(i, sizes[i]))
    for k, batch in enumerate(made):
        np.testing.assert_array_equal(batch._data, big(k, sizes[k])[None])


ODD: dict[str, Any] = {
    "strided": lambda: wrap(np.arange(60_000.0).reshape(200, 300)[::2, ::3]),
    "transposed": lambda: wrap(np.arange(60_000.0).reshape(200, 300).T),
    "permuted": lambda: wrap(np.arange(60_000.0).reshape(20, 30, 100).transpose(1, 2, 0)),
    "backwards": lambda: wrap(np.arange(60_000)[::-1]),
    "broadcast": lambda: wrap(np.broadcast_to(np.arange(3.0), (9000, 3))),
    "empty": lambda: wrap(np.zeros((0, 5))),
    "0-d": lambda: wrap(np.array(3, np.int16)),
    "several": lambda: [wrap(np.arange(70_001, dtype=np.uint8)), wrap(np.ones(50_000)), "text"],
    "ndarray": lambda: np.arange(60_000, dtype=np.complex64),
    "objects": lambda: np.array([{"a": 1}, None, "x"], object),
    "records": lambda: np.zeros(9000, [("a", "i4"), ("b", "f8")]),
    "strings": lambda: np.array(["abc"] * 9000),
    "dates": lambda: np.arange("2020-01", "2021-01", dtype="M8[D]"),
    "requires grad": lambda: wrap(np.ones(9000), requires_grad=True),
    "None": lambda: None,
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("shared", [True, False])
def test_odd_batches(name: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shared:
        monkeypatch.setattr(memory, "_memfd_create", None)
    expected = ODD[name]()
    (got,) = loader(1, lambda i: ODD[name](), collate_fn=lambda s: s[0])
    compare(got, expected)


@pytest.mark.parametrize("name", ["strided", "transposed", "permuted", "backwards", "broadcast"])
def test_no_layout_is_copied_into_the_pickle(name: str) -> None:
    body, buffers = channel._pickled(ODD[name]())
    assert body.nbytes < 1000 and len(buffers) == 1


def compare(got: Any, expected: Any) -> None:
    assert type(got) is type(expected)
    if isinstance(got, list):
        for a, b in zip(got, expected, strict=True):
            compare(a, b)
    elif isinstance(got, Tensor):
        assert got.requires_grad is expected.requires_grad
        compare(got._data, expected._data)
    elif isinstance(got, np.ndarray):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    else:
        assert got == expected


def test_bfloat16() -> None:
    bfloat16 = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    x = np.arange(20_000).astype(bfloat16)
    (got,) = loader(1, lambda i: wrap(x))
    assert got.dtype.name == "bfloat16"
    np.testing.assert_array_equal(got._data[0].astype(np.float32), x.astype(np.float32))


@pytest.mark.parametrize("error", [PermissionError, OSError])
def test_without_segments(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> int:
        raise error(1, "not allowed")

    monkeypatch.setattr(memory, "_memfd_create", refused)
    for k, batch in enumerate(loader(12, big)):
        np.testing.assert_array_equal(batch._data[0], big(k))


# --------------------------------------------------------------------------------- other starts


OTHER_START = """
import os, sys
import numpy as np
import minigrad.utils.data as data


class Plain(data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        if i == 3:
            raise IndexError("no third")
        return np.arange(50_000) + i, os.getpid()


if __name__ == "__main__":
    options = dict(num_workers=1, multiprocessing_context=sys.argv[1])
    batches = iter(data.DataLoader(Plain(), **options))
    for k in range(3):
        x, pid = next(batches)
        assert (x._data[0] == np.arange(50_000) + k).all()
        assert pid.item() != os.getpid()
    try:
        next(batches)
    except IndexError as error:
        assert "no third" in str(error)
        print("raised")
    try:
        iter(data.DataLoader(lambda: 0, sampler=[0], **options))
    except Exception as error:
        print("refused", "pickle" in str(error))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods(method: str, tmp_path: Path) -> None:
    """In a program of their own: they leave helper processes behind until its end."""
    script = tmp_path / "script.py"
    script.write_text(OTHER_START)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, method],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "" and done.returncode == 0
    assert done.stdout.splitlines() == ["raised", "refused True"]
