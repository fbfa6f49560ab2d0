"""Time limits that are learned from the duration book."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from tests.machines import Drive, plan, run_spec, step

from hocket.app.engine import Engine
from hocket.app.history import History, known_as, past_of
from hocket.app.learned import Lasted, bound, resolve
from hocket.app.predict import predicted
from hocket.core.errors import Fault
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallStarted, RunStarted
from hocket.core.specs import AgentSpec, Learned, PlanSpec, RunSpec, StepSpec, spec_digest
from hocket.core.values import SECOND, Call
from hocket.journal.base import Sample
from hocket.journal.book import MemoryBook
from hocket.journal.memory import MemoryJournal
from hocket.journal.sqlite import SqliteJournal
from hocket.simulator.loop import run_virtual
from hocket.workflows.panel import Panel, panel_plan, panel_step

MS = SECOND // 1000
CAP = 10 * SECOND
P95 = Learned(cap=CAP)


def known(spec: RunSpec, **lasted: Sequence[int]) -> MemoryBook:
    """A book of calls; ``a__b`` is step a/b, and what is below zero was cut off."""
    book = MemoryBook()
    for name, times in lasted.items():
        path = name.replace("__", "/")
        agent = known_as(spec.agents)["f"]
        book.record(
            [Sample(plan=spec.name, step=path, agent=agent, took=abs(t), cut=t < 0) for t in times]
        )
    return book


def learning(*steps: StepSpec) -> RunSpec:
    return run_spec(plan(*steps))


def limits(spec: RunSpec, *path: str) -> StepSpec:
    steps = spec.workflow.steps
    for name in path[:-1]:
        nested = next(s for s in steps if s.name == name).plan
        assert nested is not None
        steps = nested.steps
    return next(s for s in steps if s.name == path[-1])


TWENTY = [n * 100 * MS for n in range(1, 21)]


# -- what is learned ------------------------------------------------------------------------


def test_a_time_limit_is_what_all_but_the_slowest_took() -> None:
    spec = learning(step("a", timeout=CAP, learned={"timeout": P95}))
    assert limits(resolve(spec, known(spec, a=TWENTY)), "a").timeout == 1900 * MS


def test_where_nothing_is_known_it_is_the_cap() -> None:
    spec = learning(step("a", timeout=CAP, learned={"timeout": P95}))
    assert limits(resolve(spec, MemoryBook()), "a").timeout == CAP


def test_too_few_calls_say_nothing_of_the_slowest_of_twenty() -> None:
    spec = learning(step("a", timeout=CAP, learned={"timeout": P95}))
    assert limits(resolve(spec, known(spec, a=TWENTY[:19])), "a").timeout == CAP


@pytest.mark.parametrize(("times", "limit"), [([5 * MS] * 20, SECOND), ([60 * SECOND] * 20, CAP)])
def test_it_lies_between_floor_and_cap(times: list[int], limit: int) -> None:
    learned = Learned(cap=CAP, floor=SECOND)
    spec = learning(step("a", timeout=CAP, learned={"timeout": learned}))
    assert limits(resolve(spec, known(spec, a=times)), "a").timeout == limit


def test_a_panel_waits_until_the_slowest_contributor_is_usually_there() -> None:
    spec = learning(panel_step("r", three()))
    book = known(spec, r__a=TWENTY, r__b=[2 * SECOND] * 20, r__c=[SECOND] * 20)
    # c needs a: it is there after what both take.
    assert limits(resolve(spec, book), "r", "gather").within == 2900 * MS


def three() -> Panel:
    return Panel(
        question="why?",
        contributors=(step("a"), step("b"), step("c", input="{{a}}")),
        synthesis=step("x"),
        within=P95,
        select=step("s"),
    )


def test_a_contributor_of_whom_nothing_is_known_is_given_the_longest_time() -> None:
    spec = learning(panel_step("r", three()))
    book = known(spec, r__a=TWENTY, r__b=TWENTY)
    assert limits(resolve(spec, book), "r", "gather").within == CAP


def test_another_agent_of_the_same_name_teaches_nothing() -> None:
    spec = learning(step("a", timeout=CAP, learned={"timeout": P95}))
    book = known(spec, a=TWENTY)
    other = msgspec.structs.replace(
        spec, agents={**spec.agents, "f": AgentSpec(kind="function", options={"ref": "x:y"})}
    )
    assert limits(resolve(other, book), "a").timeout == CAP


def test_a_plan_that_learns_nothing_is_given_back_as_it_is() -> None:
    spec = learning(step("a"), panel_step("r", Panel(question="", **BASE)))
    assert resolve(spec, known(spec, a=TWENTY)) is spec


BASE: dict[str, Any] = {"contributors": (step("a"),), "synthesis": step("x")}


# -- calls that were cut off ----------------------------------------------------------------


def lasted(*times: int) -> list[Lasted]:
    return [(abs(time), time < 0) for time in times]


def test_a_call_that_was_cut_off_counts_as_one_that_takes_longer() -> None:
    half = Learned(cap=CAP, quantile=0.5)
    assert bound(lasted(10, 20, 30, 40), half) == 20
    assert bound(lasted(10, -15, 30, 40), half) == 30
    assert bound(lasted(-5, -5, 30, 40), half) == 30


def test_a_limit_that_cuts_off_too_many_grows_again() -> None:
    learned = Learned(cap=CAP, quantile=0.75)
    assert bound(lasted(10, 10, 10, 20), learned) == 10
    assert bound(lasted(10, 10, -30, -30), learned) == 60


def test_what_is_learned_does_not_shrink_from_run_to_run() -> None:
    chance = random.Random(4)
    spec = learning(step("a", timeout=CAP, learned={"timeout": P95}))
    book = MemoryBook()
    found: list[int] = []
    for _ in range(3000):
        limit = limits(resolve(spec, book), "a").timeout
        took = round(chance.lognormvariate(0, 0.5) * SECOND)
        cut = took > limit
        took = min(took, limit)
        agent = known_as(spec.agents)["f"]
        book.record([Sample(plan="p", step="a", agent=agent, took=took, cut=cut)])
        found.append(limit)
    found.sort()
    # The true one is exp(1.645 * 0.5) = 2.28 s; learned from those that ended alone it is 0.7 s.
    assert 1.7 * SECOND < found[len(found) // 2] < 3.5 * SECOND


def events(spec: RunSpec, *more: Any) -> History:
    history = History(spec)
    for event in more:
        history.add(event)
    return history


def test_cut_off_calls_are_kept_where_time_limits_are_learned_and_nowhere_else() -> None:
    call, late, broken = Call("a", 1), Call("a", 2), Call("a", 3)
    fault = Fault(kind="timeout", message="too long")
    happened = [
        CallStarted(at=0, call=call, agent="f"),
        CallFailed(at=5, call=call, fault=fault),
        CallStarted(at=5, call=late, agent="f"),
        CallCancelled(at=12, call=late, reason="late"),
        CallStarted(at=12, call=broken, agent="f"),
        CallFailed(at=14, call=broken, fault=Fault(kind="failed", message="no")),
    ]
    for learned, kept in (({"timeout": P95}, [(5, True), (7, True)]), ({}, [])):
        spec = learning(step("a", timeout=CAP, learned=learned))
        book = MemoryBook()
        events(spec, *happened).write(book)
        assert [(s.took, s.cut) for past in book.read("p") for s in past.samples] == kept


def test_forecasts_go_by_calls_that_came_to_their_end() -> None:
    spec = learning(step("a"))
    assert past_of(known(spec, a=[5, -7, 9]), spec) == {("p", "a", "f"): [5, 9]}


def test_the_book_remembers_what_was_cut_off(tmp_path: Any) -> None:
    sample = Sample(plan="p", step="a", agent="f", took=7, cut=True)
    with SqliteJournal(tmp_path) as journal:
        journal.book.record([sample])
    with SqliteJournal(tmp_path) as journal:
        assert [past.samples for past in journal.book.read("p")] == [(sample,)]


# -- pinned ---------------------------------------------------------------------------------


def test_a_run_keeps_what_was_learned_when_it_began() -> None:
    """And a later run, which knows more, is of the same plan."""
    agents = {"f": AgentSpec(kind="scripted", options={"replies": [{"output": 1, "after": "2s"}]})}
    learned = Learned(cap=CAP, floor=5 * SECOND // 2, quantile=0.5)
    spec = run_spec(plan(step("a", timeout=CAP, learned={"timeout": learned})), agents)

    async def main() -> None:
        async with Engine(memory=True, look_ahead=0) as engine:
            pinned = []
            for name in ("one", "two", "three"):
                result = await engine.run(spec, run_id=name)
                assert result.status == "succeeded"
                machine = engine.fold(name)
                assert machine.digest == spec_digest(spec)
                pinned.append(limits(machine.spec, "a").timeout)
                assert limits(first(engine, name), "a").timeout == pinned[-1]
            assert pinned == [CAP, CAP, 5 * SECOND // 2]
            # It is taken up by the plan as it was written.
            assert (await engine.run(spec, run_id="three")).status == "succeeded"

    run_virtual(main)


def first(engine: Engine, run: str) -> RunSpec:
    """The spec in a run's first event."""
    event = next(iter(engine.journal.read(run))).event
    assert isinstance(event, RunStarted)
    return event.spec


def test_a_changed_plan_takes_over_what_was_done_under_another_learned_limit() -> None:
    def version(limit: int, *more: StepSpec) -> PlanSpec:
        return plan(step("a", timeout=limit, learned={"timeout": P95}), *more)

    drive = Drive(version(3 * SECOND, step("b"))).done("a", 1).fails("b")
    drive.replace(version(4 * SECOND, step("c")))
    assert drive.status("a") == "succeeded"


def test_a_panel_that_is_a_run_learns_too() -> None:
    spec = run_spec(panel_plan(three()))
    book = known(spec, a=TWENTY, b=TWENTY, c=TWENTY)
    assert limits(resolve(spec, book), "gather").within == 3800 * MS


def test_a_prediction_goes_by_what_a_run_would_learn() -> None:
    spec = learning(step("a", timeout=CAP, takes=8 * SECOND, learned={"timeout": P95}))
    journal = MemoryJournal()
    assert predicted(journal, spec, {}, 0).finish == 8 * SECOND
    journal.book = known(spec, a=[2 * SECOND] * 20)
    assert predicted(journal, spec, {}, 0).finish == 2 * SECOND


def test_a_finished_call_teaches_how_long_it_took() -> None:
    spec = learning(step("a", timeout=CAP, learned={"timeout": P95}))
    call = Call("a", 1)
    book = MemoryBook()
    started = CallStarted(at=0, call=call, agent="f")
    events(spec, started, CallFinished(at=9, call=call, output=1)).write(book)
    assert [(s.took, s.cut) for past in book.read("p") for s in past.samples] == [(9, False)]
