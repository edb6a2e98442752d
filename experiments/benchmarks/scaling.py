"""How many steps a second more and more members of a population take together, for the accelerator at hand."""

import dataclasses
import re
import statistics
import time
from typing import Any

import jax

import rlx
from benchmarks import cases
from benchmarks.cases import CASES, Case
from benchmarks.programs import whole
from benchmarks.report import FOLDER, Report
from benchmarks.turns import Program
from rlx.settings import hyper

# That of the table revalued/factor_regulator.
_REVALUED = {
    "num_envs": 8,
    "rollout_length": 5,
    "num_updates": 8,
    "hidden_size": 64,
    "batch_size": 128,
    "num_critics": 5,
    "learning_starts": 0,
    "replay_size": 50_000,
}
# An update of 256 transitions a step, as in both papers.
_SAC = {"num_envs": 1, "learning_starts": 0, "random_steps": 0, "replay_size": 100_000}
SCALED = {
    "ppo-64x64": CASES["ppo-64x64"],
    "dqn": CASES["dqn"],
    "masked-ppo-10x10": CASES["masked-ppo-10x10"],
    "mbma": CASES["mbma"],
    "revalued": Case("revalued", _REVALUED, 1, {"rlx": 1}, "rlx/factor-regulator"),
    "sac": Case("sac", _SAC, 1, {"rlx": 1}, "gymnax/Pendulum-v1"),
    "ace": Case("ace", _SAC, 1, {"rlx": 1}, "gymnax/Pendulum-v1"),
    "ppo-64x64-halfcheetah": Case("ppo", cases.PPO_64X64, 1, {"rlx": 1}, "brax/halfcheetah"),
}
MEMBERS = (1, 8, 64, 512)
SECONDS = 0.5  # a repetition, or a single learning event that takes longer
DESCRIPTION = """Environment steps a second of all members together, side by side on {devices}, medians of
repetitions, updates of the networks included. A member does what the case of that name does in `benchmark.py speed`;
HalfCheetah's does what `ppo-64x64` does. `x one` is how many times as fast all members are as a single one."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What this benchmark takes."""

    repetitions: int = hyper(5, "timed repetitions of each program", within="[1, inf)")
    quick: bool = hyper(False, "two members at most and short repetitions, to see that all runs")
    only: str = hyper("all", "a single case", choices=("all", *SCALED))
    folder: str = hyper(FOLDER, "where the table is written")


def measure(settings: Settings) -> Report:
    """A row for each agent and number of members."""
    names = tuple(SCALED) if settings.only == "all" else (settings.only,)
    members = (1, 2) if settings.quick else MEMBERS
    rows = [row for name in names for row in case_rows(name, SCALED[name], members, settings)]
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    suffix = "" if settings.only == "all" else f"-{settings.only}"
    return Report(f"scaling-{slug(devices)}{suffix}", "Members side by side", DESCRIPTION.format(devices=devices), rows)


def slug(words: str) -> str:
    """``words`` as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def case_rows(name: str, case: Case, members: tuple[int, ...], settings: Settings) -> list[dict[str, Any]]:
    """Speeds of a case, with how many times one member's each is."""
    rows: list[dict[str, Any]] = []
    for number in members:
        speed = steps_a_second(case, number, settings)
        first = rows[0]["steps/s"] if rows else speed
        rows.append({"case": name, "members": number, "steps/s": speed, "x one": speed / first})
        print(f"{name}, {number} members: {speed:,.0f} steps/s", flush=True)
    return rows


def steps_a_second(case: Case, members: int, settings: Settings) -> float:
    """Median over repetitions that are long enough to be timed."""
    env = rlx.make_env(case.env)
    # All that a device has, on CPU too, where training would have members take turns.
    side_by_side = -(-members // min(members, jax.device_count()))
    train = whole(rlx.make_agent(case.algorithm, env, **case.hyperparameters), env, members, side_by_side)
    train(1)  # compiles
    wanted = SECONDS / 10 if settings.quick else SECONDS
    iterations = max(1, round(wanted / seconds_of(train, 1)))
    seconds = statistics.median(seconds_of(train, iterations) for _ in range(settings.repetitions))
    return members * iterations * case.steps_per_iteration / seconds


def seconds_of(program: Program, times: int) -> float:
    """How long a program takes to do its work ``times`` times."""
    began = time.perf_counter()
    program(times)
    return time.perf_counter() - began
