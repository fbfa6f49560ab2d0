"""Who of a team has been asked what: the floor that a team's rules speak on.

What is asked of a member is one job, or a conversation if the member's agent has tools; the rules
of a team need not know which.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any, Final, Literal, Self, TypeAlias

import msgspec

from hocket.core.deadlines import Deadlines
from hocket.core.machine import Do, Drop, End, Halt, JobSpec, Landing, Move, Say
from hocket.core.reports import Fate, Row
from hocket.core.specs import AgentSpec, StepSpec
from hocket.core.teams import Tool
from hocket.core.values import Json
from hocket.workflows.books import Books, Entry
from hocket.workflows.conversation import Conversation
from hocket.workflows.jobs import job_of

_MODELS: Final = frozenset({"model", "local"})

Role: TypeAlias = Literal["member", "author", "guest"]
"""Whom the settings of the step are for.

member: the step's settings hold, and a command that is to give JSON is told to.
author: the step's own agent, which is asked just as it would be without a team.
guest: somebody else: the step's ``options`` and ``effects`` are not for it.
"""


class Prompt(msgspec.Struct, frozen=True):
    """What a member is asked, as text and as named values.

    Fields:
        text: For models, and for commands on standard input.
        fields: For functions: their arguments by name.
        raw: What is handed on as it is instead, to any agent but one in a conversation.
    """

    text: str
    fields: dict[str, Json]
    raw: Json = msgspec.UNSET


class Manner(msgspec.Struct, frozen=True):
    """How a member is asked.

    Fields:
        agents: The agent, then its fallbacks.
        schema: JSON Schema of what it is to give; None for text.
        options: Settings for models beside the step's own.
        tools: Whether it may call its tools.
        role: Whom the step's settings are for.
    """

    agents: tuple[str, ...]
    schema: Json
    options: dict[str, Json]
    tools: bool
    role: Role = "member"


class Asked:
    """A member who has been asked and has not answered yet.

    Attributes:
        manner: How.
        talk: The conversation, if it has tools.
        seen: What each call has seen, by its attempt; of a conversation its first turn, at 0.
        won: The attempt that has finished, or 0.
    """

    __slots__ = ("manner", "seen", "talk", "won")

    def __init__(self, manner: Manner, talk: Conversation | None) -> None:
        self.manner = manner
        self.talk = talk
        self.seen: dict[int, Json] = {}
        self.won = 0

    @property
    def view(self) -> Json:
        """What it had been shown when it gave what it gave.

        What a conversation was told later is put over what it saw first, where both are objects.
        """
        last: Json = next(reversed(self.seen.values()), None)
        view = self.seen.get(self.won, last)
        for mark in () if self.talk is None else self.talk.told:
            if isinstance(view, dict) and isinstance(mark, dict):
                view = {**view, **mark}
        return view

    def fork(self) -> Asked:
        """Copy it."""
        other = Asked(self.manner, None if self.talk is None else self.talk.fork())
        other.seen = self.seen.copy()
        other.won = self.won
        return other


class Floor:
    """What a team's rules say and hear through.

    Args:
        step: The step that the team does.
        agents: All agents of the run.

    Attributes:
        moves: What follows for the run.
        over: Whether it is decided or has failed.
        began: When it began.
        at: When anything last happened to it.
        closed: When it was decided or failed.
        outcome: How.
        rows: The coordination table.
        asked: Who has been asked and has not answered yet, by path.
        gave_up: Who has failed for good, by path.
        by: The agent that has given what was given, by path: a fallback may have taken over.
        books: What became of every call.
    """

    def __init__(self, step: StepSpec, agents: Mapping[str, AgentSpec]) -> None:
        self.step = step
        self.agents = agents
        self.moves: list[Move] = []
        self.over = False
        self.began = 0
        self.at = 0
        self.closed: int | None = None
        self.outcome: End | None = None
        self.rows: list[Row] = []
        self.asked: dict[str, Asked] = {}
        self.gave_up: dict[str, Asked] = {}
        self.by: dict[str, str] = {}
        self.books = Books()
        self._numbers: dict[str, int] = {}
        self._deadlines: Deadlines[tuple[str, int]] = Deadlines()
        self._due: dict[str, int] = {}

    # -- for the rules ----------------------------------------------------------------------

    def path_for(self, stem: str) -> str:
        """Give a path that was never used: ``stem``, then ``stem~2`` and so on."""
        number = self._numbers[stem] = self._numbers.get(stem, 0) + 1
        return stem if number == 1 else f"{stem}~{number}"

    def ask(
        self,
        path: str,
        agent: str,
        schema: Json,
        *,
        fallback: tuple[str, ...] = (),
        options: Mapping[str, Json] | None = None,
        tools: bool = True,
        role: Role = "member",
    ) -> None:
        """Ask an agent; the rules then hear what it gives, or that it gave up.

        Args:
            path: A fresh one, from `path_for`; "" if nobody else is ever asked.
            agent: Whom.
            schema: JSON Schema of what it is to give; None for text.
            fallback: Who is asked when it has used up its tries.
            options: Settings for models beside the step's own; others don't get them.
            tools: Whether the agent may call its tools.
            role: Whom the step's settings are for.
        """
        manner = Manner((agent, *fallback), schema, dict(options or {}), tools, role)
        job, spec = _job(self.step, self.agents, manner, path), self.agents[agent]
        if not job.tools:
            self.asked[path] = Asked(manner, None)
            self.moves.append(Do(path, job))
            return
        talk = Conversation(job, spec.tools, self.agents, spec.max_turns)
        self.asked[path] = Asked(manner, talk)
        talk.start()
        self.pull(path)

    def ask_again(self, path: str) -> None:
        """Ask one who gave up once more, at the same path; a conversation goes on where it was."""
        asked = self.asked[path] = self.gave_up.pop(path)
        if asked.talk is None:
            self.moves.append(Do(path, _job(self.step, self.agents, asked.manner, path)))
        else:
            # What was for nothing is what it goes on from.
            self.books.judge(path, "useful")
            asked.talk.again()
            self.pull(path)

    def drop(self, path: str) -> None:
        """Let go of a member who was asked; what it gives all the same is discarded."""
        self.moves.extend([Drop(job) for job in self.jobs_of(path)])
        del self.asked[path]

    def remind(self, name: str, at: int) -> None:
        """See to it that the rules are told when an instant has come.

        A later reminder of the same name replaces it.
        """
        self._due[name] = at
        self._deadlines.add(at, (name, at))

    def forget(self, name: str) -> None:
        """Take a reminder back."""
        self._due.pop(name, None)

    def row(self, at: int, member: str, what: str, detail: str = "", path: str = "") -> None:
        """Add a line to the coordination table."""
        self.rows.append(Row(at=at, member=member, what=what, detail=detail, path=path))

    def decide(self, output: Json, at: int) -> None:
        """Be over, with an output; whoever is still asked is let go."""
        self._close(End("succeeded", output=output), at)

    def fail(self, reason: str, at: int) -> None:
        """Be over, without an output."""
        self._close(End("failed", reason), at)

    # -- for the team -----------------------------------------------------------------------

    def jobs_of(self, path: str) -> list[str]:
        """Give the paths of the jobs of one who was asked."""
        talk = self.asked[path].talk
        return [path] if talk is None else [join(path, inner) for inner in talk.jobs()]

    def locate(self, path: str) -> tuple[str, str]:
        """Say whose a job's path is, and where within that conversation."""
        base, rest = path, ""
        while base and base not in self.asked:
            base, _, last = base.rpartition("/")
            rest = join(last, rest) if rest else last
        return (base, rest) if base in self.asked else (path, "")

    def landed(self, path: str, landing: Landing) -> None:
        """Note the end of a call."""
        fate: Fate
        if landing.how == "finished":
            base, _ = self.locate(path)
            asked = self.asked.get(base)
            # A call beside one that was faster is nobody's any more, and so is one let go.
            fate = "discarded" if asked is None or path not in self.jobs_of(base) else "useful"
            if asked is not None and fate == "useful":
                self.by[base] = landing.agent
            if asked is not None and asked.talk is None:
                asked.won = landing.attempt
        else:
            fate = "failed" if landing.how == "lost" else landing.how
        self.books.note(path, landing.attempt, Entry(fate, landing.usage, landing.cached))

    def due(self, at: int) -> Iterator[str]:
        """Take the reminders whose instant has come, one by one: each may take others back."""
        for timer in self._deadlines.due(at, self._holds):
            if self._holds(timer):
                del self._due[timer[0]]
                yield timer[0]

    def deadline(self) -> int | None:
        """Give the instant of the next reminder, or of what a conversation waits for."""
        talks = [asked.talk for asked in self.asked.values()]
        times = [None if talk is None else talk.deadline() for talk in talks]
        times.append(self._deadlines.next(self._holds))
        return min([time for time in times if time is not None], default=None)

    def pull(self, path: str) -> End | None:
        """Take over what a conversation wants, under its path; give its end if it has come."""
        talk, end = self.asked[path].talk, None
        assert talk is not None
        moves = talk.moves.copy()
        talk.moves.clear()
        for move in moves:
            if isinstance(move, Do):
                self.moves.append(Do(join(path, move.path), move.spec, move.anew))
            elif isinstance(move, Drop):
                self.moves.append(Drop(join(path, move.path)))
            elif isinstance(move, Say):
                event: Any = move.event
                told = msgspec.structs.replace(event, path=join(path, event.path))
                self.moves.append(Say(told))
            elif isinstance(move, Halt):
                self.moves.append(move)
            else:
                end = move
        return end

    def revive(self, at: int, kept: Container[str]) -> bool:
        """Ask anew for everything that is under way, but for the jobs at the paths of `kept`.

        The time in which nobody went on with it counts for no reminder.

        Returns:
            Whether it had failed, and is open again.
        """
        failed = self.outcome is not None and self.outcome.status == "failed"
        if failed:
            self.over = False
            self.closed = self.outcome = None
        for name, due in list(self._due.items()):
            self.remind(name, due + at - self.at)
        self.at = at
        self.moves.clear()
        for path, asked in self.asked.items():
            job = _job(self.step, self.agents, asked.manner, path)
            if asked.talk is None:
                self.moves.append(Do(path, job))
            else:
                asked.talk.revive(job, self.agents, at)
                self.pull(path)
        asks = self.moves.copy()
        self.moves.clear()
        self.moves.extend([m for m in asks if not isinstance(m, Do) or m.path not in kept])
        if self.outcome is not None:
            self.moves.append(self.outcome)
        return failed

    def fork(self) -> Self:
        """Copy it."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.moves = self.moves.copy()
        other.rows = self.rows.copy()
        other.asked = {path: asked.fork() for path, asked in self.asked.items()}
        other.gave_up = {path: asked.fork() for path, asked in self.gave_up.items()}
        other.by = self.by.copy()
        other.books = self.books.fork()
        other._numbers = self._numbers.copy()
        other._deadlines = self._deadlines.fork()
        other._due = self._due.copy()
        return other

    # -- within -----------------------------------------------------------------------------

    def _holds(self, timer: tuple[str, int]) -> bool:
        return self._due.get(timer[0]) == timer[1]

    def _close(self, end: End, at: int) -> None:
        for path in list(self.asked):
            self.drop(path)
        self._due.clear()
        self.over = True
        self.closed = at
        self.outcome = end
        self.moves.append(end)


def join(path: str, inner: str) -> str:
    """Put a path below another, which may be empty."""
    return f"{path}/{inner}" if path else inner


def _job(step: StepSpec, agents: Mapping[str, AgentSpec], manner: Manner, path: str) -> JobSpec:
    agent = agents[manner.agents[0]]
    if manner.role == "guest":
        step = msgspec.structs.replace(step, options={}, effects=None)
    settings = dict(step.options)
    if agent.kind in _MODELS:
        settings.update(manner.options)
    elif agent.kind == "command" and manner.schema is not None and manner.role != "author":
        settings["output"] = "json"
    told = [Tool(name, tool.about, tool.schema) for name, tool in agent.tools.items()]
    tools = told if manner.tools else ()
    return job_of(step, agents, manner.agents, manner.schema, settings, tools, path or None)
