"""The deep algorithms: their mathematics against PyTorch and by hand, memories, environments that
can be saved, runs that resume to the same trajectory, learning, the command line.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

import minigrad as mg  # noqa: E402
from minigrad import config, rl  # noqa: E402
from minigrad.rl import drawing, losses, trpo  # noqa: E402
from minigrad.rl.__main__ import main, parser  # noqa: E402
from minigrad.rl.buffers import Replay, Rollout  # noqa: E402
from minigrad.rl.envs import Envs, Normaliser  # noqa: E402
from minigrad.rl.presets import PRESETS  # noqa: E402
from minigrad.rl.training import confidence  # noqa: E402

SMALL = {
    "reinforce": {"episodes": 2},
    "qac": {"envs": 2},
    "a2c": {"envs": 2, "rollout": 4},
    "offpac": {"envs": 2},
    "dqn": {"learning_starts": 32, "batch": 8, "n_step": 2, "priority": 0.6, "duelling": True},
    "ddpg": {"learning_starts": 16, "batch": 8},
    "td3": {"learning_starts": 16, "batch": 8},
    "sac": {"learning_starts": 16, "batch": 8},
    "ppo": {"envs": 2, "rollout": 16, "batch": 16, "epochs": 2, "penalty": True},
    "trpo": {"envs": 2, "rollout": 16, "batch": 16, "epochs": 2},
}


def make(name, **options):
    agent, knobs = rl.AGENTS[name]
    return agent(knobs(**{"hidden": [8, 8], **SMALL[name], **options}))


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ------------------------------------------------------------------------------ returns
def slow_gae(r, ends, v, after, gamma, lam):
    out = np.zeros(r.shape)
    for n in range(r.shape[1]):
        last = 0.0
        for t in reversed(range(len(r))):
            delta = r[t, n] + gamma * after[t, n] - v[t, n]
            last = delta + (0.0 if ends[t, n] else gamma * lam * last)
            out[t, n] = last
    return out


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_advantages(lam) -> None:
    rng = np.random.default_rng(0)
    r, v, after = floats(20, 3), floats(20, 3, seed=1), floats(20, 3, seed=2)
    ends = rng.random((20, 3)) < 0.2
    v[1:] = np.where(ends[:-1], v[1:], after[:-1])  # within an episode v(s_{t+1}) is the next v
    ours = rl.gae(r, ends, v, after, 0.9, lam)
    np.testing.assert_allclose(ours, slow_gae(r, ends, v, after, 0.9, lam), rtol=1e-4, atol=1e-5)


def test_returns_by_hand() -> None:
    r = np.array([[1.0], [2.0], [4.0], [8.0]])
    ends = np.array([[False], [True], [False], [False]])
    after = np.array([[0.0], [0.0], [0.0], [16.0]])
    g = rl.discounted_returns(r, ends, after, 0.5)
    np.testing.assert_allclose(g[:, 0], [2, 2, 4 + 0.5 * (8 + 8), 16])
    np.testing.assert_allclose(rl.lambda_returns(r, ends, after, 0.5, 0.0), r + 0.5 * after)
    with pytest.raises(ValueError, match="three arrays"):
        rl.discounted_returns([1.0], [False], [0.0], 0.9)


# ------------------------------------------------------------------------------ losses
@pytest.mark.torch
def test_densities_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    D = torch.distributions
    logits, action = floats(6, 4), np.array([0, 1, 2, 3, 0, 1])
    theirs = D.Categorical(logits=torch.from_numpy(logits))
    ours = losses.categorical_log_prob(mg.from_numpy(logits), mg.from_numpy(action))
    np.testing.assert_allclose(
        ours[0].numpy(), theirs.log_prob(torch.from_numpy(action)), rtol=1e-5
    )
    np.testing.assert_allclose(ours[1].numpy(), theirs.entropy(), rtol=1e-5)

    mean, log_std, x = floats(6, 3), floats(3, seed=1), floats(6, 3, seed=2)
    normal = D.Normal(torch.from_numpy(mean), torch.from_numpy(np.exp(log_std)))
    ours = losses.gaussian_log_prob(*map(mg.from_numpy, (mean, log_std, x)))
    theirs_log = normal.log_prob(torch.from_numpy(x)).sum(-1)
    np.testing.assert_allclose(ours[0].numpy(), theirs_log, rtol=1e-4)
    np.testing.assert_allclose(ours[1].numpy(), normal.entropy().sum(-1), rtol=1e-5)

    noise = floats(6, 3, seed=3)
    spread = floats(6, 3, seed=4) * 0.3
    a, log_prob = losses.squashed_sample(*map(mg.from_numpy, (mean, spread, noise)))
    base = D.Independent(D.Normal(torch.from_numpy(mean), torch.from_numpy(spread).exp()), 1)
    squashed = D.TransformedDistribution(base, [D.TanhTransform(cache_size=1)])
    u = torch.from_numpy(mean) + torch.from_numpy(spread).exp() * torch.from_numpy(noise)
    y = squashed.transforms[0](u)
    np.testing.assert_allclose(a.numpy(), y, rtol=1e-5)
    np.testing.assert_allclose(log_prob.numpy(), squashed.log_prob(y), rtol=1e-3, atol=1e-3)


@pytest.mark.torch
def test_divergences_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    D, kl = torch.distributions, torch.distributions.kl_divergence
    p, q = (torch.from_numpy(floats(5, 4, seed=i)) for i in (0, 1))
    theirs = kl(D.Categorical(logits=p), D.Categorical(logits=q)).mean()
    ours = losses.categorical_kl(
        *(mg.nn.functional.log_softmax(mg.from_numpy(x.numpy()), -1) for x in (p, q))
    )
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    a, b = p * 0.3, q * 0.3
    theirs = kl(D.Normal(p, a.exp()), D.Normal(q, b.exp())).sum(-1).mean()
    ours = losses.gaussian_kl(*(mg.from_numpy(x.numpy()) for x in (p, a, q, b)))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)


@pytest.mark.torch
def test_td_loss_and_clipping_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    q, y = floats(8) * 3, floats(8, seed=1)
    ours_q = mg.tensor(q, requires_grad=True)
    theirs_q = torch.tensor(q, requires_grad=True)
    ours = losses.td_loss(ours_q, mg.from_numpy(y), mg.ones(8))
    theirs = torch.nn.functional.smooth_l1_loss(theirs_q, torch.from_numpy(y))
    ours.backward()
    theirs.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
    np.testing.assert_allclose(ours_q.grad.numpy(), theirs_q.grad, rtol=1e-5)
    plain = losses.td_loss(ours_q, mg.from_numpy(y), mg.ones(8), huber=False)
    assert plain.item() == pytest.approx(0.5 * np.mean((q - y) ** 2), rel=1e-5)
    for most in (0.1, 100.0):
        p, t = mg.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
        (p * p).sum().backward()
        (t * t).sum().backward()
        losses.clip_gradients([p], most)
        torch.nn.utils.clip_grad_norm_([t], most)
        np.testing.assert_allclose(p.grad.numpy(), t.grad, rtol=1e-5)


def test_double_q_target_by_hand() -> None:
    values = mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    by = mg.tensor([[9.0, 1.0, 1.0], [0.0, 7.0, 7.0]])
    assert losses.greedy_values(values, by).tolist() == [1.0, 5.5]
    assert losses.greedy_values(values, values).tolist() == [3.0, 6.0]


def test_ppo_losses_by_hand() -> None:
    new = mg.tensor(np.log([0.6, 0.2, 0.3]).astype(np.float32))
    old = mg.tensor(np.log([0.3, 0.4, 0.3]).astype(np.float32))
    advantage = mg.tensor([1.0, -1.0, 2.0])  # ratios 2, .5, 1
    clipped = losses.ppo_clip_loss(new, old, advantage, 0.2)
    assert clipped.item() == pytest.approx(-(1.2 - 0.8 + 2) / 3, rel=1e-5)
    kl = np.mean([2 - 1 - np.log(2), 0.5 - 1 - np.log(0.5), 0])
    assert losses.approximate_kl(new, old).item() == pytest.approx(kl, rel=1e-4)
    penalised = losses.ppo_kl_loss(new, old, advantage, mg.tensor(3.0))
    assert penalised.item() == pytest.approx(-(2 - 0.5 + 2) / 3 + 3 * kl, rel=1e-4)


def test_policy_gradient_theorem() -> None:
    """Summed over all actions with their probabilities, −∇log π · q is minus the gradient of
    Σ π q; and a baseline changes nothing (Zhao, section 10.2.1)."""
    logits = mg.tensor(floats(1, 4), requires_grad=True)
    q = mg.tensor(floats(4, seed=1))
    pi = mg.nn.functional.softmax(logits, -1)[0]
    exact = mg.autograd.grad((pi * q).sum(), logits)[0].numpy()
    every = mg.tensor([0, 1, 2, 3])
    for baseline in (0.0, 5.0):
        log_prob, _ = losses.categorical_log_prob(logits.expand(4, 4), every)
        loss = 4 * losses.policy_gradient_loss(log_prob, pi.detach() * (q - baseline))
        ours = mg.autograd.grad(loss, logits)[0].numpy()
        np.testing.assert_allclose(ours, -exact, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------ memories
def test_n_step_replay_by_hand() -> None:
    replay = Replay(10, 1, (), np.int64, 1, gamma=0.5, n=3)
    rewards = [1.0, 2.0, 4.0, 8.0]
    for t, r in enumerate(rewards):
        replay.add(
            np.array([[t]]), np.array([t]), np.array([r]), np.array([[t + 1]]),
            np.array([t == 3]), np.array([False]),
        )  # fmt: skip
    assert len(replay) == 4
    np.testing.assert_allclose(replay.reward[:4], [1 + 1 + 1, 2 + 2 + 2, 4 + 4, 8])
    np.testing.assert_allclose(replay.discount[:4], [0.125, 0, 0, 0])
    np.testing.assert_allclose(replay.next_obs[:4, 0], [3, 4, 4, 4])
    np.testing.assert_array_equal(replay.action[:4], [0, 1, 2, 3])


def test_replay_overwrites_and_keeps_the_value_of_what_is_cut_off() -> None:
    replay = Replay(3, 1, (), np.int64, 1, gamma=0.9)
    for t in range(5):
        replay.add(
            np.array([[t]]), np.array([t]), np.array([t]), np.array([[t + 1]]),
            np.array([t == 3]), np.array([t == 4]),
        )  # fmt: skip
    assert sorted(replay.obs[:, 0].tolist()) == [2, 3, 4]
    by_obs = dict(zip(replay.obs[:, 0], replay.discount, strict=True))
    assert by_obs[3.0] == 0 and by_obs[4.0] == pytest.approx(0.9)
    with pytest.raises(ValueError, match="nothing"):
        Replay(3, 1, (), np.int64, 1, gamma=0.9).sample(np.random.default_rng(0), 2)
    with pytest.raises(ValueError, match="positive"):
        Replay(0, 1, (), np.int64, 1, gamma=0.9)


def test_prioritised_replay() -> None:
    rng = np.random.default_rng(0)
    replay = Replay(5, 1, (), np.int64, 1, gamma=0.9, alpha=0.5)
    one = np.ones(1, bool)
    for t in range(5):
        replay.add(np.array([[t]]), np.array([t]), one, np.array([[t]]), ~one, ~one)
    errors = np.array([0.0, 1.0, 4.0, 9.0, 16.0])
    replay.update(np.arange(5), errors)
    p = (errors + 1e-6) ** 0.5
    p /= p.sum()
    counts = np.zeros(5)
    for _ in range(400):
        batch = replay.sample(rng, 10, beta=0.7)
        np.add.at(counts, batch.index, 1)
    np.testing.assert_allclose(counts / 4000, p, atol=0.02)
    weight = (5 * p[batch.index]) ** -0.7
    np.testing.assert_allclose(batch.weight, weight / weight.max(), rtol=1e-4)
    assert replay.tree[1] == pytest.approx(replay.tree[replay.leaves :].sum())


def test_rollout_values_after_ends() -> None:
    roll = Rollout(3, 2, 1, (), np.int64)
    ended = [[False, False], [True, False], [False, False]]
    cut = [[False, True], [False, False], [False, False]]
    for t in range(3):
        roll.add(
            value=[t + 1, 10 * (t + 1)], next_obs=[[t], [t]], terminated=ended[t],
            ends=np.logical_or(ended[t], cut[t]),
        )  # fmt: skip
    after = roll.next_values(np.array([7.0, 8.0]), lambda x: 100 + x[:, 0])
    np.testing.assert_allclose(after, [[2, 100], [0, 30], [7, 8]])
    with pytest.raises(ValueError, match="filled"):
        roll.add(value=0)


# ------------------------------------------------------------------------------ environments
def test_environments_reset_themselves() -> None:
    envs = Envs("CartPole-v1", 3, seed=5)
    obs = envs.reset()
    assert obs.shape == (3, 4) and obs.dtype == np.float32 and envs.action_size == 2
    single = gymnasium.make("CartPole-v1")
    single.reset(seed=5)
    first = single.reset()[0]
    np.testing.assert_allclose(obs[0], first)
    ended = 0
    for _ in range(60):
        step = envs.step(np.ones(3, np.int64))
        for i in np.flatnonzero(step.ends):
            assert abs(step.next_obs[i, 2]) > 0.2 and abs(step.obs[i, 2]) < 0.06
            ended += 1
    assert ended == len(envs.finished) >= 3
    assert all(total == length for total, length in envs.finished)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "minigrad/WindyGrid-v0"])
def test_environments_can_be_saved(name, tmp_path) -> None:
    one = Envs(name, 2, seed=3)
    one.reset()
    rng = np.random.default_rng(0)

    def actions():
        if one.discrete:
            return rng.integers(one.action_size, size=2)
        return rng.uniform(-1, 1, (2, one.action_size)).astype(np.float32)

    for _ in range(45):
        one.step(actions())
    mg.save(one.state_dict(), tmp_path / "envs")
    two = Envs(name, 2, seed=3)
    two.load_state_dict(mg.load(tmp_path / "envs"))
    np.testing.assert_array_equal(one.obs, two.obs)
    for _ in range(60):
        a = actions()
        for x, y in zip(one.step(a), two.step(a), strict=True):
            np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(one.returns, two.returns)


def test_action_bounds_and_refusals() -> None:
    envs = Envs("Pendulum-v1")
    np.testing.assert_allclose(envs.to_env(np.array([[-1.0]])), [[-2]])
    np.testing.assert_allclose(envs.to_env(np.array([[3.0]])), [[2]])
    assert Envs("FrozenLake-v1").reset().tolist() == [[1.0] + [0.0] * 15]
    with pytest.raises(ValueError, match="at least 1"):
        Envs("CartPole-v1", 0)

    class Odd(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(2)
        action_space = gymnasium.spaces.MultiBinary(2)

    with pytest.raises(TypeError, match="discrete or bounded"):
        Envs(Odd)


def test_normaliser() -> None:
    x = floats(200, 3) * 5 + 2
    n = Normaliser(3, 200, 0.9, obs=True, reward=True)
    ours = n.obs(x, learn=True)
    np.testing.assert_allclose(ours, (x - x.mean(0)) / x.std(0), rtol=1e-3, atol=1e-3)
    ends = np.zeros(200, bool)
    ends[0] = True
    n.reward(np.ones(200), ends)
    assert n.running[0] == 0 and n.running[1] == 1
    silent = Normaliser(3, 200, 0.9, obs=True, reward=True)
    silent.learn(x, np.ones(200), ends)
    np.testing.assert_array_equal(silent.obs(x), n.obs(x))
    np.testing.assert_array_equal(silent.running, n.running)
    assert silent.returned.variance == n.returned.variance
    off = Normaliser(3, 2, 0.9)
    assert off.obs(x) is x and off.reward(x, ends) is x


@pytest.mark.parametrize("name", ["dqn", "ddpg", "td3", "sac"])
def test_replay_keeps_what_the_environment_gave(name) -> None:
    """A batch is normalised by the moments of when it is drawn, not of when it was stored."""
    env = "CartPole-v1" if name == "dqn" else "Pendulum-v1"
    knobs = {"env": env, "learning_starts": 1000}
    if name == "dqn":  # of n steps, the last ones wait outside the memory: not the moments' data
        knobs["n_step"] = 1
    with config.using(kernels="off"):
        agent = make(name, normalise_obs=True, normalise_reward=True, **knobs)
        plain = make(name, **knobs)
        for a in (agent, plain):
            rl.train(a, progress=False, until=50)
    n = len(plain.replay)
    for kept in ("obs", "next_obs", "reward"):
        ours, theirs = getattr(agent.replay, kept), getattr(plain.replay, kept)
        np.testing.assert_array_equal(ours[:n], theirs[:n], err_msg=kept)
    raw = agent.replay.sample(np.random.default_rng(0), 16)
    drawn = agent.normaliser.batch(raw)
    x = plain.replay.obs[:n].astype(np.float64)
    expected = ((raw.obs - x.mean(0)) / x.std(0)).clip(-10, 10)
    np.testing.assert_allclose(drawn.obs, expected, rtol=1e-3, atol=1e-3)
    scale = agent.normaliser.returned.variance**0.5
    np.testing.assert_allclose(drawn.reward, (raw.reward / scale).clip(-10, 10), rtol=1e-4)
    assert plain.normaliser.batch(raw) is raw


def test_sums_of_rewards_may_be_larger_than_one_reward() -> None:
    """Of n steps: not cut off at the bound of one."""
    with config.using(kernels="off"):
        agent = make("dqn", normalise_reward=True, learning_starts=1000)
        rl.train(agent, progress=False, until=50)
    scale, seen = agent.normaliser.returned.variance**0.5, []
    agent.replay.reward[:] = 15 * scale
    agent.learn = lambda *batch: (seen.append(batch[2]), np.zeros(len(batch[2])))
    agent._updates()
    np.testing.assert_allclose(seen[0], 15, rtol=1e-4)
    agent.replay.reward[:] = 25 * scale
    agent._updates()
    np.testing.assert_allclose(seen[-1], 20, rtol=1e-4)


def test_loss_of_dqn() -> None:
    """Huber's or the square: told apart by errors far beyond 1."""
    data = [floats(8, 4), np.zeros(8, np.int64), np.full(8, 50.0, np.float32)]
    data += [floats(8, 4, seed=1), np.zeros(8, np.float32), np.ones(8, np.float32)]
    for huber in (True, False):
        with config.using(kernels="off"):
            loss, error = make("dqn", huber=huber).learn(*data)
        each = np.abs(error) - 0.5 if huber else 0.5 * error**2
        assert float(loss) == pytest.approx(each.mean(), rel=1e-4) and np.abs(error).min() > 40


# ------------------------------------------------------------------------------ agents
@pytest.mark.parametrize(
    ("name", "normalise"), [*[(name, False) for name in SMALL], ("ppo", True), ("sac", True)]
)
def test_resumed_runs_make_the_same_steps(name, normalise, tmp_path) -> None:
    """A run in one piece, and one that was stopped, saved and loaded in between: equal to the
    bit.
    """
    options = {"normalise_obs": normalise, "normalise_reward": normalise, "total_steps": 10_000}
    with config.using(kernels="off"):
        whole, first, second = (make(name, **options) for _ in range(3))
        steps = 300
        rl.train(whole, progress=False, until=steps)
        rl.train(first, tmp_path, progress=False, until=steps // 2)
        assert first.steps < whole.steps
        rl.train(second, tmp_path, progress=False, until=steps)
    assert second.steps == whole.steps and second.updates == whole.updates > 0
    for key, part in whole.parts.items():
        if isinstance(part, mg.nn.Module):
            ours, theirs = part.state_dict(), second.parts[key].state_dict()
            for k in ours:
                np.testing.assert_array_equal(ours[k].numpy(), theirs[k].numpy(), err_msg=k)
    np.testing.assert_array_equal(whole.envs.obs, second.envs.obs)
    assert whole.rng.random() == second.rng.random()


@pytest.mark.parametrize("name", ["a2c", "ppo", "trpo", "reinforce"])
def test_continuous_actions(name) -> None:
    with config.using(kernels="off"):
        agent = make(name, env="Pendulum-v1")
        before = {k: v.clone() for k, v in agent.actor.state_dict().items()}
        rl.train(agent, progress=False, until=400)
    assert agent.act(agent.envs.obs).shape == (agent.envs.n, 1)
    for key, value in agent.actor.state_dict().items():
        assert not np.array_equal(before[key].numpy(), value.numpy()), key


@pytest.mark.parametrize("name", ["dqn", "qac", "offpac", "ddpg", "td3", "sac"])
def test_wrong_kind_of_actions(name) -> None:
    discrete = name in ("dqn", "qac", "offpac")
    with pytest.raises(TypeError, match="continuous" if discrete else "discrete"):
        make(name, env="Pendulum-v1" if discrete else "CartPole-v1")


def test_other_refusals(tmp_path) -> None:
    for name, options in (
        ("ppo", {"batch": 15}),
        ("trpo", {"batch": 15}),
        ("reinforce", {"envs": 2}),
    ):
        with pytest.raises(ValueError, match="divide|one environment"):
            make(name, **options)
    with pytest.raises(ValueError, match="activation"):
        rl.networks.mlp([1, 2], activation="none")
    with config.using(kernels="off"):
        rl.train(make("a2c"), tmp_path, progress=False, until=8)
        with pytest.raises(ValueError, match="gamma = 0.99, not 0.5"):
            rl.train(make("a2c", gamma=0.5), tmp_path, progress=False, until=8)


def test_settling_leaves_no_trace() -> None:
    """Capturing runs the steps on made-up data: networks and optimizers are put back."""
    with config.using(kernels="off"):
        a, b = make("ppo"), make("ppo")
        for x, y in zip(a.actor.parameters(), b.actor.parameters(), strict=True):
            np.testing.assert_array_equal(x.detach().numpy(), y.detach().numpy())
        for state in a.optimizer.state.values():
            assert float(state["step"]) == 0 and not state["exp_avg"].any()


def test_captured_learning_is_the_eager_one() -> None:
    """One PPO step by the captured function, and the same by plain eager code."""
    with config.using(kernels="off"):
        a, b = make("ppo", penalty=False), make("ppo", penalty=False)
    rng = np.random.default_rng(0)
    data = [floats(16, 4), rng.integers(2, size=16), -np.ones(16, np.float32), floats(16, seed=2)]
    data += [floats(16, seed=3), np.ones(1, np.float32)]
    for _ in range(3):
        ours = a.learn(*data)
        theirs = b._learn(*[mg.from_numpy(x) for x in data])
        for x, y in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(x, y.numpy(), rtol=1e-3, atol=1e-5)


def test_conjugate_gradients() -> None:
    rng = np.random.default_rng(0)
    m = rng.standard_normal((8, 8)).astype(np.float32)
    A, b = m @ m.T + np.eye(8, dtype=np.float32), floats(8)
    x = trpo.conjugate_gradient(lambda v: A @ v, b, 20)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-2, atol=1e-3)


def test_trust_region_is_kept() -> None:
    with config.using(kernels="off"):
        agent = make("trpo", envs=4, rollout=64, batch=64)
        agent.envs.reset()
        for _ in range(4):
            agent.iterate()
            if "kl" in agent.metrics:
                assert 0 < agent.metrics["kl"] <= 0.01 and agent.metrics["gain"] > 0


def test_evaluation_of_endless_episodes() -> None:
    with config.using(kernels="off"):
        agent = make("a2c", env="Pendulum-v1")
        with pytest.raises(RuntimeError, match="did not end within 3"):
            rl.evaluate(agent, 2, limit=3)
        assert len(rl.evaluate(agent, 2).returns) == 2


def test_confidence() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    e = confidence(x)
    assert e.mean == 2.5
    half = 3.182446 * x.std(ddof=1) / 2  # Student's t, 3 degrees of freedom
    assert (e.low, e.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-6)
    assert "2.5" in str(e) and confidence(x[:1]).low == -np.inf


def test_bootstrap_interval() -> None:
    x = np.random.default_rng(0).normal(3, 2, (40, 5))
    low, high = rl.bootstrap(x)
    half = 1.96 * x.std(0) / np.sqrt(40)
    np.testing.assert_allclose(low, x.mean(0) - half, atol=0.12)
    np.testing.assert_allclose(high, x.mean(0) + half, atol=0.12)
    same = rl.bootstrap(np.full((10, 2), 500.0))
    np.testing.assert_array_equal(same, np.full((2, 2), 500.0))


def test_annealed_rates() -> None:
    with config.using(kernels="off"):
        agent = make("a2c", anneal=True, total_steps=80, learning_rate=0.1)
        rl.train(agent, progress=False, until=40)
        agent.anneal()
        assert agent.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
        rl.train(agent, progress=False)
        agent.anneal()
        assert agent.optimizer.param_groups[0]["lr"] == 0
        before = agent.actor.state_dict()
        before = {k: v.clone() for k, v in before.items()}
        agent.iterate()
    for key, value in agent.actor.state_dict().items():
        np.testing.assert_array_equal(before[key].numpy(), value.numpy())


def test_a_run_ends_at_a_return(tmp_path) -> None:
    with config.using(kernels="off"):
        for stop_at, steps in ((5.0, 40), (1e4, 120)):
            out, knobs = tmp_path / str(stop_at), {"eval_every": 40, "eval_episodes": 3}
            agent = make("a2c", total_steps=120)
            log = rl.train(agent, out, progress=False, stop_at=stop_at, **knobs)
            means = [row["evaluation"] for row in log if "evaluation" in row]
            assert agent.steps == steps and len(means) == steps // 40
            again = make("a2c", total_steps=120)  # a finished run is not gone on with
            rl.train(again, out, progress=False, stop_at=stop_at, **knobs)
            assert again.steps == steps


def test_a_run_that_ends_at_a_return_logs_all_its_episodes() -> None:
    with config.using(kernels="off"):
        agent = make("a2c", total_steps=600)
        log = rl.train(agent, progress=False, stop_at=5.0, eval_every=200, eval_episodes=3)
    assert agent.steps == 200 and not agent.envs.finished
    logged = sum(row["episodes"] * row["length"] for row in log if "episodes" in row)
    assert logged > 0 and logged + agent.envs.lengths.sum() == pytest.approx(200)


def test_a_mean_that_is_nan_ends_no_run(monkeypatch) -> None:
    nothing = confidence(np.full(3, np.nan))
    monkeypatch.setattr("minigrad.rl.training.evaluate", lambda *args, **options: nothing)
    with config.using(kernels="off"):
        agent = make("a2c", total_steps=120)
        rl.train(agent, progress=False, eval_every=40)
    assert agent.steps == 120


# ------------------------------------------------------------------------------ films
FRAMES = [np.full((5, 7, 3), 10 * i, np.uint8) for i in range(4)]


def test_mp4_is_written_by_ffmpeg(tmp_path, monkeypatch) -> None:
    """A stand-in for ffmpeg keeps what it is given: every pixel, in order."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    stand_in = tmp_path / "ffmpeg"
    stand_in.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/arguments"\n'
                        'for last; do :; done\ncat > "$last"\n')  # fmt: skip
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    drawing.write_film(tmp_path / "a/film.mp4", FRAMES, seconds=0.05)
    assert (tmp_path / "a/film.mp4").read_bytes() == b"".join(f.tobytes() for f in FRAMES)
    assert "-s 7x5 -r 20 " in (tmp_path / "arguments").read_text()
    stand_in.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match="no such codec"):
        drawing.write_film(tmp_path / "film.mp4", FRAMES)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(ImportError, match=r"minigrad\[video\]"):
        drawing.write_film(tmp_path / "film.mp4", FRAMES)
    with pytest.raises(ValueError, match="no frames"):
        drawing.write_mp4(tmp_path / "film.mp4", [])
    with pytest.raises(ValueError, match=r"\.gif or \.mp4"):
        drawing.write_film(tmp_path / "film.avi", FRAMES)


def test_mp4_of_the_real_ffmpeg(tmp_path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    drawing.write_film(tmp_path / "film.mp4", FRAMES)
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"


# ------------------------------------------------------------------------------ command line
def test_presets_are_knobs() -> None:
    for (name, env), knobs in PRESETS.items():
        rl.AGENTS[name][1](env=env, **knobs)
    arguments = ["train", "ppo", "--env", "LunarLander-v3", "--gamma", "0.5"]
    args = parser("LunarLander-v3").parse_args(arguments)
    assert (args.envs, args.rollout, args.gamma) == (16, 1024, 0.5)
    assert parser("CartPole-v1").parse_args(["train", "ppo"]).envs == 8


def test_command_line(tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("pygame")
    run = tmp_path / "run"
    arguments = ["train", "a2c", "--seed", "3", "--total-steps", "256", "--envs", "2"]
    arguments += ["--hidden", "8", "8", "--out", str(run), "--quiet"]
    with config.using(kernels="off"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pygame")
        main(arguments)
        assert "256 steps" in capsys.readouterr().out
        for name in ("options.json", "log.csv", "checkpoint.safetensors", "best.safetensors"):
            assert (run / name).exists(), name
        assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
        main(["evaluate", str(run), "--episodes", "5"])
        output = capsys.readouterr()
        assert "over 5" in output.out and "5/5" in output.err
        main(["watch", str(run), "--steps", "5"])
        assert (run / "watch.gif").read_bytes().startswith(b"GIF8")
        for flags in ([], ["--greedy"]):
            main(["plot", str(run), str(run), "--out", str(tmp_path / "all.png"), *flags])
            assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
            (tmp_path / "all.png").unlink()
        with pytest.raises(FileNotFoundError, match="no run"):
            main(["watch", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit):
        main(["train", "ppo", "--penalty", "maybe"])
    assert "expected yes or no" in capsys.readouterr().err


def test_example_of_the_seeds(tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    path = Path(__file__).resolve().parents[1] / "examples" / "rl_curves.py"
    spec = importlib.util.spec_from_file_location("rl_curves", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    knobs = {"total_steps": 256, "hidden": [8, 8], **SMALL["ppo"]}
    monkeypatch.setitem(example.STUDIES, "ppo", example.Study("ppo", "CartPole-v1", 5, knobs))
    monkeypatch.setattr(
        sys, "argv", ["rl_curves.py", "ppo", "--seeds", "2", "--out", str(tmp_path)]
    )
    with config.using(kernels="off"):
        example.main()
        first = capsys.readouterr().out.splitlines()[-1]
        assert first.startswith("| `ppo` | CartPole-v1 | 256 | 1-2 | 2 of 2 | 2 of 2 |")
        example.main()  # finished folders are read, not trained
    assert capsys.readouterr().out.splitlines()[-1] == first
    assert (tmp_path / "rl_cartpole_ppo.png").read_bytes().startswith(b"\x89PNG")
    with config.using(kernels="off"):
        sys.argv += ["--stop-at", "5"]
        example.main()  # another study: results of the first are not returned
    assert " 1-2 | 2 of 2 |" in capsys.readouterr().out
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"ppo-1", "ppo-2", "ppo-stop5-1", "ppo-stop5-2"}


# ------------------------------------------------------------------------------ learning
@pytest.mark.slow
def test_ppo_learns_cartpole() -> None:
    agent = rl.PPO(rl.PPOOptions(total_steps=40_000))
    rl.train(agent, progress=False)
    assert rl.evaluate(agent, 20).mean > 400
