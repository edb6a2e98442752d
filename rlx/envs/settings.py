"""How an environment is made, whichever it is: what `make_env` takes beside the task's own options."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from rlx.settings import checked_fields, hyper, settings_of

ResetMode = Literal["fresh", "pool", "cached"]
TEACHERS = (
    *("task", "action", "action_author", "improvement", "sign_improvement"),
    *("differential", "diminishing", "shaping", "person"),
)


@dataclasses.dataclass(frozen=True)
class EnvSettings:
    """Time limit, discretisation, resets and wrappers of one environment."""

    max_episode_steps: int | None = hyper(None, "time limit of an episode; null: the task's own", within="[1, inf)")
    discretise: int | None = hyper(
        None, "values per dimension that continuous actions are cut into", within="[2, 65536]"
    )
    reset_mode: ResetMode | None = hyper(
        None, "start states of new episodes; null: what suits the task", choices=("fresh", "pool", "cached")
    )
    pool_size: int = hyper(128, "start states that reset_mode=pool holds", within="[1, inf)")
    flatten: bool = hyper(False, "turn each observation into a vector")
    one_hot: bool = hyper(True, "make discrete observations one-hot; false: hand on their number")
    sticky_actions: float = hyper(
        0.0, "probability of executing the action executed before instead of the chosen one", within="[0, 1]"
    )
    reward_noise: float = hyper(0.0, "standard deviation of Gaussian noise on every reward", within="[0, inf)")
    obs_noise: float = hyper(0.0, "standard deviation of Gaussian noise on observations", within="[0, inf)")
    teacher: str | None = hyper(None, "whose feedback takes the place of the reward in training", choices=TEACHERS)
    feedback_probability: float = hyper(1.0, "share of its judgements that a teacher speaks out", within="[0, 1]")
    feedback_flips: float = hyper(0.0, "probability that feedback has the wrong sign", within="[0, 1]")
    feedback_lag: int = hyper(0, "steps that feedback takes to arrive", within="[0, 1000]")
    feedback_spread: int = hyper(0, "up to so many steps more, at random", within="[0, 1000]")


def read_settings(values: Mapping[str, Any]) -> tuple[EnvSettings, dict[str, Any]]:
    """``values`` as checked settings, and what is left of them: the task's own options.

    Raises:
        ConfigurationError: for a setting of the wrong type or out of range.
    """
    names = settings_of(EnvSettings)
    given = {name: value for name, value in values.items() if name in names}
    options = {name: value for name, value in values.items() if name not in names}
    return EnvSettings(**checked_fields(EnvSettings, given, "env.", "an environment")), options
