"""What a call of a primitive leaves behind: which values are kept, and the rules that will use
them.

`Primitive` knows a function over arrays and its derivative rules; a `Plan` says what one of its
calls keeps when certain arguments require gradients; a `PrimitiveNode` is one such call, waiting
for backward. How primitives are declared and called is in primitive.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..backend.dtypes import F32, F64, HALF, from_numpy_dtype
from ..kernels.cpu.formulas import LOOPED
from ..kernels.cpu.loops import accelerate
from ..kernels.cuda.hosted import HOSTED, hosted
from .anomaly import note_forward
from .modes import DEFAULT, MODE, Mode
from .node import FREED, Node, edge_of, next_seq
from .tensor import Tensor, array_module, wrap

ndarray = np.ndarray
Array = Any
REGISTRY: dict[str, Primitive] = {}
"""Every primitive by name: what tests, benchmarks and the documentation walk over."""


class Plan(NamedTuple):
    """What one primitive keeps and does when a given subset of its arguments requires gradients."""

    wanted: tuple[bool, ...]
    keep: tuple[tuple[str, Any], ...]  # (kind, key) of each saved value
    fill: Callable[..., None]  # (node, args, raw, y, options, residuals, out): see `_filler`
    rules: tuple[tuple[int, Callable, Any], ...]  # (argument, rule, positions of its saved values)
    fast: tuple[tuple[int, Callable, Any], ...]  # the same, for arrays: compiled where that pays
    joint: Callable | None
    fast_joint: Callable | None
    all_fast: Callable[[Any, Any], Any]  # (g, saved) -> what all of `fast`, or fast_joint, return
    frees: bool  # holds memory that release() gives back


class PrimitiveNode(Node):
    """A recorded call of a primitive; every primitive has a subclass named after it."""

    __slots__ = ("plan", "saved", "versions", "unpack")
    plan: Plan
    saved: Any
    versions: Any
    unpack: Any
    primitive: Primitive
    differentiate: Callable[
        ..., list[Any]
    ]  # given by engine.py: gradients of a function of Tensors

    def run(self, g: Any, needed: Any, create_graph: bool) -> Any:
        plan, saved = self.plan, self.saved
        if saved is FREED:
            iter(FREED)  # raises
        for counter, version in self.versions:
            if counter[0] != version:
                raise _modified_error(self, counter[0], version)
        if self.unpack is not None:
            saved = self._unpacked()
        if create_graph:
            if self.primitive.composition is not None:
                return self._through_composition(g, saved)
            saved = self._as_tensors(saved)
            rules, joint = plan.rules, plan.joint
        else:
            dtype = self.dtype
            if not (dtype is F32 or dtype is F64) and dtype in HALF:
                if self.primitive.half != "device" or type(g) is ndarray:
                    g, saved = widen(g), [widen(s) for s in saved]
            if needed is None or plan.fast_joint is not None:
                return plan.all_fast(g, saved)
            rules, joint = plan.fast, None
        if joint is not None:
            return joint(g, *saved)
        grads: list[Any] = [None] * len(self.edges)
        for arg, rule, positions in rules:
            if needed is None or self.edges[arg][0] in needed:  # type: ignore[index]
                values = saved if positions is None else positions(saved)
                grads[arg] = rule(g, *values)
        return grads

    def release(self) -> None:
        if self.plan.frees:
            self.saved = FREED
            self.versions = ()
            self.unpack = None

    def _unpacked(self) -> list[Any]:
        values = list(self.saved)
        for position, unpack in self.unpack:
            values[position] = unpack(values[position])._data
        return values

    def _as_tensors(self, saved: Any) -> list[Any]:
        """The saved arrays as Tensors that know where they came from."""
        return [
            self._tensor(kind, key, value)
            for (kind, key), value in zip(self.plan.keep, saved, strict=True)
        ]

    def _tensor(self, kind: str, key: Any, value: Any) -> Any:
        if kind == "arg":
            return _attach(value, self.edges[key])
        if kind == "args":
            return tuple(_attach(v, e) for v, e in zip(value, self.edges[key:], strict=True))
        if kind == "y":
            if self.multi:
                return tuple(_attach(v, (self, i)) for i, v in enumerate(value))
            return _attach(value, (self, 0))
        return value  # residuals stay arrays: constants that operators take as they are

    def _through_composition(self, g: Any, saved: Any) -> Any:
        """Differentiate the differentiable formula instead of the fused kernel (for higher
        derivatives).
        """
        primitive = self.primitive
        pairs = zip(self.plan.keep, saved, strict=True)
        values = {key: value for (kind, key), value in pairs if kind in ("arg", "option")}
        args = [_attach(values[i], self.edges[i]) for i in range(primitive.arity)]
        options = {name: values[name] for name in primitive.options if name in values}
        return type(self).differentiate(primitive.composition, args, options, g, self.plan.wanted)


def _attach(value: Any, edge: tuple[Node, int] | None) -> Any:
    if array_module(value) is np and not isinstance(value, ndarray):
        return value
    t = wrap(value, edge is not None)
    if edge is not None:
        t._node, t._index = edge
    return t


def widen(x: Any) -> Any:
    """Half precision to float32, in which PyTorch computes it, too."""
    if getattr(x, "dtype", F32) in HALF:  # an array, wherever it is
        return x.astype(F32)
    return tuple(widen(v) for v in x) if type(x) is tuple else x


def _modified_error(node: PrimitiveNode, now: int, then: int) -> RuntimeError:
    shape = node.shape[0] if node.multi else node.shape
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace"
        " operation:"
        f" [minigrad.{from_numpy_dtype(node.dtype[0] if node.multi else node.dtype).name}"
        f" {list(shape)}], saved for {node.name()}, is at version {now}; expected version {then}"
        " instead. Hint: enable anomaly detection to find the operation that failed to compute its"
        " gradient, with minigrad.autograd.set_detect_anomaly(True)."
    )


class Primitive:
    """A function over arrays with its derivative rules. Made by `@primitive`, which returns its
    call path.
    """

    def __init__(
        self,
        forward: Callable,
        *,
        promote: str | None,
        residuals: tuple[str, ...],
        view: bool,
        half: str,
        composition: Callable | None,
    ):
        self.name = forward.__name__.strip("_")
        self.hosted = self.name in HOSTED
        if self.hosted:
            forward = hosted(forward)
        self.formula = forward
        self.forward = accelerate(forward, self.name) if self.name in LOOPED else forward
        self.promote = promote
        self.residuals = residuals
        self.view = view
        self.half = "keep" if view else half  # a view has nothing to round
        self.composition = composition
        self.same_dtype = False  # of the result and of `out=`
        self.check: Callable | None = None  # raises for two arguments that PyTorch refuses
        self.call: Callable = forward
        # from the code object: inspect.signature would take most of the package's import time
        code = inspect.unwrap(forward).__code__
        names, positional, keyword = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
        self.args = names[:positional]
        self.varargs = names[positional + keyword] if code.co_flags & inspect.CO_VARARGS else None
        defaults = inspect.unwrap(forward).__kwdefaults__ or {}
        self.options = {
            name: defaults.get(name) for name in names[positional : positional + keyword]
        }
        self.arity = len(self.args)
        self.differentiable = False  # until it is given rules
        self.rules: dict[str, Callable] = {}
        self.joint_rule: Callable | None = None
        self.fast_rules: dict[str, Callable] = {}
        self.fast_joint_rule: Callable | None = None
        self.together_rules: dict[tuple[bool, ...], Callable] = {}
        self.plans: dict[tuple[bool, ...], Plan] = {}
        title = "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))
        self.node_class: type[PrimitiveNode] = type(
            title + "Backward0", (PrimitiveNode,), {"__slots__": (), "primitive": self}
        )
        if self.name in REGISTRY:
            raise ValueError(f"primitive {self.name!r} is defined twice")
        REGISTRY[self.name] = self

    # ------------------------------------------------------------ derivative rules
    def vjp(self, **rules: Callable) -> None:
        """One rule per argument; raises at import if a rule asks for a name that there is not."""
        for arg, rule in rules.items():
            if arg not in self.args:
                raise TypeError(
                    f"{self.name}.vjp: no argument {arg!r}; it has {', '.join(self.args)}"
                )
            self._check_names(rule, f"{self.name}.vjp({arg})")
        if self.hosted:
            rules = {arg: hosted(rule) for arg, rule in rules.items()}
        self.rules.update(rules)
        self.differentiable = True
        if self.name in LOOPED:
            self.fast_rules.update({arg: self._looped(rule) for arg, rule in rules.items()})

    def fast(self, **rules: Callable) -> None:
        """Rules that replace those of `vjp` where all values are arrays, in an ordinary backward.

        They may call kernels and NumPy, and must compute the same.
        """
        for arg, rule in rules.items():
            self._check_names(rule, f"{self.name}.fast({arg})")
        if self.hosted:
            rules = {arg: hosted(rule) for arg, rule in rules.items()}
        self.fast_rules.update(rules)

    def fast_joint(self, rule: Callable) -> None:
        """The same for the rule of `joint`."""
        self._check_names(rule, f"{self.name}.fast_joint")
        self.fast_joint_rule = hosted(rule) if self.hosted else rule

    def together(self, wanted: tuple[bool, ...], rule: Callable) -> None:
        """One rule in the place of all `fast` ones where exactly the `wanted` arguments require
        gradients. It uses what those keep, and returns a gradient, or None, for each argument.
        """
        self._check_names(rule, f"{self.name}.together")
        self.together_rules[wanted] = hosted(rule) if self.hosted else rule

    def _looped(self, rule: Callable) -> Callable:
        """The rule as one loop over memory, if it computes anything and only from elements."""
        names = _wanted_names(rule)
        kinds = [self._kind(name) for name in names]
        elementwise = all(k is not None and k[0] in ("arg", "y", "option") for k in kinds)
        return (
            accelerate(rule, rule_of=self.name)
            if names and elementwise and not rule.__defaults__
            else rule
        )

    def joint(self, rule: Callable) -> None:
        """One rule for all arguments: returns a gradient (or None) for each."""
        self._check_names(rule, f"{self.name}.joint")
        self.joint_rule = hosted(rule) if self.hosted else rule
        self.differentiable = True

    def _check_names(self, rule: Callable, where: str) -> None:
        for name in _wanted_names(rule):
            if self._kind(name) is None:
                known = ["y", "needs", *self.args, *self.options, *self.residuals]
                raise TypeError(
                    f"{where}: unknown name {name!r}; may use {', '.join(known)}, <argument>_shape"
                )

    def _kind(self, name: str) -> tuple[str, Any] | None:
        if name == "y":
            return "y", "y"
        if name in self.args:
            return "arg", self.args.index(name)
        if name == self.varargs:
            return "args", self.arity
        if name in self.options:
            return "option", name
        if name in self.residuals:
            return "residual", self.residuals.index(name)
        if name == "needs":
            return "needs", "needs"
        stem = name.removesuffix("_shape")
        if stem in self.args:
            return "shape", self.args.index(stem)
        if stem == self.varargs:
            return "shapes", self.arity
        return None

    def plan(self, wanted: tuple[bool, ...]) -> Plan:
        """How to record a call in which exactly the `wanted` arguments require gradients."""
        found = self.plans.get(wanted)
        if found is None:
            found = self.plans[wanted] = self._make_plan(wanted)
        return found

    def _make_plan(self, wanted: tuple[bool, ...]) -> Plan:
        arguments = [self.args[i] for i, needs in enumerate(wanted) if needs and i < self.arity]
        joint, fast_joint = self.joint_rule, self.fast_joint_rule or self.joint_rule
        used: list[Callable] = []
        if joint is None:
            for arg in arguments:
                if arg not in self.rules:
                    self.rules[arg] = self._no_rule(arg)
                used += [self.rules[arg], self.fast_rules.get(arg, self.rules[arg])]
        else:
            used += [joint, fast_joint]  # type: ignore[list-item]
        names = list(dict.fromkeys(name for rule in used for name in _wanted_names(rule)))
        if self.composition is not None:  # it starts from the arguments
            names = list(dict.fromkeys([*names, *self.args, *self.options]))
        keep: Any = tuple(self._kind(name) for name in names)
        places = {name: i for i, name in enumerate(names)}

        def placed(rule: Callable) -> Any:
            wants = _wanted_names(rule)
            return None if wants == names else _getter([places[n] for n in wants])

        rules, fast = [], []
        if joint is None:
            for arg in arguments:
                rule, i = self.rules[arg], self.args.index(arg)
                rules.append((i, rule, placed(rule)))
                quick = self.fast_rules.get(arg, rule)
                fast.append((i, quick, placed(quick)))
        else:
            joint, fast_joint = (
                _selected(joint, placed(joint)),
                _selected(
                    fast_joint,
                    placed(fast_joint),  # type: ignore[arg-type]
                ),
            )

        frees = any(kind in ("arg", "args", "y", "residual") for kind, _ in keep)
        together = self.together_rules.get(wanted)
        if together is not None:
            all_fast = _written(
                f"lambda g, saved: rule(g{_listed(places[n] for n in _wanted_names(together))})",
                {"rule": together},
            )
        elif fast_joint is None:
            calls: dict[int, Any] = {i: (rule, _wanted_names(rule)) for i, rule, _ in fast}
            parts = [
                f"rule{i}(g{_listed(places[n] for n in calls[i][1])})" if i in calls else "None"
                for i in range(len(wanted))
            ]
            all_fast = _written(
                f"lambda g, saved: ({', '.join(parts)},)",
                {f"rule{i}": rule for i, (rule, _) in calls.items()},
            )
        else:
            all_fast = lambda g, saved: fast_joint(g, *saved)  # noqa: E731
        return Plan(
            wanted, keep, self._filler(keep, wanted), tuple(rules), tuple(fast), joint, fast_joint,
            all_fast, frees,
        )  # fmt: skip

    def _no_rule(self, arg: str) -> Callable:
        """A rule that says that there is none, when its gradient is asked for."""

        def rule(g: Any) -> Any:
            raise NotImplementedError(
                f"the derivative for '{self.name}: {arg}' is not implemented."
            )

        return rule

    def _filler(self, keep: Any, wanted: tuple[bool, ...]) -> Callable[..., None]:
        """A function that gives a new node its edges, its saved values and their versions.

        It is written out as one expression per slot, since it runs in every recorded call; for
        mul(a, b) where both require gradients it reads

            def fill(node, args, raw, y, options, residuals, out):
                node.edges = (edge_of(args[0]), edge_of(args[1]),)
                node.seq = next_seq()
                node.saved = (raw[1], raw[0],)
                node.versions = ((args[1]._counter, args[1]._counter[0]), ...)

        Versions are of the tensors behind saved arrays: they must not change until backward.
        """
        edges = [f"edge_of(args[{i}])" if w else "None" for i, w in enumerate(wanted)]
        saved, watched = [], []
        for kind, key in keep:
            if kind == "arg":
                saved.append(f"raw[{key}]")
                watched.append(_stamp(f"args[{key}]", wanted[key]))
            elif kind == "args":
                saved.append(f"tuple(raw[{key}:])")
                watched += [_stamp(f"args[{i}]", wanted[i]) for i in range(self.arity, len(wanted))]
            elif kind == "y":
                saved.append("y")
                watched.append("*stamps(*(out if type(out) is tuple else (out,)))")
            elif kind == "shape":
                saved.append(f"raw[{key}].shape" if wanted[key] else f"shape(raw[{key}])")
            elif kind == "shapes":
                saved.append(f"tuple([shape(x) for x in raw[{key}:]])")
            elif kind == "residual":
                saved.append(f"residuals[{key}]")
            elif kind == "needs":
                saved.append("wanted")
            else:
                saved.append(f"options.get({key!r}, defaults[{key!r}])")
        names = {
            "edge_of": edge_of, "next_seq": next_seq, "shape": np.shape, "stamps": _stamps,
            "wanted": wanted, "defaults": self.options,
        }  # fmt: skip
        text = (
            "def fill(node, args, raw, y, options, residuals, out):\n"
            f" node.edges = ({_tuple(edges)})\n"
            " node.seq = next_seq()\n"  # after the edges: a leaf's node must be older
            f" node.saved = ({_tuple(saved)})\n"
            f" node.versions = ({_tuple(watched)})\n"
        )
        exec(text, names)
        return names["fill"]  # type: ignore[return-value]

    # ------------------------------------------------------------ recording
    def record(
        self, args: Any, raw: Any, y: Any, options: Any, residuals: Any, out: Any,
        wanted: tuple[bool, ...] | None = None,
    ) -> None:  # fmt: skip
        """Make `out` (a Tensor, or a tuple of them) the result of a recorded call; y is its array.

        `wanted`, where the caller knows it, says which arguments require gradients.
        """
        if wanted is None:
            wanted = tuple([isinstance(a, Tensor) and a._requires_grad for a in args])
        plan = self.plans.get(wanted) or self.plan(wanted)
        node: PrimitiveNode = self.node_class()
        node.plan = plan
        node.hooks = node.unpack = None
        plan.fill(node, args, raw, y, options, residuals, out)
        if type(out) is tuple:
            node.multi = True
            node.shape = tuple([t._data.shape for t in out])
            node.dtype = tuple([t._data.dtype for t in out])
            for i, t in enumerate(out):
                if differentiable_dtype(t._data.dtype):
                    t._node, t._index, t._requires_grad = node, i, True
        else:
            node.multi = False
            node.shape, node.dtype = y.shape, y.dtype
            out._node, out._requires_grad = node, True
        mode = MODE.get()
        if mode is not DEFAULT:
            _record_specially(node, mode, plan)


def _record_specially(node: PrimitiveNode, mode: Mode, plan: Plan) -> None:
    if mode.anomaly:
        note_forward(node)
    if mode.saved_hooks:
        pack, unpack = mode.saved_hooks[-1]
        saved, places = list(node.saved), []
        for i, ((kind, key), value) in enumerate(zip(plan.keep, saved, strict=True)):
            if kind in ("arg", "y", "residual") and isinstance(value, ndarray):
                saved[i] = pack(node._tensor(kind, key, value) if kind == "arg" else wrap(value))
                places.append((i, unpack))
        node.saved, node.unpack = tuple(saved), tuple(places) or None
        node.versions = ()  # what the user keeps, the user keeps from changing


def _wanted_names(rule: Callable) -> list[str]:
    """The parameters of a rule after the gradient; those with a default are the rule's own
    business.
    """
    rule = getattr(rule, "__wrapped__", rule)  # beneath the loop of an accelerated one
    count = rule.__code__.co_argcount - len(rule.__defaults__ or ())
    return list(rule.__code__.co_varnames[1:count])


def _selected(rule: Any, positions: Any) -> Callable:
    """The joint rule, given more saved values than it asks for."""
    return rule if positions is None else lambda g, *saved: rule(g, *positions(saved))


def _getter(places: list[int]) -> Callable[[Any], tuple]:
    if not places:
        return lambda values: ()
    if len(places) == 1:  # itemgetter(i) would give the bare value
        return itemgetter(slice(places[0], places[0] + 1 or None))
    return itemgetter(*places)


def _written(text: str, names: dict[str, Any]) -> Any:
    """The function that an expression written here says."""
    return eval(text, names)


def _tuple(parts: list[str]) -> str:
    return ", ".join(parts) + "," if parts else ""


def _listed(places: Any) -> str:
    return "".join([f", saved[{i}]" for i in places])


def _stamp(name: str, tensor: bool) -> str:
    """The version of what is called `name`, which surely is a tensor or may be a number."""
    return f"({name}._counter, {name}._counter[0])" if tensor else f"*stamps({name})"


def _stamps(*values: Any) -> list[tuple[Any, int]]:
    return [(x._counter, x._counter[0]) for x in values if isinstance(x, Tensor)]


def differentiable_dtype(dtype: np.dtype) -> bool:
    return dtype is F32 or dtype is F64 or dtype.kind in "fc" or dtype in HALF
