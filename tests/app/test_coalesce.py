"""How a model's text is cut into pieces that are worth showing."""

import re
import unicodedata
from itertools import accumulate, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hocket.app.coalesce import PATIENCE, Coalescer
from hocket.core.values import SECOND

MS = SECOND // 1000


def begun(text: str = "So") -> Coalescer:
    """A coalescer whose first text was given."""
    coalescer = Coalescer()
    assert coalescer.add(text + ".\n", 0) == text + ".\n"
    return coalescer


def pieces(coalescer: Coalescer, *texts: str) -> list[str]:
    """What is given at once, text by text, as no time passes."""
    return [coalescer.add(text, 0) for text in texts]


# -- when -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["I", "Hello", " The", "Well, then"])
def test_the_first_text_is_given_at_once(first: str) -> None:
    assert Coalescer().add(first, 0) == first


def test_then_text_waits_for_the_end_of_its_sentence() -> None:
    assert pieces(begun(), "It", " works", ". And", " so", " on") == ["", "", "It works.", "", ""]


@pytest.mark.parametrize("end", ["!", "?", "…", '."', ".)", "!**"])
def test_sentences_end_in_many_ways(end: str) -> None:
    assert begun().add(f"It works{end} And", 0) == f"It works{end}"


def test_a_sentence_in_chinese_needs_no_space_behind_it() -> None:
    assert begun().add("你好。再见", 0) == "你好。"


def test_a_line_ends_a_sentence() -> None:
    assert begun().add("- one\n- two", 0) == "- one\n"


@pytest.mark.parametrize("text", ["3.14 is", "e.g is", "a.b.c", "wait..."])
def test_a_dot_within_a_word_ends_no_sentence(text: str) -> None:
    assert begun().add(text, 0) == ""


def test_text_waits_fifty_milliseconds_at_most() -> None:
    coalescer = begun()
    assert coalescer.due is None
    assert coalescer.add("It goes on", 7 * MS) == ""
    assert coalescer.due == 57 * MS
    assert coalescer.add(" and on", 30 * MS) == ""
    assert coalescer.wake(57 * MS - 1) == ""
    assert coalescer.wake(57 * MS) == "It goes on and o"
    assert coalescer.due is None


def test_text_that_comes_when_its_time_is_over_takes_the_rest_along() -> None:
    coalescer = begun()
    coalescer.add("one", 0)
    assert coalescer.add(" two", PATIENCE) == "one tw"


def test_the_end_gives_the_rest() -> None:
    coalescer = begun()
    coalescer.add("and the rest", 0)
    assert coalescer.end() == "and the rest"
    assert (coalescer.end(), coalescer.due) == ("", None)


# -- code -----------------------------------------------------------------------------------

CODE = "```python\nprint(1)\n\nprint(2)\n```\n"


def test_a_code_block_is_given_as_a_whole_however_long_it_takes() -> None:
    coalescer = begun()
    for n, char in enumerate("Look:\n" + CODE[:-1]):
        given = coalescer.add(char, n * SECOND) + coalescer.wake(n * SECOND + PATIENCE)
        assert not given or given in "Look:\n"
    assert coalescer.due is None
    assert coalescer.add("\n", 99 * SECOND) == CODE


def test_a_code_block_that_comes_first_is_kept_whole_too() -> None:
    assert pieces(Coalescer(), "``", "`\nx", " = 1\n", "```", "\nDone") == [
        "",
        "",
        "",
        "",
        "```\nx = 1\n```\nDone",
    ]


def test_text_before_a_block_is_not_held_up_by_it() -> None:
    coalescer = begun()
    assert coalescer.add("See here\n```py\nx", 0) == "See here\n"
    assert coalescer.due is None


def test_an_unclosed_block_is_given_at_the_end() -> None:
    coalescer = begun()
    coalescer.add("```\nx = 1\n", 0)
    assert coalescer.end() == "```\nx = 1\n"


@pytest.mark.parametrize(
    "block",
    [
        "~~~\n```\n~~~\n",
        "````\n```\n````\n",
        "```\n``\n`` ```\n```\n",
        "1. so\n   ```sh\n   ls\n   ```\n",
        "> ```\n> x\n> ```\n",
    ],
)
def test_fences_are_closed_by_their_like(block: str) -> None:
    coalescer = begun()
    given = "".join(coalescer.add(char, n * SECOND) for n, char in enumerate(block[:-1]))
    assert "\n" not in given.removeprefix("1. so\n")
    assert (given + coalescer.add("\n", 0)).endswith(block.removeprefix("1. so\n"))


@pytest.mark.parametrize("line", ["`x` is. So", "``` x ``` is. So", "``x`` is. So", "~~no~~. So"])
def test_code_within_a_line_is_text(line: str) -> None:
    assert begun().add(line, 0) == line.removesuffix(" So")


# -- characters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "character",
    [
        "é",
        "👩‍👩‍👧",
        "👍🏽",
        "🇩🇪",
        "1️⃣",
        "क्षि",
        "각",
        "\r\n",
        "🏴\U000e0067\U000e0062\U000e007f",
    ],
)
def test_a_character_is_never_cut(character: str) -> None:
    coalescer = begun()
    given = []
    for n, point in enumerate("ab" + character + "cd"):
        given += [coalescer.add(point, n * SECOND), coalescer.wake(n * SECOND + PATIENCE)]
    given.append(coalescer.end())
    assert "".join(given) == "ab" + character + "cd"
    assert sum(character in piece for piece in given) == 1


def test_the_halves_of_a_character_are_put_together() -> None:
    coalescer = begun()
    assert pieces(coalescer, "so \ud83d", "\ude00 it. Is") == ["", "so 😀 it."]
    assert coalescer.end() == " Is"


def test_half_a_character_alone_is_shown_as_broken() -> None:
    coalescer = begun()
    coalescer.add("so \ud83d", 0)
    assert coalescer.end() == "so \ufffd"


def test_the_first_text_is_not_cut_either_where_that_is_likely() -> None:
    assert Coalescer().add("1", 0) == ""
    assert Coalescer().add("👩", 0) == ""
    assert Coalescer().add("你好", 0) == "你"


# -- always ---------------------------------------------------------------------------------

PARTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            "```",
            "```\n",
            "~~~",
            "\n",
            "`",
            "x. ",
            "e",
            "\u0301",
            "👩",
            "\u200d",
            "👧",
            "🇩",
            "🇪",
            "\r",
        ]
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(PARTS, st.integers(0, 80)), max_size=25))
@example([("```", 0), ("`\n", 0), ("x\n", 0), ("````", 60), ("\n", 60)])
def test_nothing_is_lost_added_or_cut_within_a_character(parts: list[tuple[str, int]]) -> None:
    coalescer, at, given = Coalescer(), 0, list[str]()
    for text, wait in parts:
        given.append(coalescer.add(text, at))
        at += wait * MS
        given.append(coalescer.wake(at))
        assert coalescer.due is None or coalescer.due > at
    given.append(coalescer.end())
    assert "".join(given) == "".join(text for text, _ in parts)
    shown = [piece for piece in given if piece]
    for left, right in pairwise(shown[1:]):
        assert unicodedata.category(right[0])[0] != "M" or left.endswith("\n")
        assert not left.endswith("\u200d")
        assert (left[-1], right[0]) != ("\r", "\n")
    ends = set(accumulate(map(len, given)))
    for begin, end in blocks("".join(given)):
        assert not any(begin < place < end for place in ends)


def blocks(text: str) -> list[tuple[int, int]]:
    """Where the code blocks of a text begin and end, found in another way."""
    found: list[tuple[int, int]] = []
    fence, begin, place = "", 0, 0
    for line in text.split("\n"):
        ended = min(place + len(line) + 1, len(text))
        if not fence and (opened := re.match(r"[ \t>]*(```+)[^`]*$|[ \t>]*(~~~+).*$", line, re.S)):
            fence, begin = opened[1] or opened[2], place
        elif fence and re.fullmatch(rf"[ \t>]*{fence}{fence[0]}*\s*", line):
            found.append((begin, ended))
            fence = ""
        place = ended
    return found
