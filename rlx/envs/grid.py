"""Grid worlds to be taught in: the cliff grid and the four rooms of COACH (MacGlashan et al. 2017).

Columns ``x`` run east from 0, rows ``y`` north from 0; actions are north, south, east and west. A wall keeps the agent
where it is. Observations are the cell, one-hot. Layouts and rewards are those of the first author's program.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.types import Key

Cell = tuple[int, int]

MOVES: tuple[Cell, ...] = ((0, 1), (0, -1), (1, 0), (-1, 0))
NORTH, SOUTH, EAST, WEST = range(4)


@struct.dataclass
class GridState(EnvState):
    """Steps taken, and the number ``y * width + x`` of the cell the agent is in, both int32."""

    time: jax.Array
    cell: jax.Array


class Process(NamedTuple):
    """A finite process without chance, by state and action: what a trainer needs to solve it.

    Attributes:
        next_state: int32 ``[S, A]``.
        reward: float32 ``[S, A]``.
        ends: bool ``[S]``, whether an episode ends on arriving there.
    """

    next_state: np.ndarray
    reward: np.ndarray
    ends: np.ndarray


class Grid(Environment[GridState, EnvParams]):
    """A grid with a start, a goal that ends the episode, and cells that pay on entering, and on bumping into a wall.

    Args:
        size: width and height.
        start: cell.
        goal: cell.
        pays: reward by cell, the goal's included.
        walls: cells that cannot be entered.
        max_steps: time limit of an episode.
    """

    def __init__(
        self,
        size: tuple[int, int],
        start: Cell,
        goal: Cell,
        pays: Mapping[Cell, float],
        walls: Collection[Cell] = (),
        max_steps: int = 500,
    ) -> None:
        self.width, self.height = size
        self.start, self.goal, self.walls, self.pays = start, goal, frozenset(walls), dict(pays)
        self.max_steps = max_steps
        self.process = self._process()
        self.distance = self._distances()

    @property
    def default_params(self) -> EnvParams:
        """The time limit."""
        return EnvParams(max_steps_in_episode=self.max_steps)

    @property
    def num_states(self) -> int:
        """``S``, walls included."""
        return self.width * self.height

    def number(self, cell: Cell) -> int:
        """The state of a cell."""
        return cell[1] * self.width + cell[0]

    def state_of(self, number: jax.Array) -> GridState:
        """The state, or states, of cells by their numbers, no step taken."""
        return GridState(time=jnp.zeros_like(number), cell=number)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, GridState]:
        """Go to the start."""
        state = self.state_of(jnp.int32(self.number(self.start)))
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: Key, state: GridState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, GridState, jax.Array, jax.Array, dict[str, Any]]:
        """Move by one cell."""
        cell = jnp.asarray(self.process.next_state)[state.cell, action]
        reward = jnp.asarray(self.process.reward)[state.cell, action]
        after = GridState(time=state.time + 1, cell=cell)
        return self.observe(key, after, action, params), after, reward, jnp.asarray(self.process.ends)[cell], {}

    def observe(self, key: Key, state: GridState, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """The cell, one-hot, float32 ``[S]``."""
        return jax.nn.one_hot(state.cell, self.num_states)

    def action_space(self, params: EnvParams) -> spaces.Discrete:
        """North, south, east, west."""
        return spaces.Discrete(len(MOVES))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """One-hot codes."""
        return spaces.Box(0.0, 1.0, (self.num_states,))

    def advice(self, before: GridState, action: jax.Array, after: GridState, reward: jax.Array) -> jax.Array:
        """What somebody who knows the way thinks of an action: the reward if there is one, else 1 for going nearer."""
        distance = jnp.asarray(self.distance)
        nearer = distance[after.cell] < distance[before.cell]
        return jnp.where(reward != 0, reward, nearer.astype(jnp.float32))

    def _cells(self) -> list[Cell]:
        return [(x, y) for y in range(self.height) for x in range(self.width)]

    def _moved(self, cell: Cell, move: Cell) -> Cell:
        x, y = cell[0] + move[0], cell[1] + move[1]
        inside = 0 <= x < self.width and 0 <= y < self.height
        return (x, y) if inside and (x, y) not in self.walls else cell

    def _process(self) -> Process:
        reached = [[self._moved(cell, move) for move in MOVES] for cell in self._cells()]
        return Process(
            next_state=np.array([[self.number(to) for to in row] for row in reached], np.int32),
            reward=np.array([[self.pays.get(to, 0.0) for to in row] for row in reached], np.float32),
            ends=np.array([cell == self.goal for cell in self._cells()]),
        )

    def _distances(self) -> np.ndarray:
        """Steps to the goal from each cell, int32 ``[S]``; ``S`` where there is no way."""
        distance = np.full(self.num_states, self.num_states, np.int32)
        distance[self.number(self.goal)] = 0
        ring = {self.goal}
        for steps in range(1, self.num_states):
            around = {self._moved(cell, move) for cell in ring for move in MOVES}
            ring = {cell for cell in around if distance[self.number(cell)] == self.num_states}
            distance[[self.number(cell) for cell in ring]] = steps
        return distance


class CliffGrid(Grid):
    """The task, ``rlx/cliff-grid``: 8 by 5, from one corner to the next along a row of cells that cost 1 each.

    Entering (1..6, 0) pays -1 and ends nothing; the goal (7, 0) pays 5. At best 9 steps, return 5.
    """

    def __init__(self) -> None:
        cliff = {(x, 0): -1.0 for x in range(1, 7)}
        super().__init__((8, 5), start=(0, 0), goal=(7, 0), pays=cliff | {(7, 0): 5.0})

    def advice(self, before: GridState, action: jax.Array, after: GridState, reward: jax.Array) -> jax.Array:
        """As `author_advice`, but nothing for going back to the start, which would make a circle of praise."""
        back = (before.cell == self.number((0, 1))) & (action == SOUTH)
        return jnp.where(back, 0.0, self.author_advice(before, action, after, reward))

    def author_advice(self, before: GridState, action: jax.Array, after: GridState, reward: jax.Array) -> jax.Array:
        """The author's table: 1 for north at the start, else the reward, else 1 for going nearer along the grid."""
        nearer = self._manhattan(after.cell) < self._manhattan(before.cell)
        plain = jnp.where(reward != 0, reward, nearer.astype(jnp.float32))
        return jnp.where((before.cell == self.number(self.start)) & (action == NORTH), 1.0, plain)

    def _manhattan(self, cell: jax.Array) -> jax.Array:
        return jnp.abs(self.goal[0] - cell % self.width) + jnp.abs(self.goal[1] - cell // self.width)


class FourRooms(Grid):
    """The task, ``rlx/four-rooms``: 11 by 11, corner to corner through doors; the goal pays 1, at best in 20 steps."""

    def __init__(self) -> None:
        rows = {5: (0, 2, 3, 4), 4: (6, 7, 9, 10)}
        walls = {(x, y) for y, columns in rows.items() for x in columns}
        walls |= {(5, y) for y in (0, 2, 3, 4, 5, 6, 7, 9, 10)}
        super().__init__((11, 11), (0, 0), (10, 10), {(10, 10): 1.0}, walls, max_steps=5000)
