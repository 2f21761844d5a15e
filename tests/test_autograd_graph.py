"""`autograd.graph` and `autograd.forward_ad`, with both libraries side by side."""

from __future__ import annotations

from typing import Any

import pytest

import minigrad

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
LIBRARIES = (torch, minigrad)


def both(f: Any) -> Any:
    """What f returns, as lists, for either library; they must agree."""
    expected, actual = [f(library) for library in LIBRARIES]
    assert actual == pytest.approx(expected, rel=1e-5)
    return expected


def lists(grads: Any) -> list[Any]:
    return [None if g is None else g.flatten().tolist() for g in grads]


# ---------------------------------------------------------------- hooks over several tensors
@pytest.mark.parametrize("mode", ["all", "any"])
def test_multi_grad_hook_is_called_once_in_each_backward(mode: str) -> None:
    def run(lib: Any) -> Any:
        a = lib.tensor([1.0, 2.0], requires_grad=True)
        b, c = lib.tensor([3.0], requires_grad=True), lib.tensor(4.0, requires_grad=True)
        log: list[Any] = []
        hook = lib.autograd.graph.register_multi_grad_hook(
            [a, b, c], lambda g: log.append(lists(g) if mode == "all" else None), mode=mode
        )
        (a.sum() * b).sum().backward()
        (a.sum() * b * c).sum().backward()
        count = len(log)
        hook.remove()
        (a.sum() * c).backward()
        return count, len(log), [x for entry in log if entry for g in entry if g for x in g]

    expected, actual = [run(library) for library in LIBRARIES]
    assert actual[:2] == expected[:2]
    assert actual[2] == pytest.approx(expected[2])


def test_multi_grad_hook_refuses_other_modes() -> None:
    for lib in LIBRARIES:
        x = lib.ones(2, requires_grad=True)
        with pytest.raises(ValueError, match="Expects mode to be one of"):
            lib.autograd.graph.register_multi_grad_hook([x], print, mode="first")


# ---------------------------------------------------------------- saved tensors
def test_saved_tensors_may_change_where_that_is_allowed() -> None:
    def run(lib: Any) -> Any:
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        with lib.autograd.graph.allow_mutation_on_saved_tensors():
            y = x.exp()
            z = y * 2
            y.mul_(5)
            z.sum().backward()
            w = x.clone()
            v = w.sin()
            w.zero_()
            v.sum().backward()
        return lists([x.grad])[0]

    both(run)


def test_saved_tensors_on_the_cpu() -> None:
    def run(lib: Any) -> Any:
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        with lib.autograd.graph.save_on_cpu(pin_memory=False):
            y = (x * x).sum()
        y.backward()
        return lists([x.grad])[0]

    both(run)


def test_hooks_on_what_a_function_saves() -> None:
    def run(lib: Any) -> Any:
        class Square(lib.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return 2 * g * ctx.saved_tensors[0]

        x = lib.tensor([1.0, 2.0], requires_grad=True)
        with lib.autograd.graph.saved_tensors_hooks(lambda t: t.detach() * 10, lambda t: t):
            y = Square.apply(x)
        y.sum().backward()
        return lists([x.grad])[0]

    assert both(run) == [20.0, 40.0]


def test_refused_hooks() -> None:
    for lib in LIBRARIES:
        graph = lib.autograd.graph
        x = lib.ones(2, requires_grad=True)
        with graph.disable_saved_tensors_hooks("not here"):
            (x * x).sum().backward()
            with pytest.raises(RuntimeError, match="not here"), graph.save_on_cpu():
                pass
        with graph.save_on_cpu(), pytest.raises(RuntimeError, match="nor here"):
            with graph.disable_saved_tensors_hooks("nor here"):
                pass


def test_increment_version_makes_a_stale_backward_fail() -> None:
    for lib in LIBRARIES:
        x = lib.ones(2, requires_grad=True)
        y = x.exp()
        z = y * y
        lib.autograd.graph.increment_version(y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()


# ---------------------------------------------------------------- places in the graph
def test_gradient_edges_stand_for_tensors() -> None:
    def run(lib: Any) -> Any:
        edge = lib.autograd.graph.get_gradient_edge
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        u = x * 3
        y = (u * u).sum()
        at_u, at_y, at_x = edge(u), edge(y), edge(x)
        del u
        first = lists(lib.autograd.grad(y, [at_u, x], retain_graph=True))
        second = lists(lib.autograd.grad(at_y, [at_x], retain_graph=True))
        lib.autograd.backward(at_y, inputs=[x])
        return [v for g in (*first, *second, *lists([x.grad])) for v in g]

    both(run)
    for lib in LIBRARIES:
        with pytest.raises(RuntimeError, match="does not require grad"):
            lib.autograd.graph.get_gradient_edge(lib.ones(1))
    assert isinstance(
        (minigrad.ones(1, requires_grad=True) * 2).grad_fn, minigrad.autograd.graph.Node
    )


def test_shapes_at_an_edge_are_checked() -> None:
    for lib in LIBRARIES:
        x = lib.ones(2, requires_grad=True)
        edge = lib.autograd.graph.get_gradient_edge(x * 2)
        with pytest.raises(RuntimeError):
            lib.autograd.grad(edge, [x])  # more than one element and no gradient
        with pytest.raises(RuntimeError, match="Mismatch in shape"):
            lib.autograd.grad(edge, [x], lib.ones(3))


# ---------------------------------------------------------------- dual numbers
def test_tangents_are_jacobian_products() -> None:
    def run(lib: Any) -> Any:
        fw = lib.autograd.forward_ad
        x, t = lib.tensor([1.0, 2.0, 3.0]), lib.tensor([1.0, 0.0, 2.0])
        with fw.dual_level():
            d = fw.make_dual(x, t)
            scalar = fw.unpack_dual((d.sin() * d).sum())
            vector = fw.unpack_dual(d * 2)
            plain = fw.unpack_dual(x * 2)
            own = fw.unpack_dual(d)
        assert plain.tangent is None and not vector.tangent.requires_grad
        parts = [scalar.primal, scalar.tangent, vector.primal, vector.tangent, own.tangent]
        return [v for g in lists(parts) for v in g]

    both(run)


def test_tangents_can_be_differentiated_by_parameters() -> None:
    def run(lib: Any) -> Any:
        fw = lib.autograd.forward_ad
        w = lib.tensor([2.0, 3.0], requires_grad=True)
        with fw.dual_level():
            d = fw.make_dual(lib.tensor([0.5, 1.5]), lib.tensor([1.0, 2.0]))
            tangent = fw.unpack_dual((w * d * d).sum()).tangent
            tangent.backward()
        return lists([w.grad])[0]

    assert both(run) == [1.0, 6.0]


def test_levels() -> None:
    for lib in LIBRARIES:
        fw = lib.autograd.forward_ad
        x = lib.ones(2)
        with pytest.raises(RuntimeError, match="no level exists"):
            fw.make_dual(x, x)
        with fw.dual_level():
            with pytest.raises(RuntimeError):
                fw.enter_dual_level()
            with pytest.raises(RuntimeError):
                fw.make_dual(x, lib.ones(3))
            with pytest.raises(ValueError):
                fw.make_dual(lib.ones(2, dtype=lib.int64), lib.ones(2, dtype=lib.int64))
            d = fw.make_dual(x, x)
        assert fw.unpack_dual(d).tangent is None


# ---------------------------------------------------------------- without a derivative
@pytest.mark.parametrize(
    "name, call",
    [
        ("unique", lambda lib, x: lib.unique(x)),
        ("unique_consecutive", lambda lib, x: lib.unique_consecutive(x)),
        ("histogram", lambda lib, x: lib.histogram(x, 3)[0]),
        ("heaviside", lambda lib, x: lib.heaviside(x, x)),
        ("binomial", lambda lib, x: lib.binomial(x, x * 0.5)),
        ("igamma", lambda lib, x: lib.igamma(x, x)),
        ("zeta", lambda lib, x: lib.special.zeta(x + 1, x)),
        ("geqrf", lambda lib, x: lib.geqrf(x.reshape(2, 2))[0]),
    ],
)
def test_a_missing_derivative_is_said_in_backward(name: str, call: Any) -> None:
    for lib in LIBRARIES:
        x = lib.tensor([1.0, 2.0, 3.0, 5.0], requires_grad=True)
        y = call(lib, x)
        assert y.requires_grad
        with pytest.raises((RuntimeError, NotImplementedError), match="not implemented"):
            y.sum().backward()
        with lib.no_grad():
            assert not call(lib, x).requires_grad
