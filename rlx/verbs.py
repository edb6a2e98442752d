"""Train, evaluate and load, without a command line."""

import dataclasses
import importlib.util
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import jax

from rlx import build, registry
from rlx.envs.api import Env, make_env
from rlx.loggers.console import Console
from rlx.loggers.jsonl import JsonLines, read_rows, truncate_after
from rlx.loggers.tensorboard import TensorBoard
from rlx.loggers.wandb import WandB
from rlx.runner import folder as run_folder
from rlx.runner import population
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.evaluate import Evaluation, acting_part
from rlx.runner.plan import Plan
from rlx.runner.run import Logger, Run
from rlx.runner.settings import RunSettings
from rlx.types import Agent, ConfigurationError, Mode, PyTree


class Trained(NamedTuple):
    """A population as it can act: what ``train`` returns and ``load`` reads.

    Attributes:
        folder: the run's folder.
        agents: hyperparameters, leaves ``[M]``.
        env: the environment trained in.
        settings: what the run was told.
        state: the acting part of the agents' states, leaves ``[M, ...]``.
        step: environment steps each member has learned from.
        finished: whether the budget is spent.
    """

    folder: Path
    agents: Agent
    env: Env
    settings: RunSettings
    state: PyTree
    step: int
    finished: bool


def train(agent: Agent, env: Env, *, quiet: bool = False, **settings: Any) -> Trained:
    """Train ``num_seeds`` members of ``agent`` in ``env`` as one program, in a new run folder.

    Ctrl-C saves and returns early; ``resume`` goes on.

    Args:
        agent: hyperparameters, from ``make_agent`` or built by hand.
        env: from ``make_env``.
        quiet: show no live progress.
        **settings: fields of ``RunSettings``, such as ``total_steps`` and ``num_seeds``.

    Raises:
        ConfigurationError: if something cannot work; nothing is written then.
        RunFailed: if a loss or a return is no longer finite.
    """
    run_settings = make_settings(**settings)
    agent = build.validate(agent)
    folder = Path(run_settings.run_dir or run_folder.default_path(_agent_name(agent), env.name))
    config = {"agent": _agent_config(agent), "env": env.config, "run": dataclasses.asdict(run_settings)}
    jax.eval_shape(agent.init, jax.random.key(0))  # refuses fields that do not fit together, before any file
    run_folder.create(folder, config)
    return _run(agent, env, run_settings, folder, quiet)


def resume(folder: str | Path, *, agent: Agent | None = None, env: Env | None = None, quiet: bool = False) -> Trained:
    """Go on with the run in ``folder`` from its newest checkpoint, to the same bits as if it had never stopped.

    Args:
        folder: a run's folder.
        agent: the run's agent, needed only if it is not registered by name.
        env: the run's environment, needed only if it was not made by name.
        quiet: show no live progress.

    Raises:
        ConfigurationError: if there is no such run, or its checkpoint is missing or damaged.
    """
    folder = Path(folder)
    agent, env, settings = _rebuild(folder, agent, env)
    return _run(agent, env, settings, folder, quiet)


def load(folder: str | Path, *, agent: Agent | None = None, env: Env | None = None) -> Trained:
    """Read the newest policy of the run in ``folder``; the arguments are those of ``resume``."""
    folder = Path(folder)
    agent, env, settings = _rebuild(folder, agent, env)
    agents = population.stack([agent] * settings.num_seeds)
    shapes = jax.eval_shape(lambda agents: jax.vmap(lambda a: a.init(jax.random.key(0)))(agents), agents)
    policies = Checkpoints(folder / "policy", keep=1)
    step, state = policies.restore(acting_part(shapes))
    policies.close()
    return Trained(folder, agents, env, settings, state, step, finished=step >= settings.total_steps)


def evaluate(trained: Trained, *, num_episodes: int | None = None, mode: Mode | None = None) -> Evaluation:
    """Evaluate every member, by default exactly as the run itself did at that step, with the same keys.

    Args:
        trained: from ``train`` or ``load``.
        num_episodes: whole episodes a member; by default as the run did.
        mode: ``"greedy"`` or ``"sample"``; by default as the run did.

    Returns:
        Returns and lengths, ``[M, num_episodes]``.
    """
    settings = make_settings(
        **{
            **dataclasses.asdict(trained.settings),
            "eval_episodes": num_episodes or trained.settings.eval_episodes,
            "eval_mode": mode or trained.settings.eval_mode,
        }
    )
    mesh = population.mesh_for(settings.num_seeds)
    program = population.programs(trained.env, mesh, settings.eval_episodes, settings.eval_mode).evaluate
    keys = population.evaluation_keys(settings.seeds, trained.step)
    return program(*(population.place(part, mesh) for part in (trained.agents, trained.state, keys)))


def make_settings(**settings: Any) -> RunSettings:
    """``RunSettings``, checked.

    Raises:
        ConfigurationError: for an unknown name, a wrong type or a value out of range.
    """
    fields = build.settings_of(RunSettings)
    build.check_names(settings, fields, "", "a run")
    return RunSettings(**{name: build.checked(fields[name], value, "") for name, value in settings.items()})


def _run(agent: Agent, env: Env, settings: RunSettings, folder: Path, quiet: bool) -> Trained:
    agents = population.stack([agent] * settings.num_seeds)
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_checkpoints, best=True)
    step = max(checkpoints.steps(), default=-1)
    seconds_before = _rewind(folder, step)
    with ExitStack() as stack:
        loggers = [stack.enter_context(closing(logger)) for logger in _loggers(settings, folder, step)]
        plan = Plan(settings, agent.num_envs * agent.rollout_length)
        title = f"{_agent_name(agent)} on {env.name}"
        progress = stack.enter_context(Console(title, plan.steps, settings.num_seeds, quiet))
        run = Run(agents, env, settings, plan, folder, checkpoints, loggers, progress, seconds_before)
        state, finished = run.train()
        progress.message(f"run folder: {folder}" if finished else f"interrupted; resume={folder} goes on")
    return Trained(folder, agents, env, settings, acting_part(state.agent), int(state.clock.env_steps), finished)


def _rewind(folder: Path, step: int) -> float:
    """Drop what was logged after the newest checkpoint at ``step``; return the seconds spent up to there."""
    log = folder / "metrics.jsonl"
    if step < 0 and any(row["step"] > 0 for row in read_rows(log)):
        raise ConfigurationError(f"{folder} has logged results but no checkpoint to go on from; start a new run")
    truncate_after(log, step)
    return max((row["wall_time"] for row in read_rows(log)), default=0.0)


def _loggers(settings: RunSettings, folder: Path, step: int) -> list[Logger]:
    loggers: list[Logger] = [JsonLines(folder / "metrics.jsonl")]
    if settings.tensorboard and importlib.util.find_spec("tensorboardX"):
        loggers.append(TensorBoard(folder, purge_step=step + 1 if step >= 0 else None))
    if settings.wandb:
        loggers.append(WandB(settings.wandb_project, folder.name, run_folder.read_config(folder), folder))
    return loggers


def _rebuild(folder: Path, agent: Agent | None, env: Env | None) -> tuple[Agent, Env, RunSettings]:
    """Agent, environment and settings from a run's ``config.yaml``, where they are not given."""
    config = run_folder.read_config(folder)
    if env is None:
        env = make_env(**config["env"])
    if agent is None:
        agent = build.make_agent(spec=env, **config["agent"])
    return agent, env, make_settings(**config["run"])


def _agent_name(agent: Agent) -> str:
    """The name the agent is registered under, or its class's."""
    names = (name for name in registry.agents() if registry.agent_class(name) is type(agent))
    return next(names, type(agent).__name__)


def _agent_config(agent: Agent) -> dict[str, Any]:
    fields = {name: getattr(agent, name) for name in build.settings_of(type(agent))}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
    return {"name": _agent_name(agent), **plain}
