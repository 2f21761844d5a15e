"""`hub`: state dicts from the network, kept on this machine.

Only data is loaded. `hub.load`, which runs the code of a repository, is not here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..core.tensor import Tensor
from ..export import export
from .checkpoint import load

_directory: str | None = None
_HASH = re.compile(r"-([a-f0-9]{8,})\.")  # in file names: resnet18-5c106cde.pth


@export("hub.get_dir")
def get_dir() -> str:
    """Where downloads are kept: set_dir's, else $TORCH_HOME/hub, else ~/.cache/torch/hub."""
    if _directory is not None:
        return _directory
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return os.path.join(os.path.expanduser(home), "hub")


@export("hub.set_dir")
def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep downloads there from now on."""
    global _directory
    _directory = os.path.expanduser(d)


@export("hub.download_url_to_file")
def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Download to `dst`, which appears when all of it is there.

    RuntimeError if the SHA-256 sum does not begin with `hash_prefix`.
    """
    # not before they are needed: they take a tenth of the package's import time
    import hashlib
    import tempfile
    import urllib.request

    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "minigrad.hub"})
    digest = hashlib.sha256()
    target = Path(dst).expanduser()
    with urllib.request.urlopen(request) as source:
        size = source.headers.get("Content-Length")
        bar = tqdm(
            total=int(size) if size else None, unit="B", unit_scale=True, disable=not progress
        )
        handle, part = tempfile.mkstemp(prefix=target.name, suffix=".partial", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file, bar:
                while block := source.read(128 * 1024):
                    file.write(block)
                    digest.update(block)
                    bar.update(len(block))
            if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(
                    f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")'
                )
            os.replace(part, target)
        finally:
            Path(part).unlink(missing_ok=True)


@export("hub.load_state_dict_from_url")
def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> dict[str, Tensor]:
    """The state dict at `url`, downloaded unless it is in `model_dir` (hub's "checkpoints").

    check_hash: the file's name ends with the beginning of its SHA-256 sum, which is compared.
    """
    import urllib.parse

    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urllib.parse.urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = _HASH.search(name) if check_hash else None
        download_url_to_file(url, path, found[1] if found else None, progress)
    return load(path, map_location=map_location, weights_only=weights_only)
