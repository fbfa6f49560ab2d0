"""Reads JSON of any size in pieces, so that a log of a gigabyte takes little memory.

A `Source` is pulled: its reader asks for the members of an object or the elements of a list one by
one, goes down into those that it knows, and takes small values whole.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

from hocket.core.errors import LogError
from hocket.core.values import Json

MAX_VALUE: Final = 8 << 20
"""Characters of one value that is taken whole."""

_AHEAD: Final = 64
"""A value this close to the end of what is there may go on in the next piece."""

_ESCAPE: Final = 8

_HALF_NUMBERS: Final = (".", "e", "E", "e+", "e-", "E+", "E-")

_BLANK: Final = re.compile(r"[ \t\n\r]*")
_NO_MATCH: Final = -1


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name!r} is no number that JSON knows")


_decode: Final = json.JSONDecoder(parse_constant=_no_number).raw_decode


class Source:
    """JSON text that comes in pieces.

    Args:
        chunks: The bytes, in order.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._line = 1
        # Characters of the present line that are no longer in the text.
        self._before = 0
        self._ended = False
        self._broken: str | None = None

    def place(self) -> tuple[int, int]:
        """Give the line and the column of what comes next, both from 1."""
        return self._place(self._at)

    def fail(self, problem: str, *, hint: str = "", at: int | None = None) -> NoReturn:
        """Say that what comes next cannot be read.

        Raises:
            LogError: Always.
        """
        line, column = self._place(self._at if at is None else at)
        raise LogError(problem, hint=hint, line=line, column=column)

    def peek(self) -> str:
        """Give the next character that is no blank, or "" at the end.

        Raises:
            LogError: It is no text.
        """
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found is not None else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def start(self) -> str:
        """Give the next characters, for a message about what begins here."""
        return self._text[self._at : self._at + 30]

    def value(self) -> Json:
        """Take the next value whole.

        Raises:
            LogError: It is broken, cut off or too large.
        """
        self.peek()
        wanted = 0
        while True:
            problem, offset = "", 0
            try:
                value, end = _decode(self._text, self._at)
                if self._ended or end + _AHEAD < len(self._text):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                problem, offset = error.msg, error.pos - self._at
            except RecursionError:
                self.fail("the value is nested too deeply")
            except ValueError as error:
                problem = "a number has too many digits" if "digits" in str(error) else str(error)
            wanted = max(2 * wanted, len(self._text) - self._at + 1)
            if wanted > MAX_VALUE:
                if problem and offset < MAX_VALUE // 2 and not problem.startswith("Untermin"):
                    self._reject(problem, self._at + offset)
                self.fail(f"a single value of more than {MAX_VALUE >> 20} million characters")
            if not self._fill(wanted) and problem:
                self._reject(problem, self._at + offset)

    def members(self) -> Iterator[str]:
        """Give the keys of the next object; whoever asks takes the value after each.

        Raises:
            LogError: There is no object, or it is broken or cut off.
        """
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                self._cut_or_fail("a key in quotes is missing")
            key = self.value()
            self._take(":")
            yield key
            if not self._next("}"):
                return

    def elements(self) -> Iterator[None]:
        """Go to each element of the next list in turn; whoever asks takes it.

        Raises:
            LogError: There is no list, or it is broken or cut off.
        """
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield
            if not self._next("]"):
                return

    def _next(self, close: str) -> bool:
        """Take a comma and say yes, or the closing bracket and say no."""
        found = self.peek()
        if found not in {",", close} or not found:
            self._cut_or_fail(f"a comma or {close!r} is missing")
        self._at += 1
        return found == ","

    def _take(self, wanted: str) -> None:
        if self.peek() != wanted:
            self._cut_or_fail(f"{wanted!r} is missing")
        self._at += 1

    def _cut_or_fail(self, problem: str) -> NoReturn:
        if self.peek() and not (self._ended and self._text[self._at :].rstrip() in _HALF_NUMBERS):
            self.fail(f"this is no JSON: {problem} before {self.start()!r}")
        self._cut()

    def _cut(self) -> NoReturn:
        line, column = self._place(len(self._text))
        raise LogError("the text ends in the middle", line=line, column=column, cut=True)

    def _reject(self, problem: str, where: int) -> NoReturn:
        # The parser says of a text without its closing quote where the text begins.
        cut = self._ended and (
            where >= len(self._text.rstrip())
            or problem.startswith("Unterminated")
            or (len(self._text) - where < _AHEAD and _is_begun(self._text[where:]))
            or (len(self._text) - where < _ESCAPE and "escape" in problem)
        )
        if cut:
            self._cut()
        self.fail(f"this is no JSON: {problem[:1].lower()}{problem[1:]}", at=where)

    def _place(self, at: int) -> tuple[int, int]:
        line = self._line + self._text.count("\n", 0, at)
        last = self._text.rfind("\n", 0, at)
        return line, (at - last if last != _NO_MATCH else self._before + at + 1)

    def _fill(self, wanted: int) -> bool:
        """Have this many characters ahead, if there are so many; say whether any came."""
        had = len(self._text) - self._at
        while len(self._text) - self._at < wanted and self._more():
            pass
        return len(self._text) - self._at > had

    def _more(self) -> bool:
        """Get the next piece, and let go of what has been read."""
        if self._ended:
            return False
        if self._broken is not None:
            raise self._no_text(self._broken)
        chunk = next(self._chunks, None)
        self._drop()
        try:
            text = self._utf8.decode(chunk or b"", chunk is None)
        except UnicodeDecodeError as error:
            if chunk is None:
                # The text is cut within a character.
                self._ended = True
                return False
            # What comes before it can be read, and is read first.
            text = error.object[: error.start].decode("utf-8-sig")
            self._broken = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
            self._text += text
            if not text:
                raise self._no_text(self._broken) from None
            return True
        self._ended = chunk is None
        self._text += text
        return not self._ended or bool(text)

    def _no_text(self, problem: str) -> LogError:
        line, column = self._place(len(self._text))
        return LogError(problem, hint="is this a text file?", line=line, column=column)

    def _drop(self) -> None:
        lines = self._text.count("\n", 0, self._at)
        if lines:
            self._line += lines
            self._before = self._at - self._text.rfind("\n", 0, self._at) - 1
        else:
            self._before += self._at
        self._text = self._text[self._at :]
        self._at = 0


def _is_begun(rest: str) -> bool:
    """Whether this is the beginning of a word or a number that JSON knows."""
    words = ("true", "false", "null")
    return any(word.startswith(rest) for word in words) or bool(re.match(r"[-0-9.eE+\\\"]+$", rest))
