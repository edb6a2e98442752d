"""From plain values by key to a checked configuration: presets, defaults, overrides.

The one way to a run, for the command line, whose words are read in `rlx.cli`, and for the tables of `rlx.reproduce`. Of
JAX and environments nothing is loaded before an agent is found, or the configuration is built.
"""

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlx import registry
from rlx.choose import AgentChoice, choose_agent
from rlx.envs.settings import EnvSettings, read_settings
from rlx.errors import ConfigurationError, suggest
from rlx.runner.settings import RunSettings
from rlx.settings import Setting, checked_fields, settings_of

if TYPE_CHECKING:
    from rlx.envs.api import Env
    from rlx.types import Agent

CONFIGS = Path(__file__).parents[1] / "configs"


@dataclasses.dataclass(frozen=True)
class Config:
    """A composed configuration: every value of rlx's own keys is checked, and nothing is built yet.

    Attributes:
        agent: name and every hyperparameter, as they were written.
        choice: the same, checked.
        env_name: the environment's full name.
        env_settings: how it is made.
        options: the task's own; they are checked where it is made.
        settings: the run's.
    """

    agent: dict[str, Any]
    choice: AgentChoice
    env_name: str
    env_settings: EnvSettings
    options: dict[str, Any]
    settings: RunSettings

    @property
    def env(self) -> dict[str, Any]:
        """Plain values for ``make_env``."""
        return {"name": self.env_name, **dataclasses.asdict(self.env_settings), **self.options}

    @property
    def run(self) -> dict[str, Any]:
        """Plain values for ``train``."""
        return dataclasses.asdict(self.settings)

    def build(self) -> "tuple[Agent, Env]":
        """Agent and environment.

        Raises:
            ConfigurationError: if the environment or one of its options is unknown, or the agent cannot act there.
        """
        from rlx.build import build_agent
        from rlx.envs.api import build_env

        env = build_env(self.env_name, self.env_settings, self.options)
        return build_agent(self.choice, env), env


def compose_values(values: Mapping[str, Any]) -> Config:
    """Compose ``configs/config.yaml``, every field's default and ``values``; no environment is built for that.

    Args:
        values: by key, as on the command line: ``agent`` (a preset), ``env``, ``agent.FIELD``, ``env.FIELD``, and the
            fields of ``RunSettings``.

    Raises:
        ConfigurationError: for an unknown agent or key, or a value that does not fit.
    """
    for key, value in values.items():
        _check_key(key, value)
    composed = _composed(values)
    agent, env = composed.pop("agent"), composed.pop("env")
    hyperparameters = {key: value for key, value in agent.items() if key != "name"}
    choice = choose_agent(agent["name"], hyperparameters)
    run_settings = RunSettings(**checked_fields(RunSettings, composed, "", "a run"))
    env_settings, options = read_settings({key: value for key, value in env.items() if key != "name"})
    return Config(agent, choice, env["name"], env_settings, options, run_settings)


def read_values(file: Path) -> dict[str, Any]:
    """The values in a YAML file by key; a mapping's keys are joined to its own by a dot.

    Raises:
        ConfigurationError: if it is not there, or is no mapping of keys to values.
    """
    try:
        read = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        cause = str(error).strip().partition("\n")[0]
        raise ConfigurationError(f"cannot read {file} ({cause}); give a YAML file of keys and values") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"{file} must hold keys and values, such as agent.learning_rate: 1e-3")
    return _flat(read, "")


def _flat(values: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def presets() -> tuple[str, ...]:
    """What ``agent=`` takes: the names of the files in ``configs/agent``."""
    return tuple(sorted(path.stem for path in (CONFIGS / "agent").glob("*.yaml")))


def _check_key(key: str, value: Any) -> None:
    """Refuse a key that nothing can have; those of the agent and of the task are checked where they are known."""
    run, env = settings_of(RunSettings), settings_of(EnvSettings)
    group, _, name = key.partition(".")
    if key == "agent" and value not in presets():
        wrong = str(value)
        raise ConfigurationError(
            f"unknown agent {wrong!r}{suggest(wrong.lower(), presets())}; agents: {', '.join(presets())}"
        )
    if key in ("agent.name", "env.name"):
        raise ConfigurationError(f"{key} is no key to set; write {group}=NAME")
    if group == "env" and name not in env:
        near = difflib.get_close_matches(name, env, n=1, cutoff=0.8)
        if near:
            raise ConfigurationError(f"unknown key {key} (did you mean 'env.{near[0]}'?)")
    inner = group in ("agent", "env") and name.isidentifier() and key != "env.params"
    if not inner and key not in ("agent", "env", *run):
        raise ConfigurationError(f"unknown key {key}{_nearest_key(key, run, env)}; --help lists all keys")


def _nearest_key(key: str, run: Mapping[str, Setting], env: Mapping[str, Setting]) -> str:
    """A hint at the nearest key of all; for that every agent is imported."""
    fields = {field for agent in registry.agents() for field in settings_of(registry.agent_class(agent))}
    known = ["agent", "env", "resume", *run, *(f"env.{field}" for field in env)]
    return suggest(key, [*known, *(f"agent.{field}" for field in sorted(fields))])


def _composed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``configs/`` on top of every field's default, changed by ``values``."""
    try:
        config = OmegaConf.create(_preset(CONFIGS, values.get("agent")))
        for key, value in values.items():
            if key != "agent":
                given = str(value) if key == "env" else value
                OmegaConf.update(config, "env.name" if key == "env" else key, given, merge=False)
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        cause = str(error).strip().partition("\n")[0]
        if any("${" in str(value) for value in values.values()):
            cause = "what stands in ${...} must be another key, such as ${agent.discount}"
        raise ConfigurationError(f"cannot combine these keys with those of {CONFIGS}: {cause}") from error


@functools.cache
def _preset(configs: Path, name: str | None) -> dict[Any, Any]:
    """``config.yaml`` with the agent preset ``name``, or the one it names itself, and every field's default.

    Kept, since Hydra takes a tenth of a second for it and a table composes many trainings of few presets.
    """
    store = ConfigStore.instance()
    store.store(name="run_fields", node=_defaults(RunSettings))
    store.store(name="env_fields", node=_defaults(EnvSettings), package="env")
    for agent in registry.agents():
        # Only the name: the fields of the one that is chosen are added below, so that no other one is imported.
        store.store(group="agent", name=f"{agent}_fields", node={"name": agent})
    with initialize_config_dir(str(configs), version_base="1.3"):
        config = compose("config", overrides=[] if name is None else [f"agent={name}"])
    if "name" not in config.agent:
        raise ConfigurationError(
            "the file in configs/agent names no agent; add its fields to defaults: ppo_fields, ..."
        )
    composed = OmegaConf.to_container(config)
    assert isinstance(composed, dict)
    composed["agent"] = _defaults(registry.agent_class(config.agent.name)) | composed["agent"]
    return composed


def _defaults(cls: type) -> dict[str, Any]:
    """Every field of ``cls`` with its default, as YAML can hold it."""
    defaults = {name: setting.default for name, setting in settings_of(cls).items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
