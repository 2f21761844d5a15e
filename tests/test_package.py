"""The package as a whole: its version, what importing it costs, and whether the README is true."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
from functools import reduce
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
IMPORT_BUDGET = 0.25  # seconds
NUMPY_IMPORT = 0.09  # seconds, on the idle machine for which the budget is meant
LOADED_WHEN_NEEDED = {
    "cupy",
    "graphviz",
    "gymnasium",
    "matplotlib",
    "mpi4py",
    "numba",
    "PIL",
    "safetensors",
    "scipy",
    "sklearn",
    "torch",
    "tqdm",
}


def fresh_python(code: str, folder: Path, environment: dict[str, str] | None = None) -> str:
    """The output of `code` in a new process, started elsewhere: it finds the installed package."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def resolve(dotted: str) -> object:
    """The object behind `mg.nn.Linear`."""
    import minigrad

    return reduce(getattr, dotted.split(".")[1:], minigrad)


def test_version_comes_from_one_place() -> None:
    import minigrad
    from minigrad import _version

    assert minigrad.__version__ == _version.__version__
    assert importlib.metadata.version("minigrad") == _version.__version__


def test_changelog_knows_the_version() -> None:
    from minigrad import _version

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(_version.__version__)}\b", changelog, re.MULTILINE)


def test_types_are_shipped() -> None:
    assert importlib.resources.files("minigrad").joinpath("py.typed").is_file()


def test_import_loads_no_library_before_it_is_needed(tmp_path: Path) -> None:
    code = "import minigrad, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(fresh_python(code, tmp_path).split())
    assert {"minigrad", "numpy"} <= loaded
    assert not loaded & LOADED_WHEN_NEEDED


def test_import_prints_nothing(tmp_path: Path) -> None:
    assert fresh_python("import minigrad", tmp_path) == ""


def test_import_is_quick(tmp_path: Path) -> None:
    """At most 0.25 s, NumPy included: the best of seven, with compiled modules on disk as after any
    first run.

    On a machine that is busy with other tests everything takes longer, NumPy's own import (0.09 s
    on an idle one) too: it is timed right after ours, and stretches that round's budget by as much
    as it was stretched itself.
    """
    code = "from time import perf_counter as t; a = t(); import {}; print(t() - a)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "compiled")
    rounds = []
    for _ in range(7):
        ours, numpys = [
            float(fresh_python(code.format(name), tmp_path, environment))
            for name in ("minigrad", "numpy")
        ]
        rounds.append((ours / max(1.0, numpys / NUMPY_IMPORT), ours, numpys))
    assert min(rounds)[0] <= IMPORT_BUDGET, rounds


def test_readme_example_runs_and_learns(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    last = fresh_python(example, tmp_path).splitlines()[-1]
    assert float(last.split()[-1]) > 0.95, f"the README's network reached: {last}"


def test_readme_names_exist() -> None:
    names = set(re.findall(r"`(mg(?:\.\w+)+)`", README))
    assert len(names) >= 10
    missing = []
    for name in sorted(names):
        try:
            resolve(name)
        except AttributeError:
            missing.append(name)
    assert not missing


def test_readme_tree_is_the_tree() -> None:
    tree = README.partition("```text\n")[2].partition("```")[0]
    inside = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    folders = {path.parent.name for path in (ROOT / "minigrad").glob("*/__init__.py")}
    assert inside == folders
    outside = set(re.findall(r"^(\w+)/", tree, re.MULTILINE))
    assert all((ROOT / name).is_dir() for name in outside)
