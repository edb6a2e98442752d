"""Engines on many machines that share a file system: a Ray cluster, and SLURM through submitit."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rlx.errors import RunFailed
from rlx.runner.interrupt import interruptible
from rlx.sweeps import segments
from rlx.sweeps.engine import POLL_SECONDS, perform_alone
from rlx.sweeps.progress import SweepProgress, logged
from rlx.sweeps.segments import Segment
from rlx.sweeps.settings import SweepSettings

# Jobs of one segment that are lost one after the other without having come further, before the sweep gives up.
PATIENCE = 20


class Queue(Protocol):
    """Tasks under way elsewhere, one a segment."""

    def look(self, left: Sequence[Segment]) -> None:
        """Take note of tasks that have ended, and begin others for segments that are ``left`` to compute."""
        ...

    def cancel(self) -> None:
        """End all tasks."""
        ...


class Cluster:
    """The engine of any queue."""

    def __init__(self, settings: SweepSettings) -> None:
        self._settings = settings

    def perform(self, sweep: Path, wanted: Sequence[Segment], progress: SweepProgress) -> None:
        """Keep tasks going until all segments are finished."""
        queue = (RayTasks if self._settings.engine == "ray" else SlurmJobs)(self._settings, sweep)
        with interruptible() as interrupted:
            while left := [segment for segment in wanted if not segments.is_finished(sweep, segment.number)]:
                queue.look(left)
                progress.running(sum(logged(sweep, segment) for segment in wanted))
                _leave_if(interrupted, queue)


def _leave_if(interrupted: threading.Event, queue: Queue) -> None:
    """Wait a moment; if somebody wants to stop, end all tasks."""
    if interrupted.wait(POLL_SECONDS):
        queue.cancel()
        raise KeyboardInterrupt


class RayTasks:
    """A task a segment, which Ray does again elsewhere when its node is lost; where they run is Ray's business."""

    def __init__(self, settings: SweepSettings, sweep: Path) -> None:
        import ray

        self._ray, self._sweep, self._tasks = ray, sweep, dict[Any, int]()
        if not ray.is_initialized():
            self._connect(settings)
        # What is done again for ever is what nodes and workers lose; what a task raises ends the sweep.
        options: dict[str, Any] = {"num_cpus": settings.cpus, "num_gpus": settings.gpus, "max_retries": -1}
        # Ray counts cores and binds nobody to them; a worker would take all of its node.
        cores = os.environ.get("JAX_NUM_CPU_DEVICES", str(settings.cpus))
        options["runtime_env"] = {"env_vars": {"JAX_NUM_CPU_DEVICES": cores}}
        self._begin = ray.remote(**options)(perform_alone).remote

    def look(self, left: Sequence[Segment]) -> None:
        """See `Queue`."""
        for segment in left:
            if segment.number not in self._tasks.values():
                self._tasks[self._begin(str(self._sweep.absolute()), segment.number)] = segment.number
        done, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        for task in done:
            del self._tasks[task]
            self._raise_cause(task)

    def cancel(self) -> None:
        """See `Queue`."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)

    def _connect(self, settings: SweepSettings) -> None:
        # One of this machine alone listens to nobody else, and reports to nobody.
        own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        own |= {"num_cpus": settings.workers * settings.cpus, "num_gpus": settings.workers * settings.gpus}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        where = {"address": settings.ray_address} if settings.ray_address else {"address": "local", **own}
        self._ray.init(log_to_driver=False, logging_level=logging.WARNING, **where)

    def _raise_cause(self, task: Any) -> None:
        """Raise what a task raised, as it was raised there; one that was told to stop begins again."""
        try:
            self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, InterruptedError):
                raise error.cause from error


class SlurmJobs:
    """A job a segment, ``workers`` at a time, submitted again when lost, preempted or cut short by its time limit."""

    def __init__(self, settings: SweepSettings, sweep: Path) -> None:
        self._settings, self._sweep = settings, sweep
        self._executor, self._jobs = _executor(settings, sweep), dict[int, Any]()
        # Of a segment: how far it was when its last job ended, and how many jobs ended just there.
        self._stuck: dict[int, tuple[int, int]] = {}

    def look(self, left: Sequence[Segment]) -> None:
        """See `Queue`.

        Raises:
            RunFailed: if a job fails, or job after job is lost without coming further.
        """
        ended = [number for number, job in self._jobs.items() if job.done()]
        jobs = {number: self._jobs.pop(number) for number in ended}
        for segment in left:
            if segment.number in jobs:
                self._note_end(segment, jobs[segment.number])
        waiting = [segment.number for segment in left if segment.number not in self._jobs]
        for number in waiting[: self._settings.workers - len(self._jobs)]:
            self._jobs[number] = self._executor.submit(perform_alone, str(self._sweep.absolute()), number)

    def cancel(self) -> None:
        """See `Queue`."""
        for job in self._jobs.values():
            job.cancel()

    def _note_end(self, segment: Segment, job: Any) -> None:
        """A job has ended before its segment: it failed, or was lost, and came further than the last one or not."""
        logs = f"its logs are in {self._sweep / 'slurm'}"
        error = _raised(job)
        if error is not None and not error.startswith(InterruptedError.__name__):
            raise RunFailed(f"the job of segment {segment.number} failed: {error}; {logs}")
        reached = segments.saved_step(self._sweep, segment.number)
        before, times = self._stuck.get(segment.number, (-1, 0))
        self._stuck[segment.number] = (reached, 1 if reached > before else times + 1)
        if self._stuck[segment.number][1] >= PATIENCE:
            raise RunFailed(f"{PATIENCE} jobs of segment {segment.number} were lost without coming further; {logs}")


def _raised(job: Any) -> str | None:
    """The last line of the traceback that an ended job left; ``None`` for one that left none, since it was lost."""
    if not job.paths.result_pickle.exists():
        return None
    # The traceback stands between two lines of dashes.
    lines = [line for line in str(job.exception()).splitlines() if line.strip()]
    dashes = [number for number, line in enumerate(lines) if set(line) == {"-"}]
    return lines[dashes[-1] - 1] if dashes else lines[-1]


def _executor(settings: SweepSettings, sweep: Path) -> Any:
    """What submits jobs."""
    import submitit

    executor = submitit.AutoExecutor(sweep / "slurm", cluster="local" if settings.slurm_local else "slurm")
    partition = {"slurm_partition": settings.slurm_partition} if settings.slurm_partition else {}
    executor.update_parameters(
        name="rlx-sweep",
        timeout_min=settings.slurm_minutes,
        cpus_per_task=settings.cpus,
        gpus_per_node=settings.gpus,
        **partition,
    )
    return executor
