"""Who may be called what in a panel, and who is selected, whether a file or Python says so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from hocket.core.errors import ExprError, Problem, suggest
from hocket.core.expr import parse_expr
from hocket.workflows.panel import OWN_STEPS, QUESTION

REPLYING: Final = ("contributions", "missing", "reply")
"""What texts of those who reply know besides."""
TAKEN: Final = (*OWN_STEPS, QUESTION, *REPLYING)
"""Names with a meaning of their own in a panel; no contributor may be called so."""


_TEXT: Final = r"(?:'[^'\\]*'|\"[^\"\\]*\")"
_NAMES: Final = re.compile(rf"\[\s*{_TEXT}(?:\s*,\s*{_TEXT})*\s*\]")
_COMPARES: Final = re.compile(r"(?:\bin|[=!<>]=?)\s*$")
_COMPARED: Final = re.compile(r"\s*(?:not\b|in\b|[=!<>])")


def panel_problems(
    names: Collection[str], about: Collection[str], select: object = None
) -> Iterator[Problem]:
    """Find what is wrong with a panel that its plan would not show.

    Args:
        names: Its contributors.
        about: Those of whom it is said what they are good at.
        select: Who says which of them are needed; an expression if it is a text.
    """
    for name in names:
        if name in TAKEN:
            said = f"{name!r} has another meaning in a panel: rename it"
            yield Problem(where=("agents", name), message=said)
    for name in about:
        if name not in names:
            said = f"unknown contributor {name!r}"
            yield Problem(where=("about", name), message=said, hint=suggest(name, names))
    if isinstance(select, str):
        yield from _selected(select, names)


def _selected(select: str, names: Collection[str]) -> Iterator[Problem]:
    """Find names in the lists of an expression that no contributor has, which would ask nobody."""
    try:
        parsed = parse_expr(select)
        fixed = None if parsed.references else parsed.evaluate(lambda _: None)
    except ExprError:
        # Whoever reads the plan says what is wrong with it.
        return
    if not parsed.references and not isinstance(fixed, list):
        said = f"select gives a list of names, not {fixed!r}"
        yield Problem(where=("select",), message=said, hint=_as_list(fixed, names))
    for listed in _NAMES.finditer(select):
        before, after = select[: listed.start()], select[listed.end() :]
        if _is_field(before) or _COMPARES.search(before) or _COMPARED.match(after):
            continue
        for text in re.finditer(_TEXT, listed[0]):
            name = text[0][1:-1]
            if name not in names:
                yield Problem(
                    where=("select",),
                    message=f"unknown contributor {name!r}",
                    hint=suggest(name, names),
                    offset=listed.start() + text.start(),
                )


def _as_list(fixed: object, names: Collection[str]) -> str:
    return f"write ['{fixed}']" if isinstance(fixed, str) and fixed in names else ""


def _is_field(before: str) -> bool:
    """Tell whether a bracket behind this text asks for a field: of a name, or of another field."""
    word = re.search(r"([\w-]+|\])\s*$", before)
    return word is not None and word[1] not in ("and", "or", "not", "in")
