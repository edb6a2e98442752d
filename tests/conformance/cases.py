"""Every registered agent made small, an environment that it accepts, and the programs of a population."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

import rlx
from rlx import cli, registry
from rlx.runner.layout import layout_for
from rlx.runner.population import Member
from rlx.runner.population import Population as Members
from rlx.settings import settings_of
from rlx.types import Box, Clock, Discrete

# The largest value of a field that shapes the work; a field that an agent lacks is left out.
LIMITS = {
    "num_envs": 4,
    "rollout_length": 8,
    "num_epochs": 2,
    "num_minibatches": 2,
    "batch_size": 16,
    "replay_size": 256,
    "learning_starts": 8,
    "random_steps": 8,
    "target_period": 3,
    "hidden_size": 16,
    "branch_size": 8,
    "num_critics": 2,
    "num_nodes": 4,
    "exploration_steps": 8,
    "copies": 4,
    "updates_per_step": 1,
}
# What a preset says of the sizes of networks and batches is not tried here.
SIZES = {*LIMITS, "hidden_sizes", "critic_hidden_sizes", "model_hidden_sizes", "model_updates", "extras_start"}
# What one agent needs instead. Without negative rewards a negative head that starts at zero stays there.
OWN: dict[str, dict] = {
    # Estimates and resets within the first iterations.
    "ace": {"num_envs": 4, "interval": 8, "window": 12, "reset_period": 2},
    "logq": {"zero_negative": False},
    # What the loop does for this agent alone; the rest of it is PPO's.
    "masked_ppo": {"restarts": True, "step_statistics": True},
    # A model and extra samples from the first learning event on.
    "mbma": {
        "extras_start": 0,
        "num_extras": 2,
        "horizon": 2,
        "critic_hidden_sizes": (16,),
        "model_hidden_sizes": (16,),
        "model_updates": 4,
        "first_fit": 2,
        "model_batch_size": 8,
    },
    "sac": {"num_envs": 4},
    "symphony": {"num_envs": 4},
    "td3": {"num_envs": 4},
    # Feedback for either trace, late by its own account, and forgotten at the end of an episode.
    "coach": {"num_envs": 4, "rollout_length": 2, "max_lag": 1, "carry_across_reset": False, "delay": 1.0},
    "deep_coach": {"greedy": False},
    "tamer": {"num_envs": 4, "discount": 0.5},
}
# Those that learn from a teacher's feedback only.
TAUGHT = ("coach", "deep_coach", "tamer")

# Short enough for many episodes, long enough for CartPole to terminate in some of them.
TIME_LIMIT = 12
TOTAL_STEPS = 1_000


def small_agent(name, env, **hyperparameters):
    """Agent ``name`` with its defaults cut to `LIMITS`."""
    settings = settings_of(registry.agent_class(name))
    limited = {field: min(settings[field].default, limit) for field, limit in LIMITS.items() if field in settings}
    if "hidden_sizes" in settings:
        limited["hidden_sizes"] = (16,)
    return rlx.make_agent(name, env, **{**limited, **OWN.get(name, {}), **hyperparameters})


def small_env(name):
    """An environment of the first kind of action that agent ``name`` accepts."""
    accepts = registry.agent_class(name).accepts
    teacher = "action" if name in TAUGHT else None
    if Discrete in accepts:
        return rlx.make_env("gymnax/CartPole-v1", max_episode_steps=TIME_LIMIT, teacher=teacher)
    discretise = None if Box in accepts else 3
    return rlx.make_env("gymnax/Pendulum-v1", max_episode_steps=TIME_LIMIT, discretise=discretise)


def preset_agent(preset, env, **hyperparameters):
    """The agent of a preset with its own choices, but for its sizes, which are cut to `LIMITS`."""
    config = cli.compose_config([f"agent={preset}"]).agent
    name = config.pop("name")
    fields = settings_of(registry.agent_class(name))
    changed = {field: value for field, value in config.items() if value != _plain(fields[field].default)}
    chosen = {field: value for field, value in changed.items() if field not in SIZES} | hyperparameters
    return small_agent(name, env, **chosen)


def preset_env(preset):
    """An environment for a preset; those of masked PPO get masks and counters."""
    name = cli.compose_config([f"agent={preset}"]).agent["name"]
    if name == "masked_ppo":
        return rlx.make_env("rlx/microrts-4x4", max_episode_steps=TIME_LIMIT)
    if preset == "mbma_paper":
        return rlx.make_env("gymnax/Pendulum-v1", max_episode_steps=TIME_LIMIT)
    return small_env(name)


def _plain(default):
    return list(default) if isinstance(default, tuple) else default


class Population:
    """Members with a seed and hyperparameters each, side by side on one device, and the calls that a run makes."""

    def __init__(self, agents, env, seeds, solved_return=None):
        self.env, self.seeds, self.agent = env, seeds, agents[0]
        self.layout = layout_for(len(seeds), jax.devices()[:1], side_by_side=len(seeds))
        self.options = {"eval_episodes": 2, "solved_return": solved_return, "layout": self.layout}
        self.members = self.of(agents, seeds)

    def of(self, agents, seeds=None):
        """Members on this device, with the same programs."""
        chosen = self.seeds if seeds is None else seeds
        return Members([Member(*pair) for pair in zip(agents, chosen, strict=True)], self.env, **self.options)

    @property
    def clock(self):
        """Of a run that has taken no step."""
        return Clock.start(TOTAL_STEPS, self.agent.needs.num_envs * self.agent.needs.rollout_length)

    def start(self, agents=None, seeds=None):
        """The state before the first step."""
        members = self.members if agents is None else self.of(agents, seeds)
        return members.start(self.clock)[0]

    def traced_chunk(self):
        """The chunk as JAX sees it before it compiles: ``jaxpr``, and ``out_info`` with the shapes that it returns."""
        state = self.members.shapes(self.clock)
        agents, arrays = self.members.agents[0], self.members.arrays
        return self.members.programs.chunk.trace(agents, state, jnp.int32(1), jnp.bool_(False), arrays)

    def advance(self, state, *lengths, agents=None):
        """The state after chunks of these lengths, all in one logging window; ``state`` is given up."""
        for length in lengths:
            state = self.chunk(state, length, agents).states[0]
        return state

    def chunk(self, state, length, agents=None):
        """What one chunk returns: states, health and window; ``state`` is given up."""
        members = self.members if agents is None else self.of(agents)
        return members.advance([state], length, new_window=False)

    def evaluate(self, state):
        """Evaluate as at the step of ``state``."""
        return self.members.evaluate(self.members.acting([state]), int(state.clock.env_steps))


class Case:
    """One agent, made small; shared by the tests, so that each program compiles once."""

    iterations = 6  # enough to fill a minibatch, learn from it and copy targets

    def __init__(self, name):
        self.name = name
        self.env = small_env(name)
        self.agent = small_agent(name, self.env)

    @functools.cached_property
    def different(self):
        """The agent three times, with other hyperparameters each time."""
        return [scaled(self.agent, factor) for factor in (1.0, 0.9, 0.8)]

    @functools.cached_property
    def three(self):
        """Three members of different seeds and hyperparameters."""
        return Population(self.different, self.env, seeds=(0, 1, 2))

    @functools.cached_property
    def one(self):
        """One member."""
        return Population([self.agent], self.env, seeds=(0,))


def scaled(agent, factor):
    """``agent`` with every real-valued hyperparameter multiplied by ``factor``."""
    return jax.tree.map(lambda leaf: leaf * factor, agent)


def host(tree):
    """``tree`` as NumPy arrays, keys as integers: a copy that outlives the buffers."""

    def copy(leaf):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return jax.tree.map(copy, tree)


def unequal(left, right):
    """Paths of the leaves whose bits differ."""
    pairs = zip(jax.tree.leaves_with_path(host(left)), jax.tree.leaves(host(right)), strict=True)
    return [jax.tree_util.keystr(path) for (path, a), b in pairs if a.tobytes() != b.tobytes()]


def member(state, index):
    """One member of a run state, with a member axis of 1."""
    members = dataclasses.replace(state, clock=None)
    return dataclasses.replace(jax.tree.map(lambda leaf: leaf[index : index + 1], members), clock=state.clock)
