"""Pictures of a grid world: where agents are, and where they believe to be, side by side.

As SVG, which needs nothing; or as PNG and as a short GIF, which need matplotlib.
The background is part of the picture, so that it is legible on a light page and on a dark one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hocket.config.population import Picture
from hocket.core.errors import Refused
from hocket.population.scenes import Scene
from hocket.population.worlds import senses

PAPER: Final = "#ffffff"
INK: Final = "#1f2328"
FAINT: Final = "#5c636b"
LINE: Final = "#c9ced6"
WALL: Final = "#474d55"
GOAL: Final = "#12813b"
HAZARD: Final = "#c0143c"
RESOURCE: Final = "#7a2fb8"
AGENTS: Final = ("#f5f8fc", "#b9d3ec", "#6aa5d8", "#2a6fb3", "#0b2f63")
BELIEFS: Final = ("#fff8ee", "#fdd6a4", "#fa9f4b", "#d45f10", "#6e2a04")
"""Colours from none to most."""
_PANEL: Final = 380
_EDGE: Final = 24
_HEAD: Final = 84
_FOOT: Final = 92
_SHADES: Final = 32
_FRAME_MS: Final = 150


# ---- what is drawn ----


@dataclass(frozen=True, eq=False)
class _Panel:
    """One map.

    Fields:
        title: What its colours mean.
        values: Of each cell, 0 and more.
        most: The value of the darkest colour.
        colours: From none to most.
        low, high: What stands at the ends of the scale.
    """

    title: str
    values: NDArray[Any]
    most: float
    colours: tuple[str, ...]
    low: str
    high: str


def _panels(scene: Scene) -> list[_Panel]:
    most = max(int(scene.standing.max()), 1)
    high = "1 agent" if most == 1 else f"{most:,} agents"
    panels = [
        _Panel("Where agents are", scene.standing, most, AGENTS, "none on a cell", high),
    ]
    if scene.belief is not None:
        top = max(float(scene.belief.max()), 1e-12)
        title = "Where they believe to be, on average"
        panels.append(_Panel(title, scene.belief, top, BELIEFS, "0", f"{top:.2g}"))
    return panels


def _legend(scene: Scene) -> list[tuple[str, str]]:
    """Which marks there are, and what they mean."""
    there = set(np.unique(scene.kinds).tolist())
    marks = [
        (senses.WALL, "wall", "wall"),
        (senses.GOAL, "goal", "goal"),
        (senses.HAZARD, "hazard", "hazard"),
        (senses.RESOURCE, "resource", "resource"),
    ]
    found = [(mark, said) for kind, mark, said in marks if kind in there]
    if scene.shut.any():
        found.append(("shut", "goal that is shut"))
    return found


def _caption(scene: Scene) -> str:
    agents = "1 agent" if scene.agents == 1 else f"{scene.agents:,} agents"
    height, width = scene.kinds.shape
    return f"{agents} on {height} × {width} cells, after tick {scene.tick:,}"


def _shade(colours: Sequence[str], share: float) -> str:
    """A colour between the given ones; shares are rounded, so that equal ones are neighbours."""
    place = min(max(round(share * _SHADES) / _SHADES, 0.0), 1.0) * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    low, high = ([int(colours[n][k : k + 2], 16) for k in (1, 3, 5)] for n in (first, first + 1))
    mixed = (round(a + (b - a) * (place - first)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


# ---- SVG ----


def draw_svg(scene: Scene) -> str:
    """Draw a scene as SVG."""
    panels = _panels(scene)
    height, width = scene.kinds.shape
    cell = _PANEL / max(height, width)
    wide, high = width * cell, height * cell
    full = max(len(panels) * (wide + _EDGE) + _EDGE, 2 * _PANEL * 0.8)
    tall = _HEAD + high + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full:.0f} {tall:.0f}" '
        f'width="{full:.0f}" height="{tall:.0f}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(scene.title)}: {escape(_caption(scene))}</title>",
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        _words(_EDGE, 28, scene.title, size=17, weight=600),
        _words(_EDGE, 48, _caption(scene), fill=FAINT),
    ]
    for number, panel in enumerate(panels):
        left = _EDGE + number * (wide + _EDGE)
        parts.append(_words(left, _HEAD - 8, panel.title, weight=600))
        parts.append(f'<g transform="translate({left:.2f} {_HEAD})">')
        parts += _map_svg(scene, panel, cell)
        parts.append("</g>")
        parts += _scale_svg(panel, left, _HEAD + high + 12, wide)
    parts += _legend_svg(scene, _HEAD + high + 64)
    return "\n".join([*parts, "</svg>", ""])


def _words(
    x: float,
    y: float,
    text: str,
    *,
    fill: str = INK,
    size: int = 13,
    weight: int = 400,
    end: bool = False,
) -> str:
    anchor = ' text-anchor="end"' if end else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size}" '
        f'font-weight="{weight}"{anchor}>{escape(text)}</text>'
    )


def _box(x: float, y: float, wide: float, high: float, look: str) -> str:
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{wide:.2f}" height="{high:.2f}" {look}/>'


def _map_svg(scene: Scene, panel: _Panel, cell: float) -> Iterator[str]:
    height, width = scene.kinds.shape
    high, wide = height * cell, width * cell
    yield f'<rect width="{wide:.2f}" height="{high:.2f}" fill="{panel.colours[0]}"/>'
    for row in range(height):
        colours = [
            WALL
            if scene.kinds[row, column] == senses.WALL
            else _shade(panel.colours, float(panel.values[row, column]) / panel.most)
            for column in range(width)
        ]
        for first, last, colour in _runs(colours):
            if colour != panel.colours[0]:
                look = f'fill="{colour}" shape-rendering="crispEdges"'
                yield _box(first * cell, row * cell, (last - first) * cell, cell, look)
    for mark, row, column in _marks(scene):
        yield _mark_svg(mark, (column + 0.5) * cell, (row + 0.5) * cell, max(cell * 0.34, 2.5))
    yield f'<rect width="{wide:.2f}" height="{high:.2f}" fill="none" stroke="{LINE}"/>'


def _runs(colours: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Stretches of one colour: first, one behind the last, colour."""
    first = 0
    for place in range(1, len(colours) + 1):
        if place == len(colours) or colours[place] != colours[first]:
            yield first, place, colours[first]
            first = place


def _marks(scene: Scene) -> Iterator[tuple[str, int, int]]:
    named = {senses.GOAL: "goal", senses.HAZARD: "hazard", senses.RESOURCE: "resource"}
    for kind, mark in named.items():
        for row, column in np.argwhere(scene.kinds == kind).tolist():
            yield "shut" if mark == "goal" and scene.shut[row, column] else mark, row, column


def _mark_svg(mark: str, x: float, y: float, size: float) -> str:
    """A mark with a light edge, to be seen on dark colours as well."""
    line = max(size * 0.34, 1.2)

    def twice(shape: str, colour: str) -> str:
        begin = 'fill="none" stroke-linecap="round"'
        return (
            f'<g {begin}><g stroke="{PAPER}" stroke-width="{line * 2:.2f}">{shape}</g>'
            f'<g stroke="{colour}" stroke-width="{line:.2f}">{shape}</g></g>'
        )

    match mark:
        case "goal" | "shut":
            dashes = f' stroke-dasharray="{size * 0.6:.2f}"' if mark == "shut" else ""
            colour = FAINT if mark == "shut" else GOAL
            return twice(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{size:.2f}"{dashes}/>', colour)
        case "hazard":
            a, b, c, d = x - size, x + size, y - size, y + size
            return twice(
                f'<path d="M{a:.2f} {c:.2f}L{b:.2f} {d:.2f}M{a:.2f} {d:.2f}L{b:.2f} {c:.2f}"/>',
                HAZARD,
            )
        case "resource":
            path = f"M{x:.2f} {y - size:.2f}L{x + size:.2f} {y:.2f}L{x:.2f} {y + size:.2f}"
            return twice(f'<path d="{path}L{x - size:.2f} {y:.2f}Z"/>', RESOURCE)
        case _:
            return _box(x - size, y - size, 2 * size, 2 * size, f'fill="{WALL}"')


def _scale_svg(panel: _Panel, left: float, top: float, wide: float) -> Iterator[str]:
    step = wide / _SHADES
    for number in range(_SHADES):
        colour = _shade(panel.colours, number / (_SHADES - 1))
        yield _box(left + number * step, top, step + 0.4, 9, f'fill="{colour}"')
    yield _box(left, top, wide, 9, f'fill="none" stroke="{LINE}"')
    yield _words(left, top + 24, panel.low, fill=FAINT, size=12)
    yield _words(left + wide, top + 24, panel.high, fill=FAINT, size=12, end=True)


def _legend_svg(scene: Scene, top: float) -> Iterator[str]:
    left = float(_EDGE)
    for mark, said in _legend(scene):
        yield _mark_svg(mark, left + 7, top, 6)
        yield _words(left + 20, top + 4.5, said)
        left += 44 + 7.2 * len(said)


# ---- PNG and GIF ----


def need_plots(picture: Picture) -> None:
    """See that a picture can be drawn, before a long run.

    Raises:
        Refused: What draws PNG and GIF is not installed.
    """
    if picture != "svg":
        _matplotlib()


def _matplotlib() -> tuple[Any, Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise Refused(
            "PNG and GIF need matplotlib, which is not installed: pip install 'hocket[plots]', or "
            "draw SVG"
        ) from error
    return Figure, FigureCanvasAgg, LinearSegmentedColormap


def draw_png(scene: Scene) -> bytes:
    """Draw a scene as PNG.

    Raises:
        Refused: matplotlib is not installed.
    """
    file = io.BytesIO()
    _figure(scene).savefig(file, format="png", dpi=110)
    return file.getvalue()


def draw_gif(scenes: Sequence[Scene]) -> bytes:
    """Draw scenes as an animation that goes on for ever; the last one stays a moment.

    Raises:
        Refused: matplotlib is not installed, or there is no scene.
    """
    if not scenes:
        raise Refused("there is no scene to animate")
    _matplotlib()
    from PIL import Image

    standing = max(int(scene.standing.max()) for scene in scenes)
    beliefs = [float(scene.belief.max()) for scene in scenes if scene.belief is not None]
    frames = []
    for scene in scenes:
        figure = _figure(scene, standing, max(beliefs, default=None))
        figure.set_dpi(80)
        figure.canvas.draw()
        frames.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB"))
    file = io.BytesIO()
    times = [_FRAME_MS] * (len(frames) - 1) + [1_500]
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True
    )
    return file.getvalue()


def _figure(scene: Scene, standing: int | None = None, belief: float | None = None) -> Any:
    """Draw a scene; the darkest colours may be those of several scenes."""
    make, canvas, colours = _matplotlib()
    panels = _panels(scene)
    for number, most in ((0, standing), (1, belief)):
        if most and number < len(panels):
            high = f"{most:,} agents" if number == 0 else f"{most:.2g}"
            panels[number] = replace(panels[number], most=most, high=high)
    height, width = scene.kinds.shape
    side = 4.1 / max(height, width)
    wide, high_ = max(len(panels) * (width * side + 0.35) + 0.35, 6.4), height * side + 1.95
    figure = make(figsize=(wide, high_), facecolor=PAPER)
    canvas(figure)
    font = {"color": INK, "va": "baseline"}
    figure.text(0.3 / wide, 1 - 0.36 / high_, scene.title, size=13, weight="bold", **font)
    figure.text(0.3 / wide, 1 - 0.6 / high_, _caption(scene), size=9.5, **{**font, "color": FAINT})
    for number, panel in enumerate(panels):
        left = (0.3 + number * (width * side + 0.35)) / wide
        box = (left, 0.98 / high_, width * side / wide, height * side / high_)
        palette = colours.from_list(panel.title, list(panel.colours)).with_extremes(bad=WALL)
        _panel_figure(figure, scene, panel, box, palette)
    _legend_figure(figure, scene, wide, high_)
    return figure


def _panel_figure(
    figure: Any, scene: Scene, panel: _Panel, box: tuple[float, float, float, float], palette: Any
) -> None:
    axes = figure.add_axes(box)
    shown = np.ma.masked_where(scene.kinds == senses.WALL, panel.values.astype(float))
    image = axes.imshow(shown, cmap=palette, vmin=0, vmax=panel.most, interpolation="nearest")
    axes.set_title(panel.title, size=10, weight="bold", loc="left", color=INK, pad=5)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set_color(LINE)
    inches = box[3] * figure.get_figheight() / scene.kinds.shape[0]
    for mark, row, column in _marks(scene):
        _mark_figure(axes, mark, column, row, max(inches * 72 * 0.62, 4))
    bar = figure.add_axes((box[0], box[1] - 0.045, box[2], 0.018))
    figure.colorbar(image, cax=bar, orientation="horizontal").set_ticks([])
    bar.text(0, -0.6, panel.low, size=8.5, color=FAINT, va="top", transform=bar.transAxes)
    right = {"ha": "right", "va": "top", "transform": bar.transAxes}
    bar.text(1, -0.6, panel.high, size=8.5, color=FAINT, **right)


_LOOKS: Final = {
    "goal": ("o", GOAL),
    "shut": ("o", FAINT),
    "hazard": ("x", HAZARD),
    "resource": ("D", RESOURCE),
    "wall": ("s", WALL),
}


def _mark_figure(axes: Any, mark: str, x: float, y: float, size: float, **more: Any) -> None:
    marker, colour = _LOOKS[mark]
    line = max(size * 0.17, 1.0)
    filled = colour if mark == "wall" else "none"
    for edge, width in ((PAPER, line * 2), (colour, line)):
        axes.plot(
            *([x], [y]),
            marker=marker,
            markersize=size,
            markerfacecolor=filled,
            markeredgecolor=edge,
            markeredgewidth=width,
            linestyle="none",
            **more,
        )


def _legend_figure(figure: Any, scene: Scene, wide: float, high: float) -> None:
    axes = figure.add_axes((0, 0, 1, 0.5 / high))
    axes.set_axis_off()
    axes.set_xlim(0, wide)
    axes.set_ylim(0, 1)
    left = 0.38
    for mark, said in _legend(scene):
        _mark_figure(axes, mark, left, 0.5, 8)
        axes.text(left + 0.15, 0.5, said, size=9.5, color=INK, va="center_baseline")
        left += 0.42 + 0.078 * len(said)


def draw(picture: Picture, scenes: Iterable[Scene]) -> bytes:
    """Draw the last of some scenes, or all of them as an animation.

    Raises:
        Refused: What draws it is not installed, or there is no scene.
    """
    known = list(scenes)
    if picture == "gif":
        return draw_gif(known)
    if not known:
        raise Refused("there is no scene to draw")
    return draw_png(known[-1]) if picture == "png" else draw_svg(known[-1]).encode()
