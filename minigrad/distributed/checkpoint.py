"""Sharded checkpoints: every rank writes a part, any number of ranks can read it.

    save({"model": model.state_dict(), "step": 7}, checkpoint_id="run/checkpoint")
    load(state, checkpoint_id="run/checkpoint")           # in place: state says what is wanted

A checkpoint is a folder:

    checkpoint.json        what is where: written last; without it there is no checkpoint
    <version>-<rank>.safetensors    this rank's tensors

What several ranks have under the same key is taken to be the same, and is written by one of them
(the one with the fewest bytes so far); what only one rank has (its share of an optimizer's state),
by that one. Numbers, texts and None stand in the JSON. A kill at any moment leaves the old
checkpoint: new files have new names, and checkpoint.json is replaced in one step when all of them
are on the disk. Nothing in a checkpoint is ever run.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

from .. import errors
from ..core.tensor import Tensor
from ..io._files import write_whole
from ..io.checkpoint import load_file, save_file
from . import collectives as c
from .group import ProcessGroup, is_initialized, resolve
from .objects import all_gather_object, broadcast_object_list

INDEX = "checkpoint.json"
Key = tuple[Any, ...]
_PLAIN = (int, float, str, bool, type(None))


def _leaves(tree: Any, path: Key = ()) -> Iterator[tuple[Key, Any]]:
    """(path, value) of everything that is no dict, list or tuple."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if not isinstance(key, (str, int)):
                raise errors.type_error("checkpoint.save", "keys", "str or int", key)
            yield from _leaves(value, (*path, key))
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield from _leaves(value, (*path, i))
    elif isinstance(tree, (Tensor, *_PLAIN)):
        yield path, tree
    else:
        raise errors.type_error(
            "checkpoint.save", _name(path), "a Tensor, number, str, None or containers", tree
        )


def _name(path: Key) -> str:
    return json.dumps(path, separators=(",", ":"))


def _group(process_group: Any) -> ProcessGroup | None:
    return resolve(process_group) if is_initialized() else None


def save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str],
    process_group: Any = None,
) -> None:
    """Write the state to the folder `checkpoint_id`; every rank of the group calls it.

    TypeError names what cannot be stored, on every rank. Returns when the checkpoint is complete.
    """
    folder, group = os.fspath(checkpoint_id), _group(process_group)
    leaves, problem = {}, ""
    try:
        leaves = {_name(path): value for path, value in _leaves(state_dict)}
    except TypeError as error:
        problem = str(error)
    tensors = {name: t for name, t in leaves.items() if isinstance(t, Tensor)}
    about: Any = {
        "problem": problem,
        "bytes": {name: t.nbytes for name, t in tensors.items()},
        "plain": {name: v for name, v in leaves.items() if not isinstance(v, Tensor)},
    }
    every: list[Any] = [about]
    rank, version = 0, [secrets.token_hex(8)]
    if group is not None:
        rank, every = group.rank(), [None] * group.size()
        all_gather_object(every, about, group)
        broadcast_object_list(version, group=group, group_src=0)
    problem = next((one["problem"] for one in every if one["problem"]), "")
    if problem:
        raise TypeError(problem)
    owners = _owners([one["bytes"] for one in every])
    os.makedirs(folder, exist_ok=True)
    mine = {name: t for name, t in tensors.items() if owners[name] == rank}
    if mine:
        save_file({n: t.detach() for n, t in mine.items()}, _file(folder, version[0], rank))  # type: ignore[attr-defined]
    if group is not None:
        c.barrier(group)  # all files are there
    if rank == 0:
        plain: dict[str, Any] = {}
        for one in reversed(every):  # what rank 0 says counts
            plain.update(one["plain"])
        index = {"version": version[0], "tensors": owners, "plain": plain}
        text = json.dumps(index).encode()
        write_whole(os.path.join(folder, INDEX), lambda p: _write(p, text), lambda f: None)
        _remove_old(folder, version[0])
    if group is not None:
        c.barrier(group)  # the checkpoint is complete


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _file(folder: str, version: str, rank: int) -> str:
    return os.path.join(folder, f"{version}-{rank}.safetensors")


def _owners(sizes: list[dict[str, int]]) -> dict[str, int]:
    """Who writes each tensor: of those that have it the one with the fewest bytes so far."""
    holders: dict[str, list[int]] = {}
    for rank, named in enumerate(sizes):
        for name in named:
            holders.setdefault(name, []).append(rank)
    loads = [0] * len(sizes)
    owners = {}
    for name in sorted(holders, key=lambda n: (-sizes[holders[n][0]][n], n)):
        rank = min(holders[name], key=lambda r: (loads[r], r))
        owners[name] = rank
        loads[rank] += sizes[rank][name]
    return owners


def _remove_old(folder: str, version: str) -> None:
    """Files that no index names any more: of earlier checkpoints, and of killed savers."""
    for name in os.listdir(folder):
        if name.endswith(".safetensors") and not name.startswith(version):
            os.unlink(os.path.join(folder, name))


def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str],
    process_group: Any = None,
) -> None:
    """Fill `state_dict` in place from the folder: tensors are written to, other values replaced.

    The number of ranks may be another one than when it was saved. FileNotFoundError without a
    complete checkpoint, KeyError for what is not in it, RuntimeError for a shape that differs;
    CheckpointError for a damaged file.
    """
    folder = os.fspath(checkpoint_id)
    try:
        with open(os.path.join(folder, INDEX), "rb") as file:
            index = json.load(file)
    except FileNotFoundError:
        raise FileNotFoundError(f"checkpoint.load: no complete checkpoint in {folder}") from None
    files: dict[int, dict[str, Tensor]] = {}
    for path, value in list(_leaves(state_dict)):
        name = _name(path)
        if isinstance(value, Tensor):
            if name not in index["tensors"]:
                raise KeyError(f"checkpoint.load: no tensor {name} in {folder}")
            rank = index["tensors"][name]
            if rank not in files:
                files[rank] = load_file(_file(folder, index["version"], rank))
            _fill(name, value, files[rank][name])
        elif name in index["plain"]:
            _replace(state_dict, path, index["plain"][name])
        else:
            raise KeyError(f"checkpoint.load: no value {name} in {folder}")
    if (group := _group(process_group)) is not None:
        c.barrier(group)


def _fill(name: str, target: Tensor, source: Tensor) -> None:
    if target.shape != source.shape:
        raise RuntimeError(
            f"checkpoint.load: {name} has shape {tuple(source.shape)} in the checkpoint, but"
            f" {tuple(target.shape)} is wanted"
        )
    target._data[...] = source.to(target.device, target.dtype)._data  # type: ignore[attr-defined]
    target._bump()


def _replace(tree: Any, path: Key, value: Any) -> None:
    for key in path[:-1]:
        tree = tree[key]
    if isinstance(tree, tuple):
        return  # of a tuple only the tensors are filled
    tree[path[-1]] = value
