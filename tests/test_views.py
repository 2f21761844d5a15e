"""Views against PyTorch: shared memory, strides, gradients, and in-place changes through views of
views.

A program is a function of a namespace (`m.tensor`, ...) that is run once with torch and once with
minigrad, and must give the same numbers, or fail with the same type of error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")

BASE = np.arange(24.0).reshape(4, 6) / 7 - 1.3

# views of a 4 x 6 matrix
VIEWS: dict[str, Callable[[Any], Any]] = {
    "view": lambda x: x.view(3, 8),
    "view_infer": lambda x: x.view(2, -1, 3),
    "reshape": lambda x: x.reshape(6, 4),
    "flatten": lambda x: x.flatten(),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x.squeeze(),
    "t": lambda x: x.t(),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "transpose": lambda x: x.transpose(-1, 0),
    "permute": lambda x: x.permute(1, 0),
    "movedim": lambda x: x.movedim(0, 1),
    "select": lambda x: x.select(0, 2),
    "select_last": lambda x: x.select(-1, -2),
    "narrow": lambda x: x.narrow(1, 1, 4),
    "diagonal": lambda x: x.diagonal(),
    "diagonal_offset": lambda x: x.diagonal(1, 1, 0),
    "unfold": lambda x: x.unfold(1, 2, 2),
    "unfold_overlap": lambda x: x.unfold(0, 3, 1),
    "as_strided": lambda x: x.as_strided((3, 2), (6, 2), 1),
    "expand": lambda x: x.expand(4, 6),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split([1, 2, 3], 1)[2],
    "unbind": lambda x: x.unbind(1)[3],
    "tensor_split": lambda x: x.tensor_split(3)[0],
    "hsplit": lambda x: x.hsplit(3)[1],
    "detach": lambda x: x.detach(),
}
# second cuts, for whatever shape comes out of the first
CUTS: dict[str, Callable[[Any], Any]] = {
    "flatten": lambda x: x.view(-1),
    "T": lambda x: x.transpose(0, -1),
    "first": lambda x: x.select(0, 0),
    "half": lambda x: x.narrow(-1, 0, x.shape[-1] // 2),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "diagonal": lambda x: x.diagonal(),
    "expand": lambda x: x.expand(2, *x.shape),
    "unbind": lambda x: x.unbind(0)[-1],
    "strided": lambda x: x.as_strided((2,), x.stride()[-1:]),
}


def outcome(program: Callable[[Any], Any], m: Any) -> Any:
    """The program's results as arrays, or the error."""
    try:
        results = program(m)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        return error
    return [
        None if r is None else np.array(r.detach().numpy()) if hasattr(r, "detach") else r
        for r in results
    ]


def same(program: Callable[[Any], Any]) -> Any:
    """Run the program with both libraries and compare; returns what came out."""
    expected, got = outcome(program, torch), outcome(program, minigrad)
    if isinstance(expected, Exception) or isinstance(got, Exception):
        assert type(got) is type(expected), f"torch: {expected!r:.300}\nminigrad: {got!r:.300}"
        return got
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        if isinstance(a, np.ndarray):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        else:
            assert a == b
    return got


def leaf(m: Any, values: Any = BASE) -> Any:
    return m.tensor(values.copy(), requires_grad=True)


def weights(m: Any, x: Any) -> Any:
    """Different numbers for every element, so that a gradient in the wrong place shows."""
    n = int(np.prod(tuple(x.shape)))
    return m.tensor(np.cos(np.arange(n) * 1.7 + 0.3).reshape(tuple(x.shape)))


def loss(m: Any, *tensors: Any) -> Any:
    total = 0
    for x in tensors:
        total = total + (x * x * weights(m, x)).sum()
    return total


# ------------------------------------------------------------ memory
@pytest.mark.parametrize("name", VIEWS)
def test_memory_is_shared(name: str) -> None:
    def program(m: Any) -> Any:
        x = m.tensor(BASE.copy())
        y = VIEWS[name](x)
        where = (
            y.storage_offset(),
            tuple(y.stride()),
            (y.data_ptr() - x.data_ptr()),
            y.is_contiguous(),
        )
        first = y.clone()
        if name != "unfold_overlap":
            y.copy_(y * 2 + 100)
        return (*where, first, y, x, y._is_view(), y._base is x)

    same(program)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", VIEWS)
def test_memory_of_chains(name: str, cut: str) -> None:
    def program(m: Any) -> Any:
        x = m.tensor(BASE.copy())
        y = CUTS[cut](VIEWS[name](x))
        x.mul_(2)
        shape = tuple(y.shape)
        strides = [s for s, n in zip(y.stride(), shape, strict=True) if n > 1]
        return y, y.storage_offset(), strides, y.data_ptr() - x.data_ptr()

    same(program)


def test_reshape_of_a_transpose_is_a_copy() -> None:
    x = minigrad.tensor(BASE)
    y = x.t().reshape(24)
    assert y.data_ptr() != x.data_ptr() and not y._is_view()
    y.mul_(0)
    assert float(x.sum()) == pytest.approx(BASE.sum())


def test_contiguous_and_clone() -> None:
    x = minigrad.tensor(BASE)
    assert x.contiguous() is x
    assert x.t().contiguous().stride() == (4, 1)
    assert x.t().clone().stride() == (1, 6) == torch.tensor(BASE).t().clone().stride()
    assert x.clone().data_ptr() != x.data_ptr()


# ------------------------------------------------------------ gradients
@pytest.mark.parametrize("name", VIEWS)
def test_gradient(name: str) -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        y = VIEWS[name](a)
        if name == "detach":
            return [y.requires_grad]
        loss(m, y).backward()
        return a.grad, y.requires_grad

    same(program)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", VIEWS)
def test_gradient_of_chains(name: str, cut: str) -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        y = CUTS[cut](VIEWS[name](a * 1))
        if name == "detach":
            return [y.requires_grad]
        g = m.autograd.grad(loss(m, y), a, create_graph=True)[0]
        (g * g).sum().backward()
        return g, a.grad

    same(program)


# ------------------------------------------------------------ in-place changes under autograd
# elements that share a memory cell have no one value to be changed in place
CHANGED = [n for n in VIEWS if n != "unfold_overlap"]


@pytest.mark.parametrize("name", CHANGED)
def test_in_place_through_a_view(name: str) -> None:
    """The view is multiplied; base, view and an older view of the base take part in the loss."""

    def program(m: Any) -> Any:
        a = leaf(m)
        base = a * 1
        old = base.view(-1)
        view = VIEWS[name](base)
        w = weights(m, view).requires_grad_()
        view.mul_(w)
        loss(m, base, view, old).backward()
        return base, view, old, a.grad, w.grad

    same(program)


@pytest.mark.parametrize("name", CHANGED)
def test_copy_into_a_view(name: str) -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        base = a * 1
        view = VIEWS[name](base)
        w = weights(m, view).requires_grad_()
        view.copy_(w)
        loss(m, base, view).backward()
        return base, view, a.grad, w.grad

    same(program)


@pytest.mark.parametrize("name", VIEWS)
def test_view_used_after_its_base_changed(name: str) -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        base = a * 1
        view = VIEWS[name](base)
        w = weights(m, base).requires_grad_()
        base.mul_(w)
        loss(m, view).backward()
        return view, a.grad, w.grad

    same(program)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", CHANGED)
def test_in_place_through_a_view_of_a_view(name: str, cut: str) -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        base = a * 1
        view = VIEWS[name](base)
        inner = CUTS[cut](view)
        w = weights(m, inner).requires_grad_()
        inner.mul_(w)
        base.add_(1)
        inner.sub_(w)
        loss(m, base, view, inner).backward()
        return base, view, inner, a.grad, w.grad

    same(program)


@pytest.mark.parametrize("layout", ["t", "narrow", "clone_t"])
@pytest.mark.parametrize("name", CHANGED)
def test_base_that_is_not_contiguous(name: str, layout: str) -> None:
    """The gradient is contiguous where the base is not: the view must be replayed on it all the
    same.
    """
    if (name, layout) == ("as_strided", "narrow"):
        pytest.skip(
            "reaches outside of the narrow base, where PyTorch's gradient depends on the order of "
            "changes"
        )

    def program(m: Any) -> Any:
        a = leaf(m, np.concatenate([BASE.T] * 2) if layout == "narrow" else BASE.T)
        base = {
            "t": lambda: a.t() * 1,
            "clone_t": lambda: a.t().clone(),
            "narrow": lambda: (a * 1).t().narrow(1, 3, 6),
        }[layout]()
        view = VIEWS[name](base)
        w = weights(m, view).requires_grad_()
        view.mul_(w)
        loss(m, base, view).backward()
        return base, view, a.grad, w.grad

    same(program)


@pytest.mark.parametrize("seed", range(150))
def test_random_programs(seed: int) -> None:
    """A pool of tensors, cut, changed in place and used at random; both libraries do the same
    thing or both refuse.
    """

    def program(m: Any) -> Any:
        rng = np.random.default_rng(seed)
        leaves = [leaf(m), leaf(m, np.sin(BASE))]
        pool = [leaves[0] * 1, leaves[1].t() * 2, leaves[0] + leaves[1]]
        for _ in range(rng.integers(2, 9)):
            x = pool[rng.integers(len(pool))]
            action = rng.integers(6)
            cuts = VIEWS if tuple(x.shape) == (4, 6) else CUTS
            name = list(cuts)[rng.integers(len(cuts))]
            if action < 3:
                if x.dim() and name not in ("detach", "unfold_overlap"):
                    try:
                        pool.append(cuts[name](x))
                    except (RuntimeError, IndexError):
                        pass
            elif action == 3:
                x.mul_(weights(m, x))
            elif action == 4:
                x.copy_(
                    pool[0].sum().detach() * weights(m, x) if rng.integers(2) else leaves[1].sum()
                )
            else:
                x.add_(leaves[0].mean())
        loss(m, *pool).backward()
        return [x.grad for x in leaves] + pool

    same(program)


# ------------------------------------------------------------ errors
def fails_with_both(program: Callable[[Any], Any]) -> None:
    assert isinstance(same(program), Exception)


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("detach",)])
def test_view_of_a_leaf_cannot_be_changed(name: str) -> None:
    def program(m: Any) -> Any:
        return [VIEWS[name](leaf(m)).mul_(2)]

    fails_with_both(program)


def test_leaf_cannot_be_changed() -> None:
    fails_with_both(lambda m: [leaf(m).mul_(2)])
    a = minigrad.tensor(BASE.copy(), requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        a.view(-1).mul_(2)
    assert np.array_equal(a.detach().numpy(), BASE)


@pytest.mark.parametrize(
    "cut",
    [lambda x: x.chunk(2), lambda x: x.split(2), lambda x: x.unbind(), lambda x: x.split([1, 3])],
)
def test_outputs_of_multi_views_cannot_be_changed(cut: Callable) -> None:
    fails_with_both(lambda m: [cut(leaf(m) * 1)[0].mul_(2)])

    def views_of_them(m: Any) -> Any:
        return [cut(leaf(m) * 1)[0].view(-1).mul_(2)]

    fails_with_both(views_of_them)

    def without_grad(m: Any) -> Any:
        base = leaf(m) * 1
        with m.no_grad():
            cut(base)[0].mul_(2)
        return [base]

    same(without_grad)


@pytest.mark.parametrize(
    "cut", [lambda m, x: m.unsafe_chunk(x, 2), lambda m, x: m.unsafe_split(x, 2)]
)
def test_unsafe_pieces_can_be_changed(cut: Callable) -> None:
    y = cut(minigrad, minigrad.tensor(BASE, requires_grad=True) * 1)
    y[0].mul_(2)
    assert np.allclose(y[0].detach().numpy(), 2 * BASE[:2])


def test_views_made_without_grad() -> None:
    def changed_outside(m: Any) -> Any:
        base = leaf(m) * 1
        with m.no_grad():
            view = base.view(-1)
        view.mul_(2)
        return [base]

    fails_with_both(changed_outside)

    def changed_inside(m: Any) -> Any:
        a = leaf(m)
        with m.no_grad():
            a.view(-1).mul_(2)
        loss(m, a).backward()
        return a, a.grad

    same(changed_inside)


def test_expanded_tensors_refuse_writes() -> None:
    fails_with_both(lambda m: [m.zeros(3, 1).expand(3, 4).add_(1)])
    fails_with_both(lambda m: [m.zeros(3, 1).expand(3, 4).copy_(m.ones(3, 4))])
    same(lambda m: [m.zeros(3, 1).expand(3, 4).select(1, 0).add_(1)])
    same(lambda m: [m.zeros(3, 1).expand(3, 1).add_(1)])


def test_saved_base_notices_a_change_through_a_view() -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        base = a * 1
        y = (base * base).sum()
        base.view(-1).narrow(0, 0, 1).mul_(3)
        y.backward()
        return [a.grad]

    fails_with_both(program)


@pytest.mark.parametrize("size", [(5, 5), (-2, 12), (-1, -1), (7, -1), (24, 0)])
def test_view_sizes_that_do_not_fit(size: tuple[int, ...]) -> None:
    fails_with_both(lambda m: [m.tensor(BASE).view(*size)])
    fails_with_both(lambda m: [m.tensor(BASE).reshape(size)])
    fails_with_both(lambda m: [m.zeros(0, 3).view(-1, 0)])


def test_incompatible_strides() -> None:
    with pytest.raises(RuntimeError, match=r"view size is not compatible .* Use \.reshape"):
        minigrad.tensor(BASE).t().view(24)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 1), (4, 1, 6), (2, 0, 3), (1,), ()])
@pytest.mark.parametrize("order", ["plain", "reversed", "sliced", "expanded"])
def test_which_shapes_can_be_viewed(shape: tuple[int, ...], order: str) -> None:
    """All factorisations of the size are viewed, or refused, exactly as by PyTorch."""
    n = int(np.prod(shape))
    sizes = [
        (n,),
        (n, 1),
        (1, n),
        (2, -1),
        (-1, 2),
        (-1, 3),
        (3, -1),
        (2, 2, -1),
        (6, -1),
        (4, 6),
        (2, 12),
        (3, 8),
    ]

    def make(m: Any) -> Any:
        x = m.zeros(*shape) if shape else m.zeros(())
        if order == "reversed":
            return x.permute(*range(len(shape))[::-1]) if shape else x
        if order == "sliced":
            return m.zeros(*[s + 1 for s in shape]).as_strided(
                shape, m.zeros(*[s + 1 for s in shape]).stride()
            )
        return x.expand(2, *shape) if order == "expanded" else x

    for size in sizes:
        same(lambda m, size=size: [make(m).view(size)])


def test_view_as_another_dtype() -> None:
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    for name in ("int32", "uint8", "float64", "int16", "complex64"):
        same(lambda m, name=name: [m.tensor(values).view(getattr(m, name))])
        same(lambda m, name=name: [m.tensor(values).t().view(getattr(m, name))])
        same(lambda m, name=name: [m.tensor(1.0).view(getattr(m, name))])
    same(lambda m: [m.tensor(values[:, :3]).view(m.float64)])
    x = minigrad.tensor(values)
    x.view(minigrad.int32).copy_(minigrad.zeros(2, 4, dtype=minigrad.int32))
    assert float(x.sum()) == 0


def test_complex_views() -> None:
    values = (BASE + 1j * BASE[::-1]).copy()

    def program(m: Any) -> Any:
        z = m.tensor(values, requires_grad=True)
        base = z * 1
        pairs = m.view_as_real(base)
        pairs.select(-1, 1).mul_(3)
        again = m.view_as_complex(pairs)
        y = (pairs * pairs).sum() + (m.view_as_real(again) * 2).sum()
        y.backward()
        return pairs, base, again, z.grad

    same(program)
    fails_with_both(lambda m: [m.view_as_real(m.tensor(BASE))])
    fails_with_both(lambda m: [m.view_as_complex(m.tensor(BASE))])
    fails_with_both(lambda m: [m.view_as_complex(m.zeros(2, 3).t())])
    fails_with_both(lambda m: [m.view_as_complex(m.zeros(3, 2, dtype=m.int64))])
    fails_with_both(lambda m: [m.view_as_complex(m.tensor(1.0))])


# ------------------------------------------------------------ the tensor itself, reshaped in place
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.t_(),
        lambda x: x.unsqueeze_(1),
        lambda x: x.unsqueeze_(0).squeeze_(0),
        lambda x: x.transpose_(0, 1),
        lambda x: x.swapaxes_(0, 1),
        lambda x: x.swapdims_(1, 0),
    ],
)
def test_in_place_views(change: Callable) -> None:
    def program(m: Any) -> Any:
        a = leaf(m)
        x = a * 1
        y = change(x)
        x.mul_(weights(m, x))
        loss(m, x).backward()
        return y is x, x, a.grad

    same(program)

    def of_a_view(m: Any) -> Any:
        a = leaf(m, np.stack([BASE, BASE]))
        base = a * 1
        x = base.select(0, 1)
        change(x)
        x.mul_(weights(m, x))
        loss(m, x, base).backward()
        return x, base, a.grad

    same(of_a_view)
    fails_with_both(lambda m: [change(leaf(m))])


# ------------------------------------------------------------ arrays of others
def test_views_of_arrays_of_others() -> None:
    """A tensor in an array's memory is its own storage: strides and offsets start at the array's
    first element.
    """
    for array in (BASE.copy(), BASE.copy()[1:3, 1:5], BASE.copy().T, BASE.copy()[::2]):

        def program(m: Any, array: Any = array) -> Any:
            x = m.from_numpy(array)
            y = x.narrow(0, 1, 1)
            z = x.as_strided((2,), (1,), 1)
            return (
                x,
                y,
                z,
                x.storage_offset(),
                y.storage_offset(),
                z.storage_offset(),
                y._is_view(),
                x._is_view(),
            )

        same(program)
    array = BASE.copy()
    minigrad.from_numpy(array[1:]).view(-1).narrow(0, 0, 3).copy_(minigrad.zeros(3))
    assert (array[1, :3] == 0).all() and (array[0] == BASE[0]).all()
    fails_with_both(lambda m: [m.from_numpy(BASE[1:2]).as_strided((2,), (6,), 3)])
    theirs = torch.tensor(BASE)
    mine = minigrad.from_numpy(theirs.t().numpy())
    mine.unfold(0, 2, 2).select(-1, 0).copy_(minigrad.tensor(5.0))
    assert (theirs[:, ::2] == 5).all() and not (theirs[:, 1::2] == 5).any()


def test_bfloat16_views() -> None:
    pytest.importorskip("ml_dtypes")

    def program(m: Any) -> Any:
        x = m.tensor(BASE, dtype=m.bfloat16)
        y = x.expand(2, 4, 6).select(0, 0).unfold(1, 2, 2).diagonal().view(2, -1)
        return [y.float(), x.as_strided((2, 2), (2, 7), 1).float(), x.t().clone().float()]

    same(program)


@pytest.mark.parametrize("how", ["before", "after", "as_strided", "unchanged"])
def test_retained_gradient_of_a_view_that_goes_stale(how: str) -> None:
    """A change without recording gives the view a new node: what it retains goes with it."""

    def program(m: Any) -> Any:
        a = leaf(m)
        base = a * 2
        view = base.as_strided((2, 3), (6, 2), 1) if how == "as_strided" else base[1:3]
        if how != "after":
            view.retain_grad()
        if how != "unchanged":
            view.mul_(3)
        if how == "after":
            view.retain_grad()
        with m.no_grad():
            view.add_(1)
        kept = view.retains_grad
        loss(m, view, base).backward()
        return kept, view.retains_grad, view.grad, a.grad

    same(program)


def test_views_of_a_base_that_requires_a_gradient_later() -> None:
    def changed(m: Any, change: Callable[[Any, Any], Any]) -> Any:
        base = m.tensor(BASE.copy())
        view = base.view(-1)
        change(base, view)
        before = view.requires_grad
        base.requires_grad_()
        after, is_leaf = view.requires_grad, view.is_leaf
        loss(m, view).backward()
        return before, after, is_leaf, base.grad

    same(lambda m: changed(m, lambda base, view: base.mul_(2)))
    same(lambda m: changed(m, lambda base, view: view.mul_(2)))
    same(lambda m: changed(m, lambda base, view: [view.mul_(2), view + 1, base.add_(1)]))


def test_a_view_that_is_a_leaf_of_its_own_stays_one() -> None:
    def program(m: Any) -> Any:
        base = m.tensor(BASE.copy())
        view = base.t().requires_grad_()
        base.mul_(2)
        loss(m, view).backward()
        return view.requires_grad, view.is_leaf, base.requires_grad, view.grad, base.grad

    same(program)


@pytest.mark.parametrize("name", ["eq_", "ne_", "lt_", "le_", "gt_", "ge_"])
@pytest.mark.parametrize("shape", [(4, 6), (6,), ()])
def test_in_place_comparisons_give_both_sides_zeros(name: str, shape: tuple[int, ...]) -> None:
    def program(m: Any) -> Any:
        a, b = leaf(m), leaf(m, np.ones(shape))
        x = a * 1
        getattr(x, name)(b)
        loss(m, x).backward()
        return x, a.grad, b.grad

    same(program)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["max", "min", "median", "nanmedian", "mode", "kthvalue"])
def test_changed_places_of_values_are_noticed(name: str, keepdim: bool) -> None:
    def program(m: Any) -> Any:
        k = (2,) if name == "kthvalue" else ()
        values, places = getattr(m, name)(leaf(m), *k, dim=1, keepdim=keepdim)
        places.fill_(3)
        values.sum().backward()
        return []

    assert "inplace operation" in str(same(program))


INDEXED: dict[str, Callable[..., Any]] = {
    "index_select": lambda m, x, i: x.index_select(0, i),
    "index_add": lambda m, x, i: m.zeros(4, 6).double().index_add(0, i, x),
    "index_reduce": lambda m, x, i: m.zeros(4, 6).double().index_reduce(0, i, x, "amax"),
    "put": lambda m, x, i: m.zeros(4, 6).double().put(i, x[:, 0]),
    "take": lambda m, x, i: x.take(i),
    "embedding_bag": lambda m, x, i: m.nn.functional.embedding_bag(i.view(2, 2), x, mode="sum"),
}


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("name", INDEXED)
def test_a_changed_index_is_noticed(name: str) -> None:
    def program(m: Any) -> Any:
        index = m.tensor([1, 0, 1, 2])
        y = INDEXED[name](m, leaf(m), index)
        index.fill_(3)
        y.sum().backward()
        return []

    assert "inplace operation" in str(same(program))


def test_a_changed_index_does_no_harm() -> None:
    """Where a copy is kept, the gradient is that of the index as it was."""
    f = minigrad.nn.functional
    calls: dict[str, Callable[..., Any]] = {
        "adaptive": lambda x, i: f.adaptive_max_pool1d(x, 2, return_indices=True),
        "unpool": lambda x, i: (f.max_unpool1d(x[:2, None, :2], i.view(2, 1, 2), 2), i),
        "margin": lambda x, i: (f.multi_margin_loss(x, i), i),
    }
    for name, call in calls.items():
        slopes = []
        for change in (False, True):
            x = leaf(minigrad)
            y, index = call(x, minigrad.tensor([1, 0, 1, 2]))
            if change:
                index.fill_(3)
            (y * y).sum().backward()
            slopes.append(x.grad.numpy())
        assert np.array_equal(*slopes), name


# results that `view` can be called on in PyTorch, whatever order the argument lies in
ROW_MAJOR: dict[str, Callable[..., Any]] = {
    "cat": lambda m, x: m.cat([x, x], -1), "sum": lambda m, x: x.sum(0),
    "mean": lambda m, x: x.mean(-1, keepdim=True), "amax": lambda m, x: x.amax(0),
    "prod": lambda m, x: x.prod(0), "all": lambda m, x: (x > 0).all(0),
    "var": lambda m, x: x.var(0), "norm": lambda m, x: x.norm(dim=0),
    "logsumexp": lambda m, x: x.logsumexp(0), "cumsum": lambda m, x: x.cumsum(0),
    "cummax": lambda m, x: x.cummax(0)[0], "logcumsumexp": lambda m, x: x.logcumsumexp(-1),
    "softmax": lambda m, x: x.softmax(0), "log_softmax": lambda m, x: x.log_softmax(-1),
    "tril": lambda m, x: x.tril(), "index_select": lambda m, x: x.index_select(0, m.tensor([1, 0])),
    "picked": lambda m, x: x[:, m.tensor([1, 0])] if x.ndim == 2 else x[m.tensor([1, 0])].sum(0),
    "matmul": lambda m, x: x @ x.transpose(-1, -2), "cdist": lambda m, x: m.cdist(x, x),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
@pytest.mark.parametrize("name", ROW_MAJOR)
def test_results_can_be_viewed(name: str, shape: tuple[int, ...]) -> None:
    def program(m: Any) -> Any:
        found = []
        for order in itertools.permutations(range(len(shape))):
            numbers = m.tensor(np.sin(np.arange(np.prod(shape))))
            inverse = np.argsort(order).tolist()
            x = numbers.view(*[shape[i] for i in order]).permute(*inverse)
            found.append(ROW_MAJOR[name](m, x).view(-1))
        return found

    assert not isinstance(same(program), Exception)


MADE_ON_THE_WAY: dict[str, Callable[[Any, Any], Any]] = {
    "kron": lambda m, x: m.kron(x, x),
    "solve": lambda m, x: m.linalg.solve(x @ x.t(), x[:, 0]),
    "einsum outer": lambda m, x: m.einsum("i,j->ij", x[0], x[1]),
    "einsum sum": lambda m, x: m.einsum("ij->j", x),
    "einsum transposed": lambda m, x: m.einsum("ij->ji", x),
    "einsum matmul": lambda m, x: m.einsum("ij,kj->ik", x, x),
    "grid_sample": lambda m, x: m.nn.functional.grid_sample(
        x[None, None], m.zeros(1, 2, 2, 2, dtype=x.dtype), align_corners=False
    ),
    "affine_grid": lambda m, x: m.nn.functional.affine_grid(x[None], (1, 1, 2, 2), False),
    "max_pool2d": lambda m, x: m.nn.functional.max_pool2d(x[None], 2),
    "avg_pool2d": lambda m, x: m.nn.functional.avg_pool2d(x[None], 2),
    "adaptive_max_pool2d": lambda m, x: m.nn.functional.adaptive_max_pool2d(x[None], 2),
    "unfold": lambda m, x: m.nn.functional.unfold(x[None], 2),
    "fold": lambda m, x: m.nn.functional.fold(x.repeat(2, 1)[:, :2], (2, 3), 2),
    "quantile": lambda m, x: m.quantile(x, 0.3, 1),
    "rot90": lambda m, x: m.rot90(x),
    "rot90 by 180": lambda m, x: m.rot90(x, 2),
    "nll_loss": lambda m, x: m.nn.functional.nll_loss(x, m.tensor([0, 2]), reduction="none"),
    "softmax": lambda m, x: m.softmax(x[0, 0], 0),
    "index_select": lambda m, x: m.index_select(x[0, 0], 0, m.tensor([0])),
    "unsafe_split": lambda m, x: m.unsafe_split(x, 2, 1)[1],
    "view of a dtype": lambda m, x: x.view(m.int64),
    "broadcast_tensors": lambda m, x: m.broadcast_tensors(x, x[0])[0],
}


@pytest.mark.torch
@pytest.mark.parametrize("function", MADE_ON_THE_WAY.values(), ids=MADE_ON_THE_WAY)
def test_a_view_of_what_an_op_made_on_the_way_is_none(function: Callable[[Any, Any], Any]) -> None:
    """Where PyTorch's result is a tensor of its own, it may be changed in place afterwards, even
    if it was made without recording.
    """

    def program(m: Any) -> Any:
        x = m.tensor([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], dtype=m.float64)
        with m.no_grad():
            y = function(m, x)
        return y._is_view(), None if y._is_view() else y.mul_(2).tolist()

    assert program(minigrad) == program(torch)
