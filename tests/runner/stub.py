"""An agent that compiles in no time: it walks at random, and its metrics are known."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from rlx.settings import hyper
from rlx.types import Discrete, EnvSpec, Metrics, Needs


@struct.dataclass
class StubState:
    params: jax.Array
    memory: jax.Array  # what acting does not need


@struct.dataclass
class Stub:
    """Actions are coin flips; parameters take a random step of size ``stride`` in each update.

    In every other iteration it learns nothing, and its ``loss`` is NaN; else it makes two updates and ``loss`` is
    the number of the iteration, as long as that is below ``healthy_for``, and NaN from there on.
    """

    accepts: ClassVar = (Discrete,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = hyper(2, "environments", within="[1, inf)", static=True)
    rollout_length: int = hyper(3, "steps", within="[1, inf)", static=True)
    stride: float = hyper(1.0, "size of a step", within="[0, inf)")
    healthy_for: float = hyper(1e6, "iterations until the loss becomes NaN", within="[0, inf)")

    @property
    def needs(self):
        return Needs(self.num_envs, self.rollout_length)

    def init(self, key):
        return StubState(params=jax.random.normal(key, (3,)), memory=jnp.zeros(2))

    def act(self, state, timestep, key, clock):
        return jax.random.randint(key, timestep.reward.shape, 0, self.spec.action_space.n), {}

    def update(self, state, rollout, key, clock):
        params = state.params + self.stride * jax.random.normal(key, (3,))
        iteration = clock.before.iterations
        learning = iteration % 2 == 0
        sound = learning & (iteration < self.healthy_for)
        loss = jnp.where(sound, iteration.astype(jnp.float32), jnp.nan)
        metrics = Metrics(
            {"loss": loss, "losses": jnp.stack([loss, 2 * loss])},
            last={"iteration": loss},
            updates=jnp.where(learning, 2.0, 0.0),
        )
        return StubState(params, state.memory + rollout.reward.sum()), metrics

    def policy(self, state, timestep, key, mode):
        return jnp.zeros((*timestep.reward.shape, *self.spec.action_shape), jnp.int32)
