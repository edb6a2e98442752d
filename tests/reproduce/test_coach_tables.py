"""The tables of COACH: claims about numbers made up by hand, and the diary by which episodes are counted."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from papers.coach import deep_cartpole, delay, feedback_matrix, policy_dependence
from papers.coach._teach import Class, Diary, Pupil, teach

from rlx.envs.teacher import Channel
from rlx.reproduce.table import Cell, Cells


def judged(table, rows):
    """What becomes of each claim, from settings with their numbers, those of two seeds."""
    cells = [Cell(setting, metric, np.full(2, value)) for setting, numbers in rows for metric, value in numbers.items()]
    return [claim.check(Cells(tuple(cells), "mean")).holds for claim in table.TABLE.claims]


def matrix(**steps):
    """All rows of the feedback matrix: 10 steps, all solved, but for some jobs, whose pupils take other steps."""
    rows = []
    for group in feedback_matrix.classes():
        for pupil, length in zip(group.pupils, steps.get(group.name.replace("-", "_"), [10.0] * 9), strict=False):
            rows.append((pupil.setting, {feedback_matrix.STEPS: length, feedback_matrix.SOLVED: float(length < 400)}))
    return rows


AS_MEASURED = {
    "coach_action": [10.0, 499.0],
    "tamer_task": [170.0, 12.0],
    "tamer_action_author": [11.0, 300.0],
    "tamer_improvement": [470.0, 350.0, 114.0, 187.0],
}


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, [True] * 5),
        ({"coach_task": [170.0, 30.0]}, [False, True, True, True, True]),
        ({"coach_improvement": [500.0, 10.0]}, [False, True, True, True, True]),
        ({"tamer_task": [100.0, 100.0]}, [True, False, True, True, True]),
        ({"tamer_action_author": [11.0, 149.0]}, [True, True, False, True, True]),
        ({"tamer_improvement": [470.0, 350.0, 114.0, 90.0]}, [True, True, True, False, True]),
        ({"coach_action": [10.0, 20.0]}, [True, True, True, True, False]),
    ],
)
def test_claims_about_kinds_of_feedback(changes, holds):
    assert judged(feedback_matrix, matrix(**AS_MEASURED | changes)) == holds


@pytest.mark.parametrize(
    ("told", "untold", "carried", "holds"),
    [(15.0, 250.0, 15.0, [True] * 3), (30.0, 100.0, 26.0, [False] * 3)],
)
def test_claims_about_late_feedback(told, untold, carried, holds):
    rows = []
    for group in delay.classes():
        for pupil in group.pupils:
            right = pupil.fields["delay"] == pupil.channel.lag
            steps = carried if group.name == "carried" else told if right else untold
            rows.append((pupil.setting, {delay.STEPS: steps}))
    assert judged(delay, rows) == holds


@pytest.mark.parametrize(
    ("coach", "saturated", "tamer", "praise", "holds"),
    [(16.0, 63.0, 10.0, 0.2, [True] * 4), (26.0, 59.0, 26.0, 0.9, [False] * 4)],
)
def test_claims_about_trainers_who_look_at_the_policy(coach, saturated, tamer, praise, holds):
    rows = []
    for group in policy_dependence.classes():
        for pupil in group.pupils:
            steps = tamer if group.agent == "tamer" else saturated if pupil.setting["step size"] == 0.5 else coach
            numbers = {policy_dependence.STEPS: steps, policy_dependence.FIRST: 0.9, policy_dependence.FINAL: praise}
            rows.append((pupil.setting, numbers))
    assert judged(policy_dependence, rows) == holds


@pytest.mark.parametrize(
    ("replayed", "once", "late", "told", "holds"),
    [(450.0, 200.0, 20.0, 500.0, [True] * 3), (390.0, 300.0, 160.0, 420.0, [False] * 3)],
)
def test_claims_about_deep_coach(replayed, once, late, told, holds):
    def number(row):
        if row.fault == deep_cartpole.LATE:
            return told if row.told == 4 else late
        return replayed if row.replay == deep_cartpole.REPLAY else once

    rows = [(deep_cartpole.setting(row), {deep_cartpole.RETURN: number(row)}) for row in deep_cartpole.ROWS]
    assert judged(deep_cartpole, rows) == holds


def test_a_diary_counts_episodes_member_by_member():
    """The second member's episode ends in the goal after two steps, the first's is cut after three."""
    diary = Diary.empty(2, 2)
    for feedback, terminated, ended in [
        ([1.0, -1.0], [False, False], [False, False]),
        ([0.5, 4.0], [False, True], [False, True]),
        ([-1.0, 0.0], [False, False], [True, False]),
    ]:
        diary = diary.after(jnp.array(feedback), jnp.array(terminated), jnp.array(ended))
    np.testing.assert_array_equal(diary.number, [1, 1])
    np.testing.assert_array_equal(diary.lengths, [[3, 0], [2, 0]])
    np.testing.assert_array_equal(diary.solved, [[0, 0], [1, 0]])
    np.testing.assert_array_equal(diary.praises, [[0.5, 0], [2.0, 0]])
    np.testing.assert_array_equal(diary.length, [0, 1])


def test_pupils_with_channels_of_their_own_are_one_program(compilations):
    """One hears all, one nothing; only who hears can learn, and of each what another hears is no matter."""
    mute = dataclasses.replace(Channel(), probability=0.0)
    late = Channel(lag=3, slots=4)
    fields = {"trace_decays": [0.0], "learning_rate": 0.5}
    pupils = [Pupil({}, fields), Pupil({}, fields, mute), Pupil({}, fields | {"delay": 3}, late)]
    with compilations() as names:
        diary = teach(Class("try", "coach", "action", pupils, limit=60), seeds=2, episodes=30)
    assert names.count("jit(_taught)") + names.count("_taught") == 1
    last = diary.lengths.reshape(3, 2, 30)[:, :, -5:].mean((1, 2))
    assert last[0] < 15
    assert last[2] < 15
    assert last[1] > 50
