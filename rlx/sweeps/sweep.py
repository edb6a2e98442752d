"""A sweep from its values to its outcome: what ``rlx.sweep`` and ``experiments/sweep.py`` do."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import yaml

from rlx.errors import ConfigurationError
from rlx.paths import expand
from rlx.runner.folder import write_atomically
from rlx.runner.lock import Taken, locked
from rlx.sweeps import segments
from rlx.sweeps.define import Definition, define
from rlx.sweeps.engine import DEFINITION, Engine, engine_for
from rlx.sweeps.outcome import tell_loggers, write_outcome
from rlx.sweeps.parts import Builder, in_words
from rlx.sweeps.plan import PartPlan, plan_part, read_plans, told, write_plans
from rlx.sweeps.progress import SweepProgress
from rlx.sweeps.results import Result, known, ranked, results
from rlx.sweeps.search import Search
from rlx.sweeps.searches import search_for
from rlx.sweeps.segments import Segment

# How often, and how many seconds apart, a folder is tried that another process holds for a moment.
_ATTEMPTS, _PAUSE = 50, 0.1
# There once TensorBoard and Weights & Biases have been told.
_TOLD = ".told"


class Swept(NamedTuple):
    """What a sweep found.

    Attributes:
        folder: of the sweep.
        results: every point, the best first.
    """

    folder: Path
    results: list[Result]

    @property
    def best(self) -> dict[str, Any]:
        """The best point's values, by key."""
        return self.results[0].point.values


def sweep(values: Mapping[str, Any], *, quiet: bool = False, progress: Callable[[float], None] | None = None) -> Swept:
    """Train every point of a space with every seed, points of one static part as one program.

    The same call goes on with a sweep that was stopped, and does nothing again that is done.

    Args:
        values: by key, as on the command line of ``experiments/sweep.py``: those of ``experiments/train.py`` and of
            `rlx.sweeps.settings.SweepSettings`, and the axes as ``"sweep.KEY"``: a list of values, or text such as
            ``"log(1e-4, 1e-2, 8)"``.
        quiet: show no live progress.
        progress: told the share that is done, in [0, 1]; nothing is shown then.

    Raises:
        ConfigurationError: if something cannot work; nothing is written then.
        RunFailed: if a disk is full, memory runs out, or a job keeps failing.
        KeyboardInterrupt: if somebody pressed Ctrl-C; what was done is saved.
    """
    definition, builder = define(values)
    folder = _folder(definition)
    plans = _plans(definition, builder, folder)
    _begin(folder, definition, plans)
    search = search_for(definition, builder, folder)
    engine = engine_for(definition.settings, folder, definition.base)
    title = f"sweep of {', '.join(axis.key for axis in definition.axes)}"
    alone = nullcontext() if definition.settings.search == "none" else locked(folder)
    with alone, SweepProgress(title, search.cost(), quiet, progress) as shown:
        shown.message(f"sweep folder: {folder}")
        counts = definition.points_by_part(builder)
        for name, number in counts.items():
            swept = [axis.key for axis in definition.axes]
            shown.message(told(name, builder.parts[name], plans[name], number, swept))
        _search(folder, definition, search, engine, shown)
        return _conclude(folder, definition, shown)


def _folder(definition: Definition) -> Path:
    """The sweep's folder, which may not be there yet.

    Raises:
        ConfigurationError: if it holds another sweep, or a run, or several processes need a name for it.
    """
    if definition.settings.sweep_dir is None and jax.process_count() > 1:
        raise ConfigurationError("the processes of jax.distributed share a sweep's folder; name it with sweep_dir=")
    if definition.settings.sweep_dir is None:
        return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-sweep-{os.getpid()}"
    folder = expand(definition.settings.sweep_dir)
    if (folder / "config.yaml").exists():
        raise ConfigurationError(f"{folder} holds a run; choose another sweep_dir")
    if (folder / DEFINITION).exists():
        _refuse_other(folder, definition)
    return folder


def _refuse_other(folder: Path, definition: Definition) -> None:
    ours = yaml.safe_load(yaml.safe_dump(definition.written()))
    try:
        there = yaml.safe_load((folder / DEFINITION).read_text(encoding="utf-8"))
        keys = [(part, key) for part in ours for key in ours[part] | there[part]]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder / DEFINITION} is damaged; choose another sweep_dir") from error
    different = [(key, there[part].get(key), ours[part].get(key)) for part, key in keys]
    different = [each for each in different if each[1] != each[2]]
    if different:
        key, was, now = different[0]
        raise ConfigurationError(f"{folder} holds another sweep: {key} was {was}, not {now}; choose another sweep_dir")


def _plans(definition: Definition, builder: Builder, folder: Path) -> dict[str, PartPlan]:
    """The plan of each static part among the drawn points; what is noted stays.

    Raises:
        ConfigurationError: if a part does not fit into memory.
    """
    settings, noted = definition.settings, read_plans(folder)
    plans = {
        name: noted.get(name) or plan_part(builder.parts[name], number, settings)
        for name, number in definition.points_by_part(builder).items()
    }
    for name, number in definition.points_by_part(builder).items():
        if settings.search == "pbt" and plans[name].points_at_once < number:
            raise ConfigurationError(
                f"search=pbt trains all {number} points of a program at once, and {plans[name].points_at_once} fit; "
                "lower num_points, or leave points_at_once and workers out"
            )
    return noted | plans


def _begin(folder: Path, definition: Definition, plans: dict[str, PartPlan]) -> None:
    """Write what workers read, once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the folder {folder} ({error.strerror}); choose another sweep_dir"
        ) from error
    with _held(folder):
        if not (folder / DEFINITION).exists():
            write_plans(folder, plans)
            write_atomically(folder / DEFINITION, yaml.safe_dump(definition.written(), sort_keys=False))


def _held(folder: Path) -> ExitStack:
    """A context that keeps other processes out for a moment; one that comes at the same time waits.

    Raises:
        Taken: if another one searches there.
    """
    stack = ExitStack()
    for _ in range(_ATTEMPTS):
        with suppress(Taken):
            stack.enter_context(locked(folder))
            return stack
        time.sleep(_PAUSE)
    stack.enter_context(locked(folder))
    return stack


def _search(folder: Path, definition: Definition, search: Search, engine: Engine, progress: SweepProgress) -> None:
    """Let the engine compute what the search wants next, until it wants nothing."""
    while True:
        noted = segments.read_all(folder)
        done = [each for each in noted if segments.is_finished(folder, each.number)]
        progress.begin(done, f"{len(noted)} segments")
        engine.perform(folder, [each for each in noted if each not in done], progress)
        following = search.following([known(folder, each, definition.settings.score_share) for each in noted])
        if not following:
            return
        _note(folder, definition, following)


def _note(folder: Path, definition: Definition, following: Sequence[Segment]) -> None:
    """Write the segments; without a search other processes may do so at the same time."""
    with _held(folder) if definition.settings.search == "none" else nullcontext():
        for segment in following:
            segments.write(folder, segment)


def _conclude(folder: Path, definition: Definition, progress: SweepProgress) -> Swept:
    """Write what the sweep leaves, and say the best point."""
    total, share = definition.run.total_steps, definition.settings.score_share
    found = ranked(results(folder, definition.points, total, share, over=True))
    with _held(folder) if definition.settings.search == "none" else nullcontext():
        names = write_outcome(folder, definition.base, definition.axes, found)
        if not (folder / _TOLD).exists():
            tell_loggers(folder, definition.run, found)
            (folder / _TOLD).touch()
    best, (low, high) = found[0], found[0].interval
    progress.message(
        f"best: {in_words(best.point.values)}: return {best.score:.4g} ({low:.4g} to {high:.4g})"
        if best.state == "finished"
        else "no point came to the end with finite numbers"
    )
    progress.message(f"{', '.join(names)} in {folder}")
    return Swept(folder, found)
