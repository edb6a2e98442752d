"""Computing a segment: in its run folder, from its newest checkpoint, by programs that are compiled once a part."""

import dataclasses
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from rlx.errors import Diverged
from rlx.loggers.jsonl import JsonLines
from rlx.run_config import agent_config, plain
from rlx.runner import folder as run_files
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.lock import locked
from rlx.runner.plan import Plan
from rlx.runner.population import Population, members_of
from rlx.runner.run import Run, failing_in_one_line
from rlx.sweeps import segments
from rlx.sweeps.parts import Builder, Part
from rlx.sweeps.plan import clock_of, fixed_layout, read_plans
from rlx.sweeps.progress import Told
from rlx.sweeps.seeding import seed
from rlx.sweeps.segments import Segment, Sheet
from rlx.types import Agent
from rlx.verbs import rewind
from rlx.watching import watch

Tell = Callable[[float], None]


class Worker:
    """Computes segments of the sweep in a folder, one after the other, and keeps what it has compiled.

    Args:
        sweep: the folder.
        base: what all points share.
    """

    def __init__(self, sweep: Path, base: dict[str, Any]) -> None:
        self._sweep, self._builder = sweep, Builder(base)
        self._populations: dict[str, Population] = {}

    def perform(self, number: int, tell: Tell = lambda share: None) -> bool:
        """Compute a segment, or go on with it; False if somebody wanted to stop before the end.

        Args:
            number: of the segment.
            tell: told the share that is done, in [0, 1].

        Raises:
            Taken: if another process is at it.
            RunFailed: if the disk is full or memory runs out.
        """
        if segments.is_finished(self._sweep, number):
            return True
        folder = segments.run_folder(self._sweep, number)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if segments.is_finished(self._sweep, number):  # by another process, just before
                return True
            return self._compute(segments.read(self._sweep, number), folder, tell)

    def _compute(self, segment: Segment, folder: Path, tell: Tell) -> bool:
        placed = [self._builder.place(point) for point in segment.points]
        name, agents = placed[0].part, [each.agent for each in placed]
        part = self._builder.parts[name]
        plan = self._plan(part, segment)
        population = self._population(name, part, agents)
        with failing_in_one_line(folder):
            self._begin(segment, part, population, folder)
            finished, diverged, seconds = _train(part, population, plan, folder, tell)
        if finished:
            sheet = Sheet(diverged.reshape(len(agents), -1).tolist(), seconds)
            segments.finish(self._sweep, segment.number, sheet)
        return finished

    def _plan(self, part: Part, segment: Segment) -> Plan:
        needs = part.agent.needs
        plan = Plan(part.config.settings, needs.num_envs * needs.rollout_length)
        return plan.until(min(plan.iterations, -(-segment.end // plan.steps_per_iteration)))

    def _population(self, name: str, part: Part, agents: list[Agent]) -> Population:
        """The members of the segment; programs are those of the part's first one."""
        settings = part.config.settings
        members = members_of(agents, settings.all_seeds)
        layout = fixed_layout(len(members), read_plans(self._sweep)[name].side_by_side)
        if name in self._populations:
            return self._populations[name].with_members(members, layout)
        how = (settings.eval_episodes, settings.eval_mode, settings.solved_return, layout, settings.eval_max_steps)
        self._populations[name] = Population(members, part.env, *how)
        return self._populations[name]

    def _begin(self, segment: Segment, part: Part, population: Population, folder: Path) -> None:
        """Make the run's folder if it is not there, with the states that its members begin with."""
        if (folder / "config.yaml").exists():
            return
        if segment.sources:
            seed(self._sweep, segment, population.member_shapes(clock_of(part)), folder)
        settings = dataclasses.replace(part.config.settings, run_dir=str(folder))
        agents = [member.agent for member in population.members[:: len(settings.all_seeds)]]
        config = {"agent": agent_config(agents), "env": plain(part.env.config), "run": dataclasses.asdict(settings)}
        run_files.describe(folder, config)


def _train(part: Part, population: Population, plan: Plan, folder: Path, tell: Tell) -> tuple[bool, np.ndarray, float]:
    """Train until the segment ends; whether it did, bool ``[M]``, which members have diverged, and the wall time."""
    began = time.perf_counter()
    settings = part.config.settings
    checkpoints = Checkpoints(folder / "checkpoints", keep=1)
    step = max(checkpoints.steps(), default=-1)
    if step < 0:  # killed before its first state was on disk, which may be later than its first rows: it begins anew
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        shutil.rmtree(folder / "policy", ignore_errors=True)
    seconds = rewind(folder, step)
    run = Run(population, plan, settings.total_steps, folder, checkpoints, seconds, tolerant=True)
    log = JsonLines(folder / "metrics.jsonl")
    try:
        with closing(log), closing(iter(run)) as events:
            stopped = watch(events, population.members, [log], Told(plan.steps, tell))
        finished = stopped.finished
    except Diverged:  # all of them: there is nothing left to train
        finished = True
    return finished, run.diverged, seconds + time.perf_counter() - began
