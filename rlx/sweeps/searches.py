"""The search that a definition names."""

import math
from pathlib import Path

from rlx.sweeps.define import Definition
from rlx.sweeps.optuna_search import OptunaSearch
from rlx.sweeps.parts import Builder, explorable
from rlx.sweeps.plan import plan_part, read_plans, write_plans
from rlx.sweeps.search import Everything, Halving, PopulationBased, Search, Task, rungs_for


def search_for(definition: Definition, builder: Builder, folder: Path) -> Search:
    """The search, in the sweep's folder, which has the plan."""
    settings, total = definition.settings, definition.run.total_steps
    task = Task(
        definition.points,
        total,
        part_of=lambda point: builder.place(point).part,
        at_once=lambda part: _at_once(definition, builder, folder, part),
        workers=settings.workers,
    )
    if settings.search == "halving":
        rungs = rungs_for(total, settings.keep_one_in, len(definition.points), settings.first_rung)
        return Halving(task, settings.keep_one_in, rungs)
    if settings.search == "pbt":
        axes = [axis for axis in definition.axes if explorable(definition.base.get("agent"), axis)]
        return PopulationBased(task, settings.exploits, axes, settings.draw_seed)
    if settings.search == "optuna":
        number = settings.num_points or 1
        population = settings.points_at_once or math.ceil(number / 4)
        return OptunaSearch(task, definition.axes, number, population, settings.draw_seed)
    return Everything(task)


def _at_once(definition: Definition, builder: Builder, folder: Path, part: str) -> int:
    """As the plan says; the plan of a part that a search is the first to meet is made now."""
    plans = read_plans(folder)
    if part not in plans:
        plans[part] = plan_part(builder.parts[part], definition.settings.num_points or 1, definition.settings)
        write_plans(folder, plans)
    return plans[part].points_at_once
