"""Checkpoints: `minigrad.save` and `minigrad.load`.

checkpoint.py      save, load and their helpers: tensors <-> arrays; read this one first
_tree.py           nested containers <-> JSON
_share.py          which tensors share memory
_safetensors.py    the files that are written, and their reader
_torch_zip.py      PyTorch's files: the archive, and the older sequence of pickles
_torch.py          what those may name: storages, tensors, dtypes
_unpickle.py       a pickle read as data
_objects.py        files of modules and other objects (_allowed.py: which may be read)
_npz.py            NumPy's files
hub.py             state dicts from the network
_files.py          written whole or not at all, read at any offset
"""

from __future__ import annotations

from . import _allowed as _allowed
from . import checkpoint as checkpoint
from . import hub as hub
