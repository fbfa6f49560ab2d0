"""Makes what a process wrote fit to be shown while it comes.

Nothing that would act on a terminal passes, and no stream takes more than bounded memory.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from hocket.agents.base import Context

_UNSHOWN = 4_096

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b]*\x1b\\"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b[0-OQ-WYZ\\`-~]"
)
_UNFINISHED = re.compile(
    r"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*\x1b?"
    r"|\x1b[PX^_][^\x1b]*\x1b?"
    r"|\x1b[ -/]*)\Z"
)
# What remains may still ring, erase, or turn the direction of reading.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SHOWN_AS_THEY_ARE = frozenset("\n\t")
# They are letters and marks, and nothing is seen of them.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def plain(text: str) -> str:
    """Take out of a text whatever would act on a terminal; fold lines that overwrite themselves."""
    text = _ESCAPE.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", text)


def visible(text: str) -> str:
    r"""Write out whatever in a text acts on a terminal, turns the reading, or cannot be seen.

    It is for what somebody is to decide about: nothing is left out, each such character is there
    as its escape, like ``\u202e``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join([one if _seen(one) else _escape(one) for one in text])


def _seen(one: str) -> bool:
    if _UNSEEN.match(one):
        return False
    return one.isprintable() or one in _SHOWN_AS_THEY_ARE or unicodedata.category(one) == "Zs"


def _escape(one: str) -> str:
    code = ord(one)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Live:
    """Shows a stream of bytes line by line while it comes, in bounded memory.

    Args:
        context: Who shows it.
        stream: ``out`` or ``err``.
        most: How many bytes are shown; then it says so and is silent.
    """

    def __init__(self, context: Context, stream: str, most: int) -> None:
        self._context = context
        self._stream = stream
        self._left = most
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes) -> None:
        """Show what is complete."""
        if self._left < 0:
            return
        cut = len(data) > self._left
        text = self._pending + self._decoder.decode(data[: self._left] if cut else data)
        self._left -= len(data)
        lines, newline, pending = text.rpartition("\n")
        if newline:
            self._emit(plain(lines) + "\n")
        if "\r" in pending:
            # Of a progress bar only the last state counts; a return at the end may begin a newline.
            last = pending.rstrip("\r")
            pending = last.rpartition("\r")[2] + pending[len(last) : len(last) + 1]
        if len(pending) > _UNSHOWN:
            unfinished = _UNFINISHED.search(pending, len(pending) - 256)
            end = unfinished.start() if unfinished else len(pending)
            self._emit(plain(pending[:end]))
            pending = pending[end:]
        self._pending = pending
        if cut:
            self.end()
            self._emit("… more is not shown\n")

    def end(self) -> None:
        """Show the rest."""
        rest = self._pending + self._decoder.decode(b"", True)
        self._pending = ""
        if rest:
            self._emit(plain(rest))

    def _emit(self, text: str) -> None:
        if text:
            self._context.emit(text, self._stream)
