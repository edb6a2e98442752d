"""The harvest task of microRTS: the paper's game, step for step as an independent reference plays it."""

import functools
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from microrts_reference import ATTACK, ENEMY, HARVEST, KINDS, MOVE, NONE, OWN, PRODUCE, RETURN, START, TYPES, Game, Unit

from rlx.envs import microrts_rules as rules
from rlx.envs import vector
from rlx.envs.api import make_env
from rlx.types import MultiDiscrete

UP, RIGHT, DOWN, LEFT = range(4)
BASE, BARRACKS, WORKER, LIGHT, HEAVY, RANGED = range(1, 7)
MAPS = tuple(START)
NOTHING = {"invalid_null": 0, "invalid_busy": 0, "invalid_owner": 0}


def order(cell, command, direction=0, product=0, target=0):
    return [cell, command, *[direction] * 4, product, target]


def board(gold, units):
    """A game on 4x4 with just these units, ``(x, y): (type, owner)``, and a resource of 20 in the corner (3, 3)."""
    game = Game("4x4", gold=gold)
    game.units = {xy: Unit(kind, owner, KINDS[kind].hp) for xy, (kind, owner) in units.items()}
    game.units[3, 3] = Unit("Resource", 0, 1, 20)
    return game


def state_of(game):
    """A game in which nothing runs, as the environment keeps it."""
    cells = game.side**2
    kind, owner, hit_points, amount = np.zeros((4, cells), np.uint8)
    for xy, unit in game.units.items():
        i = game.cell(xy)
        kind[i], owner[i], hit_points[i], amount[i] = TYPES.index(unit.type) + 1, unit.owner, unit.hp, unit.resources
    idle = np.zeros(cells, np.uint8)
    return rules.State(np.int32(0), np.int32(game.gold), kind, owner, hit_points, amount, *[idle] * 5)


@functools.cache
def one_step(name, **options):
    env = make_env(f"rlx/microrts-{name}", **options)

    @jax.jit
    def step(state, action):
        obs, state, reward, terminated, info = env.task.step_env(jax.random.key(0), state, action, env.params)
        return state, obs, reward, terminated, env.task.action_mask(state, env.params), info

    return step


class Session:
    """A game in the environment, one order after another."""

    def __init__(self, name="4x4", game=None, **options):
        self.state, self.cells = state_of(game or Game(name)), START[name][0] ** 2
        self.step = one_step(name, **options)

    def __call__(self, *words, **named):
        action = np.array(order(*words, **named), np.int32)
        self.state, self.obs, reward, terminated, self.mask, info = jax.device_get(self.step(self.state, action))
        self.terminated, self.info = bool(terminated), {name: int(count) for name, count in info.items()}
        return float(reward)

    def sources(self):
        return np.flatnonzero(self.mask[: self.cells]).tolist()

    def targets(self):
        return np.flatnonzero(self.mask[-self.cells :]).tolist()

    def shown(self, cell):
        """The command that the observation shows."""
        return int(self.obs.reshape(-1, 27)[cell, 21:].argmax())

    def kind(self, cell):
        return int(self.obs.reshape(-1, 27)[cell, 13:21].argmax()) - 1


# The start and its encoding


@pytest.mark.parametrize("name", MAPS)
def test_start(name):
    env, game = make_env(f"rlx/microrts-{name}"), Game(name)
    obs, state = env.task.reset_env(jax.random.key(0), env.params)
    cells = game.side**2
    np.testing.assert_array_equal(obs, game.observe())
    np.testing.assert_array_equal(env.task.action_mask(state, env.params), game.mask())
    assert int(obs.sum()) == 5 * cells
    assert int(state.gold) == 5
    assert env.spec.action_space == MultiDiscrete((cells, 6, 4, 4, 4, 4, 7, cells))
    assert env.spec.obs_shape == (game.side, game.side, 27)
    assert env.spec.has_action_mask
    assert env.spec.max_episode_steps == 200


def test_start_of_the_smallest_map_in_numbers():
    env = make_env("rlx/microrts-4x4")
    obs, state = env.task.reset_env(jax.random.key(0), env.params)
    mask = env.task.action_mask(state, env.params)
    assert mask.shape == (61,)
    assert np.flatnonzero(mask[:16]).tolist() == [5, 6]
    assert np.flatnonzero(mask[-16:]).tolist() == [9, 10]
    assert mask[16:-16].all()
    assert int(obs.sum()) == 80
    # hit points | resources | owner | kind | command: a resource, one's own worker, one's own base, an enemy's base.
    assert np.flatnonzero(obs[0, 0]).tolist() == [1, 9, 10, 14, 21]
    assert np.flatnonzero(obs[1, 1]).tolist() == [1, 5, 11, 17, 21]
    assert np.flatnonzero(obs[1, 2]).tolist() == [4, 5, 11, 15, 21]
    assert np.flatnonzero(obs[2, 1]).tolist() == [4, 5, 12, 15, 21]
    assert np.flatnonzero(obs[3, 0]).tolist() == [0, 5, 10, 13, 21]


# Single rules


def test_harvest_and_return():
    play = Session()
    assert play(5, MOVE, UP) == 0
    assert play.sources() == [1, 6]
    assert play(1, HARVEST, LEFT) == 1
    assert play.state.amount[[0, 1]].tolist() == [19, 1]
    assert np.flatnonzero(play.obs[0, 1]).tolist() == [1, 6, 11, 17, 21]
    assert play(1, MOVE, RIGHT) == 0
    assert int(play.state.gold) == 5
    assert play(2, RETURN, DOWN) == 1
    assert int(play.state.gold) == 6
    assert play.state.amount[2] == 0


def test_worker_that_carries_cannot_harvest_and_empty_hands_cannot_return():
    play = Session()
    play(5, MOVE, UP)
    assert [play(1, HARVEST, LEFT), play(1, HARVEST, LEFT), play(1, HARVEST, LEFT)] == [1, 0, 0]
    play(1, MOVE, RIGHT)
    assert [play(2, RETURN, DOWN), play(2, RETURN, DOWN)] == [1, 0]


def test_blocked_for_ten_ticks_is_free_again():
    play = Session()
    assert play(5, HARVEST, UP) == 0
    np.testing.assert_array_equal(play.obs, Game("4x4").observe())
    play(5, MOVE, UP)
    assert play.info == NOTHING
    assert play.sources() == [1, 6]


def test_blocked_as_long_as_the_request_would_take():
    play, hidden = Session(), Session(mask_blocked=True)
    for session in (play, hidden):
        session(5, PRODUCE, UP, product=LIGHT)
        np.testing.assert_array_equal(session.obs, Game("4x4").observe())
    assert play.sources() == [5, 6]  # though it is blocked
    assert hidden.sources() == [6]
    for _ in range(7):
        play(5, MOVE, UP)
        assert play.info == NOTHING | {"invalid_busy": 1}
        assert play.sources() == [5, 6]
    play(5, MOVE, UP)
    assert play.info == NOTHING
    assert play.sources() == [1, 6]


@pytest.mark.parametrize(
    ("units", "words", "steps"),
    [
        ({(0, 0): ("Worker", OWN)}, {"command": PRODUCE, "direction": RIGHT, "product": BASE}, 25),
        ({(0, 0): ("Worker", OWN)}, {"command": PRODUCE, "direction": UP, "product": BARRACKS}, 20),
        ({(0, 0): ("Base", OWN)}, {"command": PRODUCE, "direction": RIGHT, "product": RANGED}, 10),
        ({(0, 0): ("Base", OWN)}, {"command": PRODUCE, "direction": RIGHT, "product": 0}, 1),
        ({(0, 0): ("Heavy", OWN)}, {"command": MOVE, "direction": UP}, 2),
        ({(0, 0): ("Heavy", OWN)}, {"command": RETURN, "direction": RIGHT}, 2),
        ({(0, 0): ("Light", OWN)}, {"command": MOVE, "direction": UP}, 1),
        ({(0, 0): ("Base", OWN)}, {"command": ATTACK, "target": 5}, 1),
        ({(0, 0): ("Worker", OWN)}, {"command": ATTACK, "target": 5}, 1),
    ],
)
def test_steps_that_an_illegal_order_blocks(units, words, steps):
    play = Session(game=board(5, units))
    play(0, **words)
    np.testing.assert_array_equal(play.obs, board(5, units).observe())
    for _ in range(steps - 1):
        play(0, **words)
        assert play.info["invalid_busy"] == 1
    play(0, **words)
    assert play.info["invalid_busy"] == 0


def test_production_is_shown_and_paid_when_it_ends():
    play = Session()
    for _ in range(4):
        play(6, PRODUCE, UP, product=WORKER)
        assert play.shown(6) == PRODUCE
        assert play.sources() == [5]
        assert int(play.state.gold) == 5
    assert play.info == NOTHING | {"invalid_busy": 1}  # though the order is the same
    play(6, NONE)
    assert play.info == NOTHING
    assert play.sources() == [2, 5, 6]
    assert play.kind(2) == WORKER
    assert int(play.state.gold) == 4


def test_counters():
    play = Session()
    for cell, command, counted in [
        (3, MOVE, "invalid_null"),
        (3, NONE, "invalid_null"),
        (0, NONE, "invalid_owner"),  # a resource
        (15, MOVE, "invalid_owner"),
        (10, ATTACK, "invalid_owner"),  # an enemy
    ]:
        play(cell, command)
        assert play.info == NOTHING | {counted: 1}


def test_heavy_moves_for_two_steps():
    play = Session(game=board(0, {(0, 0): ("Heavy", OWN), (1, 1): ("Worker", OWN)}))
    play(0, MOVE, RIGHT)
    assert (play.kind(0), play.shown(0), play.kind(1)) == (HEAVY, MOVE, -1)
    assert play.sources() == [5]
    play(5, MOVE, UP)  # the cell that the heavy is on its way to: refused, but not blocked
    assert play.info == NOTHING
    assert (play.kind(0), play.kind(1), play.shown(1), play.kind(5)) == (-1, HEAVY, NONE, WORKER)
    play(5, MOVE, LEFT)
    assert play.info == NOTHING
    assert play.sources() == [1, 4]
    assert int(play.state.hit_points[1]) == 4


def test_nothing_runs_into_a_cell_that_production_has_reserved():
    play = Session(game=board(5, {(0, 0): ("Base", OWN), (2, 0): ("Worker", OWN), (1, 1): ("Worker", OWN)}))
    play(0, PRODUCE, RIGHT, product=WORKER)
    play(2, MOVE, LEFT)
    play(5, PRODUCE, UP, product=BARRACKS)
    assert play.shown(5) == NONE
    assert play.sources() == [2, 5]
    play(2, MOVE, RIGHT)
    assert play.info == NOTHING
    assert play.sources() == [3, 5]


@pytest.mark.parametrize(("sum_reservations", "gold"), [(False, -1), (True, 1)])
def test_productions_reserve_pairwise_or_together(sum_reservations, gold):
    places = [(0, 0), (2, 0), (0, 2)]
    play = Session(game=board(5, {xy: ("Barracks", OWN) for xy in places}), sum_reservations=sum_reservations)
    for cell in (0, 2, 8):
        play(cell, PRODUCE, RIGHT, product=LIGHT)
    assert play.shown(8) == (NONE if sum_reservations else PRODUCE)
    for _ in range(8):
        play(15, NONE)
    assert int(play.state.gold) == gold
    assert [play.kind(cell) for cell in (1, 3, 9)] == [LIGHT, LIGHT, -1 if sum_reservations else LIGHT]


@pytest.mark.parametrize(
    ("kind", "place", "damage"),
    [
        ("Worker", (0, 1), 1),
        ("Worker", (1, 1), 0),
        ("Light", (1, 0), 2),
        ("Heavy", (0, 1), 4),
        ("Ranged", (3, 0), 1),
        ("Ranged", (2, 2), 1),
        ("Ranged", (3, 1), 0),
        ("Barracks", (0, 1), 0),
    ],
)
def test_attacks(kind, place, damage):
    game = board(0, {(0, 0): ("Base", ENEMY), place: (kind, OWN)})
    play = Session(game=game)
    cell = game.cell(place)
    for hits in range(1, 5):
        play(cell, ATTACK, target=0)
        assert int(play.state.hit_points[0]) == max(0, 10 - damage * hits)
        assert play.kind(0) == (-1 if damage * hits >= 10 else BASE)
        assert play.targets() == ([] if damage * hits >= 10 else [0])
    assert not play.terminated


def test_masks_can_be_empty():
    play = Session(game=board(5, {(0, 0): ("Base", OWN)}))
    play(0, PRODUCE, RIGHT, product=WORKER)
    assert play.sources() == play.targets() == []
    assert int(play.mask.sum()) == 29


# Scripted play


def harvest_all(name):
    """What takes the resource beside one's base and brings it home, 20 times."""
    if name in ("4x4", "10x10"):
        side = START[name][0]
        trip = [order(1, HARVEST, LEFT), order(1, MOVE, RIGHT), order(2, RETURN, DOWN), order(2, MOVE, LEFT)]
        return [order(side + 1, MOVE, UP), *trip * 20]
    here, beside = START[name][0] + 1, START[name][0] + 2
    trip = [
        order(here, HARVEST, LEFT),
        order(here, MOVE, RIGHT),
        order(beside, RETURN, DOWN),
        order(beside, MOVE, LEFT),
    ]
    return trip * 20


def empty_4x4():
    """The quickest way to use up both resources of the smallest map, where the last one cannot be brought home."""
    walk = [order(2, MOVE, RIGHT), order(3, MOVE, DOWN), order(7, MOVE, DOWN)]
    trip = [order(11, HARVEST, DOWN), order(11, MOVE, UP), order(7, RETURN, LEFT), order(7, MOVE, DOWN)]
    return harvest_all("4x4")[:-1] + walk + (trip * 20)[:-3]


@pytest.mark.parametrize(("name", "steps"), [("4x4", 81), ("10x10", 81), ("16x16", 80), ("24x24", 80)])
def test_resource_beside_the_base_is_worth_40(name, steps):
    play, script = Session(name), np.array(harvest_all(name))
    rewards = [play(*action[[0, 1, 2]]) for action in script]
    assert len(rewards) == steps
    assert sum(rewards) == 40
    assert rewards[-2] == 1  # only the last move is idle
    assert int(play.state.gold) == 25
    assert not play.terminated


def test_smallest_map_can_be_emptied_for_79():
    play, rewards, ends = Session(), [], []
    for action in empty_4x4():
        rewards.append(play(*action[:3]))
        ends.append(play.terminated)
    assert sum(rewards) == 79
    assert ends == [False] * 159 + [True]


@pytest.mark.parametrize(("limit", "ends"), [(200, (160, 200)), (160, (160, 160)), (159, (159, 159))])
def test_used_up_is_terminated_and_time_up_is_truncated(limit, ends):
    """Two games side by side: one uses up the resources, the other idles."""
    env = make_env("rlx/microrts-4x4", max_episode_steps=limit)
    script = np.zeros((200, 2, 8), np.int32)
    script[:160, 0] = empty_4x4()

    @jax.jit
    def run(key):
        state, _ = vector.reset(env, key, 2)
        return jax.lax.scan(lambda state, action: vector.step(env, state, action, key), state, jnp.asarray(script))[1]

    steps = jax.device_get(run(jax.random.key(0)))
    first_end = [int(np.argmax(steps.terminated[:, i] | steps.truncated[:, i])) + 1 for i in range(2)]
    assert first_end == list(ends)
    emptied = ends[0] == 160
    assert steps.terminated[ends[0] - 1].tolist() == [emptied, False]
    assert steps.truncated[ends[1] - 1].tolist() == [not emptied and limit < 160, True]
    start = Game("4x4")
    np.testing.assert_array_equal(steps.obs[ends[0] - 1, 0], start.observe())
    np.testing.assert_array_equal(steps.action_mask[ends[0] - 1, 0], start.mask())
    if emptied:
        assert not steps.final_obs[159, 0, :, :, 14].any()  # no resource is left
        assert steps.episode_step[159, 0] == 0


# Random play, against the reference


def uniform(game, rng):
    cells = game.side**2
    return [rng.randrange(n) for n in (cells, 6, 4, 4, 4, 4, 7, cells)]


def masked(game, rng):
    """Uniform over the valid choices; over all where none is."""
    cells, mask = game.side**2, game.mask()
    sources, targets = np.flatnonzero(mask[:cells]).tolist(), np.flatnonzero(mask[-cells:]).tolist()
    action = uniform(game, rng)
    return [rng.choice(sources or range(cells)), *action[1:7], rng.choice(targets or range(cells))]


def able(game, rng):
    """Mostly what can be obeyed, and by choice no mere move."""
    action = masked(game, rng)
    for _ in range(40):
        attempt = masked(game, rng)
        place = game.xy(attempt[0])
        unit = game.units.get(place)
        free = unit is not None and unit.owner == OWN and unit.assignment is None
        if free and attempt[1] != NONE and game.legal(place, attempt):
            action = attempt
            if action[1] != MOVE:
                break
    return action if rng.random() < 0.9 else uniform(game, rng)


def scattered(name, rng, **options):
    """A game in its middle: units of every type all over the map."""
    game = Game(name, gold=rng.randrange(25), **options)
    for _ in range(min(40, game.side**2 // 3)):
        place, kind = (rng.randrange(game.side), rng.randrange(game.side)), rng.choice(TYPES)
        if place not in game.units:
            owner = 0 if kind == "Resource" else rng.choice((OWN, ENEMY))
            game.units[place] = Unit(kind, owner, KINDS[kind].hp, 0 if owner else rng.randrange(1, 4))
    return game


def play(game, rng, choose, length):
    """The start of a game, the actions, what came of them, and how many steps it had; the rest repeats the last."""
    start, record = state_of(game), []
    for _ in range(length):
        action = choose(game, rng)
        reward, used_up, _, counters = game.step(action)
        record.append((action, reward, used_up, counters, game.gold, game.observe(), game.mask()))
        if used_up:
            break
    record += [record[-1]] * (length - len(record))
    return start, [np.array(column) for column in zip(*record, strict=True)], game.steps


@functools.cache
def replay(name, **options):
    """A jitted function of starts ``[B]`` and actions ``[B, T, 8]``: what the environment makes of them."""
    env = make_env(f"rlx/microrts-{name}", **options)

    def one(state, actions):
        def step(state, action):
            obs, state, reward, terminated, info = env.task.step_env(jax.random.key(0), state, action, env.params)
            counters = jnp.stack([info["invalid_null"], info["invalid_busy"], info["invalid_owner"]])
            return state, (reward, terminated, counters, state.gold, obs, env.task.action_mask(state, env.params))

        return jax.lax.scan(step, state, actions)[1]

    return jax.jit(jax.vmap(one))


def compare(name, seed, length=200, **options):
    """Play the reference in every way, replay it in the environment, and return all that happened and the steps."""
    rng = random.Random(seed)
    games = [(Game(name, **options), choose) for choose in (uniform, masked, masked, able, able, able, able)]
    games += [(scattered(name, rng, **options), choose) for choose in (masked, able, able, able, able)]
    starts, columns, steps = zip(*(play(game, rng, choose, length) for game, choose in games), strict=True)
    actions = np.stack([column[0] for column in columns]).astype(np.int32)
    ours = jax.device_get(replay(name, **options)(jax.tree.map(lambda *x: np.stack(x), *starts), actions))
    for i, valid in enumerate(steps):
        whats = ("reward", "terminated", "counters", "gold", "observation", "mask")
        for what, mine, theirs in zip(whats, ours, columns[i][1:], strict=True):
            np.testing.assert_array_equal(mine[i, :valid], theirs[:valid], err_msg=f"{what} of game {i}")
    assert (ours[4].sum(axis=-1) == 5).all()
    return set.union(*(game.happened for game, _ in games)), sum(steps)


@pytest.mark.parametrize("name", MAPS)
def test_equals_the_reference(name):
    happened, steps = zip(*(compare(name, seed) for seed in (1, 2, 3)), strict=True)
    happened = set.union(*happened)
    assert sum(steps) >= 5000
    assert {f"{kind} made" for kind in TYPES[1:]} <= happened
    assert {"blocked", "same target", "overspending", "gold below zero"} <= happened
    assert {what.split()[-1] for what in happened if "killed" in what} == {"Worker", "Light", "Heavy", "Ranged"}


def test_options_equal_the_reference():
    happened, _ = compare("4x4", seed=2, sum_reservations=True, mask_blocked=True)
    assert "overspending" in happened


def test_many_games_equal_each_alone():
    rng = random.Random(3)
    games = [scattered("4x4", rng) for _ in range(5)]
    states, actions = [state_of(game) for game in games], [np.array(able(game, rng), np.int32) for game in games]
    stacked = jax.tree.map(lambda *x: np.stack(x), *states)
    together = jax.vmap(one_step("4x4"))(stacked, np.stack(actions))
    for i, (state, action) in enumerate(zip(states, actions, strict=True)):
        alone = one_step("4x4")(state, action)
        jax.tree.map(lambda many, one, i=i: np.testing.assert_array_equal(many[i], one), together, alone)
