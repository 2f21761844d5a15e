"""Every switch of minigrad: an environment variable, a default, a sentence, a type.

    MINIGRAD_KERNELS=off python train.py      for a whole process

    from minigrad import config
    config.kernels                            # "auto" or "off"
    with config.using(kernels="off"):         # for a block, or as a decorator for a function
        ...

The environment is read once, at import. `using` lives in a context variable: it holds for this
thread (or asyncio task) and ends with the block; a new thread starts from the process' settings.
`markdown()` is docs/config.md.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Settings(NamedTuple):
    """The values of all switches, immutable. Hot paths read `config.SETTINGS.get().kernels`."""

    kernels: str
    debug: int
    cache_dir: Path
    malloc: str


class Switch(NamedTuple):
    """One switch. `parse` makes a value of the text of the environment, or of what `using` got."""

    name: str
    parse: Callable[[Any], Any]
    default: Callable[[Mapping[str, str]], Any]
    values: str  # what may be written, for messages and the documentation
    default_text: str
    doc: str

    @property
    def variable(self) -> str:
        return f"MINIGRAD_{self.name.upper()}"

    def read(self, environment: Mapping[str, str]) -> Any:
        """The value in `environment`; unset or empty is the default. ValueError if it is none."""
        text = environment.get(self.variable, "")
        return self.check(text, self.variable) if text else self.default(environment)

    def check(self, value: Any, called: str) -> Any:
        """`value` as this switch's type, or a ValueError that calls the switch `called`."""
        try:
            return self.parse(value)
        except (ValueError, TypeError):
            raise ValueError(
                f"{called}: expected {self.values}, but got {value!r}\n  help: {self.doc}"
            ) from None


def _one_of(*values: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in values:
            raise ValueError(value)
        return value

    return parse


def _level(value: Any) -> int:
    if isinstance(value, float) or int(value) not in range(4):
        raise ValueError(value)
    return int(value)


def _cache_folder(environment: Mapping[str, str]) -> Path:
    """Where the XDG base directory specification puts what can be made again."""
    base = environment.get("XDG_CACHE_HOME", "")
    return Path(base or os.path.join(os.path.expanduser("~"), ".cache")) / "minigrad"


SWITCHES = (
    Switch(
        "kernels",
        parse=_one_of("auto", "off"),
        default=lambda _: "auto",
        values="`auto` or `off`",
        default_text="`auto`",
        doc="Compiled kernels where they are faster (`auto`), or the NumPy formulas everywhere "
        "(`off`), to find out whether a kernel is to blame.",
    ),
    Switch(
        "debug",
        parse=_level,
        default=lambda _: 0,
        values="`0`, `1`, `2` or `3`",
        default_text="`0`",
        doc="How much is told while running: nothing (0), errors and nan with their forward line "
        "(1), also time and bytes of each op (2), also the source of compiled kernels (3).",
    ),
    Switch(
        "cache_dir",
        parse=lambda value: Path(value).expanduser(),
        default=_cache_folder,
        values="a folder",
        default_text="`$XDG_CACHE_HOME/minigrad`, or `~/.cache/minigrad`",
        doc="Where compiled kernels are kept between runs; the folder is made when something is "
        "first written to it.",
    ),
    Switch(
        "malloc",
        parse=_one_of("auto", "off"),
        default=lambda _: "auto",
        values="`auto` or `off`",
        default_text="`auto`",
        doc="Let the C library keep the memory of freed arrays for the next ones, and start large "
        "arrays at multiples of 64 bytes (`auto`), which large ops need to be fast; or leave its "
        "allocator, and NumPy's, alone (`off`). Read once, at import.",
    ),
)
_BY_NAME = {switch.name: switch for switch in SWITCHES}

# `config.kernels` etc.: answered by __getattr__ below from the settings of the moment
kernels: str
debug: int
cache_dir: Path
malloc: str


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for; ValueError names a variable without sense."""
    return Settings(**{switch.name: switch.read(environment) for switch in SWITCHES})


_AT_START = from_environment(os.environ)
SETTINGS: ContextVar[Settings] = ContextVar("minigrad_settings", default=_AT_START)


def __getattr__(name: str) -> Any:
    if name in _BY_NAME:
        return getattr(SETTINGS.get(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class using:
    """Other settings for a block or a function: `with using(kernels="off"):`, nested as deep as one
    likes.

    TypeError for a switch that does not exist, ValueError for a value that it cannot have; both at
    once, before the block is entered.
    """

    def __init__(self, **values: Any):
        unknown = sorted(set(values) - set(_BY_NAME))
        if unknown:
            raise TypeError(
                f"config.using: no switch {', '.join(map(repr, unknown))}\n"
                f"  help: the switches are {', '.join(_BY_NAME)}"
            )
        self._values = {
            name: _BY_NAME[name].check(value, f"config.using: {name}")
            for name, value in values.items()
        }
        self._outer: list[Settings] = []

    def __enter__(self) -> Settings:
        outer = SETTINGS.get()
        self._outer.append(outer)
        settings = outer._replace(**self._values)
        SETTINGS.set(settings)
        return settings

    def __exit__(self, *exc: object) -> None:
        SETTINGS.set(self._outer.pop())

    def __call__(self, func: F) -> F:
        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with using(**self._values):  # one of its own: several threads may be inside at once
                return func(*args, **kwargs)

        return run  # type: ignore[return-value]


def markdown() -> str:
    """The text of docs/config.md: a table of all switches."""
    lines = [
        "# Switches",
        "",
        "Made by `minigrad.config.markdown()`; a test holds this page to the code.",
        "",
        "Each switch is an environment variable, read once when minigrad is imported, and a name",
        'for `with minigrad.config.using(kernels="off"):`, which holds for the block and the',
        "current thread.",
        "",
        "| variable | name | values | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for s in SWITCHES:
        lines.append(f"| `{s.variable}` | `{s.name}` | {s.values} | {s.default_text} | {s.doc} |")
    return "\n".join(lines) + "\n"
