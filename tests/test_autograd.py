"""The engine: leaf rules, accumulation, graphs and their freeing, hooks, in-place changes,
modes.
"""

from __future__ import annotations

import gc
import sys
import threading
import warnings
import weakref

import numpy as np
import pytest

import minigrad as mg


def leaf(*shape, seed=0):
    return mg.from_numpy(np.random.default_rng(seed).standard_normal(shape)).requires_grad_()


# ------------------------------------------------------------------------------ the 60-minute blitz
# (A7)
def test_blitz_mean_of_three_squares():
    x = mg.ones(2, 2, requires_grad=True)
    y = x + 2
    z = y * y * 3
    out = z.mean()
    assert z.tolist() == [[27, 27], [27, 27]]
    assert out.item() == 27
    out.backward()
    assert x.grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]


def test_blitz_vector_jacobian_product():
    mg.manual_seed(3)
    x = mg.randn(3, requires_grad=True)
    y = x * 2
    doublings = 1
    while y.data.norm() < 1000:
        y = y * 2
        doublings += 1
    y.backward(mg.tensor([0.1, 1.0, 0.0001]))
    expected = 2.0**doublings * np.array([0.1, 1.0, 0.0001], np.float32)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


# ------------------------------------------------------------------------------ leaves and
# accumulation
def test_leaves_accumulate_and_results_do_not_keep_gradients():
    x = leaf(3)
    y = x * 2
    for times in (1, 2):
        (y * 1).sum().backward(retain_graph=True)
        assert x.grad.tolist() == [2.0 * times] * 3
    assert y.grad is None and not y.is_leaf and x.is_leaf


def test_node_used_twice_waits_for_both_contributions():
    x = leaf(3)
    y = x * 3
    z = y * y + y
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * (2 * 3 * x.detach().numpy() + 1))


def test_diamond_of_depth_60_costs_linear_time():
    x = leaf(2)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y * 0.5 + y * 0.5
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 1])


def test_gradients_of_two_leaves_never_share_memory():
    a, b = leaf(4), leaf(4, seed=1)
    (a + b).sum().backward()
    a.grad.zero_()
    assert b.grad.tolist() == [1.0] * 4
    c = leaf(4)
    g = mg.ones(4, dtype=mg.float64)
    c.backward(g)
    g.zero_()
    assert c.grad.tolist() == [1.0] * 4


def test_gradient_is_summed_over_broadcast_dimensions():
    a, b = leaf(3, 1), leaf(4, seed=1)
    (a * b).sum().backward()
    assert a.grad.shape == (3, 1) and b.grad.shape == (4,)
    np.testing.assert_allclose(b.grad.numpy(), np.full(4, a.detach().numpy().sum()))


def test_retain_grad_fills_the_grad_of_a_result():
    x = leaf(3)
    y = x * 2
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), 2 * y.detach().numpy())


def test_backward_to_chosen_inputs_only():
    a, b = leaf(3), leaf(3, seed=1)
    (a * b).sum().backward(inputs=[a])
    assert b.grad is None
    np.testing.assert_allclose(a.grad.numpy(), b.detach().numpy())
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (a * b).sum().backward(inputs=[])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mg.ones(3).sum().backward(), "does not require grad and does not have a grad_fn"),
        (lambda: (leaf(3) * 2).backward(), "only for scalar outputs"),
        (lambda: (leaf(3) * 2).backward(mg.ones(2, dtype=mg.float64)), "Mismatch in shape"),
    ],
)
def test_backward_errors(make, message):
    with pytest.raises(RuntimeError, match=message):
        make()


def test_requires_grad_rules():
    with pytest.raises(RuntimeError, match="floating point"):
        mg.tensor([1, 2], requires_grad=True)
    y = leaf(2) * 2
    with pytest.raises(RuntimeError, match="leaf variables"):
        y.requires_grad = False
    x = mg.ones(2)
    assert x.requires_grad_() is x and x.requires_grad


# ------------------------------------------------------------------------------ freeing
def test_second_backward_raises_and_retain_graph_allows_it():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_graph_is_freed_by_reference_counting():
    gc.disable()
    try:
        x = leaf(3)
        y = (x * x).exp()
        ref = weakref.ref(y.grad_fn)
        inner = weakref.ref(y.grad_fn.next_functions[0][0])
        y.sum().backward()
        del y
        assert ref() is None and inner() is None
        z = (x * x).exp()
        again = weakref.ref(z.grad_fn)
        del z
        assert again() is None
    finally:
        gc.enable()


def test_results_saved_for_backward_make_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf(100)
        for _ in range(20):
            y = x.exp().tanh().sigmoid()  # each saves its own result
            array = weakref.ref(y)
            del y
            assert array() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_chain_of_100_000_operations():
    x = mg.ones(2, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert sys.getrecursionlimit() < 100_000


# ------------------------------------------------------------------------------ autograd.grad
def test_grad_returns_and_does_not_accumulate():
    x = leaf(3)
    (g,) = mg.autograd.grad((x * x).sum(), x)
    assert x.grad is None
    np.testing.assert_allclose(g.numpy(), 2 * x.detach().numpy())


def test_grad_of_an_interior_tensor():
    x = leaf(3)
    y = x * 2
    (g,) = mg.autograd.grad((y * y).sum(), y)
    np.testing.assert_allclose(g.numpy(), 2 * y.detach().numpy())


def test_unused_inputs():
    x, z = leaf(3), leaf(2)
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        mg.autograd.grad(x.sum(), [x, z])
    assert mg.autograd.grad(x.sum(), [x, z], allow_unused=True)[1] is None
    assert mg.autograd.grad(x.sum(), [x, z], materialize_grads=True)[1].tolist() == [0, 0]
    with pytest.raises(ValueError, match="allow_unused"):
        mg.autograd.grad(x.sum(), [x, z], materialize_grads=True, allow_unused=False)


def test_batched_gradients_are_the_jacobian():
    x = leaf(3)
    (rows,) = mg.autograd.grad(x * x, x, mg.eye(3, dtype=mg.float64), is_grads_batched=True)
    np.testing.assert_allclose(rows.numpy(), np.diag(2 * x.detach().numpy()))


def test_third_derivative():
    x = leaf(4)
    y = (x.sin() * x).sum()
    for _ in range(3):
        (y,) = mg.autograd.grad(y.sum(), x, create_graph=True)
    v = x.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), -3 * np.sin(v) - v * np.cos(v), rtol=1e-12)


def test_gradient_penalty_reaches_the_parameters():
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(0).standard_normal((4, 3))
    x = np.random.default_rng(1).standard_normal((5, 4))
    results = []
    for lib in (mg, torch):
        weight, inputs = (
            lib.from_numpy(w.copy()).requires_grad_(),
            lib.from_numpy(x.copy()).requires_grad_(),
        )
        out = (inputs @ weight).tanh().sum(1)
        (g,) = lib.autograd.grad(out, inputs, lib.ones_like(out), create_graph=True)
        ((g.norm(dim=1) - 1) ** 2).mean().backward()
        results.append(weight.grad.numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-10)


# ------------------------------------------------------------------------------ hooks
def test_tensor_hook_sees_and_replaces_the_gradient():
    x = leaf(3)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 2)
    (x * 1).sum().backward()
    assert seen == [[1, 1, 1]] and x.grad.tolist() == [2, 2, 2]
    handle.remove()
    (x * 1).sum().backward()
    assert len(seen) == 1


def test_leaf_hook_runs_once_with_the_whole_gradient():
    x = leaf(3)
    calls = []
    x.register_hook(lambda g: calls.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert calls == [[5, 5, 5]]


def test_hook_on_a_result_runs_before_its_node():
    x = leaf(3)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    (y * 1).sum().backward()
    assert x.grad.tolist() == [20, 20, 20]


def test_node_hooks_and_prehooks():
    x = leaf(3)
    y = x * 2
    order = []
    y.grad_fn.register_prehook(lambda grads: order.append("pre") or (grads[0] * 3,))
    y.grad_fn.register_hook(
        lambda gin, gout: order.append(("post", gin[0].tolist(), gout[0].tolist()))
    )
    y.sum().backward()
    assert order == ["pre", ("post", [6, 6, 6], [3, 3, 3])]


def test_post_accumulate_grad_hook():
    x = leaf(3)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 2).sum().backward()
    assert seen == [[2, 2, 2]]
    with pytest.raises(RuntimeError):
        (x * 2).register_post_accumulate_grad_hook(lambda p: None)


def test_accumulator_node_can_be_found_and_hooked():
    x = leaf(3)
    y = x * 2
    node = y.grad_fn.next_functions[0][0]
    assert node.variable is x and node.name() == "AccumulateGrad"
    calls = []
    node.register_hook(lambda *grads: calls.append(1))
    y.sum().backward()
    assert calls == [1]


def test_queued_callback_runs_at_the_end_of_backward():
    x = leaf(3)
    order = []

    def hook(g):
        mg.autograd.queue_callback(lambda: order.append("end"))
        order.append("hook")

    y = x * 2
    y.register_hook(hook)
    y.sum().backward()
    assert order == ["hook", "end"]


# ------------------------------------------------------------------------------ in-place changes
def test_saved_value_changed_in_place_is_noticed_and_named():
    x = leaf(3)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation.*Mul.*version 1; expected version 0"
    ):
        z.sum().backward()


def test_saved_result_changed_in_place_is_noticed():
    x = leaf(3)
    y = x.exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    z = (leaf(3) * 1).exp_()
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_change_through_detach_and_through_a_view_are_noticed():
    for change in (
        lambda t: t.detach().zero_(),
        lambda t: t[0].fill_(1.0),
        lambda t: t.view(-1).mul_(2),
    ):
        x = leaf(2, 2)
        y = x * 1
        z = (y * y).sum()
        with mg.no_grad():
            change(y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()


def test_change_through_data_is_not_noticed():
    x = leaf(3)
    y = x * 1
    z = (y * y).sum()
    y.data.zero_()
    z.backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_leaf_that_requires_grad_cannot_be_changed():
    x = leaf(3)
    before = x.detach().numpy().copy()
    with pytest.raises(
        RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"
    ):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        x[0].add_(1)
    with pytest.raises(RuntimeError):
        x[0] = 1.0
    np.testing.assert_array_equal(x.detach().numpy(), before)
    with mg.no_grad():
        x.add_(1)
    np.testing.assert_array_equal(x.detach().numpy(), before + 1)


def test_failed_in_place_call_changes_nothing():
    x = mg.ones(3)
    version = x._version
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(mg.ones(2, 3))
    n = mg.ones(3, dtype=mg.int64)
    with pytest.raises(RuntimeError, match="can't be cast"):
        n.add_(1.5)
    assert x.tolist() == [1, 1, 1] and x._version == version and n.tolist() == [1, 1, 1]


def test_copy_into_part_of_a_result():
    x, v = leaf(4), leaf(2, seed=1)
    y = x * 2
    y[1:3] = v * 3
    (y * y).sum().backward()
    a, b = x.detach().numpy(), v.detach().numpy()
    expected = 8 * a
    expected[1:3] = 0
    np.testing.assert_allclose(x.grad.numpy(), expected)
    np.testing.assert_allclose(v.grad.numpy(), 18 * b)


# ------------------------------------------------------------------------------ modes
def test_no_grad_as_context_and_decorator():
    x = leaf(3)
    with mg.no_grad():
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not mg.is_grad_enabled()

    @mg.no_grad()
    def f(t):
        return t * 2

    @mg.no_grad
    def g(t):
        return t * 2

    assert not f(x).requires_grad and not g(x).requires_grad and mg.is_grad_enabled()
    with mg.set_grad_enabled(False):
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()
    mg.set_grad_enabled(False)
    assert not mg.is_grad_enabled()
    mg.set_grad_enabled(True)


def test_mode_is_restored_after_an_exception():
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert mg.is_grad_enabled()


def test_decorated_generator_leaves_its_consumer_alone():
    @mg.no_grad()
    def numbers():
        for _ in range(2):
            yield mg.is_grad_enabled()

    for inside in numbers():
        assert inside is False and mg.is_grad_enabled()


def test_modes_belong_to_a_thread():
    seen = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_inference_mode():
    x = leaf(3)
    with mg.inference_mode():
        y = x * 2
        assert y.is_inference() and not y.requires_grad
        y.add_(1)
    with pytest.raises(RuntimeError, match="cannot be saved for backward"):
        (y * x).sum()
    with pytest.raises(RuntimeError, match="outside InferenceMode"):
        y.add_(1)
    assert not x.is_inference() and not y.clone().is_inference()


# ------------------------------------------------------------------------------ Function
class Cube(mg.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


def test_function_first_and_second_derivative():
    x = leaf(3)
    assert mg.autograd.gradcheck(Cube.apply, (x,))
    assert mg.autograd.gradgradcheck(Cube.apply, (x,))


def test_function_context():
    class Mixed(mg.autograd.Function):
        @staticmethod
        def forward(ctx, a, b, scale):
            ctx.scale = scale
            ctx.needed = ctx.needs_input_grad
            index = (a > 0).long()
            ctx.mark_non_differentiable(index)
            ctx.set_materialize_grads(False)
            return a * scale + b, index, a * 2

        @staticmethod
        def backward(ctx, g, g_index, g_double):
            assert g_index is None and g_double is None
            return g * ctx.scale, None, None

    a, b = leaf(3), mg.ones(3, dtype=mg.float64)
    y, index, double = Mixed.apply(a, b, 4.0)
    assert y.grad_fn.needed == (True, False, False)
    assert not index.requires_grad and double.requires_grad
    assert y.grad_fn.name() == "MixedBackward"
    y.sum().backward()
    assert a.grad.tolist() == [4, 4, 4]


def test_function_wrong_number_of_gradients():
    class Wrong(mg.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Wrong.apply(leaf(3), leaf(3)).sum().backward()


def test_function_mark_dirty():
    class Double(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(3)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    z.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="leaf Variable"):
        Double.apply(leaf(3))


def test_once_differentiable_refuses_a_second_derivative():
    class Once(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @mg.autograd.function.once_differentiable
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(3)
    (g,) = mg.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_function_setup_context():
    class Scale(mg.autograd.Function):
        @staticmethod
        def forward(x, k):
            return x * k

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.k = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return g * ctx.k, None

    x = leaf(3)
    Scale.apply(x, 5).sum().backward()
    assert x.grad.tolist() == [5, 5, 5]


# ------------------------------------------------------------------------------ anomaly mode, saved
# tensors
def test_anomaly_mode_names_the_forward_line():
    with warnings.catch_warnings(record=True) as caught, mg.autograd.detect_anomaly():
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        x = mg.zeros(2, requires_grad=True)
        y = x.sqrt() * 0  # the guilty line
        with pytest.raises(RuntimeError, match="nan values in its 0th output"):
            y.sum().backward()
    text = str(caught[0].message)
    assert "test_autograd.py" in text and "the guilty line" in text


def test_saved_tensors_hooks_pack_and_unpack():
    packed, unpacked = [], []

    def pack(t):
        packed.append(t.shape)
        return t.numpy(force=True).copy()

    def unpack(a):
        unpacked.append(a.shape)
        return mg.from_numpy(a)

    x = leaf(3)
    with mg.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = (x * x).exp()
    y.sum().backward()
    assert len(packed) == len(unpacked) == 3
    v = x.detach().numpy()
    np.testing.assert_allclose(x.grad.numpy(), 2 * v * np.exp(v * v))


def test_checkpoint_recomputes_with_the_same_random_numbers():
    calls = []

    def segment(t):
        calls.append(1)
        return mg.nn.functional.dropout(t.sin(), 0.5)

    x = leaf(50)
    mg.manual_seed(0)
    plain = segment(x)
    (expected,) = mg.autograd.grad(plain.sum(), x)
    mg.manual_seed(0)
    y = mg.utils.checkpoint.checkpoint(segment, x)
    assert y.tolist() == plain.tolist()
    y.sum().backward()
    assert len(calls) == 3 and x.grad.tolist() == expected.tolist()


# ------------------------------------------------------------------------------ whose memory a
# gradient has
def seeded_gradients(lib):
    """Gradients of leaves, and what their seeds are afterwards, as nested lists."""
    found = []
    x, seed = lib.ones(2, 2, requires_grad=True), lib.ones(4)
    for _ in range(3):  # the gradient is a view of the seed, and grows there
        x.view(-1).backward(seed)
        found.append((x.grad.tolist(), seed.tolist()))
    x, y, seed = lib.ones(4, requires_grad=True), lib.ones(4, requires_grad=True), lib.ones(2, 4)
    lib.stack([x, y]).backward(seed)
    x.grad.mul_(5)
    found.append((y.grad.tolist(), seed.tolist()))
    for uses in (
        lambda x: lib.stack([x, x]),
        lambda x: lib.cat([x, x * 2]).view(2, 4),
        lambda x: x.view(1, 4).expand(2, 4),
    ):
        x, seed = lib.ones(4, requires_grad=True), lib.ones(2, 4)
        uses(x).backward(seed)
        uses(x).backward(seed)
        found.append((x.grad.tolist(), seed.tolist()))
    return found


def test_a_leaf_takes_memory_that_arrives_for_nobody_else():
    torch = pytest.importorskip("torch")
    assert seeded_gradients(mg) == seeded_gradients(torch)


def test_leaves_do_not_share_what_arrives():
    x, y, z = leaf(2, 3), leaf(3, 2, seed=1), leaf(6, seed=2)
    seed = mg.ones(6, dtype=mg.float64)
    (x.view(-1) + y.view(-1) + z).backward(seed)
    grads = [t.grad.numpy() for t in (x, y, z)]
    for i, g in enumerate(grads):
        assert not any(np.shares_memory(g, other) for other in grads[:i])
        g[...] = i
    assert [g.tolist() for g in grads] == [
        np.full(g.shape, i).tolist() for i, g in enumerate(grads)
    ]


def test_many_parts_of_one_gradient():
    xs = [leaf(2, seed=i) for i in range(80)]
    mg.cat(xs).backward(mg.arange(160.0, dtype=mg.float64))
    assert [x.grad.tolist() for x in xs] == [[2.0 * i, 2.0 * i + 1] for i in range(80)]


def test_large_gradients_that_meet_are_added():
    x = mg.from_numpy(np.ones((600, 300), np.float32)).requires_grad_()
    y = x * 1.0  # not a leaf: its gradients wait for each other
    seed = mg.from_numpy(np.random.default_rng(0).random((600, 300), np.float32))
    kept = seed.clone()
    (y + y + y * 2).backward(seed)
    np.testing.assert_array_equal(x.grad.numpy(), 4 * kept.numpy())
    assert seed.tolist() == kept.tolist()


def test_a_gradient_can_be_changed_though_its_seed_cannot():
    seed = np.ones(4)
    seed.flags.writeable = False
    x = leaf(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from_numpy says that it cannot be written
        x.view(-1).backward(mg.from_numpy(seed))
    x.grad.mul_(3)
    assert x.grad.tolist() == [[3, 3], [3, 3]]
