"""No random key is used twice: in a run, between its members, or by its evaluations."""

import functools
from collections import Counter, defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import Population, member, small_agent, small_env
from jax.extend.random import define_prng_impl, threefry_prng_impl

from rlx import registry
from rlx.ops.shuffle import _ROUNDS
from rlx.settings import settings_of


class Recorder:
    """Threefry that notes every key when it is used, under jit, vmap, scan and cond."""

    def __init__(self):
        self.uses = defaultdict(Counter)
        self.generator = define_prng_impl(
            key_shape=threefry_prng_impl.key_shape,
            seed=threefry_prng_impl.seed,
            split=self.split,
            random_bits=self.random_bits,
            fold_in=self.fold_in,
            name="recorder",
            tag="rec",
        )

    def split(self, key, shape):
        jax.debug.callback(functools.partial(self.note, "drawn"), key)
        return threefry_prng_impl.split(key, shape)

    def random_bits(self, key, bit_width, shape):
        # Each slice of a permutation draws the same words again, by design: see `shuffled_indices`.
        what = "shuffled" if shape == (_ROUNDS,) else "drawn"
        jax.debug.callback(functools.partial(self.note, what), key)
        return threefry_prng_impl.random_bits(key, bit_width, shape)

    def fold_in(self, key, data):
        jax.debug.callback(functools.partial(self.note, "folded with"), key, data)
        return threefry_prng_impl.fold_in(key, data)

    def note(self, what, key, data=""):
        self.uses[tuple(np.asarray(key).tolist())][f"{what} {data}".strip()] += 1

    def reused(self, slices=1):
        """Keys with more than one use; only foldings with different data, and ``slices`` of a shuffle, are one."""
        return {key: dict(uses) for key, uses in self.uses.items() if self._clash(uses, slices)}

    @staticmethod
    def _clash(uses, slices):
        kinds = {use.partition(" ")[0] for use in uses}
        repeated = any(count > (slices if use == "shuffled" else 1) for use, count in uses.items())
        return len(kinds) > 1 or repeated


@pytest.fixture
def recorder(monkeypatch):
    """Every key made from now on is recorded, those that an agent makes for itself as well."""
    recorder = Recorder()
    monkeypatch.setattr(jax.random, "key", functools.partial(jax.random.key, impl=recorder.generator))
    # Programs that call back into this process are compiled anew each time, so let that be quick.
    jax.config.update("jax_disable_most_optimizations", True)
    yield recorder
    jax.config.update("jax_disable_most_optimizations", False)


def test_a_run_uses_no_key_twice(case, recorder):
    members = Population([case.agent] * 2, case.env, seeds=(0, 1))
    state = members.advance(members.start(), case.iterations)
    # One member: of two, the one that ends first would go on with its last key, for nothing, until the other ends.
    one = Population([case.agent], case.env, seeds=(0,))
    one.evaluate(member(state, 0))
    steps = 2 * case.iterations * case.agent.needs.rollout_length * case.agent.needs.num_envs
    assert len(recorder.uses) > steps  # an action or a reset at least, in every step of both members
    assert recorder.reused(slices=vars(case.agent).get("num_minibatches", 1)) == {}


@pytest.mark.parametrize(
    "name", [n for n in registry.agents() if "num_updates" in settings_of(registry.agent_class(n))]
)
def test_updates_of_one_event_draw_with_keys_of_their_own(name, recorder):
    """By default some agents make one update an event, which tells nothing."""
    env = small_env(name)
    one = Population([small_agent(name, env, num_updates=3, learning_starts=0)], env, seeds=(0,))
    jax.block_until_ready(one.advance(one.start(), 2))
    assert recorder.uses
    assert recorder.reused() == {}


@pytest.mark.parametrize(
    "careless",
    [
        lambda key: jax.random.normal(key) + jax.random.uniform(key),
        lambda key: jax.random.normal(jax.random.split(key)[0]) + jax.random.normal(key),
        lambda key: jax.random.normal(jax.random.fold_in(key, 1)) + jax.random.normal(jax.random.split(key)[1]),
        lambda key: jax.lax.scan(lambda x, _: (x + jax.random.normal(key), None), 0.0, length=2)[0],
        lambda key: jax.lax.cond(jnp.bool_(True), jax.random.normal, jax.random.uniform, key) + jax.random.normal(key),
        lambda _: jax.lax.fori_loop(0, 2, lambda _, x: x + jax.random.normal(jax.random.key(3)), 0.0),
    ],
)
def test_the_recorder_notices(recorder, careless):
    jax.block_until_ready(jax.jit(jax.vmap(careless))(jax.random.split(jax.random.key(0))))
    assert recorder.reused()


def test_the_recorder_accepts_splits_and_foldings(recorder):
    def careful(key):
        key, folded = jax.random.split(key)
        draws = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(folded, i)))(jnp.arange(3))
        return draws.sum() + jax.random.normal(key)

    jax.block_until_ready(jax.jit(jax.vmap(careful))(jax.random.split(jax.random.key(0))))
    assert recorder.reused() == {}
    assert len(recorder.uses) == 1 + 2 * (1 + 1 + 3 + 1)
