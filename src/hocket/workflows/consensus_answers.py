"""First answers of a consensus: who is asked, what came, and who is not waited for."""

from __future__ import annotations

from hocket.core.values import Json
from hocket.workflows.consensus_asks import Asks
from hocket.workflows.consensus_state import Seat, Table
from hocket.workflows.consensus_votes import Votes
from hocket.workflows.floor import Floor


class FirstAnswers:
    """The first stage.

    Args:
        floor: What everybody speaks through.
        table: Who takes part.
        asks: Who is asked.
        votes: Who hears of new answers.
    """

    def __init__(self, floor: Floor, table: Table, asks: Asks, votes: Votes) -> None:
        self.floor = floor
        self._table = table
        self._asks = asks
        self._votes = votes

    def ask(self) -> None:
        """Ask everybody who was not asked yet, or the next one where it goes in turn."""
        idle = self._table.placed("idle")
        for seat in idle[:1] if self._table.way.in_turn else idle:
            self._asks.answer(seat)

    def again(self, at: int) -> None:
        """Ask who has failed or was late once more; an answer that came late counts now."""
        for seat in self._table.placed("late", "failed"):
            seat.place = "in" if seat.contents else "idle"
            if seat.contents:
                self._votes.news(seat, at)
        self.ask()

    def heard(self, seat: Seat, path: str, output: Json, seen: Json, at: int) -> None:
        """A member has given its answer."""
        table, floor = self._table, self.floor
        by = floor.by.get(path, seat.member.agent)
        if output is None:
            self.failed(seat, path, "it gave no answer", at)
        elif seat.place == "late":
            seat.contents, seat.by = (output,), by
            floor.books.judge(path, "discarded")
            floor.row(at, seat.name, "answers", f"{seat.label}; too late to count", path)
        elif table.way.redoes and not table.is_fresh(seen):
            floor.books.judge(path, "stale")
            floor.row(at, seat.name, "restarts", "it knew of fewer answers than there are", path)
            self._asks.answer(seat)
        else:
            seat.contents, seat.by, seat.place = (output,), by, "in"
            instead = f", by {by} instead of {seat.member.agent}" if by != seat.member.agent else ""
            floor.row(at, seat.name, "answers", f"{seat.label}{instead}", path)
            self._votes.news(seat, at)

    def failed(self, seat: Seat, path: str, why: str, at: int) -> None:
        """A member has no answer to give."""
        self.floor.books.judge(path, "discarded")
        seat.place, seat.why = "failed", why
        self.floor.row(at, seat.name, "fails", why, path)

    def leave_behind(self, why: str, at: int, *, drop: bool) -> None:
        """Wait no longer for the answers under way; `drop` says whether to cut them off."""
        for seat in self._table.placed("answering"):
            seat.place, seat.why = "late", why
            self.floor.row(at, seat.name, "fails", f"late: {why}", seat.path)
            if drop:
                self._asks.drop(seat)

    def have_quorum(self) -> bool:
        """Tell whether there are enough answers to decide between."""
        return len(self._table.placed("in")) >= max(self._table.spec.quorum, 1)
