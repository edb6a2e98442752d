"""A run's folder: its configuration and metadata. What reports and resumed runs read."""

import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import yaml

from rlx.errors import ConfigurationError
from rlx.paths import expand

_PACKAGES = ("rlx", "jax", "jaxlib", "flax", "optax", "chex", "brax", "gymnax", "orbax-checkpoint", "numpy")
_CONTENTS = ("config.yaml", "metadata.json", "metrics.jsonl", "checkpoints", "policy", "failed")


def place(run_dir: str | None, config: dict[str, Any]) -> Path:
    """Make the folder of a new run, ``run_dir`` or a new one below ``runs/``; it is empty until `begin`.

    Raises:
        ConfigurationError: if it holds a run already, or cannot be made, or the configuration holds what YAML cannot.
    """
    _as_yaml(config)
    with _refused_if_not_written(run_dir or "below runs/"):
        if run_dir is None:
            return _new_path(config["agent"]["name"], config["env"]["name"])
        path = expand(run_dir)
        _refuse_used(path)
        path.mkdir(parents=True, exist_ok=True)
        return path


def begin(path: Path, config: dict[str, Any]) -> None:
    """Write ``config.yaml`` and ``metadata.json`` into a folder that is locked (`rlx.runner.lock`).

    Raises:
        ConfigurationError: if it holds a run by now, so that nothing is overwritten, or it cannot be written.
    """
    _refuse_used(path)
    describe(path, config)


def describe(path: Path, config: dict[str, Any]) -> None:
    """Write ``config.yaml`` and ``metadata.json`` into ``path``, whatever it holds.

    Raises:
        ConfigurationError: if it cannot be written, or the configuration holds what YAML cannot.
    """
    with _refused_if_not_written(path):
        write_atomically(path / "metadata.json", json.dumps(metadata(), indent=2) + "\n")
        write_atomically(path / "config.yaml", _as_yaml(config))


@contextlib.contextmanager
def _refused_if_not_written(where: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"cannot write the run folder {where} ({error.strerror}); choose another run_dir"
        ) from error


def _as_yaml(config: dict[str, Any]) -> str:
    for part, values in config.items():
        for name, value in values.items():
            try:
                yaml.safe_dump(value)
            except yaml.YAMLError as error:
                raise ConfigurationError(
                    f"{part}.{name} is a {type(value).__name__}, which a run folder cannot keep; give plain values, or "
                    "register the task under a name of its own"
                ) from error
    return yaml.safe_dump(config, sort_keys=False)


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of the run in ``path``.

    Raises:
        ConfigurationError: if there is none, or it cannot be read.
    """
    file = path / "config.yaml"
    if not file.is_file():
        raise ConfigurationError(f"{path} is no run folder: it has no config.yaml")
    try:
        config = yaml.safe_load(file.read_text())
        return {part: dict(config[part]) for part in ("agent", "env", "run")}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{file} is damaged: it must be YAML with the parts agent, env and run") from error


def metadata() -> dict[str, Any]:
    """Versions, commit, device, precision and random-number generator of this process."""
    device = jax.devices()[0]
    return {
        "command": " ".join(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
        "platform": platform.platform(),
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "x64": bool(jax.config.values["jax_enable_x64"]),
        "matmul_precision": str(jax.config.values["jax_default_matmul_precision"]),
        "prng": str(jax.config.values["jax_default_prng_impl"]),
    }


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a reader finds either the old file or the new one, whole."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # where the disk is full


def _new_path(agent: str, env: str) -> Path:
    """A new, empty folder below ``runs/``; made here, so that no other process takes the same one."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{agent}-{env.replace('/', '-')}"
    for number in itertools.count(1):
        path = Path("runs") / (stem if number == 1 else f"{stem}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path


def _refuse_used(path: Path) -> None:
    present = [name for name in _CONTENTS if (path / name).exists()]
    if "config.yaml" in present:
        raise ConfigurationError(
            f"{path} holds a run already; resume={path} goes on with it, or choose another run_dir"
        )
    if present:
        raise ConfigurationError(f"{path} holds parts of a run ({', '.join(present)}); choose another run_dir")


def _git_commit() -> str | None:
    """The commit of this code; ``-dirty`` follows it where files that git knows have changed since."""
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(Path(__file__).parent), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
