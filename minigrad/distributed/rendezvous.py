"""How processes meet: from an address to (store, rank, world size).

env://                     MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE: what the launcher sets
tcp://127.0.0.1:29500      rank 0 listens there; rank and world_size are given, or ?rank=0&...
file:///shared/rendezvous  a file that does not exist yet
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .. import errors
from .errors import DistBackendError, DistNetworkError, DistStoreError
from .store import FileStore, Store, poll, seconds
from .tcp_store import TCPStore

DEFAULT_PORT = 29500
WORLD = "world"  # where in the store the members of the default group meet


def rendezvous(
    url: str, rank: int = -1, world_size: int = -1, timeout: timedelta | float = 300.0
) -> tuple[Store, int, int]:
    """(store, rank, world_size) for an address; ValueError says what is missing in it."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    rank = int(query.get("rank", rank))
    world_size = int(query.get("world_size", world_size))
    if parts.scheme == "env":
        return _from_environment(os.environ, rank, world_size, timeout)
    if parts.scheme == "tcp":
        if parts.hostname is None or parts.port is None:
            raise _error(url, "tcp://host:port")
        _check(url, rank, world_size)
        store: Store = TCPStore(
            parts.hostname, parts.port, world_size, rank == 0, timeout, wait_for_workers=False
        )
        return store, rank, world_size
    if parts.scheme == "file":
        path = f"{parts.netloc}{parts.path}"
        if not path:
            raise _error(url, "file:///path/to/a/file")
        _check(url, rank, world_size)
        return FileStore(path, world_size, timeout), rank, world_size
    raise _error(url, "env://, tcp://host:port or file:///path")


def _error(url: str, expected: str) -> ValueError:
    return errors.value_error("rendezvous", argument="init_method", expected=expected, actual=url)


def _check(url: str, rank: int, world_size: int) -> None:
    for name, value in (("rank", rank), ("world_size", world_size)):
        if value < 0:
            raise ValueError(
                f"rendezvous: {url} needs the {name}: init_process_group(..., {name}=...)"
            )


def _from_environment(
    environment: Mapping[str, str], rank: int, world_size: int, timeout: timedelta | float
) -> tuple[Store, int, int]:
    def needed(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise ValueError(
                "Error initializing minigrad.distributed using env:// rendezvous: environment"
                f" variable {name} expected, but not set\n"
                "  help: start the program with `python -m minigrad.distributed.run`, or give"
                " init_method, rank and world_size"
            )
        return value

    def whole(name: str, value: str) -> int:
        try:
            return int(value)
        except ValueError:
            raise ValueError(f"rendezvous: {name} should be a number, but is {value!r}") from None

    rank = rank if rank >= 0 else whole("RANK", needed("RANK"))
    world_size = world_size if world_size > 0 else whole("WORLD_SIZE", needed("WORLD_SIZE"))
    host, port = needed("MASTER_ADDR"), whole("MASTER_PORT", needed("MASTER_PORT"))
    master = rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    if master or environment.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        store = TCPStore(host, port, world_size, master, timeout, wait_for_workers=False)
    else:
        store = _store_after_restart(host, port, rank, world_size, seconds(timeout))
    return store, rank, world_size


def _store_after_restart(host: str, port: int, rank: int, size: int, patience: float) -> TCPStore:
    """The store of the new rank 0, not the one of the job that has just failed: another machine may
    not have ended its processes yet. There this rank is known already.
    """
    deadline = time.monotonic() + patience
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        store = TCPStore(host, port, size, False, left, wait_for_workers=False)
        try:
            known = store.check([f"{WORLD}/join/{rank}"])
        except DistNetworkError:
            known = True  # it is ending at this moment
        if not known or time.monotonic() > deadline:
            return store
        store.close()
        time.sleep(0.05)


def join(
    store: Store, rank: int, size: int, about: dict[str, Any], timeout: timedelta | float
) -> list[dict[str, Any]]:
    """What every rank says about itself, in the order of ranks; the same error for all.

    Each writes what it is and reads what the others are. A rank that comes twice, another world
    size, another backend, or one that does not come within the timeout end it for everybody.
    """
    patience = seconds(timeout)
    deadline = time.monotonic() + patience
    if store.add(f"join/{rank}/times", 1) > 1:
        raise _tell(
            store,
            size,
            f"two processes call themselves rank {rank} of {size}: each rank may come once (is a"
            " file:// rendezvous left over from an earlier run?)",
        )
    store.set(f"join/{rank}", json.dumps({**about, "world_size": size}))
    found: dict[int, dict[str, Any]] = {}
    pause = 0.0005
    while len(found) < size:
        for other in [r for r in range(size) if r not in found]:
            if store.check([f"join/{other}"]):
                found[other] = json.loads(store.get(f"join/{other}"))
                _agree(store, rank, {**about, "world_size": size}, other, found[other])
        if store.check(["join/error"]):
            text = store.get("join/error").decode()
            store.add("join/heard", 1)
            raise DistBackendError(text)
        missing = [r for r in range(size) if r not in found]
        if missing and time.monotonic() > deadline:
            ranks = ", ".join(map(str, missing))
            raise _tell(
                store,
                size,
                f"rank {ranks} of {size} did not come within {patience:g} s",
                DistStoreError,
            )
        if missing:
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
    return [found[r] for r in range(size)]


def _agree(
    store: Store, rank: int, mine: dict[str, Any], other: int, theirs: dict[str, Any]
) -> None:
    for key in ("world_size", "backend", "host"):
        if mine.get(key) != theirs.get(key):
            low, high = sorted([(rank, mine.get(key)), (other, theirs.get(key))])
            text = (
                f"ranks disagree on {key}: {low[1]!r} on rank {low[0]}, {high[1]!r} on rank"
                f" {high[0]}"
            )
            if key == "host":
                text += (
                    "\n  help: shared memory joins processes of one machine; for several use"
                    ' backend="mpi" or backend="nccl"'
                )
            raise _tell(store, mine["world_size"], text)


def _tell(store: Store, size: int, problem: str, kind: type = DistBackendError) -> Exception:
    """The error, written down for those who still wait; they and this one say the same."""
    text = f"init_process_group: {problem}"
    store.compare_set("join/error", "", text)
    # the store may live in this process: it stays until those who have come have heard
    here = sum(store.check([f"join/{r}"]) for r in range(size))
    try:
        if store.add("join/heard", 1) < here:
            poll(lambda: store.add("join/heard", 0) >= here, 5.0)
        time.sleep(0.1)  # the last one is still reading
    except DistNetworkError:
        pass  # it lived elsewhere, and all had heard
    return kind(text)
