"""Many processes that compute together, under `torch.distributed`'s names.

    import minigrad.distributed as dist

    dist.init_process_group()              # started by python -m minigrad.distributed.run
    t = mg.full((3,), float(dist.get_rank()))
    dist.all_reduce(t)                     # the sum over all ranks, on all ranks
    model = mg.nn.parallel.DistributedDataParallel(model)

In reading order:

    patterns/       the collectives, made of sending and receiving: ring.py first
    links.py        sending and receiving between two processes: shared memory, and who is to blame
    mail.py         send and recv
    backend.py      links and algorithms together; mpi.py and nccl.py are the others
    store.py, tcp_store.py, rendezvous.py    how processes find each other
    group.py        init_process_group, new_group
    work.py         operations under way
    collectives.py, objects.py               what users call
    optim.py, checkpoint.py                  ZeRO-1, sharded checkpoints
    run.py          the launcher

Processes of one machine use the backend "shm". Between machines the engine is MPI or NCCL.
"""

from __future__ import annotations

from . import checkpoint, optim
from .backend import ShmOptions
from .collectives import (
    P2POp,
    all_gather,
    all_gather_into_tensor,
    all_reduce,
    all_to_all,
    all_to_all_single,
    barrier,
    batch_isend_irecv,
    broadcast,
    gather,
    irecv,
    isend,
    monitored_barrier,
    recv,
    reduce,
    reduce_scatter,
    reduce_scatter_tensor,
    scatter,
    send,
)
from .errors import (
    DistBackendError,
    DistError,
    DistNetworkError,
    DistStoreError,
    DistTimeoutError,
)
from .group import (
    GroupMember,
    ProcessGroup,
    default_pg_timeout,
    destroy_process_group,
    get_backend,
    get_global_rank,
    get_group_rank,
    get_node_local_rank,
    get_process_group_ranks,
    get_rank,
    get_world_size,
    group,
    init_process_group,
    is_available,
    is_gloo_available,
    is_initialized,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    new_group,
    new_subgroups,
)
from .objects import (
    all_gather_object,
    broadcast_object_list,
    gather_object,
    recv_object_list,
    scatter_object_list,
    send_object_list,
)
from .reduce_op import ReduceOp
from .rendezvous import rendezvous
from .store import FileStore, HashStore, PrefixStore, Store
from .tcp_store import TCPStore
from .work import Work

__all__ = [
    "DistBackendError",
    "DistError",
    "DistNetworkError",
    "DistStoreError",
    "DistTimeoutError",
    "FileStore",
    "GroupMember",
    "HashStore",
    "P2POp",
    "PrefixStore",
    "ProcessGroup",
    "ReduceOp",
    "ShmOptions",
    "Store",
    "TCPStore",
    "Work",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "batch_isend_irecv",
    "broadcast",
    "broadcast_object_list",
    "checkpoint",
    "default_pg_timeout",
    "destroy_process_group",
    "gather",
    "gather_object",
    "get_backend",
    "get_global_rank",
    "get_group_rank",
    "get_node_local_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_world_size",
    "group",
    "init_process_group",
    "irecv",
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "isend",
    "monitored_barrier",
    "new_group",
    "new_subgroups",
    "recv",
    "recv_object_list",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "optim",
    "rendezvous",
    "scatter",
    "scatter_object_list",
    "send",
    "send_object_list",
]
