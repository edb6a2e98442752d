"""microRTS' harvest task, step for step as in the invalid-action-masking paper: `rlx/microrts-4x4` to `-24x24`.

Source: Huang and Ontañón 2022, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", section 4, with
what the released environment (gym-microrts, `frame_skip` 9) does wherever it differs from the text. A reward of 1 comes
with each resource taken and each brought home. An episode terminates when no resources are left and is truncated after
200 steps. Nothing is random.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlx.envs import microrts_rules as rules
from rlx.envs.gymnax_api import Environment, EnvParams, spaces
from rlx.envs.microrts_rules import State
from rlx.types import Key, MultiDiscrete

Place = tuple[int, int]  # x to the right, y down

_PARAMETERS = (6, 4, 4, 4, 4, 7)  # command, directions to move, harvest, return and produce in, type to produce
_CODES = (5, 5, 3, 8, 6)  # values of hit points, resources, owner, kind and command in an observation


class Map(NamedTuple):
    """A square map; both players have a base and a worker."""

    side: int
    resources: dict[Place, int]
    base: Place
    worker: Place
    enemy_base: Place
    enemy_worker: Place


class MicroRTS(Environment[State, EnvParams]):
    """The task on `game_map`, which subclasses name.

    Args:
        mask_blocked: also mask one's units that are blocked, which the observation does not show.
        sum_reservations: make a production wait until there are resources for all running ones together, as in
            later engines; in the paper's each of them is counted by itself, and resources can become negative.
    """

    game_map: Map
    counters = ("invalid_null", "invalid_owner", "invalid_busy")

    def __init__(self, mask_blocked: bool = False, sum_reservations: bool = False) -> None:
        self.mask_blocked = mask_blocked
        self.sum_reservations = sum_reservations

    @property
    def default_params(self) -> EnvParams:
        """The paper's time limit."""
        return EnvParams(max_steps_in_episode=200)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, State]:
        """The map's only start."""
        state = _start(self.game_map)
        return self.observe(key, state, None, params), state

    def step_env(
        self, key: Key, state: State, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, State, jax.Array, jax.Array, dict[str, Any]]:
        """Give one command and play ten ticks; ``info`` counts invalid commands, 0 or 1 of each sort."""
        state, reward, info = rules.step(state, action, self.game_map.side, self.sum_reservations)
        depleted = ~jnp.any(state.kind == rules.RESOURCE)
        return self.observe(key, state, action, params), state, reward, depleted, info

    def observe(self, key: Key, state: State, action: jax.Array | None, params: EnvParams) -> jax.Array:
        """Five one-hot codes a cell, bool ``[side, side, 27]``.

        They are: hit points (0 to 4 and above), resources (the same), owner, kind, and command.
        """
        codes = [jnp.minimum(state.hit_points, 4), jnp.minimum(state.amount, 4), state.owner, state.kind, state.command]
        # One byte each, because on the large maps a step takes as long as it takes to write its observation.
        planes = [_one_hot(code, size) for code, size in zip(codes, _CODES, strict=True)]
        return jnp.concatenate(planes, axis=-1).reshape(self.game_map.side, self.game_map.side, sum(_CODES))

    def action_mask(self, state: State, params: EnvParams) -> jax.Array:
        """Sources are one's own units that show no command, targets are the enemy's; all else is valid.

        A unit that is blocked shows no command either. Of both components, nothing at all can be valid.
        """
        source = (state.owner == rules.OWN) & (state.command == rules.NONE)
        if self.mask_blocked:
            source &= state.ticks == 0
        return jnp.concatenate([source, jnp.ones(sum(_PARAMETERS), bool), state.owner == rules.ENEMY])

    def action_space(self, params: EnvParams) -> MultiDiscrete:
        """Source cell, parameters, target cell of an attack."""
        cells = self.game_map.side**2
        return MultiDiscrete((cells, *_PARAMETERS, cells))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Zeros and ones."""
        return spaces.Box(0, 1, (self.game_map.side, self.game_map.side, sum(_CODES)), jnp.bool_)


class MicroRTS4x4(MicroRTS):
    """The paper's map of 4 x 4 cells."""

    game_map = Map(4, {(0, 0): 20, (3, 3): 20}, (2, 1), (1, 1), (1, 2), (2, 2))


class MicroRTS10x10(MicroRTS):
    """The paper's map of 10 x 10 cells."""

    game_map = Map(10, {(0, 0): 20, (9, 9): 20}, (2, 1), (1, 1), (7, 8), (8, 8))


class MicroRTS16x16(MicroRTS):
    """The paper's map of 16 x 16 cells."""

    game_map = Map(16, {(0, 1): 20, (15, 14): 25}, (2, 2), (1, 1), (13, 13), (14, 14))


class MicroRTS24x24(MicroRTS):
    """The paper's map of 24 x 24 cells."""

    game_map = Map(24, {(0, 1): 20, (23, 22): 25}, (2, 2), (1, 1), (21, 21), (22, 22))


def _one_hot(code: jax.Array, size: int) -> jax.Array:
    return code[:, None] == np.arange(size, dtype=np.uint8)


def _start(game_map: Map) -> State:
    """Where every episode begins."""
    kind, owner, amount = np.zeros((3, game_map.side**2), np.uint8)
    for (x, y), resources in game_map.resources.items():
        kind[y * game_map.side + x] = rules.RESOURCE
        amount[y * game_map.side + x] = resources
    for whose, base, worker in (
        (rules.OWN, game_map.base, game_map.worker),
        (rules.ENEMY, game_map.enemy_base, game_map.enemy_worker),
    ):
        for what, (x, y) in ((rules.BASE, base), (rules.WORKER, worker)):
            kind[y * game_map.side + x] = what
            owner[y * game_map.side + x] = whose
    nothing = jnp.zeros(game_map.side**2, rules.BYTE)
    return State(
        time=jnp.zeros((), jnp.int32),
        gold=jnp.full((), 5, jnp.int32),
        kind=jnp.asarray(kind),
        owner=jnp.asarray(owner),
        hit_points=jnp.asarray(rules.HIT_POINTS[kind], rules.BYTE),
        amount=jnp.asarray(amount),
        command=nothing,
        direction=nothing,
        ticks=nothing,
        arriving=nothing,
        price=nothing,
    )
