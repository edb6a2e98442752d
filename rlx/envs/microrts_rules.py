"""The rules of microRTS as its harvest task plays them: one command a step, then ten ticks of the game.

Source: Huang and Ontañón 2022, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms", and the engine
that it ran on, Farama-Foundation/MicroRTS of April 2020. The opponent never acts, so no unit of one's own is ever
damaged. Cells are numbered row by row, ``y * side + x``, and a state is flat arrays over them.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rlx.envs.gymnax_api import EnvState

TICKS = 10  # in a step
BYTE = jnp.uint8  # of what a state says of a cell; production takes up to 250 ticks

NOBODY, OWN, ENEMY = range(3)
NONE, MOVE, HARVEST, RETURN, PRODUCE, ATTACK = range(6)
# What stands on a cell. Actions name a type of unit by this number less one.
EMPTY, RESOURCE, BASE, BARRACKS, WORKER, LIGHT, HEAVY, RANGED = range(8)

# For each of these eight kinds; also how long a unit is blocked by a command that it can never obey.
COST = np.array([0, 1, 10, 5, 1, 2, 2, 2])
HIT_POINTS = np.array([0, 1, 10, 4, 1, 4, 4, 1])
_REACH = np.array([0, 0, 0, 0, 1, 1, 1, 3])
_DAMAGE = np.array([0, 0, 0, 0, 1, 2, 4, 1])
_PRODUCE_TICKS = np.array([0, 10, 250, 200, 50, 80, 120, 100])
_MOVE_TICKS = np.array([0, 10, 10, 10, 10, 8, 12, 10])
_HARVEST_TICKS = np.array([0, 10, 10, 10, 10, 10, 10, 10])
_ATTACK_TICKS = np.array([0, 10, 10, 10, 5, 5, 5, 5])
_PRODUCES = np.zeros((8, 8), bool)
_PRODUCES[BASE, WORKER] = True
_PRODUCES[BARRACKS, [LIGHT, HEAVY, RANGED]] = True
_PRODUCES[WORKER, [BASE, BARRACKS]] = True

# To the next cell up, right, down and left.
_RIGHT, _DOWN = np.array([0, 1, 0, -1]), np.array([-1, 0, 1, 0])


@struct.dataclass
class State(EnvState):
    """A game; all but the first two are uint8 ``[cells]``, and 0 where they say nothing.

    Attributes:
        time: int32, steps taken.
        gold: int32, one's own resources; productions can make it negative.
        kind: what stands there.
        owner: whose it is.
        hit_points: at most 10.
        amount: resources left in a resource, or carried by a worker.
        command: what a unit is doing: ``MOVE`` or ``PRODUCE``, as only these outlast a step; ``NONE`` while blocked.
        direction: of that command.
        ticks: until the unit there is free again, or until a unit arrives there.
        arriving: kind of the unit that will be there, once it has moved or is made.
        price: of that unit, to be paid when it is made; 0 if it moves.
    """

    time: jax.Array
    gold: jax.Array
    kind: jax.Array
    owner: jax.Array
    hit_points: jax.Array
    amount: jax.Array
    command: jax.Array
    direction: jax.Array
    ticks: jax.Array
    arriving: jax.Array
    price: jax.Array


class Cell(NamedTuple):
    """What a state says of one cell: int32 scalars, named as there."""

    kind: jax.Array
    owner: jax.Array
    hit_points: jax.Array
    amount: jax.Array
    command: jax.Array
    direction: jax.Array
    ticks: jax.Array
    arriving: jax.Array
    price: jax.Array


class Order(NamedTuple):
    """A command with the parameters that it reads; int32 scalars, but for one.

    Attributes:
        command: from ``NONE`` to ``ATTACK``.
        cell: whose unit is to obey.
        target: cell that the command is aimed at.
        inside: bool, whether that lies on the map.
        direction: 0 up, 1 right, 2 down, 3 left; meaningless for ``ATTACK``.
        product: kind to produce.
        distance: squared, from cell to target.
    """

    command: jax.Array
    cell: jax.Array
    target: jax.Array
    inside: jax.Array
    direction: jax.Array
    product: jax.Array
    distance: jax.Array


def step(
    state: State, action: jax.Array, side: int, sum_reservations: bool
) -> tuple[State, jax.Array, dict[str, jax.Array]]:
    """Give one command and play ten ticks.

    Args:
        state: the game.
        action: int32 ``[8]``: source cell, command, directions to move, harvest, return and produce in, type to
            produce, cell to attack.
        side: width and height of the map.
        sum_reservations: whether a production needs resources for all running ones together, as in later engines, or
            for each of them by itself.

    Returns:
        The game after the step, the reward, and the counters of invalid commands.
    """
    order = _read(action, side)
    unit, there = _look(state, order.cell), _look(state, order.target)
    empty, own = unit.kind == EMPTY, unit.owner == OWN
    busy = own & (unit.ticks > 0) & (order.command != NONE)
    obeys = own & ~busy & (order.command != NONE)
    legal = _is_legal(order, unit, there, state.gold)
    starts = obeys & legal & ~_in_conflict(order, there, state, sum_reservations)
    earned = starts & (order.command == RETURN)
    reward = earned | (starts & (order.command == HARVEST))
    unit, there = _outcome(order, unit, there, starts)
    # Nothing runs on the cells that a command changes: returning leaves the base, which may be producing, as it is.
    state = _advance(state)
    state = _put(state, order.cell, unit, starts | (obeys & ~legal))
    state = _put(state, order.target, there, starts & ~earned)
    invalid = {"invalid_null": empty, "invalid_busy": busy, "invalid_owner": ~empty & ~own}
    state = dataclasses.replace(state, time=state.time + 1, gold=state.gold + earned)
    return state, reward.astype(jnp.float32), {name: flag.astype(jnp.int32) for name, flag in invalid.items()}


def _read(action: jax.Array, side: int) -> Order:
    cell, command = action[0], action[1]
    direction = action[jnp.clip(command + 1, 2, 5)]
    x, y = cell % side, cell // side
    attacks = command == ATTACK
    to_x = jnp.where(attacks, action[7] % side, x + jnp.asarray(_RIGHT)[direction])
    to_y = jnp.where(attacks, action[7] // side, y + jnp.asarray(_DOWN)[direction])
    return Order(
        command=command,
        cell=cell,
        target=jnp.clip(to_y * side + to_x, 0, side * side - 1),
        inside=(to_x >= 0) & (to_x < side) & (to_y >= 0) & (to_y < side),
        direction=direction,
        product=action[6] + 1,
        distance=(to_x - x) ** 2 + (to_y - y) ** 2,
    )


def _look(state: State, cell: jax.Array) -> Cell:
    return Cell(*(getattr(state, name)[cell].astype(jnp.int32) for name in Cell._fields))


def _put(state: State, cell: jax.Array, said: Cell, condition: jax.Array) -> State:
    """Replace what ``state`` says of ``cell``, on condition; comparing all cells is faster than a scatter."""
    here = (np.arange(state.kind.shape[0]) == cell) & condition
    fields = {name: jnp.where(here, x.astype(BYTE), getattr(state, name)) for name, x in said._asdict().items()}
    return dataclasses.replace(state, **fields)


def _is_legal(order: Order, unit: Cell, there: Cell, gold: jax.Array) -> jax.Array:
    """Whether the unit can do what it is told as the board stands."""
    worker, fighter = unit.kind == WORKER, unit.kind >= WORKER
    makes = jnp.asarray(_PRODUCES)[unit.kind, order.product] & (jnp.asarray(COST)[order.product] <= gold)
    in_reach = order.distance <= jnp.asarray(_REACH)[unit.kind] ** 2
    return order.inside & (
        ((order.command == MOVE) & fighter & (there.kind == EMPTY))
        | ((order.command == HARVEST) & worker & (unit.amount == 0) & (there.kind == RESOURCE))
        | ((order.command == RETURN) & worker & (unit.amount > 0) & (there.kind == BASE) & (there.owner == OWN))
        | ((order.command == PRODUCE) & makes & (there.kind == EMPTY))
        | ((order.command == ATTACK) & fighter & in_reach & (there.owner == ENEMY))
    )


def _in_conflict(order: Order, there: Cell, state: State, sum_reservations: bool) -> jax.Array:
    """Whether a legal order wants the cell that another unit will be on, or what productions will be paid with."""
    reserved = state.price.sum(dtype=jnp.int32) if sum_reservations else state.price.max().astype(jnp.int32)
    too_dear = reserved + jnp.asarray(COST)[order.product] > state.gold
    return (there.arriving != EMPTY) | ((order.command == PRODUCE) & too_dear)


def _duration(order: Order, kind: jax.Array) -> jax.Array:
    """Ticks that the order takes, or blocks the unit for if it cannot be obeyed."""
    walk, harvest, attack = (jnp.asarray(x)[kind] for x in (_MOVE_TICKS, _HARVEST_TICKS, _ATTACK_TICKS))
    produce = jnp.asarray(_PRODUCE_TICKS)[order.product]
    return jnp.select(
        [order.command == HARVEST, order.command == PRODUCE, order.command == ATTACK], [harvest, produce, attack], walk
    )


def _outcome(order: Order, unit: Cell, there: Cell, starts: jax.Array) -> tuple[Cell, Cell]:
    """The two cells ten ticks after an order that starts, or else blocks the unit."""
    ticks = jnp.maximum(_duration(order, unit.kind) - TICKS, 0)
    move, produce = starts & (order.command == MOVE), starts & (order.command == PRODUCE)
    harvest, back = starts & (order.command == HARVEST), starts & (order.command == RETURN)
    moved, lasts = move & (ticks == 0), produce | (move & (ticks > 0))
    nothing = Cell(*jnp.zeros((len(Cell._fields), *ticks.shape), jnp.int32))
    amount = there.amount - harvest
    hit_points = there.hit_points - jnp.where(starts & (order.command == ATTACK), jnp.asarray(_DAMAGE)[unit.kind], 0)
    gone = (harvest & (amount == 0)) | ((hit_points <= 0) & (there.kind != EMPTY))
    aimed_at = there._replace(
        hit_points=hit_points,
        amount=amount,
        ticks=jnp.where(lasts, ticks, there.ticks),
        arriving=jnp.where(produce, order.product, jnp.where(lasts, unit.kind, EMPTY)),
        price=jnp.where(produce, jnp.asarray(COST)[order.product], 0),
    )
    acting = unit._replace(
        amount=jnp.where(harvest, 1, jnp.where(back, 0, unit.amount)),
        command=jnp.where(lasts, order.command, NONE),
        direction=order.direction,
        ticks=ticks,
    )
    return _either(moved, nothing, acting), _either(gone, nothing, _either(moved, unit, aimed_at))


def _either(condition: jax.Array, yes: Cell, no: Cell) -> Cell:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _advance(state: State) -> State:
    """Play ten ticks of what runs."""
    ends = (state.ticks > 0) & (state.ticks <= TICKS)
    leaves, arrives = ends & (state.command == MOVE), ends & (state.arriving != EMPTY)
    return dataclasses.replace(
        state,
        gold=state.gold - jnp.where(arrives, state.price, 0).sum(dtype=jnp.int32),
        kind=jnp.where(arrives, state.arriving, jnp.where(leaves, EMPTY, state.kind)),
        owner=jnp.where(arrives, BYTE(OWN), jnp.where(leaves, NOBODY, state.owner)),
        hit_points=jnp.where(arrives, _full(state.arriving), jnp.where(leaves, 0, state.hit_points)),
        command=jnp.where(ends, NONE, state.command),
        ticks=jnp.maximum(state.ticks, TICKS) - TICKS,
        arriving=jnp.where(ends, EMPTY, state.arriving),
        price=jnp.where(ends, 0, state.price),
    )


def _full(kind: jax.Array) -> jax.Array:
    """``HIT_POINTS[kind]`` by comparisons, which for many cells are faster than a gather."""
    return sum((jnp.where(kind == i, BYTE(HIT_POINTS[i]), 0) for i in range(8)), jnp.zeros_like(kind))
