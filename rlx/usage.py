"""The parts of what ``--help`` prints, read from the classes that declare the keys."""

import dataclasses
import inspect
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rlx.settings import Setting, settings_of

if TYPE_CHECKING:
    from rlx.envs.api import Env

_WIDTH, _KEY, _LIMITS = 120, 36, 17


def describe(cls: type, prefix: str = "") -> str:
    """A line for each field of ``cls``: its name and default, its range, its meaning."""
    return "\n".join(_field(setting, prefix) for setting in settings_of(cls).values())


def line(key: str, limits: str, doc: str) -> str:
    """Three columns, the last one wrapped."""
    head = f"  {key:{_KEY}} {limits:{_LIMITS}} "
    return textwrap.fill(
        doc, _WIDTH, initial_indent=head, subsequent_indent=" " * len(f"  {'':{_KEY}} {'':{_LIMITS}} ")
    )


def listed(head: str, names: Iterable[str], separator: str = ", ") -> str:
    """``names`` after ``head``, wrapped below one another."""
    indent = " " * len(head)
    text = separator.join(names)
    return textwrap.fill(text, _WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)


def shown(value: Any) -> str:
    """A default as it is typed on the command line."""
    if hasattr(value, "tolist"):  # an array, of NumPy or of JAX
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value)).replace(" ", "") if isinstance(value, (list, tuple)) else str(value)


def task_options(env: "Env") -> dict[str, Any]:
    """The task's parameters and constructor arguments with their defaults, but for what rlx's own keys set."""
    if hasattr(env.task.inner, "options"):
        return dict(env.task.inner.options)
    task = getattr(env.task.inner, "env", env.task.inner)
    arguments = inspect.signature(type(task)).parameters.values()
    options = {p.name: p.default for p in arguments if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if dataclasses.is_dataclass(env.params):
        options |= {field.name: getattr(env.params, field.name) for field in dataclasses.fields(env.params)}
    return {name: value for name, value in options.items() if name not in ("backend", "max_steps_in_episode")}


def _field(setting: Setting, prefix: str) -> str:
    default = "..." if setting.default is dataclasses.MISSING else shown(setting.default)
    limits, doc = "|".join(setting.choices) or setting.within, setting.doc
    if len(limits) > _WIDTH // 2:
        limits, doc = "a word", f"{doc}: {', '.join(setting.choices)}"
    return line(f"{prefix}{setting.name}={default}", limits, doc)
