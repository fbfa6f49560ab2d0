"""What a review has come to: the output of its step, why it failed, its report at any time."""

from __future__ import annotations

import msgspec

from hocket.core.reports import Contribution, Judgement, Report
from hocket.core.teams import ReviewSpec
from hocket.core.values import Json
from hocket.workflows.floor import Floor
from hocket.workflows.review_poll import Poll, Verdict

_SHOWN = 3
_LONG = 120


class Found(msgspec.Struct, frozen=True):
    """A verdict, and whose it is.

    Fields:
        name: The reviewer's.
        agent: Who that was: the member's agent, or a fallback.
        verdict: What it found.
    """

    name: str
    agent: str
    verdict: Verdict


class Round(msgspec.Struct, frozen=True):
    """An artefact and what was found in it.

    Fields:
        artefact: The artefact.
        by: Who was to make it; "" if it was just given.
        agent: Who has made it: the same, or a fallback.
        found: The verdicts.
    """

    artefact: Json
    by: str
    agent: str
    found: tuple[Found, ...]

    def issues(self) -> list[str]:
        """Give what is to be mended, each thing once; rejections come first."""
        heard = [one.verdict for one in self.found if not one.verdict.failed]
        said: dict[str, None] = {}
        for verdict in sorted(heard, key=lambda verdict: verdict.approves):
            reason = (verdict.reason,) if verdict.reason and not verdict.approves else ()
            said.update(dict.fromkeys(verdict.issues or reason))
        return list(said)

    def rejections(self) -> int:
        """Count who is against it, failed ones left out."""
        return sum(not (one.verdict.approves or one.verdict.failed) for one in self.found)

    def poll(self, spec: ReviewSpec) -> Poll:
        """Count the verdicts, as if there were no others."""
        return Poll(spec, [one.verdict for one in self.found], ())


def decision_of(spec: ReviewSpec, rounds: tuple[Round, ...], approved: bool) -> str:
    """Say how it was decided, in words."""
    last = rounds[-1]
    failed = sum(one.verdict.failed for one in last.found)
    heard, score = len(last.found) - failed, last.poll(spec).score
    words = [
        f"{'approved' if approved else 'not approved'}: {score:.2g} of the confidence is for it,"
        f" {spec.threshold:g} is needed",
        f"{heard} of {spec.swarm} reviewers heard",
    ]
    if failed and not heard:
        why = dict.fromkeys(_clip(" ".join(one.verdict.reason.split())) for one in last.found)
        words = [f"not approved: nobody was heard, {failed} failed: {', '.join(why)}"]
    elif failed:
        counts = "a weak approval" if spec.fail_open else "a rejection"
        words.append(f"{failed} failed, which counts as {counts}")
    if len(last.found) < spec.swarm:
        words.append("the rest could not change it")
    if len(rounds) > 1:
        words.append(f"round {len(rounds)}")
    return "; ".join(words)


def failure_of(decision: str, last: Round) -> str:
    """Say in a line why a step has failed whose output was not approved."""
    issues = [_clip(" ".join(issue.split())) for issue in last.issues()]
    more = f"; and {len(issues) - _SHOWN} more" if len(issues) > _SHOWN else ""
    found = f"; found: {'; '.join(issues[:_SHOWN])}{more}" if issues else ""
    return f"{decision}{found}"


def output_of(
    spec: ReviewSpec, rounds: tuple[Round, ...], approved: bool, decision: str, floor: Floor
) -> Json:
    """Give what a review step gives.

    Its ``calls`` are all that have left; those in flight are cut off by the decision, and are
    ``cancelled`` there, also if they come to their end all the same.
    """
    last = rounds[-1]
    return {
        "approved": approved,
        "score": last.poll(spec).score,
        "decision": decision,
        "verdicts": [_told(one) for one in last.found],
        "issues": last.issues(),
        "rounds": len(rounds),
        "artefact": last.artefact,
        "calls": floor.books.counts(),
    }


def report_of(floor: Floor, rounds: tuple[Round, ...], decision: str) -> Report:
    """Say what was done so far; only verdicts on the latest artefact count."""
    end, last = floor.outcome, rounds[-1]
    decided = end is not None and end.status == "succeeded"
    weight = sum(_weight(one.verdict) for one in last.found if one.verdict.approves)
    artefact = Contribution(
        member=last.by,
        label="",
        revision=len(rounds),
        content=last.artefact,
        weight=weight,
        agent=last.agent,
    )
    judged = [
        _judged(one, number, number == len(rounds))
        for number, round_ in enumerate(rounds, 1)
        for one in round_.found
    ]
    return Report(
        kind="review",
        status="open" if end is None else "decided" if decided else "failed",
        began=floor.began,
        ended=floor.closed,
        decision=decision or ("" if end is None else end.reason),
        output=end.output if end is not None and decided else None,
        contributions=() if last.artefact is None else (artefact,),
        judgements=tuple(judged),
        rows=tuple(floor.rows),
        fates=floor.books.sums(),
        waiting=sum(len(floor.jobs_of(path)) for path in floor.asked),
    )


def _judged(one: Found, number: int, counts: bool) -> Judgement:
    verdict = one.verdict
    return Judgement(
        member=one.name,
        choice="approve" if verdict.approves else "reject",
        confidence=verdict.confidence,
        weight=_weight(verdict),
        reason=verdict.reason,
        seen={"artefact": number},
        counts=counts,
        issues=verdict.issues,
        agent=one.agent,
        failed=verdict.failed,
    )


def _told(one: Found) -> Json:
    verdict = one.verdict
    return {
        "member": one.name,
        "agent": one.agent,
        "verdict": "approve" if verdict.approves else "reject",
        "confidence": verdict.confidence,
        "reason": verdict.reason,
        "issues": list(verdict.issues),
        "failed": verdict.failed,
    }


def _weight(verdict: Verdict) -> float:
    return verdict.weight * verdict.confidence


def _clip(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
