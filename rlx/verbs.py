"""Train, evaluate and load, without a command line."""

import dataclasses
import importlib.util
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import jax

from rlx import build, registry
from rlx.envs.api import Env, make_env
from rlx.errors import ConfigurationError
from rlx.loggers.console import Console
from rlx.loggers.jsonl import JsonLines, read_rows, truncate_after
from rlx.loggers.tensorboard import TensorBoard
from rlx.loggers.wandb import WandB
from rlx.runner import folder as run_folder
from rlx.runner import population
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.evaluate import Evaluation, acting_part
from rlx.runner.observers import Logger, Progress
from rlx.runner.plan import Plan
from rlx.runner.run import Run
from rlx.runner.settings import RunSettings
from rlx.settings import check_names, checked, settings_of
from rlx.types import Agent, Clock, Mode, PyTree


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


def train(agent: Agent, env: Env, *, quiet: bool = False, progress: Progress | None = None, **settings: Any) -> Trained:
    """Train ``num_seeds`` members of ``agent`` in ``env`` as one program, in a new run folder.

    Ctrl-C saves and returns early; ``resume`` goes on.

    Args:
        agent: hyperparameters, from ``make_agent`` or built by hand.
        env: from ``make_env``.
        quiet: show no live progress.
        progress: shows how far the run is, instead of the live display.
        **settings: fields of ``RunSettings``, such as ``total_steps`` and ``num_seeds``.

    Raises:
        ConfigurationError: if something cannot work; nothing is written then.
        RunFailed: if a loss or a return is no longer finite.
    """
    run_settings = make_settings(**settings)
    agent = build.validate(agent)
    _check(agent, env, run_settings)
    config = {"agent": _agent_config(agent), "env": _plain(env.config), "run": dataclasses.asdict(run_settings)}
    folder = run_folder.create(run_settings.run_dir, config)
    return _run(agent, env, run_settings, folder, quiet, progress)


def resume(
    folder: str | Path,
    *,
    agent: Agent | None = None,
    env: Env | None = None,
    quiet: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Go on with the run in ``folder`` from its newest checkpoint, to the same bits as if it had never stopped.

    Args:
        folder: a run's folder.
        agent: the run's agent, needed only if it is not registered by name.
        env: the run's environment, needed only if it was not made by name.
        quiet: show no live progress.
        progress: shows how far the run is, instead of the live display.

    Raises:
        ConfigurationError: if there is no such run, or its checkpoint is missing or damaged.
    """
    folder = Path(folder).expanduser()
    agent, env, settings = _rebuild(folder, agent, env)
    steps = _plan(agent, settings).steps
    parts = (folder / "checkpoints", folder / "policy")
    if all(steps in Checkpoints(part, keep=1, read_only=True).steps() for part in parts):
        told = f"{folder} is finished, at step {steps}; for more steps start a new run with a larger total_steps"
        (progress.message if progress else print)(told)
        return load(folder, agent=agent, env=env)
    _check(agent, env, settings)
    return _run(agent, env, settings, folder, quiet, progress)


def load(folder: str | Path, *, agent: Agent | None = None, env: Env | None = None) -> Trained:
    """Read the newest policy of the run in ``folder``, finished or not; the arguments are those of ``resume``.

    Raises:
        ConfigurationError: if there is no such run, or its policy is missing or damaged.
    """
    folder = Path(folder).expanduser()
    agent, env, settings = _rebuild(folder, agent, env)
    if not (folder / "policy").is_dir():
        raise ConfigurationError(f"nothing is saved in {folder}/policy yet; resume={folder} goes on with the run")
    agents = population.stack([agent] * settings.num_seeds)
    shapes = jax.eval_shape(lambda agents: jax.vmap(lambda a: a.init(jax.random.key(0)))(agents), agents)
    policies = Checkpoints(folder / "policy", keep=1, read_only=True)
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
            "eval_episodes": trained.settings.eval_episodes if num_episodes is None else num_episodes,
            "eval_mode": trained.settings.eval_mode if mode is None else mode,
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
    fields = settings_of(RunSettings)
    check_names(settings, fields, "", "a run")
    return RunSettings(**{name: checked(fields[name], value, "") for name, value in settings.items()})


def _check(agent: Agent, env: Env, settings: RunSettings) -> None:
    """Refuse what cannot run before anything is compiled or written; shapes and memory come from a trace.

    Raises:
        ConfigurationError: naming what does not fit.
    """
    if not isinstance(env, Env):
        raise ConfigurationError(f"{env!r} is no environment; build one with rlx.make_env")
    if agent.spec != env.spec:
        raise ConfigurationError(
            f"the agent was built for {agent.spec.name}, not for this {env.name}; build it with make_agent(..., env)"
        )
    if settings.seed + settings.num_seeds > 2**32:
        raise ConfigurationError(
            f"seed={settings.seed} and the next {settings.num_seeds - 1} exceed 4294967295; lower it"
        )
    plan = _plan(agent, settings)
    if plan.steps > 2**31 - 1:
        raise ConfigurationError(
            f"the steps are taken agent.num_envs * agent.rollout_length = {plan.steps_per_iteration} at a time and "
            f"come to {plan.steps}, but can be counted up to 2147483647; lower these or total_steps"
        )
    if settings.wandb and importlib.util.find_spec("wandb") is None:
        raise ConfigurationError("wandb=true needs wandb: pip install 'rlx[wandb]', or leave it out")
    mesh = population.mesh_for(settings.num_seeds)
    programs = population.programs(env, mesh, settings.eval_episodes, settings.eval_mode)
    keys = jax.eval_shape(lambda: population.keys_for(settings.seeds, population.INIT_STREAM))
    agents = population.stack([agent] * settings.num_seeds)
    population.memory_plan(jax.eval_shape(programs.init, agents, keys, Clock.start(settings.total_steps)), mesh)


def _run(
    agent: Agent, env: Env, settings: RunSettings, folder: Path, quiet: bool, progress: Progress | None
) -> Trained:
    agents = population.stack([agent] * settings.num_seeds)
    plan = _plan(agent, settings)
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_checkpoints, best=True)
    step = max(checkpoints.steps(), default=-1)
    seconds_before = _rewind(folder, step)
    title = f"{build.agent_name(agent)} on {env.name}"
    with ExitStack() as stack:
        loggers = [stack.enter_context(closing(logger)) for logger in _loggers(settings, folder, step)]
        if progress is None:
            progress = stack.enter_context(Console(title, plan.steps, settings.num_seeds, quiet))
        progress.message(f"run folder: {folder}")
        run = Run(agents, env, settings, plan, folder, checkpoints, loggers, progress, seconds_before)
        try:
            state, finished = run.train()
        except KeyboardInterrupt:
            progress.message(f"interrupted; resume={folder} goes on from what was saved last")
            raise
        progress.message(f"run folder: {folder}" if finished else f"interrupted and saved; resume={folder} goes on")
    return Trained(folder, agents, env, settings, acting_part(state.agent), int(state.clock.env_steps), finished)


def _plan(agent: Agent, settings: RunSettings) -> Plan:
    return Plan(settings, agent.num_envs * agent.rollout_length)


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
    file = folder / "config.yaml"
    if agent is None and config["agent"].get("name") not in registry.agents():
        raise ConfigurationError(f"{file}: no agent is called {config['agent'].get('name')!r}; pass the run's agent=")
    if env is None and "/" not in str(config["env"].get("name")):
        raise ConfigurationError(f"{file}: no environment is called {config['env'].get('name')!r}; pass the run's env=")
    try:
        env = make_env(**config["env"]) if env is None else env
        agent = build.make_agent(spec=env, **config["agent"]) if agent is None else agent
        return agent, env, make_settings(**config["run"])
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    except TypeError as error:
        raise ConfigurationError(f"{file} is damaged ({error}); restore it from the run's metadata") from error


def _agent_config(agent: Agent) -> dict[str, Any]:
    fields = {name: getattr(agent, name) for name in settings_of(type(agent))}
    return {"name": build.agent_name(agent), **_plain(fields)}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values as YAML can hold them: arrays and NumPy numbers as lists and numbers."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
