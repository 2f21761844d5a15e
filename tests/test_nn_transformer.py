"""Multi-head attention and the Transformer's modules against PyTorch's."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True"),
    pytest.mark.filterwarnings("ignore:Support for mismatched"),
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors"),
]
INF = float("inf")


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def pair(make: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The module that `make` makes of each library, with the same (changed) parameters."""
    theirs, ours = make(torch), make(mg)
    for i, p in enumerate(theirs.parameters()):
        p.data += 0.1 * torch.tensor(data(*p.shape, seed=i))
    state = {k: mg.tensor(v.detach().numpy()) for k, v in theirs.state_dict().items()}
    assert list(state) == list(ours.state_dict())
    ours.load_state_dict(state)
    return ours, theirs


def given(library: Any, value: Any) -> Any:
    """An argument for one library; floating arrays with more than one dimension but masks require
    gradients.
    """
    if not isinstance(value, np.ndarray):
        return value
    wants = value.dtype == np.float32 and np.isfinite(value).all()
    return library.tensor(value, requires_grad=bool(wants))


def assert_close(got: Any, want: Any, what: str, atol: float = 2e-5) -> None:
    assert tuple(got.shape) == tuple(want.shape), what
    np.testing.assert_allclose(
        got.detach().numpy(), want.detach().numpy(), rtol=1e-4, atol=atol, err_msg=what
    )


def compare(make: Callable[[Any], Any], *args: Any, **kwargs: Any) -> None:
    """Outputs, gradients of inputs and of parameters."""
    ours, theirs = pair(make)
    calls = []
    for library, module in ((mg, ours), (torch, theirs)):
        a = [given(library, v) for v in args]
        k = {name: given(library, v) for name, v in kwargs.items()}
        result = module(*a, **k)
        results = list(result) if isinstance(result, tuple) else [result]
        calls.append(([t for t in (*a, *k.values())], results))
    (inputs, got), (inputs_t, want) = calls
    assert [t is None for t in got] == [t is None for t in want]
    got, want = ([t for t in r if t is not None] for r in (got, want))
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_close(a, b, f"result {i}")
    cotangents = [data(*b.shape, seed=i + 1) for i, b in enumerate(want)]
    sum((a * mg.tensor(c)).sum() for a, c in zip(got, cotangents, strict=True)).backward()
    sum((b * torch.tensor(c)).sum() for b, c in zip(want, cotangents, strict=True)).backward()
    for i, (a, b) in enumerate(zip(inputs, inputs_t, strict=True)):
        if isinstance(b, torch.Tensor) and b.grad is not None:
            assert_close(a.grad, b.grad, f"gradient of input {i}", 1e-4)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if q.grad is None:
            assert p.grad is None or not np.any(p.grad.numpy()), name
        else:
            assert_close(p.grad, q.grad, f"gradient of {name}", 2e-4)


CAUSAL = np.triu(np.full((5, 5), -INF, np.float32), 1)
PADDED = np.array([[False] * 5, [False, False, True, True, True]])

# ------------------------------------------------------------------------------ heads
HEADS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "bias": False},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
    {"kdim": 3, "vdim": 7},
    {"vdim": 7, "bias": False, "batch_first": True, "add_bias_kv": True},
]
MASKS: list[dict[str, Any]] = [
    {},
    {"attn_mask": np.arange(20).reshape(4, 5) % 3 == 1},
    {"attn_mask": data(4, 5, seed=3)},
    {"attn_mask": data(8, 4, 5, seed=3)},
    {"key_padding_mask": PADDED},
    {"key_padding_mask": PADDED, "attn_mask": np.arange(160).reshape(8, 4, 5) % 7 == 1},
    {"key_padding_mask": data(2, 5, seed=4)},
    {"need_weights": False, "key_padding_mask": PADDED},
    {"need_weights": False},
    {"average_attn_weights": False},
]


@pytest.mark.parametrize("options", HEADS)
@pytest.mark.parametrize("masks", MASKS)
def test_heads(options: dict[str, Any], masks: dict[str, Any]) -> None:
    swap = (0, 1) if options.get("batch_first") else (1, 0)
    q, k, v = [
        data(2, length, width, seed=i).transpose(*swap, 2)
        for i, (length, width) in enumerate(
            [(4, 8), (5, options.get("kdim", 8)), (5, options.get("vdim", 8))]
        )
    ]
    compare(lambda lib: lib.nn.MultiheadAttention(8, 4, **options), q, k, v, **masks)


@pytest.mark.parametrize("options", HEADS)
@pytest.mark.parametrize("average", [True, False])
def test_heads_without_batch(options: dict[str, Any], average: bool) -> None:
    q, k, v = data(4, 8), data(5, options.get("kdim", 8)), data(5, options.get("vdim", 8))
    compare(
        lambda lib: lib.nn.MultiheadAttention(8, 4, **options), q, k, v,
        key_padding_mask=PADDED[1], average_attn_weights=average,
        attn_mask=np.arange(80).reshape(4, 4, 5) % 9 == 1,
    )  # fmt: skip


@pytest.mark.parametrize("batch_first", [True, False])
def test_self_attention(batch_first: bool) -> None:
    ours, theirs = pair(lambda lib: lib.nn.MultiheadAttention(8, 2, batch_first=batch_first))
    grads = []
    for lib, module in ((mg, ours), (torch, theirs)):
        x = lib.tensor(data(5, 5, 8), requires_grad=True)
        y, w = module(x, x, x, attn_mask=lib.tensor(CAUSAL), is_causal=True)
        (y.sin().sum() + (w * w).sum()).backward()
        y2, none = module(x, x, x, attn_mask=lib.tensor(CAUSAL), is_causal=True, need_weights=False)
        assert none is None
        grads.append([x.grad, y, w, y2, module.in_proj_weight.grad, module.in_proj_bias.grad])
    for i, (a, b) in enumerate(zip(*grads, strict=True)):
        assert_close(a, b, str(i), 1e-4)


def test_heads_attributes() -> None:
    for options in HEADS:
        ours, theirs = pair(lambda lib, o=options: lib.nn.MultiheadAttention(8, 4, **o))
        for name in ("embed_dim", "num_heads", "head_dim", "kdim", "vdim", "dropout", "batch_first",
                     "add_zero_attn", "_qkv_same_embed_dim"):  # fmt: skip
            assert getattr(ours, name) == getattr(theirs, name), name
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight",
                     "in_proj_bias", "bias_k", "bias_v"):  # fmt: skip
            assert (getattr(ours, name) is None) == (getattr(theirs, name) is None), name
    fresh = mg.nn.MultiheadAttention(8, 4)
    assert not fresh.in_proj_bias.any() and not fresh.out_proj.bias.any()
    bound = (6 / (24 + 8)) ** 0.5
    assert 0.8 * bound < float(fresh.in_proj_weight.abs().max()) <= bound


def test_dropout_of_weights() -> None:
    heads = mg.nn.MultiheadAttention(8, 2, dropout=1.0)
    x = mg.tensor(data(5, 2, 8))
    assert not heads(x, x, x)[1].any()
    assert heads.eval()(x, x, x)[1].any()
    half = mg.nn.MultiheadAttention(8, 2, dropout=0.5)
    weights = half(x, x, x, average_attn_weights=False)[1]
    assert 0 < int((weights == 0).sum()) < weights.numel()


# ------------------------------------------------------------------------------ layers
LAYER_OPTIONS: list[dict[str, Any]] = [
    {},
    {"norm_first": True},
    {"activation": "gelu", "batch_first": True},
    {"bias": False, "norm_first": True, "batch_first": True},
    {"layer_norm_eps": 0.1},
]


def layer(lib: Any, name: str, options: dict[str, Any]) -> Any:
    return getattr(lib.nn, f"Transformer{name}Layer")(8, 2, 16, 0.0, **options)


@pytest.mark.parametrize("options", LAYER_OPTIONS)
@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"src_mask": CAUSAL},
        {"src_mask": CAUSAL == -INF, "src_key_padding_mask": PADDED},
        {"src_key_padding_mask": PADDED},
        {"src_mask": CAUSAL, "is_causal": True},
    ],
)
def test_encoder_layer(options: dict[str, Any], masks: dict[str, Any]) -> None:
    size = (2, 5, 8) if options.get("batch_first") else (5, 2, 8)
    compare(lambda lib: layer(lib, "Encoder", options), data(*size), **masks)
    masks = {k: v[1] if k.endswith("padding_mask") else v for k, v in masks.items()}
    compare(lambda lib: layer(lib, "Encoder", options), data(5, 8), **masks)


@pytest.mark.parametrize("options", LAYER_OPTIONS)
@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"tgt_mask": CAUSAL, "tgt_is_causal": True},
        {"tgt_mask": CAUSAL, "memory_mask": np.arange(20).reshape(5, 4) % 3 == 1},
        {"tgt_key_padding_mask": PADDED, "memory_key_padding_mask": PADDED[:, 1:]},
    ],
)
def test_decoder_layer(options: dict[str, Any], masks: dict[str, Any]) -> None:
    swap = (0, 1, 2) if options.get("batch_first") else (1, 0, 2)
    tgt, memory = data(2, 5, 8).transpose(swap), data(2, 4, 8).transpose(swap)
    compare(lambda lib: layer(lib, "Decoder", options), tgt, memory, **masks)
    masks = {k: v[1] if k.endswith("padding_mask") else v for k, v in masks.items()}
    compare(lambda lib: layer(lib, "Decoder", options), data(5, 8), data(4, 8), **masks)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("masks", [{}, {"mask": CAUSAL}, {"mask": CAUSAL, "is_causal": True}])
def test_encoder(norm: bool, masks: dict[str, Any]) -> None:
    def make(lib: Any) -> Any:
        last = lib.nn.LayerNorm(8) if norm else None
        return lib.nn.TransformerEncoder(layer(lib, "Encoder", {}), 2, last)

    compare(make, data(5, 2, 8), **masks, src_key_padding_mask=PADDED)


@pytest.mark.parametrize("norm", [True, False])
def test_decoder(norm: bool) -> None:
    def make(lib: Any) -> Any:
        last = lib.nn.LayerNorm(8) if norm else None
        return lib.nn.TransformerDecoder(layer(lib, "Decoder", {}), 2, last)

    compare(make, data(5, 2, 8), data(4, 2, 8), tgt_mask=CAUSAL)


@pytest.mark.parametrize("options", LAYER_OPTIONS)
def test_transformer(options: dict[str, Any]) -> None:
    def make(lib: Any) -> Any:
        return lib.nn.Transformer(8, 2, 2, 1, 16, 0.0, **options)

    swap = (0, 1, 2) if options.get("batch_first") else (1, 0, 2)
    src, tgt = data(2, 4, 8).transpose(swap), data(2, 5, 8).transpose(swap)
    compare(make, src, tgt)
    compare(make, src, tgt, tgt_mask=CAUSAL, src_key_padding_mask=PADDED[:, 1:],
            memory_key_padding_mask=PADDED[:, 1:], tgt_key_padding_mask=PADDED)  # fmt: skip
    compare(make, data(4, 8), data(5, 8), tgt_mask=CAUSAL, tgt_is_causal=True)


def test_evaluation_agrees() -> None:
    ours, theirs = pair(lambda lib: lib.nn.TransformerEncoder(
        lib.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2))  # fmt: skip
    ours.eval(), theirs.eval()
    x = data(2, 5, 8)
    with mg.no_grad(), torch.no_grad():
        assert_close(ours(mg.tensor(x)), theirs(torch.tensor(x)), "")
        got = ours(mg.tensor(x), src_key_padding_mask=mg.tensor(PADDED))
        want = theirs(torch.tensor(x), src_key_padding_mask=torch.tensor(PADDED))
    seen = ~PADDED
    np.testing.assert_allclose(got.numpy()[seen], want.numpy()[seen], rtol=1e-4, atol=1e-5)


def test_causal_masks_are_recognised() -> None:
    hints: list[Any] = []

    class Layer(mg.nn.TransformerEncoderLayer):
        def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
            hints.append(is_causal)
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)

    encoder = mg.nn.TransformerEncoder(Layer(8, 2, 16), 1)
    x = mg.tensor(data(5, 2, 8))
    causal = mg.nn.Transformer.generate_square_subsequent_mask(5)
    for mask in (causal, mg.zeros(5, 5), None, causal == -INF):
        encoder(x, mask)
    encoder(x, causal, is_causal=False)
    encoder(x, causal[:, :].repeat(4, 1, 1))
    assert hints == [True, False, False, True, False, False]


def test_generated_mask() -> None:
    for dtype in (None, "float64"):
        ours, theirs = [
            lib.nn.Transformer.generate_square_subsequent_mask(
                4, dtype=getattr(lib, dtype) if dtype else None
            )
            for lib in (mg, torch)
        ]
        assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_layers_are_copies_and_activations_any_function() -> None:
    one = mg.nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation=mg.nn.SiLU())
    encoder = mg.nn.TransformerEncoder(one, 2)
    assert encoder.layers[0] is not one
    assert mg.equal(encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight)
    assert encoder.layers[0].linear1.weight is not encoder.layers[1].linear1.weight
    compare(
        lambda lib: lib.nn.TransformerDecoderLayer(8, 2, 16, 0.0, activation=lib.tanh),
        data(5, 2, 8), data(4, 2, 8),
    )  # fmt: skip
    model = mg.nn.Transformer(8, 2, 1, 1, 16, custom_encoder=encoder)
    assert model.encoder is encoder
    twin = copy.deepcopy(model).eval()
    x, y = mg.tensor(data(4, 2, 8)), mg.tensor(data(5, 2, 8))
    assert mg.equal(twin(x, y), model.eval()(x, y))
    assert model.double()(x.double(), y.double()).dtype == mg.float64


def test_dropout_in_training_only() -> None:
    model = mg.nn.Transformer(8, 2, 1, 1, 16, dropout=0.5)
    x, y = mg.tensor(data(4, 2, 8)), mg.tensor(data(5, 2, 8))
    assert not mg.equal(model(x, y), model(x, y))
    assert mg.equal(model.eval()(x, y), model(x, y))


def test_structure_is_printed_as_in_torch() -> None:
    ours, theirs = pair(lambda lib: lib.nn.Transformer(8, 2, 1, 1, 16))
    expected = repr(theirs)
    assert repr(ours) == expected


# ------------------------------------------------------------------------------ errors
def outcome(function: Callable[[], Any]) -> type:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function()
        except Exception as error:  # the type is what is compared
            return type(error)
    return type(None)


def heads_of(lib: Any, q: Any, k: Any = None, v: Any = None, **masks: Any) -> Any:
    q, k, v = q, q if k is None else k, q if v is None else v
    return lib.nn.MultiheadAttention(8, 2)(q, k, v, **masks)


ERRORS = [
    lambda lib: lib.nn.MultiheadAttention(0, 2),
    lambda lib: lib.nn.MultiheadAttention(8, 0),
    lambda lib: lib.nn.MultiheadAttention(8, 3),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 6)),
    lambda lib: heads_of(lib, lib.zeros(2, 4, 2, 8)),
    lambda lib: heads_of(lib, lib.zeros(8)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), lib.zeros(5, 8)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), lib.zeros(5, 2, 8), lib.zeros(6, 2, 8)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), lib.zeros(5, 3, 8), lib.zeros(5, 3, 8)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), attn_mask=lib.zeros(4, 5)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), attn_mask=lib.zeros(3, 4, 4)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), attn_mask=lib.zeros(4)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), attn_mask=lib.zeros(4, 4, dtype=lib.int64)),
    lambda lib: heads_of(lib, lib.zeros(4, 8), attn_mask=lib.zeros(3, 4, 4)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), key_padding_mask=lib.zeros(2, 5)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), key_padding_mask=lib.zeros(4)),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), key_padding_mask=lib.zeros(2, 4).long()),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8), is_causal=True),
    lambda lib: heads_of(lib, lib.zeros(4, 2, 8, dtype=lib.float64)),
    lambda lib: lib.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
    lambda lib: lib.nn.TransformerDecoderLayer(8, 2, activation="tanh"),
    lambda lib: lib.nn.TransformerEncoderLayer(8, 2, spam=1),
    lambda lib: lib.nn.TransformerEncoderLayer(8, 3),
    lambda lib: lib.nn.TransformerEncoderLayer(8, 2)(lib.zeros(5, 2, 8), is_causal=True),
    lambda lib: lib.nn.TransformerDecoderLayer(8, 2)(lib.zeros(5, 2, 8), lib.zeros(5, 3, 8)),
    lambda lib: lib.nn.Transformer(8, 2, 1, 1)(lib.zeros(5, 2, 8), lib.zeros(5, 3, 8)),
    lambda lib: lib.nn.Transformer(8, 2, 1, 1)(lib.zeros(5, 2, 6), lib.zeros(5, 2, 8)),
    lambda lib: lib.nn.Transformer(8, 2, 1, 1, batch_first=True)(
        lib.zeros(3, 2, 8), lib.zeros(5, 2, 8)
    ),
]


@pytest.mark.parametrize("run", ERRORS, ids=[str(i) for i in range(len(ERRORS))])
def test_errors(run: Callable[[Any], Any]) -> None:
    want = outcome(lambda: run(torch))
    assert want is not type(None)
    assert outcome(lambda: run(mg)) is want
