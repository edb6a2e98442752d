"""What ``--help`` prints: every key with its default, range and meaning, read from the classes that declare them."""

import dataclasses
import inspect
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from rlx import build, cli, registry
from rlx.build import Setting
from rlx.envs import brax
from rlx.envs.api import Env, make_env
from rlx.runner.settings import RunSettings

_WIDTH, _KEY, _LIMITS = 120, 36, 17


def describe(cls: type, prefix: str = "") -> str:
    """A line for each field of ``cls``: its name and default, its range, its meaning."""
    return "\n".join(_field(setting, prefix) for setting in build.settings_of(cls).values())


def train_help(words: Sequence[str]) -> str:
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

{_listed("Agents:       ", cli.presets())}
{_listed("Environments: ", registry.environments())}

Numbers may be written as 1e6, lists as [64,64], nothing as null; quote a word that holds spaces or brackets:
'agent.hidden_sizes=[64, 64]'. Ctrl-C saves the run and says how to go on. Exit codes: 0 finished, 1 the run
failed, 2 the configuration was refused (nothing is written then), 130 interrupted.

The run: key=default, range, meaning
{describe(RunSettings)}

The environment
{_line("env=gymnax/CartPole-v1", "", "one of the environments above")}
{describe(cli.EnvSettings, "env.")}
{_line("env.backend=spring", "brax/* only", f"physics: {', '.join(brax.BACKENDS)}")}
{_task_options(words)}

The agent
{_line("agent=ppo", "", "one of the agents above")}

{agents}"""


def _task_options(words: Sequence[str]) -> str:
    names = [word.removeprefix("env=") for word in words if word.startswith("env=")]
    if not names:
        return _line("env.OPTION=VALUE", "", "the task's own options; env=NAME --help lists them")
    options = [f"env.{name}={_shown(value)}" for name, value in _options(make_env(names[0])).items()]
    return _listed(f"  {names[0]} itself has: ", options or ["no further options"], "  ")


def _options(env: Env) -> dict[str, Any]:
    """The task's parameters and constructor arguments with their defaults, but for what rlx's own keys set."""
    task = getattr(env.task.inner, "env", env.task.inner)
    arguments = inspect.signature(type(task)).parameters.values()
    options = {p.name: p.default for p in arguments if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if dataclasses.is_dataclass(env.params):
        options |= {field.name: getattr(env.params, field.name) for field in dataclasses.fields(env.params)}
    return {name: value for name, value in options.items() if name not in ("backend", "max_steps_in_episode")}


def _field(setting: Setting, prefix: str) -> str:
    default = "..." if setting.default is dataclasses.MISSING else _shown(setting.default)
    return _line(f"{prefix}{setting.name}={default}", "|".join(setting.choices) or setting.within, setting.doc)


def _line(key: str, limits: str, doc: str) -> str:
    """Three columns, the last one wrapped."""
    head = f"  {key:{_KEY}} {limits:{_LIMITS}} "
    return textwrap.fill(doc, _WIDTH, initial_indent=head, subsequent_indent=" " * (_KEY + _LIMITS + 4))


def _shown(value: Any) -> str:
    """A default as it is typed on the command line."""
    if isinstance(value, (np.ndarray, jax.Array)):
        value = np.asarray(value).tolist()
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)).replace(" ", "") if isinstance(value, (list, tuple)) else str(value)


def _listed(head: str, names: Iterable[str], separator: str = ", ") -> str:
    indent = " " * len(head)
    return textwrap.fill(
        separator.join(names), _WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
    )
