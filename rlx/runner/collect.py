"""Step one member's environments with its behaviour policy."""

import dataclasses

import jax
from flax import struct

from rlx.envs import vector
from rlx.envs.api import Env
from rlx.runner.acting import remember, start_memory
from rlx.runner.action_use import ActionUse
from rlx.runner.episodes import Episodes
from rlx.types import Agent, Clock, Key, PyTree, Timestep, Transition


@struct.dataclass
class Scene:
    """What one member acts in: what collecting carries from rollout to rollout.

    Attributes:
        env: state of the member's environments.
        timestep: what the agent acts on next, its memory not yet taken in.
        memory: what acting carries along (`rlx.types.Memory`); ``None`` for most agents.
        episodes: the account of the episodes.
        actions: the account of continuous actions; ``None`` where they are not.
    """

    env: vector.VectorState
    timestep: Timestep
    memory: PyTree
    episodes: Episodes
    actions: ActionUse | None


def set_scene(agent: Agent, env: Env, agent_state: PyTree, key: Key, solved_return: float | None = None) -> Scene:
    """The scene before the first step; ``solved_return`` is that of `Milestones`."""
    num_envs = agent.needs.num_envs
    env_state, timestep = vector.reset(env, key, num_envs)
    memory = start_memory(agent, agent_state, num_envs)
    account = Episodes.start(num_envs, solved_return), ActionUse.start(env.spec, num_envs)
    return Scene(env_state, timestep, memory, *account)


def collect(
    agent: Agent, env: Env, agent_state: PyTree, scene: Scene, key: Key, clock: Clock
) -> tuple[Scene, Transition]:
    """Take ``rollout_length`` steps in each of the member's environments, as ``agent.needs`` says.

    Returns:
        The scene after them, and the transitions ``[T, N, ...]``.
    """
    needs = agent.needs
    scene, key = _opened(agent, env, agent_state, scene, key)
    start, actions = scene.timestep, scene.actions

    def step(scene: Scene, key: Key) -> tuple[Scene, tuple[Transition, jax.Array | None]]:
        act_key, env_key = jax.random.split(key)
        memory, timestep = remember(agent, agent_state, scene.memory, scene.timestep, learning=True)
        action, extras = agent.act(agent_state, timestep, act_key, clock)
        behaviour = lambda seen, key: agent.act(agent_state, seen, key, clock)  # noqa: E731  # for a teacher to see
        env_state, following = vector.step(env, scene.env, action, env_key, behaviour)
        episodes, returns = scene.episodes.after(timestep, following)
        transition = Transition(
            obs=timestep.obs,
            action=action,
            reward=following.reward,
            terminated=following.terminated,
            truncated=following.truncated,
            next_obs=following.final_obs,
            action_mask=timestep.action_mask,
            next_action_mask=following.final_action_mask,
            extras=extras,
            info=following.info,
            task_state=scene.env.task_state if needs.task_states else None,
        )
        after = Scene(env_state, following, memory, episodes, None)
        return after, (transition, returns if episodes.milestones else None)

    scene = dataclasses.replace(scene, actions=None)
    scene, (rollout, returns) = jax.lax.scan(step, scene, jax.random.split(key, needs.rollout_length))
    episodes = scene.episodes.after_rollout(rollout, returns, clock.iterations * needs.rollout_length)
    actions = None if actions is None else actions.after(start, rollout)
    return dataclasses.replace(scene, episodes=episodes, actions=actions), rollout


def _opened(agent: Agent, env: Env, agent_state: PyTree, scene: Scene, key: Key) -> tuple[Scene, Key]:
    """The scene as the rollout finds it, with new episodes or memory where the agent needs them, and its key."""
    needs = agent.needs
    if needs.fresh_episodes:
        key, start_key = jax.random.split(key)
        env_state, timestep = vector.reset(env, start_key, needs.num_envs)
        scene = dataclasses.replace(scene, env=env_state, timestep=timestep, episodes=scene.episodes.abandon())
    if needs.memory is not None and needs.memory.of_state:
        scene = dataclasses.replace(scene, memory=start_memory(agent, agent_state, needs.num_envs))
    return scene, key
