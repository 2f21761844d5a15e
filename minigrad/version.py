"""`minigrad.version`: the version, and those of the GPU libraries it was built for (none: CuPy
brings its own).
"""

from __future__ import annotations

from ._version import __version__ as __version__
from .export import export_constant

cuda: str | None = None
hip: str | None = None
xpu: str | None = None
debug = False
git_version = ""

for _name in ("cuda", "hip", "xpu", "debug", "git_version"):
    export_constant(__name__, f"version.{_name}", _name)
