"""A page to browse a sweep's points and their curves: one file that needs nothing else, not even a network."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlx.sweeps.results import Result
from rlx.sweeps.space import Axis

TEMPLATE = Path(__file__).with_name("page.html")


def page(title: str, base: Mapping[str, Any], axes: Sequence[Axis], order: Sequence[Result]) -> str:
    """The page.

    Args:
        title: of the sweep.
        base: what all points share.
        axes: of the space.
        order: every point, the best first.
    """
    data = {
        "title": title,
        "base": {key: _text(value) for key, value in base.items()},
        "keys": [axis.key for axis in axes],
        "scales": [axis.scale for axis in axes],
        "points": [_point(result, rank) for rank, result in enumerate(order, start=1)],
    }
    # "</" would end the script wherever it stands.
    return TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/null", json.dumps(data).replace("</", "<\\/"))


def _point(result: Result, rank: int) -> dict[str, Any]:
    steps, values = result.curve
    low, high = result.interval
    return {
        "rank": rank,
        "number": result.point.number,
        "values": [_plain(value) for value in result.point.values.values()],
        "state": result.state,
        "steps": result.steps,
        "score": _number(result.score),
        "low": _number(low),
        "high": _number(high),
        "place": f"runs/{result.place[0]:05d}" if result.place[0] >= 0 else "",
        "curve": {"steps": steps.tolist(), "values": [[_number(value) for value in row] for row in values.tolist()]},
    }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
