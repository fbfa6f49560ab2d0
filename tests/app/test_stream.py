"""What a step says, as it comes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from tests.machines import plan, run_spec, step

import hocket
from hocket.app.engine import Engine
from hocket.app.stream import Done, Follower, Item, Piece, Reset, Voice, voice_of
from hocket.core.errors import Fault, Refused, RunFailed
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, CallStarted
from hocket.core.specs import AgentSpec, Repeat, Retry, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member
from hocket.core.values import SECOND, Call, Json
from hocket.simulator.loop import run_virtual
from hocket.workflows.panel import Panel, panel_plan, panel_step

A1, A2 = Call("a", 1), Call("a", 2)


# -- the follower ---------------------------------------------------------------------------


class Following:
    """A follower of step a, and a clock that a test sets."""

    def __init__(self, voice: Voice | None = None) -> None:
        self.follower = Follower(voice or voice_of(plan(step("a")), "a"))
        self.at = 0

    def says(self, call: Call, *texts: str, stream: str = "out") -> "Following":
        for text in texts:
            self.follower.emitted(call, stream, text, self.at)
        return self

    def begins(self, *calls: Call) -> "Following":
        for call in calls:
            self.hears(CallStarted(at=0, call=call, agent="f"))
        return self

    def done(self, call: Call, output: Json = "") -> "Following":
        return self.hears(CallFinished(at=0, call=call, output=output))

    def fails(self, call: Call) -> "Following":
        return self.hears(CallFailed(at=0, call=call, fault=Fault(kind="failed", message="broken")))

    def hears(self, event: Any) -> "Following":
        self.follower.recorded(event, self.at)
        return self

    @property
    def items(self) -> list[Item]:
        found: list[Item] = []
        while (item := self.follower.take()) is not None:
            found.append(item)
        return found


def test_text_comes_in_pieces_and_the_output_at_the_end() -> None:
    it = Following().says(A1, "Yes", ". It", " works", ". Well")
    assert it.items == [Piece("Yes. It works.", "a")]
    assert it.done(A1).items == [Piece(" Well", "a")]
    it.follower.end(Done("succeeded", "Yes."))
    assert it.items == [Done("succeeded", "Yes.")]


def test_what_waits_for_the_end_of_its_sentence_comes_in_time() -> None:
    it = Following().says(A1, "Yes.\n", "It works")
    assert it.items == [Piece("Yes.\n", "a")]
    assert it.follower.due == SECOND // 20
    it.follower.wake(SECOND // 20)
    assert it.items == [Piece("It work", "a")]


def test_what_is_not_the_steps_text_is_left_out() -> None:
    it = Following().says(Call("b", 1), "no").says(A1, "no", stream="err")
    assert it.done(Call("b", 1), "no").items == []


def test_a_call_that_begins_anew_makes_the_text_so_far_void() -> None:
    it = Following().says(A1, "One")
    assert it.items == [Piece("One", "a")]
    assert it.fails(A1).items == [Reset("the call failed: broken")]
    assert it.says(A2, "Two").items == [Piece("Two", "a")]


def test_void_text_that_nobody_has_taken_is_never_seen() -> None:
    it = Following().says(A1, "One.\n", "more").fails(A1).says(A2, "Two")
    assert it.items == [Piece("Two", "a")]


def test_two_failures_in_a_row_are_one_reset() -> None:
    it = Following().says(A1, "One")
    assert len(it.items) == 1
    it.fails(A1).says(A2, "Two").fails(A2).says(Call("a", 3), "Three")
    assert it.items == [Reset("the call failed: broken"), Piece("Three", "a")]


def test_of_two_calls_at_once_one_is_followed_and_the_other_if_it_wins() -> None:
    it = Following().begins(A1, A2).says(A1, "One").says(A2, "Two", " is", " quicker")
    assert it.items == [Piece("One", "a")]
    assert it.done(A2).items == [Reset("another call was quicker"), Piece("Two is quicker", "a")]
    cancelled = CallCancelled(at=0, call=A1, reason="another call was quicker")
    assert it.says(A1, " late").hears(cancelled).items == []
    # What is asked anew is another matter.
    assert len(it.says(Call("a", 3), "Three").items) == 2


def test_a_call_that_loses_leaves_the_text_as_it_is() -> None:
    it = Following().begins(A1, A2).says(A1, "One").done(A1).says(A2, "Two")
    assert it.items == [Piece("One", "a")]
    assert it.hears(CallCancelled(at=0, call=A2, reason="quicker")).items == []


@pytest.mark.parametrize("end", [CallCancelled(at=0, call=A1, reason="x"), CallLost(at=0, call=A1)])
def test_if_the_call_is_gone_the_one_beside_it_is_followed(end: Any) -> None:
    it = Following().says(A1, "One").says(A2, "Two")
    assert it.items == [Piece("One", "a")]
    reset, piece = it.hears(end).items
    assert isinstance(reset, Reset)
    assert piece == Piece("Two", "a")


def test_an_answer_without_text_is_given_as_text() -> None:
    assert Following().done(A1, "kept from before").items == [Piece("kept from before", "a")]
    assert Following().done(A1, {"x": 1}).items == []


def test_rounds_follow_each_other() -> None:
    it = Following().says(A1, "One").done(A1, "One")
    assert it.items == [Piece("One", "a")]
    it.says(Call("a~2", 1), "Two")
    assert it.items == [Reset("another call has begun"), Piece("Two", "a~2")]


def test_pieces_that_nobody_takes_are_put_together() -> None:
    it = Following()
    for _ in range(1000):
        it.says(A1, "So it is.\n")
    assert it.items == [Piece("So it is.\n" * 1000, "a")]


# -- whose text -----------------------------------------------------------------------------

PANEL = Panel(question="{{inputs.q}}", contributors=(step("m"),), synthesis=step("x"), late=SECOND)
CONSENSUS = StepSpec(
    name="c",
    kind="consensus",
    input="why?",
    team=ConsensusSpec(members=(Member(name="m", agent="f"),), final="present"),
)


@pytest.mark.parametrize(
    ("steps", "path", "heard", "unheard"),
    [
        ((step("a"),), "a", ["a", "a~2", "a/turn", "a/turn~3", "a/author~2"], ["b", "a/0", "aa"]),
        ((step("a", each="inputs.q"),), "a/3", ["a/3", "a/3~2"], ["a", "a/31", "a/4"]),
        (
            (panel_step("r", PANEL),),
            "r",
            ["r/synthesis", "r/revision", "r/synthesis/turn~2"],
            ["r/m", "r", "r/select", "r/gather"],
        ),
        ((panel_step("r", PANEL),), "r/m", ["r/m", "r~2/m"], ["r/synthesis"]),
        ((CONSENSUS,), "c", ["c/m/present", "c/final/synthesize"], ["c/m/answer", "c/m/vote~2"]),
    ],
)
def test_whose_text_is_a_steps(
    steps: tuple[StepSpec, ...], path: str, heard: list[str], unheard: list[str]
) -> None:
    calls = voice_of(plan(*steps), path).calls
    assert [name for name in heard if not calls.fullmatch(name)] == []
    assert [name for name in unheard if calls.fullmatch(name)] == []


def test_without_a_name_it_is_what_the_plan_ends_with() -> None:
    assert voice_of(plan(step("a")), None, ["a"]).path == "a"
    voice = voice_of(panel_plan(PANEL), None, ["synthesis"])
    assert voice.path == ""
    assert voice.calls.fullmatch("revision~2")


@pytest.mark.parametrize(
    ("steps", "path", "said"),
    [
        ((step("alpha"),), "alhpa", "there is no step 'alhpa': did you mean 'alpha'"),
        ((step("a"),), "a/b", "there is no step 'a/b'"),
        ((step("a", each="inputs.q"),), "a", "done for each item: say which, as in a/0"),
        ((StepSpec(name="n", kind="plan", plan=plan(step("a"))),), "n", "say which step of it"),
        ((step("a"), step("b")), None, "say which step is to be followed: a, b"),
    ],
)
def test_who_cannot_be_followed_is_refused(
    steps: tuple[StepSpec, ...], path: str | None, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        voice_of(plan(*steps), path, [s.name for s in steps])


# -- a run ----------------------------------------------------------------------------------


def scripted(*replies: dict[str, Any]) -> AgentSpec:
    return AgentSpec(kind="scripted", options={"replies": list(replies)})


def virtual(main: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with Engine(memory=True, look_ahead=0) as engine:
            await main(engine)

    run_virtual(whole)


async def timed(stream: AsyncIterator[Item]) -> list[tuple[float, Item]]:
    """All items, each with the virtual second in which it came."""
    loop = asyncio.get_running_loop()
    return [(round(loop.time() - BEGAN[-1], 3), item) async for item in stream]


BEGAN = [0.0]


def begin() -> None:
    BEGAN.append(asyncio.get_running_loop().time())


SAYS = "It works. It really does."


def test_a_steps_text_streams_while_it_runs() -> None:
    spec = run_spec(
        plan(step("a"), step("b", input="{{a}}")),
        {"f": scripted({"output": SAYS, "after": "5s", "stream": True})},
    )

    async def main(engine: Engine) -> None:
        begin()
        items = await timed(engine.stream(spec, "a"))
        # The first word at once; then by sentence, or what is there after 50 ms.
        assert items[0] == (1.0, Piece("It", "a"))
        assert items[1] == (2.05, Piece(" works", "a"))
        assert "".join(item.text for _, item in items if isinstance(item, Piece)) == SAYS
        assert items[-1] == (5.0, Done("succeeded", SAYS))
        # The rest of the run went on to its end.
        assert [row.status for row in engine.journal.runs()] == ["succeeded"]

    virtual(main)


def test_a_panel_streams_its_reply_and_then_the_revised_one() -> None:
    agents = {
        "quick": scripted({"output": "one", "after": "1s"}),
        "slow": scripted({"output": "two", "after": "4s"}),
        "chair": scripted({"output": "First reply", "after": "2s", "stream": True}),
        "other": scripted({"output": "Second reply", "after": "2s", "stream": True}),
    }
    panel = Panel(
        question="why?",
        contributors=(step("q", agent="quick"), step("s", agent="slow")),
        synthesis=step("x", agent="chair"),
        quorum=1,
        late=10 * SECOND,
        revision=step("x", agent="other"),
    )

    async def main(engine: Engine) -> None:
        begin()
        items = await timed(engine.stream(run_spec(plan(panel_step("r", panel)), agents), "r"))
        assert items[0] == (2.0, Piece("First", "r/synthesis"))
        reset = next(n for n, (_, item) in enumerate(items) if isinstance(item, Reset))
        assert text(items[:reset]) == "First reply"
        assert items[reset + 1] == (5.0, Piece("Second", "r/revision"))
        assert text(items[reset:]) == "Second reply"
        at, done = items[-1]
        assert isinstance(done, Done)
        assert (at, done.status) == (6.0, "succeeded")
        assert isinstance(done.output, dict)
        assert done.output["reply"] == "Second reply"

    virtual(main)


def test_a_run_that_is_a_panel_streams_its_reply() -> None:
    agents = {"f": scripted({"output": "because", "after": "1s", "stream": True})}
    spec = run_spec(panel_plan(Panel(question="", contributors=(step("m"),), synthesis=step("x"))))
    spec = RunSpec(workflow=spec.workflow, agents=agents)

    async def main(engine: Engine) -> None:
        items = [item async for item in engine.stream(spec, question="why?")]
        assert items[0] == Piece("because", "synthesis")
        done = items[-1]
        assert isinstance(done, Done)
        assert isinstance(done.output, dict)
        assert done.output["reply"] == "because"

    virtual(main)


def text(items: list[tuple[float, Item]]) -> str:
    return "".join(item.text for _, item in items if isinstance(item, Piece))


def test_a_retry_is_a_reset() -> None:
    async def broken(context: hocket.Context) -> str:
        context.emit("wrong")
        await asyncio.sleep(1)
        if len(tries) < 1:
            tries.append(1)
            raise ValueError("oh")
        return "right"

    tries: list[int] = []
    made = hocket.Plan("p", closures=True)
    made.call("a", broken, retry=Retry(tries=2, first=SECOND, jitter=0))

    async def main(engine: Engine) -> None:
        begin()
        items = await timed(engine.stream(made, "a"))
        assert [type(item) for _, item in items] == [Piece, Reset, Piece, Done]
        assert [at for at, _ in items] == [0.0, 1.0, 2.0, 3.0]

    virtual(main)


def test_a_step_that_fails_ends_its_stream_and_says_why() -> None:
    async def main(engine: Engine) -> None:
        agents = {"f": scripted({"error": {"message": "no luck"}})}
        spec = run_spec(plan(step("a", on_failure="skip"), step("b", needs=("a",))), agents)
        async with engine.start(spec) as run:
            a, b = run.stream("a"), run.stream("b")
            assert [item async for item in a] == [Done("failed", None, "no luck")]
            assert [item async for item in b] == [Done("skipped", None, "needs a, which failed")]
        with pytest.raises(RunFailed):
            await engine.run(run_spec(plan(step("a")), agents))

    virtual(main)


def test_cancelling_the_run_ends_the_stream() -> None:
    async def main(engine: Engine) -> None:
        agents = {"f": scripted({"output": SAYS, "after": "60s", "stream": True})}
        found: list[Item] = []
        async with engine.start(run_spec(plan(step("a")), agents)) as run:
            async for item in run.stream("a"):
                found.append(item)
                if len(found) == 1:
                    run.cancel()
            await run.result()
        assert found[0] == Piece("It", "a")
        assert found[-1] == Done("cancelled", None, "cancelled by program")

    virtual(main)


def test_leaving_early_stops_the_run_and_it_can_be_taken_up() -> None:
    async def main(engine: Engine) -> None:
        spec = run_spec(plan(step("a")), {"f": scripted({"output": SAYS, "stream": True})})
        stream = engine.stream(spec, run_id="r")
        async for item in stream:
            assert isinstance(item, Piece)
            break
        await stream.aclose()
        assert [row.status for row in engine.journal.runs()] == ["running"]
        assert (await engine.run(spec, run_id="r")).output == SAYS

    virtual(main)


def test_a_stream_of_a_step_that_is_over_gives_its_output() -> None:
    async def main(engine: Engine) -> None:
        agents = {"f": scripted({"output": SAYS}), "g": scripted({"after": "60s"})}
        async with engine.start(run_spec(plan(step("a"), step("b", agent="g")), agents)) as run:
            await asyncio.sleep(1)
            begin()
            assert await timed(run.stream("a")) == [(0.0, Done("succeeded", SAYS))]
            await run.result()

    virtual(main)


def test_an_item_and_a_round_have_text_of_their_own() -> None:
    async def main(engine: Engine) -> None:
        agents = {"f": scripted({"output": "{prompt}.", "after": "1s", "stream": True})}
        until = Repeat(until="a == '7.'", max=3)
        spec = run_spec(plan(step("a", each="inputs.q", input="{{item}}"), inputs="q"), agents)
        items = [item async for item in engine.stream(spec, "a/1", q=["6", "7"])]
        assert items == [Piece("7.", "a/1"), Done("succeeded", "7.")]
        spec = run_spec(plan(step("a", input="{{inputs.q}}", repeat=until), inputs="q"), agents)
        items = [item async for item in engine.stream(spec, "a", q="7")]
        assert items == [Piece("7.", "a"), Done("succeeded", "7.")]

    virtual(main)


def test_whoever_reads_slowly_holds_nothing_up_and_gets_longer_pieces() -> None:
    async def main(engine: Engine) -> None:
        said = "One two.\n" * 500
        agents = {"f": scripted({"output": said, "after": "10s", "stream": True})}
        begin()
        async with engine.start(run_spec(plan(step("a")), agents)) as run:
            items: list[Item] = []
            async for item in run.stream("a"):
                items.append(item)
                await asyncio.sleep(4)
            ended = (await run.result(), run.machine.at)[1]
        assert text([(0, item) for item in items]) == said
        assert len(items) < 6
        begun = run.machine.started_at
        assert begun is not None
        assert ended - begun == pytest.approx(10 * SECOND, rel=1e-6)

    virtual(main)


def test_nothing_is_said_to_be_done_before_it_is_on_disk() -> None:
    async def main(engine: Engine) -> None:
        spec = run_spec(plan(step("a"), step("b")), {"f": scripted({"output": "x"})})
        async with engine.start(spec, run_id="r") as run:
            async for item in run.stream("a"):
                if isinstance(item, Done):
                    events = [recorded.event for recorded in engine.journal.read("r")]
                    paths = [e.call.path for e in events if isinstance(e, CallFinished)]
                    assert "a" in paths
            await run.result()

    virtual(main)
