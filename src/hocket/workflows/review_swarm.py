"""The reviewers of one round: who is asked for what, who is still to be asked, what they found."""

from __future__ import annotations

from typing import Final, Self

from hocket.core.errors import EngineBug
from hocket.core.teams import Member, ReviewSpec
from hocket.core.values import Json
from hocket.workflows.floor import Floor, Prompt, Role
from hocket.workflows.review_poll import Poll, Verdict
from hocket.workflows.review_prompts import STAGES, VERDICT, Said, Work, read_said, review_prompt

_NONSENSE: Final = "gave nothing that makes sense"
_DRAFTS: Final = {"assess": "assesses", "correct": "corrects"}
"""What comes before a verdict, and what is said of it."""


class Seat:
    """A reviewer in one round.

    Attributes:
        name: ``r1`` and so on.
        member: Who sits there.
        stage: The number of what it is asked for, from 0.
        calls: The paths of what it was asked, in order.
        draft: What it gave last, short of a verdict.
        asked: Whether the last of its calls is under way.
        verdict: Its verdict, or what stands for one if it has failed.
    """

    __slots__ = ("asked", "calls", "draft", "member", "name", "stage", "verdict")

    def __init__(self, name: str, member: Member) -> None:
        self.name = name
        self.member = member
        self.stage = 0
        self.calls: tuple[str, ...] = ()
        self.draft: Json = None
        self.asked = False
        self.verdict: Verdict | None = None

    @property
    def call(self) -> str:
        """The path of the last of its calls; "" if there is none."""
        return self.calls[-1] if self.calls else ""

    def fork(self) -> Seat:
        """Copy it."""
        other = Seat(self.name, self.member)
        for name in ("asked", "calls", "draft", "stage", "verdict"):
            setattr(other, name, getattr(self, name))
        return other


class Swarm:
    """All reviewers of one round; members take their seats in rotation.

    Args:
        floor: What it asks through.
        spec: How they review.
        role: Whom the step's settings are for.
    """

    def __init__(self, floor: Floor, spec: ReviewSpec, role: Role) -> None:
        self.floor = floor
        self.spec = spec
        self.role: Role = role
        members = [spec.members[i % len(spec.members)] for i in range(spec.swarm)]
        self.seats = [Seat(f"r{i}", member) for i, member in enumerate(members, 1)]

    # -- questions --------------------------------------------------------------------------

    def prompt(self, path: str, work: Work) -> Prompt:
        """Say what the reviewer at `path` is asked."""
        seat = self._seat_at(path)
        stage, _ = STAGES[self.spec.protocol][seat.stage]
        return review_prompt(stage, work, seat.draft)

    def poll(self) -> Poll:
        """Count what there is."""
        verdicts = [seat.verdict for seat in self.seats if seat.verdict is not None]
        open_ = [seat.member.weight for seat in self.seats if seat.verdict is None]
        return Poll(self.spec, verdicts, open_)

    def verdicts(self) -> list[tuple[Seat, Verdict]]:
        """Give what was found, in the order of seats."""
        return [(seat, seat.verdict) for seat in self.seats if seat.verdict is not None]

    def failed(self) -> list[Seat]:
        """Give those who have failed."""
        return [seat for seat, verdict in self.verdicts() if verdict.failed]

    # -- what happens -----------------------------------------------------------------------

    def heard(self, path: str, output: Json, at: int) -> None:
        """A reviewer has given something."""
        seat = self._seat_at(path)
        stage, _ = STAGES[self.spec.protocol][seat.stage]
        seat.asked = False
        if stage in _DRAFTS and output not in (None, ""):
            self.floor.row(at, seat.name, _DRAFTS[stage], "", path)
            seat.draft = output
            seat.stage += 1
            self._ask(seat)
            return
        said = None if stage in _DRAFTS else read_said(output)
        if said is None:
            self.floor.books.judge(path, "discarded")
            self.fails(path, _NONSENSE, at)
        else:
            self._judges(seat, said, at)

    def fails(self, path: str, why: str, at: int) -> None:
        """A reviewer has failed: that counts as a rejection, or as a weak approval."""
        seat, spec = self._seat_at(path), self.spec
        seat.asked = False
        weight = spec.open_weight if spec.fail_open else seat.member.weight
        seat.verdict = Verdict(approves=spec.fail_open, weight=weight, reason=why, failed=True)
        counts = "approve" if spec.fail_open else "reject"
        self.floor.row(at, seat.name, "fails", f"{why}; counts as {counts}", path)

    def advance(self) -> bool | None:
        """Ask whoever is to be asked now; say whether it is approved once the round is over."""
        poll = self.poll()
        settled = poll.settled()
        waiting = [seat for seat in self.seats if seat.verdict is None and not seat.asked]
        flying = sum(seat.asked for seat in self.seats)
        if settled is not None and (self.spec.early or not (waiting or flying)):
            self._close()
            return settled
        # Where all are to be heard, nothing is gained by waiting once it is settled.
        in_waves = self.spec.waves and settled is None
        room = poll.needed() - flying if in_waves else len(waiting)
        for seat in waiting[: max(room, 0)]:
            self._ask(seat)
        return None

    def reopen(self) -> bool:
        """Forget what stands for the verdicts of those who have failed, if they could change it."""
        failed = {seat.name: seat.verdict for seat in self.failed()}
        for seat in self.seats:
            seat.verdict = None if seat.name in failed else seat.verdict
        if not failed or self.poll().settled() is not None:
            for seat in self.seats:
                seat.verdict = failed.get(seat.name, seat.verdict)
            return False
        for seat in self.seats:
            if seat.name in failed:
                # They go on from their drafts, which are needed again.
                for path in seat.calls[: seat.stage]:
                    self.floor.books.judge(path, "useful")
        return True

    def fork(self, floor: Floor) -> Self:
        """Copy it, to go on with a copy of its floor."""
        other = type(self)(floor, self.spec, self.role)
        other.seats = [seat.fork() for seat in self.seats]
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        asked = [seat for seat in self.seats if seat.asked]
        if any(seat.verdict is not None for seat in asked):
            raise EngineBug("who has given a verdict is asked no more")
        if self.spec.waves and self.spec.early and len(asked) > self.poll().needed():
            raise EngineBug("no more reviewers are at work than could settle it")

    # -- within -----------------------------------------------------------------------------

    def _seat_at(self, path: str) -> Seat:
        return next(seat for seat in self.seats if seat.call == path)

    def _ask(self, seat: Seat) -> None:
        seat.asked = True
        if seat.call in self.floor.gave_up:
            self.floor.ask_again(seat.call)
            return
        stage, temperature = STAGES[self.spec.protocol][seat.stage]
        path = self.floor.path_for(f"{seat.name}/{stage}")
        seat.calls = (*seat.calls, path)
        self.floor.ask(
            path,
            seat.member.agent,
            VERDICT if stage in ("judge", "vote") else None,
            fallback=seat.member.fallback,
            options={} if temperature is None else {"temperature": temperature},
            # Who only says what it has found out needs none.
            tools=stage != "vote",
            role=self.role,
        )

    def _judges(self, seat: Seat, said: Said, at: int) -> None:
        seat.verdict = Verdict(
            approves=said.approves,
            weight=seat.member.weight,
            confidence=said.confidence,
            reason=said.reason,
            issues=said.issues,
        )
        word = "approve" if said.approves else "reject"
        why = f": {said.reason}" if said.reason else ""
        self.floor.row(at, seat.name, "judges", f"{word}, {said.confidence:.2g}{why}", seat.call)

    def _close(self) -> None:
        """Let go of whoever is still at work; what did not lead to a verdict was for nothing."""
        for seat in self.seats:
            if seat.asked:
                self.floor.drop(seat.call)
                seat.asked = False
            if seat.verdict is None or seat.verdict.failed:
                for path in seat.calls:
                    self.floor.books.judge(path, "discarded")
