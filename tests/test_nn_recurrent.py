"""Recurrent layers, cells and packed sequences against PyTorch's."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]
KINDS = ("RNN", "LSTM", "GRU")


def data(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def pair(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The layer of both libraries with the same parameters."""
    dtype = kwargs.pop("dtype", "float32")
    theirs = getattr(torch.nn, name)(*args, **kwargs, dtype=getattr(torch, dtype))
    ours = getattr(mg.nn, name)(*args, **kwargs, dtype=getattr(mg, dtype))
    state = {k: mg.tensor(v.detach().numpy()) for k, v in theirs.state_dict().items()}
    assert list(state) == list(ours.state_dict())
    ours.load_state_dict(state)
    return ours, theirs


def both(*arrays: np.ndarray, grad: bool = True) -> tuple[list[Any], list[Any]]:
    """The arrays as tensors of both libraries."""
    ours = [mg.tensor(a, requires_grad=grad) for a in arrays]
    return ours, [torch.tensor(a, requires_grad=grad) for a in arrays]


def flat(result: Any) -> list[Any]:
    """The floating tensors of a result, in order."""
    if isinstance(result, tuple | list):
        return [t for part in result for t in flat(part)]
    return [result] if result is not None and result.is_floating_point() else []


def assert_close(got: Any, want: Any, what: str = "", rtol: float = 1e-4, atol: float = 1e-5):
    assert tuple(got.shape) == tuple(want.shape), what
    assert str(got.dtype).rpartition(".")[2] == str(want.dtype).rpartition(".")[2], what
    np.testing.assert_allclose(
        got.detach().numpy(), want.detach().numpy(), rtol=rtol, atol=atol, err_msg=what
    )


def compare(ours: Any, theirs: Any, got: Any, want: Any, inputs: Any = ((), ())) -> None:
    """Results, then the gradients of inputs and parameters for random cotangents."""
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_close(a, b, f"result {i}")
    cotangents = [data(*b.shape, seed=i + 1).astype(b.detach().numpy().dtype)
                  for i, b in enumerate(want)]  # fmt: skip
    sum((a * mg.tensor(c)).sum() for a, c in zip(got, cotangents, strict=True)).backward()
    sum((b * torch.tensor(c)).sum() for b, c in zip(want, cotangents, strict=True)).backward()
    for i, (a, b) in enumerate(zip(*inputs, strict=True)):
        assert_close(a.grad, b.grad, f"gradient of input {i}", atol=2e-5)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_close(p.grad, q.grad, f"gradient of {name}", atol=1e-4)


# ------------------------------------------------------------------------------ layers
OPTIONS = [
    {},
    {"num_layers": 2},
    {"bias": False, "batch_first": True},
    {"bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
]
LAYERS = [
    *[(kind, options) for kind in KINDS for options in OPTIONS],
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True, "bias": False}),
    ("LSTM", {"dtype": "float64"}),
]


def first_states(layer: Any, *batch: int) -> list[np.ndarray]:
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    shape = (rows, *batch)
    h = data(*shape, layer.proj_size or layer.hidden_size, seed=7)
    if layer.mode != "LSTM":
        return [h]
    return [h, data(*shape, layer.hidden_size, seed=8)]


def cast(arrays: list[np.ndarray], options: dict[str, Any]) -> list[np.ndarray]:
    return [a.astype(options.get("dtype", "float32")) for a in arrays]


def packed_hx(states: list[Any]) -> Any:
    return tuple(states) if len(states) == 2 else states[0]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_layer(kind: str, options: dict[str, Any], batched: bool, given: bool) -> None:
    ours, theirs = pair(kind, 3, 4, **options)
    size = (2, 5, 3) if options.get("batch_first") else (5, 2, 3)
    arrays = [data(*size) if batched else data(5, 3)]
    if given:
        arrays += first_states(theirs, 2) if batched else first_states(theirs)
    a, b = both(*cast(arrays, options))
    hx, want_hx = (packed_hx(a[1:]), packed_hx(b[1:])) if given else (None, None)
    compare(ours, theirs, ours(a[0], hx), theirs(b[0], want_hx), (a, b))


@pytest.mark.parametrize(("kind", "options"), LAYERS)
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 5, 1, 4]])
@pytest.mark.parametrize("given", [True, False])
def test_packed_layer(kind: str, options: dict[str, Any], lengths: list[int], given: bool) -> None:
    ours, theirs = pair(kind, 3, 4, **options)
    arrays = [data(5, 4, 3)] + (first_states(theirs, 4) if given else [])
    a, b = both(*cast(arrays, options))
    results = []
    for library, layer, tensors in ((mg, ours, a), (torch, theirs, b)):
        rnn = library.nn.utils.rnn
        packed = rnn.pack_padded_sequence(tensors[0], lengths, enforce_sorted=False)
        y, hx = layer(packed, packed_hx(tensors[1:]) if given else None)
        assert type(y) is rnn.PackedSequence
        results.append((rnn.pad_packed_sequence(y, padding_value=0.5)[0], hx))
    compare(ours, theirs, *results, (a, b))


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_attributes(kind: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(kind, 3, 4, **options)
    assert repr(ours) == repr(theirs)
    for name in ("mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first",
                 "dropout", "bidirectional", "proj_size"):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    assert [[tuple(p.shape) for p in w] for w in ours.all_weights] == [
        [tuple(p.shape) for p in w] for w in theirs.all_weights
    ]
    assert ours.flatten_parameters() is None
    bound = 1 / 4**0.5
    fresh = getattr(mg.nn, kind)(3, 4, **{**options, "dtype": mg.float32})
    for p in fresh.parameters():
        assert float(p.abs().max()) <= bound
    assert max(float(p.abs().max()) for p in fresh.parameters()) > 0.8 * bound


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers(kind: str) -> None:
    layer = getattr(mg.nn, kind)(3, 16, num_layers=2, dropout=1.0)
    x = mg.tensor(data(5, 2, 3))
    y, _ = layer(x)
    blind, _ = layer(mg.zeros(5, 2, 3))
    assert mg.equal(y, blind)  # all that the second layer sees is zero
    layer.eval()
    assert not mg.equal(layer(x)[0], layer(mg.zeros(5, 2, 3))[0])
    half = getattr(mg.nn, kind)(3, 16, num_layers=2, dropout=0.5)
    assert not mg.equal(half(x)[0], half(x)[0])
    assert mg.equal(half.eval()(x)[0], half(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_results_may_be_changed_in_place(kind: str) -> None:
    x = mg.tensor(data(5, 2, 3), requires_grad=True)
    layer = getattr(mg.nn, kind)(3, 4, num_layers=2)
    (want,) = mg.autograd.grad(layer(x)[0].sum(), x)
    y, hx = layer(x)
    for state in hx if kind == "LSTM" else [hx]:
        state.detach().zero_()
    y.add_(1)
    (got,) = mg.autograd.grad(y.sum(), x)
    assert mg.equal(got, want)


@pytest.mark.parametrize("kind", KINDS)
def test_backward_twice(kind: str) -> None:
    layer = getattr(mg.nn, kind)(3, 4, bidirectional=True)
    x = mg.tensor(data(5, 2, 3), requires_grad=True)
    y = layer(x)[0].sin().sum()
    (first,) = mg.autograd.grad(y, x, retain_graph=True)
    (second,) = mg.autograd.grad(y, x)
    assert mg.equal(first, second)
    with pytest.raises(RuntimeError):
        mg.autograd.grad(y, x)


@pytest.mark.parametrize("kind", KINDS)
def test_last_state_alone(kind: str) -> None:
    ours, theirs = pair(kind, 3, 4, num_layers=2)
    a, b = both(data(5, 2, 3))
    got, want = ours(a[0])[1], theirs(b[0])[1]
    got, want = (got[1], want[1]) if kind == "LSTM" else (got, want)
    compare(ours, theirs, got[-1], want[-1], (a, b))


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_weights_and_no_grad(kind: str) -> None:
    layer = getattr(mg.nn, kind)(3, 4)
    layer.weight_hh_l0.requires_grad_(False)
    layer.bias_ih_l0.requires_grad_(False)
    layer(mg.tensor(data(5, 2, 3)))[0].sum().backward()
    assert layer.weight_hh_l0.grad is None and layer.bias_ih_l0.grad is None
    assert layer.weight_ih_l0.grad is not None and layer.bias_hh_l0.grad is not None
    with mg.no_grad():
        assert not layer(mg.tensor(data(5, 2, 3)))[0].requires_grad


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision(kind: str, dtype: str) -> None:
    layer = getattr(mg.nn, kind)(3, 4, num_layers=2)
    x = mg.tensor(data(5, 2, 3))
    want = layer(x)[0]
    narrow = copy.deepcopy(layer).to(getattr(mg, dtype))
    y, _ = narrow(x.to(getattr(mg, dtype)))
    assert y.dtype == getattr(mg, dtype)
    np.testing.assert_allclose(y.float().detach().numpy(), want.detach().numpy(), atol=2e-2)
    y.sum().backward()
    assert narrow.weight_hh_l1.grad.dtype == y.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_state_dict(kind: str) -> None:
    layer = getattr(mg.nn, kind)(3, 4, num_layers=2, bidirectional=True)
    x = mg.tensor(data(5, 2, 3))
    twin = copy.deepcopy(layer)
    assert mg.equal(layer(x)[0], twin(x)[0])
    with mg.no_grad():
        twin.weight_ih_l0.zero_()
    assert not mg.equal(layer(x)[0], twin(x)[0])
    layer.weight_hh_l1_reverse = mg.nn.Parameter(mg.zeros(layer.weight_hh_l1_reverse.shape))
    assert layer.all_weights[-1][1] is layer.weight_hh_l1_reverse
    assert layer.double()(x.double())[0].dtype == mg.float64


def test_many_steps_have_the_right_gradient() -> None:
    ours, theirs = pair("LSTM", 3, 4)
    a, b = both(data(200, 3, 3))
    compare(ours, theirs, ours(a[0])[0], theirs(b[0])[0], (a, b))


# ------------------------------------------------------------------------------ cells
CELLS = [
    ("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("RNNCell", {"bias": False}),
    ("LSTMCell", {}), ("LSTMCell", {"bias": False}), ("GRUCell", {}), ("GRUCell", {"bias": False}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), CELLS)
@pytest.mark.parametrize("lead", [(2,), ()])
@pytest.mark.parametrize("given", [True, False])
def test_cell(kind: str, options: dict[str, Any], lead: tuple[int, ...], given: bool) -> None:
    ours, theirs = pair(kind, 3, 4, **options)
    assert repr(ours) == repr(theirs)
    arrays = [data(*lead, 3)]
    if given:
        arrays += [data(*lead, 4, seed=i) for i in range(2 if kind == "LSTMCell" else 1)]
    a, b = both(*arrays)
    hx, want_hx = (packed_hx(a[1:]), packed_hx(b[1:])) if given else (None, None)
    compare(ours, theirs, ours(a[0], hx), theirs(b[0], want_hx), (a, b))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cell_by_cell_is_the_layer(kind: str) -> None:
    cell = getattr(mg.nn, kind)(3, 4)
    layer = getattr(mg.nn, kind.removesuffix("Cell"))(3, 4)
    layer.load_state_dict({f"{name}_l0": p for name, p in cell.state_dict().items()})
    x, hx, found = mg.tensor(data(6, 2, 3)), None, []
    for step in x:
        hx = cell(step, hx)
        found.append(hx[0] if kind == "LSTMCell" else hx)
    np.testing.assert_allclose(
        layer(x)[0].detach().numpy(), mg.stack(found).detach().numpy(), rtol=1e-5, atol=1e-6
    )


# ------------------------------------------------------------------------------ errors
def outcome(function: Any) -> tuple[type, str]:
    """The type and text of what a call raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function()
        except Exception as error:  # the type is what is compared
            return type(error), str(error)
    return type(None), "no error"


def x(lib: Any, *shape: int) -> Any:
    return lib.zeros(*shape)


CONSTRUCTION = [
    (lambda nn, kind: getattr(nn, kind)(0, 4)),
    (lambda nn, kind: getattr(nn, kind)(3, 0)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, 0)),
    (lambda nn, kind: getattr(nn, kind)(3.0, 4)),
    (lambda nn, kind: getattr(nn, kind)(3, "4")),
    (lambda nn, kind: getattr(nn, kind)(3, 4, bias=1)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, batch_first=0)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, dropout=1.5)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, dropout=True)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, proj_size=4)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, proj_size=-1)),
    (lambda nn, kind: getattr(nn, kind)(3, 4, spam=1)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", CONSTRUCTION)
def test_construction_errors(kind: str, make: Any) -> None:
    got, want = outcome(lambda: make(mg.nn, kind)), outcome(lambda: make(torch.nn, kind))
    assert want[0] is not type(None)
    assert got[0] is want[0], (got, want)
    if want[0] is not TypeError or "type" in want[1]:
        assert got[1] == want[1]


def test_other_construction_errors() -> None:
    for make in (
        lambda nn: nn.RNN(3, 4, nonlinearity="sigmoid"),
        lambda nn: nn.RNN(3, 4, 1, "sigmoid"),
        lambda nn: nn.RNNBase("ESN", 3, 4),
    ):
        got, want = outcome(lambda m=make: m(mg.nn)), outcome(lambda m=make: m(torch.nn))
        assert got == want
    assert mg.nn.RNN(3, 4, 2, "relu", False).bias is False
    with pytest.warns(UserWarning, match="num_layers=1"):
        mg.nn.LSTM(3, 4, dropout=0.5)


def call(*shapes: tuple[int, ...], **options: Any) -> Any:
    def run(lib: Any, kind: str) -> Any:
        layer = getattr(lib.nn, kind)(3, 4, **options)
        tensors = [lib.zeros(*shape) for shape in shapes]
        if len(tensors) > 1 and kind == "LSTM":
            return layer(tensors[0], (tensors[1], tensors[-1]))
        return layer(*tensors[:2])

    return run


FORWARD = [
    call((5, 2, 4)),
    call((5, 2, 2, 3)),
    call((3,)),
    call((5, 2, 3), (2, 2, 4)),
    call((5, 2, 3), (1, 3, 4)),
    call((5, 2, 3), (1, 2, 3)),
    call((5, 2, 3), (1, 4)),
    call((5, 2, 3), (1, 2, 4), (1, 2, 5)),
    call((5, 3), (1, 2, 4)),
    call((5, 3), (2, 4)),
    call((5, 2, 3), (1, 5, 4), batch_first=True),
    call((5, 2, 3), (1, 2, 4), batch_first=True),
    call((5, 2, 3), (1, 2, 4), bidirectional=True),
    call((0, 2, 3)),
    lambda lib, kind: getattr(lib.nn, kind)(3, 4)(lib.zeros(5, 2, 3, dtype=lib.float64)),
    lambda lib, kind: getattr(lib.nn, kind)(3, 4)(lib.zeros(5, 2, 3, dtype=lib.int64)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", FORWARD)
def test_forward_errors(kind: str, run: Any) -> None:
    got, want = outcome(lambda: run(mg, kind)), outcome(lambda: run(torch, kind))
    assert got[0] is want[0], (got, want)
    assert got[1].replace("minigrad", "torch") == want[1]


CELL_CALLS = [
    ((2, 5), (2, 4)), ((2, 3), (2, 5)), ((2, 3), (3, 4)), ((2, 3, 3), (2, 4)),
    ((2, 3), (2, 1, 4)), ((3,), (2, 4)), ((2, 3), (4,)), ((4,), (4,)), ((), (4,)),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("shapes", CELL_CALLS)
def test_cell_errors(kind: str, shapes: Any) -> None:
    def run(lib: Any) -> Any:
        state = lib.zeros(shapes[1])
        hx = (state, state) if kind == "LSTMCell" else state
        return getattr(lib.nn, kind)(3, 4)(lib.zeros(shapes[0]), hx)

    got, want = outcome(lambda: run(mg)), outcome(lambda: run(torch))
    assert want[0] is not type(None)
    assert got[0] is want[0], (got, want)
    assert got[1] == want[1]


def test_cell_dtypes_and_names() -> None:
    for kind in ("RNNCell", "LSTMCell", "GRUCell"):
        with pytest.raises(RuntimeError):
            getattr(mg.nn, kind)(3, 4)(mg.zeros(2, 3, dtype=mg.float64))
    with pytest.raises(RuntimeError, match="Unknown nonlinearity"):
        mg.nn.RNNCell(3, 4, nonlinearity="sin")(mg.zeros(2, 3))


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_function_errors(name: str) -> None:
    gates = {"lstm": 4, "gru": 3}.get(name, 1)

    def run(lib: Any, change: str) -> Any:
        h = lib.zeros(1, 2, 4)
        params = [lib.zeros(gates * 4, 3), lib.zeros(gates * 4, 4)]
        hx = (h, h) if name == "lstm" else h
        if change == "params":
            params.pop()
        if change == "states":
            hx = (h,) if name == "lstm" else None
        args = [lib.zeros(5, 2, 3), hx, params, False, 1, 0.0, False, False, False]
        return getattr(lib, name)(*args[: 5 if change == "short" else 9])

    assert run(mg, "")[0].shape == (5, 2, 4)
    for change in ("params", "short"):
        got, want = outcome(lambda c=change: run(mg, c)), outcome(lambda c=change: run(torch, c))
        assert got[0] is want[0], (got, want)
    if name == "lstm":
        assert outcome(lambda: run(mg, "states")) == outcome(lambda: run(torch, "states"))


# ------------------------------------------------------------------------------ packing
def sequences(lib: Any, *lengths: int, width: tuple[int, ...] = (2,)) -> list[Any]:
    return [lib.tensor(data(n, *width, seed=n)) for n in lengths]


def same(got: Any, want: Any) -> None:
    """Equal trees of tensors."""
    if isinstance(want, tuple | list):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            same(a, b)
    elif want is None:
        assert got is None
    else:
        assert_close(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths", [[4, 2, 2, 1], [1, 4, 2, 2]])
@pytest.mark.parametrize("width", [(), (2,), (2, 3)])
def test_packing(batch_first: bool, lengths: list[int], width: tuple[int, ...]) -> None:
    results, leaves = [], []
    shape = (4, 5, *width) if batch_first else (5, 4, *width)
    for lib in (mg, torch):
        rnn = lib.nn.utils.rnn
        tensor = lib.tensor(data(*shape), requires_grad=True)
        given = lib.tensor(lengths) if batch_first else lengths
        packed = rnn.pack_padded_sequence(tensor, given, batch_first, enforce_sorted=False)
        back = rnn.pad_packed_sequence(packed, batch_first, padding_value=-1.5)
        longer = rnn.pad_packed_sequence(packed, not batch_first, total_length=6)
        (back[0].sin().sum() + longer[0].cos().sum()).backward()
        results.append([*packed, *back, *longer, rnn.unpack_sequence(packed)])
        leaves.append(tensor.grad)
    same(*results)
    assert_close(*leaves)


def test_packing_of_sorted_sequences() -> None:
    for lib in (mg, torch):
        packed = lib.nn.utils.rnn.pack_padded_sequence(lib.tensor(data(5, 3, 2)), [5, 5, 2])
        assert packed.sorted_indices is None and packed.unsorted_indices is None
        assert packed.batch_sizes.tolist() == [3, 3, 2, 2, 2]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding(batch_first: bool, side: str) -> None:
    results = []
    for lib in (mg, torch):
        rnn = lib.nn.utils.rnn
        items = sequences(lib, 3, 1, 4)
        padded = rnn.pad_sequence(items, batch_first, 9.0, side)
        results.append([padded, rnn.pad_sequence(items), rnn.pad_sequence([items[0]] * 2)])
    same(*results)
    padded = results[0][0] if side == "right" else mg.nn.utils.rnn.pad_sequence(
        sequences(mg, 3, 1, 4), batch_first)  # fmt: skip
    back = mg.nn.utils.rnn.unpad_sequence(padded, mg.tensor([3, 1, 4]), batch_first)
    same(back, sequences(torch, 3, 1, 4))


def test_padding_has_a_gradient_and_keeps_dtypes() -> None:
    rnn = mg.nn.utils.rnn
    leaf = mg.tensor(data(2, 3), requires_grad=True)
    (rnn.pad_sequence([leaf, mg.zeros(4, 3)]) * 2).sum().backward()
    assert mg.equal(leaf.grad, mg.full((2, 3), 2.0))
    assert rnn.pad_sequence([mg.tensor([1, 2]), mg.tensor([3])]).dtype == mg.int64
    assert rnn.pad_sequence(mg.zeros(3, 2, 5)).shape == (2, 3, 5)


def test_pack_sequence() -> None:
    same(*[
        [*lib.nn.utils.rnn.pack_sequence(sequences(lib, 4, 3, 1)),
         *lib.nn.utils.rnn.pack_sequence(sequences(lib, 1, 3, 2), enforce_sorted=False)]
        for lib in (mg, torch)
    ])  # fmt: skip


PACK_ERRORS = [
    lambda lib, rnn: rnn.pack_padded_sequence(lib.zeros(5, 2, 3), [2, 5]),
    lambda lib, rnn: rnn.pack_padded_sequence(lib.zeros(5, 2, 3), [5, 0]),
    lambda lib, rnn: rnn.pack_padded_sequence(lib.zeros(5, 2, 3), [5, 0], enforce_sorted=False),
    lambda lib, rnn: rnn.pack_padded_sequence(lib.zeros(5, 2, 3), [5, 3, 2]),
    lambda lib, rnn: rnn.pack_padded_sequence(lib.zeros(0, 2, 3), [5, 3]),
    lambda lib, rnn: rnn.pack_sequence([lib.zeros(1, 2), lib.zeros(2, 2)]),
    lambda lib, rnn: rnn.pad_packed_sequence(rnn.pack_sequence([lib.zeros(4)]), total_length=3),
    lambda lib, rnn: rnn.pad_sequence([]),
    lambda lib, rnn: rnn.pad_sequence(5),
    lambda lib, rnn: rnn.pad_sequence([lib.zeros(2)], padding_side="middle"),
    lambda lib, rnn: rnn.PackedSequence(lib.zeros(3)),
    lambda lib, rnn: rnn.unpad_sequence(lib.zeros(5, 2, 3), lib.tensor([3])),
]


@pytest.mark.parametrize("run", PACK_ERRORS)
def test_packing_errors(run: Any) -> None:
    got = outcome(lambda: run(mg, mg.nn.utils.rnn))
    want = outcome(lambda: run(torch, torch.nn.utils.rnn))
    assert want[0] is not type(None)
    assert got[0] is want[0], (got, want)


@pytest.mark.parametrize("lengths", [[6, 2], [[3, 2]], 3])
def test_lengths_that_do_not_fit(lengths: Any) -> None:
    with pytest.raises(RuntimeError):  # PyTorch takes the first of these, and loses rows
        mg.nn.utils.rnn.pack_padded_sequence(mg.zeros(5, 2, 3), lengths)


def test_packed_sequences_convert() -> None:
    packed = mg.nn.utils.rnn.pack_sequence(sequences(mg, 2, 3), enforce_sorted=False)
    assert packed.double().data.dtype == mg.float64
    assert packed.double().batch_sizes is packed.batch_sizes
    assert packed.float() is packed and packed.to("cpu") is packed and packed.cpu() is packed
    for name, dtype in [("half", mg.float16), ("long", mg.int64), ("int", mg.int32),
                        ("short", mg.int16), ("char", mg.int8), ("byte", mg.uint8)]:  # fmt: skip
        assert getattr(packed, name)().data.dtype == dtype
    assert packed.to(mg.float64).sorted_indices.tolist() == packed.sorted_indices.tolist()
    assert packed.is_cuda is False and packed.is_pinned() is False
    made = mg.nn.utils.rnn.PackedSequence(packed.data, packed.batch_sizes, packed.sorted_indices)
    assert made.unsorted_indices.tolist() == packed.unsorted_indices.tolist()
    assert mg.nn.utils.rnn.invert_permutation(None) is None
