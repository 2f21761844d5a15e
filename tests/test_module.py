"""Module: registration, walking, state dicts, hooks, containers; messages as PyTorch's."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")


def make(lib):
    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = lib.nn.Linear(2, 3)
            self.block = lib.nn.Sequential(
                lib.nn.Linear(3, 3), lib.nn.ReLU(), lib.nn.BatchNorm1d(3)
            )
            self.again = self.first  # a module that is shared
            self.scale = lib.nn.Parameter(lib.ones(3))
            self.register_buffer("count", lib.zeros(()))
            self.register_buffer("cache", lib.zeros(2), persistent=False)
            self.register_parameter("nothing", None)

        def forward(self, x):
            return self.block(self.first(x)) * self.scale

    return Net()


class Pickled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.note = "kept"

    def forward(self, x):
        return self.layer(x)


def test_walking_gives_pytorchs_names():
    a, b = make(mg), make(torch)
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(a, method)()] == [n for n, _ in getattr(b, method)()], method
    for kwargs in ({"remove_duplicate": False}, {"recurse": False}, {"prefix": "p"}):
        names = [n for n, _ in a.named_parameters(**kwargs)]
        assert names == [n for n, _ in b.named_parameters(**kwargs)]
    assert list(a.state_dict()) == list(b.state_dict())
    assert repr(a) == repr(b)
    assert len(list(a.modules())) == len(list(b.modules()))


def test_registration_and_its_errors():
    net = make(mg)
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'scale'"):
        net.scale = mg.ones(3)
    with pytest.raises(TypeError, match="as child module 'first'"):
        net.first = 3
    with pytest.raises(TypeError, match="as buffer 'count'"):
        net.count = 3
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("first", mg.ones(1))
    with pytest.raises(KeyError, match="contain"):
        net.register_parameter("a.b", None)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'"):
        _ = net.missing
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    del net.block
    assert "block" not in dict(net.named_children())

    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="before Module.__init__"):
        Early()
    with pytest.raises(ValueError, match="non-leaf"):
        net.register_parameter("computed", _non_leaf())


def _non_leaf():
    p = nn.Parameter(mg.ones(2))
    with mg.enable_grad():
        q = p * 2
    from minigrad.core.tensor import make as make_tensor

    fake = make_tensor(nn.Parameter, q._data, True)
    fake._node = q._node
    return fake


def test_parameters_become_modules_and_back():
    m = nn.Module()
    m.x = nn.Parameter(mg.ones(1))
    m.x = nn.Parameter(mg.zeros(1))
    assert [n for n, _ in m.named_parameters()] == ["x"]
    del m.x
    m.x = nn.Linear(1, 1)
    assert not m._parameters and list(m._modules) == ["x"]


def test_state_dict_aliases_and_loads():
    a, b = make(mg), make(mg)
    state = a.state_dict()
    state["scale"][0] = 7.0  # an alias of the live parameter
    assert a.scale[0].item() == 7.0 and not state["scale"].requires_grad
    result = b.load_state_dict(state)
    assert repr(result) == "<All keys matched successfully>"
    for (_, p), (_, q) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert p.tolist() == q.tolist()


def test_load_state_dict_messages_are_pytorchs():
    texts = []
    for lib in (mg, torch):
        net = make(lib)
        state = OrderedDict(net.state_dict())
        del state["scale"]
        state["first.weight"] = lib.zeros(5, 2)
        state["extra"] = lib.zeros(1)
        with pytest.raises(RuntimeError) as caught:
            net.load_state_dict(state)
        texts.append(str(caught.value).replace("minigrad.Size", "torch.Size"))
    assert texts[0] == texts[1]
    net = make(mg)
    result = net.load_state_dict({"scale": mg.ones(3), "extra": mg.ones(1)}, strict=False)
    assert "first.weight" in result.missing_keys and result.unexpected_keys == ["extra"]
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])


def test_load_with_assign_takes_the_tensors_over():
    net = make(mg)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    assert isinstance(net.scale, nn.Parameter)
    state["scale"][0] = 9.0
    assert net.scale[0].item() == 9.0


def test_conversion_keeps_parameter_identity():
    net = make(mg)
    p = net.scale
    net.double()
    assert net.scale is p and p.dtype is mg.float64 and net.count.dtype is mg.float64
    assert net.block[2].num_batches_tracked.dtype is mg.int64
    net.to(mg.float32).to("cpu")
    assert p.dtype is mg.float32
    with pytest.raises(TypeError, match="floating point or complex"):
        net.to(mg.int64)
    assert p.dtype is mg.float32


def test_modes_and_gradients():
    net = make(mg)
    net.eval()
    assert not any(m.training for m in net.modules())
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")
    net.train().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net(mg.randn(4, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all(p.grad.abs().sum().item() == 0 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_submodules_by_name():
    net = make(mg)
    assert net.get_submodule("block.0") is net.block[0] and net.get_submodule("") is net
    assert net.get_parameter("block.0.weight") is net.block[0].weight
    assert net.get_buffer("block.2.running_mean") is net.block[2].running_mean
    for bad in ("block.9", "scale"):
        with pytest.raises(AttributeError):
            net.get_submodule(bad)
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen[-1] == "Net" and seen.count("Linear") == 2


def test_forward_hooks():
    layer = nn.Linear(2, 2)
    order = []
    layer.register_forward_pre_hook(lambda m, args: order.append("pre") or (args[0] * 2,))
    layer.register_forward_hook(lambda m, args, out: order.append("post") or out + 1)
    handle = layer.register_forward_pre_hook(lambda m, args: order.append("first"), prepend=True)
    x = mg.ones(1, 2)
    expected = nn.functional.linear(x * 2, layer.weight, layer.bias) + 1
    assert layer(x).tolist() == expected.tolist()
    assert order == ["first", "pre", "post"]
    handle.remove()
    layer(x)
    assert order.count("first") == 1


def test_hooks_with_kwargs_and_always_call():
    class Scale(nn.Module):
        def forward(self, x, k=1):
            if k < 0:
                raise ValueError("negative")
            return x * k

    m = Scale()
    m.register_forward_pre_hook(lambda mod, a, kw: (a, {"k": kw["k"] + 1}), with_kwargs=True)
    called = []
    m.register_forward_hook(lambda mod, a, out: called.append(out), always_call=True)
    assert m(mg.ones(1), k=2).tolist() == [3]
    with pytest.raises(ValueError, match="negative"):
        m(mg.ones(1), k=-5)
    assert called[-1] is None


@pytest.mark.parametrize("lib", [mg, torch], ids=["minigrad", "torch"])
def test_full_backward_hooks(lib):
    layer = lib.nn.Linear(2, 3)
    with lib.no_grad():
        layer.weight.fill_(2.0)
    seen = {}
    layer.register_full_backward_pre_hook(lambda m, g: seen.update(pre=g[0].tolist()))
    layer.register_full_backward_hook(
        lambda m, gi, go: seen.update(inp=gi[0].tolist()) or (gi[0] * 10,)
    )
    x = lib.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert seen == {"pre": [[1, 1, 1]], "inp": [[6, 6]]} and x.grad.tolist() == [[60, 60]]
    assert layer.weight.grad.tolist() == [[1, 1]] * 3


def test_state_dict_hooks_and_extra_state():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = 3

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    a, b = Counter(), Counter()
    a.n = 8
    a.register_state_dict_post_hook(lambda m, d, prefix, meta: d.update(note=1))
    state = a.state_dict()
    assert state["note"] == 1 and state["_extra_state"] == {"n": 8}
    del state["note"]
    b.load_state_dict(state)
    assert b.n == 8


def test_copies_and_pickles():
    net = make(mg)
    net.again_scale = net.scale  # tied
    other = copy.deepcopy(net)
    assert other.scale is not net.scale and other.again_scale is other.scale
    assert other.first is other.again and isinstance(other.scale, nn.Parameter)
    m = pickle.loads(pickle.dumps(Pickled()))
    assert m.note == "kept" and isinstance(m.layer.weight, nn.Parameter)


def test_sequential():
    s = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    assert len(s[:2]) == 2 and s[-1] is s[2] and isinstance(s[0:1], nn.Sequential)
    s.append(nn.Tanh()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in s] == ["Identity", "Linear", "ReLU", "Linear", "Tanh"]
    del s[0]
    assert list(s._modules) == ["0", "1", "2", "3"]
    named = nn.Sequential(OrderedDict(a=nn.Linear(1, 1), b=nn.ReLU()))
    assert named.a is named[0]
    with pytest.raises(IndexError):
        s[9]
    assert len(s + named) == 6


def test_lists_and_dicts():
    items = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    assert repr(items) == repr(torch.nn.ModuleList([torch.nn.Linear(1, 1) for _ in range(3)]))
    items += [nn.ReLU()]
    items.insert(1, nn.Tanh())
    assert len(items) == 5 and isinstance(items[1], nn.Tanh) and len(items[1:3]) == 2
    items.pop(1)
    assert [n for n, _ in items.named_children()] == ["0", "1", "2", "3"]
    table = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    assert list(table) == ["a", "b"] and "a" in table and table["b"] is table.b
    table.update([("c", nn.Tanh())])
    assert list(table.keys()) == ["a", "b", "c"] and table.pop("a") and len(table) == 2
    numbers = nn.ParameterList([mg.ones(1), mg.zeros(2)])
    assert [n for n, _ in numbers.named_parameters()] == ["0", "1"] and numbers[-1].shape == (2,)
    named = nn.ParameterDict({"x": mg.ones(1)})
    named["y"] = mg.zeros(3)
    assert set(dict(named.named_parameters())) == {"x", "y"}
    assert isinstance(named["y"], nn.Parameter)


def test_parameter():
    p = nn.Parameter(mg.ones(2))
    assert p.requires_grad and p.is_leaf and isinstance(p, mg.Tensor)
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert type(p * 1) is mg.Tensor and not nn.Parameter(mg.ones(1), False).requires_grad
    with pytest.raises(TypeError):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(mg.tensor([1]))


def test_parameters_as_one_vector():
    net = nn.Linear(2, 3)
    v = nn.utils.parameters_to_vector(net.parameters())
    assert v.shape == (9,)
    nn.utils.vector_to_parameters(mg.arange(9.0), net.parameters())
    assert net.bias.tolist() == [6, 7, 8]
