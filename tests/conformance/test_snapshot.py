"""A refactoring changes no number: digests of every agent's and preset's first iterations, kept and compared.

Compiled without optimisation, since how XLA fuses a program decides on last bits that no line of ours decides on.

    python tests/conformance/test_snapshot.py    writes the digests anew; say in the commit which changed, and why
"""

import hashlib
import json
import platform
import sys
from pathlib import Path

import jax
import pytest
from cases import Population, host, preset_agent, preset_env

from rlx import cli

FILE = Path(__file__).parent / "snapshots" / "digests.json"
# Options that take other branches than every preset does.
VARIANTS = {
    "ace causal": ("ace", {"weights": "sink", "reset": False, "standardise": True, "num_updates": 2}),
    "ace current": ("ace", {"variant": "lingam", "constants": "leave_out", "actor_period": 2, "num_updates": 3}),
    "dqn released": ("dqn", {"optimiser": "rmsprop", "loss": "huber", "double": False, "num_updates": 2}),
    "dqn extended": ("dqn", {"n_step": 3, "dueling": True, "value_rescaling": True, "rollout_length": 2}),
    "logq released": ("logq", {"optimiser": "rmsprop", "n_step": 3, "released_n_step": True, "num_updates": 2}),
    "logq offset": ("logq", {"mapping": "offset", "loss": "squared", "truncation_is_terminal": True}),
    "masked_ppo naive": ("masked_ppo", {"regime": "naive", "restarts": False, "step_statistics": False}),
    "masked_ppo penalty": ("masked_ppo", {"regime": "penalty", "invalid_penalty": -0.1, "ratio": "component"}),
    "mbma critic": ("mbma", {"source": "critic", "normalise_observations": True}),
    "mbma diagnosed": ("mbma", {"source": "model", "predict_termination": True, "diagnosis_lags": 2}),
    "mbma none": ("mbma", {"source": "none"}),
    "mbma simulator": ("mbma", {"source": "simulator", "reward_scale": 0.5}),
    "mbma states": ("mbma", {"source": "states", "normalise_observations": True}),
    "symphony other": (
        "symphony",
        {"advantage": "plain", "nodes": "least", "draw": "uniform", "requeue": False, "activation": "silu"},
    ),
    "symphony corrected": ("symphony", {"bias_correction": True, "target_noise": False, "gradient_dropout": "online"}),
    "ppo plain": ("ppo", {"anneal": False, "clip_value_loss": True, "normalise_advantages": False}),
}
CASES = {preset: (preset, {}) for preset in cli.presets()} | VARIANTS
ITERATIONS = 20
SEEDS = (0, 1)


def place():
    """What digests depend on beside the code."""
    info = Path("/proc/cpuinfo")  # on Linux
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    cpu = next(models, platform.processor())
    versions = {name: sys.modules[name].__version__ for name in ("jax", "jaxlib", "numpy")}
    return {"cpu": cpu, "device": jax.devices()[0].device_kind, **versions}


def digest(leaf):
    """Eight bytes that stand for an array's dtype, shape and bits."""
    return hashlib.sha256(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes()).hexdigest()[:16]


def digests_of(preset, fields):
    """Digests of arrays after 20 iterations of two members and an evaluation: those to keep, and of all there are."""
    env = preset_env(preset)
    members = Population([preset_agent(preset, env, **fields)] * len(SEEDS), env, SEEDS, solved_return=40.0)
    state = members.advance(members.start(), ITERATIONS)
    played = members.evaluate(state)
    kept = (state.agent, state.scene, state.key, played.returns, played.lengths)
    return [sorted({digest(leaf) for leaf in jax.tree.leaves(host(tree))}) for tree in (kept, (kept, state))]


@pytest.fixture(scope="module")
def unoptimised():
    """Programs compiled as they are written, and quickly."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("case", CASES)
def test_the_first_iterations_are_those_of_before(case, unoptimised):
    kept = json.loads(FILE.read_text())
    if kept["place"] != place():
        pytest.skip(f"the digests were made with {kept['place']}, not with {place()}")
    _, found = digests_of(*CASES[case])
    missing = set(kept["digests"][case]) - set(found)
    assert not missing, f"{len(missing)} of {len(kept['digests'][case])} arrays have other bits"


if __name__ == "__main__":
    jax.config.update("jax_disable_most_optimizations", True)
    FILE.parent.mkdir(exist_ok=True)
    text = {"place": place(), "digests": {case: digests_of(*CASES[case])[0] for case in CASES}}
    FILE.write_text(json.dumps(text, indent=1) + "\n")
