"""Steps with feedback, made by hand, for agents that learn from a teacher."""

import jax
import jax.numpy as jnp
import numpy as np

from rlx.types import Clock, Transition

CLOCK = Clock.start(100, 1)
KEY = jax.random.key(0)


def lesson(obs, action, feedback, *, trace=None, lag=None, next_obs=None, ended=None, log_prob=None):
    """A rollout ``[T, N]`` from sequences ``[T]`` or ``[T, N]``; what is left out is zero."""
    shaped = lambda values, kind: jnp.asarray(values, kind).reshape(len(action), -1)  # noqa: E731
    action, feedback = shaped(action, jnp.int32), shaped(feedback, jnp.float32)
    zeros = np.zeros(action.shape)
    obs = jnp.asarray(obs, jnp.float32).reshape(*action.shape, -1)
    return Transition(
        obs=obs,
        action=action,
        reward=feedback,
        terminated=shaped(zeros if ended is None else ended, bool),
        truncated=shaped(zeros, bool),
        next_obs=obs if next_obs is None else jnp.asarray(next_obs, jnp.float32).reshape(obs.shape),
        action_mask=None,
        next_action_mask=None,
        extras={} if log_prob is None else {"log_prob": shaped(log_prob, jnp.float32)},
        info={
            "trace": shaped(zeros if trace is None else trace, jnp.int32),
            "lag": shaped(zeros if lag is None else lag, jnp.int32),
        },
    )


@jax.jit
def learned(agent, state, rollout):
    """The agent's state after one learning event."""
    return agent.update(state, rollout, KEY, CLOCK)[0]


@jax.jit
def learned_in_turns(agent, state, rollout):
    """The states after each of ``T`` learning events of one step, stacked."""

    def event(state, step):
        state = agent.update(state, jax.tree.map(lambda x: x[None], step), KEY, CLOCK)[0]
        return state, state

    return jax.lax.scan(event, state, rollout)[1]
