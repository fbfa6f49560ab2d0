"""The graphs that are measured: for each step, the numbers of the steps that it needs."""

from __future__ import annotations

WIDTH = 40
NEEDED = 3


def needs(shape: str, count: int) -> list[tuple[int, ...]]:
    """Give a graph of so many steps.

    ``wide`` has no edges, ``chain`` is one line.
    ``layered`` has layers of 40 steps, each of which needs three of the layer before.
    """
    if shape == "wide":
        return [()] * count
    if shape == "chain":
        return [(i - 1,) if i else () for i in range(count)]
    if shape == "layered":
        return [_above(i) for i in range(count)]
    raise ValueError(f"there is no shape {shape!r}")


def _above(step: int) -> tuple[int, ...]:
    layer, column = divmod(step, WIDTH)
    if not layer:
        return ()
    return tuple((layer - 1) * WIDTH + (column + i * 7) % WIDTH for i in range(NEEDED))
