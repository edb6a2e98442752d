"""The command line of the scripts in ``experiments/``: Hydra overrides in, checked settings out, help and exit codes."""

import dataclasses
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlx import build, registry
from rlx.build import Setting
from rlx.runner.run import RunFailed
from rlx.runner.settings import RunSettings
from rlx.types import ConfigurationError, hyper, suggest

CONFIGS = Path(__file__).parents[1] / "configs"
REFUSED, FAILED, INTERRUPTED = 2, 1, 130


@dataclasses.dataclass(frozen=True)
class EnvSettings:
    """How an environment is made; further keys go to the task, such as ``env.backend=mjx`` or ``env.gravity=12``."""

    name: str = hyper("", "full name; chosen by env=NAME")
    max_episode_steps: int | None = hyper(None, "time limit; the task's own if null", within="[1, inf)")
    discretise: int | None = hyper(None, "values a dimension that continuous actions are cut into", within="[2, inf)")
    reset_mode: str | None = hyper(
        None, "start states of new episodes; what suits the task if null", choices=("fresh", "pool", "cached")
    )
    pool_size: int = hyper(128, "start states that reset_mode=pool holds", within="[1, inf)")
    flatten: bool = hyper(False, "turn each observation into a vector")


@dataclasses.dataclass(frozen=True)
class Config:
    """A composed configuration: plain values for ``make_env``, ``make_agent`` and ``train``."""

    agent: dict[str, Any]
    env: dict[str, Any]
    run: dict[str, Any]


def main(script: Callable[[list[str]], None], help_text: Callable[[], str]) -> None:
    """Run ``script`` on the command line's words; every refusal is one line, with exit code 2 (1 if a run failed)."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(help_text())
        return
    try:
        script(words)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Read ``key=value`` words.

    Raises:
        ConfigurationError: for a word that is not of that form, or gives several values.
    """
    overrides = []
    for word in words:
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException as error:
            raise ConfigurationError(f"cannot read {word!r}; write key=value, such as total_steps=1e6") from error
        if override.is_sweep_override():
            raise ConfigurationError(f"{word!r} gives several values; this command takes one a key")
        if override.is_delete() or override.is_add():
            raise ConfigurationError(f"{word!r}: write key=value without a sign before it")
        overrides.append(override)
    return overrides


def parse_settings(words: Sequence[str], cls: type) -> Any:
    """The ``key=value`` words as the settings dataclass ``cls``, checked."""
    fields = build.settings_of(cls)
    values = {override.get_key_element(): override.value() for override in parse_overrides(words)}
    build.check_names(values, fields, "", "this command")
    values = {name: str(value) if fields[name].type is str else value for name, value in values.items()}
    return cls(**{name: build.checked(fields[name], value, "") for name, value in values.items()})


def compose_config(words: Sequence[str]) -> Config:
    """Compose ``configs/config.yaml`` with the overrides ``words``.

    Raises:
        ConfigurationError: for an unknown agent, environment or key; it names the nearest right one.
    """
    overrides = parse_overrides(words)
    _register_schemas(overrides)
    _check_keys(overrides)
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = compose("config", overrides=[_as_hydra(override) for override in overrides])
        values: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigurationError(" ".join(str(error).split())) from error
    agent, env = values.pop("agent"), values.pop("env")
    fields = build.settings_of(EnvSettings)
    env = {key: build.checked(fields[key], value, "env.") if key in fields else value for key, value in env.items()}
    return Config(agent=agent, env=env, run=values)


def describe(cls: type, prefix: str = "") -> str:
    """A line for each field of ``cls``: name, default, range and meaning."""
    return "\n".join(_describe_field(setting, prefix) for setting in build.settings_of(cls).values())


def train_help() -> str:
    """The help of ``experiments/train.py``."""
    agents = "\n\n".join(
        f"{name}: {registry.agent_class(name).__doc__.strip()}\n{describe(registry.agent_class(name), 'agent.')}"
        for name in registry.agents()
    )
    return f"""Train an agent in an environment, num_seeds members as one program.

  python experiments/train.py agent=NAME env=NAME [key=value ...]
  python experiments/train.py resume=RUN_FOLDER

Agents: {", ".join(registry.agents())}
Environments: {_wrapped(registry.environments())}

The run (key=default, range, meaning)
{describe(RunSettings)}

The environment; other env.KEY=VALUE reach the task: env.backend=mjx (brax: spring, positional, generalized, mjx)
{describe(EnvSettings, "env.")}

The agents
{agents}"""


def _describe_field(setting: Setting, prefix: str) -> str:
    default = "null" if setting.default is None else setting.default
    if isinstance(default, tuple):
        default = str(list(default)).replace(" ", "")
    limits = "|".join(setting.choices) or setting.within
    return f"  {f'{prefix}{setting.name}={default}':44} {limits:16} {setting.doc}"


def _wrapped(names: Sequence[str], per_line: int = 4) -> str:
    lines = [", ".join(names[i : i + per_line]) for i in range(0, len(names), per_line)]
    return ",\n              ".join(lines)


def _register_schemas(overrides: Sequence[Override]) -> None:
    """Register the fields of run, agents and the chosen environment, which the YAML files build on."""
    store = ConfigStore.instance()
    store.store(name="run_fields", node=_schema(RunSettings))
    for name in registry.agents():
        store.store(group="agent", name=f"{name}_fields", node=_schema(registry.agent_class(name), name))
    chosen = [str(override.value()) for override in overrides if override.key_or_group == "env"]
    for name in chosen or [_default_env()]:
        if name not in registry.environments():
            raise ConfigurationError(
                f"unknown environment {name!r}{suggest(name, registry.environments())}; --help lists all"
            )
        group, _, leaf = f"env/{name}".rpartition("/")
        store.store(group=group, name=leaf, node=_schema(EnvSettings, name), package="env")


def _schema(cls: type, name: str | None = None) -> dict[str, Any]:
    """The fields of ``cls`` with their defaults; types and ranges are checked once all is composed."""
    defaults = {field: setting.default for field, setting in build.settings_of(cls).items()}
    defaults = {field: list(value) if isinstance(value, tuple) else value for field, value in defaults.items()}
    return defaults if name is None else defaults | {"name": name}


def _default_env() -> str:
    defaults = OmegaConf.load(CONFIGS / "config.yaml").defaults
    return next(entry["env"] for entry in defaults if "env" in entry)


def _check_keys(overrides: Sequence[Override]) -> None:
    """Refuse unknown agents and keys; keys of the chosen agent and task are checked where those are built."""
    presets = sorted(path.stem for path in (CONFIGS / "agent").glob("*.yaml"))
    run, env = build.settings_of(RunSettings), build.settings_of(EnvSettings)
    for override in overrides:
        group, _, name = override.key_or_group.partition(".")
        if group == "agent" and not name and override.value() not in presets:
            wrong = str(override.value())
            raise ConfigurationError(f"unknown agent {wrong!r}{suggest(wrong, presets)}; agents: {', '.join(presets)}")
        if group == "env" and name not in env:
            near = difflib.get_close_matches(name, env, n=1, cutoff=0.8)
            if near:
                raise ConfigurationError(f"unknown key env.{name} (did you mean 'env.{near[0]}'?)")
        if group not in ("agent", "env") and group not in run:
            inner = {f"agent.{key}" for agent in registry.agents() for key in _schema(registry.agent_class(agent))}
            known = [*run, *inner, *(f"env.{key}" for key in env)]
            raise ConfigurationError(f"unknown key {group}{suggest(group, known)}; --help lists all")


def _as_hydra(override: Override) -> str:
    """The override with leave to add a key: those of agent and task are checked where they are built."""
    is_value = override.key_or_group not in ("agent", "env")
    return f"++{override.input_line}" if is_value else str(override.input_line)
