"""Drafts of plans: what an agent has written, as data, and as text that people edit.

A draft names agents of the operator's file and gives them prompts.
It can state no program, no function and no model: those come from that file alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.forecast.predict import Prediction

Severity: TypeAlias = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")

_MOST_STEPS: Final = 200
_NAME: Final = re.compile(r"[^A-Za-z0-9]+")
_TEXT: Final[dict[str, Json]] = {"type": "string", "maxLength": 4_000}
_SHORT: Final[dict[str, Json]] = {"type": "string", "maxLength": 200}
_SHARE: Final[dict[str, Json]] = {"type": "number", "minimum": 0, "maximum": 1}


def _object(fields: dict[str, Json], required: Sequence[str] | None = None) -> dict[str, Json]:
    wanted = list(fields) if required is None else list(required)
    return {
        "type": "object",
        "properties": fields,
        "required": wanted,
        "additionalProperties": False,
    }


def _list(items: Json, most: int) -> dict[str, Json]:
    return {"type": "array", "items": items, "maxItems": most}


SCHEMA: Final[dict[str, Json]] = _object(
    {
        "title": _SHORT,
        "summary": _TEXT,
        "steps": {
            **_list(
                _object(
                    {
                        "name": _SHORT,
                        "agent": _SHORT,
                        "prompt": {"type": "string", "maxLength": 20_000},
                        "needs": _list(_SHORT, 50),
                        "why": _TEXT,
                        "approve": {"type": "boolean"},
                    },
                    ["name", "agent", "prompt"],
                ),
                _MOST_STEPS,
            ),
            "minItems": 1,
        },
        "confidence": _object(
            {
                "task_clarity": _SHARE,
                "context": _SHARE,
                "approach": _SHARE,
                "feasibility": _SHARE,
            }
        ),
        "risks": _list(
            _object(
                {
                    "what": _TEXT,
                    "severity": {"enum": list(SEVERITIES)},
                    "mitigation": _TEXT,
                },
                ["what", "severity"],
            ),
            50,
        ),
        "questions": _list(_TEXT, 20),
    },
    ["title", "summary", "steps", "confidence", "risks"],
)
"""What a planner's answer has to look like, as JSON Schema."""


class DraftStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a draft.

    Fields:
        name: Its name.
        agent: An agent of the operator's file.
        prompt: What the agent is told; ``{{step}}`` in it is an earlier step's output.
        needs: Steps that must have succeeded.
        why: What it is for.
        approve: Whether a person has to approve of it before it begins.
    """

    name: str
    agent: str
    prompt: str
    needs: tuple[str, ...] = ()
    why: str = ""
    approve: bool = False


class Confidence(msgspec.Struct, frozen=True, kw_only=True):
    """How sure the planner says to be, from 0 to 1; nobody has checked that it is right.

    Fields:
        task_clarity: That it knows what is wanted.
        context: That it knows what there is.
        approach: That the steps lead there.
        feasibility: That the agents can do them.
    """

    task_clarity: float
    context: float
    approach: float
    feasibility: float

    @property
    def least(self) -> tuple[str, float]:
        """Give the lowest of them, with its name."""
        named = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return min(named, key=lambda one: one[1])


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """What may go wrong.

    Fields:
        what: It.
        severity: How bad that would be.
        mitigation: What the plan does about it, or "".
    """

    what: str
    severity: Severity
    mitigation: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A plan as an agent has drafted it.

    Fields:
        title: What it is called.
        summary: What it does.
        steps: Its steps.
        confidence: How sure the planner is.
        risks: What may go wrong.
        questions: What it would have liked to ask.
    """

    title: str
    summary: str
    steps: tuple[DraftStep, ...]
    confidence: Confidence
    risks: tuple[Risk, ...] = ()
    questions: tuple[str, ...] = ()


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """When a drafted plan needs a person's approval for what its planner says of it.

    One whose steps may change things needs it in any case.

    Fields:
        below: If any confidence is lower than this.
        severity: If any risk is as severe as this, or more.
        always: In any case.
    """

    below: float = 0.7
    severity: Severity = "high"
    always: bool = False


def read_draft(value: Json) -> Draft:
    """Read what a planner has answered.

    Raises:
        Refused: It is no draft.
    """
    try:
        return msgspec.convert(value, Draft)
    except msgspec.ValidationError as error:
        raise Refused(f"what the planner gave is no plan: {error}") from error


def reasons(draft: Draft, bar: Bar) -> list[str]:
    """Say why a draft needs a person's approval by its planner's words; empty if it does not."""
    found = ["every drafted plan is to be approved"] if bar.always else []
    name, least = draft.confidence.least
    if least < bar.below:
        words = name.replace("_", " ")
        found.append(f"confidence in {words} is {least:.0%}, below {bar.below:.0%}")
    for risk in draft.risks:
        if SEVERITIES.index(risk.severity) >= SEVERITIES.index(bar.severity):
            found.append(f"{risk.severity} risk: {risk.what}")
    return found


def plan_name(draft: Draft) -> str:
    """Give the name of a draft's plan."""
    name = _NAME.sub("-", draft.title).strip("-").lower()[:40].strip("-")
    return name if name[:1].isalpha() else f"plan-{name}".strip("-")


class Drafted(msgspec.Struct, frozen=True, kw_only=True):
    """What a planning run has come to.

    Fields:
        run: The planning run.
        status: How it stands, as people call it.
        reason: Why there is no draft, or "".
        draft: The draft; None as long as there is none.
        text: It as a file of plans that can be edited.
        digest: Names the text by its bytes, and all that it would run; "" where it has mistakes.
        agents: What each agent that it uses is, a line each.
        problems: What is wrong with it, each with its place.
        why: Why it needs a person's approval; empty if it needs none.
        file: The operator's file.
        bar: When a draft needs approval for what its planner says of it.
        prediction: What is expected of a run of it; None where it has mistakes.
    """

    run: str
    status: str
    reason: str = ""
    draft: Draft | None = None
    text: str = ""
    digest: str = ""
    agents: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    file: str = ""
    bar: Bar = Bar()
    prediction: Prediction | None = None
