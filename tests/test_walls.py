"""What importing and building leaves out, asked of new interpreters: reports need no JAX, an agent no other agent."""

import subprocess
import sys

import pytest

MODULES = ("dqn", "logq", "masked_ppo", "mbma", "ppo")


def loaded(code, *asked):
    """Which of the modules ``asked`` an interpreter has loaded after ``code``."""
    program = f"{code}\nimport sys\nprint(*(name for name in {asked} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    return set(done.stdout.splitlines()[-1].split())


def agents_loaded(code):
    return {name.rpartition(".")[2] for name in loaded(code, *(f"rlx.agents.{name}" for name in MODULES))}


@pytest.mark.parametrize(
    "code",
    [
        "import rlx",
        "import rlx.report.tables, rlx.report.statistics, rlx.report.curves, rlx.report.runs, rlx.report.figures",
        "import rlx.settings, rlx.errors, rlx.registry, rlx.agents.fields, rlx.envs.settings, rlx.runner.settings",
        "import rlx.cli, rlx.sweeps.asked",
        "import rlx\nrlx.agents()\nrlx.environments()",
    ],
)
def test_no_jax(code):
    assert loaded(code, "jax", "flax", "gymnax", "brax") == set()


SPEC = "import rlx\nfrom rlx.types import Discrete, EnvSpec\nspec = EnvSpec('a/b', (3,), 'float32', Discrete(2), 9)\n"
BUILT = "rlx.make_agent('dqn', spec, num_envs=2)"
# The mistake, and what its message needs: the classes of all agents, or nothing.
REFUSED = {
    "learning_rate=-1": {"dqn"},
    "beta_reg=0.1": {"dqn", "logq", "masked_ppo", "mbma", "ppo"},
}


def test_building_an_agent_imports_no_other():
    assert agents_loaded(f"{SPEC}from rlx import build\nassert build.agent_name({BUILT}) == 'dqn'") == {"dqn"}
    assert agents_loaded(f"{SPEC}from rlx import build\nbuild.validate({BUILT})") == {"dqn"}


@pytest.mark.parametrize("mistake", REFUSED)
def test_only_a_message_that_names_them_imports_the_others(mistake):
    code = f"{SPEC}try: rlx.make_agent('dqn', spec, {mistake})\nexcept rlx.ConfigurationError: pass"
    assert agents_loaded(code) == REFUSED[mistake]


def test_composing_imports_one_agent_and_no_other_familys_physics():
    words = ["agent=dqn", "agent.num_envs=2", "env=gymnax/CartPole-v1", "env.gravity=9"]
    code = f"from rlx import cli\ncli.compose_config({words}).build()"
    assert agents_loaded(code) == {"dqn"}
    assert loaded(code, "brax", "mujoco", "jumanji", "rlx.envs.brax", "rlx.envs.playground") == set()


def test_making_an_environment_imports_only_its_family():
    code = "import rlx\nrlx.make_env('gymnax/CartPole-v1')"
    families = [f"rlx.envs.{name}" for name in ("brax", "gymnax", "jumanji", "own", "playground")]
    assert loaded(code, "brax", "mujoco", "jumanji", *families) == {"rlx.envs.gymnax"}


FIRST = {
    **{
        room: f"import rlx.{room}"
        for room in ("ops.returns", "networks.dense", "replay.ring", "agents.dqn", "envs.finite_mdp", "build")
    },
    "an environment, which loads Gymnax": "import rlx.envs.vector",
    "JAX": "import jax\nimport rlx\njax.numpy.zeros(1)\nimport rlx.types",
}


@pytest.mark.parametrize("first", FIRST)
def test_a_room_that_computes_has_made_the_settings_of_jax(first):
    """As many devices as cores, and a cache of programs, in a process that was told neither."""
    code = (
        "import os\nfor name in ('JAX_NUM_CPU_DEVICES', 'JAX_COMPILATION_CACHE_DIR', 'XLA_FLAGS'):\n"
        f"    os.environ.pop(name, None)\n{FIRST[first]}\nimport jax\n"
        "assert len(jax.devices()) == len(os.sched_getaffinity(0)) or jax.default_backend() != 'cpu'\n"
        "assert jax.config.values['jax_compilation_cache_dir'].endswith('rlx/jax')"
    )
    assert loaded(code, "rlx.devices") == {"rlx.devices"}
