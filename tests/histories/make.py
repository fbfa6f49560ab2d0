"""Writes the journal that the present version leaves behind, for all later versions to read.

It is run once for each release, ``python -m tests.histories.make``, and what it has written is
never changed or deleted: a user's journals are not either.
The runs go through every kind of event, and are the same at every writing.
So is what the journal keeps beside them: what calls hold of shared limits, and how long calls took.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import msgspec
from tests.machines import Drive, fold, new_machine, plan, step

from hocket._version import __version__
from hocket.core.errors import Fault
from hocket.core.events import (
    TAKEN_BACK,
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Forecasted,
    LimitChanged,
    Recorded,
    Reserved,
    RunStarted,
    Usage,
    Wait,
)
from hocket.core.run import RunMachine
from hocket.core.specs import (
    AgentSpec,
    Approval,
    Learned,
    LimitSpec,
    PlaceSpec,
    Rate,
    Repeat,
    Retry,
)
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec, ToolSpec
from hocket.core.values import DAY, MINUTE, SECOND, Json
from hocket.engine.forking import INSTANTS, fork_of
from hocket.journal.base import Answered, Sample
from hocket.journal.schema import FILE
from hocket.journal.slices import in_slices
from hocket.journal.sqlite import SqliteJournal
from hocket.limits.claim import Claim, Entry

T = TypeVar("T")

HERE = Path(__file__).parent
BEGAN = 1_767_225_600_000_000_000
"""The first of January 2026, when all of these runs began."""
CENTURY = 36_525 * DAY
"""So long do the claims matter, or they would be gone by now."""


def whole() -> Drive:
    """Fan-out, rounds, a nested plan, an approval, an input, tokens, a large output."""
    inner = plan(
        step("one", input="{{inputs.k}}!"), step("two", input="{{one}}?"), name="inner", inputs="k"
    )
    drive = Drive(
        plan(
            step("list"),
            step("items", each="list", input="{{item}}"),
            step("poll", repeat=Repeat(until="poll.ready", max=3)),
            step("nested", kind="plan", plan=inner, input={"k": "{{inputs.goal}}"}),
            step("odd", when="list == []"),
            step("after", needs="odd"),
            step("sign", kind="approve", input="Ship {{items}}?", needs="poll"),
            step("word", kind="input", input="A word?", needs="sign", output={"type": "string"}),
            step("last", needs="word nested", input="{{word}} {{nested}}"),
            inputs="goal",
        ),
        inputs={"goal": "a queue — with ümlauts"},
    )
    drive.done("list", ["a", "b"]).wait(1).done("items/1", "B").done("items/0", "A" * 50_000)
    drive.done("poll", {"ready": False}).wait(2).done("poll~2", {"ready": True})
    spent = CallFinished(
        at=drive.at,
        call=drive.call("nested/one"),
        output="1",
        usage=Usage(tokens_in=120, tokens_out=7, cost=1_500_000),
        notes=("a note",),
    )
    drive.apply(spent).done("nested/two", "2")
    drive.approve("sign", note="go").send("word", "hocket").wait(1)
    return drive.done("last", {"text": "fin", "n": 3})


def failed() -> Drive:
    """Retries, a refusal, a time-out, a fallback, a skip, and a step that stops the run."""
    drive = Drive(
        step("soft", on_failure="skip"),
        step("below", needs="soft"),
        step("hard", retry=Retry(tries=2, jitter=0.0), fallback="g", timeout="5s"),
    )
    drive.fails("soft").fails("hard", "rate_limited", retry_after=2_000_000_000).wait(8)
    drive.wait(6).stopped("hard", "timeout").wait(3).fails("hard", detail="tail").wait(2)
    return drive.fails("hard", "permanent", message="no such model")


def retried() -> Drive:
    """A failed run whose step was done again."""
    drive = Drive(step("a"), step("b", needs="a"))
    return drive.fails("a").wait(60).retry("a").done("a", 1).done("b", 2)


def cancelled() -> Drive:
    """Paused, continued, cancelled, and cancelled hard when that took too long."""
    drive = Drive(step("a"), step("b"), step("c", kind="approve", input="ok?", timeout="10s"))
    drive.pause().go_on().wait(12).go_on().done("a", "kept").cancel()
    drive.wait(5).cancel(hard=True)
    return drive.stopped("b", "cancel")


def crashed() -> Drive:
    """Lost calls: one is done again, one with effects is held, then settled; then a new spec."""
    drive = Drive(step("pure"), step("hot", agent="shell"), step("late", needs="pure hot"))
    drive.wait(1).crash().send("hot", "it was done").done("pure", "again")
    drive.crash().done("late", "old")
    return drive


def replaced() -> Drive:
    """A spec that was changed under way."""
    drive = Drive(step("a", input="1"), step("b", input="{{a}}"), step("c", kind="input"))
    drive.done("a", "A").done("b", "B").crash()
    drive.replace(step("a", input="1"), step("b", input="{{a}} more"), step("c", kind="input"))
    return drive.done("b", "B2").send("c", {"any": ["json", 1, None]})


def unfinished() -> Drive:
    """A run whose process has died."""
    drive = Drive(step("a"), step("b", needs="a"), step("c", agent="shell"))
    return drive.done("a", 1)


def limited() -> Drive:
    """Limits, a budget, a forecast, calls beside late ones: one is faster, one is recalled."""
    dollar = 1_000_000_000_000
    limits = {
        "api": LimitSpec(requests=(Rate(9, MINUTE), Rate(500, DAY)), spacing=SECOND, margin=0),
        "purse": LimitSpec(cost=(Rate(dollar, 0),), shared=False, on_exceed="pause"),
        "gpu": LimitSpec(concurrency=2),
    }
    drive = Drive(
        step("fast", agent="m", hedge=0.95, takes=2 * SECOND),
        step("slow", agent="m", hedge=0.5, needs="fast"),
        step("train", uses={"gpu": 2}, agent="shell"),
        agents={
            "m": AgentSpec(kind="model", options={"model": "test:m"}, limits=("api", "purse")),
            "shell": AgentSpec(kind="command", options={"run": ["true"]}, effects=True),
        },
        run={"limits": limits, "claims": ("gpu",), "priority": 3, "weight": 2.0, "deadline": DAY},
        start=False,
        hedge=4,
    )
    at, most = drive.at, Reserved(4_000, dollar // 100)
    order = {"train": 3, "fast": 2, "slow": 1}
    forecast = Forecasted(
        at=at, finish=60 * SECOND, low=50 * SECOND, high=80 * SECOND, binds="api", tried=40
    )
    drive.apply(msgspec.structs.replace(forecast, order=order))
    drive.launch("train").launch("fast", reserved=most)
    drive.fails("fast", "rate_limited", retry_after=5 * SECOND)
    news = LimitChanged(
        at=drive.at, limit="api", what="closed", message="429", until=drive.at + 5 * SECOND
    )
    drive.apply(news).wait(5)
    drive.launch("fast", reserved=most, waits=(Wait("closed:api", at, at + 5 * SECOND),)).wait(4)
    drive.launch("fast", reserved=most).done("fast", "second", n=3).wait(1)
    spent = Usage(tokens_in=120, tokens_out=40, cost=2_000_000)
    lost = CallCancelled(at=drive.at, call=drive.call("fast", 2), reason="hedge", usage=spent)
    drive.apply(lost)
    drive.launch("slow", reserved=most).wait(4)
    drive.pause("", "budget purse is used up: $1.00").wait(3).done("train").go_on().wait(1)
    drive.launch("slow", reserved=most).done("slow", "first", n=1)
    drive.apply(LimitChanged(at=drive.at, limit="purse", what="warned", message="80 %"))
    down = Fault(kind="unavailable", message="503")
    return drive.apply(CallFailed(at=drive.at, call=drive.call("slow", 3), fault=down, usage=spent))


def together() -> Drive:
    """Teams: a consensus with a revision, a reviewed step, tools that a person approves."""
    members = tuple(Member(name=f"m-{i}", agent="m") for i in (1, 2, 3))
    args = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tools = {"look": ToolSpec(agent="f", schema=args, approve=True)}
    consensus = ConsensusSpec(members=members, policy="rounds", rounds=1, rule="majority")
    review = ReviewSpec(members=members[:2], swarm=2, max_rounds=2)
    drive = Drive(
        step("q", kind="consensus", team=consensus, input="Which?", agent=""),
        step("code", agent="m", input="Write {{q.answer}}", review=review),
        step("ask", agent="t", input="Look it up"),
        step("seen", kind="gather", agent="", wants="q ask", quorum=1),
        step("last", needs="seen", learned={"timeout": Learned(cap=9 * SECOND, floor=SECOND)}),
        agents={
            "m": AgentSpec(kind="model", options={"model": "test:m"}),
            "t": AgentSpec(kind="model", options={"model": "test:t"}, tools=tools, max_turns=3),
            "f": AgentSpec(kind="function"),
        },
    )
    kept = CallFinished(
        at=drive.at,
        call=drive.call("q/m-2/answer"),
        output="answer 2",
        saved=Usage(tokens_in=90, tokens_out=12, cost=700_000, tokens_cached=64),
    )
    drive.apply(kept).done("q/m-1/answer", "answer 1").done("q/m-3/answer", "answer 3")
    calls = [{"id": "c1", "name": "look", "args": {"n": 7}}]
    drive.done("ask/turn", {"$": "turn", "text": "", "calls": calls}).wait(1)
    drive.approve("ask/look/0")
    drive.crash()
    revise = {"action": "revise", "vote": "A", "answer": "better", "confidence": 1, "reason": ""}
    drive.done("q/m-1/vote", revise)
    vote = {**revise, "action": "vote", "answer": "", "confidence": 0.5}
    while voting := [path for path in drive.machine.calls.jobs if path.startswith("q/")]:
        drive.done(voting[0], vote)
    drive.done("ask/look/0", [1, 2])
    drive.done("ask/turn~2", {"$": "turn", "text": "", "calls": [], "answer": "seven"})
    drive.done("last", "done").done("code/author", "x = 1")
    no = {"verdict": "reject", "confidence": 1, "issues": ["no test"], "reason": "bare"}
    yes = {"verdict": "approve", "confidence": 1, "issues": [], "reason": "fine"}
    for verdict in (no, yes):
        while judging := [path for path in drive.machine.calls.jobs if "/judge" in path]:
            drive.done(judging[0], verdict)
        if "code/author~2" in drive.machine.calls.jobs:
            drive.done("code/author~2", "x = 1  # tested")
    return drive


def people() -> Drive:
    """Approvals: of the plan, of steps and of what a call wants to do; one no, one expired."""
    sure, soon = Approval(timeout=5 * MINUTE), Approval(timeout=5 * SECOND, on_timeout="reject")
    drive = Drive(
        plan(
            step("build", approval=sure, input="build {{inputs.what}}"),
            step("each", each="[1, 2]", approval=sure, input="{{item}}", on_failure="continue"),
            step("late", approval=soon, on_failure="skip"),
            step("last", needs="build each"),
            inputs="what",
            approval=sure,
        ),
        inputs={"what": "it"},
    )
    drive.approve("run", note="go").approve("build").wait(1)
    asked = drive.asks("build", "rm -r cache")
    drive.wait(2).approve(asked).approve("each/0").approve("each/1", False, note="not this one")
    return drive.done("each/0", "one").wait(4).done("build", "built").done("last", "done")


def now(work: Coroutine[Any, Any, T]) -> T:
    """Give what comes of work that waits for nothing but its turn."""
    try:
        while True:
            work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result


def forked() -> Drive:
    """A run that goes on from a point of another, with another input, at no cost."""
    source = Drive(
        plan(step("a"), step("b", input="{{a}} {{inputs.goal}}"), inputs="goal"),
        inputs={"goal": "one"},
    )
    spent = Usage(tokens_in=9, tokens_out=4, cost=300_000)
    source.apply(CallFinished(at=source.at, call=source.call("a"), output="A", usage=spent))
    source.wait(3).done("b", "A one")
    recorded = [Recorded(number, event) for number, event in enumerate(source.events, 1)]
    begun = fork_of(
        in_slices(recorded),
        new_machine(),
        "forked",
        after=next(one.seq for one in recorded if one.event.at == source.events[-1].at) - 1,
        inputs={"goal": "two"},
        by="ann",
        now=source.at + MINUTE,
    )
    fork = now(begun)
    drive = Drive(fork.spec.workflow, inputs={"goal": "two"}, start=False)
    drive.events = [fork.first, *fork.events]
    drive.machine = fold(drive.events)
    return drive


def placed() -> Drive:
    """Calls on other machines, of which one died while the run's owner lived."""
    place = PlaceSpec(gpu=0.5, cpu=2, memory=1 << 30, tags=("has-claude",))
    drive = Drive(
        step("pure", agent="m"),
        step("hot", agent="shell"),
        step("last", agent="m", needs="pure hot"),
        agents={
            "m": AgentSpec(kind="model", options={"model": "test:m"}, place=place),
            "shell": AgentSpec(
                kind="command",
                options={"run": ["true"]},
                effects=True,
                place=PlaceSpec(tags=("disk",)),
            ),
        },
    )
    drive.wait(1)
    # Nobody had begun to do it when its run was paused: it is asked for again.
    drive.apply(CallCancelled(at=drive.at, call=drive.call("pure"), reason=TAKEN_BACK))
    for path in ("pure", "hot"):
        drive.apply(CallLost(at=drive.at, call=drive.call(path)))
    return drive.send("hot", "it was done").done("pure", "again").done("last", "fin")


RUNS: dict[str, Callable[[], Drive]] = {
    make.__name__: make
    for make in (
        *(whole, failed, retried, cancelled, crashed, replaced, limited, unfinished),
        *(together, people, forked, placed),
    )
}


def dated(event: AnyEvent) -> AnyEvent:
    """Put all instants of an event into the year in which it happened."""
    instants = INSTANTS & set(event.__struct_fields__)
    known = {name: getattr(event, name) for name in instants}
    fields: dict[str, Any] = {name: at + BEGAN for name, at in known.items() if at is not None}
    if isinstance(event, CallStarted):
        waits = event.waits
        fields["waits"] = tuple(Wait(w.cause, w.since + BEGAN, w.until + BEGAN) for w in waits)
    return msgspec.structs.replace(event, **fields)


def events_of(name: str) -> list[AnyEvent]:
    """Give a run's events, named and dated."""
    events = [dated(event) for event in RUNS[name]().events]
    first = events[0]
    assert isinstance(first, RunStarted)
    return [msgspec.structs.replace(first, run=name, program=f"hocket {__version__}"), *events[1:]]


def outcome(machine: RunMachine) -> dict[str, Any]:
    """Give what a later version must make of a run, too."""
    views = machine.workflow.view()
    outputs: dict[str, Json] = {
        view.path: machine.workflow.result(view.path)
        for view in views
        if view.status == "succeeded"
    }
    return {
        "status": machine.said,
        "reason": machine.end.reason if machine.end else "",
        "output": machine.end.output if machine.end else None,
        "steps": {view.path: view.status for view in views},
        "outputs": outputs,
        "held": [str(job.call) for job in machine.calls.held()],
        "in_flight": [str(call) for call in machine.calls.in_flight()],
        "ignored": machine.calls.ignored,
        **({"teams": teams} if (teams := msgspec.to_builtins(machine.workflow.reports())) else {}),
    }


_SPENT = Claim(tokens_in=120, tokens_out=40, most_tokens=160, most_cost=2_000_000)
HELD = (
    Entry("api", "limited/fast#1", 1, Claim(), BEGAN, True),
    Entry("api", "limited/fast#2", 1, _SPENT, BEGAN + SECOND, True),
    Entry("gpu", "limited/train#1", 2, Claim(), BEGAN, True),
)
"""What calls have held of shared limits."""
STATES = {"api": b'{"amount":7}'}
"""What calls have found out about them."""
SAMPLES = (
    Sample(plan="p", step="fast", agent="m", took=2 * SECOND, tokens_in=9, tokens_out=7, cost=5),
    Sample(plan="p", step="fast", agent="m", took=3 * SECOND),
    Sample(plan="p", step="train", agent="shell", took=4 * SECOND, cost=0),
    Sample(plan="p", step="train", agent="shell", took=9 * SECOND, cut=True),
)


KEPT = Answered(
    key="a" * 64,
    kin="b" * 64,
    at=BEGAN,
    output="answer 1",
    usage=Usage(tokens_in=90, tokens_out=12, cost=700_000),
    notes=("a note",),
    vector=b"\x00\x00\x80?" + bytes(12),
)
"""An answer that is to be given again; its output is that of an event."""


async def write_shared(journal: SqliteJournal) -> None:
    """Write what outlives the runs."""
    ledger = journal.ledger(lambda: None)
    keep = {entry.limit: CENTURY for entry in HELD}
    asked = [Entry(e.limit, e.key, e.units, e.claim) for e in HELD]
    granted, _ = await ledger.reserve(asked, BEGAN, keep)
    assert all(granted)
    for entry in HELD:
        assert entry.sent is not None
        ledger.sent(entry.key, entry.sent)
    ledger.settle(HELD, BEGAN + 2 * SECOND)
    for limit, state in STATES.items():
        ledger.state(limit, state, 1)
    # Its answer comes when all of that is written.
    await ledger.sync(["api", "gpu"], BEGAN)
    ledger.close()
    journal.book.record(SAMPLES)
    await journal.hosted.add("unfinished")


async def read_shared(journal: SqliteJournal) -> dict[str, Any]:
    """Give what outlives the runs, as a later version must find it."""
    ledger = journal.ledger(lambda: None)
    told = await ledger.sync(["api", "gpu"], BEGAN + MINUTE)
    ledger.close()
    past = msgspec.to_builtins(journal.book.read("p"))
    for page in past:
        for sample in page["samples"]:
            # Versions that did not keep calls that were cut off do not say that these were not.
            if not sample["cut"]:
                del sample["cut"]
    kept = journal.answers.find(KEPT.key)
    answers = {} if kept is None else {"answers": msgspec.to_builtins(kept)}
    hosted = {"hosted": runs} if (runs := journal.hosted.all()) else {}
    return {
        **answers,
        **hosted,
        "held": msgspec.to_builtins(sorted(told.entries, key=lambda entry: entry.key)),
        "states": {limit: state.decode() for limit, state in told.states.items()},
        "past": past,
    }


async def write(folder: Path) -> None:
    """Write every run into a journal."""
    with patch.object(socket, "gethostname", return_value="somewhere"):
        journal = SqliteJournal(folder)
        for name in RUNS:
            first, *rest = events_of(name)
            assert isinstance(first, RunStarted)
            log = await journal.start(first)
            await log.durable(log.append(rest, kept=[KEPT] if name == "together" else ()))
            await log.close()
        await write_shared(journal)
        journal.close()
    # Nothing of the machine that wrote it is worth keeping.
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("UPDATE owners SET pid = 1, start = '', boot = '', bell = '', lease_until = 0")
        db.execute("VACUUM")


def main() -> None:
    """Write the present version's journal, unless it is there."""
    target = HERE / __version__
    if target.exists():
        raise SystemExit(f"{target.name} is there already; a history is never changed")
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(write(Path(scratch)))
        target.mkdir()
        shutil.copy(Path(scratch) / FILE, target / FILE)
        with SqliteJournal(Path(scratch)) as journal:
            shared = asyncio.run(read_shared(journal))
    expected = {name: outcome(fold(events_of(name))) for name in RUNS}
    for file, value in (("expected.json", expected), ("shared.json", shared)):
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
        (target / file).write_text(text + "\n", encoding="utf-8")
    print(f"wrote {target.name}: {', '.join(RUNS)}")


if __name__ == "__main__":
    main()
