"""Process groups: who takes part, and by which backend.

init_process_group()                 the world: once, in every process
pairs = new_group([0, 1])            a group of some of them: called by every process, too
destroy_process_group()
"""

from __future__ import annotations

import importlib
import os
import socket
import weakref
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from .. import errors
from .backend import ShmOptions, make_shm
from .errors import DistBackendError
from .rendezvous import WORLD, join, rendezvous
from .store import PrefixStore, Store, poll, seconds
from .tcp_store import TCPStore
from .work import Lane

default_pg_timeout = timedelta(minutes=30)
BACKENDS = ("shm", "mpi", "nccl")
_ALIASES = {"gloo": "shm", "cpu:gloo,cuda:nccl": "shm"}


class ProcessGroup:
    """Some processes that work together, as one of them sees it. Made by `init_process_group` and
    `new_group`.
    """

    def __init__(self, name: str, ranks: list[int], rank: int, backend: Any, store: Any):
        self.name, self.ranks, self.backend, self.store = name, ranks, backend, store
        self._rank = rank
        self.lane = Lane(f"collectives of {name}")
        self.receiving = [Lane(f"receives of {name}")]
        self.subgroups = 0
        _ALIVE.add(self)

    def rank(self) -> int:
        """This process' rank in the group."""
        return self._rank

    def size(self) -> int:
        """The number of processes."""
        return len(self.ranks)

    @property
    def group_name(self) -> str:
        """Its name in the store."""
        return self.name

    @property
    def bytes_sent(self) -> int:
        """Bytes of tensors that this process has sent to others in this group so far."""
        return self.backend.bytes_sent

    def local(self, rank: int) -> int:
        """The rank in this group of a rank of the world; ValueError if it does not take part."""
        if rank not in self.ranks:
            raise ValueError(f"Global rank {rank} is not part of group {self.name}: {self.ranks}")
        return self.ranks.index(rank)

    def close(self) -> None:
        """Finish what was asked for, then leave."""
        self.lane.close(self.backend.links.timeout)
        self.backend.close()
        for lane in self.receiving:
            lane.close(1.0)
        _ALIVE.discard(self)

    def __repr__(self) -> str:
        return (
            f"<ProcessGroup {self.name}: rank {self._rank} of {len(self.ranks)},"
            f" {self.backend.name}>"
        )


class GroupMember:
    """What `new_group` returns to those that are not in the group."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER: Any = -100


class _GroupNames:
    """`group.WORLD`: the default group."""

    @property
    def WORLD(self) -> ProcessGroup | None:
        return GroupMember.WORLD


group = _GroupNames()
_ALIVE: weakref.WeakSet[ProcessGroup] = weakref.WeakSet()
Group = ProcessGroup | None


def is_available() -> bool:
    """Whether there is a backend for this system: shared memory needs Unix."""
    return os.name == "posix"


def is_initialized() -> bool:
    """Whether `init_process_group` has been called (and not undone)."""
    return GroupMember.WORLD is not None


def is_torchelastic_launched() -> bool:
    """Whether the launcher (`python -m minigrad.distributed.run`) started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_mpi_available() -> bool:
    """Whether mpi4py is installed."""
    return importlib.util.find_spec("mpi4py") is not None


def is_nccl_available() -> bool:
    """Whether CuPy is installed, with NCCL."""
    if importlib.util.find_spec("cupy") is None:
        return False
    nccl: Any = importlib.import_module("cupy.cuda.nccl")
    return bool(nccl.available)


def is_gloo_available() -> bool:
    """Whether the name "gloo" is understood: it stands for shm here."""
    return is_available()


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | float | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Store | None = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Meet the other processes and make the default group; returns when all are there.

    backend: "shm" (the default; "gloo" means it, too), "mpi" or "nccl". init_method: "env://" (the
    default: what the launcher sets), "tcp://host:port", "file:///path"; or a `store`, with rank and
    world_size. timeout: of this meeting and of every collective (30 minutes; unless it is given
    the store is looked for at most 5).

    RuntimeError if there is a default group already, ValueError for arguments that do not fit,
    DistNetworkError if nobody answers or the port is in use, DistBackendError (on every rank) if
    the ranks disagree, or one is missing after the timeout.
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    name = _backend_name(backend)
    patience = seconds(timeout if timeout is not None else default_pg_timeout)
    if name == "mpi":
        made, rank, world_size = _mpi(patience)
        store = None
    else:
        if store is not None and init_method is not None:
            raise ValueError("Cannot specify both init_method and store.")
        if store is None:
            store, rank, world_size = rendezvous(
                init_method or "env://", rank, world_size, 300.0 if timeout is None else patience
            )
        if not 0 <= rank < world_size:
            raise ValueError(
                f"init_process_group: rank {rank} of world_size {world_size}: expected 0 <= rank <"
                " world_size"
            )
        about = {"backend": name, "host": host_identity() if name == "shm" else ""}
        join(PrefixStore(WORLD, store), rank, world_size, about, patience)
        made = _make(name, PrefixStore(WORLD, store), rank, world_size, patience, pg_options)
    try:
        made.agree("init_process_group")  # when this returns nobody is still connecting
    except DistBackendError:
        made.close()
        raise
    GroupMember.WORLD = ProcessGroup(
        group_name or "world", list(range(world_size)), rank, made, store
    )


def host_identity() -> str:
    """What processes have in common that can share memory and meet at a Unix socket."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            machine = file.read().strip()
        return f"{machine} {os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return socket.gethostname()


def _backend_name(backend: str | None) -> str:
    name = _ALIASES.get(backend or "shm", backend or "shm").lower()
    if name not in BACKENDS:
        raise errors.value_error(
            "init_process_group", argument="backend", expected=" or ".join(BACKENDS),
            actual=repr(backend),
        )  # fmt: skip
    return name


def _make(name: str, store: Store, rank: int, size: int, timeout: float, options: Any) -> Any:
    if name == "nccl":
        from .nccl import make_nccl  # needs CuPy

        return make_nccl(store, rank, size, timeout)
    if options is not None and not isinstance(options, ShmOptions):
        raise errors.type_error("init_process_group", "pg_options", "ShmOptions", options)
    return make_shm(store, rank, size, timeout, options)


def _mpi(timeout: float) -> tuple[Any, int, int]:
    from .mpi import make_mpi, world  # needs mpi4py

    comm = world()
    return make_mpi(comm, timeout), comm.Get_rank(), comm.Get_size()


def default_group() -> ProcessGroup:
    """The default group; ValueError if there is none."""
    if GroupMember.WORLD is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call"
            " init_process_group."
        )
    return GroupMember.WORLD


def resolve(group: Any) -> ProcessGroup:
    """The group that an argument `group` means: None is the default group."""
    if group is None:
        return default_group()
    if isinstance(group, ProcessGroup):
        if group not in _ALIVE:
            raise ValueError(f"the group {group.name} has been destroyed")
        return group
    if group is GroupMember.NON_GROUP_MEMBER:
        raise ValueError("Invalid process group specified: this process is not in it")
    raise errors.type_error("distributed", "group", "a ProcessGroup or None", group)


def destroy_process_group(group: Any = None) -> None:
    """Leave a group; without one, leave all and forget the default group."""
    if group is None or group is GroupMember.WORLD:
        world = default_group()
        for one in sorted(_ALIVE, key=lambda g: g is world):  # the world last
            one.close()
        GroupMember.WORLD = None
        if world.store is not None:
            close_store(world)
        return
    resolve(group).close()


def close_store(world: ProcessGroup) -> None:
    """Leave the store. Who serves it waits a moment for the others, who may not have read all."""
    store: Any = world.store
    try:
        gone = store.add("world/gone", 1)
        if isinstance(store, TCPStore) and gone < world.size():
            poll(lambda: store.clients() < 2 or store.add("world/gone", 0) >= world.size(), 10.0)
    except RuntimeError:
        pass  # the store went with a rank that ended before
    if getattr(store, "close", None) is not None:
        store.close()


def new_group(
    ranks: Iterable[int] | None = None,
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> Any:
    """A group of some ranks of the world. Every process of the world calls this, in the same order;
    those that are not in `ranks` get GroupMember.NON_GROUP_MEMBER.

    ValueError for ranks that do not exist or come twice; DistBackendError on every rank if the
    processes call with different ranks.
    """
    world = default_group()
    size = world.size()
    chosen = list(range(size)) if ranks is None else sorted(int(r) for r in ranks)
    if len(set(chosen)) != len(chosen) or not all(0 <= r < size for r in chosen):
        raise ValueError(
            f"new_group: expected different ranks below the world size {size}, but got {chosen}"
        )
    name = world.backend.name if backend is None else _backend_name(backend)
    patience = world.backend.links.timeout if timeout is None else seconds(timeout)
    world.subgroups += 1
    label = f"group{world.subgroups}"
    world.lane.call(lambda: world.backend.agree(f"new_group({chosen}, {name})"))
    mine = world.rank() in chosen
    if name == "mpi":
        if world.backend.name != "mpi":
            raise ValueError("new_group: a group of backend mpi needs a world of backend mpi")
        from .mpi import make_mpi

        comm = world.backend.split(chosen)
        made = make_mpi(comm, patience) if mine else None
    elif not mine:
        made = None
    else:
        if world.store is None:
            raise ValueError(f"new_group: the world of backend mpi has no store for {name}")
        made = _make(
            name, PrefixStore(label, world.store), chosen.index(world.rank()), len(chosen),
            patience, pg_options,
        )  # fmt: skip
    if made is None:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(label, chosen, chosen.index(world.rank()), made, world.store)


def new_subgroups(
    group_size: int, group: Group = None, timeout: timedelta | float | None = None
) -> tuple[Any, list[Any]]:
    """Neighbouring ranks in groups of `group_size`: (the one of this process, all).

    ValueError if the world size is not a multiple.
    """
    size = resolve(group).size()
    if group_size < 1 or size % group_size:
        raise ValueError(
            f"new_subgroups: the world size {size} is not a multiple of group_size {group_size}"
        )
    every = [new_group(range(at, at + group_size), timeout) for at in range(0, size, group_size)]
    return every[get_rank() // group_size], every


def get_rank(group: Any = None) -> int:
    """This process' rank in the group; -1 if it is not in it."""
    return -1 if group is GroupMember.NON_GROUP_MEMBER else resolve(group).rank()


def get_world_size(group: Any = None) -> int:
    """How many processes the group has; -1 if this one is not in it."""
    return -1 if group is GroupMember.NON_GROUP_MEMBER else resolve(group).size()


def get_backend(group: Any = None) -> str:
    """The name of the group's backend."""
    return resolve(group).backend.name


def get_process_group_ranks(group: Any) -> list[int]:
    """The ranks in the world of the group's processes."""
    return list(resolve(group).ranks)


def get_group_rank(group: Any, global_rank: int) -> int:
    """The rank in the group of a rank of the world."""
    return resolve(group).local(global_rank)


def get_global_rank(group: Any, group_rank: int) -> int:
    """The rank in the world of a rank of the group."""
    ranks = resolve(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The rank among the processes of this machine, as the launcher has set it."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow"
        " `get_node_local_rank` to work, assuming you are not running in a multi-device context and"
        " want the code to run locally instead."
    )
