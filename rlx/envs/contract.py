"""What rlx asks of a task. Whatever a task is or returns that cannot work is one line when it is made.

Tasks are only traced for that, nothing is compiled. The functions that look at what a task returned run whenever it is
traced, and leave nothing behind in the program.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from rlx.envs.gymnax_api import Environment
from rlx.errors import ConfigurationError
from rlx.types import ActionSpace, Box, Discrete, MultiDiscrete, PyTree

NEEDED = ("reset_env", "step_env", "action_space")
RESET = ("obs", "state")
STEP = ("obs", "state", "reward", "terminated", "info")

_NO_VALUES_YET = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


class TaskFailed(ValueError):
    """A task's own method raised; the message names it and says what it raised, in one line."""


@contextlib.contextmanager
def calling(method: str) -> Iterator[None]:
    """Turn whatever the task's ``method`` raises into `TaskFailed`."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(str(error)) from None  # without what JAX adds to what passes through it
    except TaskFailed:
        raise
    except Exception as error:
        text = " ".join((str(error).strip().splitlines() or [""])[0].split())
        told = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise TaskFailed(f"{method} raised {told.rstrip('.')}{_remedy(error)}") from error


def require_methods(name: str, task: Environment) -> None:
    """Refuse a task that lacks one of the methods that every task must have.

    Raises:
        ConfigurationError: naming them.
    """
    missing = [method for method in NEEDED if _inherited(task, method)]
    if missing:
        raise ConfigurationError(f"{name} lacks {', '.join(missing)}; a task must have {', '.join(NEEDED)}")


def require_pure(constants: Sequence[Any]) -> None:
    """Refuse a program among whose ``constants`` are values of another one.

    Raises:
        TaskFailed: if there are such.
    """
    if any(isinstance(constant, jax.core.Tracer) for constant in constants):
        raise jax.errors.UnexpectedTracerError("the task kept an array of an earlier call")


def is_truncated(task: Environment, state: PyTree, params: PyTree) -> Any:
    """Whether the task's own time limit is reached; never, where it has none.

    Gymnax's own ``is_truncated`` reads ``state.time`` and ``params.max_steps_in_episode``, which rlx does not ask for:
    it counts the steps of an episode itself.
    """
    limited = all(hasattr(*each) for each in ((state, "time"), (params, "max_steps_in_episode")))
    if _inherited(task, "is_truncated") and (not limited or params.max_steps_in_episode is None):
        return False
    return task.is_truncated(state, params)


def parts(name: str, method: str, returned: Any, names: tuple[str, ...]) -> Any:
    """What ``method`` returned, if it is as many values as there are ``names``.

    Raises:
        ConfigurationError: if not.
    """
    if isinstance(returned, tuple | list) and len(returned) == len(names):
        return returned
    got = f"{len(returned)} values" if isinstance(returned, tuple | list) else f"a {type(returned).__name__}"
    raise ConfigurationError(f"{name}: {method} returned {got}; it must return {', '.join(names)}")


def arrays(name: str, what: str, tree: PyTree) -> PyTree:
    """``tree`` with arrays for Python numbers, and without weak types, which would change the carry of a scan.

    Raises:
        ConfigurationError: if a leaf is no array.
    """

    def array(path: Any, leaf: Any) -> jax.Array:
        try:
            return jnp.asarray(leaf, jnp.result_type(leaf))
        except (TypeError, ValueError) as error:
            place, kind = f"{what}{jax.tree_util.keystr(path)}", type(leaf).__name__
            raise ConfigurationError(f"{name}: {place} is a {kind}; it must be an array of numbers") from error

    return jax.tree.map_with_path(array, tree)


def numbers(name: str, what: str, tree: PyTree) -> PyTree:
    """`arrays` of real numbers or bools.

    Raises:
        ConfigurationError: if a leaf is something else.
    """
    tree = arrays(name, what, tree)
    for path, leaf in jax.tree.leaves_with_path(tree):
        real = jnp.issubdtype(leaf.dtype, jnp.integer) or jnp.issubdtype(leaf.dtype, jnp.floating)
        if not (real or leaf.dtype == bool):
            place = f"{what}{jax.tree_util.keystr(path)}"
            raise ConfigurationError(f"{name}: {place} is {_shown(leaf)}; it must be an array of real numbers")
    return tree


def scalar(name: str, what: str, value: Any, dtype: Any) -> jax.Array:
    """One number, or an array that holds one, as a scalar of ``dtype``.

    Raises:
        ConfigurationError: if it is no such thing.
    """
    value = numbers(name, what, value)
    if not isinstance(value, jax.Array) or value.size != 1:
        got = _shown(value) if isinstance(value, jax.Array) else f"a {type(value).__name__}"
        raise ConfigurationError(f"{name}: {what} is {got}; it must be one number, of one environment")
    return jnp.reshape(value.astype(dtype), ())


def info_of(name: str, info: Any) -> dict[str, Any]:
    """``info``, if it is a dictionary of numbers by name.

    Raises:
        ConfigurationError: if not.
    """
    if not isinstance(info, dict) or not all(isinstance(key, str) for key in info):
        got = "a dict with other keys than names" if isinstance(info, dict) else f"a {type(info).__name__}"
        raise ConfigurationError(f"{name}: info is {got}; it must be a dict of numbers by name, {{}} if there are none")
    return numbers(name, "info", info)


def check_same(name: str, what: str, before: PyTree, after: PyTree, when: tuple[str, str]) -> None:
    """Refuse shapes that differ; ``when`` says in words at which two moments.

    Raises:
        ConfigurationError: naming what differs.
    """
    first, second = when
    if jax.tree.structure(before) != jax.tree.structure(after):  # type: ignore[operator]
        raise ConfigurationError(f"{name}: the {what} has another structure after {second} than after {first}")
    for (path, was), now in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True):
        if (was.shape, was.dtype) != (now.shape, now.dtype):
            place = f"{what}{jax.tree_util.keystr(path)}"
            raise ConfigurationError(
                f"{name}: {place} is {_shown(was)} after {first} but {_shown(now)} after {second}; make them agree"
            )


def check_counters(name: str, counters: tuple[str, ...], info: dict[str, Any]) -> None:
    """Refuse counters that are no numbers in ``info``, of which there are shapes.

    Raises:
        ConfigurationError: naming the first.
    """
    for counter in counters:
        if getattr(info.get(counter), "shape", None) != ():
            raise ConfigurationError(f"{name}: counters names {counter!r}, but no number in its info is called that")


def check_mask(name: str, space: ActionSpace, shape: tuple[int, ...]) -> None:
    """Refuse an action mask that does not fit the actions.

    Raises:
        ConfigurationError: saying which shape would fit.
    """
    match space:
        case Discrete(n):
            width = n
        case MultiDiscrete(nvec):
            width = sum(nvec)
        case Box():
            raise ConfigurationError(f"{name}: action_mask is for discrete actions, but its are continuous")
    if shape != (width,):
        raise ConfigurationError(f"{name}: action_mask has shape {list(shape)}; it must be [{width}]")


def short(value: Any) -> str:
    """``value`` in one line, cut off where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _inherited(task: Environment, method: str) -> bool:
    """Whether the task's ``method`` is the one of Gymnax's base class."""
    return getattr(getattr(task, method), "__func__", None) is getattr(Environment, method)


def _remedy(error: Exception) -> str:
    if isinstance(error, jax.errors.UnexpectedTracerError):
        return "; keep all that changes in the state, nothing in the task"
    if isinstance(error, _NO_VALUES_YET):
        return "; arrays have no values before the program runs: use jnp.where, jax.lax.cond and other functions of JAX"
    return ""


def _shown(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"
