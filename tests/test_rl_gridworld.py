"""GridWorld and the exact methods: every printed table of chapters 2-4 and 8, and gymnasium's own
environments solved from their models.
"""

from __future__ import annotations

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from minigrad import config  # noqa: E402
from minigrad.rl import exact, gridworld, mdp  # noqa: E402
from minigrad.rl.gridworld import DOWN, LEFT, RIGHT, STAY, UP, GridWorld  # noqa: E402

ROWS_3_4D = [3.5, 3.9, 4.3, 4.8, 5.3, 3.1, 3.5, 4.8, 5.3, 5.9, 2.8, 2.5, 10, 5.9, 6.6]
ROWS_3_4D += [2.5, 10, 10, 10, 7.3, 2.3, 9, 10, 9, 8.1]
ROWS_3_4A = [5.8, 5.6, 6.2, 6.5, 5.8, 6.5, 7.2, 8, 7.2, 6.5, 7.2, 8, 10, 8, 7.2]
ROWS_3_4A += [8, 10, 10, 10, 8, 7.2, 9, 10, 9, 8.1]


def printed(v, digits=1):
    return np.round(np.asarray(v) + 0.0, digits)


# ------------------------------------------------------------------------------ gymnasium
@pytest.mark.parametrize("name", ["GridWorld", "RepositoryGrid", "WindyGrid"])
def test_check_env(name) -> None:
    env = gymnasium.make(f"minigrad/{name}-v0", disable_env_checker=True)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec is not None and env.spec.max_episode_steps


def test_rules_of_the_book() -> None:
    env = GridWorld(reward_forbidden=-10, reward_boundary=-2, reward_other=-0.5)
    cases = [
        ((0, 0), UP, (0, 0), -2.0),
        ((0, 0), RIGHT, (0, 1), -0.5),
        ((0, 0), STAY, (0, 0), -0.5),
        ((0, 1), DOWN, (1, 1), -10.0),  # forbidden cells can be entered
        ((1, 1), STAY, (1, 1), -10.0),
        ((4, 1), DOWN, (4, 1), -2.0),  # the wall, from inside a forbidden cell
        ((3, 3), LEFT, (3, 2), 1.0),
        ((3, 2), STAY, (3, 2), 1.0),
    ]
    for cell, action, to, reward in cases:
        env.reset(options={"state": env.index(cell)})
        state, r, terminated, truncated, _ = env.step(action)
        assert (state, r, terminated, truncated) == (env.index(to), reward, False, False)
    both = GridWorld(reward_forbidden=-10, bounce="both")
    both.reset(options={"state": 21})
    assert both.step(DOWN)[:2] == (21, -11.0)
    assert both.model.expected_reward[0, UP] == -1


def test_rules_of_the_repository() -> None:
    env = GridWorld.repository()
    for cell, action, to, reward, end in [
        ((0, 0), UP, (0, 0), -5.0, False),
        ((1, 1), RIGHT, (1, 1), -5.0, False),  # blocked
        ((2, 2), UP, (2, 2), -5.0, False),
        ((2, 2), RIGHT, (2, 3), -1.0, False),
        ((4, 3), RIGHT, (4, 4), 10.0, True),
    ]:
        env.reset(options={"state": env.index(cell)})
        assert env.step(action)[:3] == (env.index(to), reward, end)


def test_wind() -> None:
    env = GridWorld.windy()
    best = exact.value_iteration(env.model, 1.0)
    assert best.v[env.index((3, 0))] == -15
    state, total = env.reset()[0], 0
    while True:
        state, r, done, _, _ = env.step(best.policy[state])
        total += r
        if done:
            break
    assert total == -15
    gusts = GridWorld.windy(gusts=True).model
    assert gusts.outcomes == 3
    np.testing.assert_allclose(gusts.probability.sum(-1), 1)
    calm = gusts.next_state[0, 0]
    assert len(set(calm)) == 1  # no wind in the first column, so no gusts either


def test_slip_and_sampling_agree_with_the_model() -> None:
    env = GridWorld(slip=0.4)
    env.reset(seed=0)
    s = env.index((2, 3))
    counts = np.zeros(25)
    for _ in range(4000):
        env.reset(options={"state": s})
        counts[env.step(UP)[0]] += 1
    P = env.model.dense().P
    np.testing.assert_allclose(counts / 4000, P[s, UP], atol=0.03)
    assert P[s, UP, env.index((1, 3))] == pytest.approx(0.6)
    assert P[s, STAY, s] == 1


def test_errors() -> None:
    for options, match in [
        ({"shape": (0, 3)}, "shape"),
        ({"forbidden": [(5, 0)]}, "outside"),
        ({"start": (0, 9)}, "outside"),
        ({"start": "middle"}, "random"),
        ({"bounce": "maybe"}, "bounce"),
        ({"wind": [1]}, "wind needs 5"),
        ({"slip": 2}, "slip"),
        ({"render_mode": "human"}, "render_mode"),
    ]:
        with pytest.raises(ValueError, match=match):
            GridWorld(**options)
    env = GridWorld()
    env.reset()
    with pytest.raises(ValueError, match="no action"):
        env.step(5)
    with pytest.raises(ValueError, match="no state"):
        env.reset(options={"state": 25})


def test_random_start_is_seeded() -> None:
    env = GridWorld(start="random")
    starts = [env.reset(seed=3 if i == 0 else None)[0] for i in range(20)]
    again = [env.reset(seed=3 if i == 0 else None)[0] for i in range(20)]
    assert starts == again and len(set(starts)) > 5


def test_drawing(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    from minigrad.rl import drawing

    env = GridWorld(render_mode="ansi")
    env.reset()
    text = env.render()
    assert text.splitlines()[0] == "@ . . . ." and text.splitlines()[3] == ". x * x ."
    best = exact.value_iteration(env.model, 0.9)
    assert drawing.text(env, policy=best.policy).splitlines()[3] == "→ → o ← ←"
    assert "10.00" in drawing.text(env, values=best.v)
    env.render_mode = "rgb_array"
    env.step(RIGHT)
    picture = env.render()
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    drawing.save(env, tmp_path / "a/grid.png", values=best.v, policy=best.policy)
    assert (tmp_path / "a/grid.png").read_bytes().startswith(b"\x89PNG")
    frames: list = []
    exact.value_iteration(
        env.model, 0.9, tol=1, callback=lambda k, v: frames.append((f"k = {k}", v, None))
    )
    drawing.animate(env, tmp_path / "learning.gif", frames[:4])
    from PIL import Image

    with Image.open(tmp_path / "learning.gif") as image:
        assert image.n_frames == 4
    large = GridWorld((40, 30), forbidden=[(1, 1)])
    assert drawing.picture(large, values=np.arange(1200)).ndim == 3
    with pytest.raises(ValueError, match="no frames"):
        drawing.write_gif(tmp_path / "none.gif", [])


# ------------------------------------------------------------------------------ the printed tables
def solvers():
    yield "value iteration", lambda m, g: exact.value_iteration(m, g)
    yield "in place", lambda m, g: exact.value_iteration(m, g, in_place=True)
    yield "policy iteration", lambda m, g: exact.policy_iteration(m, g)
    yield "truncated", lambda m, g: exact.truncated_policy_iteration(m, g, 5)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("solve", [s for _, s in solvers()], ids=[n for n, _ in solvers()])
def test_figure_3_4(solve, dense) -> None:
    def solution(gamma, **rewards):
        model = GridWorld(**rewards).model
        return solve(model.dense() if dense else model, gamma)

    d = solution(0.9, reward_forbidden=-10)
    np.testing.assert_array_equal(printed(d.v), ROWS_3_4D)
    assert d.v[0] == pytest.approx(10 * 0.9**10, abs=1e-6)
    assert d.residual < 1e-7
    np.testing.assert_array_equal(printed(solution(0.9).v), ROWS_3_4A)
    b = solution(0.5)
    np.testing.assert_array_equal(printed(b.v[:5], 3), [0.002, 0.004, 0.008, 0.016, 0.031])
    for cell in ((3, 2), (2, 2), (3, 1), (3, 3), (4, 2)):
        assert b.v[cell[0] * 5 + cell[1]] == pytest.approx(2.0)
    c = solution(0.0)
    np.testing.assert_array_equal(np.flatnonzero(c.v), [12, 16, 17, 18, 22])
    np.testing.assert_array_equal(c.v[c.v != 0], 1)


GOOD_POLICIES = ["> > > v v ^ ^ > v v ^ < v > v ^ > o < v ^ > ^ < <",
                 "> > > > v ^ ^ > > v ^ < v > v ^ > o < v ^ > ^ < <"]  # fmt: skip


@pytest.mark.parametrize("arrows", GOOD_POLICIES)
@pytest.mark.parametrize("dense", [False, True])
def test_figure_2_7_good_policies(arrows, dense) -> None:
    policy = np.array(["^>v<o".index(a) for a in arrows.split()])
    model = GridWorld(reward_forbidden=-10).model
    model = model.dense() if dense else model
    v = exact.policy_values(model, policy, 0.9)
    np.testing.assert_array_equal(printed(v), ROWS_3_4D)
    np.testing.assert_allclose(exact.policy_evaluation(model, policy, 0.9), v, atol=1e-7)


def test_figure_8_6_uniform_policy() -> None:
    """True values of the uniform policy; Bellman's equation holds to the last digit."""
    model = GridWorld().model
    uniform = np.full((25, 5), 0.2)
    v = exact.policy_values(model, uniform, 0.9)
    q = exact.action_values(model, uniform, 0.9)
    np.testing.assert_allclose(v, q.mean(1), rtol=1e-12)
    np.testing.assert_allclose(v, exact.policy_values(model.dense(), uniform, 0.9), rtol=1e-12)


def test_two_by_two_examples() -> None:
    """Figures 2.4 and 2.5: from s1 down, or up and down half the time; v = (9, 10, 10, 10) and
    (8.5, 10, 10, 10)."""
    model = GridWorld((2, 2), forbidden=[(0, 1)], target=(1, 1)).model
    policy = np.array([DOWN, DOWN, RIGHT, STAY])
    np.testing.assert_allclose(exact.policy_values(model, policy, 0.9), [9, 10, 10, 10])
    mixed = np.eye(5)[policy]
    mixed[0] = [0, 0.5, 0.5, 0, 0]
    np.testing.assert_allclose(exact.policy_values(model, mixed, 0.9), [8.5, 10, 10, 10])


def test_figure_4_2_value_iteration() -> None:
    model = GridWorld((2, 2), forbidden=[(0, 1)], target=(1, 1)).model
    seen = []
    exact.value_iteration(model, 0.9, max_iterations=2, callback=lambda k, v: seen.append(v))
    np.testing.assert_allclose(seen, [[0, 1, 1, 1], [0.9, 1.9, 1.9, 1.9]])
    policy = exact.greedy(model.backup(seen[0], 0.9))
    np.testing.assert_array_equal(policy, [DOWN, DOWN, RIGHT, STAY])


def two_cells():
    """Figure 4.3: two cells, the right one the target; actions left, stay, right."""
    next_state = [[[0], [0], [1]], [[0], [1], [1]]]
    reward = [[[-1], [0], [1]], [[0], [1], [-1]]]
    return mdp.MDP(np.ones((2, 3, 1)), next_state, reward)


@pytest.mark.parametrize("dense", [False, True])
def test_figure_4_3_policy_iteration(dense) -> None:
    model = two_cells().dense() if dense else two_cells()
    v = exact.policy_values(model, [0, 0], 0.9)
    np.testing.assert_allclose(v, [-10, -9])
    np.testing.assert_allclose(model.backup(v, 0.9), [[-10, -9, -7.1], [-9, -7.1, -9.1]])
    steps = []
    best = exact.policy_iteration(
        model, 0.9, [0, 0], callback=lambda k, v, pi: steps.append(pi.tolist())
    )
    assert steps == [[0, 0], [2, 1]]
    np.testing.assert_allclose(best.v, [10, 10])


def test_figure_8_5_stationary_distribution() -> None:
    model = GridWorld((2, 2), forbidden=[(0, 1)], target=(1, 1)).model
    q = np.eye(5)[[DOWN, DOWN, RIGHT, STAY]]
    P, _ = model.dense().under(exact.epsilon_greedy(q, 0.5))
    values, vectors = np.linalg.eig(P.T)
    order = np.argsort(-values.real)
    np.testing.assert_allclose(values.real[order], [1, 0.4449, 0.3, -0.0449], atol=5e-5)
    d = vectors[:, order[0]].real
    np.testing.assert_allclose(d / d.sum(), [0.0345, 0.1084, 0.1330, 0.7241], atol=5e-5)


def test_affine_rewards_keep_the_policy() -> None:
    """Theorem 3.6: r → αr + β gives v* → αv* + β/(1 − γ)."""
    one = GridWorld(reward_forbidden=-10)
    r = [3 * x + 2 for x in (1.0, -10.0, -1.0, 0.0)]
    two = GridWorld(
        reward_target=r[0], reward_forbidden=r[1], reward_boundary=r[2], reward_other=r[3]
    )
    a, b = (exact.value_iteration(w.model, 0.9, tol=1e-10) for w in (one, two))
    np.testing.assert_allclose(b.v, 3 * a.v + 2 / 0.1, atol=1e-7)
    np.testing.assert_array_equal(a.policy, b.policy)


def test_contraction_and_the_error_bound() -> None:
    model = GridWorld(reward_forbidden=-10).model
    best = exact.value_iteration(model, 0.9, tol=1e-12).v
    seen = [np.zeros(25)]
    exact.value_iteration(model, 0.9, tol=1e-3, callback=lambda k, v: seen.append(v))
    errors = [np.abs(v - best).max() for v in seen]
    assert all(b <= 0.9 * a + 1e-12 for a, b in zip(errors, errors[1:], strict=False))
    assert errors[-1] < 1e-3


def test_truncation_between_value_and_policy_iteration() -> None:
    model = GridWorld(reward_forbidden=-10).model
    one: list = []
    exact.truncated_policy_iteration(model, 0.9, 1, callback=lambda k, v: one.append(v))
    vi: list = []
    exact.value_iteration(model, 0.9, callback=lambda k, v: vi.append(v))
    np.testing.assert_allclose(one[10], vi[10], atol=1e-12)
    counts = [exact.truncated_policy_iteration(model, 0.9, j).iterations for j in (1, 5, 50)]
    assert counts[0] > counts[1] > counts[2]


# ------------------------------------------------------------------------------ gymnasium's models
@pytest.mark.parametrize(
    ("name", "options", "gamma", "state", "value"),
    [
        ("FrozenLake-v1", {}, 1.0, 0, 0.8235294),
        ("FrozenLake-v1", {}, 0.99, 0, 0.5420259),
        ("FrozenLake-v1", {"is_slippery": False}, 0.99, 0, 0.99**5),
        ("CliffWalking-v1", {}, 1.0, 36, -13.0),
    ],
)
def test_toy_text(name, options, gamma, state, value) -> None:
    model = mdp.mdp_of(gymnasium.make(name, **options))
    best = exact.value_iteration(model, gamma, tol=1e-10)
    assert best.v[state] == pytest.approx(value, abs=1e-6)
    dense = exact.value_iteration(model.dense(), gamma, tol=1e-10)
    np.testing.assert_allclose(dense.v, best.v, atol=1e-7)


def test_taxi() -> None:
    model = mdp.mdp_of(gymnasium.make("Taxi-v4"))
    best = exact.policy_iteration(model, 0.99)
    np.testing.assert_allclose(best.v, exact.value_iteration(model, 0.99).v, atol=1e-6)


def test_models_refuse() -> None:
    ok = np.ones((2, 1, 1))
    with pytest.raises(ValueError, match="sum to 1"):
        mdp.MDP(ok * 0.5, ok, ok)
    with pytest.raises(ValueError, match="lie in"):
        mdp.MDP(ok, ok * 2, ok)
    with pytest.raises(ValueError, match="next_state has shape"):
        mdp.MDP(ok, np.ones((2, 1)), ok)
    with pytest.raises(ValueError, match="shape"):
        mdp.MDP(np.ones(3), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="P must have"):
        mdp.DenseMDP(np.ones((2, 1, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="at most 1"):
        mdp.DenseMDP(np.ones((2, 1, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="r has shape"):
        mdp.DenseMDP(np.ones((2, 1, 2)) / 2, np.ones((1, 2)))
    with pytest.raises(TypeError, match="no model"):
        mdp.mdp_of(gymnasium.make("CartPole-v1"))
    model = GridWorld().model
    for policy in ([5] * 25, np.ones((25, 5)), np.ones(3)):
        with pytest.raises(ValueError, match="policy"):
            exact.policy_values(model, policy, 0.9)
    with pytest.raises(ValueError, match="gamma"):
        exact.value_iteration(model, 1.1)
    with pytest.raises(ValueError, match="v0"):
        exact.value_iteration(model, 0.9, np.zeros(3))
    with pytest.raises(ValueError, match="sweeps"):
        exact.truncated_policy_iteration(model, 0.9, 0)
    for endless in (model, model.dense()):
        with pytest.raises(ValueError, match="singular"):
            exact.policy_values(endless, np.full(25, STAY), 1.0)


def test_without_kernels() -> None:
    model = GridWorld(reward_forbidden=-10).model
    with config.using(kernels="off"):
        v = exact.value_iteration(model, 0.9, tol=1e-2).v
    np.testing.assert_array_equal(v, exact.value_iteration(model, 0.9, tol=1e-2).v)


def test_register_twice_is_harmless() -> None:
    gridworld.register()


@pytest.mark.slow
def test_a_million_states() -> None:
    n = 1000
    cells = np.random.default_rng(0).choice(n * n - 1, n * n // 5, replace=False)
    world = GridWorld((n, n), forbidden=[divmod(int(i), n) for i in cells], reward_forbidden=-10)
    best = exact.value_iteration(world.model, 0.99, tol=1e-6, in_place=True)
    q = world.model.backup(best.v, 0.99)
    assert np.abs(q.max(1) - best.v).max() < 1e-6
    assert best.v.max() == pytest.approx(100, abs=1e-5)
