"""A game of microRTS as a picture: who stands where, what is left and carried, and what is under way.

Squares are buildings and discs are units, with the first letter of their name (K for barracks); blue is one's own, red
the enemy's. Resources are green with their amount, and a unit that carries some has a green dot. An arrow leads from a
unit to the cell that it moves to or produces in, where a ring waits for what will be there. Other commands are over
within a step, so no state shows them.
"""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlx.envs import microrts_rules as rules

_LETTERS = {
    rules.BASE: "B",
    rules.BARRACKS: "K",
    rules.WORKER: "W",
    rules.LIGHT: "L",
    rules.HEAVY: "H",
    rules.RANGED: "R",
}
_RADIUS = {rules.WORKER: 0.28, rules.LIGHT: 0.32, rules.HEAVY: 0.4, rules.RANGED: 0.32}
_OWNERS = {rules.OWN: (60, 110, 190), rules.ENEMY: (200, 60, 50)}
_RESOURCE, _INK, _GRID = (60, 150, 80), (40, 40, 40), (215, 215, 215)
_STEPS = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])


def draw(state: Any, side: int, pixels: int) -> Image.Image:
    """Draw a game.

    Args:
        state: one state, of NumPy arrays.
        side: cells in a row of the map.
        pixels: width and height of the picture.
    """
    board = _Board(side, pixels)
    for cell in np.flatnonzero(state.kind).tolist():
        board.place(cell, state)
    for cell in np.flatnonzero(state.command).tolist():
        board.arrow(cell, int(state.direction[cell]), _OWNERS[int(state.owner[cell])])
    return board.image


class _Board:
    """The picture, addressed by cells."""

    def __init__(self, side: int, pixels: int) -> None:
        self.image = Image.new("RGB", (pixels, pixels), "white")
        self.side, self.size = side, pixels / side
        self.pen = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(size=max(6, 0.42 * self.size))
        for i in range(1, side):
            self.pen.line([(0, i * self.size), (pixels, i * self.size)], fill=_GRID)
            self.pen.line([(i * self.size, 0), (i * self.size, pixels)], fill=_GRID)

    def place(self, cell: int, state: Any) -> None:
        """Draw what stands on a cell."""
        kind, amount = int(state.kind[cell]), int(state.amount[cell])
        middle = self._middle(cell)
        if kind == rules.RESOURCE:
            self._square(middle, 0.42, _RESOURCE)
            self._write(middle, str(amount))
            return
        colour = _OWNERS[int(state.owner[cell])]
        if kind in _RADIUS:
            self._disc(middle, _RADIUS[kind], fill=colour)
        else:
            self._square(middle, 0.44 if kind == rules.BASE else 0.36, colour)
        self._write(middle, _LETTERS[kind])
        if amount > 0:
            self._disc(middle + 0.3 * self.size, 0.14, fill=_RESOURCE, outline="white")

    def arrow(self, cell: int, direction: int, colour: tuple[int, int, int]) -> None:
        """Draw an arrow into the next cell, and a ring there."""
        ahead = _STEPS[direction]
        aside = ahead[::-1]
        start = self._middle(cell) + 0.4 * self.size * ahead
        tip = self._middle(cell) + 0.75 * self.size * ahead
        neck = tip - 0.16 * self.size * ahead
        self._disc(self._middle(cell) + self.size * ahead, 0.3, outline=colour)
        self.pen.line([tuple(start), tuple(neck)], fill=_INK, width=max(1, round(0.07 * self.size)))
        self.pen.polygon([tuple(tip), *(tuple(neck + sign * 0.12 * self.size * aside) for sign in (-1, 1))], fill=_INK)

    def _middle(self, cell: int) -> np.ndarray:
        return self.size * (np.array([cell % self.side, cell // self.side]) + 0.5)

    def _square(self, middle: np.ndarray, half: float, colour: tuple[int, int, int]) -> None:
        self.pen.rectangle([*(middle - half * self.size), *(middle + half * self.size)], fill=colour)

    def _disc(self, middle: np.ndarray, radius: float, **style: Any) -> None:
        width = max(1, round(0.05 * self.size))
        self.pen.ellipse([*(middle - radius * self.size), *(middle + radius * self.size)], width=width, **style)

    def _write(self, middle: np.ndarray, text: str) -> None:
        self.pen.text(tuple(middle), text, fill="white", font=self.font, anchor="mm")
