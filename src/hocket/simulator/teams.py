"""Simulated members of teams: what they answer, for whom they vote, how well they review.

They read what real members are shown, and give what the rules ask them for.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from hocket.core.errors import Fault
from hocket.core.values import Json, canonical, unit_fraction
from hocket.simulator.agents import Asked, Behaviour
from hocket.workflows.stages import likely_output

Leaning: TypeAlias = Literal["unanimous", "split", "random"]
"""For whom a member votes.

unanimous: for the best answer that it sees; all agree which of two is better.
split: for the best one or the second best, in turn by the members' numbers.
random: for any.
"""

_SHOWN: Final = re.compile(r'<answer label="(\w+)">\n(.*?)\n</answer>', re.DOTALL)
_NUMBER: Final = re.compile(r"(\d+)\Z")
_TURN: Final = re.compile(r"/turn(?:~(\d+))?\Z")


def member_of(path: str) -> str:
    """Name the member that a call of a team is of: ``q/flash-1/vote~2`` is of ``flash-1``."""
    path = _TURN.sub("", path)
    return path.split("/")[-2] if "/" in path else path


def shown(asked: Asked) -> dict[str, Json]:
    """Give the answers that a member is shown, by label."""
    given = asked.input
    if isinstance(given, dict) and given.get("$") == "talk":
        given = "\n".join(str(message.get("text", "")) for message in given["messages"])
    if isinstance(given, dict):
        answers = given.get("answers")
        return dict(answers) if isinstance(answers, dict) else {}
    return dict(_SHOWN.findall(given)) if isinstance(given, str) else {}


def merit(asked: Asked, content: Json) -> float:
    """Say how good an answer is; everybody in a run agrees."""
    return unit_fraction(asked.seed, "merit", canonical(content).decode())


def permitted(schema: Json) -> list[str] | None:
    """Give the labels that can be voted for; None if no vote is asked for."""
    choices = _fields(schema).get("vote")
    if not isinstance(choices, dict) or "enum" not in choices:
        return None
    return [label for label in choices["enum"] if label]


def voter(leaning: Leaning = "unanimous", *, revises: float = 0.0) -> Behaviour:
    """Make a member of a consensus.

    Args:
        leaning: For whom it votes.
        revises: The share of its turns in which it gives a new answer instead, where it may.
    """

    def give(asked: Asked) -> Json | Fault:
        labels = permitted(asked.job.output)
        if labels is None:
            return answer(asked)
        fields = _fields(asked.job.output)
        if "action" in fields and asked.draw("revises") < revises:
            new = {"action": "revise", "vote": "", "answer": answer(asked)}
            return new | {"confidence": 1.0, "reason": ""}
        vote = {"vote": _choice(asked, labels, leaning), "confidence": 1.0, "reason": ""}
        return {"action": "vote", "answer": ""} | vote if "action" in fields else vote

    return give


def answer(asked: Asked) -> Json:
    """Give an answer that nobody else gives."""
    schema = asked.job.output
    if schema is None or "action" in _fields(schema):
        return f"the answer of {asked.path}"
    return likely_output(asked.job)


def _choice(asked: Asked, labels: list[str], leaning: Leaning) -> str:
    if leaning == "random":
        return labels[int(asked.draw("vote") * len(labels))]
    answers = shown(asked)
    ordered = sorted(labels, key=lambda label: (-merit(asked, answers.get(label)), label))
    if leaning == "split" and len(ordered) > 1:
        number = _NUMBER.search(member_of(asked.path))
        return ordered[int(number[1]) % 2 if number else 0]
    return ordered[0]


def _fields(schema: Json) -> dict[str, Json]:
    return dict(schema.get("properties") or {}) if isinstance(schema, dict) else {}


def with_tools(give: Behaviour, turns: int) -> Behaviour:
    """Make a member that calls its first tool in every turn but the last, and gives then.

    Args:
        give: What it gives in the end.
        turns: How many turns it takes.
    """

    def take_turn(asked: Asked) -> Json | Fault:
        turn = _TURN.search(asked.path)
        if not asked.job.tools or turn is None:
            return give(asked)
        number = int(turn[1] or 1)
        if number < turns:
            call = {"id": f"c{number}", "name": asked.job.tools[0].name, "args": {}}
            return {"$": "turn", "text": "", "calls": [call]}
        gives = give(asked._replace(path=_TURN.sub("", asked.path)))
        if isinstance(gives, Fault):
            return gives
        return {"$": "turn", "text": "", "calls": [], "answer": gives}

    return take_turn


FAULTY: Final = "faulty"
"""The word that an artefact says of itself when it is not sound; reviewers see it, or not."""


def author(faulty: float = 0.0) -> Behaviour:
    """Make an author.

    Args:
        faulty: The share of its first artefacts that are not sound; what it mends is.
    """

    def give(asked: Asked) -> Json | Fault:
        first = "/author" not in asked.path or asked.path.endswith("/author")
        unsound = first and asked.draw("faulty") < faulty
        return f"the {FAULTY if unsound else 'sound'} work of {asked.path}"

    return give


def reviewer(accuracy: float = 1.0, *, corrects: float = 0.0, common: float = 0.0) -> Behaviour:
    """Make a reviewer.

    Args:
        accuracy: The share of its verdicts that are right.
        corrects: By how much a verdict is better that follows an assessment and its correction.
        common: The share of its errors that all reviewers of an artefact make together.
    """

    def give(asked: Asked) -> Json | Fault:
        if "verdict" not in _fields(asked.job.output):
            return f"an assessment at {asked.path}"
        three = asked.path.rpartition("/")[2].startswith("vote")
        right = min(1.0, accuracy + (corrects if three else 0.0))
        step = asked.path.rpartition("/")[0].rpartition("/")[0]
        shared = unit_fraction(asked.seed, "common", step) < common
        share = unit_fraction(asked.seed, "error", step) if shared else asked.draw("error")
        sound = FAULTY not in canonical(asked.input).decode()
        approves = sound == (share < right)
        issues = [] if approves else ["It does not do what was wanted."]
        verdict = "approve" if approves else "reject"
        return {"verdict": verdict, "confidence": 1.0, "issues": issues, "reason": ""}

    return give
