"""A Brax body from the side, as discs and lines: enough to see what it does, without a graphics library."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

_BODY, _FLOOR, _SKY = (200, 90, 60), (200, 200, 200), (245, 247, 250)
_HALF = 1.6  # metres from the middle to the edges


def draw(system: Any, state: Any, pixels: int) -> Image.Image:
    """Draw one Brax state, seen along y, the first body in the middle.

    Args:
        system: ``env.sys`` of the Brax environment.
        state: its state, on the host.
        pixels: side of the picture.
    """
    links = np.asarray(state.pipeline_state.x.pos)
    middle = float(links[0, 0])
    image = Image.new("RGB", (pixels, pixels), _SKY)
    canvas = ImageDraw.Draw(image)
    scale = pixels / (2 * _HALF)
    place = lambda point: ((point[0] - middle + _HALF) * scale, pixels - (point[2] + 0.4) * scale)  # noqa: E731
    floor = place((middle, 0.0, 0.0))[1]
    canvas.rectangle((0, floor, pixels, pixels), fill=_FLOOR)
    # Marks on the floor, a metre apart, show that it moves.
    for mark in range(int(middle - _HALF) - 1, int(middle + _HALF) + 2):
        x = place((float(mark), 0.0, 0.0))[0]
        canvas.line((x, floor, x, floor + 8), fill=(120, 120, 120), width=2)
    for link, parent in zip(links, system.link_parents, strict=True):
        if parent >= 0:
            canvas.line((*place(links[parent]), *place(link)), fill=_BODY, width=8)
    for link in links:
        x, y = place(link)
        canvas.ellipse((x - 7, y - 7, x + 7, y + 7), fill=(90, 60, 50))
    return image
