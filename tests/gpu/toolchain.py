"""Compilers for CUDA C on a machine without a GPU, and running what they made on its CPU.

`device_code` is what the kernels are for a GPU, by NVRTC or nvcc; `Emulated` is the same text
compiled by g++ with emulator.h, and can be called with NumPy arrays. Where a compiler is missing,
`WHY_NO_...` says so, and the tests are skipped with that.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.cuda.source import Source, prelude

ARCHITECTURE = "sm_90"
HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"minigrad-emulated-{os.getuid()}"


# ------------------------------------------------------------------------------ for a GPU
class DeviceCode(NamedTuple):
    """What a kernel became: its PTX, and what ptxas said about it."""

    ptx: str
    registers: int
    spills: int


def _nvrtc_path() -> Path | None:
    """NVIDIA's run-time compiler, as its wheels install it."""
    for package in ("nvidia.cu13", "nvidia.cuda_nvrtc"):
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            continue
        for folder in found.submodule_search_locations or () if found else ():
            for path in sorted(Path(folder, "lib").glob("libnvrtc.so.*")):
                return path
    return None


NVRTC, NVCC, PTXAS = _nvrtc_path(), shutil.which("nvcc"), shutil.which("ptxas")
WHY_NO_DEVICE_COMPILER = (
    None
    if NVRTC or (NVCC and PTXAS)
    else "needs NVRTC (pip install nvidia-cuda-nvrtc) or nvcc and ptxas, to compile for a GPU"
)
COMPILER = "nvrtc" if NVRTC else "nvcc"


def device_code(sources: Sequence[Source]) -> dict[str, DeviceCode]:
    """All kernels compiled for a GPU, some at once; RuntimeError with the compiler's words."""
    sources = list({s.name: s for s in sources}.values())
    parts = [sources[i : i + 24] for i in range(0, len(sources), 24)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return {name: code for part in pool.map(_compiled, parts) for name, code in part.items()}


def _compiled(sources: Sequence[Source]) -> dict[str, DeviceCode]:
    program = prelude() + "".join([s.text for s in sources])
    ptx, log = _by_nvrtc(program) if NVRTC else _by_nvcc(program)
    found = {}
    for source in sources:
        name = re.escape(source.name)
        text = re.search(rf"\.visible \.entry {name}\(.*?\n}}", ptx, re.DOTALL)
        said = re.search(
            rf"Compiling entry function '{name}'.*?(\d+) bytes spill stores, "
            r"(\d+) bytes spill loads.*?Used (\d+) registers",
            log,
            re.DOTALL,
        )
        assert text is not None and said is not None, f"{source.name} is not in what was compiled"
        stores, loads, registers = map(int, said.groups())
        found[source.name] = DeviceCode(text.group(), registers, stores + loads)
    return found


def _by_nvcc(program: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        cu, ptx = Path(folder, "k.cu"), Path(folder, "k.ptx")
        cu.write_text(program)
        _run([NVCC, f"-arch={ARCHITECTURE}", "-std=c++17", "-ptx", "-o", ptx, cu])
        out = Path(folder, "k.cubin")
        log = _run([PTXAS, "-v", f"-arch={ARCHITECTURE}", "-o", out, ptx])
        return ptx.read_text(), log


def _run(command: Sequence[Any]) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout)[:4000])
    return done.stderr


def _by_nvrtc(program: str) -> tuple[str, str]:
    library = _nvrtc()
    handle = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(handle), program.encode(), b"k.cu", 0, None, None)
    options = [f"--gpu-architecture={ARCHITECTURE}", "--std=c++17", "--ptxas-options=-v"]
    array = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
    failed = library.nvrtcCompileProgram(handle, len(options), array)
    log = _text(library, handle, "ProgramLog")
    if failed:
        raise RuntimeError(log)
    return _text(library, handle, "PTX"), log


def _text(library: Any, handle: Any, what: str) -> str:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(handle, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(handle, text)
    return text.value.decode()


@functools.cache
def _nvrtc() -> Any:
    assert NVRTC is not None
    for builtins in NVRTC.parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(NVRTC))


# ------------------------------------------------------------------------------ on the CPU
CXX = shutil.which("g++")
WHY_NO_EMULATOR = None if CXX else "needs g++, to run CUDA C on the CPU"


class Emulated:
    """Kernels that run on the CPU: `run(name, grid, block, arguments)`.

    Arguments are NumPy arrays (their memory is the device's), NumPy numbers of the parameter's
    type, and bytes for a struct by value. `order` is that of the threads: 0 as they are numbered,
    1 backwards, else a seed. AssertionError for barriers that some threads miss.
    """

    def __init__(self, sources: Sequence[Source]):
        sources = list({s.name: s for s in sources}.values())
        program = "".join([s.text for s in sources])
        wrappers = "".join([_wrapper(s) for s in sources])
        text = f'#include "{_header()}"\n{program}\n{wrappers}'
        self.library = ctypes.CDLL(str(built(text)))

    def run(
        self, name: str, grid: tuple[int, int], block: int, arguments: Sequence[Any], order: int = 0
    ) -> None:
        keep = [_in_memory(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(keep))(*[ctypes.addressof(k) for k in keep])
        call = getattr(self.library, f"run_{name}")
        call.restype = ctypes.c_char_p
        trouble = call(pointers, grid[0], grid[1], block, order)
        assert trouble is None, f"{name}: {trouble.decode()}"


def _in_memory(argument: Any) -> Any:
    """Something whose address is that of the argument's value."""
    if isinstance(argument, np.ndarray):
        return ctypes.c_void_p(argument.ctypes.data)
    raw = argument if isinstance(argument, bytes) else np.asarray(argument).tobytes()
    return ctypes.create_string_buffer(raw, len(raw))


def _wrapper(source: Source) -> str:
    """C functions that call the kernel with arguments by address, as cuLaunchKernel does."""
    match = re.search(rf"\b{source.name}\((.*?)\)\s*{{", source.text, re.DOTALL)
    assert match is not None, source.text
    parameters = [p.strip() for p in match.group(1).split(",")]
    values = []
    for i, parameter in enumerate(parameters):
        kind = re.sub(r"\b(const|__restrict__)\b", "", parameter).rsplit(None, 1)[0]
        if "*" in parameter:
            kind = parameter.partition("*")[0].replace("const", "") + "*"
        values.append(f"*({kind.strip()} *)a[{i}]")
    name, space = source.name, f"in_{source.name}"
    return (
        f"namespace {space} {{ static void call(void **a) {{ {name}({', '.join(values)}); }} }}\n"
        f'extern "C" const char *run_{name}(void **a, int x, int y, int threads, int order) '
        f"{{ return run_grid({space}::call, a, x, y, threads, order); }}\n"
    )


FLAGS = "-std=c++17 -O1 -fPIC -w -ffp-contract=off".split()
"""No contraction to fused multiply-add: formulas are compared digit by digit."""


@functools.cache
def _header() -> Path:
    """What all kernels include, compiled once: it takes longer than most of them."""
    text = (HERE / "emulator.h").read_text() + prelude()
    header = CACHE / f"{_digest(text)}.h"
    if not header.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, made = Path(folder, "k.h"), Path(folder, "k.h.gch")
            source.write_text(text)
            _run([CXX, *FLAGS, "-x", "c++-header", "-o", made, source])
            made.replace(f"{header}.gch")
            source.replace(header)
    return header


def built(text: str) -> Path:
    """The shared library of a program, kept for the next run."""
    library = CACHE / f"{_digest(text)}.so"
    if not library.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, made = Path(folder, "k.cpp"), Path(folder, "k.so")
            source.write_text(text)
            _run([CXX, *FLAGS, "-shared", "-o", made, source])
            made.replace(library)  # another process may have been faster
    return library


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
