"""Primitives: a function over arrays, and beside it the rule for each argument's gradient.

    @primitive
    def tanh(x):
        return np.tanh(x)

    tanh.vjp(x=lambda g, y: g * (1 - y * y))

A rule takes the gradient `g` of the result and returns the gradient of one argument. The names of
its other parameters say what is kept from the forward pass for it:

    y          the result                      <arg>         that argument's array
    <option>   a keyword-only option           <arg>_shape   only the shape of that argument
    <residual> an extra forward result         needs         per argument: is its gradient wanted

and nothing else is kept, and only if the rule's argument requires a gradient. `f.joint(rule)` gives
one rule that returns the gradients of all arguments, for derivatives that share work.

Primitives called with plain arrays compute plain arrays. A rule written with operators and
primitives therefore serves twice: in an ordinary backward it runs on arrays and records nothing;
under create_graph=True it runs on Tensors, and so has a derivative itself. Rules need not undo
broadcasting nor match dtypes: the engine does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import update_wrapper
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..backend.dtypes import (
    F32,
    F64,
    FLOATING,
    HALF,
    from_numpy_dtype,
    get_default_dtype,
    result_dtype,
)
from ..errors import broadcast_error
from .anomaly import note_forward
from .modes import DEFAULT, MODE, Mode
from .node import FREED, Node, edge_of, next_seq
from .tensor import Tensor, wrap
from .views import link_view, refresh_view

ndarray = np.ndarray
Array = Any
REGISTRY: dict[str, Primitive] = {}
"""Every primitive by name: what tests, benchmarks and the documentation walk over."""


class Plan(NamedTuple):
    """What one primitive keeps and does when a given subset of its arguments requires gradients."""

    wanted: tuple[bool, ...]
    keep: tuple[tuple[str, Any], ...]  # (kind, key) of each saved value
    save: Callable[..., tuple]
    checked: (
        Callable[[Any], tuple] | None
    )  # picks from (*args, result) the tensors whose arrays are saved
    rules: tuple[tuple[int, Callable, Any], ...]  # (argument, rule, positions of its saved values)
    joint: Callable | None
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
        elif self.dtype in HALF:
            g, saved = _widen(g), [_widen(s) for s in saved]
        if plan.joint is not None:
            return plan.joint(g, *saved)
        grads: list[Any] = [None] * len(self.edges)
        for arg, rule, positions in plan.rules:
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
    if not isinstance(value, ndarray):
        return value
    t = wrap(value, edge is not None)
    if edge is not None:
        t._node, t._index = edge
    return t


def _widen(x: Any) -> Any:
    """Half precision to float32, in which PyTorch computes it, too."""
    if isinstance(x, ndarray) and x.dtype in HALF:
        return x.astype(F32)
    return tuple(_widen(v) for v in x) if type(x) is tuple else x


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
        self.forward = forward
        self.promote = promote
        self.residuals = residuals
        self.view = view
        self.half = "keep" if view else half  # a view has nothing to round
        self.composition = composition
        self.check: Callable | None = None  # raises for two arguments that PyTorch refuses
        self.call: Callable = forward
        # from the code object: inspect.signature would take most of the package's import time
        code = forward.__code__
        names, positional, keyword = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
        self.args = names[:positional]
        self.varargs = names[positional + keyword] if code.co_flags & inspect.CO_VARARGS else None
        defaults = forward.__kwdefaults__ or {}
        self.options = {
            name: defaults.get(name) for name in names[positional : positional + keyword]
        }
        self.arity = len(self.args)
        self.rules: dict[str, Callable] = {}
        self.joint_rule: Callable | None = None
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
        self.rules.update(rules)

    def joint(self, rule: Callable) -> None:
        """One rule for all arguments: returns a gradient (or None) for each."""
        self._check_names(rule, f"{self.name}.joint")
        self.joint_rule = rule

    @property
    def differentiable(self) -> bool:
        return bool(self.rules) or self.joint_rule is not None

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
        rules: list[tuple[int, Callable, list[str]]] = []
        if self.joint_rule is None:
            for i, needs in enumerate(wanted):
                if not needs:
                    continue
                rule = self.rules.get(self.args[i])
                if rule is None:
                    raise RuntimeError(
                        f"the derivative for '{self.args[i]}' of {self.name} is not implemented"
                    )
                rules.append((i, rule, _wanted_names(rule)))
            names = list(dict.fromkeys(name for _, _, wants in rules for name in wants))
        else:
            names = _wanted_names(self.joint_rule)
        if self.composition is not None:  # it starts from the arguments
            names = list(dict.fromkeys([*names, *self.args, *self.options]))
        keep = tuple(self._kind(name) for name in names)
        places = {name: i for i, name in enumerate(names)}
        final = [
            (i, rule, None if wants == names else _getter([places[n] for n in wants]))
            for i, rule, wants in rules
        ]
        joint = self.joint_rule
        if joint is not None and (count := len(_wanted_names(joint))) < len(names):
            joint = _with_first(joint, count)

        frees = any(kind in ("arg", "args", "y", "residual") for kind, _ in keep)  # type: ignore[misc]
        save, checked = self._saver(keep, wanted), self._checked(keep)
        return Plan(wanted, keep, save, checked, tuple(final), joint, frees)  # type: ignore[arg-type]

    def _checked(self, keep: Any) -> Callable[[Any], tuple] | None:
        """Whose version must not change until backward: the tensors (of args and result) behind
        saved arrays.
        """
        if any(kind == "args" for kind, _ in keep):
            fixed = {key for kind, key in keep if kind == "arg"}
            return lambda tensors: tuple(
                t for i, t in enumerate(tensors) if i in fixed or i >= self.arity
            )
        places = [-1 if kind == "y" else key for kind, key in keep if kind in ("arg", "y")]
        return _getter(places) if places else None

    def _saver(self, keep: Any, wanted: tuple[bool, ...]) -> Callable[..., tuple]:
        fetch = [_fetcher(kind, key, wanted, self.options) for kind, key in keep]
        if all(kind in ("arg", "y") for kind, _ in keep) and self.varargs is None:
            # the common case, without a Python loop: pick from (*args, y)
            pick = _getter([self.arity if kind == "y" else key for kind, key in keep])
            return lambda args, y, options, residuals: pick((*args, y))
        return lambda args, y, options, residuals: tuple(
            [f(args, y, options, residuals) for f in fetch]
        )

    # ------------------------------------------------------------ recording
    def record(self, args: Any, raw: Any, y: Any, options: Any, residuals: Any, out: Any) -> None:
        """Make `out` (a Tensor, or a tuple of them) the result of a recorded call; y is its
        array.
        """
        wanted = tuple([isinstance(a, Tensor) and a._requires_grad for a in args])
        plan = self.plans.get(wanted) or self.plan(wanted)
        node: PrimitiveNode = self.node_class()
        node.edges = tuple([edge_of(a) if w else None for a, w in zip(args, wanted, strict=True)])
        node.seq = (
            next_seq()
        )  # after the edges: a leaf's node may have been made just now, and must be older
        node.plan = plan
        node.hooks = node.unpack = None
        if type(out) is tuple:
            node.multi = True
            node.shape = tuple([t._data.shape for t in out])
            node.dtype = tuple([t._data.dtype for t in out])
            for i, t in enumerate(out):
                if differentiable_dtype(t._data.dtype):
                    t._node, t._index, t._requires_grad = node, i, True
            tensors = (*args, *out)
        else:
            node.multi = False
            node.shape, node.dtype = y.shape, y.dtype
            out._node, out._requires_grad = node, True
            tensors = (*args, out)
        node.saved = plan.save(raw, y, options, residuals)
        if plan.checked is None:
            node.versions = ()
        else:
            node.versions = tuple(
                [(c := t._counter, c[0]) for t in plan.checked(tensors) if isinstance(t, Tensor)]
            )
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


def _wanted_names(rule: Callable) -> list[str]:
    """The parameters of a rule after the gradient; those with a default are the rule's own
    business.
    """
    count = rule.__code__.co_argcount - len(rule.__defaults__ or ())
    return list(rule.__code__.co_varnames[1:count])


def _with_first(rule: Callable, count: int) -> Callable:
    """The rule, given more saved values than it asks for."""
    return lambda g, *saved: rule(g, *saved[:count])


def _getter(places: list[int]) -> Callable[[Any], tuple]:
    if not places:
        return lambda values: ()
    if len(places) == 1:  # itemgetter(i) would give the bare value
        return itemgetter(slice(places[0], places[0] + 1 or None))
    return itemgetter(*places)


def _fetcher(kind: str, key: Any, wanted: tuple[bool, ...], defaults: dict) -> Callable[..., Any]:
    if kind == "arg":
        return lambda args, y, options, residuals: args[key]
    if kind == "args":
        return lambda args, y, options, residuals: tuple(args[key:])
    if kind == "y":
        return lambda args, y, options, residuals: y
    if kind == "shape":
        return lambda args, y, options, residuals: np.shape(args[key])
    if kind == "shapes":
        return lambda args, y, options, residuals: tuple([np.shape(a) for a in args[key:]])
    if kind == "residual":
        return lambda args, y, options, residuals: residuals[key]
    if kind == "needs":
        return lambda args, y, options, residuals: wanted
    return lambda args, y, options, residuals: options.get(key, defaults[key])


def differentiable_dtype(dtype: np.dtype) -> bool:
    return dtype is F32 or dtype is F64 or dtype.kind in "fc" or dtype in HALF


# ------------------------------------------------------------------------------ call paths
def primitive(
    forward: Callable | None = None,
    *,
    promote: str | None = None,
    residuals: tuple[str, ...] = (),
    view: bool = False,
    half: str = "widen",
    composition: Callable | None = None,
) -> Any:
    """Turn a function over arrays into one over Tensors whose derivative rules can be given.

    Arguments are arrays (Python numbers and None are allowed), options are keyword-only.

    promote      "type": the arguments are brought to PyTorch's common dtype; "float": integers
                 become the default
                 floating dtype, too; None: the function takes the arrays as they are
    residuals    names of extra results, kept for rules and not returned: forward gives (y,
                 *residuals)
    view         the result shares the memory of the one argument (a copy is noticed and treated as
                 one)
    half         "widen": float16 and bfloat16 are computed in float32 and rounded once; "keep": as
                 they are
    composition  the same function from differentiable parts, used for second derivatives of fused
                 kernels; it takes
                 the same arguments, as Tensors. Without it residuals count as constants.
    """
    if forward is None:
        return lambda f: primitive(
            f, promote=promote, residuals=residuals, view=view, half=half, composition=composition
        )
    p = Primitive(
        forward, promote=promote, residuals=residuals, view=view, half=half, composition=composition
    )
    plain = not p.options and not residuals and p.varargs is None and not view
    if plain and p.arity == 1:
        call = _unary(p)
    elif plain and p.arity == 2:
        call = _binary(p)
    else:
        call = _general(p)
    update_wrapper(call, forward)
    if plain and p.arity in _SIGNATURES:  # callers use PyTorch's argument names: input, other
        call.__signature__ = _SIGNATURES[p.arity]  # type: ignore[attr-defined]
        del call.__wrapped__  # type: ignore[attr-defined]
    call.__name__ = p.name
    call.vjp, call.joint, call.primitive = p.vjp, p.joint, p  # type: ignore[attr-defined]
    call.operator = _binary(p, operator=True) if plain and p.arity == 2 else call  # type: ignore[attr-defined]
    p.call = call
    return call


def _unary(p: Primitive) -> Callable:
    forward, record = p.forward, p.record

    def call_unary(input: Any, *, out: Any = None) -> Any:
        if not isinstance(input, Tensor):
            return _raw(p, (input,), {})
        x = input._data
        dtype = x.dtype
        y = forward(x) if dtype is F32 or dtype is F64 else _forward(p, (x,), {})[0]
        if type(y) is not ndarray:
            y = as_array(y)
        result = wrap(y)
        view = input._view
        if view is not None and view.seen != input._counter[0]:
            refresh_view(input)
        if (
            input._requires_grad
            and MODE.get().grad
            and p.differentiable
            and differentiable_dtype(y.dtype)
        ):
            record((input,), (x,), y, None, None, result)
        return result if out is None else write_out(result, out)

    return call_unary


def _binary(p: Primitive, operator: bool = False) -> Callable:
    """The call path of two arguments; as an `operator` it answers NotImplemented to types it does
    not know.
    """
    forward, record = p.forward, p.record

    def call_binary(input: Any, other: Any, *, out: Any = None) -> Any:
        if isinstance(input, Tensor):
            a = input._data
            b = other._data if isinstance(other, Tensor) else other
        elif isinstance(other, Tensor):
            a, b = input, other._data
            if p.check is not None:
                p.check(a, b)
            if (type(a) is float or type(a) is int) and (b.dtype is F32 or b.dtype is F64):
                a = np.asarray(a, b.dtype)
        else:
            return _raw(p, (input, other), {})
        kind = type(b)
        try:
            if (
                type(a) is ndarray
                and ((dtype := a.dtype) is F32 or dtype is F64)
                and ((b.dtype is dtype) if kind is ndarray else (kind is float or kind is int))
            ):
                raw = (a, b)
                y = forward(a, b)
            else:
                if p.promote is not None and not (_is_operand(a) and _is_operand(b)):
                    if operator:
                        return NotImplemented
                    raise _operand_error(p, a, b)
                if p.check is not None:
                    p.check(a, b)
                y, _, raw = _forward(p, (a, b), {})
        except ValueError as error:
            raise (p.promote and _shape_error(a, b)) or error from None
        if type(y) is not ndarray:
            y = as_array(y)
        result = wrap(y)
        if p.differentiable and MODE.get().grad:
            if _any_requires_grad((input, other)) and differentiable_dtype(y.dtype):
                record((input, other), raw, y, None, None, result)
        return result if out is None else write_out(result, out)

    return call_binary


def _is_operand(x: Any) -> bool:
    return isinstance(x, (ndarray, int, float, complex, np.generic)) or _on_gpu(x)


def _operand_error(p: Primitive, a: Any, b: Any) -> TypeError:
    place, bad = ("'other' (position 2)", b) if _is_operand(a) else ("'input' (position 1)", a)
    return TypeError(f"{p.name}(): argument {place} must be Tensor, not {type(bad).__name__}")


def _shape_error(*operands: Any) -> Exception | None:
    """PyTorch's error for operands that cannot be broadcast together; None if they can."""
    known: tuple[int, ...] = ()
    for x in operands:
        shape = np.shape(x) if x is not None else ()
        try:
            known = np.broadcast_shapes(known, shape)
        except ValueError:
            return broadcast_error(known, shape)
    return None


def _general(p: Primitive) -> Callable:
    def call_general(*args: Any, **options: Any) -> Any:
        for a in args:
            if isinstance(a, Tensor):
                break
        else:
            return _raw(p, args, options)
        arrays = [a._data if isinstance(a, Tensor) else a for a in args]
        try:
            y, residuals, raw = _forward(p, arrays, options)
        except ValueError as error:
            raise (p.promote and _shape_error(*arrays)) or error from None
        if type(y) is tuple:
            y = tuple([v if type(v) is ndarray else as_array(v) for v in y])
            result: Any = tuple([wrap(v) for v in y])
            differentiable = any([differentiable_dtype(v.dtype) for v in y])
        else:
            if type(y) is not ndarray:
                y = as_array(y)
            result = wrap(y)
            differentiable = differentiable_dtype(y.dtype)
        if _any_requires_grad(args) and p.differentiable and differentiable and MODE.get().grad:
            p.record(args, raw, y, options, residuals, result)
        if p.view:
            link_view(result, args[0], p, options)
        return result

    return call_general


_SIGNATURES = {
    1: inspect.signature(lambda input, *, out=None: None),
    2: inspect.signature(lambda input, other, *, out=None: None),
}


def _any_requires_grad(args: Any) -> bool:
    found = False
    for a in args:
        if isinstance(a, Tensor):
            view = a._view
            if view is not None and view.seen != a._counter[0]:
                refresh_view(a)
            if a._requires_grad:
                found = True
    return found


def _raw(p: Primitive, args: Any, options: dict) -> Any:
    """A call without Tensors: arrays in, arrays out (how rules run in an ordinary backward)."""
    if not any(isinstance(a, (ndarray, np.generic)) for a in args) and not any(
        _on_gpu(a) for a in args
    ):
        kinds = ", ".join(type(a).__name__ for a in args)
        raise TypeError(f"{p.name}(): argument 'input' (position 1) must be Tensor, not {kinds}")
    y = p.forward(*args, **options)
    return y[0] if p.residuals else y


def _on_gpu(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "cupy"


def _forward(p: Primitive, args: Any, options: dict) -> tuple[Any, Any, Any]:
    """Promote, run, split off residuals: (y, residuals, the arrays that the forward function
    got).
    """
    narrow = None
    if p.promote is not None:
        if not _uniform(args):
            args, narrow = _promoted(p, args)
    elif p.half == "widen":
        narrow = next((a.dtype for a in args if isinstance(a, ndarray) and a.dtype in HALF), None)
        if narrow is not None:
            args = [_widen(a) for a in args]
    y = p.forward(*args, **options)
    residuals: Any = ()
    if p.residuals:
        y, *residuals = y
    if narrow is not None:
        y = tuple([_round(v, narrow) for v in y]) if type(y) is tuple else _round(y, narrow)
    return y, residuals, tuple(args)


def _uniform(args: Any) -> bool:
    """Whether promotion has nothing to do: a float32 or float64 array with numbers and arrays of
    its dtype.
    """
    first = args[0]
    if type(first) is not ndarray or not ((dtype := first.dtype) is F32 or dtype is F64):
        return False
    for a in args[1:]:
        if type(a) is ndarray:
            if a.dtype is not dtype:
                return False
        elif not (a is None or type(a) is float or type(a) is int):
            return False
    return True


def _promoted(p: Primitive, args: Any) -> tuple[Any, Any]:
    dtype = result_dtype([_plain_number(a) for a in args if a is not None])
    if p.promote == "float" and dtype.category < FLOATING:
        dtype = get_default_dtype()
    target = narrow = dtype.np
    if target in HALF and p.half == "widen":
        target = F32
    else:
        narrow = None
    return [a if a is None else _cast(a, target) for a in args], narrow


def _plain_number(a: Any) -> Any:
    return a.item() if isinstance(a, np.generic) else a


def _cast(a: Any, dtype: Any) -> Any:
    if isinstance(a, ndarray) or _on_gpu(a):
        return a if a.dtype == dtype else a.astype(dtype)
    return np.asarray(a).astype(dtype)  # a Python number: wraps around like PyTorch's cast


def _round(y: Any, dtype: Any) -> Any:
    return y.astype(dtype) if y.dtype == F32 else y


def as_array(y: Any) -> Any:
    return y if _on_gpu(y) else np.asarray(y)


def write_out(result: Tensor, out: Tensor) -> Tensor:
    """The `out=` argument: copy the result there and return it; refused under autograd, as in
    PyTorch.
    """
    if MODE.get().grad and (result._requires_grad or out.requires_grad):
        raise RuntimeError(
            "out=... arguments don't support automatic differentiation, but one requires grad."
        )
    y = result._data
    if not _castable(y.dtype, out._data.dtype):
        raise RuntimeError(
            f"result type {result.dtype.name} can't be cast to the desired output type"
            f" {out.dtype.name}"
        )
    if out._data.shape == y.shape:
        out._data[...] = y
    else:
        out._data = y.astype(out._data.dtype)
    out._bump()
    return out


def _castable(source: Any, target: Any) -> bool:
    return from_numpy_dtype(source).category <= from_numpy_dtype(target).category
