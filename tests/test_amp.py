"""autocast and GradScaler against PyTorch's on the CPU."""

from __future__ import annotations

import itertools
import pickle
import threading
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad.amp.policies import FLOAT32, LOWER, NAMES, PADDING, WIDEST
from minigrad.export import get_symbol_from_name
from minigrad.nn.functional import linear  # a name of this module: autocast must see it, too

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:reduction. .mean. divides")

# op -> its arguments, as shapes of float32 tensors, or values
OPS: dict[str, tuple[Any, ...]] = {
    "matmul": ((3, 4), (4, 5)), "mm": ((3, 4), (4, 5)), "bmm": ((2, 3, 4), (2, 4, 5)),
    "mv": ((3, 4), (4,)), "dot": ((4,), (4,)), "inner": ((4, 3), (4, 3)), "outer": ((4,), (4,)),
    "tensordot": ((4, 3), (3, 4), 1), "einsum": ("ij,jk->ik", (3, 4), (4, 3)),
    "addmm": ((3, 5), (3, 4), (4, 5)), "addmv": ((3,), (3, 4), (4,)),
    "addbmm": ((3, 5), (2, 3, 4), (2, 4, 5)), "baddbmm": ((2, 3, 5), (2, 3, 4), (2, 4, 5)),
    "nn.functional.linear": ((3, 4), (5, 4), (5,)),
    "nn.functional.conv1d": ((1, 2, 5), (3, 2, 3)),
    "nn.functional.conv2d": ((1, 2, 5, 5), (3, 2, 3, 3), (3,)),
    "nn.functional.conv_transpose2d": ((1, 2, 5, 5), (2, 3, 3, 3)),
    "nn.functional.prelu": ((1, 2, 3), (2,)),
    "nn.functional.scaled_dot_product_attention": ((1, 2, 3, 4),) * 3,
    "nn.functional.softmax": ((3, 4), -1), "nn.functional.layer_norm": ((3, 4), (4,)),
    "exp": ((3,),), "sum": ((3, 4),), "mean": ((3, 4),), "prod": ((3,),), "cumsum": ((3,), 0),
    "nn.functional.gelu": ((3,),), "nn.functional.mse_loss": ((3,), (3,)),
    "nn.functional.l1_loss": ((3,), (3,)), "nn.functional.smooth_l1_loss": ((3,), (3,)),
    "nn.functional.huber_loss": ((3,), (3,)),
    "nn.functional.binary_cross_entropy": ((3,), (3,)),
    "nn.functional.binary_cross_entropy_with_logits": ((3,), (3,)),
    "nn.functional.kl_div": ((3,), (3,)), "nn.functional.cdist": (),
    "nn.functional.triplet_margin_loss": ((3, 4),) * 3,
    "nn.functional.pad": ((1, 2, 4), [1, 1], "reflect"),
    "nn.functional.max_pool2d": ((1, 2, 4, 4), 2), "nn.functional.max_pool3d": ((1, 2, 4, 4, 4), 2),
    "nn.functional.cosine_similarity": ((3, 4), (3, 4)), "trace": ((3, 3),),
    "stack": ([(3,), (3,)],), "cat": ([(3,), (3,)],), "add": ((3,), (3,)), "mul": ((3,), (3,)),
}  # fmt: skip
del OPS["nn.functional.cdist"]
NOT_TENSORS = {("nn.functional.layer_norm", 1)}


def resolve(lib: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        lib = getattr(lib, part)
    return lib


def arguments(lib: Any, name: str, dtypes: list[str], rng: np.random.Generator) -> list[Any]:
    kinds = itertools.cycle(dtypes)

    def made(value: Any, i: int) -> Any:
        if isinstance(value, tuple) and (name, i) not in NOT_TENSORS:
            array = rng.uniform(0.1, 0.9, value).astype("float32")
            return lib.tensor(array).to(getattr(lib, next(kinds)))
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            return [made(v, i) for v in value]
        return value

    return [made(v, i) for i, v in enumerate(OPS[name])]


@pytest.mark.parametrize("dtypes", [["float32"], ["bfloat16"], ["bfloat16", "float32"]], ids=str)
@pytest.mark.parametrize("name", OPS)
def test_result_has_pytorchs_dtype_and_value(name: str, dtypes: list[str]) -> None:
    def run(lib: Any) -> Any:
        args = arguments(lib, name, dtypes, np.random.default_rng(0))
        try:
            with lib.autocast("cpu", dtype=lib.bfloat16):
                return resolve(lib, name)(*args)
        except RuntimeError:
            return None

    theirs = run(torch)
    if theirs is None:
        pytest.skip("PyTorch refuses these dtypes")
    mine = run(minigrad)
    assert mine.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(mine.float().numpy(), theirs.float().numpy(), rtol=2e-2, atol=2e-2)


def test_methods_operators_and_names_imported_before() -> None:
    x, w = minigrad.randn(3, 4), minigrad.randn(4, 4)
    half = minigrad.bfloat16
    with minigrad.autocast("cpu"):
        assert (x @ w).dtype is half and x.matmul(w).dtype is half and x.mm(w).dtype is half
        assert linear(x, w).dtype is half
        assert minigrad.nn.Linear(4, 2)(x).dtype is half
        assert minigrad.nn.functional.mse_loss(x.to(half), x.to(half)).dtype is minigrad.float32
        assert minigrad.nn.MSELoss()(x.to(half), x.to(half)).dtype is minigrad.float32
        assert x.to(half).prod().dtype is minigrad.float32
        x64 = x.double()
        assert (x64 @ w.double()).dtype is minigrad.float64
        assert (x.long() @ w.long()).dtype is minigrad.int64
        with minigrad.autocast("cpu", enabled=False):
            assert (x @ w).dtype is minigrad.float32
        assert (x @ w).dtype is half
    assert (x @ w).dtype is minigrad.float32


def test_layers_give_pytorchs_dtypes() -> None:
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.nn.LSTM(8, 4)(torch.ones(2, 3, 8))
        lstm = True
    except RuntimeError:  # PyTorch's needs a processor that computes in bfloat16
        lstm = False

    def dtypes(lib: Any) -> list[str]:
        x = lib.ones(2, 3, 8)
        found = []
        with lib.autocast("cpu", dtype=lib.bfloat16):
            if lstm:
                found.append(lib.nn.LSTM(8, 4)(x)[0])
            found.append(lib.nn.MultiheadAttention(8, 2)(x, x, x)[0])
            found.append(lib.nn.TransformerEncoderLayer(8, 2, 16)(x))
            found.append(lib.nn.Sequential(lib.nn.Linear(8, 8), lib.nn.LayerNorm(8))(x))
            found.append(
                lib.nn.CrossEntropyLoss()(lib.nn.Linear(8, 5)(x[0]), lib.tensor([0, 1, 2]))
            )
        return [str(y.dtype).partition(".")[2] for y in found]

    assert dtypes(minigrad) == dtypes(torch)


def test_nothing_is_in_the_way_when_off() -> None:
    matmul, operator = minigrad.matmul, minigrad.Tensor.__matmul__
    with minigrad.autocast("cpu"):
        assert minigrad.matmul is not matmul
    assert minigrad.matmul is matmul and minigrad.Tensor.__matmul__ is operator
    with pytest.raises(KeyError), minigrad.autocast("cpu"):
        raise KeyError
    assert minigrad.matmul is matmul and NAMES.users == 0
    assert not minigrad.is_autocast_enabled("cpu")


def test_gradients_are_float32_and_close_to_pytorchs() -> None:
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(s).astype("float32") for s in ((5, 4), (6, 4), (6,), (2, 6))]

    def run(lib: Any) -> list[Any]:
        x, w, b, v = (lib.tensor(d, requires_grad=True) for d in data)
        with lib.autocast("cpu", dtype=lib.bfloat16):
            h = lib.nn.functional.linear(x, w, b).relu()
            loss = lib.nn.functional.mse_loss(lib.nn.functional.linear(h, v), lib.zeros(5, 2))
        loss.backward()
        return [loss, x.grad, w.grad, b.grad, v.grad]

    for p, q in zip(run(minigrad), run(torch), strict=True):
        assert p.dtype is minigrad.float32 and q.dtype is torch.float32
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=5e-2, atol=5e-2)


def test_casts_of_parameters_are_kept_in_the_outermost_block() -> None:
    w, x = minigrad.randn(4, 4, requires_grad=True), minigrad.randn(4, 4)

    def cast_nodes(cache: bool) -> set[int]:
        with minigrad.autocast("cpu", cache_enabled=cache):
            a, b = x @ w, x @ w
        return {id(t.grad_fn.next_functions[1][0]) for t in (a, b)}

    assert len(cast_nodes(True)) == 1 and len(cast_nodes(False)) == 2
    with minigrad.autocast("cpu"):
        first = x @ w
        with minigrad.no_grad():
            w.mul_(2.0)
        second = x @ w
    np.testing.assert_allclose(
        second.detach().float().numpy(), 2 * first.detach().float().numpy(), rtol=1e-2
    )


def test_state_functions_decorator_and_threads() -> None:
    seen = []

    @minigrad.autocast("cpu", dtype=minigrad.float16)
    def inside() -> Any:
        seen.append((minigrad.is_autocast_enabled("cpu"), minigrad.get_autocast_dtype("cpu")))
        thread = threading.Thread(target=lambda: seen.append(minigrad.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
        return minigrad.ones(2, 2) @ minigrad.ones(2, 2)

    assert inside().dtype is minigrad.float16
    assert seen == [(True, minigrad.float16), False]
    assert minigrad.get_autocast_dtype("cpu") is minigrad.bfloat16
    minigrad.set_autocast_dtype("cpu", minigrad.float16)
    minigrad.set_autocast_enabled("cpu", True)
    assert (minigrad.ones(2, 2) @ minigrad.ones(2, 2)).dtype is minigrad.float16
    minigrad.set_autocast_enabled("cpu", False)
    minigrad.set_autocast_dtype("cpu", minigrad.bfloat16)
    assert NAMES.users == 0
    assert minigrad.is_autocast_cache_enabled()
    assert minigrad.amp.is_autocast_available("cpu")


def test_constructor_as_pytorchs() -> None:
    for args in ((3,), ("tpu",)):
        with pytest.raises(Exception) as theirs:  # noqa: B017
            torch.autocast(*args)
        with pytest.raises(theirs.type):
            minigrad.autocast(*args)
    with pytest.warns(UserWarning, match="not supported"):
        off = minigrad.autocast("cpu", dtype=minigrad.float32)
    with off:
        assert not minigrad.is_autocast_enabled("cpu")
    with pytest.warns(FutureWarning), minigrad.cpu.amp.autocast():
        assert minigrad.is_autocast_enabled("cpu")


def test_every_listed_name_exists() -> None:
    missing = [n for n in (*LOWER, *FLOAT32, *WIDEST, *PADDING) if get_symbol_from_name(n) is None]
    assert not missing


def test_custom_fwd_and_bwd() -> None:
    seen: list[Any] = []

    class Product(minigrad.autograd.Function):
        @staticmethod
        @minigrad.amp.custom_fwd(device_type="cpu")
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @minigrad.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: Any) -> Any:
            a, b = ctx.saved_tensors
            seen.append((minigrad.is_autocast_enabled("cpu"), minigrad.get_autocast_dtype("cpu")))
            return (g @ b.T).float(), (a.T @ g).float()

    class Wide(minigrad.autograd.Function):
        @staticmethod
        @minigrad.amp.custom_fwd(device_type="cpu", cast_inputs=minigrad.float32)
        def forward(ctx: Any, a: Any) -> Any:
            seen.append((a.dtype, minigrad.is_autocast_enabled("cpu")))
            return a @ a

        @staticmethod
        @minigrad.amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: Any) -> Any:
            return g

    a = minigrad.randn(3, 3, requires_grad=True)
    with minigrad.autocast("cpu"):
        y = Product.apply(a, a)
        z = Wide.apply(a.bfloat16())
    assert y.dtype is minigrad.bfloat16 and z.dtype is minigrad.float32
    y.sum().backward()
    assert seen == [(minigrad.float32, False), (True, minigrad.bfloat16)]


# ------------------------------------------------------------------------------ GradScaler
def scaled_run(lib: Any, bad: set[int], **options: Any) -> list[Any]:
    w = lib.tensor([1.0, 2.0], requires_grad=True)
    opt = lib.optim.SGD([w], lr=0.1)
    scaler = lib.amp.GradScaler("cpu", **options)
    trace = []
    for i in range(12):
        opt.zero_grad()
        loss = (w * w).sum() * (float("inf") if i in bad else 1.0)
        scaler.scale(loss).backward()
        if i % 2:
            scaler.unscale_(opt)
        scaler.step(opt)
        scaler.update()
        trace.append((scaler.get_scale(), scaler._get_growth_tracker(), w.detach().tolist()))
    return [*trace, scaler.state_dict()]


@pytest.mark.parametrize("bad", [set(), {0}, {3, 4, 9}])
def test_grad_scaler_grows_and_backs_off_as_pytorchs(bad: set[int]) -> None:
    options = {
        "init_scale": 8.0,
        "growth_interval": 3,
        "growth_factor": 4.0,
        "backoff_factor": 0.25,
    }
    for given in (options, {"enabled": False}):  # as text: nan is not equal to itself
        assert repr(scaled_run(minigrad, bad, **given)) == repr(scaled_run(torch, bad, **given))


def test_grad_scaler_errors() -> None:
    def errors(lib: Any) -> list[Any]:
        found: list[Any] = []

        def attempt(call: Any) -> None:
            try:
                call()
                found.append(None)
            except Exception as error:
                found.append((type(error).__name__, str(error)))

        w = lib.ones(2, requires_grad=True)
        opt = lib.optim.SGD([w], lr=0.1)
        scaler = lib.amp.GradScaler("cpu")
        attempt(scaler.update)
        attempt(lambda: scaler.step(opt))
        scaler.scale(w.sum()).backward()
        attempt(scaler.update)
        attempt(lambda: scaler.step(opt, closure=lambda: None))
        scaler.unscale_(opt)
        attempt(lambda: scaler.unscale_(opt))
        scaler.step(opt)
        attempt(lambda: scaler.step(opt))
        attempt(lambda: scaler.unscale_(opt))
        scaler.update()
        attempt(lambda: scaler.load_state_dict({}))
        attempt(lambda: lib.amp.GradScaler("cpu", growth_factor=0.5))
        attempt(lambda: lib.amp.GradScaler("cpu", backoff_factor=1.5))
        attempt(lambda: scaler.scale("loss"))
        opt.zero_grad()
        attempt(lambda: scaler.step(opt))
        half = lib.ones(2, dtype=lib.float16, requires_grad=True)
        half.grad = lib.ones(2, dtype=lib.float16)
        attempt(lambda: scaler.unscale_(lib.optim.SGD([half], lr=0.1)))
        return found

    mine, theirs = errors(minigrad), errors(torch)
    assert [e and e[0] for e in mine] == [e and e[0] for e in theirs]
    for p, q in zip(mine[:9], theirs[:9], strict=True):
        assert p == q


def test_grad_scaler_state_scale_and_pickle() -> None:
    scaler = minigrad.amp.GradScaler("cpu", init_scale=4.0)
    one, two = scaler.scale([minigrad.ones(2), minigrad.ones(())])
    assert one.tolist() == [4.0, 4.0] and two.item() == 4.0
    assert scaler.scale(minigrad.ones(2, dtype=minigrad.float16)).dtype is minigrad.float16
    scaler.update(16.0)
    assert scaler.get_scale() == 16.0
    scaler.update(minigrad.tensor(2.0))
    other = minigrad.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() and other.get_scale() == 2.0
    again = pickle.loads(pickle.dumps(scaler))
    assert again.get_scale() == 2.0 and again.is_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert minigrad.amp.GradScaler().is_enabled() == minigrad.cuda.is_available()


def test_mixed_precision_training_learns() -> None:
    model = minigrad.nn.Sequential(
        minigrad.nn.Linear(2, 16), minigrad.nn.Tanh(), minigrad.nn.Linear(16, 1)
    )
    opt = minigrad.optim.Adam(model.parameters(), lr=0.03)
    scaler = minigrad.amp.GradScaler("cpu")
    x = minigrad.rand(64, 2)
    y = x[:, :1] * x[:, 1:]
    losses = []
    for _ in range(80):
        opt.zero_grad()
        with minigrad.autocast("cpu", dtype=minigrad.bfloat16):
            loss = minigrad.nn.functional.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
