"""A whole sweep: programs counted, points beside the same runs alone, what it leaves, and how it goes on."""

import json
import math
import re
import shutil

import jax
import numpy as np
import pytest
import yaml

import rlx
from rlx import cli
from rlx.compose import compose_values
from rlx.loggers.jsonl import read_rows
from rlx.sweeps import segments
from rlx.sweeps.local import Local

SPACE = {
    "sweep.agent.learning_rate": "log(1e-4,1e-2,3)",
    "sweep.agent.discount": [0.97, 0.99],
    "sweep.agent.hidden_sizes": [[8], [16]],
}


@pytest.fixture(scope="module")
def swept(tiny, tmp_path_factory, compilations):
    """The sweep of two programs, 12 points and 2 seeds, and the names of what was compiled for it."""
    base = {key: value for key, value in tiny.items() if key != "agent.hidden_sizes"}
    folder = tmp_path_factory.mktemp("sweeps") / "grid"
    with compilations() as names:
        found = rlx.sweep({**base, **SPACE, "points_at_once": 3, "sweep_dir": str(folder)}, quiet=True)
    return found, names


def test_each_static_part_is_compiled_once(swept):
    """Two widths, each of six points in two batches."""
    found, names = swept
    assert len(segments.read_all(found.folder)) == 4
    assert {name: names.count(name) for name in ("jit(init)", "jit(chunk)", "jit(evaluation)")} == {
        "jit(init)": 2, "jit(chunk)": 2, "jit(evaluation)": 2
    }  # fmt: skip


def test_every_point_is_there_with_its_values(swept):
    found, _ = swept
    assert len(found.results) == 12
    assert {result.state for result in found.results} == {"finished"}
    told = {
        (r.point.values["agent.learning_rate"], r.point.values["agent.discount"], *r.point.values["agent.hidden_sizes"])
        for r in found.results
    }
    assert told == {
        (rate, discount, size) for rate in (1e-4, 1e-3, 1e-2) for discount in (0.97, 0.99) for size in (8, 16)
    }


def test_a_point_equals_the_same_run_alone(swept, tmp_path):
    """To float32 rounding over 9 updates: groups of another size may add in another order."""
    found, _ = swept
    result = found.results[5]
    config = yaml.safe_load((found.folder / "sweep.yaml").read_text())["base"]
    alone = compose_values({**config, **result.point.values, "num_seeds": 1, "seed": 1})
    agent, env = alone.build()
    run = rlx.train(agent, env, quiet=True, **{**alone.run, "run_dir": str(tmp_path / "alone")})
    segment, slot = result.place
    together = rlx.load(segments.run_folder(found.folder, segment))
    member = together.members[2 * slot + 1]
    assert (member.seed, member.agent) == (1, agent)
    for ours, theirs in zip(jax.tree.leaves(run.state), jax.tree.leaves(together.state), strict=True):
        np.testing.assert_allclose(ours[0], np.asarray(theirs)[2 * slot + 1], rtol=1e-5, atol=1e-6)
    rows = [row["evaluation/return_mean"] for row in read_rows(run.folder / "metrics.jsonl")]
    assert result.curve[1][1].tolist() == rows


def test_the_table_ranks_points_by_their_mean_over_seeds(swept):
    found, _ = swept
    scores = [result.score for result in found.results]
    assert scores == sorted(scores, reverse=True)
    best = found.results[0]
    assert best.score == pytest.approx(np.mean([best.curve[1][seed][-1] for seed in (0, 1)]))
    lines = (found.folder / "table.md").read_text().splitlines()
    assert len(lines) == 14
    assert lines[2].startswith(f"| 1 | {best.point.number} |")


def test_train_takes_the_best_configuration(swept):
    found, _ = swept
    config = cli.compose_config([f"config={found.folder / 'best.yaml'}", "seed=7"])
    for key, value in found.best.items():
        assert config.agent[key.removeprefix("agent.")] == value
    assert config.settings.total_steps == 288
    assert config.settings.seed == 7


def test_the_page_holds_every_point_and_needs_nothing_else(swept):
    found, _ = swept
    page = (found.folder / "index.html").read_text()
    data = json.loads(re.search(r"const data = (.*);\nconst", page)[1])
    assert [point["number"] for point in data["points"]] == [result.point.number for result in found.results]
    assert all(len(point["curve"]["steps"]) == 4 for point in data["points"])
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_figures_are_there(swept):
    found, _ = swept
    assert {"sensitivity.png", "heat.png"} <= {file.name for file in found.folder.iterdir()}


def test_a_finished_sweep_is_not_run_again(swept, tiny, monkeypatch):
    found, _ = swept
    monkeypatch.setattr(Local, "_try", lambda *arguments: pytest.fail("it computes again"))
    base = {key: value for key, value in tiny.items() if key != "agent.hidden_sizes"}
    again = rlx.sweep({**base, **SPACE, "points_at_once": 3, "sweep_dir": str(found.folder)}, quiet=True)
    assert [result.score for result in again.results] == [result.score for result in found.results]


def test_a_point_that_diverges_costs_the_others_nothing(tiny, tmp_path):
    """A step size of 1e38 makes parameters infinite at once."""
    values = {**tiny, "sweep.agent.learning_rate": [1e-3, 1e38], "agent.max_grad_norm": 1e9}
    found = rlx.sweep({**values, "sweep_dir": str(tmp_path / "mixed")}, quiet=True)
    assert [result.state for result in found.results] == ["finished", "diverged"]
    assert found.best == {"agent.learning_rate": 1e-3}
    assert found.results[0].curve[0].tolist() == [0, 96, 192, 288]
    assert found.results[1].score == -math.inf
    assert "diverged" in (tmp_path / "mixed" / "table.md").read_text()
    shutil.rmtree(tmp_path / "mixed")


def test_halving_goes_on_from_states_without_another_program(tiny, tmp_path, compilations):
    values = {**tiny, "sweep.agent.learning_rate": "log(1e-4,1e-2,6)", "search": "halving", "num_seeds": 1}
    folder = tmp_path / "halving"
    with compilations() as names:
        found = rlx.sweep({**values, "points_at_once": 3, "sweep_dir": str(folder)}, quiet=True)
    assert names.count("jit(chunk)") == 1
    assert [(len(each.points), each.end) for each in segments.read_all(folder)] == [(3, 96), (3, 96), (2, 288)]
    assert sorted(result.state for result in found.results) == ["finished"] * 2 + ["left behind"] * 4
    climbed = next(result for result in found.results if result.state == "finished")
    assert climbed.curve[0].tolist() == [0, 96, 192, 288]
    # The same point in a sweep without a search: rungs leave no trace in its numbers.
    alone = rlx.sweep(
        {
            **tiny,
            "num_seeds": 1,
            "sweep.agent.learning_rate": [climbed.point.values["agent.learning_rate"]],
            "sweep_dir": str(tmp_path / "alone"),
        },
        quiet=True,
    )
    np.testing.assert_allclose(alone.results[0].curve[1], climbed.curve[1])


def test_population_based_training_copies_states(tiny, tmp_path):
    values = {**tiny, "sweep.agent.learning_rate": [1e-4, 1e-3, 1e-2, 3e-2], "search": "pbt", "exploits": 2}
    found = rlx.sweep({**values, "num_seeds": 1, "sweep_dir": str(tmp_path / "pbt")}, quiet=True)
    noted = segments.read_all(found.folder)
    assert [(each.begin, each.end) for each in noted] == [(0, 96), (96, 192), (192, 288)]
    assert sum(source.slot != slot for slot, source in enumerate(noted[1].sources)) == 1
    assert {result.state for result in found.results} == {"finished"}


def test_optuna_is_asked_for_population_after_population(tiny, tmp_path):
    pytest.importorskip("optuna")
    space = {"sweep.agent.learning_rate": "log(1e-4,1e-2)", "sweep.agent.hidden_sizes": [[8], [16]]}
    base = {key: value for key, value in tiny.items() if key != "agent.hidden_sizes"}
    search = {"search": "optuna", "num_points": 5, "points_at_once": 3, "num_seeds": 1}
    found = rlx.sweep({**base, **space, **search, "sweep_dir": str(tmp_path / "optuna")}, quiet=True)
    assert sorted(result.point.number for result in found.results) == [0, 1, 2, 3, 4]
    assert {result.state for result in found.results} == {"finished"}
    rates = [result.point.values["agent.learning_rate"] for result in found.results]
    assert len(set(rates)) == 5
    assert 1e-4 <= min(rates) <= max(rates) <= 1e-2
    # Points of one population that have other shapes are segments of their own.
    noted = segments.read_all(found.folder)
    assert sorted(point.number for segment in noted for point in segment.points) == [0, 1, 2, 3, 4]
    assert all(len({str(point.values["agent.hidden_sizes"]) for point in segment.points}) == 1 for segment in noted)
