"""Pictures of one episode: Brax's interactive viewer as HTML, and GIFs of every other task; microRTS also as PNGs."""

import colorsys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlx.envs import microrts_picture
from rlx.envs.api import Env
from rlx.envs.brax import BraxTask
from rlx.envs.gymnax_api import Environment
from rlx.envs.microrts import MicroRTS
from rlx.envs.wrapper import Wrapper
from rlx.errors import ConfigurationError
from rlx.types import PyTree

_SIDE = 300  # pixels of the square picture; the title stands above it
_TITLE = 24
_MILLISECONDS = 30

_INK, _RED, _BLUE, _GREEN = (40, 40, 40), (200, 60, 50), (60, 110, 190), (60, 150, 80)


def render_html(env: Env, states: PyTree, path: str | Path) -> None:
    """Write an episode as an HTML page for Brax's viewer, which the browser fetches from the network.

    Args:
        env: a Brax environment.
        states: the task's states, as a list or stacked ``[T, ...]``.
        path: file to write.

    Raises:
        ConfigurationError: if this is no Brax environment.
    """
    task = bare_task(env)
    if not isinstance(task, BraxTask):
        raise ConfigurationError(f"{env.name} is no Brax environment; use render_gif")
    Path(path).write_text(task.viewer(_unstack(bare_states(env, states))), encoding="utf-8")


def render_gif(env: Env, states: PyTree, rewards: Any, path: str | Path) -> None:
    """Write an episode as a GIF whose title counts steps and return.

    Classic control, microRTS and the mazes are drawn; any other task shows its observation: an image as it is, with one
    colour a channel, a vector as bars.

    Args:
        env: the environment.
        states: the task's states from the start on, as a list or stacked ``[T + 1, ...]``.
        rewards: ``[T]``.
        path: file to write.
    """
    returns = np.concatenate([[0.0], np.cumsum(np.asarray(rewards, np.float64))])
    pictures = _pictures(env, bare_states(env, states))
    frames = [_titled(*frame) for frame in zip(pictures, range(len(returns)), returns, strict=True)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=_MILLISECONDS, loop=0)


def painter(env: Env) -> Callable[[PyTree], Image.Image]:
    """What draws one state ``[1, ...]`` after the other, as they come; it compiles once, if at all.

    A task that is not drawn shows its observation, in units of the largest number so far.
    """
    task = bare_task(env)
    if isinstance(task, BraxTask):
        from rlx.envs import brax_picture  # it needs more of Brax

        return lambda states: brax_picture.draw(task.env.sys, _unstack(bare_states(env, states))[0], _SIDE)
    if task.name in _DRAWN or isinstance(task, MicroRTS) or hasattr(task, "occupied_map"):
        return lambda states: next(_pictures(env, bare_states(env, states)))
    observe, largest = jax.jit(_observer(env)), 1e-6

    def shown(states: PyTree) -> Image.Image:
        nonlocal largest
        obs = np.asarray(observe(bare_states(env, states), env.arrays))
        largest = max(largest, float(np.nanmax(np.abs(obs), initial=0.0)))
        return (_bars if obs.ndim == 2 else _image)(obs[0] / largest)

    return shown


def render_png(env: Env, state: PyTree, path: str | Path, pixels: int = 960) -> None:
    """Write one state of microRTS as a picture of ``pixels`` x ``pixels``.

    Raises:
        ConfigurationError: if this is another environment.
    """
    task = bare_task(env)
    if not isinstance(task, MicroRTS):
        raise ConfigurationError(f"{env.name} is not microRTS; use render_gif")
    microrts_picture.draw(jax.device_get(state), task.game_map.side, pixels).save(path)


class Canvas:
    """A square picture in the task's own coordinates.

    Attributes:
        image: the Pillow image.
        centre: the point in its middle.
        half: distance from the middle to the edges.
    """

    def __init__(self, centre: tuple[float, float], half: float) -> None:
        self.image = Image.new("RGB", (_SIDE, _SIDE), "white")
        self.centre = centre
        self.half = half
        self._draw = ImageDraw.Draw(self.image)

    def line(self, points: Any, colour: tuple[int, int, int], width: int = 4) -> None:
        """Connect ``points`` ``[n, 2]``."""
        self._draw.line([self._pixel(point) for point in points], fill=colour, width=width)

    def disc(self, centre: Any, radius: float, colour: tuple[int, int, int]) -> None:
        """Fill a circle."""
        x, y = self._pixel(centre)
        pixels = radius * _SIDE / (2 * self.half)
        self._draw.ellipse((x - pixels, y - pixels, x + pixels, y + pixels), fill=colour)

    def box(self, corner: Any, opposite: Any, colour: tuple[int, int, int]) -> None:
        """Fill a rectangle between two opposite corners."""
        (x0, y0), (x1, y1) = self._pixel(corner), self._pixel(opposite)
        self._draw.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=colour)

    def _pixel(self, point: Any) -> tuple[float, float]:
        scale = _SIDE / (2 * self.half)
        x, y = float(point[0]), float(point[1])
        return (x - self.centre[0] + self.half) * scale, (self.centre[1] + self.half - y) * scale


def _cart_pole(state: Any, params: Any) -> Image.Image:
    canvas = Canvas((0.0, 0.5), 1.1 * params.x_threshold)
    canvas.line([(-params.x_threshold, 0.0), (params.x_threshold, 0.0)], _INK, 1)
    x, reach = float(state.x), 2 * params.length
    canvas.box((x - 0.25, -0.12), (x + 0.25, 0.12), _INK)
    canvas.line([(x, 0.0), (x + reach * np.sin(state.theta), reach * np.cos(state.theta))], _RED, 6)
    return canvas.image


def _pendulum(state: Any, params: Any) -> Image.Image:
    canvas = Canvas((0.0, 0.0), 1.3 * params.l)
    canvas.line([(0.0, 0.0), (-params.l * np.sin(state.theta), params.l * np.cos(state.theta))], _RED, 12)
    canvas.disc((0.0, 0.0), 0.06 * params.l, _INK)
    return canvas.image


def _acrobot(state: Any, params: Any) -> Image.Image:
    canvas = Canvas((0.0, 0.0), 1.15 * (params.link_length_1 + params.link_length_2))
    first, both = state.joint_angle1, state.joint_angle1 + state.joint_angle2
    elbow = np.array([np.sin(first), -np.cos(first)]) * params.link_length_1
    tip = elbow + np.array([np.sin(both), -np.cos(both)]) * params.link_length_2
    canvas.line([(-canvas.half, 1.0), (canvas.half, 1.0)], _INK, 1)
    canvas.line([(0.0, 0.0), elbow], _RED, 8)
    canvas.line([elbow, tip], _BLUE, 8)
    return canvas.image


def _mountain_car(state: Any, params: Any) -> Image.Image:
    middle = (params.min_position + params.max_position) / 2
    canvas = Canvas((middle, 0.0), 1.25)
    x = np.linspace(params.min_position, params.max_position, 60)
    canvas.line(np.stack([x, np.sin(3 * x)], axis=1), _INK, 2)
    foot = np.sin(3 * params.goal_position)
    canvas.line([(params.goal_position, foot), (params.goal_position, foot + 0.2)], _GREEN, 4)
    canvas.disc((state.position, np.sin(3 * state.position) + 0.05), 0.06, _RED)
    return canvas.image


_DRAWN: dict[str, Callable[[Any, Any], Image.Image]] = {
    "CartPole-v1": _cart_pole,
    "Pendulum-v1": _pendulum,
    "Acrobot-v1": _acrobot,
    "MountainCar-v0": _mountain_car,
    "MountainCarContinuous-v0": _mountain_car,
}


def bare_task(env: Env) -> Environment:
    """The task as its author wrote it, below what `make_env` wraps around it."""
    task = env.task.inner
    while isinstance(task, Wrapper):
        task = task.inner
    return task


def bare_states(env: Env, states: PyTree) -> PyTree:
    """The states of that task, stacked."""
    task, stacked = env.task.inner, _stack(states)
    while isinstance(task, Wrapper):
        task, stacked = task.inner, task.inner_state(stacked)
    return stacked


def _pictures(env: Env, stacked: PyTree) -> Iterator[Image.Image]:
    """One picture a state of the bare task."""
    task = bare_task(env)
    if task.name in _DRAWN:
        yield from (_DRAWN[task.name](state, env.params) for state in _unstack(stacked))
    elif isinstance(task, MicroRTS):
        yield from (microrts_picture.draw(state, task.game_map.side, _SIDE) for state in _unstack(stacked))
    elif hasattr(task, "occupied_map"):
        yield from (_maze(np.asarray(task.occupied_map), state) for state in _unstack(stacked))
    else:
        observations = _observations(env, stacked)
        largest = max(float(np.nanmax(np.abs(observations), initial=0.0)), 1e-6)
        show = _bars if observations.ndim == 2 else _image
        yield from (show(obs / largest) for obs in observations)


def _observations(env: Env, stacked: PyTree) -> np.ndarray:
    """What the task shows, ``[T + 1, ...]``."""
    return np.asarray(jax.jit(_observer(env))(stacked, env.arrays))


def _observer(env: Env) -> Callable[[PyTree, tuple[jax.Array, ...]], jax.Array]:
    """From stacked states to what the task shows; the numbers of its states where it cannot tell."""
    task = bare_task(env)

    def observe(state: PyTree, arrays: tuple[jax.Array, ...]) -> jax.Array:
        try:
            shown = task.observe(jax.random.key(0), state, None, env.with_arrays(arrays).params)
        except (NotImplementedError, TypeError):
            shown = state
        leaves = [jnp.asarray(leaf, jnp.float32) for leaf in jax.tree.leaves(shown)]
        if len(leaves) == 1 and 2 <= leaves[0].ndim <= 3:
            return leaves[0]
        return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])

    return jax.vmap(observe, (0, None))


def _bars(values: np.ndarray) -> Image.Image:
    """A vector in [-1, 1] as bars from the middle line."""
    canvas = Canvas((0.5, 0.0), 1.1)
    edges = np.linspace(-0.5, 1.5, len(values) + 1)
    canvas.line([(-0.5, 0.0), (1.5, 0.0)], _INK, 1)
    for left, right, value in zip(edges[:-1], edges[1:], np.nan_to_num(values), strict=True):
        canvas.box((left, 0.0), (left + 0.8 * (right - left), value), _RED if value < 0 else _BLUE)
    return canvas.image


def _image(values: np.ndarray) -> Image.Image:
    """``[H, W]`` in grey, or ``[H, W, C]`` with a colour for the highest channel that is on."""
    if values.ndim == 2:
        return _enlarged(np.repeat(255 * np.abs(values)[..., None], 3, axis=-1))
    channels = values.shape[-1]
    hues = [colorsys.hsv_to_rgb(channel / channels, 0.8, 1.0) for channel in range(channels)]
    palette = 255 * np.array([(0.0, 0.0, 0.0), *hues])
    return _enlarged(palette[np.max((values > 0) * np.arange(1, channels + 1), axis=-1)])


def _maze(walls: np.ndarray, state: Any) -> Image.Image:
    """Walls in black, the goal in green, the agent in red."""
    picture = np.repeat(255.0 * (1 - walls[..., None]), 3, axis=-1)
    picture[tuple(np.asarray(state.goal))] = _GREEN
    picture[tuple(np.asarray(state.pos))] = _RED
    return _enlarged(picture)


def _enlarged(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels.astype(np.uint8))
    return image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)


def _titled(picture: Image.Image, step: int, episode_return: float) -> Image.Image:
    frame = Image.new("RGB", (_SIDE, _SIDE + _TITLE), "white")
    frame.paste(picture, (0, _TITLE))
    title = f"step {step}   return {episode_return:.2f}"
    ImageDraw.Draw(frame).text((6, 3), title, fill=_INK, font=ImageFont.load_default(size=15))
    return frame


def _stack(states: PyTree) -> PyTree:
    """States on the host, stacked."""
    if isinstance(states, list):
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return jax.device_get(states)


def _unstack(stacked: PyTree) -> list[PyTree]:
    leaves, structure = jax.tree.flatten(stacked)
    return [jax.tree.unflatten(structure, row) for row in zip(*leaves, strict=True)]
