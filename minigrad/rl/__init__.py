"""Reinforcement learning, from a random number to PPO."""

from __future__ import annotations

from . import gridworld

gridworld.register()
