"""A recurrent agent, as short as can be: REINFORCE whose policy reads a cell that takes in every observation."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from rlx.ops import optimisers
from rlx.ops.distributions import Categorical
from rlx.settings import hyper
from rlx.types import Discrete, EnvSpec, Memory, Metrics, Needs

UNITS = 8


class Cell(nn.Module):
    """From what it holds and an observation to what it holds next, and logits."""

    num_actions: int

    @nn.compact
    def __call__(self, held, obs):
        held, _ = nn.GRUCell(UNITS)(held, obs)
        return held, nn.Dense(self.num_actions)(held)


@struct.dataclass
class RecurrentState:
    params: Any
    opt_state: Any


@struct.dataclass
class Recurrent:
    """Its rollouts must begin where episodes do."""

    accepts: ClassVar = (Discrete,)

    spec: EnvSpec = struct.field(pytree_node=False)
    num_envs: int = hyper(16, "environments", within="[1, inf)", static=True)
    rollout_length: int = hyper(8, "steps", within="[1, inf)", static=True)
    learning_rate: float = hyper(2e-2, "of Adam", within="(0, inf)")

    @property
    def needs(self):
        memory = Memory(start=lambda state, num_envs: self.nothing(num_envs), observe=self.observe)
        return Needs(self.num_envs, self.rollout_length, memory=memory)

    @property
    def cell(self):
        return Cell(self.spec.action_space.n)

    def init(self, key):
        params = self.cell.init(key, jnp.zeros(UNITS), jnp.zeros(self.spec.obs_shape))
        return RecurrentState(params, optimisers.adam().init(params))

    def nothing(self, num_envs):
        return jnp.zeros((num_envs, UNITS)), jnp.zeros((num_envs, self.spec.action_space.n))

    def observe(self, state, memory, timestep):
        return self.step(state.params, memory, timestep.obs, timestep.episode_step == 0)

    def step(self, params, memory, obs, begins):
        held = jnp.where(begins[:, None], 0.0, memory[0])
        return jax.vmap(self.cell.apply, (None, 0, 0))(params, held, obs)

    def act(self, state, timestep, key, clock):
        return Categorical(timestep.memory[1]).sample(key), {"begins": timestep.episode_step == 0}

    def update(self, state, rollout, key, clock):
        grads, loss = jax.grad(self.loss, has_aux=True)(state.params, rollout)
        learned = optimisers.adam().step(grads, state.opt_state, state.params, self.learning_rate)
        return RecurrentState(*learned), Metrics({"loss": loss})

    def loss(self, params, rollout):
        def step(memory, seen):
            memory = self.step(params, memory, *seen)
            return memory, memory[1]

        seen = (rollout.obs, rollout.extras["begins"])
        _, logits = jax.lax.scan(step, self.nothing(self.num_envs), seen)
        log_prob = Categorical(logits).log_prob(rollout.action)
        loss = -(log_prob * (rollout.reward - rollout.reward.mean())).mean()
        return loss, loss

    def policy(self, state, timestep, key, mode):
        return Categorical(timestep.memory[1]).mode()
