"""Checkpoints in the published form: config.json, safetensors in shards, and their index.

    model = load_checkpoint("Kimi-VL-A3B-Instruct", dtype="bfloat16")

Headers are read and compared with the model first, so that a wrong folder is an error before
anything is read. Then shard after shard is mapped into memory: a tensor of the wanted dtype stays
where it is in the file and is read when it is used, any other is converted, so that beside the
weights there is never more than one shard. The model itself is built without memory.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.dtypes import bfloat16, float32, numpy_dtype
from ...core.tensor import wrap
from ...export import export
from ...io import _safetensors
from ...io._files import Source, write_whole
from ...nn.module import Module
from .config import KimiVLConfig, read_config, to_dict
from .language import DeepseekV3
from .layers import without_memory
from .model import KimiVL

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
COMPUTED = ("rotary_emb.inv_freq",)
"""Endings of names that some checkpoints carry and models compute for themselves."""
KEPT_WIDE = ("e_score_correction_bias",)
"""Endings of tensors that stay in float32: small steps of balancing must not be rounded away."""
SHOWN = 10  # names of each kind in an error


class CheckpointMismatch(RuntimeError):
    """Files and model are not of each other: which names are missing, unexpected or misshapen."""


@export("models.kimi_vl.load_checkpoint")
def load_checkpoint(folder: str | os.PathLike[str], dtype: Any = None, bar: bool = False) -> Any:
    """The model of a folder, in evaluation mode: KimiVL, or DeepseekV3 for text alone.

    dtype: "float32" or "bfloat16"; None leaves tensors as they are in the files. `bar` shows
    progress. FileNotFoundError and ValueError name what is wrong with the folder, RuntimeError
    which tensors do not fit.
    """
    config = read_config(folder)
    with without_memory():
        model = KimiVL(config) if isinstance(config, KimiVLConfig) else DeepseekV3(config)
    load_weights(model, folder, dtype, bar=bar)
    return model.eval()


@export("models.kimi_vl.load_weights")
def load_weights(
    model: Module, folder: str | os.PathLike[str], dtype: Any = None, *, bar: bool = False
) -> None:
    """Put a folder's tensors into a model whose `state_dict` has their names; as `load_checkpoint`.

    The model keeps its parameters (and what optimizers hold of them), with new arrays; nothing is
    changed if an error is raised.
    """
    target = None if dtype is None else numpy_dtype(_float_dtype(dtype))
    state = model.state_dict(keep_vars=True)
    shards = shard_files(folder)
    _compare(state, shards, Path(folder))
    for path in _with_bar(sorted(shards), bar):
        with _mapped(path) as reader:
            for name in shards[path]:
                if name in state:
                    wide = name.endswith(KEPT_WIDE)
                    array = _converted(reader.array(name), np.dtype("f4") if wide else target)
                    state[name].data = wrap(array)


@export("models.kimi_vl.save_checkpoint")
def save_checkpoint(
    model: Any, folder: str | os.PathLike[str], max_shard_size: int = 5_000_000_000
) -> None:
    """Write config.json and the tensors of KimiVL or DeepseekV3, in shards of at most so many
    bytes.

    Each file is written beside and renamed, the index last: a folder without it is unfinished.
    ValueError for a size below 1.
    """
    if max_shard_size < 1:
        raise ValueError(f"save_checkpoint: max_shard_size must be positive; got {max_shard_size}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: tensor._data for name, tensor in model.state_dict().items()}
    name = (
        "KimiVLForConditionalGeneration" if isinstance(model, KimiVL) else "DeepseekV3ForCausalLM"
    )
    _write_json(folder / "config.json", {"architectures": [name], **to_dict(model.config)})
    shards = _shards(arrays, max_shard_size)
    if len(shards) == 1:
        _safetensors.write(str(folder / SINGLE), arrays, {"format": "pt"})
        (folder / INDEX).unlink(missing_ok=True)
        return
    weight_map = {}
    for i, names in enumerate(shards, 1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        part = {name: arrays[name] for name in names}
        _safetensors.write(str(folder / file), part, {"format": "pt"})
        weight_map.update(dict.fromkeys(names, file))
    total = sum(a.nbytes for a in arrays.values())
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def shard_files(folder: str | os.PathLike[str]) -> dict[Path, list[str]]:
    """Names of tensors by the file they are in, of an index or of a single file.

    FileNotFoundError where files are absent, ValueError where index and files contradict.
    """
    folder = Path(folder)
    if (folder / INDEX).is_file():
        listed: dict[str, str] = _read_index(folder / INDEX)
        files = sorted(set(listed.values()))
    elif (folder / SINGLE).is_file():
        listed, files = {}, [SINGLE]
    else:
        raise FileNotFoundError(f"checkpoint: {folder} has neither {INDEX} nor {SINGLE}")
    absent = [f for f in files if Path(f).name != f or not (folder / f).is_file()]
    if absent:
        raise FileNotFoundError(f"checkpoint: {INDEX} names files that {folder} lacks: {absent}")
    found = {}
    for file in files:
        with _mapped(folder / file) as reader:
            found[folder / file] = reader.names
    if listed:
        _check_index(listed, found)
    return found


def _read_index(path: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint: {path} is no index of safetensors: {error!r}") from None
    if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
        raise ValueError(f"checkpoint: {path}: 'weight_map' gives no file for each name")
    return weight_map


def _check_index(listed: Mapping[str, str], found: Mapping[Path, list[str]]) -> None:
    where: dict[str, str] = {}
    for path, names in found.items():
        for name in names:
            if name in where:
                raise ValueError(f"checkpoint: {name} is in both {where[name]} and {path.name}")
            where[name] = path.name
    for name, file in listed.items():
        if where.get(name) != file:
            raise ValueError(
                f"checkpoint: {INDEX} says that {name} is in {file}, but it is"
                f" {'in ' + where[name] if name in where else 'nowhere'}"
            )


# ------------------------------------------------------------------------------ what fits
def _compare(state: Mapping[str, Any], shards: Mapping[Path, list[str]], folder: Path) -> None:
    """CheckpointMismatch, with every name that does not fit, before anything is loaded."""
    present = {name for names in shards.values() for name in names}
    problems = {
        "missing": [n for n in state if n not in present],
        "unexpected": sorted(n for n in present if n not in state and not n.endswith(COMPUTED)),
        "of another shape": [],
        "of a dtype that is no float": [],
    }
    for path, names in shards.items():
        with _mapped(path) as reader:
            for name in names:
                if name not in state:
                    continue
                array, expected = reader.array(name), tuple(state[name].shape)
                if array.shape != expected:
                    text = f"{name}: expected {expected}, but {path.name} has {array.shape}"
                    problems["of another shape"].append(text)
                elif array.dtype.name not in ("float32", "float64", "float16", "bfloat16"):
                    problems["of a dtype that is no float"].append(f"{name}: {array.dtype.name}")
    lines = [_listed(kind, names) for kind, names in problems.items() if names]
    if lines:
        raise CheckpointMismatch(
            f"checkpoint: the tensors of {folder} are not those of the model:\n" + "\n".join(lines)
        )


def _listed(kind: str, names: list[str]) -> str:
    more = f"\n    and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"  {len(names)} {kind}:\n    " + "\n    ".join(names[:SHOWN]) + more


def _float_dtype(dtype: Any) -> Any:
    found = {"float32": float32, "bfloat16": bfloat16}.get(getattr(dtype, "name", dtype))
    if found is None:
        raise ValueError(f"checkpoint: dtype must be float32 or bfloat16, but got {dtype}")
    return found


def _converted(array: np.ndarray, dtype: Any) -> np.ndarray:
    """The mapped array itself, or a copy of another dtype in memory."""
    return array if dtype is None or array.dtype == dtype else array.astype(dtype)


# ------------------------------------------------------------------------------ files
@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[_safetensors.Reader]:
    with Source(str(path)) as source:
        yield _safetensors.Reader(source, mmap=True)


def _shards(arrays: Mapping[str, np.ndarray], limit: int) -> list[list[str]]:
    """Names in order, cut where a shard would pass the limit (a larger tensor has one alone)."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, array in arrays.items():
        if shards[-1] and size + array.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += array.nbytes
    return shards


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=2) + "\n"
    write_whole(
        str(path),
        lambda beside: Path(beside).write_text(text, encoding="utf-8"),
        lambda file: file.write(text.encode()),
    )


def _with_bar(paths: list[Path], bar: bool) -> Any:
    if not bar:
        return paths
    from tqdm import tqdm

    return tqdm(paths, desc="loading", unit="shard")
