"""What a person is shown of a program is what is run: the same words, the same input."""

import asyncio
from typing import Any

import pytest
from tests.agents.context import FakeContext

from hocket.agents.command import PROMPT, CommandOptions, _arguments
from hocket.core import shown

CASES: list[tuple[dict[str, Any], Any]] = [
    ({"command": ["echo", "a b"]}, {"args": ["x", "y\nz"], "stdin": "in"}),
    ({"command": ["echo"]}, {"args": [], "stdin": None}),
    ({"command": ["cat"]}, "the prompt"),
    ({"command": ["cat"]}, None),
    ({"command": ["claude", "-p", "--", PROMPT]}, "do it"),
    ({"command": ["claude", "--", PROMPT, "end"]}, {"args": ["more"], "stdin": "do it"}),
    ({"command": ["claude", "--", PROMPT]}, None),
    ({"command": 'echo "$1"', "shell": True}, {"args": ["x"], "stdin": "in"}),
]


@pytest.mark.parametrize(("options", "given"), CASES)
def test_what_is_shown_is_what_is_run(options: dict[str, Any], given: Any) -> None:
    assert shown.PROMPT == PROMPT
    run, stdin = asyncio.run(_arguments(given, CommandOptions(**options), FakeContext()))
    words, reads = shown.command_line(options, given)
    assert tuple(words) == run
    assert (None if reads is None else reads.encode()) == stdin
