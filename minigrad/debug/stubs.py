"""Type stubs of the public namespaces: type checkers cannot see names that an import puts in place.

A stub re-exports each name from where it is defined, `from minigrad.ops.activation import gelu as
gelu`. It hides the file that it stands for; therefore a file with definitions of its own gets none,
and names that are put into it from elsewhere are reported as unseen.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ..export import API_NAME, Export, places

HEADER = """\
# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

"""


def stubs(root: str = API_NAME) -> tuple[dict[Path, str], list[str]]:
    """The text of each stub, by its path below the imported package `root`; names without one."""
    spaces = {"": {}} | places()
    for space in list(spaces):
        while space := space.rpartition(".")[0]:
            spaces.setdefault(space, {})
    tree = _Tree(root, spaces)
    folder = tree.folders[""]
    if folder is None:
        raise ValueError(f"stubs: {root} is a file, not a package")
    texts = {path.relative_to(folder): tree.text(space) for space, path in tree.paths.items()}
    return texts, tree.unseen


def existing(package: Path) -> list[Path]:
    """The stubs that were made earlier."""
    title = HEADER.splitlines()[0]
    return [path for path in sorted(package.rglob("*.pyi")) if _first_line(path) == title]


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\n")


class _Tree:
    """The public namespaces: which get a stub, where, and where their names are to be found."""

    def __init__(self, root: str, spaces: dict[str, dict[str, Export]]):
        self.root, self.spaces = root, spaces
        self.unseen: list[str] = []
        self.folders: dict[str, Path | None] = {}  # of those that are packages
        self.paths: dict[str, Path] = {}
        self.sources: dict[str, _Source] = {}  # of those that are files
        for space in sorted(spaces):
            self._settle(space)
        self.homes = self._homes()

    def _full(self, space: str) -> str:
        return f"{self.root}.{space}" if space else self.root

    def _children(self, space: str) -> list[str]:
        below = (s for s in self.spaces if s and s.rpartition(".")[0] == space)
        return sorted(s.rpartition(".")[2] for s in below)

    def _settle(self, space: str) -> None:
        """Decide on the stub of a namespace; those above it are settled already."""
        module = sys.modules[self._full(space)]
        file = vars(module).get("__file__")
        if file is not None:
            path = Path(file).resolve()
            self.folders[space] = path.parent if path.name == "__init__.py" else None
            source = self.sources[space] = _Source(path)
            if not source.defines:
                self.paths[space] = path.with_suffix(".pyi")
                return
            hidden = [leaf for leaf in sorted(self.spaces[space]) if leaf not in source.bound]
            if hidden:
                self._leave(space, hidden, f"{path.name} has definitions of its own")
            return
        above, _, leaf = space.rpartition(".")
        folder = self.folders[above]
        self.folders[space] = None
        if folder is None:
            self._leave(space, sorted(self.spaces[space]), f"{self._full(above)} is no package")
        elif self._children(space):
            self.folders[space] = folder / leaf
            self.paths[space] = folder / leaf / "__init__.pyi"
        else:
            self.paths[space] = folder / f"{leaf}.pyi"

    def _leave(self, space: str, names: Iterable[str], reason: str) -> None:
        self.unseen.append(f"{self._full(space)}: {', '.join(names)} ({reason})")

    def text(self, space: str) -> str:
        module = sys.modules[self._full(space)]
        exports = self.spaces[space]
        lines = []
        source = self.sources.get(space)
        if self.folders[space] is not None:
            below = {leaf: leaf for leaf in self._children(space)}
            below |= source.submodules if source is not None else {}
            for leaf in sorted(below.keys() - exports.keys()):
                lines.append(f"from . import {below[leaf]} as {leaf}")
        for leaf, export in sorted(exports.items()):
            lines.append(self._declaration(leaf, export))
        if source is not None:
            lines += list(self._rest(module, source, exports))
        return HEADER + "\n".join(lines) + "\n"

    def _declaration(self, leaf: str, export: Export) -> str:
        value = export.value()
        module, attribute = export.module, export.attribute
        if self.homes.get(module, {}).get(attribute) is not value or not attribute.isidentifier():
            module, attribute = self._home(value)
        if module and not (export.is_constant and module != export.module):
            return f"from {module} import {attribute} as {leaf}"
        return _typed(leaf, value)

    def _homes(self) -> dict[str, dict[str, Any]]:
        """What can be imported from where: from files that have no stub over them."""
        covered = {self._full(space) for space in self.paths}
        homes = {
            name: dict(vars(module))
            for name, module in sorted(sys.modules.items())
            if isinstance(module, ModuleType) and vars(module).get("__file__") is not None
            if name.partition(".")[0] == self.root and name not in covered
        }
        for space, source in self.sources.items():
            names = homes.get(self._full(space), {})
            homes[self._full(space)] = {n: v for n, v in names.items() if n in source.bound}
        return homes

    def _home(self, value: Any) -> tuple[str, str]:
        for module, names in self.homes.items():
            for name, there in names.items():
                if there is value:
                    return module, name
        return "", ""

    def _rest(self, module: ModuleType, source: _Source, known: Iterable[str]) -> Iterator[str]:
        """What the file itself assigns, and its version."""
        for name in sorted(source.assigned - set(known)):
            if not name.startswith("_") and name in vars(module):
                yield _typed(name, vars(module)[name])
        if "__version__" in source.bound:
            yield "__version__: _builtins.str"


def _typed(name: str, value: Any) -> str:
    """A declaration of a name that nothing else can be imported for."""
    if value is None:
        return f"{name}: None"
    if type(value) in (bool, int, float, str):
        return f"{name}: _builtins.{type(value).__name__}"
    if not inspect.isfunction(value):
        return f"{name}: _Any"
    bare = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else ...)
        for p in inspect.signature(value).parameters.values()
    ]
    parameters = str(inspect.Signature(bare)).replace("=Ellipsis", "=...")
    return f"def {name}{parameters} -> _Any: ..."


class _Source:
    """What a file binds at its top level, read without running it."""

    def __init__(self, path: Path):
        self.defines = False
        self.assigned: set[str] = set()
        self.submodules: dict[str, str] = {}  # from . import x as y: {y: x}
        self.bound: set[str] = set()
        self._read(ast.parse(path.read_text(encoding="utf-8")).body)
        self.bound |= self.assigned

    def _read(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.defines = True
                self.bound.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = {a.asname or a.name.partition(".")[0]: a.name for a in node.names}
                self.bound |= set(names)
                if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None:
                    self.submodules |= names
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found = (n for target in targets for n in ast.walk(target))
                self.assigned |= {n.id for n in found if isinstance(n, ast.Name)}
            elif isinstance(node, ast.If | ast.Try | ast.With):
                for part in ("body", "orelse", "finalbody"):
                    self._read(getattr(node, part, []))
