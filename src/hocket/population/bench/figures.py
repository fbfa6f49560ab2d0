"""The report's figures: light, for any colour vision, each with what it was taken on beneath."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hocket.core.errors import Refused
from hocket.population.bench.statistics import tail

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito, which people with any colour vision tell apart; each line has a
# mark of its own as well.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
)
BLACK, GREY = "#000000", "#777777"
STYLES: Final = (
    (BLUE, "o"),
    (RED, "s"),
    (GREEN, "^"),
    (PURPLE, "D"),
    (ORANGE, "v"),
    (SKY, "P"),
    (BLACK, "X"),
    (GREY, "*"),
)

SETTINGS: Final[dict[str, Any]] = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.hashsalt": "hocket",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

Drawing = Callable[["Figure", dict[str, Any]], None]


def draw_all(results: dict[str, Any], folder: Path, caption: str) -> dict[str, bytes]:
    """Draw every figure that the results have something for.

    Args:
        results: The report's document.
        folder: Gets NAME.png and NAME.svg.
        caption: Stands beneath each.

    Returns:
        The SVG of each, by name, in the report's order.

    Raises:
        Refused: if matplotlib is not installed.
    """
    matplotlib, figure = need_plots()
    drawn: dict[str, bytes] = {}
    for name, (drawing, size, needs) in FIGURES.items():
        if not all(results.get(part) for part in needs):
            continue
        with matplotlib.rc_context(SETTINGS):
            picture = figure(figsize=size, layout="constrained")
            drawing(picture, results)
            _sign(picture, caption)
            picture.savefig(folder / f"{name}.png", dpi=150)
            text = io.BytesIO()
            picture.savefig(text, format="svg", metadata={"Date": None})
        drawn[name] = text.getvalue()
        (folder / f"{name}.svg").write_bytes(drawn[name])
    return drawn


def need_plots() -> tuple[Any, Callable[..., Figure]]:
    """Give matplotlib and its figures.

    Raises:
        Refused: if it is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise Refused("figures need matplotlib: pip install 'hocket[population,plots]'") from None
    return matplotlib, Figure


def _sign(picture: Figure, caption: str) -> None:
    """Set the caption beneath, in as many lines as it takes."""
    wide = int(picture.get_size_inches()[0] * 15)
    words, lines = caption.split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) > wide:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    picture.supxlabel("\n".join(lines), fontsize=7.5, color="#555555", x=0.01, ha="left")


def _latency(picture: Figure, results: dict[str, Any]) -> None:
    axes = picture.subplots()
    rows = results["scaling"]
    x = [row["agents"] for row in rows]
    mean = [1e3 * row["mean"] for row in rows]
    _band(axes, x, rows, 1e3)
    axes.plot(x, mean, color=BLUE, marker="o", label="a tick, mean and 95 % interval")
    tails = [1e3 * tail(row) for row in rows]
    axes.plot(x, tails, color=RED, marker="^", ls=":", label=_tails(rows))
    together = [(row["agents"], 1e3 * row["together"]) for row in rows if row["together"]]
    if together:
        axes.plot(
            *zip(*together, strict=True), color=GREEN, marker="s", ls="--", label="32 in a dispatch"
        )
    fitted = results["regression"]["latency"]
    if fitted:
        line = [1e3 * (fitted["intercept"] + fitted["slope"] * n) for n in x]
        told = f"{1e3 * fitted['intercept']:.3f} ms + {1e9 * fitted['slope']:.0f} ns per agent"
        axes.plot(x, line, color=GREY, lw=1.2, ls="-.", label=told)
    target = 1e3 * results["settings"]["target"]
    axes.axhline(target, color=BLACK, lw=1)
    axes.annotate(f"{target:g} ms", (x[0], target), (0, 4), textcoords="offset points")
    _logarithmic(axes, "agents", "milliseconds per tick")
    axes.set_ylim(bottom=min([*mean, *(ms for _, ms in together)]) / 2)
    axes.set_title("How long a tick takes")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _throughput(picture: Figure, results: dict[str, Any]) -> None:
    axes = picture.subplots()
    rows = results["scaling"]
    x = [row["agents"] for row in rows]
    axes.plot(x, [row["throughput"] for row in rows], color=BLUE, marker="o", label="Hocket")
    axes.plot(
        x, [row["linear"] for row in rows], color=GREY, ls="--", label="linear, from one agent"
    )
    axes.axhline(results["roof"][0]["steps_a_second"], color=BLACK, lw=1, ls="-.")
    axes.annotate(
        "serial roof of this machine",
        (x[0], results["roof"][0]["steps_a_second"]),
        (0, 5),
        textcoords="offset points",
    )
    for kind, pattern, colour, mark, dashes in _lines(results["patterns"]):
        of = [r for r in results["patterns"] if (r["kind"], r["pattern"]) == (kind, pattern)]
        axes.plot(
            [r["agents"] for r in of],
            [r["throughput"] for r in of],
            color=colour,
            marker=mark,
            ms=5,
            lw=1.2,
            ls=dashes,
            label=f"{kind}, {pattern}",
        )
    _logarithmic(axes, "agents", "agent-steps per second")
    axes.set_title("Throughput: measured, linear, and the roof")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _efficiency(picture: Figure, results: dict[str, Any]) -> None:
    axes = picture.subplots()
    rows = results["scaling"]
    x = [row["agents"] for row in rows]
    for (key, label), (colour, mark) in zip(
        (
            ("e_seed", "E_seed: over N × itself alone"),
            ("e_base", "E_base: over N × one object agent"),
            ("e_hw", "E_hw: over the serial roof"),
        ),
        STYLES,
        strict=False,
    ):
        axes.plot(x, [100 * row[key] for row in rows], color=colour, marker=mark, label=label)
    axes.axhline(100, color=BLACK, lw=0.8)
    _logarithmic(axes, "agents", "percent")
    axes.set_title("Efficiency, in three definitions")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _patterns(picture: Figure, results: dict[str, Any]) -> None:
    kinds = list(dict.fromkeys(row["kind"] for row in results["patterns"]))
    every = picture.subplots(1, len(kinds), squeeze=False)[0]
    batched = [row for row in results["scaling"] if row["agents"] <= 50]
    for axes, kind in zip(every, kinds, strict=True):
        for _, pattern, colour, mark, _ in _lines(results["patterns"], kind):
            of = [r for r in results["patterns"] if (r["kind"], r["pattern"]) == (kind, pattern)]
            _errors(axes, of, 1e3, colour, mark, pattern)
        _errors(axes, batched, 1e3, BLUE, "o", "batched (Hocket)")
        _logarithmic(axes, "agents", "milliseconds per tick")
        axes.set_title(kind)
    every[0].legend(loc="upper left")


def _heat(picture: Figure, results: dict[str, Any]) -> None:
    import numpy as np

    axes = picture.subplots()
    rows = results["phases"]
    names = list(rows[0]["phases"])
    parts = [{**row["phases"], "remainder": row["remainder"]} for row in rows]
    names.append("remainder")
    shares = np.array(
        [
            [part[name] / row["tick"] * (name not in row["below_noise"]) for name in names]
            for part, row in zip(parts, rows, strict=True)
        ]
    ).T
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), share in np.ndenumerate(shares):
        told = f"{100 * share:.0f} %\n{_short(parts[x][names[y]])}"
        axes.text(
            x,
            y,
            "below noise" if names[y] in rows[x]["below_noise"] else told,
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share > 0.55 else "black",
        )
    axes.set_xticks(
        range(len(rows)),
        [
            f"{row['agents']:,}\nsum {_short(row['sum'])}\ntick {_short(row['tick'])}"
            for row in rows
        ],
    )
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    axes.set_xlabel("agents")
    axes.set_title("Where the time of a tick goes")
    picture.colorbar(image, ax=axes, label="percent of the whole tick")


def _memory(picture: Figure, results: dict[str, Any]) -> None:
    left, right = picture.subplots(1, 2)
    last = results["memory"][-1]
    parts = [(name, size) for name, size in last["per_agent"].items() if size]
    parts.sort(key=lambda pair: pair[1])
    left.barh([name for name, _ in parts], [size for _, size in parts], color=BLUE)
    for place, (_, size) in enumerate(parts):
        left.annotate(
            f"{size:,.1f}", (size, place), (4, 0), textcoords="offset points", va="center"
        )
    left.set_xlabel("bytes per agent")
    left.set_title(f"By component, {last['agents']:,} agents")
    left.margins(x=0.15)
    rows = [row for row in results["resident"] if row["grown"] > 0]
    names = [f"{row['agents']:,}" for row in rows]
    right.bar(names, [row["grown"] / row["agents"] for row in rows], color=GREEN, width=0.5)
    for place, row in enumerate(rows):
        right.annotate(
            f"{row['grown'] / row['agents']:,.0f}",
            (place, row["grown"] / row["agents"]),
            (0, 3),
            textcoords="offset points",
            ha="center",
        )
    right.set_xlim(-1, len(rows))
    right.margins(y=0.1)
    right.set_xlabel("agents")
    right.set_ylabel("bytes per agent")
    right.set_title("What the process grew by")


def _realtime(picture: Figure, results: dict[str, Any]) -> None:
    axes = picture.subplots()
    for row, (colour, mark) in zip(results["realtime"], STYLES, strict=False):
        tried = row["tried"]
        x = [one["agents"] for one in tried]
        label = f"T = {row['horizon']}"
        axes.plot(x, [1e3 * o["p50"] for o in tried], color=colour, marker=mark, label=label)
        axes.plot(x, [1e3 * tail(o) for o in tried], color=colour, marker=mark, ls=":", mfc="white")
    target = 1e3 * results["settings"]["target"]
    axes.axhline(target, color=BLACK, lw=1)
    _logarithmic(axes, "agents", "milliseconds per tick")
    named = _tails([one for row in results["realtime"] for one in row["tried"]])
    axes.set_title(f"Agents in a tick of {target:g} ms: p50 solid, {named} dotted")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _claims(picture: Figure, results: dict[str, Any]) -> None:
    axes = picture.subplots()
    rows = [
        (f"{one['name']}: {claim['what']}", claim)
        for one in results["recommendations"]
        for claim in one["claims"]
        if claim["measured"] is not None
    ]
    ratio = [
        max(claim["measured"], 1e-3) / claim["expected"]
        if not claim["at_most"]
        else claim["expected"] / max(claim["measured"], 1e-9)
        for _, claim in rows
    ]
    colours = [BLUE if claim["holds"] else ORANGE for _, claim in rows]
    # From one on, either way: to the right it is better than promised.
    axes.barh(range(len(rows)), [one - 1 for one in ratio], left=1, color=colours)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=9)
    for place, (_, claim) in enumerate(rows):
        told = f"{_figure(claim['measured'])} {claim['unit']} (said {_figure(claim['expected'])})"
        axes.annotate(
            told,
            (max(ratio[place], 1), place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.axvline(1, color=BLACK, lw=1)
    axes.set_xscale("log")
    axes.set_xlim(min([*ratio, 0.5]) / 2, max([*ratio, 2]) * 60)
    axes.invert_yaxis()
    axes.set_xlabel("measured over promised; from 1 on, it is as good as promised")
    axes.set_title("What the seed's report promised, and what was measured")


FIGURES: Final[dict[str, tuple[Drawing, tuple[float, float], tuple[str, ...]]]] = {
    "latency": (_latency, (11, 5.4), ("scaling",)),
    "throughput": (_throughput, (11, 5.6), ("scaling", "roof", "patterns")),
    "efficiency": (_efficiency, (11, 5.2), ("scaling",)),
    "patterns": (_patterns, (11, 5.2), ("patterns", "scaling")),
    "realtime": (_realtime, (9, 5.2), ("realtime",)),
    "memory": (_memory, (11, 4.6), ("memory", "resident")),
    "phases": (_heat, (9, 5.6), ("phases",)),
    "recommendations": (_claims, (11, 6.4), ("recommendations",)),
}
"""Each figure: how it is drawn, its size in inches, and the results that it needs."""


def _lines(
    rows: Sequence[dict[str, Any]], only: str | None = None
) -> list[tuple[str, str, str, str, str]]:
    """Each kind of object under each pattern, with its look: colour and mark, and dashes."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    patterns = list(dict.fromkeys(row["pattern"] for row in rows))
    return [
        (kind, pattern, *STYLES[1 + place], ("-", "--", ":")[number % 3])
        for number, kind in enumerate(kinds)
        for place, pattern in enumerate(patterns)
        if only in (None, kind)
    ]


def _tails(rows: Sequence[dict[str, Any]]) -> str:
    """What `tail` is of these."""
    named = {"p99" if row["p99"] is not None else "largest of fewer" for row in rows}
    return " or ".join(sorted(named, reverse=True))


def _band(axes: Axes, x: Sequence[float], rows: Sequence[dict[str, Any]], scale: float) -> None:
    axes.fill_between(
        x,
        [scale * row["low"] for row in rows],
        [scale * row["high"] for row in rows],
        color=BLUE,
        alpha=0.25,
        lw=0,
    )


def _errors(
    axes: Axes,
    rows: Sequence[dict[str, Any]],
    scale: float,
    colour: str,
    mark: str,
    label: str,
) -> None:
    mean = [scale * row["mean"] for row in rows]
    within = [scale * (row["high"] - row["mean"]) for row in rows]
    axes.errorbar(
        [row["agents"] for row in rows],
        mean,
        yerr=within,
        color=colour,
        marker=mark,
        capsize=3,
        label=label,
    )


def _logarithmic(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: _count(value))
        # Between powers of ten only 2 and 5 are named, or there would be no room.
        axis.set_minor_formatter(lambda value, _: _count(value) if f"{value:e}"[0] in "25" else "")


def _count(value: float) -> str:
    """A number on an axis, short."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _short(seconds: float) -> str:
    """A time in three figures."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _figure(value: float) -> str:
    """A measured figure in three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
