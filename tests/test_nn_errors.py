"""What the functions of nn.functional refuse, with PyTorch's type of error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def x(m: Any, *shape: int) -> Any:
    return m.tensor(np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape))


def i(m: Any, *shape: int) -> Any:
    return m.tensor(np.arange(int(np.prod(shape))).reshape(shape))


def heads(m: Any, query: Any, key: Any, e: int = 4, n: int = 2, **options: Any) -> Any:
    weights = [x(m, 12, 4), x(m, 12), None, None, False, 0.0, x(m, 4, 4), x(m, 4)]
    return m.nn.functional.multi_head_attention_forward(query, key, key, e, n, *weights, **options)


ACTIVATION: dict[str, Callable[[Any, Any], Any]] = {
    **{
        f"{name} integers": lambda m, f, name=name: getattr(f, name)(i(m, 3))
        for name in (
            "celu", "elu", "gelu", "hardsigmoid", "hardswish", "leaky_relu", "logsigmoid", "mish",
            "selu", "silu", "softplus", "softshrink", "hardshrink", "rrelu",
        )
    },
    "softmax integers": lambda m, f: f.softmax(i(m, 3), 0),
    "log_softmax integers": lambda m, f: f.log_softmax(i(m, 3), 0),
    "softmax dim": lambda m, f: f.softmax(x(m, 3), 1),
    "relu bools": lambda m, f: f.relu(i(m, 3) > 1),
    "relu6 bools": lambda m, f: f.relu6(i(m, 3) > 1),
    "relu list": lambda m, f: m.relu([1.0]),
    "hardtanh order": lambda m, f: f.hardtanh(x(m, 3), 1.0, -1.0),
    "softshrink negative": lambda m, f: f.softshrink(x(m, 3), -0.5),
    "celu zero": lambda m, f: f.celu(x(m, 3), 0.0),
    "gelu word": lambda m, f: f.gelu(x(m, 3), approximate="exact"),
    "glu odd": lambda m, f: f.glu(x(m, 3)),
    "glu 0-d": lambda m, f: f.glu(x(m)),
    "glu dim": lambda m, f: f.glu(x(m, 2), 1),
    "rrelu order": lambda m, f: f.rrelu(x(m, 3), 0.5, 0.1),
    "prelu count": lambda m, f: f.prelu(x(m, 2, 3), x(m, 2)),
    "prelu rank": lambda m, f: f.prelu(x(m, 2, 3), x(m, 1, 3)),
    "prelu dtype": lambda m, f: f.prelu(x(m, 2, 3), i(m, 3)),
    "prelu 0-d": lambda m, f: f.prelu(x(m), x(m, 2)),
}  # fmt: skip
NORM: dict[str, Callable[[Any, Any], Any]] = {
    "layer_norm empty": lambda m, f: f.layer_norm(x(m, 2, 3), ()),
    "layer_norm shape": lambda m, f: f.layer_norm(x(m, 2, 3), (2,)),
    "layer_norm rank": lambda m, f: f.layer_norm(x(m, 3), (2, 3)),
    "layer_norm weight": lambda m, f: f.layer_norm(x(m, 2, 3), (3,), x(m, 2)),
    "layer_norm bias": lambda m, f: f.layer_norm(x(m, 2, 3), (3,), None, x(m, 2)),
    "layer_norm integers": lambda m, f: f.layer_norm(i(m, 2, 3), (3,)),
    "rms_norm shape": lambda m, f: f.rms_norm(x(m, 2, 3), (2,)),
    "rms_norm weight": lambda m, f: f.rms_norm(x(m, 2, 3), (3,), x(m, 2)),
    "group_norm groups": lambda m, f: f.group_norm(x(m, 2, 4), 3),
    "group_norm zero": lambda m, f: f.group_norm(x(m, 2, 4, 2), -1),
    "group_norm rank": lambda m, f: f.group_norm(x(m, 4), 2),
    "group_norm one value": lambda m, f: f.group_norm(x(m, 1, 4), 4),
    "group_norm weight": lambda m, f: f.group_norm(x(m, 2, 4), 2, x(m, 2)),
    "batch_norm one": lambda m, f: f.batch_norm(x(m, 1, 3), None, None, training=True),
    "batch_norm no statistics": lambda m, f: f.batch_norm(x(m, 2, 3), None, None),
    "batch_norm mean": lambda m, f: f.batch_norm(x(m, 2, 3), x(m, 2), x(m, 3)),
    "batch_norm weight": lambda m, f: f.batch_norm(x(m, 2, 3), x(m, 3), x(m, 3), x(m, 2)),
    "instance_norm one": lambda m, f: f.instance_norm(x(m, 2, 3, 1)),
    "instance_norm weight": lambda m, f: f.instance_norm(x(m, 2, 3, 2), weight=x(m, 2)),
    "local_response_norm rank": lambda m, f: f.local_response_norm(x(m, 2, 3), 2),
    "normalize dim": lambda m, f: f.normalize(x(m, 3)),
}
EMBEDDING: dict[str, Callable[[Any, Any], Any]] = {
    "embedding range": lambda m, f: f.embedding(i(m, 4), x(m, 3, 2)),
    "embedding negative": lambda m, f: f.embedding(i(m, 2) - 1, x(m, 3, 2)),
    "embedding floats": lambda m, f: f.embedding(x(m, 2), x(m, 3, 2)),
    "embedding padding": lambda m, f: f.embedding(i(m, 2), x(m, 3, 2), 3),
    "embedding rank": lambda m, f: f.embedding(i(m, 2), x(m, 3)),
    "one_hot negative": lambda m, f: f.one_hot(i(m, 2) - 1),
    "one_hot few": lambda m, f: f.one_hot(i(m, 3), 2),
    "one_hot empty": lambda m, f: f.one_hot(i(m, 0)),
    "one_hot zero": lambda m, f: f.one_hot(i(m, 2), 0),
    "one_hot floats": lambda m, f: f.one_hot(x(m, 2)),
    "bag padding": lambda m, f: f.embedding_bag(i(m, 1, 2), x(m, 3, 2), padding_idx=3),
    "bag mode": lambda m, f: f.embedding_bag(i(m, 1, 2), x(m, 3, 2), mode="min"),
    "bag offsets": lambda m, f: f.embedding_bag(i(m, 1, 2), x(m, 3, 2), i(m, 1)),
    "bag no offsets": lambda m, f: f.embedding_bag(i(m, 2), x(m, 3, 2)),
    "bag offsets rank": lambda m, f: f.embedding_bag(i(m, 2), x(m, 3, 2), i(m, 1, 1)),
    "bag first offset": lambda m, f: f.embedding_bag(i(m, 2), x(m, 3, 2), i(m, 1) + 1),
    "bag last offset": lambda m, f: f.embedding_bag(i(m, 2), x(m, 3, 2), i(m, 2) * 5),
    "bag rank": lambda m, f: f.embedding_bag(i(m, 1, 1, 2), x(m, 3, 2)),
    "bag weights": lambda m, f: f.embedding_bag(
        i(m, 1, 2), x(m, 3, 2), per_sample_weights=x(m, 1, 2)
    ),
    "bag weights shape": lambda m, f: f.embedding_bag(
        i(m, 1, 2), x(m, 3, 2), mode="sum", per_sample_weights=x(m, 2)
    ),
}
ATTENTION: dict[str, Callable[[Any, Any], Any]] = {
    "sdpa both masks": lambda m, f: f.scaled_dot_product_attention(
        x(m, 2, 3), x(m, 2, 3), x(m, 2, 3), x(m, 2, 2), is_causal=True
    ),
    "sdpa width": lambda m, f: f.scaled_dot_product_attention(x(m, 2, 3), x(m, 2, 4), x(m, 2, 3)),
    "sdpa length": lambda m, f: f.scaled_dot_product_attention(x(m, 2, 3), x(m, 2, 3), x(m, 3, 3)),
    "sdpa rank": lambda m, f: f.scaled_dot_product_attention(x(m, 3), x(m, 2, 3), x(m, 2, 3)),
    "sdpa dtypes": lambda m, f: f.scaled_dot_product_attention(x(m, 2, 3), i(m, 2, 3), x(m, 2, 3)),
    "sdpa mask": lambda m, f: f.scaled_dot_product_attention(
        x(m, 2, 3), x(m, 2, 3), x(m, 2, 3), x(m, 3, 3)
    ),
    "sdpa mask dtype": lambda m, f: f.scaled_dot_product_attention(
        x(m, 2, 3), x(m, 2, 3), x(m, 2, 3), i(m, 2, 2)
    ),
    "sdpa heads": lambda m, f: f.scaled_dot_product_attention(
        x(m, 1, 3, 2, 3), x(m, 1, 2, 2, 3), x(m, 1, 2, 2, 3), enable_gqa=True
    ),
    "heads width": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), e=8),
    "heads count": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), n=3),
    "heads rank": lambda m, f: heads(m, x(m, 4), x(m, 2, 1, 4)),
    "heads batch": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 4)),
    "heads causal": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), is_causal=True),
    "heads mask": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), attn_mask=x(m, 3, 3)),
    "heads mask rank": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), attn_mask=x(m, 3)),
    "heads padding": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), key_padding_mask=x(m, 3)),
    "heads mask dtype": lambda m, f: heads(m, x(m, 2, 1, 4), x(m, 2, 1, 4), attn_mask=i(m, 2, 2)),
}
LOSS: dict[str, Callable[[Any, Any], Any]] = {
    **{
        f"{name} word": lambda m, f, name=name: getattr(f, name)(
            x(m, 3), x(m, 3), reduction="median"
        )
        for name in (
            "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "kl_div",
            "binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss",
            "hinge_embedding_loss", "multilabel_soft_margin_loss",
        )
    },
    "mse shapes": lambda m, f: f.mse_loss(x(m, 3), x(m, 2)),
    "mse weight": lambda m, f: f.mse_loss(x(m, 3), x(m, 3), weight=x(m, 1)),
    "smooth_l1 beta": lambda m, f: f.smooth_l1_loss(x(m, 3), x(m, 3), beta=-1.0),
    "huber delta": lambda m, f: f.huber_loss(x(m, 3), x(m, 3), delta=0.0),
    "gaussian negative": lambda m, f: f.gaussian_nll_loss(x(m, 3), x(m, 3), -x(m, 3)),
    "gaussian shape": lambda m, f: f.gaussian_nll_loss(x(m, 3, 2), x(m, 3, 2), x(m, 2)),
    "gaussian word": lambda m, f: f.gaussian_nll_loss(x(m, 3), x(m, 3), x(m, 3), reduction="max"),
    "bce shapes": lambda m, f: f.binary_cross_entropy(x(m, 3), x(m, 3, 1)),
    "bce range": lambda m, f: f.binary_cross_entropy(x(m, 3) + 1, x(m, 3)),
    "bce logits shapes": lambda m, f: f.binary_cross_entropy_with_logits(x(m, 3), x(m, 3, 1)),
    "nll 0-d": lambda m, f: f.nll_loss(x(m), i(m)),
    "nll range": lambda m, f: f.nll_loss(x(m, 2, 3), i(m, 2) + 2),
    "nll negative": lambda m, f: f.nll_loss(x(m, 2, 3), i(m, 2) - 1),
    "nll rows": lambda m, f: f.nll_loss(x(m, 2, 3), i(m, 3)),
    "nll target rank": lambda m, f: f.nll_loss(x(m, 2, 3), i(m, 2, 1)),
    "nll target": lambda m, f: f.nll_loss(x(m, 2, 3, 4), i(m, 2, 3)),
    "nll weight": lambda m, f: f.nll_loss(x(m, 2, 3), i(m, 2), x(m, 2)),
    "nll floats": lambda m, f: f.nll_loss(x(m, 2, 3), x(m, 2)),
    "nll word": lambda m, f: f.nll_loss(x(m, 2, 3), i(m, 2), reduction="max"),
    "cross range": lambda m, f: f.cross_entropy(x(m, 2, 3), i(m, 2) + 2),
    "cross rows": lambda m, f: f.cross_entropy(x(m, 2, 3), i(m, 3)),
    "cross weight": lambda m, f: f.cross_entropy(x(m, 2, 3), i(m, 2), x(m, 2)),
    "cross smoothing": lambda m, f: f.cross_entropy(x(m, 2, 3), i(m, 2), label_smoothing=1.5),
    "cross integers": lambda m, f: f.cross_entropy(x(m, 2, 3), i(m, 2, 3)),
    "cross ignore": lambda m, f: f.cross_entropy(x(m, 2, 3), x(m, 2, 3), ignore_index=1),
    "cross word": lambda m, f: f.cross_entropy(x(m, 2, 3), i(m, 2), reduction="max"),
    "linear_cross rank": lambda m, f: f.linear_cross_entropy(x(m, 1, 2, 3), x(m, 2, 3), i(m, 1)),
    "linear_cross sizes": lambda m, f: f.linear_cross_entropy(x(m, 2, 3), x(m, 2, 2), i(m, 2)),
    "linear_cross weight": lambda m, f: f.linear_cross_entropy(x(m, 2, 3), x(m, 3), i(m, 2)),
    "linear_cross unbatched": lambda m, f: f.linear_cross_entropy(x(m, 3), x(m, 2, 2, 3), i(m, 2)),
    "linear_cross bias": lambda m, f: f.linear_cross_entropy(
        x(m, 2, 3), x(m, 2, 3), i(m, 2), linear_bias=x(m, 3)
    ),
    "ranking ranks": lambda m, f: f.margin_ranking_loss(x(m, 3), x(m, 3), x(m, 1, 3)),
    "cosine target": lambda m, f: f.cosine_embedding_loss(x(m, 2, 3), x(m, 2, 3), x(m, 2, 1)),
    "cosine ranks": lambda m, f: f.cosine_embedding_loss(x(m, 3), x(m, 3), x(m, 3)),
    "cosine ranks 0-d": lambda m, f: f.cosine_embedding_loss(x(m, 2, 3), x(m, 2, 3), x(m)),
    "triplet margin": lambda m, f: f.triplet_margin_loss(x(m, 3), x(m, 3), x(m, 3), margin=0.0),
    "triplet ranks": lambda m, f: f.triplet_margin_loss(x(m, 3), x(m, 3), x(m, 1, 3)),
    "triplet word": lambda m, f: f.triplet_margin_with_distance_loss(
        x(m, 3), x(m, 3), x(m, 3), reduction="max"
    ),
    "multi p": lambda m, f: f.multi_margin_loss(x(m, 2, 3), i(m, 2), p=3),
    "multi target": lambda m, f: f.multi_margin_loss(x(m, 2, 3), i(m, 3)),
    "multi range": lambda m, f: f.multi_margin_loss(x(m, 2, 3), i(m, 2) + 2),
    "multi weight": lambda m, f: f.multi_margin_loss(x(m, 2, 3), i(m, 2), weight=x(m, 2)),
    "multi weight rank": lambda m, f: f.multi_margin_loss(x(m, 2, 3), i(m, 2), weight=x(m, 1, 3)),
    "multilabel shape": lambda m, f: f.multilabel_margin_loss(x(m, 2, 3), i(m, 2, 2)),
    "multilabel range": lambda m, f: f.multilabel_margin_loss(x(m, 3), i(m, 3) + 1),
}  # fmt: skip
REFUSED = ACTIVATION | NORM | EMBEDDING | ATTENTION | LOSS


@pytest.mark.torch
@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_in_torch(name: str) -> None:
    call = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as theirs:  # noqa: PT011, B017 (its type is what is compared)
            call(torch, torch.nn.functional)
        with pytest.raises(theirs.type):
            call(minigrad, minigrad.nn.functional)


def test_a_loss_of_different_shapes_warns() -> None:
    with pytest.warns(UserWarning, match="different to the input size"):
        minigrad.nn.functional.mse_loss(x(minigrad, 3, 1), x(minigrad, 3))


def test_the_old_flags_still_work_and_warn() -> None:
    f, a, b = minigrad.nn.functional, x(minigrad, 3), x(minigrad, 3) * 2
    with pytest.warns(UserWarning, match="reduction='sum'"):
        got = f.mse_loss(a, b, size_average=False)
    assert got.item() == f.mse_loss(a, b, reduction="sum").item()
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert f.l1_loss(a, b, reduce=False).shape == (3,)
