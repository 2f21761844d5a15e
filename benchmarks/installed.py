"""What a library costs before it computes: seconds of its import, bytes on the disk."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from .libraries import environment

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_seconds(module: str) -> float:
    """Seconds of `import module` in a new process; its interpreter's own start is not counted."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(module)],
        env=environment(module),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def installed_bytes(module: str) -> int:
    """Bytes of the distribution `module` and of all that it requires, bytecode not counted.

    Optional requirements (extras) are left out, and so is what is required on other systems only.
    """
    found: set[str] = set()
    queue = [module]
    total = 0
    while queue:
        name = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        total += sum(_file_size(Path(str(f.locate()))) for f in distribution.files or ())
        for requirement in distribution.requires or ():
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            if match is not None and "extra ==" not in requirement:
                queue.append(match[0])
    return total + _bytes_elsewhere(module)


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.suffix != ".pyc" and path.is_file() else 0


def _bytes_elsewhere(module: str) -> int:
    """Of a package used from its source tree: its distribution does not list its files."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return 0
    folder = Path(spec.submodule_search_locations[0])
    try:
        files = importlib.metadata.distribution(module).files or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    if any(Path(str(f.locate())).is_relative_to(folder) for f in files):
        return 0
    return sum(_file_size(path) for path in folder.rglob("*"))
