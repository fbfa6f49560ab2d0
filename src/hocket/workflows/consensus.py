"""Several agents answer one question and decide by votes whose answer stands.

    first answers ──all are in, failed or late──> round of votes ──nobody revised──> decision
                                                    ^      │ somebody did, or a run-off
                                                    └──────┘
    decision ──reuse──> over;   ──present, synthesize──> one more call ──> over

That is the default.
Policies that let members vote at once ask votes from the first answer on, and ask again whoever
has not seen the latest (`hocket.workflows.consensus_policies`).
Calls of a member are at ``MEMBER/answer``, ``MEMBER/vote`` and ``MEMBER/present``; a synthesis is
at ``final/synthesize``.

A member who was not waited for is late: what it gives all the same is noted and changes nothing.
A member whose answer or vote has failed abstains from then on; its answer, if any, can still win.
Rounds of votes are counted from when all first answers are in; each further one follows a new
answer or an undecided ballot.
In the last one nobody may give a new answer, and no run-off follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from hocket.core.errors import EngineBug, Fault
from hocket.core.reports import Report
from hocket.core.teams import ConsensusSpec
from hocket.core.values import Json, canonical, format_duration
from hocket.workflows.ballot import Outcome, result
from hocket.workflows.consensus_answers import FirstAnswers
from hocket.workflows.consensus_asks import Asks
from hocket.workflows.consensus_ending import Ending
from hocket.workflows.consensus_result import report_of
from hocket.workflows.consensus_state import Table
from hocket.workflows.consensus_votes import BATCH, Votes
from hocket.workflows.floor import Floor, Prompt

_SOFT: Final = "soft"
_HARD: Final = "hard"
_DURATION: Final = "duration"


class Consensus:
    """The rules of a consensus; a `hocket.workflows.team.Rules`.

    Args:
        floor: What they speak through.
        given: The question; labels are drawn from it and from the step's name, so that the same
            question with the same answers asks the same votes, and kept ones hold.
        facts: Not used.
    """

    def __init__(self, floor: Floor, given: Json, facts: Mapping[str, Json]) -> None:
        spec = floor.step.team
        if not isinstance(spec, ConsensusSpec):
            raise EngineBug(f"step {floor.step.name!r} has no consensus to do")
        self.floor = floor
        self._spec = spec
        self._table = Table(spec, (canonical(given).decode(), floor.step.name))
        self._asks = Asks(floor, self._table, given)
        self._votes = Votes(floor, self._table, self._asks)
        self._answers = FirstAnswers(floor, self._table, self._asks, self._votes)
        self._ending = Ending(floor, self._table, self._asks)
        self._hurried = False
        """Whether the soft deadline of the present stage has passed."""

    # -- what a team calls ------------------------------------------------------------------

    def begin(self, at: int) -> None:
        """Ask for the first answers."""
        self._time_all(at)
        self._answers.ask()
        self._time_stage(at)

    def prompt(self, path: str) -> Prompt:
        """Say what the member at `path` is asked, as of now."""
        return self._asks.prompt(path)

    def view_of(self, path: str) -> Json:
        """Say which revision of which answer the member at `path` sees, by label."""
        return self._asks.view_of(path)

    def heard(self, path: str, output: Json, seen: Json, at: int) -> None:
        """A member has answered, voted or written the final answer."""
        kind, seat = self._asks.take(path)
        if kind == "answer":
            self._answers.heard(seat, path, output, seen, at)
        elif kind == "vote":
            self._votes.heard(seat, path, output, seen, at)
        elif output is None:
            self._ending.failed(path, "it is empty", at)
        else:
            self._ending.written(path, output, at)
        self._advance(at)

    def gave_up(self, path: str, fault: Fault, at: int) -> None:
        """A member has failed for good."""
        kind, seat = self._asks.take(path)
        if kind == "answer":
            self._answers.failed(seat, path, fault.message, at)
            seat.gave_up = path
        elif kind == "vote":
            seat.out = True
            self._votes.abstains(seat, path, fault.message, at)
        else:
            self._ending.failed(path, fault.message, at)
        self._advance(at)

    def again(self, at: int) -> None:
        """Go on after a failure: who has no answer is asked anew."""
        self._time_all(at)
        self._answers.again(at)
        self._time_stage(at)
        self._advance(at)

    def due(self, name: str, at: int) -> None:
        """A deadline has come."""
        if name == _SOFT:
            self._hurried = True
        elif name == _HARD:
            why = _too_late(self._spec.hard)
            self._answers.leave_behind(why, at, drop=True)
            if self._table.round:
                self._votes.close_round(why, at)
        elif name == BATCH:
            self._votes.collected()
        else:
            self._run_out(at)
        self._advance(at)

    def report(self) -> Report:
        """Say what was done so far."""
        return report_of(self._table, self._ending.verdict, self.floor)

    def fork(self, floor: Floor) -> Self:
        """Copy them."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        table = self._table.fork()
        asks = self._asks.fork(floor, table)
        votes = self._votes.fork(floor, table, asks)
        other.floor, other._table, other._asks, other._votes = floor, table, asks, votes
        other._answers = FirstAnswers(floor, table, asks, votes)
        other._ending = self._ending.fork(floor, table, asks)
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        self._asks.check()
        self._table.check()
        self._ending.check()
        flying = len(self._asks.flying("vote"))
        if self._ending.verdict is None and flying > self._table.most_flying():
            raise EngineBug("more votes are under way than the decision needs")

    # -- what follows -----------------------------------------------------------------------

    def _time_all(self, at: int) -> None:
        if self._spec.max_duration is not None:
            self.floor.remind(_DURATION, at + self._spec.max_duration)

    def _time_stage(self, at: int) -> None:
        """Let the deadlines of a stage run from now on: of first answers, or of a round."""
        self._hurried = False
        for name, wait in ((_SOFT, self._spec.soft), (_HARD, self._spec.hard)):
            if wait is not None:
                self.floor.remind(name, at + wait)

    def _advance(self, at: int) -> None:
        """Do what follows from the present state."""
        if self.floor.over or self._ending.verdict is not None:
            return
        if not self._table.round:
            if self._waits_for_answers(at):
                self._votes.ask(at)
                return
            if not self._answers.have_quorum():
                self._ending.fail(at)
                return
            self._next_round(at)
        self._poll(at)

    def _waits_for_answers(self, at: int) -> bool:
        table = self._table
        if self._hurried and self._answers.have_quorum():
            self._answers.leave_behind(_too_late(self._spec.soft), at, drop=False)
        if not table.placed("answering") and table.placed("idle"):
            self._answers.ask()
            self._time_stage(at)
        return bool(table.placed("answering"))

    def _next_round(self, at: int) -> None:
        self._votes.next_round()
        self._time_stage(at)

    def _poll(self, at: int) -> None:
        """Go on with a round of votes until something is waited for, or it is decided."""
        table, spec = self._table, self._spec
        stops_early = spec.early or spec.votes == "as_needed"
        while self._ending.verdict is None:
            if len(table.candidates()) == 1:
                self._ending.decide(table.best(), "it is the only answer", at)
                return
            outcome = table.settled() if stops_early else None
            if outcome is not None:
                self._conclude(outcome, at)
                continue
            if self._hurried and len(table.spoken()) >= spec.quorum:
                self._votes.close_round(_too_late(spec.soft), at)
            self._votes.ask(at)
            if self._asks.flying("vote"):
                return
            if table.revised:
                self._next_round(at)
            else:
                self._conclude(result(table.ballot()), at)

    def _conclude(self, outcome: Outcome, at: int) -> None:
        """A round of votes has come to this."""
        table, spec = self._table, self._spec
        left = sum([seat.open for seat in table.seats])
        why = f"after a run-off, {outcome.why}" if table.between else outcome.why
        if left:
            why += f"; {left} more vote{'s' * (left > 1)} could not change it"
        between = table.top()
        undecided = outcome.winner is None or (spec.tie == "runoff" and bool(outcome.tied))
        if undecided and spec.tie == "runoff" and len(between) > 1 and not table.between:
            if table.round < spec.max_rounds:
                self.floor.row(at, "", "decides", f"nothing yet: {why}; there is a run-off")
                self._votes.run_off(between)
                self._time_stage(at)
                return
            why += f"; no round is left for a run-off{self._makeshift(outcome)}"
            self._ending.decide(table.best(), why, at, forced=True)
        elif outcome.winner is not None:
            self._ending.decide(outcome.winner, why, at)
        else:
            why += self._makeshift(outcome)
            self._ending.decide(table.best(), why, at, forced=True)

    def _makeshift(self, outcome: Outcome) -> str:
        """Say which answer has to do where nobody has won, and if it is by order alone."""
        if outcome.winner is not None:
            return ""
        if outcome.share and not outcome.tied:
            return "; the best supported answer has to do"
        return f"; {self._table.best()} comes first and has to do"

    def _run_out(self, at: int) -> None:
        """No time is left."""
        spent = f"time ran out after {format_duration(self._spec.max_duration or 0)}"
        if self._ending.verdict is not None:
            self._asks.drop_all()
            self._ending.failed("", spent, at)
            return
        table = self._table
        self._answers.leave_behind(spent, at, drop=True)
        for seat in table.placed("idle"):
            seat.place, seat.why = "late", spent
        if not self._answers.have_quorum():
            # Nobody is waited for any more, so that it fails is what follows.
            return
        table.round = max(table.round, 1)
        outcome = result(table.ballot())
        winner = outcome.winner or table.best()
        why = f"{spent}; {outcome.why}{self._makeshift(outcome)}"
        self._ending.decide(winner, why, at, forced=True)


def _too_late(wait: int | None) -> str:
    return f"not done after {format_duration(wait or 0)}"
