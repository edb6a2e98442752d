"""The command line of the scripts in ``experiments/``: Hydra overrides in, checked settings out, exit codes."""

import dataclasses
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

import rlx
from rlx import registry
from rlx.compose import CONFIGS, Config, compose_values, presets, read_values
from rlx.envs.settings import EnvSettings
from rlx.errors import ConfigurationError, RunFailed, suggest
from rlx.paths import expand
from rlx.runner.failures import from_outside
from rlx.runner.interrupt import listening
from rlx.runner.settings import RunSettings
from rlx.settings import Setting, checked_fields, settings_of
from rlx.sweeps.settings import SweepSettings
from rlx.task_names import BRAX_BACKENDS
from rlx.usage import describe, line, listed, shown, task_options

REFUSED, FAILED = 2, 1
_AXIS = re.compile(r"sweep\.[^=]+=")
# Of a word that names a file.
_FILE = Setting("file", str | None, None, "", "", ())


def main(script: Callable[[list[str]], None], help_text: Callable[[], str]) -> None:
    """Run ``script`` on the command line's words; every refusal and failure is one line.

    Exit codes: 2 for a refusal, 1 for a failure, and of a signal, 128 and its number: 130 for Ctrl-C, 143 for SIGTERM.
    """
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        script = lambda words: print(help_text())  # noqa: E731
    with listening() as listener:
        try:
            script(words)
        except KeyboardInterrupt:
            _leave(128 + (listener.signum or signal.SIGINT))
        except Exception as error:
            _end(error)


def _leave(code: int) -> NoReturn:
    """Exit at once: in an orderly exit, what is compiled or computed for nobody any more would be waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end(error: Exception) -> NoReturn:
    """Exit with one line on what went wrong; what nobody foresaw keeps its traceback."""
    if isinstance(error, ConfigurationError):
        line, code = f"error: {error}", REFUSED
    elif isinstance(error, RunFailed):
        line, code = f"failed: {error}", FAILED
    elif what := from_outside(error):
        line, code = f"failed: {what}", FAILED
    else:
        raise error
    print(line, file=sys.stderr)
    sys.exit(code)


def parse_words(words: Sequence[str], settings: dict[str, Setting]) -> dict[str, Any]:
    """The values of ``key=value`` words in Hydra's grammar; where ``settings`` take any text, it is taken as it stands.

    Raises:
        ConfigurationError: for a word that is not of that form or gives several values, or a key given twice.
    """
    values: dict[str, Any] = {}
    for word in words:
        override = _parse_word(word, settings)
        key = override.key_or_group
        if key in values:
            raise ConfigurationError(f"{key} is given twice; give it once")
        values[key] = override.value()
    return values


def parse_settings(words: Sequence[str], cls: type) -> Any:
    """The ``key=value`` words as the settings dataclass ``cls``, checked.

    Raises:
        ConfigurationError: for an unknown, missing or twice given key, or a value that does not fit.
    """
    settings = settings_of(cls)
    values = checked_fields(cls, parse_words(words, settings), "", "this command")
    for name, setting in settings.items():
        if setting.default is dataclasses.MISSING and name not in values:
            raise ConfigurationError(f"{name}= is missing: {setting.doc}; --help lists all keys")
    return cls(**values)


def compose_config(words: Sequence[str]) -> Config:
    """The configuration of ``experiments/train.py`` from its words, on top of those of ``config=FILE``.

    Raises:
        ConfigurationError: for a word that cannot be read, an unknown agent or key, or a value that does not fit.
    """
    values = parse_words(words, settings_of(RunSettings) | {"config": _FILE})
    file = values.pop("config", None)
    return compose_values((read_values(expand(file)) if file else {}) | values)


def parse_sweep(words: Sequence[str]) -> dict[str, Any]:
    """The values of ``experiments/sweep.py`` by key, on top of those of ``sweep=NAME`` or ``sweep=FILE``.

    Raises:
        ConfigurationError: for a word that cannot be read, a key given twice, or a file that is not there.
    """
    axes = dict(word.split("=", 1) for word in words if _AXIS.match(word))
    others = [word for word in words if not _AXIS.match(word)]
    if len(axes) + len(others) < len(words):
        raise ConfigurationError("an axis is given twice; give each sweep.KEY once")
    values = parse_words(others, settings_of(RunSettings) | settings_of(SweepSettings) | {"sweep": _FILE})
    name = values.pop("sweep", None)
    return (read_values(_sweep_file(name)) if name else {}) | values | axes


def _sweep_file(name: str) -> Path:
    """A sweep of ``configs/sweep``, or any file."""
    folder, path = CONFIGS / "sweep", expand(name)
    named = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if name not in named and not path.is_file():
        raise ConfigurationError(
            f"no sweep is called {name!r}{suggest(name, named)}; those of {folder}: {', '.join(named)}; or name a file"
        )
    return named.get(name, path)


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
  python experiments/train.py config=FILE.yaml [key=value ...]    with the keys of a file, such as a sweep's best.yaml
  python experiments/train.py env=NAME --help              this help, with that task's own options

{listed("Agents:       ", presets())}
{listed("Environments: ", registry.environments())}

Numbers may be written as 1e6, lists as [64,64], nothing as null; quote a word that holds spaces or brackets:
'agent.hidden_sizes=[64, 64]'. Ctrl-C saves the run and says how to go on; so does SIGTERM. Exit codes: 0
finished, 1 the run failed, 2 the configuration was refused (nothing is written then), 130 Ctrl-C, 143 SIGTERM.

The run: key=default, range, meaning
{describe(RunSettings)}

The environment
{line("env=gymnax/CartPole-v1", "", "one of the environments above")}
{describe(EnvSettings, "env.")}
{line("env.backend=spring", "brax/* only", f"physics: {', '.join(BRAX_BACKENDS)}")}
{line("env.action_semantics=native", "brax/humanoid", "gym_v4: what actions mean in Gymnasium's Humanoid-v4")}
{_own_options(words)}

The agent
{line("agent=ppo", "", "one of the agents above")}

{agents}"""


def sweep_help() -> str:
    """The help of ``experiments/sweep.py``."""
    return f"""Train every point of a space of configurations with every seed, as one program where shapes allow.

  python experiments/sweep.py agent=NAME env=NAME sweep.KEY=AXIS [sweep.KEY=AXIS ...] [key=value ...]
  python experiments/sweep.py sweep=NAME [key=value ...]     a sweep of configs/sweep, or any such file

An axis: [a,b,c]   linear(low,high,n)   log(low,high,n)   int(low,high); without n a range is drawn from. KEY is agent,
env, or any agent.KEY or env.KEY of experiments/train.py; quote what holds brackets: 'sweep.agent.discount=[0.9,0.99]'.
The same command goes on with a sweep that was stopped (sweep_dir=). All other keys are those of
experiments/train.py, and the same for all points. Exit codes are its, too.

The sweep: key=default, range, meaning
{describe(SweepSettings)}
{line("sweep=null", "", listed("one of ", sorted(file.stem for file in (CONFIGS / "sweep").glob("*.yaml"))))}"""


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


def _own_options(words: Sequence[str]) -> str:
    names = [word.removeprefix("env=") for word in words if word.startswith("env=")]
    if not names:
        return line("env.OPTION=VALUE", "", "the task's own options; env=NAME --help lists them")
    options = [f"env.{name}={shown(value)}" for name, value in task_options(rlx.make_env(names[0])).items()]
    return listed(f"  {names[0]} itself has: ", options or ["no further options"], "  ")
