"""What is asked of the members of a consensus now, by the paths of the calls."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from hocket.core.errors import EngineBug
from hocket.core.values import Json
from hocket.workflows.consensus_prompts import (
    Turn,
    answer_prompt,
    final_prompt,
    in_order,
    news_text,
    revision_schema,
    vote_prompt,
    vote_schema,
)
from hocket.workflows.consensus_state import Seat, Table
from hocket.workflows.floor import Floor, Prompt

Kind: TypeAlias = Literal["answer", "vote", "present", "synthesize"]


class Asks:
    """Who is asked for what.

    Args:
        floor: What asks them.
        table: Who they are.
        question: What it is all about.
    """

    def __init__(self, floor: Floor, table: Table, question: Json) -> None:
        self.floor = floor
        self._table = table
        self._question = question
        self._asked: dict[str, tuple[Kind, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._asked)

    # -- asking -----------------------------------------------------------------------------

    def answer(self, seat: Seat) -> None:
        """Ask for a first answer."""
        member = seat.member
        seat.place = "answering"
        if seat.gave_up:
            path = seat.path = seat.gave_up
            self._asked[path] = ("answer", self._table.seats.index(seat))
            seat.gave_up = ""
            self.floor.ask_again(path)
            return
        path = seat.path = self._open(f"{member.name}/answer", "answer", seat)
        schema = self._table.spec.answer
        self.floor.ask(path, member.agent, schema, fallback=member.fallback)

    def vote(self, seat: Seat, at: int) -> None:
        """Ask for a vote, or for a new answer if that is permitted."""
        table, member = self._table, seat.member
        if seat.turns and not table.between:
            self._tell_again(seat, at)
        seat.may_revise = table.may_revise(seat)
        labels = in_order(table.between or [s.label for s in table.seats if s.place in _MAY_WIN])
        schema = vote_schema(labels)
        if seat.may_revise:
            schema = revision_schema(labels, table.spec.answer)
        path = seat.path = self._open(f"{member.name}/vote", "vote", seat)
        # Who only votes needs no tools; who may still work, does.
        tools = seat.may_revise or table.way.tells
        self.floor.ask(path, member.agent, schema, fallback=member.fallback, tools=tools)

    def final(self, kind: Literal["present", "synthesize"], winner: Seat) -> None:
        """Ask for the final answer."""
        spec, member = self._table.spec, winner.member
        agent, fallback = member.agent, member.fallback
        if kind == "synthesize" and spec.presenter:
            agent, fallback = spec.presenter, ()
        stem = f"{member.name}/present" if kind == "present" else "final/synthesize"
        path = self._open(stem, kind, winner)
        self.floor.ask(path, agent, spec.answer, fallback=fallback, tools=False)

    def tell(self, news: Seat, at: int) -> None:
        """Tell everybody who is in a conversation of a new answer."""
        label, content = news.label, news.contents[-1]
        mark = {label: len(news.contents)}
        for path, (_, index) in self._asked.items():
            talk = self.floor.asked[path].talk
            # One that has not begun is opened with what is known by then anyway.
            if talk is not None and talk.opened:
                talk.tell(news_text(label, content), mark)
                name = self._table.seats[index].name
                self.floor.row(at, name, "is told", f"answer {label} is new", path)

    # -- what is asked ----------------------------------------------------------------------

    def prompt(self, path: str) -> Prompt:
        """Say what the member at `path` is asked, as of now."""
        table = self._table
        kind, index = self._asked[path]
        answers, latest = table.answers(), table.latest()
        if kind == "answer":
            return answer_prompt(self._question, answers.at(self.view_of(path)))
        if kind == "vote":
            seat = table.seats[index]
            turn = Turn(latest, table.between, seat.may_revise)
            return vote_prompt(self._question, answers, (*seat.turns, turn))
        votes: list[dict[str, Json]] = [
            {"choice": cast.choice, "confidence": cast.confidence, "reason": cast.reason}
            for cast in [seat.vote for seat in table.seats]
            if cast is not None
        ]
        chosen = table.seats[index].label
        return final_prompt(kind, self._question, answers.at(latest), votes, chosen)

    def view_of(self, path: str) -> dict[str, int]:
        """Say which revision of which answer the member at `path` sees, by label."""
        kind, _ = self._asked[path]
        way = self._table.way
        alone = kind == "answer" and not (way.in_turn or way.redoes)
        return {} if alone else self._table.latest()

    def flying(self, kind: Kind) -> list[Seat]:
        """Give the seats of which something is asked now."""
        return [self._table.seats[index] for known, index in self._asked.values() if known == kind]

    # -- the end of asking ------------------------------------------------------------------

    def take(self, path: str) -> tuple[Kind, Seat]:
        """A call is over: say what it was."""
        kind, index = self._asked.pop(path)
        seat = self._table.seats[index]
        if kind in ("answer", "vote"):
            seat.path = ""
        return kind, seat

    def drop(self, seat: Seat) -> None:
        """Let go of a seat's call under way."""
        self.floor.drop(seat.path)
        self.take(seat.path)

    def drop_all(self) -> None:
        """Let go of every call under way."""
        for path in list(self._asked):
            self.floor.drop(path)
            self.take(path)

    def cut_stale(self) -> None:
        """Let go of the votes under way that left before the latest answer was there."""
        for seat in self.flying("vote"):
            asked = self.floor.asked[seat.path]
            if asked.seen and not self._table.is_fresh(asked.view):
                seat.turns = (Turn(asked.view),)
                self.drop(seat)

    def fork(self, floor: Floor, table: Table) -> Self:
        """Copy it."""
        other = type(self)(floor, table, self._question)
        other._asked = self._asked.copy()
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        if sorted(self._asked) != sorted(self.floor.asked):
            raise EngineBug("the rules and the floor know of the same calls")
        at = {path: self._table.seats[i].path for path, (_, i) in self._asked.items()}
        finals = [path for path, (kind, _) in self._asked.items() if kind in _FINALS]
        if any(own != path for path, own in at.items() if path not in finals):
            raise EngineBug("a member is asked one thing at a time")
        paths = [seat.path for seat in self._table.seats if seat.path]
        if any(path not in self._asked for path in paths):
            raise EngineBug("a member that is asked has a call under way")
        if finals and len(self._asked) > 1:
            raise EngineBug("the final answer is asked for alone, once")

    # -- within -----------------------------------------------------------------------------

    def _open(self, stem: str, kind: Kind, seat: Seat) -> str:
        path = self.floor.path_for(stem)
        self._asked[path] = (kind, self._table.seats.index(seat))
        return path

    def _tell_again(self, seat: Seat, at: int) -> None:
        way, known = self._table.way, seat.turns[-1].seen
        new = [
            label for label, number in self._table.latest().items() if known.get(label) != number
        ]
        said = f"new: {', '.join(new)}"
        if way.eager and not way.tells:
            # It begins anew, and its earlier turns are forgotten.
            seat.turns = ()
            self.floor.row(at, seat.name, "restarts", said)
        elif new:
            self.floor.row(at, seat.name, "is told", said)


_MAY_WIN = ("in", "answering", "idle")
_FINALS = ("present", "synthesize")
