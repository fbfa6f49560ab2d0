"""How causes look: one colour, hatch, mark and word for each kind, the same in every picture.

The colours are those of Okabe and Ito, which people with any colour vision tell apart.
Nothing is told by colour alone: each kind has its own hatch, and its own mark in a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from hocket.core.reports import Fate
from hocket.insight.causes import KINDS, Cause, Kind
from hocket.limits.words import limit_label

BLACK: Final = "#000000"
ORANGE: Final = "#e69f00"
SKY: Final = "#56b4e9"
GREEN: Final = "#009e73"
YELLOW: Final = "#f0e442"
BLUE: Final = "#0072b2"
VERMILLION: Final = "#d55e00"
PURPLE: Final = "#cc79a7"
GREY: Final = "#999999"
PALE: Final = "#d9d9d9"
PAPER: Final = ""
"""The colour of the page: white, or nearly black where somebody prefers the dark."""

TILE: Final = 8
"""Hatches repeat after so many pixels, both ways."""


class Look(NamedTuple):
    """How a kind of cause looks.

    Fields:
        colour: Its colour; `PAPER` for what nothing is drawn of.
        hatch: Strokes within a tile, as the data of an SVG path; "" for a plain surface.
        ink: The colour of these strokes.
        mark: Its character in a terminal.
        name: What it is called.
        of: What it is called with its detail in place of ``{}``.
    """

    colour: str
    hatch: str
    ink: str
    mark: str
    name: str
    of: str


_RISING = "M-2 2L2-2M0 8L8 0M6 10L10 6"
_FALLING = "M-2 6L2 10M0 0L8 8M6-2L10 2"
_DOTS = "M1.5 2a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0M5.5 6a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0"
_DOT = "M3.5 4a.5.5 0 1 0 1 0a.5.5 0 1 0-1 0"
_RINGS = "M2 4a2 2 0 1 0 4 0a2 2 0 1 0-4 0"
_BRICKS = "M0 0H8M0 4H8M2 0V4M6 4V8"

LOOKS: Final[dict[Kind, Look]] = {
    "model": Look(BLUE, "", "#ffffff", "█", "model", "model of {}"),
    "tool": Look(GREEN, "M0 6H8", "#ffffff", "▒", "tool or process", "tool or process of {}"),
    "rate": Look(ORANGE, _RISING, BLACK, "r", "rate limit", "rate limit {}"),
    "refused": Look(
        VERMILLION, _RISING + _FALLING, BLACK, "x", "closed after a refusal", "{}, closed"
    ),
    "slot": Look(YELLOW, _FALLING, BLACK, "s", "slot", "slot of {}"),
    "budget": Look(ORANGE, "M2 0V8M6 0V8", BLACK, "$", "budget", "budget {}"),
    "share": Look(YELLOW, "M0 6L2 2L4 6L6 2L8 6", BLACK, "w", "other runs' turn", "{}"),
    "backoff": Look(SKY, "M0 2H8M0 6H8", BLACK, "b", "back-off", "back-off of {}"),
    "approval": Look(PURPLE, _DOTS, BLACK, "a", "approval", "approval of {}"),
    "input": Look(PURPLE, _RINGS, BLACK, "i", "input", "input for {}"),
    "rework": Look(VERMILLION, "M4 0V8M0 4H8", "#ffffff", "✗", "came to nothing", "{} call"),
    "cache": Look(SKY, "M0 2H3M4 6H7", BLACK, "c", "same question asked already", "{}"),
    "pause": Look(PALE, "M2 2V6M5 2V6", BLACK, "p", "paused", "{}"),
    "down": Look(BLACK, _RISING + _FALLING, "#ffffff", "!", "no record (process ended)", "{}"),
    "coordinator": Look(GREY, _BRICKS, "#ffffff", "o", "coordinator", "{}"),
    "idle": Look(PAPER, "", BLACK, "·", "nothing ready", "{}"),
    "unknown": Look(PALE, _DOT, BLACK, "?", "not known", "not known: {}"),
}
"""How each kind looks. Limits are orange and yellow, people purple, waste vermillion."""

FATES: Final[dict[Fate, Look]] = {
    "useful": Look(BLUE, "", "#ffffff", "█", "useful", ""),
    "stale": Look(VERMILLION, "M4 0V8M0 4H8", "#ffffff", "✗", "stale", ""),
    "discarded": Look(VERMILLION, _RISING, "#ffffff", "d", "discarded", ""),
    "cancelled": Look(GREY, _FALLING, "#ffffff", "c", "cancelled", ""),
    "refused": Look(VERMILLION, _RISING + _FALLING, BLACK, "x", "refused", ""),
    "failed": Look(BLACK, "M4 0V8M0 4H8", "#ffffff", "!", "failed", ""),
}
"""How fates look where calls and money are told by fate: what came to nothing is never plain."""
UNDER_WAY: Final = Look(PALE, "M0 4H8", BLACK, "·", "under way", "")
"""How calls look that have no fate yet."""


def cause_name(cause: Cause) -> str:
    """Write a cause for a person: ``rate limit flash``, ``slot of the run``."""
    look = LOOKS[cause.kind]
    if not cause.detail:
        return look.name
    detail = limit_label(cause.detail).removeprefix("agent:")
    if cause.kind == "slot" and cause.detail == "run":
        detail = "the run"
    return look.of.format(detail)


def fate_name(fate: str, calls: int = 0, lost: int = 0) -> str:
    """Say what became of calls: ``useful``, ``failed (1 lost)``, ``under way``.

    Args:
        fate: Their fate; "" for none yet.
        calls: How many there are.
        lost: How many of them were in flight when their process ended: whether these have failed
            nobody knows.
    """
    if not lost:
        return fate or UNDER_WAY.name
    return "lost" if lost == calls else f"{fate} ({lost:,} lost)"


def cells(shares: Mapping[Cause, int], width: int) -> list[tuple[Kind, int]]:
    """Spread shares over cells, so that all cells are used; kinds stand in the shares' order.

    What is left over by rounding down goes to those that lost most by it.
    """
    sums: dict[Kind, int] = {}
    for cause, amount in shares.items():
        sums[cause.kind] = sums.get(cause.kind, 0) + amount
    whole = sum(sums.values())
    if whole <= 0 or width <= 0:
        return []
    spread = {kind: amount * width // whole for kind, amount in sums.items()}
    left = width - sum(spread.values())
    by_loss = sorted(KINDS, key=lambda kind: -(sums.get(kind, 0) * width % whole))
    for kind in by_loss[:left]:
        spread[kind] += 1
    return [(kind, count) for kind, count in spread.items() if count]


def bar(shares: Mapping[Cause, int], width: int) -> str:
    """Draw shares as a line of marks: ``██████rrrrrrrr✗✗··``."""
    return "".join(LOOKS[kind].mark * count for kind, count in cells(shares, width))


def marks_line(shares: Mapping[Cause, int]) -> str:
    """Say what the marks of a bar mean, in its order: ``█ model  r rate limit``."""
    shown = dict.fromkeys(cause.kind for cause, amount in shares.items() if amount)
    return "  ".join(f"{LOOKS[kind].mark} {LOOKS[kind].name}" for kind in shown)
