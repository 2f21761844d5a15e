"""GridWorld as a `gymnasium.Env`, with its model (Zhao, *Mathematical Foundations of RL*, ch. 1).

The book's rules, which are the defaults:

- five actions: up, right, down, left, stay; states are numbered row by row from the top left;
- who would leave the grid stays where it is, and is paid `reward_boundary`;
- a forbidden cell may be entered, and pays `reward_forbidden` each time one enters it or stays in;
- entering the target, or staying in it, pays `reward_target`; everything else `reward_other`;
- the target does not end the episode: one may stay there and be paid for ever.

What differs in other places is an option:

- `bounce="both"`: who hits the wall inside a forbidden cell is paid boundary *and* forbidden
reward.
  Figures 5.6 and 5.7 of the book follow from this reading, figures 2.7, 3.4, 5.4 and 8.6 from the
  plain one;
- `blocked=True, terminal=True` and rewards 10, -5, -5, -1: the environment of the book's code
  repository (`GridWorld.repository()`), where forbidden cells cannot be entered;
- `wind` (one upward push a column, added to the move), `gusts` (pushes off by -1, 0 or 1, equally
  likely) and `stay=False`: the windy grid of Sutton and Barto, section 6.5 (`GridWorld.windy()`);
- `slip`: the probability of going at a right angle to the move that was meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from ..export import export
from . import drawing
from .mdp import MDP

Cell = tuple[int, int]
BOOK_FORBIDDEN = ((1, 1), (1, 2), (2, 2), (3, 1), (3, 3), (4, 1))
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)])
UP, RIGHT, DOWN, LEFT, STAY = range(5)

REPOSITORY: dict[str, Any] = {
    "forbidden": ((1, 2), (3, 3), (3, 1)),
    "target": (4, 4),
    "start": (2, 2),
    "reward_target": 10.0,
    "reward_forbidden": -5.0,
    "reward_boundary": -5.0,
    "reward_other": -1.0,
    "terminal": True,
    "blocked": True,
}
WINDY: dict[str, Any] = {
    "shape": (7, 10),
    "target": (3, 7),
    "start": (3, 0),
    "wind": (0, 0, 0, 1, 1, 1, 2, 2, 1, 0),
    "reward_target": -1.0,
    "reward_boundary": -1.0,
    "reward_other": -1.0,
    "stay": False,
    "terminal": True,
}


@export("rl.GridWorld")
class GridWorld(gymnasium.Env):
    """A grid of cells. Observations and actions are numbers: row · columns + column; 0-4.

    Args:
        shape: rows and columns. Without further arguments it is the book's 5 x 5 grid.
        forbidden: cells (row, column) from 0; the book's six for shape (5, 5) if left out.
        target: a cell, or None for none; the book's (3, 2) if left out.
        start: a cell, or "random". `reset(options={"state": s})` overrides it.
        reward_target, reward_forbidden, reward_boundary, reward_other: see above.
        terminal: reaching the target ends the episode.
        blocked, bounce, wind, gusts, slip, stay: see above.
        render_mode: None, "ansi" (text) or "rgb_array" (a picture; needs Matplotlib).

    ValueError for a cell outside of the grid, a wind of another length than the columns, an unknown
    bounce, or a slip outside [0, 1].
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}

    def __init__(
        self,
        shape: Sequence[int] = (5, 5),
        *,
        forbidden: Iterable[Cell] | None = None,
        target: Cell | str | None = "book",
        start: Cell | str = (0, 0),
        reward_target: float = 1.0,
        reward_forbidden: float = -1.0,
        reward_boundary: float = -1.0,
        reward_other: float = 0.0,
        terminal: bool = False,
        blocked: bool = False,
        bounce: str = "boundary",
        wind: Sequence[int] | None = None,
        gusts: bool = False,
        slip: float = 0.0,
        stay: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"GridWorld: shape must be (rows, columns), got {tuple(shape)}")
        self.rows, self.columns = int(shape[0]), int(shape[1])
        book = (self.rows, self.columns) == (5, 5)
        if forbidden is None:
            forbidden = BOOK_FORBIDDEN if book else ()
        if isinstance(target, str):
            target = (3, 2) if book else (self.rows - 1, self.columns - 1)
        self.forbidden = frozenset(self._cell("forbidden", c) for c in forbidden)
        self.target = None if target is None else self._cell("target", target)
        self.start = start if isinstance(start, str) else self._cell("start", start)
        if isinstance(self.start, str) and self.start != "random":
            raise ValueError(f'GridWorld: start must be a cell or "random", got {start!r}')
        if bounce not in ("boundary", "both"):
            raise ValueError(f'GridWorld: bounce must be "boundary" or "both", got {bounce!r}')
        if wind is not None and len(wind) != self.columns:
            raise ValueError(f"GridWorld: wind needs {self.columns} numbers, got {len(wind)}")
        if not 0 <= slip <= 1:
            raise ValueError(f"GridWorld: slip must lie in [0, 1], got {slip}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"GridWorld: unknown render_mode {render_mode!r}")
        self.rewards = (reward_target, reward_forbidden, reward_boundary, reward_other)
        self.terminal, self.blocked, self.bounce = terminal, blocked, bounce
        self.wind = np.zeros(self.columns, int) if wind is None else np.asarray(wind, int)
        self.gusts, self.slip, self.render_mode = gusts, float(slip), render_mode
        self.moves = MOVES if stay else MOVES[:STAY]
        self.observation_space = gymnasium.spaces.Discrete(self.rows * self.columns)
        self.action_space = gymnasium.spaces.Discrete(len(self.moves))
        self.state = 0
        self.trajectory: list[int] = []

    @classmethod
    def repository(cls, **options: Any) -> GridWorld:
        """The grid of the book's code repository: forbidden cells block, the target ends."""
        return cls(**{**REPOSITORY, **options})

    @classmethod
    def windy(cls, **options: Any) -> GridWorld:
        """Sutton and Barto's windy grid (Example 6.5): 7 x 10, -1 a step, best way 15 steps."""
        return cls(**{**WINDY, **options})

    def _cell(self, what: str, cell: Any) -> Cell:
        row, column = int(cell[0]), int(cell[1])
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise ValueError(
                f"GridWorld: {what} cell {(row, column)} is outside of the "
                f"{self.rows} x {self.columns} grid (cells count from 0)"
            )
        return row, column

    def index(self, cell: Cell) -> int:
        """The state of a cell (row, column), both from 0."""
        row, column = self._cell("given", cell)
        return row * self.columns + column

    # ------------------------------------------------------------------------------ the model
    @cached_property
    def model(self) -> MDP:
        """P and r as an `MDP`: for each state and action the outcomes, their rewards, the end."""
        ways = self._ways()
        outcomes = [self._outcome(turn, gust) for _, turn, gust in ways]
        weights = np.array([p for p, _, _ in ways])
        next_state, reward, terminal = (np.stack(x, -1) for x in zip(*outcomes, strict=True))
        probability = np.broadcast_to(weights, next_state.shape)
        return MDP(probability, next_state, reward, terminal)

    def _ways(self) -> list[tuple[float, int, int]]:
        """Probability, turn (-1, 0, 1 right angles) and gust of everything that may happen."""
        turns = [(1 - self.slip, 0), (self.slip / 2, -1), (self.slip / 2, 1)]
        gusts = [(1 / 3, -1), (1 / 3, 0), (1 / 3, 1)] if self.gusts else [(1.0, 0)]
        return [(p * q, t, g) for p, t in turns if p > 0 for q, g in gusts]

    def _outcome(self, turn: int, gust: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next state, reward and end for every state and action, each (S, A)."""
        meant = np.arange(len(self.moves))
        done = np.where(meant < STAY, (meant + turn) % STAY, meant)  # who stays does not slip
        rows, columns = np.divmod(np.arange(self.rows * self.columns), self.columns)
        push = self.wind[columns] + np.where(self.wind[columns] > 0, gust, 0)
        row = rows[:, None] + self.moves[done, 0] - push[:, None]
        column = columns[:, None] + self.moves[done, 1]
        outside = (row < 0) | (row >= self.rows) | (column < 0) | (column >= self.columns)
        here = np.broadcast_to(np.arange(len(rows))[:, None], row.shape)
        state = row.clip(0, self.rows - 1) * self.columns + column.clip(0, self.columns - 1)

        target, forbidden, boundary, other = self.rewards
        is_forbidden = np.zeros(len(rows), bool)
        is_forbidden[[r * self.columns + c for r, c in self.forbidden]] = True
        goal = -1 if self.target is None else self.index(self.target)
        hit = is_forbidden[state]
        reward = np.where(hit, forbidden, np.where(state == goal, target, other))
        both = boundary + np.where(hit & (self.bounce == "both"), forbidden, 0)
        reward = np.where(outside, both, reward)
        if self.blocked:
            state = np.where(hit & ~outside, here, state)
        terminal = (state == goal) & self.terminal
        return state, reward.astype(np.float64), terminal

    # ------------------------------------------------------------------------------ gymnasium
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        if options and "state" in options:
            state = int(options["state"])
            if not self.observation_space.contains(state):
                raise ValueError(f"GridWorld: no state {state} in {self.observation_space}")
        elif isinstance(self.start, str):
            state = int(self.np_random.integers(self.observation_space.n))
        else:
            state = self.index(self.start)
        self.state, self.trajectory = state, [state]
        return state, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"GridWorld: no action {action!r} in {self.action_space}")
        model, s, a = self.model, self.state, int(action)
        p = model.probability[s, a]
        k = 0 if len(p) == 1 else int(self.np_random.choice(len(p), p=p))
        self.state = int(model.next_state[s, a, k])
        self.trajectory.append(self.state)
        return self.state, float(model.reward[s, a, k]), bool(model.terminal[s, a, k]), False, {}

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return drawing.text(self)
        if self.render_mode == "rgb_array":
            return drawing.picture(self, trajectory=self.trajectory)
        return None


def register() -> None:
    """Make the grids known to `gymnasium.make`; called when `minigrad.rl` is imported."""
    for name, options, steps in (
        ("minigrad/GridWorld-v0", {}, 100),
        ("minigrad/RepositoryGrid-v0", REPOSITORY, 100),
        ("minigrad/WindyGrid-v0", WINDY, 1000),
    ):
        if name not in gymnasium.registry:
            gymnasium.register(
                name, f"{__name__}:GridWorld", max_episode_steps=steps, kwargs=dict(options)
            )
