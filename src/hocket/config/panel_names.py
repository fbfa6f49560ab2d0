"""Who may be called what in a panel, whether a file or Python says so."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from hocket.core.errors import Problem, suggest
from hocket.workflows.panel import OWN_STEPS, QUESTION

REPLYING: Final = ("contributions", "missing", "reply")
"""What texts of those who reply know besides."""
TAKEN: Final = (*OWN_STEPS, QUESTION, *REPLYING)
"""Names with a meaning of their own in a panel; no contributor may be called so."""


def panel_problems(names: Collection[str], about: Collection[str]) -> Iterator[Problem]:
    """Find what is wrong with a panel that its plan would not show.

    Args:
        names: Its contributors.
        about: Those of whom it is said what they are good at.
    """
    for name in names:
        if name in TAKEN:
            said = f"{name!r} has another meaning in a panel: rename it"
            yield Problem(where=("agents", name), message=said)
    for name in about:
        if name not in names:
            said = f"unknown contributor {name!r}"
            yield Problem(where=("about", name), message=said, hint=suggest(name, names))
