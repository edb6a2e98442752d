"""The work that ``benchmark.py speed`` gives every system, equal for all but in the length of a repetition."""

import dataclasses
from typing import Any

_MLP = {"hidden_sizes": [64, 64], "learning_rate": 3e-4}
# Both clip the value loss, and neither normalises observations.
_PPO = _MLP | {
    "num_epochs": 4,
    "num_minibatches": 16,
    "activation": "tanh",
    "max_grad_norm": 0.5,
    "clip_value_loss": True,
    "normalise_observations": False,
    "anneal": False,
}
# rejax's defaults, but for the replay's size and a target network that is copied now and then.
_DQN = _MLP | {
    "num_envs": 1,
    "num_updates": 1,
    "batch_size": 256,
    "activation": "swish",
    "double": True,
    "replay_size": 100_000,
    "learning_starts": 0,
    "target_period": 50,
    "max_grad_norm": 10.0,
}
# The proportions of rejax's own CartPole configuration.
_DQN_10_ENVS = _DQN | {"num_envs": 10, "num_updates": 5, "batch_size": 100}


# As SAC is used, without steps before learning.
SAC: dict[str, Any] = {
    "num_envs": 1,
    "num_updates": 1,
    "batch_size": 256,
    "hidden_sizes": [256, 256],
    "learning_rate": 3e-4,
    "discount": 0.99,
    "target_rate": 0.005,
    "activation": "relu",
    "replay_size": 100_000,
    "learning_starts": 0,
    "random_steps": 0,
}


PPO_64X64 = _PPO | {"num_envs": 64, "rollout_length": 64}
PPO_2048X32 = _PPO | {"num_envs": 2048, "rollout_length": 32}
MASKED_PPO: dict[str, Any] = {"num_envs": 16, "rollout_length": 64, "num_epochs": 4, "num_minibatches": 4}
# That of the table mbma/pendulum, with all extra samples from the first learning event on.
MBMA: dict[str, Any] = {
    "num_envs": 8,
    "rollout_length": 256,
    "num_epochs": 10,
    "num_minibatches": 32,
    "activation": "leaky_relu",
    "squash_mean": True,
    "extras_start": 0,
    "extras_growth": 0.0,
    "first_fit": 1,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """Work that all systems do.

    Attributes:
        algorithm: an agent of rlx.
        hyperparameters: of rlx's agent; the workers say them in their systems' words.
        members: trained at once.
        iterations: learning events in one repetition, for each system that is measured, so that it takes about a
            second on two idle cores, or is a single one that takes longer.
        env: where; the peers' workers know CartPole, and for SAC Pendulum.
    """

    algorithm: str
    hyperparameters: dict[str, Any]
    members: int
    iterations: dict[str, int]
    env: str = "gymnax/CartPole-v1"

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps that one member takes in a learning event."""
        return self.hyperparameters["num_envs"] * self.hyperparameters.get("rollout_length", 1)

    @property
    def updates_per_iteration(self) -> int:
        """Gradient updates of the policy, or of DQN's values, that one member makes in a learning event."""
        if self.algorithm in ("dqn", "sac"):
            return self.hyperparameters["num_updates"]
        return self.hyperparameters["num_epochs"] * self.hyperparameters["num_minibatches"]

    def task(self, system: str, quick: bool) -> dict[str, Any]:
        """What ``system``'s worker is told; another checkout does what rlx does."""
        iterations = self.iterations[system if system in self.iterations else "rlx"]
        return {
            "algorithm": self.algorithm,
            "env": self.env,
            "hyperparameters": self.hyperparameters,
            "members": self.members,
            "iterations": max(1, iterations // 10) if quick else iterations,
            "steps_per_iteration": self.steps_per_iteration,
        }


_MICRORTS, _PENDULUM = "rlx/microrts-10x10", "gymnax/Pendulum-v1"
CASES = {
    "ppo-64x64": Case("ppo", PPO_64X64, 1, {"rlx": 120, "rejax": 80, "sbx": 4}),
    "ppo-2048x32": Case("ppo", PPO_2048X32, 1, {"rlx": 24, "rejax": 12}),
    "ppo-64x64-3-seeds": Case("ppo", PPO_64X64, 3, {"rlx": 40}),
    "ppo-64x64-8-seeds": Case("ppo", PPO_64X64, 8, {"rlx": 24, "rejax": 10}),
    "dqn": Case("dqn", _DQN, 1, {"rlx": 4000, "rejax": 1000, "sbx": 1000}),
    "dqn-3-seeds": Case("dqn", _DQN, 3, {"rlx": 1300}),
    "dqn-8-seeds": Case("dqn", _DQN, 8, {"rlx": 1000, "rejax": 160}),
    "dqn-10-envs": Case("dqn", _DQN_10_ENVS, 1, {"rlx": 1000, "rejax": 160}),
    "dqn-10-envs-8-seeds": Case("dqn", _DQN_10_ENVS, 8, {"rlx": 300, "rejax": 20}),
    "sac": Case("sac", SAC, 1, {"rlx": 300, "rejax": 200, "sbx": 150}, _PENDULUM),
    "sac-8-seeds": Case("sac", SAC, 8, {"rlx": 40, "rejax": 25}, _PENDULUM),
    "masked-ppo-10x10": Case("masked_ppo", MASKED_PPO, 1, {"rlx": 3}, _MICRORTS),
    "masked-ppo-10x10-3-seeds": Case("masked_ppo", MASKED_PPO, 3, {"rlx": 1}, _MICRORTS),
    "masked-ppo-10x10-8-seeds": Case("masked_ppo", MASKED_PPO, 8, {"rlx": 1}, _MICRORTS),
    "mbma": Case("mbma", MBMA, 1, {"rlx": 8}, _PENDULUM),
    "mbma-3-seeds": Case("mbma", MBMA, 3, {"rlx": 3}, _PENDULUM),
    "mbma-8-seeds": Case("mbma", MBMA, 8, {"rlx": 2}, _PENDULUM),
}
