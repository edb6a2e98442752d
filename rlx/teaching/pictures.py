"""Frames for the page: what the agent does now, and on a grid what it would do everywhere."""

import io
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from rlx.envs import render, vector
from rlx.envs.grid import MOVES, Grid
from rlx.envs.grid import Cell as GridCell
from rlx.switches import in_32_bits
from rlx.teaching.session import Session
from rlx.types import PyTree

SIDE = 480  # pixels of the longer side of a grid
_COLOURS = {"free": (247, 247, 244), "wall": (70, 74, 82), "goal": (120, 180, 110), "cliff": (214, 120, 96)}
_LINE, _AGENT, _ARROW = (225, 225, 220), (40, 90, 160), (110, 116, 126)

Painter = Callable[[Session, PyTree], bytes]


def painter_for(session: Session) -> Painter:
    """What makes PNG frames of the task's states ``[1, ...]``."""
    task = render.bare_task(session.env)
    if isinstance(task, Grid):
        policy = _policy_everywhere(session, task)
        return lambda session, states: _png(draw_grid(task, int(states.cell[0]), policy(session)))
    draw = render.painter(session.env)
    return lambda session, states: _png(draw(states))


def draw_grid(task: Grid, cell: int, policy: np.ndarray) -> Image.Image:
    """The grid with the agent in ``cell``, and in every cell a line for each action, the longer the likelier.

    Args:
        task: the grid.
        cell: number of the agent's cell.
        policy: probabilities ``[S, 4]``.
    """
    side = SIDE // max(task.width, task.height)
    image = Image.new("RGB", (side * task.width, side * task.height), _COLOURS["free"])
    canvas = ImageDraw.Draw(image)
    for number in range(task.num_states):
        x, y = number % task.width, number // task.width
        left, top = side * x, side * (task.height - 1 - y)
        canvas.rectangle((left, top, left + side - 1, top + side - 1), fill=_colour(task, (x, y)), outline=_LINE)
        centre = (left + side / 2, top + side / 2)
        if number == cell:
            canvas.ellipse([c + o * 0.28 * side for o in (-1, 1) for c in centre], fill=_AGENT)
        if (x, y) != task.goal and (x, y) not in task.walls:
            _arrows(canvas, centre, side, policy[number], "white" if number == cell else _ARROW)
    return image


def _arrows(
    canvas: ImageDraw.ImageDraw, centre: tuple[float, float], side: int, probabilities: np.ndarray, colour: object
) -> None:
    for (dx, dy), share in zip(MOVES, probabilities, strict=True):
        length = 0.46 * side * float(share) ** 0.7
        end = (centre[0] + dx * length, centre[1] - dy * length)
        canvas.line((*centre, *end), fill=colour, width=max(2, side // 20))  # type: ignore[arg-type]


def _colour(task: Grid, cell: GridCell) -> tuple[int, int, int]:
    if cell in task.walls:
        return _COLOURS["wall"]
    if cell == task.goal:
        return _COLOURS["goal"]
    return _COLOURS["cliff" if task.pays.get(cell, 0.0) < 0 else "free"]


def _policy_everywhere(session: Session, task: Grid) -> Callable[[Session], np.ndarray]:
    """From a session to its learner's probabilities in all cells ``[S, 4]``."""
    env = session.env
    cells = task.state_of(jnp.arange(task.num_states, dtype=jnp.int32))
    timestep = vector.first_timestep(env, jnp.eye(task.num_states), cells)

    @jax.jit
    @in_32_bits
    def probabilities(agent: PyTree, state: PyTree) -> jax.Array:
        return agent.act(state.agent, timestep, jax.random.key(0), state.clock)[1]["probabilities"]

    return lambda session: np.asarray(probabilities(session.agent, session.state))


def _png(image: Image.Image) -> bytes:
    """A small file, quickly."""
    buffer = io.BytesIO()
    image.quantize(64).save(buffer, format="PNG", compress_level=1) if image.mode == "RGB" else image.save(
        buffer, "PNG"
    )
    return buffer.getvalue()
