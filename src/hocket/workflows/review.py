"""A swarm of reviewers judges an artefact, and stops when the verdict cannot change.

    review step:  artefact ──────> round of verdicts ──approved or not──> over
    other step:   author ──gives─> round of verdicts ──approved──> over, with what the author gave
                                     ^       │rejected, rounds left: mended by author or fixer
                                     └───────┘
                                             │rejected in the end: failed

Reviewers are ``r1``, ``r2`` and so on, and members take their seats in rotation; their calls are at
``r1/judge``, or at ``r1/assess``, ``r1/correct`` and ``r1/vote``; the others' at ``author`` and
``fixer``.

So that no call is wasted, reviewers start in waves: never are more of them at work than the fewest
whose verdicts could settle it by what is in, however sure they will be.
A verdict lowers that number by one at most, so whoever has started is heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from hocket.core.errors import EngineBug, Fault
from hocket.core.reports import Report
from hocket.core.teams import ReviewSpec
from hocket.core.values import Json
from hocket.workflows.floor import Floor, Prompt, Role
from hocket.workflows.review_prompts import Work, fix_prompt, mends_itself, redo_prompt
from hocket.workflows.review_result import (
    Found,
    Round,
    decision_of,
    failure_of,
    output_of,
    report_of,
)
from hocket.workflows.review_swarm import Swarm
from hocket.workflows.solo import prompt_parts


class Review:
    """The rules of a review; a `hocket.workflows.team.Rules`.

    Args:
        floor: What they speak through.
        given: The artefact; or what the author gets, where a step's output is reviewed.
        facts: Not used.
    """

    def __init__(self, floor: Floor, given: Json, facts: Mapping[str, Json]) -> None:
        team = floor.step.team
        spec = team if isinstance(team, ReviewSpec) else floor.step.review
        if spec is None:
            raise EngineBug(f"step {floor.step.name!r} has nothing to review")
        self.floor = floor
        self._spec = spec
        self._given = given
        self._authored = not isinstance(team, ReviewSpec)
        """Whether the step's own agent makes what is reviewed."""
        self._role: Role = "guest" if self._authored else "member"
        """Whether the step's settings are for those who review, or for the author."""
        self._artefact: Json = None if self._authored else given
        self._by = ""
        """Who was to make the artefact."""
        self._agent = ""
        """Who has made it: the same, or a fallback."""
        self._before: tuple[Round, ...] = ()
        """The rounds before the present one."""
        self._last = spec.max_rounds
        """The number of the last round that there may be."""
        self._swarm = Swarm(floor, spec, self._role)
        self._making = ""
        """The path of the author's or fixer's call, until it has given something."""
        self._mending = False
        """Whether that call is to mend an artefact."""
        self._decision = ""

    # -- what a team calls ------------------------------------------------------------------

    def begin(self, at: int) -> None:
        """Ask the author, or the first reviewers."""
        if self._authored:
            self._make()
        else:
            self._advance(at)

    def prompt(self, path: str) -> Prompt:
        """Say what is asked at `path`."""
        if path != self._making:
            return self._swarm.prompt(path, self._work)
        if not self._mending:
            return Prompt(prompt_parts(self._given)[0], {}, self._given)
        ask = fix_prompt if self._spec.fixer else redo_prompt
        return ask(self._work, self._round.issues())

    def view_of(self, path: str) -> Json:
        """Say which revision of the artefact is seen; reviewers see nothing of each other."""
        return {} if path == self._making else {"artefact": len(self._before) + 1}

    def heard(self, path: str, output: Json, seen: Json, at: int) -> None:
        """The artefact is there, or a reviewer has given something."""
        if path == self._making:
            self._made(path, output, at)
        else:
            self._swarm.heard(path, output, at)
        self._advance(at)

    def gave_up(self, path: str, fault: Fault, at: int) -> None:
        """The author, the fixer or a reviewer has failed for good."""
        if path != self._making:
            self._swarm.fails(path, fault.message, at)
            self._advance(at)
            return
        self.floor.row(at, self._maker, "fails", fault.message, path)
        if self._mending:
            why = f"; {self._maker}, who was to mend it, has failed: {fault.message}"
            self._end(False, why, at)
        else:
            self.floor.fail(fault.message, at)

    def again(self, at: int) -> None:
        """Go on after a failure: ask those again who failed, or have the artefact mended."""
        self._decision = ""
        if self._making:
            self.floor.ask_again(self._making)
        elif self._swarm.reopen():
            self._advance(at)
        else:
            self._last = len(self._before) + 1 + self._spec.max_rounds
            self._make(mending=self._can_mend)

    def due(self, name: str, at: int) -> None:
        """They wait for no instant."""

    def report(self) -> Report:
        """Say what was done so far."""
        return report_of(self.floor, self._rounds, self._decision)

    def fork(self, floor: Floor) -> Self:
        """Copy them, to go on with a copy of their floor."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.floor = floor
        other._swarm = self._swarm.fork(floor)
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        asked = [seat.call for seat in self._swarm.seats if seat.asked]
        if self._making and asked:
            raise EngineBug("nobody reviews what is being made")
        if self._making and not self.floor.over:
            asked.append(self._making)
        if sorted(asked) != sorted(self.floor.asked):
            raise EngineBug("the rules and the floor know of the same calls")
        self._swarm.check()

    # -- who and what -----------------------------------------------------------------------

    @property
    def _work(self) -> Work:
        return Work(self._artefact, self._given if self._authored else None, self._spec.criteria)

    @property
    def _maker(self) -> str:
        """Who is at work on the artefact."""
        return (self._mending and self._spec.fixer) or self.floor.step.agent

    @property
    def _can_mend(self) -> bool:
        return bool(self._spec.fixer) or mends_itself(self.floor.step, self.floor.agents)

    @property
    def _round(self) -> Round:
        """The present round so far."""
        found = [
            Found(seat.name, self.floor.by.get(seat.call, seat.member.agent), verdict)
            for seat, verdict in self._swarm.verdicts()
        ]
        return Round(self._artefact, self._by, self._agent, tuple(found))

    @property
    def _rounds(self) -> tuple[Round, ...]:
        return (*self._before, self._round)

    # -- what follows -----------------------------------------------------------------------

    def _make(self, *, mending: bool = False) -> None:
        """Ask for an artefact: from the author, or a mended one."""
        floor, step = self.floor, self.floor.step
        self._mending = mending
        if mending and self._spec.fixer:
            self._making = floor.path_for("fixer")
            schema = step.output if self._authored else None
            floor.ask(self._making, self._spec.fixer, schema, role=self._role)
            return
        self._making = floor.path_for("author")
        floor.ask(
            self._making,
            step.agent,
            step.output,
            fallback=step.fallback,
            # A conversation is opened by a text, so what the author is told before goes beside it.
            options=prompt_parts(self._given)[1] if floor.agents[step.agent].tools else {},
            role="author",
        )

    def _made(self, path: str, output: Json, at: int) -> None:
        """There is an artefact, which is reviewed from the beginning."""
        self.floor.row(at, self._maker, "fixes" if self._mending else "answers", "", path)
        if self._swarm.verdicts():
            self._before = self._rounds
            self._swarm = Swarm(self.floor, self._spec, self._role)
        self._artefact, self._by = output, self._maker
        self._agent = self.floor.by.get(path, self._maker)
        self._making, self._mending = "", False

    def _advance(self, at: int) -> None:
        """Go on with the review, and with what follows from it once it is over."""
        approved = self._swarm.advance()
        if approved is None:
            return
        number, found = len(self._rounds), self._round
        # Where nobody has found anything, there is nothing to mend.
        if not approved and number < self._last and found.rejections() and self._can_mend:
            self._make(mending=True)
        else:
            self._end(approved, "", at)

    def _end(self, approved: bool, why: str, at: int) -> None:
        rounds = self._rounds
        decision = self._decision = decision_of(self._spec, rounds, approved) + why
        self.floor.row(at, "", "decides", decision)
        if not self._authored:
            self.floor.decide(output_of(self._spec, rounds, approved, decision, self.floor), at)
        elif approved:
            self.floor.decide(self._artefact, at)
        else:
            self.floor.fail(failure_of(decision, rounds[-1]), at)
