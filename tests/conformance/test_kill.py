"""A run that is killed for real, without a chance to save; ``experiments/kill_resume.py`` does it many times."""

import time

from kill_resume import differences, finish, last_step, started

import rlx
from rlx import cli

RUN = (
    "agent=ppo",
    "agent.num_envs=4",
    "agent.rollout_length=8",
    "agent.num_minibatches=2",
    "agent.hidden_sizes=[16]",
    "env=gymnax/CartPole-v1",
    "env.max_episode_steps=20",
    "total_steps=2048",
    "num_evaluations=2",
    "eval_episodes=2",
    "num_checkpoints=16",
)


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    config = cli.compose_config([*RUN, f"run_dir={whole}"])
    env = rlx.make_env(**config.env)
    rlx.train(rlx.make_agent(spec=env, **config.agent), env, quiet=True, **config.run)
    with started(*RUN, f"run_dir={broken}") as process:
        while process.poll() is None and last_step(broken) <= 0:
            time.sleep(0.001)
        process.kill()
    assert 0 < last_step(broken) < last_step(whole)
    with started(f"resume={broken}") as process:
        finish(process)
    assert differences(whole, broken) == []
