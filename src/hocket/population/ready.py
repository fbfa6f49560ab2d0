"""The ready examples as they are chosen: their names, options, and what their agents can see.

JAX is not needed to know this, so a plan's file is judged without it; `examples` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from hocket.core.errors import Problem, suggest
from hocket.core.values import Json

LANDMARKS: Final = 8
"""How many landmarks agents of examples can tell."""
CORNERS: Final = ((0, 0), (0, 9), (9, 0), (9, 9))
"""The cells of the goals of `Sharers`, one of which is open."""
SHARED_WITH: Final = ("nobody", "neighbours", "coalition")

_SCENT: Final = ("nothing", "faint", "strong", "goal", "hazard")
_LANDMARK: Final = tuple(map(str, range(LANDMARKS)))


@dataclass(frozen=True, kw_only=True)
class Explorers:
    """Lost on a 10 × 10 grid, they find goals by their scent, and keep off hazards.

    Fields:
        length: How far they plan ahead, in ticks.
        gamma: How decided they are.
        again: Whether one who reaches a goal is placed anew, and is lost again.
        slip: Probability that a move does not happen.
    """

    length: int = 1
    gamma: float = 8.0
    again: bool = True
    slip: float = 0.1

    def seen(self) -> dict[str, tuple[str, ...]]:
        """The observations of each modality."""
        return {"scent": _SCENT}


@dataclass(frozen=True, kw_only=True)
class Foragers:
    """On a 12 × 12 grid with walls, landmarks to find one's way by, and resources that regrow.

    Fields:
        length: How far they plan ahead, in ticks.
        gamma: How decided they are.
        collisions: Whether two cannot be on one cell; at most 118 agents then.
        regrow: Ticks until a resource that was taken is ripe again.
    """

    length: int = 2
    gamma: float = 8.0
    collisions: bool = False
    regrow: int = 10

    def seen(self) -> dict[str, tuple[str, ...]]:
        """The observations of each modality."""
        ground = ("empty", "goal", "hazard", "resource")
        return {"landmark": _LANDMARK, "scent": _SCENT, "ground": ground, "ripe": ("no", "yes")}


@dataclass(frozen=True, kw_only=True)
class Sharers:
    """One of four goals is open, and smells faintly; they tell each other which they believe it is.

    Fields:
        share: With whom: "neighbours", "coalition" (of four, each with another ability), "nobody".
        weight: How much the others count.
        reach: How large neighbourhoods are, in cells.
        every: Ticks from one sharing to the next.
        messages: Whether they also leave word of what they smell near goals.
        rounds: Ticks after which another goal may be open, and all begin anew; 0 for never.
        gamma: How decided they are.
    """

    share: str = "neighbours"
    weight: float = 0.5
    reach: int = 5
    every: int = 1
    messages: bool = False
    rounds: int = 100
    gamma: float = 8.0

    def seen(self) -> dict[str, tuple[str, ...]]:
        """The observations of each modality."""
        seen = {"landmark": _LANDMARK, "scent": _SCENT}
        if self.messages:
            words = (f"{row},{column} {how}" for row, column in CORNERS for how in ("shut", "open"))
            seen["message"] = ("nothing", *words)
        return seen


@dataclass(frozen=True, kw_only=True)
class Maze:
    """The T-maze: first they look at the cue, then they go where it points, again and again.

    Fields:
        validity: How often the cue, and the arm, say the truth.
        reward: How much the reward is liked, in nats.
        shock: How much the shock is not.
        gamma: How decided they are.
        ticks: How many ticks an episode has.
    """

    validity: float = 0.98
    reward: float = 3.0
    shock: float = 6.0
    gamma: float = 8.0
    ticks: int = 3

    def seen(self) -> dict[str, tuple[str, ...]]:
        """The observations of each modality."""
        return {
            "place": ("middle", "left", "right", "cue"),
            "outcome": ("nothing", "reward", "shock"),
            "cue": ("left", "right"),
        }


Options = Explorers | Foragers | Sharers | Maze

READY: Final[Mapping[str, Callable[..., Options]]] = {
    "explorers": Explorers,
    "foragers": Foragers,
    "sharers": Sharers,
    "t-maze": Maze,
}
"""What each example can be told; its one group is called as it is."""


def about(name: str) -> str:
    """What an example is about, in a line."""
    return (READY[name].__doc__ or "").partition("\n")[0]


def defaults(name: str) -> dict[str, Json]:
    """The options of an example, by name."""
    made = READY[name]()
    return {field.name: getattr(made, field.name) for field in fields(made)}


def examples() -> list[dict[str, Json]]:
    """Give the examples: each its ``name``, what it is ``about``, and its ``options``."""
    return [{"name": name, "about": about(name), "options": defaults(name)} for name in READY]


def unknown(name: str) -> Problem:
    """Say that there is no such example."""
    hint = suggest(name, READY) or f"there are {', '.join(READY)}"
    message = f"there is no example {name!r}"
    return Problem(where=("example",), message=message, hint=hint)


def mistaken(name: str, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Find options that an example has not, and values that are of another kind."""
    known = defaults(name)
    for option, value in given.items():
        if option not in known:
            message = f"{name} have no such option as {option!r}"
            hint = suggest(option, known) or f"there are {', '.join(known)}"
        elif option == "share" and value not in SHARED_WITH:
            message = f"{value!r} is nobody to share with"
            hint = f"write one of {', '.join(SHARED_WITH)}"
        elif not _is_like(value, known[option]):
            message = f"{value!r} is not what is wanted"
            hint = f"give something like {known[option]!r}"
        else:
            continue
        yield Problem(where=("set", option), message=message, hint=hint)


def _is_like(given: Any, default: Any) -> bool:
    """Whether a value is of the kind of the default; a whole number will do for any number."""
    if isinstance(default, float):
        return isinstance(given, int | float) and not isinstance(given, bool)
    return type(given) is type(default)
