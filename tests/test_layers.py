"""Every layer against PyTorch's: repr, state dict, output, buffers, gradients, in training and
evaluation.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


def data(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


IMAGE, LINE, VOLUME = (2, 4, 8, 7), (2, 4, 9), (2, 4, 6, 5, 7)
LAYERS = [
    ("Identity", (1, "a"), {}, [(3, 4)]),
    ("Linear", (4, 3), {}, [(5, 4)]),
    ("Linear", (4, 3), {"bias": False}, [(2, 5, 4)]),
    ("Bilinear", (4, 3, 5), {}, [(6, 4), (6, 3)]),
    ("Flatten", (), {}, [(3, 4, 5)]),
    ("Flatten", (0, 1), {}, [(3, 4, 5)]),
    ("Unflatten", (1, (2, 3)), {}, [(4, 6)]),
    ("Conv1d", (4, 6, 3), {"padding": 1, "stride": 2}, [LINE]),
    ("Conv2d", (4, 6, 3), {"padding": "same", "bias": False}, [IMAGE]),
    ("Conv2d", (4, 8, (3, 2)), {"groups": 2, "dilation": (1, 2), "padding_mode": "reflect", "padding": 1}, [IMAGE]),
    ("Conv2d", (4, 4, 3), {"padding_mode": "circular", "padding": "same"}, [IMAGE]),
    ("Conv3d", (4, 2, 3), {"padding_mode": "replicate", "padding": 1}, [VOLUME]),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, [LINE]),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, [IMAGE]),
    ("ConvTranspose3d", (4, 2, 2), {"dilation": 2, "bias": False}, [VOLUME]),
    ("LayerNorm", (7,), {}, [IMAGE]),
    ("LayerNorm", ((8, 7),), {"bias": False, "eps": 1e-3}, [IMAGE]),
    ("LayerNorm", (7,), {"elementwise_affine": False}, [IMAGE]),
    ("RMSNorm", ((8, 7),), {}, [IMAGE]),
    ("GroupNorm", (2, 4), {}, [IMAGE]),
    ("BatchNorm1d", (4,), {}, [(6, 4)]),
    ("BatchNorm1d", (4,), {"affine": False}, [LINE]),
    ("BatchNorm2d", (4,), {"momentum": None}, [IMAGE]),
    ("BatchNorm3d", (4,), {"track_running_stats": False}, [VOLUME]),
    ("InstanceNorm1d", (4,), {}, [LINE]),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True}, [IMAGE]),
    ("InstanceNorm3d", (4,), {"affine": True}, [VOLUME]),
    ("LocalResponseNorm", (3,), {"alpha": 0.1}, [IMAGE]),
    *[
        (name, args, {}, [(5, 6)])
        for name, args in [
            ("ReLU", ()), ("ReLU6", ()), ("LeakyReLU", (0.1,)), ("ELU", (0.7,)), ("CELU", (0.7,)), ("SELU", ()),
            ("GELU", ()), ("GELU", ("tanh",)), ("SiLU", ()), ("Mish", ()), ("Softplus", (2.0, 10.0)), ("Sigmoid", ()),
            ("Tanh", ()), ("LogSigmoid", ()), ("Softsign", ()), ("Tanhshrink", ()), ("Hardtanh", (-0.5, 0.7)),
            ("Hardsigmoid", ()), ("Hardswish", ()), ("Hardshrink", (0.3,)), ("Softshrink", (0.3,)),
            ("Threshold", (0.1, 2.0)), ("PReLU", ()), ("PReLU", (6,)), ("GLU", ()), ("Softmax", (1,)),
            ("LogSoftmax", (0,)), ("Softmin", (1,)),
        ]
    ],
    ("Softmax2d", (), {}, [IMAGE]),
    ("MaxPool1d", (2,), {"padding": 1}, [LINE]),
    ("MaxPool2d", (3, 2), {"ceil_mode": True}, [IMAGE]),
    ("MaxPool3d", (2,), {}, [VOLUME]),
    ("AvgPool1d", (2,), {}, [LINE]),
    ("AvgPool2d", (3, 2), {"padding": 1, "count_include_pad": False}, [IMAGE]),
    ("AvgPool3d", (2,), {"divisor_override": 3}, [VOLUME]),
    ("LPPool2d", (2, 2), {}, [IMAGE]),
    ("AdaptiveAvgPool1d", (3,), {}, [LINE]),
    ("AdaptiveAvgPool2d", ((3, None),), {}, [IMAGE]),
    ("AdaptiveAvgPool3d", (2,), {}, [VOLUME]),
    ("AdaptiveMaxPool1d", (3,), {}, [LINE]),
    ("AdaptiveMaxPool2d", (3,), {}, [IMAGE]),
    ("AdaptiveMaxPool3d", (2,), {}, [VOLUME]),
    ("CosineSimilarity", (), {}, [(5, 6), (5, 6)]),
    ("PairwiseDistance", (), {}, [(5, 6), (5, 6)]),
]  # fmt: skip


def numbers(name, args, kwargs):
    return "-".join([name, *map(str, args), *[f"{k}={v}" for k, v in kwargs.items()]])


def build_pair(name, args, kwargs):
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    ours = getattr(mg.nn, name)(*args, **kwargs)
    with torch.no_grad():
        for t in theirs.state_dict().values():  # away from zeros and ones, which hide mistakes
            if t.is_floating_point():
                t.add_(torch.from_numpy(data(*t.shape)).abs() * 0.3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(
        {k: mg.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    )
    return ours, theirs


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shapes"), LAYERS, ids=[numbers(*r[:3]) for r in LAYERS]
)
def test_layer_agrees_with_torch(name, args, kwargs, shapes):
    ours, theirs = build_pair(name, args, kwargs)
    assert repr(ours) == repr(theirs)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        arrays = [data(*s) for s in shapes]
        xs = [mg.from_numpy(a.copy()).requires_grad_() for a in arrays]
        ts = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
        y, t = ours(*xs), theirs(*ts)
        close(y, t)
        cotangent = data(*t.shape)
        y.backward(mg.from_numpy(cotangent))
        t.backward(torch.from_numpy(cotangent))
        for a, b in zip(xs, ts, strict=True):
            close(a.grad, b.grad)
        for (key, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert p.grad is not None, key
            close(p.grad, q.grad)
        for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
            close(a, b)


LOSSES = [
    ("MSELoss", {}, "real"), ("L1Loss", {}, "real"), ("SmoothL1Loss", {"beta": 0.5}, "real"),
    ("HuberLoss", {"delta": 0.7}, "real"), ("BCELoss", {}, "probability"), ("BCEWithLogitsLoss", {}, "binary"),
    ("KLDivLoss", {"reduction": "batchmean"}, "probability"), ("PoissonNLLLoss", {"full": True}, "count"),
    ("SoftMarginLoss", {}, "sign"), ("HingeEmbeddingLoss", {}, "sign"), ("MultiLabelSoftMarginLoss", {}, "binary"),
    ("CrossEntropyLoss", {}, "class"), ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 1}, "class"),
    ("NLLLoss", {}, "class"), ("MultiMarginLoss", {}, "class"), ("CrossEntropyLoss", {}, "probability"),
]  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "kwargs", "kind"), LOSSES, ids=[numbers(n, (k,), kw) for n, kw, k in LOSSES]
)
def test_loss_agrees_with_torch(name, kwargs, kind, reduction):
    rng = np.random.default_rng(1)
    kwargs = {"reduction": reduction, **kwargs}
    x = rng.standard_normal((6, 5)).astype(np.float32)
    target = {
        "real": lambda: rng.standard_normal((6, 5)).astype(np.float32),
        "probability": lambda: rng.dirichlet(np.ones(5), 6).astype(np.float32),
        "binary": lambda: rng.integers(0, 2, (6, 5)).astype(np.float32),
        "count": lambda: rng.poisson(2.0, (6, 5)).astype(np.float32),
        "sign": lambda: rng.choice([-1.0, 1.0], (6, 5)).astype(np.float32),
        "class": lambda: rng.integers(0, 5, 6),
    }[kind]()
    if name == "BCELoss":
        x = 1 / (1 + np.exp(-x))
    results = []
    for lib in (mg, torch):
        inputs = lib.from_numpy(x.copy()).requires_grad_()
        loss = getattr(lib.nn, name)(**kwargs)(inputs, lib.from_numpy(target.copy()))
        loss.sum().backward()
        results.append((loss, inputs.grad))
    close(results[0][0], results[1][0])
    close(results[0][1], results[1][1])


@pytest.mark.parametrize(
    "name",
    ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"],
)
def test_dropout_layers(name):
    layer = getattr(mg.nn, name)(0.4)
    assert repr(layer) == repr(getattr(torch.nn, name)(0.4))
    shape = {
        "Dropout1d": (400, 50, 3),
        "Dropout2d": (400, 50, 2, 3),
        "Dropout3d": (400, 50, 2, 2, 2),
    }.get(name, (400, 50, 4))
    x = mg.ones(*shape) if "Alpha" not in name else mg.randn(*shape)
    x.requires_grad_()
    y = layer(x)
    values = y.detach().numpy()
    if "Alpha" in name:
        assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05
    else:
        assert set(np.unique(values)) == {0.0, np.float32(1 / 0.6)}
        assert abs((values == 0).mean() - 0.4) < 0.02
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), values)
    if name in ("Dropout1d", "Dropout2d", "Dropout3d"):  # whole channels
        flat = values.reshape(shape[0] * shape[1], -1)
        assert (flat == flat[:, :1]).all()
    layer.eval()
    assert layer(x) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(mg.nn, name)(1.5)


def test_embedding_layers():
    index = np.array([[1, 2, 0], [4, 1, 1]])
    for name, args, kwargs in (
        ("Embedding", (5, 3), {"padding_idx": 1}), ("Embedding", (5, 3), {"scale_grad_by_freq": True}),
        ("EmbeddingBag", (5, 3), {}), ("EmbeddingBag", (5, 3), {"mode": "sum", "padding_idx": 1}),
        ("EmbeddingBag", (5, 3), {"mode": "max"}),
    ):  # fmt: skip
        ours, theirs = build_pair(name, args, kwargs)
        assert repr(ours) == repr(theirs)
        y, t = ours(mg.from_numpy(index)), theirs(torch.from_numpy(index))
        close(y, t)
        cotangent = data(*t.shape)
        y.backward(mg.from_numpy(cotangent))
        t.backward(torch.from_numpy(cotangent))
        close(ours.weight.grad, theirs.weight.grad)
    with pytest.raises(IndexError):
        mg.nn.Embedding(5, 3)(mg.tensor([5]))
    table = mg.nn.Embedding(5, 3, padding_idx=2)
    assert table.weight[2].tolist() == [0, 0, 0]
    frozen = mg.nn.Embedding.from_pretrained(mg.ones(4, 2))
    assert not frozen.weight.requires_grad
