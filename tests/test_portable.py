"""rlx where something is missing that only some systems have; imitated by taking it away in a new interpreter."""

import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from rlx import devices
from rlx.errors import ConfigurationError
from rlx.paths import expand
from rlx.runner import memory_plan

# What other libraries use of these they choose by the name of the system, so they are loaded first.
ELSEWHERE = """
import jax, flax.linen, optax, orbax.checkpoint, tensorboardX
import os, pwd, signal, sys, types

for name in ("getloadavg", "sched_getaffinity", "sysconf", "sysconf_names"):
    delattr(os, name)
for name in ("SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill", "pthread_sigmask", "setitimer"):
    delattr(signal, name)
for name in ("fcntl", "resource"):
    sys.modules[name] = None
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda file, mode, size: None)

def nobody(uid):
    raise KeyError(uid)

pwd.getpwuid = nobody
"""
UNSET = ("HOME", "JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "XDG_CACHE_HOME", "XLA_FLAGS")
# Programs are kept where those of the other tests are: compiling is not what this is about.
TRAIN = """
import rlx
assert jax.config.values["jax_compilation_cache_dir"] is None
assert len(jax.devices()) == os.cpu_count() or jax.default_backend() != "cpu"
jax.config.update("jax_compilation_cache_dir", sys.argv[1] or None)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

env = rlx.make_env("gymnax/CartPole-v1")
agent = rlx.make_agent("dqn", env, num_envs=2, rollout_length=4, batch_size=2, replay_size=16, hidden_sizes=[4])
trained = rlx.train(agent, env, total_steps=16, num_evaluations=1, eval_episodes=1, run_dir="run", quiet=True)
loaded = rlx.load("run")
assert rlx.resume("run").finished and loaded.step == 16
assert (rlx.evaluate(loaded).returns == rlx.evaluate(trained).returns).all()
"""


def test_it_trains_and_reads_what_it_wrote(tmp_path):
    cache = jax.config.values["jax_compilation_cache_dir"] or ""
    command = [sys.executable, "-c", ELSEWHERE + TRAIN, cache]
    environment = {name: value for name, value in os.environ.items() if name not in UNSET}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert (tmp_path / "run" / "checkpoints" / "16").is_dir()


def test_cores_where_the_system_tells_no_affinity(monkeypatch):
    assert devices.num_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert devices.num_cores() == 6
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert devices.num_cores() == 1


@pytest.mark.parametrize("pages", [-1, None])
def test_memory_that_the_system_does_not_tell(pages, monkeypatch):
    assert memory_plan.host_bytes() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if pages is None:
        monkeypatch.delattr("os.sysconf_names")
    else:
        monkeypatch.setattr("os.sysconf", lambda name: pages)
    assert memory_plan.host_bytes() is None


@pytest.fixture
def cache(monkeypatch):
    """Choose the compilation cache again, and tell where it is."""

    def chosen():
        values = {"jax_compilation_cache_dir": None}
        config = SimpleNamespace(values=values, update=values.__setitem__)
        monkeypatch.setattr(devices, "jax", SimpleNamespace(config=config))
        devices.use_compilation_cache()
        return values["jax_compilation_cache_dir"]

    return chosen


def test_compiled_programs_are_kept_where_the_user_keeps_such_things(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache() == str(tmp_path / "home" / ".cache" / "rlx" / "jax")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache() == str(tmp_path / "other" / "rlx" / "jax")


@pytest.mark.parametrize("trouble", ["no home", "a file", "read-only"])
def test_where_nothing_can_be_kept_there_is_no_cache(trouble, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if trouble == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    elif trouble == "a file":
        (tmp_path / "cache").touch()
    else:
        monkeypatch.setattr("os.access", lambda path, mode: False)
    assert cache() is None


def test_a_path_below_no_home_is_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/people/she")
    assert str(expand("~/run")) == "/people/she/run"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert str(expand("run/~")) == "run/~"
    with pytest.raises(ConfigurationError, match="nobody knows where the home folder in ~/run is"):
        expand("~/run")
