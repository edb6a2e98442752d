"""Names of the environments, known without importing the libraries they come from.

A test imports those and compares. A family may make more than it lists: what a user registers with its library, what a
later version of that has, and what needs data from the network.
"""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

# Brax's `fast` is left out: a stub for its own unit tests, with no bodies and no randomness. So is `swimmer`, which
# cannot run with current JAX (`rlx.envs.brax`).
BRAX = (
    "ant",
    "halfcheetah",
    "hopper",
    "humanoid",
    "humanoidstandup",
    "inverted_double_pendulum",
    "inverted_pendulum",
    "pusher",
    "reacher",
    "walker2d",
)
BRAX_BACKENDS = ("spring", "positional", "generalized", "mjx")

# MNISTBandit-bsuite is left out: it downloads its images when it is built.
GYMNAX = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "SimpleBandit-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)
GYMNAX_NEEDS_DATA = ("MNISTBandit-bsuite",)

# Left out: Sokoban, which downloads its levels, and the tasks that `rlx.envs.jumanji` cannot adapt.
JUMANJI = (
    "BinPack-v2",
    "CVRP-v1",
    "Cleaner-v0",
    "FlatPack-v0",
    "Game2048-v1",
    "GraphColoring-v1",
    "JobShop-v0",
    "Knapsack-v1",
    "MMST-v0",
    "Maze-v0",
    "Minesweeper-v0",
    "PacMan-v1",
    "RobotWarehouse-v0",
    "RubiksCube-partly-scrambled-v0",
    "RubiksCube-v0",
    "SlidingTilePuzzle-v0",
    "Snake-v1",
    "Sudoku-v0",
    "Sudoku-very-easy-v0",
    "TSP-v1",
    "Tetris-v0",
)

# MuJoCo Playground's dm_control suite.
PLAYGROUND = (
    "AcrobotSwingup",
    "AcrobotSwingupSparse",
    "BallInCup",
    "CartpoleBalance",
    "CartpoleBalanceSparse",
    "CartpoleSwingup",
    "CartpoleSwingupSparse",
    "CheetahRun",
    "FingerSpin",
    "FingerTurnEasy",
    "FingerTurnHard",
    "FishSwim",
    "HopperHop",
    "HopperStand",
    "HumanoidRun",
    "HumanoidStand",
    "HumanoidWalk",
    "PendulumSwingup",
    "PointMass",
    "ReacherEasy",
    "ReacherHard",
    "SwimmerSwimmer6",
    "WalkerRun",
    "WalkerStand",
    "WalkerWalk",
)

# The project's own tasks, and where their classes are.
OWN = {
    "chain": "rlx.envs.chain:Chain",
    "mirrored-chain": "rlx.envs.chain:MirroredChain",
    "gap-chain": "rlx.envs.chain:GapChain",
    "corridor": "rlx.envs.chain:Corridor",
    "continuous-cartpole": "rlx.envs.continuous_cartpole:ContinuousCartPole",
    "cliff-grid": "rlx.envs.grid:CliffGrid",
    "four-rooms": "rlx.envs.grid:FourRooms",
    "deceptive-bandit": "rlx.envs.deceptive_bandit:DeceptiveBandit",
    "factor-regulator": "rlx.envs.factor_regulator:FactorRegulator",
    "linear-quadratic": "rlx.envs.linear_quadratic:LinearQuadratic",
    "microrts-4x4": "rlx.envs.microrts:MicroRTS4x4",
    "microrts-10x10": "rlx.envs.microrts:MicroRTS10x10",
    "microrts-16x16": "rlx.envs.microrts:MicroRTS16x16",
    "microrts-24x24": "rlx.envs.microrts:MicroRTS24x24",
    "staged-reach": "rlx.envs.staged_reach:StagedReach",
    "probe-constant": "rlx.envs.probes:Constant",
    "probe-observation": "rlx.envs.probes:Observation",
    "probe-delayed": "rlx.envs.probes:Delayed",
    "probe-action": "rlx.envs.probes:Action",
    "probe-action-observation": "rlx.envs.probes:ActionObservation",
    "probe-masked": "rlx.envs.probes:Masked",
    "probe-factored": "rlx.envs.probes:Factored",
    "probe-recall": "rlx.envs.probes:Recall",
    "probe-terminated": "rlx.envs.probes:Terminated",
    "probe-truncated": "rlx.envs.probes:Truncated",
    "probe-continuous": "rlx.envs.probes:Continuous",
    "probe-continuous-observation": "rlx.envs.probes:ContinuousObservation",
    "probe-nan": "rlx.envs.probes:NotANumber",
}


_LISTED: dict[str, Iterable[str]] = {
    "brax": BRAX,
    "gymnax": GYMNAX,
    "jumanji": JUMANJI,
    "playground": PLAYGROUND,
    "rlx": OWN,
}
# The library of a family that is an extra, and the file of it that names its tasks.
_EXTRAS = {
    "jumanji": ("jumanji", "__init__.py"),
    "playground": ("mujoco_playground", "_src/dm_control_suite/__init__.py"),
}
_OWN_PREFIX = "rlx/"


def names_of(family: str) -> tuple[str, ...]:
    """Names of the tasks of ``family`` that need nothing from the network; none if its library is not installed."""
    if not installed(family):
        return ()
    return tuple(dict.fromkeys([*_LISTED[family], *_registered(family)]))


def installed(family: str) -> bool:
    """Whether the library of ``family`` is there; those of the extras may not be."""
    return family not in _EXTRAS or importlib.util.find_spec(_EXTRAS[family][0]) is not None


def may_have(family: str, name: str) -> bool:
    """Whether the library of an extra is worth loading to ask it for a task: it takes seconds, which no typo is worth.

    It is if it is loaded already, when anything may be registered with it, or if its source names that task.
    """
    package, file = _EXTRAS[family]
    spec = importlib.util.find_spec(package)
    if package in sys.modules or spec is None or spec.origin is None:
        return True
    source = Path(spec.origin).parent / file
    return not source.exists() or f'"{name}"' in source.read_text(encoding="utf-8")


def _registered(family: str) -> Iterable[str]:
    """What is registered with Gymnax in this process; under ``"rlx/"`` are the project's own tasks."""
    everything = sys.modules["gymnax"].registered_envs if "gymnax" in sys.modules else ()
    if family == "rlx":
        return (name.removeprefix(_OWN_PREFIX) for name in everything if name.startswith(_OWN_PREFIX))
    if family == "gymnax":
        return (i for i in everything if not i.startswith(_OWN_PREFIX) and i not in GYMNAX_NEEDS_DATA)
    return ()
