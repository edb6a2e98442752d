import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlx.errors import ConfigurationError
from rlx.replay import replay as replays
from rlx.replay import rules, sampling
from rlx.replay.transitions import example_transition
from rlx.types import Discrete, EnvSpec, Transition

NUM_ENVS, CAPACITY, DISCOUNT = 3, 12, 0.9
SPEC = EnvSpec("task", (2,), "float32", Discrete(2), None, has_action_mask=True)
EXAMPLE = example_transition(SPEC).replace(extras={"log_prob": jnp.zeros(())})
RULES = {
    "uniform": rules.Uniform(),
    "newest": rules.Newest(4),
    "age": rules.ByAge(jnp.square),
    "prioritised": rules.Prioritised(0.4),
}

sample = jax.jit(replays.sample, static_argnums=3)
reprioritise = jax.jit(replays.reprioritise)


def history(length):
    """Episodes with ends of both kinds in every environment; each value tells its time and environment."""
    time, env = np.meshgrid(np.arange(length), np.arange(NUM_ENVS), indexing="ij")
    terminated = (time * (env + 2) + env) % 7 == 0
    truncated = ~terminated & ((time + env) % 5 == 0)
    value = (100 * time + env).astype(np.float32)
    mask = np.stack([time % 2 == 0, env % 2 == 0], axis=-1)
    return Transition(
        obs=np.stack([value, -value], axis=-1),
        action=(time % 2).astype(np.int32),
        reward=np.random.default_rng(0).normal(size=time.shape).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        next_obs=np.stack([value + 50, value], axis=-1),
        action_mask=mask,
        next_action_mask=~mask,
        extras={"log_prob": value / 8, "value": value},
        info={"lap": time},
    )


def rows(steps, start, stop):
    return jax.tree.map(lambda leaf: leaf[start:stop], steps)


def create(n=1, prioritise=False, rollout_length=2):
    # One transition more than whole rows, which is left out.
    return replays.create(EXAMPLE, CAPACITY * NUM_ENVS + 1, NUM_ENVS, rollout_length, n, prioritise)


def filled(steps, count, **settings):
    replay = create(**settings)
    for start in range(0, count, 2):
        replay = replays.add(replay, rows(steps, start, start + 2), start + 2)
    return replay


def time_of(index, count):
    """When the transition at an index was written, and by which environment, by counting the rows through."""
    slots = {}
    for time in range(count):
        slots[time % CAPACITY] = time
    return slots[index // NUM_ENVS], index % NUM_ENVS


def window_of(steps, time, env, n):
    """Return (discounted reward, discount, last time) of a window by walking the history."""
    reward, discount = 0.0, 1.0
    for last in range(time, time + n):
        reward += discount * float(steps.reward[last, env])
        discount *= DISCOUNT
        if steps.terminated[last, env] or steps.truncated[last, env]:
            break
    return reward, discount, last


def assert_windows(drawn, steps, count, n):
    """Compare every drawn window with the history, by its index; return when the windows start."""
    batch, times = drawn.batch, []
    for i, index in enumerate(np.asarray(drawn.indices).tolist()):
        time, env = time_of(index, count)
        assert max(count - CAPACITY, 0) <= time <= count - n
        reward, discount, last = window_of(steps, time, env, n)
        np.testing.assert_allclose([batch.reward[i], batch.discount[i]], [reward, discount], rtol=1e-5, atol=1e-6)
        for name in ("obs", "action", "action_mask"):
            np.testing.assert_array_equal(getattr(batch, name)[i], getattr(steps, name)[time, env])
        for name in ("next_obs", "next_action_mask", "terminated"):
            np.testing.assert_array_equal(getattr(batch, name)[i], getattr(steps, name)[last, env])
        assert batch.extras["log_prob"][i] == steps.extras["log_prob"][time, env]
        times.append(time)
    return times


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("count", [6, 32])  # not yet full; and wrapped, so windows cross the physical end
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_returns_the_windows_at_its_indices(rule, count, n):
    steps = history(count)
    replay = filled(steps, count, n=n, prioritise=True)
    drawn = sample(replay, count, jax.random.key(count), 256, RULES[rule], DISCOUNT)
    times = assert_windows(drawn, steps, count, n)
    oldest, newest = max(count - CAPACITY, 0), count - n
    if rule == "newest":
        oldest = max(newest - 3, oldest)
    assert set(times) == set(range(oldest, newest + 1))
    assert set(np.asarray(drawn.indices) % NUM_ENVS) == set(range(NUM_ENVS))
    np.testing.assert_array_equal(drawn.weights, np.ones(256))


def test_uniform_takes_the_bits_that_the_drawing_function_gives():
    steps, count = history(32), 32
    key = jax.random.key(5)
    drawn = sample(filled(steps, count), count, key, 64, rules.Uniform(), DISCOUNT)
    offset, env = sampling.uniform(key, CAPACITY, NUM_ENVS, 64)
    np.testing.assert_array_equal(drawn.batch.obs, steps.obs[20 + np.asarray(offset), np.asarray(env)])


def test_one_uniform_step_gathers_each_field_once():
    replay = filled(history(4), 4)
    draw = jax.make_jaxpr(lambda replay: replays.sample(replay, 4, jax.random.key(0), 8, rules.Uniform(), DISCOUNT))
    # Not `truncated`, which a single step does not need, nor any division to come from indices to rows.
    assert str(draw(replay)).count("gather[") == len(jax.tree.leaves(replay.ring)) - 1
    assert "div" not in str(draw(replay))


def test_ages_follow_a_table_of_weights():
    count, draws = 32, 20_000
    weights = np.arange(CAPACITY) ** 2.0  # the oldest never
    rule = rules.ByAge(sampling.inverse_cdf_of(weights))
    drawn = sample(filled(history(count), count), count, jax.random.key(1), draws, rule, DISCOUNT)
    times = np.asarray(drawn.batch.obs)[:, 0] // 100
    found = np.bincount(times.astype(int) - 20, minlength=CAPACITY) / draws
    np.testing.assert_allclose(found, weights / weights.sum(), atol=4 * 0.5 / np.sqrt(draws))
    assert found[0] == 0


@pytest.mark.parametrize(("n", "rollout_length"), [(1, 1), (3, 1), (3, 2), (2, 4)])
def test_priorities_and_windows_stay_together_across_wraps(n, rollout_length):
    steps = history(60)
    replay = create(n, True, rollout_length)
    priorities, largest = {}, 1.0  # by (time, environment), in plain Python
    write = jax.jit(replays.add)
    for count in range(rollout_length, 60, rollout_length):
        replay = write(replay, rows(steps, count - rollout_length, count), count)
        for time in range(max(count - rollout_length - n + 1, 0), count - n + 1):
            priorities |= {(time, env): largest for env in range(NUM_ENVS)}
        priorities = {entry: value for entry, value in priorities.items() if entry[0] >= count - CAPACITY}
        found = np.asarray(replay.priorities.levels[0]).ravel()[: CAPACITY * NUM_ENVS]
        expected = np.zeros(CAPACITY * NUM_ENVS, np.float32)
        for (time, env), value in priorities.items():
            expected[time % CAPACITY * NUM_ENVS + env] = value
        np.testing.assert_array_equal(found, expected)
        assert bool(replays.ready(replay, count)) == (len(priorities) > 0)
        if not priorities:
            continue
        drawn = sample(replay, count, jax.random.key(count), 16, rules.Prioritised(0.5), DISCOUNT)
        assert_windows(drawn, steps, count, n)
        entries = [time_of(index, count) for index in np.asarray(drawn.indices).tolist()]
        shares = np.array([priorities[entry] for entry in entries]) / sum(priorities.values())
        weights = (len(priorities) * shares) ** -0.5
        np.testing.assert_allclose(drawn.weights, weights / weights.max(), rtol=1e-4)
        fresh = np.array([1 + (time * 7 + env) % 5 / 4 for time, env in entries], np.float32)
        replay = reprioritise(replay, drawn.indices, fresh)
        priorities |= dict(zip(entries, fresh.tolist(), strict=True))
        largest = max(largest, fresh.max())


def test_waiting_rows_are_never_drawn_however_often_one_draws():
    steps, count = history(32), 32
    replay = filled(steps, count, n=3, prioritise=True)
    drawn = sample(replay, count, jax.random.key(0), 4096, rules.Prioritised(1.0), DISCOUNT)
    assert set((np.asarray(drawn.batch.obs)[:, 0] // 100).astype(int)) == set(range(20, 30))


def test_what_the_example_has_not_is_dropped():
    steps = history(2)
    replay = replays.add(create(), steps, 2)
    assert set(replay.ring.data.extras) == {"log_prob"}
    assert replay.ring.data.info == {}
    unmasked = replays.create(example_transition(SPEC).replace(action_mask=None, next_action_mask=None), 24, 3, 2)
    stored = replays.add(unmasked, steps, 2).ring.data
    assert (stored.action_mask, stored.next_action_mask, stored.extras) == (None, None, {})
    np.testing.assert_array_equal(stored.obs[:2], steps.obs)
    laps = replays.create(EXAMPLE.replace(info={"lap": jnp.int32(0)}), 24, 3, 2)
    np.testing.assert_array_equal(replays.add(laps, steps, 2).ring.data.info["lap"][:3], [[0] * 3, [1] * 3, [0] * 3])


def test_refuses_a_rollout_that_lacks_what_is_stored():
    steps = history(2)
    with pytest.raises(ConfigurationError, match=r"stores extras\['log_prob'\], which the rollout lacks"):
        replays.add(create(), steps.replace(extras={}), 2)
    with pytest.raises(ConfigurationError, match="stores action_mask, which the rollout lacks"):
        replays.add(create(), steps.replace(action_mask=None), 2)


@pytest.mark.parametrize("prioritise", [False, True])
def test_it_is_ready_once_a_whole_window_is_there(prioritise):
    replay = create(3, prioritise)
    assert [bool(replays.ready(replay, count)) for count in (0, 2, 3, 4, 100)] == [False, False, True, True, True]


@pytest.mark.parametrize("count", [2, 12, 18, 32])
@pytest.mark.parametrize("n", [1, 3, 8, 36])
def test_the_newest_come_in_order(count, n):
    steps = history(32)
    newest, valid = jax.jit(replays.newest_in_order, static_argnums=2)(filled(steps, count), count, n)
    in_order = steps.obs[:count].reshape(-1, 2)[-n:]
    assert valid == len(in_order)
    assert newest.obs.shape == (n, 2)
    np.testing.assert_array_equal(newest.obs[n - len(in_order) :], in_order)
    assert not np.any(newest.obs[: n - len(in_order)])
    # A field of another kind is of the same transitions: env by env within a row.
    np.testing.assert_array_equal(newest.extras["log_prob"], newest.obs[:, 0] / 8)


def test_members_of_a_population_equal_replays_alone():
    steps = history(32)
    own = [steps, steps.replace(reward=-steps.reward, obs=steps.obs + 1)]
    alone = [filled(each, 32, n=3, prioritise=True) for each in own]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    keys = jax.random.split(jax.random.key(0))
    for rule in RULES.values():
        drawn = jax.jit(jax.vmap(lambda replay, key, r=rule: sample(replay, 32, key, 8, r, DISCOUNT)))(together, keys)
        for member in range(2):
            single = sample(alone[member], 32, keys[member], 8, rule, DISCOUNT)
            jax.tree.map(lambda a, b, m=member: np.testing.assert_allclose(a[m], b, rtol=1e-6), drawn, single)
        assert not np.array_equal(drawn.indices[0], drawn.indices[1])


@pytest.mark.parametrize("kind", ["uniform", "prioritised", "tiled"])
def test_a_donated_population_learns_in_place(kind):
    members, capacity = 3, 4096
    example = example_transition(SPEC)
    if kind == "tiled":
        replay = replays.create_tiled(example, capacity // 16 * NUM_ENVS, 16, NUM_ENVS, 1)
    else:
        replay = replays.create(example, capacity * NUM_ENVS, NUM_ENVS, 1, 3, kind == "prioritised")
    rule = rules.Prioritised(0.4) if kind == "prioritised" else rules.Uniform()

    def learn(replay, total, time):
        rollout = jax.tree.map(lambda leaf: jnp.full((1, NUM_ENVS, *leaf.shape), total).astype(leaf.dtype), example)
        replay = replays.add(replay, rollout, time + 1)

        def step(carry, key):
            replay, total = carry
            drawn = replays.sample(replay, time + 1, key, 7, rule, DISCOUNT)
            if kind == "prioritised":
                replay = replays.reprioritise(replay, drawn.indices, jnp.abs(drawn.batch.reward))
            return (replay, total + drawn.batch.reward.mean()), None

        def steps(carry):
            return jax.lax.scan(step, carry, jax.random.split(jax.random.key(time), 2))[0]

        return jax.lax.cond(replays.ready(replay, time + 1), steps, lambda carry: carry, (replay, total))

    def run(replay, total):
        body = jax.vmap(learn, in_axes=(0, 0, None))
        return jax.lax.fori_loop(0, 10, lambda time, carry: body(*carry, time), (replay, total))

    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), replay)
    compiled = jax.jit(run, donate_argnums=0).lower(stacked, jnp.zeros(members)).compile()
    num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(stacked))
    assert compiled.memory_analysis().temp_size_in_bytes < 0.02 * num_bytes
    assert not re.search(rf"\[{members},{capacity},[\d,]*\]\S* copy\(", compiled.as_text())


@pytest.mark.parametrize(
    ("replay_size", "rollout_length", "rows"), [(38, 2, 12), (39, 2, 12), (42, 2, 14), (50, 5, 15)]
)
def test_a_replay_holds_whole_rollouts(replay_size, rollout_length, rows):
    assert replays.create(EXAMPLE, replay_size, NUM_ENVS, rollout_length).ring.capacity == rows
    assert replays.create_tiled(EXAMPLE, replay_size, 4, NUM_ENVS, rollout_length).ring.capacity == 4 * rows


def test_refuses_what_cannot_work():
    with pytest.raises(ConfigurationError, match=r"replay_size = 5 holds 1 rows .* make it larger"):
        replays.create(EXAMPLE, 5, NUM_ENVS, 2)
    with pytest.raises(ConfigurationError, match=r"prioritised replay of 4 rows .* make it at least 6 rows"):
        replays.create(EXAMPLE, 4 * NUM_ENVS, NUM_ENVS, 4, 3, True)
    plain = filled(history(4), 4)
    with pytest.raises(ConfigurationError, match="create it with prioritise=True"):
        replays.sample(plain, 4, jax.random.key(0), 8, rules.Prioritised(0.5), DISCOUNT)
    with pytest.raises(ConfigurationError, match="create it with prioritise=True"):
        replays.reprioritise(plain, jnp.zeros(1, jnp.int32), jnp.ones(1))
    for n in (0, CAPACITY * NUM_ENVS + 1):
        with pytest.raises(ConfigurationError, match="take between 1 and all of them"):
            replays.newest_in_order(plain, 4, n)
    with pytest.raises(ConfigurationError, match="of a replay that is not tiled"):
        replays.newest_in_order(replays.create_tiled(EXAMPLE, 6, 2, NUM_ENVS, 1), 4, 3)
    with pytest.raises(ConfigurationError, match="block_size = 2 holds 0 rows"):
        replays.create_tiled(EXAMPLE, 2, 2, NUM_ENVS, 1)
    with pytest.raises(ConfigurationError, match="a replay of 0 rows"):
        replays.create_tiled(EXAMPLE, 6, 0, NUM_ENVS, 1)
