"""The space of a sweep: an axis a key, and points drawn from all of them.

An axis is written as ``[a, b, c]``, ``linear(low, high, n)``, ``log(low, high, n)`` or ``int(low, high)``. Without
``n`` a range has no end: points are drawn from it, evenly on that scale.
"""

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from rlx.errors import ConfigurationError, suggest

_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_SCALES = ("linear", "log", "int")
_FORMS = "write [a,b,c], linear(low,high,n), log(low,high,n) or int(low,high)"
MOST_POINTS = 65_536


class Point(NamedTuple):
    """One configuration: its number in the sweep, and the values of its keys."""

    number: int
    values: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Axis:
    """What one key is swept over.

    Attributes:
        key: such as ``"agent.learning_rate"``.
        values: all there are, in order; none if the range has no end.
        scale: of a range, ``"linear"``, ``"log"`` or ``"int"``; empty for a list.
        low: least value of a range.
        high: largest value of a range.
    """

    key: str
    values: tuple[Any, ...] = ()
    scale: str = ""
    low: float = 0.0
    high: float = 0.0

    def at(self, share: float) -> Any:
        """The value at ``share`` of the way through, in [0, 1)."""
        if self.values:
            return self.values[int(share * len(self.values))]
        if self.scale == "log":
            return self.within(math.exp(_mix(math.log(self.low), math.log(self.high), share)))
        return self.within(_mix(self.low, self.high, share))

    def within(self, value: float) -> float:
        """``value`` in six digits, which people can write down, and no further than the ends of the range."""
        return min(max(float(f"{value:.6g}"), self.low), self.high)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that are all right only if every other is: all of a list, the ends of a range."""
        return self.values or (self.low, self.high)

    @property
    def text(self) -> str:
        """The axis as it is written."""
        if self.values:
            return json.dumps(list(self.values))
        return f"{self.scale}({self.low!r},{self.high!r})"


def read_space(written: Mapping[str, Any]) -> list[Axis]:
    """The axes of a space, by key as they are written: text, or in Python a list of values.

    Raises:
        ConfigurationError: for an axis that cannot be read, has no values, one twice, or a range that is none.
    """
    if not written:
        raise ConfigurationError("nothing is swept; give sweep.KEY=..., as sweep.agent.learning_rate=log(1e-4,1e-2,8)")
    return [read_axis(key, value) for key, value in written.items()]


def read_axis(key: str, written: Any) -> Axis:
    """One axis; see `read_space`."""
    if hasattr(written, "tolist"):
        written = written.tolist()
    if isinstance(written, (list, tuple)):
        return _list_axis(key, written)
    call = _CALL.fullmatch(written) if isinstance(written, str) else None
    if call:
        return _range_axis(key, written, call[1], _parsed(key, written, f"[{call[2]}]"))
    parsed = _parsed(key, written, written) if isinstance(written, str) else written
    if not isinstance(parsed, list):
        raise ConfigurationError(f"sweep.{key}={written} is one value; {_FORMS}, or set {key}= for all points")
    return _list_axis(key, parsed)


def draw(axes: Sequence[Axis], how: str, num_points: int | None, seed: int) -> list[Point]:
    """The points of a sweep, numbered.

    Args:
        axes: of the space.
        how: ``"grid"``: every value with every other, the last axis changing first; ``"random"``; ``"sobol"``: a
            scrambled Sobol sequence, which covers the space more evenly.
        num_points: to draw; ``None`` for a grid.
        seed: of the draws.

    Raises:
        ConfigurationError: if a grid has no end or there are too many points, or a draw has no number.
    """
    return [Point(number, values) for number, values in enumerate(_drawn(axes, how, num_points, seed))]


def _drawn(axes: Sequence[Axis], how: str, num_points: int | None, seed: int) -> list[dict[str, Any]]:
    keys = [axis.key for axis in axes]
    if how == "grid":
        _check_grid(axes, num_points)
        return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]
    if num_points is None:
        raise ConfigurationError(f"draw={how} goes on for ever; say where it ends with num_points=N")
    shares = _shares(how, num_points, len(axes), seed)
    return [{axis.key: axis.at(share) for axis, share in zip(axes, row, strict=True)} for row in shares]


def _check_grid(axes: Sequence[Axis], num_points: int | None) -> None:
    endless = [axis for axis in axes if not axis.values]
    if endless:
        axis = endless[0]
        raise ConfigurationError(
            f"sweep.{axis.key}={axis.text} has no end; give a grid its number of values, as in "
            f"{axis.scale}({axis.low!r},{axis.high!r},8), or draw=random num_points=N"
        )
    if num_points is not None:
        raise ConfigurationError(f"num_points={num_points} goes with draw=random or draw=sobol; a grid has its own")
    size = math.prod(len(axis.values) for axis in axes)
    if size > MOST_POINTS:
        raise ConfigurationError(f"the grid has {size} points, {MOST_POINTS} at most; draw=sobol num_points=N has N")


def _shares(how: str, num_points: int, num_axes: int, seed: int) -> np.ndarray:
    """Where points lie on the axes, in [0, 1), ``[num_points, num_axes]``."""
    rng = np.random.default_rng(seed)
    if how == "random":
        return rng.random((num_points, num_axes))
    from scipy.stats import qmc

    # A power of two, since its properties hold for those; the first so many of them are a Sobol sequence, too.
    return qmc.Sobol(num_axes, scramble=True, rng=rng).random_base2(math.ceil(math.log2(num_points)))[:num_points]


def _mix(low: float, high: float, share: float) -> float:
    return low + share * (high - low)


def _list_axis(key: str, values: Sequence[Any]) -> Axis:
    if not values:
        raise ConfigurationError(f"sweep.{key}=[] is empty; give it a value or more, or leave it out")
    seen = [json.dumps(value, sort_keys=True, default=str) for value in values]
    twice = next((value for value, text in zip(values, seen, strict=True) if seen.count(text) > 1), None)
    if max(map(seen.count, seen)) > 1:
        raise ConfigurationError(f"sweep.{key} has {twice} twice; give each value once")
    return Axis(key, tuple(list(value) if isinstance(value, tuple) else value for value in values))


def _range_axis(key: str, written: str, scale: str, numbers: Any) -> Axis:
    """The axis of ``scale(*numbers)``.

    Raises:
        ConfigurationError: if there is no such scale, or that is no range.
    """
    if scale not in _SCALES:
        raise ConfigurationError(f"sweep.{key}={written}: unknown scale {scale!r}{suggest(scale, _SCALES)}; {_FORMS}")
    most = 2 if scale == "int" else 3
    real = [isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers]
    if not 2 <= len(numbers) <= most or not all(real) or not all(map(math.isfinite, numbers)):
        raise ConfigurationError(f"sweep.{key}={written} is no range; {_FORMS}")
    low, high, *rest = numbers
    if low >= high:
        raise ConfigurationError(
            f"sweep.{key}={written} is an empty range; its low end comes first, below the high one"
        )
    if scale == "log" and low <= 0:
        raise ConfigurationError(f"sweep.{key}={written}: a logarithmic range begins above 0; or take linear")
    if scale == "int":
        return _whole_axis(key, written, low, high)
    axis = Axis(key, (), scale, float(low), float(high))
    return _spaced(axis, written, rest[0]) if rest else axis


def _whole_axis(key: str, written: str, low: float, high: float) -> Axis:
    if int(low) != low or int(high) != high:
        raise ConfigurationError(f"sweep.{key}={written}: the ends of int are whole numbers")
    if high - low >= MOST_POINTS:
        raise ConfigurationError(f"sweep.{key}={written} has more than {MOST_POINTS} values; give fewer")
    return Axis(key, tuple(range(int(low), int(high) + 1)), "int", low, high)


def _spaced(axis: Axis, written: str, number: float) -> Axis:
    """``axis`` with so many values, evenly spaced on its scale, its ends among them."""
    if int(number) != number or not 2 <= number <= MOST_POINTS:
        raise ConfigurationError(f"sweep.{axis.key}={written}: n is a whole number of values, 2 or more")
    values = tuple(axis.at(index / (int(number) - 1)) for index in range(int(number)))
    return dataclasses.replace(axis, values=values)


def _parsed(key: str, written: str, text: str) -> Any:
    """``text`` as a value in the grammar of the command line."""
    try:
        value = OverridesParser.create().parse_override(f"value={text}")
    except HydraException as error:
        raise ConfigurationError(f"cannot read sweep.{key}={written}; {_FORMS}") from error
    if value.is_sweep_override():
        raise ConfigurationError(f"cannot read sweep.{key}={written}; {_FORMS}")
    return value.value()
