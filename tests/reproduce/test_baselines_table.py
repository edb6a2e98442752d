"""What baselines/returns claims of scores, and what random actions are."""

import jax
import numpy as np
import pytest

from rlx.envs.api import make_env
from rlx.reproduce.table import Cell, Cells


@pytest.fixture(scope="module")
def returns():
    from papers.baselines import returns

    return returns


# Baseline -> metric, scores that just reach what is claimed and scores that just do not; random actions return 10.
REACHED = {
    "ppo_cartpole": ("final return", [475.0] * 16, [475.0] * 15 + [474.0]),
    "dqn_cartpole": ("best return", [400.0] * 14 + [9.0] * 2, [400.0] * 13 + [399.0] * 3),
    "ppo_inverted_pendulum": ("final return", [950.0] * 4, [1000.0] * 3 + [949.0]),
    "ppo_halfcheetah": ("final return", [511.0] * 4, [3000.0] * 3 + [510.0]),
    "dqn_breakout": ("final return", [0.0, 0.0, 100.0, 100.0], [0.0, 0.0, 100.0, 99.0]),
}


@pytest.mark.parametrize("name", REACHED)
def test_a_claim_holds_from_its_threshold_on(returns, name):
    metric, enough, too_little = REACHED[name]
    baseline = returns.BASELINES[name]
    claim = returns.TABLE.claims[list(returns.BASELINES).index(name)]

    def outcome(scores):
        setting = {"agent": baseline.agent, "task": baseline.task}
        others = {"final return": "best return", "best return": "final return"}
        cells = (
            Cell(setting, metric, scores),
            Cell(setting, others[metric], np.zeros(1)),
            Cell({"agent": "random actions", "task": baseline.task}, "final return", [10.0]),
        )
        return claim.check(Cells(cells))

    assert outcome(enough).holds is True
    assert outcome(too_little).holds is False
    assert outcome(enough[:-1]).holds is None
    assert outcome(enough).measured.endswith("; random actions 10")


def test_seeds_are_those_of_the_criteria(returns):
    jobs = returns.jobs(returns.TABLE.scales["small"])
    seeds = {job.name: job.settings["run"]["num_seeds"] for job in jobs[1:]}
    assert seeds == {"ppo_cartpole": 16, "dqn_cartpole": 16} | dict.fromkeys(
        ("ppo_inverted_pendulum", "ppo_halfcheetah", "dqn_breakout"), 4
    )


@pytest.mark.parametrize(("task", "values"), [("gymnax/CartPole-v1", {0, 1}), ("brax/inverted_pendulum", None)])
def test_random_actions_are_those_of_the_space(returns, task, values):
    env = make_env(task)
    policy = returns.RandomActions(env)
    timestep = type("Seen", (), {"obs": np.zeros((200, 4))})
    action = np.asarray(policy.policy(None, timestep, jax.random.key(0), "sample"))
    if values:
        assert action.shape == (200,)
        assert set(action) == values
    else:
        assert action.shape == (200, 1)
        assert -1 <= action.min() < -0.9 < 0.9 < action.max() <= 1


def test_random_actions_return_what_is_in_the_committed_table(returns):
    assert returns.random_return("gymnax/CartPole-v1") == 22.84375


def test_cells_and_curves_stand_beside_random_actions(returns, monkeypatch):
    values = np.array([[0.0, 30.0, 20.0], [1.0, 5.0, 7.0]])
    folders = {name: name for name in (*returns.BASELINES, "random_actions")}
    monkeypatch.setattr(returns, "returns", lambda folder: (np.array([0, 10, 20]), values))
    monkeypatch.setattr(returns, "outputs", lambda folder: {"return": np.array([22.0, 23.0, -68.0, 0.5])})
    cells = Cells(tuple(returns.cells(returns.TABLE.scales["small"], folders)))
    assert len(cells) == 2 * 5 + 4
    ppo = cells.where(agent="ppo", task="gymnax/CartPole-v1")
    assert {cell.metric: cell.scores.tolist() for cell in ppo} == {
        "final return": [20.0, 7.0],
        "best return": [30.0, 7.0],
    }
    assert cells.one(agent="random actions", task="brax/halfcheetah").scores == [-68.0]
    drawn = returns.figures(cells, folders)
    assert list(drawn) == list(returns.BASELINES)
    (axes,) = drawn["ppo_halfcheetah"].axes
    assert [text.get_text() for text in axes.texts] == ["random actions"]
    assert -68.0 in axes.lines[-1].get_ydata()
