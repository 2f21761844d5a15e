"""Activations from the perceptron to language models: known numbers, layers, names, learning."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

F = nn.functional
POINTS = [-3.0, -1.0, -0.5, 0.5, 1.0, 3.0]
KNOWN = {
    "quick_gelu": (F.quick_gelu, [-0.018071, -0.154204, -0.149612, 0.350388, 0.845796, 2.981929]),
    "snake": (F.snake, [-2.980085, -0.291927, -0.270151, 0.729849, 1.708073, 3.019915]),
    "xielu": (F.xielu, [0.139830, -0.205696, -0.164776, 0.45, 1.3, 8.7]),
    "relu_squared": (F.relu_squared, [0, 0, 0, 0.25, 1, 9]),
    "lecun_tanh": (F.lecun_tanh, [-1.654175, -0.999997, -0.551684, 0.551684, 0.999997, 1.654175]),
    "step": (F.step, [0, 0, 0, 1, 1, 1]),
}


def points() -> Any:
    return mg.tensor(POINTS, dtype=mg.float64)


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(name: str) -> None:
    op, values = KNOWN[name]
    np.testing.assert_allclose(op(points()).numpy(), values, atol=6e-7)


LARGE = [
    F.lecun_tanh, F.laplace, F.sqrt_softplus, F.swish, F.quick_gelu, F.serf, F.smelu, F.snake,
    F.relu_squared, lambda x: F.swiglu(x, x), lambda x: F.geglu(x, x),
    lambda x: F.clamped_swiglu(x, x), F.sparsemax, F.entmax,
]  # fmt: skip


@pytest.mark.parametrize("op", LARGE)
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_large_arguments_stay_finite(op: Any, dtype: Any) -> None:
    x = mg.tensor([-1e4, -200.0, -90.0, 90.0, 200.0, 1e4], dtype=dtype, requires_grad=True)
    y = op(x)
    y.sum().backward()
    assert np.isfinite(y.detach().numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_sqrt_softplus_keeps_its_slope_where_softplus_vanishes() -> None:
    x = mg.tensor([-150.0], requires_grad=True)
    y = F.sqrt_softplus(x)
    y.backward()
    assert y.item() == pytest.approx(math.exp(-75), rel=1e-5)
    assert x.grad.item() == pytest.approx(math.exp(-75) / 2, rel=1e-5)


def test_the_slope_of_xielu_is_continuous() -> None:
    x = mg.tensor([-1e-3, -1e-7, 0.0, 1e-7, 1e-3], dtype=mg.float64, requires_grad=True)
    F.xielu(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 0.5, atol=2e-3)


# ------------------------------------------------------------------------------ step, estimators
def test_step_estimators() -> None:
    expected = {"none": [0, 0, 0, 0], "identity": [1, 1, 1, 1], "clipped": [0, 1, 1, 0]}
    for estimator, slopes in expected.items():
        x = mg.tensor([-2.0, -0.5, 0.5, 2.0], requires_grad=True)
        y = F.step(x, signed=True, estimator=estimator)
        assert y.tolist() == [-1, -1, 1, 1]
        y.sum().backward()
        assert x.grad.tolist() == slopes
    with pytest.raises(ValueError, match="estimator"):
        F.step(mg.ones(2), estimator="sign")
    with pytest.raises(TypeError):
        F.step(1.0)


# ------------------------------------------------------------------------------ sparse
def test_sparsemax_is_the_projection_onto_the_simplex() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 6)) * 2
    p = F.sparsemax(mg.tensor(x)).numpy()
    np.testing.assert_allclose(p.sum(-1), 1)
    assert (p >= 0).all()
    assert (p == 0).any()
    for q in rng.dirichlet(np.ones(6), 50):  # no other point of it is closer
        assert (((p - x) ** 2).sum(-1) <= ((q - x) ** 2).sum(-1) + 1e-12).all()


def test_entmax_between_softmax_and_sparsemax() -> None:
    x = mg.tensor(np.random.default_rng(1).standard_normal((8, 9)) * 2)
    zeros = []
    for alpha in (1.0, 1.2, 1.5, 1.501, 2.0, 4.0):
        p = F.entmax(x, alpha)
        np.testing.assert_allclose(p.sum(-1).numpy(), 1, atol=1e-12)
        zeros.append(int((p == 0).sum()))
    assert zeros == sorted(zeros)
    assert zeros[0] == 0 < zeros[-1]
    np.testing.assert_allclose(F.entmax(x, 1.5).numpy(), F.entmax(x, 1.5001).numpy(), atol=1e-4)
    np.testing.assert_allclose(F.entmax(x, 2.0).numpy(), F.entmax(x, 2.0001).numpy(), atol=1e-4)
    with pytest.raises(ValueError, match="alpha"):
        F.entmax(x, 0.5)


def test_gaussian_topk_keeps_about_the_wanted_share() -> None:
    mg.manual_seed(0)
    y = F.gaussian_topk(mg.randn(50, 2000), 0.95)
    assert abs((y == 0).float().mean().item() - 0.95) < 0.005
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="sparsity"):
            F.gaussian_topk(mg.ones(3), wrong)


# ------------------------------------------------------------------------------ names
HF_NAMES = {
    "gelu": F.gelu, "gelu_10": lambda x: F.gelu(x).clamp(-10, 10), "silu": F.silu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"), "relu2": F.relu_squared,
    "gelu_fast": lambda x: F.gelu(x, approximate="tanh"), "quick_gelu": F.quick_gelu,
    "gelu_accurate": lambda x: F.gelu(x, approximate="tanh"), "laplace": F.laplace,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"), "linear": lambda x: x,
    "gelu_python": F.gelu, "gelu_python_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardswish": F.hardswish, "leaky_relu": F.leaky_relu, "mish": F.mish, "relu": F.relu,
    "relu6": F.relu6, "sigmoid": mg.sigmoid, "swish": F.silu, "tanh": mg.tanh,
    "sqrtsoftplus": F.sqrt_softplus, "prelu": lambda x: F.leaky_relu(x, 0.25), "xielu": F.xielu,
}  # fmt: skip


@pytest.mark.parametrize("name", HF_NAMES)
def test_names_of_published_configurations(name: str) -> None:
    module = nn.get_activation(name).double()
    want = HF_NAMES[name](points()).numpy()
    np.testing.assert_allclose(module(points()).detach().numpy(), want, rtol=1e-6)


def test_every_name_gives_a_module() -> None:
    for name in nn.activation_names():
        module = nn.get_activation(name)
        assert isinstance(module, nn.Module)
        assert module(mg.randn(2, 4)).shape == (2, 4)
        assert type(module).__name__ in repr(module)
    assert nn.get_activation("leaky_relu", negative_slope=0.3).negative_slope == 0.3
    with pytest.raises(KeyError, match="silu"):
        nn.get_activation("swiglu7")


# ------------------------------------------------------------------------------ layers
def test_gated_width() -> None:
    assert nn.gated_width(4096, 256) == 11008  # LLaMA 7B
    assert nn.gated_width(5120, 256) == 13824  # LLaMA 13B
    assert nn.gated_width(6) == 16


GATED = {
    nn.SwiGLU: lambda g, v: F.silu(g) * v,
    nn.GEGLU: lambda g, v: F.gelu(g) * v,
    nn.ReGLU: lambda g, v: F.relu(g) * v,
    nn.DReLU: lambda g, v: F.relu(g) * F.relu(v),
    nn.BilinearGLU: lambda g, v: g * v,
    nn.SigmoidGLU: lambda g, v: g.sigmoid() * v,
}


@pytest.mark.parametrize("layer", GATED)
def test_gated_layers(layer: Any) -> None:
    mg.manual_seed(0)
    m = layer(6, multiple_of=8)
    assert m.hidden == 16
    assert sorted(m.state_dict()) == ["down_proj.weight", "gate_proj.weight", "up_proj.weight"]
    x = mg.randn(2, 3, 6)
    want = m.down_proj(GATED[layer](m.gate_proj(x), m.up_proj(x)))
    # atol: products of other shapes sum in another order, which shows where terms cancel
    np.testing.assert_allclose(m(x).detach().numpy(), want.detach().numpy(), rtol=1e-6, atol=1e-7)
    m(x).sum().backward()
    assert all(p.grad is not None for p in m.parameters())


def test_gated_layer_with_any_activation() -> None:
    m = nn.GatedFeedForward(4, 8, "gelu_pytorch_tanh", bias=True)
    assert len(list(m.parameters())) == 6
    x = mg.randn(5, 4)
    want = m.down_proj(F.gelu(m.gate_proj(x), approximate="tanh") * m.up_proj(x))
    np.testing.assert_allclose(m(x).detach().numpy(), want.detach().numpy(), rtol=1e-6, atol=1e-7)
    assert nn.GatedFeedForward(4, 8, nn.Tanh())(x).shape == (5, 4)


def test_clamped_swiglu_takes_turns() -> None:
    g, v = mg.tensor([0.5, 9.0, -3.0]), mg.tensor([8.0, -0.5, -9.0])
    both = mg.stack([g, v], -1).reshape(-1)
    want = (v.clamp(-7, 7) + 1) * g.clamp(max=7) * (1.702 * g.clamp(max=7)).sigmoid()
    np.testing.assert_allclose(nn.ClampedSwiGLU()(both).numpy(), want.numpy(), rtol=1e-6)
    halves = nn.ClampedSwiGLU(interleaved=False)(mg.cat([g, v]))
    np.testing.assert_allclose(halves.numpy(), want.numpy(), rtol=1e-6)
    with pytest.raises(RuntimeError, match="even"):
        nn.ClampedSwiGLU()(mg.ones(3))


def test_learned_activations() -> None:
    mg.manual_seed(0)
    x = mg.randn(2, 3, 5)
    for module, names in (
        (nn.Swish(1.5), ["beta"]),
        (nn.Snake(3, 0.5), ["alpha"]),
        (nn.SnakeBeta(3, log_scale=True), ["alpha", "beta"]),
        (nn.XIELU(), ["alpha_n", "alpha_p"]),
        (nn.Maxout(5, 4, pieces=3), ["linear.bias", "linear.weight"]),
        (nn.SirenLayer(5, 4, first=True), ["linear.bias", "linear.weight"]),
    ):
        assert sorted(name for name, _ in module.named_parameters()) == names
        y = module(x)
        assert y.shape == (2, 3, 4 if "linear.weight" in names else 5)
        y.square().sum().backward()
        assert all(np.abs(p.grad.numpy()).sum() > 0 for p in module.parameters())
    assert not list(nn.Swish(learnable=False).parameters())
    np.testing.assert_allclose(nn.Swish(learnable=False)(x).numpy(), F.silu(x).numpy(), atol=1e-7)
    np.testing.assert_allclose(
        nn.Snake(3, 0.5, log_scale=True)(x).detach().numpy(), F.snake(x, 0.5).numpy(), rtol=1e-5
    )


def test_small_modules() -> None:
    x = mg.randn(3, 4)
    for module, want in (
        (nn.CReLU(), F.crelu(x)), (nn.Step(0.1, signed=True), F.step(x, 0.1, signed=True)),
        (nn.Sparsemax(), F.sparsemax(x)), (nn.Entmax(1.3, 0), F.entmax(x, 1.3, 0)),
        (nn.GaussianTopK(0.5), F.gaussian_topk(x, 0.5)), (nn.Sine(2.0), (x * 2).sin()),
        (nn.SmeLU(2.0), F.smelu(x, 2.0)), (nn.ClippedGELU(-0.1, 0.2), F.gelu(x).clamp(-0.1, 0.2)),
        (nn.Laplace(0.1, 0.5), F.laplace(x, 0.1, 0.5)),
    ):  # fmt: skip
        np.testing.assert_array_equal(module(x).numpy(), want.numpy())
        assert repr(module).startswith(type(module).__name__)
    with pytest.raises(ValueError, match="min"):
        nn.ClippedGELU(1, 0)
    with pytest.raises(ValueError, match="divisible"):
        F.maxout(x, 3)
    with pytest.raises(ValueError, match="positive"):
        F.smelu(x, 0.0)


def test_siren_keeps_the_scale_of_its_activations() -> None:
    mg.manual_seed(0)
    x = mg.rand(500, 2) * 2 - 1
    for i in range(6):
        x = nn.SirenLayer(2 if i == 0 else 256, 256, first=i == 0)(x)
        if i:
            assert abs(x.std().item() - math.sqrt(0.5)) < 0.05  # that of the sine of much


# ------------------------------------------------------------------------------ the perceptron
def separable(n: int, signed: bool) -> tuple[Any, Any]:
    mg.manual_seed(3)
    x = mg.randn(n, 2)
    side = x @ mg.tensor([1.0, -2.0]) + 0.5
    x, side = x[side.abs() > 0.4], side[side.abs() > 0.4]
    return x, (side > 0).float() * 2 - 1 if signed else (side > 0).float()


@pytest.mark.parametrize("signed", [False, True])
def test_perceptron_learns_what_is_separable(signed: bool) -> None:
    x, y = separable(200, signed)
    model = nn.Perceptron(2, signed=signed)
    history = model.fit(x, y)
    assert history[-1] == 0
    assert mg.equal(model(x).reshape(-1), y)
    # Novikoff: at most (R/γ)² mistakes, with the bias as one more input
    w = mg.tensor([1.0, -2.0, 0.5])
    ones = mg.cat([x, mg.ones(len(x), 1)], 1)
    margin = ((ones @ w).abs().min() / w.norm()).item()
    assert sum(history) <= (ones.norm(dim=1).max().item() / margin) ** 2


def test_perceptron_rule_by_hand() -> None:
    model = nn.Perceptron(2)
    mistakes = model.learn(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([1.0, 0.0]), lr=0.5)
    # first sample: taken for 0, add half of it; second: then taken for 1, subtract half of it
    assert mistakes == 2
    assert model.weight.tolist() == [[-1.0, -1.0]]
    assert model.bias.tolist() == [0.0]
    with pytest.raises(RuntimeError, match="targets"):
        model.learn(mg.ones(2, 2), mg.ones(3))


def test_xor_is_beyond_one_perceptron_but_not_beyond_two_layers() -> None:
    x = mg.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    y = mg.tensor([0.0, 1, 1, 0])
    assert nn.Perceptron(2).fit(x, y, epochs=50)[-1] > 0
    mg.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 8), nn.Step(signed=True, estimator="clipped"), nn.Linear(8, 1)
    )
    optimizer = mg.optim.Adam(model.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        ((model(x).reshape(-1) - y) ** 2).mean().backward()
        optimizer.step()
    assert mg.equal((model(x).reshape(-1) > 0.5).float(), y)


# ------------------------------------------------------------------------------ the examples
def example(name: str) -> Any:
    path = Path(__file__).resolve().parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gallery_example(tmp_path: Path) -> None:
    gallery = example("activation_gallery")
    lines = gallery.table().splitlines()
    assert len(lines) == len(gallery.GALLERY) + 1
    assert any("quick gelu" in line and "0.845796" in line for line in lines)
    points = np.linspace(-3.01, 3.02, 50)
    for entry in gallery.GALLERY:
        y, slope = gallery.curve(entry.function, points)
        after, _ = gallery.curve(entry.function, points + 1e-7)
        np.testing.assert_allclose((after - y) / 1e-7, slope, atol=1e-5, err_msg=entry.name)
    pytest.importorskip("matplotlib")
    gallery.draw(tmp_path / "all.png")
    assert (tmp_path / "all.png").stat().st_size > 10_000


def test_perceptron_example() -> None:
    scenes = example("perceptron")
    mg.manual_seed(0)
    assert scenes.separable()[-1] == 0
    assert scenes.beyond()[-1] > 0
    assert scenes.two_layers("clipped", steps=100) == 1.0
    assert scenes.two_layers("none", steps=100) < 1.0
