"""Train, evaluate and load, without a command line."""

import dataclasses
import importlib.util
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from rlx import build
from rlx.envs.api import Env
from rlx.errors import ConfigurationError
from rlx.loggers.console import Console
from rlx.loggers.jsonl import read_rows, truncate_after
from rlx.paths import expand
from rlx.run_config import agent_config, listed, make_settings, plain, read_back
from rlx.runner import folder as run_folder
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.evaluate import Evaluation
from rlx.runner.lock import locked
from rlx.runner.observers import Progress
from rlx.runner.plan import Plan
from rlx.runner.population import Member, Population, members_of, stack
from rlx.runner.run import Run, Stopped, failing_in_one_line, load_acting
from rlx.runner.settings import RunSettings
from rlx.settings import checked, settings_of
from rlx.types import Agent, Clock, Mode, PyTree
from rlx.watching import loggers_of, watch


class Trained(NamedTuple):
    """A population as it can act: what ``train`` returns and ``load`` reads.

    Attributes:
        folder: the run's folder.
        members: an agent and a seed each.
        env: the environment trained in.
        settings: what the run was told.
        state: the acting part of the agents' states, leaves ``[M, ...]``.
        step: environment steps each member has learned from.
        finished: whether the budget is spent.
    """

    folder: Path
    members: list[Member]
    env: Env
    settings: RunSettings
    state: PyTree
    step: int
    finished: bool

    @property
    def agents(self) -> Agent:
        """Hyperparameters of the members, leaves ``[M]``."""
        return stack([member.agent for member in self.members])


def train(
    agent: Agent | Sequence[Agent],
    env: Env,
    *,
    quiet: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Train a population in ``env`` as one program, in a new run folder: every agent with every seed.

    Ctrl-C and SIGTERM save and return early; ``resume`` goes on.

    Args:
        agent: hyperparameters, from ``make_agent`` or built by hand; or several that differ in real-valued ones only.
        env: from ``make_env``.
        quiet: show no live progress.
        progress: shows how far the run is, instead of the live display.
        **settings: fields of ``RunSettings``, such as ``total_steps`` and ``num_seeds``.

    Raises:
        ConfigurationError: if something cannot work; nothing is written then.
        RunFailed: if a loss or a return is no longer finite, the disk is full or memory runs out.
    """
    agents = [build.validate(each) for each in listed(agent)]
    return train_checked(agents, env, make_settings(**settings), quiet, progress)


def train_checked(
    agents: Sequence[Agent], env: Env, settings: RunSettings, quiet: bool = False, progress: Progress | None = None
) -> Trained:
    """`train` of agents and settings whose every field has been checked, as ``rlx.compose`` makes them.

    Raises:
        ConfigurationError: if they do not fit together; nothing is written then.
        RunFailed: if a loss or a return is no longer finite, the disk is full or memory runs out.
    """
    population = _population(agents, env, settings)
    config = {"agent": agent_config(agents), "env": plain(env.config), "run": dataclasses.asdict(settings)}
    folder = run_folder.place(settings.run_dir, config)
    with locked(folder) as note:
        run_folder.begin(folder, config)
        return _run(population, env, settings, folder, quiet, progress, note)


def resume(
    folder: str | Path,
    *,
    agent: Agent | Sequence[Agent] | None = None,
    env: Env | None = None,
    quiet: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Go on with the run in ``folder`` from its newest checkpoint, to the same bits as if it had never stopped.

    Args:
        folder: a run's folder.
        agent: the run's agent or agents, needed only if they are not registered by name.
        env: the run's environment, needed only if it was not made by name.
        quiet: show no live progress.
        progress: shows how far the run is, instead of the live display.

    Raises:
        ConfigurationError: if there is no such run, its checkpoint is missing or damaged, or it runs already.
        RunFailed: as ``train``.
    """
    folder = expand(folder)
    agents, env, settings = read_back(folder, agent, env)
    steps = _plan(agents[0], settings).steps
    parts = (folder / "checkpoints", folder / "policy")
    if all(steps in Checkpoints(part, keep=1, read_only=True).steps() for part in parts):
        told = f"{folder} is finished, at step {steps}; for more steps start a new run with a larger total_steps"
        (progress.message if progress else print)(told)
        return load(folder, agent=agents, env=env)
    population = _population(agents, env, settings)
    with locked(folder) as note:
        return _run(population, env, settings, folder, quiet, progress, note)


def load(folder: str | Path, *, agent: Agent | Sequence[Agent] | None = None, env: Env | None = None) -> Trained:
    """Read the newest policy of the run in ``folder``, finished or not; the arguments are those of ``resume``.

    Raises:
        ConfigurationError: if there is no such run, or its policy is missing or damaged.
    """
    folder = expand(folder)
    agents, env, settings = read_back(folder, agent, env)
    members = members_of(agents, settings.all_seeds)
    clock = Clock.start(settings.total_steps, _plan(agents[0], settings).steps_per_iteration)
    step, state = load_acting(folder, Population(members, env), clock)
    return Trained(folder, members, env, settings, state, step, finished=step >= settings.total_steps)


def evaluate(trained: Trained, *, num_episodes: int | None = None, mode: Mode | None = None) -> Evaluation:
    """Evaluate every member, by default exactly as the run itself did at that step, with the same keys.

    Args:
        trained: from ``train`` or ``load``.
        num_episodes: whole episodes a member; by default as the run did.
        mode: ``"greedy"`` or ``"sample"``; by default as the run did.

    Returns:
        Returns and lengths, ``[M, num_episodes]``.
    """
    fields = settings_of(RunSettings)
    given = {"eval_episodes": num_episodes, "eval_mode": mode, "eval_max_steps": None}
    chosen = {
        name: vars(trained.settings)[name] if value is None else checked(fields[name], value, "")
        for name, value in given.items()
    }
    population = Population(trained.members, trained.env, **chosen)
    return population.evaluate(population.scatter(trained.state), trained.step)


def _population(agents: Sequence[Agent], env: Env, settings: RunSettings) -> Population:
    """The population of a run; what cannot run is refused before anything is compiled or written.

    Raises:
        ConfigurationError: naming what does not fit.
    """
    plan = check_run(agents, env, settings)
    members, evaluation = members_of(agents, settings.all_seeds), (settings.eval_episodes, settings.eval_mode)
    population = Population(members, env, *evaluation, settings.solved_return, eval_max_steps=settings.eval_max_steps)
    population.plan(Clock.start(settings.total_steps, plan.steps_per_iteration))
    return population


def check_run(agents: Sequence[Agent], env: Env, settings: RunSettings) -> Plan:
    """The schedule of a run of these, if they fit together; whether it fits into memory is another question.

    Raises:
        ConfigurationError: naming what does not fit.
    """
    if not isinstance(env, Env):
        raise ConfigurationError(f"{env!r} is no environment; build one with rlx.make_env")
    for agent in agents:
        if agent.spec != env.spec:
            raise ConfigurationError(
                f"the agent was built for {agent.spec.name}, not for this {env.name}; "
                "build it with make_agent(..., env)"
            )
    if not settings.seeds and settings.seed + settings.num_seeds > 2**32:
        raise ConfigurationError(
            f"seed={settings.seed} and the next {settings.num_seeds - 1} exceed 4294967295; lower it"
        )
    plan = _plan(agents[0], settings)
    steps_of_each = plan.iterations * agents[0].needs.rollout_length
    if steps_of_each > 2**31 - 1:
        raise ConfigurationError(
            f"each environment would take {steps_of_each} steps, but they are counted up to 2147483647; "
            "lower total_steps or raise agent.num_envs"
        )
    if settings.wandb and importlib.util.find_spec("wandb") is None:
        raise ConfigurationError("wandb=true needs wandb: pip install 'rlx[wandb]', or leave it out")
    return plan


def _run(
    population: Population,
    env: Env,
    settings: RunSettings,
    folder: Path,
    quiet: bool,
    progress: Progress | None,
    note: str | None,
) -> Trained:
    title = f"{build.agent_name(population.members[0].agent)} on {env.name}"
    plan = _plan(population.members[0].agent, settings)
    with ExitStack() as stack:
        if progress is None:
            progress = stack.enter_context(Console(title, plan.steps, len(population.members), quiet))
        for text in filter(None, (f"run folder: {folder}", note)):
            progress.message(text)
        end = _go_on_or_say_how(population, plan, settings, folder, progress)
        progress.message(f"run folder: {folder}" if end.finished else f"interrupted and saved; resume={folder} goes on")
    return Trained(folder, population.members, env, settings, end.acting, end.step, end.finished)


def _go_on_or_say_how(
    population: Population, plan: Plan, settings: RunSettings, folder: Path, progress: Progress
) -> Stopped:
    """`_go_on`; what stops it from outside leaves one line on what is safe."""
    try:
        with failing_in_one_line(folder):
            return _go_on(population, plan, settings, folder, progress)
    except KeyboardInterrupt:
        progress.message(f"interrupted; resume={folder} goes on from what was saved last")
        raise


def _go_on(population: Population, plan: Plan, settings: RunSettings, folder: Path, progress: Progress) -> Stopped:
    """Drive the run in ``folder`` from its newest checkpoint until it stops."""
    checkpoints = Checkpoints(folder / "checkpoints", settings.keep_checkpoints, best=True)
    step = max(checkpoints.steps(), default=-1)
    seconds_before = rewind(folder, step)
    with ExitStack() as stack:
        loggers = [stack.enter_context(closing(logger)) for logger in loggers_of(settings, folder, step)]
        run = Run(population, plan, settings.total_steps, folder, checkpoints, seconds_before)
        progress.message(population.plan(run.clock, resumed=step >= 0))
        return watch(stack.enter_context(closing(iter(run))), population.members, loggers, progress)


def _plan(agent: Agent, settings: RunSettings) -> Plan:
    return Plan(settings, agent.needs.num_envs * agent.needs.rollout_length)


def rewind(folder: Path, step: int) -> float:
    """Drop what was logged after the newest checkpoint at ``step``; return the seconds spent up to there."""
    log = folder / "metrics.jsonl"
    if step < 0 and any(row["step"] > 0 for row in read_rows(log)):
        raise ConfigurationError(f"{folder} has logged results but no checkpoint to go on from; start a new run")
    # An evaluation is made again unless its policy is saved, or one after it.
    evaluated = max(Checkpoints(folder / "policy", keep=1, read_only=True).steps(), default=-1) >= step
    truncate_after(log, step if evaluated else step - 1)
    return max((row["wall_time"] for row in read_rows(log)), default=0.0)
