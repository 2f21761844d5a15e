"""What a kernel is before it is compiled."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent


class Type(NamedTuple):
    """How a dtype is stored, and in what it is computed."""

    stored: str
    computed: str
    size: int


TYPES = {
    "float32": Type("float", "float", 4),
    "float64": Type("double", "double", 8),
    "float16": Type("f16", "float", 2),
    "bfloat16": Type("bf16", "float", 2),
    "bool": Type("bool", "bool", 1),
}
"""By the name of the dtype. Integers are left to CuPy."""
FLOATS = ("float32", "float64", "float16", "bfloat16")
INDICES = {"int32": "int", "int64": "Index"}

BYTES = 16
"""What one thread moves at once, the widest load that there is."""


class Source(NamedTuple):
    """The CUDA C of one kernel: `text` follows the prelude, and has no name outside itself but the
    kernel's. `results`: the dtypes of what an elementwise kernel writes; `shared`: bytes of shared
    memory beside those that the text declares.
    """

    name: str
    text: str
    results: tuple[str, ...] = ()
    block: int = 256
    shared: int = 0

    def program(self) -> str:
        """All that a compiler needs."""
        return prelude() + self.text


@functools.cache
def prelude() -> str:
    return (FOLDER / "prelude.cuh").read_text()


@functools.cache
def _body(file: str) -> str:
    return (FOLDER / file).read_text()


def from_file(
    file: str | tuple[str, ...], name: str, types: dict[str, str], numbers: dict[str, Any]
) -> str:
    """The text of a kernel in a .cuh file, or in several: `types` and `numbers` are what its names
    T, V ... mean, and `NAME` is its own.
    """
    given = [f"typedef {meaning} {t};" for t, meaning in types.items()]
    for key, value in numbers.items():
        value = str(value).lower() if isinstance(value, bool) else value
        given.append(f"constexpr int {key} = {value};")
    files = (file,) if isinstance(file, str) else file
    body = "".join([_body(f) for f in files]).replace("NAME", name)
    return f"namespace in_{name} {{\n" + "\n".join(given) + f"\n{body}}}\n"


def width(*sizes: int) -> int:
    """How many neighbours a thread takes so that the smallest number of bytes moves 16 at once."""
    return max(1, BYTES // min(sizes))


def vector(source: Source) -> int:
    """The V of a kernel: how many neighbours a thread takes."""
    return int(source.text.partition("constexpr int V = ")[2].partition(";")[0])


def row_group(n: int) -> int:
    """How many threads share a row of n elements: a warp up to 1024, else a block."""
    return 32 if n <= 1024 else 256
