"""Cart-pole with a continuous force: a task in which an agent falls, and can be gentle or violent."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from rlx.envs.gymnax_api import Environment, EnvParams, EnvState, spaces
from rlx.types import Key

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, DT = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FURTHEST, STEEPEST = 2.4, 0.2095  # metres, radians


@struct.dataclass
class ContinuousCartPoleState(EnvState):
    """Steps taken, int32; position, velocity, angle and angular velocity, float32 ``[4]``."""

    time: jax.Array
    motion: jax.Array


class ContinuousCartPole(Environment[ContinuousCartPoleState, EnvParams]):
    """The task, ``rlx/continuous-cartpole``: a reward of ``1 - 0.01 u^2`` a step until the pole falls, at most 500.

    The constants and the explicit Euler steps are those of the classic task (Barto, Sutton and Anderson 1983); the
    force is ``10 u`` newtons, ``u`` in [-1, 1]. An episode begins within 0.05 of rest and terminates beyond 2.4 metres
    or 0.2095 radians. ``info["power"]`` is what the force does, ``|F v|`` in watts at the velocity before the step.
    """

    counters: ClassVar[tuple[str, ...]] = ("power",)

    @property
    def default_params(self) -> EnvParams:
        """The time limit."""
        return EnvParams(max_steps_in_episode=500)

    def reset_env(self, key: Key, params: EnvParams) -> tuple[jax.Array, ContinuousCartPoleState]:
        """Draw a start near rest."""
        motion = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return motion, ContinuousCartPoleState(jnp.zeros((), jnp.int32), motion)

    def step_env(
        self, key: Key, state: ContinuousCartPoleState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, ContinuousCartPoleState, jax.Array, jax.Array, dict[str, Any]]:
        """Push; ``action`` is ``[1]`` in [-1, 1]."""
        force, speed = FORCE * action[0], state.motion[1]
        motion = state.motion + DT * derivative(state.motion, force)
        fallen = (jnp.abs(motion[0]) > FURTHEST) | (jnp.abs(motion[2]) > STEEPEST)
        state = ContinuousCartPoleState(state.time + 1, motion)
        return motion, state, 1.0 - 0.01 * action[0] ** 2, fallen, {"power": jnp.abs(force * speed)}

    def action_space(self, params: EnvParams) -> spaces.Box:
        """Continuous."""
        return spaces.Box(-1.0, 1.0, (1,))

    def observation_space(self, params: EnvParams) -> spaces.Box:
        """Position, velocity, angle and angular velocity."""
        return spaces.Box(-jnp.inf, jnp.inf, (4,))


def derivative(motion: jax.Array, force: jax.Array) -> jax.Array:
    """Of position, velocity, angle and angular velocity ``[4]``, in a second (Florian 2007, without friction)."""
    _, velocity, angle, spin = motion
    sine, cosine, mass = jnp.sin(angle), jnp.cos(angle), CART + POLE
    push = (force + POLE * HALF_LENGTH * spin**2 * sine) / mass
    spin_up = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cosine**2 / mass))
    speed_up = push - POLE * HALF_LENGTH * spin_up * cosine / mass
    return jnp.stack([velocity, speed_up, spin, spin_up])
