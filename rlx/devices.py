"""JAX settings that must be made before its first array: host devices and the compilation cache.

Importing this module makes them. `rlx.types` does so, and with it every room that computes.
"""

import contextlib
import os
from pathlib import Path

import jax


def use_all_cores() -> None:
    """Make each CPU core a device, so that a population spreads over them.

    Small programs do not use a second core by themselves. ``JAX_NUM_CPU_DEVICES`` or the corresponding XLA flag
    choose another number; where JAX has started already nothing changes.
    """
    chosen = jax.config.values["jax_num_cpu_devices"] > 0
    forced = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not chosen and not forced:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", num_cores())


def num_cores() -> int:
    """CPU cores that this process may use; all of the machine where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_compilation_cache() -> None:
    """Keep compiled programs on disk, in the user's cache folder unless ``JAX_COMPILATION_CACHE_DIR`` says where.

    A user without such a folder, or who cannot write there, has none; JAX would complain about every program.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    with contextlib.suppress(OSError, RuntimeError):  # no folder can be made, or there is no home
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rlx" / "jax"
        cache.mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(cache))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


use_all_cores()
use_compilation_cache()
