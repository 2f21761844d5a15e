"""`save` and `load`, and their helpers for plain safetensors files and NumPy's.

A checkpoint is a safetensors file. Its metadata hold, as JSON, the structure of what was saved; its
tensors have the joined keys as names ("optimizer.state.0.exp_avg"). A flat state dict is therefore
a plain safetensors file, which every reader of the format understands.

What does the work (`_saving.py`, `_loading.py`) is imported when it is first used: it needs
zipfile, json and pickletools, which `import minigrad` should not wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.devices import device
from ..core.tensor import Tensor
from ..export import export
from ._files import Source

MapLocation = str | device | dict[str, str] | Callable[[Tensor, str], Tensor | None] | None


@export("save", "io.save", "serialization.save")
def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write `obj` to the path or binary file `f` by safetensors; `load` gives it back.

    `obj` is a tensor, array, number, string, None, dtype, device, or dicts, lists, tuples and sets
    of them with keys of any such kind: state dicts of models and optimizers, and training
    checkpoints made of both. Modules and optimizers themselves, and with `pickle_module=pickle` any
    other object, go to a file with a pickle in it, which `load` reads only with weights_only=False.

    A path is written beside and renamed: whatever happens, it holds the old or the new file, whole.
    Tensors that share memory (tied weights) are stored once and share again when loaded; tensors
    keep requires_grad and being a Parameter, and are stored row-major. TypeError names the key and
    type of what cannot be stored, ValueError an object that contains itself; then nothing is
    written. ImportError without the package safetensors.
    """
    from . import _saving

    if pickle_module is None and not _saving.has_modules(obj):
        _saving.save(obj, f)
        return
    from . import _objects

    _objects.save(obj, f, pickle_protocol)


@export("io.save_file")
def save_file(
    tensors: dict[str, Tensor], filename: Any, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name as a plain safetensors file, as safetensors.torch.save_file does.

    `load_file` gives them back, `load_metadata` the texts. ValueError if `tensors` is no dict of
    names and tensors; the rest as `save`.
    """
    from . import _saving

    _saving.save_file(tensors, filename, metadata)


@export("io.save_npz")
def save_npz(tensors: dict[str, Any], f: Any, *, compressed: bool = False) -> None:
    """Write tensors or arrays by name as NumPy's .npz, which numpy.load and `load` read.

    TypeError for bfloat16, which these files do not have.
    """
    from . import _saving

    _saving.save_npz(tensors, f, compressed)


@export("load", "io.load", "serialization.load")
def load(
    f: Any,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read a checkpoint from the path or binary file `f`: minigrad's, PyTorch's or NumPy's.

    The format is found from the content. Of torch.save's files, those of tensors, numbers and
    containers are read, without PyTorch. Nothing in a file is ever run, with one exception: a file
    of modules or other objects (see `save`), which names their classes, and is read only with
    weights_only=False or if `serialization.add_safe_globals` has allowed them. Tensors that shared
    memory share it again. A safetensors or .npz file of others gives a dict by name, an .npy a
    tensor; arrays of a dtype that tensors do not have (uint16, texts) stay NumPy arrays.

    `map_location` says where tensors go: a device, a dict from saved to new ones, or a function of
    (tensor, saved device) that returns the tensor on its device; None: where they were saved. With
    `mmap` a path is mapped copy-on-write, not read. Raises CheckpointError (a RuntimeError) for a
    damaged or unknown file, pickle.UnpicklingError for content that is not allowed,
    FileNotFoundError; RuntimeError for a device that is not there.
    """
    from . import _loading

    builder = _loading.TensorBuilder(map_location)
    with Source(f) as source:
        if source.read_at(0, 8) == b"minigrad":
            from . import _objects

            if source.read_at(0, len(_objects.START)) == _objects.START:
                return _objects.load(source, builder, weights_only is not False)
        if pickle_module is not None:
            raise RuntimeError("load: no pickle module is used; nothing in this file is run")
        return _loading.load(source, builder, bool(mmap))


@export("io.load_file")
def load_file(filename: Any, device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on `device`; as safetensors.torch.load_file.

    The notes that `save` adds (structure, shared memory) are passed over. Errors as `load`.
    """
    from . import _loading

    return _loading.load_file(filename, device)


@export("io.load_metadata")
def load_metadata(filename: Any) -> dict[str, str]:
    """The texts that were given to `save_file` as metadata."""
    from . import _loading

    return _loading.load_metadata(filename)
