"""What the tools of the MCP server give: a few kilobytes each, with what to do next.

Texts that are longer are cut, and say where the rest is: in a resource, or in a command.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from hocket.agents.terminal import visible
from hocket.core.events import ApprovalAsked, InputAsked
from hocket.core.run import RunMachine
from hocket.core.values import Json
from hocket.insight.tally import Tally
from hocket.report.text import clean

MOST: Final = 4_000
"""The most bytes of a reply."""
SHOWN: Final = 2_000
"""The most characters of a text in a reply."""
MANY: Final = 20
"""The most rows of a list in a reply."""

_ALL: Final = 2_000
"""The most characters of all questions of a reply together."""
_LEAST: Final = 200
"""Texts are not cut shorter than this."""
_CUT: Final = re.compile(r"… \([\d,]+ characters in all\)\Z")


def _untitled(schema: dict[str, Any]) -> None:
    """Leave out of a schema what only repeats the names: clients read it with every list."""
    schema.pop("title", None)
    for part in schema.get("properties", {}).values():
        part.pop("title", None)


class Said(BaseModel):
    """What all replies have."""

    model_config = ConfigDict(json_schema_extra=_untitled)


class Whole(Said):
    """What a tool gives."""

    rest: list[str] = Field(default=[], description="What did not fit in, and how to get it.")

    def where(self, name: str) -> str:
        """Say how all of a field is to be had."""
        return ""

    def length(self, name: str) -> int:
        """Say how many rows a list has, or would have if there were room."""
        return len(getattr(self, name))

    def shortened(self, name: str, left: int) -> None:
        """Say how many rows of a list did not fit in, and how to get them."""
        self.rest = [*self.rest, f"{left:,} more {name}: {self.where(name)}"]


class Long(Whole):
    """What a tool gives where a text may be too long."""

    more: str = Field(default="", description="Where all of it is, if it was cut.")


class Question(Said):
    """What a person is asked."""

    step: str = Field(description="The step that waits.")
    kind: str = Field(description="approve: say yes or no to what is shown. input: give a text.")
    shown: str = Field(description="Exactly what is approved of, or what is asked.")
    digest: str = Field(default="", description="Names what is shown; an approval is bound to it.")
    more: str = Field(default="", description="The resource that holds all of it, if it was cut.")


class RunReply(Long):
    """How a run stands."""

    run: str = Field(description="The run's id, for run_status, approve, cancel_run and explain.")
    plan: str
    status: str = Field(description="running, pausing, paused, succeeded, failed or cancelled.")
    reason: str = ""
    steps: dict[str, int] = Field(default={}, description="How many steps are in which state.")
    calls: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    seq: int = Field(default=0, description="Give it to run_status as after to wait for news.")
    news: list[str] = Field(default=[], description="What has happened since after.")
    output: str = Field(default="", description="What the plan gives, a text or JSON.")
    questions: list[Question] = []
    asked: int = Field(default=0, description="How many questions wait for people in all.")
    next: str = Field(default="", description="What to do now.")

    def where(self, name: str) -> str:
        """Say how all of a field is to be had."""
        if name == "questions":
            return questions_uri(self.run)
        return f"hocket show {self.run}" if name == "news" else output_uri(self.run)

    def length(self, name: str) -> int:
        """Say how many rows a list has, or would have if there were room."""
        return self.asked if name == "questions" else super().length(name)


class VerdictReply(RunReply):
    """What reviewers found."""

    approved: bool | None = Field(default=None, description="None as long as nothing is decided.")
    findings: list[str] = []


class PlanReply(Long):
    """A plan that an agent has drafted, and what is expected of it."""

    plan: str = Field(description="The plan's handle, for execute_task.")
    ready: bool = Field(description="Whether it is drafted.")
    status: str = ""
    text: str = Field(default="", description="The plan itself, as YAML.")
    digest: str = Field(default="", description="Names the plan; an approval is bound to it.")
    confidence: dict[str, float] = {}
    risks: list[str] = []
    problems: list[str] = Field(default=[], description="What keeps it from being run.")
    prediction: list[str] = Field(default=[], description="What it is expected to take and cost.")
    needs_approval: bool = False
    why: str = Field(default="", description="Why a person has to approve of it.")
    agents: list[str] = Field(default=[], description="What each agent that it uses is.")
    next: str = ""

    def where(self, name: str) -> str:
        """Say how all of a field is to be had."""
        if name == "text":
            return f"hocket://plan/{self.plan}"
        return f"hocket plan --from {self.plan}, or the page"


class ExplainReply(Long):
    """Why a run took as long, and cost as much, as it did."""

    run: str
    headline: str
    shares: list[str] = Field(default=[], description="Where the time went, largest first.")
    findings: list[str] = Field(default=[], description="What to change, and what it would gain.")
    next: str = ""

    def where(self, name: str) -> str:
        """Say how all of a field is to be had."""
        return f"hocket explain {self.run}"


class PlanRow(Said):
    """A plan that the operator offers."""

    file: str
    plan: str
    inputs: dict[str, str] = Field(default={}, description="What each input means.")
    problems: list[str] = []


class PlansReply(Whole):
    """The plans that can be executed."""

    plans: list[PlanRow]
    skipped: int = Field(default=0, description="How many are before these.")
    left_out: int = Field(default=0, description="How many come after these.")
    next: str = ""

    def shortened(self, name: str, left: int) -> None:
        """Say how many did not fit in, and how to get them."""
        self.left_out += left
        self.next = f"list_plans(skip={self.skipped + len(self.plans)}) gives those after these"


class RunRow(Said):
    """A run in a list."""

    run: str
    plan: str
    status: str
    alive: bool = Field(description="Whether a process drives it now.")


class RunsReply(Whole):
    """The newest runs."""

    runs: list[RunRow]
    skipped: int = Field(default=0, description="How many are before these.")
    left_out: int = Field(default=0, description="How many come after these.")
    next: str = ""

    def shortened(self, name: str, left: int) -> None:
        """Say how many did not fit in, and how to get them."""
        self.left_out += left
        self.next = f"list_runs(skip={self.skipped + len(self.runs)}) gives those after these"


W = TypeVar("W", bound=Whole)


def cut(text: str, most: int = SHOWN) -> tuple[str, bool]:
    """Give a text without a terminal's escapes, cut where it is too long, and whether it was."""
    text = clean(text)
    if len(text) <= most:
        return text, False
    return f"{text[:most]}… ({len(text):,} characters in all)", True


def fitted(reply: W) -> W:
    """Cut the longest parts of a reply until it has its size, and say how to get the rest."""
    lists = {name: reply.length(name) for name, value in reply if isinstance(value, list)}
    # There is room for what is then said of the rest.
    while len(to_json(reply, indent=2)) > MOST - _LEAST:
        size = {
            name: len(to_json(value, indent=2))
            for name, value in reply
            if (isinstance(value, list) and len(value) > 1)
            or (isinstance(value, str) and len(value) > _LEAST and name != "next")
        }
        if not size:
            break
        name = max(size, key=lambda one: size[one])
        value = getattr(reply, name)
        if isinstance(value, str):
            setattr(reply, name, _shorter(value))
            if isinstance(reply, Long) and not reply.more:
                reply.more = reply.where(name)
        else:
            # Of news the last ones matter, of all else the first ones.
            setattr(reply, name, value[1:] if name == "news" else value[:-1])
    for name, length in lists.items():
        if left := length - len(getattr(reply, name)):
            reply.shortened(name, left)
    return reply


def _shorter(text: str) -> str:
    """Cut a text that may be cut already to three quarters."""
    match = _CUT.search(text)
    tail = f"… ({len(text):,} characters in all)" if match is None else match[0]
    body = text if match is None else text[: match.start()]
    return body[: 3 * len(body) // 4] + tail


def words(value: Json) -> str:
    """Write an output: a text as it is, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def output_uri(run: str, step: str = "") -> str:
    """Name the resource that holds what a run, or a step of it, gave."""
    return f"hocket://run/{run}/output" + (f"/{step}" if step else "")


def questions_uri(run: str) -> str:
    """Name the resource that lists all that people are asked in a run."""
    return f"hocket://run/{run}/questions"


def shown_uri(run: str, step: str) -> str:
    """Name the resource that holds what a step shows to be approved of."""
    return f"hocket://run/{run}/shown/{step}"


def asked_words(asked: ApprovalAsked | InputAsked) -> str:
    """Write what a person is asked."""
    return visible(asked.shown) if isinstance(asked, ApprovalAsked) else asked.prompt


def question(run: str, asked: ApprovalAsked | InputAsked, most: int = SHOWN) -> Question:
    """Give a question as a reply has it."""
    shown, short = cut(asked_words(asked), most)
    approve = isinstance(asked, ApprovalAsked)
    return Question(
        step=asked.path,
        kind="approve" if approve else "input",
        shown=shown,
        digest=asked.digest if isinstance(asked, ApprovalAsked) else "",
        more=shown_uri(run, asked.path) if short else "",
    )


def questions(run: str, asked: list[ApprovalAsked | InputAsked]) -> list[Question]:
    """Give questions, each shorter the more there are."""
    few = asked[:MANY]
    most = min(SHOWN, _ALL // max(1, len(few)))
    return [question(run, one, most) for one in few]


def fill(reply: RunReply, machine: RunMachine, tally: Tally) -> None:
    """Write into a reply how a run stands."""
    end = machine.end
    reply.reason = cut(end.reason if end is not None else machine.pause_reason, 500)[0]
    reply.steps = {str(status): n for status, n in machine.counts().items() if n}
    reply.calls = tally.started
    reply.seconds = round((machine.at - machine.started_at) / 1e9, 3)
    reply.usd = round(tally.dollars, 6)
    if end is not None:
        reply.output, short = cut(words(end.output))
        reply.more = output_uri(machine.run) if short else ""
