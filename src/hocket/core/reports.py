"""What a team has done so far, for people and for other programs: the report of one step.

A report is folded from facts like everything else; it is there at any time, also of a run that
was cancelled, and complete once the last call has landed.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from hocket.core.values import Json

Fate: TypeAlias = Literal["useful", "stale", "discarded", "cancelled", "refused", "failed"]
"""What became of a call.

useful: what it gave counted.
stale: it gave something that a later answer has made void.
discarded: it gave something that nobody needed, or that made no sense.
cancelled: it was stopped in flight.
refused: the provider would not have it.
failed: it gave nothing, or its process died.
"""
FATES: tuple[Fate, ...] = ("useful", "stale", "discarded", "cancelled", "refused", "failed")


class Sum(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What calls of one fate came to.

    Fields:
        calls: How many there were.
        cached: How many of them were answered without being made.
        tokens_in: Tokens read, as far as known.
        tokens_out: Tokens written, as far as known.
        cost: Pico-dollars, as far as priced.
        unpriced: How many calls that have read tokens have no known price.
    """

    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    unpriced: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the coordination table: who did what when.

    Fields:
        at: The instant.
        member: Whose line it is; "" for the team's own.
        what: ``answers``, ``revises``, ``votes``, ``fails``, ``restarts``, ``abstains``,
            ``is told``, ``presents``, ``assesses``, ``corrects``, ``judges``, ``fixes``,
            ``decides``.
        detail: The rest, in words.
        path: The call that it comes from, within the step.
    """

    at: int
    member: str
    what: str
    detail: str = ""
    path: str = ""


class Contribution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer in a consensus, or an artefact under review, in its latest revision.

    Fields:
        member: Whose it is.
        label: What the others know it by.
        revision: Counts from 1.
        content: The answer itself.
        weight: What the votes for it weigh.
        agent: Who has given it: the member's agent, or the fallback that took over; "" if an
            artefact was just given.
    """

    member: str
    label: str
    revision: int
    content: Json
    weight: float = 0.0
    agent: str = ""


class Judgement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A vote in a consensus, or a verdict in a review.

    Fields:
        member: Whose it is.
        choice: The label that it is for; ``approve`` or ``reject`` in a review; "" if it abstains.
        confidence: From 0 to 1.
        weight: What it weighs.
        reason: Why.
        seen: The revision of each label that the voter had seen.
        counts: Whether it counts.
        issues: What a reviewer found.
        agent: Who has given it: the member's agent, or the fallback that took over.
        failed: Whether the reviewer has failed, and this is only what that counts as; `reason`
            says why.
    """

    member: str
    choice: str
    confidence: float = 1.0
    weight: float = 1.0
    reason: str = ""
    seen: dict[str, int] = {}
    counts: bool = True
    issues: tuple[str, ...] = ()
    agent: str = ""
    failed: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a team has done so far.

    Fields:
        kind: ``consensus``, ``review``, or ``tools`` for one agent with tools.
        status: ``open``, ``decided`` or ``failed``.
        began: When it began.
        ended: When it was decided or failed.
        decision: How it was decided, in words: the rule, early or not, how a tie was broken.
        forced: Whether time or rounds ran out, so that what was there had to do.
        winner: The member whose answer stands; "" in a review.
        output: What the step gives, or None as long as nothing is decided.
        contributions: The answers, best supported first.
        judgements: The votes or verdicts, in the order in which they came.
        rows: The coordination table.
        fates: What became of the calls.
        waiting: How many calls it waits for now.
    """

    kind: Literal["consensus", "review", "tools"]
    status: Literal["open", "decided", "failed"] = "open"
    began: int = 0
    ended: int | None = None
    decision: str = ""
    forced: bool = False
    winner: str = ""
    output: Json = None
    contributions: tuple[Contribution, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    rows: tuple[Row, ...] = ()
    fates: dict[Fate, Sum] = {}
    waiting: int = 0
