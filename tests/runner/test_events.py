"""A run yields what happened: whoever drives it can look at all of it, and stop it."""

import pytest
from stub import Stub

import rlx
from rlx.runner.checkpoint import Checkpoints
from rlx.runner.plan import Plan
from rlx.runner.population import Population, members_of
from rlx.runner.run import Evaluated, Phase, Progressed, Run, Stopped
from rlx.runner.settings import RunSettings


@pytest.fixture
def run(tmp_path):
    """Two members in probe-delayed, six steps an iteration, evaluated after every second of six iterations."""
    env = rlx.make_env("rlx/probe-delayed")
    settings = RunSettings(total_steps=36, num_evaluations=3, num_checkpoints=1, eval_episodes=2)
    population = Population(members_of([Stub(env.spec)], (3, 8)), env, eval_episodes=2)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    return Run(population, Plan(settings, 6), settings.total_steps, tmp_path, checkpoints)


def test_what_a_run_tells(run):
    events = list(run)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [event.step for event in evaluated] == [0, 12, 24, 36]
    assert evaluated[1].result.returns.tolist() == [[1.0, 1.0]] * 2
    assert evaluated[0].window == {}
    assert evaluated[1].window["update/count"].tolist() == [2.0, 2.0]
    steps = [event.step for event in events if isinstance(event, Progressed)]
    assert steps == sorted(steps)
    assert {0, 12, 24, 36} <= set(steps)
    assert {"training", "evaluating", "saving"} <= {event.name for event in events if isinstance(event, Phase)}
    assert events[-1] == Stopped(36, events[-1].acting, finished=True)
    assert events[-1].acting.params.shape == (2, 3)
    assert events[-1].acting.memory is None


def test_whoever_drives_it_can_stop_it(run):
    for event in run:
        if isinstance(event, Evaluated) and event.step == 12:
            run.stop.set()
    assert isinstance(event, Stopped)
    assert (event.step, event.finished) == (12, False)
    assert Checkpoints(run.folder / "checkpoints", keep=1).steps() == [12]
