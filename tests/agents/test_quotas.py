"""What providers' headers say of their limits, and that nonsense says nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.agents.quotas import LONGEST, quotas_of
from hocket.core.values import HOUR, MINUTE, SECOND
from hocket.limits.claim import Quota

MILLI = SECOND // 1_000
NOW = 1_790_000_000.0
NAMES = [
    *(
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    ),
    *(
        f"anthropic-ratelimit-{kind}-{what}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
    "date",
]


def reset_of(text: str, **more: str) -> int | None:
    headers = {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": text} | more
    (quota,) = quotas_of(headers, NOW)
    return quota.reset


def test_openais_headers_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert quotas_of(headers, NOW) == (
        Quota(kind="requests", limit=60, remaining=59, reset=SECOND),
        Quota(kind="tokens", limit=150_000, remaining=149_984, reset=6 * MINUTE),
    )


def test_anthropics_headers_are_read_by_the_servers_own_clock() -> None:
    headers = {
        "date": "Sun, 22 Nov 2026 10:00:00 GMT",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-22T10:00:12Z",
        "anthropic-ratelimit-tokens-remaining": "900",
        "anthropic-ratelimit-tokens-reset": "2026-11-22T09:00:00Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-22T12:00:01.5+02:00",
    }
    assert quotas_of(headers, NOW) == (
        Quota(kind="requests", limit=50, remaining=0, reset=12 * SECOND),
        Quota(kind="tokens", remaining=900, reset=0),
        Quota(kind="tokens_in", limit=40_000),
        Quota(kind="tokens_out", limit=8_000, reset=1_500 * MILLI),
    )


def test_without_a_date_our_own_clock_serves() -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW + 30))
    assert reset_of(at) == 30 * SECOND
    assert reset_of(at, date="yesterday") == 30 * SECOND
    assert reset_of("0001-01-01T00:00:00+14:00") == 0, "long ago is now"


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("6m0s", 6 * MINUTE),
        ("1.5s", 1_500 * MILLI),
        ("88ms", 88 * MILLI),
        ("2m59.56s", 2 * MINUTE + 59_560 * MILLI),
        ("1h2m3s", HOUR + 2 * MINUTE + 3 * SECOND),
        ("1d", 24 * HOUR),
        ("250us", 250_000),
        ("12", 12 * SECOND),
        ("0.25", 250 * MILLI),
        ("0", 0),
        (" 3s ", 3 * SECOND),
    ],
)
def test_each_way_to_write_a_reset_is_read(text: str, wait: int) -> None:
    assert reset_of(text) == wait


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "-3s", "nan", "inf", "1e400", "3 s", "6m0", "s", "1790000000", "99999d"),
        *("9" * 400, "2026-11-22T10:00:12", "9999-12-31T23:59:59Z", "٣s", "1.s", "1s,1s"),
    ],
)
def test_a_reset_that_makes_no_sense_is_not_said(text: str) -> None:
    assert reset_of(text) is None


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "٣", "9" * 30, "5, 5", "0x10"])
def test_a_count_that_makes_no_sense_is_not_said(text: str) -> None:
    headers = {"x-ratelimit-limit-tokens": text, "x-ratelimit-remaining-requests": text}
    assert quotas_of(headers | {"x-ratelimit-reset-requests": "1s"}, NOW) == ()


def test_a_limit_of_nothing_is_none_and_nothing_left_is_something() -> None:
    headers = {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}
    assert quotas_of(headers, NOW) == (Quota(kind="requests", remaining=0),)


def test_other_headers_say_nothing() -> None:
    assert quotas_of({"content-type": "application/json", "retry-after": "3"}, NOW) == ()


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(st.text(max_size=40), st.from_regex(r"[0-9.]+(ms|s|m|h|d)?", fullmatch=True)),
    ),
    st.floats(min_value=0, max_value=4e9),
)
def test_nothing_that_a_server_writes_raises(headers: dict[str, str], now: float) -> None:
    for quota in quotas_of(headers, now):
        assert quota.limit is None or quota.limit > 0
        assert quota.remaining is None or quota.remaining >= 0
        assert quota.reset is None or 0 <= quota.reset <= LONGEST
