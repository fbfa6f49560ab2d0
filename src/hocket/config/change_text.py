"""Reads settings, ``KEY=VALUE``, and what is to be varied, ``KEY=1..8`` or ``KEY=a,b,c``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import Final, NamedTuple

from hocket.config.overrides import read_value
from hocket.core.errors import Refused
from hocket.core.values import Json

MOST_VARIANTS: Final = 200
"""The most variants of one simulation."""

_NUMBER: Final = r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?"
_RANGE: Final = re.compile(rf"({_NUMBER})([^:.]*)\.\.({_NUMBER})([^:.]*)(?::({_NUMBER}))?\Z")
_OPEN: Final = {"[": "]", "{": "}", "(": ")", '"': '"', "'": "'"}


class Setting(NamedTuple):
    """A setting as somebody wrote it.

    Fields:
        text: The whole.
        names: The parts of the key.
        raw: The value as it was written.
        value: The value as a file would have it.
    """

    text: str
    names: tuple[str, ...]
    raw: str
    value: Json

    @property
    def told(self) -> str:
        """How errors begin that are about it."""
        return f"setting {self.text!r}"

    def refused(self, why: str) -> Refused:
        """Give the error that says why it cannot be."""
        return Refused(f"{self.told}: {why}")

    def rest(self, how: str) -> str:
        """Give the one name behind the first.

        Raises:
            Refused: There is none, or there are several; `how` says how it is written.
        """
        if len(self.names) != 2:
            raise self.refused(f"write {how}")
        return self.names[1]


def setting_of(text: str) -> Setting:
    """Read a setting.

    Raises:
        Refused: It is none.
    """
    key, equals, value = text.partition("=")
    names = tuple(key.split("."))
    if not equals or not value.strip() or not all(names):
        raise Refused(f"setting {text!r}: write KEY=VALUE, as in max_parallel=8")
    return Setting(text, names, value, read_value(f"setting {text!r}", value))


def settings_of(text: str) -> tuple[str, ...]:
    """Give the settings of a variant, which have spaces between them.

    Raises:
        Refused: There are none, or a quote is never closed.
    """
    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise Refused(f"variant {text!r}: {str(error).lower()}") from None
    if not found:
        raise Refused(f"variant {text!r}: write settings with spaces between them, as 'a=1 b=2'")
    return found


def expand(vary: Sequence[str]) -> list[list[str]]:
    """Give the settings of each variant: all combinations of the values of all keys.

    A value is ``1..8``, with a step ``1..9:2``, with a unit ``5..30/min:5``, or ``a,b,c``.

    Raises:
        Refused: One cannot be read, or there would be too many.
    """
    lists: list[list[str]] = []
    keys: set[str] = set()
    count = 1
    for text in vary:
        key, equals, values = text.partition("=")
        if not equals or not key or not values.strip():
            raise Refused(f"vary {text!r}: write KEY=1..8 or KEY=a,b,c")
        found = _range(text, values.strip())
        if found is None:
            found = [value.strip() for value in _listed(values)]
            if not all(found):
                raise Refused(f"vary {text!r}: there is nothing between two commas")
        if len(set(found)) < len(found):
            raise Refused(f"vary {text!r}: a value is there twice")
        if key in keys:
            raise Refused(f"vary {text!r}: {key} is varied already")
        keys.add(key)
        lists.append([f"{key}={value}" for value in found])
        count *= len(found)
    if count > MOST_VARIANTS:
        raise Refused(f"{count:,} variants are too many: {MOST_VARIANTS} at most")
    return [list(settings) for settings in product(*lists)] if lists else []


def _range(text: str, values: str) -> list[str] | None:
    match = _RANGE.match(values)
    if match is None or match[2] not in ("", match[4]):
        if ".." in values and "," not in values:
            raise Refused(f"vary {text!r}: a range is like 1..8, 1..9:2 in steps of 2, or 5..9/min")
        return None
    first, last, unit = Decimal(match[1]), Decimal(match[3]), match[4]
    step = Decimal(match[5] or 1)
    if step <= 0:
        raise Refused(f"vary {text!r}: a step is more than 0")
    if last < first:
        raise Refused(f"vary {text!r}: the first value is above the last one")
    count = int((last - first) / step) + 1
    if count > MOST_VARIANTS:
        raise Refused(f"vary {text!r}: {count:,} values are too many: {MOST_VARIANTS} at most")
    return [f"{(first + step * i).normalize():f}{unit}" for i in range(count)]


def _listed(values: str) -> Iterator[str]:
    """Part values at the commas that stand in no brackets and no quotes."""
    closing: list[str] = []
    start = 0
    for i, character in enumerate(values):
        if closing and character == closing[-1]:
            closing.pop()
        elif closing and closing[-1] in "\"'":
            continue
        elif character in _OPEN and (character not in "\"'" or i == start or closing):
            closing.append(_OPEN[character])
        elif character == "," and not closing:
            yield values[start:i]
            start = i + 1
    yield values[start:]
