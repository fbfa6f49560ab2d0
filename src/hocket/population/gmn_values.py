"""Reads the values of GMN: numbers, names, lists and maps, each with its place in the text.

    value := number | word | "text" | true | false | null
           | [ value, ... ] | { key: value, ... }

Commas may be left out; ``#`` begins a comment.
There is nothing to be evaluated in it, and there are bounds: a text may come from anybody.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, repeat
from typing import Any, Final, NamedTuple

from hocket.core.errors import Problem, SpecError, suggest

MOST_BYTES: Final = 4_000_000
MOST_VALUES: Final = 200_000
MOST_DEPTH: Final = 12
MOST_PROBLEMS: Final = 40

_MOST_SAID: Final = 300
_MOST_WORD: Final = 60

_TOKEN = re.compile(
    r"""(?P<skip>[\s\ufeff]+|\#[^\n]*)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<mark>->|[{}\[\],:])"""
    r"""|(?P<bare>(?:(?!->)[^\s{}\[\],:"\#\ufeff])+)"""
    r"""|(?P<odd>.)"""
)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}


class Token(NamedTuple):
    """A piece of the text.

    Fields:
        kind: "text", "mark", "bare" or "end".
        text: Its characters; of a quoted text what it stands for.
        at: Where it begins.
    """

    kind: str
    text: str
    at: int


@dataclass(slots=True)
class Value:
    """A value, and where it stands.

    Fields:
        data: A number, text, truth value, None, a list of values, or a map of names to values.
        at: Where it begins in the text.
        keys: Of a map, where each key begins.
    """

    data: Any
    at: int
    keys: dict[str, int] = field(default_factory=dict)


def near(word: str, known: Iterable[str]) -> str:
    """Say which known word may have been meant; long words and long lists are not compared."""
    if len(word) > _MOST_WORD:
        return ""
    return suggest(word, _compared(known))


def nearest(word: str, known: Iterable[str]) -> str:
    """Give the word that `near` says, to go on with it; "" if there is none."""
    names = _compared(known)
    said = near(word, names)
    return next((name for name in names if said == suggest(name, [name])), "")


def _compared(known: Iterable[str]) -> list[str]:
    return [name for name in islice(known, 200) if len(name) <= _MOST_WORD]


def _short(message: str) -> str:
    """A message that harms no terminal, whatever names are in it."""
    said = message if len(message) < _MOST_SAID else message[:_MOST_SAID] + " …"
    return "".join(letter if letter.isprintable() else "�" for letter in said)


class Stop(Exception):
    """There are too many problems, or what is left cannot be read."""


class Faults:
    """What is wrong with a text, with lines and columns.

    Args:
        text: The text.
        name: What it is called in messages.
    """

    def __init__(self, text: str, name: str) -> None:
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._name = name
        self._found: list[tuple[int, Problem]] = []

    def say(self, at: int, message: str, hint: str = "", where: tuple[str | int, ...] = ()) -> None:
        """Note a problem; after many of them no more is looked for.

        Raises:
            Stop: if there are too many.
        """
        self._found.append((at, Problem(where=where, message=_short(message), hint=_short(hint))))
        self.check()

    @property
    def count(self) -> int:
        """How many problems there are so far."""
        return len(self._found)

    def check(self) -> None:
        """See whether it is worth going on.

        Raises:
            Stop: if there are too many problems.
        """
        if len(self._found) >= MOST_PROBLEMS:
            raise Stop

    def column(self, at: int) -> int:
        """The column of a place, from 1."""
        return at - self._lines[self.line(at) - 1] + 1

    def line(self, at: int) -> int:
        """The line of a place, from 1."""
        return bisect_right(self._lines, at)

    def place(self, at: int) -> str:
        """Give a place as ``file:line:column``."""
        return f"{self._name}:{self.line(at)}:{self.column(at)}"

    def error(self) -> SpecError | None:
        """All problems as one error, in the order of the text; None if there are none."""
        if not self._found:
            return None
        found = sorted(self._found, key=lambda pair: pair[0])
        lines = [
            f"{self.place(at)}: {problem.message}" + (f"; {problem.hint}" if problem.hint else "")
            for at, problem in found
        ]
        return SpecError([problem for _, problem in found], lines)

    def settle(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            SpecError: if there are problems.
        """
        error = self.error()
        if error is not None:
            raise error


class Reader:
    """Goes through a text token by token, and takes values out of it.

    Args:
        text: The text.
        faults: Where problems go.
    """

    def __init__(self, text: str, faults: Faults) -> None:
        self._faults = faults
        self._tokens: Iterator[Token] = self._lex(text)
        self._values = 0
        self.next = next(self._tokens)

    def _lex(self, text: str) -> Iterator[Token]:
        for match in _TOKEN.finditer(text):
            kind, said = str(match.lastgroup), match.group()
            if kind == "skip":
                continue
            if kind == "odd":
                message = 'a quoted text has no end; a line break is no part of it: write "..."'
                self._faults.say(match.start(), message)
                continue
            if kind == "text":
                try:
                    said = json.loads(said)
                except ValueError:
                    hint = r"use \" \\ \n \t or \u0041"
                    self._faults.say(match.start(), "a quoted text cannot be read", hint)
                    said = ""
            yield Token(kind, said, match.start())
        while True:
            yield Token("end", "the end", len(text))

    def step(self) -> Token:
        """Take the next token."""
        token = self.next
        self.next = next(self._tokens)
        return token

    def take(self, mark: str) -> bool:
        """Take a mark if it is next."""
        if self.next.kind == "mark" and self.next.text == mark:
            self.step()
            return True
        return False

    def expect(self, mark: str, after: str) -> None:
        """Take a mark, or say that it is missing.

        Raises:
            Stop: if it is not there.
        """
        if not self.take(mark):
            self.unexpected(f"{mark!r} {after}")

    def word(self, what: str) -> Token:
        """Take a word or a quoted text.

        Raises:
            Stop: if there is none.
        """
        if self.next.kind not in ("bare", "text"):
            self.unexpected(what)
        return self.step()

    def unexpected(self, wanted: str) -> None:
        """Say that something else was expected.

        Raises:
            Stop: always.
        """
        said = self.next.text if self.next.kind == "end" else repr(self.next.text[:40])
        self._faults.say(self.next.at, f"expected {wanted}, and here is {said}")
        raise Stop

    def value(self, depth: int = 0) -> Value:
        """Take a value.

        Raises:
            Stop: if it cannot be read.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            hint = "use values such as identity, cases or grid; or an .npz file"
            self._faults.say(self.next.at, f"there are more than {MOST_VALUES:,} values", hint)
            # Nothing behind it is looked at.
            self.next = Token("end", "the end", self.next.at)
            self._tokens = repeat(self.next)
            raise Stop
        if depth > MOST_DEPTH:
            self._faults.say(self.next.at, f"lists are nested more than {MOST_DEPTH} deep")
            raise Stop
        token = self.next
        if self.take("["):
            return self._list(token.at, depth)
        if self.take("{"):
            return self._map(token.at, depth)
        if token.kind == "text":
            return Value(self.step().text, token.at)
        if token.kind == "bare":
            return Value(_meaning(self.step().text), token.at)
        self.unexpected("a value")
        raise AssertionError("unexpected always raises")

    def _list(self, at: int, depth: int) -> Value:
        items: list[Value] = []
        while not self.take("]"):
            items.append(self.value(depth + 1))
            self.take(",")
        return Value(items, at)

    def _map(self, at: int, depth: int) -> Value:
        made = Value({}, at)
        while not self.take("}"):
            key = self.word("a key or '}'")
            self.expect(":", f"after {key.text!r}")
            if key.text in made.data:
                self._faults.say(key.at, f"{key.text!r} is there twice", "leave one out")
            made.data[key.text] = self.value(depth + 1)
            made.keys[key.text] = key.at
            self.take(",")
        return made


def _meaning(word: str) -> Any:
    """What a bare word stands for: a number, a truth value, or itself."""
    if word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(word) is None:
        return word
    digits = word.lstrip("+-")
    # Longer integers are no counts of anything, and take long to read.
    return int(word) if digits.isdigit() and len(digits) <= 18 else float(word)
