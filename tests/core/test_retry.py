import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.errors import Fault
from hocket.core.retry import (
    LONGEST_RETRY_AFTER,
    MAX_LIMITED_REFUSALS,
    MAX_REFUSALS,
    Again,
    decide,
)
from hocket.core.specs import RETRIED, Retry
from hocket.core.values import HOUR, SECOND, Call

CALL = Call("s", 1)
EXACT = Retry(tries=5, first=SECOND, factor=2.0, longest=10 * SECOND, jitter=0.0)


def fault(kind: str, retry_after: int | None = None) -> Fault:
    return Fault(kind=kind, message="broken", retry_after=retry_after)  # type: ignore[arg-type]


def delay(decision) -> int:
    assert isinstance(decision, Again)
    return decision.delay


@pytest.mark.parametrize("kind", [kind for kind in RETRIED if kind != "rate_limited"])
def test_a_retried_fault_is_tried_again_until_the_tries_are_used_up(kind: str) -> None:
    assert decide(EXACT, fault(kind), 4, 0, 7, CALL) == Again(8 * SECOND, counts=True)
    assert decide(EXACT, fault(kind), 5, 0, 7, CALL) == "give_up"


@pytest.mark.parametrize("kind", ["permanent", "lost"])
def test_a_fault_that_no_policy_covers_is_never_tried_again(kind: str) -> None:
    assert decide(EXACT, fault(kind), 1, 0, 7, CALL) == "give_up"


def test_a_policy_may_name_the_faults_that_it_covers() -> None:
    only = Retry(tries=3, on=("unavailable",))
    assert decide(only, fault("failed"), 1, 0, 7, CALL) == "give_up"
    assert isinstance(decide(only, fault("unavailable"), 1, 0, 7, CALL), Again)
    assert decide(only, fault("rate_limited"), 0, 1, 7, CALL) == "give_up"


def test_permanent_is_final_even_if_a_policy_names_it() -> None:
    assert decide(Retry(tries=3, on=("permanent",)), fault("permanent"), 1, 0, 7, CALL) == "give_up"


def test_back_offs_grow_up_to_the_longest() -> None:
    delays = [delay(decide(EXACT, fault("failed"), n, 0, 7, CALL)) for n in (1, 2, 3, 4)]
    assert delays == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    long = Retry(tries=1_000, first=SECOND, factor=1_000.0, longest=10 * SECOND, jitter=0.0)
    assert delay(decide(long, fault("failed"), 900, 0, 7, CALL)) == 10 * SECOND


def test_jitter_shortens_a_back_off_by_the_share_that_it_names_at_most() -> None:
    policy = Retry(tries=9, first=SECOND, jitter=0.5)
    delays = [delay(decide(policy, fault("failed"), 1, 0, seed, CALL)) for seed in range(200)]
    assert all(SECOND / 2 <= d <= SECOND for d in delays)
    assert len(set(delays)) > 190


def test_jitter_is_the_same_for_the_same_run_and_call() -> None:
    policy = Retry(tries=9)
    assert decide(policy, fault("failed"), 1, 0, 7, CALL) == decide(
        policy, fault("failed"), 1, 0, 7, CALL
    )
    assert decide(policy, fault("failed"), 1, 0, 7, CALL) != decide(
        policy, fault("failed"), 1, 0, 7, Call("s", 2)
    )


def test_a_refusal_costs_no_try_and_waits_as_long_as_the_peer_asks() -> None:
    decision = decide(Retry(), fault("rate_limited", 30 * SECOND), 0, 1, 7, CALL)
    assert isinstance(decision, Again)
    assert not decision.counts
    assert 30 * SECOND <= decision.delay <= 33 * SECOND


def test_a_peer_that_always_refuses_is_given_up_at_last() -> None:
    assert isinstance(decide(Retry(), fault("rate_limited"), 0, MAX_REFUSALS, 7, CALL), Again)
    assert decide(Retry(), fault("rate_limited"), 0, MAX_REFUSALS + 1, 7, CALL) == "give_up"


@pytest.mark.parametrize("kind", ["rate_limited", "unavailable"])
def test_an_absurd_retry_after_is_cut(kind: str) -> None:
    decision = decide(Retry(tries=3), fault(kind, 900 * HOUR), 1, 1, 7, CALL)
    assert LONGEST_RETRY_AFTER <= delay(decision) <= 1.1 * LONGEST_RETRY_AFTER


@pytest.mark.parametrize("kind", ["rate_limited", "unavailable"])
def test_a_negative_retry_after_does_no_harm(kind: str) -> None:
    assert delay(decide(Retry(tries=3), fault(kind, -900 * HOUR), 1, 1, 7, CALL)) > 0


@given(
    st.sampled_from(RETRIED),
    st.integers(0, 2_000),
    st.integers(0, 60),
    st.integers(0, 10**18),
    st.floats(1, 1_000),
    st.floats(0, 1),
)
def test_a_delay_is_never_negative_and_never_above_all_bounds(
    kind, tries: int, refusals: int, first: int, factor: float, jitter: float
) -> None:
    longest = max(first, 10**15)
    policy = Retry(tries=1_000, first=first, factor=factor, longest=longest, jitter=jitter)
    decision = decide(policy, fault(kind, 5 * SECOND), tries, refusals, 7, CALL)
    if decision != "give_up":
        assert 0 <= decision.delay <= max(longest, 5 * SECOND) + 2 * SECOND


def test_a_refusal_that_a_limit_waits_out_is_asked_again_at_once() -> None:
    refused = fault("rate_limited", 30 * SECOND)
    again = Again(0, counts=False)
    assert decide(Retry(), refused, 0, 1, 7, CALL, limited=True) == again
    assert decide(Retry(), refused, 0, MAX_LIMITED_REFUSALS, 7, CALL, limited=True) == again
    last = decide(Retry(), refused, 0, MAX_LIMITED_REFUSALS + 1, 7, CALL, limited=True)
    assert (last, MAX_LIMITED_REFUSALS > 10 * MAX_REFUSALS) == ("give_up", True)


def test_a_limit_changes_nothing_for_other_faults() -> None:
    for kind in RETRIED:
        if kind != "rate_limited":
            alone = decide(EXACT, fault(kind, SECOND), 2, 0, 7, CALL)
            assert decide(EXACT, fault(kind, SECOND), 2, 0, 7, CALL, limited=True) == alone
    only = Retry(tries=3, on=("unavailable",))
    assert decide(only, fault("rate_limited"), 0, 1, 7, CALL, limited=True) == "give_up"


def test_what_no_budget_holds_is_never_tried_again_even_if_a_policy_names_it() -> None:
    policy = Retry(tries=3, on=("over_budget",))
    assert decide(policy, fault("over_budget"), 1, 0, 7, CALL) == "give_up"
