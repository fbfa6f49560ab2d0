"""A run as every explanation reads it: what was done, since when, after what, and what held it up.

A trace is folded from the events of a run (`hocket.insight.fold`), or read from the log of another
program (`hocket.insight.logs`).
What a source does not tell is left out and named in `Trace.missing`; nothing is made up.
All instants and durations are integers of nanoseconds.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.events import Usage, Wait
from hocket.core.reports import Fate, Report
from hocket.core.specs import LimitSpec, RunSpec

Work: TypeAlias = Literal["model", "tool", "approval", "input", "person", "timer"]
"""Who or what is at work in an activity.

model: a model.
tool: a function, a command, a tool of a model.
approval, input: a person who was asked.
person: nobody was asked, and the run stood until a person asked for a retry, say.
timer: nothing but a time limit of the workflow.
"""

START: Final = -1
"""The index that stands for the beginning of the run."""


class Activity(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One call, or one wait for a person or a timer.

    Fields:
        path: Where in the run; for another program's log, the names of the spans above and its own.
        attempt: Which call at that path, from 1; 0 for what a person or a timer let stand there.
        step: The step that it is of.
        agent: Who did it; "" if nobody.
        model: Which model, if it is known.
        work: What was at work.
        asked: Since when it could have run, but for back-off and limits.
        began: When it left, or when the person was asked.
        ended: When it ended, or None if it had not by the end of the trace.
        waits: What held it up between `asked` and `began`.
        fate: What became of it; "" while it is under way.
        how: The kind of its fault, ``timeout``, ``stop``, ``hedge`` and so on; "" if it gave
            something.
        usage: What it spent; None if the source does not say.
        cached: Whether its answer was kept from an earlier call, and it was never made.
        hedge: Whether it was a second call beside one that was late.
        left: Whether it left; if not, it waits still, was taken back, or could not be asked.
        after: The index of the activity that made it possible to ask for it: the last of `needs`.
            What was still under way then was not waited for to its end: a timer had come.
        needs: The indices of all that it is known to have waited for.
        team: The path of the team that it is of, or "".
        claims: The limits of which it took units, by name.
        asks: A name for what was asked; equal names for equal questions; "" if unknown.
        events: Where the facts stand: sequence numbers of events, or lines of a log.
    """

    path: str
    attempt: int = 1
    step: str = ""
    agent: str = ""
    model: str = ""
    work: Work = "model"
    asked: int = 0
    began: int = 0
    ended: int | None = None
    waits: tuple[Wait, ...] = ()
    fate: Fate | Literal[""] = ""
    how: str = ""
    usage: Usage | None = None
    cached: bool = False
    hedge: bool = False
    left: bool = True
    after: int = START
    needs: tuple[int, ...] = ()
    team: str = ""
    claims: tuple[str, ...] = ()
    asks: str = ""
    events: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The call's name."""
        return f"{self.path}#{self.attempt}"


class Stop(msgspec.Struct, frozen=True, gc=False):
    """A stretch in which the run as a whole stood still, but for calls that were in flight.

    Fields:
        kind: ``pause``: a person or a rule had asked for it. ``budget``: what was to be spent had
            been. ``down``: nothing is recorded of it; the process that drove the run ended in it.
        since: When it began; of a process that ended, the last fact that it left.
        until: When it ended.
        events: Where the facts stand.
        detail: Which budget; "" for the others.
    """

    kind: Literal["pause", "budget", "down"]
    since: int
    until: int
    events: tuple[int, ...] = ()
    detail: str = ""


class Change(msgspec.Struct, frozen=True, gc=False):
    """A limit that was closed, narrowed, widened or tripped under way.

    Fields:
        at: When.
        limit: Which.
        what: As in `hocket.core.events.LimitChanged`.
        until: When that ends, if it is known.
        event: Where the fact stands.
    """

    at: int
    limit: str
    what: str
    until: int | None
    event: int


class Disagreement(msgspec.Struct, frozen=True):
    """A place where a log and another record of the same run say different things.

    Fields:
        what: What both speak of.
        log: What the log says; "nothing" if it does not.
        truth: What the other record says.
    """

    what: str
    log: str
    truth: str


class Trace(msgspec.Struct, kw_only=True):
    """A run, or as much of it as there is yet.

    Fields:
        run: Its id, or a name for the log.
        name: What people call what it did.
        source: Who wrote it down: ``hocket``, ``massgen 0.1.97``, ``otlp``, ``chrome``.
        began: When it began.
        ended: When it ended, or the last instant that is known.
        status: ``succeeded``, ``failed``, ``cancelled``, ``running``, ``paused``, ``stopped
            (resumable)`` if no process drives it any more, ``cut off`` if its log ends in the
            middle, or "" if the source does not say.
        activities: What was done, in the order in which it was asked for.
        finish: The index of the activity whose end let the run end; `START` if there is none.
            Of a run that a person or a time limit has ended, and of one under way, what was being
            waited for since longest.
        landed: The index of the activity that had to be stopped or to end after that, before the
            run could end; `START` if nothing had to.
        tail: Whose time it was after all that, as far as another program's log tells.
        stops: When it stood still, in order, without overlaps.
        changes: What happened to limits, in order.
        limits: The bounds that held, by name; nothing is known of those that are not there.
        max_parallel: The most calls at once; None if there is no such bound.
        spec: What was to be done; None for another program's run.
        reports: What teams did, by the path of their steps.
        evidence: What `events` of activities and findings count: ``event``, ``line`` or ``record``.
        inferred: Whether what came after what was worked out from instants, and not recorded.
        missing: What the source does not tell, a sentence each.
        disagreements: Where the source and another record differ.
    """

    run: str
    name: str
    source: str = "hocket"
    began: int = 0
    ended: int = 0
    status: str = ""
    activities: list[Activity] = []
    finish: int = START
    landed: int = START
    tail: tuple[Wait, ...] = ()
    stops: list[Stop] = []
    changes: list[Change] = []
    limits: dict[str, LimitSpec] = {}
    max_parallel: int | None = None
    spec: RunSpec | None = None
    reports: dict[str, Report] = {}
    evidence: Literal["event", "line", "record"] = "event"
    inferred: bool = False
    missing: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def under_way(self) -> bool:
        """Whether more of it may come."""
        return self.status in ("running", "paused", "stopped (resumable)")

    @property
    def took(self) -> int:
        """How long it took, or has taken so far."""
        return self.ended - self.began
