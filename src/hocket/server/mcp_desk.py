"""What the tools of the MCP server share: the runs of one host, and how to wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from hocket.app.host import Host
from hocket.app.load import load_file
from hocket.app.questions import open_questions
from hocket.app.state import find_run
from hocket.config.file import Loaded
from hocket.config.models import LocalAgent, ModelAgent, ScriptedAgent
from hocket.core.errors import NotFound, Refused, suggest
from hocket.core.events import ENDED, ApprovalAsked, InputAsked
from hocket.core.run import RunMachine
from hocket.insight.tally import Tally
from hocket.journal.base import Journal
from hocket.journal.slices import aside
from hocket.report.story import Story
from hocket.server.routing import Caller

LONGEST: Final = 50.0
"""The longest that a tool waits, in seconds; many clients give a call up after a minute."""

_FIRST: Final = 0.02
_LAST: Final = 0.5
_NEWS: Final = 20

Explainer: TypeAlias = Callable[[str], Awaitable[dict[str, Any]]]
"""Gives the document of ``hocket explain RUN --json``."""
Progress: TypeAlias = Callable[[int, int, str], Awaitable[None]]
"""Is told how many steps are done, of how many, and what happens."""


Door: TypeAlias = Callable[[Caller, str], None]
"""Lets a caller act by a tool.

Raises:
    CallerError: The caller may only look, or acts too often.
"""


def _open(caller: Caller, tool: str) -> None:
    """Let everybody act."""


class Glance(NamedTuple):
    """A run as it stands.

    Fields:
        machine: Its state; only to be read.
        tally: What it has spent.
        seq: The number of its last event.
        asked: What people are asked.
        here: Whether it is driven in this process.
        alive: Whether any process drives it.
    """

    machine: RunMachine
    tally: Tally
    seq: int
    asked: list[ApprovalAsked | InputAsked]
    here: bool
    alive: bool

    @property
    def settled(self) -> bool:
        """Whether nothing happens of itself: it has ended, is paused, or nobody drives it.

        What has ended here has not done so before all of it is on disk.
        """
        return self.machine.paused or not self.alive


class Desk:
    """The runs of one host, as the tools of an MCP server look at them.

    Args:
        host: Who drives runs, and knows the operator's files.
        explainer: Explains a run without holding up the loop.
        by: Who asks, where no request says so.
        door: Lets a caller act by a tool, or raises; whoever has started the process may.
    """

    def __init__(self, host: Host, explainer: Explainer, by: str, door: Door = _open) -> None:
        self.host: Final = host
        self.explainer: Final = explainer
        self.by: Final = by
        self.door: Final = door

    async def meant(self, given: str) -> str:
        """Give the id of the run that is meant; see `find_run`.

        Raises:
            NotFound: No run is meant, or several could be.
            JournalError: The journal cannot be read.
        """
        journal = self.host.engine.journal
        return await aside(journal, partial(find_run, journal, given))

    async def glance(self, run: str, before: Glance | None = None) -> Glance:
        """Look at a run.

        Args:
            run: The run.
            before: What was seen of it last, which saves work if nothing has happened since.

        Raises:
            NotFound: No such run.
            JournalError: It cannot be read.
        """
        row = await asyncio.to_thread(self.host.row, run)
        driven = self.host.driven(run)
        if driven is not None:
            machine, tally = driven.machine, driven.tally
        elif before is not None and not before.here and before.seq == row.events:
            return before._replace(alive=row.alive)
        else:
            # To fold a long run takes a while.
            machine, tally = await asyncio.to_thread(self.host.engine.look, run)
        asked = list(open_questions(machine).values())
        here = driven is not None
        return Glance(machine, tally, row.events, asked, here, here or row.alive)

    async def settle(self, run: str, wait: float, progress: Progress, after: int = 0) -> Glance:
        """Wait until a run needs somebody, has ended, has news, or time is up; then look at it.

        Args:
            run: The run.
            wait: The longest wait in seconds.
            progress: Is told while it goes on.
            after: The number of the last event that the asker knows; 0 for not to wait for news.

        Raises:
            NotFound: No such run.
            JournalError: It cannot be read.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + min(wait, LONGEST)
        pause, told = _FIRST, (-1, "")
        found, known = None, after
        while True:
            found = await self.glance(run, found)
            done, total, said = _stand(found.machine)
            if (done, said) != told:
                told = (done, said)
                await progress(done, total, said)
            if found.settled or found.asked or loop.time() >= until:
                return found
            if after and found.seq > known:
                if (await self.news(run, after))[0]:
                    return found
                known = found.seq
            await asyncio.sleep(min(pause, max(0.0, until - loop.time())))
            pause = min(pause * 1.5, _LAST)

    async def news(self, run: str, after: int) -> tuple[list[str], int]:
        """Tell in lines what has mattered in a run since an event, and give the last one's number.

        Raises:
            NotFound: No such run.
            JournalError: It cannot be read.
        """
        # All that has happened since is decoded, which takes a while.
        return await asyncio.to_thread(_news, self.host.engine.journal, run, after)

    def loaded(self, agents: str = "") -> tuple[str, Loaded]:
        """Give the offered file that has these agents, and its name; without any the first.

        Raises:
            Refused: There is no file.
            NotFound: No file has them all.
            SpecError: It has mistakes.
        """
        paths = {offer.file: offer.path for offer in self.host.offers()}
        if not paths:
            raise Refused("the operator has offered no file: hocket mcp FILE, or hocket serve FILE")
        found = {name: load_file(path) for name, path in paths.items()}
        wanted = [name.partition("*")[0].strip() for name in agents.split(",") if name.strip()]
        for name, one in found.items():
            if all(agent in one.file.agents for agent in wanted):
                return name, one
        known = sorted({agent for one in found.values() for agent in one.file.agents})
        missing = [agent for agent in wanted if agent not in known]
        if not missing:
            raise NotFound(f"no one file of the operator's has all of {', '.join(wanted)}")
        hint = suggest(missing[0], known) or f"there are {', '.join(known) or 'none'}"
        raise NotFound(f"the operator's files have no agent {missing[0]!r}; {hint}")


def speakers(loaded: Loaded) -> list[str]:
    """Name the agents of a file that can be asked something."""
    kinds = (ModelAgent, LocalAgent, ScriptedAgent)
    return [name for name, about in loaded.file.agents.items() if isinstance(about, kinds)]


def ended(status: str) -> bool:
    """Tell whether a run of this status is over."""
    return status in ENDED


def _news(journal: Journal, run: str, after: int) -> tuple[list[str], int]:
    story, lines, last = Story(), [], after
    for recorded in journal.read(run, after):
        last = recorded.seq
        line = story.tell(recorded.event)
        if line:
            lines.append(line)
    return lines[-_NEWS:], last


def _stand(machine: RunMachine) -> tuple[int, int, str]:
    """Give how many steps are done, how many there are, and how that is said."""
    counts = machine.counts()
    total = sum(counts.values())
    done = sum(
        n for status, n in counts.items() if status not in {"pending", "running", "waiting", "held"}
    )
    return done, total, f"{machine.said}: {done} of {total} steps"
