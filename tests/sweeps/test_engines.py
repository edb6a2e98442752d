"""Who computes a sweep: killed, beside others, or elsewhere; ``experiments/kill_sweep.py`` kills it many times."""

import random
import time
from types import SimpleNamespace

import kill_sweep
import numpy as np
import pytest
import yaml

import rlx
from rlx import cli
from rlx.errors import RunFailed
from rlx.runner.lock import Taken, locked
from rlx.sweeps import clusters, segments
from rlx.sweeps.clusters import SlurmJobs
from rlx.sweeps.local import Local
from rlx.sweeps.settings import SweepSettings
from rlx.sweeps.space import Point
from rlx.sweeps.work import Worker

SPACE = {"sweep.agent.learning_rate": [1e-4, 1e-3, 1e-2, 2e-2]}
HALVING = {"search": "halving", "keep_one_in": 2, "first_rung": 96, "points_at_once": 2}


def curves(found):
    return {result.point.number: result.curve[1] for result in found.results}


def equal(left, right):
    assert left.keys() == right.keys()
    for number in left:
        np.testing.assert_array_equal(left[number], right[number])


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    """A sweep in two segments."""
    folder = tmp_path_factory.mktemp("undisturbed") / "sweep"
    return rlx.sweep({**tiny, **SPACE, "points_at_once": 2, "sweep_dir": str(folder)}, quiet=True)


def test_a_sweep_that_is_killed_goes_on_to_the_same_results(tmp_path):
    """One kill of a real process."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = kill_sweep.Settings(kills=1, total_steps=4096, num_checkpoints=5, longest=0.5)
    rlx.sweep(cli.parse_sweep(kill_sweep.sweep_words(whole, settings)), quiet=True)
    kill_sweep.kill_commands(broken, settings, random.Random(0))
    assert kill_sweep.differences(whole, broken) == []


@pytest.mark.parametrize(("engine", "library"), [("slurm", "submitit"), ("ray", "ray")])
def test_other_engines_come_to_the_same_results(engine, library, undisturbed, tiny, tmp_path, request):
    loaded = pytest.importorskip(library)
    if engine == "ray":
        request.addfinalizer(loaded.shutdown)
    words = {"engine": engine, "slurm_local": engine == "slurm", "workers": 2, "sweep_dir": str(tmp_path / "sweep")}
    found = rlx.sweep({**tiny, **SPACE, "points_at_once": 2, **words}, quiet=True)
    equal(curves(found), curves(undisturbed))
    assert (tmp_path / "sweep" / "slurm").exists() == (engine == "slurm")


def test_nobody_takes_what_somebody_else_is_at(undisturbed):
    base = yaml.safe_load((undisturbed.folder / "sweep.yaml").read_text())["base"]
    segment = segments.Segment(7, segments.read(undisturbed.folder, 0).points, 0, 288)
    segments.write(undisturbed.folder, segment)
    folder = segments.run_folder(undisturbed.folder, 7)
    folder.mkdir()
    with locked(folder), pytest.raises(Taken):
        Worker(undisturbed.folder, base).perform(7)
    assert [file.name for file in folder.iterdir()] == [".lock"]


def test_a_search_that_is_stopped_goes_on_as_if_it_had_not_been(tiny, tmp_path, monkeypatch):
    values = {**tiny, **SPACE, **HALVING}
    whole = rlx.sweep({**values, "sweep_dir": str(tmp_path / "whole")}, quiet=True)
    compute, computed = Local._try, []

    def interrupted(self, sweep, segment, *rest):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(segment.number)
        return compute(self, sweep, segment, *rest)

    monkeypatch.setattr(Local, "_try", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rlx.sweep({**values, "sweep_dir": str(tmp_path / "broken")}, quiet=True)
    monkeypatch.setattr(Local, "_try", compute)
    broken = rlx.sweep({**values, "sweep_dir": str(tmp_path / "broken")}, quiet=True)
    equal(curves(broken), curves(whole))
    read = lambda sweep: [segments.read(sweep.folder, number) for number in range(len(segments.read_all(sweep.folder)))]  # noqa: E731
    assert read(broken) == read(whole)


def test_one_process_at_a_time_searches(tiny, tmp_path, monkeypatch):
    folder = tmp_path / "sweep"
    folder.mkdir()
    monkeypatch.setattr("rlx.sweeps.sweep._ATTEMPTS", 1)
    with locked(folder), pytest.raises(Taken, match="is being written by"):
        rlx.sweep({**tiny, **SPACE, **HALVING, "sweep_dir": str(folder)}, quiet=True)


def look(jobs, segment, times, pause=0.0):
    for _ in range(times):
        jobs.look([segment])
        time.sleep(pause)


def test_a_job_that_fails_ends_the_sweep_in_one_line(undisturbed, tmp_path):
    """Its segment has a point that cannot be built, which a folder of another version may have."""
    pytest.importorskip("submitit")
    (tmp_path / "sweep.yaml").write_text((undisturbed.folder / "sweep.yaml").read_text())
    segment = segments.Segment(0, (Point(0, {"agent.learning_rate": -1.0}),), 0, 288)
    segments.write(tmp_path, segment)
    jobs = SlurmJobs(SweepSettings(engine="slurm", slurm_local=True), tmp_path)
    with pytest.raises(RunFailed, match=r"the job of segment 0 failed: .*agent.learning_rate=-1.* logs are in"):
        look(jobs, segment, times=600, pause=0.2)


class Lost:
    """A job that has ended and left nothing."""

    def __init__(self, folder):
        self.paths = SimpleNamespace(result_pickle=folder / "none")

    def done(self):
        return True


def test_jobs_that_are_lost_are_submitted_again_as_long_as_they_come_further(tmp_path, monkeypatch):
    submitted = []
    executor = SimpleNamespace(submit=lambda *task: (submitted.append(task[-1]), Lost(tmp_path))[1])
    monkeypatch.setattr(clusters, "_executor", lambda settings, sweep: executor)
    segment = segments.Segment(3, (Point(0, {}),), 0, 288)
    jobs = SlurmJobs(SweepSettings(engine="slurm"), tmp_path)
    for step in range(clusters.PATIENCE):
        (segments.run_folder(tmp_path, 3) / "checkpoints" / str(step)).mkdir(parents=True)
        jobs.look([segment])
    assert submitted == [3] * clusters.PATIENCE
    with pytest.raises(RunFailed, match="20 jobs of segment 3 were lost without coming further"):
        look(jobs, segment, times=clusters.PATIENCE)
    assert len(submitted) == 2 * clusters.PATIENCE - 2  # the last that came further is the first that came no further
