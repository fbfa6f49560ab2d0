"""Teams on a real pseudo-terminal: who is at what, how it ends, and that nothing stays behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from tests.cli.kit import Home
from tests.cli.teams import fails, judge, says, voter, write_agents
from tests.cli.terminal import Terminal

WAITS = {"command": ["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; echo slow answer"]}


@pytest.fixture
def home(home: Home) -> Iterator[Home]:
    one = voter("A table.", "A", concurrency=1, after="1s")
    more = {"slow": WAITS, "one": one, "odd": fails("no such model")}
    write_agents(home, **more)
    yield home


def longest(terminal: Terminal) -> int:
    """Give the length of the longest line that was drawn."""
    lines = re.split(r"\x1b\[[0-9;?]*[A-LS-Z]|[\r\n]+", terminal.text)
    return max(len(re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", line)) for line in lines)


def test_each_member_has_a_line_that_says_how_it_stands(
    home: Home, terminals: list[Terminal]
) -> None:
    agents = "flash,one*2,odd,slow"
    terminals.append(terminal := Terminal(home, "ask", "Which?", "--agents", agents, "--id", "r"))
    terminal.shows("ask consensus · ")
    terminal.shows("●  one-1")
    terminal.shows("answering: waits for a slot of one")
    terminal.shows("✗  odd")
    terminal.shows("failed: no such model")
    terminal.shows("3 of 5 answers")
    assert re.search(r"[A-E]  flash +answered", terminal.plain)
    home.file("go").touch()
    terminal.shows("voted → A")
    assert re.search(r"A \d ██", terminal.plain)
    assert terminal.ended() == 0
    # What is left is what the team has come to, the table, and the answer.
    terminal.shows("ask: consensus decided in ")
    assert re.search(r"the answer of [\w-]+ stands \(A\)", terminal.plain)
    rest = terminal.plain[terminal.plain.index("  WHO") :]
    assert re.search(r"^  odd +failed +no such model", rest, re.M)
    assert "answering" not in rest and "waits for" not in rest
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_is_broader_than_the_terminal(
    home: Home, terminals: list[Terminal], columns: int
) -> None:
    long, slow = voter("x" * 500, "A", after="200ms"), voter("y", "A", after="1s")
    write_agents(home, long=long, slow=slow)
    agents = "flash*2,long,slow"
    terminal = Terminal(home, "ask", "Which?", "--agents", agents, "--id", "r", columns=columns)
    terminals.append(terminal)
    terminal.shows("3 of 4 answers")
    assert terminal.ended() == 0
    # The lines that close a run have commands in them, and the answer comes as it is.
    terminal.text = terminal.text[: terminal.text.index("run r succeeded")]
    assert longest(terminal) <= columns


def test_many_teams_have_a_line_each(home: Home, terminals: list[Terminal]) -> None:
    write_agents(home, fan=judge("approve"), slow=WAITS)
    home.put(
        "many.yaml",
        "version: 1\n"
        "agents: {slow: {command: [sh, -c, 'while [ ! -e go ]; do sleep 0.02; done; echo x']}}\n"
        "plans: {p: {steps: {code: {each: '[1,2,3,4,5,6,7,8,9]', agent: slow, "
        "prompt: x, review: {by: [slow], swarm: 2}}}}}\n",
    )
    terminals.append(
        terminal := Terminal(home, "run", "many.yaml", "--id", "r", "--max-parallel", "3", rows=16)
    )
    terminal.shows("code/0 review · 1 in flight")
    terminal.shows("code/4 review · 1 waiting")
    terminal.shows("calls wait for a slot of slow")
    home.hocket("cancel", "r", "--now")
    assert terminal.ended() == 1


def test_ctrl_c_twice_keeps_what_there_is_and_leaves_nothing_behind(
    home: Home, terminals: list[Terminal]
) -> None:
    terminals.append(
        terminal := Terminal(home, "ask", "Which?", "--agents", "flash,slow", "--id", "r")
    )
    terminal.shows("1 of 2 answers")
    terminal.press("\x03")
    terminal.shows("pausing: calls in flight may finish; Ctrl-C again cancels the run")
    terminal.press("\x03")
    assert terminal.ended() == 130
    assert re.search(r"^  flash +[AB] +0", terminal.plain, re.M)
    assert "run r cancelled" in terminal.plain
    assert "ask: consensus was cut short: 1 answer" in home.ok("show", "r").out


def test_a_reply_is_shown_as_it_comes(home: Home, terminals: list[Terminal]) -> None:
    words = "One sentence is said. Another one is not yet."
    write_agents(home, coach=says(words, after="3s", stream=True))
    args = ("panel", "Help", "--agents", "memory,mood", "--synthesis", "coach")
    terminals.append(terminal := Terminal(home, *args))
    terminal.shows("│ One sentence is said.")
    assert terminal.process.poll() is None
    assert "not yet." not in terminal.plain
    assert terminal.ended() == 0
    assert terminal.plain.rstrip().endswith(words)


def test_what_an_agent_says_cannot_steer_the_terminal(
    home: Home, terminals: list[Terminal]
) -> None:
    write_agents(home, flash=voter("\x1b[2J\x1b]0;owned\x07red", "A"))
    terminals.append(terminal := Terminal(home, "ask", "Which?", "--agents", "flash*2"))
    assert terminal.ended() == 0
    assert "\x1b[2J" not in terminal.text and "owned" not in terminal.text


def test_a_tool_that_waits_for_approval_is_approved_by_a_key(
    home: Home, terminals: list[Terminal]
) -> None:
    home.put(
        "dig.yaml",
        "version: 1\n"
        "tools: {look: {command: [echo, found], about: Look., args: {}, approve: true}}\n"
        "agents: {digger: {tools: [look], scripted: {replies: [\n"
        "  {calls: [{name: look, args: {}}], after: 300ms}, {output: Gold.}]}}}\n"
        "plans: {p: {steps: {dig: {agent: digger, prompt: Dig.}}}}\n",
    )
    terminals.append(terminal := Terminal(home, "run", "dig.yaml", "--id", "r"))
    terminal.shows("digger  calls look: waits for a person")
    terminal.shows("dig/look/0 waits for you: press y to approve")
    while terminal.process.poll() is None and "approval_given" not in home.kinds():
        terminal.press("y")
        time.sleep(0.1)
    assert terminal.ended() == 0
    assert terminal.plain.rstrip().endswith("Gold.")
