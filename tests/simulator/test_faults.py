"""What goes wrong in a simulation happens to whom it names, when it says so, and to no one else."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from tests.simulator.policies import consensus, drawn, spec_of
from tests.simulator.records import played, wide, workers

from hocket.core.errors import NotFound
from hocket.core.specs import AgentSpec, Retry
from hocket.core.values import MINUTE, MS, SECOND
from hocket.simulator.agents import Act
from hocket.simulator.faults import (
    Death,
    Down,
    Fail,
    Faulty,
    Hang,
    Mishap,
    Refuse,
    Slow,
    deaths_of,
    parse_fault,
    whom,
)
from hocket.simulator.parts import Part, Played
from hocket.simulator.play import play_together

ITEMS = 60


def struck(*mishaps: Mishap, sigma: float = 0.0, seed: int = 1, **step: Any) -> Played:
    """Play a plan of work that takes 10 s each from 1 s on, with mishaps."""
    spec = wide(ITEMS, **{"on_failure": "continue", **step})
    agents = Faulty(workers(ITEMS, 10, sigma), mishaps, spec)
    return played(spec, agents, seed)


def hows(run: Played) -> dict[str, int]:
    found: dict[str, int] = {}
    for made in run.calls:
        if made.agent == "worker":
            found[made.how] = found.get(made.how, 0) + 1
    return found


def test_without_mishaps_nothing_changes() -> None:
    plain = played(wide(ITEMS, on_failure="continue"), workers(ITEMS, 10, 0.0))
    assert struck().digest() == plain.digest()
    assert struck(Hang(share=0.0), Slow(factor=3.0, who="lister", at=MINUTE)).took == plain.took


# ---- down ----


def test_calls_fail_while_nobody_answers_and_those_in_flight_with_them() -> None:
    run = struck(Down(who="worker", at=5 * SECOND, lasts=2 * SECOND))
    failed = [made for made in run.calls if made.how == "failed"]
    assert len(failed) == ITEMS
    assert {made.ended for made in failed} == {5 * SECOND}
    faults = [event.fault for event in run.events if hasattr(event, "fault")]
    assert {fault.kind for fault in faults} == {"unavailable"}
    # Who is down until the calls begin does no harm; who begins to be when they are over neither.
    assert hows(struck(Down(who="worker", at=0, lasts=SECOND))) == {"finished": ITEMS}
    assert hows(struck(Down(who="worker", at=11 * SECOND, lasts=MINUTE))) == {"finished": ITEMS}


def test_a_call_that_begins_meanwhile_fails_when_it_says_so_and_may_be_tried_again() -> None:
    down = Down(who="worker", at=SECOND, lasts=3 * SECOND, takes=2 * SECOND)
    retry = Retry(tries=2, first=5 * SECOND, jitter=0.0)
    run = struck(down, retry=retry)
    assert hows(run) == {"failed": ITEMS, "finished": ITEMS}
    assert run.took == (1 + 2 + 5 + 10) * SECOND


def test_a_provider_is_down_for_all_that_use_it() -> None:
    spec = spec_of(consensus("once"), True)
    agents = {
        **spec.agents,
        "other": AgentSpec(kind="model", options={"model": "m-1"}, limits=("pro",)),
    }
    spec = msgspec.structs.replace(spec, agents=agents)
    assert whom("pro", spec) == ["pro"]
    assert whom("m-1", spec) == ["other"]
    assert whom("", spec) == list(spec.agents)
    renamed = {"p2" if name == "pro" else name: agent for name, agent in agents.items()}
    assert whom("pro", msgspec.structs.replace(spec, agents=renamed)) == ["p2", "other"]
    shared = msgspec.structs.replace(spec, claims=("all",))
    assert whom("all", shared) == list(spec.agents)
    with pytest.raises(NotFound, match=r"called 'prp'; did you mean 'pro'\?"):
        whom("prp", spec)
    with pytest.raises(NotFound, match="there are flash, pro, look, other, m-1"):
        Faulty(drawn(), [Hang(share=0.1, who="zzz")], spec)


# ---- shares ----


@pytest.mark.parametrize(
    ("mishap", "how"),
    [
        (Hang(share=0.3, who="worker"), "cancelled"),
        (Fail(share=0.3, who="worker"), "failed"),
    ],
)
def test_a_share_of_the_calls_comes_to_nothing(mishap: Mishap, how: str) -> None:
    found = hows(struck(mishap, timeout=MINUTE))
    assert found[how] == pytest.approx(0.3 * ITEMS, abs=9)
    assert found["finished"] == ITEMS - found[how]


def test_who_is_not_named_may_be_anybody() -> None:
    everybody = struck(Fail(share=1.0))
    assert [str(made.call) for made in everybody.calls] == ["list#1"]
    assert everybody.status == "failed"


def test_who_hangs_runs_into_the_timeout() -> None:
    run = struck(Hang(share=1.0, who="worker"), timeout=MINUTE)
    assert hows(run) == {"cancelled": ITEMS}
    assert run.took == SECOND + MINUTE


def test_refusals_say_how_long_to_wait_and_cost_no_try() -> None:
    refuse = Refuse(share=0.5, who="worker", retry_after=20 * SECOND, takes=SECOND)
    run = struck(refuse)
    found = hows(run)
    assert found["finished"] == ITEMS
    assert found["refused"] > 0.7 * ITEMS
    again = [made for made in run.calls if made.call.attempt == 2]
    first = {made.call.path: made for made in run.calls if made.call.attempt == 1}
    for made in again:
        assert made.began >= first[made.call.path].ended + 20 * SECOND
        assert first[made.call.path].ended == 2 * SECOND


def test_the_same_calls_suffer_whatever_else_happens() -> None:
    def hung(*others: Mishap, sigma: float = 0.0) -> list[str]:
        run = struck(Hang(share=0.2), *others, timeout=MINUTE, sigma=sigma)
        return sorted(str(made.call) for made in run.calls if made.how == "cancelled")

    assert hung() == hung(sigma=0.3) == hung(Slow(factor=2.0))
    # Two mishaps draw for themselves.
    assert hung() != sorted(
        str(made.call)
        for made in struck(Slow(factor=1.0), Hang(share=0.2), timeout=MINUTE).calls
        if made.how == "cancelled"
    )
    assert set(hung()) < set(hung(Hang(share=0.2)))


# ---- slow, and death ----


def test_calls_that_begin_meanwhile_take_longer() -> None:
    def took(**fields: Any) -> float:
        return struck(Slow(factor=3.0, **fields)).took / SECOND

    assert took() == 3 + 30
    assert took(who="worker") == 1 + 30
    assert took(who="lister") == 3 + 10
    assert took(at=SECOND) == 1 + 30
    assert took(at=SECOND + 1) == 1 + 10
    assert took(at=0, lasts=SECOND) == 3 + 30 - 20


class _Asked:
    agent = "worker"
    at = 0

    def draw(self, what: str) -> float:
        return 0.5


ASKED: Any = _Asked()


def test_a_slow_peer_is_heard_later() -> None:
    class Heard:
        def act(self, asked: object) -> Act:
            return Act(10 * SECOND, "x", heard=2 * SECOND)

    slow = Faulty(Heard(), [Slow(factor=2.0)], wide(1))  # type: ignore[arg-type]
    act = slow.act(ASKED)
    assert (act.lasts, act.heard) == (20 * SECOND, 4 * SECOND)


def test_a_machine_that_dies_loses_its_calls_and_the_run_goes_on() -> None:
    mishaps = [parse_fault("machine dies at 5s back 30s")]
    spec = wide(ITEMS)
    part = Part(spec, {}, deaths=deaths_of(mishaps))
    (run,) = play_together([part], workers(ITEMS, 10, 0.0))
    assert hows(run) == {"lost": ITEMS, "finished": ITEMS}
    assert run.took == (5 + 30 + 10) * SECOND
    two = [Death(at=MINUTE, back=SECOND), Hang(share=0.1), Death(at=SECOND)]
    assert deaths_of(two) == ((SECOND, 2 * SECOND), (MINUTE, MINUTE + SECOND))


# ---- reading ----

READ: list[tuple[str, Mishap]] = [
    ("flash down 30s at 1m", Down(who="flash", lasts=30 * SECOND, at=MINUTE)),
    ("flash down 30s", Down(who="flash", lasts=30 * SECOND)),
    ("5% hang", Hang(share=0.05)),
    ("  flash   5%  hangs ", Hang(share=0.05, who="flash")),
    ("flash hangs 5%", Hang(share=0.05, who="flash")),
    ("0.5% fail", Fail(share=0.005)),
    ("gemini-2.5-pro 100% fail", Fail(share=1.0, who="gemini-2.5-pro")),
    ("pro refuses 10% for 20s", Refuse(share=0.1, who="pro", retry_after=20 * SECOND)),
    ("pro refuses 10% retry after 20s", Refuse(share=0.1, who="pro", retry_after=20 * SECOND)),
    ("pro refuses 10%", Refuse(share=0.1, who="pro")),
    ("10% refused", Refuse(share=0.1)),
    ("flash slow x3 from 1m for 30s", Slow(factor=3, who="flash", at=MINUTE, lasts=30 * SECOND)),
    ("slow x1.5", Slow(factor=1.5)),
    ("machine dies at 2m back 30s", Death(at=2 * MINUTE, back=30 * SECOND)),
    ("machine dies at 200ms", Death(at=200 * MS, back=SECOND)),
]


@pytest.mark.parametrize(("text", "mishap"), READ)
def test_mishaps_are_read(text: str, mishap: Mishap) -> None:
    assert parse_fault(text) == mishap


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flash is down", "write it like one of: machine dies at 2m back 30s; flash down 30s at"),
        ("", "write it like one of"),
        ("flash down soon", "'flash down soon': 'soon' is not a duration"),
        ("flash down 30s at noon", "'noon' is not a duration"),
        ("120% hang", "120% is no share; write it like 5%"),
        ("many% hang", "many% is no share"),
        ("flash slow xx", "xx is no factor; write it like x3"),
        ("flash slow x0", "x0 is no factor"),
        ("machine dies at 2m back then", "'then' is not a duration"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_is_expected(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))) as caught:
        parse_fault(text)
    assert words in str(caught.value)
