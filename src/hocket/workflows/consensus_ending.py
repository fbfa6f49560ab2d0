"""How a consensus ends: with whose answer, and who writes it once more."""

from __future__ import annotations

from typing import Self

import msgspec

from hocket.core.errors import EngineBug
from hocket.core.values import Json
from hocket.workflows.consensus_asks import Asks
from hocket.workflows.consensus_result import Verdict, output_of
from hocket.workflows.consensus_state import Table
from hocket.workflows.floor import Floor


class Ending:
    """The last stage.

    Args:
        floor: What everybody speaks through.
        table: Who takes part.
        asks: Who is asked.

    Attributes:
        verdict: Whose answer stands; None as long as nothing is decided.
    """

    def __init__(self, floor: Floor, table: Table, asks: Asks) -> None:
        self.floor = floor
        self._table = table
        self._asks = asks
        self.verdict: Verdict | None = None

    def decide(self, winner: str, why: str, at: int, *, forced: bool = False) -> None:
        """Let a member's answer stand; ask for the final one if there is to be another."""
        table = self._table
        seat = next(seat for seat in table.seats if seat.name == winner)
        self._asks.drop_all()
        self.verdict = Verdict(
            winner=winner,
            decision=why,
            forced=forced,
            tally=table.tally(),
            answer=seat.contents[-1],
        )
        self.floor.row(at, "", "decides", f"{seat.label}: {why}")
        if table.spec.final == "reuse":
            self._close(at)
        else:
            self._asks.final(table.spec.final, seat)

    def written(self, path: str, answer: Json, at: int) -> None:
        """The final answer has been written."""
        assert self.verdict is not None
        self.verdict = msgspec.structs.replace(self.verdict, answer=answer)
        self.floor.row(at, path.partition("/")[0], "presents", "", path)
        self._close(at)

    def failed(self, path: str, why: str, at: int) -> None:
        """The final answer has not been written: the winner's own stands as it is.

        `path` is "" if nobody is asked for it any more.
        """
        assert self.verdict is not None
        if path:
            self.floor.books.judge(path, "discarded")
        self.floor.row(at, path.partition("/")[0], "fails", why, path)
        said = f"{self.verdict.decision}; the winner's answer stands as it was: {why}"
        self.verdict = msgspec.structs.replace(self.verdict, decision=said)
        self._close(at)

    def fail(self, at: int) -> None:
        """Too few have answered: fail with what there is."""
        seats, quorum = self._table.seats, max(self._table.spec.quorum, 1)
        there = len(self._table.placed("in"))
        missing = [f"{seat.name}: {seat.why}" for seat in seats if seat.place != "in"]
        said = f"{there} of {len(seats)} members answered, {quorum} must; {'; '.join(missing)}"
        self._asks.drop_all()
        self.floor.row(at, "", "decides", f"nothing: {said}")
        self.floor.fail(said, at)

    def fork(self, floor: Floor, table: Table, asks: Asks) -> Self:
        """Copy it."""
        other = type(self)(floor, table, asks)
        other.verdict = self.verdict
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        end = self.floor.outcome
        if end is not None and (end.status == "succeeded") != (self.verdict is not None):
            raise EngineBug("a consensus that is over has a verdict, or has failed")
        if self.verdict is not None and not self._table.round:
            raise EngineBug("nothing is decided before the first answers are in")

    # -- within -----------------------------------------------------------------------------

    def _close(self, at: int) -> None:
        assert self.verdict is not None
        self.floor.decide(output_of(self._table, self.verdict, self.floor), at)
