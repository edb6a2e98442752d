"""The command line of the scripts in ``experiments/``: Hydra overrides in, checked settings out, exit codes."""

import dataclasses
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlx import build, registry
from rlx.envs import brax
from rlx.envs.api import make_env
from rlx.errors import ConfigurationError, suggest
from rlx.runner.run import RunFailed
from rlx.runner.settings import RunSettings
from rlx.settings import Setting, check_names, checked, hyper, settings_of
from rlx.usage import describe, line, listed, shown, task_options

CONFIGS = Path(__file__).parents[1] / "configs"
REFUSED, FAILED, INTERRUPTED = 2, 1, 130


@dataclasses.dataclass(frozen=True)
class EnvSettings:
    """How an environment is made, whichever it is; further ``env.`` keys are the task's own."""

    max_episode_steps: int | None = hyper(None, "time limit of an episode; null: the task's own", within="[1, inf)")
    discretise: int | None = hyper(
        None, "values per dimension that continuous actions are cut into", within="[2, 65536]"
    )
    reset_mode: str | None = hyper(
        None, "start states of new episodes; null: what suits the task", choices=("fresh", "pool", "cached")
    )
    pool_size: int = hyper(128, "start states that reset_mode=pool holds", within="[1, inf)")
    flatten: bool = hyper(False, "turn each observation into a vector")
    sticky_actions: float = hyper(
        0.0, "probability of executing the action executed before instead of the chosen one", within="[0, 1]"
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """A composed configuration: plain values for ``make_env``, ``make_agent`` and ``train``."""

    agent: dict[str, Any]
    env: dict[str, Any]
    run: dict[str, Any]


def main(script: Callable[[list[str]], None], help_text: Callable[[], str]) -> None:
    """Run ``script`` on the command line's words; every refusal is one line, with exit code 2 (1 if a run failed)."""
    words = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(words):
            print(help_text())
        else:
            script(words)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def parse_words(words: Sequence[str], settings: dict[str, Setting]) -> list[Override]:
    """Read ``key=value`` words in Hydra's grammar; where ``settings`` take any text, it is taken as it stands.

    Raises:
        ConfigurationError: for a word that is not of that form or gives several values, or a key given twice.
    """
    overrides: dict[str, Override] = {}
    for word in words:
        override = _parse_word(word, settings)
        key = override.key_or_group
        if key in overrides:
            raise ConfigurationError(f"{key} is given twice; give it once")
        overrides[key] = override
    return list(overrides.values())


def parse_settings(words: Sequence[str], cls: type) -> Any:
    """The ``key=value`` words as the settings dataclass ``cls``, checked.

    Raises:
        ConfigurationError: for an unknown, missing or twice given key, or a value that does not fit.
    """
    settings = settings_of(cls)
    values = {override.key_or_group: override.value() for override in parse_words(words, settings)}
    check_names(values, settings, "", "this command")
    for name, setting in settings.items():
        if setting.default is dataclasses.MISSING and name not in values:
            raise ConfigurationError(f"{name}= is missing: {setting.doc}; --help lists all keys")
    return cls(**{name: checked(settings[name], value, "") for name, value in values.items()})


def compose_config(words: Sequence[str]) -> Config:
    """Compose ``configs/config.yaml`` with the overrides ``words``; no environment is built for that.

    Raises:
        ConfigurationError: for an unknown agent or key, or a value that does not fit.
    """
    run, env = settings_of(RunSettings), settings_of(EnvSettings)
    overrides = parse_words(words, run)
    for override in overrides:
        _check_key(override, run, env)
    values = _compose([_as_hydra(override) for override in overrides])
    config = Config(agent=values.pop("agent"), env=values.pop("env"), run=values)
    if "name" not in config.agent:
        raise ConfigurationError(
            "the file in configs/agent names no agent; add its fields to defaults: ppo_fields, ..."
        )
    hyperparameters = {key: value for key, value in config.agent.items() if key != "name"}
    build.check_hyperparameters(config.agent["name"], hyperparameters)
    check_names(config.run, run, "", "a run")
    return Config(
        agent=config.agent,
        env={key: checked(env[key], value, "env.") if key in env else value for key, value in config.env.items()},
        run={key: checked(run[key], value, "") for key, value in config.run.items()},
    )


def presets() -> tuple[str, ...]:
    """What ``agent=`` takes: the names of the files in ``configs/agent``."""
    return tuple(sorted(path.stem for path in (CONFIGS / "agent").glob("*.yaml")))


def train_help(words: Sequence[str] = ()) -> str:
    """The help of ``experiments/train.py``; with ``env=NAME`` among ``words``, that task's own options too."""
    agents = "\n\n".join(
        f"{name}: {(registry.agent_class(name).__doc__ or '').splitlines()[0]}\n"
        f"{describe(registry.agent_class(name), 'agent.')}"
        for name in registry.agents()
    )
    return f"""Train an agent in an environment; num_seeds members run as one program.

  python experiments/train.py agent=NAME env=NAME [key=value ...]
  python experiments/train.py resume=RUN_FOLDER            go on with a run that was interrupted or killed
  python experiments/train.py env=NAME --help              this help, with that task's own options

{listed("Agents:       ", presets())}
{listed("Environments: ", registry.environments())}

Numbers may be written as 1e6, lists as [64,64], nothing as null; quote a word that holds spaces or brackets:
'agent.hidden_sizes=[64, 64]'. Ctrl-C saves the run and says how to go on. Exit codes: 0 finished, 1 the run
failed, 2 the configuration was refused (nothing is written then), 130 interrupted.

The run: key=default, range, meaning
{describe(RunSettings)}

The environment
{line("env=gymnax/CartPole-v1", "", "one of the environments above")}
{describe(EnvSettings, "env.")}
{line("env.backend=spring", "brax/* only", f"physics: {', '.join(brax.BACKENDS)}")}
{_own_options(words)}

The agent
{line("agent=ppo", "", "one of the agents above")}

{agents}"""


def _parse_word(word: str, settings: dict[str, Setting]) -> Override:
    key, equals, value = word.partition("=")
    if not key.strip() or not equals or word.startswith("-"):
        raise ConfigurationError(f"cannot read {word!r}; write key=value without spaces or dashes, such as seed=3")
    if key in settings and settings[key].type in (str, str | None) and not settings[key].choices:
        value = value if value == "null" or _is_quoted(value) else QuotedString(value, Quote.single).with_quotes()
    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException as error:
        raise ConfigurationError(
            f"cannot read {word!r}; a word that holds spaces, brackets or signs goes in quotes, "
            "such as 'agent.hidden_sizes=[32, 32]'"
        ) from error
    if override.is_sweep_override():
        raise ConfigurationError(
            f"{word!r} gives several values for one; write a list as [a,b], and several seeds as num_seeds=N"
        )
    if isinstance(override.value(), dict):
        raise ConfigurationError(
            f"{word!r} is a mapping; give each of its keys a word of its own, as in env.gravity=12"
        )
    if override.is_delete() or override.is_add() or override.is_force_add() or override.package is not None:
        raise ConfigurationError(f"cannot read {word!r}; write key=value without a sign in the key, such as seed=3")
    return override


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def _check_key(override: Override, run: dict[str, Setting], env: dict[str, Setting]) -> None:
    """Refuse a key that nothing can have; those of the agent and of the task are checked where they are known."""
    key = override.key_or_group
    group, _, name = key.partition(".")
    if key == "agent" and override.value() not in presets():
        wrong = str(override.value())
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
        fields = {field for agent in registry.agents() for field in settings_of(registry.agent_class(agent))}
        known = ["agent", "env", "resume", *run, *(f"env.{field}" for field in env)]
        hint = suggest(key, [*known, *(f"agent.{field}" for field in sorted(fields))])
        raise ConfigurationError(f"unknown key {key}{hint}; --help lists all keys")


def _as_hydra(override: Override) -> str:
    """The override as Hydra takes it: an environment is a plain value, and only ``agent=`` chooses a file."""
    if override.key_or_group == "agent":
        return f"agent={override.value()}"
    if override.key_or_group == "env":
        return f"++env.name={QuotedString(str(override.value()), Quote.single).with_quotes()}"
    return f"++{override.input_line}"


def _compose(overrides: list[str]) -> dict[str, Any]:
    """The values of ``configs/`` on top of every field's default, changed by ``overrides``."""
    store = ConfigStore.instance()
    store.store(name="run_fields", node=_defaults(RunSettings))
    store.store(name="env_fields", node=_defaults(EnvSettings), package="env")
    for name in registry.agents():
        fields = _defaults(registry.agent_class(name)) | {"name": name}
        store.store(group="agent", name=f"{name}_fields", node=fields)
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = compose("config", overrides=overrides)
        return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        cause = str(error).strip().partition("\n")[0]
        if any("${" in override for override in overrides):
            cause = "what stands in ${...} must be another key, such as ${agent.discount}"
        raise ConfigurationError(f"cannot combine these keys with those of {CONFIGS}: {cause}") from error


def _defaults(cls: type) -> dict[str, Any]:
    """Every field of ``cls`` with its default, as YAML can hold it."""
    defaults = {name: setting.default for name, setting in settings_of(cls).items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


def _own_options(words: Sequence[str]) -> str:
    names = [word.removeprefix("env=") for word in words if word.startswith("env=")]
    if not names:
        return line("env.OPTION=VALUE", "", "the task's own options; env=NAME --help lists them")
    options = [f"env.{name}={shown(value)}" for name, value in task_options(make_env(names[0])).items()]
    return listed(f"  {names[0]} itself has: ", options or ["no further options"], "  ")
