"""What a call says is printed by ``hocket logs RUN STEP --follow`` while the call goes on."""

import asyncio
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cli.kit import Home

from hocket.core import events as ev
from hocket.core.events import AnyEvent
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import Call
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal

SECONDS = 30.0
ONE, TWO, THREE = (Call(f"s/{item}", 1) for item in range(3))


class Driven:
    """A run that this process drives by hand."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal
        self._loop = asyncio.new_event_loop()
        spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
        first = ev.RunStarted(
            at=time.time_ns(),
            run="r",
            spec=spec,
            digest=spec_digest(spec),
            inputs={},
            seed=1,
            versions={"plan": 1},
            program="test",
        )
        self._log = self._loop.run_until_complete(journal.start(first))

    def record(self, *events: AnyEvent) -> None:
        """Append events, durably."""

        async def main() -> None:
            await self._log.durable(self._log.append(list(events)))

        self._loop.run_until_complete(main())

    def start(self, *calls: Call) -> None:
        self.record(*(ev.CallStarted(at=time.time_ns(), call=call, agent="a") for call in calls))

    def finish(self, call: Call, output: str = "the output") -> None:
        self.record(ev.CallFinished(at=time.time_ns(), call=call, output=output))

    def say(self, call: Call, data: bytes) -> None:
        self.journal.logs.write("r", call, data)

    def end(self) -> None:
        """Drive it no more."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._log.close())
            self._loop.close()
            self.journal.logs.close("r")
            self.journal.close()


class Follower:
    """A command that follows a log."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        self._child, self._out = child, child.stdout.fileno()
        self.said = b""

    def until(self, text: str) -> None:
        """Wait until it has printed exactly this."""
        until = time.monotonic() + SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while self.said != text.encode():
                left = until - time.monotonic()
                assert left > 0 and text.encode().startswith(self.said), (self.said, text)
                if selector.select(left):
                    data = os.read(self._out, 65_536)
                    assert data, (self.said, self._child.communicate())
                    self.said += data

    def rest(self) -> str:
        """Wait for its end; gives what it has printed since."""
        out, err = self._child.communicate(timeout=SECONDS)
        assert (self._child.returncode, err) == (0, "")
        return out


@pytest.fixture(params=["sqlite", "postgres"])
def driven(request: pytest.FixtureRequest, home: Home) -> Iterator[Driven]:
    if request.param == "sqlite":
        made = Driven(SqliteJournal(home.state))
    else:
        url = request.getfixturevalue("database")
        home.env["HOCKET_JOURNAL"] = url
        made = Driven(PostgresJournal(url))
    yield made
    made.end()


def test_lines_come_while_the_call_goes_on(driven: Driven, home: Home) -> None:
    driven.start(ONE)
    driven.say(ONE, b"one\n")
    follower = Follower(home.start("logs", "r", "s", "-f"))
    said = "== s/0#1\none\n"
    follower.until(said)
    # Nothing is recorded meanwhile, and no line need be whole, nor a character.
    for piece, shown in ((b"two\n", "two\n"), (b"thr", "thr"), (b"ee \xc3", "ee "), (b"\xbc", "ü")):
        driven.say(ONE, piece)
        said += shown
        follower.until(said)
    driven.finish(ONE)
    follower.until(f"{said}\n")
    driven.end()
    assert follower.rest() == ""


def test_lines_of_calls_beside_each_other_stay_whole(driven: Driven, home: Home) -> None:
    driven.start(ONE, TWO)
    follower = Follower(home.start("logs", "r", "s", "-f"))
    said = "== s/0#1\n== s/1#1\n"
    follower.until(said)
    driven.say(ONE, b"half a line of one")
    driven.say(TWO, b"two\n")
    said += "two\n"
    follower.until(said)
    driven.say(ONE, b", whole\nand more")
    said += "== s/0#1\nhalf a line of one, whole\n"
    follower.until(said)
    driven.finish(TWO)
    # Alone now, it need not keep to lines.
    said += "and more"
    follower.until(said)
    driven.finish(ONE)
    driven.end()
    assert follower.rest() == "\n"


def test_what_steers_a_terminal_does_not_pass_in_pieces(driven: Driven, home: Home) -> None:
    driven.start(ONE)
    follower = Follower(home.start("logs", "r", "s", "-f"))
    said = "== s/0#1\n"
    follower.until(said)
    driven.say(ONE, b"first\n\x1b[3")
    said += "first\n"
    follower.until(said)
    driven.say(ONE, b"1mred\x1b[0m\n10%\r20%\rdone\n")
    follower.until(f"{said}red\ndone\n")
    driven.end()
    assert follower.rest() == ""


def test_of_a_call_whose_process_died_all_is_printed_and_the_next_one_has_its_output(
    driven: Driven, home: Home
) -> None:
    driven.start(ONE, TWO, THREE)
    driven.say(ONE, b"so far")
    driven.say(TWO, b"half")
    driven.finish(THREE, "silent until its end")
    driven.end()
    said = "== s/0#1\nso far\n== s/1#1\n{}== s/2#1\nsilent until its end\n{}"
    # Who follows does not know that no more will come before the process is seen to be gone.
    assert home.ok("logs", "r", "s", "-f").out == said.format("", "== s/1#1\nhalf\n")
    assert home.ok("logs", "r", "s").out == said.format("half\n", "")
