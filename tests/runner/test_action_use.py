"""How actions are used, against a plain loop: in training across episodes and windows, and in evaluation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlx
from rlx.runner.action_use import ActionUse
from rlx.runner.collect import set_scene
from rlx.runner.evaluate import Evaluation, evaluate
from rlx.runner.evaluation_rows import evaluation_rows
from rlx.types import Box, Discrete, EnvSpec, Needs, Timestep, Transition

SPEC = EnvSpec("toy", (1,), "float32", Box(2), None, counters=("power",))


def rollout(action, ended, power):
    """``[T, N]``, of which every other end is a termination."""
    ended = jnp.asarray(ended)
    odd = (jnp.arange(len(ended)) % 2 == 1)[:, None]
    obs = jnp.zeros((*ended.shape, 1))
    ends = (ended & odd, ended & ~odd)
    return Transition(obs, jnp.asarray(action), obs[..., 0], *ends, obs, None, None, {}, {"power": jnp.asarray(power)})


def start(episode_step):
    steps = jnp.asarray(episode_step, jnp.int32)
    return Timestep(*[jnp.zeros((len(steps), 1))] * 5, None, None, steps, {})


def by_hand(actions, ended, powers, running):
    """Means over steps, step by step and environment by environment; ``running`` says whether an episode was."""
    sizes, halves, limits, changes = [], [], [], []
    for env in range(actions.shape[1]):
        before = None
        for t in range(len(actions)):
            a = np.clip(np.float64(actions[t, env]), -1, 1)
            sizes.append(np.abs(a).mean())
            halves.append((np.abs(a) > 0.5).mean())
            limits.append((np.abs(a) > 0.95).mean())
            if before is not None:
                changes.append(np.abs(a - before).mean())
            before = None if ended[t, env] else a
    means = map(np.mean, (sizes, halves, limits, changes, powers))
    return dict(
        zip(("action_size", "action_above_half", "action_near_limit", "action_change", "power"), means, strict=True)
    )


def test_training_equals_a_plain_loop():
    rng = np.random.default_rng(0)
    actions = rng.normal(size=(12, 3, 2)).astype(np.float32)
    ended, powers = rng.random((12, 3)) < 0.2, rng.random((12, 3)).astype(np.float32)
    use, after = ActionUse.start(SPEC, 3), jax.jit(ActionUse.after)
    steps = np.zeros(3, int)
    for begin in range(0, 12, 4):
        part = slice(begin, begin + 4)
        use = after(use, start(steps), rollout(actions[part], ended[part], powers[part]))
        for t in range(begin, begin + 4):
            steps = np.where(ended[t], 0, steps + 1)
    found, expected = use.totals().summary(), by_hand(actions, ended, powers, True)
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)


def test_a_new_window_counts_anew_and_goes_on_from_the_last_action():
    use = ActionUse.start(dataclasses.replace(SPEC, counters=()), 1)

    def part(*actions):
        action = np.array(actions, np.float32)[:, None, None] * np.ones(2)
        return rollout(action, np.zeros((len(actions), 1), bool), np.zeros((len(actions), 1)))

    use = use.after(start([0]), part(0.0, 0.4)).new_window(jnp.bool_(True)).after(start([2]), part(0.7, 0.6))
    found = use.summary()
    np.testing.assert_allclose([found["action_size"], found["action_change"]], [0.65, 0.2], rtol=1e-5)
    kept = use.new_window(jnp.bool_(False)).summary()
    assert kept == found
    assert np.isnan(use.new_window(jnp.bool_(True)).summary()["action_size"])


class Swinging:
    """A policy that pushes with 0.6 and -1.5 in turns."""

    needs = Needs(num_envs=2, rollout_length=1)

    def policy(self, state, timestep, key, mode):
        return jnp.where(timestep.episode_step % 2 == 0, 0.6, -1.5)[:, None]


def test_evaluation_counts_until_an_episode_ends():
    env = rlx.make_env("gymnax/Pendulum-v1", max_episode_steps=5)
    result = jax.jit(lambda key: evaluate(Swinging(), env, None, key, 3, "greedy"))(jax.random.key(0))
    sums = {name: np.asarray(total).tolist() for name, total in result.actions.items()}
    np.testing.assert_allclose(sums["action_size"], [3 * 0.6 + 2 * 1.0] * 3, rtol=1e-6)
    np.testing.assert_allclose(sums["action_above_half"], [5.0] * 3)
    np.testing.assert_allclose(sums["action_near_limit"], [2.0] * 3)
    np.testing.assert_allclose(sums["action_change"], [4 * 1.6] * 3, rtol=1e-6)


def test_rows_have_means_over_steps_and_changes():
    actions = {"action_size": np.array([[1.0, 2.0]]), "action_change": np.array([[3.0, 3.0]])}
    result = Evaluation(np.zeros((1, 2)), np.array([[2, 6]]), {}, actions)
    (row,) = evaluation_rows(0, (0,), [{}], 0.0, result, {})
    assert row["evaluation/action_size"] == 3 / 8
    assert row["evaluation/action_change"] == 6 / 6


@pytest.mark.parametrize(("space", "there"), [(Discrete(2), False), (Box(1), True)])
def test_only_continuous_actions_are_measured(space, there):
    assert (ActionUse.start(EnvSpec("toy", (1,), "float32", space, None), 4) is not None) == there


def test_a_run_logs_them_in_training_and_evaluation(tmp_path):
    env = rlx.make_env("rlx/continuous-cartpole", max_episode_steps=10)
    agent = rlx.make_agent("ppo", env, num_envs=2, rollout_length=8, num_minibatches=2, hidden_sizes=[4])
    assert set_scene(agent, env, agent.init(jax.random.key(0)), jax.random.key(0)).actions.counters == ("power",)
    trained = rlx.train(
        agent, env, total_steps=64, num_evaluations=1, eval_episodes=2, run_dir=str(tmp_path / "run"), quiet=True
    )
    from rlx.loggers.jsonl import read_rows

    row = read_rows(trained.folder / "metrics.jsonl")[-1]
    for name in ("action_size", "action_above_half", "action_near_limit", "action_change", "power"):
        assert np.isfinite([row[f"training/{name}"], row[f"evaluation/{name}"]]).all()
    assert 0 < row["training/action_size"] <= 1
