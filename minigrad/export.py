"""Public names, declared where the thing is defined; the rules are those of TensorFlow's tf_export.

    @export("nn.functional.gelu", "gelu")        # the first name is the canonical one
    def gelu(input, approximate="none"): ...

    export("finfo")(finfo)                       # a thing that exists already
    export_constant(__name__, "pi", "pi")        # a value: module, public name, name in the module

    @export("nn.functional.silu", "nn.functional.swish", deprecated=["nn.functional.swish"])
    def silu(input): ...                         # the old name works, with a DeprecationWarning

The names are written on the thing itself (`_minigrad_api_names`), where subclasses do not inherit
them, and into one table from which the public namespace (`populate`), the API pages and the golden
file of the API (`exported`) are made. Names under `Tensor.` are listed, but put in place by the
table of methods.

Another API has its own partial, and keeps to names below its own:

    plots_export = functools.partial(api_export, api_name="plots")
    @plots_export("plots.loss_curve")

v1 names are those of an earlier API, by default the same. Where they differ, `<root>.compat.v1`
holds the earlier API in full.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from keyword import iskeyword
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

API_NAME = "minigrad"
METHODS = "Tensor."  # names below it are put in place by the table of methods
V1 = "compat.v1."
INTERNAL = frozenset({"backend", "compat", "core", "kernels", "ops"})
"""Sub-packages under which nothing is public: the lower layers, and the place of the v1 names."""

_CONSTANT: Any = object()  # stands for a constant in the table: its value is read when asked for
_MISSING: Any = object()


class SymbolAlreadyExposedError(Exception):
    """A symbol that has public names is exported again, without `allow_multiple_exports`."""


class SymbolExposedTwiceError(Exception):
    """Two symbols claim one public name, or the place of a public name is taken."""


class InvalidSymbolNameError(Exception):
    """A name that cannot be public: malformed, reserved, or outside its API."""


class ApiAttributes(NamedTuple):
    """Under which attributes an API keeps its names on symbols, its constants on modules."""

    names: str
    names_v1: str
    deprecated: str
    constants: str
    constants_v1: str


class Export(NamedTuple):
    """One public name, and where the thing behind it is defined."""

    name: str
    canonical: str
    api_name: str
    deprecated: bool
    module: str
    attribute: str
    symbol: Any

    @property
    def is_constant(self) -> bool:
        return self.symbol is _CONSTANT

    @property
    def source(self) -> str:
        return f"{self.module}.{self.attribute}"

    def value(self) -> Any:
        """The function, class or constant; AttributeError if a constant's module lacks it."""
        if self.symbol is not _CONSTANT:
            return self.symbol
        value = getattr(sys.modules[self.module], self.attribute, _MISSING)
        if value is _MISSING:
            raise AttributeError(
                f"{self.name!r} is exported as {self.source}, which does not exist"
            )
        return value


_APIS: dict[str, ApiAttributes] = {}
_SYMBOLS: dict[str, Export] = {}
_SYMBOLS_V1: dict[str, Export] = {}
# What is kept for symbols that take no attributes (functions and types written in C), by their id.
# The symbol is kept with it, so that the id stays its own.
_ASIDE: dict[int, tuple[Any, dict[str, tuple[str, ...]]]] = {}


# ---------------------------------------------------------------------------- declaring
class api_export:  # the name is TensorFlow's
    """Gives public names to a function, a class, or (`export_constant`) a value.

    Args:
        names: dotted names, the canonical one first.
        api_name: the API that they belong to.
        v1: names in the earlier API; the same ones if left out, none for `[]`.
        deprecated: those of the names that only old programs use.
        overrides: symbols that lose their names in this API to this one.
        allow_multiple_exports: add names to a symbol that has some.

    InvalidSymbolNameError for a name that is malformed, reserved or outside the API; ValueError for
    `v2=`, as in TensorFlow. When the result is applied: SymbolAlreadyExposedError,
    SymbolExposedTwiceError. A failed export changes nothing.
    """

    def __init__(
        self,
        *names: str,
        api_name: str = API_NAME,
        v1: Sequence[str] | None = None,
        deprecated: Sequence[str] = (),
        overrides: Sequence[Any] = (),
        allow_multiple_exports: bool = False,
        **unknown: Any,
    ):
        if "v2" in unknown:
            raise ValueError(
                "export: no argument 'v2'; the positional names are those of version 2"
            )
        if unknown:
            raise TypeError(f"export: unexpected argument {', '.join(map(repr, unknown))}")
        self._names = _as_names("names", names)
        self._names_v1 = self._names if v1 is None else _as_names("v1", v1)
        self._deprecated = _as_names("deprecated", deprecated) if deprecated else ()
        self._overrides = overrides
        self._api_name = api_name
        self._allow_multiple_exports = allow_multiple_exports
        self._check_names()
        self._attributes = _declare_api(api_name)

    def _check_names(self) -> None:
        every = self._names
        if self._names_v1 is not every:
            every += self._names_v1
        if not every:
            raise InvalidSymbolNameError("export: no name given")
        for name in every:
            _check_name(name, self._api_name)
        if unknown := set(self._deprecated).difference(every):
            raise InvalidSymbolNameError(f"export: deprecated names that are no names: {unknown}")

    def __call__(self, symbol: T) -> T:
        """Give the names to `symbol`, which is returned unchanged but for its attributes."""
        if not callable(symbol) and getattr(symbol, "__dict__", None) is None:
            raise TypeError(
                f"export({self._names[:1]}): {type(symbol).__name__!r} objects take no attributes\n"
                "  help: export_constant(__name__, public_name, name) exports a value"
            )
        old, old_v1, old_deprecated = self._already(symbol)
        if (old or old_v1) and not self._allow_multiple_exports:
            raise SymbolAlreadyExposedError(
                f"{_source(symbol)} is already exposed as {', '.join(old or old_v1)}; "
                f"it cannot become {', '.join(self._names or self._names_v1)}"
            )
        names, names_v1 = _union(old, self._names), _union(old_v1, self._names_v1)
        deprecated = _union(old_deprecated, self._deprecated)
        self._claim(symbol, _module_of(symbol), _name_of(symbol), names, names_v1, deprecated)
        where = self._attributes
        _store(symbol, {where.names: names, where.names_v1: names_v1, where.deprecated: deprecated})
        return symbol

    def export_constant(self, module_name: str, name: str) -> None:
        """Export the value that module `module_name` has, or will have, under `name`.

        KeyError if the module is not imported. The module keeps the list, as in TensorFlow.
        """
        module = sys.modules[module_name]
        names, names_v1 = self._names, self._names_v1
        self._claim(_CONSTANT, module_name, name, names, names_v1, self._deprecated)
        where = self._attributes
        vars(module).setdefault(where.constants, []).append((self._names, name))
        vars(module).setdefault(where.constants_v1, []).append((self._names_v1, name))

    def _already(self, symbol: Any) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The names of `symbol`'s own; functools.wraps copies those of another function onto it."""
        where = self._attributes
        names, names_v1 = _stored(symbol, where.names), _stored(symbol, where.names_v1)
        for table, held in ((_SYMBOLS, names), (_SYMBOLS_V1, names_v1)):
            for name in held:
                if name in table and table[name].symbol is symbol:
                    return names, names_v1, _stored(symbol, where.deprecated)
        return (), (), ()

    def _claim(
        self,
        symbol: Any,
        module: str,
        attribute: str,
        names: tuple[str, ...],
        names_v1: tuple[str, ...],
        deprecated: tuple[str, ...],
    ) -> None:
        """Enter the names, and those of the v1 API, into the tables; all of them or none."""
        canonical = get_canonical_name(names, deprecated)
        canonical_v1 = canonical or V1 + str(get_canonical_name(names_v1, deprecated))

        def entry(name: str, prefix: str, canonical: str) -> Export:
            old = name in deprecated
            return Export(prefix + name, canonical, self._api_name, old, module, attribute, symbol)

        new = {name: entry(name, "", canonical or name) for name in names}
        new_v1 = new
        if names_v1 is not names and set(names_v1) != set(names):
            new_v1 = {name: entry(name, V1, canonical_v1) for name in names_v1}
        losers = [id(loser) for loser in self._overrides]
        for table, entries in ((_SYMBOLS, new), (_SYMBOLS_V1, new_v1)):
            for name in entries.keys() & table.keys():
                holder, claim = table[name], entries[name]
                if not _same(holder, claim) and id(holder.symbol) not in losers:
                    raise _claimed_twice(claim.name, holder.source, claim.source)
        for loser in self._overrides:
            self._withdraw(loser)
        _SYMBOLS.update(new)
        _SYMBOLS_V1.update(new_v1)

    def _withdraw(self, symbol: Any) -> None:
        for table in (_SYMBOLS, _SYMBOLS_V1):
            for key in [key for key, export in table.items() if export.symbol is symbol]:
                if table[key].api_name == self._api_name:
                    del table[key]
        where = self._attributes
        _store(symbol, {where.names: (), where.names_v1: (), where.deprecated: ()})


export = functools.partial(api_export, api_name=API_NAME)


def export_constant(module_name: str, dotted: str, name: str) -> None:
    """Make the value `name` of module `module_name` public as `dotted`; see `api_export`."""
    export(dotted).export_constant(module_name, name)


def kwarg_only(f: Callable[..., T]) -> Callable[..., T]:
    """`f` called with keyword arguments alone; a positional one is a TypeError.

    The result has `f`'s public names, and a signature whose parameters are keyword-only. TypeError
    if `f` has parameters that cannot be named.
    """
    import inspect

    @functools.wraps(f)
    def wrapper(**kwargs: Any) -> T:
        return f(**kwargs)

    signature = inspect.signature(f)
    if any(p.kind is p.POSITIONAL_ONLY for p in signature.parameters.values()):
        raise TypeError(f"kwarg_only: {_source(f)}{signature} takes parameters by position only")
    parameters = [
        p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY)
        for p in signature.parameters.values()
        if p.kind is not p.VAR_POSITIONAL
    ]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper


# ---------------------------------------------------------------------------- asking
def get_canonical_name(api_names: Sequence[str], deprecated_api_names: Sequence[str]) -> str | None:
    """The first name that is not deprecated, else the first, else None."""
    for name in api_names:
        if name not in deprecated_api_names:
            return name
    return api_names[0] if api_names else None


def get_canonical_name_for_symbol(
    symbol: Any, api_name: str = API_NAME, add_prefix_to_v1_names: bool = False
) -> str | None:
    """The canonical public name of a function or class, or None if it has none of its own.

    A symbol that only the v1 API has is given by its name there, with "compat.v1." before it if
    asked. A wrapper made with functools.wraps goes by the name of what it wraps until it is
    exported itself. KeyError for an API that nobody has declared.
    """
    where = _APIS[api_name]
    deprecated = _stored(symbol, where.deprecated)
    name = get_canonical_name(_stored(symbol, where.names), deprecated)
    if name is not None:
        return name
    name = get_canonical_name(_stored(symbol, where.names_v1), deprecated)
    return V1 + name if name is not None and add_prefix_to_v1_names else name


def get_symbol_from_name(name: str) -> Any:
    """The function, class or constant with this public name ("compat.v1.x" too), or None."""
    if name.startswith(V1):
        found = _SYMBOLS_V1.get(name[len(V1) :])
    else:
        found = _SYMBOLS.get(name)
    return None if found is None else found.value()


def get_v1_names(symbol: Any) -> list[str]:
    """The names of `symbol` in the v1 versions of all APIs."""
    return [name for where in _APIS.values() for name in _stored(symbol, where.names_v1)]


def get_v2_names(symbol: Any) -> list[str]:
    """The names of `symbol` in all APIs."""
    return [name for where in _APIS.values() for name in _stored(symbol, where.names)]


def get_v1_constants(module: ModuleType) -> list[tuple[tuple[str, ...], str]]:
    """(public names, name in the module) of each constant of the v1 APIs that `module` defines."""
    return [item for where in _APIS.values() for item in vars(module).get(where.constants_v1, ())]


def get_v2_constants(module: ModuleType) -> list[tuple[tuple[str, ...], str]]:
    """(public names, name in the module) of each constant that `module` defines."""
    return [item for where in _APIS.values() for item in vars(module).get(where.constants, ())]


def exported() -> list[Export]:
    """Every public name, sorted; of the v1 API's names those that mean something else today."""
    every = dict(_SYMBOLS)
    for name, export in _SYMBOLS_V1.items():
        if name not in _SYMBOLS or not _same(_SYMBOLS[name], export):
            every[V1 + name] = export
    return [export for _, export in sorted(every.items())]


def places() -> dict[str, dict[str, Export]]:
    """What `populate` puts where, by namespace; the v1 API in full, if it differs in anything."""
    every = _SYMBOLS
    if every != _SYMBOLS_V1:
        every = every | {V1 + name: export for name, export in _SYMBOLS_V1.items()}
    spaces: dict[str, dict[str, Export]] = {}
    for name, export in every.items():
        space, _, leaf = name.rpartition(".")
        spaces.setdefault(space, {})[leaf] = export
    methods = (METHODS, V1 + METHODS)
    return {space: names for space, names in spaces.items() if not f"{space}.".startswith(methods)}


# ---------------------------------------------------------------------------- the public namespace
def populate(root: str = API_NAME) -> None:
    """Put every exported name in its place below the package `root`, at the end of its import.

    "nn.functional.gelu" becomes the attribute `gelu` of the module `<root>.nn.functional`. A
    namespace that is a file is imported, any other becomes a module without a file. Deprecated
    names are answered by the module's `__getattr__`, with a warning. Nothing is overwritten: where
    another object, or a submodule, is in the way, SymbolExposedTwiceError names both and no
    namespace is changed. A second call adds what was exported since.
    """
    tree = _Namespace(root)
    spaces: dict[str, dict[str, Export]] = {}
    known = -1
    while known != len(_SYMBOLS) + len(_SYMBOLS_V1):  # importing a file may export more
        known = len(_SYMBOLS) + len(_SYMBOLS_V1)
        spaces = places()
        for space in spaces:
            tree.module(space)
    for space, exports in spaces.items():
        tree.place(space, exports)
    tree.finish()


class _Namespace:
    """The modules below a root package and what is about to be put into them."""

    def __init__(self, root: str):
        self.root = root
        self.modules: dict[str, ModuleType] = {"": sys.modules[root]}
        self.new: dict[str, dict[str, Any]] = {"": {}}  # per namespace, what is to be added
        self.deprecated: dict[str, dict[str, Export]] = {}
        self.made: list[ModuleType] = []

    def module(self, dotted: str) -> ModuleType:
        """The module of a namespace: imported, or made here."""
        module = self.modules.get(dotted)
        if module is not None:
            return module
        above, _, leaf = dotted.rpartition(".")
        parent = self.module(above)
        full = f"{self.root}.{dotted}"
        module = sys.modules.get(full)
        if module is None and _is_file(full, parent):
            module = importlib.import_module(full)
        if module is None:
            module = ModuleType(full, f"Public names of {full}, defined where `@export` stands.")
            module.__spec__ = ModuleSpec(full, None)
            module.__package__ = parent.__name__
            self.made.append(module)
            self._add(above, {leaf: module}, {})
        self.modules[dotted] = module
        self.new.setdefault(dotted, {})
        return module

    def place(self, space: str, exports: dict[str, Export]) -> None:
        current = {leaf: e.value() for leaf, e in exports.items() if not e.deprecated}
        self._add(space, current, exports)
        if len(current) < len(exports):
            self.deprecated[space] = {leaf: e for leaf, e in exports.items() if e.deprecated}

    def _add(self, space: str, values: dict[str, Any], exports: dict[str, Export]) -> None:
        for there in (self.new[space], vars(self.modules[space])):
            for leaf in there.keys() & values.keys():
                if there[leaf] is not values[leaf]:
                    name = ".".join(part for part in (self.root, space, leaf) if part)
                    here = exports[leaf].source if leaf in exports else _describe(values[leaf])
                    raise _claimed_twice(name, _describe(there[leaf]), here)
        self.new[space].update(values)

    def finish(self) -> None:
        sys.modules.update({module.__name__: module for module in self.made})
        for dotted, module in self.modules.items():
            vars(module).update(self.new[dotted])
        for dotted, names in self.deprecated.items():
            module = self.modules[dotted]
            answer = vars(module).get("__getattr__")
            if not isinstance(answer, _DeprecatedNames):
                answer = _DeprecatedNames(self.root, module)
                module.__getattr__ = answer  # type: ignore[method-assign]
            answer.names.update(names)


class _DeprecatedNames:
    """A module's `__getattr__`: warns on names that are deprecated, passes on all others."""

    def __init__(self, root: str, module: ModuleType):
        self.root, self.module = root, module.__name__
        self.before: Callable[[str], Any] | None = vars(module).get("__getattr__")
        self.names: dict[str, Export] = {}

    def __call__(self, leaf: str) -> Any:
        export = self.names.get(leaf)
        if export is not None:
            message = f"{self.module}.{leaf} is deprecated"
            if export.canonical != export.name:
                message += f"; use {self.root}.{export.canonical}"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return export.value()
        if self.before is not None:
            return self.before(leaf)
        raise AttributeError(f"module {self.module!r} has no attribute {leaf!r}")


def _is_file(full: str, parent: ModuleType) -> bool:
    """Is there a module of this name to import, other than a mere folder?"""
    path = vars(parent).get("__path__")
    spec = None if path is None else PathFinder.find_spec(full, path)
    return spec is not None and spec.origin is not None


# ---------------------------------------------------------------------------- names and symbols
def _declare_api(api_name: str) -> ApiAttributes:
    """The attributes of an API, new or known; a new one must find its place free."""
    where = _APIS.get(api_name)
    if where is not None:
        return where
    if not api_name.isidentifier():
        raise InvalidSymbolNameError(f"export: {api_name!r} cannot name an API")
    for name, holder in (*_SYMBOLS.items(), *_SYMBOLS_V1.items()):
        if name.partition(".")[0] == api_name != API_NAME:
            raise InvalidSymbolNameError(
                f"export: the API {api_name!r} finds {name!r} below it, from {holder.source}"
            )
    where = _APIS[api_name] = ApiAttributes(
        *(f"_{api_name}_{kind}" for kind in ("api_names", "api_names_v1", "deprecated_api_names")),
        *(f"_{api_name}_{kind}" for kind in ("api_constants", "api_constants_v1")),
    )
    return where


def _as_names(argument: str, names: Iterable[str]) -> tuple[str, ...]:
    listed = names if type(names) is tuple else tuple(names)
    if isinstance(names, str) or set(map(type, listed)) - {str}:
        raise TypeError(f"export: {argument} takes names in a sequence, but got {names!r}")
    if len(listed) > 1 and len(set(listed)) != len(listed):
        raise InvalidSymbolNameError(f"export: a name is given twice: {', '.join(listed)}")
    return listed


def _check_name(name: str, api_name: str) -> None:
    parts = name.split(".")
    for part in parts:
        if not part.isidentifier() or iskeyword(part):
            raise InvalidSymbolNameError(f"export: {name!r} is not a dotted name")
    if api_name != API_NAME:
        if parts[0] != api_name or len(parts) == 1:
            raise InvalidSymbolNameError(
                f"export: the API {api_name!r} exports below its own name, not {name!r}"
            )
    elif parts[0] == API_NAME:
        raise InvalidSymbolNameError(f"export: {name!r} is written without {API_NAME!r} before it")
    elif parts[0] in INTERNAL or parts[0] in _APIS:
        raise InvalidSymbolNameError(f"export: {name!r} is below {parts[0]!r}, which is reserved")


def _stored(symbol: Any, attribute: str) -> tuple[str, ...]:
    """The names that an object itself holds: its own `__dict__` counts, not that of its class."""
    while symbol is not None:
        own = getattr(symbol, "__dict__", None) or {}
        if attribute in own:
            return own[attribute]
        if id(symbol) in _ASIDE:
            return _ASIDE[id(symbol)][1].get(attribute, ())
        symbol = own.get("__wrapped__")
    return ()


def _store(symbol: Any, values: dict[str, tuple[str, ...]]) -> None:
    try:
        for attribute, names in values.items():
            setattr(symbol, attribute, names)
    except (AttributeError, TypeError):  # of functions and of types written in C
        _ASIDE.setdefault(id(symbol), (symbol, {}))[1].update(values)


def _union(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return (*old, *(name for name in new if name not in old)) if old else new


def _same(a: Export, b: Export) -> bool:
    return a.symbol is b.symbol and (a.symbol is not _CONSTANT or a.source == b.source)


def _claimed_twice(name: str, first: str, second: str) -> SymbolExposedTwiceError:
    return SymbolExposedTwiceError(f"{name} is claimed twice: by {first} and by {second}")


def _module_of(symbol: Any) -> str:
    return getattr(symbol, "__module__", None) or type(symbol).__module__


def _name_of(symbol: Any) -> str:
    return getattr(symbol, "__qualname__", None) or type(symbol).__qualname__


def _source(symbol: Any) -> str:
    return f"{_module_of(symbol)}.{_name_of(symbol)}"


def _describe(there: Any) -> str:
    if isinstance(there, ModuleType):
        return f"the {'module' if '__file__' in vars(there) else 'namespace'} {there.__name__}"
    return _source(there) if callable(there) else f"a value of type {type(there).__name__}"


_declare_api(API_NAME)
