"""What an environment family hands to `make_env`, and the handling of options that families share.

A family is a module with ``make(name, params=None, **options) -> Built``; the names of its tasks are in
`rlx.task_names`. Options are the task's constructor arguments and the fields of its parameters, by name.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rlx.envs.contract import TaskFailed, short
from rlx.envs.gymnax_api import Environment, gymnax
from rlx.envs.settings import ResetMode
from rlx.errors import ConfigurationError, suggest
from rlx.task_names import names_of
from rlx.types import PyTree


class Built(NamedTuple):
    """A bare task, the parameters to run it with, and how its family prefers to reset."""

    task: Environment
    params: PyTree
    reset_mode: ResetMode = "fresh"


def unknown_task(family: str, name: str, others: Iterable[str] = ()) -> ConfigurationError:
    """The error for a task that ``family`` does not have; ``others`` are those it has and does not list."""
    names = tuple(dict.fromkeys([*names_of(family), *others]))
    return ConfigurationError(
        f"unknown environment '{family}/{name}'{suggest(name, names)}; {family} has: {', '.join(names)}"
    )


def unknown_option(name: str, option: str, known: Iterable[str]) -> ConfigurationError:
    """The error for an option that environment ``name`` does not have."""
    known = sorted(known)
    return ConfigurationError(
        f"{name} has no option {option!r}{suggest(option, known)}; options: {', '.join(known) or 'none'}"
    )


def constructor_options(task: Any) -> set[str]:
    """Names of the arguments with which objects like ``task`` are built."""
    parameters = inspect.signature(type(task)).parameters.values()
    return {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def override(name: str, params: PyTree, options: Mapping[str, Any]) -> PyTree:
    """Replace fields of ``params``, keeping each field's type.

    Raises:
        ConfigurationError: if there is no such field, or the value does not fit its type.
    """
    fields = _fields(params)
    for option in options:
        if option not in fields:
            raise unknown_option(name, option, fields)
    values = {key: _cast(name, key, getattr(params, key), value) for key, value in options.items()}
    return dataclasses.replace(params, **values) if values else params


def build_registered(name: str, env_id: str, params: PyTree | None, options: Mapping[str, Any]) -> Built:
    """Build the task that Gymnax has registered as ``env_id``; ``name`` is what rlx calls it.

    Raises:
        ConfigurationError: if an option is unknown or refused, or the task lacks the data it needs.
    """
    default = _construct(name, env_id, {})
    fields = _fields(default.default_params)
    overrides = {key: value for key, value in options.items() if key in fields}
    arguments = {key: value for key, value in options.items() if key not in fields}
    known = constructor_options(default)
    for option in arguments:
        if option not in known:
            raise unknown_option(name, option, fields | known)
    task = _construct(name, env_id, arguments) if arguments else default
    return Built(task, override(name, task.default_params if params is None else params, overrides))


@contextlib.contextmanager
def refusals(name: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a task raises, in its methods or on account of its ``options``, into one line."""
    try:
        yield
    except ConfigurationError:
        raise
    except TaskFailed as error:
        made = f" cannot be made with {_listed(options)}" if options else ""
        raise ConfigurationError(f"{name}{made}: {error}") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError, AssertionError, LookupError) as error:
        if not options:
            raise
        cause = (str(error).strip().splitlines() or ["out of range"])[0]
        raise ConfigurationError(f"{name} cannot be made with {_listed(options)}: {cause}") from error


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={short(value)}" for key, value in options.items())


def _construct(name: str, env_id: str, arguments: dict[str, Any]) -> Environment:
    try:
        return gymnax.make(env_id, **arguments)[0]
    except OSError as error:
        raise ConfigurationError(f"{name} needs data that could not be downloaded ({error})") from error


def _fields(params: PyTree) -> set[str]:
    return {field.name for field in dataclasses.fields(params)} if dataclasses.is_dataclass(params) else set()


def _cast(name: str, key: str, default: Any, value: Any) -> Any:
    """``value`` in the type of ``default``: a Python number stays one, an array keeps its dtype and shape."""
    cast: Any = None
    try:
        if isinstance(default, bool | int | float):
            cast = type(default)(value)
            fits = cast == value
        else:
            cast = jnp.asarray(value, jnp.result_type(default))
            fits = cast.shape == jnp.shape(default) and np.allclose(cast, value)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ConfigurationError(f"{name}: {key}={short(value)} does not fit; the default is {short(default)}")
    return cast
