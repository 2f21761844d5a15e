"""What programs written for PyTorch rely on beyond names: the same code with both libraries."""

from __future__ import annotations

import copy
import inspect
import io
import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=[torch, minigrad], ids=["torch", "minigrad"])
def lib(request: pytest.FixtureRequest) -> Any:
    return request.param


# ---------------------------------------------------------------- tensors and Python
def test_scalars_are_numbers(lib: Any) -> None:
    t, n = lib.tensor(2.5), lib.tensor(3)
    assert t and int(t) == 2 and float(t) == 2.5 and list(range(n)) == [0, 1, 2]
    assert math.sqrt(lib.tensor(4.0)) == 2 and sum([t, t]) == 5 and max(1, t) is t
    assert f"{t:.2f}|{n:d}|{t}" == "2.50|3|2.5" and "%d %.3f" % (n, t) == "3 2.500"  # noqa: UP031
    assert {t: 1}[t] == 1 and [1, 2, 3, 4][n] == 4 and round(t.item()) == 2
    with pytest.raises(RuntimeError):
        bool(lib.ones(2))


def test_shapes_are_tuples(lib: Any) -> None:
    x = lib.zeros(2, 3, 4)
    b, t, c = x.shape
    assert (b, t, c) == (2, 3, 4) == x.shape and x.shape[:-1] + (7,) == (2, 3, 7)
    assert isinstance(x.shape, tuple) and x.size() == x.shape and list(x.shape) == [2, 3, 4]
    assert x.view(*x.shape[:1], -1).shape == (2, 12) and x.shape.numel() == 24 and len(x) == 2
    assert lib.ones(x.shape).shape == lib.ones(*x.shape).shape


def test_arrays_share_memory(lib: Any) -> None:
    a = np.arange(4.0)
    t = lib.from_numpy(a)
    t[0] = 9
    assert a[0] == 9 and t.dtype == lib.float64 and lib.as_tensor(a).data_ptr() == t.data_ptr()
    u = lib.ones(2)
    u.numpy()[1] = 5
    assert u[1] == 5 and np.array(u).tolist() == [1, 5] and np.mean([u.mean().item()]) == 3
    with pytest.raises(RuntimeError):
        np.array(lib.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError):
        lib.ones(1, requires_grad=True).numpy()
    assert lib.tensor([np.ones(2), np.zeros(2)]).dtype == lib.float64
    assert lib.Tensor(np.ones(2)).dtype == lib.float32


def test_default_dtypes(lib: Any) -> None:
    assert lib.tensor([1.0]).dtype == lib.float32 and lib.tensor([1]).dtype == lib.int64
    assert (lib.tensor([1]) / lib.tensor([2])).dtype == lib.float32
    assert lib.arange(0, 4, 2).float().dtype == lib.float32
    assert (lib.arange(3) / 3).dtype == lib.float32 and (lib.ones(1) > 0).dtype == lib.bool
    assert lib.tensor([255], dtype=lib.uint8).float().div(255).item() == 1


def test_legacy_constructors(lib: Any) -> None:
    assert lib.Tensor(2, 3).shape == (2, 3) and lib.Tensor([2, 3]).tolist() == [2, 3]
    t = lib.LongTensor(2)
    t[0], t[1] = 1, 2
    assert t.dtype == lib.int64 and lib.FloatTensor([1, 2]).tolist() == [1.0, 2.0]
    assert t.type(lib.float).dtype == lib.float32 and t.type_as(lib.ones(1)).dtype == lib.float32
    assert t.type(lib.FloatTensor).dtype == lib.float32
    v = lib.autograd.Variable(lib.Tensor(2, 1).fill_(1.0), requires_grad=False)
    assert v.sum() == 2 and isinstance(v, lib.Tensor)
    kind = lib.cuda.FloatTensor if lib.cuda.is_available() else lib.FloatTensor
    assert lib.autograd.Variable(kind(np.zeros((2, 2)))).shape == (2, 2)


def test_indexing(lib: Any) -> None:
    x = lib.arange(12.0).view(3, 4)
    x[x != x] = 0
    assert x[:, ::2].tolist() == [[0, 2], [4, 6], [8, 10]] and x[..., None].shape == (3, 4, 1)
    assert x[[0, 1], [1, 2]].tolist() == [1, 6] == x[lib.arange(2), lib.tensor([1, 2])].tolist()
    logits = x.clone()
    v, _ = lib.topk(logits, 2)
    logits[logits < v[:, [-1]]] = -float("inf")
    assert logits.isinf().sum() == 6 and x[x > 8].shape == (3,)
    x[1] += 1
    x[0, 1:3] = lib.tensor([7.0, 8.0])
    assert x[1, 0] == 5 and x[0, 2] == 8 and x[-1, -1] == 11
    assert x[lib.tensor([2, 0], dtype=lib.int32)].shape == (2, 4)


def test_views(lib: Any) -> None:
    x = lib.zeros(2, 3)
    with pytest.raises(RuntimeError):
        x.t().view(-1)
    assert x.t().contiguous().view(-1).shape == (6,) and x.t().reshape(-1).shape == (6,)
    x.view(-1)[1] = 4
    x.t()[2, 1] = 5
    x.data[0, 0] = 6
    assert x.tolist() == [[6, 4, 0], [0, 0, 5]]
    assert lib.ones(1).expand(3).stride() == (0,) and x.unbind(0)[0].data_ptr() == x.data_ptr()


# ---------------------------------------------------------------- in place
def test_hand_written_optimizers(lib: Any) -> None:
    p = lib.nn.Parameter(lib.ones(2))
    (p * p).sum().backward()
    m, v = lib.zeros(2), lib.zeros(2)
    with lib.no_grad():
        m.lerp_(p.grad, 0.1)
        v.mul_(0.9).addcmul_(p.grad, p.grad, value=0.1)
        p.addcdiv_(m, v.sqrt().add_(1e-8), value=-0.1)
        p.add_(p.grad, alpha=-0.1)
    assert p.tolist() == pytest.approx([1 - 0.1 * 0.2 / math.sqrt(0.4) - 0.2] * 2)
    p.grad.data.add_(1.0)
    p.grad.zero_()
    p.grad = None
    p.data = lib.zeros(3)
    assert p.shape == (3,) and p.requires_grad and p.grad is None


def test_scatters(lib: Any) -> None:
    idx = lib.tensor([[0], [2]])
    assert lib.zeros(2, 3).scatter_(1, idx, 1).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert lib.zeros(2, 3).scatter_(1, idx, value=2.0).sum() == 4
    proj = lib.zeros(4).index_add_(0, lib.tensor([1, 1, 3]), lib.ones(3))
    assert proj.tolist() == [0, 2, 0, 1]


def test_changes_of_what_is_in_the_graph(lib: Any) -> None:
    w = lib.ones(3, requires_grad=True)
    y = w * 2
    y[lib.tensor([True, False, True])] = 0.0
    y[1] += 3
    y.sum().backward()
    assert w.grad.tolist() == [0, 2, 0]
    w.grad = None
    h = lib.nn.ReLU(inplace=True)(w * 3)
    h = h + 1
    h.sum().backward()
    assert w.grad.tolist() == [3, 3, 3]
    with pytest.raises(RuntimeError):
        w.add_(1)
    cache = lib.zeros(2, 4)
    with lib.inference_mode():
        cache[:1, 1:3] = lib.ones(1, 2)
    assert cache.sum() == 2


# ---------------------------------------------------------------- modules


def _net(lib: Any) -> Any:
    class Net(lib.nn.Module):
        def __init__(self) -> None:
            super(Net, self).__init__()  # noqa: UP008
            self.body = lib.nn.Sequential(
                OrderedDict([("fc", lib.nn.Linear(3, 4)), ("act", lib.nn.ReLU())])
            )
            self.parts = lib.nn.ModuleDict(dict(wte=lib.nn.Embedding(5, 3)))
            self.head = lib.nn.Linear(3, 5, bias=False)
            self.head.weight = self.parts.wte.weight
            self.scale = lib.nn.Parameter(lib.tensor(1.0))
            self.register_parameter("none", None)
            self.register_buffer("mask", lib.tril(lib.ones(4, 4)), persistent=False)
            self.register_buffer("count", lib.zeros(()))

        def forward(self, x: Any) -> Any:
            return self.body(x) * self.scale

    return Net()


def test_modules_register_what_is_set(lib: Any) -> None:
    net = _net(lib)
    names = [n for n, _ in net.named_parameters()]
    assert names == ["scale", "body.fc.weight", "body.fc.bias", "parts.wte.weight"]
    assert list(net.state_dict()) == [
        "scale", "count", "body.fc.weight", "body.fc.bias", "parts.wte.weight", "head.weight",
    ]  # fmt: skip
    assert sum(p.numel() for p in net.parameters()) == 1 + 16 + 15 and net.none is None
    assert net.mask[:2, :2].sum() == 3 and net.body[0].in_features == 3 and len(net.body) == 2
    assert (
        net.body[:1](lib.ones(1, 3)).shape == (1, 4) and next(net.parameters()).device.type == "cpu"
    )
    found = []
    net.apply(lambda m: found.append(m.__class__.__name__))
    assert found[-1] == "Net" and any(n.find("Linear") != -1 for n in found)
    decay = [p for n, p in net.named_parameters() if p.dim() >= 2 and not n.endswith("bias")]
    assert len(decay) == 2 and "Linear(in_features=3, out_features=4, bias=True)" in repr(net)


def test_state_dicts_alias(lib: Any) -> None:
    net, other = _net(lib), _net(lib)
    state = net.state_dict()
    state["body.fc.bias"].fill_(7.0)
    assert net.body.fc.bias[0] == 7 and not state["scale"].requires_grad
    other.load_state_dict(state)
    assert other.body.fc.bias.tolist() == [7.0] * 4
    del state["scale"]
    state["more"] = lib.ones(1)
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert missing == ["scale"] and unexpected == ["more"]
    with pytest.raises(RuntimeError):
        other.load_state_dict(state)
    other.load_state_dict({k: v * 2 for k, v in net.state_dict().items()}, assign=True)
    assert other.body.fc.bias[0] == 14
    twin = copy.deepcopy(net)
    twin.body.fc.bias.data.zero_()
    assert net.body.fc.bias[0] == 7 and twin.head.weight is twin.parts.wte.weight


def test_keys_of_recurrent_and_attention_layers(lib: Any) -> None:
    keys = list(lib.nn.LSTM(2, 3, bidirectional=True).state_dict())
    assert keys[0] == "weight_ih_l0" and keys[-1] == "bias_hh_l0_reverse"
    assert "in_proj_weight" in lib.nn.MultiheadAttention(4, 2).state_dict()
    layers = lib.nn.TransformerEncoder(lib.nn.TransformerEncoderLayer(4, 2, 8), 1).state_dict()
    assert "layers.0.self_attn.out_proj.bias" in layers
    assert "num_batches_tracked" in lib.nn.BatchNorm1d(2).state_dict()
    lstm = lib.nn.LSTM(2, 3, batch_first=True)
    lstm.flatten_parameters()
    y, (h, c) = lstm(lib.ones(1, 4, 2), (lib.zeros(1, 1, 3), lib.zeros(1, 1, 3)))
    assert y.shape == (1, 4, 3) and h.shape == c.shape == (1, 1, 3)
    cell = lib.nn.LSTMCell(1, 2).double()
    assert cell(lib.ones(1, 1).double(), (lib.zeros(1, 2).double(),) * 2)[0].dtype == lib.float64


def test_hooks(lib: Any) -> None:
    net, seen = lib.nn.Linear(2, 2), []
    handle = net.register_forward_hook(lambda m, i, o: seen.append(o.shape))
    net.register_forward_pre_hook(lambda m, i: (i[0] * 2,))
    y = net(lib.ones(1, 2))
    handle.remove()
    net.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.shape))
    accumulate = net.bias.expand_as(net.bias).grad_fn.next_functions[0][0]
    accumulate.register_hook(
        lambda *_: lib.autograd.Variable._execution_engine.queue_callback(
            lambda: seen.append("end")
        )
    )
    y.sum().backward()
    assert seen == [(1, 2), (2, 2), "end"] and net.weight.grad.tolist() == [[2, 2], [2, 2]]

    class Unit(lib.nn.Module):
        def forward(self, w: Any) -> Any:
            return w / w.norm()

    lib.nn.utils.parametrize.register_parametrization(net, "weight", Unit())
    assert net.weight.norm().item() == pytest.approx(1)


# ---------------------------------------------------------------- autograd
def test_losses_in_lists(lib: Any) -> None:
    w = lib.ones(2, requires_grad=True)
    loss: Any = 0
    for _ in range(3):
        loss = loss + (w * 2).sum()
    losses = [(w * k).sum() for k in range(3)]
    (loss + lib.stack(losses).sum()).backward()
    assert w.grad.tolist() == [9, 9]
    with pytest.raises(RuntimeError, match="second time|does not require grad"):
        y = (w * w).sum()
        y.backward()
        y.backward()


def test_recording_is_switched(lib: Any) -> None:
    w = lib.ones(1, requires_grad=True)

    @lib.no_grad()
    def quiet() -> Any:
        with lib.enable_grad():
            inner = w * 2
        return w * 2, inner

    outer, inner = quiet()
    assert not outer.requires_grad and inner.requires_grad
    with lib.set_grad_enabled(False):
        assert not (w * 2).requires_grad
    with lib.inference_mode():
        assert not (w * 2).requires_grad
    w.requires_grad = False
    assert not (w * 2).requires_grad and not (w * 2).detach().requires_grad


def test_gradient_penalties(lib: Any) -> None:
    x = lib.tensor([[1.0, 2.0]], requires_grad=True)
    d = lib.nn.Linear(2, 1)
    lib.nn.init.constant_(d.weight, 0.5)
    out = (d(x) ** 2).sum(1, keepdim=True)
    (g,) = lib.autograd.grad(
        outputs=out, inputs=x, grad_outputs=lib.ones_like(out), create_graph=True,
        retain_graph=True, only_inputs=True,
    )  # fmt: skip
    ((g.norm(2, dim=1) - 1) ** 2).mean().backward()
    assert d.weight.grad is not None and d.weight.grad.shape == (1, 2)


def test_functions_of_a_users_own(lib: Any) -> None:
    class Cube(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @lib.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            assert ctx.needs_input_grad == (True,)
            return 3 * x**2 * g

    x = lib.tensor([2.0], dtype=lib.float64, requires_grad=True)
    assert lib.autograd.gradcheck(Cube.apply, (x,))
    assert Cube.apply(x).grad_fn.name() == "CubeBackward"


# ---------------------------------------------------------------- optimizers
def test_optimizers_of_a_users_own(lib: Any) -> None:
    class Plain(lib.optim.Optimizer):
        def __init__(self, groups: Any):
            super().__init__(groups, {"lr": 0.5})

        @lib.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    p.add_(p.grad, alpha=-group["lr"] * group.get("extra", 1))

    a, b = (lib.nn.Parameter(lib.ones(1)) for _ in range(2))
    opt = Plain([{"params": [a]}, {"params": [b], "extra": 2}])
    (a + b).sum().backward()
    opt.step()
    assert (a.item(), b.item()) == (0.5, 0.0) and opt.state_dict()["state"][1]["step"] == 1
    opt.param_groups[0]["lr"] = 0.1
    opt.zero_grad(set_to_none=True)
    assert a.grad is None and opt.defaults["lr"] == 0.5


def test_optimizers_take_what_programs_give(lib: Any) -> None:
    net = lib.nn.Linear(2, 1)
    assert "fused" in inspect.signature(lib.optim.AdamW).parameters
    lib.optim.Adam(list(net.parameters()) + list(lib.nn.Linear(1, 1).parameters()), eps=1e-5)
    opt = lib.optim.RMSprop(net.parameters(), lr=0.01, foreach=True)
    net(lib.ones(1, 2)).sum().backward()
    assert lib.nn.utils.clip_grad_norm_(net.parameters(), 0.5).item() == pytest.approx(3**0.5)
    opt.step()
    lib.optim.lr_scheduler.ReduceLROnPlateau(opt, "max", patience=5).step(1.0)
    lbfgs = lib.optim.LBFGS(net.parameters(), lr=0.8)

    def closure() -> Any:
        lbfgs.zero_grad()
        loss = (net(lib.ones(1, 2)) ** 2).sum()
        loss.backward()
        return loss

    assert lbfgs.step(closure) > (net(lib.ones(1, 2)) ** 2).sum()


# ---------------------------------------------------------------- data
def test_samplers_are_lazy(lib: Any) -> None:
    data = lib.utils.data
    ds = data.TensorDataset(lib.arange(5), lib.arange(5.0))
    sampler = data.RandomSampler(ds, replacement=True, num_samples=int(1e10))
    x, y = next(iter(data.DataLoader(ds, sampler=sampler, batch_size=4, pin_memory=False)))
    assert x.shape == y.shape == (4,) and len(data.DataLoader(ds, batch_size=2).dataset) == 5
    parts = data.random_split(ds, [3, 2], generator=lib.Generator().manual_seed(1))
    assert [len(p) for p in parts] == [3, 2]


def test_default_collate(lib: Any) -> None:
    class Items(lib.utils.data.Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            return {"n": i, "f": float(i), "a": np.ones(2, np.float32), "s": str(i), "t": (i, i)}

    loader = lib.utils.data.DataLoader(Items(), batch_size=4, drop_last=True, shuffle=False)
    for _ in range(2):
        (batch,) = loader
        assert batch["n"].dtype == lib.int64 and batch["f"].dtype == lib.float64
        assert batch["a"].shape == (4, 2) and batch["s"] == ["0", "1", "2", "3"]
        assert [t.tolist() for t in batch["t"]] == [[0, 1, 2, 3]] * 2


# ---------------------------------------------------------------- saving
def test_checkpoints(lib: Any, tmp_path: Any) -> None:
    net = _net(lib)
    opt = lib.optim.AdamW(net.parameters())
    net(lib.ones(1, 3)).sum().backward()
    opt.step()
    saved = {"model": net.state_dict(), "optim": opt.state_dict(), "iter": 3, "loss": 0.5}
    lib.save(saved, tmp_path / "ckpt.pt")
    back = lib.load(tmp_path / "ckpt.pt", map_location="cpu", weights_only=True)
    assert back["iter"] == 3 and back["model"]["scale"] == net.scale
    other = _net(lib)
    other.load_state_dict(back["model"])
    fresh = lib.optim.AdamW(other.parameters())
    fresh.load_state_dict(back["optim"])
    assert fresh.state_dict()["state"][0]["step"] == 1
    file = io.BytesIO()
    lib.save(lib.ones(2), file)
    file.seek(0)
    assert lib.load(file).tolist() == [1, 1]


# ---------------------------------------------------------------- random numbers
def test_random_numbers(lib: Any) -> None:
    lib.manual_seed(3)
    lib.cuda.manual_seed_all(3)
    first = lib.rand(3)
    lib.manual_seed(3)
    assert lib.equal(first, lib.rand(3))
    g = lib.Generator().manual_seed(7)
    perm = lib.randperm(5, generator=g)
    assert sorted(perm.tolist()) == list(range(5)) and lib.randint(3, (2, 2)).shape == (2, 2)
    drawn = lib.multinomial(lib.tensor([0.0, 1.0]), num_samples=3, replacement=True, generator=g)
    assert drawn.tolist() == [1, 1, 1]
    d = lib.distributions
    c = d.Categorical(logits=lib.zeros(2, 3))
    assert c.log_prob(c.sample()).shape == (2,) and c.entropy()[0].item() == pytest.approx(
        math.log(3)
    )
    n = d.Normal(lib.zeros(2, requires_grad=True), 1.0)
    assert n.rsample().requires_grad and n.log_prob(lib.zeros(2)).sum(-1).shape == ()


# ---------------------------------------------------------------- devices, precision, compiling
def test_devices_are_asked_for(lib: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = lib.device("cuda" if lib.cuda.is_available() else "cpu")
    x = lib.ones(2).to(device, non_blocking=True).to(lib.float64).to(lib.ones(1))
    assert x.device == device and x.dtype == lib.float32 and str(lib.device("cpu")) == "cpu"
    assert lib.accelerator.is_available() in (True, False)
    if not lib.accelerator.is_available():
        assert lib.accelerator.current_accelerator() is None
    assert lib.backends.mps.is_available() is False
    monkeypatch.setattr(lib.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(lib.backends.cudnn, "benchmark", False)
    if lib is minigrad:  # in PyTorch without CUDA it can be set, not read
        monkeypatch.setattr(lib.backends.cuda.matmul, "allow_tf32", True)
    else:
        lib.backends.cuda.matmul.allow_tf32 = True
    lib.set_float32_matmul_precision("high")
    lib.set_float32_matmul_precision("highest")
    if not lib.cuda.is_available():
        lib.cuda.empty_cache()
        assert lib.cuda.device_count() == 0
    lib.nn.Conv2d(1, 1, 1).to(memory_format=lib.channels_last)
    with lib.device("cpu"):
        assert lib.ones(1).device.type == "cpu"


def test_precision(lib: Any) -> None:
    net, x = lib.nn.Linear(2, 2), lib.ones(1, 2)
    for context in (lib.autocast("cpu", dtype=lib.bfloat16), lib.amp.autocast("cpu", lib.bfloat16)):
        with context:
            assert net(x).dtype == lib.bfloat16
    scaler = lib.amp.GradScaler("cpu", enabled=False)
    opt = lib.optim.SGD(net.parameters(), lr=0.1)
    scaler.scale(net(x).sum()).backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    assert (x.bfloat16() @ x.bfloat16().mT).dtype == lib.bfloat16
    freqs = lib.polar(lib.ones(2), lib.tensor([0.0, math.pi]))
    assert lib.view_as_real(lib.view_as_complex(lib.ones(1, 2)) * freqs[0]).tolist() == [[1, 1]]


def test_compiling_keeps_the_meaning(lib: Any) -> None:
    script = lib.jit.script if lib is minigrad else lambda f: f  # of local functions: not in torch
    assert script(lambda x: x + 1)(lib.ones(1)) == 2
    if lib is minigrad:  # PyTorch's compiler takes half a minute

        @lib.compile(fullgraph=True, dynamic=False, mode="default")
        def twice(x: Any) -> Any:
            return x * 2

        assert twice(lib.ones(1)) == 2 and lib.compile(lib.nn.Linear(1, 1))(lib.ones(1)).shape == (
            1,
        )
