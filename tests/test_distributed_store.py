"""Stores beside PyTorch's, the secret, and the launcher's examples."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import minigrad.distributed as dist
from minigrad.distributed import tcp_store

ROOT = Path(__file__).resolve().parents[1]


def calls(store: Any) -> list[Any]:
    """What every store answers to the same calls."""
    store.set("a", "1")
    found: list[Any] = [store.get("a"), store.add("n", 3), store.add("n", -1), store.get("n")]
    found += [store.compare_set("b", "", "first"), store.compare_set("b", "wrong", "second")]
    found += [store.compare_set("b", "first", "second"), store.get("b")]
    found += [store.check(["a", "b"]), store.check(["a", "nothing"])]
    found += [store.delete_key("a"), store.delete_key("a"), store.check(["a"])]
    store.multi_set(["x", "y"], ["7", "8"])
    store.append("x", "9")
    found += [store.multi_get(["x", "y"])]
    return found


def make(kind: str, folder: Path) -> Any:
    if kind == "tcp":
        return dist.TCPStore("127.0.0.1", 0, 1, True, timeout=5)
    if kind == "file":
        return dist.FileStore(str(folder / "store"), timeout=5)
    if kind == "prefix":
        return dist.PrefixStore("room", dist.HashStore(timeout=5))
    return dist.HashStore(timeout=5)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["tcp", "file", "hash", "prefix"])
def test_stores_answer_as_pytorchs(kind: str, tmp_path: Path) -> None:
    import torch

    assert calls(make(kind, tmp_path)) == calls(torch.distributed.HashStore())


@pytest.mark.parametrize("kind", ["tcp", "file", "hash", "prefix"])
def test_waiting(kind: str, tmp_path: Path) -> None:
    store = make(kind, tmp_path)
    timer = threading.Timer(0.1, lambda: other.set("late", b"\x00\xff"))
    other = store
    if kind == "tcp":
        other = dist.TCPStore("127.0.0.1", store.port, timeout=5)
    elif kind == "file":
        other = dist.FileStore(str(tmp_path / "store"), timeout=5)
    timer.start()
    assert store.get("late") == b"\x00\xff"  # any bytes
    timer.join()
    with pytest.raises(dist.DistStoreError, match="'never'"):
        store.wait(["late", "never"], timedelta(seconds=0.05))
    store.set_timeout(0.05)
    with pytest.raises(dist.DistStoreError, match="within 0.05 s"):
        store.get("never")
    with pytest.raises(TypeError, match="value"):
        store.set("a", 1)
    assert store.timeout == timedelta(seconds=0.05)


def test_many_clients_count_right(tmp_path: Path) -> None:
    for kind in ("tcp", "file"):
        store = make(kind, tmp_path)

        def count(kind: str = kind, store: Any = store) -> None:
            mine = (
                dist.TCPStore("127.0.0.1", store.port, timeout=5)
                if kind == "tcp"
                else dist.FileStore(store.path, timeout=5)
            )
            for _ in range(50):
                mine.add("n", 1)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.add("n", 0) == 200


def test_the_last_one_removes_the_file(tmp_path: Path) -> None:
    stores = [dist.FileStore(tmp_path / "store", 2) for _ in range(2)]
    stores[0].set("a", "b")
    for store in stores:
        assert (tmp_path / "store").exists()
        store.close()
    assert not (tmp_path / "store").exists()
    with pytest.raises(FileNotFoundError, match="no folder"):
        dist.FileStore(tmp_path / "nowhere" / "store")


def test_a_secret_is_needed_beyond_the_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tcp_store.SECRET, raising=False)
    with pytest.raises(dist.DistNetworkError, match=tcp_store.SECRET):
        dist.TCPStore("0.0.0.0", 0, 1, True, timeout=5)
    monkeypatch.setenv(tcp_store.SECRET, "right")
    server = dist.TCPStore("0.0.0.0", 0, 1, True, timeout=5)
    client = dist.TCPStore("127.0.0.1", server.port, timeout=5)
    client.set("a", "b")
    monkeypatch.setenv(tcp_store.SECRET, "wrong")
    with pytest.raises(dist.DistNetworkError, match="not the store of this job"):
        dist.TCPStore("127.0.0.1", server.port, timeout=5)
    # who talks without the greeting is hung up on, and the store goes on
    with socket.create_connection(("127.0.0.1", server.port), 5) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n" + b"x" * 200)
        with contextlib.suppress(ConnectionResetError):
            while stranger.recv(1000):
                pass
    assert client.get("a") == b"b"
    server.close()
    with pytest.raises(dist.DistNetworkError, match="lost the store"):
        client.get("a")


def test_nobody_answers() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(dist.DistNetworkError, match="nobody answers"):
        dist.TCPStore("127.0.0.1", port, timeout=0.2)


# ------------------------------------------------------------------------------ the examples
def example(*command: str, folder: Path) -> str:
    import os

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=300, env=environment,
        cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_ring_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = example(str(ROOT / "examples" / "ring_allreduce.py"), folder=tmp_path)
    assert "step 6:  abcd abcd abcd abcd" in out
    assert (tmp_path / "out" / "ring_allreduce.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.slow
def test_the_toy_model(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    script = str(ROOT / "examples" / "ddp_toy.py")
    out = example(script, "--epochs", "1", "--samples", "128", folder=tmp_path)
    differences = [float(line.split()[-1]) for line in out.splitlines() if "differ" in line]
    assert len(differences) == 2 and max(differences) < 1e-6


@pytest.mark.slow
def test_the_gpt_on_two_processes_and_its_checkpoint(tmp_path: Path) -> None:
    command = ["-m", "minigrad.distributed.run", "--nproc-per-node", "2"]
    command += [str(ROOT / "examples" / "ddp_gpt.py"), "--every", "5", "--steps"]
    assert "after 10 steps on 2 processes" in example(*command, "10", folder=tmp_path)
    assert "after 12 steps on 2 processes" in example(*command, "12", folder=tmp_path)
