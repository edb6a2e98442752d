"""One taught run: the one loop's step, moved by the lines of a recording, whether they are being made or read again.

A session has no clock, no files and no page. Live and in replay it takes the same lines in the same order, so that a
recording leads to the same bits. `Session.take` says which lines there are.
"""

import dataclasses
import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

import rlx
from rlx.build import validate
from rlx.envs.api import Env
from rlx.envs.teacher import Word
from rlx.errors import ConfigurationError
from rlx.runner import loop
from rlx.switches import in_32_bits
from rlx.teaching import learners
from rlx.teaching.presses import Press, word_of
from rlx.types import Agent, Clock, Key, PyTree, Transition

MOST_UNDONE = 100  # presses
ADJUSTABLE = ("delay", "learning_rate")
_HORIZON = 1_000_000  # steps; learners of feedback do not look at the clock


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a session begins with: plain values.

    Attributes:
        agent: ``name`` and fields.
        env: what ``make_env`` takes.
        seed: of everything random.
    """

    agent: Mapping[str, Any]
    env: Mapping[str, Any]
    seed: int


@struct.dataclass
class Outcome:
    """One step for those who watch and learn from it.

    Attributes:
        transition: the step as the learner had it, leaves ``[1, ...]``.
        reward: the task's, which the learner did not see.
        episode_step: steps of the episode before it.
        task_state: the task's state now, leaves ``[1, ...]``, after auto-reset.
        told: what the learner tells of its policy there.
    """

    transition: Transition
    reward: jax.Array
    episode_step: jax.Array
    task_state: PyTree
    told: dict[str, jax.Array]


class Session:
    """An agent in an environment, and a person's presses.

    Attributes:
        setup: what it began with.
        env: the environment.
        agent: hyperparameters as they are now.
        state: the whole run, a pytree.
        seed: of the last restart.
        steps: taken since then; the next one has this number.
        pending: presses that the next step will hear.
        undoable: what was learned before each of the last steps that heard a press, the newest last.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.env = rlx.make_env(**{**setup.env, "teacher": "person"})
        fields = {name: value for name, value in setup.agent.items() if name != "name"}
        self._first = self.agent = rlx.make_agent(setup.agent["name"], self.env, **fields)
        if self.agent.needs.num_envs != 1 or self.agent.needs.rollout_length != 1:
            raise ConfigurationError("a person teaches one copy, step by step; leave num_envs and rollout_length at 1")
        self._programs = _Programs(self.agent, self.env)
        self.state: loop.RunState
        self.steps: int
        self.pending: list[Press]
        self._begin(setup.seed)

    def take(self, line: Mapping[str, Any]) -> Outcome | None:
        """Go on by one line of a recording.

        * ``press``: with ``value``, ``trace`` and ``shown``; the next step hears it.
        * ``step``: one step of the loop.
        * ``undo``: takes back what the last step that heard presses taught, as far as nothing else was learned since.
        * ``set``: ``field`` of the agent, one of ``ADJUSTABLE``, to ``value``.
        * ``restart``: all anew, with ``seed``.

        Lines of other kinds are notes. Returns what a step did, ``None`` for all else.
        """
        match line["kind"]:
            case "press":
                self.pending.append(Press(float(line["value"]), int(line["trace"]), int(line["shown"])))
            case "step":
                return self.advance(self.collect())
            case "undo":
                self.undo()
            case "set":
                self.adjust(line["field"], float(line["value"]))
            case "restart":
                self._begin(int(line["seed"]))
        return None

    def collect(self) -> Word:
        """What the next step will hear; after that nothing is pending."""
        presses, self.pending = self.pending, []
        return word_of(presses, self.steps)

    def advance(self, word: Word) -> Outcome:
        """Take one step that hears ``word``."""
        if float(word.value[0]) != 0:
            self.undoable.append(learners.learned(self.agent, self.state.agent))
        self.state, outcome = self._programs.step(self.agent, self.state, word)
        self.steps += 1
        return outcome

    def undo(self) -> bool:
        """Take back what the last step that heard presses taught; False where there is none."""
        if not self.undoable:
            return False
        part = self.undoable.pop()
        self.state = dataclasses.replace(self.state, agent=learners.with_learned(self.state.agent, part))
        return True

    def adjust(self, field: str, value: float) -> None:
        """Change a hyperparameter from the next step on.

        Raises:
            ConfigurationError: for another field than those of ``ADJUSTABLE``, or a value out of range.
        """
        if field not in ADJUSTABLE or not hasattr(self.agent, field):
            raise ConfigurationError(f"{field} cannot be changed while teaching; there is {', '.join(ADJUSTABLE)}")
        self.agent = validate(dataclasses.replace(self.agent, **{field: value}))  # type: ignore[type-var]

    def look(self) -> dict[str, np.ndarray]:
        """What the learner tells of its policy in the present state, without a step."""
        return jax.device_get(self._programs.look(self.agent, self.state))

    def digest(self) -> str:
        """What the bits of the whole run come to."""
        found = hashlib.sha256()
        for leaf in jax.tree.leaves(self.state):
            data = jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
            found.update(np.asarray(data).tobytes())
        return found.hexdigest()

    def _begin(self, seed: int) -> None:
        self.agent = self._first
        self.seed = seed
        self.state = self._programs.init(jax.random.key(seed))
        self.steps = 0
        self.pending = []
        self.undoable: deque[dict[str, Any]] = deque(maxlen=MOST_UNDONE)


class _Programs:
    """The compiled functions of a session: the first state, a step, and a look at the policy."""

    def __init__(self, agent: Agent, env: Env) -> None:
        def init(key: Key) -> loop.RunState:
            return loop.init(agent, env, key, Clock.start(_HORIZON, 1))

        def step(agent: Agent, state: loop.RunState, word: Word) -> tuple[loop.RunState, Outcome]:
            return _stepped(agent, env, state, word)

        self.init, self.step, self.look = (jax.jit(in_32_bits(function)) for function in (init, step, _told))


def _told(agent: Agent, state: loop.RunState) -> dict[str, jax.Array]:
    """What the agent would tell if it acted now; nothing is drawn from this key again."""
    return agent.act(state.agent, state.scene.timestep, jax.random.fold_in(state.key, 0), state.clock)[1]


def _stepped(agent: Agent, env: Env, state: loop.RunState, word: Word) -> tuple[loop.RunState, Outcome]:
    """The one loop's iteration, with a word in the teacher's memory, and its outcome."""
    assert state.scene.env.teacher is not None
    teacher = dataclasses.replace(state.scene.env.teacher, memory=word)
    scene = dataclasses.replace(state.scene, env=dataclasses.replace(state.scene.env, teacher=teacher))
    before = scene.timestep
    # Without the log-probability of an action, which is another one's.
    told = {name: value for name, value in _told(agent, state).items() if name != "log_prob"}
    state = loop.iterate(agent, env, dataclasses.replace(state, scene=scene))
    state = dataclasses.replace(state, clock=state.clock.advance())
    after, taught = state.scene.timestep, state.scene.env.teacher
    assert taught is not None
    transition = Transition(
        obs=before.obs,
        action=taught.action,
        reward=after.reward,
        terminated=after.terminated,
        truncated=after.truncated,
        next_obs=after.final_obs,
        action_mask=before.action_mask,
        next_action_mask=after.final_action_mask,
        extras=told,
        info={name: after.info[name] for name in ("trace", "lag")},
    )
    outcome = Outcome(transition, taught.reward, before.episode_step, state.scene.env.task_state, _told(agent, state))
    return state, jax.tree.map(jnp.asarray, outcome)
