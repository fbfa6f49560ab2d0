"""What differs from run to run is hidden on both sides, so that a page can show what it really saw.

Only the pages of ``MASKED`` are compared so: there a time, a share, an address of a folder or the
number of an event may be another one, columns may be wider, and lines break elsewhere.
Words, names, counts and money may not.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher, unified_diff

from tests.docs.pages import ROOT

MASKED = frozenset({ROOT / "README.md"})

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_MASKS = (
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?\b"), "<clock>"),
    (re.compile(rf"(?:about )?\b(?:{_NUMBER} (?:h|m) )?{_NUMBER} (?:ms|s|m|h|days?)\b"), "<time>"),
    (re.compile(rf"{_NUMBER} ?%"), "<share>"),
    (re.compile(r"(?<=\bin )/\S+"), "<folder>"),
    (re.compile(r"\bevents \d+(?:, \d+)*"), "events <numbers>"),
    # The number of an event before its time, and the pictures whose lengths are times.
    (re.compile(r"^ *\d+ +(?=<clock>)", re.MULTILINE), "<number> "),
    (re.compile(r"^ *[ro!█▒]{40,}$", re.MULTILINE), "<bar>"),
)


def masked(text: str) -> list[str]:
    """Give the lines of an output with what may differ hidden."""
    for pattern, stands_for in _MASKS:
        text = pattern.sub(stands_for, text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def differences(printed: list[str], outputs: list[str]) -> str:
    """Say in which lines what a page shows differs from what was printed, or "".

    Args:
        printed: The lines that the page shows; none stands for whatever is printed.
        outputs: What the command wrote, in the ways in which a page may show it.
            The one that is most alike is the one that is told.
    """
    shown = masked("\n".join(printed))
    if not shown:
        return ""
    found = [masked(text) for text in outputs]
    if any(_words(shown) == _words(lines) for lines in found):
        return ""
    closest = max(found, key=lambda lines: SequenceMatcher(None, shown, lines).ratio())
    lines = unified_diff(shown, closest, "the page shows", "it prints", lineterm="", n=1)
    return "\n".join(["what varies is hidden as <time>, <share> and so on", *lines])


def _words(lines: list[str]) -> list[str]:
    return " ".join(lines).split()
