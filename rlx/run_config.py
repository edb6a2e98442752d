"""What a run's ``config.yaml`` says of its agents, environment and settings, and how these are read back from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlx import build, registry
from rlx.envs import parameters
from rlx.envs.api import Env, make_env
from rlx.errors import ConfigurationError
from rlx.runner import folder as run_folder
from rlx.runner.settings import RunSettings
from rlx.settings import check_names, checked, settings_of
from rlx.types import Agent


def make_settings(**settings: Any) -> RunSettings:
    """``RunSettings``, checked.

    Raises:
        ConfigurationError: for an unknown name, a wrong type or a value out of range.
    """
    fields = settings_of(RunSettings)
    check_names(settings, fields, "", "a run")
    return RunSettings(**{name: checked(fields[name], value, "") for name, value in settings.items()})


def differing(agents: Sequence[Agent]) -> list[dict[str, float]]:
    """Of each agent, the hyperparameters in which they differ, by name."""
    names = [name for name in settings_of(type(agents[0])) if len({vars(agent)[name] for agent in agents}) > 1]
    return [{name: vars(agent)[name] for name in names} for agent in agents]


def read_back(
    folder: Path, agent: Agent | Sequence[Agent] | None, env: Env | None
) -> tuple[list[Agent], Env, RunSettings]:
    """Agents, environment and settings from a run's ``config.yaml``, where they are not given."""
    config = run_folder.read_config(folder)
    file = folder / "config.yaml"
    if agent is None and config["agent"].get("name") not in registry.agents():
        raise ConfigurationError(f"{file}: no agent is called {config['agent'].get('name')!r}; pass the run's agent=")
    if env is None and "/" not in str(config["env"].get("name")):
        raise ConfigurationError(f"{file}: no environment is called {config['env'].get('name')!r}; pass the run's env=")
    noted = parameters.notes(config["env"])
    if env is None and noted:
        raise ConfigurationError(f"{file} has a note of {', '.join(noted)}, not the arrays; pass the run's env=")
    try:
        parameters.check_notes(config["env"], env.config if env else config["env"])
        env = make_env(**config["env"]) if env is None else env
        agents = _agents_of(config["agent"], env) if agent is None else listed(agent)
        return agents, env, make_settings(**config["run"])
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    except TypeError as error:
        raise ConfigurationError(f"{file} is damaged ({error}); restore it from the run's metadata") from error


def listed(agent: Agent | Sequence[Agent]) -> list[Agent]:
    """One agent or several, as a list.

    Raises:
        ConfigurationError: if there is none.
    """
    agents: list[Any] = list(agent) if isinstance(agent, (list, tuple)) else [agent]
    if not agents:
        raise ConfigurationError("there is no agent in the list; give one or more")
    return agents


def agent_config(agents: Sequence[Agent]) -> dict[str, Any]:
    """The agents' fields; a list of values, one an agent, where they differ."""
    names = {type(agent) for agent in agents}
    if len(names) > 1:
        raise ConfigurationError("members of one population must be of one kind of agent")
    fields = {name: vars(agents[0])[name] for name in settings_of(type(agents[0]))}
    varied = {name: [plain(values)[name] for values in differing(agents)] for name in differing(agents)[0]}
    return {"name": build.agent_name(agents[0]), **plain(fields), **varied}


def _agents_of(config: Mapping[str, Any], env: Env) -> list[Agent]:
    """The inverse of `_agent_config`."""
    fields = settings_of(registry.agent_class(config["name"]))
    varied = [
        name for name, value in config.items() if isinstance(value, list) and fields[name].type in (float, float | None)
    ]
    if not varied:
        return [build.make_agent(spec=env, **config)]
    each = zip(*(config[name] for name in varied), strict=True)
    return [build.make_agent(spec=env, **{**config, **dict(zip(varied, values, strict=True))}) for values in each]


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as YAML can hold them: arrays and NumPy numbers as lists and numbers."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
