"""Monte Carlo, temporal differences, linear functions, bandits: the book's figures (chapters 5, 7,
8), Sutton and Barto's examples, and that a compiled loop does what the Python does.
"""

from __future__ import annotations

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from minigrad import config  # noqa: E402
from minigrad.rl import bandits, exact, linear, mdp, monte_carlo  # noqa: E402
from minigrad.rl import temporal_difference as td  # noqa: E402
from minigrad.rl.gridworld import DOWN, RIGHT, STAY, UP, GridWorld  # noqa: E402

UNIFORM = np.full((25, 5), 0.2)


def rounded(v):
    return np.round(np.asarray(v) + 0.0, 1)


# ------------------------------------------------------------------------------ Monte Carlo
def test_figure_5_3_first_iteration_of_mc_basic() -> None:
    """3 x 3, s6 and s7 forbidden, s9 the target; the values of s1's five actions under π_0."""
    world = GridWorld((3, 3), forbidden=[(1, 2), (2, 0)], target=(2, 2))
    U, R, D, L, S = range(5)
    first = np.array([U, D, D, R, D, D, R, R, S])
    q = exact.action_values(world.model, first, 0.9)[0]
    np.testing.assert_allclose(q, [-10, 7.29, 7.29, -10, -9])
    sampled = monte_carlo.mc_basic(world.model, 0.9, length=400, iterations=1, policy=first)
    np.testing.assert_allclose(sampled.q[0], q, atol=1e-9)


def test_figure_5_5_iterations_of_a_million_steps() -> None:
    """ε = 0.5: each episode of a million steps is one step of policy iteration. Exactly, the
    class's optimum is reached after 3 improvements; after 2, two states are 0.22 short of it.
    """
    model = GridWorld().model
    best = exact.soft_policy_iteration(model, 0.9, 0.5)

    def shortfall(policy):
        return (best.q.max(1) - best.q[np.arange(25), policy]).max()

    soft, exactly = UNIFORM, []
    for _ in range(3):
        policy = exact.greedy(exact.action_values(model, soft, 0.9))
        soft = exact.epsilon_greedy(np.eye(5)[policy], 0.5)
        exactly.append(shortfall(policy))
    np.testing.assert_allclose(exactly, [0.776, 0.217, 0], atol=1e-3)
    options = {"epsilon": 0.5, "length": 1_000_000, "forget": True}
    one = monte_carlo.mc_epsilon_greedy(model, 0.9, episodes=1, **options)
    assert np.abs(one.q - exact.action_values(model, UNIFORM, 0.9)).max() < 0.25
    assert one.visits.min() > 1000
    four = monte_carlo.mc_epsilon_greedy(model, 0.9, episodes=4, **options)
    assert shortfall(four.policy) < 0.1


@pytest.mark.parametrize("visit", ["initial", "first", "every"])
def test_exploring_starts(visit) -> None:
    model = GridWorld(reward_forbidden=-10).model
    episodes = 20_000 if visit == "initial" else 10_000
    learned = monte_carlo.mc_exploring_starts(
        model, 0.9, episodes=episodes, length=60, visit=visit, rng=1
    )
    v = exact.policy_values(model, learned.policy, 0.9)
    assert (v > exact.value_iteration(model, 0.9).v - 1.5).mean() > 0.9
    assert learned.visits.sum() >= episodes
    if visit == "initial":
        assert learned.visits.sum() == episodes


def test_parts_between_which_the_bar_moves_change_nothing(capsys) -> None:
    model = GridWorld().model
    learned = monte_carlo.mc_exploring_starts(
        model, 0.9, episodes=250, length=20, rng=5, progress=True
    )
    assert "250/250" in capsys.readouterr().err
    q, visits, pi = np.zeros((25, 5)), np.zeros((25, 5), np.int64), np.zeros(25, np.int64)
    returns, lengths = np.zeros(250), np.zeros(250, np.int64)
    monte_carlo._exploring(
        np.random.default_rng(5), *model.arrays(), 0.9, pi, 20, 2, q, visits, returns, lengths
    )
    np.testing.assert_array_equal(learned.q, q)
    np.testing.assert_array_equal(learned.policy, pi)
    np.testing.assert_array_equal(learned.returns, returns)


@pytest.mark.slow
def test_warm_up_compiles_every_loop() -> None:
    from minigrad import warmup
    from minigrad.kernels.cpu import compiler
    from minigrad.rl.loops import Loop

    if not compiler.enabled():
        pytest.skip("no compiled kernels here")
    for _, program in warmup.tabular():
        program()
    loops = [k for k in compiler.KERNELS if isinstance(k, Loop) and not k.inline]
    assert len(loops) > 10
    assert [k.__name__ for k in loops if "serial" not in vars(k)] == []


def test_monte_carlo_refuses() -> None:
    model = GridWorld().model
    with pytest.raises(ValueError, match="visit"):
        monte_carlo.mc_exploring_starts(model, 0.9, episodes=1, length=1, visit="last")
    with pytest.raises(ValueError, match="chance"):
        monte_carlo.mc_off_policy(
            model, 0.9, behaviour=np.zeros(25, int), policy=UNIFORM, episodes=1, length=1
        )
    with pytest.raises(ValueError, match="differ"):
        monte_carlo.importance_sampling([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="epsilon"):
        exact.epsilon_greedy(np.zeros((2, 2)), 2)


def test_importance_sampling_of_figure_10_3() -> None:
    """X in {1, -1}, p0 uniform, p1 = (.8, .2): samples of p1 average .6, weighted they average
    0.
    """
    rng = np.random.default_rng(0)
    x = np.where(rng.random(200_000) < 0.8, 1.0, -1.0)
    ratio = np.where(x > 0, 0.5 / 0.8, 0.5 / 0.2)
    assert x.mean() == pytest.approx(0.6, abs=0.01)
    for weighted in (True, False):
        estimate = monte_carlo.importance_sampling(x, ratio, weighted=weighted)
        assert estimate[-1] == pytest.approx(0, abs=0.01)
    assert monte_carlo.importance_sampling([5.0], [0.0])[0] == 0


@pytest.mark.parametrize("weighted", [True, False])
def test_off_policy_prediction_and_control(weighted) -> None:
    model = GridWorld((3, 3), forbidden=[(1, 1)], terminal=True, reward_other=-0.1).model
    uniform = np.full((9, 5), 0.2)
    target = exact.epsilon_greedy(exact.value_iteration(model, 0.9).q, 0.5)
    learned = monte_carlo.mc_off_policy(
        model,
        0.9,
        behaviour=uniform,
        policy=target,
        episodes=200_000,
        length=100,
        weighted=weighted,
    )
    expected = exact.action_values(model, target, 0.9)
    assert np.abs(learned.q - expected)[:8].max() < (0.15 if weighted else 0.5)
    control = monte_carlo.mc_off_policy(
        model, 0.9, behaviour=uniform, episodes=50_000, length=100, rng=1
    )
    v = exact.policy_values(model, control.policy, 0.9)
    np.testing.assert_allclose(v, exact.value_iteration(model, 0.9).v, atol=1e-6)


def blackjack_value(player=13, usable=True, dealer=2):
    """v of 'stick on 20 and 21' by going through all cards; infinite deck, ace counts 1 or 11."""
    cards = [(c, 1 / 13) for c in range(1, 10)] + [(10, 4 / 13)]
    memo: dict = {}

    def add(total, ace, card):
        total += card
        if card == 1 and total + 10 <= 21:
            return total + 10, True
        if total > 21 and ace:
            return total - 10, False
        return total, ace

    def dealt(total, ace):
        """The distribution of the dealer's last total."""
        if (total, ace) not in memo:
            if total >= 17:
                memo[total, ace] = {min(total, 22): 1.0}
            else:
                out: dict = {}
                for card, p in cards:
                    for last, w in dealt(*add(total, ace, card)).items():
                        out[last] = out.get(last, 0) + p * w
                memo[total, ace] = out
        return memo[total, ace]

    def value(total, ace):
        if total > 21:
            return -1.0
        if total >= 20:
            start = (11, True) if dealer == 1 else (dealer, False)
            last = dealt(*start).items()
            return sum(w * (1.0 if d == 22 else float(np.sign(total - d))) for d, w in last)
        return sum(p * value(*add(total, ace, card)) for card, p in cards)

    return value(player, usable)


def test_blackjack_of_sutton_and_barto() -> None:
    """Example 5.4: exact value, and off-policy episodes of gymnasium's environment."""
    exact_value = blackjack_value()
    assert exact_value == pytest.approx(-0.2772041918, abs=1e-9)
    env = gymnasium.make("Blackjack-v1", disable_env_checker=True).unwrapped
    rng = np.random.default_rng(0)
    returns, ratios = np.zeros(20_000), np.zeros(20_000)
    env.reset(seed=0)
    for i in range(len(returns)):
        env.reset()
        env.player, env.dealer = [1, 2], [2, int(min(rng.integers(1, 14), 10))]
        ratio, done = 1.0, False
        total = 13
        while not done:
            a = int(rng.integers(2))
            ratio *= 2.0 * (a == (total < 20))
            (total, _, _), r, done, _, _ = env.step(a)
        returns[i], ratios[i] = r, ratio
    for weighted in (True, False):
        estimate = monte_carlo.importance_sampling(returns, ratios, weighted=weighted)[-1]
        assert estimate == pytest.approx(exact_value, abs=0.06)


# ------------------------------------------------------------------------------ temporal
# differences
def random_walk():
    """Sutton and Barto, Example 6.2: five states in a row, one reward at the right end."""
    states = np.arange(5)
    next_state = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, 4)], 1)
    terminal = np.zeros((5, 2), bool)
    terminal[0, 0] = terminal[4, 1] = True
    reward = np.zeros((5, 2))
    reward[4, 1] = 1
    return mdp.MDP(
        np.ones((5, 2, 1)), next_state[..., None], reward[..., None], terminal[..., None]
    )


@pytest.mark.parametrize("options", [{}, {"lam": 0.8}, {"lam": 0.8, "replacing": True}])
def test_td_on_the_random_walk(options) -> None:
    model, coin = random_walk(), np.full((5, 2), 0.5)
    true = np.arange(1, 6) / 6
    np.testing.assert_allclose(exact.policy_values(model, coin, 1.0), true)
    v = td.td(model, coin, 1.0, steps=300_000, alpha=1.0, power=0.8, start=2, **options)
    np.testing.assert_allclose(v, true, atol=0.05)


def test_td_of_one_step_by_hand() -> None:
    model = two = mdp.MDP(np.ones((2, 1, 1)), [[[1]], [[0]]], [[[1.0]], [[2.0]]])
    only = np.ones((2, 1))
    v = td.td(two, only, 0.5, steps=2, alpha=0.1, start=0, v0=[3.0, 4.0])
    first = 3 + 0.1 * (1 + 0.5 * 4 - 3)
    np.testing.assert_allclose(v, [first, 4 + 0.1 * (2 + 0.5 * first - 4)])
    traced = td.td(model, only, 0.5, steps=2, alpha=0.1, lam=0.5, start=0, v0=[3.0, 4.0])
    second = 2 + 0.5 * first - 4
    np.testing.assert_allclose(traced, [first + 0.1 * second * 0.25, 4 + 0.1 * second])


@pytest.mark.parametrize("n", [1, 2, 4])
def test_n_step_sarsa_by_hand(n) -> None:
    """A corridor of three steps with rewards 1, 2, 4: targets written out."""
    model = mdp.MDP(
        np.ones((3, 1, 1)), [[[1]], [[2]], [[2]]], [[[1.0]], [[2.0]], [[4.0]]],
        [[[False]], [[False]], [[True]]],
    )  # fmt: skip
    q0 = np.array([[10.0], [20.0], [30.0]])
    learned = td.sarsa(model, 0.5, steps=3, n=n, alpha=0.1, start=0, q0=q0)
    targets = {
        1: [1 + 0.5 * 20, 2 + 0.5 * 30, 4],
        2: [1 + 0.5 * 2 + 0.25 * 30, 2 + 0.5 * 4, 4],
        4: [1 + 0.5 * 2 + 0.25 * 4, 2 + 0.5 * 4, 4],
    }[n]
    np.testing.assert_allclose(learned.q[:, 0], q0[:, 0] + 0.1 * (np.array(targets) - q0[:, 0]))
    np.testing.assert_array_equal(learned.lengths, [3])
    np.testing.assert_array_equal(learned.returns, [7])


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("method", [td.sarsa, td.expected_sarsa])
def test_evaluation_of_a_policy(method, n) -> None:
    model = GridWorld().model
    if method is td.expected_sarsa and n > 1:
        pytest.skip("expected Sarsa has one step")
    options = {"n": n} if method is td.sarsa else {}
    learned = method(model, 0.9, steps=2_000_000, policy=UNIFORM, alpha=1.0, power=0.7, **options)
    assert np.abs(learned.q - exact.action_values(model, UNIFORM, 0.9)).max() < 0.35


def test_figures_7_2_and_7_3() -> None:
    """From the top left to the target: rewards 0, -10, -10, -1, α = ε = 0.1; the path is found."""
    rewards = {"reward_target": 0.0, "reward_forbidden": -10.0, "reward_boundary": -10.0}
    world = GridWorld(reward_other=-1.0, terminal=True, **rewards)
    for method in (td.sarsa, td.expected_sarsa, td.q_learning, td.double_q_learning):
        # with a constant rate Sarsa's policy never comes to rest (condition (2) of the theorem
        # fails)
        rate = {"alpha": 1.0, "power": 0.6} if method is td.sarsa else {}
        learned = method(world.model, 0.9, steps=200_000, start=0, **rate)
        world.reset()
        state, total = 0, 0.0
        for _ in range(30):
            state, r, done, _, _ = world.step(learned.policy[state])
            total += r
            if done:
                break
        assert done and total == -10.0, method.__name__  # 11 steps, none of them forbidden
        assert learned.returns[-200:].mean() > learned.returns[:20].mean()
        assert len(learned.returns) == len(learned.lengths) > 1000


def test_figure_7_4_off_policy() -> None:
    """Uniform behaviour, 100 000 steps, α = 0.1: the root mean square error to v* goes to 0."""
    model = GridWorld().model
    best = exact.value_iteration(model, 0.9)
    errors: list = []
    td.q_learning(
        model, 0.9, steps=100_000, policy=UNIFORM, start=0, every=10_000,
        callback=lambda k, q: errors.append(float(np.sqrt(np.mean((q.max(1) - best.v) ** 2)))),
    )  # fmt: skip
    assert len(errors) == 10 and errors[0] > 1 and errors[-1] < 0.05


def test_cliff_walking() -> None:
    """Sutton and Barto, Example 6.6: Sarsa takes the safe path (17 steps), Q-learning the edge."""
    model = mdp.mdp_of(gymnasium.make("CliffWalking-v1"))
    lengths = {}
    for name, method in (("sarsa", td.sarsa), ("q", td.q_learning)):
        q = method(model, 1.0, steps=1_000_000, start=36, alpha=0.1, epsilon=0.1).q
        state, steps = 36, 0
        while state != 47 and steps < 100:
            state, steps = int(model.next_state[state, q[state].argmax(), 0]), steps + 1
        lengths[name] = steps
    assert lengths == {"sarsa": 17, "q": 13}


def test_windy_grid_is_learned() -> None:
    world = GridWorld.windy()
    learned = td.q_learning(world.model, 1.0, steps=500_000, start=world.index((3, 0)), alpha=0.2)
    state, steps = world.reset()[0], 0
    done = False
    while not done and steps < 50:
        state, _, done, _, _ = world.step(learned.policy[state])
        steps += 1
    assert steps == 15


def test_double_q_overestimates_less() -> None:
    """Sutton and Barto, Example 6.7: from A, left leads to B with many noisy actions of mean
    -0.1.
    """
    noise = 10
    probability = np.zeros((2, noise, 2))
    probability[..., 0] = 1
    probability[1] = 0.5  # B: either +0.9 or -1.1, mean -0.1
    next_state, terminal = np.ones((2, noise, 2), int), np.ones((2, noise, 2), bool)
    terminal[0, 0] = False  # A: action 0 goes to B, all others end with 0
    reward = np.zeros((2, noise, 2))
    reward[1] = [0.9, -1.1]
    model = mdp.MDP(probability, next_state, reward, terminal)
    share = {}
    for name, method in (("q", td.q_learning), ("double", td.double_q_learning)):
        visits = [method(model, 1.0, steps=400, start=0, rng=i).visits[0] for i in range(100)]
        share[name] = np.mean([v[0] / v.sum() for v in visits])
    assert share["double"] < share["q"] - 0.05


def test_runs_go_on_where_they_were() -> None:
    model = GridWorld().model
    for n in (1, 3):
        one = td.Control(model, 0.9, td.SARSA, n, rng=5, length=40)
        two = td.Control(model, 0.9, td.SARSA, n, rng=5, length=40, every=77)
        a, b = one.run(5000), two.run(5000)
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_compiled_loops_are_the_python_ones() -> None:
    world = GridWorld(slip=0.2, terminal=True)
    model, phi = world.model, linear.fourier_features(5, 5, 1)

    def everything():
        yield td.td(model, UNIFORM, 0.9, steps=300, lam=0.5)
        for method in (td.sarsa, td.expected_sarsa, td.q_learning, td.double_q_learning):
            yield method(model, 0.9, steps=300, power=0.5).q
        yield td.sarsa(model, 0.9, steps=300, n=3).q
        yield monte_carlo.mc_exploring_starts(model, 0.9, episodes=20, length=20, visit="first").q
        yield monte_carlo.mc_epsilon_greedy(model, 0.9, epsilon=0.2, episodes=20, length=20).q
        yield monte_carlo.mc_basic(model, 0.9, length=5, episodes=3, iterations=2).q
        yield monte_carlo.mc_off_policy(model, 0.9, behaviour=UNIFORM, episodes=20, length=20).q
        yield linear.td_linear(model, UNIFORM, phi, 0.9, steps=300, alpha=0.01)
        yield linear.lstd(model, UNIFORM, phi, 0.9, steps=300)
        yield linear.sarsa_linear(model, phi, 0.9, steps=300)
        yield linear.q_linear(model, phi, 0.9, steps=300)
        for name in bandits.METHODS:
            yield bandits.play(name, [[0.2, 0.8]], steps=50, bernoulli=name == "thompson")[0]

    compiled = list(everything())
    with config.using(kernels="off"):
        plain = list(everything())
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_td_refuses() -> None:
    model = GridWorld().model
    for options, match in [
        ({"alpha": 0.0}, "alpha"),
        ({"epsilon": 1.5}, "epsilon"),
        ({"start": 25}, "start"),
        ({"n": 0}, "n must"),
    ]:
        with pytest.raises(ValueError, match=match):
            td.sarsa(model, 0.9, steps=1, **options)
    with pytest.raises(ValueError, match="gamma"):
        td.q_learning(model, 1.5, steps=1)
    with pytest.raises(ValueError, match="lam"):
        td.td(model, UNIFORM, 0.9, steps=1, lam=2)


# ------------------------------------------------------------------------------ linear functions
def test_feature_dimensions() -> None:
    assert [linear.polynomial_features(5, 5, q).shape[1] for q in (1, 2, 3)] == [3, 6, 10]
    assert [linear.fourier_features(5, 5, q).shape[1] for q in (1, 2, 3)] == [4, 9, 16]
    phi = linear.polynomial_features(5, 5, 2)
    np.testing.assert_allclose(phi[0], [1, -1, -1, 1, 1, 1])
    np.testing.assert_allclose(phi[1], [1, -0.5, -1, 0.25, 0.5, 1])  # x is the column
    np.testing.assert_allclose(linear.fourier_features(5, 5, 1)[24], [1, -1, -1, 1])
    with pytest.raises(ValueError, match="order"):
        linear.fourier_features(5, 5, -1)
    with pytest.raises(ValueError, match="features"):
        linear.lstd(GridWorld().model, UNIFORM, np.ones((3, 2)), 0.9, steps=1)


def test_figure_8_6_td_linear() -> None:
    """500 episodes of 500 steps, α = 0.0005: more features, smaller error."""
    model = GridWorld().model
    true = exact.policy_values(model, UNIFORM, 0.9)
    errors = {}
    for name, phi in [
        ("3", linear.polynomial_features(5, 5, 1)),
        ("10", linear.polynomial_features(5, 5, 3)),
        ("fourier 16", linear.fourier_features(5, 5, 3)),
    ]:
        w = linear.td_linear(model, UNIFORM, phi, 0.9, steps=250_000, alpha=0.0005)
        errors[name] = np.sqrt(np.mean((phi @ w - true) ** 2))
    assert errors["10"] < errors["3"] and errors["fourier 16"] < errors["3"] < 2


def test_projected_equation() -> None:
    model, phi = GridWorld().model, linear.polynomial_features(5, 5, 2)
    d = linear.stationary_distribution(model, UNIFORM)
    assert d.sum() == pytest.approx(1)
    w = linear.projected_solution(model, UNIFORM, phi, 0.9)
    assert linear.projected_bellman_error(model, UNIFORM, phi, w, 0.9) < 1e-20
    assert linear.projected_bellman_error(model, UNIFORM, phi, w + 0.1, 0.9) > 1e-4
    least = linear.lstd(model, UNIFORM, phi, 0.9, steps=500_000, length=500)
    np.testing.assert_allclose(phi @ least, phi @ w, atol=0.2)
    table = linear.projected_solution(model, UNIFORM, np.eye(25), 0.9)
    np.testing.assert_allclose(table, exact.policy_values(model, UNIFORM, 0.9), rtol=1e-9)
    with pytest.raises(ValueError, match="end"):
        linear.stationary_distribution(GridWorld(terminal=True).model, UNIFORM)
    with pytest.raises(ValueError, match="not unique"):
        linear.stationary_distribution(model, np.full(25, STAY))


def test_control_with_features() -> None:
    """With one feature a state, the linear methods are the tabular ones."""
    world = GridWorld(terminal=True, reward_other=-0.1)
    for method in (linear.sarsa_linear, linear.q_linear):
        W = method(world.model, np.eye(25), 0.9, steps=200_000, alpha=0.1)
        v = exact.policy_values(world.model, exact.greedy(W), 0.9)
        best = exact.value_iteration(world.model, 0.9).v
        assert (v > best - 0.5).mean() > 0.9


# ------------------------------------------------------------------------------ bandits
def test_the_ten_armed_testbed() -> None:
    """Sutton and Barto, figures 2.2, 2.4, 2.5: who chooses the best arm how often after 1000
    steps.
    """
    means = np.random.default_rng(0).standard_normal((500, 10))
    share = {
        name: bandits.play(method, means, steps=1000, parameter=parameter, **options)[1][
            :, -200:
        ].mean()
        for name, method, parameter, options in [
            ("greedy", "epsilon", 0.0, {}),
            ("0.1", "epsilon", 0.1, {}),
            ("optimistic", "epsilon", 0.0, {"first": 5.0, "step_size": 0.1}),
            ("ucb", "ucb", 2.0, {}),
            ("thompson", "thompson", 0.0, {}),
        ]
    }
    assert share["greedy"] < 0.5 < 0.7 < share["0.1"] < share["ucb"] < share["thompson"]
    assert share["optimistic"] > 0.7


def test_gradient_bandit_needs_its_baseline() -> None:
    means = np.random.default_rng(0).standard_normal((300, 10)) + 4
    with_, without = (
        bandits.play("gradient", means, steps=1000, parameter=0.1, baseline=b)[1][:, -100:].mean()
        for b in (True, False)
    )
    assert with_ > without + 0.2


def test_bernoulli_arms_and_regret() -> None:
    means = np.tile([0.3, 0.5, 0.7], (200, 1))
    for method, parameter in (("thompson", 0.0), ("ucb", 2**0.5), ("epsilon", 0.1)):
        rewards, optimal = bandits.play(
            method, means, steps=2000, parameter=parameter, bernoulli=True
        )
        assert set(np.unique(rewards)) <= {0.3, 0.5, 0.7}
        assert optimal[:, -100:].mean() > 0.7
    for arguments, match in [
        (("best", means), "method"),
        (("ucb", means[0]), "shape"),
    ]:
        with pytest.raises(ValueError, match=match):
            bandits.play(*arguments, steps=1)
    with pytest.raises(ValueError, match="Bernoulli"):
        bandits.play("thompson", means * 2, steps=1, bernoulli=True)


def test_directions() -> None:
    assert (UP, RIGHT, DOWN, STAY) == (0, 1, 2, 4)


# ------------------------------------------------------------------------------ the example
def test_example_of_the_grid(tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    import importlib.util
    from pathlib import Path

    path = Path(__file__).resolve().parents[1] / "examples" / "gridworld.py"
    spec = importlib.util.spec_from_file_location("gridworld_example", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    world = GridWorld()
    with config.using(kernels="off"):
        v = example.exactly(world, tmp_path)
        error = example.by_a_network(world, v, 6000, tmp_path)
    assert error < 0.6  # v* is 7.8 on average
    assert (tmp_path / "grid.png").exists() and (tmp_path / "deep_q.png").exists()
    assert "→ → o" in capsys.readouterr().out
