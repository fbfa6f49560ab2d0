"""Calls and their jobs, without a workflow."""

import pytest

from hocket.core.calls import Calls, Ended, broken_rules
from hocket.core.commands import CancelCall, StartCall
from hocket.core.errors import EngineBug, Fault
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallLost, CallStarted
from hocket.core.machine import JobSpec
from hocket.core.specs import Retry
from hocket.core.values import HOUR, SECOND, Call

BROKEN = Fault(kind="failed", message="broken")
REFUSED = Fault(kind="rate_limited", message="not now", retry_after=5 * SECOND)


def job(effects: bool = False, agents: tuple[str, ...] = ("f",), tries: int = 1) -> JobSpec:
    return JobSpec(
        agents=agents,
        effects=(effects,) * len(agents),
        retry=Retry(tries=tries, first=SECOND, jitter=0.0),
        timeout=60 * SECOND,
        output=None,
        options={},
    )


def calls_with(*paths: str, start: bool = True, **fields) -> Calls:
    calls = Calls()
    for path in paths:
        calls.do(path, job(**fields), 0)
    calls.out.drain()
    for path in paths if start else ():
        calls.started(CallStarted(at=0, call=Call(path, 1), agent="f"))
    return calls


def finish(calls: Calls, path: str, attempt: int = 1) -> Ended | None:
    return calls.finished(CallFinished(at=1, call=Call(path, attempt), output="out"))


def fail(calls: Calls, path: str, attempt: int = 1, fault: Fault = BROKEN, at: int = 1):
    return calls.failed(CallFailed(at=at, call=Call(path, attempt), fault=fault))


def starts(calls: Calls) -> list[str]:
    assert broken_rules(calls) == []
    return [str(start.call) for start in calls.out.drain()[1]]


def test_a_job_asks_for_its_first_call_at_once() -> None:
    calls = Calls()
    calls.do("s", job(effects=True), 5)
    assert calls.out.drain() == ([], [StartCall(Call("s", 1), "f", True, 5, 5)])
    assert calls.out.drain() == ([], [])


def test_two_jobs_at_one_path_are_a_bug() -> None:
    with pytest.raises(EngineBug, match="two jobs at 's'"):
        calls_with("s").do("s", job(), 0)


def test_a_finished_call_ends_its_job() -> None:
    calls = calls_with("s")
    assert finish(calls, "s") == Ended("s", "out", None)
    assert calls.jobs == {}
    assert calls.running == 0


def test_a_failed_call_is_tried_again_after_its_back_off() -> None:
    calls = calls_with("s", tries=2)
    assert fail(calls, "s", at=0) is None
    assert starts(calls) == []
    assert calls.deadline() == SECOND
    calls.wake(SECOND - 1)
    assert starts(calls) == []
    calls.wake(SECOND)
    assert starts(calls) == ["s#2"]


def test_the_next_call_says_since_when_it_waits_and_since_when_it_could_run() -> None:
    calls = calls_with("s", tries=2)
    fail(calls, "s", at=10)
    calls.wake(10 + SECOND)
    assert calls.out.drain()[1] == [StartCall(Call("s", 2), "f", False, 10 + SECOND, 10)]


def test_a_fallback_begins_when_an_agents_tries_are_used_up() -> None:
    calls = calls_with("s", agents=("f", "g"))
    assert fail(calls, "s") is None
    assert calls.out.drain()[1] == [StartCall(Call("s", 2), "g", False, 1, 1)]
    calls.started(CallStarted(at=1, call=Call("s", 2), agent="g"))
    assert fail(calls, "s", 2) == Ended("s", None, BROKEN)


def test_a_refusal_costs_no_try() -> None:
    calls = calls_with("s")
    for attempt in range(1, 6):
        assert fail(calls, "s", attempt, REFUSED, at=0) is None
        calls.wake(HOUR)
        assert starts(calls) == [f"s#{attempt + 1}"]
        calls.started(CallStarted(at=0, call=Call("s", attempt + 1), agent="f"))
    assert calls.jobs["s"].tries == 0


def test_a_call_that_cannot_even_be_asked_fails_without_having_started() -> None:
    calls = calls_with("s", start=False)
    ended = fail(calls, "s", fault=Fault(kind="permanent", message="no field"))
    assert ended is not None and ended.fault is not None
    assert calls.running == 0


def test_a_call_that_outlives_its_timeout_is_told_to_stop_and_is_tried_again() -> None:
    calls = calls_with("s", tries=2)
    assert calls.deadline() == 60 * SECOND
    calls.wake(60 * SECOND)
    assert calls.out.drain()[0] == [CancelCall(Call("s", 1), "timeout")]
    assert calls.deadline() is None
    end = CallCancelled(at=61 * SECOND, call=Call("s", 1), reason="timeout")
    assert calls.failed(end) is None
    calls.wake(62 * SECOND)
    assert starts(calls) == ["s#2"]


def test_a_stopping_call_may_still_finish() -> None:
    calls = calls_with("s")
    calls.wake(60 * SECOND)
    assert finish(calls, "s") == Ended("s", "out", None)
    assert calls.out.drain() == ([], []), "what was to be stopped has ended"


def test_a_timeout_is_a_fault_that_says_how_long() -> None:
    calls = calls_with("s")
    calls.wake(60 * SECOND)
    ended = calls.failed(CallCancelled(at=61 * SECOND, call=Call("s", 1), reason="timeout"))
    assert ended is not None and ended.fault is not None
    assert (ended.fault.kind, "1 m 00 s" in ended.fault.message) == ("timeout", True)


@pytest.mark.parametrize(
    "event",
    [
        CallStarted(at=1, call=Call("s", 1), agent="f"),
        CallStarted(at=1, call=Call("s", 2), agent="f"),
        CallFinished(at=1, call=Call("s", 2)),
        CallFinished(at=1, call=Call("other", 1)),
        CallFailed(at=1, call=Call("s", 2), fault=BROKEN),
        CallCancelled(at=1, call=Call("s", 7), reason="stop"),
        CallLost(at=1, call=Call("nowhere", 1)),
    ],
)
def test_a_fact_that_no_longer_matches_is_ignored_and_counted(event) -> None:
    calls = calls_with("s")
    take = {
        CallStarted: calls.started,
        CallFinished: calls.finished,
        CallFailed: calls.failed,
        CallCancelled: calls.failed,
        CallLost: calls.lost,
    }[type(event)]
    assert not take(event)
    assert calls.ignored == 1
    assert calls.in_flight() == [Call("s", 1)]
    assert broken_rules(calls) == []


def test_a_finish_before_the_start_is_ignored() -> None:
    calls = calls_with("s", start=False)
    assert finish(calls, "s") is None
    assert calls.ignored == 1


def test_a_lost_call_without_effects_is_done_again_as_a_new_attempt_that_costs_no_try() -> None:
    calls = calls_with("s")
    calls.lost(CallLost(at=9, call=Call("s", 1)))
    assert starts(calls) == ["s#2"]
    assert calls.jobs["s"].tries == 0


def test_a_lost_call_with_effects_is_held_until_somebody_decides() -> None:
    calls = calls_with("s", effects=True)
    calls.lost(CallLost(at=9, call=Call("s", 1)))
    assert starts(calls) == []
    assert [job.path for job in calls.held()] == ["s"]
    assert calls.again("s", 10)
    assert starts(calls) == ["s#2"]


def test_a_held_call_may_be_settled_with_what_it_is_known_to_have_given() -> None:
    calls = calls_with("s", effects=True)
    calls.lost(CallLost(at=9, call=Call("s", 1)))
    assert calls.settle("s", "known") == Ended("s", "known", None)
    assert calls.jobs == {}


def test_only_a_held_call_is_decided_about() -> None:
    calls = calls_with("s")
    assert not calls.again("s", 1)
    assert calls.settle("s", 1) is None
    assert not calls.again("nowhere", 1)


def test_a_dropped_job_in_the_queue_is_withdrawn() -> None:
    calls = calls_with("s", start=False)
    calls.drop("s", "stop")
    assert calls.out.drain() == ([CancelCall(Call("s", 1), "stop")], [])
    assert calls.jobs == {}


def test_a_dropped_job_that_the_shell_has_not_seen_is_never_mentioned() -> None:
    calls = Calls()
    calls.do("s", job(), 0)
    calls.drop("s", "stop")
    assert calls.out.drain() == ([], [])


def test_a_dropped_job_that_backs_off_is_forgotten() -> None:
    calls = calls_with("s", tries=3)
    fail(calls, "s")
    calls.drop("s", "stop")
    assert calls.out.drain() == ([], [])
    assert calls.deadline() is None


def test_a_dropped_job_in_flight_lives_until_its_call_has_ended() -> None:
    calls = calls_with("s", tries=3)
    calls.drop("s", "stop")
    assert calls.out.drain()[0] == [CancelCall(Call("s", 1), "stop")]
    assert calls.in_flight() == [Call("s", 1)]
    assert calls.failed(CallCancelled(at=2, call=Call("s", 1), reason="stop")) is None
    assert calls.jobs == {}


def test_a_dropped_job_that_finishes_is_late_but_not_lost() -> None:
    calls = calls_with("s")
    calls.drop("s", "stop")
    assert finish(calls, "s") == Ended("s", "out", None, late=True)


def test_a_drop_concerns_one_path_and_no_other_that_begins_alike() -> None:
    calls = calls_with("a", "a/1", "a~2", "ab")
    calls.drop("a", "stop")
    assert [str(c.call) for c in calls.out.drain()[0]] == ["a#1"]


def test_dropping_all_drops_all() -> None:
    calls = calls_with("a", "b/1", "c~2")
    calls.drop("", "cancel", hard=True)
    assert [(str(c.call), c.hard) for c in calls.out.drain()[0]] == [
        ("a#1", True),
        ("b/1#1", True),
        ("c~2#1", True),
    ]


def test_a_soft_stop_never_takes_a_hard_one_back() -> None:
    calls = calls_with("s")
    calls.drop("", "cancel", hard=True)
    calls.drop("s", "stop")
    assert [c.hard for c in calls.out.drain()[0]] == [True]


def test_a_hard_stop_follows_a_soft_one() -> None:
    calls = calls_with("s")
    calls.drop("", "cancel")
    calls.out.drain()
    calls.drop("", "cancel", hard=True)
    assert [c.hard for c in calls.out.drain()[0]] == [True]


@pytest.mark.parametrize("how", ["failed", "dropped", "stopped", "lost", "late"])
def test_a_path_that_is_used_again_goes_on_counting(how: str) -> None:
    calls = calls_with("s")
    if how != "failed":
        calls.drop("s", "stop")
    if how == "failed":
        fail(calls, "s")
    elif how == "lost":
        calls.lost(CallLost(at=1, call=Call("s", 1)))
    elif how == "late":
        finish(calls, "s")
    else:
        calls.failed(CallCancelled(at=1, call=Call("s", 1), reason="stop"))
    calls.do("s", job(), 2)
    assert starts(calls) == ["s#2"]


def test_a_call_that_was_never_started_has_used_its_number_all_the_same() -> None:
    calls = calls_with("s", start=False)
    fail(calls, "s")
    calls.restart_names()
    calls.do("s", job(), 2)
    assert starts(calls) == ["s#2"]


def test_a_path_that_is_done_anew_after_success_gets_a_number_of_its_own() -> None:
    calls = calls_with("s", "t", tries=2)
    fail(calls, "t", at=0)
    calls.wake(HOUR)
    calls.out.drain()
    finish(calls, "s")
    calls.do("s", job(), 2, anew=True)
    assert starts(calls) == ["s#3"]


def test_a_lost_call_with_effects_that_was_dropped_is_held_when_its_path_comes_again() -> None:
    for lost_first in (True, False):
        calls = calls_with("s", effects=True)
        if lost_first:
            calls.lost(CallLost(at=1, call=Call("s", 1)))
        calls.drop("s", "stop")
        if not lost_first:
            calls.lost(CallLost(at=1, call=Call("s", 1)))
        assert calls.jobs == {}
        calls.out.drain()
        calls.do("s", job(effects=True), 2)
        assert starts(calls) == []
        assert calls.again("s", 3)
        assert starts(calls) == ["s#2"]


def test_a_fork_goes_its_own_way() -> None:
    calls = calls_with("a", "b")
    fork = calls.fork()
    finish(fork, "a")
    fail(fork, "b")
    assert calls.in_flight() == [Call("a", 1), Call("b", 1)]
    assert calls.running == 2
    assert fork.jobs == {}


def test_deadlines_of_ended_calls_do_not_pile_up() -> None:
    calls = Calls()
    for i in range(20_000):
        calls.do(f"s{i}", job(), i)
        calls.started(CallStarted(at=i, call=Call(f"s{i}", 1), agent="f"))
        finish(calls, f"s{i}")
    assert len(calls.timers._ends) < 9_000


# -- two calls of one job -------------------------------------------------------------------


def hedged(effects: bool = False, **fields) -> Calls:
    """A call that has left, with a second one asked for beside it at 5 seconds."""
    calls = calls_with("s", start=False, effects=effects, **fields)
    calls.started(CallStarted(at=0, call=Call("s", 1), agent="f", hedge_after=5 * SECOND))
    calls.wake(5 * SECOND)
    return calls


def both(**fields) -> Calls:
    """Two calls of one job in flight."""
    calls = hedged(**fields)
    assert starts(calls) == ["s#2"]
    calls.started(CallStarted(at=6 * SECOND, call=Call("s", 2), agent="f", hedge=True))
    return calls


def test_a_second_call_is_asked_for_when_the_first_is_late_and_not_before() -> None:
    calls = calls_with("s", start=False)
    calls.started(CallStarted(at=0, call=Call("s", 1), agent="f", hedge_after=5 * SECOND))
    assert calls.deadline() == 5 * SECOND
    assert calls.deadline(admits=False) == 60 * SECOND
    calls.wake(5 * SECOND - 1)
    calls.wake(5 * SECOND, admits=False)
    assert starts(calls) == []
    calls.wake(5 * SECOND)
    at = 5 * SECOND
    assert calls.out.drain() == ([], [StartCall(Call("s", 2), "f", False, at, at, hedge=True)])
    assert calls.deadline() == 60 * SECOND


def test_a_call_with_effects_is_never_hedged() -> None:
    calls = hedged(effects=True)
    assert calls.out.drain() == ([], [])
    assert calls.deadline() == 60 * SECOND


def test_calls_of_one_job_are_counted_and_named_in_order() -> None:
    calls = both()
    assert (calls.running, calls.in_flight()) == (2, [Call("s", 1), Call("s", 2)])
    finish(calls, "s", 2)
    calls.do("t", job(), 7)
    calls.started(CallStarted(at=7, call=Call("t", 1), agent="f"))
    assert (calls.running, calls.in_flight()) == (2, [Call("t", 1), Call("s", 1)])
    assert finish(calls, "s", 1) is None
    assert (calls.running, calls.ignored, calls.in_flight()) == (1, 0, [Call("t", 1)])


@pytest.mark.parametrize("lost", [(1, 2), (2, 1)])
def test_when_both_are_lost_the_job_is_done_again(lost: tuple[int, int]) -> None:
    calls = both()
    calls.lost(CallLost(at=9 * SECOND, call=Call("s", lost[0])))
    assert starts(calls) == []
    calls.lost(CallLost(at=9 * SECOND, call=Call("s", lost[1])))
    assert starts(calls) == ["s#3"]
    assert calls.jobs["s"].tries == 0


def test_a_slower_call_that_is_lost_is_nobodys_loss() -> None:
    calls = both()
    finish(calls, "s", 1)
    calls.lost(CallLost(at=9 * SECOND, call=Call("s", 2)))
    assert (calls.running, calls.ignored, calls.jobs) == (0, 0, {})


def test_a_second_call_that_the_shell_has_not_seen_is_never_mentioned() -> None:
    for end in (finish, fail):
        calls = hedged()
        end(calls, "s", 1)
        assert calls.out.drain() == ([], [])
    calls = hedged()
    calls.pause(6 * SECOND)
    assert calls.out.drain() == ([], [])


@pytest.mark.parametrize("end", ["finish", "fail", "drop", "pause", "lose"])
def test_a_second_call_in_the_shells_queue_is_withdrawn(end: str) -> None:
    calls = hedged(tries=2)
    assert starts(calls) == ["s#2"]
    if end == "finish":
        finish(calls, "s", 1)
    elif end == "fail":
        fail(calls, "s", 1)
    elif end == "drop":
        calls.drop("s", "stop")
    elif end == "pause":
        calls.pause(7 * SECOND)
        assert calls.deadline() == 7 * SECOND
    else:
        calls.lost(CallLost(at=9, call=Call("s", 1)))
    cancels, asked = calls.out.drain()
    assert Call("s", 2) in [cancel.call for cancel in cancels]
    assert [str(start.call) for start in asked] == (["s#3"] if end == "lose" else [])
    assert broken_rules(calls) == []


def test_a_recalled_second_call_is_asked_for_anew_under_another_name() -> None:
    calls = hedged()
    calls.pause(7 * SECOND)
    calls.wake(9 * SECOND)
    assert starts(calls) == ["s#3"]
    calls.started(CallStarted(at=9 * SECOND, call=Call("s", 2), agent="f", hedge=True))
    assert (calls.ignored, calls.running) == (1, 1)


def test_a_hard_stop_reaches_calls_whose_job_is_over() -> None:
    calls = both()
    finish(calls, "s", 1)
    assert calls.out.drain()[0] == [CancelCall(Call("s", 2), "hedge")]
    calls.drop("", "cancel")
    assert calls.out.drain()[0] == []
    calls.drop("", "cancel", hard=True)
    assert calls.out.drain()[0] == [CancelCall(Call("s", 2), "hedge", hard=True)]


def test_a_slower_calls_path_may_be_used_again_under_other_names() -> None:
    calls = both()
    finish(calls, "s", 1)
    calls.do("s", job(), 8 * SECOND, anew=True)
    assert starts(calls) == ["s#3"]
    assert finish(calls, "s", 2) is None
    assert list(calls.jobs) == ["s"]


def test_a_fork_of_two_calls_goes_its_own_way() -> None:
    calls = both()
    finish(calls, "s", 2)
    fork = calls.fork()
    finish(fork, "s", 1)
    assert (calls.in_flight(), fork.in_flight()) == ([Call("s", 1)], [])
    calls = hedged()
    fork = calls.fork()
    fork.pause(6 * SECOND)
    assert starts(calls) == ["s#2"]
    assert (calls.deadline(), fork.deadline()) == (60 * SECOND, 6 * SECOND)


def test_late_calls_deadlines_do_not_pile_up() -> None:
    calls = Calls()
    for i in range(20_000):
        calls.do(f"s{i}", job(), i)
        call = Call(f"s{i}", 1)
        calls.started(CallStarted(at=i, call=call, agent="f", hedge_after=SECOND))
        finish(calls, f"s{i}")
    assert len(calls.timers._hedges) < 9_000


@pytest.mark.parametrize("hurt", ["rival", "effects", "last", "late", "dropped"])
def test_a_broken_invariant_of_two_calls_is_named(hurt: str) -> None:
    calls = both()
    the_job = calls.jobs["s"]
    if hurt == "rival":
        the_job.state = "held"
        calls.running = 1
    elif hurt == "effects":
        the_job.spec = job(effects=True)
    elif hurt == "last":
        the_job.last = 0
    elif hurt == "late":
        calls._late[Call("s", 2)] = None
        calls.running = 3
    else:
        the_job.state, the_job.dropped = "stopping", True
    assert len(broken_rules(calls)) == 1


@pytest.mark.parametrize("hurt", ["running", "path", "start", "attempt", "dropped", "deadline"])
def test_a_broken_invariant_is_named(hurt: str) -> None:
    calls = calls_with("s")
    the_job = calls.jobs["s"]
    if hurt == "running":
        calls.running = 0
    elif hurt == "path":
        calls.jobs["t"] = calls.jobs.pop("s")
    elif hurt == "start":
        calls.out.start(the_job.ask())
    elif hurt == "attempt":
        the_job.attempt = 0
    elif hurt == "dropped":
        the_job.dropped = True
    else:
        the_job.state = "backing_off"
        calls.running = 0
        calls.timers = calls_with().timers
    assert broken_rules(calls)
