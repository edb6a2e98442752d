"""Importing a library without the libraries that it loads and rlx never uses."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


@contextlib.contextmanager
def postponed(*names: str) -> Iterator[None]:
    """Within this, importing a module of these names binds a stand-in, which loads the module when it is first used.

    For what a library imports at its top and uses in a few functions. Afterwards everybody gets the modules themselves;
    those that are loaded already are left alone.

    Args:
        *names: modules, each after the package it belongs to.
    """
    stand_ins = {name: _StandIn(name) for name in names if name not in sys.modules}
    for name, module in stand_ins.items():
        parent, _, own_name = name.rpartition(".")
        if parent in stand_ins:
            setattr(stand_ins[parent], own_name, module)
        elif not parent and (spec := importlib.util.find_spec(name)):
            # `from package import module` asks for it, which is no use of the package.
            module.__path__ = spec.submodule_search_locations or []
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        _withdraw()


@contextlib.contextmanager
def without(name: str) -> Iterator[None]:
    """Within this, the library ``name`` is not installed, for libraries that work without it; unless it is loaded."""
    loaded = name in sys.modules
    if not loaded:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's own word for a module that cannot be imported
    try:
        yield
    finally:
        if not loaded:
            sys.modules.pop(name, None)


class _StandIn(ModuleType):
    """A module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        _withdraw()  # else this would import itself
        return getattr(importlib.import_module(self.__name__), name)


def _withdraw() -> None:
    for name, module in list(sys.modules.items()):
        if isinstance(module, _StandIn):
            del sys.modules[name]
