"""Upsampling layers and functions: values, refusals and first weights the Cases do not reach."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")

IMAGE, SQUARE = (2, 4, 6, 5), np.array([[[[1.0, 2.0], [3.0, 4.0]]]], np.float32)
LAYERS: list[tuple[str, tuple, dict, tuple[int, ...]]] = [
    ("Upsample", (), {"scale_factor": 2}, IMAGE),
    ("Upsample", ((3, 7),), {}, IMAGE),
    ("Upsample", (), {"scale_factor": (1.5, 2), "mode": "bilinear"}, IMAGE),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "bicubic", "align_corners": True}, IMAGE),
    ("Upsample", (9,), {"mode": "linear"}, (2, 3, 5)),
    ("Upsample", (), {"scale_factor": 2.0, "mode": "trilinear"}, (1, 2, 3, 4, 2)),
    ("Upsample", (), {"scale_factor": 1.7, "recompute_scale_factor": True}, IMAGE),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, IMAGE),
    ("UpsamplingNearest2d", (), {"size": (7, 3)}, IMAGE),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, IMAGE),
    ("UpsamplingBilinear2d", (5,), {}, IMAGE),
    ("PixelShuffle", (2,), {}, IMAGE),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 6)),
    ("ChannelShuffle", (2,), {}, IMAGE),
    ("Unfold", ((2, 3),), {"dilation": 2, "padding": 1, "stride": 1}, IMAGE),
    ("Fold", ((5, 4), 2), {}, (2, 12, 12)),
    ("Fold", ((5, 4), 2), {}, (12, 12)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1, "groups": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": 3, "dilation": 2, "output_padding": 1}, IMAGE),
    ("ConvTranspose3d", (4, 2, 2), {"stride": 2, "padding": 1}, (4, 3, 2, 3)),
]  # fmt: skip


def _close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
def test_layer_agrees_with_torch(
    name: str, args: tuple, kwargs: dict, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = getattr(mg.nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    ours.load_state_dict({k: mg.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    x = rng.standard_normal(shape).astype(np.float32)
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, t = ours(a), theirs(b)
    _close(y, t)
    g = rng.standard_normal(tuple(t.shape)).astype(np.float32)
    y.backward(mg.from_numpy(g))
    t.backward(torch.from_numpy(g))
    _close(a.grad, b.grad, 1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("extra", [0, 1])
def test_output_size_of_transposed_convolutions_and_unpooling(n: int, extra: int) -> None:
    x = np.random.default_rng(n).standard_normal((2, 4, *(5, 4, 3)[:n])).astype(np.float32)
    size = [2 * s + extra for s in x.shape[2:]]
    theirs = getattr(torch.nn, f"ConvTranspose{n}d")(4, 2, 2, stride=2)
    ours = getattr(mg.nn, f"ConvTranspose{n}d")(4, 2, 2, stride=2)
    ours.load_state_dict({k: mg.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    _close(ours(mg.tensor(x), size), theirs(torch.tensor(x), size))
    _close(ours(mg.tensor(x), output_size=[2, 2, *size]), theirs(torch.tensor(x), size))
    with pytest.raises(ValueError, match="requested an output size"):
        ours(mg.tensor(x), [s + 2 for s in size])
    outputs = []
    for lib in (mg, torch):
        pooled, index = getattr(lib.nn, f"MaxPool{n}d")(2, return_indices=True)(lib.tensor(x))
        unpool = getattr(lib.nn, f"MaxUnpool{n}d")(2)
        outputs.append(unpool(pooled, index, output_size=list(x.shape)))
        with pytest.raises(ValueError):
            unpool(pooled, index, output_size=list(x.shape[1:]) if n != 1 else [1, 2])
    _close(*outputs)


def test_values_that_can_be_checked_by_hand() -> None:
    x, f = mg.tensor(SQUARE), mg.nn.functional
    rows = [[1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3, 3.25, 3.75, 4]]
    assert f.interpolate(x, scale_factor=2, mode="bilinear").tolist() == [[rows]]
    aligned = f.interpolate(x, size=4, mode="bilinear", align_corners=True)[0, 0, 0]
    np.testing.assert_allclose(aligned.numpy(), [1, 4 / 3, 5 / 3, 2], rtol=1e-6)
    shuffled = mg.nn.PixelShuffle(2)(mg.arange(16).view(1, 4, 2, 2))
    expected = [[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]]
    assert shuffled.tolist() == [[expected]]
    assert mg.nn.PixelUnshuffle(2)(shuffled).flatten().tolist() == list(range(16))


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "no size": lambda m, f: f.interpolate(m.ones(1, 1, 4)),
    "both": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=2, scale_factor=2),
    "size count": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=(2, 2)),
    "factor count": lambda m, f: f.interpolate(m.ones(1, 1, 4), scale_factor=(2, 2)),
    "float size": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=2.5),
    "bool size": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=True),
    "word factor": lambda m, f: f.interpolate(m.ones(1, 1, 4), scale_factor="a"),
    "zero size": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=0),
    "negative factor": lambda m, f: f.interpolate(m.ones(1, 1, 4), scale_factor=-1.0),
    "small factor": lambda m, f: f.interpolate(m.ones(1, 1, 4), scale_factor=0.1),
    "empty image": lambda m, f: f.interpolate(m.ones(1, 1, 0), size=2),
    "no channels": lambda m, f: f.interpolate(m.ones(1, 0, 4), size=2),
    "2-D": lambda m, f: f.interpolate(m.ones(1, 4), size=2),
    "6-D": lambda m, f: f.interpolate(m.ones(1, 1, 1, 1, 1, 4), size=2),
    "bilinear 3-D": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=2, mode="bilinear"),
    "linear 4-D": lambda m, f: f.interpolate(m.ones(1, 1, 4, 4), size=2, mode="linear"),
    "bicubic 3-D": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=2, mode="bicubic"),
    "mode": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=2, mode="sharp"),
    "aligned nearest": lambda m, f: f.interpolate(m.ones(1, 1, 4), size=2, align_corners=True),
    "recomputed size": lambda m, f: f.interpolate(
        m.ones(1, 1, 4), size=2, recompute_scale_factor=True
    ),
    "antialiased nearest": lambda m, f: f.interpolate(m.ones(1, 1, 4, 4), size=2, antialias=True),
    "lanczos alone": lambda m, f: f.interpolate(m.ones(1, 1, 4, 4), size=2, mode="lanczos"),
    "lanczos aligned": lambda m, f: f.interpolate(
        m.ones(1, 1, 4, 4), size=2, mode="lanczos", antialias=True, align_corners=True
    ),
    "long nearest": lambda m, f: f.interpolate(m.ones(1, 1, 4).long(), size=2),
    "bytes linear": lambda m, f: f.interpolate(m.ones(1, 1, 4).byte(), size=2, mode="linear"),
    "bool bicubic": lambda m, f: f.interpolate(m.ones(1, 1, 4, 4).bool(), size=2, mode="bicubic"),
    "shuffle rank": lambda m, f: f.pixel_shuffle(m.ones(4, 4), 2),
    "shuffle channels": lambda m, f: f.pixel_shuffle(m.ones(3, 4, 4), 2),
    "shuffle zero": lambda m, f: f.pixel_shuffle(m.ones(4, 4, 4), 0),
    "shuffle float": lambda m, f: f.pixel_shuffle(m.ones(4, 4, 4), 2.0),
    "unshuffle height": lambda m, f: f.pixel_unshuffle(m.ones(1, 3, 4), 2),
    "unshuffle width": lambda m, f: f.pixel_unshuffle(m.ones(1, 4, 3), 2),
    "unshuffle negative": lambda m, f: f.pixel_unshuffle(m.ones(1, 4, 4), -2),
    "channels rank": lambda m, f: f.channel_shuffle(m.ones(1, 4), 2),
    "channels count": lambda m, f: f.channel_shuffle(m.ones(1, 3, 2), 2),
    "channels zero": lambda m, f: f.channel_shuffle(m.ones(1, 4, 2), 0),
    "grid batch": lambda m, f: f.grid_sample(m.ones(1, 1, 3, 3), m.zeros(2, 2, 2, 2)),
    "grid last": lambda m, f: f.grid_sample(m.ones(1, 1, 3, 3), m.zeros(1, 2, 2, 3)),
    "grid rank": lambda m, f: f.grid_sample(m.ones(1, 1, 3), m.zeros(1, 2, 1)),
    "grid dtype": lambda m, f: f.grid_sample(m.ones(1, 1, 3, 3), m.zeros(1, 2, 2, 2).double()),
    "grid long": lambda m, f: f.grid_sample(m.ones(1, 1, 3, 3).long(), m.zeros(1, 2, 2, 2).long()),
    "grid empty": lambda m, f: f.grid_sample(m.ones(1, 1, 0, 3), m.zeros(1, 2, 2, 2)),
    "grid mode": lambda m, f: f.grid_sample(m.ones(1, 1, 3, 3), m.zeros(1, 2, 2, 2), mode="area"),
    "grid padding": lambda m, f: f.grid_sample(
        m.ones(1, 1, 3, 3), m.zeros(1, 2, 2, 2), padding_mode="wrap"
    ),
    "grid bicubic 5-D": lambda m, f: f.grid_sample(
        m.ones(1, 1, 3, 3, 3), m.zeros(1, 2, 2, 2, 3), mode="bicubic"
    ),
    "affine size": lambda m, f: f.affine_grid(m.ones(1, 2, 3), (1, 1, 2)),
    "affine theta": lambda m, f: f.affine_grid(m.ones(1, 2, 4), (1, 1, 2, 2)),
    "affine empty": lambda m, f: f.affine_grid(m.ones(1, 2, 3), (1, 1, 2, 0)),
    "affine batch": lambda m, f: f.affine_grid(m.ones(1, 2, 3), (2, 1, 2, 2)),
    "affine long": lambda m, f: f.affine_grid(m.ones(1, 2, 3).long(), (1, 1, 2, 2)),
    "unfold kernel": lambda m, f: f.unfold(m.ones(1, 1, 2, 2), 3),
    "fold blocks": lambda m, f: f.fold(m.ones(1, 4, 5), (3, 3), 2),
    "fold channels": lambda m, f: f.fold(m.ones(1, 3, 4), (3, 3), 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_in_torch(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as theirs:  # noqa: PT011  (torch says which)
            REFUSED[name](torch, torch.nn.functional)
        with pytest.raises(type(theirs.value)):
            REFUSED[name](mg, mg.nn.functional)


@pytest.mark.parametrize("name", ["upsample", "upsample_nearest", "upsample_bilinear"])
def test_former_names_warn(name: str) -> None:
    with pytest.warns(UserWarning, match="deprecated"):
        ours = getattr(mg.nn.functional, name)(mg.tensor(SQUARE), scale_factor=2)
    with pytest.warns(UserWarning, match="deprecated"):
        theirs = getattr(torch.nn.functional, name)(torch.tensor(SQUARE), scale_factor=2)
    _close(ours, theirs)


def test_alignment_left_open_warns() -> None:
    theta = mg.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    with pytest.warns(UserWarning, match="align_corners=False"):
        grid = mg.nn.functional.affine_grid(theta, (1, 1, 2, 2))
    with pytest.warns(UserWarning, match="align_corners=False"):
        same = mg.nn.functional.grid_sample(mg.tensor(SQUARE), grid)
    np.testing.assert_allclose(same.numpy(), SQUARE, atol=1e-6)
    with pytest.warns(UserWarning, match="unit-size grids"):
        mg.nn.functional.affine_grid(theta, (1, 1, 1, 2), align_corners=True)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(9, 5), (31, 40), (17, 64)])
def test_bytes_are_resized_bit_for_bit(mode: str, size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 17, 23), dtype=np.uint8)
    for antialias in (True,) if mode == "lanczos" else (False, True):
        how = {"size": size, "mode": mode, "antialias": antialias}
        theirs = torch.nn.functional.interpolate(torch.tensor(x), **how).numpy()
        ours = mg.nn.functional.interpolate(mg.tensor(x), **how).numpy()
        np.testing.assert_array_equal(ours, theirs)


def test_gradient_is_right_where_the_size_stays_but_the_factor_does_not() -> None:
    """Length 6 by 1.1 is 6 again. PyTorch's gradients of these are not those of its values."""
    rng = np.random.default_rng(0)
    for mode, antialias in (("bicubic", False), ("bicubic", True), ("bilinear", True)):
        how = {"scale_factor": (1.1, 2), "mode": mode, "antialias": antialias}
        x = mg.tensor(rng.standard_normal((1, 1, 6, 3)), requires_grad=True)
        assert mg.autograd.gradcheck(
            lambda t, how=how: mg.nn.functional.interpolate(t, **how), (x,)
        )


def test_one_column_is_not_mixed_up() -> None:
    """PyTorch's antialiased kernels take a result of width 1 for one of height 1."""
    x = mg.tensor(np.arange(12.0).reshape(1, 1, 3, 4))
    y = mg.nn.functional.interpolate(x, size=(3, 1), mode="bilinear", antialias=True)
    np.testing.assert_allclose(y.flatten().numpy(), [1.5, 5.5, 9.5])


def test_icnr_starts_as_nearest_neighbour_upsampling() -> None:
    layer = mg.nn.Conv2d(3, 8, 3, padding=1)
    assert mg.nn.init.icnr_(layer.weight, 2) is layer.weight
    mg.nn.init.zeros_(layer.bias)
    y = mg.nn.PixelShuffle(2)(layer(mg.randn(2, 3, 5, 4)))
    small = y[:, :, ::2, ::2]
    assert y.shape == (2, 2, 10, 8) and small.std().item() > 0
    np.testing.assert_array_equal(
        y.detach().numpy(), mg.nn.functional.interpolate(small, scale_factor=2).detach().numpy()
    )
    mg.nn.init.icnr_(layer.weight, 2, init=mg.nn.init.ones_)
    assert (layer.weight == 1).all()
    with pytest.raises(ValueError, match="multiple of 9"):
        mg.nn.init.icnr_(layer.weight, 3)


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("odd", [0, 1])
def test_bilinear_weights_interpolate(stride: int, odd: int) -> None:
    kernel = 2 * stride - (1 if odd or stride % 2 else 0)
    padding = stride // 2
    layer = mg.nn.ConvTranspose2d(3, 3, kernel, stride, padding, bias=False)
    assert mg.nn.init.bilinear_(layer.weight) is layer.weight
    ramp: Any = mg.arange(7.0)
    ramp = ramp.expand(1, 3, 7, 7)
    y = layer(ramp).detach().numpy()[0, 1]
    inner = y[2 * stride : -2 * stride, 2 * stride : -2 * stride]
    np.testing.assert_allclose(inner, np.broadcast_to(inner[:1], inner.shape), atol=1e-5)
    np.testing.assert_allclose(np.diff(inner[0]), 1 / stride, atol=1e-5)
    with pytest.raises(ValueError, match="3, 4, or 5"):
        mg.nn.init.bilinear_(mg.zeros(2, 2))


# ---------------------------------------------------------------- upsampling that is learned
def test_carafe_without_weights_is_a_mean_and_with_one_the_nearest_pixel() -> None:
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 4, 5, 3)), dtype=mg.float32)
    layer = mg.nn.CARAFE(4, 2, up_kernel=3, up_group=2, compressed_channels=6)
    mg.nn.init.zeros_(layer.content_encoder.weight)
    box = mg.nn.functional.avg_pool2d(x, 3, 1, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    np.testing.assert_allclose(layer(x).detach().numpy(), box.numpy(), atol=1e-6)
    with mg.no_grad():  # channel (group, weight, row, column) of the encoder: the middle weight
        layer.content_encoder.bias.view(2, 9, 4)[:, 4] = 100
    near = mg.nn.functional.interpolate(x, scale_factor=2)
    np.testing.assert_allclose(layer(x).detach().numpy(), near.numpy(), atol=1e-6)


def test_carafe_takes_the_neighbour_that_its_weights_point_to() -> None:
    x = mg.arange(9.0).view(1, 1, 3, 3)
    layer = mg.nn.CARAFE(1, 2, up_kernel=3, compressed_channels=2)
    mg.nn.init.zeros_(layer.content_encoder.weight)
    with mg.no_grad():  # each of the 2 x 2 new pixels looks into its corner of the neighbourhood
        for new, corner in enumerate((0, 2, 6, 8)):
            layer.content_encoder.bias.view(9, 4)[corner, new] = 100
    y = layer(x).detach().numpy()[0, 0]
    np.testing.assert_allclose(y[2:4, 2:4], [[0, 2], [6, 8]], atol=1e-5)
    np.testing.assert_allclose(y[0, :2], [0, 0], atol=1e-5)  # nothing is outside


@pytest.mark.parametrize("style", ["lp", "pl"])
@pytest.mark.parametrize("dyscope", [False, True])
def test_dysample_starts_as_bilinear_interpolation(style: str, dyscope: bool) -> None:
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 8, 5, 3)), dtype=mg.float32)
    layer = mg.nn.DySample(8, 2, style, groups=2, dyscope=dyscope)
    mg.nn.init.zeros_(layer.offset.weight)
    same = mg.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    np.testing.assert_allclose(layer(x).detach().numpy(), same.numpy(), atol=1e-5)


def test_dysample_moves_a_group_by_its_offset() -> None:
    """A constant offset of one pixel to the right, in the second group only."""
    x = mg.tensor(np.random.default_rng(0).normal(size=(1, 4, 3, 6)), dtype=mg.float32)
    layer = mg.nn.DySample(4, 1, groups=2)
    mg.nn.init.zeros_(layer.offset.weight)
    with mg.no_grad():
        layer.offset.bias.view(2, 2)[0, 1] = 4.0  # x of the second group; a quarter counts
    y = layer(x).detach()
    np.testing.assert_allclose(y[:, :2].numpy(), x[:, :2].numpy(), atol=1e-5)
    np.testing.assert_allclose(y[:, 2:, :, :-1].numpy(), x[:, 2:, :, 1:].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda nn: nn.CARAFE(4, 2, compressed_channels=3), lambda nn: nn.DySample(4, groups=2)]
)
def test_learned_upsampling_has_the_right_gradients(make: Callable[[Any], Any]) -> None:
    mg.manual_seed(0)
    layer = make(mg.nn).double()
    x = mg.randn(1, 4, 3, 2, dtype=mg.float64, requires_grad=True)
    assert mg.autograd.gradcheck(layer, [x])
    layer(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_an_even_encoder_may_be_dilated() -> None:
    layer = mg.nn.CARAFE(4, 2, encoder_kernel=4, encoder_dilation=2, compressed_channels=3)
    assert layer(mg.randn(1, 4, 3, 5)).shape == (1, 4, 6, 10)


def test_learned_upsampling_refuses_what_does_not_fit() -> None:
    for make in (
        lambda: mg.nn.CARAFE(4, 2, up_kernel=4), lambda: mg.nn.CARAFE(4, 2, up_group=3),
        lambda: mg.nn.CARAFE(4, 2, encoder_kernel=4), lambda: mg.nn.CARAFE(4, 2, encoder_kernel=2),
        lambda: mg.nn.DySample(4, style="ll"), lambda: mg.nn.DySample(6, groups=4),
        lambda: mg.nn.DySample(6, style="pl", groups=2),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()
