"""Texts that views share: what nobody can see is seen where somebody decides, and money."""

from __future__ import annotations

import pytest

from hocket.agents.terminal import visible
from hocket.app.preview import Preview, diff_in
from hocket.cli.asked import asked_lines, list_lines
from hocket.cli.live import LiveDisplay
from hocket.config.limit_names import limits_name
from hocket.core.events import ApprovalAsked, CallStarted, LimitChanged, Wait
from hocket.core.values import SECOND, Call
from hocket.report.story import Story
from hocket.report.text import cause_words, clean, dollars, one_line
from hocket.server.mcp_replies import asked_words, question

TURNS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
UNSEEN = [*range(0x200B, 0x200E), 0x00AD, 0x2060, 0xFEFF, 0x3164, 0xFE0F, 0xE0041, 0x2028, 0x0085]


@pytest.mark.parametrize("code", [*TURNS, *UNSEEN, 0x1B, 0x0D, 0x08, 0x00])
def test_what_cannot_be_seen_is_written_out_where_somebody_decides(code: int) -> None:
    escape = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    assert visible(f"rm {chr(code)}x\n\t") == f"rm {escape}x\n\t"
    assert visible(visible(chr(code))) == visible(chr(code))


@pytest.mark.parametrize("code", TURNS)
def test_nothing_turns_the_reading_elsewhere(code: int) -> None:
    assert clean(f"a{chr(code)}b") == one_line(f"a{chr(code)}b") == "ab"


def test_texts_of_all_writings_stay_as_they_are() -> None:
    text = "naïve – “ça va\u00a0?” 漢字\u3000 🙂 \\u202e"
    assert visible(text) == text


def test_a_question_shows_each_character_of_it_and_of_its_diff() -> None:
    diff = "--- a\n+++ b\n@@ -1 +1 @@\n-old\r\n+new\u202eevil\u2028x\r"
    text = f'runs ["rm","\u202egpj.exe"]\n{diff}\n'
    assert diff_in(text) == diff
    asked = Preview(
        run="r",
        name="p",
        path="ship",
        kind="approve",
        shown=text,
        digest="",
        asked_at=0,
        expires=None,
        on_timeout="pause",
    )
    shown = list(asked_lines(asked, 0, colour=False))
    assert shown[0] == 'runs ["rm","\\u202egpj.exe"]'
    assert shown[-2:] == ["-old\\u000d", "+new\\u202eevil\\u2028x\\u000d"]
    assert "\\u202egpj" in list_lines([asked], 0)[1]


def test_pictures_and_clients_show_the_same() -> None:
    asked = ApprovalAsked(at=0, path="ship", shown="rm \u202egpj.exe", digest="d")
    display = LiveDisplay()
    told: list[str] = []
    display.say = lambda text, style="": told.append(text)  # type: ignore[method-assign]
    display.show_asked(asked)
    assert told == ["  │ rm \\u202egpj.exe"]
    assert asked_words(asked) == question("r", asked).shown == "rm \\u202egpj.exe"


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "unpriced"),
        (0, "$0.00"),
        (7 * 10**11, "$0.70"),
        (65 * 10**10, "$0.65"),
        (4_200 * 10**6, "$0.0042"),
        (123_456 * 10**6, "$0.123456"),
        (10 * 10**9, "$0.01"),
        (1_250 * 10**9, "$1.25"),
        (1, "$0.00"),
    ],
)
def test_money_has_two_digits_at_least(cost: int | None, text: str) -> None:
    assert dollars(cost) == text


def test_a_wait_names_its_limit_by_whoever_states_it_and_once() -> None:
    own = limits_name("agent", "asker", "/a/long/way/to/hocket.yaml")
    assert cause_words(f"rate:{own}") == "room in the rate of asker"
    waits = tuple(Wait(f"rate:{own}", since * SECOND, (since + 2) * SECOND) for since in (0, 3))
    started = CallStarted(at=5 * SECOND, call=Call("q/6", 1), agent="asker", waits=waits)
    told = "q/6#1 started (asker, waited 4.0 s for room in the rate of asker)"
    assert Story().tell(started) == told
    changed = LimitChanged(at=1, limit=own, what="narrowed", message=f"{own} narrowed to 2")
    assert Story().tell(changed) == "asker narrowed to 2"
