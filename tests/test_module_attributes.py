"""Module: what assignment, deletion, registration and look-up do, name by name as in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import minigrad as mg
from tests.parity import Row, assert_parity, by_source, outcome, table

torch = pytest.importorskip("torch")


def make(L: Any) -> Any:
    class Net(L.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = L.nn.Linear(2, 3)
            self.b = L.nn.Sequential(L.nn.Linear(3, 3), L.nn.ReLU())
            self.w = L.nn.Parameter(L.ones(3))
            self.register_buffer("buf", L.zeros(2))
            self.register_buffer("tmp", L.zeros(2), persistent=False)
            self.register_buffer("none", None)
            self.register_parameter("nothing", None)
            self.plain = 3

        def forward(self, x):
            return self.b(self.a(x)) * self.w

    return Net()


def inside(net: Any) -> list[Any]:
    tables = [list(net._parameters), list(net._buffers), list(net._modules)]
    return [*tables, sorted(net._non_persistent_buffers_set), list(net.state_dict())]


NAMES = ["a", "w", "buf", "tmp", "none", "nothing", "plain", "new"]
VALUES: dict[str, Row] = {
    "None": lambda L: None,
    "number": lambda L: 3,
    "tensor": lambda L: L.ones(2),
    "parameter": lambda L: L.nn.Parameter(L.ones(2)),
    "module": lambda L: L.nn.ReLU(),
    "buffer": lambda L: L.nn.Buffer(L.ones(2)),
    "fleeting buffer": lambda L: L.nn.Buffer(L.ones(2), persistent=False),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NAMES)
def test_assignment(name: str, value: str) -> None:
    def row(L: Any) -> Any:
        net = make(L)
        setattr(net, name, VALUES[value](L))
        return [*inside(net), name in net.__dict__]

    assert_parity(row, message=False)


@pytest.mark.parametrize("name", [*NAMES, "nope"])
def test_deletion(name: str) -> None:
    def row(L: Any) -> Any:
        net = make(L)
        delattr(net, name)
        return inside(net)

    assert_parity(row, message=name != "nope")


@pytest.mark.parametrize("name", [*NAMES, "", "x.y", 3, "forward"])
@pytest.mark.parametrize("kind", ["parameter", "buffer", "module"])
def test_registration_of_a_name(kind: str, name: Any) -> None:
    def row(L: Any) -> Any:
        net = make(L)
        getattr(net, f"register_{kind}")(name, L.nn.ReLU() if kind == "module" else None)
        return inside(net)

    assert_parity(row)


WRONG = by_source("net", make, [
    "net.register_parameter('q', 3)",
    "net.register_buffer('q', 3)",
    "net.add_module('q', 3)",
    "L.nn.Module(1)",
    "L.nn.Module(a=1)",
    "L.nn.Module()(1)",
    "net.missing",
    "net.train('yes')",
    "net.set_submodule('', net)",
    "net.set_submodule('a', 3)",
    "net.set_submodule('plain', net)",
    "net.set_submodule('w', net, strict=True)",
    "net.set_submodule('b.7', net, strict=True)",
])  # fmt: skip


@table(WRONG)
def test_refused(row: Row) -> None:
    expected = outcome(row, torch)
    assert expected[0] == "error"
    assert outcome(row, mg)[:2] == expected[:2]


@pytest.mark.parametrize("kind", ["module", "parameter", "buffer", "register_parameter", "none"])
def test_before_init(kind: str) -> None:
    def row(L: Any) -> Any:
        class Early(L.nn.Module):
            def __init__(self):
                if kind == "module":
                    self.x = L.nn.ReLU()
                elif kind == "parameter":
                    self.x = L.nn.Parameter(L.ones(1))
                elif kind == "buffer":
                    self.x = L.nn.Buffer(L.ones(1))
                elif kind == "register_parameter":
                    self.register_parameter("x", None)
                else:
                    self.x = 3  # a plain value may come first
                    super().__init__()

        return Early().x

    assert_parity(row)


@pytest.mark.parametrize("what", ["get_submodule", "get_parameter", "get_buffer"])
@pytest.mark.parametrize(
    "target",
    ["", "a", "b.0", "b.9", "w", "b.0.weight", "plain", "x.y", "buf", "tmp", "none", "nothing"],
)
def test_look_up_by_dotted_name(what: str, target: str) -> None:
    assert_parity(lambda L: type(getattr(make(L), what)(target)).__name__)


WALKS = by_source("net", make, [
    *(
        f"[n for n, _ in net.named_{kind}({options})]"
        for kind in ("parameters", "buffers")
        for options in ("", "remove_duplicate=False", "recurse=False", "prefix='p'")
    ),
    "(setattr(net, 'again', net.a), repr(net), list(net.state_dict()))",
    "(setattr(net, 'again', net.a), [n for n, _ in net.named_modules()])",
    "(setattr(net, 'again', net.a), [n for n, _ in net.named_modules(remove_duplicate=False)])",
    "(setattr(net, 'again', net.a), [n for n, _ in net.named_children()])",
    "(setattr(net.b[0], 'weight', net.a.weight), [n for n, _ in net.named_parameters()])",
    "[n for n in dir(net) if n in ('a', 'w', 'buf', 'none', 'plain')]",
    "[n for n in dir(net.b) if n.isdigit()]",
    "(net.set_submodule('b.1', L.nn.Tanh()), repr(net))",
    "(net.set_submodule('new', L.nn.Tanh()), repr(net))",
    "[m.training for m in net.eval().modules()]",
    "[p.requires_grad for p in net.requires_grad_(False).parameters()]",
    "net.compile()",
])  # fmt: skip


@table(WALKS)
def test_walking(row: Row) -> None:
    assert_parity(row)


def test_other_bases_get_their_arguments_if_asked() -> None:
    class Named:
        def __init__(self, name):
            self.name = name

    class Both(mg.nn.Module, Named):
        call_super_init = True

        def __init__(self, name):
            super().__init__(name)
            self.layer = mg.nn.Linear(1, 1)

    assert Both("x").name == "x" and len(list(Both("x").parameters())) == 2


@pytest.mark.parametrize("change", [
    "net.float()", "net.double()", "net.half()", "net.bfloat16()", "net.to('cpu')",
    "net.to(L.float64)", "net.to('cpu', L.float16)", "net.to(L.ones(1, dtype=L.float64))",
    "net.to(device='cpu', dtype=L.float64, non_blocking=True)", "net.to(L.int64)", "net.to('nope')",
    "net.to(memory_format=L.channels_last)", "net.type(L.float64)", "net.to()", "net.cpu()",
])  # fmt: skip
def test_conversion(change: str) -> None:
    def row(L: Any) -> Any:
        net = L.nn.Sequential(L.nn.Conv2d(3, 2, 3), L.nn.BatchNorm2d(2))
        before = list(net.parameters())
        eval(change, {"net": net, "L": L})
        same = all(p is q for p, q in zip(before, net.parameters(), strict=True))
        return same, {k: str(v.dtype) for k, v in net.state_dict().items()}, net[0].weight.stride()

    assert_parity(row, message=False)


def test_conversion_takes_the_gradients_along() -> None:
    def row(L: Any) -> Any:
        net = make(L)
        net(L.ones(1, 2)).sum().backward()
        net.double()
        first = str(net.w.grad.dtype)
        net.zero_grad()
        net(L.ones(1, 2, dtype=L.float64)).sum().backward()
        return first, str(net.w.grad.dtype), net.w.requires_grad, net.w.is_leaf

    assert_parity(row)


def test_zero_grad_keeps_the_tensor() -> None:
    net = make(mg)
    net(mg.ones(1, 2)).sum().backward()
    grad = net.w.grad
    net.zero_grad(set_to_none=False)
    assert net.w.grad is grad and grad.tolist() == [0, 0, 0]
    net.zero_grad()
    assert net.w.grad is None


def test_zero_grad_takes_the_gradient_out_of_its_graph() -> None:
    w = mg.nn.Parameter(mg.ones(2))
    net = mg.nn.Module()
    net.w = w
    (w**3).sum().backward(create_graph=True)
    assert w.grad.requires_grad
    net.zero_grad(set_to_none=False)
    assert w.grad.grad_fn is None and not w.grad.requires_grad


PARAMETERS = by_source("p", lambda L: L.nn.Parameter(L.ones(2)), [
    "repr(p)",
    "repr(L.nn.Parameter(L.ones(()), False))",
    "repr(L.nn.Parameter())",
    "L.nn.Parameter(L.tensor([1]))",
    "repr(L.nn.Parameter(L.tensor([1]), requires_grad=False))",
    "[type(x).__name__ for x in (p.data, p.detach(), p.clone(), p * 2)]",
    "L.nn.Parameter(L.nn.Parameter(L.ones(1)))",
    "L.nn.Parameter((p * 2)).is_leaf",
    "isinstance(L.nn.Buffer(L.ones(1)), L.Tensor), repr(L.nn.Buffer(L.ones(1)))",
    "repr(p.to(L.float64))",
    "[type(x).__name__ for x in (__import__('copy').deepcopy(p),)]",
    "(setattr(p, 'grad', L.ones(2)), __import__('copy').deepcopy(p).grad)",
    "(setattr(p, 'tag', 1), 'tag' in vars(__import__('copy').deepcopy(p)))",
])  # fmt: skip


@table(PARAMETERS)
def test_parameters(row: Row) -> None:
    assert_parity(row)
