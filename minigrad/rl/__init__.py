"""Reinforcement learning, from a random number to PPO (`pip install minigrad[rl]`).

The road of Zhao Shiyu's *Mathematical Foundations of Reinforcement Learning*, then the algorithms
that people use. In reading order:

    stochastic           Robbins-Monro, SGD: what all learning from samples is      (chapter 6)
    mdp, gridworld       models; the book's grid as a gymnasium environment         (chapter 1)
    drawing              the grid as text, picture, animation
    exact                Bellman's equations solved: value and policy iteration     (chapters 2-4)
    monte_carlo          returns of whole episodes                                  (chapter 5)
    temporal_difference  learning at every step                                     (chapter 7)
    linear               values linear in features                                  (chapter 8)
    policies             the policy gradient, exactly                               (chapters 9, 10)
    bandits              exploration alone
    returns, losses      the mathematics of the deep algorithms: pure functions
    envs, buffers, networks, training, curves    what the deep algorithms share
    dqn, reinforce, qac, a2c, off_policy_ac, ddpg, td3, sac, ppo, trpo    one file each (ch. 8-10)

    python -m minigrad.rl train ppo --env CartPole-v1 --seed 1 --out runs/ppo
    python -m minigrad.rl watch runs/ppo

The package is imported at the first use of `minigrad.rl`.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("gymnasium") is None:
    raise ImportError(
        "minigrad.rl needs gymnasium, whose interface its environments have\n"
        "  help: pip install 'minigrad[rl]'"
    )

from . import gridworld, networks
from .a2c import A2C, A2COptions
from .bandits import play
from .buffers import Replay, Rollout
from .curves import bootstrap, curve
from .ddpg import DDPG, DDPGOptions
from .dqn import DQN, DQNOptions
from .envs import Envs, Normaliser
from .exact import (
    Solution,
    action_values,
    epsilon_greedy,
    greedy,
    policy_evaluation,
    policy_iteration,
    policy_values,
    soft_policy_iteration,
    truncated_policy_iteration,
    value_iteration,
)
from .gridworld import GridWorld
from .linear import (
    fourier_features,
    lstd,
    polynomial_features,
    projected_bellman_error,
    projected_solution,
    q_linear,
    sarsa_linear,
    stationary_distribution,
    td_linear,
)
from .losses import (
    approximate_kl,
    assign_gradient,
    categorical_kl,
    categorical_log_prob,
    clip_gradients,
    flat_gradient,
    gaussian_kl,
    gaussian_log_prob,
    greedy_values,
    policy_gradient_loss,
    polyak,
    ppo_clip_loss,
    ppo_kl_loss,
    squashed_sample,
    td_loss,
    value_loss,
)
from .mdp import MDP, DenseMDP, mdp_of, probabilities
from .monte_carlo import (
    Learned,
    importance_sampling,
    mc_basic,
    mc_epsilon_greedy,
    mc_exploring_starts,
    mc_off_policy,
)
from .networks import Actor, Critic, QNetwork, SquashedActor, TwinCritic, mlp
from .off_policy_ac import OffPolicyAC, OffPolicyACOptions
from .policies import (
    average_reward,
    average_value,
    optimal_baseline,
    policy_gradient,
    softmax_policy,
)
from .ppo import PPO, PPOOptions
from .qac import QAC, QACOptions
from .reinforce import REINFORCE, REINFORCEOptions
from .returns import discounted_returns, gae, lambda_returns
from .sac import SAC, SACOptions
from .stochastic import (
    RunningMoments,
    StepSize,
    descend,
    divergence,
    dvoretzky,
    kiefer_wolfowitz,
    relative_error,
    relative_error_bound,
    robbins_monro,
    running_mean,
    slopes,
    step_conditions,
)
from .td3 import TD3, TD3Options
from .temporal_difference import double_q_learning, expected_sarsa, q_learning, sarsa, td
from .training import Evaluation, evaluate, train
from .trpo import TRPO, TRPOOptions

AGENTS = {
    "reinforce": (REINFORCE, REINFORCEOptions),
    "qac": (QAC, QACOptions),
    "a2c": (A2C, A2COptions),
    "offpac": (OffPolicyAC, OffPolicyACOptions),
    "dqn": (DQN, DQNOptions),
    "ddpg": (DDPG, DDPGOptions),
    "td3": (TD3, TD3Options),
    "sac": (SAC, SACOptions),
    "ppo": (PPO, PPOOptions),
    "trpo": (TRPO, TRPOOptions),
}
"""The agents by the names that the command line knows, with their options."""

gridworld.register()

__all__ = [
    "A2C",
    "A2COptions",
    "AGENTS",
    "Actor",
    "Critic",
    "DDPG",
    "DDPGOptions",
    "DQN",
    "DQNOptions",
    "DenseMDP",
    "Envs",
    "Evaluation",
    "GridWorld",
    "Learned",
    "MDP",
    "Normaliser",
    "OffPolicyAC",
    "OffPolicyACOptions",
    "PPO",
    "PPOOptions",
    "QAC",
    "QACOptions",
    "QNetwork",
    "REINFORCE",
    "REINFORCEOptions",
    "Replay",
    "Rollout",
    "RunningMoments",
    "SAC",
    "SACOptions",
    "Solution",
    "SquashedActor",
    "StepSize",
    "TD3",
    "TD3Options",
    "TRPO",
    "TRPOOptions",
    "TwinCritic",
    "action_values",
    "approximate_kl",
    "average_reward",
    "average_value",
    "bootstrap",
    "assign_gradient",
    "categorical_kl",
    "categorical_log_prob",
    "clip_gradients",
    "curve",
    "descend",
    "discounted_returns",
    "divergence",
    "double_q_learning",
    "dvoretzky",
    "epsilon_greedy",
    "evaluate",
    "expected_sarsa",
    "flat_gradient",
    "fourier_features",
    "gae",
    "gaussian_kl",
    "gaussian_log_prob",
    "greedy",
    "greedy_values",
    "gridworld",
    "importance_sampling",
    "kiefer_wolfowitz",
    "lambda_returns",
    "lstd",
    "mc_basic",
    "mc_epsilon_greedy",
    "mc_exploring_starts",
    "mc_off_policy",
    "mdp_of",
    "mlp",
    "networks",
    "optimal_baseline",
    "play",
    "policy_evaluation",
    "policy_gradient",
    "policy_gradient_loss",
    "policy_iteration",
    "policy_values",
    "polyak",
    "polynomial_features",
    "ppo_clip_loss",
    "ppo_kl_loss",
    "probabilities",
    "projected_bellman_error",
    "projected_solution",
    "q_learning",
    "q_linear",
    "relative_error",
    "relative_error_bound",
    "robbins_monro",
    "running_mean",
    "sarsa",
    "sarsa_linear",
    "slopes",
    "soft_policy_iteration",
    "softmax_policy",
    "squashed_sample",
    "stationary_distribution",
    "step_conditions",
    "td",
    "td_linear",
    "td_loss",
    "train",
    "truncated_policy_iteration",
    "value_iteration",
    "value_loss",
]
