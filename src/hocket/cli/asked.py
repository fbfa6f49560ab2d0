"""How a question is shown at the terminal before somebody decides about it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hocket.agents.terminal import visible
from hocket.app.preview import Preview
from hocket.core.values import SECOND, format_duration
from hocket.report.text import dollars, one_line, table

_decoder = json.JSONDecoder()
_COLOURS = (("+++", "1"), ("---", "1"), ("@@", "36"), ("+", "32"), ("-", "31"))
_THEN = {
    "pause": "then the run is paused and can be resumed",
    "reject": "then it counts as rejected",
    "approve": "then it counts as approved",
    "no": "then the call is told that nobody has answered",
}


def asked_lines(one: Preview, now: int, *, colour: bool, width: int = 100) -> Iterator[str]:
    """Say exactly what is asked, and what is known besides."""
    shown = visible(one.shown).rstrip("\n")
    diff = None if one.detail.diff is None else visible(one.detail.diff)
    if diff is not None and diff in shown:
        before, _, after = shown.partition(diff)
        yield from unfolded(before, width).splitlines()
        yield from _coloured(diff, colour)
        yield from unfolded(after.strip("\n"), width).splitlines()
    else:
        yield from unfolded(shown, width).split("\n")
        if diff is not None:
            yield "what a step before it has changed:"
            yield from _coloured(diff, colour)
    if besides := ", ".join(_besides(one, now)):
        yield f"({besides})"


def unfolded(text: str, width: int) -> str:
    """Write each list of texts that stands in a line longer than that with a line for each text.

    Nothing but line breaks and blanks between the texts is put in.
    """
    return "\n".join(line if len(line) <= width else _unfolded(line) for line in text.split("\n"))


def _unfolded(line: str) -> str:
    start = line.find('["')
    while start >= 0:
        try:
            texts, end = _decoder.raw_decode(line, start)
        except ValueError:
            texts, end = [], start + 1
        own = [json.dumps(text, ensure_ascii=False) for text in texts if isinstance(text, str)]
        if len(own) == len(texts) > 1 and f"[{','.join(own)}]" == line[start:end]:
            inner = ",\n".join(f"  {text}" for text in own)
            return f"{line[:start]}[\n{inner}\n]{_unfolded(line[end:])}"
        start = line.find('["', end)
    return line


def list_lines(found: list[Preview], now: int) -> list[str]:
    """Give a table of what waits."""
    rows = [
        [one.path, one_line(visible(one.shown), 60), _left(one, now) or "the run is paused for it"]
        for one in found
    ]
    return table(["WHAT", "SHOWS", "WAITS FOR"], rows)


def _besides(one: Preview, now: int) -> Iterator[str]:
    expected = one.detail.estimate
    if expected is not None:
        if expected.seconds is not None:
            yield f"takes about {format_duration(round(expected.seconds * SECOND))}"
        if expected.usd is not None:
            yield f"costs about {dollars(round(expected.usd * 10**12))}"
        if expected.calls is not None and expected.calls > 1:
            yield f"{expected.calls:,} calls"
    if left := _left(one, now):
        yield f"waits {left} more, {_THEN[one.on_timeout]}"


def _left(one: Preview, now: int) -> str:
    return "" if one.expires is None else format_duration(max(one.expires - now, 0))


def _coloured(diff: str, colour: bool) -> Iterator[str]:
    for line in diff.splitlines():
        code = next((code for head, code in _COLOURS if line.startswith(head)), "")
        yield f"\x1b[{code}m{line}\x1b[0m" if colour and code else line
