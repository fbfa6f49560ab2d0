"""A page that shows what one run printed holds for another run, and only for one like it."""

from __future__ import annotations

import re

import pytest
from tests.docs.masks import MASKED, differences
from tests.docs.pages import blocks, commands

SHOWN = """\
run mine (digest): succeeded, 10.0 s

54 % of 10 s went to waiting for reader's 4 requests in 4s
  r  rate limit reader   5.407 s   53.9 %
     the run            10.031 s  100.0 %
  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr████████████████
    12  19:27:54.796  related#1 was in flight when its process died
  useful  reader  12  $0.12
"""
OTHER_RUN = """\
run mine (digest): succeeded, 1 m 02 s

7 % of 1 m 02 s went to waiting for reader's 4 requests in 4s
  r  rate limit reader  900 ms   6.9 %
     the run            1 m 2 s  100 %
  rrrr████████████████████████████████████████████████████████
     9  07:00:01.001  related#1 was in flight when its process died
  useful  reader  12  $0.12
"""


def test_times_shares_pictures_and_the_numbers_of_events_may_differ() -> None:
    assert differences(SHOWN.splitlines(), ["", OTHER_RUN]) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("succeeded", "failed"),
        ("4 requests", "5 requests"),
        ("reader  12", "reader  11"),
        ("$0.12", "$0.11"),
        ("related#1", "related#2"),
        ("  useful  reader  12  $0.12\n", ""),
    ],
)
def test_words_counts_and_money_may_not(old: str, new: str) -> None:
    told = differences(SHOWN.splitlines(), [OTHER_RUN.replace(old, new)])
    (missing,) = [line for line in told.splitlines() if re.match(r"-(?!--)", line)]
    assert old.rsplit(maxsplit=1)[-1] in missing
    assert "--- the page shows\n+++ it prints\n" in told


def test_the_likeliest_of_the_outputs_is_told() -> None:
    told = differences(["one", "two"], ["quite else", "one\ntoo"])
    assert told.splitlines()[-2:] == ["-two", "+too"]


@pytest.mark.parametrize("page", MASKED, ids=lambda page: page.name)
def test_a_page_that_shows_what_it_saw_leaves_nothing_out(page: object) -> None:
    shown = [
        line
        for block in blocks(page)  # type: ignore[arg-type]
        if block.language == "console"
        for command in commands(block)
        for line in command.printed
    ]
    assert [line for line in shown if line.strip() == "..." or " ... " in line] == []
