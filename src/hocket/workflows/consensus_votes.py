"""Votes of a consensus: who is asked when, and what what they give is worth."""

from __future__ import annotations

from typing import Final, Self

from hocket.core.values import Json
from hocket.workflows.consensus_asks import Asks
from hocket.workflows.consensus_prompts import REVISED, Said, Turn, read_said, vote_words
from hocket.workflows.consensus_state import Cast, Seat, Table
from hocket.workflows.floor import Floor

BATCH: Final = "batch"
"""The reminder that new answers have been collected for long enough."""


class Votes:
    """The course of the votes.

    Args:
        floor: What everybody speaks through.
        table: Who takes part.
        asks: Who is asked.
    """

    def __init__(self, floor: Floor, table: Table, asks: Asks) -> None:
        self.floor = floor
        self._table = table
        self._asks = asks
        self._collecting = False

    # -- what came --------------------------------------------------------------------------

    def heard(self, seat: Seat, path: str, output: Json, seen: Json, at: int) -> None:
        """A member has voted, or given a new answer instead."""
        table, said = self._table, read_said(output)
        if said is not None and said.answer is not None:
            self._revises(seat, path, said, seen, at)
        elif not table.is_fresh(seen):
            self._stale(seat, path, said, seen, at)
        elif said is None:
            self.abstains(seat, path, "what it gave is no vote", at)
        elif said.vote not in (table.between or seen):
            self.abstains(seat, path, f"there is no answer {said.vote!r} to vote for", at)
        else:
            cast = seat.vote = self._cast(seat, path, said, seen)
            self._turn(seat, seen, vote_words(said.vote, said.confidence, said.reason))
            seat.done = True
            self.floor.row(at, seat.name, "votes", _in_words(cast), path)

    def abstains(self, seat: Seat, path: str, why: str, at: int) -> None:
        """A member gives no vote in this round; what it gave, if anything, is no use."""
        seat.done = True
        self.floor.books.judge(path, "discarded")
        weight = self._table.weight(seat)
        self._table.casts.append(
            Cast(
                member=seat.name,
                path=path,
                choice="",
                confidence=0.0,
                weight=weight,
                reason=why,
                agent=self.floor.by.get(path, seat.member.agent),
            )
        )
        self.floor.row(at, seat.name, "abstains", why, path)

    def news(self, author: Seat, at: int) -> None:
        """There is a new answer: votes that don't know it are void."""
        table, way = self._table, self._table.way
        for seat in table.placed("in"):
            if seat.vote is not None and not table.is_fresh(seat.vote.seen):
                self.floor.books.judge(seat.vote.path, "stale")
                seat.vote = None
            if way.eager:
                seat.done = seat.vote is not None
        if way.tells:
            self._asks.tell(author, at)
        if way.cuts:
            self._asks.cut_stale()
        if way.collects and not self._collecting and not table.round:
            self._collecting = True
            self.floor.remind(BATCH, at + table.spec.batch)

    def collected(self) -> None:
        """What was new has been collected for long enough."""
        self._collecting = False
        self.floor.forget(BATCH)

    # -- rounds -----------------------------------------------------------------------------

    def ask(self, at: int) -> None:
        """Ask whoever is to be asked now."""
        table, way = self._table, self._table.way
        waiting = [seat for seat in table.seats if seat.open and not seat.path]
        if not table.round:
            if not way.eager or self._collecting:
                return
            if way.tells:
                # Who goes on and is told of what is new votes a second time only in the end.
                spoke = {cast.member for cast in table.casts}
                waiting = [seat for seat in waiting if seat.name not in spoke]
        if table.spec.votes == "as_needed":
            # Whoever may give a new answer is needed anyway; of the others the heaviest first, for
            # of those the fewest are needed.
            waiting.sort(key=lambda seat: (not table.may_revise(seat), -table.weight(seat)))
        for seat in waiting:
            spare = table.spec.votes == "as_needed" and not table.may_revise(seat)
            if spare and len(self._asks.flying("vote")) >= table.needed():
                break
            self._asks.vote(seat, at)

    def next_round(self) -> None:
        """Let everybody without a vote that counts speak once more."""
        table = self._table
        if not table.round:
            self.collected()
        table.round += 1
        table.revised = False
        for seat in table.placed("in"):
            seat.done = seat.vote is not None

    def run_off(self, between: tuple[str, ...]) -> None:
        """Let everybody vote once more, between some answers alone."""
        self._table.between = between
        for seat in self._table.seats:
            seat.vote = None
        self.next_round()

    def close_round(self, why: str, at: int) -> None:
        """Wait no longer for the votes of this round."""
        for seat in self._asks.flying("vote"):
            path = seat.path
            self._asks.drop(seat)
            self.abstains(seat, path, why, at)
        for seat in self._table.seats:
            seat.done = True

    def fork(self, floor: Floor, table: Table, asks: Asks) -> Self:
        """Copy it."""
        other = type(self)(floor, table, asks)
        other._collecting = self._collecting
        return other

    # -- within -----------------------------------------------------------------------------

    def _revises(self, seat: Seat, path: str, said: Said, seen: Json, at: int) -> None:
        if not seat.may_revise:
            self.abstains(seat, path, "it may not give a new answer now", at)
        elif said.answer == seat.contents[-1]:
            self.abstains(seat, path, "its new answer is the one that it gave before", at)
        else:
            seat.contents = (*seat.contents, said.answer)
            seat.by = self.floor.by.get(path, seat.member.agent)
            self._turn(seat, seen, REVISED)
            seat.done = True
            self._table.revised = True
            detail = f"answer {seat.label}, revision {len(seat.contents)}"
            self.floor.row(at, seat.name, "revises", detail, path)
            self.news(seat, at)

    def _stale(self, seat: Seat, path: str, said: Said | None, seen: Json, at: int) -> None:
        self.floor.books.judge(path, "stale")
        words = "What you gave was no vote."
        if said is not None and said.answer is None:
            cast = self._cast(seat, path, said, seen)
            words = vote_words(said.vote, said.confidence, said.reason)
            self.floor.row(at, seat.name, "votes", f"{_in_words(cast)}; void", path)
        self._turn(seat, seen, words)
        seat.done = not self._table.way.eager

    def _cast(self, seat: Seat, path: str, said: Said, seen: Json) -> Cast:
        cast = Cast(
            member=seat.name,
            path=path,
            choice=said.vote,
            confidence=said.confidence,
            weight=self._table.weight(seat, said.confidence),
            reason=said.reason,
            seen=seen if isinstance(seen, dict) else {},
            agent=self.floor.by.get(path, seat.member.agent),
        )
        self._table.casts.append(cast)
        return cast

    def _turn(self, seat: Seat, seen: Json, said: str) -> None:
        # What somebody has seen may be unknown; it is then shown everything when asked again.
        if isinstance(seen, dict) and seen:
            seat.turns = (*seat.turns, Turn(seen, self._table.between, seat.may_revise, said))


def _in_words(cast: Cast) -> str:
    why = f": {cast.reason}" if cast.reason else ""
    return f"for {cast.choice}, confidence {cast.confidence:.2g}{why}"
