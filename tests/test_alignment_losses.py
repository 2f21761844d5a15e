"""The alignment losses: values worked out by hand, the papers' gradients, optima known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import alignment
from minigrad.alignment.losses import preference

LN2 = math.log(2)
# One pair: log-probabilities under policy and reference, lengths; beta = 0.1.
PI, REF, LENGTHS = (-12.0, -15.5), (-13.0, -14.5), (8, 10)


def row(*values: float) -> mg.Tensor:
    return mg.tensor(values, dtype=mg.float64)


def example(loss_type, same=False, **options):
    """The loss of the example pair, or of one whose policy is the reference."""
    pi = REF if same else PI
    return alignment.dpo_loss(
        *(row(v) for v in (*pi, *REF)),
        loss_type=loss_type,
        chosen_lengths=row(LENGTHS[0]),
        rejected_lengths=row(LENGTHS[1]),
        **options,
    ).item()


EXAMPLES = [
    ("sigmoid", {}, 0.598139, LN2),
    ("cdpo", {"label_smoothing": 0.1}, 0.618139, LN2),
    ("robust", {"label_smoothing": 0.1}, 0.573139, LN2),
    ("hinge", {}, 0.8, 1.0),
    ("ipo", {}, 22.800625, 25.0),
    ("ipo_sum", {}, 9.0, 25.0),
    ("exo_pair", {"label_smoothing": 0.1}, None, 0.510826),
    ("nca_pair", {}, None, 2 * LN2),
    ("bco_pair", {}, 1.288793, 2 * LN2),
    ("sppo_hard", {}, None, 50.0),
    ("aot", {"label_smoothing": 0.1}, 0.618139, LN2),
    ("aot_unpaired", {}, 0.598139, LN2),
    ("apo_zero", {}, None, 1.0),
    ("apo_down", {}, None, 1.0),
    ("discopop", {}, None, 0.846574),
    ("sft", {}, 1.5, 1.625),
    ("sigmoid_norm", {}, 0.681960, LN2),
    ("rdpo", {"length_alpha": 0.0}, 0.598139, LN2),
]


@pytest.mark.parametrize("loss_type, options, value, start", EXAMPLES, ids=lambda v: str(v)[:12])
def test_values_of_the_example(loss_type, options, value, start) -> None:
    if value is not None:
        assert example(loss_type, **options) == pytest.approx(value, abs=6e-7)
    assert example(loss_type, same=True, **options) == pytest.approx(start, abs=6e-7)


def test_every_loss_type_has_an_example() -> None:
    assert {name for name, *_ in EXAMPLES} == set(preference.LOSS_TYPES)


def test_values_from_the_formulas() -> None:
    """What the table leaves open, once more in plain floating-point numbers."""
    b, c, r = 0.1, PI[0] - REF[0], PI[1] - REF[1]
    s = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    ls = lambda x: math.log(s(x))  # noqa: E731
    q = b * (c - r)
    exo = s(q) * (ls(q) - math.log(0.9)) + s(-q) * (ls(-q) - math.log(0.1))
    m = s(q / 0.05)
    for name, options, expected in [
        ("exo_pair", {"label_smoothing": 0.1}, exo),
        ("nca_pair", {}, -ls(b * c) - 0.5 * ls(-b * c) - 0.5 * ls(-b * r)),
        ("sppo_hard", {}, (c - 5) ** 2 + (r + 5) ** 2),
        ("apo_zero", {}, 1 - s(b * c) + s(b * r)),
        ("apo_down", {}, s(b * c) + 1 - s(q)),
        ("discopop", {}, (1 - m) * -ls(q) + m * math.exp(-q)),
        ("rdpo", {"length_alpha": 0.05}, -ls(q + 0.05 * (8 - 10))),
        ("bco_pair", {"reward_shift": 0.3}, -ls(b * c - 0.3) - ls(0.3 - b * r)),
    ]:
        assert example(name, **options) == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("divergence", ["forward_kl", "js_divergence", "alpha_divergence"])
def test_divergences(divergence) -> None:
    f = {
        "forward_kl": lambda x: 1 - math.exp(-x),
        "js_divergence": lambda x: LN2 - math.log1p(math.exp(-x)),
        "alpha_divergence": lambda x: (math.exp(-0.5 * x) - 1) / -0.5,
    }[divergence]
    d = f(1.0) - f(-1.0)
    expected = math.log1p(math.exp(-0.1 * d))
    assert example("sigmoid", f_divergence=divergence) == pytest.approx(expected, rel=1e-12)
    assert example("sigmoid", same=True, f_divergence=divergence) == pytest.approx(LN2)


def test_alpha_one_is_the_reverse_kl_and_large_ratios_stay_finite() -> None:
    x = row(-3.0, 0.0, 2.0)
    assert (alignment.f_divergence_score(x, "alpha_divergence", 1.0) == x).all()
    far = mg.tensor([-400.0, 400.0], requires_grad=True)
    score = alignment.f_divergence_score(far, "alpha_divergence", 0.5)
    score.sum().backward()
    assert score.isfinite().all() and far.grad.isfinite().all()


def test_mixture_is_the_weighted_sum() -> None:
    mixed = example({"sigmoid": 0.8, "bco_pair": 0.2, "sft": 1.0})
    parts = 0.8 * example("sigmoid") + 0.2 * example("bco_pair") + example("sft")
    assert mixed == pytest.approx(parts, rel=1e-12)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"loss_type": "sigmoidal"}, "loss_type"),
        ({"loss_type": "sigmoid", "label_smoothing": 0.1}, "label_smoothing"),
        ({"loss_type": "robust", "label_smoothing": 0.5}, "label_smoothing"),
        ({"loss_type": "exo_pair"}, "exo_pair"),
        ({"loss_type": "sigmoid", "beta": 0.0}, "beta"),
        ({"loss_type": "nca_pair", "f_divergence": "forward_kl"}, "nca_pair"),
        ({"loss_type": "sigmoid", "f_divergence": "kl"}, "f_divergence"),
        ({"loss_type": "ipo"}, "lengths"),
    ],
)
def test_errors_say_what_is_wrong(options, word) -> None:
    with pytest.raises(ValueError, match=word):
        alignment.dpo_loss(*(row(v) for v in (*PI, *REF)), **options)


# ------------------------------------------------------------------ without reference, unpaired
def test_reference_free_values() -> None:
    w, v = row(PI[0]), row(PI[1])
    average = row(PI[0] / 8), row(PI[1] / 10)
    assert alignment.cpo_loss(w, v).item() == pytest.approx(0.533382, abs=6e-7)
    assert alignment.simpo_loss(*average, beta=2.0, gamma=1.0).item() == pytest.approx(
        1.241154, abs=6e-7
    )
    assert alignment.orpo_loss(*average).item() == pytest.approx(0.066170, abs=6e-7)
    assert alignment.orpo_loss(*average, nll=1.5).item() == pytest.approx(1.566170, abs=6e-7)
    hinge = alignment.cpo_loss(w, v, loss_type="hinge").item()
    ipo = alignment.cpo_loss(w, v, loss_type="ipo").item()
    assert (hinge, ipo) == pytest.approx((1 - 0.35, (3.5 - 5) ** 2))
    p, q = math.exp(-1.5), math.exp(-1.55)
    d = (1 - p**-0.25) / 0.25 - (1 - q**-0.25) / 0.25
    expected = math.log1p(math.exp(-(2 * d - 0.5)))
    assert alignment.alpha_po_loss(*average, alpha=0.25).item() == pytest.approx(expected)
    assert alignment.alpha_po_loss(*average, alpha=0).item() == pytest.approx(
        alignment.simpo_loss(*average).item()
    )
    with pytest.raises(ValueError, match="loss_type"):
        alignment.cpo_loss(w, v, loss_type="simpo")


def test_orpo_gradient_is_finite_for_sure_and_for_hopeless_answers() -> None:
    chosen = mg.tensor([-1e-7, -1e-3, -0.69, -50.0], dtype=mg.float64, requires_grad=True)
    alignment.orpo_loss(chosen, row(-2.0, -2.0, -2.0, -2.0)).sum().backward()
    assert chosen.grad.isfinite().all()


def test_kto_values() -> None:
    pi, ref = row(*PI), row(*REF)
    good = mg.tensor([True, False])
    losses = alignment.kto_loss(pi, ref, good, 0.3)
    assert losses.tolist() == pytest.approx([0.482507, 0.467546], abs=6e-7)
    weighted = alignment.kto_loss(pi, ref, good, 0.3, desirable_weight=2, undesirable_weight=3)
    assert weighted.tolist() == pytest.approx([2 * 0.482507, 3 * 0.467546], abs=3e-6)
    apo = alignment.apo_zero_unpaired_loss(pi, ref, good).tolist()
    assert apo == pytest.approx([1 / (1 + math.exp(0.1)), 1 / (1 + math.exp(0.1))])
    assert alignment.kto_reference_point(row(1.0, 2.0), row(0.0, 0.0)).item() == 1.5
    assert alignment.kto_reference_point(row(-1.0), row(0.0)).item() == 0.0
    bco = alignment.bco_loss(pi, ref, good).tolist()
    assert sum(bco) == pytest.approx(example("bco_pair"))


# ------------------------------------------------------------------ reward models
def test_bradley_terry_and_plackett_luce() -> None:
    w, v = row(1.2, -0.3), row(0.2, 0.5)
    plain = alignment.bradley_terry_loss(w, v)
    np.testing.assert_allclose(plain.numpy(), np.log1p(np.exp(-(w - v).numpy())), rtol=1e-12)
    margin = alignment.bradley_terry_loss(w, v, margin=row(0.5, 0.5), center_coefficient=0.01)
    expected = np.log1p(np.exp(-(w - v).numpy() + 0.5)) + 0.01 * (w + v).numpy() ** 2
    np.testing.assert_allclose(margin.numpy(), expected, rtol=1e-12)
    pair = alignment.plackett_luce_loss(mg.stack([w, v], 1))
    np.testing.assert_allclose(pair.numpy(), plain.numpy(), rtol=1e-12)
    pairs = alignment.pairwise_ranking_loss(mg.stack([w, v], 1))
    np.testing.assert_allclose(pairs.numpy(), plain.numpy(), rtol=1e-12)


def test_plackett_luce_is_a_distribution_over_orders() -> None:
    import itertools

    s = np.array([0.3, -1.2, 2.0, 0.7])
    orders = np.array(list(itertools.permutations(s)))
    loss = alignment.plackett_luce_loss(mg.from_numpy(orders)).numpy()
    assert np.exp(-loss).sum() == pytest.approx(1, abs=1e-12)
    padded = np.concatenate([orders, np.full((24, 2), 9.0)], 1)
    mask = mg.from_numpy(np.arange(6) < 4).expand(24, 6)
    scores = mg.from_numpy(padded).requires_grad_()
    masked = alignment.plackett_luce_loss(scores, mask)
    np.testing.assert_allclose(masked.detach().numpy(), loss, rtol=1e-12)
    masked.sum().backward()
    assert scores.grad.isfinite().all() and (scores.grad[:, 4:] == 0).all()
    with pytest.raises(ValueError, match="B, K"):
        alignment.plackett_luce_loss(row(1.0, 2.0))


# ------------------------------------------------------------------ policies
def test_advantages() -> None:
    rewards = mg.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]], dtype=mg.float64)
    loo = alignment.rloo_advantages(rewards)
    assert loo.tolist() == [[1 - 4, 2 - 3.5, 6 - 1.5], [0, 0, 0]]
    normal = alignment.rloo_advantages(rewards, normalize=True).numpy()
    x = loo.numpy()
    np.testing.assert_allclose(normal, (x - x.mean()) / (x.std(ddof=1) + 1e-4))
    group = alignment.group_advantages(rewards).numpy()
    r = rewards.numpy()
    sample = r.std(1, ddof=1, keepdims=True) + 1e-4
    np.testing.assert_allclose(group, (r - r.mean(1, keepdims=True)) / sample)
    batch = alignment.group_advantages(rewards, "batch").numpy()
    np.testing.assert_allclose(batch, (r - r.mean(1, keepdims=True)) / (r.std(ddof=1) + 1e-4))
    none = alignment.group_advantages(rewards, "none").numpy()
    np.testing.assert_allclose(none, r - r.mean(1, keepdims=True))
    with pytest.raises(ValueError, match="scale"):
        alignment.group_advantages(rewards, "std")
    with pytest.raises(ValueError, match="answers"):
        alignment.group_advantages(rewards[:, :1])
    with pytest.raises(ValueError, match="two answers"):
        alignment.rloo_advantages(rewards[:, :1])


def test_token_rewards_and_gae_by_hand() -> None:
    mask = mg.tensor([[1.0, 1, 1, 0], [1, 0, 0, 0]], dtype=mg.float64)
    logps = mg.tensor([[-1.0, -2, -3, -9], [-1, -9, -9, -9]], dtype=mg.float64)
    ref = logps - 0.5
    rewards = alignment.token_rewards(row(2.0, -1.0), logps, ref, mask, 0.1)
    np.testing.assert_allclose(
        rewards.numpy(), [[-0.05, -0.05, 1.95, 0], [-1.05, 0, 0, 0]], atol=1e-15
    )
    values = mg.tensor([[0.1, 0.2, 0.3, 7], [0.5, 7, 7, 7]], dtype=mg.float64)
    gamma, lam = 0.9, 0.8
    advantages, returns = alignment.gae(rewards, values, mask, gamma, lam)
    a2 = 1.95 - 0.3
    a1 = -0.05 + gamma * 0.3 - 0.2 + gamma * lam * a2
    a0 = -0.05 + gamma * 0.2 - 0.1 + gamma * lam * a1
    np.testing.assert_allclose(
        advantages.numpy(), [[a0, a1, a2, 0], [-1.05 - 0.5, 0, 0, 0]], atol=1e-14
    )
    np.testing.assert_allclose(
        returns.numpy(), [[a0 + 0.1, a1 + 0.2, a2 + 0.3, 0], [-1.05, 0, 0, 0]], atol=1e-14
    )
    white = alignment.whiten(advantages, mask)
    assert alignment.masked_mean(white, mask).item() == pytest.approx(0, abs=1e-14)
    assert alignment.masked_mean(white**2, mask).item() == pytest.approx(1, abs=1e-6)
    kept = alignment.whiten(advantages, mask, shift_mean=False)
    assert alignment.masked_mean(kept, mask).item() == pytest.approx(
        alignment.masked_mean(advantages, mask).item()
    )


def test_ppo_losses_by_hand() -> None:
    old = row(0.0, 0.0, 0.0, 0.0)[None]
    ratio = np.array([[1.5, 1.5, 0.5, 0.5]])
    logps = mg.from_numpy(np.log(ratio)).requires_grad_()
    advantages, mask = row(1.0, -1.0, 1.0, -1.0)[None], mg.ones(1, 4, dtype=mg.float64)
    loss = alignment.ppo_policy_loss(logps, old, advantages, mask)
    assert loss.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)
    loss.backward()
    np.testing.assert_allclose(logps.grad.numpy(), [[0, 1.5 / 4, -0.5 / 4, 0]], atol=1e-15)
    values, before, returns = row(1.0, 1.0)[None], row(0.0, 0.9)[None], row(2.0, 0.0)[None]
    mask = mg.ones(1, 2, dtype=mg.float64)
    clipped = alignment.ppo_value_loss(values, before, returns, mask)
    assert clipped.item() == pytest.approx(0.5 * (1.8**2 + 1) / 2)
    assert alignment.ppo_value_loss(values, before, returns, mask, None).item() == 0.5


def test_kl_estimators_and_the_adaptive_coefficient() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    logp, logq = mg.from_numpy(np.log(p)), mg.from_numpy(np.log(q))
    exact = float((p * np.log(p / q)).sum())
    for name in ("k1", "k3"):
        estimate = alignment.kl_estimate(logp, logq, name).numpy()
        assert float((p * estimate).sum()) == pytest.approx(exact, rel=1e-12)
    assert (alignment.kl_estimate(logp, logq).numpy() >= 0).all()
    np.testing.assert_allclose(
        alignment.kl_estimate(logp, logq, "k2").numpy(), np.log(p / q) ** 2 / 2
    )
    with pytest.raises(ValueError, match="k1, k2 or k3"):
        alignment.kl_estimate(logp, logq, "k4")
    control = alignment.AdaptiveKL(0.2, target=6.0, horizon=100)
    assert control.update(6.0, 10) == 0.2
    assert control.update(600.0, 10) == pytest.approx(0.2 * 1.02)
    assert control.update(0.0, 10) == pytest.approx(0.2 * 1.02 * 0.98)
    with pytest.raises(ValueError, match="nan"):
        control.update(math.nan, 1)
    with pytest.raises(ValueError, match="positive"):
        alignment.AdaptiveKL(0.0)


def test_grpo_by_hand_and_its_errors() -> None:
    logps = mg.zeros(2, 3, dtype=mg.float64)
    mask = mg.tensor([[1.0, 1, 1], [1, 0, 0]], dtype=mg.float64)
    advantages = row(1.0, -2.0)

    def loss(kind, **options):
        return alignment.grpo_loss(logps, logps, advantages, mask, kind, **options).item()

    assert loss("grpo") == pytest.approx((-1 + 2) / 2)
    assert loss("bnpo") == loss("dapo") == pytest.approx((-3 + 2) / 4)
    assert loss("dapo", num_tokens=8) == pytest.approx((-3 + 2) / 8)
    assert loss("dr_grpo", max_length=5) == pytest.approx((-3 + 2) / 10)
    assert loss("luspo", level="sequence") == pytest.approx((-3 + 2) / 2)
    assert loss("sapo") == pytest.approx((-1 * 2 + 2 * 2 / 1.05) / 2)
    for options, word in [
        ({"loss_type": "ppo"}, "loss_type"),
        ({"loss_type": "dr_grpo"}, "max_length"),
        ({"beta": 0.1}, "ref_logps"),
        ({"level": "word"}, "level"),
    ]:
        with pytest.raises(ValueError, match=word):
            alignment.grpo_loss(logps, logps, advantages, mask, **options)


def test_mirror_descent_vanishes_at_its_optimum() -> None:
    rewards = mg.tensor([[1.0, 0.2, -0.5, 0.1]], dtype=mg.float64)
    old = mg.full((1, 4), -math.log(4), dtype=mg.float64)  # four answers, equally likely
    best = old + rewards / 0.5
    best = best - best.logsumexp(1, keepdim=True)
    assert alignment.mirror_descent_loss(best, old, rewards, tau=0.5).item() < 1e-28
    assert alignment.mirror_descent_loss(old, old, rewards, tau=0.5).item() > 0.1


# ------------------------------------------------------------------ gradients and optima
def test_dpo_gradient_is_the_papers() -> None:
    rng = np.random.default_rng(3)
    pi_w, pi_l, ref_w, ref_l = (rng.normal(-20, 5, 16) for _ in range(4))
    w, v = mg.from_numpy(pi_w).requires_grad_(), mg.from_numpy(pi_l).requires_grad_()
    reference = mg.from_numpy(ref_w), mg.from_numpy(ref_l)
    alignment.dpo_loss(w, v, *reference, beta=0.3).sum().backward()
    weight = alignment.dpo_gradient_weight(w.detach(), v.detach(), *reference, beta=0.3).numpy()
    r_w, r_l = 0.3 * (pi_w - ref_w), 0.3 * (pi_l - ref_l)
    np.testing.assert_allclose(weight, 0.3 / (1 + np.exp(r_w - r_l)), rtol=1e-12)
    np.testing.assert_allclose(w.grad.numpy(), -weight, rtol=1e-12)
    np.testing.assert_allclose(v.grad.numpy(), weight, rtol=1e-12)


def tabular(seed: int = 0, answers: int = 6, beta: float = 0.5):
    """Rewards and a reference policy over a few answers, and the policy that is optimal."""
    rng = np.random.default_rng(seed)
    rewards, reference = rng.normal(size=answers), rng.normal(size=answers)
    reference -= np.log(np.exp(reference).sum())
    best = reference + rewards / beta
    return rewards, reference, np.exp(best) / np.exp(best).sum()


def test_population_optimum_of_dpo() -> None:
    """All pairs, each with its Bradley-Terry probability: the minimum is π_ref e^(r/β)/Z."""
    beta = 0.5
    rewards, reference, best = tabular(beta=beta)
    first, second = np.triu_indices(len(rewards), 1)
    p = mg.from_numpy(1 / (1 + np.exp(rewards[second] - rewards[first])))
    ref = mg.from_numpy(reference)
    logits = mg.from_numpy(reference.copy()).requires_grad_()
    optimizer = mg.optim.SGD([logits], lr=4 / beta**2 / len(rewards) * 2)
    for _ in range(600):
        pi = logits.log_softmax(0)
        pairs = [t[i] for t in (pi, ref) for i in (mg.from_numpy(first), mg.from_numpy(second))]
        a, b, ref_a, ref_b = pairs
        right = alignment.dpo_loss(a, b, ref_a, ref_b, beta)
        wrong = alignment.dpo_loss(b, a, ref_b, ref_a, beta)
        loss = (p * right + (1 - p) * wrong).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = logits.detach().softmax(0).numpy()
    np.testing.assert_allclose(found, best, atol=1e-10, rtol=0)


def test_ppo_with_exact_kl_approaches_the_same_policy() -> None:
    """PPO whose expectations are sums over all answers, under r − β log π/π_ref."""
    beta = 0.5
    rewards, reference, best = tabular(beta=beta)
    r, ref = mg.from_numpy(rewards), mg.from_numpy(reference)
    logits = mg.from_numpy(reference.copy()).requires_grad_()
    optimizer = mg.optim.SGD([logits], lr=2.0)
    for _ in range(400):
        old = logits.detach().log_softmax(0)
        gain = r - beta * (old - ref)
        advantages = gain - (old.exp() * gain).sum()
        for _ in range(2):
            # the mask weighs each answer by its probability under the old policy
            loss = alignment.ppo_policy_loss(
                logits.log_softmax(0)[None], old[None], advantages[None], old.exp()[None]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = logits.detach().softmax(0).numpy()
    np.testing.assert_allclose(found, best, atol=1e-6, rtol=0)


def test_logps_of_answers() -> None:
    rng = np.random.default_rng(0)
    logits = mg.from_numpy(rng.normal(size=(2, 5, 7)))
    labels = mg.tensor([[-100, -100, 3, 1, 0], [-100, 2, 6, -100, -100]])
    logps, mask = alignment.token_logps(logits, labels)
    assert mask.tolist() == [[0, 1, 1, 1], [1, 1, 0, 0]]
    table = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True))
    by_hand = [table[0, 1, 3] + table[0, 2, 1] + table[0, 3, 0], table[1, 0, 2] + table[1, 1, 6]]
    np.testing.assert_allclose(alignment.sequence_logps(logits, labels).numpy(), by_hand)
    mean = alignment.sequence_logps(logits, labels, average=True).numpy()
    np.testing.assert_allclose(mean, np.array(by_hand) / [3, 2])
    assert logps.numpy()[0, 0] == 0
    entropy = alignment.token_entropy(logits).numpy()
    np.testing.assert_allclose(entropy, -(np.exp(table) * table).sum(-1))
    with pytest.raises(ValueError, match="labels"):
        alignment.token_logps(logits, labels[:, 1:])


def test_concatenated_pads_to_one_length() -> None:
    both = alignment.concatenated(mg.tensor([[1, 2, 3]]), mg.tensor([[4, 5]]), pad=0)
    assert both.tolist() == [[1, 2, 3], [4, 5, 0]]
