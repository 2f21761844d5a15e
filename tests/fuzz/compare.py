"""Both libraries in step: the first difference, if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .program import Program, Statement

# Relative to the largest element: rounding differs between the two by a few units in the last
# place, and the gradients of a program add such differences up.
VALUE = {"float64": 1e-9, "float32": 5e-5, "float16": 5e-3, "bfloat16": 4e-2}
GRADIENT = {"float64": 1e-6, "float32": 3e-3, "float16": 5e-2, "bfloat16": 2e-1}
VALUE |= {"complex128": VALUE["float64"], "complex64": VALUE["float32"]}
GRADIENT |= {"complex128": GRADIENT["float64"], "complex64": GRADIENT["float32"]}
# Where PyTorch refuses and minigrad knows the answer: it saves less for backward, copies what
# overlaps, and has derivatives that PyTorch lacks. The programs are compared no further.
LENIENT = (
    "modified by an inplace operation",
    "backward through the graph a second time",
    "Trying to backward through",
    "refer to a single memory location",
    "derivative for aten::",
    "the derivative for '",
    "is not differentiable with respect to argument",
    "does not support automatic differentiation for outputs with complex dtype",
    "not implemented for",
    "can't be cast to the desired output type",
    "dim must be a 2-tuple",
    "ZeroTensors are immutable",
    "INTERNAL ASSERT",
    "unresolved conjugated tensors",
    "a bool tensor is not supported",
    "Autograd not support dtype",
    "'NoneType'",  # what a hook gets of a result of several that has no gradient
    "Trying to use a saved tensor that has been detached in-place",
    "Trying to resize storage that is not resizable",
)
# And the other way round: fused functions save their arguments or their result, the parts of which
# PyTorch makes them save other tensors.
ALSO_LENIENT = (
    "LossBackward0, is at version",
    "CosineBackward0, is at version",
    "SequenceBackward0, is at version",
    "ErrorBackward0, is at version",
    "RmsNormBackward0, is at version",
    "AttentionBackward0, is at version",
    "MmBackward0, is at version",
    "SlogdetBackward0, is at version",
    "ErfinvBackward0, is at version",
    "NdtrBackward0, is at version",
    "backward through the graph a second time",
)


# Two reasons to refuse, of which PyTorch finds the first and minigrad the second; the last is one
# reason, for which index_add raises an IndexError or a RuntimeError according to the kernel that
# PyTorch picks by shape.
TWO_REASONS = (
    ("must be Tensor, not", "leaf Variable"),
    ("invalid combination of arguments", "leaf Variable"),
    ("shape mismatch", "out of bounds"),
    ("Dimension out of range", "not implemented for"),
    ("index out of range in self", "is out of bounds for dimension"),
    ("leaf Variable", "is out of bounds for dimension"),
    ("element is out of DATA bounds", "index out of range in self"),
)


@dataclass
class Difference:
    """Where (number of the statement) and how the libraries differ."""

    position: int
    kind: str
    text: str


class _Variables(dict[str, Any]):
    """PyTorch's variables, and the coarsest dtype among them: gradients that have gone through half
    precision are rounded to it, whatever their dtype is.
    """

    coarsest = "float64"

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        for t in value if isinstance(value, (tuple, list)) else [value]:
            if _is_tensor(t):
                kind = str(t.dtype).partition(".")[2]
                if GRADIENT.get(kind, 0) > GRADIENT[self.coarsest]:
                    self.coarsest = kind


class Lenient(Exception):
    """PyTorch raised an error that minigrad has no need of: the runs can be compared no further."""


def compare(program: Program, reference: Any, library: Any) -> Difference | None:
    """Run the program with both; None if they agree, or about as far as they can be compared."""
    expected: dict[str, Any] = _Variables()
    actual: dict[str, Any] = {}
    for position, statement in enumerate(program.statements):
        if statement.missing(expected) or statement.missing(actual):
            continue
        try:
            found = _step(statement, (reference, library), expected, actual)
        except Lenient:
            return None
        if found is not None:
            return Difference(position, *found)
    found = _all(expected, actual, synchronize=False)
    return None if found is None else Difference(len(program.statements), *found)


def _step(
    statement: Statement, libraries: tuple[Any, Any], expected: dict, actual: dict
) -> tuple[str, str] | None:
    """Run one statement with both and compare what it changed."""
    wanted = _attempt(statement, libraries[0], expected)
    got = _attempt(statement, libraries[1], actual)
    if isinstance(wanted, Exception) or isinstance(got, Exception):
        found = _errors(wanted, got)
        if found is None and statement.changes():
            raise Lenient  # PyTorch may have written a part; minigrad has not
        return found
    if not statement.targets or statement.changes():
        found = _all(expected, actual, synchronize=True)
        if found is not None or not statement.targets:
            return found
    for name in statement.targets:
        if name not in expected or not comparable(expected[name]):
            expected.pop(name, None)
            continue
        if name[0] in "mos":
            continue
        found = _values(name, expected[name], actual[name], synchronize=True)
        if found is not None:
            return found
    return None


def _attempt(statement: Statement, library: Any, env: dict[str, Any]) -> Any:
    try:
        return statement.run(library, env)
    except Exception as error:  # whatever it is, the other library has to raise it, too
        return error


def _errors(wanted: Any, got: Any) -> tuple[str, str] | None:
    if any(text in str(wanted) for text in LENIENT):
        raise Lenient
    if not isinstance(got, Exception):
        return "no error", f"expected {type(wanted).__name__}: {_first(wanted)}"
    if any(text in str(got) for text in ALSO_LENIENT):
        raise Lenient
    if not isinstance(wanted, Exception):
        return "error", f"{type(got).__name__}: {_first(got)}"
    if any(a in str(wanted) and b in str(got) for a, b in TWO_REASONS):
        return None
    if _type(wanted) in map(_name, type(got).__mro__):
        return None
    if _unsupported(wanted) and isinstance(got, _REFUSALS):
        return None
    return (
        "error type",
        f"expected {type(wanted).__name__}: {_first(wanted)}\n"
        f"got {type(got).__name__}: {_first(got)}",
    )


_REFUSALS = (RuntimeError, TypeError, NotImplementedError)


def _type(error: Exception) -> str:
    return _name(type(error))


def _name(cls: type) -> str:
    return cls.__name__.lstrip("_")  # LinAlgError is each library's own


def _unsupported(error: Exception) -> bool:
    """A dtype for which there is no kernel: PyTorch's choice of the exception is by chance."""
    return isinstance(error, NotImplementedError) or "not implemented" in str(error)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _all(expected: dict, actual: dict, synchronize: bool) -> tuple[str, str] | None:
    """Every variable, and the gradients that have been accumulated."""
    for name, wanted in list(expected.items()):
        if name[0] in "gos":  # a gradient that was given: PyTorch may have taken it for .grad
            continue
        if name[0] == "m":
            found = _modules(name, wanted, actual[name], expected, synchronize)
            if found is not None:
                return found
            continue
        if not comparable(wanted):
            del expected[name]
            continue
        found = _values(name, wanted, actual[name], synchronize)
        if found is not None:
            return found
        if _is_tensor(wanted) and (wanted.is_leaf or wanted.retains_grad):
            found = _gradients(name, wanted, actual[name], expected, synchronize)
            if found is not None:
                return found
    return None


def _gradients(
    name: str, wanted: Any, got: Any, expected: Any, synchronize: bool
) -> tuple[str, str] | None:
    a, b = wanted.grad, got.grad
    if (a is None) != (b is None):
        return "gradient", f"{name}.grad is {_brief(b)}, expected {_brief(a)}"
    if a is not None:
        kinds = dict.fromkeys(GRADIENT, GRADIENT[expected.coarsest])
        found = _tensors(f"{name}.grad", *_without_nan(a, b), kinds, synchronize)
        if found is not None:
            return "gradient", found[1]
    return None


def _modules(
    name: str, wanted: Any, got: Any, expected: Any, synchronize: bool
) -> tuple[str, str] | None:
    """The state of a module, and the gradients of its parameters."""
    ours = dict(got.named_parameters()) | dict(got.named_buffers())
    theirs = dict(wanted.named_parameters()) | dict(wanted.named_buffers())
    if list(ours) != list(theirs):
        return "value", f"{name} has {list(ours)}, expected {list(theirs)}"
    for key, a in theirs.items():
        found = _values(f"{name}.{key}", a, ours[key], synchronize)
        found = found or _gradients(f"{name}.{key}", a, ours[key], expected, synchronize)
        if found is not None:
            return found
    return None


def _without_nan(wanted: Any, got: Any) -> tuple[Any, Any]:
    """Gradients where PyTorch multiplies nan by a mask of zeros, and minigrad selects: there its
    number counts as right. (Not the other way round.)
    """
    if wanted.dtype.is_floating_point and wanted.shape == tuple(got.shape):
        hidden = wanted.detach().isnan()
        if hidden.any() and str(wanted.dtype)[6:] == str(got.dtype)[9:]:
            wanted = wanted.detach().where(~hidden, wanted.new_tensor(got.tolist()))
    return wanted, got


def comparable(value: Any) -> bool:
    """Whether minigrad means the same by a value of PyTorch's. Not so for

    - one of several views of one function after an in-place change, which has no history;
    - a view made in no_grad: PyTorch says that it requires what its base requires, and gives it no
      gradient; in minigrad it requires none;
    - an integer tensor into which something that requires a gradient was written.
    """
    if isinstance(value, tuple):
        return all(comparable(part) for part in value)
    if not _is_tensor(value):
        return True
    try:
        if value.requires_grad and value.grad_fn is None:
            return not value._is_view() and (value.is_floating_point() or value.is_complex())
        return value.is_floating_point() or value.is_complex() or not value.requires_grad
    except RuntimeError:
        return False


def _brief(value: Any) -> str:
    return "None" if value is None else "a tensor"


def _is_tensor(value: Any) -> bool:
    return type(value).__name__ in ("Tensor", "Parameter")


def _values(name: str, wanted: Any, got: Any, synchronize: bool) -> tuple[str, str] | None:
    if isinstance(wanted, (tuple, list)):
        return _sequences(name, wanted, got, synchronize)
    if not _is_tensor(wanted):
        same = type(wanted) is type(got) and (
            wanted is None or wanted == got or np.isclose(wanted, got, rtol=1e-4, equal_nan=True)
        )
        return None if same else ("value", f"{name} is {got!r}, expected {wanted!r}")
    if not _is_tensor(got):
        return "type", f"{name} is a {type(got).__name__}, expected a tensor"
    for attribute in ("requires_grad", "is_leaf"):
        try:
            a, b = getattr(wanted, attribute), getattr(got, attribute)
        except RuntimeError as error:
            return "error", f"{name}.{attribute}: {_first(error)}"
        if a != b:
            return attribute, f"{name}.{attribute} is {b}, expected {a}"
    return _tensors(name, wanted, got, GRADIENT if name[0] == "t" else VALUE, synchronize)


def _sequences(name: str, wanted: Any, got: Any, synchronize: bool) -> tuple[str, str] | None:
    if not isinstance(got, (tuple, list)) or len(wanted) != len(got):
        return "value", f"{name} is {got!r}, expected {wanted!r}"
    for i, (a, b) in enumerate(zip(wanted, got, strict=True)):
        if not comparable(a):
            continue
        found = _values(f"{name}[{i}]", a, b, synchronize)
        if found is not None:
            return found
    return None


def _tensors(
    name: str, wanted: Any, got: Any, tolerance: dict[str, float], synchronize: bool
) -> tuple[str, str] | None:
    kind, kind_got = (str(t.dtype).partition(".")[2] for t in (wanted, got))
    if kind != kind_got:
        return "dtype", f"{name} is {kind_got}, expected {kind}"
    if tuple(wanted.shape) != tuple(got.shape):
        return "shape", f"{name} has shape {tuple(got.shape)}, expected {tuple(wanted.shape)}"
    a, b = _array(wanted, kind), _array(got, kind)
    if a.tobytes() == b.tobytes():
        return None
    if not _close(a, b, tolerance.get(kind, 0.0)):
        return "value", f"{name} = {b.tolist()!r}\nexpected {a.tolist()!r}"
    if synchronize and wanted.numel():
        _copy(a, got.detach())
    return None


def _array(t: Any, kind: str) -> np.ndarray:
    t = t.detach()
    return (t.float() if kind == "bfloat16" else t).resolve_conj().numpy(force=True)


def _close(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    if a.dtype.kind in "iub":
        return bool((a == b).all())
    if a.dtype.kind == "c":
        a, b = np.stack([a.real, a.imag]), np.stack([b.real, b.imag])
    finite = np.isfinite(a)
    if not (finite == np.isfinite(b)).all():
        return False
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    a, b = a[finite], b[finite]
    if not a.size:
        return True
    return bool(np.abs(a - b).max() <= tolerance * max(1.0, float(np.abs(a).max())))


def _copy(a: np.ndarray, got: Any) -> None:
    """Give minigrad's tensor the very bits of PyTorch's, so that a difference in the last place
    does not become a different comparison or rounding later on.
    """
    target = got.numpy()
    if target.flags.writeable and 0 not in target.strides:
        np.copyto(target, a, casting="unsafe")  # bfloat16 comes as float32
