"""Collectives of Python objects. What arrives is data: nothing in it is run.

PyTorch pickles objects, and so executes whatever another process sends. Here they travel as
`minigrad.save` writes them (safetensors): tensors, arrays, numbers, texts, None, and dicts, lists,
tuples and sets of them. TypeError for anything else, before anything is sent.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from .. import errors
from ..core.tensor import Tensor, wrap
from ..io.checkpoint import load, save
from . import collectives as c
from .group import GroupMember, resolve


def encode(obj: Any) -> Tensor:
    """The object as a tensor of bytes."""
    file = io.BytesIO()
    save([obj], file)
    return wrap(np.frombuffer(file.getvalue(), np.uint8).copy())


def decode(data: Tensor) -> Any:
    """The object of a tensor of bytes."""
    return load(io.BytesIO(data._data.tobytes()))[0]


def _bytes(n: int) -> Tensor:
    return wrap(np.empty(n, np.uint8))


def _lengths(*numbers: int) -> Tensor:
    return wrap(np.array(numbers, np.int64))


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """object_list[i] becomes the object of rank i; the list has a place for each rank."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    n = resolve(group).size()
    _check_places("all_gather_object", "object_list", object_list, n)
    data = encode(obj)
    sizes = [_lengths(0) for _ in range(n)]
    c.all_gather(sizes, _lengths(data.numel()), group)
    outputs = [_bytes(int(size)) for size in sizes]
    # all_to_all, for all_gather's tensors are of one size
    c.all_to_all(outputs, [data] * n, group)
    object_list[:n] = [decode(output) for output in outputs]


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """On rank `dst` (0) object_gather_list[i] becomes the object of rank i."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    pg = resolve(group)
    root = c._root(pg, 0 if dst is None and group_dst is None else dst, group_dst, "dst")
    here, n = pg.rank() == root, pg.size()
    if here:
        _check_places("gather_object", "object_gather_list", object_gather_list, n)
    data = encode(obj)
    sizes = [_lengths(0) for _ in range(n)]
    c.all_gather(sizes, _lengths(data.numel()), group)
    outputs = [_bytes(int(size) if here else 0) for size in sizes]
    inputs = [data if r == root else _bytes(0) for r in range(n)]
    c.all_to_all(outputs, inputs, group)
    if here and object_gather_list is not None:
        object_gather_list[:n] = [decode(output) for output in outputs]


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """The objects in the list become those of rank `src` (0)."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    pg = resolve(group)
    root = c._root(pg, 0 if src is None and group_src is None else src, group_src, "src")
    here = pg.rank() == root
    data = encode(list(object_list)) if here else _bytes(0)
    size = _lengths(data.numel(), len(object_list))
    count = len(object_list)
    c.broadcast(size, group=group, group_src=root)
    if not here:
        data = _bytes(int(size[0]))
    c.broadcast(data, group=group, group_src=root)
    if int(size[1]) != count:
        raise ValueError(
            f"broadcast_object_list: the list has {count} places, that of the source {int(size[1])}"
        )
    if not here:
        object_list[:] = decode(data)


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: list[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """The first place of the output list becomes object i of rank `src`'s (0) input list on rank
    i.
    """
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    pg = resolve(group)
    root = c._root(pg, 0 if src is None and group_src is None else src, group_src, "src")
    n, here = pg.size(), pg.rank() == root
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at"
                         " least 1.")  # fmt: skip
    data = [_bytes(0)] * n
    if here:
        _check_places("scatter_object_list", "scatter_object_input_list",
                      scatter_object_input_list, n)  # fmt: skip
        data = [encode(obj) for obj in scatter_object_input_list or ()]
    sizes = _lengths(*[d.numel() for d in data])
    c.broadcast(sizes, group=group, group_src=root)
    mine = int(sizes[pg.rank()])
    outputs = [_bytes(mine if r == root else 0) for r in range(n)]
    c.all_to_all(outputs, data, group)
    scatter_object_output_list[0] = decode(outputs[root])


def send_object_list(
    object_list: list[Any],
    dst: int | None = None,
    group: Any = None,
    device: Any = None,
    group_dst: int | None = None,
) -> None:
    """Send the objects to rank `dst`."""
    data = encode(list(object_list))
    c.send(_lengths(data.numel(), len(object_list)), dst, group, group_dst=group_dst)
    c.send(data, dst, group, group_dst=group_dst)


def recv_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> int:
    """The objects in the list become those sent by rank `src` (None: by anybody); who sent them."""
    size = _lengths(0, 0)
    sender = c.recv(size, src, group, group_src=group_src)
    data = _bytes(int(size[0]))
    c.recv(data, sender, group)
    if int(size[1]) != len(object_list):
        raise ValueError(
            f"recv_object_list: the list has {len(object_list)} places, but {int(size[1])} came"
        )
    object_list[:] = decode(data)
    return sender


def _check_places(op: str, name: str, places: Any, n: int) -> None:
    if not isinstance(places, list):
        raise errors.type_error(op, name, f"a list of {n}", places)
    if len(places) != n:
        raise errors.value_error(op, argument=name, expected=f"{n} places", actual=len(places))
